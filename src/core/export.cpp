#include "export.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>

namespace penstock {

namespace {

// Values by position: `at` where they were selected (-1: a null), else `first`, first + 1, …
struct Rows {
  const int64_t* at;
  int64_t first;
  int64_t count;

  int64_t operator[](int64_t k) const { return at != nullptr ? at[k] : first + k; }
};

Rows selected(const std::vector<int64_t>& at) { return {at.data(), 0, static_cast<int64_t>(at.size())}; }

// What an exported array holds until it is released.
struct Holder {
  std::vector<const void*> buffers;
  std::vector<std::unique_ptr<uint8_t[]>> memory;
  std::vector<ArrowArray> children;
  std::vector<ArrowArray*> pointers;

  uint8_t* allocate(int64_t size) {
    memory.emplace_back(new uint8_t[static_cast<size_t>(size) + 8]);  // never empty: readers look for a pointer
    return memory.back().get();
  }
};

void release(ArrowArray* array) {
  auto* const holder = static_cast<Holder*>(array->private_data);
  for (ArrowArray& child : holder->children) {
    if (child.release != nullptr) child.release(&child);
  }
  delete holder;
  array->release = nullptr;
}

// From now on `out` owns a Holder and may be released, whatever comes.
Holder& begin(ArrowArray* out, int64_t length, size_t children) {
  auto* const holder = new Holder;
  std::memset(out, 0, sizeof *out);
  holder->children.resize(children);
  for (ArrowArray& child : holder->children) {
    std::memset(&child, 0, sizeof child);
    holder->pointers.push_back(&child);
  }
  out->length = length;
  out->null_count = 0;
  out->n_children = static_cast<int64_t>(children);
  out->children = holder->pointers.data();
  out->release = release;
  out->private_data = holder;
  return *holder;
}

void finish(ArrowArray* out, Holder& holder) {
  out->n_buffers = static_cast<int64_t>(holder.buffers.size());
  out->buffers = holder.buffers.data();
}

bool bit(const uint8_t* bits, int64_t at) { return ((bits[at >> 3] >> (at & 7)) & 1) != 0; }

// `count` bits from position `from` on, as a bitmap that begins with a byte.
const uint8_t* bits_from(Holder& holder, const uint8_t* source, int64_t from, int64_t count) {
  source += from >> 3;
  const auto shift = static_cast<unsigned>(from & 7);
  if (shift == 0) return source;
  const int64_t size = (count + 7) >> 3;
  const int64_t readable = (count + shift + 7) >> 3;
  uint8_t* const to = holder.allocate(size);
  for (int64_t k = 0; k < size; ++k) {
    const unsigned high = k + 1 < readable ? source[k + 1] : 0u;
    to[k] = static_cast<uint8_t>((source[k] >> shift) | (high << (8 - shift)));
  }
  return to;
}

template <size_t Width>
void gather_fixed(uint8_t* to, const Array& a, const Rows& rows) {
  for (int64_t k = 0; k < rows.count; ++k, to += Width) {
    const int64_t r = rows[k];
    if (r < 0) std::memset(to, 0, Width); else std::memcpy(to, a.values + (a.offset + r) * static_cast<int64_t>(Width), Width);
  }
}

class Builder {
 public:
  explicit Builder(ExportLayout layout) : table_(layout == ExportLayout::table), as_is_(layout == ExportLayout::as_is) {}

