// JSON events and JSON keys: rows set into texts that are data, not code.
//
// Every update_format of the connector is a list of literals with holes between them, one list for each kind of change:
//
//   insert_delete   {"insert":‹row›}
//   snowflake       ‹open_row›"__action":"insert","__stream_id":S,"__seq_number":‹sequence›}
//   debezium        {"schema":{…},"payload":{"op":"u","before":‹before›,"after":‹row›}}
//
// They are put together in penstock/formats/json.py and debezium.py, once per schema, and copied here for each event.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "flavor.hpp"
#include "format.hpp"
#include "json.hpp"

namespace penstock {

enum class Hole : uint8_t {
  none,       // the end of the event
  row,        // of an insert or update the new row, of a delete the one that goes
  before,     // of an update the row it replaces
  open_row,   // the row without its closing brace, with a comma behind its last member
  weight,     // negative for a delete
  sequence,
  now,        // milliseconds since 1970 when the block was opened
};

// A literal and the hole behind it.
struct EventPart {
  std::string literal;
  Hole hole = Hole::none;
};

struct EventText {
  bool tombstone = false;         // no value: nothing of `parts` is written
  std::vector<EventPart> parts;   // the last one has no hole
};

// Where the two images of a row are, when they are struct columns: both -1 when the block's own columns are the row. An image is
// read for the changes that have it: before of updates and deletes, after of updates and inserts.
struct Images {
  int before = -1;
  int after = -1;
};

struct JsonFormatOptions {
  JsonStyle style;
  std::vector<int> columns;  // of the block, or of either image
  Images images;
  EventText insert;
  EventText remove;
  EventText update;          // both images are known
  EventText upsert;          // an update whose old image is not
};

struct JsonKeyOptions {
  JsonStyle style;
  std::vector<int> columns;
  Images images;
  std::string prefix;        // `{"schema":{…},"payload":` and the like, around the object of the columns
  std::string suffix;
  bool joined = false;       // instead: the values alone with ':' between them, those of strings without quotation marks
};

std::unique_ptr<Format> make_json(const Type& schema, const JsonFormatOptions& options);
std::unique_ptr<KeyEncoder> make_json_key(const Type& schema, const JsonKeyOptions& options);

}  // namespace penstock
