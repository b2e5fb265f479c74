#include "arrow.hpp"

#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace penstock {

namespace {

Unit unit_of(char c) {
  switch (c) {
    case 's': return Unit::s;
    case 'm': return Unit::ms;
    case 'u': return Unit::us;
    default: return Unit::ns;
  }
}

void set(Type& t, Kind kind, int32_t width) {
  t.kind = kind;
  t.width = width;
}

void parse_time(Type& t, const std::string& f) {
  if (f == "tdD") return set(t, Kind::date32, 4);
  if (f == "tdm") return set(t, Kind::date64, 8);
  if (f == "tts") return set(t, Kind::time_s, 4);
  if (f == "ttm") return set(t, Kind::time_ms, 4);
  if (f == "ttu") return set(t, Kind::time_us, 8);
  if (f == "ttn") return set(t, Kind::time_ns, 8);
  if (f.compare(0, 2, "ts") == 0 && f.size() >= 4) {  // ts<unit>:<zone>
    set(t, Kind::timestamp, 8);
    t.unit = unit_of(f[2]);
    t.zoned = f.size() > 4;
  }
}

void parse_decimal(Type& t, const std::string& f) {  // d:precision,scale[,bits]
  const size_t first = f.find(',');
  const size_t second = f.find(',', first + 1);
  const int bits = second == std::string::npos ? 128 : std::atoi(f.c_str() + second + 1);
  t.scale = std::atoi(f.c_str() + first + 1);
  if (bits == 32) set(t, Kind::decimal32, 4);
  if (bits == 64) set(t, Kind::decimal64, 8);
  if (bits == 128) set(t, Kind::decimal128, 16);
  if (bits == 256) set(t, Kind::decimal256, 32);
}

void parse_nested(Type& t, const std::string& f) {
  if (f == "+l") return set(t, Kind::list, 4);
  if (f == "+L") return set(t, Kind::large_list, 8);
  if (f == "+vl") return set(t, Kind::list_view, 4);
  if (f == "+vL") return set(t, Kind::large_list_view, 8);
  if (f == "+s") return set(t, Kind::structure, 0);
  if (f == "+m") return set(t, Kind::map, 4);
  if (f == "+r") return set(t, Kind::run_end, 0);
  if (f.compare(0, 3, "+w:") == 0) return set(t, Kind::fixed_list, std::atoi(f.c_str() + 3));
}

}  // namespace

Type make_type(const std::string& format, const std::string& name, const std::string& extension, const std::string& sql_type) {
  Type t;
  t.format = format;
  t.name = name;
  const std::string& f = format;
  if (f.size() == 1) {
    switch (f[0]) {
      case 'n': set(t, Kind::null, 0); break;
      case 'b': set(t, Kind::boolean, 0); break;
      case 'c': set(t, Kind::int8, 1); break;
      case 's': set(t, Kind::int16, 2); break;
      case 'i': set(t, Kind::int32, 4); break;
      case 'l': set(t, Kind::int64, 8); break;
      case 'C': set(t, Kind::uint8, 1); break;
      case 'S': set(t, Kind::uint16, 2); break;
      case 'I': set(t, Kind::uint32, 4); break;
      case 'L': set(t, Kind::uint64, 8); break;
      case 'e': set(t, Kind::float16, 2); break;
      case 'f': set(t, Kind::float32, 4); break;
      case 'g': set(t, Kind::float64, 8); break;
      case 'u': set(t, Kind::utf8, 4); break;
      case 'U': set(t, Kind::large_utf8, 8); break;
      case 'z': set(t, Kind::binary, 4); break;
      case 'Z': set(t, Kind::large_binary, 8); break;
      default: break;
    }
  } else if (f == "vu") {
    set(t, Kind::utf8_view, 16);
  } else if (f == "vz") {
    set(t, Kind::binary_view, 16);
  } else if (f.compare(0, 2, "w:") == 0) {
    set(t, Kind::fixed_binary, std::atoi(f.c_str() + 2));
  } else if (f.compare(0, 2, "d:") == 0) {
    parse_decimal(t, f);
  } else if (f[0] == 't') {
    parse_time(t, f);
  } else if (f[0] == '+') {
    parse_nested(t, f);
  }
  // On a dictionary the caller gives the meaning to the value type, whose storage this test looks at.
  const bool text = t.is_string();
  if (text && (extension == "arrow.json" || sql_type == "VARIANT")) t.meaning = Meaning::variant;
  if ((text || (t.kind == Kind::fixed_binary && t.width == 16)) && (extension == "arrow.uuid" || sql_type == "UUID")) {
    t.meaning = Meaning::uuid;
  }
  return t;
}

