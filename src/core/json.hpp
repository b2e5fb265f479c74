// Rows as JSON objects, straight from Arrow buffers, in any flavor.
//
// A RowEncoder is made once per schema and list of columns; `open` points it at a block; `row` writes one row. Everything that
// does not depend on the row (escaped names, sizes, how the style spells a column or a map's key) is worked out when it is made.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "arrow.hpp"
#include "datetime.hpp"
#include "flavor.hpp"
#include "text.hpp"

namespace penstock {

// Encoded values of a dictionary, filled as they are met. Kept while blocks come with the same dictionary.
struct DictionaryTexts {
  uint64_t id = 0;
  std::vector<uint32_t> start;  // into `bytes`
  std::vector<uint32_t> size;   // 0: not encoded yet
  std::string bytes;

  // A short value of a row's own column as the whole member, `,"name":"value"`: one look-up and one copy of constant size, where
  // name and value apart would be four and two of any size.
  struct alignas(64) Member {
    char text[63];
    uint8_t size;  // 0: not here, or too long
  };
  std::vector<Member> members;
};

// What a column's type and the style come to: the first eight are met most and have their cases in RowEncoder::value.
enum class Spelling : uint8_t {
  int32, int64, float64, text, boolean, timestamp, decimal, day32,
  null, int8, int16, uint8, uint16, uint32, uint64, uint64_text, float16, float32, checked_float,
  decimal_text, day64, days32, days64, clock, clock_number, timestamp_millis,
  uuid, uuid_text, variant, variant_text, bytes, structure, map, run_end, list,
};

struct JsonNode {
  const Type* type = nullptr;
  const Array* array = nullptr;  // of the block that is open
  Spelling spelling = Spelling::null;
  bool by_dictionary = false;
  bool quoted_key = false;   // a map's key whose JSON value is no string: "1", "true", "1.5"
  int decimals = 0;          // a float column's hint, see number.hpp
  int64_t run = 0;           // run_end: where the last row was found
  std::shared_ptr<DayTexts> days;  // of a column of dates or timestamps
  std::string lead;          // `,"name":`, padded so that 32 bytes may be copied
  size_t lead_size = 0;
  size_t fixed = 0;          // most bytes of lead and value together, without the parts that ask for room themselves
  std::string path;          // for errors: address.tags[]
  std::vector<JsonNode> children;
  DictionaryTexts texts;
  const uint8_t* indices = nullptr;  // of a dictionary, where they have 32 bits and none is null: the usual case
  std::vector<int64_t> order;  // a map's entries sorted by key, reused from row to row
  std::string scratch;         // rewritten VARIANT text, reused too
  std::vector<uint32_t> work;  // of Base58, reused too
  StampText stamp;
  JsonStyle style;
};

// Leads are padded to so many bytes.
constexpr size_t lead_pad = 32;

// What stands before a member's value: `,"name":`, without the comma before the first one. Where nulls are left out, nobody knows
// which member that is: RowEncoder::sparse writes the brace over its comma.
std::string lead_of(const Type& member, size_t place, const JsonStyle& style);

// The node of a value of this type, with those of everything in it. `type` must outlive it.
JsonNode make_node(const Type& type, const std::string& path, const std::string& lead, const JsonStyle& style);

// Points the node, and those in it, at the column.
void open_node(JsonNode& n, const Array& a);

class RowEncoder {
 public:
  // `columns`: indices into the schema's fields, in the order in which they are written. `path`: of the row itself, where it is
  // not the block's but the value of a struct column, whose fields are then the schema's.
  RowEncoder(const Type& schema, const std::vector<int>& columns, const JsonStyle& style = {}, const std::string& path = "");

  void open(const Array& block);

  // Appends `{…}`; throws EncodeFailure, and then what stands after the old `out.p` means nothing.
  void row(Out& out, int64_t i);

  // Appends the value of the n-th of the columns alone, and leaves as much room behind it.
  void cell(Out& out, size_t n, int64_t i);

  // Bytes that are still free behind a row when `row` returns.
  static constexpr size_t spare = 64;

 private:
  static bool member(const JsonNode& n, int64_t i, Out& out);
  void value(JsonNode& n, int64_t i, Out& out);
  void plain(JsonNode& n, int64_t i, Out& out);
  void from_dictionary(JsonNode& n, int64_t i, Out& out);
  void list(JsonNode& n, int64_t i, Out& out);
  void structure(JsonNode& n, int64_t i, Out& out);
  void map(JsonNode& n, int64_t i, Out& out);
  void key(JsonNode& n, int64_t i, Out& out);
  void text(JsonNode& n, int64_t i, Out& out);
  void variant(JsonNode& n, int64_t i, Out& out);
  void checked_float(JsonNode& n, int64_t i, Out& out);
  void binary(JsonNode& n, int64_t i, Out& out);
  void clock(JsonNode& n, int64_t i, Out& out);
  void sparse(std::vector<JsonNode>& nodes, size_t room, int64_t i, Out& out);

  std::vector<JsonNode> nodes_;
  std::vector<int> columns_;
  bool omit_nulls_;
  size_t reserve_ = 0;  // room for the fixed part of a whole row: what every value leaves behind for its successors
};

// Negative, zero or positive as key i sorts before, with or after key j: numbers and times by value, strings and bytes by bytes.
int compare_keys(const Type& type, const Array& a, int64_t i, int64_t j);

// Null by its own validity, or by that of the dictionary value or run that it stands for.
bool stands_for_null(const Type& type, const Array& a, int64_t i);

// Empty, or why a column of this type has no form in JSON of this style: `duration`, `map whose keys are lists`, …
std::string json_refusal(const Type& type, const JsonStyle& style = {});

}  // namespace penstock
