#include "variant.hpp"

#include <algorithm>
#include <cstring>

#include "variant_members.hpp"
#include "variant_number.hpp"

namespace penstock {
namespace {

constexpr uint64_t ONES = 0x0101010101010101u;
constexpr uint64_t HIGHS = 0x8080808080808080u;

// Bytes that the output has free beyond what the rest of the input can fill: eight-byte stores and loads overrun.
constexpr size_t SLACK = 64;
struct Level {
  size_t first_member;  // what Members counted before; an array has none
  bool is_object;
  bool sorted;  // keys so far strictly ascending
};

inline bool is_digit(uint8_t c) { return static_cast<uint8_t>(c - '0') < 10; }

inline int hex_value(uint8_t c) {
  if (is_digit(c)) return c - '0';
  const uint8_t letter = static_cast<uint8_t>((c | 0x20) - 'a');
  return letter < 6 ? letter + 10 : -1;
}

// c < 0x20, a quote or a backslash, as JSON text wants it.
inline char* write_escaped(char* out, uint8_t c) {
  static constexpr char HEX[] = "0123456789abcdef";
  static constexpr char SHORT[] = "\0\0\0\0\0\0\0\0btn\0fr\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
  *out++ = '\\';
  const char letter = c < 0x20 ? SHORT[c] : static_cast<char>(c);
  if (letter != 0) {
    *out++ = letter;
    return out;
  }
  std::memcpy(out, "u00", 3);
  out[3] = HEX[c >> 4];
  out[4] = HEX[c & 15];
  return out + 5;
}

// One text on its way through. Failing functions return false or null after fail() has written the sentence.
class Rewriter {
 public:
  Rewriter(const uint8_t* text, size_t size, std::string& out, std::string& why, Members& members, bool decimal_text)
      : begin_(text), in_(text), end_(text + size), buffer_(out), start_(out.size()), why_(why), members_(members), decimal_text_(decimal_text) {}

  bool run() {
    make_room(0);
    if (!values()) return false;
    skip_space();
    if (in_ != end_) return fail("the end after the one value");
    buffer_.resize(static_cast<size_t>(out_ - buffer_.data()));
    return true;
  }

 private:
  bool fail(const char* allowed) {
    why_ = "the text is not JSON: at byte " + std::to_string(in_ - begin_) + " found ";
    if (in_ >= end_) {
      why_ += begin_ == end_ ? "nothing at all" : "the end of the text";
    } else if (*in_ > 0x20 && *in_ < 0x7f) {
      why_ += '\'';
      why_ += static_cast<char>(*in_);
      why_ += '\'';
    } else {
      static constexpr char HEX[] = "0123456789abcdef";
      why_ += "byte 0x";
      why_ += HEX[*in_ >> 4];
      why_ += HEX[*in_ & 15];
    }
    why_ += ", expected ";
    why_ += allowed;
    return false;
  }

  // Keeps room for `extra` bytes, all of the remaining input and the slack behind out_. Every token but a number is
  // rewritten to at most its own length, so only those of run() and number() are needed.
  void make_room(size_t extra) {
    const size_t used = out_ == nullptr ? start_ : static_cast<size_t>(out_ - buffer_.data());
    const size_t needed = used + extra + static_cast<size_t>(end_ - in_) + SLACK;
    if (needed > buffer_.size()) {
      // twice, lest a list of small numbers that all grow is copied for each; the first time it is just enough
      buffer_.resize(out_ == nullptr ? needed : std::max(needed, used * 2));
    }
    out_ = buffer_.data() + used;
  }

  char* rewritten() { return buffer_.data() + start_; }
  size_t offset() { return static_cast<size_t>(out_ - rewritten()); }

  void skip_space() {
    while (in_ < end_ && (*in_ == ' ' || *in_ == '\n' || *in_ == '\r' || *in_ == '\t')) ++in_;
  }

