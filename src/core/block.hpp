// A block: up to 64 Ki rows of a batch, copied once into the arena, read in place by the workers.
//
//   +--------------------------------------------+
//   | nodes: one per Type, depth first           |  64 bytes each, see Node
//   +--------------------------------------------+
//   | buffers, each aligned to 16 bytes          |  only the range of rows that the block holds
//   +--------------------------------------------+
//   | 16 bytes                                   |  so that a short string may be read by one load of 16
//   +--------------------------------------------+
//
// Positions are kept as the *virtual* position of a buffer's first element: a block that holds rows 1000..2000 of a column stores
// `where the bytes are` minus `1000 x width`. So row numbers, offsets into strings and list offsets stay those of the batch, nothing
// is rewritten, and an error names the row as the caller counts it. (String views are the exception: their data is gathered, and the last 8 bytes of a
// view say where, in 64 bits.)
// A dictionary is a block of its own, shared by all blocks that use it.
#pragma once

#include <cstdint>
#include <vector>

#include "arrow.hpp"

namespace penstock {

struct DictionaryRef {
  int64_t position;  // of its block in the arena
  uint64_t id;
};

// Bytes that rows [from, to) need in the arena, nodes and alignment included.
int64_t measure_block(const Type& type, const Array& a, int64_t from, int64_t to);
int64_t measure_dictionary(const Type& type, const Array& a);

// Copies; returns the bytes used, which measure_* told before. `arena + position` must be aligned to 16 bytes.
// `dictionaries` holds a reference for each one that list_dictionaries gives, in that order.
int64_t copy_block(const Type& type, const Array& a, int64_t from, int64_t to, uint8_t* arena, int64_t position,
                   const std::vector<DictionaryRef>& dictionaries);
int64_t copy_dictionary(const Type& type, const Array& a, uint8_t* arena, int64_t position);

// Pointers into the block at `position`.
Array open_block(const Type& type, const uint8_t* arena, int64_t position);

}  // namespace penstock
