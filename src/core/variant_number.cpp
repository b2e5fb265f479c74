#include "variant_number.hpp"

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string>

#include "number.hpp"

namespace penstock {
namespace {

__extension__ typedef unsigned __int128 Wide;

constexpr Wide MOST = ~Wide{0} >> 1;
constexpr int MOST_PLACES = 255;

// significand / 10^places; significand > 0.
char* write_decimal(char* out, Wide significand, size_t places) {
  char text[40];
  char* const end = text + sizeof text;
  char* digits = end;
  for (; significand != 0; significand /= 10) *--digits = static_cast<char>('0' + static_cast<int>(significand % 10));
  const size_t count = static_cast<size_t>(end - digits);
  if (count > places) {
    const size_t whole = count - places;
    std::memcpy(out, digits, whole);
    out += whole;
    if (places == 0) return out;
    *out++ = '.';
    std::memcpy(out, digits + whole, places);
    return out + places;
  }
  *out++ = '0';
  *out++ = '.';
  std::memset(out, '0', places - count);
  out += places - count;
  std::memcpy(out, digits, count);
  return out + count;
}

// The number as the nearest double: beyond the decimal's range it is large or has too many places, never between.
char* write_nearest_double(char* out, const ScaledNumber& number, bool is_large) {
  double value = 0;
  const char* const text = reinterpret_cast<const char*>(number.token);
  const char* const end = reinterpret_cast<const char*>(number.token_end);
#if defined(__cpp_lib_to_chars)
  const bool is_outside = std::from_chars(text, end, value).ec != std::errc();
#else
  value = std::strtod(std::string(text, end).c_str(), nullptr);  // from_chars of this library reads integers only
  const bool is_outside = value == 0 || value - value != 0;
#endif
  if (!is_outside) return write_double(out, value);
  if (is_large) return nullptr;
  *out = '0';
  return out + 1;
}

}  // namespace

char* write_scaled(char* out, const ScaledNumber& number) {
  Wide significand = 0;  // the value is significand * 10^exponent
  int64_t exponent = number.exponent;
  for (const uint8_t* p = number.whole; p < number.whole_end; ++p) {
    if (significand < MOST / 10) {
      significand = significand * 10 + static_cast<Wide>(*p - '0');
    } else {
      ++exponent;
    }
  }
  for (const uint8_t* p = number.fraction; p < number.fraction_end && significand < MOST / 10; ++p) {
    significand = significand * 10 + static_cast<Wide>(*p - '0');
    --exponent;
  }
  if (significand == 0) {
    *out = '0';
    return out + 1;
  }
  for (; exponent < 0 && significand % 10 == 0; ++exponent) significand /= 10;
  for (; exponent > 0 && significand <= MOST / 10; --exponent) significand *= 10;
  if (exponent > 0 || exponent < -MOST_PLACES) return write_nearest_double(out, number, exponent > 0);
  if (*number.token == '-') *out++ = '-';
  return write_decimal(out, significand, static_cast<size_t>(-exponent));
}

}  // namespace penstock
