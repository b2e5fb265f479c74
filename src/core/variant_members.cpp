#include "variant_members.hpp"

#include <algorithm>
#include <cstring>

namespace penstock {
namespace {

// Each of the three stores of work memory is given back above this.
constexpr size_t KEPT_BYTES = size_t{512} << 10;

inline int hex_value(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

// The next byte of a key as it is, from the key as it was written: short escapes and \u00xx in lower case.
inline int unescaped(const char*& p) {
  const char c = *p++;
  if (c != '\\') return static_cast<uint8_t>(c);
  switch (*p++) {
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'u':
      p += 4;
      return hex_value(p[-2]) * 16 + hex_value(p[-1]);
    default:
      return p[-1];
  }
}

}  // namespace

// Negative, zero or positive as the keys stand in the order of their UTF-8 bytes.
inline int Members::compare(const char* text, const Member& a, const Member& b) {
  const char* p = text + a.begin + 1;
  const char* q = text + b.begin + 1;
  if (!a.escaped && !b.escaped) {
    if (a.prefix != b.prefix) return a.prefix < b.prefix ? -1 : 1;
    const int order = std::memcmp(p, q, std::min(a.key_size, b.key_size));
    if (order != 0) return order;
    return a.key_size < b.key_size ? -1 : a.key_size > b.key_size;
  }
  const char* const p_end = p + a.key_size;
  const char* const q_end = q + b.key_size;
  while (p < p_end && q < q_end) {
    const int difference = unescaped(p) - unescaped(q);
    if (difference != 0) return difference;
  }
  return (p < p_end) - (q < q_end);
}

bool Members::add(const char* text, size_t begin, size_t key_size, bool escaped, size_t first) {
  uint64_t prefix;
  std::memcpy(&prefix, text + begin + 1, 8);
  prefix = __builtin_bswap64(prefix);
  if (key_size < 8) prefix &= ~(~uint64_t{0} >> (8 * key_size));
  const Member member{begin, key_size, prefix, escaped};
  const bool ascending = members_.size() == first || compare(text, members_.back(), member) < 0;
  members_.push_back(member);
  return ascending;
}

size_t Members::finish(char* text, size_t first, size_t end, bool sorted) {
  if (!sorted) {
    const Member* const members = members_.data() + first;
    const uint32_t count = static_cast<uint32_t>(members_.size() - first);
    order_.resize(count);
    for (uint32_t i = 0; i < count; ++i) order_[i] = i;
    // equal keys in the order given: no stable_sort, which allocates
    std::sort(order_.begin(), order_.end(), [text, members](uint32_t a, uint32_t b) {
      const int difference = compare(text, members[a], members[b]);
      return difference != 0 ? difference < 0 : a < b;
    });
    sorted_.clear();
    sorted_.reserve(end - members[0].begin + 1);
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t at = order_[i];
      if (i + 1 < count && compare(text, members[at], members[order_[i + 1]]) == 0) continue;
      const size_t stop = at + 1 < count ? members[at + 1].begin - 1 : end;
      sorted_.append(text + members[at].begin, stop - members[at].begin);
      sorted_ += ',';
    }
    sorted_.pop_back();
    std::memcpy(text + members[0].begin, sorted_.data(), sorted_.size());
    end = members[0].begin + sorted_.size();
  }
  members_.resize(first);
  return end;
}

void Members::trim() {
  if (members_.capacity() * sizeof(Member) > KEPT_BYTES) std::vector<Member>().swap(members_);
  if (order_.capacity() * sizeof(uint32_t) > KEPT_BYTES) std::vector<uint32_t>().swap(order_);
  if (sorted_.capacity() > KEPT_BYTES) std::string().swap(sorted_);
}

}  // namespace penstock
