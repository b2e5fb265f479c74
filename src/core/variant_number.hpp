// Numbers of VARIANT text that need arithmetic: those with an exponent, or with more digits than are surely exact.
#pragma once

#include <cstddef>
#include <cstdint>

namespace penstock {

// A number of valid JSON as it stands in the text, by pointers into it: [whole, whole_end) the digits before the point,
// [fraction, fraction_end) those after it (none: equal), `exponent` what e or E says.
struct ScaledNumber {
  const uint8_t* token;  // its first byte, '-' or a digit
  const uint8_t* whole;
  const uint8_t* whole_end;
  const uint8_t* fraction;
  const uint8_t* fraction_end;
  const uint8_t* token_end;
  int64_t exponent;
};

// Room write_scaled needs at `out`: a sign, "0." and 255 places, with some to spare.
constexpr size_t LONGEST_NUMBER = 320;

// Writes the number as an exact decimal of at most 127 bits and 255 places, digits beyond 127 bits cut off, or else as
// the nearest double (variant.hpp tells the whole rule and its source). Returns the end of the text; null, with nothing
// written that counts, when the number is beyond the range of double.
char* write_scaled(char* out, const ScaledNumber& number);

}  // namespace penstock
