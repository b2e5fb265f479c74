// Rows into messages: one chunk's entries, group by group, as events packed up to a count and a size, or one row a message with a
// key, headers, a timestamp and a topic of its own.
//
// Messages are written straight into slabs, which the sink owns, and sent from there without another copy:
//
//   slab  | message | message | message under way ...          |
//                             ^ start_            ^ out.p      ^ out.end
//
// When a slab is full, only the message under way moves to the next one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cut.hpp"
#include "format.hpp"
#include "select.hpp"
#include "text.hpp"

namespace penstock {

// How events share a message.
enum class Framing : uint8_t {
  lines,  // E1\n…En\n
  array,  // [E1,…,En]
  bare,   // E1, always alone
};

struct PackOptions {
  Framing framing = Framing::lines;
  int64_t records = 10000;       // most events in one message; 0 behaves like 1
  bool single = false;           // one row a message, though `records` would allow more: it has a key or other fields of its own
  bool weighted = false;         // one event carries all copies of a row; else there is an event for each
  bool tombstones = false;       // after the message of a delete another one with its key and a null value
  std::string prologue;          // first bytes of every value
  int64_t max_payload = 999936;  // most bytes of a value; of key, value and its own headers together where a row is a message
  bool skip_bad = false;         // a row that cannot be encoded is left out; else it ends the chunk
  bool skip_oversize = false;    // likewise one whose message would be too large
  bool key_only = false;         // of one that is too large the key is sent, without a value
  bool resend = false;           // what the broker refuses may be sent again, behind what came after it
};

// What one worker gets to do: a block in the arena and its share of the selection.
struct Chunk {
  const Array* block = nullptr;
  int64_t first_row = 0;               // of the block, where entries are missing
  const uint32_t* entries = nullptr;   // nullptr: rows in order, as inserts
  const uint64_t* repeats = nullptr;   // nullptr: once each
  const Group* groups = nullptr;
  size_t n_groups = 0;
  uint64_t sequence = 0;               // number of its first event, in input order

  uint32_t entry(uint32_t e) const { return entries != nullptr ? entries[e] : static_cast<uint32_t>(first_row + e); }
  uint64_t copies(uint32_t e) const { return repeats != nullptr ? repeats[e] : 1; }
};

struct Header {
  std::string_view name;
  const uint8_t* value;  // nullptr: a null value
  size_t size;
};

// What a row's message has beside key and value. Filled anew for each row; what it points to stays good until the next one.
struct Extras {
  std::vector<Header> headers;  // after the static ones, which the sink knows
  int64_t timestamp = 0;        // milliseconds; 0: librdkafka's clock
  std::string_view topic;       // empty: the sink's own
  int32_t partition = -1;       // of that topic; -1: the group's
  bool tombstone = false;       // the value is null, whatever the row says
};

// Reads the fields of a message that come from columns.
class FieldReader {
 public:
  virtual ~FieldReader() = default;
  virtual void open(const Array& block) = 0;
  // Throws EncodeFailure.
  virtual void read(const Event& event, Extras& extras) = 0;
};

struct Slab {
  explicit Slab(size_t size_) : memory(new uint8_t[size_]), size(size_) {}
  std::unique_ptr<uint8_t[]> memory;
  size_t size;
  size_t used = 0;       // by finished messages, when the packer parks it
  int64_t pending = 0;   // messages in it that the broker has not answered for
  bool sealed = false;   // the packer writes elsewhere now
};

struct Message {
  const uint8_t* value;  // nullptr: a null value
  size_t value_size;
  const uint8_t* key;    // nullptr: a null key
  size_t key_size;
  const Extras* extras;  // never nullptr
  size_t group;          // index into the chunk's groups
  uint32_t rows;         // input rows whose last copy is in it
  bool single;           // a row's only message, and its only row: what one-row-per-message makes unless a weight repeats it
  bool open;             // its last row goes on in the next message
  bool keyless;          // messages have keys, but this row's is null
  uint32_t entry;        // the first of the chunk's entries that is in it, and behind the last one; in between also those left out
  uint32_t end;
  Slab* slab;
};

// Where messages go. All calls come from the one thread that packs.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual Slab* take_slab(size_t size) = 0;   // may wait for one; at least `size` bytes behind its `used`
  virtual void seal_slab(Slab* slab) = 0;     // nothing more will be written to it
  virtual void park_slab(Slab* slab) = 0;     // at the end of a chunk: what is behind `used` may be taken by the next one
  virtual void message(const Message& m) = 0; // m.value stays where it is until the sink says otherwise
  virtual void end_group() = 0;
  virtual void left_out(const LeftOut& row) = 0;  // nothing of it is sent
  virtual void shortened(uint32_t rows) = 0;      // not all of it is sent: without a value, or cut
};

class Packer {
 public:
  // `key`, `fields`: nullptr where messages have none. `cutter`: for rows that are too large; nullptr: they are not cut.
  Packer(const PackOptions& options, std::shared_ptr<Format> format, std::shared_ptr<KeyEncoder> key, std::shared_ptr<FieldReader> fields,
         std::shared_ptr<Cutter> cutter);

  // Sends all messages of the chunk to the sink, in order. Throws RowFailure where the row is not to be left out; messages before the
  // failing one have been sent.
  void pack(const Chunk& chunk, Sink& sink);

  const PackOptions& options() const { return options_; }

 private:
  struct SlabOut : Out {
    Packer* packer;
  };
  static void grow(Out& out, size_t room);
  void move_on(size_t room);
  void begin();
  void pack_group(const Chunk& chunk, size_t group);
  void pack_rows(const Chunk& chunk, size_t group);
  void pack_row(const Event& event, size_t group, uint32_t entry, uint32_t rows, bool alone);
  void send(const uint8_t* end, size_t group, uint32_t first_entry, uint32_t end_entry, uint32_t rows, bool open);
  RowFailure too_large(int64_t row, size_t size) const;
  template <typename Write>
  size_t shorten(const Event& event, uint32_t rows, size_t size, size_t limit, const Write& write);
  void leave_out(const RowFailure& failure, uint32_t entry, uint64_t copy, uint64_t copies);

  PackOptions options_;
  std::shared_ptr<Format> format_;
  std::shared_ptr<KeyEncoder> key_;
  std::shared_ptr<FieldReader> fields_;
  std::shared_ptr<Cutter> cutter_;
  const Array* block_ = nullptr;
  Extras extras_;
  std::string why_;  // of a row without its value
  uint64_t sequence_ = 0;
  Sink* sink_ = nullptr;
  SlabOut out_;
  Slab* slab_ = nullptr;
  uint8_t* start_ = nullptr;
};

}  // namespace penstock