int64_t run_at(const Type& type, const Array& a, int64_t i, int64_t hint) {
  const Array& ends = a.children[0];
  const Kind kind = type.children[0].kind;
  const int64_t at = a.offset + i;  // run ends count from the start of the unsliced array
  const bool known = hint >= ends.first && hint < ends.length;
  if (known && integer_at(kind, ends, hint) > at && (hint == ends.first || integer_at(kind, ends, hint - 1) <= at)) return hint;
  int64_t low = ends.first;
  int64_t high = ends.length;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (integer_at(kind, ends, middle) > at) high = middle; else low = middle + 1;
  }
  return low;
}

Array import_array(const Type& type, const ArrowArray& source) {
  Array a;
  a.length = source.length;
  a.offset = source.offset;
  const auto buffer = [&](int64_t n) { return n < source.n_buffers ? static_cast<const uint8_t*>(source.buffers[n]) : nullptr; };
  const bool has_validity = type.kind != Kind::null && type.kind != Kind::run_end;
  // A null count of 0 lets the hot loops skip the bitmap even where one was allocated.
  if (has_validity && source.null_count != 0) a.validity = buffer(0);
  switch (type.kind) {
    case Kind::null:
    case Kind::run_end:
    case Kind::structure:
    case Kind::fixed_list:
      break;
    case Kind::utf8_view:
    case Kind::binary_view:
      a.values = buffer(1);
      a.variadic = reinterpret_cast<const uint8_t* const*>(source.buffers + 2);
      break;
    default:
      a.values = buffer(1);
      a.data = buffer(2);
      break;
  }
  if (static_cast<size_t>(source.n_children) != type.children.size()) throw std::invalid_argument("array and schema differ in children");
  a.children.reserve(type.children.size());
  for (size_t c = 0; c < type.children.size(); ++c) a.children.push_back(import_array(type.children[c], *source.children[c]));
  if (type.dictionary) {
    if (source.dictionary == nullptr) throw std::invalid_argument("dictionary is missing");
    a.dictionary = std::make_shared<Array>(import_array(*type.dictionary, *source.dictionary));
  }
  return a;
}

void list_dictionaries(const Type& type, Array& a, std::vector<std::pair<const Type*, Array*>>& out) {
  if (type.dictionary) out.emplace_back(&type, &a);
  for (size_t c = 0; c < type.children.size(); ++c) list_dictionaries(type.children[c], a.children[c], out);
}

bool same_values(const Type& type, const Array& a, const Array& b) {
  if (a.length != b.length || a.validity != nullptr || b.validity != nullptr || type.dictionary || !type.children.empty()) return false;
  const auto strings = [&](auto zero) {
    using Offset = decltype(zero);
    if (a.length == 0) return true;
    const Offset from_a = a.at<Offset>(0);
    const Offset from_b = b.at<Offset>(0);
    const Offset size = a.at<Offset>(a.length) - from_a;
    if (b.at<Offset>(b.length) - from_b != size) return false;
    for (int64_t i = 1; i < a.length; ++i) {
      if (a.at<Offset>(i) - from_a != b.at<Offset>(i) - from_b) return false;
    }
    return size == 0 || std::memcmp(a.data + from_a, b.data + from_b, static_cast<size_t>(size)) == 0;
  };
  switch (type.kind) {
    case Kind::utf8:
    case Kind::binary: return strings(int32_t{0});
    case Kind::large_utf8:
    case Kind::large_binary: return strings(int64_t{0});
    default: break;
  }
  const bool fixed = type.width > 0 && type.kind != Kind::utf8_view && type.kind != Kind::binary_view;
  if (!fixed) return false;
  const auto size = static_cast<size_t>(a.length * type.width);
  return size == 0 || std::memcmp(a.values + a.offset * type.width, b.values + b.offset * type.width, size) == 0;
}

}  // namespace penstock
