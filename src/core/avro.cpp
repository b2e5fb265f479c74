#include "avro.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <stdexcept>

#include "avro_node.hpp"
#include "json.hpp"
#include "number.hpp"
#include "sixteen.hpp"
#include "text.hpp"
#include "variant.hpp"

namespace penstock {

namespace {

using avro::Encoded;
using avro::Node;
using avro::Step;

constexpr size_t most_dictionary_bytes = size_t{16} << 20;  // of encoded values that are kept

// Stored as the machine has them: both of ours, x86-64 and arm64, are little-endian.
inline uint8_t* put_long(uint8_t* p, int64_t v) {
  uint64_t z = (static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63);
  if (z < (uint64_t{1} << 56)) {
    // Seven bits a byte without a loop, since the number of bytes is anybody's guess; eight bytes are stored, the first count.
    const int more = (63 - __builtin_clzll(z | 1)) / 7;
    z = ((z & 0x00fffffff0000000ull) << 4) | (z & 0x000000000fffffffull);
    z = ((z & 0x0fffc0000fffc000ull) << 2) | (z & 0x00003fff00003fffull);
    z = ((z & 0x3f803f803f803f80ull) << 1) | (z & 0x007f007f007f007full);
    z |= 0x8080808080808080ull & ((uint64_t{1} << (8 * more)) - 1);
    std::memcpy(p, &z, 8);
    return p + more + 1;
  }
  while (z > 0x7f) {
    *p++ = static_cast<uint8_t>(z | 0x80);
    z >>= 7;
  }
  *p++ = static_cast<uint8_t>(z);
  return p;
}

template <typename T>
inline void put_raw(Out& out, T v) {
  std::memcpy(out.p, &v, sizeof v);
  out.p += sizeof v;
}

[[noreturn]] void outside_dictionary(const std::string& path, int64_t index, const Array& a) {
  throw EncodeFailure(path, "dictionary index " + std::to_string(index) + " is outside the dictionary of " +
                                std::to_string(a.dictionary->length) + " values");
}

// A string behind dictionaries and runs.
Bytes text_at(const Type& type, const Array& a, int64_t i, const std::string& path) {
  if (type.dictionary) {
    const int64_t index = integer_at(type.kind, a, i);
    if (index < 0 || index >= a.dictionary->length) outside_dictionary(path, index, a);
    return text_at(*type.dictionary, *a.dictionary, index, path);
  }
  if (type.kind == Kind::run_end) return text_at(type.children[1], a.children[1], run_at(type, a, i, -1), path);
  return bytes_at(type, a, i);
}

// Encodes records over the root of a schema; the format and the key are thin around it.
class Datum {
 public:
  Datum(const Type& schema, const AvroPlan& plan, std::string prefix) : prefix_(std::move(prefix)) {
    if (plan.form != AvroForm::record) throw std::invalid_argument("the Avro plan of a whole row is a record");
    root_.step = Step::record;
    root_.type = &schema;
    avro::add_fields(root_, plan, schema, "");
    reserve_ = prefix_.size() + root_.fixed + Format::spare;
  }

  void open(const Array& block) { avro::open_node(root_, block); }

  void write(Out& out, const Event& event) {
    out.need(reserve_);
    std::memcpy(out.p, prefix_.data(), prefix_.size());
    out.p += prefix_.size();
    event_ = &event;
    for (Node& field : root_.children) value(field, event.row, out);
  }

 private:
  void value(Node& n, int64_t i, Out& out);
  void plain(Node& n, int64_t i, Out& out);
  void special(Node& n, int64_t i, Out& out);
  void text(Node& n, const Bytes& b, Out& out);
  void string_of(const uint8_t* s, size_t size, Out& out);
  void decimal(Node& n, int64_t i, Out& out);
  void time(Node& n, int64_t v, Out& out);
  void from_dictionary(Node& n, int64_t i, Out& out);
  void other_dictionary(Node& n, int64_t index, Out& out);
  void array(Node& n, int64_t i, Out& out);
  void map(Node& n, int64_t i, Out& out);
  void fields(Node& n, int64_t i, Out& out);
  void image(Node& n, int64_t row, Out& out);
  void whole(const Node& n, int64_t v, Out& out);

