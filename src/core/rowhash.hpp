// A row's value as 128 bits: equal values hash equal, whatever layout they lie in.
//
// The same text in a string, a large string, a view, a dictionary or a run is one value, and so is a decimal in any width; NaN equals
// NaN, 0.0 equals -0.0, null is a value of its own, the entries of a map have no order, the texts of a VARIANT are compared as the JSON
// that is written for them and those of a UUID as its 16 bytes.
//
// Rows are not compared after that: with n rows, two that differ are taken for one with a probability of about n^2 / 2^129, which is
// 1e-25 for ten million. The seeds are random and new in each process, so nobody can prepare rows that collide.
//
// Columns are hashed one after the other for a few hundred rows at a time: what to do is decided once per column, not once per value.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "arrow.hpp"

namespace penstock {

struct RowHash {
  uint64_t a;
  uint64_t b;
};

class RowHasher {
 public:
  // `columns`: indices into the schema's fields, in an order that all schemas of one writer share.
  RowHasher(const Type& schema, std::vector<int> columns);

  void open(const Array& block);

  // Hashes of rows [from, from + count) of the block; count is at most `stride`.
  void hash(int64_t from, int64_t count, RowHash* out);

  static constexpr int64_t stride = 512;

 private:
  struct Node {
    const Type* type = nullptr;
    const Array* array = nullptr;
    int64_t run = -1;  // run_end: where the last value was found
    std::vector<Node> children;
  };
  static Node make_node(const Type& type);
  static void open_node(Node& n, const Array& a);
  void column(Node& n, int64_t from, int64_t count, RowHash* out);
  void value(Node& n, int64_t i, RowHash& h);
  void map(Node& n, int64_t i, RowHash& h);
  void variant(const Bytes& text, RowHash& h);

  std::vector<int> columns_;
  std::vector<Node> nodes_;
  std::string scratch_;  // rewritten VARIANT text
};

// False for a column whose values this cannot tell apart: durations, intervals, unions.
bool can_hash(const Type& type);

}  // namespace penstock
