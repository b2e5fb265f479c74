// What _core.pyx calls where C++ would throw something richer than a message: row failures become a value.
#pragma once

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "block.hpp"
#include "consolidate.hpp"
#include "pack.hpp"
#include "produce.hpp"
#include "select.hpp"

namespace penstock {

// False: `failure` says which row.
inline bool select_rows(Selector& selector, const Array& block, int64_t from, int64_t to, Pass pass, int32_t sticky,
                        const std::vector<Verdict>* verdicts, Selection& out, RowFailure& failure) {
  try {
    selector.select(block, from, to, pass, sticky, verdicts, out);
    return true;
  } catch (const RowFailure& f) {
    failure = f;
    return false;
  }
}

inline bool add_changes(Consolidator& consolidator, ChangeReader& reader, const Array& block, uint32_t piece, uint32_t first,
                        RowFailure& failure) {
  try {
    consolidator.add(reader, block, piece, first);
    return true;
  } catch (const RowFailure& f) {
    failure = f;
    return false;
  }
}

inline bool finish_changes(Consolidator& consolidator, const std::vector<Consolidator::Source>& pieces,
                           std::vector<std::vector<Verdict>>& verdicts, RowFailure& failure) {
  try {
    verdicts = consolidator.finish(pieces);
    return true;
  } catch (const RowFailure& f) {
    failure = f;
    return false;
  }
}

// A chunk as it lies in the arena; positions count from the start of the arena, -1 where there is none.
struct ChunkPlace {
  int64_t block;
  int64_t first_row;
  int64_t entries;
  int64_t repeats;
  int64_t groups;
  int64_t n_groups;
  int64_t sequence;
};

// Pointers to all but the block.
inline Chunk find_chunk(const uint8_t* arena, const ChunkPlace& place) {
  Chunk chunk;
  chunk.first_row = place.first_row;
  chunk.entries = place.entries < 0 ? nullptr : reinterpret_cast<const uint32_t*>(arena + place.entries);
  chunk.repeats = place.repeats < 0 ? nullptr : reinterpret_cast<const uint64_t*>(arena + place.repeats);
  chunk.groups = reinterpret_cast<const Group*>(arena + place.groups);
  chunk.n_groups = static_cast<size_t>(place.n_groups);
  chunk.sequence = static_cast<uint64_t>(place.sequence);
  return chunk;
}

// Pointers for the packer; `block` receives the opened block and must live as long as the chunk.
inline Chunk open_chunk(const Type& schema, const uint8_t* arena, const ChunkPlace& place, Array& block) {
  block = open_block(schema, arena, place.block);
  Chunk chunk = find_chunk(arena, place);
  chunk.block = &block;
  return chunk;
}

// A sink that keeps messages (preview) or only counts them (the benchmark's encode stage).
class Collector : public Sink {
 public:
  struct Kept {
    size_t group;
    bool has_key;
    std::string key;
    bool has_value;
    std::string value;
    std::vector<std::pair<std::string, std::pair<bool, std::string>>> headers;  // name, (has a value, value)
    int64_t timestamp;
    std::string topic;
    int32_t partition;
  };

  explicit Collector(bool keep) : keep_(keep), slab_(size_t{2} << 20) {}

  Slab* take_slab(size_t size) override {
    // Two slabs in turn: the message under way is copied from one to the other.
    if (size > slab_.size || in_use_) {
      spare_.push_back(std::make_unique<Slab>(std::max(size, slab_.size)));
      return spare_.back().get();
    }
    in_use_ = true;
    return &slab_;
  }
  void seal_slab(Slab* slab) override {
    slab->used = 0;
    if (slab == &slab_) {
      in_use_ = false;
      return;
    }
    for (size_t k = 0; k < spare_.size(); ++k) {
      if (spare_[k].get() == slab) {
        spare_.erase(spare_.begin() + static_cast<std::ptrdiff_t>(k));
        return;
      }
    }
  }
  void park_slab(Slab* slab) override { seal_slab(slab); }
  void message(const Message& m) override {
    messages += 1;
    rows += m.rows;
    bytes += static_cast<int64_t>(m.value_size + m.key_size);
    if (!keep_) return;
    const auto text = [](const uint8_t* at, size_t size) {
      return at == nullptr ? std::string() : std::string(reinterpret_cast<const char*>(at), size);
    };
    kept.push_back({m.group, m.key != nullptr, text(m.key, m.key_size), m.value != nullptr, text(m.value, m.value_size), {},
                    m.extras->timestamp, std::string(m.extras->topic), m.extras->partition});
    for (const Header& h : m.extras->headers) {
      kept.back().headers.emplace_back(std::string(h.name), std::make_pair(h.value != nullptr, text(h.value, h.size)));
    }
  }
  void end_group() override {}
  void left_out(const LeftOut& row) override { left.push_back(row); }
  void shortened(uint32_t) override {}

  std::vector<Kept> kept;
  std::vector<LeftOut> left;
  int64_t messages = 0;
  int64_t rows = 0;
  int64_t bytes = 0;

 private:
  bool keep_;
  bool in_use_ = false;
  Slab slab_;
  std::vector<std::unique_ptr<Slab>> spare_;
};

inline bool collect(Packer& packer, const Chunk& chunk, Collector& collector, RowFailure& failure) {
  try {
    packer.pack(chunk, collector);
    return true;
  } catch (const RowFailure& f) {
    failure = f;
    return false;
  }
}

}  // namespace penstock
