// What one row says of itself: the word of an op column, or a signed weight.
#pragma once

#include <cstdint>
#include <string>

#include "arrow.hpp"

namespace penstock {

// A row that cannot be taken; `column` may be empty.
struct RowFailure {
  int64_t row;
  std::string column;
  std::string text;
  bool oversize = false;  // it has a form, but one that is too large for a message
};

// A row that is left out because of it, `failure.row`, with the rows just before it that go with it: `rows` in all.
struct LeftOut {
  RowFailure failure;
  uint32_t rows;
};

// before and after: -U and +U, the two halves of an update; update: a row that replaces whatever its key had.
enum class Op : uint8_t { unknown, insert, remove, before, after, update };

// insert/delete/upsert and the usual spellings: I U D (SQL), c r u d (Debezium), +I -U +U -D (Flink), in any case.
Op parse_op(const Bytes& word);

// One string or binary column's bytes through dictionaries and runs. False: null.
bool raw_key(const Type& type, const Array& a, int64_t i, Bytes& out);

// Value i of an integer column, through a dictionary or runs. False: null.
bool integer_value(const Type& type, const Array& a, int64_t i, int64_t& out);

// The op of row i of an op column; throws RowFailure for a null and for a word that is none.
Op op_at(const Type& type, const Array& a, int64_t i);

// The weight of row i of a weight column; throws RowFailure for a null and for one that 64 signed bits do not hold.
int64_t weight_at(const Type& type, const Array& a, int64_t i, bool is_unsigned);

inline uint64_t magnitude(int64_t weight) { return weight < 0 ? 0 - static_cast<uint64_t>(weight) : static_cast<uint64_t>(weight); }

}  // namespace penstock
