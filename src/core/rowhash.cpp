#include "rowhash.hpp"

#include <algorithm>
#include <cstring>
#include <random>

#include "text.hpp"
#include "variant.hpp"

namespace penstock {

namespace {

struct Seeds {
  uint64_t start_a, start_b, a, b, null, bad;
  Seeds() {
    std::random_device device;
    const auto draw = [&] { return static_cast<uint64_t>(device()) << 32 | device(); };
    start_a = draw();
    start_b = draw();
    a = draw() | 1;
    b = draw() | 1;
    null = draw();
    bad = draw();
  }
};
const Seeds seeds;

inline uint64_t fold(uint64_t x, uint64_t y) {
  __extension__ using wide = unsigned __int128;
  const wide product = static_cast<wide>(x) * y;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

// Two lanes, each a folded multiplication by a secret: what one lane confuses, the other does not.
inline void absorb(RowHash& h, uint64_t word) {
  h.a = fold(h.a ^ word, seeds.a);
  h.b = fold(h.b ^ word, seeds.b);
}

inline void absorb(RowHash& h, uint64_t x, uint64_t y) {
  h.a = fold(h.a ^ x, seeds.a ^ y);
  h.b = fold(h.b ^ y, seeds.b ^ x);
}

inline void absorb_null(RowHash& h) { absorb(h, seeds.null); }

template <typename T>
inline T load(const uint8_t* s) {
  T value;
  std::memcpy(&value, s, sizeof value);
  return value;
}

// The size goes first, so that the bytes of neighbouring columns cannot flow into one another.
inline void absorb_bytes(RowHash& h, const uint8_t* s, size_t size) {
  absorb(h, size);
  const size_t all = size;
  while (size > 16) {
    absorb(h, load<uint64_t>(s), load<uint64_t>(s + 8));
    s += 16;
    size -= 16;
  }
  if (size >= 8) {
    absorb(h, load<uint64_t>(s), load<uint64_t>(s + size - 8));
  } else if (size >= 4) {
    absorb(h, load<uint32_t>(s), load<uint32_t>(s + size - 4));
  } else if (all != 0) {
    absorb(h, static_cast<uint64_t>(s[0]) << 16 | static_cast<uint64_t>(s[size >> 1]) << 8 | s[size - 1]);
  }
}

inline uint64_t canonical(double v) {
  if (v != v) return 0x7ff8000000000000u;
  v += 0.0;  // -0.0 becomes 0.0
  uint64_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  return bits;
}

inline uint64_t canonical(float v) {
  if (v != v) return 0x7fc00000u;
  v += 0.0f;
  uint32_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  return bits;
}

inline uint64_t canonical_half(uint16_t h) {
  if ((h & 0x7c00) == 0x7c00 && (h & 0x3ff) != 0) return 0x7e00;
  return h == 0x8000 ? 0 : h;
}

// A decimal of any width as 256 bits, the upper half only where it says more than a sign.
void absorb_decimal(RowHash& h, const uint8_t* s, int width) {
  int64_t words[4];
  if (width == 4) {
    words[0] = load<int32_t>(s);
  } else {
    std::memcpy(words, s, static_cast<size_t>(width));
  }
  for (int k = width == 4 ? 1 : width / 8; k < 4; ++k) words[k] = words[k - 1] >> 63;
  absorb(h, static_cast<uint64_t>(words[0]), static_cast<uint64_t>(words[1]));
  const int64_t sign = words[1] >> 63;
  if (words[2] != sign || words[3] != sign) absorb(h, static_cast<uint64_t>(words[2]), static_cast<uint64_t>(words[3]));
}

}  // namespace

bool can_hash(const Type& type) {
  if (type.dictionary) return can_hash(*type.dictionary);
  if (type.kind == Kind::unsupported) return false;
  return std::all_of(type.children.begin(), type.children.end(), can_hash);
}

RowHasher::RowHasher(const Type& schema, std::vector<int> columns) : columns_(std::move(columns)) {
  for (const int c : columns_) nodes_.push_back(make_node(schema.children[static_cast<size_t>(c)]));
}

RowHasher::Node RowHasher::make_node(const Type& type) {
  Node n;
  n.type = &type;
  if (type.dictionary) n.children.push_back(make_node(*type.dictionary));
  for (const Type& child : type.children) n.children.push_back(make_node(child));
  return n;
}

void RowHasher::open_node(Node& n, const Array& a) {
  n.array = &a;
  n.run = -1;
  if (n.type->dictionary) return open_node(n.children[0], *a.dictionary);
  for (size_t c = 0; c < n.children.size(); ++c) open_node(n.children[c], a.children[c]);
}

void RowHasher::open(const Array& block) {
  for (size_t c = 0; c < columns_.size(); ++c) open_node(nodes_[c], block.children[static_cast<size_t>(columns_[c])]);
}

void RowHasher::hash(int64_t from, int64_t count, RowHash* out) {
  for (int64_t k = 0; k < count; ++k) out[k] = {seeds.start_a, seeds.start_b};
  for (Node& n : nodes_) column(n, from, count, out);
}

void RowHasher::column(Node& n, int64_t from, int64_t count, RowHash* out) {
  const Array& a = *n.array;
  const auto each = [&](auto&& one) {
    if (a.validity == nullptr) {
      for (int64_t k = 0; k < count; ++k) one(out[k], from + k);
      return;
    }
    for (int64_t k = 0; k < count; ++k) {
      if (a.is_null(from + k)) absorb_null(out[k]); else one(out[k], from + k);
    }
  };
  if (!n.type->dictionary) {
    switch (n.type->kind) {
      case Kind::int32:
      case Kind::date32: return each([&](RowHash& h, int64_t i) { absorb(h, static_cast<uint64_t>(a.at<int32_t>(i))); });
      case Kind::int64:
      case Kind::uint64:
      case Kind::timestamp: return each([&](RowHash& h, int64_t i) { absorb(h, a.at<uint64_t>(i)); });
      case Kind::float64: return each([&](RowHash& h, int64_t i) { absorb(h, canonical(a.at<double>(i))); });
      case Kind::utf8:
      case Kind::binary:
      case Kind::large_utf8:
      case Kind::large_binary:
      case Kind::utf8_view:
      case Kind::binary_view:
        if (n.type->meaning != Meaning::plain) break;
        return each([&](RowHash& h, int64_t i) {
          const Bytes b = bytes_at(*n.type, a, i);
          absorb_bytes(h, b.data, static_cast<size_t>(b.size));
        });
      default: break;
    }
  }
  for (int64_t k = 0; k < count; ++k) value(n, from + k, out[k]);
}

void RowHasher::value(Node& n, int64_t i, RowHash& h) {
  const Array& a = *n.array;
  const Type& type = *n.type;
  if (a.is_null(i)) return absorb_null(h);
  if (type.dictionary) {
    const int64_t index = integer_at(type.kind, a, i);
    // Refused when the row is encoded, by name; here it only must not be followed.
    if (index < 0 || index >= a.dictionary->length) return absorb(h, seeds.bad, static_cast<uint64_t>(index));
    return value(n.children[0], index, h);
  }
  switch (type.kind) {
    case Kind::null:
    case Kind::unsupported: return absorb_null(h);
    case Kind::boolean: {
      const int64_t at = a.offset + i;
      return absorb(h, (a.values[at >> 3] >> (at & 7)) & 1);
    }
    case Kind::int8:
    case Kind::int16:
    case Kind::int32:
    case Kind::int64:
    case Kind::uint8:
    case Kind::uint16:
    case Kind::uint32:
    case Kind::uint64: return absorb(h, static_cast<uint64_t>(integer_at(type.kind, a, i)));
    case Kind::float16: return absorb(h, canonical_half(a.at<uint16_t>(i)));
    case Kind::float32: return absorb(h, canonical(a.at<float>(i)));
    case Kind::float64: return absorb(h, canonical(a.at<double>(i)));
    case Kind::decimal32:
    case Kind::decimal64:
    case Kind::decimal128:
    case Kind::decimal256: return absorb_decimal(h, a.values + (a.offset + i) * type.width, type.width);
    case Kind::date32:
    case Kind::time_s:
    case Kind::time_ms: return absorb(h, static_cast<uint64_t>(a.at<int32_t>(i)));
    case Kind::date64:
    case Kind::time_us:
    case Kind::time_ns:
    case Kind::timestamp: return absorb(h, a.at<uint64_t>(i));
    case Kind::structure:
      for (Node& child : n.children) value(child, a.offset + i, h);
      return;
    case Kind::map: return map(n, i, h);
    case Kind::run_end:
      n.run = run_at(type, a, i, n.run);
      return value(n.children[1], n.run, h);
    case Kind::list:
    case Kind::large_list:
    case Kind::list_view:
    case Kind::large_list_view:
    case Kind::fixed_list: {
      const Span span = span_at(type, a, i);
      absorb(h, static_cast<uint64_t>(span.count));
      for (int64_t k = 0; k < span.count; ++k) value(n.children[0], span.from + k, h);
      return;
    }
    default: break;
  }
  const Bytes b = bytes_at(type, a, i);
  const auto size = static_cast<size_t>(b.size);
  uint8_t sixteen[16];
  if (type.meaning == Meaning::variant) return variant(b, h);
  // A text that is no UUID is refused when it is encoded; until then it is itself.
  if (type.meaning == Meaning::uuid && type.kind != Kind::fixed_binary && parse_uuid(b.data, size, sixteen)) return absorb_bytes(h, sixteen, 16);
  absorb_bytes(h, b.data, size);
}

// A sum does not depend on the order of the entries.
void RowHasher::map(Node& n, int64_t i, RowHash& h) {
  const Span span = span_at(*n.type, *n.array, i);
  Node& entries = n.children[0];
  const int64_t from = entries.array->offset + span.from;
  RowHash sum{0, 0};
  for (int64_t k = from; k < from + span.count; ++k) {
    RowHash entry{seeds.start_a, seeds.start_b};
    value(entries.children[0], k, entry);
    value(entries.children[1], k, entry);
    sum.a += entry.a;
    sum.b += entry.b;
  }
  absorb(h, static_cast<uint64_t>(span.count));
  absorb(h, sum.a, sum.b);
}

void RowHasher::variant(const Bytes& text, RowHash& h) {
  std::string why;
  scratch_.clear();
  const auto size = static_cast<size_t>(text.size);
  if (!rewrite_json(text.data, size, scratch_, why)) return absorb_bytes(h, text.data, size);  // refused when it is encoded
  absorb_bytes(h, reinterpret_cast<const uint8_t*>(scratch_.data()), scratch_.size());
}

}  // namespace penstock
