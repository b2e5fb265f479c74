// Numbers as JSON text: integers, and floats in their shortest decimal form that reads back as the same value.
//
// Every function writes at `out`, returns the end of the text, and may scribble on bytes after that end: the caller
// keeps NUMBER_ROOM bytes free from `out` on. Nothing is terminated by a zero byte. No locale, no allocation.
#pragma once

#include <cstdint>

namespace penstock {

// Room every call below needs, text and scribble together; the longest text is "-2.2250738585072014e-308" (24 bytes).
constexpr int NUMBER_ROOM = 32;

char* write_int(char* out, int64_t v);
char* write_uint(char* out, uint64_t v);

// v / 10^scale, scale from 0 to 8, without zeros at the end of the fraction unless they are kept. Needs 9 bytes of room more.
char* write_scaled(char* out, uint64_t v, uint32_t scale, bool keep_scale);

// DOUBLE: plain with at least one fraction digit for 1e-5 <= |v| < 1e16 and for zero ("1.0", "-0.0", "0.00001"), else
// an exponent without '+' ("1e16", "5e-324"). NaN and the infinities have no form in JSON and become null.
char* write_double(char* out, double v);
// REAL: the same, shortest for float32, plain for 1e-6 <= |v| < 1e13.
char* write_float(char* out, float v);

// The same text, faster down a column of short decimals: `hint` carries the number of decimal places from one value to
// the next. Start it at 0 for each column and leave it alone in between; any value is safe, only speed depends on it.
char* write_double(char* out, double v, int& hint);
char* write_float(char* out, float v, int& hint);

// A float16, given as its bits, as the float32 that equals it.
float widen(uint16_t half);

}  // namespace penstock
