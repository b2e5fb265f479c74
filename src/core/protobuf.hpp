// Rows as Protobuf messages, straight from Arrow buffers, driven by a tree of fields that formats/protobuf.py makes.
//
// The bytes are those of google.protobuf's own serializers: fields in the order of their numbers, repeated numbers packed where the
// descriptor says so, defaults left out where a field has no presence, and the entries of a map in the order of the column.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "arrow.hpp"
#include "format.hpp"

namespace penstock {

// The numbers of google.protobuf.FieldDescriptorProto.Type, and below them what one column alone fills.
enum class ProtobufType : uint8_t {
  timestamp = 0,  // a google.protobuf.Timestamp
  float64 = 1, float32 = 2, int64 = 3, uint64 = 4, int32 = 5, fixed64 = 6, fixed32 = 7, boolean = 8, string = 9, message = 11,
  bytes = 12, uint32 = 13, enumeration = 14, sfixed32 = 15, sfixed64 = 16, sint32 = 17, sint64 = 18,
};

enum class ProtobufShape : uint8_t { single, repeated, packed, map };

// What becomes of a default value: left out (`implicit`) or written; and of a null: left out, or refused (`required`).
enum class ProtobufPresence : uint8_t { implicit, explicit_, required };

struct ProtobufField {
  uint32_t number = 0;
  int column = 0;  // among the fields of the struct that fills the message; -1: the message's own column (a message around a value)
  ProtobufType type = ProtobufType::int32;
  ProtobufShape shape = ProtobufShape::single;
  ProtobufPresence presence = ProtobufPresence::implicit;
  int oneof = -1;  // fields of one message with the same number of 0 to 63 exclude one another
  std::vector<std::pair<std::string, int32_t>> names;  // of an enum, for columns of strings
  std::vector<int32_t> numbers;                        // of an enum that takes no others, sorted, for columns of integers
  std::vector<ProtobufField> fields;                   // of a message; of a map the key and the value
};

struct ProtobufOptions {
  std::string prefix;  // before every message: the registry's framing, or nothing
  std::vector<ProtobufField> fields;
};

// Throws std::invalid_argument where the fields do not fit the schema: the planner has refused all of those before.
std::unique_ptr<Format> make_protobuf(const Type& schema, const ProtobufOptions& options);

}  // namespace penstock
