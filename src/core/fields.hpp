// What a message carries beside its key and value, read from columns: headers, timestamp, topic, partition, a missing value.
//
// Headers stand in this order: those of headers_column, then those of header_columns. Bytes are pointed at where they lie in the
// block; only texts of numbers and times are made, in a buffer that is used again for the next row.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datetime.hpp"
#include "leaf.hpp"
#include "pack.hpp"

namespace penstock {

// Columns by number, -1 where there is none.
struct FieldsOptions {
  int headers_column = -1;          // list of struct of name and value, or map
  std::vector<int> header_columns;  // one header each, called as the column
  int timestamp_column = -1;
  int topic_column = -1;
  int partition_column = -1;        // of the row's topic; with a topic column only, else the selection knows the partition
  int tombstone_column = -1;        // null there: the message has no value
};

class MessageFields final : public FieldReader {
 public:
  MessageFields(const Type& schema, const FieldsOptions& options);

  void open(const Array& block) override;
  void read(const Event& event, Extras& extras) override;

 private:
  void list_headers(const Leaf& list, Extras& extras);
  void column_header(Leaves& column, int64_t row, Extras& extras);
  int64_t timestamp(int64_t row);

  std::vector<Leaves> list_;        // none or one, as each of those below
  std::vector<Leaves> headers_;
  std::vector<Leaves> timestamp_;
  std::vector<Leaves> topic_;
  std::vector<Leaves> partition_;
  std::vector<Leaves> tombstone_;
  std::vector<uint8_t> texts_;      // as long as a row's texts can get, so that it never moves
  uint8_t* text_ = nullptr;         // its end
  DayTexts days_;
};

// Whether a column of this type can be a raw or big_endian key, the headers of a message, one header, a timestamp or a topic.
enum class Role : uint8_t { raw_key, big_endian_key, headers, header, timestamp, topic };
bool suits(const Type& type, Role role);

}  // namespace penstock
