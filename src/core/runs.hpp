// Which offsets were acknowledged, as runs without a gap, and what their messages hash to.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace penstock {

struct Run {
  int64_t first;
  int64_t last;
  int64_t count;
  uint64_t sum;  // of message_hash, modulo 2^64: in any order the same
};

// Offsets of a partition come in order but for those of batches that were sent again.
inline void add_offset(std::vector<Run>& runs, int64_t offset, uint64_t hash) {
  if (runs.empty() || offset != runs.back().last + 1) {
    runs.push_back({offset, offset, 1, hash});
    return;
  }
  Run& run = runs.back();
  run.last = offset;
  run.count += 1;
  run.sum += hash;
}

// In order, and neighbours as one.
inline void join_runs(std::vector<Run>& runs) {
  std::sort(runs.begin(), runs.end(), [](const Run& a, const Run& b) { return a.first < b.first; });
  std::vector<Run> joined;
  for (const Run& run : runs) {
    if (joined.empty() || run.first > joined.back().last + 1) {
      joined.push_back(run);
      continue;
    }
    Run& before = joined.back();
    before.last = std::max(before.last, run.last);
    before.count += run.count;
    before.sum += run.sum;
  }
  runs.swap(joined);
}

}  // namespace penstock
