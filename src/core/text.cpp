#include "text.hpp"

#include <array>

#include "sixteen.hpp"

namespace penstock {

namespace {

// 0: as it is; 'u': \u00xx; else the letter after the backslash.
constexpr std::array<uint8_t, 256> make_escapes() {
  std::array<uint8_t, 256> t{};
  for (int c = 0; c < 0x20; ++c) t[static_cast<size_t>(c)] = 'u';
  t['"'] = '"';
  t['\\'] = '\\';
  t['\b'] = 'b';
  t['\f'] = 'f';
  t['\n'] = 'n';
  t['\r'] = 'r';
  t['\t'] = 't';
  return t;
}
constexpr std::array<uint8_t, 256> escapes = make_escapes();

constexpr char hex[] = "0123456789abcdef";

// Every byte value as `n,`: length in the first byte.
struct ByteText {
  uint8_t size;
  uint8_t text[4];
};
std::array<ByteText, 256> make_byte_texts() {
  std::array<ByteText, 256> t{};
  for (int v = 0; v < 256; ++v) {
    const std::string s = std::to_string(v) + ",";
    ByteText& b = t[static_cast<size_t>(v)];
    b.size = static_cast<uint8_t>(s.size());
    std::memcpy(b.text, s.data(), s.size());
  }
  return t;
}
const std::array<ByteText, 256> byte_texts = make_byte_texts();

inline uint8_t* write_escape(uint8_t* to, uint8_t c) {
  const uint8_t e = escapes[c];
  *to++ = '\\';
  *to++ = e;
  if (e != 'u') return to;
  *to++ = '0';
  *to++ = '0';
  *to++ = static_cast<uint8_t>(hex[c >> 4]);
  *to++ = static_cast<uint8_t>(hex[c & 15]);
  return to;
}

inline bool special8(uint64_t w) {  // any of 8 bytes below 0x20, '"' or '\\'; may say yes to a neighbour of a high byte
  constexpr uint64_t ones = 0x0101010101010101ull;
  constexpr uint64_t tops = 0x8080808080808080ull;
  const uint64_t quote = w ^ (ones * '"');
  const uint64_t slash = w ^ (ones * '\\');
  return ((((w - ones * 0x20) & ~w) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash)) & tops) != 0;
}

}  // namespace

bool valid_utf8(const uint8_t* s, size_t size) {
  const uint8_t* const end = s + size;
  while (s < end) {
    if (end - s >= 8) {
      uint64_t w;
      std::memcpy(&w, s, 8);
      if ((w & 0x8080808080808080ull) == 0) {
        s += 8;
        continue;
      }
    }
    const uint8_t c = *s;
    if (c < 0x80) {
      ++s;
      continue;
    }
    const auto tail = [&](int n) { return s + n < end && (s[n] & 0xc0) == 0x80; };
    if (c >= 0xc2 && c <= 0xdf) {
      if (!tail(1)) return false;
      s += 2;
    } else if (c >= 0xe0 && c <= 0xef) {
      if (!tail(1) || !tail(2)) return false;
      if (c == 0xe0 && s[1] < 0xa0) return false;
      if (c == 0xed && s[1] > 0x9f) return false;  // a surrogate
      s += 3;
    } else if (c >= 0xf0 && c <= 0xf4) {
      if (!tail(1) || !tail(2) || !tail(3)) return false;
      if (c == 0xf0 && s[1] < 0x90) return false;
      if (c == 0xf4 && s[1] > 0x8f) return false;
      s += 4;
    } else {
      return false;
    }
  }
  return true;
}

size_t copy_plain(uint8_t* to, const uint8_t* s, size_t size, bool& high) {
  size_t i = 0;
  while (i + 16 <= size) {
    const Sixteen x = Sixteen::load(s + i);
    x.store(to + i);
    high |= x.high();
    const uint32_t mask = x.special();
    if (mask != 0) return i + static_cast<size_t>(__builtin_ctz(mask));
    i += 16;
  }
  // Never a read past the end: the bytes may be the caller's own, at the end of a page.
  if (size - i >= 8) {
    uint64_t w;
    std::memcpy(&w, s + i, 8);
    std::memcpy(to + i, &w, 8);
    if (!special8(w)) {
      high |= (w & 0x8080808080808080ull) != 0;
      i += 8;
    }
  }
  if (size - i >= 4 && size - i < 8) {
    // Two overlapping halves cover 4 to 7 bytes.
    uint32_t a;
    uint32_t b;
    std::memcpy(&a, s + i, 4);
    std::memcpy(&b, s + size - 4, 4);
    std::memcpy(to + i, &a, 4);
    std::memcpy(to + size - 4, &b, 4);
    const uint64_t w = (static_cast<uint64_t>(b) << 32) | a;
    if (!special8(w)) {
      high |= (w & 0x8080808080808080ull) != 0;
      return size;
    }
  }
  for (; i < size; ++i) {
    const uint8_t c = s[i];
    if (escapes[c] != 0) return i;
    high |= c > 0x7f;
    to[i] = c;
  }
  return size;
}

