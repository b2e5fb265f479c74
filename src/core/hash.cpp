#include "hash.hpp"

#include <array>
#include <cstring>

namespace penstock {

namespace {

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> t{};
  for (uint32_t n = 0; n < 256; ++n) {
    uint32_t c = n;
    for (int k = 0; k < 8; ++k) c = (c & 1) != 0 ? 0xedb88320u ^ (c >> 1) : c >> 1;
    t[n] = c;
  }
  return t;
}
constexpr std::array<uint32_t, 256> crc_table = make_crc_table();

uint32_t crc32(const uint8_t* s, size_t size) {
  uint32_t c = 0xffffffffu;
  for (size_t i = 0; i < size; ++i) c = crc_table[(c ^ s[i]) & 0xff] ^ (c >> 8);
  return c ^ 0xffffffffu;
}

uint32_t murmur2(const uint8_t* s, size_t size) {
  constexpr uint32_t m = 0x5bd1e995;
  uint32_t h = 0x9747b28c ^ static_cast<uint32_t>(size);
  while (size >= 4) {
    uint32_t k;
    std::memcpy(&k, s, 4);
    k *= m;
    k ^= k >> 24;
    k *= m;
    h = (h * m) ^ k;
    s += 4;
    size -= 4;
  }
  if (size >= 3) h ^= static_cast<uint32_t>(s[2]) << 16;
  if (size >= 2) h ^= static_cast<uint32_t>(s[1]) << 8;
  if (size >= 1) h = (h ^ s[0]) * m;
  h ^= h >> 13;
  h *= m;
  h ^= h >> 15;
  return h;
}

uint32_t fnv1a(const uint8_t* s, size_t size) {
  uint32_t h = 0x811c9dc5;
  for (size_t i = 0; i < size; ++i) h = (h ^ s[i]) * 0x01000193u;
  return h;
}

}  // namespace

uint32_t hash_of(const uint8_t* s, size_t size) { return fnv1a(s, size); }

bool is_random(Partitioner p, bool has_key, size_t size) {
  switch (p) {
    case Partitioner::random: return true;
    case Partitioner::consistent_random: return !has_key || size == 0;
    case Partitioner::murmur2_random:
    case Partitioner::fnv1a_random: return !has_key;
    default: return false;
  }
}

int32_t partition_of(Partitioner p, const uint8_t* key, size_t size, int32_t partitions) {
  const auto n = static_cast<uint32_t>(partitions);
  switch (p) {
    case Partitioner::murmur2:
    case Partitioner::murmur2_random: return static_cast<int32_t>((murmur2(key, size) & 0x7fffffffu) % n);
    case Partitioner::fnv1a:
    case Partitioner::fnv1a_random: {
      // librdkafka takes the hash as a signed number and drops its sign before the modulo.
      const auto h = static_cast<int32_t>(fnv1a(key, size));
      return static_cast<int32_t>((h < 0 ? 0u - static_cast<uint32_t>(h) : static_cast<uint32_t>(h)) % n);
    }
    default: return static_cast<int32_t>(crc32(key, size) % n);
  }
}

}  // namespace penstock