  void array(const Type& type, const Array& a, const Rows& rows, ArrowArray* out) {
    if (type.dictionary) return of_dictionary(type, a, rows, out);
    if (type.kind == Kind::run_end) return of_runs(type, a, rows, out);
    const bool nested = type.kind >= Kind::list && type.kind <= Kind::map;
    Holder& holder = begin(out, rows.count, nested ? type.children.size() : 0);
    switch (type.kind) {
      case Kind::null:
        out->null_count = rows.count;
        break;
      case Kind::boolean:
        validity(a, rows, out, holder);
        booleans(a, rows, holder);
        break;
      case Kind::utf8:
      case Kind::utf8_view:
        validity(a, rows, out, holder);
        strings<int32_t>(type, a, rows, holder);
        break;
      case Kind::large_utf8:
        validity(a, rows, out, holder);
        if (table_) strings<int32_t>(type, a, rows, holder); else strings<int64_t>(type, a, rows, holder);
        break;
      case Kind::binary:
      case Kind::binary_view:
        validity(a, rows, out, holder);
        if (table_) strings<int64_t>(type, a, rows, holder); else strings<int32_t>(type, a, rows, holder);
        break;
      case Kind::large_binary:
        validity(a, rows, out, holder);
        strings<int64_t>(type, a, rows, holder);
        break;
      case Kind::fixed_binary:
        validity(a, rows, out, holder);
        if (!table_) fixed(type, a, rows, holder);
        else if (type.meaning == Meaning::uuid) uuids(type, a, rows, holder);
        else strings<int64_t>(type, a, rows, holder);
        break;
      case Kind::list:
      case Kind::list_view:
        if (table_) lists<int64_t>(type, a, rows, out, holder); else lists<int32_t>(type, a, rows, out, holder);
        break;
      case Kind::map:
        lists<int32_t>(type, a, rows, out, holder);
        break;
      case Kind::large_list:
      case Kind::large_list_view:
        lists<int64_t>(type, a, rows, out, holder);
        break;
      case Kind::fixed_list:
        if (table_) lists<int64_t>(type, a, rows, out, holder); else fixed_lists(type, a, rows, out, holder);
        break;
      case Kind::structure:
        structure(type, a, rows, out, holder);
        break;
      default:
        validity(a, rows, out, holder);
        fixed(type, a, rows, holder);
        break;
    }
    finish(out, holder);
  }

 private:
  // What stands behind each row: its index in the dictionary, or its run.
  void of_dictionary(const Type& type, const Array& a, const Rows& rows, ArrowArray* out) {
    std::vector<int64_t> at(static_cast<size_t>(rows.count));
    for (int64_t k = 0; k < rows.count; ++k) {
      const int64_t r = rows[k];
      int64_t index = -1;
      if (r >= 0 && !a.is_null(r)) {
        index = integer_at(type.kind, a, r);
        if (index < 0 || index >= a.dictionary->length) {
          if (as_is_) index = -1; else throw EncodeFailure(type.name, "dictionary index " + std::to_string(index) + " is outside the dictionary of " +
                                             std::to_string(a.dictionary->length) + " values");
        }
      }
      at[static_cast<size_t>(k)] = index;
    }
    array(*type.dictionary, *a.dictionary, selected(at), out);
  }

  void of_runs(const Type& type, const Array& a, const Rows& rows, ArrowArray* out) {
    std::vector<int64_t> at(static_cast<size_t>(rows.count));
    int64_t run = 0;
    for (int64_t k = 0; k < rows.count; ++k) {
      const int64_t r = rows[k];
      if (r >= 0) run = run_at(type, a, r, run);
      at[static_cast<size_t>(k)] = r < 0 ? -1 : run;
    }
    array(type.children[1], a.children[1], selected(at), out);
  }

  static bool any_null(const Array& a, const Rows& rows) {
    for (int64_t k = 0; k < rows.count; ++k) {
      const int64_t r = rows[k];
      if (r < 0 || a.is_null(r)) return true;
    }
    return false;
  }

  // The validity buffer comes first, whatever the kind.
  static void validity(const Array& a, const Rows& rows, ArrowArray* out, Holder& holder) {
    if (rows.at == nullptr) {
      const bool has = a.validity != nullptr && rows.count > 0;
      holder.buffers.push_back(has ? bits_from(holder, a.validity, a.offset + rows.first, rows.count) : nullptr);
      out->null_count = has ? -1 : 0;
      return;
    }
    const int64_t size = (rows.count + 7) >> 3;
    uint8_t* const to = holder.allocate(size);
    std::memset(to, 0, static_cast<size_t>(size));
    int64_t nulls = 0;
    for (int64_t k = 0; k < rows.count; ++k) {
      const bool null = rows.at[k] < 0 || a.is_null(rows.at[k]);
      nulls += null;
      to[k >> 3] = static_cast<uint8_t>(to[k >> 3] | (static_cast<unsigned>(!null) << (k & 7)));
    }
    holder.buffers.push_back(nulls > 0 ? to : nullptr);
    out->null_count = nulls;
  }

