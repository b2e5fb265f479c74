// Which rows of a piece are sent, as what, in which order, to which partition: the selection vector.
//
// Rows are never moved. Entries are ordered by the worker that owns the partition, then by partition, and within a partition as
// the changes order them (as given, or deletes first).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "arrow.hpp"
#include "change.hpp"
#include "format.hpp"
#include "hash.hpp"

namespace penstock {

// An entry is a row number and, above it, what is done with the row.
constexpr uint32_t delete_bit = 0x80000000u;
constexpr uint32_t update_bit = 0x40000000u;
constexpr uint32_t pair_bit = 0x20000000u;  // the row just before is the image before this update
constexpr uint32_t row_mask = 0x1fffffffu;

inline Event event_of(uint32_t entry) {
  const int64_t row = entry & row_mask;
  const Change change = (entry & delete_bit) != 0 ? Change::remove : (entry & update_bit) != 0 ? Change::update : Change::insert;
  return {row, change, (entry & pair_bit) != 0 ? row - 1 : -1, 1, 0};
}
// Input rows that an entry stands for.
inline uint32_t rows_of(uint32_t entry) { return (entry & pair_bit) != 0 ? 2 : 1; }

// What one message's worth of rows shares: a partition and a stretch of entries.
struct Group {
  int32_t partition;  // -1 - n: not known here, rows of worker n (rows with topics of their own; a preview)
  uint32_t first;
  uint32_t count;
};

enum class ChangeMode : uint8_t { inserts, op, weight, images };
enum class Pass : uint8_t { both, deletes, inserts };  // weight, when a batch comes in several pieces: all deletes first

struct SelectOptions {
  ChangeMode change = ChangeMode::inserts;
  int change_column = -1;           // images: the struct of the row before the change
  int after_column = -1;            // images: that of the row after it
  bool pair_updates = false;        // op: a -U and the +U right behind it are one update
  uint64_t most_copies = 1000000;   // of one row
  int partition_column = -1;
  int topic_column = -1;            // rows are divided by worker alone, and the partitions are librdkafka's business
  Partitioner partitioner = Partitioner::murmur2_random;
  int32_t partitions = 0;           // 0: no partition is given, one group of partition -1
  int32_t workers = 1;              // partition p belongs to worker p % workers
  bool skip_bad = false;            // a row that cannot be taken is left out; else nothing is selected
};

struct Selection {
  bool all_in_order = false;        // every row from `first_row` on, as an insert, once: `entries` stays empty
  std::vector<uint32_t> entries;
  std::vector<uint64_t> repeats;    // how often each entry is sent; empty: once each
  std::vector<Group> groups;
  std::vector<std::pair<int64_t, std::string>> new_topics;  // not allowed so far, each with its first row
  int64_t rows = 0;                 // input rows that will be sent
  int64_t skipped = 0;              // input rows that will not: of weight 0, without a verdict
  std::vector<LeftOut> left_out;    // input rows that cannot be taken
};

// What is to be sent of one row of a piece, where that does not depend on the row alone; see consolidate.hpp.
struct Verdict {
  uint32_t row;
  uint32_t bits;    // delete_bit, update_bit, pair_bit
  uint64_t copies;
};

class Selector {
 public:
  // `key`: what is hashed for the partition, the message's key or that of partition_by; nullptr: nothing is.
  Selector(const Type& schema, const SelectOptions& options, std::shared_ptr<KeyEncoder> key);

  // Rows [from, to) of the block. `sticky`: where rows left to chance go this time. `verdicts`: what the rows came to beside others,
  // in the order of their rows; nullptr: what their change column says. Throws RowFailure; nothing is kept.
  void select(const Array& block, int64_t from, int64_t to, Pass pass, int32_t sticky, const std::vector<Verdict>* verdicts, Selection& out);
  // Where it finds topics that nobody has allowed yet, it names them, and is to be asked again once they are.
  void allow_topic(const std::string& name) { topics_.insert(name); }
  void refuse_topic(const std::string& name, const std::string& why) { refused_topics_.emplace(name, why); }

  // True when row i and the one behind it are a -U and its +U, which must come in one block.
  bool is_pair(const Array& block, int64_t i) const;

  // True when row i is a -U: whether it is the first half of a pair, the row behind it tells.
  bool is_before(const Array& block, int64_t i) const { return options_.pair_updates && says(block, i, Op::before); }

 private:
  template <typename Take>
  bool take(uint32_t entry, Selection& out, const Take& how) const;
  bool says(const Array& block, int64_t i, Op op) const;
  bool share_place(const Array& block, int64_t i, int64_t j);
  void ops(const Array& block, int64_t from, int64_t to, Selection& out);
  void images(const Array& block, int64_t from, int64_t to, Selection& out);
  void weights(const Array& block, int64_t from, int64_t to, Pass pass, Selection& out);
  void judged(const std::vector<Verdict>& verdicts, int64_t from, int64_t to, Pass pass, Selection& out);
  [[noreturn]] void refuse_weight(int64_t row, bool negative, uint64_t copies) const;
  int32_t partition_at(const Array& block, uint32_t entry, int32_t sticky);
  void partition(const Array& block, int32_t sticky, Selection& out);
  void check_topics(const Array& block, int64_t from, Selection& out);
  void divide(const Array& block, Selection& out);
  void sort(std::vector<uint32_t>& starts, Selection& out);
  bool key_of(uint32_t entry, Bytes& out);

  const Type& schema_;
  SelectOptions options_;
  std::shared_ptr<KeyEncoder> key_;
  std::vector<uint8_t> key_bytes_;  // of the row at hand
  std::vector<uint8_t> other_bytes_;
  std::vector<int32_t> places_;     // rank of each entry's group
  std::set<std::string, std::less<>> topics_;  // allowed
  std::map<std::string, std::string, std::less<>> refused_topics_;  // and why
};

}  // namespace penstock
