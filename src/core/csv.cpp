#include "csv.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "csv_fields.hpp"
#include "datetime.hpp"
#include "decimal.hpp"
#include "json.hpp"
#include "number.hpp"
#include "text.hpp"
#include "variant.hpp"

namespace penstock {

namespace {

char* chars(uint8_t* p) { return reinterpret_cast<char*>(p); }
uint8_t* bytes(char* p) { return reinterpret_cast<uint8_t*>(p); }

// Space of our own, kept from row to row: where a value is made before it is known how it goes into the line.
struct Scratch : Out {
  std::vector<uint8_t> memory;
  Scratch() { grow = enlarge; }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  void clear() { p = memory.data(); }
  size_t size() const { return static_cast<size_t>(p - memory.data()); }

 private:
  static void enlarge(Out& out, size_t room) {
    auto& self = static_cast<Scratch&>(out);
    const size_t used = self.size();
    self.memory.resize(std::max(2 * self.memory.size(), used + room));
    out.p = self.memory.data() + used;
    out.end = self.memory.data() + self.memory.size();
  }
};

// A dictionary's value as it stands in a line, with the delimiters behind its fields. Copied whole: one load from a table instead
// of a walk to the value (16 random letters 9 ns, a dictionary of them 4 ns).
struct Slot {
  static constexpr uint8_t unknown = 255;
  static constexpr uint8_t elsewhere = 254;  // longer: `text` begins with its place in Texts::bytes, and its size, 4 bytes each
  char text[31];
  uint8_t size;
};

// Kept while blocks come with the same dictionary. Above these it is not worth it: the values hardly repeat within the rows of a
// block, and the memory would not be ours to take.
struct Texts {
  static constexpr size_t most_values = size_t{1} << 18;
  static constexpr size_t most_bytes = size_t{16} << 20;
  uint64_t id = 0;
  std::vector<Slot> slots;
  std::string bytes;
};

// What writes a column's values.
enum class Form : uint8_t { scalar, text, variant, uuid_text, dictionary, run, structure, fixed_list, byte_list, json, none };

struct alignas(64) Node {
  // What nearly every value needs, in one cache line; of the block that is open.
  const Array* array = nullptr;
  const uint8_t* validity = nullptr;
  int64_t offset = 0;
  const uint8_t* values = nullptr;
  const uint8_t* indices = nullptr;  // of a dictionary, where they have 32 bits and none is null: the usual case
  const Slot* slots = nullptr;       // of `texts`
  uint64_t n_slots = 0;
  Kind kind = Kind::null;
  Form form = Form::scalar;
  bool padded = false;

  const Type* type = nullptr;
  int64_t width = 1;    // fields of the line
  int decimals = 0;     // a float column's hint, see number.hpp
  int64_t run = -1;     // run_end: where the last row was found
  size_t fixed = 0;     // most bytes of its fields together, without the parts that ask for room themselves
  std::string path;     // for errors: address.street
  std::shared_ptr<DayTexts> days;     // of a column of dates or timestamps
  std::shared_ptr<RowEncoder> whole;  // Form::json: of this column alone
  std::vector<Node> children;
  Texts texts;
  std::string json;  // rewritten VARIANT text, reused
};

bool is_binary(const Type& t) {
  return t.kind == Kind::binary || t.kind == Kind::large_binary || t.kind == Kind::binary_view ||
         (t.kind == Kind::fixed_binary && t.meaning != Meaning::uuid);
}

bool is_nested(const Type& t) { return (t.kind >= Kind::list && t.kind <= Kind::map) || is_binary(t); }

// Most bytes of a scalar's text.
size_t scalar_room(const Type& t) {
  switch (t.kind) {
    case Kind::decimal32:
    case Kind::decimal64:
    case Kind::decimal128:
    case Kind::decimal256: return static_cast<size_t>(decimal_room(t.scale));
    case Kind::timestamp: return 80;
    default: return 48;
  }
}

class CsvFormat final : public Format {
 public:
  CsvFormat(const Type& schema, const CsvOptions& options) : options_(options), fields_(options) {
    reserve_ = spare + 64;  // the weight
    width_ = options.weight ? 1 : 0;
    for (const int c : options.columns) {
      const Type& type = schema.children[static_cast<size_t>(c)];
      columns_.push_back(options.nested_json && is_nested(value_type(type)) ? make_json(schema, c) : make_node(type, type.name));
      reserve_ += columns_.back().fixed;
      width_ += columns_.back().width;
    }
    fields_.fit(!options.weight && width_ == 1, reserve_);
  }

