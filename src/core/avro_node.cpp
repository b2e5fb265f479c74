#include "avro_node.hpp"

#include <stdexcept>

namespace penstock::avro {

namespace {

// Above this a dictionary is not worth keeping encoded: its values hardly repeat, and the memory would not be ours to take.
constexpr size_t most_dictionary_values = size_t{1} << 20;

[[noreturn]] void misfit(const std::string& path) { throw std::invalid_argument("the Avro plan does not fit column " + path); }

int64_t per_second(Kind kind, Unit unit) {
  switch (kind) {
    case Kind::time_s: return 1;
    case Kind::time_ms: return 1000;
    case Kind::time_us: return 1000000;
    case Kind::time_ns: return 1000000000;
    default: break;
  }
  switch (unit) {
    case Unit::s: return 1;
    case Unit::ms: return 1000;
    case Unit::us: return 1000000;
    default: return 1000000000;
  }
}

Step integer_step(Kind kind) {
  switch (kind) {
    case Kind::int8: return Step::int8;
    case Kind::int16: return Step::int16;
    case Kind::int32:
    case Kind::date32: return Step::int32;
    case Kind::int64: return Step::int64;
    case Kind::uint8: return Step::uint8;
    case Kind::uint16: return Step::uint16;
    case Kind::uint32: return Step::uint32;
    case Kind::uint64: return Step::uint64;
    default: return Step::nothing;
  }
}

Step time_step(Node& n, Kind kind, int64_t wanted) {
  const int64_t has = per_second(kind, n.type->unit);
  n.times = wanted > has ? wanted / has : 1;
  n.over = wanted < has ? has / wanted : 1;
  if (kind == Kind::timestamp) return n.times == 1 && n.over == 1 ? Step::int64 : Step::timestamp;
  n.most = 86400 * has;
  return kind >= Kind::time_s && kind <= Kind::time_ns ? Step::time : Step::nothing;
}

Step string_step(const Type& t) {
  if (t.kind == Kind::uint64) return Step::uint64_text;
  if (t.meaning == Meaning::variant) return Step::variant;
  if (t.meaning == Meaning::uuid) return t.is_string() ? Step::uuid_text : Step::uuid_binary;
  return t.is_string() ? Step::text : Step::nothing;
}

bool is_binary(Kind k) { return k == Kind::binary || k == Kind::large_binary || k == Kind::binary_view || k == Kind::fixed_binary; }
bool is_decimal(Kind k) { return k >= Kind::decimal32 && k <= Kind::decimal256; }
bool is_list(Kind k) {
  return k == Kind::list || k == Kind::large_list || k == Kind::list_view || k == Kind::large_list_view || k == Kind::fixed_list;
}

Step leaf_step(Node& n) {
  const Type& t = *n.type;
  switch (n.plan.form) {
    case AvroForm::null: return Step::nothing;
    case AvroForm::boolean: return t.kind == Kind::boolean ? Step::boolean : Step::nothing;
    case AvroForm::int_:
    case AvroForm::long_:
      n.most = n.plan.form == AvroForm::int_ ? INT32_MAX : INT64_MAX;
      return integer_step(t.kind);
    case AvroForm::date: return t.kind == Kind::date64 ? Step::date64 : t.kind == Kind::date32 ? Step::int32 : Step::nothing;
    case AvroForm::float_: return t.kind == Kind::float16 ? Step::half_float : t.kind == Kind::float32 ? Step::float_ : Step::nothing;
    case AvroForm::double_:
      if (t.kind == Kind::float16) return Step::half_double;
      if (t.kind == Kind::float32) return Step::float_double;
      return t.kind == Kind::float64 ? Step::double_ : Step::nothing;
    case AvroForm::string: return string_step(t);
    case AvroForm::bytes: return is_binary(t.kind) ? Step::bytes : Step::nothing;
    case AvroForm::fixed:
      if (t.is_string() && t.meaning == Meaning::uuid) return Step::uuid_text_fixed;
      return is_binary(t.kind) ? Step::fixed : Step::nothing;
    case AvroForm::decimal:
      if (!is_decimal(t.kind)) return Step::nothing;
      n.limit = Wide::power_of_ten(n.plan.precision);
      return t.kind == Kind::decimal128 && n.plan.scale == t.scale && n.plan.precision == 0 && n.plan.size == 16 && !n.plan.is_fixed
                 ? Step::decimal16
                 : Step::decimal;
    case AvroForm::time_millis: return time_step(n, t.kind, 1000);
    case AvroForm::time_micros: return time_step(n, t.kind, 1000000);
    case AvroForm::timestamp_millis: return time_step(n, t.kind, 1000);
    case AvroForm::timestamp_micros: return time_step(n, t.kind, 1000000);
    case AvroForm::timestamp_nanos: return time_step(n, t.kind, 1000000000);
    case AvroForm::constant: return Step::constant;
    case AvroForm::change: return Step::change;
    case AvroForm::now: return Step::now;
    default: return Step::nothing;
  }
}

bool has_column(AvroForm f) {
  return f != AvroForm::constant && f != AvroForm::change && f != AvroForm::now && f != AvroForm::group &&
         f != AvroForm::before && f != AvroForm::after;
}

}  // namespace

void add_fields(Node& n, const AvroPlan& plan, const Type& type, const std::string& path) {
  n.fixed = 16;
  for (const AvroPlan& field : plan.children) {
    if (!has_column(field.form)) {
      n.children.push_back(make_node(field, type, path));
    } else {
      if (field.column < 0 || static_cast<size_t>(field.column) >= type.children.size()) misfit(path);
      const Type& child = type.children[static_cast<size_t>(field.column)];
      n.children.push_back(make_node(field, child, path.empty() ? child.name : path + "." + child.name));
    }
    n.fixed += n.children.back().fixed;
  }
}

Node make_node(const AvroPlan& plan, const Type& type, const std::string& path) {
  Node n;
  n.type = &type;
  n.path = path;
  n.column = plan.column;
  n.plan = plan;
  n.plan.children.clear();
  n.in_union = plan.null_branch >= 0;
  n.null_byte = static_cast<uint8_t>(plan.null_branch == 1 ? 2 : 0);
  n.value_byte = static_cast<uint8_t>(2 - n.null_byte);
  const auto one_child = [&](Step step, const Type& child, const std::string& name) {
    if (plan.children.size() != 1) misfit(path);
    n.step = step;
    n.children.push_back(make_node(plan.children[0], child, name));
  };
  switch (plan.form) {
    case AvroForm::group:
    case AvroForm::before:
    case AvroForm::after:
      n.step = plan.form == AvroForm::group ? Step::group : plan.form == AvroForm::before ? Step::before : Step::after;
      add_fields(n, plan, type, path);
      return n;
    case AvroForm::constant:
    case AvroForm::change:
    case AvroForm::now:
      n.step = leaf_step(n);
      return n;
    default: break;
  }
  if (type.dictionary) {
    n.step = Step::dictionary;
    n.children.push_back(make_node(plan, *type.dictionary, path));
    return n;
  }
  if (type.kind == Kind::run_end) {
    n.step = Step::run_end;
    n.children.push_back(make_node(plan, type.children[1], path));
    n.fixed = n.children[0].fixed + 8;
    return n;
  }
  switch (plan.form) {
    case AvroForm::array:
      if (!is_list(type.kind)) misfit(path);
      one_child(Step::array, type.children[0], path + "[]");
      return n;
    case AvroForm::map:
      if (type.kind != Kind::map) misfit(path);
      one_child(Step::map, type.children[0].children[1], path + "{}");
      return n;
    case AvroForm::record:
      if (type.kind != Kind::structure) misfit(path);
      n.step = Step::record;
      add_fields(n, plan, type, path);
      return n;
    default:
      n.step = leaf_step(n);
      if (n.step == Step::nothing && plan.form != AvroForm::null) misfit(path);
      return n;
  }
}

void open_node(Node& n, const Array& a) {
  n.array = &a;
  n.run = -1;
  switch (n.step) {
    case Step::dictionary:
      if (n.encoded.id != a.dictionary_id || a.dictionary_id == 0) {
        const auto values = static_cast<size_t>(a.dictionary->length);
        n.encoded.id = a.dictionary_id;
        n.encoded.values.clear();
        n.encoded.bytes = 0;
        n.encoded.slots.assign(values <= most_dictionary_values ? values : 0, {});
      }
      return open_node(n.children[0], *a.dictionary);
    case Step::run_end: return open_node(n.children[0], a.children[1]);
    case Step::array: return open_node(n.children[0], a.children[0]);
    case Step::map: return open_node(n.children[0], a.children[0].children[1]);
    case Step::record:
    case Step::group:
    case Step::before:
    case Step::after:
      for (Node& c : n.children) open_node(c, c.column < 0 ? a : a.children[static_cast<size_t>(c.column)]);
      return;
    default: return;
  }
}

}  // namespace penstock::avro
