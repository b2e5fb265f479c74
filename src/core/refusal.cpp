// Which types have no form in JSON, and why: asked once per schema, before the first row.
#include <set>

#include "json.hpp"

namespace penstock {

namespace {

constexpr int32_t most_scale = 1000;

bool is_decimal(const Type& type) { return type.kind >= Kind::decimal32 && type.kind <= Kind::decimal256; }

std::string refusal(const Type& type, const JsonStyle& style, int depth) {
  if (depth > 64) return "is nested more than 64 levels deep";
  if (type.dictionary) return refusal(*type.dictionary, style, depth + 1);
  if (type.kind == Kind::unsupported) {
    const std::string& f = type.format;
    if (f.compare(0, 2, "tD") == 0) return "is a duration";
    if (f.compare(0, 2, "ti") == 0) return "is an INTERVAL";
    if (f.compare(0, 2, "+u") == 0) return "is a union";
    return "has an Arrow type (format \"" + f + "\") that this version does not know";
  }
  if (type.kind == Kind::map) {
    const Type& key = value_type(type.children[0].children[0]);
    const bool spelled = key.kind == Kind::boolean || key.is_integer() || (key.kind >= Kind::float16 && key.kind <= Kind::float64) ||
                         (key.is_string() && key.meaning != Meaning::variant) || key.meaning == Meaning::uuid ||
                         (key.kind >= Kind::date32 && key.kind <= Kind::timestamp) || (is_decimal(key) && style.decimal_text) ||
                         (key.kind >= Kind::binary && key.kind <= Kind::fixed_binary && style.binary != JsonStyle::Binary::list);
    if (!spelled) return "is a map whose keys are no strings, numbers, booleans, times or UUIDs";
  }
  // Arrow allows any scale of 32 bits; digits that are not there would fill gigabytes.
  if (is_decimal(type) && (type.scale > most_scale || type.scale < -most_scale)) {
    return "is a decimal of scale " + std::to_string(type.scale) + ", beyond " + std::to_string(most_scale);
  }
  if (type.kind == Kind::structure) {
    std::set<std::string> names;
    for (const Type& child : type.children) {
      if (!names.insert(child.name).second) return "holds two fields called \"" + child.name + "\"";
    }
  }
  for (const Type& child : type.children) {
    const std::string why = refusal(child, style, depth + 1);
    if (!why.empty()) return why.compare(0, 3, "is ") == 0 && depth < 64 ? "holds a value that " + why : why;
  }
  return "";
}

}  // namespace

std::string json_refusal(const Type& type, const JsonStyle& style) { return refusal(type, style, 0); }

}  // namespace penstock
