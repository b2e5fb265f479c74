// How a value is spelled in JSON where the connector's flavors, or our own options on top of them, differ.
//
// A style is looked at when a RowEncoder is made, never for a row.
#pragma once

#include <cstdint>
#include <string>

namespace penstock {

struct JsonStyle {
  enum class Day : uint8_t { text, days };
  enum class Clock : uint8_t { text, millis, micros };
  enum class Stamp : uint8_t {
    spaced,  // 2018-06-20 13:37:03, and +00:00 behind it where the column has a zone
    offset,  // 2018-06-20T13:37:03+00:00 with a zone or without
    utc,     // 2018-06-20T13:37:03UTC, as debezium_mysql has it
    iso,     // 2018-06-20T13:37:03, and +00:00 where the column has a zone
    millis,  // since 1970
  };
  enum class Binary : uint8_t { list, backslash_x, zero_x, base58, base64 };
  enum class NonFinite : uint8_t { null, error, text };

  Day day = Day::text;
  Clock clock = Clock::text;
  Stamp timestamp = Stamp::spaced;
  Stamp zoned = Stamp::spaced;
  Binary binary = Binary::list;
  NonFinite non_finite = NonFinite::null;
  bool decimal_text = false;   // "1.5" instead of 1.5
  bool keep_scale = false;     // 1.500 instead of 1.5
  bool uint64_text = false;    // for a schema that calls them strings
  bool variant_text = false;   // a string that holds the JSON text, always in the default flavor
  bool omit_nulls = false;     // members of rows and structs; never a list's items or a map's entries
};

// False: no flavor of the connector is called so.
bool find_flavor(const std::string& name, JsonStyle& style);

}  // namespace penstock
