#include "number.hpp"

#include <charconv>
#include <cmath>
#include <cstring>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "digits are laid out in little-endian words"
#endif

namespace penstock {
namespace {

constexpr uint64_t ZEROS = 0x3030303030303030u;  // "00000000"
constexpr uint64_t TEN_8 = 100000000u;
constexpr uint64_t TEN_16 = 10000000000000000u;

// Exact in a double up to 10^22, in a float up to 10^10.
constexpr double POWERS[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

constexpr uint64_t INTEGER_POWERS[] = {1,
                                       10,
                                       100,
                                       1000,
                                       10000,
                                       100000,
                                       1000000,
                                       10000000,
                                       100000000,
                                       1000000000,
                                       10000000000,
                                       100000000000,
                                       1000000000000,
                                       10000000000000,
                                       100000000000000,
                                       1000000000000000};

// The eight decimal digits of v < 10^8, one per byte, the leading digit in the lowest byte. Halving the number into
// lanes costs three rounds of multiplications whatever the width, so widths that vary down a column are not branches.
inline uint64_t digits8(uint32_t v) {
  // q | (v - q * d) << n, the quotient beside the remainder, is v << n less q times ((d << n) - 1)
  const uint64_t top = v / 10000;
  const uint64_t fours = (uint64_t{v} << 32) - top * ((uint64_t{10000} << 32) - 1);
  const uint64_t hundreds = (fours * 10486 >> 20) & 0x0000007f0000007fu;  // exact for lanes below 10^4
  const uint64_t twos = (fours << 16) - hundreds * ((100 << 16) - 1);
  const uint64_t tens = (twos * 103 >> 10) & 0x000f000f000f000fu;  // exact for lanes below 100
  return (twos << 8) - tens * ((10 << 8) - 1);
}

inline void store8(char* out, uint64_t bytes) { std::memcpy(out, &bytes, 8); }

// v < 10^8 without leading zeros.
inline char* write_below_1e8(char* out, uint32_t v) {
  const uint64_t digits = digits8(v);
  const uint64_t shift = static_cast<uint64_t>(__builtin_ctzll(digits | uint64_t{1} << 56)) & 56;  // a last 0 stays
  store8(out, (digits | ZEROS) >> shift);
  return out + (8 - (shift >> 3));
}

inline char* write_null(char* out) {
  std::memcpy(out, "null", 4);
  return out + 4;
}

// m / 10^places for m < 10^15 in plain form, `whole` its integer part: trailing zeros of the fraction dropped, one
// fraction digit kept. 1 <= places <= 15. Up to 8 places the digits never leave a register.
inline char* write_short_decimal(char* out, uint64_t m, int places, uint64_t whole, uint64_t power) {
  if (m < TEN_8 && places < 8) {
    const uint64_t digits = digits8(static_cast<uint32_t>(m));
    const int point = 8 - places;  // index of the first fraction digit
    const int lead = __builtin_ctzll(digits | uint64_t{1} << (8 * (point - 1))) >> 3;
    const int trail = __builtin_clzll(digits | uint64_t{1} << (8 * point)) >> 3;
    const uint64_t text = digits | ZEROS;
    store8(out, text >> (8 * lead));
    out += point - lead;
    *out++ = '.';
    store8(out, text >> (8 * point));
    return out + places - trail;
  }
  if (places <= 8) {
    out = write_uint(out, whole);
    *out++ = '.';
    const uint64_t digits = digits8(static_cast<uint32_t>(m - whole * power)) >> (8 * (8 - places));
    store8(out, digits | ZEROS);
    return out + 8 - (__builtin_clzll(digits | 1) >> 3);
  }
  const uint64_t high = digits8(static_cast<uint32_t>(m / TEN_8));
  const uint64_t low = digits8(static_cast<uint32_t>(m % TEN_8));
  char text[32] = {};  // 16 digits; the copies below run past them
  store8(text, high | ZEROS);
  store8(text + 8, low | ZEROS);
  int lead = high != 0 ? __builtin_ctzll(high) >> 3 : 8 + (__builtin_ctzll(low | uint64_t{1} << 56) >> 3);
  int trail = low != 0 ? __builtin_clzll(low) >> 3 : 8 + (__builtin_clzll(high | 1) >> 3);
  const int point = 16 - places;
  if (lead > point - 1) lead = point - 1;
  if (trail > places - 1) trail = places - 1;
  std::memcpy(out, text + lead, 16);
  out += point - lead;
  *out++ = '.';
  std::memcpy(out, text + point, 16);
  return out + places - trail;
}

// Lays out the shortest digits that to_chars found. `plain_from` <= exponent of the leading digit < `plain_to` is
// plain. Tells the number of digits and of decimal places, for the hint.
template <typename Real>
char* write_shortest(char* out, Real v, int plain_from, int plain_to, int& count, int& places) {
  char text[40];
  char* const end = std::to_chars(text, text + sizeof text, v, std::chars_format::scientific).ptr;
  // d[.ddd]e±XX[X], not negative
  const char* mark = end - 4;
  if (*mark != 'e') --mark;
  int exponent = 0;
  for (const char* p = mark + 2; p < end; ++p) exponent = exponent * 10 + (*p - '0');
  if (mark[1] == '-') exponent = -exponent;
  count = mark == text + 1 ? 1 : static_cast<int>(mark - text) - 1;
  places = count - 1 - exponent;
  if (exponent < plain_from || exponent >= plain_to) {
    const int mantissa = static_cast<int>(mark - text);
    std::memcpy(out, text, 24);
    out += mantissa;
    *out++ = 'e';
    if (exponent < 0) {
      *out++ = '-';
      exponent = -exponent;
    }
    return write_below_1e8(out, static_cast<uint32_t>(exponent));
  }
  text[1] = text[0];  // the digits without their point: text[1 .. count]
  const char* digits = text + 1;
  if (exponent < 0) {
    std::memcpy(out, "0.000000", 8);
    out += 1 - exponent;
    std::memcpy(out, digits, 17);
    return out + count;
  }
  const int whole = exponent + 1;
  std::memcpy(out, "0000000000000000", 16);
  std::memcpy(out, digits, static_cast<size_t>(count < whole ? count : whole));
  out += whole;
  *out++ = '.';
  if (count <= whole) {
    *out = '0';
    return out + 1;
  }
  std::memcpy(out, digits + whole, 8);
  if (count - whole > 8) std::memcpy(out + 8, digits + whole + 8, 8);
  return out + (count - whole);
}

// A hint of 1..15 is the number of places to try, 0 a column not seen yet. A negative one counts up: so many values
// skip the trial, because the last one met a value without a short form and a column of such would pay each time.
constexpr int FIRST_GUESS = 2;
constexpr int SKIPPED = -7;

inline void learn(int& hint, bool is_short, int places, int most_places) {
  if (!is_short) {
    if (hint >= 0) hint = SKIPPED;
  } else if (places <= most_places) {
    hint = places < 1 ? 1 : places;
  }
}

}  // namespace

char* write_uint(char* out, uint64_t v) {
  if (v < TEN_8) return write_below_1e8(out, static_cast<uint32_t>(v));
  if (v < TEN_16) {
    const uint64_t high = v / TEN_8;
    out = write_below_1e8(out, static_cast<uint32_t>(high));
    store8(out, digits8(static_cast<uint32_t>(v - high * TEN_8)) | ZEROS);
    return out + 8;
  }
  const uint64_t top = v / TEN_16;
  const uint64_t rest = v - top * TEN_16;
  const uint64_t high = rest / TEN_8;
  out = write_below_1e8(out, static_cast<uint32_t>(top));
  store8(out, digits8(static_cast<uint32_t>(high)) | ZEROS);
  store8(out + 8, digits8(static_cast<uint32_t>(rest - high * TEN_8)) | ZEROS);
  return out + 16;
}

char* write_scaled(char* out, uint64_t v, uint32_t scale, bool keep_scale) {
  // Money is met most, and a division by a constant is a multiplication.
  const uint64_t whole = scale == 2 ? v / 100 : v / INTEGER_POWERS[scale];
  const uint64_t part = v - whole * INTEGER_POWERS[scale];
  out = write_uint(out, whole);
  // The fraction's digits from the left, and zeros behind them: the highest bytes that are 0 are the zeros at its end.
  const uint64_t digits = digits8(static_cast<uint32_t>(part * INTEGER_POWERS[8 - scale]));
  *out = '.';
  store8(out + 1, digits | ZEROS);
  const uint32_t kept = keep_scale ? scale : digits == 0 ? 0 : 8 - static_cast<uint32_t>(__builtin_clzll(digits)) / 8;
  return out + (kept == 0 ? 0 : 1 + kept);
}

char* write_int(char* out, int64_t v) {
  *out = '-';
  const bool negative = v < 0;
  return write_uint(out + negative, negative ? uint64_t{0} - static_cast<uint64_t>(v) : static_cast<uint64_t>(v));
}

// m = round(v * 10^k) below 10^15 with m / 10^k == v: m and 10^k are exact and division rounds correctly, so the text
// of m / 10^k reads back as v; decimals of at most 15 digits that read as one double are equal, so no other, shorter
// or nearer, exists. The same holds for float with 6 digits and float division. The integer part of v is that of
// m / 10^k: rounding keeps order, and v equals an integer only when m / 10^k does.
char* write_double(char* out, double v, int& hint) {
  const bool negative = std::signbit(v);
  *out = '-';
  out += negative;
  v = std::fabs(v);
  if (hint >= 0) {
    const int k = hint >= 1 && hint <= 15 ? hint : FIRST_GUESS;
    const double scaled = v * POWERS[k];
    if (scaled < 999999999999999.0 && (v >= 1e-5 || v == 0)) {
      const int64_t m = static_cast<int64_t>(scaled + 0.5);
      if (static_cast<double>(m) / POWERS[k] == v) {
        return write_short_decimal(out, static_cast<uint64_t>(m), k, static_cast<uint64_t>(v), INTEGER_POWERS[k]);
      }
    }
  } else {
    ++hint;
  }
  if (!std::isfinite(v)) return write_null(out - negative);
  int count;
  int places;
  out = write_shortest(out, v, -5, 16, count, places);
  learn(hint, count <= 15, places, 15);
  return out;
}

char* write_float(char* out, float v, int& hint) {
  const bool negative = std::signbit(v);
  *out = '-';
  out += negative;
  v = std::fabs(v);
  if (hint >= 0) {
    const int k = hint >= 1 && hint <= 10 ? hint : FIRST_GUESS;
    const float power = static_cast<float>(POWERS[k]);
    const float scaled = v * power;
    if (scaled < 999999.0f && (v >= 1e-6f || v == 0)) {
      const int32_t m = static_cast<int32_t>(scaled + 0.5f);
      if (static_cast<float>(m) / power == v) {
        return write_short_decimal(out, static_cast<uint64_t>(m), k, static_cast<uint64_t>(v), INTEGER_POWERS[k]);
      }
    }
  } else {
    ++hint;
  }
  if (!std::isfinite(v)) return write_null(out - negative);
  int count;
  int places;
  out = write_shortest(out, v, -6, 13, count, places);
  learn(hint, count <= 6, places, 10);
  return out;
}

char* write_double(char* out, double v) {
  int hint = 0;
  return write_double(out, v, hint);
}

char* write_float(char* out, float v) {
  int hint = 0;
  return write_float(out, v, hint);
}

float widen(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = (half >> 10) & 31;
  const uint32_t mantissa = half & 0x3ff;
  if (exponent == 0) return std::copysign(std::ldexp(static_cast<float>(mantissa), -24), sign != 0 ? -1.0f : 1.0f);
  const uint32_t word = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | (mantissa << 13);
  float f;
  std::memcpy(&f, &word, 4);
  return f;
}

}  // namespace penstock
