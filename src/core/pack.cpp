#include "pack.hpp"

#include <algorithm>
#include <cstring>

#include "change.hpp"

namespace penstock {

namespace {

// What a slab is asked for at first: the sink may give more. See produce.cpp for the sizes it keeps.
constexpr size_t first_room = 4096;

struct Literal {
  char text[16];
  size_t size;
};
constexpr Literal insert_open{"{\"insert\":", 10};
constexpr Literal delete_open{"{\"delete\":", 10};

}  // namespace

Packer::Packer(const Type& schema, const std::vector<int>& row_columns, const std::vector<int>& key_columns, const PackOptions& options)
    : schema_(schema),
      options_(options),
      key_columns_(key_columns),
      rows_(schema, row_columns),
      keys_(schema, options.key == KeyMode::json ? key_columns : std::vector<int>{}) {
  out_.grow = grow;
  out_.packer = this;
  options_.buffer_size_records = std::max<int64_t>(options_.buffer_size_records, 1);  // 0 behaves like 1
}

void Packer::pack(const Chunk& chunk, Sink& sink) {
  sink_ = &sink;
  // The slab goes back between chunks: the next one may be packed by another packer. A message that was not finished is forgotten.
  const auto let_go = [this] {
    if (slab_ != nullptr) {
      slab_->used = static_cast<size_t>(start_ - slab_->memory.get());
      sink_->park_slab(slab_);
    }
    slab_ = nullptr;
    start_ = out_.p = out_.end = nullptr;
  };
  try {
    rows_.open(*chunk.block);
    if (options_.key == KeyMode::json) keys_.open(*chunk.block);
    for (size_t g = 0; g < chunk.n_groups; ++g) {
      if (options_.key != KeyMode::none || options_.buffer_size_records == 1) {
        pack_rows(chunk, g);
      } else {
        pack_group(chunk, g);
      }
      sink_->end_group();
    }
  } catch (...) {
    let_go();
    throw;
  }
  let_go();
}

void Packer::grow(Out& out, size_t room) { static_cast<SlabOut&>(out).packer->move_on(room); }

// The message under way goes to a new slab that has `room` more bytes.
void Packer::move_on(size_t room) {
  const auto used = static_cast<size_t>(out_.p - start_);
  Slab* const next = sink_->take_slab(std::max(first_room, used + std::max(room, used / 2)));
  uint8_t* const to = next->memory.get() + next->used;
  if (used != 0) std::memcpy(to, start_, used);
  if (slab_ != nullptr) sink_->seal_slab(slab_);
  slab_ = next;
  start_ = to;
  out_.p = start_ + used;
  out_.end = next->memory.get() + next->size;
}

void Packer::event(int64_t row, bool is_delete) {
  out_.need(32);
  std::memcpy(out_.p, (is_delete ? delete_open : insert_open).text, 16);
  out_.p += 10;
  rows_.row(out_, row);
  *out_.p++ = '}';  // RowEncoder::spare
}

void Packer::send(const uint8_t* end, size_t key_size, bool has_key, size_t group, uint32_t rows, bool single, bool open) {
  Message m;
  m.value = start_;
  m.value_size = static_cast<size_t>(end - start_);
  m.key = has_key ? end : nullptr;
  m.key_size = key_size;
  m.group = group;
  m.rows = rows;
  m.single = single;
  m.open = open;
  m.keyless = options_.key != KeyMode::none && !has_key;
  m.slab = slab_;
  sink_->message(m);
  start_ = start_ + m.value_size + key_size;
}

void Packer::too_large(int64_t row, size_t size) const {
  throw RowFailure{row, "",
                   "the message of this row alone needs " + std::to_string(size) + " bytes, message.max.bytes - 64 allows " +
                       std::to_string(options_.max_payload) + "; raise message.max.bytes here and on the broker, or write fewer columns"};
}

void Packer::pack_group(const Chunk& chunk, size_t group) {
  const Group& g = chunk.groups[group];
  const auto limit = static_cast<size_t>(options_.max_payload);
  const bool array = options_.array;
  int64_t events = 0;
  uint32_t rows = 0;
  for (uint32_t e = g.first; e < g.first + g.count; ++e) {
    const uint32_t entry = chunk.entries != nullptr ? chunk.entries[e] : static_cast<uint32_t>(chunk.first_row + e);
    const int64_t row = entry & ~delete_bit;
    const uint32_t copies = chunk.repeats != nullptr ? chunk.repeats[e] : 1;
    for (uint32_t copy = 0; copy < copies; ++copy) {
      out_.need(64);
      const auto before = static_cast<size_t>(out_.p - start_);
      if (array) *out_.p++ = events == 0 ? '[' : ',';
      try {
        event(row, (entry & delete_bit) != 0);
      } catch (const EncodeFailure& failure) {
        throw RowFailure{row, failure.column, failure.what()};
      }
      if (!array) *out_.p++ = '\n';
      const auto size = static_cast<size_t>(out_.p - start_) + (array ? 1 : 0);
      if (size > limit) {
        // The event is taken out again and begins the next message.
        const size_t alone = size - before;
        if (events == 0 || alone > limit) too_large(row, alone);
        uint8_t* const cut = start_ + before;
        const auto moved = static_cast<size_t>(out_.p - cut);
        if (array) {
          // `,E` becomes `]` and `[E`, one byte longer.
          std::memmove(cut + 2, cut + 1, moved - 1);
          cut[0] = ']';
          cut[1] = '[';
          out_.p += 1;
          send(cut + 1, 0, false, group, rows, false, copy != 0);
        } else {
          send(cut, 0, false, group, rows, false, copy != 0);
        }
        events = 0;
        rows = 0;
      }
      events += 1;
      if (copy + 1 == copies) rows += 1;
      if (events >= options_.buffer_size_records) {
        if (array) *out_.p++ = ']';
        send(out_.p, 0, false, group, rows, false, copy + 1 != copies);
        events = 0;
        rows = 0;
      }
    }
  }
  if (events > 0) {
    if (array) *out_.p++ = ']';
    send(out_.p, 0, false, group, rows, false, false);
  }
}

void Packer::pack_rows(const Chunk& chunk, size_t group) {
  const Group& g = chunk.groups[group];
  const auto limit = static_cast<size_t>(options_.max_payload);
  for (uint32_t e = g.first; e < g.first + g.count; ++e) {
    const uint32_t entry = chunk.entries != nullptr ? chunk.entries[e] : static_cast<uint32_t>(chunk.first_row + e);
    const int64_t row = entry & ~delete_bit;
    const uint32_t copies = chunk.repeats != nullptr ? chunk.repeats[e] : 1;
    for (uint32_t copy = 0; copy < copies; ++copy) {
      size_t value_size = 0;
      size_t key_size = 0;
      bool has_key = false;
      try {
        out_.need(64);
        if (options_.array) *out_.p++ = '[';
        event(row, (entry & delete_bit) != 0);
        *out_.p++ = options_.array ? ']' : '\n';
        value_size = static_cast<size_t>(out_.p - start_);
        if (options_.key == KeyMode::json) {
          keys_.row(out_, row);
          has_key = true;
        } else if (options_.key == KeyMode::raw) {
          const auto c = static_cast<size_t>(key_columns_[0]);
          Bytes b;
          has_key = raw_key(schema_.children[c], chunk.block->children[c], row, b);
          if (has_key) {
            out_.need(static_cast<size_t>(b.size) + 16);
            if (b.size != 0) std::memcpy(out_.p, b.data, static_cast<size_t>(b.size));
            out_.p += b.size;
          }
        }
        key_size = static_cast<size_t>(out_.p - start_) - value_size;
      } catch (const EncodeFailure& failure) {
        throw RowFailure{row, failure.column, failure.what()};
      }
      if (value_size + key_size > limit) too_large(row, value_size + key_size);
      const bool last = copy + 1 == copies;
      send(start_ + value_size, key_size, has_key, group, last ? 1 : 0, copies == 1, !last);
    }
  }
}

}  // namespace penstock
