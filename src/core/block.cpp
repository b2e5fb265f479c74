#include "block.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

namespace penstock {

namespace {

constexpr int64_t padding = 16;
constexpr int64_t none = std::numeric_limits<int64_t>::min();

// One Type's part of a block, as it lies in the arena. Positions count from the start of the arena and may be negative.
struct Node {
  int64_t first;
  int64_t length;
  int64_t offset;
  int64_t validity;
  int64_t values;
  int64_t data;
  int64_t dictionary;
  uint64_t dictionary_id;
};
static_assert(sizeof(Node) == 64, "the layout drawn above");

int64_t aligned(int64_t n) { return (n + 15) & ~int64_t{15}; }

int64_t count_nodes(const Type& type) {
  int64_t n = 1;
  for (const Type& child : type.children) n += count_nodes(child);
  return n;
}

// One walk serves both measuring and copying, so that the two cannot disagree.
class Copier {
 public:
  Copier(uint8_t* arena, int64_t position, const std::vector<DictionaryRef>* dictionaries)
      : arena_(arena), next_(position), dictionaries_(dictionaries) {}

  int64_t table(const Type& type, const Array& a, int64_t from, int64_t to) {
    const int64_t start = next_;
    int64_t node = start;
    next_ = aligned(start + count_nodes(type) * static_cast<int64_t>(sizeof(Node)));
    column(type, a, from, to, node);
    next_ += padding;
    return next_ - start;
  }

 private:
  // Copies `size` bytes and returns where they are.
  int64_t place(const uint8_t* source, int64_t size) {
    const int64_t at = next_;
    if (arena_ != nullptr && size > 0) std::memcpy(arena_ + at, source, static_cast<size_t>(size));
    next_ = aligned(at + size);
    return at;
  }

  int64_t bits(const uint8_t* source, int64_t from, int64_t to) {  // positions in the buffer
    const int64_t first = from >> 3;
    return to > from ? place(source + first, ((to + 7) >> 3) - first) - first : next_;
  }

  int64_t fixed(const uint8_t* source, int64_t width, int64_t from, int64_t to) {
    return place(source + from * width, (to - from) * width) - from * width;
  }

  template <typename Offset>
  void strings(const Array& a, int64_t from, int64_t to, Node& n) {
    n.values = fixed(a.values, sizeof(Offset), a.offset + from, a.offset + to + 1);
    const int64_t first = a.at<Offset>(from);
    n.data = place(a.data + first, a.at<Offset>(to) - first) - first;
  }

  void views(const Type& type, const Array& a, int64_t from, int64_t to, Node& n) {
    const int64_t rows = to - from;
    const int64_t start = place(a.values + (a.offset + from) * 16, rows * 16);
    n.values = start - (a.offset + from) * 16;
    n.data = next_;
    int64_t used = 0;
    for (int64_t i = from; i < to; ++i) {
      if (a.is_null(i)) continue;  // a null's view may hold anything
      const Bytes bytes = bytes_at(type, a, i);
      if (bytes.size <= 12) continue;
      if (arena_ != nullptr) {
        std::memcpy(arena_ + n.data + used, bytes.data, static_cast<size_t>(bytes.size));
        std::memcpy(arena_ + start + (i - from) * 16 + 8, &used, 8);
      }
      used += bytes.size;
    }
    next_ = aligned(n.data + used);
  }

  // A list's child is copied from the first to the last position that the rows refer to.
  void lists(const Type& type, const Array& a, int64_t from, int64_t to, Node& n, int64_t& node) {
    int64_t low = 0;
    int64_t high = 0;
    const bool has_views = type.kind == Kind::list_view || type.kind == Kind::large_list_view;
    if (has_views) {
      n.values = fixed(a.values, type.width, a.offset + from, a.offset + to);
      n.data = fixed(a.data, type.width, a.offset + from, a.offset + to);
      bool first = true;
      for (int64_t i = from; i < to; ++i) {
        if (a.is_null(i)) continue;
        const Span span = span_at(type, a, i);
        if (span.count == 0) continue;
        low = first ? span.from : std::min(low, span.from);
        high = first ? span.from + span.count : std::max(high, span.from + span.count);
        first = false;
      }
    } else {
      if (type.kind != Kind::fixed_list) n.values = fixed(a.values, type.width, a.offset + from, a.offset + to + 1);
      if (to > from) {
        const Span last = span_at(type, a, to - 1);
        low = span_at(type, a, from).from;
        high = last.from + last.count;
      }
    }
    column(type.children[0], a.children[0], low, high, node);
  }

  void runs(const Type& type, const Array& a, int64_t from, int64_t to, int64_t& node) {
    const int64_t low = from < to ? run_at(type, a, from, 0) : 0;
    const int64_t high = from < to ? run_at(type, a, to - 1, low) + 1 : 0;
    column(type.children[0], a.children[0], low, high, node);
    column(type.children[1], a.children[1], low, high, node);
  }

