// Rows as lines of CSV, straight from Arrow buffers: `col1,…,colN,weight`, without the newline, which is the packer's.
//
//   quoting    a field stands between quotation marks only where its text holds the delimiter, a quotation mark, CR or LF; `always`
//              and `strings` quote more. A null is never quoted, a value whose text is the null text always is, so that readers who
//              look at quotation marks can tell them apart; with an empty null text, the connector's, nobody can.
//   flattened  a struct is its fields, a list of fixed size its items, a binary value of fixed size its bytes in decimal. The number of
//              fields of a line never depends on the row: formats/csv.py refuses columns for which it would.
//   as JSON    with `nested_json` lists, structs, maps and binary values are one field each: their JSON text in the default flavor
//   the rest   as in the default flavor of JSON without its quotation marks; NaN, inf, -inf
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "arrow.hpp"
#include "format.hpp"

namespace penstock {

enum class CsvQuoting : uint8_t {
  necessary,
  always,
  strings,  // every string, VARIANT and JSON text
};

struct CsvOptions {
  std::vector<int> columns;  // indices into the schema's fields, in the order in which they are written
  char delimiter = ',';      // one byte of ASCII, no quotation mark, CR or LF
  bool weight = true;        // the last field: copies that appear, negative for those that disappear
  CsvQuoting quoting = CsvQuoting::necessary;
  std::string null_text;     // holds neither the delimiter nor a quotation mark, CR or LF
  bool nested_json = false;
};

std::unique_ptr<Format> make_csv(const Type& schema, const CsvOptions& options);

}  // namespace penstock
