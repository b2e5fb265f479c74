#include "select.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <string_view>

#include "change.hpp"
#include "leaf.hpp"

namespace penstock {

namespace {

void grow_vector(Out&, size_t);

struct VectorOut : Out {
  std::vector<uint8_t>& target;
  explicit VectorOut(std::vector<uint8_t>& v) : target(v) {
    grow = grow_vector;
    p = target.data();
    end = p + target.size();
  }
};
void grow_vector(Out& out, size_t room) {
  auto& self = static_cast<VectorOut&>(out);
  const auto used = static_cast<size_t>(out.p - self.target.data());
  self.target.resize(std::max(2 * self.target.size(), used + room));
  out.p = self.target.data() + used;
  out.end = self.target.data() + self.target.size();
}

// Leaving entries out: those that stay move up.
void keep(size_t from, size_t to, Selection& out) {
  if (from == to) return;
  out.entries[to] = out.entries[from];
  if (!out.repeats.empty()) out.repeats[to] = out.repeats[from];
}

void truncate(size_t count, Selection& out) {
  out.entries.resize(count);
  if (!out.repeats.empty()) out.repeats.resize(count);
}

}  // namespace

Selector::Selector(const Type& schema, const SelectOptions& options, std::shared_ptr<KeyEncoder> key)
    : schema_(schema), options_(options), key_(std::move(key)) {}

void Selector::select(const Array& block, int64_t from, int64_t to, Pass pass, int32_t sticky, const std::vector<Verdict>* verdicts,
                      Selection& out) {
  const bool placed = key_ != nullptr || options_.partition_column >= 0;
  if (key_ != nullptr) key_->open(block);
  if (verdicts != nullptr) {
    judged(*verdicts, from, to, pass, out);
  } else {
    switch (options_.change) {
      case ChangeMode::op: ops(block, from, to, out); break;
      case ChangeMode::weight: weights(block, from, to, pass, out); break;
      case ChangeMode::images: images(block, from, to, out); break;
      case ChangeMode::inserts:
        out.all_in_order = !placed;
        out.rows += to - from;
        if (!placed) break;
        out.entries.resize(static_cast<size_t>(to - from));
        std::iota(out.entries.begin(), out.entries.end(), static_cast<uint32_t>(from));
        break;
    }
  }
  if (options_.topic_column >= 0) {
    check_topics(block, from, out);
    if (!out.new_topics.empty()) return;
    if (options_.partition_column >= 0 || (placed && options_.workers > 1)) return divide(block, out);
  } else if (placed && options_.partitions > 0) {
    return partition(block, sticky, out);
  }
  if (out.rows == 0) return;
  int32_t to_partition = -1;
  if (options_.partitions > 0 && options_.topic_column < 0) {
    // Without a key: a run of rows stays together, where the partitioner leaves keyless rows to chance.
    to_partition = is_random(options_.partitioner, false, 0) ? sticky : partition_of(options_.partitioner, nullptr, 0, options_.partitions);
  }
  out.groups.push_back({to_partition, 0, static_cast<uint32_t>(out.all_in_order ? to - from : static_cast<int64_t>(out.entries.size()))});
}

// False: the row cannot be taken and is left out.
template <typename Take>
bool Selector::take(uint32_t entry, Selection& out, const Take& how) const {
  try {
    how();
    return true;
  } catch (const RowFailure& failure) {
    if (!options_.skip_bad) throw;
    out.left_out.push_back({failure, rows_of(entry)});
    out.left_out.back().failure.row = entry & row_mask;
    out.rows -= rows_of(entry);
    return false;
  }
}

bool Selector::says(const Array& block, int64_t i, Op op) const {
  if (options_.change != ChangeMode::op) return false;
  const auto c = static_cast<size_t>(options_.change_column);
  Bytes b;
  try {
    return raw_key(schema_.children[c], block.children[c], i, b) && parse_op(b) == op;
  } catch (const RowFailure&) {
    return false;  // the selection says why
  }
}

bool Selector::is_pair(const Array& block, int64_t i) const {
  return options_.pair_updates && i + 1 < block.length && says(block, i, Op::before) && says(block, i + 1, Op::after);
}

// Whether two rows have one key and one partition: only then one message can stand for both.
bool Selector::share_place(const Array& block, int64_t i, int64_t j) {
  if (options_.partition_column >= 0) {
    const auto c = static_cast<size_t>(options_.partition_column);
    int64_t x = 0;
    int64_t y = 0;
    const bool has_x = integer_value(schema_.children[c], block.children[c], i, x);
    const bool has_y = integer_value(schema_.children[c], block.children[c], j, y);
    if (has_x != has_y || x != y) return false;
  }
  if (key_ == nullptr) return true;
  const auto write = [&](std::vector<uint8_t>& to, int64_t row) {
    VectorOut out(to);
    try {
      const bool has_key = key_->key(out, {row, Change::insert, -1, 1, 0});
      return has_key ? static_cast<int64_t>(out.p - to.data()) : -1;
    } catch (const EncodeFailure& e) {
      throw RowFailure{row, e.column, e.what()};
    }
  };
  try {
    const int64_t size = write(key_bytes_, i);
    return size == write(other_bytes_, j) && (size <= 0 || std::memcmp(key_bytes_.data(), other_bytes_.data(), static_cast<size_t>(size)) == 0);
  } catch (const RowFailure&) {
    if (!options_.skip_bad) throw;
    return false;  // each for itself, then: only the one without a key is left out
  }
}

void Selector::ops(const Array& block, int64_t from, int64_t to, Selection& out) {
  const auto c = static_cast<size_t>(options_.change_column);
  const Type& type = schema_.children[c];
  const Array& column = block.children[c];
  out.entries.resize(static_cast<size_t>(to - from));
  uint32_t* entry = out.entries.data();
  bool after_before = false;
  for (int64_t i = from; i < to; ++i) {
    const auto row = static_cast<uint32_t>(i);
    Op op = Op::unknown;
    if (!take(row, out, [&] { op = op_at(type, column, i); })) {
      after_before = false;
      continue;
    }
    if (op == Op::after && after_before) {
      // Where the key changes, nothing takes the place of the old row: it is deleted, and a new one is inserted.
      if (share_place(block, i - 1, i)) entry[-1] = row | update_bit | pair_bit; else *entry++ = row;
    } else if (op == Op::remove || op == Op::before) {
      *entry++ = row | delete_bit;
    } else {
      *entry++ = row | (op == Op::insert ? 0 : update_bit);
    }
    after_before = options_.pair_updates && op == Op::before;
  }
  out.entries.resize(static_cast<size_t>(entry - out.entries.data()));
  out.rows += to - from;
}

void Selector::images(const Array& block, int64_t from, int64_t to, Selection& out) {
  const auto before = static_cast<size_t>(options_.change_column);
  const auto after = static_cast<size_t>(options_.after_column);
  for (int64_t i = from; i < to; ++i) {
    const bool was = !block.children[before].is_null(i);
    const bool is = !block.children[after].is_null(i);
    const auto look = [&] {
      if (was || is) return;
      throw RowFailure{i, schema_.children[after].name,
                       "both images are null, here and in \"" + schema_.children[before].name + "\"; an insert has the one after it, a delete the one before, an update both"};
    };
    if (!take(static_cast<uint32_t>(i), out, look)) continue;
    out.entries.push_back(static_cast<uint32_t>(i) | (!is ? delete_bit : was ? update_bit : 0));
  }
  out.rows += to - from;
}

void Selector::refuse_weight(int64_t row, bool negative, uint64_t copies) const {
  const std::string column = options_.change == ChangeMode::weight ? schema_.children[static_cast<size_t>(options_.change_column)].name : "";
  throw RowFailure{row, column,
                   std::string("very large weight ") + (negative ? "-" : "") + std::to_string(copies) + "; a row may be repeated at most " +
                       std::to_string(options_.most_copies) + " times"};
}

void Selector::weights(const Array& block, int64_t from, int64_t to, Pass pass, Selection& out) {
  const auto c = static_cast<size_t>(options_.change_column);
  const Type& type = schema_.children[c];
  const bool is_unsigned = value_type(type).kind == Kind::uint64;
  bool repeated = false;
  Selection other_pass;
  const auto one_sign = [&](bool deletes) {
    for (int64_t i = from; i < to; ++i) {
      int64_t weight = 0;
      uint64_t copies = 0;
      const auto read = [&] {
        weight = weight_at(type, block.children[c], i, is_unsigned);
        copies = magnitude(weight);
        if (copies > options_.most_copies) refuse_weight(i, weight < 0, copies);
      };
      // Counted on one pass only: on the first, or on that of the deletes where there are two.
      if (!take(static_cast<uint32_t>(i), deletes ? out : other_pass, read)) continue;
      if (weight == 0 && deletes) out.skipped += 1;
      if (weight == 0 || (weight < 0) != deletes) continue;
      out.entries.push_back(static_cast<uint32_t>(i) | (deletes ? delete_bit : 0));
      out.repeats.push_back(copies);
      repeated = repeated || copies != 1;
    }
  };
  if (pass != Pass::inserts) one_sign(true);
  if (pass != Pass::deletes) one_sign(false);
  if (!repeated) out.repeats.clear();
  out.rows = static_cast<int64_t>(out.entries.size());  // without those that were left out
}

void Selector::judged(const std::vector<Verdict>& verdicts, int64_t from, int64_t to, Pass pass, Selection& out) {
  const auto below = [](const Verdict& v, int64_t row) { return static_cast<int64_t>(v.row) < row; };
  const auto first = std::lower_bound(verdicts.begin(), verdicts.end(), from, below);
  const auto last = std::lower_bound(first, verdicts.end(), to, below);
  bool repeated = false;
  out.skipped = pass == Pass::inserts ? 0 : to - from;
  const auto one_sign = [&](bool deletes) {
    for (auto v = first; v != last; ++v) {
      if (pass != Pass::inserts && deletes) out.skipped -= rows_of(v->bits);
      if (((v->bits & delete_bit) != 0) != deletes) continue;
      if (v->copies > options_.most_copies) refuse_weight(v->row, deletes, v->copies);
      out.entries.push_back(v->row | v->bits);
      out.repeats.push_back(v->copies);
      out.rows += rows_of(v->bits);
      repeated = repeated || v->copies != 1;
    }
  };
  if (pass != Pass::inserts) one_sign(true);
  if (pass != Pass::deletes) one_sign(false);
  if (!repeated) out.repeats.clear();
}

int32_t Selector::partition_at(const Array& block, uint32_t entry, int32_t sticky) {
  const int64_t row = entry & row_mask;
  if (options_.partition_column >= 0) {
    const auto c = static_cast<size_t>(options_.partition_column);
    const Type& type = schema_.children[c];
    int64_t p = 0;
    if (!integer_value(type, block.children[c], row, p)) throw RowFailure{row, type.name, "the partition is null"};
    // How many partitions a row's own topic has, librdkafka finds out.
    const bool own_topic = options_.topic_column >= 0;
    if (own_topic && (p < 0 || p > std::numeric_limits<int32_t>::max())) {
      throw RowFailure{row, type.name, "there is no partition " + std::to_string(p) + "; they are counted from 0"};
    }
    if (!own_topic && (p < 0 || p >= options_.partitions)) {
      throw RowFailure{row, type.name,
                       "there is no partition " + std::to_string(p) + "; the topic has " + std::to_string(options_.partitions) + ", counted from 0"};
    }
    return static_cast<int32_t>(p);
  }
  Bytes key;
  const bool has_key = key_of(entry, key);
  const auto size = static_cast<size_t>(key.size);
  if (is_random(options_.partitioner, has_key, size)) return sticky;
  return partition_of(options_.partitioner, key.data, size, options_.partitions);
}

// The key's bytes stay until the next one. False: a null key, no bytes.
bool Selector::key_of(uint32_t entry, Bytes& out) {
  VectorOut to(key_bytes_);
  try {
    const bool has_key = key_->key(to, event_of(entry));
    out = {key_bytes_.data(), has_key ? to.p - key_bytes_.data() : 0};
    return has_key;
  } catch (const EncodeFailure& e) {
    throw RowFailure{entry & row_mask, e.column, e.what()};
  }
}

void Selector::check_topics(const Array& block, int64_t from, Selection& out) {
  Leaves topics(schema_, options_.topic_column);
  topics.open(block);
  std::set<std::string, std::less<>> asked;
  std::string_view last;
  const int64_t n = out.all_in_order ? out.rows : static_cast<int64_t>(out.entries.size());
  std::vector<size_t> without;  // entries that have no topic
  for (int64_t e = 0; e < n; ++e) {
    const uint32_t entry = out.all_in_order ? static_cast<uint32_t>(from + e) : out.entries[static_cast<size_t>(e)];
    const int64_t row = entry & row_mask;
    const auto look = [&] {
      Leaf leaf;
      bool known = false;
      try {
        known = topics.find(row, leaf);
      } catch (const EncodeFailure& failure) {
        throw RowFailure{row, failure.column, failure.what()};
      }
      if (!known) throw RowFailure{row, topics.name(), "the topic is null"};
      const Bytes b = leaf.bytes();
      const std::string_view name(reinterpret_cast<const char*>(b.data), static_cast<size_t>(b.size));
      if (name == last && !name.empty()) return;
      const auto refused = refused_topics_.find(name);
      if (refused != refused_topics_.end()) throw RowFailure{row, topics.name(), refused->second};
      last = name;
      if (topics_.find(name) != topics_.end() || asked.find(name) != asked.end()) return;
      asked.emplace(name);
      out.new_topics.emplace_back(row, std::string(name));
    };
    if (!take(entry, out, look)) without.push_back(static_cast<size_t>(e));
  }
  if (without.empty()) return;
  if (out.all_in_order) {
    out.all_in_order = false;
    out.entries.resize(static_cast<size_t>(n));
    std::iota(out.entries.begin(), out.entries.end(), static_cast<uint32_t>(from));
  }
  size_t kept = 0;
  auto left = without.begin();
  for (size_t e = 0; e < out.entries.size(); ++e) {
    if (left != without.end() && *left == e) ++left; else keep(e, kept++, out);
  }
  truncate(kept, out);
}

// Rows with topics of their own: those of one topic and key, or of one of its partitions, go to one worker.
void Selector::divide(const Array& block, Selection& out) {
  Leaves topics(schema_, options_.topic_column);
  topics.open(block);
  const auto workers = static_cast<uint32_t>(options_.workers);
  const size_t n = out.entries.size();
  size_t kept = 0;
  places_.resize(n);
  std::vector<uint32_t> starts(workers + 1, 0);
  for (size_t e = 0; e < n; ++e) {
    const int64_t row = out.entries[e] & row_mask;
    Leaf topic;
    topics.find(row, topic);
    const Bytes name = topic.bytes();
    uint32_t hash = hash_of(name.data, static_cast<size_t>(name.size));
    const auto place = [&] {
      if (options_.partition_column >= 0) {
        hash += static_cast<uint32_t>(partition_at(block, out.entries[e], 0));
      } else {
        Bytes key;
        key_of(out.entries[e], key);
        hash = hash * 31 + hash_of(key.data, static_cast<size_t>(key.size));
      }
    };
    if (!take(out.entries[e], out, place)) continue;
    places_[kept] = static_cast<int32_t>(hash % workers);
    starts[static_cast<size_t>(places_[kept]) + 1] += 1;
    keep(e, kept++, out);
  }
  truncate(kept, out);
  for (size_t w = 0; w < workers; ++w) {
    const uint32_t count = starts[w + 1];
    starts[w + 1] += starts[w];
    if (count != 0) out.groups.push_back({-1 - static_cast<int32_t>(w), starts[w], count});
  }
  sort(starts, out);
}

// Counting sort by (owning worker, partition); stable, so the order of a partition's entries is kept.
void Selector::partition(const Array& block, int32_t sticky, Selection& out) {
  const size_t n = out.entries.size();
  const auto partitions = static_cast<size_t>(options_.partitions);
  const auto workers = static_cast<size_t>(std::max(options_.workers, 1));
  const size_t per_worker = (partitions + workers - 1) / workers;
  const auto rank = [&](size_t p) { return p % workers * per_worker + p / workers; };
  size_t kept = 0;
  places_.resize(n);
  std::vector<uint32_t> starts(workers * per_worker + 1, 0);
  for (size_t e = 0; e < n; ++e) {
    int32_t p = 0;
    if (!take(out.entries[e], out, [&] { p = partition_at(block, out.entries[e], sticky); })) continue;
    places_[kept] = static_cast<int32_t>(rank(static_cast<size_t>(p)));
    starts[static_cast<size_t>(places_[kept]) + 1] += 1;
    keep(e, kept++, out);
  }
  truncate(kept, out);
  for (size_t r = 1; r < starts.size(); ++r) starts[r] += starts[r - 1];
  for (size_t r = 0; r + 1 < starts.size(); ++r) {
    const uint32_t count = starts[r + 1] - starts[r];
    const size_t p = r % per_worker * workers + r / per_worker;
    if (count != 0) out.groups.push_back({static_cast<int32_t>(p), starts[r], count});
  }
  sort(starts, out);
}

// Entries in the order of their places; `starts`: where each place begins. Stable.
void Selector::sort(std::vector<uint32_t>& starts, Selection& out) {
  const size_t n = out.entries.size();
  std::vector<uint32_t> entries(n);
  std::vector<uint64_t> repeats(out.repeats.size());
  for (size_t e = 0; e < n; ++e) {
    const uint32_t at = starts[static_cast<size_t>(places_[e])]++;
    entries[at] = out.entries[e];
    if (!repeats.empty()) repeats[at] = out.repeats[e];
  }
  out.entries.swap(entries);
  out.repeats.swap(repeats);
}

}  // namespace penstock
