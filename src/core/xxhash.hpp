// XXH64, and by it one number for a message: what a receipt with audit=true sums up, and `penstock verify` compares.
//
// Source: the specification "xxHash fast digest algorithm", version 0.2, section XXH64; seed 0. tests/unit/test_audit.py compares it
// with the package xxhash.
#pragma once

#include <cstddef>
#include <cstdint>

namespace penstock {

// Hashes bytes that come in parts. finish() once, after the last part.
class Xxh64 {
 public:
  explicit Xxh64(uint64_t seed = 0);
  void add(const void* data, size_t size);
  uint64_t finish() const;

 private:
  uint64_t lanes_[4];
  uint64_t seed_;
  uint64_t total_ = 0;
  uint8_t rest_[32];  // the last total_ % 32 bytes, still to be mixed in
};

// Of a message: the key's length as 4 bytes, little-endian, -1 for a null key, then the key; the same of the value.
uint64_t message_hash(const void* key, size_t key_size, const void* value, size_t value_size);

// For each of `others` whether it is among `sorted`: 1 or 0.
void find_hashes(const uint64_t* sorted, size_t n_sorted, const uint64_t* others, size_t n_others, uint8_t* found);

}  // namespace penstock
