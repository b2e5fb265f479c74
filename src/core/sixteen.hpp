// 16 bytes looked at together: SSE2, NEON, or one by one.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace penstock {

// Masks have a bit set for each byte that is such a one, the lowest for the first.
//
//   special()        needs an escape in JSON: below 0x20, '"' or '\\'
//   marks(delimiter) asks for quotation marks in CSV: '"', CR, LF or the delimiter, of which `delimiter` holds 16
//   equal(c)         is c
//   high()           whether any is above 0x7f
#if defined(__SSE2__)
struct Sixteen {
  __m128i v;
  static Sixteen load(const uint8_t* s) { return {_mm_loadu_si128(reinterpret_cast<const __m128i*>(s))}; }
  static Sixteen all(uint8_t c) { return {_mm_set1_epi8(static_cast<char>(c))}; }
  void store(uint8_t* to) const { _mm_storeu_si128(reinterpret_cast<__m128i*>(to), v); }
  uint32_t special() const {
    const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
    const __m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
    const __m128i slash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
    return static_cast<uint32_t>(_mm_movemask_epi8(_mm_or_si128(control, _mm_or_si128(quote, slash))));
  }
  uint32_t marks(const Sixteen& delimiter) const {
    const __m128i ends = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\r')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\n')));
    const __m128i others = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, delimiter.v));
    return static_cast<uint32_t>(_mm_movemask_epi8(_mm_or_si128(ends, others)));
  }
  uint32_t equal(uint8_t c) const { return static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(v, all(c).v))); }
  bool high() const { return _mm_movemask_epi8(v) != 0; }
};
#elif defined(__ARM_NEON)
struct Sixteen {
  uint8x16_t v;
  static Sixteen load(const uint8_t* s) { return {vld1q_u8(s)}; }
  static Sixteen all(uint8_t c) { return {vdupq_n_u8(c)}; }
  void store(uint8_t* to) const { vst1q_u8(to, v); }
  uint32_t special() const {
    return mask(vorrq_u8(vcltq_u8(v, vdupq_n_u8(0x20)), vorrq_u8(vceqq_u8(v, vdupq_n_u8('"')), vceqq_u8(v, vdupq_n_u8('\\')))));
  }
  uint32_t marks(const Sixteen& delimiter) const {
    const uint8x16_t ends = vorrq_u8(vceqq_u8(v, vdupq_n_u8('\r')), vceqq_u8(v, vdupq_n_u8('\n')));
    return mask(vorrq_u8(ends, vorrq_u8(vceqq_u8(v, vdupq_n_u8('"')), vceqq_u8(v, delimiter.v))));
  }
  uint32_t equal(uint8_t c) const { return mask(vceqq_u8(v, vdupq_n_u8(c))); }
  bool high() const { return vmaxvq_u8(v) > 0x7f; }

 private:
  static uint32_t mask(uint8x16_t found) {
    // Four bits a byte, then one bit a byte.
    uint64_t nibbles = vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(found), 4)), 0);
    uint32_t bits = 0;
    while (nibbles != 0) {
      const int at = __builtin_ctzll(nibbles) >> 2;
      bits |= 1u << at;
      nibbles &= ~(0xfull << (at * 4));
    }
    return bits;
  }
};
#else
struct Sixteen {
  uint8_t v[16];
  static Sixteen load(const uint8_t* s) { Sixteen x; std::memcpy(x.v, s, 16); return x; }
  static Sixteen all(uint8_t c) { Sixteen x; std::memset(x.v, c, 16); return x; }
  void store(uint8_t* to) const { std::memcpy(to, v, 16); }
  uint32_t special() const {
    return mask([](uint8_t c) { return c < 0x20 || c == '"' || c == '\\'; });
  }
  uint32_t marks(const Sixteen& delimiter) const {
    return mask([&](uint8_t c) { return c == '"' || c == '\r' || c == '\n' || c == delimiter.v[0]; });
  }
  uint32_t equal(uint8_t c) const {
    return mask([&](uint8_t x) { return x == c; });
  }
  bool high() const {
    uint8_t any = 0;
    for (const uint8_t c : v) any |= c;
    return any > 0x7f;
  }

 private:
  template <typename Is>
  uint32_t mask(Is is) const {
    uint32_t bits = 0;
    for (int i = 0; i < 16; ++i) bits |= static_cast<uint32_t>(is(v[i])) << i;
    return bits;
  }
};
#endif

}  // namespace penstock
