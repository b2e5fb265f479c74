#include "protobuf.hpp"

#include <algorithm>

#include "decimal.hpp"
#include "number.hpp"
#include "protobuf_node.hpp"
#include "variant.hpp"

namespace penstock {

namespace protobuf {

namespace {

constexpr size_t most_dictionary_bytes = size_t{16} << 20;  // as for JSON
constexpr size_t pad = 16;                                  // bytes that may be copied from behind a kept value

inline size_t varint_size(uint64_t v) { return (static_cast<size_t>(63 - __builtin_clzll(v | 1)) * 9 + 73) / 64; }

inline void put_tag(const Node& n, Out& out) {
  std::memcpy(out.p, n.tag, 8);  // a constant size is one store; what is too much is written over
  out.p += n.tag_size;
}

inline void put_bits(Wire wire, uint64_t bits, Out& out) {
  switch (wire) {
    case Wire::fixed32:
      std::memcpy(out.p, &bits, 4);
      out.p += 4;
      return;
    case Wire::fixed64:
      std::memcpy(out.p, &bits, 8);
      out.p += 8;
      return;
    default:
      out.p = write_varint(out.p, bits);
  }
}

std::string shown(const Bytes& b) {
  constexpr int64_t most = 200;
  return std::string(reinterpret_cast<const char*>(b.data), static_cast<size_t>(std::min(b.size, most)));
}

class ProtobufFormat final : public Format {
 public:
  ProtobufFormat(const Type& schema, const ProtobufOptions& options) : prefix_(options.prefix) {
    reserve_ = spare + prefix_.size() + 16;
    for (const ProtobufField& field : options.fields) {
      const Type& type = schema.children.at(static_cast<size_t>(field.column));
      nodes_.push_back(make_node(field, type, type.name));
      reserve_ += total_room(nodes_.back());
    }
  }

  void open(const Array& block) override {
    for (Node& n : nodes_) open_node(n, block.children[static_cast<size_t>(n.column)]);
  }

  bool value(Out& out, const Event& event) override {
    out.need(reserve_);
    std::memcpy(out.p, prefix_.data(), prefix_.size());
    out.p += prefix_.size();
    fields(nodes_, event.row, event.row, out);
    return true;
  }

  std::string_view op(const Event& event) const override {
    switch (event.change) {
      case Change::insert: return "insert";
      case Change::remove: return "delete";
      default: return "update";
    }
  }

 private:
  // What was written lies at another address after growing; positions taken before stay comparable with those taken after.
  void need(Out& out, size_t room) {
    if (static_cast<size_t>(out.end - out.p) >= room) return;
    const auto before = reinterpret_cast<uintptr_t>(out.p);
    out.grow(out, room);
    moved_ += reinterpret_cast<uintptr_t>(out.p) - before;
  }
  uintptr_t position(const Out& out) const { return reinterpret_cast<uintptr_t>(out.p) - moved_; }

  // `inner`: where the struct's fields stand; `own`: where the message's own column does.
  void fields(std::vector<Node>& nodes, int64_t inner, int64_t own, Out& out) {
    uint64_t seen = 0;
    for (Node& n : nodes) {
      if (!field(n, n.column < 0 ? own : inner, out)) {
        if (n.required) throw EncodeFailure(n.path, "the value is null, and the field is required; give a value, or make the field optional");
        continue;
      }
      if (n.oneof < 0) continue;
      const uint64_t bit = uint64_t{1} << n.oneof;
      if ((seen & bit) != 0) throw EncodeFailure(n.path, "another field of the same oneof has a value too; leave null all but one");
      seen |= bit;
    }
  }

  // The field with its tag. False: the value is null, and nothing was written.
  bool field(Node& n, int64_t i, Out& out) {
    if (n.outer->is_null(i)) return false;
    if (n.levels.empty()) {
      tagged(n, i, out);
      return true;
    }
    if (n.levels[0].type->dictionary) return from_dictionary(n, i, out);
    const int64_t at = locate(n, 0, *n.outer, i);
    if (at < 0) return false;
    tagged(n, at, out);
    return true;
  }

