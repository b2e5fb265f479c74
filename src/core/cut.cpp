#include "cut.hpp"

#include <algorithm>
#include <cstring>

namespace penstock {

namespace {

bool can_be_cut(const Type& type) {
  if (type.dictionary || type.meaning != Meaning::plain) return false;
  return type.is_string() || type.kind == Kind::binary || type.kind == Kind::large_binary || type.kind == Kind::binary_view;
}

int32_t whole_characters(const Bytes& b, int32_t length) {
  while (length > 0 && (b.data[length] & 0xc0) == 0x80) --length;
  return length;
}

}  // namespace

Cutter::Cutter(const Type& schema, const std::vector<int>& columns) : schema_(schema) {
  for (const int column : columns) {
    if (can_be_cut(schema.children[static_cast<size_t>(column)])) columns_.push_back(static_cast<size_t>(column));
  }
  places_.resize(columns_.size());
}

int64_t Cutter::open(const Array& block, int64_t row) {
  block_ = &block;
  row_ = row;
  array_ = block;
  int64_t most = 0;
  for (const size_t c : columns_) {
    if (!block.children[c].is_null(row)) most = std::max(most, bytes_at(schema_.children[c], block.children[c], row).size);
  }
  return most;
}

const Array& Cutter::cut(int64_t length) {
  for (size_t k = 0; k < columns_.size(); ++k) {
    const Type& type = schema_.children[columns_[k]];
    const Array& from = block_->children[columns_[k]];
    if (from.is_null(row_)) continue;
    const Bytes b = bytes_at(type, from, row_);
    if (b.size <= length) {
      array_.children[columns_[k]] = from;
      continue;
    }
    auto size = static_cast<int32_t>(std::min<int64_t>(length, INT32_MAX));
    if (type.is_string()) size = whole_characters(b, size);
    Array& to = array_.children[columns_[k]];
    to.offset = -row_;  // its value is the first one
    to.validity = nullptr;
    to.values = places_[k].bytes;
    to.variadic = nullptr;
    uint8_t* const at = places_[k].bytes;
    std::memset(at, 0, sizeof places_[k].bytes);
    const bool view = type.kind == Kind::utf8_view || type.kind == Kind::binary_view;
    if (view && size <= 12) {
      std::memcpy(at, &size, 4);
      std::memcpy(at + 4, b.data, static_cast<size_t>(size));
      continue;
    }
    to.data = b.data;
    if (view) {
      std::memcpy(at, &size, 4);
      std::memcpy(at + 4, b.data, 4);
    } else if (type.width == 8) {
      const int64_t end = size;
      std::memcpy(at + 8, &end, 8);
    } else {
      std::memcpy(at + 4, &size, 4);
    }
  }
  return array_;
}

}  // namespace penstock
