#include "fields.hpp"

#include <cmath>
#include <cstring>

#include "decimal.hpp"
#include "number.hpp"

namespace penstock {

namespace {

constexpr uint8_t nothing[1] = {0};  // an empty value is no null

char* chars(uint8_t* p) { return reinterpret_cast<char*>(p); }

// Room for the text of one value.
size_t text_room(const Type& type) {
  const Type& t = value_type(type);
  const bool is_decimal = t.kind >= Kind::decimal32 && t.kind <= Kind::decimal256;
  return is_decimal ? static_cast<size_t>(decimal_room(t.scale)) : 96;
}

std::vector<Leaves> one(const Type& schema, int column) {
  std::vector<Leaves> found;
  if (column >= 0) found.emplace_back(schema, column);
  return found;
}

// The text of a timestamp stands between quotation marks.
template <int64_t Per>
Bytes timestamp_text(char* to, const Leaf& leaf, DayTexts& days) {
  char* const end = write_timestamp<Per>(to, leaf.integer(), leaf.type->zoned, days);
  return {reinterpret_cast<uint8_t*>(to) + 1, end - to - 2};
}

Bytes clock_text(char* to, int64_t v, int64_t per_second, const std::string& column) {
  if (v < 0 || v >= 86400 * per_second) {
    throw EncodeFailure(column, "time " + std::to_string(v) + " lies outside a day; a time of day is from 00:00:00 to 23:59:59.999999999");
  }
  const int64_t nanos = v % per_second * (1000000000 / per_second);
  char* const end = write_clock(to, static_cast<uint32_t>(v / per_second), static_cast<uint32_t>(nanos));
  return {reinterpret_cast<uint8_t*>(to), end - to};
}

// The value as it stands in JSON, without quotation marks. No bytes: there is no such text (NaN and the infinities).
Bytes scalar_text(char* to, const Leaf& leaf, DayTexts& days, const std::string& column) {
  const Array& a = *leaf.array;
  const int64_t i = leaf.at;
  const auto upto = [to](const char* end) { return Bytes{reinterpret_cast<uint8_t*>(to), end - to}; };
  const auto floating = [&](auto v, auto write) { return std::isfinite(v) ? upto(write(to, v)) : Bytes{nullptr, 0}; };
  switch (leaf.type->kind) {
    case Kind::boolean: {
      const int64_t at = a.offset + i;
      const bool yes = ((a.values[at >> 3] >> (at & 7)) & 1) != 0;
      std::memcpy(to, yes ? "true" : "false", 5);
      return upto(to + (yes ? 4 : 5));
    }
    case Kind::uint64: return upto(write_uint(to, a.at<uint64_t>(i)));
    case Kind::float16: return floating(widen(a.at<uint16_t>(i)), [](char* p, float v) { return write_float(p, v); });
    case Kind::float32: return floating(a.at<float>(i), [](char* p, float v) { return write_float(p, v); });
    case Kind::float64: return floating(a.at<double>(i), [](char* p, double v) { return write_double(p, v); });
    case Kind::decimal32:
    case Kind::decimal64:
    case Kind::decimal128:
    case Kind::decimal256: {
      const int width = leaf.type->width;
      return upto(write_decimal(to, a.values + (a.offset + i) * width, width, leaf.type->scale));
    }
    case Kind::date32: return upto(write_day(to, a.at<int32_t>(i), days));
    case Kind::date64: {
      const auto ms = a.at<int64_t>(i);
      return upto(write_day(to, ms / 86400000 - (ms % 86400000 < 0 ? 1 : 0), days));
    }
    case Kind::time_s: return clock_text(to, leaf.integer(), 1, column);
    case Kind::time_ms: return clock_text(to, leaf.integer(), 1000, column);
    case Kind::time_us: return clock_text(to, leaf.integer(), 1000000, column);
    case Kind::time_ns: return clock_text(to, leaf.integer(), 1000000000, column);
    case Kind::timestamp:
      switch (leaf.type->unit) {
        case Unit::s: return timestamp_text<1>(to, leaf, days);
        case Unit::ms: return timestamp_text<1000>(to, leaf, days);
        case Unit::us: return timestamp_text<1000000>(to, leaf, days);
        default: return timestamp_text<1000000000>(to, leaf, days);
      }
    default: return upto(write_int(to, leaf.integer()));
  }
}

void put(const Bytes& value, Header& header) {
  header.value = value.size == 0 ? nothing : value.data;
  header.size = static_cast<size_t>(value.size);
}

bool is_bytes(const Type& t) { return t.kind >= Kind::utf8 && t.kind <= Kind::fixed_binary; }

// A list of pairs of name and value.
bool suits_headers(const Type& t) {
  const bool is_list = t.kind >= Kind::list && t.kind <= Kind::fixed_list;
  if (!is_list && t.kind != Kind::map) return false;
  const Type& entry = t.children[0];
  if (entry.kind != Kind::structure || entry.children.size() != 2) return false;
  const Type& name = entry.children[0];
  const Type& value = entry.children[1];
  const bool named = t.kind == Kind::map || ((name.name == "key" || name.name == "name") && value.name == "value");
  return named && value_type(name).is_string() && (is_bytes(value_type(value)) || value_type(value).kind == Kind::null);
}

}  // namespace

bool suits(const Type& type, Role role) {
  const Type& t = value_type(type);
  const bool is_time = t.kind == Kind::timestamp || t.kind == Kind::date32 || t.kind == Kind::date64;
  switch (role) {
    case Role::raw_key: return is_bytes(t);
    case Role::big_endian_key: return t.is_integer() || t.meaning == Meaning::uuid || (t.kind == Kind::fixed_binary && t.width == 16);
    case Role::headers: return suits_headers(t);
    case Role::header: return t.kind <= Kind::timestamp;
    case Role::timestamp: return is_time || t.kind == Kind::int64 || t.kind == Kind::uint64;
    default: return t.is_string();
  }
}

MessageFields::MessageFields(const Type& schema, const FieldsOptions& options)
    : list_(one(schema, options.headers_column)),
      timestamp_(one(schema, options.timestamp_column)),
      topic_(one(schema, options.topic_column)),
      partition_(one(schema, options.partition_column)),
      tombstone_(one(schema, options.tombstone_column)) {
  size_t room = 0;
  for (const int c : options.header_columns) {
    headers_.emplace_back(schema, c);
    room += text_room(headers_.back().type());
  }
  texts_.resize(room);
}

void MessageFields::open(const Array& block) {
  for (std::vector<Leaves>* const columns : {&list_, &headers_, &timestamp_, &topic_, &partition_, &tombstone_}) {
    for (Leaves& column : *columns) column.open(block);
  }
}

void MessageFields::read(const Event& event, Extras& extras) {
  const int64_t row = event.row;
  Leaf leaf;
  text_ = texts_.data();
  // A null list is a row without headers of its own.
  if (!list_.empty() && list_[0].find(row, leaf)) list_headers(leaf, extras);
  for (Leaves& column : headers_) column_header(column, row, extras);
  if (!timestamp_.empty()) extras.timestamp = timestamp(row);
  if (!topic_.empty()) {
    if (!topic_[0].find(row, leaf)) throw EncodeFailure(topic_[0].name(), "the topic is null");
    const Bytes topic = leaf.bytes();
    extras.topic = {reinterpret_cast<const char*>(topic.data), static_cast<size_t>(topic.size)};
  }
  if (!partition_.empty()) {
    if (!partition_[0].find(row, leaf)) throw EncodeFailure(partition_[0].name(), "the partition is null");
    extras.partition = static_cast<int32_t>(leaf.integer());  // its range is the selection's business
  }
  if (!tombstone_.empty()) extras.tombstone = !tombstone_[0].find(row, leaf);
}

void MessageFields::list_headers(const Leaf& list, Extras& extras) {
  const Type& entry_type = list.type->children[0];
  const Array& entries = list.array->children[0];
  const Span span = span_at(*list.type, *list.array, list.at);
  const std::string& column = list_[0].name();
  for (int64_t k = span.from; k < span.from + span.count; ++k) {
    Leaf leaf;
    if (entries.is_null(k)) throw EncodeFailure(column, "a header is null; give it a name and a null value, or leave it out of the list");
    const int64_t at = entries.offset + k;  // a struct's own offset applies to its fields
    if (!find_leaf(entry_type.children[0], entries.children[0], at, column, leaf)) {
      throw EncodeFailure(column, "the name of a header is null; Kafka's headers need one");
    }
    const Bytes name = leaf.bytes();
    if (!valid_utf8(name.data, static_cast<size_t>(name.size))) throw EncodeFailure(column, "the name of a header is not valid UTF-8");
    Header header{{reinterpret_cast<const char*>(name.data), static_cast<size_t>(name.size)}, nullptr, 0};
    if (find_leaf(entry_type.children[1], entries.children[1], at, column, leaf)) put(leaf.bytes(), header);
    extras.headers.push_back(header);
  }
}

void MessageFields::column_header(Leaves& column, int64_t row, Extras& extras) {
  Header header{column.name(), nullptr, 0};
  Leaf leaf;
  if (column.find(row, leaf)) {
    if (leaf.type->kind == Kind::fixed_binary && leaf.type->meaning == Meaning::uuid) {
      write_uuid(text_, leaf.bytes().data);  // between quotation marks, which stay out
      put({text_ + 1, 36}, header);
    } else if (is_bytes(*leaf.type)) {
      put(leaf.bytes(), header);
    } else {
      const Bytes text = scalar_text(chars(text_), leaf, days_, column.name());
      if (text.data != nullptr) put(text, header);
    }
  }
  text_ += text_room(column.type());
  extras.headers.push_back(header);
}

int64_t MessageFields::timestamp(int64_t row) {
  Leaves& column = timestamp_[0];
  Leaf leaf;
  if (!column.find(row, leaf)) return 0;
  const int64_t v = leaf.integer();
  int64_t ms = v;
  bool fits = true;
  const auto divided = [&](int64_t by) { ms = v / by - (v % by < 0 ? 1 : 0); };
  if (leaf.type->kind == Kind::uint64) fits = v >= 0;
  if (leaf.type->kind == Kind::date32) ms = v * 86400000;
  if (leaf.type->kind == Kind::timestamp) {
    if (leaf.type->unit == Unit::s) fits = !__builtin_mul_overflow(v, int64_t{1000}, &ms);
    if (leaf.type->unit == Unit::us) divided(1000);
    if (leaf.type->unit == Unit::ns) divided(1000000);
  }
  // librdkafka takes 0 for "now": the first millisecond of 1970 cannot be said either.
  if (!fits || ms <= 0) {
    throw EncodeFailure(column.name(), "the timestamp (" + std::to_string(v) + ") lies outside of what Kafka can hold, from one millisecond "
                                       "after 1970-01-01 00:00:00 UTC on; a null there means the time of sending");
  }
  return ms;
}

}  // namespace penstock
