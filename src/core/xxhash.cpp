#include "xxhash.hpp"

#include <algorithm>
#include <cstring>

namespace penstock {

namespace {

constexpr uint64_t prime1 = 0x9e3779b185ebca87u;
constexpr uint64_t prime2 = 0xc2b2ae3d27d4eb4fu;
constexpr uint64_t prime3 = 0x165667b19e3779f9u;
constexpr uint64_t prime4 = 0x85ebca77c2b2ae63u;
constexpr uint64_t prime5 = 0x27d4eb2f165667c5u;
constexpr size_t stripe = 32;

uint64_t rotated(uint64_t x, int bits) { return (x << bits) | (x >> (64 - bits)); }

// The machines that this is built for are little-endian, as the specification's words are.
template <typename T>
T word(const uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

uint64_t mixed(uint64_t lane, uint64_t input) { return rotated(lane + input * prime2, 31) * prime1; }

void mix_stripe(uint64_t (&lanes)[4], const uint8_t* from) {
  for (size_t k = 0; k < 4; ++k) lanes[k] = mixed(lanes[k], word<uint64_t>(from + 8 * k));
}

void add_part(Xxh64& hash, const void* data, size_t size) {
  const int32_t length = data == nullptr ? -1 : static_cast<int32_t>(size);
  hash.add(&length, sizeof length);
  if (data != nullptr) hash.add(data, size);
}

}  // namespace

Xxh64::Xxh64(uint64_t seed) : lanes_{seed + prime1 + prime2, seed + prime2, seed, seed - prime1}, seed_(seed) {}

void Xxh64::add(const void* data, size_t size) {
  if (size == 0) return;
  const auto* from = static_cast<const uint8_t*>(data);
  const size_t held = total_ % stripe;
  total_ += size;
  if (held != 0) {
    const size_t taken = std::min(size, stripe - held);
    std::memcpy(rest_ + held, from, taken);
    if (held + taken < stripe) return;
    mix_stripe(lanes_, rest_);
    from += taken;
    size -= taken;
  }
  for (; size >= stripe; size -= stripe, from += stripe) mix_stripe(lanes_, from);
  if (size != 0) std::memcpy(rest_, from, size);
}

uint64_t Xxh64::finish() const {
  uint64_t h = seed_ + prime5;
  if (total_ >= stripe) {
    h = rotated(lanes_[0], 1) + rotated(lanes_[1], 7) + rotated(lanes_[2], 12) + rotated(lanes_[3], 18);
    for (const uint64_t lane : lanes_) h = (h ^ mixed(0, lane)) * prime1 + prime4;
  }
  h += total_;
  const uint8_t* from = rest_;
  size_t left = total_ % stripe;
  for (; left >= 8; left -= 8, from += 8) h = rotated(h ^ mixed(0, word<uint64_t>(from)), 27) * prime1 + prime4;
  if (left >= 4) {
    h = rotated(h ^ (word<uint32_t>(from) * prime1), 23) * prime2 + prime3;
    left -= 4;
    from += 4;
  }
  for (; left > 0; --left, ++from) h = rotated(h ^ (*from * prime5), 11) * prime1;
  h = (h ^ (h >> 33)) * prime2;
  h = (h ^ (h >> 29)) * prime3;
  return h ^ (h >> 32);
}

uint64_t message_hash(const void* key, size_t key_size, const void* value, size_t value_size) {
  Xxh64 hash;
  add_part(hash, key, key_size);
  add_part(hash, value, value_size);
  return hash.finish();
}

void find_hashes(const uint64_t* sorted, size_t n_sorted, const uint64_t* others, size_t n_others, uint8_t* found) {
  for (size_t k = 0; k < n_others; ++k) found[k] = std::binary_search(sorted, sorted + n_sorted, others[k]) ? 1 : 0;
}

}  // namespace penstock
