// The order of a map's entries, and what a value is before it is spelled: null or not.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "json.hpp"
#include "number.hpp"

namespace penstock {

namespace {

template <typename T>
int three_way(T a, T b) {
  return a < b ? -1 : (b < a ? 1 : 0);
}

// Little-endian two's complement of `size` bytes.
int compare_integers(const uint8_t* x, const uint8_t* y, int size) {
  const int signs = three_way(static_cast<int8_t>(x[size - 1]), static_cast<int8_t>(y[size - 1]));
  if (signs != 0) return signs;
  for (int k = size - 1; k-- > 0;) {
    if (x[k] != y[k]) return three_way(x[k], y[k]);
  }
  return 0;
}

}  // namespace

bool stands_for_null(const Type& type, const Array& a, int64_t i) {
  if (a.is_null(i)) return true;
  if (type.dictionary) {
    const int64_t index = integer_at(type.kind, a, i);
    if (index < 0 || index >= a.dictionary->length) return false;  // refused where it is encoded
    return stands_for_null(*type.dictionary, *a.dictionary, index);
  }
  if (type.kind == Kind::run_end) return stands_for_null(type.children[1], a.children[1], run_at(type, a, i, -1));
  return type.kind == Kind::null;
}

int compare_keys(const Type& type, const Array& a, int64_t i, int64_t j) {
  if (type.dictionary) {
    const int64_t x = integer_at(type.kind, a, i);
    const int64_t y = integer_at(type.kind, a, j);
    const int64_t values = a.dictionary->length;
    // Refused where they are encoded; until then any order will do.
    if (x == y || std::min(x, y) < 0 || std::max(x, y) >= values) return three_way(x, y);
    return compare_keys(*type.dictionary, *a.dictionary, x, y);
  }
  switch (type.kind) {
    case Kind::boolean: {
      const auto bit = [&](int64_t k) { return (a.values[(a.offset + k) >> 3] >> ((a.offset + k) & 7)) & 1; };
      return bit(i) - bit(j);
    }
    case Kind::int8:
    case Kind::int16:
    case Kind::int32:
    case Kind::int64:
    case Kind::uint8:
    case Kind::uint16:
    case Kind::uint32: return three_way(integer_at(type.kind, a, i), integer_at(type.kind, a, j));
    case Kind::uint64: return three_way(a.at<uint64_t>(i), a.at<uint64_t>(j));
    case Kind::decimal32:
    case Kind::decimal64:
    case Kind::decimal128:
    case Kind::decimal256: return compare_integers(a.values + (a.offset + i) * type.width, a.values + (a.offset + j) * type.width, type.width);
    case Kind::float16: return three_way(widen(a.at<uint16_t>(i)), widen(a.at<uint16_t>(j)));
    case Kind::float32: return three_way(a.at<float>(i), a.at<float>(j));
    case Kind::float64: return three_way(a.at<double>(i), a.at<double>(j));
    case Kind::date32:
    case Kind::time_s:
    case Kind::time_ms: return three_way(a.at<int32_t>(i), a.at<int32_t>(j));
    case Kind::date64:
    case Kind::time_us:
    case Kind::time_ns:
    case Kind::timestamp: return three_way(a.at<int64_t>(i), a.at<int64_t>(j));
    case Kind::run_end: return compare_keys(type.children[1], a.children[1], run_at(type, a, i, -1), run_at(type, a, j, -1));
    default: {
      const Bytes x = bytes_at(type, a, i);
      const Bytes y = bytes_at(type, a, j);
      const int64_t shared = std::min(x.size, y.size);
      const int order = shared == 0 ? 0 : std::memcmp(x.data, y.data, static_cast<size_t>(shared));
      return order != 0 ? order : three_way(x.size, y.size);
    }
  }
}

}  // namespace penstock