  // Where value i of level `from` stands in n.array; -1: it is null.
  static int64_t locate(Node& n, size_t from, const Array& outer, int64_t i) {
    const Array* a = &outer;
    if (a->is_null(i)) return -1;
    for (size_t k = from; k < n.levels.size(); ++k) {
      Level& level = n.levels[k];
      i = level.type->dictionary ? index_at(n, level, *a, i) : (level.run = run_at(*level.type, *a, i, level.run));
      a = level.values;
      if (a->is_null(i)) return -1;
    }
    return i;
  }

  static int64_t index_at(const Node& n, const Level& level, const Array& a, int64_t i) {
    const int64_t index = integer_at(level.type->kind, a, i);
    if (index >= 0 && index < level.values->length) return index;
    throw EncodeFailure(n.path, "dictionary index " + std::to_string(index) + " is outside the dictionary of " +
                                    std::to_string(level.values->length) + " values");
  }

  bool from_dictionary(Node& n, int64_t i, Out& out) {
    const int64_t index = index_at(n, n.levels[0], *n.outer, i);
    Kept& kept = n.kept;
    const auto at = static_cast<size_t>(index);
    const bool keeps = at < kept.places.size();
    using State = Kept::Place::State;
    if (!keeps || kept.places[at].state == State::unknown) {
      const int64_t found = locate(n, 1, *n.levels[0].values, index);
      const uintptr_t start = position(out);
      if (found >= 0) tagged(n, found, out);
      const size_t size = position(out) - start;
      if (keeps && kept.bytes.size() + size <= most_dictionary_bytes) {
        if (kept.bytes.empty()) kept.bytes.resize(pad);
        const size_t old = kept.bytes.size() - pad;
        kept.bytes.resize(old + size + pad);
        if (size != 0) std::memcpy(&kept.bytes[old], out.p - size, size);
        kept.places[at] = {static_cast<uint32_t>(old), static_cast<uint32_t>(size), found < 0 ? State::null : State::written};
      }
      return found >= 0;
    }
    const Kept::Place& place = kept.places[at];
    need(out, place.size + pad + reserve_);
    const char* const from = kept.bytes.data() + place.start;
    if (place.size <= pad) {
      std::memcpy(out.p, from, pad);
    } else {
      std::memcpy(out.p, from, place.size);
    }
    out.p += place.size;
    return place.state == State::written;
  }

  // Tag and value i of n.array, which is not null.
  void tagged(Node& n, int64_t i, Out& out) {
    switch (n.form) {
      case Form::boolean:
      case Form::integer:
      case Form::unsigned64:
      case Form::half:
      case Form::real32:
      case Form::real64:
      case Form::symbol: {
        const uint64_t v = bits(n, i);
        if (n.implicit && v == 0) return;
        put_tag(n, out);
        return put_bits(n.wire, v, out);
      }
      case Form::text: return text(n, i, out);
      case Form::bytes: {
        const Bytes b = bytes_at(*n.type, *n.array, i);
        return delimited(n, b.data, static_cast<size_t>(b.size), out);
      }
      case Form::message: {
        put_tag(n, out);
        *out.p++ = 0;
        const uintptr_t start = position(out);
        fields(n.children, n.array->offset + i, i, out);
        return end_length(start, out);
      }
      case Form::repeated: return repeated(n, i, out);
      case Form::packed: return packed(n, i, out);
      case Form::map: return map(n, i, out);
      case Form::timestamp: return timestamp(n, i, out);
      default: return spelled(n, i, out);
    }
  }