  static void booleans(const Array& a, const Rows& rows, Holder& holder) {
    if (rows.at == nullptr) {
      holder.buffers.push_back(rows.count > 0 ? bits_from(holder, a.values, a.offset + rows.first, rows.count) : holder.allocate(0));
      return;
    }
    const int64_t size = (rows.count + 7) >> 3;
    uint8_t* const to = holder.allocate(size);
    std::memset(to, 0, static_cast<size_t>(size));
    for (int64_t k = 0; k < rows.count; ++k) {
      const bool yes = rows.at[k] >= 0 && bit(a.values, a.offset + rows.at[k]);
      to[k >> 3] = static_cast<uint8_t>(to[k >> 3] | (static_cast<unsigned>(yes) << (k & 7)));
    }
    holder.buffers.push_back(to);
  }

  static void fixed(const Type& type, const Array& a, const Rows& rows, Holder& holder) {
    const int64_t width = type.width;
    if (rows.at == nullptr && rows.count > 0) {
      holder.buffers.push_back(a.values + (a.offset + rows.first) * width);
      return;
    }
    uint8_t* to = holder.allocate(rows.count * width);
    holder.buffers.push_back(to);
    switch (width) {
      case 1: return gather_fixed<1>(to, a, rows);
      case 2: return gather_fixed<2>(to, a, rows);
      case 4: return gather_fixed<4>(to, a, rows);
      case 8: return gather_fixed<8>(to, a, rows);
      case 16: return gather_fixed<16>(to, a, rows);
      case 32: return gather_fixed<32>(to, a, rows);
      default: break;
    }
    for (int64_t k = 0; k < rows.count; ++k, to += width) {
      const int64_t r = rows[k];
      if (r < 0) {
        std::memset(to, 0, static_cast<size_t>(width));
      } else {
        std::memcpy(to, a.values + (a.offset + r) * width, static_cast<size_t>(width));
      }
    }
  }

  static void uuids(const Type& type, const Array& a, const Rows& rows, Holder& holder) {
    constexpr int64_t text = 36;
    if (rows.count * text > std::numeric_limits<int32_t>::max()) throw ExportOverflow(type.name);
    auto* const offsets = reinterpret_cast<int32_t*>(holder.allocate((rows.count + 1) * 4));
    uint8_t* to = holder.allocate(rows.count * text);
    holder.buffers.push_back(offsets);
    holder.buffers.push_back(to);
    int32_t used = 0;
    offsets[0] = 0;
    for (int64_t k = 0; k < rows.count; ++k) {
      const int64_t r = rows[k];
      if (r >= 0 && !a.is_null(r)) {
        uint8_t quoted[40];
        write_uuid(quoted, bytes_at(type, a, r).data);
        std::memcpy(to + used, quoted + 1, text);
        used += static_cast<int32_t>(text);
      }
      offsets[k + 1] = used;
    }
  }

  template <typename Offset>
  void strings(const Type& type, const Array& a, const Rows& rows, Holder& holder) const {
    const bool same_offsets = type.kind != Kind::fixed_binary && type.width == static_cast<int32_t>(sizeof(Offset));
    const bool in_place = rows.at == nullptr && same_offsets && rows.count > 0;
    const auto value = [&](int64_t k) {
      const int64_t r = rows[k];
      return r < 0 || a.is_null(r) ? Bytes{nullptr, 0} : bytes_at(type, a, r);
    };
    if (type.is_string() && !as_is_) {
      for (int64_t k = 0; k < rows.count; ++k) {
        const Bytes b = value(k);
        if (!valid_utf8(b.data, static_cast<size_t>(b.size))) {
          throw EncodeFailure(type.name, "the string is not valid UTF-8; a binary column may hold such bytes");
        }
      }
    }
    if (in_place) {
      const Offset from = a.at<Offset>(rows.first);
      if (from == 0) {
        holder.buffers.push_back(a.values + (a.offset + rows.first) * static_cast<int64_t>(sizeof(Offset)));
      } else {
        auto* const offsets = reinterpret_cast<Offset*>(holder.allocate((rows.count + 1) * static_cast<int64_t>(sizeof(Offset))));
        for (int64_t k = 0; k <= rows.count; ++k) offsets[k] = a.at<Offset>(rows.first + k) - from;
        holder.buffers.push_back(offsets);
      }
      holder.buffers.push_back(a.data + from);
      return;
    }
    int64_t used = 0;
    for (int64_t k = 0; k < rows.count; ++k) used += value(k).size;
    if (used > std::numeric_limits<Offset>::max()) throw ExportOverflow(type.name);
    auto* const offsets = reinterpret_cast<Offset*>(holder.allocate((rows.count + 1) * static_cast<int64_t>(sizeof(Offset))));
    uint8_t* const to = holder.allocate(used);
    holder.buffers.push_back(offsets);
    holder.buffers.push_back(to);
    used = 0;
    offsets[0] = 0;
    for (int64_t k = 0; k < rows.count; ++k) {
      const Bytes b = value(k);
      if (b.size != 0) std::memcpy(to + used, b.data, static_cast<size_t>(b.size));
      used += b.size;
      offsets[k + 1] = static_cast<Offset>(used);
    }
  }

