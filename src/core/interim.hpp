// insert_delete events and the two oldest kinds of keys, until their own files take over.
#pragma once

#include <cstring>
#include <memory>
#include <vector>

#include "format.hpp"
#include "json.hpp"
#include "select.hpp"

namespace penstock {

class InsertDelete : public Format {
 public:
  InsertDelete(const Type& schema, const std::vector<int>& columns) : rows_(schema, columns) {}
  void open(const Array& block) override { rows_.open(block); }
  bool value(Out& out, const Event& event) override {
    out.need(32);
    std::memcpy(out.p, event.change == Change::remove ? "{\"delete\":      " : "{\"insert\":      ", 16);
    out.p += 10;
    rows_.row(out, event.row);
    *out.p++ = '}';
    out.need(spare);
    return true;
  }

 private:
  RowEncoder rows_;
};

class InterimJsonKey : public KeyEncoder {
 public:
  InterimJsonKey(const Type& schema, const std::vector<int>& columns) : rows_(schema, columns) {}
  void open(const Array& block) override { rows_.open(block); }
  bool key(Out& out, const Event& event) override {
    rows_.row(out, event.row);
    return true;
  }

 private:
  RowEncoder rows_;
};

class InterimRawKey : public KeyEncoder {
 public:
  InterimRawKey(const Type& schema, int column) : type_(schema.children[static_cast<size_t>(column)]), column_(column) {}
  void open(const Array& block) override { array_ = &block.children[static_cast<size_t>(column_)]; }
  bool key(Out& out, const Event& event) override {
    Bytes b;
    if (!raw_key(type_, *array_, event.row, b)) return false;
    out.need(static_cast<size_t>(b.size) + Format::spare);
    if (b.size != 0) std::memcpy(out.p, b.data, static_cast<size_t>(b.size));
    out.p += b.size;
    return true;
  }

 private:
  const Type& type_;
  int column_;
  const Array* array_ = nullptr;
};

inline std::unique_ptr<Format> make_insert_delete(const Type& schema, const std::vector<int>& columns) {
  return std::make_unique<InsertDelete>(schema, columns);
}
inline std::unique_ptr<KeyEncoder> make_json_key(const Type& schema, const std::vector<int>& columns) {
  return std::make_unique<InterimJsonKey>(schema, columns);
}
inline std::unique_ptr<KeyEncoder> make_raw_key(const Type& schema, int column) {
  return std::make_unique<InterimRawKey>(schema, column);
}

}  // namespace penstock
