// Rows into messages: one chunk's entries, group by group, as events packed up to a count and a size, or one row a message with a key.
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
#include <vector>

#include "json.hpp"
#include "select.hpp"
#include "text.hpp"

namespace penstock {

struct PackOptions {
  bool array = false;                 // [E1,…,En] instead of E1\n…En\n
  int64_t buffer_size_records = 10000;
  int64_t max_payload = 999936;       // most bytes of a value; of key and value together where there is a key
  KeyMode key = KeyMode::none;        // of the message; not none: one row a message
};

// What one worker gets to do: a block in the arena and its share of the selection.
struct Chunk {
  const Array* block = nullptr;
  int64_t first_row = 0;               // of the block, where entries are missing
  const uint32_t* entries = nullptr;   // nullptr: rows in order, as inserts
  const uint32_t* repeats = nullptr;   // nullptr: once each
  const Group* groups = nullptr;
  size_t n_groups = 0;
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
  const uint8_t* value;
  size_t value_size;
  const uint8_t* key;  // nullptr: a null key
  size_t key_size;
  size_t group;        // index into the chunk's groups
  uint32_t rows;       // input rows whose last copy is in it
  bool single;         // a row's only message, and its only row: what one-row-per-message makes unless a weight repeats it
  bool open;           // its last row goes on in the next message
  bool keyless;        // messages have keys, but this row's is null
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
};

class Packer {
 public:
  Packer(const Type& schema, const std::vector<int>& row_columns, const std::vector<int>& key_columns, const PackOptions& options);

  // Sends all messages of the chunk to the sink, in order. Throws RowFailure; messages before the failing one have been sent.
  void pack(const Chunk& chunk, Sink& sink);

 private:
  struct SlabOut : Out {
    Packer* packer;
  };
  static void grow(Out& out, size_t room);
  void move_on(size_t room);
  void event(int64_t row, bool is_delete);
  void pack_group(const Chunk& chunk, size_t group);
  void pack_rows(const Chunk& chunk, size_t group);
  void send(const uint8_t* end, size_t key_size, bool has_key, size_t group, uint32_t rows, bool single, bool open);
  [[noreturn]] void too_large(int64_t row, size_t size) const;

  const Type& schema_;
  PackOptions options_;
  std::vector<int> key_columns_;
  RowEncoder rows_;
  RowEncoder keys_;
  Sink* sink_ = nullptr;
  SlabOut out_;
  Slab* slab_ = nullptr;
  uint8_t* start_ = nullptr;
};

}  // namespace penstock
