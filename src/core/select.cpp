#include "select.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <limits>
#include <string_view>

#include "leaf.hpp"

namespace penstock {

namespace {

constexpr int64_t most_copies = 1000000;  // the connector's own limit on one row's weight

enum Op : uint8_t { op_unknown, op_insert, op_delete, op_update };

// insert/delete/upsert and the usual spellings: I U D (SQL, Debezium's c u d r), +I -U +U -D (Flink).
Op parse_op(const Bytes& b) {
  char lower[6];
  if (b.size < 1 || b.size > 6) return op_unknown;
  for (int64_t i = 0; i < b.size; ++i) {
    const uint8_t c = b.data[i];
    lower[i] = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  }
  const std::string_view word(lower, static_cast<size_t>(b.size));
  static constexpr std::string_view inserts[] = {"i", "+i", "insert", "c", "create", "r", "read"};
  static constexpr std::string_view updates[] = {"u", "+u", "update", "upsert"};
  static constexpr std::string_view deletes[] = {"d", "-d", "delete", "-u"};
  if (std::find(std::begin(inserts), std::end(inserts), word) != std::end(inserts)) return op_insert;
  if (std::find(std::begin(updates), std::end(updates), word) != std::end(updates)) return op_update;
  if (std::find(std::begin(deletes), std::end(deletes), word) != std::end(deletes)) return op_delete;
  return op_unknown;
}

std::string shown(const Bytes& b) {
  return std::string(reinterpret_cast<const char*>(b.data), static_cast<size_t>(std::min<int64_t>(b.size, 200)));
}

// Value i of an integer column, through a dictionary or runs. False: null.
bool integer_value(const Type& type, const Array& a, int64_t i, int64_t& out) {
  if (a.is_null(i)) return false;
  if (type.dictionary) return integer_value(*type.dictionary, *a.dictionary, integer_at(type.kind, a, i), out);
  if (type.kind == Kind::run_end) return integer_value(type.children[1], a.children[1], run_at(type, a, i, -1), out);
  out = integer_at(type.kind, a, i);
  return true;
}

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

}  // namespace

bool raw_key(const Type& type, const Array& a, int64_t i, Bytes& out) {
  if (a.is_null(i)) return false;
  if (type.dictionary) return raw_key(*type.dictionary, *a.dictionary, integer_at(type.kind, a, i), out);
  if (type.kind == Kind::run_end) return raw_key(type.children[1], a.children[1], run_at(type, a, i, -1), out);
  out = bytes_at(type, a, i);
  return true;
}

Selector::Selector(const Type& schema, const SelectOptions& options, std::shared_ptr<KeyEncoder> key)
    : schema_(schema), options_(options), key_(std::move(key)) {}

void Selector::select(const Array& block, int64_t from, int64_t to, Pass pass, int32_t sticky, Selection& out) {
  const bool placed = key_ != nullptr || options_.partition_column >= 0;
  if (options_.change == ChangeMode::inserts && !placed) {
    out.all_in_order = true;
    out.rows = to - from;
  } else {
    if (options_.change == ChangeMode::weight) {
      weights(block, from, to, pass, out);
    } else {
      changes(block, from, to, out);
    }
    out.rows = static_cast<int64_t>(out.entries.size());
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
  out.groups.push_back({to_partition, 0, static_cast<uint32_t>(out.rows)});
}

void Selector::changes(const Array& block, int64_t from, int64_t to, Selection& out) {
  out.entries.resize(static_cast<size_t>(to - from));
  uint32_t* entry = out.entries.data();
  if (options_.change == ChangeMode::inserts) {
    for (int64_t i = from; i < to; ++i) *entry++ = static_cast<uint32_t>(i);
    return;
  }
  const auto c = static_cast<size_t>(options_.change_column);
  const Type& type = schema_.children[c];
  for (int64_t i = from; i < to; ++i) {
    Bytes b;
    if (!raw_key(type, block.children[c], i, b)) {
      throw RowFailure{i, type.name, "the operation is null; give insert, delete or upsert, or a usual spelling such as I, U, D, c, u, d, r, +I, -U, +U, -D"};
    }
    const Op op = parse_op(b);
    if (op == op_unknown) {
      throw RowFailure{i, type.name, "\"" + shown(b) + "\" is no operation; give insert, delete or upsert, or a usual spelling such as I, U, D, c, u, d, r, +I, -U, +U, -D"};
    }
    *entry++ = static_cast<uint32_t>(i) | (op == op_delete ? delete_bit : op == op_update ? update_bit : 0);
  }
}

void Selector::weights(const Array& block, int64_t from, int64_t to, Pass pass, Selection& out) {
  const auto c = static_cast<size_t>(options_.change_column);
  const Type& type = schema_.children[c];
  const bool is_unsigned = value_type(type).kind == Kind::uint64;
  bool repeated = false;
  const auto one_sign = [&](bool deletes) {
    for (int64_t i = from; i < to; ++i) {
      int64_t weight = 0;
      if (!integer_value(type, block.children[c], i, weight)) {
        throw RowFailure{i, type.name, "the weight is null; give a signed count: how often the row is inserted, or negative how often it is deleted"};
      }
      const bool too_large = is_unsigned ? static_cast<uint64_t>(weight) > most_copies : weight > most_copies || weight < -most_copies;
      if (too_large) {
        const std::string text = is_unsigned ? std::to_string(static_cast<uint64_t>(weight)) : std::to_string(weight);
        throw RowFailure{i, type.name, "very large weight " + text + "; a row may be repeated at most 1000000 times"};
      }
      // Counted on one pass only: on the first, or on that of the deletes where there are two.
      if (weight == 0 && deletes) out.skipped += 1;
      if (weight == 0 || (weight < 0) != deletes) continue;
      const int64_t copies = deletes ? -weight : weight;
      out.entries.push_back(static_cast<uint32_t>(i) | (deletes ? delete_bit : 0));
      out.repeats.push_back(static_cast<uint64_t>(copies));
      repeated = repeated || copies != 1;
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
  for (int64_t e = 0; e < out.rows; ++e) {
    const int64_t row = out.all_in_order ? from + e : out.entries[static_cast<size_t>(e)] & row_mask;
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
    if (name == last && !name.empty()) continue;
    last = name;
    if (topics_.find(name) != topics_.end() || asked.find(name) != asked.end()) continue;
    asked.emplace(name);
    out.new_topics.emplace_back(row, std::string(name));
  }
}

// Rows with topics of their own: those of one topic and key, or of one of its partitions, go to one worker.
void Selector::divide(const Array& block, Selection& out) {
  if (key_ != nullptr) key_->open(block);
  Leaves topics(schema_, options_.topic_column);
  topics.open(block);
  const auto workers = static_cast<uint32_t>(options_.workers);
  const size_t n = out.entries.size();
  places_.resize(n);
  std::vector<uint32_t> starts(workers + 1, 0);
  for (size_t e = 0; e < n; ++e) {
    const int64_t row = out.entries[e] & row_mask;
    Leaf topic;
    topics.find(row, topic);
    const Bytes name = topic.bytes();
    uint32_t hash = hash_of(name.data, static_cast<size_t>(name.size));
    if (options_.partition_column >= 0) {
      hash += static_cast<uint32_t>(partition_at(block, out.entries[e], 0));
    } else {
      Bytes key;
      key_of(out.entries[e], key);
      hash = hash * 31 + hash_of(key.data, static_cast<size_t>(key.size));
    }
    places_[e] = static_cast<int32_t>(hash % workers);
    starts[static_cast<size_t>(places_[e]) + 1] += 1;
  }
  for (size_t w = 0; w < workers; ++w) {
    const uint32_t count = starts[w + 1];
    starts[w + 1] += starts[w];
    if (count != 0) out.groups.push_back({-1 - static_cast<int32_t>(w), starts[w], count});
  }
  sort(starts, out);
}

// Counting sort by (owning worker, partition); stable, so the order of a partition's entries is kept.
void Selector::partition(const Array& block, int32_t sticky, Selection& out) {
  if (key_ != nullptr) key_->open(block);
  const size_t n = out.entries.size();
  const auto partitions = static_cast<size_t>(options_.partitions);
  const auto workers = static_cast<size_t>(std::max(options_.workers, 1));
  const size_t per_worker = (partitions + workers - 1) / workers;
  const auto rank = [&](size_t p) { return p % workers * per_worker + p / workers; };
  places_.resize(n);
  std::vector<uint32_t> starts(workers * per_worker + 1, 0);
  for (size_t e = 0; e < n; ++e) {
    const int32_t p = partition_at(block, out.entries[e], sticky);
    places_[e] = static_cast<int32_t>(rank(static_cast<size_t>(p)));
    starts[static_cast<size_t>(places_[e]) + 1] += 1;
  }
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