  // A number as its wire type holds it.
  uint64_t bits(Node& n, int64_t i) {
    const Array& a = *n.array;
    switch (n.form) {
      case Form::boolean: {
        const int64_t at = a.offset + i;
        return (a.values[at >> 3] >> (at & 7)) & 1;
      }
      case Form::real64: return a.at<uint64_t>(i);
      case Form::real32:
        if (n.wire == Wire::fixed32) return a.at<uint32_t>(i);
        return real(static_cast<double>(a.at<float>(i)));
      case Form::half: {
        const float v = widen(a.at<uint16_t>(i));
        if (n.wire == Wire::fixed64) return real(static_cast<double>(v));
        uint32_t word;
        std::memcpy(&word, &v, 4);
        return word;
      }
      case Form::symbol: return symbol(n, i);
      case Form::unsigned64: {
        const auto v = a.at<uint64_t>(i);
        if (n.checked && v > static_cast<uint64_t>(n.most)) outside(n, std::to_string(v));
        if (!n.numbers.empty()) known(n, static_cast<int64_t>(v));
        return n.zigzag ? v << 1 : v;
      }
      default: {
        int64_t v = integer_at(n.kind, a, i);
        if (n.type->kind == Kind::date64) v = v / 86400000 - (v % 86400000 < 0 ? 1 : 0);
        if (n.checked && (v < n.least || v > n.most)) outside(n, std::to_string(v));
        if (!n.numbers.empty()) known(n, v);
        const auto word = static_cast<uint64_t>(v);
        return n.zigzag ? (word << 1) ^ (v < 0 ? ~uint64_t{0} : 0) : word;
      }
    }
  }

  static uint64_t real(double v) {
    uint64_t word;
    std::memcpy(&word, &v, 8);
    return word;
  }

  [[noreturn]] static void outside(const Node& n, const std::string& value) {
    const std::string most = n.as_unsigned ? std::to_string(UINT64_MAX) : std::to_string(n.most);
    throw EncodeFailure(n.path, value + " is outside the range of the field, " + std::to_string(n.least) + " to " + most);
  }

  static void known(const Node& n, int64_t v) {
    if (std::binary_search(n.numbers.begin(), n.numbers.end(), v)) return;
    throw EncodeFailure(n.path, std::to_string(v) + " is no number of the field's enum, which takes no others");
  }

  static uint64_t symbol(const Node& n, int64_t i) {
    const Bytes b = bytes_at(*n.type, *n.array, i);
    const auto found = n.symbols->numbers.find(std::string_view(reinterpret_cast<const char*>(b.data), static_cast<size_t>(b.size)));
    if (found == n.symbols->numbers.end()) throw EncodeFailure(n.path, "\"" + shown(b) + "\" is no name of the field's enum");
    return static_cast<uint64_t>(static_cast<int64_t>(found->second));
  }

  // Tag, length and bytes.
  void delimited(const Node& n, const uint8_t* data, size_t size, Out& out) {
    if (n.implicit && size == 0) return;
    need(out, size + 32 + reserve_);
    put_tag(n, out);
    out.p = write_varint(out.p, size);
    if (size != 0) std::memcpy(out.p, data, size);
    out.p += size;
  }

  void text(const Node& n, int64_t i, Out& out) {
    const Bytes b = bytes_at(*n.type, *n.array, i);
    const auto size = static_cast<size_t>(b.size);
    bool valid;
    if (size <= 16 && n.array->padded) {  // one load and store, whatever the length
      if (n.implicit && size == 0) return;
      need(out, 48 + reserve_);
      uint64_t words[2];
      std::memcpy(words, b.data, 16);
      put_tag(n, out);
      *out.p++ = static_cast<uint8_t>(size);
      std::memcpy(out.p, words, 16);
      out.p += size;
      // The high byte may be a neighbour's: only then is it worth looking closer.
      valid = ((words[0] | words[1]) & 0x8080808080808080ull) == 0 || valid_utf8(b.data, size);
    } else {
      delimited(n, b.data, size, out);
      valid = valid_utf8(b.data, size);
    }
    if (!valid) throw EncodeFailure(n.path, "the string is not valid UTF-8; a field of type bytes may hold such bytes");
  }

