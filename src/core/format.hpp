// What every format is to the packer: something that writes one event at a time, and says what else its message carries.
//
// A Format is made once per schema by a factory of its own file (json.cpp, csv.cpp, avro.cpp, protobuf.cpp) and belongs to one
// packer; `open` points it at a block. How events share a message (lines, an array, one each) is the packer's business.
#pragma once

#include <cstdint>
#include <string_view>

#include "arrow.hpp"
#include "text.hpp"

namespace penstock {

enum class Change : uint8_t { insert, remove, update };

struct Event {
  int64_t row;        // of the block
  Change change;
  int64_t before;     // row of the image before an update, -1: not known
  int64_t weight;     // copies: all of them at once for a format that carries weights, else 1
  uint64_t sequence;  // number of the event within the writer, from 0, in input order
};

class Format {
 public:
  virtual ~Format() = default;

  virtual void open(const Array& block) = 0;

  // Appends the event and leaves `spare` bytes of room. False: the message has no value (a tombstone), and nothing was written.
  // Throws EncodeFailure; what stands behind the old out.p means nothing then.
  virtual bool value(Out& out, const Event& event) = 0;

  // The value of the header `op` that this format sends with the event; empty: no such header.
  virtual std::string_view op(const Event& event) const {
    (void)event;
    return {};
  }

  static constexpr size_t spare = 64;
};

// Writes message keys. A key depends on the row alone (for an update on the new one), so that equal keys meet in one partition.
class KeyEncoder {
 public:
  virtual ~KeyEncoder() = default;

  virtual void open(const Array& block) = 0;

  // Appends the key. False: a null key, and nothing was written. Throws EncodeFailure.
  virtual bool key(Out& out, const Event& event) = 0;
};

}  // namespace penstock
