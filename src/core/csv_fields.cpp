#include "csv_fields.hpp"

namespace penstock {

namespace {

// Whether a number, boolean, date, time or UUID may hold this byte.
bool in_scalars(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == 'N' || c == '+' || c == '-' || c == '.' || c == ':' || c == ' ';
}

}  // namespace

CsvFields::CsvFields(const CsvOptions& options)
    : delimiter_(static_cast<uint8_t>(options.delimiter)),
      quote_all_(options.quoting == CsvQuoting::always),
      quote_texts_(options.quoting != CsvQuoting::necessary),
      seek_delimiter_(in_scalars(options.delimiter)),
      null_text_(options.null_text) {
  const bool like_scalar = !null_text_.empty() && std::all_of(null_text_.begin(), null_text_.end(), in_scalars);
  check_scalars_ = quote_all_ || seek_delimiter_ || like_scalar;
  Sixteen::all(delimiter_).store(delimiters_);
}

void CsvFields::fit(bool alone, size_t reserve) {
  alone_ = alone;
  reserve_ = reserve;
  null_field_ = alone && null_text_.empty() ? "\"\"" : null_text_;
  null_field_ += static_cast<char>(delimiter_);
  null_size_ = null_field_.size();
  null_field_.resize(std::max(null_size_, null_pad));
}

uint8_t* CsvFields::quote_scalar(uint8_t* start, uint8_t* p) const {
  const auto size = static_cast<size_t>(p - start);
  const bool holds_delimiter = seek_delimiter_ && std::memchr(start, delimiter_, size) != nullptr;
  if (!quote_all_ && !holds_delimiter && !is_null_text(start, size)) return p;
  std::memmove(start + 1, start, size);
  *start = '"';
  p[1] = '"';
  return p + 2;
}

void CsvFields::not_utf8(const std::string& path) {
  throw EncodeFailure(path, "the string is not valid UTF-8; a binary column may hold such bytes");
}

// Each quotation mark twice; at most 2 * size bytes, and 16 more are scribbled on where size is 16 or more.
uint8_t* CsvFields::write_doubled(uint8_t* to, const uint8_t* s, size_t size) {
  while (size >= 16) {
    const Sixteen x = Sixteen::load(s);
    x.store(to);
    const uint32_t marks = x.equal('"');
    const size_t plain = marks == 0 ? 16 : static_cast<size_t>(__builtin_ctz(marks)) + 1;
    to += plain;
    s += plain;
    size -= plain;
    if (marks != 0) *to++ = '"';
  }
  for (; size != 0; --size) {
    *to++ = *s;
    if (*s++ == '"') *to++ = '"';
  }
  return to;
}

// More than 16 bytes: copied as if nothing in them asked for quotation marks; most texts have none.
uint8_t* CsvFields::long_text(const std::string& path, const uint8_t* s, size_t size, uint8_t* p, Out& out) const {
  constexpr size_t piece = 4096;  // so that a long text does not ask for twice its size at once
  p = need_room(p, out, size + 32 + reserve_);
  size_t plain = 0;
  bool high = false;
  if (!quote_texts_) {
    plain = copy_unquoted(p, s, size, high);
    if (plain == size && !must_be_quoted(s, size)) {
      if (high && !valid_utf8(s, size)) not_utf8(path);
      p[size] = delimiter_;
      return p + size + 1;
    }
  }
  if (!valid_utf8(s, size)) not_utf8(path);
  if (plain != 0) std::memmove(p + 1, p, plain);
  *p = '"';
  p += plain + 1;
  do {
    const size_t next = std::min(size - plain, piece);
    p = need_room(p, out, 2 * next + 32 + reserve_);
    p = write_doubled(p, s + plain, next);
    plain += next;
  } while (plain != size);
  *p++ = '"';
  *p++ = delimiter_;
  return p;
}

// Copies up to the first byte that asks for quotation marks; how many bytes. `to` has room for size + 16, size is at least 16.
size_t CsvFields::copy_unquoted(uint8_t* to, const uint8_t* s, size_t size, bool& high) const {
  const Sixteen delimiter = Sixteen::load(delimiters_);
  for (size_t i = 0;;) {
    const Sixteen x = Sixteen::load(s + i);
    x.store(to + i);
    high |= x.high();
    const uint32_t marks = x.marks(delimiter);
    if (marks != 0) return i + static_cast<size_t>(__builtin_ctz(marks));
    i += 16;
    if (i >= size) return size;
    i = std::min(i, size - 16);  // the last 16 overlap those before: never a read past the end
  }
}

}  // namespace penstock
