// Rows as Avro: the binary datum straight from Arrow buffers, behind the five bytes that name its schema.
//
//   00 | schema id, 4 bytes, big-endian | datum          the prefix is the caller's, and empty where ids are left out
//
// What is written is a tree made in Python (formats/avro_schema.py), where schema and columns were matched: each AvroPlan says
// what Avro expects at its place, and whether a union with "null" stands there. How the column's Arrow type gets there is found
// out here, once per schema. Dictionary columns are encoded once per value.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "arrow.hpp"
#include "format.hpp"

namespace penstock {

enum class AvroForm : uint8_t {
  null, boolean, int_, long_, float_, double_, string, bytes, fixed, decimal, date, time_millis, time_micros, timestamp_millis,
  timestamp_micros, timestamp_nanos, array, map, record,
  // What no column holds:
  constant,     // `bytes` as they are
  change,       // a string of one letter: of `bytes`, those for insert, update and delete
  now,          // milliseconds since 1970 as a long
  group,        // fields of no column, one after another
  before,       // the record of the row as it was before the event; null for an insert
  after,        // … as it is afterwards; null for a delete
};

struct AvroPlan {
  AvroForm form = AvroForm::null;
  int column = -1;       // which field of the enclosing record's Arrow struct
  int null_branch = -1;  // of a union with "null": 0 first, 1 second; -1: no union
  int32_t scale = 0;     // decimal: of the schema
  int32_t precision = 0; // decimal: most digits, 0: as many as come
  int32_t size = 0;      // fixed: its bytes; decimal: so many bytes always, 0: as few as hold it
  bool is_fixed = false; // decimal: a fixed, which has no length in front
  std::string bytes;
  std::vector<AvroPlan> children;
};

struct AvroOptions {
  AvroPlan value;
  std::string prefix;
  bool op_header = false;   // `op`: insert, update or delete
  bool tombstones = false;  // a delete has no value
};

// Both refer to `schema` as long as they live; std::invalid_argument for a plan that does not fit it.
std::unique_ptr<Format> make_avro(const Type& schema, const AvroOptions& options);
std::unique_ptr<KeyEncoder> make_avro_key(const Type& schema, const AvroPlan& plan, const std::string& prefix);

}  // namespace penstock
