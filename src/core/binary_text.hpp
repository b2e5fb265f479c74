// Bytes as a JSON string: hexadecimal, Base58 (Bitcoin's alphabet) and base64. For `[104,105]` see text.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "text.hpp"

namespace penstock {

// `"<prefix>6869"`, the prefix as it stands between the quotation marks.
void write_hex(Out& out, const char* prefix, size_t prefix_size, const uint8_t* s, size_t size, size_t reserve);

// Of time that grows with the square of the size, as every Base58 is. `work` is kept by the caller from call to call.
void write_base58(Out& out, const uint8_t* s, size_t size, std::vector<uint32_t>& work, size_t reserve);

// With padding.
void write_base64(Out& out, const uint8_t* s, size_t size, size_t reserve);

}  // namespace penstock