  void open(const Array& block) override {
    for (size_t c = 0; c < columns_.size(); ++c) {
      open_node(columns_[c], block.children[static_cast<size_t>(options_.columns[c])]);
      if (columns_[c].form == Form::json) columns_[c].whole->open(block);
    }
  }

  bool value(Out& out, const Event& event) override {
    const auto copies = static_cast<uint64_t>(event.weight);
    if (event.change == Change::update && event.before >= 0) {  // two lines: CSV has no word for an update
      line(out, event.before, true, copies);
      *out.p++ = '\n';
    }
    line(out, event.row, event.change == Change::remove, copies);
    return true;
  }

 private:
  Node make_node(const Type& type, const std::string& path) {
    Node n;
    n.type = &type;
    n.kind = type.kind;
    n.path = path;
    n.fixed = fields_.null_room();
    const auto child = [&](const Type& t, const std::string& at) {
      n.children.push_back(make_node(t, at));
      n.fixed += n.children.back().fixed;
    };
    if (type.dictionary) {
      n.form = Form::dictionary;
      child(*type.dictionary, path);
      n.fixed += sizeof(Slot);
      n.width = n.children[0].width;
    } else if (type.kind == Kind::run_end) {
      n.form = Form::run;
      child(type.children[1], path);
      n.width = n.children[0].width;
    } else if (type.kind == Kind::structure) {
      n.form = Form::structure;
      n.width = 0;
      for (const Type& field : type.children) {
        child(field, path + "." + field.name);
        n.width += n.children.back().width;
      }
    } else if (type.kind == Kind::fixed_list) {
      n.form = Form::fixed_list;
      child(type.children[0], path + "[]");
      n.width = type.width * n.children[0].width;
    } else if (type.kind == Kind::fixed_binary && type.meaning != Meaning::uuid) {
      n.form = Form::byte_list;
      n.width = type.width;
    } else if (type.is_string()) {
      n.form = type.meaning == Meaning::variant ? Form::variant : type.meaning == Meaning::uuid ? Form::uuid_text : Form::text;
      n.fixed += 48;
    } else if (type.kind == Kind::unsupported || is_nested(type)) {
      n.form = Form::none;
    } else {
      n.fixed += scalar_room(type);
      if (type.kind == Kind::date32 || type.kind == Kind::date64 || type.kind == Kind::timestamp) n.days = std::make_shared<DayTexts>();
    }
    return n;
  }

  Node make_json(const Type& schema, int column) {
    const Type& type = schema.children[static_cast<size_t>(column)];
    Node n;
    n.type = &type;
    n.form = Form::json;
    n.path = type.name;
    n.fixed = fields_.null_room();
    n.fixed += 48;
    n.whole = std::make_shared<RowEncoder>(schema, std::vector<int>{column});
    return n;
  }

  static void open_node(Node& n, const Array& a) {
    n.array = &a;
    n.validity = a.validity;
    n.offset = a.offset;
    n.values = a.values;
    n.padded = a.padded;
    n.run = -1;
    switch (n.form) {
      case Form::dictionary:
        if (n.texts.id != a.dictionary_id || a.dictionary_id == 0) {
          n.texts.id = a.dictionary_id;
          n.texts.bytes.clear();
          const auto values = static_cast<size_t>(a.dictionary->length);
          n.texts.slots.resize(values <= Texts::most_values ? values : 0);
          for (Slot& slot : n.texts.slots) slot.size = Slot::unknown;
        }
        n.slots = n.texts.slots.data();
        n.n_slots = n.texts.slots.size();
        n.indices = n.kind == Kind::int32 && a.validity == nullptr ? a.values + a.offset * 4 : nullptr;
        return open_node(n.children[0], *a.dictionary);
      case Form::run: return open_node(n.children[0], a.children[1]);
      case Form::structure:
      case Form::fixed_list:
        for (size_t c = 0; c < n.children.size(); ++c) open_node(n.children[c], a.children[c]);
        return;
      default: return;
    }
  }

