// Arrow as the core sees it: a Type tree made once per schema, and Arrays of plain pointers over somebody else's memory.
//
// A Type is what a schema says of one column (and of its children); an Array is one column's buffers for one block of rows.
// An Array owns nothing: the memory is the caller's (imported through the Arrow C data interface) or the arena's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

// The Arrow C data interface, as its specification lays it out.
extern "C" {
#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE
struct ArrowSchema {
  const char* format;
  const char* name;
  const char* metadata;
  int64_t flags;
  int64_t n_children;
  struct ArrowSchema** children;
  struct ArrowSchema* dictionary;
  void (*release)(struct ArrowSchema*);
  void* private_data;
};
struct ArrowArray {
  int64_t length;
  int64_t null_count;
  int64_t offset;
  int64_t n_buffers;
  int64_t n_children;
  const void** buffers;
  struct ArrowArray** children;
  struct ArrowArray* dictionary;
  void (*release)(struct ArrowArray*);
  void* private_data;
};
#endif
}

namespace penstock {

enum class Kind : uint8_t {
  null, boolean, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float16, float32, float64,
  decimal32, decimal64, decimal128, decimal256, utf8, large_utf8, utf8_view, binary, large_binary, binary_view, fixed_binary,
  date32, date64, time_s, time_ms, time_us, time_ns, timestamp,
  list, large_list, list_view, large_list_view, fixed_list, structure, map, run_end,
  unsupported,  // durations, intervals, unions: known to Arrow, without a form in our formats
};

// What the values mean beyond their storage: the field's extension type or its `sql_type` metadata.
enum class Meaning : uint8_t { plain, variant, uuid };

enum class Unit : uint8_t { s, ms, us, ns };

struct Type {
  Kind kind = Kind::unsupported;
  Meaning meaning = Meaning::plain;
  Unit unit = Unit::s;
  bool zoned = false;     // timestamp with a time zone
  int32_t scale = 0;      // decimals
  int32_t width = 0;      // bytes of a fixed_binary, length of a fixed_list, bytes of a fixed-width value
  std::string format;     // the C data interface's own spelling, for errors
  std::string name;
  std::vector<Type> children;        // struct fields; a list's item; a map's entries; run_end: run ends, values
  std::shared_ptr<Type> dictionary;  // the value type; `kind` is then that of the indices

  bool is_string() const { return kind == Kind::utf8 || kind == Kind::large_utf8 || kind == Kind::utf8_view; }
  bool is_integer() const { return kind >= Kind::int8 && kind <= Kind::uint64; }
};

// `format` as in the C data interface; children and dictionary are added by the caller.
Type make_type(const std::string& format, const std::string& name, const std::string& extension, const std::string& sql_type);

// The type of the values behind dictionaries and runs.
inline const Type& value_type(const Type& type) {
  if (type.dictionary) return value_type(*type.dictionary);
  return type.kind == Kind::run_end ? value_type(type.children[1]) : type;
}

struct Array {
  int64_t length = 0;
  int64_t first = 0;                 // values below are not there: a block holds [first, length) of a column
  int64_t offset = 0;                // value i stands at position offset + i of the buffers
  const uint8_t* validity = nullptr; // nullptr: no nulls
  const uint8_t* values = nullptr;   // fixed-width values, offsets, views, list offsets
  const uint8_t* data = nullptr;     // bytes of strings; sizes of list views
  const uint8_t* const* variadic = nullptr;  // data buffers of string views; nullptr in a block, which has one: `data`
  bool padded = false;               // in a block: 16 bytes may be read from the start of any value, however short it is
  uint64_t dictionary_id = 0;        // equal ids: the same dictionary, whose encoded values may be kept
  std::vector<Array> children;
  std::shared_ptr<Array> dictionary;