  template <typename Offset>
  void lists(const Type& type, const Array& a, const Rows& rows, ArrowArray* out, Holder& holder) {
    validity(a, rows, out, holder);
    auto* const offsets = reinterpret_cast<Offset*>(holder.allocate((rows.count + 1) * static_cast<int64_t>(sizeof(Offset))));
    holder.buffers.push_back(offsets);
    offsets[0] = 0;
    const bool view = type.kind == Kind::list_view || type.kind == Kind::large_list_view;
    // A null may span items, which Parquet's writer refuses: then the items are gathered too.
    if (rows.at == nullptr && !view && rows.count > 0 && (a.validity == nullptr || !any_null(a, rows))) {
      const int64_t from = span_at(type, a, rows.first).from;
      int64_t end = from;
      for (int64_t k = 0; k < rows.count; ++k) {
        const Span span = span_at(type, a, rows.first + k);
        end = span.from + span.count;
        offsets[k + 1] = static_cast<Offset>(end - from);
      }
      array(type.children[0], a.children[0], {nullptr, from, end - from}, holder.pointers[0]);
      return;
    }
    std::vector<int64_t> items;
    for (int64_t k = 0; k < rows.count; ++k) {
      const int64_t r = rows[k];
      if (r >= 0 && !a.is_null(r)) {
        const Span span = span_at(type, a, r);
        for (int64_t item = 0; item < span.count; ++item) items.push_back(span.from + item);
      }
      if (items.size() > static_cast<size_t>(std::numeric_limits<Offset>::max())) throw ExportOverflow(type.name);
      offsets[k + 1] = static_cast<Offset>(items.size());
    }
    array(type.children[0], a.children[0], selected(items), holder.pointers[0]);
  }

  void fixed_lists(const Type& type, const Array& a, const Rows& rows, ArrowArray* out, Holder& holder) {
    validity(a, rows, out, holder);
    const int64_t width = type.width;
    if (rows.at == nullptr) {
      array(type.children[0], a.children[0], {nullptr, (a.offset + rows.first) * width, rows.count * width}, holder.pointers[0]);
      return;
    }
    std::vector<int64_t> items;
    items.reserve(static_cast<size_t>(rows.count * width));
    for (int64_t k = 0; k < rows.count; ++k) {
      const bool null = rows.at[k] < 0 || a.is_null(rows.at[k]);
      for (int64_t item = 0; item < width; ++item) items.push_back(null ? -1 : (a.offset + rows.at[k]) * width + item);
    }
    array(type.children[0], a.children[0], selected(items), holder.pointers[0]);
  }

  void structure(const Type& type, const Array& a, const Rows& rows, ArrowArray* out, Holder& holder) {
    validity(a, rows, out, holder);
    std::vector<int64_t> at;
    Rows members{nullptr, a.offset + rows.first, rows.count};
    // What lies under a null struct may be anything: it is not looked at.
    if (rows.at != nullptr || (a.validity != nullptr && any_null(a, rows))) {
      at.resize(static_cast<size_t>(rows.count));
      for (int64_t k = 0; k < rows.count; ++k) {
        const int64_t r = rows[k];
        at[static_cast<size_t>(k)] = r < 0 || a.is_null(r) ? -1 : a.offset + r;
      }
      members = selected(at);
    }
    for (size_t c = 0; c < type.children.size(); ++c) array(type.children[c], a.children[c], members, holder.pointers[c]);
  }