  void line(Out& out, int64_t i, bool removed, uint64_t copies) {
    out.need(reserve_);
    uint8_t* p = out.p;
    const Node* const end = columns_.data() + columns_.size();
    for (Node* n = columns_.data(); n != end; ++n) {
      if (n->indices != nullptr) {
        int32_t index;
        std::memcpy(&index, n->indices + i * 4, 4);
        p = from_dictionary(*n, index, p, out);
      } else {
        p = field(*n, i, p, out);
      }
    }
    if (!options_.weight) {
    } else if (copies == 1 && !removed) {
      *p = '1';
      p = fields_.end_scalar(p, chars(p) + 1);
    } else {
      *p = '-';
      p = fields_.end_scalar(p, write_uint(chars(p) + removed, copies));
    }
    out.p = p - (width_ != 0);  // without the delimiter behind the last field
  }

  uint8_t* null(const Node& n, uint8_t* p) const {
    if (n.width != 1) {
      throw EncodeFailure(n.path, "the value is null in a column declared NOT NULL; a null would change the number of fields in the line");
    }
    return fields_.null(p);
  }

  // Writes the fields of a value, a delimiter behind each. Every case leaves `reserve_` bytes minus what fixed parts of this line
  // have used; what has no fixed size asks for it anew.
  uint8_t* field(Node& n, int64_t i, uint8_t* p, Out& out) {
    const int64_t at = n.offset + i;
    if (n.validity != nullptr && ((n.validity[at >> 3] >> (at & 7)) & 1) == 0) return null(n, p);
    switch (n.form) {
      case Form::scalar: return scalar(n, i, p);
      case Form::text: {
        const Bytes b = bytes_at(*n.type, *n.array, i);
        return fields_.text(n.path, b.data, static_cast<size_t>(b.size), n.padded, p, out);
      }
      case Form::dictionary: return from_dictionary(n, integer_at(n.kind, *n.array, i), p, out);
      default: return compound(n, i, p, out);
    }
  }

