#include "protobuf_node.hpp"

#include <limits>
#include <stdexcept>

#include "decimal.hpp"

namespace penstock::protobuf {

namespace {

// As for JSON: above this a dictionary is not worth keeping encoded.
constexpr size_t most_dictionary_values = size_t{1} << 20;

bool is_list(Kind kind) { return kind >= Kind::list && kind <= Kind::fixed_list; }

Kind storage_of(Kind kind) {
  switch (kind) {
    case Kind::date32:
    case Kind::time_s:
    case Kind::time_ms: return Kind::int32;
    case Kind::date64:
    case Kind::time_us:
    case Kind::time_ns:
    case Kind::timestamp: return Kind::int64;
    default: return kind;
  }
}

Form form_of(const Type& type, ProtobufType to, const std::string& path) {
  const Kind kind = type.kind;
  const bool binary = kind >= Kind::binary && kind <= Kind::fixed_binary;
  switch (to) {
    case ProtobufType::boolean:
      if (kind == Kind::boolean) return Form::boolean;
      break;
    case ProtobufType::float32:
    case ProtobufType::float64:
      if (kind == Kind::float16) return Form::half;
      if (kind == Kind::float32) return Form::real32;
      if (kind == Kind::float64 && to == ProtobufType::float64) return Form::real64;
      break;
    case ProtobufType::timestamp:
      if (kind == Kind::timestamp) return Form::timestamp;
      break;
    case ProtobufType::string:
    case ProtobufType::bytes:
      if (type.meaning == Meaning::uuid) {
        if (to == ProtobufType::bytes) return binary ? Form::bytes : Form::sixteen_of_text;
        return binary ? Form::uuid_text : Form::uuid_of_text;
      }
      if (type.meaning == Meaning::variant) return Form::variant;
      if (type.is_string()) return to == ProtobufType::string ? Form::text : Form::bytes;
      if (binary && to == ProtobufType::bytes) return Form::bytes;
      if (to == ProtobufType::bytes) break;
      if (kind >= Kind::decimal32 && kind <= Kind::decimal256) return Form::decimal;
      if (kind == Kind::date32 || kind == Kind::date64) return Form::day;
      if (kind >= Kind::time_s && kind <= Kind::time_ns) return Form::clock;
      if (kind == Kind::timestamp) return Form::moment;
      break;
    case ProtobufType::enumeration:
      if (type.is_string()) return Form::symbol;
      [[fallthrough]];
    default:
      if (kind == Kind::uint64) return Form::unsigned64;
      if (type.is_integer() || storage_of(kind) != kind) return Form::integer;
  }
  throw std::invalid_argument("protobuf: column \"" + path + "\" does not fit its field");
}

void set_number(Node& n, ProtobufType to) {
  constexpr int64_t least32 = std::numeric_limits<int32_t>::min();
  constexpr int64_t most32 = std::numeric_limits<int32_t>::max();
  constexpr int64_t least64 = std::numeric_limits<int64_t>::min();
  constexpr int64_t most64 = std::numeric_limits<int64_t>::max();
  n.zigzag = to == ProtobufType::sint32 || to == ProtobufType::sint64;
  switch (to) {
    case ProtobufType::float64:
    case ProtobufType::fixed64:
    case ProtobufType::sfixed64: n.wire = Wire::fixed64; break;
    case ProtobufType::float32:
    case ProtobufType::fixed32:
    case ProtobufType::sfixed32: n.wire = Wire::fixed32; break;
    default: n.wire = Wire::varint;
  }
  switch (to) {
    case ProtobufType::uint64:
    case ProtobufType::fixed64:
      n.least = 0;
      n.most = most64;
      n.as_unsigned = true;
      break;
    case ProtobufType::uint32:
    case ProtobufType::fixed32:
      n.least = 0;
      n.most = std::numeric_limits<uint32_t>::max();
      break;
    case ProtobufType::int64:
    case ProtobufType::sint64:
    case ProtobufType::sfixed64:
      n.least = least64;
      n.most = most64;
      break;
    default:
      n.least = least32;
      n.most = most32;
  }
  if (n.form != Form::integer && n.form != Form::unsigned64) return;
  int64_t low = 0;
  int64_t high = 0;
  switch (n.kind) {
    case Kind::int8: low = INT8_MIN; high = INT8_MAX; break;
    case Kind::int16: low = INT16_MIN; high = INT16_MAX; break;
    case Kind::int32: low = least32; high = most32; break;
    case Kind::uint8: high = UINT8_MAX; break;
    case Kind::uint16: high = UINT16_MAX; break;
    case Kind::uint32: high = UINT32_MAX; break;
    default: low = least64; high = most64;
  }
  n.checked = n.kind == Kind::uint64 ? !n.as_unsigned : low < n.least || high > n.most;
}

size_t fixed_room(const Node& n) {
  switch (n.form) {
    case Form::decimal: return 24 + static_cast<size_t>(decimal_room(n.type->scale));
    case Form::uuid_text:
    case Form::uuid_of_text:
    case Form::sixteen_of_text: return 64;
    case Form::day:
    case Form::clock:
    case Form::moment: return 96;
    case Form::timestamp: return 40;
    default: return 24;
  }
}

bool holds_numbers(Form form) { return form <= Form::symbol; }

void add_children(Node& n, const ProtobufField& field) {
  for (const ProtobufField& inner : field.fields) {
    if (inner.column < 0) {
      n.children.push_back(make_node(inner, *n.type, n.path));
      continue;
    }
    const auto at = static_cast<size_t>(inner.column);
    if (n.type->kind != Kind::structure || at >= n.type->children.size()) throw std::invalid_argument("protobuf: no struct for " + n.path);
    n.children.push_back(make_node(inner, n.type->children[at], n.path + "." + n.type->children[at].name));
  }
}

}  // namespace

Node make_node(const ProtobufField& field, const Type& outer, const std::string& path) {
  Node n;
  n.column = field.column;
  n.oneof = field.oneof;
  n.implicit = field.presence == ProtobufPresence::implicit;
  n.required = field.presence == ProtobufPresence::required;
  n.path = path;
  n.type = &outer;
  while (n.type->dictionary || n.type->kind == Kind::run_end) {
    n.levels.push_back({n.type});
    n.type = n.type->dictionary ? n.type->dictionary.get() : &n.type->children[1];
  }
  ProtobufField item = field;
  item.presence = ProtobufPresence::explicit_;
  if (field.shape == ProtobufShape::map) {
    if (n.type->kind != Kind::map || field.fields.size() != 2) throw std::invalid_argument("protobuf: no map for " + path);
    n.form = Form::map;
    n.wire = Wire::delimited;
    const Type& entries = n.type->children[0];
    n.children.push_back(make_node(field.fields[0], entries.children[0], path + "{key}"));
    n.children.push_back(make_node(field.fields[1], entries.children[1], path + "{}"));
  } else if (field.shape != ProtobufShape::single) {
    if (!is_list(n.type->kind)) throw std::invalid_argument("protobuf: no list for " + path);
    item.shape = ProtobufShape::single;
    n.children.push_back(make_node(item, n.type->children[0], path + "[]"));
    n.form = field.shape == ProtobufShape::packed ? Form::packed : Form::repeated;
    if (n.form == Form::packed && !holds_numbers(n.children[0].form)) throw std::invalid_argument("protobuf: cannot pack " + path);
    n.wire = Wire::delimited;
  } else if (field.type == ProtobufType::message) {
    n.form = Form::message;
    n.wire = Wire::delimited;
    add_children(n, field);
  } else {
    n.form = form_of(*n.type, field.type, path);
    n.kind = storage_of(n.type->kind);
    if (holds_numbers(n.form)) {
      set_number(n, field.type);
    } else {
      n.wire = Wire::delimited;
    }
    if (n.form == Form::day || n.form == Form::moment) n.days = std::make_shared<DayTexts>();
  }
  if (n.form == Form::symbol) {
    n.symbols = std::make_shared<Symbols>();
    for (const auto& [name, number] : field.names) n.symbols->names.push_back(name);
    for (size_t k = 0; k < field.names.size(); ++k) n.symbols->numbers.emplace(n.symbols->names[k], field.names[k].second);
  }
  n.numbers = field.numbers;
  n.tag_size = static_cast<uint8_t>(write_varint(n.tag, static_cast<uint64_t>(field.number) << 3 | static_cast<uint64_t>(n.wire)) - n.tag);
  n.fixed = fixed_room(n);
  return n;
}

size_t total_room(const Node& n) {
  size_t room = n.fixed;
  for (const Node& child : n.children) room += total_room(child);
  return room;
}

void open_node(Node& n, const Array& a) {
  n.outer = &a;
  n.array = &a;
  for (Level& level : n.levels) {
    level.values = level.type->dictionary ? n.array->dictionary.get() : &n.array->children[1];
    level.run = -1;
    n.array = level.values;
  }
  if (!n.levels.empty() && n.levels[0].type->dictionary && (n.kept.id != a.dictionary_id || a.dictionary_id == 0)) {
    n.kept.id = a.dictionary_id;
    n.kept.bytes.clear();
    const auto values = static_cast<size_t>(a.dictionary->length);
    n.kept.places.assign(values <= most_dictionary_values ? values : 0, {});
  }
  switch (n.form) {
    case Form::message:
      for (Node& child : n.children) open_node(child, child.column < 0 ? *n.array : n.array->children[static_cast<size_t>(child.column)]);
      break;
    case Form::map:
      open_node(n.children[0], n.array->children[0].children[0]);
      open_node(n.children[1], n.array->children[0].children[1]);
      break;
    case Form::repeated:
    case Form::packed:
      open_node(n.children[0], n.array->children[0]);
      break;
    default:
      break;
  }
}

}  // namespace penstock::protobuf
