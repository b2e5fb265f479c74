// The tree of nodes that a RowEncoder walks: how the style spells each type, worked out once.
#include <algorithm>

#include "decimal.hpp"
#include "json.hpp"

namespace penstock {

namespace {

// Above this a dictionary is not worth keeping encoded: its values hardly repeat.
constexpr size_t most_dictionary_values = size_t{1} << 20;

// Above this not as members, which take 64 bytes each.
constexpr size_t most_members = size_t{1} << 16;

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

Spelling spelling_of(const Type& t, const JsonStyle& style) {
  const bool checked = style.non_finite != JsonStyle::NonFinite::null;
  switch (t.kind) {
    case Kind::boolean: return Spelling::boolean;
    case Kind::int8: return Spelling::int8;
    case Kind::int16: return Spelling::int16;
    case Kind::int32: return Spelling::int32;
    case Kind::int64: return Spelling::int64;
    case Kind::uint8: return Spelling::uint8;
    case Kind::uint16: return Spelling::uint16;
    case Kind::uint32: return Spelling::uint32;
    case Kind::uint64: return style.uint64_text ? Spelling::uint64_text : Spelling::uint64;
    case Kind::float16: return checked ? Spelling::checked_float : Spelling::float16;
    case Kind::float32: return checked ? Spelling::checked_float : Spelling::float32;
    case Kind::float64: return checked ? Spelling::checked_float : Spelling::float64;
    case Kind::decimal32:
    case Kind::decimal64:
    case Kind::decimal128:
    case Kind::decimal256: return style.decimal_text ? Spelling::decimal_text : Spelling::decimal;
    case Kind::utf8:
    case Kind::large_utf8:
    case Kind::utf8_view:
      if (t.meaning == Meaning::uuid) return Spelling::uuid_text;
      if (t.meaning == Meaning::variant) return style.variant_text ? Spelling::variant_text : Spelling::variant;
      return Spelling::text;
    case Kind::fixed_binary:
      if (t.meaning == Meaning::uuid) return Spelling::uuid;
      return Spelling::bytes;
    case Kind::binary:
    case Kind::large_binary:
    case Kind::binary_view: return Spelling::bytes;
    case Kind::date32: return style.day == JsonStyle::Day::days ? Spelling::days32 : Spelling::day32;
    case Kind::date64: return style.day == JsonStyle::Day::days ? Spelling::days64 : Spelling::day64;
    case Kind::time_s:
    case Kind::time_ms:
    case Kind::time_us:
    case Kind::time_ns: return style.clock == JsonStyle::Clock::text ? Spelling::clock : Spelling::clock_number;
    case Kind::timestamp:
      return (t.zoned ? style.zoned : style.timestamp) == JsonStyle::Stamp::millis ? Spelling::timestamp_millis : Spelling::timestamp;
    case Kind::list:
    case Kind::large_list:
    case Kind::list_view:
    case Kind::large_list_view:
    case Kind::fixed_list: return Spelling::list;
    case Kind::structure: return Spelling::structure;
    case Kind::map: return Spelling::map;
    case Kind::run_end: return Spelling::run_end;
    default: return Spelling::null;
  }
}

StampText stamp_text(const Type& t, const JsonStyle& style) {
  StampText form = t.zoned ? zoned_stamp : plain_stamp;
  const JsonStyle::Stamp stamp = t.zoned ? style.zoned : style.timestamp;
  if (stamp == JsonStyle::Stamp::spaced) return form;
  if (stamp == JsonStyle::Stamp::offset) form = zoned_stamp;
  if (stamp == JsonStyle::Stamp::utc) form = {' ', 3, {'U', 'T', 'C'}};
  form.between = 'T';
  return form;
}

// A map's key that JSON has no quotation marks around: it gets them.
bool needs_quotes_as_key(const Type& t, const JsonStyle& style) {
  switch (spelling_of(value_type(t), style)) {
    case Spelling::text:
    case Spelling::uuid:
    case Spelling::uuid_text:
    case Spelling::uint64_text:
    case Spelling::decimal_text:
    case Spelling::day32:
    case Spelling::day64:
    case Spelling::clock:
    case Spelling::timestamp:
    case Spelling::bytes: return false;
    default: return true;
  }
}

}  // namespace

std::string lead_of(const Type& member, size_t place, const JsonStyle& style) {
  return (place == 0 && !style.omit_nulls ? "" : ",") + json_string(member.name) + ":";
}

JsonNode make_node(const Type& type, const std::string& path, const std::string& lead, const JsonStyle& style) {
  JsonNode n;
  n.type = &type;
  n.spelling = spelling_of(type, style);
  n.style = style;
  n.by_dictionary = type.dictionary != nullptr;
  n.path = path;
  n.lead = lead;
  n.lead_size = lead.size();
  if (n.lead.size() < lead_pad) n.lead.resize(lead_pad);
  n.fixed = n.lead.size() + value_room(type);
  if (type.dictionary) {
    n.fixed = std::max(n.fixed, sizeof(DictionaryTexts::Member));
    n.children.push_back(make_node(*type.dictionary, path, "", style));
    return n;
  }
  switch (n.spelling) {
    case Spelling::timestamp:
      n.stamp = stamp_text(type, style);
      [[fallthrough]];
    case Spelling::day32:
    case Spelling::day64:
      n.days = std::make_shared<DayTexts>();
      break;
    case Spelling::structure:
      for (size_t c = 0; c < type.children.size(); ++c) {
        const Type& child = type.children[c];
        n.children.push_back(make_node(child, path + "." + child.name, lead_of(child, c, style), style));
        n.fixed += n.children.back().fixed;
      }
      break;
    case Spelling::map: {
      const Type& entries = type.children[0];
      JsonStyle of_key = style;
      of_key.non_finite = JsonStyle::NonFinite::null;  // what RowEncoder::key knows such a key by
      n.children.push_back(make_node(entries.children[0], path + "{key}", "", of_key));
      n.children.back().quoted_key = needs_quotes_as_key(entries.children[0], of_key);
      n.children.push_back(make_node(entries.children[1], path + "{}", "", style));
      break;
    }
    case Spelling::run_end:
      n.children.push_back(make_node(type.children[1], path, "", style));
      n.fixed += n.children.back().fixed;
      break;
    case Spelling::list:
      n.children.push_back(make_node(type.children[0], path + "[]", "", style));
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
      n.texts.members.assign(values <= most_members ? values : 0, {});
    }
    const bool usual = (n.type->kind == Kind::int32 || n.type->kind == Kind::uint32) && a.validity == nullptr;
    n.indices = usual && !n.texts.members.empty() ? a.values + a.offset * 4 : nullptr;
    open_node(n.children[0], *a.dictionary);
    return;
  }
  switch (n.spelling) {
    case Spelling::structure:
      for (size_t c = 0; c < n.children.size(); ++c) open_node(n.children[c], a.children[c]);
      break;
    case Spelling::map:
      open_node(n.children[0], a.children[0].children[0]);
      open_node(n.children[1], a.children[0].children[1]);
      break;
    case Spelling::run_end:
      open_node(n.children[0], a.children[1]);
      break;
    case Spelling::list:
      open_node(n.children[0], a.children[0]);
      break;
    default:
      break;
  }
}

}  // namespace penstock
