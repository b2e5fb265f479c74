// A tree of AvroPlans bound to the Arrow types of the columns: how each value is written, found out once per schema.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "arrow.hpp"
#include "avro.hpp"
#include "wide.hpp"

namespace penstock::avro {

// Most bytes of a leaf and of what it scribbles behind itself; kinds of no fixed size ask for more when they are written.
inline constexpr size_t leaf_room = 48;

// How a value of one Arrow type is written in one Avro type.
enum class Step : uint8_t {
  nothing, dictionary, run_end, boolean, int8, int16, int32, int64, uint8, uint16, uint32, uint64, uint64_text, half_float, half_double,
  float_, float_double, double_, text, variant, uuid_text, uuid_binary, uuid_text_fixed, bytes, fixed, decimal16, decimal, date64, time,
  timestamp, array, map, record, constant, change, now, group, before, after,
};

struct Encoded {  // values of a dictionary, filled as they are met; kept while blocks come with the same dictionary
  uint64_t id = 0;
  static constexpr uint8_t none = 255;   // not encoded yet
  static constexpr uint8_t apart = 254;  // longer than a slot holds: `text` is its place in `values`
  struct Slot {
    uint8_t size = none;
    uint8_t text[31];
  };
  std::vector<Slot> slots;  // by value: one place to look at for a short one
  std::vector<std::string> values;
  size_t bytes = 0;  // of all values
};

struct Node {
  Step step = Step::nothing;
  bool in_union = false;
  uint8_t null_byte = 0;   // the branch of "null", zigzag
  uint8_t value_byte = 0;  // the other one
  const Type* type = nullptr;
  const Array* array = nullptr;  // of the block that is open
  int column = -1;
  int64_t most = 0;        // largest integer that has a place in the schema
  int64_t times = 1;       // of a time: unit of the column into that of the schema
  int64_t over = 1;
  size_t fixed = leaf_room;  // most bytes of it, without the parts that ask for room themselves
  int64_t run = -1;        // run_end: where the last row was found
  AvroPlan plan;           // without its children
  Wide limit;              // decimal: 10^precision
  std::string path;        // for errors: address.tags[]
  std::vector<Node> children;
  Encoded encoded;
  std::vector<std::pair<Bytes, int64_t>> order;  // a map's entries sorted by key, reused from row to row
  std::string scratch;     // rewritten VARIANT text, reused too
};

// std::invalid_argument for a plan that does not fit the type. `path` names the column in errors.
Node make_node(const AvroPlan& plan, const Type& type, const std::string& path);

// Adds the children of a record over the fields of `type`.
void add_fields(Node& n, const AvroPlan& plan, const Type& type, const std::string& path);

void open_node(Node& n, const Array& a);

}  // namespace penstock::avro
