// What one field of a Protobuf message is for one column: made once per schema, pointed at each block.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "datetime.hpp"
#include "protobuf.hpp"

namespace penstock::protobuf {

enum class Wire : uint8_t { varint = 0, fixed64 = 1, delimited = 2, fixed32 = 5 };

// How the bytes of a value come about; all up to `symbol` are numbers and may be packed.
enum class Form : uint8_t {
  boolean, integer, unsigned64, half, real32, real64, symbol,
  text, uuid_text, uuid_of_text, sixteen_of_text, variant, bytes, decimal, day, clock, moment,  // between a length and its end
  timestamp, message, repeated, packed, map,
};

// One wrapping of a column: a dictionary or runs.
struct Level {
  const Type* type;
  const Array* values = nullptr;
  int64_t run = -1;  // where the last row was found
};

// Encoded values of a dictionary, tag and all, filled as they are met.
struct Kept {
  struct Place {
    uint32_t start = 0;
    uint32_t size = 0;
    enum class State : uint8_t { unknown, null, written } state = State::unknown;
  };
  uint64_t id = 0;
  std::vector<Place> places;
  std::string bytes;
};

// The names of an enum, to be looked up without making a string of each.
struct Symbols {
  std::vector<std::string> names;
  std::unordered_map<std::string_view, int32_t> numbers;
};

struct Node {
  Form form = Form::integer;
  Wire wire = Wire::varint;
  Kind kind = Kind::null;      // of the storage of integers and times
  bool zigzag = false;
  bool checked = false;        // some values of the column lie outside [least, most]
  bool as_unsigned = false;    // every uint64_t fits
  bool implicit = false;
  bool required = false;
  int column = 0;
  int oneof = -1;
  uint8_t tag[8] = {};
  uint8_t tag_size = 0;
  size_t fixed = 0;            // most bytes that are written without asking for room
  int64_t least = 0;
  int64_t most = 0;
  const Type* type = nullptr;  // behind dictionaries and runs
  const Array* outer = nullptr;
  const Array* array = nullptr;
  std::vector<Level> levels;
  std::vector<Node> children;
  std::string path;
  std::string scratch;
  Kept kept;
  std::shared_ptr<Symbols> symbols;
  std::vector<int32_t> numbers;
  std::shared_ptr<DayTexts> days;
};

inline uint8_t* write_varint(uint8_t* to, uint64_t v) {
  while (v >= 0x80) {
    *to++ = static_cast<uint8_t>(v | 0x80);
    v >>= 7;
  }
  *to++ = static_cast<uint8_t>(v);
  return to;
}

Node make_node(const ProtobufField& field, const Type& outer, const std::string& path);

// Room for every fixed part in the tree, each once: what a value of no fixed size leaves behind for its successors.
size_t total_room(const Node& n);

void open_node(Node& n, const Array& a);

}  // namespace penstock::protobuf