  // The value and all in it: a loop over an array of levels instead of recursion, so that depth costs no stack.
  bool values() {
    Level levels[JSON_DEPTH];
    int depth = 0;
    for (;;) {
      skip_space();
      if (in_ == end_) return fail("a value");
      switch (*in_) {
        case '"':
          if (!string()) return false;
          break;
        case '{':
        case '[': {
          if (depth == JSON_DEPTH) {
            why_ = "the JSON text is nested too deeply: at byte " + std::to_string(in_ - begin_) + " more than the " +
                   std::to_string(JSON_DEPTH) + " levels allowed begin; send it as a plain string column instead";
            return false;
          }
          const bool is_object = *in_ == '{';
          *out_++ = static_cast<char>(*in_++);
          skip_space();
          if (in_ < end_ && *in_ == (is_object ? '}' : ']')) {
            *out_++ = static_cast<char>(*in_++);
            break;
          }
          levels[depth++] = {members_.count(), is_object, true};
          if (is_object && !key(levels[depth - 1])) return false;
          continue;
        }
        case 't':
          if (!word("true", 4, "the word true")) return false;
          break;
        case 'f':
          if (!word("false", 5, "the word false")) return false;
          break;
        case 'n':
          if (!word("null", 4, "the word null")) return false;
          break;
        default:
          if (*in_ != '-' && !is_digit(*in_)) return fail("a value");
          if (!(decimal_text_ ? number_as_text() : number())) return false;
      }
      for (;;) {  // a value is complete: the levels that end with it, then the comma before the next
        if (depth == 0) return true;
        Level& level = levels[depth - 1];
        skip_space();
        if (in_ == end_) return fail(level.is_object ? "',' or '}'" : "',' or ']'");
        if (*in_ == ',') {
          *out_++ = ',';
          ++in_;
          if (level.is_object) {
            skip_space();
            if (!key(level)) return false;
          }
          break;
        }
        if (*in_ != (level.is_object ? '}' : ']')) return fail(level.is_object ? "',' or '}'" : "',' or ']'");
        ++in_;
        if (level.is_object) {
          out_ = rewritten() + members_.finish(rewritten(), level.first_member, offset(), level.sorted);
        }
        *out_++ = level.is_object ? '}' : ']';
        --depth;
      }
    }
  }

  // "key": with in_ where the key must begin.
  bool key(Level& level) {
    if (in_ == end_ || *in_ != '"') return fail("a key in quotes");
    const size_t begin = offset();
    bool escaped = false;
    if (!string(&escaped)) return false;
    const bool ascending = members_.add(rewritten(), begin, offset() - begin - 2, escaped, level.first_member);
    level.sorted = level.sorted && ascending;
    skip_space();
    if (in_ == end_ || *in_ != ':') return fail("':'");
    *out_++ = ':';
    ++in_;
    return true;
  }

  bool word(const char* name, size_t size, const char* allowed) {
    if (static_cast<size_t>(end_ - in_) < size || std::memcmp(in_, name, size) != 0) return fail(allowed);
    std::memcpy(out_, name, size);
    in_ += size;
    out_ += size;
    return true;
  }

  bool string(bool* escaped = nullptr) {
    // in locals: a store through char* may change any member, so each would be read again after it
    const uint8_t* in = in_;
    char* out = out_;
    const uint8_t* const end = end_;
    *out++ = '"';
    ++in;
    for (;;) {
      // Eight plain bytes at a time: none below 0x20, no quote, no backslash, none above 0x7f. The subtractions borrow
      // only upwards, so the lowest byte marked is truly one to stop at.
      while (end - in >= 8) {
        uint64_t eight;
        std::memcpy(&eight, in, 8);
        std::memcpy(out, &eight, 8);
        const uint64_t marks = (((eight ^ ONES * '"') - ONES) | ((eight ^ ONES * '\\') - ONES) |
                                (eight - ONES * 0x20) | eight) & HIGHS;
        const int plain = marks == 0 ? 8 : __builtin_ctzll(marks) >> 3;
        in += plain;
        out += plain;
        if (marks != 0) break;
      }
      const uint8_t c = in < end ? *in : 0;
      if (c == '"') {
        *out = '"';
        in_ = in + 1;
        out_ = out + 1;
        return true;
      }
      if (c != '\\' && c >= 0x20 && c < 0x80) {  // among the last seven bytes of the text
        *out++ = static_cast<char>(c);
        ++in;
        continue;
      }
      in_ = in;
      out_ = out;
      if (in == end) return fail("'\"' at the end of the string");
      if (c == '\\') {
        if (!escape()) return false;
        if (escaped != nullptr && *out == '\\') *escaped = true;
      } else if (c < 0x20) {
        return fail("no control character inside a string, write it as an escape");
      } else if (!beyond_ascii()) {
        return false;
      }
      in = in_;
      out = out_;
    }
  }