  bool is_null(int64_t i) const {
    const int64_t at = offset + i;
    return validity != nullptr && ((validity[at >> 3] >> (at & 7)) & 1) == 0;
  }
  template <typename T>
  T at(int64_t i) const {
    T value;
    __builtin_memcpy(&value, values + (offset + i) * static_cast<int64_t>(sizeof(T)), sizeof(T));
    return value;
  }
};

// One string or binary value.
struct Bytes {
  const uint8_t* data;
  int64_t size;
};

inline Bytes bytes_at(const Type& type, const Array& a, int64_t i) {
  switch (type.kind) {
    case Kind::utf8:
    case Kind::binary: {
      const int32_t from = a.at<int32_t>(i);
      return {a.data + from, a.at<int32_t>(i + 1) - from};
    }
    case Kind::large_utf8:
    case Kind::large_binary: {
      const int64_t from = a.at<int64_t>(i);
      return {a.data + from, a.at<int64_t>(i + 1) - from};
    }
    case Kind::utf8_view:
    case Kind::binary_view: {
      const uint8_t* at = a.values + (a.offset + i) * 16;
      int32_t size;
      __builtin_memcpy(&size, at, 4);
      if (size <= 12) return {at + 4, size};
      if (a.variadic == nullptr) {  // in a block the last 8 bytes are one position: its text may be larger than 2 GiB
        int64_t position;
        __builtin_memcpy(&position, at + 8, 8);
        return {a.data + position, size};
      }
      int32_t ref[2];
      __builtin_memcpy(ref, at + 8, 8);
      return {a.variadic[ref[0]] + ref[1], size};
    }
    default:  // fixed_binary
      return {a.values + (a.offset + i) * type.width, type.width};
  }
}

// First child position and count of list value i, for every kind of list and map.
struct Span {
  int64_t from;
  int64_t count;
};
inline Span span_at(const Type& type, const Array& a, int64_t i) {
  switch (type.kind) {
    case Kind::list:
    case Kind::map: {
      const int32_t from = a.at<int32_t>(i);
      return {from, a.at<int32_t>(i + 1) - from};
    }
    case Kind::large_list: {
      const int64_t from = a.at<int64_t>(i);
      return {from, a.at<int64_t>(i + 1) - from};
    }
    case Kind::list_view: {
      int32_t count;
      __builtin_memcpy(&count, a.data + (a.offset + i) * 4, 4);
      return {a.at<int32_t>(i), count};
    }
    case Kind::large_list_view: {
      int64_t count;
      __builtin_memcpy(&count, a.data + (a.offset + i) * 8, 8);
      return {a.at<int64_t>(i), count};
    }
    default:  // fixed_list
      return {(a.offset + i) * type.width, type.width};
  }
}

// An integer column's value, whatever its width; indices of a dictionary and run ends included.
inline int64_t integer_at(Kind kind, const Array& a, int64_t i) {
  switch (kind) {
    case Kind::int8: return a.at<int8_t>(i);
    case Kind::int16: return a.at<int16_t>(i);
    case Kind::int32: return a.at<int32_t>(i);
    case Kind::int64: return a.at<int64_t>(i);
    case Kind::uint8: return a.at<uint8_t>(i);
    case Kind::uint16: return a.at<uint16_t>(i);
    case Kind::uint32: return a.at<uint32_t>(i);
    default: return static_cast<int64_t>(a.at<uint64_t>(i));
  }
}

// Position among the runs of the run that holds value i. `hint`: where to look first (rows come in order).
int64_t run_at(const Type& type, const Array& a, int64_t i, int64_t hint);

// Pointers into an imported array; `source` must outlive the result.
Array import_array(const Type& type, const ArrowArray& source);

// How many dictionaries the tree holds outside of other dictionaries, in depth-first order.
void list_dictionaries(const Type& type, Array& a, std::vector<std::pair<const Type*, Array*>>& out);

// True when both surely hold the same values; nested and view types are never taken for the same.
bool same_values(const Type& type, const Array& a, const Array& b);

}  // namespace penstock
