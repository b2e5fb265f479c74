#include "key.hpp"

#include <cstring>
#include <string>

#include "leaf.hpp"

namespace penstock {

namespace {

class RawKey final : public KeyEncoder {
 public:
  RawKey(const Type& schema, int column) : column_(schema, column) {}

  void open(const Array& block) override { column_.open(block); }

  bool key(Out& out, const Event& event) override {
    Leaf leaf;
    if (!column_.find(event.row, leaf)) return false;
    const Bytes b = leaf.bytes();
    out.need(static_cast<size_t>(b.size) + Format::spare);
    if (b.size != 0) std::memcpy(out.p, b.data, static_cast<size_t>(b.size));
    out.p += b.size;
    return true;
  }

 private:
  Leaves column_;
};

class BigEndianKey final : public KeyEncoder {
 public:
  BigEndianKey(const Type& schema, const std::vector<int>& columns) {
    for (const int c : columns) columns_.emplace_back(schema, c);
  }

  void open(const Array& block) override {
    for (Leaves& column : columns_) column.open(block);
  }

  bool key(Out& out, const Event& event) override {
    out.need(16 * columns_.size() + Format::spare);
    for (Leaves& column : columns_) {
      Leaf leaf;
      if (!column.find(event.row, leaf)) {
        if (columns_.size() == 1) return false;
        throw EncodeFailure(column.name(), "the value is null, and a big_endian key of several columns has a fixed width; "
                                           "fill the nulls, or use key_format=json");
      }
      put(column, leaf, out);
    }
    return true;
  }

 private:
  static void put(const Leaves& column, const Leaf& leaf, Out& out) {
    if (leaf.type->is_integer()) {
      const int width = leaf.type->width;
      const auto v = static_cast<uint64_t>(leaf.integer());
      for (int k = 0; k < width; ++k) out.p[k] = static_cast<uint8_t>(v >> (8 * (width - 1 - k)));
      out.p += width;
      return;
    }
    const Bytes b = leaf.bytes();
    if (leaf.type->kind == Kind::fixed_binary) {
      std::memcpy(out.p, b.data, 16);
    } else if (!parse_uuid(b.data, static_cast<size_t>(b.size), out.p)) {
      throw EncodeFailure(column.name(), "the text is not a UUID of 32 hexadecimal digits");
    }
    out.p += 16;
  }

  std::vector<Leaves> columns_;
};

}  // namespace

std::unique_ptr<KeyEncoder> make_raw_key(const Type& schema, int column) { return std::make_unique<RawKey>(schema, column); }

std::unique_ptr<KeyEncoder> make_big_endian_key(const Type& schema, const std::vector<int>& columns) {
  return std::make_unique<BigEndianKey>(schema, columns);
}

}  // namespace penstock