  // A run of characters above 0x7f, each two to four bytes of well-formed UTF-8.
  bool beyond_ascii() {
    const uint8_t* in = in_;
    char* out = out_;
    do {
      const uint8_t c = *in;
      const ptrdiff_t left = end_ - in;
      int size;
      if (c < 0xc2) {
        size = 0;  // a continuation byte alone, or a longer form of ASCII
      } else if (c < 0xe0) {
        size = left >= 2 && (in[1] & 0xc0) == 0x80 ? 2 : 0;
      } else if (c < 0xf0) {
        // not shorter than 0x800, no surrogate
        const uint8_t low = c == 0xe0 ? 0xa0 : 0x80;
        const uint8_t high = c == 0xed ? 0x9f : 0xbf;
        size = left >= 3 && in[1] >= low && in[1] <= high && (in[2] & 0xc0) == 0x80 ? 3 : 0;
      } else {
        const uint8_t low = c == 0xf0 ? 0x90 : 0x80;
        const uint8_t high = c == 0xf4 ? 0x8f : 0xbf;
        size = c <= 0xf4 && left >= 4 && in[1] >= low && in[1] <= high && (in[2] & 0xc0) == 0x80 &&
                       (in[3] & 0xc0) == 0x80
                   ? 4
                   : 0;
      }
      if (size == 0) {
        in_ = in;
        return fail("well-formed UTF-8");
      }
      for (int i = 0; i < size; ++i) out[i] = static_cast<char>(in[i]);
      in += size;
      out += size;
    } while (in < end_ && *in >= 0x80);
    in_ = in;
    out_ = out;
    return true;
  }

  // Four hexadecimal digits at in_; negative after a failure.
  int hex4() {
    int code = 0;
    for (int i = 0; i < 4; ++i, ++in_) {
      const int digit = in_ < end_ ? hex_value(*in_) : -1;
      if (digit < 0) {
        fail("four hexadecimal digits");
        return -1;
      }
      code = code * 16 + digit;
    }
    return code;
  }

  bool escape() {
    ++in_;
    if (in_ == end_) return fail("the rest of an escape");
    uint8_t plain;
    switch (*in_) {
      case '"':
      case '\\':
        plain = *in_;
        break;
      case '/':
        *out_++ = '/';
        ++in_;
        return true;
      case 'b':
        plain = '\b';
        break;
      case 'f':
        plain = '\f';
        break;
      case 'n':
        plain = '\n';
        break;
      case 'r':
        plain = '\r';
        break;
      case 't':
        plain = '\t';
        break;
      case 'u':
        ++in_;
        return unicode_escape();
      default:
        return fail("one of \" \\ / b f n r t u after a backslash");
    }
    ++in_;
    out_ = write_escaped(out_, plain);
    return true;
  }