  void column(const Type& type, const Array& a, int64_t from, int64_t to, int64_t& node) {
    const int64_t mine = node;
    node += static_cast<int64_t>(sizeof(Node));
    Node n{from, to, a.offset, none, none, none, none, 0};
    if (a.validity != nullptr) n.validity = bits(a.validity, a.offset + from, a.offset + to);
    switch (type.kind) {
      case Kind::null:
      case Kind::unsupported:
        break;
      case Kind::boolean:
        n.values = bits(a.values, a.offset + from, a.offset + to);
        break;
      // An empty array may come without an offsets buffer at all.
      case Kind::utf8:
      case Kind::binary:
        if (to > from) strings<int32_t>(a, from, to, n);
        break;
      case Kind::large_utf8:
      case Kind::large_binary:
        if (to > from) strings<int64_t>(a, from, to, n);
        break;
      case Kind::utf8_view:
      case Kind::binary_view:
        views(type, a, from, to, n);
        break;
      case Kind::list:
      case Kind::large_list:
      case Kind::map:
      case Kind::list_view:
      case Kind::large_list_view:
      case Kind::fixed_list:
        if (to > from) {
          lists(type, a, from, to, n, node);
        } else {
          column(type.children[0], a.children[0], 0, 0, node);
        }
        break;
      case Kind::structure:
        for (size_t c = 0; c < type.children.size(); ++c) column(type.children[c], a.children[c], a.offset + from, a.offset + to, node);
        break;
      case Kind::run_end:
        runs(type, a, from, to, node);
        break;
      default:
        n.values = fixed(a.values, type.width, a.offset + from, a.offset + to);
        break;
    }
    if (type.dictionary) {
      if (dictionaries_ != nullptr) {
        n.dictionary = (*dictionaries_)[next_dictionary_].position;
        n.dictionary_id = (*dictionaries_)[next_dictionary_].id;
        ++next_dictionary_;
      } else if (inside_dictionary_) {
        n.dictionary = next_;  // a dictionary of dictionaries: the inner one lies in the outer one's block
        table(*type.dictionary, *a.dictionary, 0, a.dictionary->length);
      }
    }
    if (arena_ != nullptr) std::memcpy(arena_ + mine, &n, sizeof n);
  }

 public:
  bool inside_dictionary_ = false;

 private:
  uint8_t* arena_;  // nullptr: measure only
  int64_t next_;
  const std::vector<DictionaryRef>* dictionaries_;
  size_t next_dictionary_ = 0;
};

Array open_node(const Type& type, const uint8_t* arena, int64_t& node) {
  Node n;
  std::memcpy(&n, arena + node, sizeof n);
  node += static_cast<int64_t>(sizeof(Node));
  // Virtual positions may lie before the arena, hence integer arithmetic and no pointer arithmetic.
  const auto pointer = [&](int64_t at) {
    return at == none ? nullptr : reinterpret_cast<const uint8_t*>(reinterpret_cast<uintptr_t>(arena) + static_cast<uintptr_t>(at));
  };
  Array a;
  a.padded = true;
  a.first = n.first;
  a.length = n.length;
  a.offset = n.offset;
  a.validity = pointer(n.validity);
  a.values = pointer(n.values);
  a.data = pointer(n.data);
  a.children.reserve(type.children.size());
  for (const Type& child : type.children) a.children.push_back(open_node(child, arena, node));
  if (type.dictionary && n.dictionary != none) {
    a.dictionary = std::make_shared<Array>(open_block(*type.dictionary, arena, n.dictionary));
    a.dictionary_id = n.dictionary_id;
  }
  return a;
}

}  // namespace

int64_t measure_block(const Type& type, const Array& a, int64_t from, int64_t to) {
  return Copier(nullptr, 0, nullptr).table(type, a, from, to);
}

int64_t measure_dictionary(const Type& type, const Array& a) {
  Copier copier(nullptr, 0, nullptr);
  copier.inside_dictionary_ = true;
  return copier.table(type, a, 0, a.length);
}

int64_t copy_block(const Type& type, const Array& a, int64_t from, int64_t to, uint8_t* arena, int64_t position,
                   const std::vector<DictionaryRef>& dictionaries) {
  return Copier(arena, position, &dictionaries).table(type, a, from, to);
}

int64_t copy_dictionary(const Type& type, const Array& a, uint8_t* arena, int64_t position) {
  Copier copier(arena, position, nullptr);
  copier.inside_dictionary_ = true;
  return copier.table(type, a, 0, a.length);
}

Array open_block(const Type& type, const uint8_t* arena, int64_t position) { return open_node(type, arena, position); }

}  // namespace penstock
