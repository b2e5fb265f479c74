// Raw keys, until their own file takes over.
#pragma once

#include <cstring>
#include <memory>
#include <vector>

#include "format.hpp"
#include "select.hpp"

namespace penstock {

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

inline std::unique_ptr<KeyEncoder> make_raw_key(const Type& schema, int column) {
  return std::make_unique<InterimRawKey>(schema, column);
}

}  // namespace penstock
