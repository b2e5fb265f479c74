#include "pack.hpp"

#include <algorithm>
#include <cstring>

#include "change.hpp"

namespace penstock {

namespace {

// What a slab is asked for at first: the sink may give more. See produce.cpp for the sizes it keeps.
constexpr size_t first_room = 4096;

// Says why a row's message has no value.
constexpr std::string_view error_header = "penstock.error";

// What Kafka adds to a header: two lengths, at most 5 bytes each.
constexpr size_t header_room = 10;

}  // namespace

Packer::Packer(const PackOptions& options, std::shared_ptr<Format> format, std::shared_ptr<KeyEncoder> key,
               std::shared_ptr<FieldReader> fields, std::shared_ptr<Cutter> cutter)
    : options_(options), format_(std::move(format)), key_(std::move(key)), fields_(std::move(fields)), cutter_(std::move(cutter)) {
  out_.grow = grow;
  out_.packer = this;
  options_.records = std::max<int64_t>(options_.records, 1);
  options_.single = options_.single || options_.records == 1 || options_.framing == Framing::bare;
}

void Packer::pack(const Chunk& chunk, Sink& sink) {
  sink_ = &sink;
  sequence_ = chunk.sequence;
  block_ = chunk.block;
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
    format_->open(*chunk.block);
    if (key_ != nullptr) key_->open(*chunk.block);
    if (fields_ != nullptr) fields_->open(*chunk.block);
    for (size_t g = 0; g < chunk.n_groups; ++g) {
      if (options_.single) {
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

// The first bytes of a value.
void Packer::begin() {
  const size_t size = options_.prologue.size();
  if (size == 0) return;
  out_.need(size + Format::spare);
  std::memcpy(out_.p, options_.prologue.data(), size);
  out_.p += size;
}

// A packed message: from start_ to end.
void Packer::send(const uint8_t* end, size_t group, uint32_t first_entry, uint32_t end_entry, uint32_t rows, bool open) {
  Message m{};
  m.value = start_;
  m.value_size = static_cast<size_t>(end - start_);
  m.extras = &extras_;
  m.group = group;
  m.rows = rows;
  m.open = open;
  m.entry = first_entry;
  m.end = end_entry;
  m.slab = slab_;
  sink_->message(m);
  start_ += m.value_size;
}

RowFailure Packer::too_large(int64_t row, size_t size) const {
  return {row, "",
          "the message of this row alone needs " + std::to_string(size) + " bytes, message.max.bytes - 64 allows " +
              std::to_string(options_.max_payload) + "; raise message.max.bytes here and on the broker, or write fewer columns",
          true};
}

// Cuts columns of a row that is too large to the greatest length with which `write`, which writes it anew and returns its size, stays
// within the limit. Returns the size with which it is written in the end, which is `size` or more where cutting does not help.
template <typename Write>
size_t Packer::shorten(const Event& event, uint32_t rows, size_t size, size_t limit, const Write& write) {
  if (cutter_ == nullptr || event.before >= 0) return size;
  int64_t too_long = cutter_->open(*block_, event.row);
  const auto written = [&](int64_t length) {
    format_->open(cutter_->cut(length));
    return write();
  };
  try {
    int64_t fits = 0;
    size = written(0);
    if (size <= limit) {
      while (too_long - fits > 1) {
        const int64_t middle = fits + (too_long - fits) / 2;
        if (written(middle) <= limit) fits = middle; else too_long = middle;
      }
      size = written(fits);
      sink_->shortened(rows);
    }
  } catch (...) {
    format_->open(*block_);
    throw;
  }
  format_->open(*block_);
  return size;
}

// Tells the sink of a row that is not sent, or throws. Of a row with copies none may be sent: where only a later one fails (its number
// has more digits), the row cannot be left out any more.
void Packer::leave_out(const RowFailure& failure, uint32_t entry, uint64_t copy, uint64_t copies) {
  if (copy != 0 || !(failure.oversize ? options_.skip_oversize : options_.skip_bad)) throw failure;
  sequence_ += copies - 1;
  sink_->left_out({failure, rows_of(entry)});
}

void Packer::pack_group(const Chunk& chunk, size_t group) {
  const Group& g = chunk.groups[group];
  const auto limit = static_cast<size_t>(options_.max_payload);
  const bool array = options_.framing == Framing::array;
  const size_t prologue = options_.prologue.size();
  int64_t events = 0;
  uint32_t rows = 0;
  uint32_t from = g.first;  // entry of the first event
  for (uint32_t e = g.first; e < g.first + g.count; ++e) {
    const uint32_t entry = chunk.entry(e);
    Event event = event_of(entry);
    const uint64_t copies = options_.weighted ? 1 : chunk.copies(e);
    if (options_.weighted) event.weight = static_cast<int64_t>(chunk.copies(e));
    for (uint64_t copy = 0; copy < copies; ++copy) {
      out_.need(Format::spare);
      if (events == 0) begin();
      const auto before = static_cast<size_t>(out_.p - start_);
      event.sequence = sequence_++;
      const auto take_out = [&](const RowFailure& failure) {
        leave_out(failure, entry, copy, copies);
        out_.p = start_ + (events == 0 ? 0 : before);
      };
      // Behind the events before it, of which the message then has the size that is returned.
      const auto write = [&] {
        out_.p = start_ + before;
        if (array) *out_.p++ = events == 0 ? '[' : ',';
        format_->value(out_, event);  // packed formats have no tombstones
        if (!array) *out_.p++ = '\n';
        return static_cast<size_t>(out_.p - start_) + (array ? 1 : 0);
      };
      size_t size = 0;
      try {
        size = write();
        const size_t most = limit + before - prologue;  // with the events before it, where it alone takes all of a message
        if (size > most) size = shorten(event, copy + 1 == copies ? rows_of(entry) : 0, size, most, write);
      } catch (const EncodeFailure& failure) {
        take_out({event.row, failure.column, failure.what()});
        break;
      }
      if (size > limit) {
        // The event is taken out again and begins the next message.
        const size_t alone = size - before + prologue;
        if (events == 0 || alone > limit) {
          take_out(too_large(event.row, alone));
          break;
        }
        out_.need(prologue + 1);
        uint8_t* const cut = start_ + before;
        const auto moved = static_cast<size_t>(out_.p - cut);
        if (array) {
          // `,E` becomes `]` and `[E`, one byte longer.
          std::memmove(cut + 2 + prologue, cut + 1, moved - 1);
          cut[0] = ']';
          cut[1 + prologue] = '[';
          out_.p += 1 + prologue;
          send(cut + 1, group, from, copy != 0 ? e + 1 : e, rows, copy != 0);
        } else {
          if (prologue != 0) std::memmove(cut + prologue, cut, moved);
          out_.p += prologue;
          send(cut, group, from, copy != 0 ? e + 1 : e, rows, copy != 0);
        }
        if (prologue != 0) std::memcpy(start_, options_.prologue.data(), prologue);
        events = 0;
        rows = 0;
      }
      if (events == 0) from = e;
      events += 1;
      if (copy + 1 == copies) rows += rows_of(entry);
      if (events >= options_.records) {
        if (array) *out_.p++ = ']';
        send(out_.p, group, from, e + 1, rows, copy + 1 != copies);
        events = 0;
        rows = 0;
      }
    }
  }
  if (events > 0) {
    if (array) *out_.p++ = ']';
    send(out_.p, group, from, g.first + g.count, rows, false);
  }
}

void Packer::pack_rows(const Chunk& chunk, size_t group) {
  const Group& g = chunk.groups[group];
  for (uint32_t e = g.first; e < g.first + g.count; ++e) {
    const uint32_t entry = chunk.entry(e);
    Event event = event_of(entry);
    uint64_t copies = chunk.copies(e);
    if (options_.weighted) {
      event.weight = static_cast<int64_t>(copies);
      copies = 1;
    }
    for (uint64_t copy = 0; copy < copies; ++copy) {
      event.sequence = sequence_++;
      const auto take_out = [&](const RowFailure& failure) {
        leave_out(failure, entry, copy, copies);
        out_.p = start_;
      };
      try {
        pack_row(event, group, e, copy + 1 == copies ? rows_of(entry) : 0, copies == 1);
      } catch (const EncodeFailure& failure) {
        take_out({event.row, failure.column, failure.what()});
        break;
      } catch (const RowFailure& failure) {
        take_out(failure);
        break;
      }
    }
  }
}

// rows: 0 where another copy of the row follows; alone: there is one copy only.
void Packer::pack_row(const Event& event, size_t group, uint32_t entry, uint32_t rows, bool alone) {
  if (fields_ != nullptr) {
    extras_.headers.clear();
    fields_->read(event, extras_);
  } else if (!extras_.headers.empty()) {
    extras_.headers.clear();
  }
  const std::string_view op = format_->op(event);
  if (!op.empty()) extras_.headers.push_back({"op", reinterpret_cast<const uint8_t*>(op.data()), op.size()});

  bool has_value = false;
  bool has_key = false;
  size_t value_size = 0;
  size_t key_size = 0;
  const auto write = [&] {
    out_.p = start_;
    out_.need(Format::spare);
    if (!extras_.tombstone) {
      begin();
      if (options_.framing == Framing::array) *out_.p++ = '[';
      has_value = format_->value(out_, event);
      if (!has_value) {
        out_.p = start_;
      } else if (options_.framing != Framing::bare) {
        *out_.p++ = options_.framing == Framing::array ? ']' : '\n';
      }
    }
    value_size = static_cast<size_t>(out_.p - start_);
    has_key = key_ != nullptr && key_->key(out_, event);
    if (!has_key) out_.p = start_ + value_size;
    key_size = static_cast<size_t>(out_.p - start_) - value_size;
    size_t size = value_size + key_size;
    for (const Header& h : extras_.headers) size += h.name.size() + h.size + header_room;
    return size;
  };
  const auto limit = static_cast<size_t>(options_.max_payload);
  size_t size = write();
  if (size > limit) size = shorten(event, rows, size, limit, write);
  if (size > limit) {
    const RowFailure failure = too_large(event.row, size);
    why_ = failure.text;
    size = size - value_size + error_header.size() + why_.size() + header_room;
    if (!options_.key_only || !has_key || size > limit) throw failure;
    extras_.headers.push_back({error_header, reinterpret_cast<const uint8_t*>(why_.data()), why_.size()});
    has_value = false;
    sink_->shortened(rows);
  }

  const bool tombstone = options_.tombstones && event.change == Change::remove && has_value;
  Message m{};
  m.value = has_value ? start_ : nullptr;
  m.value_size = has_value ? value_size : 0;
  m.key = has_key ? start_ + value_size : nullptr;
  m.key_size = key_size;
  m.extras = &extras_;
  m.group = group;
  m.rows = tombstone ? 0 : rows;
  m.single = alone && rows == 1 && !tombstone;
  m.open = tombstone || rows == 0;
  m.keyless = key_ != nullptr && !has_key && !tombstone;
  m.entry = entry;
  m.end = entry + 1;
  m.slab = slab_;
  start_ = out_.p;
  sink_->message(m);
  if (!tombstone) return;
  m.value = nullptr;
  m.value_size = 0;
  m.rows = rows;
  m.open = rows == 0;
  m.keyless = key_ != nullptr && !has_key;
  sink_->message(m);
}

}  // namespace penstock
