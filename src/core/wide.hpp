// Signed integers of 256 bits, as far as decimals need them: read, multiplied by a power of ten, compared, written big-endian.
#pragma once

#include <cstdint>
#include <cstring>

namespace penstock {

struct Wide {
  uint64_t limb[4] = {0, 0, 0, 0};  // magnitude, least significant first
  bool negative = false;

  // `width`: 4, 8, 16 or 32, little-endian two's complement, as Arrow stores it.
  static Wide load(const uint8_t* from, int width) {
    Wide w;
    if (width == 4) {
      int32_t v;
      std::memcpy(&v, from, 4);
      w.limb[0] = static_cast<uint64_t>(static_cast<int64_t>(v));
    } else {
      std::memcpy(w.limb, from, static_cast<size_t>(width));
    }
    const int limbs = width <= 8 ? 1 : width / 8;
    w.negative = static_cast<int64_t>(w.limb[limbs - 1]) < 0;
    for (int i = limbs; i < 4; ++i) w.limb[i] = w.negative ? ~uint64_t{0} : 0;
    if (w.negative) w.negate();
    return w;
  }

  static Wide power_of_ten(int32_t exponent) {
    Wide w;
    w.limb[0] = 1;
    if (!w.multiply(exponent)) std::memset(w.limb, 0xff, sizeof w.limb);  // beyond what decimals hold: no limit
    return w;
  }

  // Times 10^exponent. False: no room in 255 bits, and what stands here means nothing.
  bool multiply(int32_t exponent) {
    for (; exponent > 0; --exponent) {
      unsigned __int128 carry = 0;
      for (uint64_t& part : limb) {
        carry += static_cast<unsigned __int128>(part) * 10;
        part = static_cast<uint64_t>(carry);
        carry >>= 64;
      }
      if (carry != 0 || (limb[3] >> 63) != 0) return false;
      if ((limb[0] | limb[1] | limb[2] | limb[3]) == 0) return true;
    }
    return true;
  }

  bool magnitude_below(const Wide& other) const {
    for (int i = 3; i >= 0; --i) {
      if (limb[i] != other.limb[i]) return limb[i] < other.limb[i];
    }
    return false;
  }

  // The fewest bytes of two's complement that hold it, at least one.
  int bytes() const {
    Wide w = *this;
    if (negative) w.decrease();  // -128 needs no more bits than 127
    int top = 3;
    while (top > 0 && w.limb[top] == 0) --top;
    const int bits = w.limb[top] == 0 ? 0 : 64 * top + 64 - __builtin_clzll(w.limb[top]);
    return bits / 8 + 1;
  }

  // Big-endian two's complement of `size` bytes, sign-extended.
  void store(uint8_t* to, int size) const {
    Wide w = *this;
    if (negative) w.negate();
    const uint8_t sign = negative ? 0xff : 0;
    for (int i = 0; i < size; ++i) {
      to[size - 1 - i] = i < 32 ? static_cast<uint8_t>(w.limb[i / 8] >> (8 * (i % 8))) : sign;
    }
  }

 private:
  void negate() {
    uint64_t carry = 1;
    for (uint64_t& part : limb) {
      part = ~part + carry;
      carry = carry != 0 && part == 0 ? 1 : 0;
    }
  }
  void decrease() {
    for (uint64_t& part : limb) {
      if (part-- != 0) return;
    }
  }
};

}  // namespace penstock
