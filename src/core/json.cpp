#include "json.hpp"

#include <algorithm>
#include <cmath>

#include "binary_text.hpp"
#include "decimal.hpp"
#include "number.hpp"
#include "variant.hpp"

namespace penstock {

namespace {

// Above this a dictionary is not worth keeping encoded: the memory would not be ours to take.
constexpr size_t most_dictionary_bytes = size_t{16} << 20;

char* chars(uint8_t* p) { return reinterpret_cast<char*>(p); }
uint8_t* bytes(char* p) { return reinterpret_cast<uint8_t*>(p); }

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

}  // namespace

RowEncoder::RowEncoder(const Type& schema, const std::vector<int>& columns, const JsonStyle& style, const std::string& path)
    : columns_(columns), omit_nulls_(style.omit_nulls) {
  reserve_ = spare + 16;
  for (const int c : columns) {
    const Type& type = schema.children[static_cast<size_t>(c)];
    nodes_.push_back(make_node(type, path.empty() ? type.name : path + "." + type.name, lead_of(type, nodes_.size(), style), style));
    reserve_ += nodes_.back().fixed;
  }
}

void RowEncoder::open(const Array& block) {
  for (size_t c = 0; c < columns_.size(); ++c) open_node(nodes_[c], block.children[static_cast<size_t>(columns_[c])]);
}

void RowEncoder::row(Out& out, int64_t i) {
  if (omit_nulls_) return sparse(nodes_, reserve_, i, out);
  out.need(reserve_);
  *out.p++ = '{';
  for (JsonNode& n : nodes_) {
    if (n.indices != nullptr && member(n, i, out)) continue;
    put_lead(n, out);
    value(n, i, out);
  }
  *out.p++ = '}';
}

// A member of the row whose text is at hand. False: nothing was written.
inline bool RowEncoder::member(const JsonNode& n, int64_t i, Out& out) {
  uint32_t index;
  std::memcpy(&index, n.indices + i * 4, 4);
  if (index >= n.texts.members.size()) return false;
  const DictionaryTexts::Member& known = n.texts.members[index];
  const size_t size = known.size;
  std::memcpy(out.p, known.text, 32);
  if (size > 32) std::memcpy(out.p + 32, known.text + 32, 32);
  out.p += size;
  return size != 0;
}

// The members of a row or struct that are not null.
void RowEncoder::sparse(std::vector<JsonNode>& nodes, size_t room, int64_t i, Out& out) {
  bool first = true;
  for (JsonNode& n : nodes) {
    if (stands_for_null(*n.type, *n.array, i)) continue;
    out.need(room + reserve_);
    put_lead(n, out);
    if (first) out.p[-static_cast<std::ptrdiff_t>(n.lead_size)] = '{';
    first = false;
    value(n, i, out);
  }
  out.need(8 + reserve_);
  if (first) *out.p++ = '{';
  *out.p++ = '}';
}

void RowEncoder::cell(Out& out, size_t n, int64_t i) {
  out.need(reserve_);
  value(nodes_[n], i, out);
}

// Every case leaves `reserve_` bytes minus what fixed parts of this row have used; kinds of no fixed size ask for it anew.
void RowEncoder::value(JsonNode& n, int64_t i, Out& out) {
  const Array& a = *n.array;
  if (a.is_null(i)) return put_null(out);
  if (n.by_dictionary) return from_dictionary(n, i, out);
  switch (n.spelling) {
    case Spelling::int32:
      out.p = bytes(write_int(chars(out.p), a.at<int32_t>(i)));
      return;
    case Spelling::int64:
      out.p = bytes(write_int(chars(out.p), a.at<int64_t>(i)));
      return;
    case Spelling::float64:
      out.p = bytes(write_double(chars(out.p), a.at<double>(i), n.decimals));
      return;
    case Spelling::text:
      return text(n, i, out);
    case Spelling::boolean: {
      const int64_t at = a.offset + i;
      const uint32_t yes = (a.values[at >> 3] >> (at & 7)) & 1;
      static constexpr char words[2][8] = {{'f', 'a', 'l', 's', 'e'}, {'t', 'r', 'u', 'e'}};
      std::memcpy(out.p, words[yes], 8);  // no branch: which one it is, nobody can predict
      out.p += 5 - yes;
      return;
    }
    case Spelling::timestamp: {
      const auto v = a.at<int64_t>(i);
      char* const p = chars(out.p);
      switch (n.type->unit) {
        case Unit::s: out.p = bytes(write_timestamp<1>(p, v, n.stamp, *n.days)); return;
        case Unit::ms: out.p = bytes(write_timestamp<1000>(p, v, n.stamp, *n.days)); return;
        case Unit::us: out.p = bytes(write_timestamp<1000000>(p, v, n.stamp, *n.days)); return;
        default: out.p = bytes(write_timestamp<1000000000>(p, v, n.stamp, *n.days)); return;
      }
    }
    case Spelling::decimal:
      out.p = bytes(write_decimal(chars(out.p), a.values + (a.offset + i) * n.type->width, n.type->width, n.type->scale, n.style.keep_scale));
      return;
    case Spelling::day32:
      *out.p++ = '"';
      out.p = bytes(write_day(chars(out.p), a.at<int32_t>(i), *n.days));
      *out.p++ = '"';
      return;
    default:
      return plain(n, i, out);
  }
}

// The spellings that are met less often, apart so that the ones above stay small.
void RowEncoder::plain(JsonNode& n, int64_t i, Out& out) {
  const Array& a = *n.array;
  char* const p = chars(out.p);
  const auto day_of = [](int64_t ms) { return ms / 86400000 - (ms % 86400000 < 0 ? 1 : 0); };
  switch (n.spelling) {
    case Spelling::int8: out.p = bytes(write_int(p, a.at<int8_t>(i))); return;
    case Spelling::int16: out.p = bytes(write_int(p, a.at<int16_t>(i))); return;
    case Spelling::uint8: out.p = bytes(write_uint(p, a.at<uint8_t>(i))); return;
    case Spelling::uint16: out.p = bytes(write_uint(p, a.at<uint16_t>(i))); return;
    case Spelling::uint32: out.p = bytes(write_uint(p, a.at<uint32_t>(i))); return;
    case Spelling::uint64: out.p = bytes(write_uint(p, a.at<uint64_t>(i))); return;
    case Spelling::uint64_text:
      *p = '"';
      out.p = bytes(write_uint(p + 1, a.at<uint64_t>(i)));
      *out.p++ = '"';
      return;
    case Spelling::float16: out.p = bytes(write_float(p, widen(a.at<uint16_t>(i)))); return;
    case Spelling::float32: out.p = bytes(write_float(p, a.at<float>(i), n.decimals)); return;
    case Spelling::checked_float: return checked_float(n, i, out);
    case Spelling::decimal_text:
      *p = '"';
      out.p = bytes(write_decimal(p + 1, a.values + (a.offset + i) * n.type->width, n.type->width, n.type->scale, n.style.keep_scale));
      *out.p++ = '"';
      return;
    case Spelling::day64:
      *p = '"';
      out.p = bytes(write_day(p + 1, day_of(a.at<int64_t>(i)), *n.days));
      *out.p++ = '"';
      return;
    case Spelling::days32: out.p = bytes(write_int(p, a.at<int32_t>(i))); return;
    case Spelling::days64: out.p = bytes(write_int(p, day_of(a.at<int64_t>(i)))); return;
    case Spelling::clock:
    case Spelling::clock_number: return clock(n, i, out);
    case Spelling::timestamp_millis: {
      // Toward zero, as the connector has it: -1 us is 0 ms.
      const auto v = a.at<int64_t>(i);
      switch (n.type->unit) {
        case Unit::s:  // a second's milliseconds may be more than 64 bits hold
          out.p = bytes(write_int(p, v));
          if (v != 0) {
            std::memcpy(out.p, "000", 3);
            out.p += 3;
          }
          return;
        case Unit::ms: out.p = bytes(write_int(p, v)); return;
        case Unit::us: out.p = bytes(write_int(p, v / 1000)); return;
        default: out.p = bytes(write_int(p, v / 1000000)); return;
      }
    }
    case Spelling::uuid: out.p = write_uuid(out.p, bytes_at(*n.type, a, i).data); return;
    case Spelling::uuid_text: {
      const Bytes b = bytes_at(*n.type, a, i);
      uint8_t sixteen[16];
      if (!parse_uuid(b.data, static_cast<size_t>(b.size), sixteen)) {
        throw EncodeFailure(n.path, "the text is not a UUID of 32 hexadecimal digits");
      }
      out.p = write_uuid(out.p, sixteen);
      return;
    }
    case Spelling::variant:
    case Spelling::variant_text: return variant(n, i, out);
    case Spelling::bytes: return binary(n, i, out);
    case Spelling::structure: return structure(n, i, out);
    case Spelling::map: return map(n, i, out);
    case Spelling::run_end:
      n.run = run_at(*n.type, a, i, n.run);
      return value(n.children[0], n.run, out);
    case Spelling::list: return list(n, i, out);
    default: return put_null(out);
  }
}

void RowEncoder::clock(JsonNode& n, int64_t i, Out& out) {
  const Kind kind = n.type->kind;
  const int64_t v = kind == Kind::time_s || kind == Kind::time_ms ? n.array->at<int32_t>(i) : n.array->at<int64_t>(i);
  const int64_t per_second = kind == Kind::time_s ? 1 : kind == Kind::time_ms ? 1000 : kind == Kind::time_us ? 1000000 : 1000000000;
  if (v < 0 || v >= 86400 * per_second) {
    throw EncodeFailure(n.path, "time " + std::to_string(v) + " lies outside a day; a time of day is from 00:00:00 to 23:59:59.999999999");
  }
  const int64_t nanos = v % per_second * (1000000000 / per_second);
  const int64_t second = v / per_second;
  if (n.spelling == Spelling::clock_number) {
    const int64_t ticks = n.style.clock == JsonStyle::Clock::millis ? 1000 : 1000000;
    out.p = bytes(write_int(chars(out.p), second * ticks + nanos / (1000000000 / ticks)));
    return;
  }
  *out.p++ = '"';
  out.p = bytes(write_clock(chars(out.p), static_cast<uint32_t>(second), static_cast<uint32_t>(nanos)));
  *out.p++ = '"';
}

void RowEncoder::text(JsonNode& n, int64_t i, Out& out) {
  const Bytes b = bytes_at(*n.type, *n.array, i);
  const auto size = static_cast<size_t>(b.size);
  const bool valid = size <= 16 && n.array->padded ? write_short_string(out, b.data, size, reserve_) : write_string(out, b.data, size, reserve_);
  if (!valid) throw EncodeFailure(n.path, "the string is not valid UTF-8; a binary column may hold such bytes");
}

void RowEncoder::variant(JsonNode& n, int64_t i, Out& out) {
  const Bytes b = bytes_at(*n.type, *n.array, i);
  const bool as_text = n.spelling == Spelling::variant_text;
  std::string why;
  n.scratch.clear();
  if (!rewrite_json(b.data, static_cast<size_t>(b.size), n.scratch, why, n.style.decimal_text && !as_text)) throw EncodeFailure(n.path, why);
  if (as_text) {
    write_string(out, bytes(&n.scratch[0]), n.scratch.size(), reserve_);
    return;
  }
  out.need(n.scratch.size() + reserve_);
  std::memcpy(out.p, n.scratch.data(), n.scratch.size());
  out.p += n.scratch.size();
}

void RowEncoder::checked_float(JsonNode& n, int64_t i, Out& out) {
  const Array& a = *n.array;
  const Kind kind = n.type->kind;
  const double v = kind == Kind::float64 ? a.at<double>(i) : kind == Kind::float32 ? a.at<float>(i) : widen(a.at<uint16_t>(i));
  if (!std::isfinite(v)) {
    const char* const name = std::isnan(v) ? "NaN" : v < 0 ? "-Infinity" : "Infinity";
    if (n.style.non_finite == JsonStyle::NonFinite::error) {
      throw EncodeFailure(n.path, std::string("the value is ") + name + ", which JSON has no number for and non_finite=error refuses");
    }
    const size_t size = std::strlen(name);
    *out.p++ = '"';
    std::memcpy(out.p, name, size);
    out.p += size;
    *out.p++ = '"';
  } else if (kind == Kind::float64) {
    out.p = bytes(write_double(chars(out.p), v, n.decimals));
  } else {
    out.p = bytes(write_float(chars(out.p), static_cast<float>(v), n.decimals));
  }
}

void RowEncoder::binary(JsonNode& n, int64_t i, Out& out) {
  const Bytes b = bytes_at(*n.type, *n.array, i);
  const auto size = static_cast<size_t>(b.size);
  switch (n.style.binary) {
    case JsonStyle::Binary::list: return write_byte_list(out, b.data, size, reserve_);
    case JsonStyle::Binary::backslash_x: return write_hex(out, "\\\\x", 3, b.data, size, reserve_);
    case JsonStyle::Binary::zero_x: return write_hex(out, "0x", 2, b.data, size, reserve_);
    case JsonStyle::Binary::base58: return write_base58(out, b.data, size, n.work, reserve_);
    default: return write_base64(out, b.data, size, reserve_);
  }
}

void RowEncoder::from_dictionary(JsonNode& n, int64_t i, Out& out) {
  const int64_t index = integer_at(n.type->kind, *n.array, i);
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
    const size_t whole = n.lead_size + texts.size[at];
    if (at < texts.members.size() && whole <= sizeof DictionaryTexts::Member::text) {
      DictionaryTexts::Member& made = texts.members[at];
      std::memcpy(made.text, n.lead.data(), n.lead_size);
      std::memcpy(made.text + n.lead_size, texts.bytes.data() + start, texts.size[at]);
      made.size = static_cast<uint8_t>(whole);
    }
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
  if (n.style.omit_nulls) return sparse(n.children, n.fixed, child, out);
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

}  // namespace penstock
