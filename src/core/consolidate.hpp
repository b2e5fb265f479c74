// The changes of many rows put together: what is left of each row, and with an index of each key, when all of them are counted.
//
// `add` takes one piece of a batch (or of several batches, in an output buffer) after the other and keeps 32 bytes for each distinct
// row, and with an index 40 for each distinct key, plus 5 to 11 bytes for the table that finds either: rows themselves stay where they
// are. `finish` says for every row that is left where it was first seen, what it is, and how often:
//
//   without an index    rows whose weights add up to 0 vanish, the others keep the sum
//   with an index       one new row: insert. One old row: delete. One of each: an update, sent as the new row. Nothing left: nothing.
//                       Anything else is an error that names the key.
//
// An upsert (the ops update, upsert, u, and a +U without its -U) puts its row in the place of whatever its key had, so with an index
// all changes of the key before it are forgotten, and what it comes to is an update, or a delete when the row goes again. Without an
// index nobody knows what it replaces, and it is refused.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "arrow.hpp"
#include "rowhash.hpp"
#include "select.hpp"

namespace penstock {

// Entries that never move, found by hash: a chunked array, and an open-addressed table of their numbers.
template <typename Entry>
class EntryTable {
 public:
  static constexpr uint32_t none = 0xffffffffu;

  // The number of the entry that `same` accepts among those of this hash; a new one, made by `make`, where there is none.
  template <typename Same, typename Make>
  uint32_t find(uint64_t hash, Same&& same, Make&& make) {
    if (4 * (size_ + 1) > 3 * slots_.size()) grow();
    size_t at = hash & mask_;
    for (;; at = (at + 1) & mask_) {
      const uint32_t slot = slots_[at];
      if (slot == none) break;
      if (same((*this)[slot])) return slot;
    }
    const auto number = static_cast<uint32_t>(size_);
    if ((size_ & (chunk - 1)) == 0) chunks_.emplace_back(new Entry[chunk]);
    size_ += 1;
    slots_[at] = number;
    make((*this)[number]);
    return number;
  }
  void prefetch(uint64_t hash) const { __builtin_prefetch(&slots_[hash & mask_]); }
  Entry& operator[](uint32_t number) { return chunks_[number / chunk][number % chunk]; }
  size_t size() const { return size_; }
  size_t bytes() const { return chunks_.size() * chunk * sizeof(Entry) + slots_.size() * sizeof(uint32_t); }

 private:
  static constexpr size_t chunk = 4096;
  void grow() {
    const size_t wanted = 2 * slots_.size();
    slots_.assign(wanted, none);
    mask_ = wanted - 1;
    constexpr size_t ahead = 16;
    for (size_t k = 0; k < size_; ++k) {
      if (k + ahead < size_) prefetch((*this)[static_cast<uint32_t>(k + ahead)].hash());
      size_t at = (*this)[static_cast<uint32_t>(k)].hash() & mask_;
      while (slots_[at] != none) at = (at + 1) & mask_;
      slots_[at] = static_cast<uint32_t>(k);
    }
  }
  std::vector<uint32_t> slots_ = std::vector<uint32_t>(64, none);
  size_t mask_ = 63;
  std::vector<std::unique_ptr<Entry[]>> chunks_;
  size_t size_ = 0;
};

// How the rows of one schema are read; pieces of one Consolidator may come with several, alike in all but layout.
struct ChangeColumns {
  ChangeMode change = ChangeMode::inserts;
  int column = -1;
  std::vector<int> row;  // what makes a row what it is
  std::vector<int> key;  // of the index; empty: there is none
  bool pairs = false;    // with an index: an update keeps its old row where that is the -U right before its +U
};

class ChangeReader {
 public:
  ChangeReader(const Type& schema, const ChangeColumns& columns);

 private:
  friend class Consolidator;
  const Type& schema_;
  ChangeColumns columns_;
  RowHasher rows_;
  RowHasher keys_;
};

class Consolidator {
 public:
  // `index` and `relation`: what errors call them; an empty index: rows are not grouped.
  Consolidator(std::string index, std::string relation) : index_(std::move(index)), relation_(std::move(relation)) {}

  // Rows of the block, which is number `piece` or from row `first` on a part of it. Throws RowFailure; nothing may follow it then.
  void add(ChangeReader& reader, const Array& block, uint32_t piece, uint32_t first);

  // Distinct rows whose weight is not 0: what an output buffer holds.
  int64_t rows() const { return rows_left_; }
  size_t bytes() const { return rows_.bytes() + keys_.bytes(); }

  // Where rows of one piece are to be found again, for errors.
  struct Source {
    ChangeReader* reader;
    const Array* block;
  };

  // A list for each of the pieces, in the order of their rows. Throws RowFailure whose `row` counts within `failed_piece`.
  std::vector<std::vector<Verdict>> finish(const std::vector<Source>& pieces);

  uint32_t failed_piece() const { return failed_piece_; }

 private:
  struct Row {
    uint64_t a;       // of its hash
    uint64_t b;       // of its hash; with an index its key's number, and how many upserts that key had seen
    int64_t weight;
    uint32_t piece;
    uint32_t row;
    uint64_t hash() const { return a; }
    uint32_t key() const { return static_cast<uint32_t>(b); }
    uint32_t upserts() const { return static_cast<uint32_t>(b >> 32); }
  };
  struct Key {
    uint64_t a;
    uint64_t b;
    uint32_t upserts;  // how often everything before was forgotten
    uint32_t last;     // number of the row of the last upsert, none: there was no upsert
    uint32_t rows;     // whose weight is not 0
    uint32_t added;    // of those the one with weight 1, none: there is none; and the one with weight -1. Found by `settle`
    uint32_t removed;
    uint64_t hash() const { return a; }
  };

  struct Change {
    int64_t weight;
    bool upsert;
  };
  Change read(const ChangeReader& reader, const Array& block, int64_t i);
  [[noreturn]] static void refuse_upsert(const ChangeReader& reader, int64_t row);
  void count(const RowHash& row, const RowHash* key, const Change& change, uint32_t piece, uint32_t at);
  uint32_t find_row(const RowHash& row, const Key* key, uint32_t key_number, uint32_t piece, uint32_t at);
  bool is_left(const Row& row) { return row.weight != 0 && (index_.empty() || row.upserts() == keys_[row.key()].upserts); }
  static bool is_pair(const Row& removed, const Row& added, const std::vector<Source>& pieces);
  void settle(const std::vector<Source>& pieces);
  [[noreturn]] void refuse(const std::vector<Source>& pieces, const Row& row, const std::string& why);

  std::string index_;
  std::string relation_;
  EntryTable<Row> rows_;
  EntryTable<Key> keys_;
  std::vector<RowHash> row_hashes_ = std::vector<RowHash>(RowHasher::stride);
  std::vector<RowHash> key_hashes_ = std::vector<RowHash>(RowHasher::stride);
  int64_t rows_left_ = 0;
  bool after_before_ = false;  // the last row was a -U
  uint32_t failed_piece_ = 0;
};

}  // namespace penstock
