#include "json.hpp"

#include <algorithm>
#include <cmath>

#include "decimal.hpp"
#include "number.hpp"
#include "variant.hpp"

namespace penstock {

namespace {

constexpr size_t lead_pad = 32;

// Above these a dictionary is not worth keeping encoded: its values hardly repeat, and the memory would not be ours to take.
constexpr size_t most_dictionary_values = size_t{1} << 20;
constexpr size_t most_dictionary_bytes = size_t{16} << 20;

char* chars(uint8_t* p) { return reinterpret_cast<char*>(p); }
uint8_t* bytes(char* p) { return reinterpret_cast<uint8_t*>(p); }

// Float16 to the float32 that equals it.
float widen(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16;
  const uint32_t exponent = (h >> 10) & 31;
  const uint32_t mantissa = h & 0x3ff;
  if (exponent == 0) return std::copysign(std::ldexp(static_cast<float>(mantissa), -24), sign != 0 ? -1.0f : 1.0f);
  const uint32_t word = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | (mantissa << 13);
  float f;
  std::memcpy(&f, &word, 4);
  return f;
}

// Room for the value alone; kinds of no fixed size ask when they are written and need only a little here.
size_t value_room(const Type& t) {
  if (t.dictionary) return 8;
  switch (t.kind) {
    case Kind::boolean: return 8;
    case Kind::decimal32:
    case Kind::decimal64:
    case Kind::decimal128:
    case Kind::decimal256: return static_cast<size_t>(decimal_room(t.scale));
    case Kind::date32:
    case Kind::date64: return 48;
    case Kind::timestamp: return 80;
    default: return 48;
  }
}

bool needs_quotes_as_key(const Type& t) {
  const Kind k = value_type(t).kind;
  return k == Kind::boolean || (k >= Kind::int8 && k <= Kind::float64);
}

JsonNode make_node(const Type& type, const std::string& path, const std::string& lead) {
  JsonNode n;
  n.type = &type;
  n.kind = type.kind;
  n.by_dictionary = type.dictionary != nullptr;
  n.path = path;
  n.lead = lead;
  n.lead_size = lead.size();
  if (n.lead.size() < lead_pad) n.lead.resize(lead_pad);
  n.fixed = n.lead.size() + value_room(type);
  if (type.dictionary) {
    n.children.push_back(make_node(*type.dictionary, path, ""));
    return n;
  }
  if (type.kind == Kind::date32 || type.kind == Kind::date64 || type.kind == Kind::timestamp) n.days = std::make_shared<DayTexts>();
  switch (type.kind) {
    case Kind::structure:
      for (size_t c = 0; c < type.children.size(); ++c) {
        const Type& child = type.children[c];
        n.children.push_back(make_node(child, path + "." + child.name, (c == 0 ? "" : ",") + json_string(child.name) + ":"));
        n.fixed += n.children.back().fixed;
      }
      break;
    case Kind::map: {
      const Type& entries = type.children[0];
      n.children.push_back(make_node(entries.children[0], path + "{key}", ""));
      n.children.back().quoted_key = needs_quotes_as_key(entries.children[0]);
      n.children.push_back(make_node(entries.children[1], path + "{}", ""));
      break;
    }
    case Kind::run_end:
      n.children.push_back(make_node(type.children[1], path, ""));
      n.fixed += n.children.back().fixed;
      break;
    case Kind::list:
    case Kind::large_list:
    case Kind::list_view:
    case Kind::large_list_view:
    case Kind::fixed_list:
      n.children.push_back(make_node(type.children[0], path + "[]", ""));
      break;
    default:
      break;
  }
  return n;
}

void open_node(JsonNode& n, const Array& a) {
  n.array = &a;
  n.run = -1;
  if (n.by_dictionary) {
    if (n.texts.id != a.dictionary_id || a.dictionary_id == 0) {
      n.texts.id = a.dictionary_id;
      n.texts.bytes.clear();
      const auto values = static_cast<size_t>(a.dictionary->length);
      n.texts.start.clear();
      n.texts.size.assign(values <= most_dictionary_values ? values : 0, 0);
      n.texts.start.resize(n.texts.size.size());
    }
    open_node(n.children[0], *a.dictionary);
    return;
  }
  switch (n.kind) {
    case Kind::structure:
      for (size_t c = 0; c < n.children.size(); ++c) open_node(n.children[c], a.children[c]);
      break;
    case Kind::map:
      open_node(n.children[0], a.children[0].children[0]);
      open_node(n.children[1], a.children[0].children[1]);
      break;
    case Kind::run_end:
      open_node(n.children[0], a.children[1]);
      break;
    case Kind::list:
    case Kind::large_list:
    case Kind::list_view:
    case Kind::large_list_view:
    case Kind::fixed_list:
      open_node(n.children[0], a.children[0]);
      break;
    default:
      break;
  }
}

inline void put_lead(const JsonNode& n, Out& out) {
  if (n.lead_size <= lead_pad) {
    std::memcpy(out.p, n.lead.data(), lead_pad);  // a constant size is a few stores; what is too much is written over
  } else {
    std::memcpy(out.p, n.lead.data(), n.lead_size);
  }
  out.p += n.lead_size;
}

inline void put_null(Out& out) {
  std::memcpy(out.p, "null", 4);
  out.p += 4;
}

void grow_string(Out&, size_t);

// An Out over a std::string, for the values of dictionaries.
struct StringOut : Out {
  std::string& target;
  explicit StringOut(std::string& s) : target(s) {
    grow = grow_string;
    p = bytes(&target[0]) + target.size();
    end = p;
  }
  void finish() { target.resize(static_cast<size_t>(p - bytes(&target[0]))); }
};
void grow_string(Out& out, size_t room) {
  auto& self = static_cast<StringOut&>(out);
  const auto used = static_cast<size_t>(out.p - bytes(&self.target[0]));
  self.target.resize(std::max(2 * self.target.size(), used + room));
  out.p = bytes(&self.target[0]) + used;
  out.end = bytes(&self.target[0]) + self.target.size();
}

// Null by its own validity, or by that of the dictionary value or run that it stands for.
bool stands_for_null(const Type& type, const Array& a, int64_t i) {
  if (a.is_null(i)) return true;
  if (type.dictionary) return stands_for_null(*type.dictionary, *a.dictionary, integer_at(type.kind, a, i));
  if (type.kind == Kind::run_end) return stands_for_null(type.children[1], a.children[1], run_at(type, a, i, -1));
  return type.kind == Kind::null;
}

template <typename T>
int three_way(T a, T b) {
  return a < b ? -1 : (b < a ? 1 : 0);
}

}  // namespace

RowEncoder::RowEncoder(const Type& schema, const std::vector<int>& columns) : columns_(columns) {
  reserve_ = spare + 16;
  for (const int c : columns) {
    const Type& type = schema.children[static_cast<size_t>(c)];
    nodes_.push_back(make_node(type, type.name, (nodes_.empty() ? "" : ",") + json_string(type.name) + ":"));
    reserve_ += nodes_.back().fixed;
  }
}

void RowEncoder::open(const Array& block) {
  for (size_t c = 0; c < columns_.size(); ++c) open_node(nodes_[c], block.children[static_cast<size_t>(columns_[c])]);
}

void RowEncoder::row(Out& out, int64_t i) {
  out.need(reserve_);
  *out.p++ = '{';
  for (JsonNode& n : nodes_) {
    put_lead(n, out);
    value(n, i, out);
  }
  *out.p++ = '}';
}

// Every case leaves `reserve_` bytes minus what fixed parts of this row have used; kinds of no fixed size ask for it anew.
void RowEncoder::value(JsonNode& n, int64_t i, Out& out) {
  const Array& a = *n.array;
  if (a.is_null(i)) return put_null(out);
  if (n.by_dictionary) return from_dictionary(n, i, out);
  switch (n.kind) {
    case Kind::int32:
      out.p = bytes(write_int(chars(out.p), a.at<int32_t>(i)));
      return;
    case Kind::int64:
      out.p = bytes(write_int(chars(out.p), a.at<int64_t>(i)));
      return;
    case Kind::float64:
      out.p = bytes(write_double(chars(out.p), a.at<double>(i), n.decimals));
      return;
    case Kind::utf8:
    case Kind::large_utf8:
    case Kind::utf8_view:
      return text(n, bytes_at(*n.type, a, i), out);
    case Kind::boolean: {
      const int64_t at = a.offset + i;
      const uint32_t yes = (a.values[at >> 3] >> (at & 7)) & 1;
      static constexpr char words[2][8] = {{'f', 'a', 'l', 's', 'e'}, {'t', 'r', 'u', 'e'}};
      std::memcpy(out.p, words[yes], 8);  // no branch: which one it is, nobody can predict
      out.p += 5 - yes;
      return;
    }
    case Kind::timestamp: {
      const auto v = a.at<int64_t>(i);
      char* const p = chars(out.p);
      switch (n.type->unit) {
        case Unit::s: out.p = bytes(write_timestamp<1>(p, v, n.type->zoned, *n.days)); return;
        case Unit::ms: out.p = bytes(write_timestamp<1000>(p, v, n.type->zoned, *n.days)); return;
        case Unit::us: out.p = bytes(write_timestamp<1000000>(p, v, n.type->zoned, *n.days)); return;
        default: out.p = bytes(write_timestamp<1000000000>(p, v, n.type->zoned, *n.days)); return;
      }
    }
    default:
      return plain(n, i, out);
  }
}

// The kinds that are met less often, apart so that the ones above stay small.
void RowEncoder::plain(JsonNode& n, int64_t i, Out& out) {
  const Array& a = *n.array;
  const auto clock = [&](int64_t v, int64_t per_second) {
    if (v < 0 || v >= 86400 * per_second) {
      throw EncodeFailure(n.path, "time " + std::to_string(v) + " lies outside a day; a time of day is from 00:00:00 to 23:59:59.999999999");
    }
    *out.p++ = '"';
    const int64_t nanos = v % per_second * (1000000000 / per_second);
    out.p = bytes(write_clock(chars(out.p), static_cast<uint32_t>(v / per_second), static_cast<uint32_t>(nanos)));
    *out.p++ = '"';
  };
  const auto day = [&](int64_t v) {
    *out.p++ = '"';
    out.p = bytes(write_day(chars(out.p), v, *n.days));
    *out.p++ = '"';
  };
  switch (n.kind) {
    case Kind::null: return put_null(out);
    case Kind::int8: out.p = bytes(write_int(chars(out.p), a.at<int8_t>(i))); return;
    case Kind::int16: out.p = bytes(write_int(chars(out.p), a.at<int16_t>(i))); return;
    case Kind::uint8: out.p = bytes(write_uint(chars(out.p), a.at<uint8_t>(i))); return;
    case Kind::uint16: out.p = bytes(write_uint(chars(out.p), a.at<uint16_t>(i))); return;
    case Kind::uint32: out.p = bytes(write_uint(chars(out.p), a.at<uint32_t>(i))); return;
    case Kind::uint64: out.p = bytes(write_uint(chars(out.p), a.at<uint64_t>(i))); return;
    case Kind::float16: out.p = bytes(write_float(chars(out.p), widen(a.at<uint16_t>(i)))); return;
    case Kind::float32: out.p = bytes(write_float(chars(out.p), a.at<float>(i), n.decimals)); return;
    case Kind::decimal32:
    case Kind::decimal64:
    case Kind::decimal128:
    case Kind::decimal256:
      out.p = bytes(write_decimal(chars(out.p), a.values + (a.offset + i) * n.type->width, n.type->width, n.type->scale));
      return;
    case Kind::date32: return day(a.at<int32_t>(i));
    case Kind::date64: {
      const auto ms = a.at<int64_t>(i);
      return day(ms / 86400000 - (ms % 86400000 < 0 ? 1 : 0));
    }
    case Kind::time_s: return clock(a.at<int32_t>(i), 1);
    case Kind::time_ms: return clock(a.at<int32_t>(i), 1000);
    case Kind::time_us: return clock(a.at<int64_t>(i), 1000000);
    case Kind::time_ns: return clock(a.at<int64_t>(i), 1000000000);
    case Kind::fixed_binary:
      if (n.type->meaning == Meaning::uuid) {
        out.p = write_uuid(out.p, bytes_at(*n.type, a, i).data);
        return;
      }
      [[fallthrough]];
    case Kind::binary:
    case Kind::large_binary:
    case Kind::binary_view: {
      const Bytes b = bytes_at(*n.type, a, i);
      return write_byte_list(out, b.data, static_cast<size_t>(b.size), reserve_);
    }
    case Kind::structure: return structure(n, i, out);
    case Kind::map: return map(n, i, out);
    case Kind::run_end:
      n.run = run_at(*n.type, a, i, n.run);
      return value(n.children[0], n.run, out);
    default: return list(n, i, out);
  }
}

void RowEncoder::text(JsonNode& n, const Bytes& b, Out& out) {
  const auto size = static_cast<size_t>(b.size);
  if (n.type->meaning == Meaning::plain) {
    const bool valid = size <= 16 && n.array->padded ? write_short_string(out, b.data, size, reserve_) : write_string(out, b.data, size, reserve_);
    if (!valid) throw EncodeFailure(n.path, "the string is not valid UTF-8; a binary column may hold such bytes");
    return;
  }
  if (n.type->meaning == Meaning::uuid) {
    uint8_t sixteen[16];
    if (!parse_uuid(b.data, size, sixteen)) throw EncodeFailure(n.path, "the text is not a UUID of 32 hexadecimal digits");
    out.p = write_uuid(out.p, sixteen);
    return;
  }
  std::string why;
  n.scratch.clear();
  if (!rewrite_json(b.data, size, n.scratch, why)) throw EncodeFailure(n.path, why);
  out.need(n.scratch.size() + reserve_);
  std::memcpy(out.p, n.scratch.data(), n.scratch.size());
  out.p += n.scratch.size();
}

void RowEncoder::from_dictionary(JsonNode& n, int64_t i, Out& out) {
  const int64_t index = integer_at(n.kind, *n.array, i);
  if (index < 0 || index >= n.array->dictionary->length) {
    throw EncodeFailure(n.path, "dictionary index " + std::to_string(index) + " is outside the dictionary of " +
                                    std::to_string(n.array->dictionary->length) + " values");
  }
  DictionaryTexts& texts = n.texts;
  const auto at = static_cast<size_t>(index);
  if (at >= texts.size.size() || (texts.size[at] == 0 && texts.bytes.size() > most_dictionary_bytes)) {
    out.need(n.children[0].fixed + reserve_);
    return value(n.children[0], index, out);
  }
  if (texts.size[at] == 0) {
    const size_t start = texts.bytes.size();
    StringOut to(texts.bytes);
    try {
      to.need(n.children[0].fixed + reserve_);
      value(n.children[0], index, to);
    } catch (...) {
      texts.bytes.resize(start);
      throw;
    }
    to.finish();
    texts.start[at] = static_cast<uint32_t>(start);
    texts.size[at] = static_cast<uint32_t>(texts.bytes.size() - start);
  }
  const uint32_t size = texts.size[at];
  const char* const from = texts.bytes.data() + texts.start[at];
  out.need(size + reserve_);
  std::memcpy(out.p, from, size);
  out.p += size;
}

void RowEncoder::list(JsonNode& n, int64_t i, Out& out) {
  const Span span = span_at(*n.type, *n.array, i);
  JsonNode& item = n.children[0];
  *out.p++ = '[';
  for (int64_t k = 0; k < span.count; ++k) {
    out.need(item.fixed + 8 + reserve_);
    if (k != 0) *out.p++ = ',';
    value(item, span.from + k, out);
  }
  out.need(8 + reserve_);
  *out.p++ = ']';
}

void RowEncoder::structure(JsonNode& n, int64_t i, Out& out) {
  const int64_t child = n.array->offset + i;
  *out.p++ = '{';
  for (JsonNode& field : n.children) {
    out.need(n.fixed + reserve_);
    put_lead(field, out);
    value(field, child, out);
  }
  out.need(8 + reserve_);
  *out.p++ = '}';
}

void RowEncoder::map(JsonNode& n, int64_t i, Out& out) {
  const Span span = span_at(*n.type, *n.array, i);
  const Array& entries = n.array->children[0];
  const Type& key_type = n.type->children[0].children[0];
  // Entries are a struct: its own offset applies to keys and values.
  const int64_t from = entries.offset + span.from;
  std::vector<int64_t> order = std::move(n.order);  // a map inside this map must not find it in use
  order.resize(static_cast<size_t>(span.count));
  for (int64_t k = 0; k < span.count; ++k) {
    order[static_cast<size_t>(k)] = from + k;
    if (stands_for_null(key_type, *n.children[0].array, from + k)) throw EncodeFailure(n.path, "a map's key is null; JSON objects need one");
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t x, int64_t y) { return compare_keys(key_type, *n.children[0].array, x, y) < 0; });
  *out.p++ = '{';
  bool first = true;
  for (const int64_t k : order) {
    out.need(n.children[0].fixed + n.children[1].fixed + 16 + reserve_);
    if (!first) *out.p++ = ',';
    first = false;
    key(n.children[0], k, out);
    out.need(n.children[1].fixed + 16 + reserve_);
    *out.p++ = ':';
    value(n.children[1], k, out);
  }
  out.need(8 + reserve_);
  *out.p++ = '}';
  n.order = std::move(order);
}

void RowEncoder::key(JsonNode& n, int64_t i, Out& out) {
  if (n.quoted_key) *out.p++ = '"';
  value(n, i, out);
  if (!n.quoted_key) return;
  // Only "null" ends in an l: the form that floats without one take elsewhere.
  if (out.p[-1] == 'l') throw EncodeFailure(n.path, "a map's key is NaN or infinite; JSON has no such key");
  *out.p++ = '"';
}

int compare_keys(const Type& type, const Array& a, int64_t i, int64_t j) {
  if (type.dictionary) {
    const int64_t x = integer_at(type.kind, a, i);
    const int64_t y = integer_at(type.kind, a, j);
    return x == y ? 0 : compare_keys(*type.dictionary, *a.dictionary, x, y);
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
