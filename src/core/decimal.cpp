#include "decimal.hpp"

#include <cstring>

#include "number.hpp"

namespace penstock {

namespace {

constexpr uint64_t pow10_64[20] = {1ull, 10ull, 100ull, 1000ull, 10000ull, 100000ull, 1000000ull, 10000000ull, 100000000ull, 1000000000ull,
                                   10000000000ull, 100000000000ull, 1000000000000ull, 10000000000000ull, 100000000000000ull,
                                   1000000000000000ull, 10000000000000000ull, 100000000000000000ull, 1000000000000000000ull,
                                   10000000000000000000ull};

// The common case: the digits fit 64 bits and the scale leaves them split by one division.
char* write_small(char* to, uint64_t size, uint32_t scale, bool keep_scale) {
  if (scale <= 8) return write_scaled(to, size, scale, keep_scale);
  const uint64_t whole = size / pow10_64[scale];
  uint64_t part = size - whole * pow10_64[scale];
  to = write_uint(to, whole);
  uint32_t digits = scale;
  if (!keep_scale) {
    if (part == 0) return to;
    while (part % 10 == 0) {
      part /= 10;
      --digits;
    }
  }
  if (digits == 0) return to;
  *to++ = '.';
  for (uint32_t i = digits; i-- > 0; part /= 10) to[i] = static_cast<char>('0' + part % 10);
  return to + digits;
}

}  // namespace

char* write_decimal(char* to, const uint8_t* value, int bytes, int32_t scale, bool keep_scale) {
  if (bytes == 16 && scale >= 0 && scale <= 8) {  // most decimals there are
    int64_t word[2];
    std::memcpy(word, value, 16);
    if (word[1] == word[0] >> 63) {
      *to = '-';
      const bool negative = word[0] < 0;
      return write_scaled(to + negative, negative ? uint64_t{0} - static_cast<uint64_t>(word[0]) : static_cast<uint64_t>(word[0]),
                          static_cast<uint32_t>(scale), keep_scale);
    }
  }
  uint64_t limb[4];
  const int limbs = bytes <= 8 ? 1 : bytes / 8;
  if (bytes == 4) {
    int32_t v;
    std::memcpy(&v, value, 4);
    limb[0] = static_cast<uint64_t>(static_cast<int64_t>(v));
  } else {
    std::memcpy(limb, value, static_cast<size_t>(limbs) * 8);
  }
  if (static_cast<int64_t>(limb[limbs - 1]) < 0) {
    *to++ = '-';
    uint64_t carry = 1;
    for (int i = 0; i < limbs; ++i) {
      limb[i] = ~limb[i] + carry;
      carry = carry != 0 && limb[i] == 0 ? 1 : 0;
    }
  }
  int used = limbs;
  while (used > 1 && limb[used - 1] == 0) --used;
  if (used == 1 && scale >= 0 && scale < 20) return write_small(to, limb[0], static_cast<uint32_t>(scale), keep_scale);

  // All digits, 19 at a time from the low end, by long division of the limbs.
  char digits[96];
  char* const end = digits + sizeof digits;
  char* first = end;
  while (used > 0) {
    unsigned __int128 rest = 0;
    for (int i = used; i-- > 0;) {
      const unsigned __int128 v = (rest << 64) | limb[i];
      limb[i] = static_cast<uint64_t>(v / pow10_64[19]);
      rest = v % pow10_64[19];
    }
    while (used > 0 && limb[used - 1] == 0) --used;
    auto part = static_cast<uint64_t>(rest);
    for (int i = 0; i < 19; ++i, part /= 10) *--first = static_cast<char>('0' + part % 10);
  }
  while (first < end && *first == '0') ++first;
  const int32_t count = static_cast<int32_t>(end - first);
  if (count == 0) {
    *to++ = '0';
    if (!keep_scale || scale <= 0) return to;
    *to++ = '.';
    std::memset(to, '0', static_cast<size_t>(scale));
    return to + scale;
  }
  if (scale <= 0) {
    std::memcpy(to, first, static_cast<size_t>(count));
    std::memset(to + count, '0', static_cast<size_t>(-scale));
    return to + count - scale;
  }
  const int32_t whole = count - scale;
  if (whole <= 0) {
    *to++ = '0';
  } else {
    std::memcpy(to, first, static_cast<size_t>(whole));
    to += whole;
    first += whole;
  }
  const char* last = end;
  while (!keep_scale && last > first && last[-1] == '0') --last;
  if (last == first) return to;
  *to++ = '.';
  if (whole < 0) {
    std::memset(to, '0', static_cast<size_t>(-whole));
    to += -whole;
  }
  std::memcpy(to, first, static_cast<size_t>(last - first));
  return to + (last - first);
}

}  // namespace penstock