  bool unicode_escape() {
    const uint8_t* const digits = in_;
    int code = hex4();
    if (code < 0) return false;
    if (code >= 0xd800 && code < 0xe000) {
      int low = -1;
      if (code < 0xdc00 && end_ - in_ >= 2 && in_[0] == '\\' && in_[1] == 'u') {
        in_ += 2;
        low = hex4();
        if (low < 0) return false;
      }
      if (low < 0xdc00 || low >= 0xe000) {
        in_ = digits - 2;
        return fail("a high surrogate followed by a low one, not one of them alone");
      }
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    if (code < 0x20 || code == '"' || code == '\\') {
      out_ = write_escaped(out_, static_cast<uint8_t>(code));
    } else if (code < 0x80) {
      *out_++ = static_cast<char>(code);
    } else if (code < 0x800) {
      *out_++ = static_cast<char>(0xc0 | code >> 6);
      *out_++ = static_cast<char>(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
      *out_++ = static_cast<char>(0xe0 | code >> 12);
      *out_++ = static_cast<char>(0x80 | (code >> 6 & 0x3f));
      *out_++ = static_cast<char>(0x80 | (code & 0x3f));
    } else {
      *out_++ = static_cast<char>(0xf0 | code >> 18);
      *out_++ = static_cast<char>(0x80 | (code >> 12 & 0x3f));
      *out_++ = static_cast<char>(0x80 | (code >> 6 & 0x3f));
      *out_++ = static_cast<char>(0x80 | (code & 0x3f));
    }
    return true;
  }

  // The text of a number without point and exponent is an integer's; quotation marks around the others.
  bool number_as_text() {
    const uint8_t* end = in_;
    while (end < end_ && (is_digit(*end) || *end == '-')) ++end;
    if (end == end_ || (*end != '.' && (*end | 0x20) != 'e')) return number();
    make_room(2 + LONGEST_NUMBER);
    *out_++ = '"';
    if (!number()) return false;
    make_room(2);
    *out_++ = '"';
    return true;
  }

  bool number() {
    const uint8_t* const token = in_;
    if (*in_ == '-') ++in_;
    const uint8_t* const whole = in_;
    while (in_ < end_ && is_digit(*in_)) ++in_;
    if (in_ == whole) return fail("a digit");
    if (*whole == '0' && in_ - whole > 1) {
      in_ = whole + 1;
      return fail("no digit after a leading zero");
    }
    const uint8_t* const whole_end = in_;
    if (in_ == end_ || (*in_ != '.' && (*in_ | 0x20) != 'e')) {
      copy(*whole == '0' ? whole : token, whole_end);
      return true;
    }
    const uint8_t* fraction = in_;
    if (*in_ == '.') {
      fraction = ++in_;
      while (in_ < end_ && is_digit(*in_)) ++in_;
      if (in_ == fraction) return fail("a digit after the point");
    }
    const uint8_t* fraction_end = in_;
    int64_t exponent = 0;
    const bool scaled = in_ < end_ && (*in_ | 0x20) == 'e';
    if (scaled && !read_exponent(exponent)) return false;
    while (fraction_end > fraction && fraction_end[-1] == '0') --fraction_end;
    if (!scaled && fraction_end == fraction) {
      copy(*whole == '0' ? whole : token, whole_end);
      return true;
    }
    // 37 digits are never more than the decimal holds: the text itself is right
    if (!scaled && (whole_end - whole) + (fraction_end - fraction) <= 37) {
      copy(token, fraction_end);
      return true;
    }
    make_room(LONGEST_NUMBER);
    char* const after = write_scaled(out_, {token, whole, whole_end, fraction, fraction_end, in_, exponent});
    if (after != nullptr) {
      out_ = after;
      return true;
    }
    why_ = "the number at byte " + std::to_string(token - begin_) +
           " of the JSON text is too large: at most 1.7976931348623157e308 fits a double; write it as a string";
    return false;
  }

  void copy(const uint8_t* from, const uint8_t* to) {
    const size_t size = static_cast<size_t>(to - from);
    std::memcpy(out_, from, size);
    out_ += size;
  }

  // An exponent of more digits is as good as one near 10^13: both are far beyond the length of any text.
  bool read_exponent(int64_t& exponent) {
    ++in_;
    bool negative = false;
    if (in_ < end_ && (*in_ == '-' || *in_ == '+')) negative = *in_++ == '-';
    const uint8_t* const digits = in_;
    for (; in_ < end_ && is_digit(*in_); ++in_) {
      if (exponent < 1000000000000) exponent = exponent * 10 + (*in_ - '0');
    }
    if (in_ == digits) return fail("a digit in the exponent");
    if (negative) exponent = -exponent;
    return true;
  }

  const uint8_t* const begin_;
  const uint8_t* in_;
  const uint8_t* const end_;
  std::string& buffer_;
  const size_t start_;  // of the rewritten text in buffer_
  char* out_ = nullptr;
  std::string& why_;
  Members& members_;
  const bool decimal_text_;
};

}  // namespace

bool rewrite_json(const uint8_t* text, size_t size, std::string& out, std::string& why, bool decimal_text) {
  static thread_local Members members;  // per thread: a column of small documents allocates only for its first
  members.start();
  const size_t before = out.size();
  const bool written = Rewriter(text, size, out, why, members, decimal_text).run();
  if (!written) out.resize(before);
  members.trim();
  return written;
}

}  // namespace penstock
