// One row's text and bytes cut to a length: a copy of a block's pointers in which, for this row, some columns have values of their own.
//
// Columns that a dictionary or runs stand before, and those that hold JSON or a UUID, stay whole.
#pragma once

#include <cstdint>
#include <vector>

#include "arrow.hpp"

namespace penstock {

class Cutter {
 public:
  Cutter(const Type& schema, const std::vector<int>& columns);

  // From now on about this row; returns the most bytes that one of the columns has in it.
  int64_t open(const Array& block, int64_t row);

  // The block with the columns of this row cut to `length` bytes each, or somewhat fewer, so that no character is broken. Other rows
  // must not be read from it. Good until the next call.
  const Array& cut(int64_t length);

 private:
  // What a column's value is read from: offsets of either width, or a view.
  struct Place {
    alignas(16) uint8_t bytes[32];  // 16 may be read from the start of a value
  };

  const Type& schema_;
  std::vector<size_t> columns_;
  std::vector<Place> places_;
  const Array* block_ = nullptr;
  int64_t row_ = 0;
  Array array_;
};

}  // namespace penstock
