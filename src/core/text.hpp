// Where encoded bytes go, and the JSON spelling of strings and bytes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

namespace penstock {

// Space to write to. The owner decides what growing means: a slab that is full moves the message under way to the next one.
struct Out {
  uint8_t* p = nullptr;
  uint8_t* end = nullptr;
  void (*grow)(Out& out, size_t room) = nullptr;  // afterwards end - p >= room; bytes of the message under way are kept

  void need(size_t room) {
    if (static_cast<size_t>(end - p) < room) grow(*this, room);
  }
};

// An Out over a string, behind what that holds. The string is longer than what was written until `finish`.
struct StringOut : Out {
  explicit StringOut(std::string& s) : target(s) {
    p = bytes() + target.size();
    end = p;
    grow = [](Out& out, size_t room) {
      auto& self = static_cast<StringOut&>(out);
      const size_t used = self.used();
      self.target.resize(std::max(2 * self.target.size(), used + room));
      out.p = self.bytes() + used;
      out.end = self.bytes() + self.target.size();
    };
  }
  size_t used() const { return static_cast<size_t>(p - bytes()); }
  void finish() { target.resize(used()); }

 private:
  uint8_t* bytes() const { return reinterpret_cast<uint8_t*>(&target[0]); }
  std::string& target;
};

// A value that has no form; `column` is the path to it, such as "address.tags[]".
struct EncodeFailure : std::runtime_error {
  EncodeFailure(std::string column_, const std::string& what) : std::runtime_error(what), column(std::move(column_)) {}
  std::string column;
};

// True when all of it is valid UTF-8 (no overlong forms, no surrogates, at most U+10FFFF).
bool valid_utf8(const uint8_t* s, size_t size);

// How many leading bytes need no escape in JSON; `high` is set when one of them (or a byte near them) is not ASCII.
// Copies as it looks: `to` must have room for size + 16 bytes.
size_t copy_plain(uint8_t* to, const uint8_t* s, size_t size, bool& high);

// The string between its quotation marks. At most 6 bytes a byte: `to` needs 6 * size + 32 bytes of room. False: not UTF-8.
uint8_t* write_string_piece(uint8_t* to, const uint8_t* s, size_t size, bool& high);

// `"…"` with room taken as needed and `reserve` bytes to spare afterwards. False: not UTF-8, nothing to be relied on was written.
bool write_string(Out& out, const uint8_t* s, size_t size, size_t reserve);

// The same for at most 16 bytes of a padded array: one load, no branch on the length, which in a column of names is anybody's
// guess (measured: a city 26 ns -> 19 ns, 12 random characters 22 -> 19).
bool write_short_string(Out& out, const uint8_t* s, size_t size, size_t reserve);

// `[104,105]`
void write_byte_list(Out& out, const uint8_t* s, size_t size, size_t reserve);

// Lower-case 8-4-4-4-12 between quotation marks: 38 bytes.
uint8_t* write_uuid(uint8_t* to, const uint8_t* sixteen);

// Text of a UUID in any common spelling (hyphens or not, upper or lower case, braces) to its 16 bytes. False: it is none.
bool parse_uuid(const uint8_t* s, size_t size, uint8_t* sixteen);

std::string json_string(const std::string& s);

}  // namespace penstock
