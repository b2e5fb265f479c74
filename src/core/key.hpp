// Message keys that are the bytes of columns: a text or binary value as it is, integers and UUIDs in big-endian order.
//
// Keys as JSON objects and as Avro records are the business of those formats' files.
#pragma once

#include <memory>
#include <vector>

#include "format.hpp"

namespace penstock {

// The bytes of one string or binary column, through dictionaries and runs. A null is a null key, no bytes are an empty key.
std::unique_ptr<KeyEncoder> make_raw_key(const Type& schema, int column);

// The columns behind one another, each in its own width: integers of 1, 2, 4 or 8 bytes (two's complement where signed), UUIDs of
// 16. A single null column is a null key; a null among several has no form.
std::unique_ptr<KeyEncoder> make_big_endian_key(const Type& schema, const std::vector<int>& columns);

}  // namespace penstock
