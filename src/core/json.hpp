// Rows as JSON objects, straight from Arrow buffers, in the connector's `default` flavor.
//
// A RowEncoder is made once per schema and list of columns; `open` points it at a block; `row` writes one row. Everything that
// does not depend on the row (escaped names, sizes, how to spell a map's key) is worked out when it is made.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "arrow.hpp"
#include "datetime.hpp"
#include "text.hpp"

namespace penstock {

// Encoded values of a dictionary, filled as they are met. Kept while blocks come with the same dictionary.
struct DictionaryTexts {
  uint64_t id = 0;
  std::vector<uint32_t> start;  // into `bytes`
  std::vector<uint32_t> size;   // 0: not encoded yet
  std::string bytes;
};

struct JsonNode {
  const Type* type = nullptr;
  const Array* array = nullptr;  // of the block that is open
  Kind kind = Kind::null;
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
  std::vector<int64_t> order;  // a map's entries sorted by key, reused from row to row
  std::string scratch;         // rewritten VARIANT text, reused too
};

class RowEncoder {
 public:
  // `columns`: indices into the schema's fields, in the order in which they are written.
  RowEncoder(const Type& schema, const std::vector<int>& columns);

  void open(const Array& block);

  // Appends `{…}`; throws EncodeFailure, and then what stands after the old `out.p` means nothing.
  void row(Out& out, int64_t i);

  // Bytes that are still free behind a row when `row` returns.
  static constexpr size_t spare = 64;

 private:
  void value(JsonNode& n, int64_t i, Out& out);
  void plain(JsonNode& n, int64_t i, Out& out);
  void from_dictionary(JsonNode& n, int64_t i, Out& out);
  void list(JsonNode& n, int64_t i, Out& out);
  void structure(JsonNode& n, int64_t i, Out& out);
  void map(JsonNode& n, int64_t i, Out& out);
  void key(JsonNode& n, int64_t i, Out& out);
  void text(JsonNode& n, const Bytes& bytes, Out& out);

  std::vector<JsonNode> nodes_;
  std::vector<int> columns_;
  size_t reserve_ = 0;  // room for the fixed part of a whole row: what every value leaves behind for its successors
};

// Negative, zero or positive as key i sorts before, with or after key j: numbers and times by value, strings and bytes by bytes.
int compare_keys(const Type& type, const Array& a, int64_t i, int64_t j);

// Empty, or why a column of this type has no form in JSON: `duration`, `map whose keys are lists`, …
std::string json_refusal(const Type& type);

}  // namespace penstock