  bool table_;
  bool as_is_;
};

// Which of the rows it is that cannot be exported.
[[noreturn]] void name_row(Builder& builder, const Type& type, const Array& a, const Rows& rows, const EncodeFailure& failure) {
  for (int64_t k = 0; k < rows.count; ++k) {
    const int64_t row = rows[k];
    ArrowArray alone{};
    try {
      builder.array(type, a, {nullptr, row, 1}, &alone);
    } catch (const EncodeFailure& found) {
      if (alone.release != nullptr) alone.release(&alone);
      throw RowFailure{row, type.name, found.what()};
    }
    alone.release(&alone);
  }
  throw RowFailure{rows[0], type.name, failure.what()};
}

}  // namespace

void export_rows(const Type& schema, const Array& block, const std::vector<int64_t>& rows, ArrowArray* out) {
  Builder builder(ExportLayout::as_is);
  const Rows which = selected(rows);
  Holder& holder = begin(out, which.count, schema.children.size());
  holder.buffers.push_back(nullptr);
  finish(out, holder);
  for (size_t c = 0; c < schema.children.size(); ++c) builder.array(schema.children[c], block.children[c], which, holder.pointers[c]);
}

void Exporter::open(const uint8_t* arena, const ChunkPlace& place) {
  chunk_ = open_chunk(schema_, arena, place, block_);
  ends_.clear();
  group_events_.clear();
  if (chunk_.repeats == nullptr) return;
  for (size_t g = 0; g < chunk_.n_groups; ++g) {
    const Group& group = chunk_.groups[g];
    uint64_t events = 0;
    if (ends_.size() < size_t{group.first} + group.count) ends_.resize(size_t{group.first} + group.count);
    for (size_t e = group.first; e < size_t{group.first} + group.count; ++e) ends_[e] = events += chunk_.repeats[e];
    group_events_.push_back(events);
  }
}

uint32_t Exporter::place_of(size_t group, uint64_t event) const {
  const Group& g = chunk_.groups[group];
  if (ends_.empty()) return g.first + static_cast<uint32_t>(event);
  const auto from = ends_.begin() + g.first;
  return static_cast<uint32_t>(std::upper_bound(from, from + g.count, event) - ends_.begin());
}

std::pair<uint32_t, bool> Exporter::rows_ended(size_t group, uint64_t first, uint64_t end) const {
  const uint32_t last = place_of(group, end - 1);
  const bool goes_on = !ends_.empty() && ends_[last] > end;
  uint32_t rows = 0;
  for (uint32_t place = place_of(group, first); place <= last; ++place) rows += rows_of(chunk_.entry(place));
  return {goes_on ? rows - rows_of(chunk_.entry(last)) : rows, goes_on};
}

void Exporter::events_as_array(size_t group, uint64_t first, uint64_t end, ArrowArray* out) const {
  std::vector<int64_t> at;
  Rows rows{nullptr, 0, static_cast<int64_t>(end - first)};
  uint32_t place = place_of(group, first);
  if (chunk_.entries == nullptr) {
    rows.first = chunk_.first_row + place;
  } else {
    at.reserve(static_cast<size_t>(end - first));
    for (uint64_t event = first; event < end; ++event) {
      if (ends_.empty() ? event > first : event >= ends_[place]) ++place;
      at.push_back(chunk_.entry(place) & row_mask);
    }
    rows = selected(at);
  }
  Builder builder(layout_);
  Holder& holder = begin(out, rows.count, columns_.size());
  holder.buffers.push_back(nullptr);
  finish(out, holder);
  for (size_t c = 0; c < columns_.size(); ++c) {
    const auto column = static_cast<size_t>(columns_[c]);
    const Type& type = schema_.children[column];
    const Array& values = block_.children[column];
    try {
      builder.array(type, values, rows, holder.pointers[c]);
    } catch (const EncodeFailure& failure) {
      name_row(builder, type, values, rows, failure);
    }
  }
}

}  // namespace penstock
