// Rows of a block as an Arrow array of plain layout, handed over through the C data interface: what an encoder in Python is given.
//
// Plain: dictionaries and run ends come as their values, views as offsets and bytes, list views as lists; a type stays otherwise what
// it was. ExportLayout::table goes on to the layouts of the connector's table: text as utf8, bytes of any kind as large_binary, lists of any
// kind as large_list, UUIDs as their text. One gather serves every layout because pyarrow's `take` and `cast` do not (26.0: no take of
// string views or run ends, no cast of run ends or of dictionaries of lists, wrong lengths from casts of lists of nulls).
//
//   rows in order   fixed-width values, bytes of strings and whole list items stay in the arena, without a copy; bits that begin in
//                   the middle of a byte and offsets that begin elsewhere than at 0 are rewritten
//   rows selected   everything is gathered into memory of the array's own
//
// So an array is good as long as its chunk lies in the arena, and every buffer begins at its first value.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "boundary.hpp"

namespace penstock {

// More bytes or items in one column than 32-bit offsets can count.
struct ExportOverflow : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// as_is: plain, and what no reader would take is not refused: text of any bytes, and a null for an index outside of its dictionary.
enum class ExportLayout : uint8_t { plain, table, as_is };

// These rows of a block, or of a piece, gathered into memory of the array's own: a struct array of all columns, as_is.
void export_rows(const Type& schema, const Array& block, const std::vector<int64_t>& rows, ArrowArray* out);

// The rows of a chunk, group by group, as events: a row of weight n is n events in a row.
class Exporter {
 public:
  Exporter(const Type& schema, const std::vector<int>& columns, ExportLayout layout)
      : schema_(schema), columns_(columns), layout_(layout) {}

  // Everything below is about this chunk, which must lie in the arena until the last array is let go of.
  void open(const uint8_t* arena, const ChunkPlace& place);

  size_t groups() const { return chunk_.n_groups; }
  int32_t partition(size_t group) const { return chunk_.groups[group].partition; }
  uint64_t events(size_t group) const { return ends_.empty() ? chunk_.groups[group].count : group_events_[group]; }

  // The block's row of an event, and what happened to it.
  Event event(size_t group, uint64_t number) const { return event_of(chunk_.entry(place_of(group, number))); }

  // Input rows whose last event is one of [first, end), and whether the last row goes on behind them.
  std::pair<uint32_t, bool> rows_ended(size_t group, uint64_t first, uint64_t end) const;

  // A struct array of the columns. Throws RowFailure for a value that no reader would take, ExportOverflow.
  void events_as_array(size_t group, uint64_t first, uint64_t end, ArrowArray* out) const;

 private:
  uint32_t place_of(size_t group, uint64_t event) const;

  const Type& schema_;
  std::vector<int> columns_;
  ExportLayout layout_;
  Array block_;
  Chunk chunk_;
  std::vector<uint64_t> ends_;          // by entry: events of its group up to and with it; empty: one each
  std::vector<uint64_t> group_events_;  // by group, where ends_ are
};

// The name and the value stay the caller's; a value of nullptr is a null.
inline void add_header(Extras& extras, const char* name, size_t size, const Bytes& value) {
  extras.headers.push_back({{name, size}, value.data, static_cast<size_t>(value.size)});
}

// For _core.pyx: what events_as_array throws, as a value. On anything but `done` nothing is left in `out`.
enum class Exported : uint8_t { done, row, too_many };
inline Exported export_events(const Exporter& exporter, size_t group, uint64_t first, uint64_t end, ArrowArray* out, RowFailure& failure) {
  out->release = nullptr;
  const auto undo = [out] {
    if (out->release != nullptr) out->release(out);
  };
  try {
    exporter.events_as_array(group, first, end, out);
    return Exported::done;
  } catch (const RowFailure& f) {
    undo();
    failure = f;
    return Exported::row;
  } catch (const ExportOverflow&) {
    undo();
    return Exported::too_many;
  } catch (...) {
    undo();
    throw;
  }
}

}  // namespace penstock