  uint8_t* scalar(Node& n, int64_t i, uint8_t* start) {
    const Array& a = *n.array;
    char* const p = chars(start);
    char* end = p;
    const auto clock = [&](int64_t v, int64_t per_second) {
      if (v < 0 || v >= 86400 * per_second) {
        throw EncodeFailure(n.path, "time " + std::to_string(v) + " lies outside a day; a time of day is from 00:00:00 to 23:59:59.999999999");
      }
      const int64_t nanos = v % per_second * (1000000000 / per_second);
      end = write_clock(p, static_cast<uint32_t>(v / per_second), static_cast<uint32_t>(nanos));
    };
    const auto real = [&](auto v) {
      if (std::isnan(v)) {
        std::memcpy(p, "NaN", 3);
        end = p + 3;
      } else if (std::isinf(v)) {
        std::memcpy(p, v < 0 ? "-inf" : "inf ", 4);
        end = p + (v < 0 ? 4 : 3);
      } else if constexpr (sizeof v == 4) {
        end = write_float(p, v, n.decimals);
      } else {
        end = write_double(p, v, n.decimals);
      }
    };
    switch (n.kind) {
      case Kind::null: return null(n, start);
      case Kind::boolean: {
        const int64_t at = a.offset + i;
        const uint32_t yes = (a.values[at >> 3] >> (at & 7)) & 1;
        static constexpr char words[2][8] = {{'f', 'a', 'l', 's', 'e'}, {'t', 'r', 'u', 'e'}};
        std::memcpy(p, words[yes], 8);  // no branch: which one it is, nobody can predict
        end = p + 5 - yes;
        break;
      }
      case Kind::int8: end = write_int(p, a.at<int8_t>(i)); break;
      case Kind::int16: end = write_int(p, a.at<int16_t>(i)); break;
      case Kind::int32: end = write_int(p, a.at<int32_t>(i)); break;
      case Kind::int64: end = write_int(p, a.at<int64_t>(i)); break;
      case Kind::uint8: end = write_uint(p, a.at<uint8_t>(i)); break;
      case Kind::uint16: end = write_uint(p, a.at<uint16_t>(i)); break;
      case Kind::uint32: end = write_uint(p, a.at<uint32_t>(i)); break;
      case Kind::uint64: end = write_uint(p, a.at<uint64_t>(i)); break;
      case Kind::float16: real(widen(a.at<uint16_t>(i))); break;
      case Kind::float32: real(a.at<float>(i)); break;
      case Kind::float64: real(a.at<double>(i)); break;
      case Kind::decimal32:
      case Kind::decimal64:
      case Kind::decimal128:
      case Kind::decimal256:
        end = write_decimal(p, a.values + (a.offset + i) * n.type->width, n.type->width, n.type->scale);
        break;
      case Kind::date32: end = write_day(p, a.at<int32_t>(i), *n.days); break;
      case Kind::date64: {
        const auto ms = a.at<int64_t>(i);
        end = write_day(p, ms / 86400000 - (ms % 86400000 < 0 ? 1 : 0), *n.days);
        break;
      }
      case Kind::time_s: clock(a.at<int32_t>(i), 1); break;
      case Kind::time_ms: clock(a.at<int32_t>(i), 1000); break;
      case Kind::time_us: clock(a.at<int64_t>(i), 1000000); break;
      case Kind::time_ns: clock(a.at<int64_t>(i), 1000000000); break;
      case Kind::timestamp: {
        const auto v = a.at<int64_t>(i);
        const StampText& form = n.type->zoned ? zoned_stamp : plain_stamp;
        switch (n.type->unit) {
          case Unit::s: end = write_moment<1>(p, v, form, *n.days); break;
          case Unit::ms: end = write_moment<1000>(p, v, form, *n.days); break;
          case Unit::us: end = write_moment<1000000>(p, v, form, *n.days); break;
          default: end = write_moment<1000000000>(p, v, form, *n.days); break;
        }
        break;
      }
      default: return uuid(bytes_at(*n.type, a, i).data, start);  // a fixed_binary: all others have another form
    }
    return fields_.end_scalar(start, end);
  }

  uint8_t* uuid(const uint8_t* sixteen, uint8_t* p) const {
    uint8_t quoted[38];
    write_uuid(quoted, sixteen);
    std::memcpy(p, quoted + 1, 36);
    return fields_.end_scalar(p, chars(p + 36));
  }

  uint8_t* from_dictionary(Node& n, int64_t index, uint8_t* p, Out& out) {
    if (static_cast<uint64_t>(index) < n.n_slots) {
      const Slot& slot = n.slots[index];
      if (slot.size < sizeof slot.text) {
        std::memcpy(p, &slot, sizeof slot);
        return p + slot.size;
      }
    }
    return long_from_dictionary(n, index, p, out);
  }