  // Ends what began with a tag and one byte for its length.
  static void end_length(size_t size, uint8_t*& p) {
    const size_t more = varint_size(size) - 1;
    uint8_t* const start = p - size;
    if (more != 0) std::memmove(start + more, start, size);
    write_varint(start - 1, size);
    p += more;
  }
  void end_length(uintptr_t start, Out& out) const { end_length(static_cast<size_t>(position(out) - start), out.p); }

  // Values of other kinds as text.
  void spelled(Node& n, int64_t i, Out& out) {
    const Array& a = *n.array;
    uint8_t sixteen[16];
    switch (n.form) {
      case Form::decimal: {
        put_tag(n, out);
        ++out.p;
        char* const from = reinterpret_cast<char*>(out.p);
        char* const to = write_decimal(from, a.values + (a.offset + i) * n.type->width, n.type->width, n.type->scale);
        out.p = reinterpret_cast<uint8_t*>(to);
        return end_length(static_cast<size_t>(to - from), out.p);
      }
      case Form::uuid_text: return uuid(n, bytes_at(*n.type, a, i).data, out);
      case Form::uuid_of_text:
      case Form::sixteen_of_text: {
        const Bytes b = bytes_at(*n.type, a, i);
        if (!parse_uuid(b.data, static_cast<size_t>(b.size), sixteen)) {
          throw EncodeFailure(n.path, "the text is not a UUID of 32 hexadecimal digits");
        }
        if (n.form == Form::sixteen_of_text) return delimited(n, sixteen, sizeof sixteen, out);
        return uuid(n, sixteen, out);
      }
      case Form::variant: {
        const Bytes b = bytes_at(*n.type, a, i);
        std::string why;
        n.scratch.clear();
        if (!rewrite_json(b.data, static_cast<size_t>(b.size), n.scratch, why)) throw EncodeFailure(n.path, why);
        return delimited(n, reinterpret_cast<const uint8_t*>(n.scratch.data()), n.scratch.size(), out);
      }
      default: return calendar(n, i, out);
    }
  }

  static void uuid(const Node& n, const uint8_t* sixteen, Out& out) {
    put_tag(n, out);
    uint8_t text[64];
    write_uuid(text, sixteen);
    *out.p++ = 36;
    std::memcpy(out.p, text + 1, 36);
    out.p += 36;
  }

  // Days, times of day and timestamps in the spelling of the JSON format, at most 64 bytes.
  static void calendar(Node& n, int64_t i, Out& out) {
    const Array& a = *n.array;
    const int64_t v = integer_at(n.kind, a, i);
    char text[96];
    char* from = text;
    char* to = text;
    switch (n.type->kind) {
      case Kind::date32: to = write_day(text, v, *n.days); break;
      case Kind::date64: to = write_day(text, v / 86400000 - (v % 86400000 < 0 ? 1 : 0), *n.days); break;
      case Kind::timestamp:
        switch (n.type->unit) {
          case Unit::s: to = write_timestamp<1>(text, v, n.type->zoned, *n.days); break;
          case Unit::ms: to = write_timestamp<1000>(text, v, n.type->zoned, *n.days); break;
          case Unit::us: to = write_timestamp<1000000>(text, v, n.type->zoned, *n.days); break;
          default: to = write_timestamp<1000000000>(text, v, n.type->zoned, *n.days);
        }
        ++from;  // without the quotation marks
        --to;
        break;
      default: {
        const int64_t per_second = ticks(n.type->kind);
        if (v < 0 || v >= 86400 * per_second) {
          throw EncodeFailure(n.path, "time " + std::to_string(v) + " lies outside a day; a time of day is from 00:00:00 to 23:59:59.999999999");
        }
        to = write_clock(text, static_cast<uint32_t>(v / per_second), static_cast<uint32_t>(v % per_second * (1000000000 / per_second)));
      }
    }
    const auto size = static_cast<size_t>(to - from);
    put_tag(n, out);
    *out.p++ = static_cast<uint8_t>(size);
    std::memcpy(out.p, from, size);
    out.p += size;
  }

