// The partitioners of librdkafka, by its names: a key's bytes to a partition, the same number that librdkafka gives.
//
// Sources: librdkafka src/rdmurmur2.c (the murmur2 of the Java client), src/rdfnv1a.c; `consistent` is the CRC-32 of zlib.
// tests/unit/test_partition.py compares all of them with the functions that librdkafka exports.
#pragma once

#include <cstddef>
#include <cstdint>

namespace penstock {

enum class Partitioner : uint8_t { consistent, consistent_random, murmur2, murmur2_random, fnv1a, fnv1a_random, random };

// True when the partitioner leaves a key without a hash to chance: NULL keys, for consistent_random empty ones too.
bool is_random(Partitioner p, bool has_key, size_t size);

// FNV-1a, to divide rows between workers: never seen outside.
uint32_t hash_of(const uint8_t* s, size_t size);

// For keys that are not left to chance; a missing key is hashed as an empty one.
int32_t partition_of(Partitioner p, const uint8_t* key, size_t size, int32_t partitions);

}  // namespace penstock
