#include "select.hpp"

#include <algorithm>
#include <cstring>

#include "change.hpp"

namespace penstock {

namespace {

constexpr int64_t most_copies = 1000000;  // the connector's own limit on one row's weight

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

Selector::Selector(const Type& schema, const SelectOptions& options)
    : schema_(schema), options_(options), keys_(schema, options.key == KeyMode::json ? options.key_columns : std::vector<int>{}) {}

void Selector::select(const Array& block, int64_t from, int64_t to, Pass pass, int32_t sticky, Selection& out) {
  const bool placed = options_.key != KeyMode::none || options_.partition_column >= 0;
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
  if (placed && options_.partitions > 0) return partition(block, sticky, out);
  if (out.rows == 0) return;
  int32_t to_partition = -1;
  if (options_.partitions > 0) {
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
    const Op op = op_at(type, block.children[c], i);
    *entry++ = static_cast<uint32_t>(i) | (op == Op::remove || op == Op::before ? delete_bit : 0);
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
      out.repeats.push_back(static_cast<uint32_t>(copies));
      repeated = repeated || copies != 1;
    }
  };
  if (pass != Pass::inserts) one_sign(true);
  if (pass != Pass::deletes) one_sign(false);
  if (!repeated) out.repeats.clear();
}

int32_t Selector::partition_at(const Array& block, int64_t row, int32_t sticky) {
  if (options_.partition_column >= 0) {
    const auto c = static_cast<size_t>(options_.partition_column);
    const Type& type = schema_.children[c];
    int64_t p = 0;
    if (!integer_value(type, block.children[c], row, p)) throw RowFailure{row, type.name, "the partition is null"};
    if (p < 0 || p >= options_.partitions) {
      throw RowFailure{row, type.name,
                       "there is no partition " + std::to_string(p) + "; the topic has " + std::to_string(options_.partitions) + ", counted from 0"};
    }
    return static_cast<int32_t>(p);
  }
  Bytes b{nullptr, 0};
  bool has_key = true;
  if (options_.key == KeyMode::raw) {
    const auto c = static_cast<size_t>(options_.key_columns[0]);
    has_key = raw_key(schema_.children[c], block.children[c], row, b);
    if (!has_key) b = {nullptr, 0};
  } else {
    VectorOut out(key_);
    try {
      keys_.row(out, row);
    } catch (const EncodeFailure& e) {
      throw RowFailure{row, e.column, e.what()};
    }
    b = {key_.data(), out.p - key_.data()};
  }
  const auto size = static_cast<size_t>(b.size);
  if (is_random(options_.partitioner, has_key, size)) return sticky;
  return partition_of(options_.partitioner, b.data, size, options_.partitions);
}

// Counting sort by (owning worker, partition); stable, so the order of a partition's entries is kept.
void Selector::partition(const Array& block, int32_t sticky, Selection& out) {
  if (options_.key == KeyMode::json) keys_.open(block);
  const size_t n = out.entries.size();
  const auto partitions = static_cast<size_t>(options_.partitions);
  const auto workers = static_cast<size_t>(std::max(options_.workers, 1));
  const size_t per_worker = (partitions + workers - 1) / workers;
  const auto rank = [&](size_t p) { return p % workers * per_worker + p / workers; };
  places_.resize(n);
  std::vector<uint32_t> starts(workers * per_worker + 1, 0);
  for (size_t e = 0; e < n; ++e) {
    const int32_t p = partition_at(block, static_cast<int64_t>(out.entries[e] & ~delete_bit), sticky);
    places_[e] = p;
    starts[rank(static_cast<size_t>(p)) + 1] += 1;
  }
  for (size_t r = 1; r < starts.size(); ++r) starts[r] += starts[r - 1];
  for (size_t r = 0; r + 1 < starts.size(); ++r) {
    const uint32_t count = starts[r + 1] - starts[r];
    const size_t p = r % per_worker * workers + r / per_worker;
    if (count != 0) out.groups.push_back({static_cast<int32_t>(p), starts[r], count});
  }
  std::vector<uint32_t> entries(n);
  std::vector<uint32_t> repeats(out.repeats.size());
  for (size_t e = 0; e < n; ++e) {
    const uint32_t at = starts[rank(static_cast<size_t>(places_[e]))]++;
    entries[at] = out.entries[e];
    if (!repeats.empty()) repeats[at] = out.repeats[e];
  }
  out.entries.swap(entries);
  out.repeats.swap(repeats);
}

}  // namespace penstock
