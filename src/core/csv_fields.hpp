// One field of a line of CSV: quoted where it must be, with the delimiter behind it.
//
// `p` is where to write, apart from Out::p so that it stays in a register (Out::p, which any byte written might be, costs a column of
// a dictionary 2 of its 4 ns); what is written is returned by its end.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "csv.hpp"
#include "sixteen.hpp"
#include "text.hpp"

namespace penstock {

inline uint8_t* need_room(uint8_t* p, Out& out, size_t room) {
  if (static_cast<size_t>(out.end - p) < room) {
    out.p = p;
    out.grow(out, room);
    p = out.p;
  }
  return p;
}

class CsvFields {
 public:
  explicit CsvFields(const CsvOptions& options);

  // What the columns decide. alone: lines have one field; reserve: room that every text leaves behind it.
  void fit(bool alone, size_t reserve);

  // Most bytes of a null.
  size_t null_room() const { return null_text_.size() + null_pad; }

  uint8_t* null(uint8_t* p) const {
    if (null_size_ <= null_pad) {
      std::memcpy(p, null_field_.data(), null_pad);  // a constant size is one store; what is too much is written over
    } else {
      std::memcpy(p, null_field_.data(), null_size_);
    }
    return p + null_size_;
  }

  // Ends the field that stands from `start` to `end`, which holds no quotation mark and no line end: at most 3 more bytes.
  uint8_t* end_scalar(uint8_t* start, char* end) const {
    auto* p = reinterpret_cast<uint8_t*>(end);
    if (check_scalars_) p = quote_scalar(start, p);
    *p++ = delimiter_;
    return p;
  }

  // Asks for room for what is longer than 16 bytes, and needs 40 for what is not. `padded`: 16 bytes may be read from `s` on.
  // Throws EncodeFailure for what is not UTF-8.
  uint8_t* text(const std::string& path, const uint8_t* s, size_t size, bool padded, uint8_t* p, Out& out) const {
    if (size > 16) return long_text(path, s, size, p, out);
    uint8_t own[16] = {};
    if (!padded) {
      if (size != 0) std::memcpy(own, s, size);
      s = own;
    }
    const Sixteen x = Sixteen::load(s);
    const uint32_t mask = (1u << size) - 1;
    if (x.high() && !valid_utf8(s, size)) not_utf8(path);  // the high byte may be a neighbour's
    if (!quote_texts_ && (x.marks(Sixteen::load(delimiters_)) & mask) == 0 && !must_be_quoted(s, size)) {
      x.store(p);
      p += size;
    } else if ((x.equal('"') & mask) == 0) {
      *p++ = '"';
      x.store(p);
      p += size;
      *p++ = '"';
    } else {
      *p++ = '"';
      p = write_doubled(p, s, size);
      *p++ = '"';
    }
    *p++ = delimiter_;
    return p;
  }

 private:
  static constexpr size_t null_pad = 8;

  static uint8_t* write_doubled(uint8_t* to, const uint8_t* s, size_t size);
  [[noreturn]] static void not_utf8(const std::string& path);
  uint8_t* quote_scalar(uint8_t* start, uint8_t* p) const;
  uint8_t* long_text(const std::string& path, const uint8_t* s, size_t size, uint8_t* p, Out& out) const;
  size_t copy_unquoted(uint8_t* to, const uint8_t* s, size_t size, bool& high) const;

  bool is_null_text(const uint8_t* s, size_t size) const {
    return size != 0 && size == null_text_.size() && std::memcmp(s, null_text_.data(), size) == 0;
  }
  // A text that needs quotation marks though it holds none of the bytes that do.
  bool must_be_quoted(const uint8_t* s, size_t size) const { return size == 0 ? alone_ : is_null_text(s, size); }

  const uint8_t delimiter_;
  const bool quote_all_;
  const bool quote_texts_;
  bool seek_delimiter_;   // a number or the like may hold the delimiter
  bool check_scalars_;    // it may need quotation marks: with the usual delimiters and null texts it never does
  bool alone_ = false;    // an empty field is written as "", since readers skip empty lines
  uint8_t delimiters_[16];
  std::string null_text_;
  std::string null_field_;  // and a delimiter, padded
  size_t null_size_ = 0;
  size_t reserve_ = 0;
};

}  // namespace penstock
