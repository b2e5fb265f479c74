// One column's values behind its dictionaries and runs, a row at a time: for what reads single columns (keys, headers, times).
#pragma once

#include <string>

#include "arrow.hpp"
#include "text.hpp"

namespace penstock {

// A value where it is stored: neither a dictionary's index nor a run.
struct Leaf {
  const Type* type;
  const Array* array;
  int64_t at;

  Bytes bytes() const { return bytes_at(*type, *array, at); }
  // Of an integer, date, time or timestamp, whatever its width.
  int64_t integer() const {
    switch (type->width) {
      case 1: return type->kind == Kind::uint8 ? array->at<uint8_t>(at) : array->at<int8_t>(at);
      case 2: return type->kind == Kind::uint16 ? array->at<uint16_t>(at) : array->at<int16_t>(at);
      case 4: return type->kind == Kind::uint32 ? static_cast<int64_t>(array->at<uint32_t>(at)) : array->at<int32_t>(at);
      default: return array->at<int64_t>(at);  // a uint64 too: its bits
    }
  }
};

// False: null, by its own validity or by that of what it stands for. `path` names the column in an error.
inline bool find_leaf(const Type& type, const Array& a, int64_t i, const std::string& path, Leaf& out) {
  if (type.kind == Kind::null || a.is_null(i)) return false;
  if (type.dictionary) {
    const int64_t index = integer_at(type.kind, a, i);
    if (index < 0 || index >= a.dictionary->length) {
      throw EncodeFailure(path, "dictionary index " + std::to_string(index) + " is outside the dictionary of " +
                                    std::to_string(a.dictionary->length) + " values");
    }
    return find_leaf(*type.dictionary, *a.dictionary, index, path, out);
  }
  if (type.kind == Kind::run_end) return find_leaf(type.children[1], a.children[1], run_at(type, a, i, -1), path, out);
  out = {&type, &a, i};
  return true;
}

// A column of a block. Runs are looked for where the last row was found.
class Leaves {
 public:
  Leaves(const Type& schema, int column) : type_(&schema.children[static_cast<size_t>(column)]), column_(static_cast<size_t>(column)) {}

  void open(const Array& block) {
    array_ = &block.children[column_];
    run_ = -1;
  }

  bool find(int64_t row, Leaf& out) {
    if (type_->kind != Kind::run_end) return find_leaf(*type_, *array_, row, type_->name, out);
    run_ = run_at(*type_, *array_, row, run_);
    return find_leaf(type_->children[1], array_->children[1], run_, type_->name, out);
  }

  const std::string& name() const { return type_->name; }
  const Type& type() const { return *type_; }

 private:
  const Type* type_;
  size_t column_;
  const Array* array_ = nullptr;
  int64_t run_ = -1;
};

}  // namespace penstock
