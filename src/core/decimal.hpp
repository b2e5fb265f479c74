// Decimals as digits: a minus sign, at least one digit before the point, the fraction without trailing zeros (or, where they are
// asked for, with all digits of its scale), never an exponent.
#pragma once

#include <cstdint>

namespace penstock {

// `bytes`: 4, 8, 16 or 32, little-endian two's complement, as Arrow stores it. Writes at most `decimal_room(scale)` bytes.
char* write_decimal(char* to, const uint8_t* value, int bytes, int32_t scale, bool keep_scale = false);

constexpr int64_t decimal_room(int32_t scale) { return 96 + (scale < 0 ? -static_cast<int64_t>(scale) : static_cast<int64_t>(scale)); }

}  // namespace penstock
