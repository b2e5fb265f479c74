#include "json_format.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "number.hpp"

namespace penstock {

namespace {

constexpr size_t literal_pad = 32;

// One or two encoders over the same names: of the block's columns, or of the fields of its struct columns.
class Rows {
 public:
  Rows(const Type& schema, const std::vector<int>& columns, const Images& images, const JsonStyle& style)
      : images_(images), after_(row_type(schema, images.after), columns, style, row_path(schema, images.after)) {
    if (split()) before_ = std::make_unique<RowEncoder>(row_type(schema, images.before), columns, style, row_path(schema, images.before));
  }

  void open(const Array& block) {
    block_ = &block;
    after_.open(split() ? image(images_.after) : block);
    if (split()) before_->open(image(images_.before));
  }

  bool split() const { return images_.after >= 0; }
  bool has_before(const Event& event) const { return split() || event.before >= 0; }

  // The new row, or the one that goes.
  void row(Out& out, const Event& event) {
    if (split() && event.change == Change::remove) return before(out, event);
    after_.row(out, split() ? image(images_.after).offset + event.row : event.row);
  }

  // The row that goes, or that an update replaces.
  void before(Out& out, const Event& event) {
    if (split()) return before_->row(out, image(images_.before).offset + event.row);
    after_.row(out, event.before);
  }

 private:
  static const Type& row_type(const Type& schema, int column) { return column < 0 ? schema : schema.children[static_cast<size_t>(column)]; }
  static std::string row_path(const Type& schema, int column) { return column < 0 ? "" : row_type(schema, column).name; }
  const Array& image(int column) const { return block_->children[static_cast<size_t>(column)]; }

  Images images_;
  RowEncoder after_;
  std::unique_ptr<RowEncoder> before_;
  const Array* block_ = nullptr;
};

struct Part {
  std::string literal;  // padded, so that short ones are copied in one piece
  size_t size;
  Hole hole;
};

struct Text {
  bool tombstone;
  std::vector<Part> parts;
  bool short_row = false;  // a row between two short literals, as most texts are

  explicit Text(const EventText& from) : tombstone(from.tombstone) {
    for (const EventPart& part : from.parts) {
      parts.push_back({part.literal, part.literal.size(), part.hole});
      if (part.literal.size() < literal_pad) parts.back().literal.resize(literal_pad);
    }
    short_row = parts.size() == 2 && parts[0].hole == Hole::row && parts[0].size <= literal_pad && parts[1].size <= literal_pad;
  }
};

inline void put_literal(Out& out, const Part& part) {
  if (part.size <= literal_pad) {
    out.need(literal_pad + Format::spare);
    std::memcpy(out.p, part.literal.data(), literal_pad);
  } else {
    out.need(part.size + Format::spare);
    std::memcpy(out.p, part.literal.data(), part.size);
  }
  out.p += part.size;
}

inline void put_number(Out& out, int64_t v) {
  out.need(NUMBER_ROOM + Format::spare);
  out.p = reinterpret_cast<uint8_t*>(write_int(reinterpret_cast<char*>(out.p), v));
}

class JsonFormat : public Format {
 public:
  JsonFormat(const Type& schema, const JsonFormatOptions& options)
      : rows_(schema, options.columns, options.images, options.style),
        insert_(options.insert),
        remove_(options.remove),
        update_(options.update),
        upsert_(options.upsert) {}

  void open(const Array& block) override {
    rows_.open(block);
    const auto since = std::chrono::system_clock::now().time_since_epoch();
    now_ = std::chrono::duration_cast<std::chrono::milliseconds>(since).count();
  }

  bool value(Out& out, const Event& event) override {
    const Text& text = event.change == Change::insert   ? insert_
                       : event.change == Change::remove ? remove_
                       : rows_.has_before(event)        ? update_
                                                        : upsert_;
    if (text.short_row) {  // 5 ns less than the loop below
      put_literal(out, text.parts[0]);
      rows_.row(out, event);
      put_literal(out, text.parts[1]);
      return true;
    }
    if (text.tombstone) return false;
    for (const Part& part : text.parts) {
      put_literal(out, part);
      switch (part.hole) {
        case Hole::none: break;
        case Hole::row: rows_.row(out, event); break;
        case Hole::before: rows_.before(out, event); break;
        case Hole::open_row:
          rows_.row(out, event);
          if (out.p[-2] == '{') {
            --out.p;  // a row without members
          } else {
            out.p[-1] = ',';
          }
          break;
        case Hole::weight: put_number(out, event.change == Change::remove ? -event.weight : event.weight); break;
        case Hole::sequence: put_number(out, static_cast<int64_t>(event.sequence)); break;
        case Hole::now: put_number(out, now_); break;
      }
    }
    return true;
  }