uint8_t* write_string_piece(uint8_t* to, const uint8_t* s, size_t size, bool& high) {
  for (;;) {
    const size_t plain = copy_plain(to, s, size, high);
    to += plain;
    s += plain;
    size -= plain;
    if (size == 0) return to;
    do {
      to = write_escape(to, *s++);
      --size;
    } while (size != 0 && escapes[*s] != 0);
  }
}

bool write_string(Out& out, const uint8_t* s, size_t size, size_t reserve) {
  constexpr size_t piece = 4096;  // so that a long string does not ask for six times its size at once
  bool high = false;
  out.need(6 * (size < piece ? size : piece) + 34 + reserve);
  *out.p++ = '"';
  const uint8_t* const start = s;
  const size_t whole = size;
  while (size > piece) {
    out.p = write_string_piece(out.p, s, piece, high);
    s += piece;
    size -= piece;
    out.need(6 * (size < piece ? size : piece) + 34 + reserve);
  }
  out.p = write_string_piece(out.p, s, size, high);
  *out.p++ = '"';
  return !high || valid_utf8(start, whole);
}

bool write_short_string(Out& out, const uint8_t* s, size_t size, size_t reserve) {
  const Sixteen x = Sixteen::load(s);
  if ((x.special() & ((1u << size) - 1)) != 0) return write_string(out, s, size, reserve);
  out.need(34 + reserve);
  *out.p = '"';
  x.store(out.p + 1);
  out.p[size + 1] = '"';
  out.p += size + 2;
  return !x.high() || valid_utf8(s, size);  // the high byte may be a neighbour's
}

void write_byte_list(Out& out, const uint8_t* s, size_t size, size_t reserve) {
  constexpr size_t piece = 4096;
  out.need(4 * (size < piece ? size : piece) + 8 + reserve);
  *out.p++ = '[';
  for (size_t i = 0; i < size; ++i) {
    if (i != 0 && i % piece == 0) out.need(4 * (size - i < piece ? size - i : piece) + 8 + reserve);
    const ByteText& b = byte_texts[s[i]];
    std::memcpy(out.p, b.text, 4);
    out.p += b.size;
  }
  if (size != 0) --out.p;  // the last comma
  *out.p++ = ']';
}

uint8_t* write_uuid(uint8_t* to, const uint8_t* sixteen) {
  *to++ = '"';
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) *to++ = '-';
    *to++ = static_cast<uint8_t>(hex[sixteen[i] >> 4]);
    *to++ = static_cast<uint8_t>(hex[sixteen[i] & 15]);
  }
  *to++ = '"';
  return to;
}

bool parse_uuid(const uint8_t* s, size_t size, uint8_t* sixteen) {
  if (size == 38 && s[0] == '{' && s[37] == '}') {
    ++s;
    size -= 2;
  }
  if (size != 32 && size != 36) return false;
  const bool hyphens = size == 36;
  size_t i = 0;
  for (int n = 0; n < 32; ++n) {
    if (hyphens && (n == 8 || n == 12 || n == 16 || n == 20) && s[i++] != '-') return false;
    const uint8_t c = s[i++];
    uint8_t v;
    if (c >= '0' && c <= '9') v = static_cast<uint8_t>(c - '0');
    else if (c >= 'a' && c <= 'f') v = static_cast<uint8_t>(c - 'a' + 10);
    else if (c >= 'A' && c <= 'F') v = static_cast<uint8_t>(c - 'A' + 10);
    else return false;
    sixteen[n / 2] = static_cast<uint8_t>(n % 2 == 0 ? v << 4 : sixteen[n / 2] | v);
  }
  return true;
}

std::string json_string(const std::string& s) {
  std::string out(6 * s.size() + 34, '\0');
  auto* const start = reinterpret_cast<uint8_t*>(&out[0]);
  bool high = false;
  start[0] = '"';
  uint8_t* p = write_string_piece(start + 1, reinterpret_cast<const uint8_t*>(s.data()), s.size(), high);
  *p++ = '"';
  out.resize(static_cast<size_t>(p - start));
  return out;
}

}  // namespace penstock