  // What is not in a slot, or not yet.
  uint8_t* long_from_dictionary(Node& n, int64_t index, uint8_t* p, Out& out) {
    if (index < 0 || index >= n.array->dictionary->length) {
      throw EncodeFailure(n.path, "dictionary index " + std::to_string(index) + " is outside the dictionary of " +
                                      std::to_string(n.array->dictionary->length) + " values");
    }
    Node& values = n.children[0];
    Texts& texts = n.texts;
    const auto at = static_cast<size_t>(index);
    if (at >= texts.slots.size() || (texts.slots[at].size == Slot::unknown && texts.bytes.size() > Texts::most_bytes)) {
      return field(values, index, need_room(p, out, values.fixed + reserve_), out);
    }
    Slot& slot = texts.slots[at];
    if (slot.size == Slot::unknown) {
      Scratch made;
      made.need(values.fixed + reserve_);
      made.p = field(values, index, made.p, made);
      const size_t size = made.size();
      if (size < sizeof slot.text) {
        std::memcpy(slot.text, made.memory.data(), size);
        slot.size = static_cast<uint8_t>(size);
        std::memcpy(p, slot.text, sizeof slot.text);
        return p + size;
      }
      const uint32_t place[2] = {static_cast<uint32_t>(texts.bytes.size()), static_cast<uint32_t>(size)};
      texts.bytes.append(chars(made.memory.data()), size);
      std::memcpy(slot.text, place, sizeof place);
      slot.size = Slot::elsewhere;
    }
    uint32_t place[2];
    std::memcpy(place, slot.text, sizeof place);
    p = need_room(p, out, place[1] + reserve_);
    std::memcpy(p, texts.bytes.data() + place[0], place[1]);
    return p + place[1];
  }

  uint8_t* compound(Node& n, int64_t i, uint8_t* p, Out& out) {
    const Array& a = *n.array;
    switch (n.form) {
      case Form::variant: {
        const Bytes b = bytes_at(*n.type, a, i);
        std::string why;
        n.json.clear();
        if (!rewrite_json(b.data, static_cast<size_t>(b.size), n.json, why)) throw EncodeFailure(n.path, why);
        return fields_.text(n.path, bytes(n.json.data()), n.json.size(), false, p, out);
      }
      case Form::uuid_text: {
        const Bytes b = bytes_at(*n.type, a, i);
        uint8_t sixteen[16];
        if (!parse_uuid(b.data, static_cast<size_t>(b.size), sixteen)) {
          throw EncodeFailure(n.path, "the text is not a UUID of 32 hexadecimal digits");
        }
        return uuid(sixteen, p);
      }
      case Form::run:
        n.run = run_at(*n.type, a, i, n.run);
        return field(n.children[0], n.run, p, out);
      case Form::structure:
        for (Node& child : n.children) p = field(child, a.offset + i, p, out);
        return p;
      case Form::fixed_list: {
        const Span span = span_at(*n.type, a, i);
        for (int64_t k = 0; k < span.count; ++k) {
          p = need_room(p, out, n.children[0].fixed + reserve_);
          p = field(n.children[0], span.from + k, p, out);
        }
        return need_room(p, out, reserve_);
      }
      case Form::byte_list: {
        const Bytes b = bytes_at(*n.type, a, i);
        for (int64_t k = 0; k < b.size; ++k) {
          p = need_room(p, out, 48 + reserve_);
          p = fields_.end_scalar(p, write_uint(chars(p), b.data[k]));
        }
        return need_room(p, out, reserve_);
      }
      case Form::json: return json(n, i, p, out);
      default: throw EncodeFailure(n.path, "a column of this type has no form in CSV");
    }
  }

  uint8_t* json(Node& n, int64_t i, uint8_t* p, Out& out) {
    made_.clear();
    n.whole->cell(made_, 0, i);
    const uint8_t* const from = made_.memory.data();
    const size_t size = made_.size();
    // Of these types only a null has this text.
    if (size == 4 && std::memcmp(from, "null", 4) == 0) return null(n, p);
    return fields_.text(n.path, from, size, false, p, out);
  }

  const CsvOptions options_;
  CsvFields fields_;
  int64_t width_;   // fields of a line
  size_t reserve_;  // room for the fixed part of a whole line: what every field leaves behind for its successors
  std::vector<Node> columns_;
  Scratch made_;
};

}  // namespace

std::unique_ptr<Format> make_csv(const Type& schema, const CsvOptions& options) { return std::make_unique<CsvFormat>(schema, options); }

}  // namespace penstock
