// VARIANT columns and arrow.json: JSON text rewritten in the form the default flavor gives it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace penstock {

// Levels of arrays and objects inside one another that a text may have. Feldera's own reader stops at 127 and Jackson's
// at 1000, the levels of the event around the value included.
constexpr int JSON_DEPTH = 512;

// Appends the one JSON value that `text` holds, rewritten, to `out`; true. Otherwise false, `out` as it was, and `why`
// one sentence with the byte where it went wrong, counted from 0.
//
//   white space   none
//   objects       keys in the order of their UTF-8 bytes; of a repeated key the last value
//   strings       \" \\ \b \f \n \r \t, other bytes below 0x20 as \u00xx, all else as it is in UTF-8; \u escapes are
//                 decoded, a surrogate without its partner is an error, so are bytes that are not UTF-8
//   integers      their own digits, however many; -0 is 0
//   fractions     exact decimals without an exponent or trailing zeros: 2.50 is 2.5, 5.0 is 5, 1e3 is 1000, 1e-7 is
//                 0.0000001, -0.0 is 0. Of more digits than 128 bits hold (38, some 39) the rest are cut off
//   the rest      what that decimal cannot hold, beyond 2^127 or with more than 255 places, is the nearest double as
//                 write_double gives it: 1e39, 2.5e-300; beyond the range of double it is an error, below it 0
//
// Work memory is kept per thread for the next call, at most 1.5 MiB of it.
//
// Source: Feldera crates/sqllib/src/variant.rs (integers of 64 bits, other numbers decimals, maps sorted), crates/fxp
// lib.rs parse_decimal and dynamic.rs (digits cut, places). There numbers of the last row are refused when large and 0
// when small, and integers beyond 128 bits are refused; here no row is given up for a number that JSON can say.
// `decimal_text`: numbers that are decimals (all but integers) as strings, which the postgres flavor makes of them.
bool rewrite_json(const uint8_t* text, size_t size, std::string& out, std::string& why, bool decimal_text = false);

}  // namespace penstock