  Node root_;
  std::string prefix_;
  size_t reserve_ = 0;  // room for the fixed parts of a whole row: what every value leaves behind for its successors
  const Event* event_ = nullptr;
};

[[noreturn]] void no_null(const Node& n) {
  throw EncodeFailure(n.path, "the value is null, and the Avro schema has no null here; make it a union with \"null\", or fill the nulls");
}

inline void Datum::value(Node& n, int64_t i, Out& out) {
  if (n.step >= Step::constant) return special(n, i, out);
  const Array& a = *n.array;
  if (n.in_union) {
    const bool null = a.is_null(i) || (n.step == Step::nothing);
    *out.p = null ? n.null_byte : n.value_byte;
    // Behind a dictionary or runs the value itself says which branch it is.
    if (null) {
      ++out.p;
      return;
    }
    out.p += n.step > Step::run_end ? 1 : 0;
  } else if (a.is_null(i)) {
    no_null(n);
  }
  switch (n.step) {
    case Step::int32:
      out.p = put_long(out.p, a.at<int32_t>(i));
      return;
    case Step::int64:
      out.p = put_long(out.p, a.at<int64_t>(i));
      return;
    case Step::double_: return put_raw(out, a.at<double>(i));
    case Step::boolean: {
      const int64_t at = a.offset + i;
      *out.p++ = static_cast<uint8_t>((a.values[at >> 3] >> (at & 7)) & 1);
      return;
    }
    case Step::text: return text(n, bytes_at(*n.type, a, i), out);
    case Step::decimal16: {
      uint64_t half[2];
      std::memcpy(half, a.values + (a.offset + i) * 16, 16);
      *out.p++ = 32;
      put_raw(out, __builtin_bswap64(half[1]));
      return put_raw(out, __builtin_bswap64(half[0]));
    }
    case Step::timestamp: {
      const auto v = a.at<int64_t>(i);
      if (n.times == 1) {  // toward zero, as the connector does
        out.p = put_long(out.p, n.over == 1000 ? v / 1000 : v / n.over);
        return;
      }
      int64_t product;
      if (__builtin_mul_overflow(v, n.times, &product)) {
        throw EncodeFailure(n.path, "the timestamp is out of the range of 64 bits in the schema's unit");
      }
      out.p = put_long(out.p, product);
      return;
    }
    case Step::dictionary: return from_dictionary(n, i, out);
    default: return plain(n, i, out);
  }
}

// An integer that may be too large for the schema.
void Datum::whole(const Node& n, int64_t v, Out& out) {
  if (v > n.most || v < 0) {
    throw EncodeFailure(n.path, std::to_string(static_cast<uint64_t>(v)) + " is above " + std::to_string(n.most) +
                                    ", the largest that the Avro schema's " + (n.most == INT32_MAX ? "int" : "long") +
                                    " holds; widen the schema or cast the column");
  }
  out.p = put_long(out.p, v);
}

// The kinds that are met less often, apart so that the ones above stay small.
void Datum::plain(Node& n, int64_t i, Out& out) {
  const Array& a = *n.array;
  switch (n.step) {
    case Step::nothing: return;
    case Step::run_end:
      n.run = run_at(*n.type, a, i, n.run);
      return value(n.children[0], n.run, out);
    case Step::int8: out.p = put_long(out.p, a.at<int8_t>(i)); return;
    case Step::int16: out.p = put_long(out.p, a.at<int16_t>(i)); return;
    case Step::uint8: out.p = put_long(out.p, a.at<uint8_t>(i)); return;
    case Step::uint16: out.p = put_long(out.p, a.at<uint16_t>(i)); return;
    case Step::uint32: return whole(n, a.at<uint32_t>(i), out);
    case Step::uint64: return whole(n, a.at<int64_t>(i), out);
    case Step::uint64_text: {
      char* const from = reinterpret_cast<char*>(out.p + 1);
      char* const to = write_uint(from, a.at<uint64_t>(i));
      *out.p = static_cast<uint8_t>(2 * (to - from));
      out.p = reinterpret_cast<uint8_t*>(to);
      return;
    }
    case Step::half_float: return put_raw(out, widen(a.at<uint16_t>(i)));
    case Step::half_double: return put_raw(out, static_cast<double>(widen(a.at<uint16_t>(i))));
    case Step::float_: return put_raw(out, a.at<float>(i));
    case Step::float_double: return put_raw(out, static_cast<double>(a.at<float>(i)));
    case Step::variant: {
      const Bytes b = bytes_at(*n.type, a, i);
      std::string why;
      n.scratch.clear();
      if (!rewrite_json(b.data, static_cast<size_t>(b.size), n.scratch, why)) throw EncodeFailure(n.path, why);
      return string_of(reinterpret_cast<const uint8_t*>(n.scratch.data()), n.scratch.size(), out);
    }
    case Step::uuid_text:
    case Step::uuid_binary:
    case Step::uuid_text_fixed: {
      const Bytes b = bytes_at(*n.type, a, i);
      uint8_t sixteen[16];
      if (n.step == Step::uuid_binary) {
        std::memcpy(sixteen, b.data, 16);
      } else if (!parse_uuid(b.data, static_cast<size_t>(b.size), sixteen)) {
        throw EncodeFailure(n.path, "the text is not a UUID of 32 hexadecimal digits");
      }
      if (n.step == Step::uuid_text_fixed) {
        std::memcpy(out.p, sixteen, 16);
        out.p += 16;
        return;
      }
      write_uuid(out.p, sixteen);  // between quotation marks: the length takes the place of the first
      *out.p = 2 * 36;
      out.p += 37;
      return;
    }
    case Step::bytes: {
      const Bytes b = bytes_at(*n.type, a, i);
      return string_of(b.data, static_cast<size_t>(b.size), out);
    }
    case Step::fixed: {
      const Bytes b = bytes_at(*n.type, a, i);
      if (b.size != n.plan.size) {
        throw EncodeFailure(n.path, "the value has " + std::to_string(b.size) + " bytes, the Avro schema's fixed holds " +
                                        std::to_string(n.plan.size));
      }
      out.need(static_cast<size_t>(b.size) + reserve_);
      if (b.size != 0) std::memcpy(out.p, b.data, static_cast<size_t>(b.size));
      out.p += b.size;
      return;
    }
    case Step::decimal: return decimal(n, i, out);
    case Step::date64: {
      const auto ms = a.at<int64_t>(i);
      const int64_t day = ms / 86400000 - (ms % 86400000 < 0 ? 1 : 0);
      if (day > INT32_MAX || day < INT32_MIN) throw EncodeFailure(n.path, "the date is beyond what 32 bits of days hold");
      out.p = put_long(out.p, day);
      return;
    }
    case Step::time: {
      const bool wide = n.type->kind == Kind::time_us || n.type->kind == Kind::time_ns;
      return time(n, wide ? a.at<int64_t>(i) : a.at<int32_t>(i), out);
    }
    case Step::array: return array(n, i, out);
    case Step::map: return map(n, i, out);
    case Step::record: return fields(n, a.offset + i, out);
    default: return;
  }
}

// What no column holds.
void Datum::special(Node& n, int64_t i, Out& out) {
  const auto letter = [&](size_t which) {
    *out.p++ = 2;
    *out.p++ = static_cast<uint8_t>(n.plan.bytes[which]);
  };
  switch (n.step) {
    case Step::constant:
      out.need(n.plan.bytes.size() + reserve_);
      if (!n.plan.bytes.empty()) std::memcpy(out.p, n.plan.bytes.data(), n.plan.bytes.size());
      out.p += n.plan.bytes.size();
      return;
    case Step::change: return letter(event_->change == Change::insert ? 0 : event_->change == Change::update ? 1 : 2);
    case Step::now: {
      if (n.in_union) *out.p++ = n.value_byte;
      const auto since = std::chrono::system_clock::now().time_since_epoch();
      out.p = put_long(out.p, std::chrono::duration_cast<std::chrono::milliseconds>(since).count());
      return;
    }
    case Step::group: return fields(n, i, out);
    case Step::before:
      return image(n, event_->change == Change::remove ? event_->row : event_->change == Change::update ? event_->before : -1, out);
    default: return image(n, event_->change == Change::remove ? -1 : event_->row, out);
  }
}

void Datum::image(Node& n, int64_t row, Out& out) {
  *out.p++ = row < 0 ? n.null_byte : n.value_byte;
  if (row >= 0) fields(n, row, out);
}

inline void Datum::text(Node& n, const Bytes& b, Out& out) {
  const auto size = static_cast<size_t>(b.size);
  if (size <= 16 && n.array->padded) {  // one load, no branch on the length; a leaf has room for it
    const Sixteen x = Sixteen::load(b.data);
    *out.p = static_cast<uint8_t>(2 * size);
    x.store(out.p + 1);
    out.p += size + 1;
    if (!x.high() || valid_utf8(b.data, size)) return;  // the high byte may be a neighbour's
  } else {
    string_of(b.data, size, out);
    if (valid_utf8(b.data, size)) return;
  }
  throw EncodeFailure(n.path, "the string is not valid UTF-8; a binary column may hold such bytes");
}

// Length and bytes: what Avro's string and bytes are.
void Datum::string_of(const uint8_t* s, size_t size, Out& out) {
  out.need(size + 16 + reserve_);
  out.p = put_long(out.p, static_cast<int64_t>(size));
  if (size != 0) std::memcpy(out.p, s, size);
  out.p += size;
}

void Datum::decimal(Node& n, int64_t i, Out& out) {
  const int width = n.type->width;
  Wide v = Wide::load(n.array->values + (n.array->offset + i) * width, width);
  const auto refuse = [&]() {
    const int32_t most = n.plan.precision;
    throw EncodeFailure(n.path, most > 0 ? "the decimal needs more than the " + std::to_string(most) + " digits (" + std::to_string(n.plan.scale) +
                                               " of them after the point) that the Avro schema allows; widen the schema or leave the column out"
                                         : "the decimal does not fit the bytes that its column type says");
  };
  if (n.plan.scale != n.type->scale && !v.multiply(n.plan.scale - n.type->scale)) refuse();
  if (n.plan.precision > 0 && !v.magnitude_below(n.limit)) refuse();
  const int least = v.bytes();
  const int size = n.plan.size == 0 ? least : n.plan.size;
  if (size < least) refuse();
  out.need(static_cast<size_t>(size) + 16 + reserve_);
  if (!n.plan.is_fixed) out.p = put_long(out.p, size);
  v.store(out.p, size);
  out.p += size;
}

void Datum::time(Node& n, int64_t v, Out& out) {
  if (v < 0 || v >= n.most) {
    throw EncodeFailure(n.path, "time " + std::to_string(v) + " lies outside a day; a time of day is from 00:00:00 to 23:59:59.999999999");
  }
  out.p = put_long(out.p, v * n.times / n.over);
}

inline void Datum::from_dictionary(Node& n, int64_t i, Out& out) {
  const Array& a = *n.array;
  const int64_t index = n.type->kind == Kind::int32 ? a.at<int32_t>(i) : integer_at(n.type->kind, a, i);
  if (static_cast<uint64_t>(index) < n.encoded.slots.size()) {
    const Encoded::Slot& known = n.encoded.slots[static_cast<size_t>(index)];
    if (known.size <= sizeof known.text) {
      std::memcpy(out.p, known.text, sizeof known.text);  // a constant size is a few loads and stores
      out.p += known.size;
      return;
    }
  }
  other_dictionary(n, index, out);
}

// A value that is long, or not encoded yet, or not worth keeping.
void Datum::other_dictionary(Node& n, int64_t index, Out& out) {
  if (index < 0 || index >= n.array->dictionary->length) outside_dictionary(n.path, index, *n.array);
  Encoded& known = n.encoded;
  const auto at = static_cast<size_t>(index);
  if (at >= known.slots.size() || (known.slots[at].size == Encoded::none && known.bytes > most_dictionary_bytes)) {
    out.need(n.children[0].fixed + reserve_);
    return value(n.children[0], index, out);
  }
  Encoded::Slot& slot = known.slots[at];
  if (slot.size == Encoded::none) {
    std::string text;
    StringOut to(text);
    to.need(n.children[0].fixed + reserve_);
    value(n.children[0], index, to);
    to.finish();
    known.bytes += text.size() + sizeof slot;
    if (text.size() <= sizeof slot.text) {
      std::memcpy(slot.text, text.data(), text.size());
      slot.size = static_cast<uint8_t>(text.size());
      std::memcpy(out.p, slot.text, sizeof slot.text);
      out.p += slot.size;
      return;
    }
    const size_t place = known.values.size();
    known.values.push_back(std::move(text));
    std::memcpy(slot.text, &place, sizeof place);
    slot.size = Encoded::apart;
  }
  size_t place;
  std::memcpy(&place, slot.text, sizeof place);
  const std::string& text = known.values[place];
  out.need(text.size() + reserve_);
  std::memcpy(out.p, text.data(), text.size());
  out.p += text.size();
}

void Datum::array(Node& n, int64_t i, Out& out) {
  const Span span = span_at(*n.type, *n.array, i);
  Node& item = n.children[0];
  if (span.count != 0) out.p = put_long(out.p, span.count);
  for (int64_t k = 0; k < span.count; ++k) {
    out.need(item.fixed + reserve_);
    value(item, span.from + k, out);
  }
  out.need(16 + reserve_);
  *out.p++ = 0;
}

void Datum::map(Node& n, int64_t i, Out& out) {
  const Span span = span_at(*n.type, *n.array, i);
  const Array& entries = n.array->children[0];
  const Array& keys = entries.children[0];
  const Type& key_type = n.type->children[0].children[0];
  // Entries are a struct: its own offset applies to keys and values.
  const int64_t from = entries.offset + span.from;
  auto order = std::move(n.order);  // a map inside this map must not find it in use
  order.clear();
  for (int64_t k = from; k < from + span.count; ++k) {
    if (stands_for_null(key_type, keys, k)) throw EncodeFailure(n.path, "a map's key is null; Avro needs a string");
    order.emplace_back(text_at(key_type, keys, k, n.path), k);
    const Bytes& key = order.back().first;
    if (!valid_utf8(key.data, static_cast<size_t>(key.size))) throw EncodeFailure(n.path, "a map's key is not valid UTF-8");
  }
  std::stable_sort(order.begin(), order.end(), [](const auto& x, const auto& y) {
    const int64_t shared = std::min(x.first.size, y.first.size);
    const int way = shared == 0 ? 0 : std::memcmp(x.first.data, y.first.data, static_cast<size_t>(shared));
    return way != 0 ? way < 0 : x.first.size < y.first.size;
  });
  if (span.count != 0) out.p = put_long(out.p, span.count);
  for (const auto& [key, k] : order) {
    string_of(key.data, static_cast<size_t>(key.size), out);
    out.need(n.children[0].fixed + reserve_);
    value(n.children[0], k, out);
  }
  out.need(16 + reserve_);
  *out.p++ = 0;
  n.order = std::move(order);
}

void Datum::fields(Node& n, int64_t i, Out& out) {
  for (Node& field : n.children) {
    out.need(field.fixed + reserve_);
    value(field, i, out);
  }
}

class AvroFormat : public Format {
 public:
  AvroFormat(const Type& schema, const AvroOptions& options)
      : datum_(schema, options.value, options.prefix), op_header_(options.op_header), tombstones_(options.tombstones) {}

  void open(const Array& block) override { datum_.open(block); }

  bool value(Out& out, const Event& event) override {
    if (tombstones_ && event.change == Change::remove) return false;
    datum_.write(out, event);
    return true;
  }

  std::string_view op(const Event& event) const override {
    if (!op_header_) return {};
    return event.change == Change::insert ? "insert" : event.change == Change::update ? "update" : "delete";
  }

 private:
  Datum datum_;
  bool op_header_;
  bool tombstones_;
};

class AvroKey : public KeyEncoder {
 public:
  AvroKey(const Type& schema, const AvroPlan& plan, const std::string& prefix) : datum_(schema, plan, prefix) {}

  void open(const Array& block) override { datum_.open(block); }

  bool key(Out& out, const Event& event) override {
    datum_.write(out, event);
    return true;
  }

 private:
  Datum datum_;
};

}  // namespace

std::unique_ptr<Format> make_avro(const Type& schema, const AvroOptions& options) { return std::make_unique<AvroFormat>(schema, options); }

std::unique_ptr<KeyEncoder> make_avro_key(const Type& schema, const AvroPlan& plan, const std::string& prefix) {
  return std::make_unique<AvroKey>(schema, plan, prefix);
}

}  // namespace penstock