 private:
  Rows rows_;
  Text insert_;
  Text remove_;
  Text update_;
  Text upsert_;
  int64_t now_ = 0;
};

// An Out over a std::string, for what is looked at again before it is sent.
struct ScratchOut : Out {
  std::string& target;
  explicit ScratchOut(std::string& s) : target(s) {
    if (target.empty()) target.resize(256);
    grow = [](Out& out, size_t room) {
      auto& self = static_cast<ScratchOut&>(out);
      const size_t used = self.size();
      self.target.resize(std::max(2 * self.target.size(), used + room));
      self.point(used);
    };
    point(0);
  }
  void point(size_t used) {
    p = reinterpret_cast<uint8_t*>(&target[0]) + used;
    end = reinterpret_cast<uint8_t*>(&target[0]) + target.size();
  }
  size_t size() const { return static_cast<size_t>(p - reinterpret_cast<const uint8_t*>(target.data())); }
  const uint8_t* data() const { return reinterpret_cast<const uint8_t*>(target.data()); }
};

class ObjectKey : public KeyEncoder {
 public:
  ObjectKey(const Type& schema, const JsonKeyOptions& options)
      : rows_(schema, options.columns, options.images, options.style), prefix_(options.prefix), suffix_(options.suffix) {}

  void open(const Array& block) override { rows_.open(block); }

  bool key(Out& out, const Event& event) override {
    if (event.change == Change::update && rows_.split()) refuse_new_key(event);
    put(out, prefix_);
    rows_.row(out, event);
    put(out, suffix_);
    return true;
  }

 private:
  static void put(Out& out, const std::string& text) {
    out.need(text.size() + Format::spare);
    if (!text.empty()) std::memcpy(out.p, text.data(), text.size());
    out.p += text.size();
  }

  // One message has one key: the old row would stay with its own for ever. (A -U and a +U of different keys are never one event.)
  void refuse_new_key(const Event& event) {
    ScratchOut before(before_text_);
    ScratchOut after(after_text_);
    rows_.before(before, event);
    rows_.row(after, event);
    const size_t size = before.size();
    if (size == after.size() && std::memcmp(before.data(), after.data(), size) == 0) return;
    const auto shown = [](const ScratchOut& text) {
      std::string cut(reinterpret_cast<const char*>(text.data()), std::min<size_t>(text.size(), 200));
      return text.size() > 200 ? cut + "…" : cut;
    };
    throw EncodeFailure("", "the update changes the key of its row from " + shown(before) + " to " + shown(after) +
                                "; give it as a delete of the old row and an insert of the new one");
  }

  Rows rows_;
  std::string prefix_;
  std::string suffix_;
  std::string before_text_;
  std::string after_text_;
};

class JoinedKey : public KeyEncoder {
 public:
  JoinedKey(const Type& schema, const JsonKeyOptions& options)
      : columns_(options.columns.size()), rows_(schema, options.columns, options.style) {}

  void open(const Array& block) override { rows_.open(block); }

  bool key(Out& out, const Event& event) override {
    for (size_t c = 0; c < columns_; ++c) {
      ScratchOut value(scratch_);
      rows_.cell(value, c, event.row);
      out.need(value.size() + 1 + Format::spare);
      if (c != 0) *out.p++ = ':';
      if (value.data()[0] == '"') {
        put_unquoted(out, value.data() + 1, value.size() - 2);
      } else {
        std::memcpy(out.p, value.data(), value.size());
        out.p += value.size();
      }
    }
    return true;  // an empty key is a key like any other: equal rows meet, and a delete has one to delete
  }

 private:
  // What write_string escaped, and nothing else occurs: \" \\ \b \f \n \r \t \u00xx.
  static void put_unquoted(Out& out, const uint8_t* s, size_t size) {
    const uint8_t* const end = s + size;
    const auto hex = [](uint8_t c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    while (s < end) {
      if (*s != '\\') {
        *out.p++ = *s++;
        continue;
      }
      switch (s[1]) {
        case 'b': *out.p++ = '\b'; break;
        case 'f': *out.p++ = '\f'; break;
        case 'n': *out.p++ = '\n'; break;
        case 'r': *out.p++ = '\r'; break;
        case 't': *out.p++ = '\t'; break;
        case 'u':
          *out.p++ = static_cast<uint8_t>(hex(s[4]) << 4 | hex(s[5]));
          s += 4;
          break;
        default: *out.p++ = s[1];
      }
      s += 2;
    }
  }

  size_t columns_;
  RowEncoder rows_;
  std::string scratch_;
};

}  // namespace

std::unique_ptr<Format> make_json(const Type& schema, const JsonFormatOptions& options) {
  return std::make_unique<JsonFormat>(schema, options);
}

std::unique_ptr<KeyEncoder> make_json_key(const Type& schema, const JsonKeyOptions& options) {
  if (options.joined) return std::make_unique<JoinedKey>(schema, options);
  return std::make_unique<ObjectKey>(schema, options);
}

}  // namespace penstock
