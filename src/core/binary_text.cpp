#include "binary_text.hpp"

#include <algorithm>

namespace penstock {

namespace {

constexpr char base58_digits[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
constexpr char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr uint32_t five_digits = 58 * 58 * 58 * 58 * 58;

}  // namespace

void write_hex(Out& out, const char* prefix, size_t prefix_size, const uint8_t* s, size_t size, size_t reserve) {
  static constexpr char digits[] = "0123456789abcdef";
  out.need(2 * size + prefix_size + 2 + reserve);
  uint8_t* p = out.p;
  *p++ = '"';
  std::memcpy(p, prefix, prefix_size);
  p += prefix_size;
  for (size_t i = 0; i < size; ++i) {
    *p++ = static_cast<uint8_t>(digits[s[i] >> 4]);
    *p++ = static_cast<uint8_t>(digits[s[i] & 15]);
  }
  *p++ = '"';
  out.p = p;
}

void write_base58(Out& out, const uint8_t* s, size_t size, std::vector<uint32_t>& work, size_t reserve) {
  size_t zeros = 0;
  while (zeros < size && s[zeros] == 0) ++zeros;
  // The number in limbs of five digits, the lowest first: times 2^32 and plus four bytes at a time, so that the carry of the
  // product (below 58^5 * 2^32 < 2^64) is one division by a constant.
  work.clear();
  size_t at = zeros;
  while (at < size) {
    const size_t step = std::min<size_t>(size - at, (size - at) % 4 == 0 ? 4 : (size - at) % 4);
    uint64_t carry = 0;
    for (size_t k = 0; k < step; ++k) carry = carry << 8 | s[at + k];
    at += step;
    for (uint32_t& limb : work) {
      const uint64_t v = (static_cast<uint64_t>(limb) << (8 * step)) + carry;
      carry = v / five_digits;
      limb = static_cast<uint32_t>(v - carry * five_digits);
    }
    for (; carry != 0; carry /= five_digits) work.push_back(static_cast<uint32_t>(carry % five_digits));
  }
  out.need(zeros + 5 * work.size() + 2 + reserve);
  uint8_t* p = out.p;
  *p++ = '"';
  std::memset(p, base58_digits[0], zeros);
  p += zeros;
  for (size_t k = work.size(); k-- > 0;) {
    uint8_t five[5];
    uint32_t limb = work[k];
    for (size_t d = 5; d-- > 0; limb /= 58) five[d] = static_cast<uint8_t>(base58_digits[limb % 58]);
    size_t first = 0;
    if (k + 1 == work.size()) {  // the highest one has no digits before its first
      while (five[first] == static_cast<uint8_t>(base58_digits[0])) ++first;
    }
    std::memcpy(p, five + first, 5 - first);
    p += 5 - first;
  }
  *p++ = '"';
  out.p = p;
}

void write_base64(Out& out, const uint8_t* s, size_t size, size_t reserve) {
  out.need((size + 2) / 3 * 4 + 2 + reserve);
  uint8_t* p = out.p;
  const auto four = [&p](uint32_t v) {
    p[0] = static_cast<uint8_t>(base64_digits[v >> 18]);
    p[1] = static_cast<uint8_t>(base64_digits[v >> 12 & 63]);
    p[2] = static_cast<uint8_t>(base64_digits[v >> 6 & 63]);
    p[3] = static_cast<uint8_t>(base64_digits[v & 63]);
    p += 4;
  };
  *p++ = '"';
  size_t i = 0;
  for (; i + 3 <= size; i += 3) four(static_cast<uint32_t>(s[i]) << 16 | static_cast<uint32_t>(s[i + 1]) << 8 | s[i + 2]);
  if (size - i == 1) {
    four(static_cast<uint32_t>(s[i]) << 16);
    p[-1] = p[-2] = '=';
  } else if (size - i == 2) {
    four(static_cast<uint32_t>(s[i]) << 16 | static_cast<uint32_t>(s[i + 1]) << 8);
    p[-1] = '=';
  }
  *p++ = '"';
  out.p = p;
}

}  // namespace penstock
