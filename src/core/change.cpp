#include "change.hpp"

#include <algorithm>

namespace penstock {

namespace {

constexpr const char* words = "give insert, delete or upsert, or a usual spelling such as I, U, D, c, u, d, r, +I, -U, +U, -D";

// Up to 8 characters as one number, the first one lowest.
constexpr uint64_t packed(const char* word) {
  uint64_t all = 0;
  for (int shift = 0; *word != '\0'; ++word, shift += 8) all |= static_cast<uint64_t>(static_cast<uint8_t>(*word)) << shift;
  return all;
}

std::string shown(const Bytes& b) {
  return std::string(reinterpret_cast<const char*>(b.data), static_cast<size_t>(std::min<int64_t>(b.size, 200)));
}

// Where the value of a dictionary's row stands: an index may be anything, and is not followed out of the dictionary.
int64_t place_in_dictionary(const Type& type, const Array& a, int64_t i) {
  const int64_t index = integer_at(type.kind, a, i);
  if (index >= 0 && index < a.dictionary->length) return index;
  throw RowFailure{i, type.name,
                   "dictionary index " + std::to_string(index) + " is outside the dictionary of " + std::to_string(a.dictionary->length) + " values"};
}

}  // namespace

Op parse_op(const Bytes& b) {
  if (b.size < 1 || b.size > 6) return Op::unknown;
  uint64_t word = 0;
  for (int64_t i = 0; i < b.size; ++i) {
    const uint8_t c = b.data[i];
    if (c == 0) return Op::unknown;  // it would not show in the number
    word |= static_cast<uint64_t>(c >= 'A' && c <= 'Z' ? c + 32 : c) << (8 * i);
  }
  switch (word) {
    case packed("i"):
    case packed("+i"):
    case packed("insert"):
    case packed("c"):
    case packed("create"):
    case packed("r"):
    case packed("read"): return Op::insert;
    case packed("d"):
    case packed("-d"):
    case packed("delete"): return Op::remove;
    case packed("-u"): return Op::before;
    case packed("+u"): return Op::after;
    case packed("u"):
    case packed("update"):
    case packed("upsert"): return Op::update;
    default: return Op::unknown;
  }
}

bool raw_key(const Type& type, const Array& a, int64_t i, Bytes& out) {
  if (a.is_null(i)) return false;
  if (type.dictionary) return raw_key(*type.dictionary, *a.dictionary, place_in_dictionary(type, a, i), out);
  if (type.kind == Kind::run_end) return raw_key(type.children[1], a.children[1], run_at(type, a, i, -1), out);
  out = bytes_at(type, a, i);
  return true;
}

bool integer_value(const Type& type, const Array& a, int64_t i, int64_t& out) {
  if (a.is_null(i)) return false;
  if (type.dictionary) return integer_value(*type.dictionary, *a.dictionary, place_in_dictionary(type, a, i), out);
  if (type.kind == Kind::run_end) return integer_value(type.children[1], a.children[1], run_at(type, a, i, -1), out);
  out = integer_at(type.kind, a, i);
  return true;
}

Op op_at(const Type& type, const Array& a, int64_t i) {
  Bytes b;
  if (!raw_key(type, a, i, b)) throw RowFailure{i, type.name, std::string("the operation is null; ") + words};
  const Op op = parse_op(b);
  if (op == Op::unknown) throw RowFailure{i, type.name, "\"" + shown(b) + "\" is no operation; " + words};
  return op;
}

int64_t weight_at(const Type& type, const Array& a, int64_t i, bool is_unsigned) {
  int64_t weight = 0;
  if (!integer_value(type, a, i, weight)) {
    throw RowFailure{i, type.name, "the weight is null; give a signed count: how often the row is inserted, or negative how often it is deleted"};
  }
  if (is_unsigned && weight < 0) {
    throw RowFailure{i, type.name, "very large weight " + std::to_string(static_cast<uint64_t>(weight)) + "; a weight has 64 bits and a sign"};
  }
  return weight;
}

}  // namespace penstock
