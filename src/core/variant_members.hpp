// The members of the objects that are being rewritten: whether their keys ascend, and their sorting where they do not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace penstock {

// A stack: an object's members lie behind those of the objects around it, from the count() taken when it began. `text`
// is the rewritten text of one call; all offsets count from its start.
class Members {
 public:
  // Forgets what a call that failed left behind.
  void start() { members_.clear(); }
  size_t count() const { return members_.size(); }

  // A key in quotes has been written at `begin`, `key_size` bytes between the quotes and eight readable after them;
  // `escaped` when one of them is a backslash. False when it does not ascend from the key before it in the object.
  bool add(const char* text, size_t begin, size_t key_size, bool escaped, size_t first);

  // The object whose members begin at `first` and end at `end` is complete: unless `sorted`, puts them in the order of
  // their keys' UTF-8 bytes and drops those whose key comes again later. Returns where they end then.
  size_t finish(char* text, size_t first, size_t end, bool sorted);

  // Gives back memory that an unusually large text took.
  void trim();

 private:
  // "key":value; it ends one before the next member begins, at the comma.
  struct Member {
    size_t begin;     // of the opening quote
    size_t key_size;  // the escaped key between its quotes
    uint64_t prefix;  // the key's first eight bytes, zeros behind a shorter one, as a number; unless escaped
    bool escaped;
  };

  static int compare(const char* text, const Member& a, const Member& b);

  std::vector<Member> members_;
  std::vector<uint32_t> order_;
  std::string sorted_;
};

}  // namespace penstock