  static int64_t ticks(Kind kind) {
    switch (kind) {
      case Kind::time_s: return 1;
      case Kind::time_ms: return 1000;
      case Kind::time_us: return 1000000;
      default: return 1000000000;
    }
  }

  static int64_t ticks(Unit unit) {
    switch (unit) {
      case Unit::s: return 1;
      case Unit::ms: return 1000;
      case Unit::us: return 1000000;
      default: return 1000000000;
    }
  }

  static void timestamp(const Node& n, int64_t i, Out& out) {
    constexpr int64_t first = -62135596800;  // 0001-01-01
    constexpr int64_t last = 253402300799;   // 9999-12-31T23:59:59
    const auto v = n.array->at<int64_t>(i);
    const int64_t per_second = ticks(n.type->unit);
    int64_t second = v / per_second;
    int64_t rest = v % per_second;
    if (rest < 0) {
      rest += per_second;
      second -= 1;
    }
    if (second < first || second > last) {
      throw EncodeFailure(n.path, "the timestamp lies outside the years 1 to 9999 that a google.protobuf.Timestamp holds");
    }
    put_tag(n, out);
    uint8_t* const size = out.p++;
    if (second != 0) {
      *out.p++ = 0x08;
      out.p = write_varint(out.p, static_cast<uint64_t>(second));
    }
    if (rest != 0) {
      *out.p++ = 0x10;
      out.p = write_varint(out.p, static_cast<uint64_t>(rest * (1000000000 / per_second)));
    }
    *size = static_cast<uint8_t>(out.p - size - 1);
  }

  [[noreturn]] static void null_item(const Node& n) {
    throw EncodeFailure(n.path, "the value is null, and a repeated field or a map holds no nulls; fill it, or leave the item out");
  }

  void repeated(Node& n, int64_t i, Out& out) {
    const Span span = span_at(*n.type, *n.array, i);
    Node& item = n.children[0];
    for (int64_t k = span.from; k < span.from + span.count; ++k) {
      need(out, reserve_);
      if (!field(item, k, out)) null_item(item);
    }
  }

  void packed(Node& n, int64_t i, Out& out) {
    const Span span = span_at(*n.type, *n.array, i);
    if (span.count == 0) return;
    Node& item = n.children[0];
    const Array& items = *item.array;
    const bool as_stored = item.levels.empty() && items.validity == nullptr && !item.checked && item.numbers.empty() &&
                           item.type->width == (item.wire == Wire::fixed32 ? 4 : 8) && item.type->kind != Kind::date64;
    if (as_stored && item.wire != Wire::varint) {
      const int64_t width = item.type->width;
      return delimited(n, items.values + (items.offset + span.from) * width, static_cast<size_t>(span.count * width), out);
    }
    put_tag(n, out);
    *out.p++ = 0;
    const uintptr_t start = position(out);
    for (int64_t k = span.from; k < span.from + span.count; ++k) {
      need(out, reserve_);
      const int64_t at = locate(item, 0, *item.outer, k);
      if (at < 0) null_item(item);
      put_bits(item.wire, bits(item, at), out);
    }
    end_length(start, out);
  }

  void map(Node& n, int64_t i, Out& out) {
    const Span span = span_at(*n.type, *n.array, i);
    const int64_t from = n.array->children[0].offset + span.from;  // entries are a struct: its own offset applies to keys and values
    for (int64_t k = from; k < from + span.count; ++k) {
      need(out, reserve_);
      put_tag(n, out);
      *out.p++ = 0;
      const uintptr_t start = position(out);
      for (Node& part : n.children) {
        if (!field(part, k, out)) null_item(part);
      }
      end_length(start, out);
    }
  }

  std::string prefix_;
  std::vector<Node> nodes_;
  size_t reserve_ = 0;
  uintptr_t moved_ = 0;
};

}  // namespace

}  // namespace protobuf

std::unique_ptr<Format> make_protobuf(const Type& schema, const ProtobufOptions& options) {
  return std::make_unique<protobuf::ProtobufFormat>(schema, options);
}

}  // namespace penstock
