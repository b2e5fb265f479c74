#include "consolidate.hpp"

#include <algorithm>

#include "change.hpp"
#include "json.hpp"

namespace penstock {

namespace {

constexpr size_t most_shown_changes = 10;
constexpr size_t most_shown_bytes = 1000;  // of one row, so that the message of an error stays one that can be read

// The columns of one row as JSON, for an error; `{…}` where they have no such form.
std::string as_json(const Type& schema, const std::vector<int>& columns, const Array& block, int64_t row) {
  for (const int c : columns) {
    if (!json_refusal(schema.children[static_cast<size_t>(c)]).empty()) return "{…}";
  }
  RowEncoder encoder(schema, columns);
  encoder.open(block);
  std::string text;
  StringOut out(text);
  try {
    encoder.row(out, row);
  } catch (const EncodeFailure&) {
    return "{…}";
  }
  out.finish();
  if (text.size() > most_shown_bytes) text = text.substr(0, most_shown_bytes) + "…";
  return text;
}

std::string signed_text(int64_t weight) { return (weight > 0 ? "+" : "") + std::to_string(weight); }

}  // namespace

ChangeReader::ChangeReader(const Type& schema, const ChangeColumns& columns)
    : schema_(schema), columns_(columns), rows_(schema, columns.row), keys_(schema, columns.key) {}

Consolidator::Change Consolidator::read(const ChangeReader& reader, const Array& block, int64_t i) {
  if (reader.columns_.change == ChangeMode::inserts) return {1, false};
  const auto c = static_cast<size_t>(reader.columns_.column);
  const Type& type = reader.schema_.children[c];
  if (reader.columns_.change == ChangeMode::weight) {
    return {weight_at(type, block.children[c], i, value_type(type).kind == Kind::uint64), false};
  }
  const Op op = op_at(type, block.children[c], i);
  const bool paired = after_before_ && op == Op::after;
  after_before_ = op == Op::before;
  if (op == Op::remove || op == Op::before) return {-1, false};
  return {1, op == Op::update || (op == Op::after && !paired)};
}

// What it replaces is not known without a key: sums of weights would keep the old row, or put an older update behind a newer one.
void Consolidator::refuse_upsert(const ChangeReader& reader, int64_t row) {
  throw RowFailure{row, reader.schema_.children[static_cast<size_t>(reader.columns_.column)].name,
                   "an update without its old row cannot be merged with other changes by enable_output_buffer alone; give an index, whose "
                   "key says which row it replaces, or give updates as -U and +U"};
}

void Consolidator::add(ChangeReader& reader, const Array& block, uint32_t piece, uint32_t first) {
  const bool by_key = !index_.empty();
  reader.rows_.open(block);
  if (by_key) reader.keys_.open(block);
  for (int64_t from = 0; from < block.length; from += RowHasher::stride) {
    const int64_t n = std::min(RowHasher::stride, block.length - from);
    reader.rows_.hash(from, n, row_hashes_.data());
    if (by_key) reader.keys_.hash(from, n, key_hashes_.data());
    for (int64_t k = 0; k < n; ++k) {
      const auto at = static_cast<size_t>(k);
      rows_.prefetch(row_hashes_[at].a);
      if (by_key) keys_.prefetch(key_hashes_[at].a);
    }
    for (int64_t k = 0; k < n; ++k) {
      const auto at = static_cast<size_t>(k);
      const Change change = read(reader, block, from + k);
      if (change.upsert && !by_key) refuse_upsert(reader, from + k);
      const auto row = first + static_cast<uint32_t>(from + k);
      try {
        if (change.weight != 0) count(row_hashes_[at], by_key ? &key_hashes_[at] : nullptr, change, piece, row);
      } catch (RowFailure& failure) {
        failure.row = from + k;
        throw;
      }
    }
  }
}

uint32_t Consolidator::find_row(const RowHash& row, const Key* key, uint32_t key_number, uint32_t piece, uint32_t at) {
  const auto make = [&](Row& r) {
    r.a = row.a;
    r.b = key != nullptr ? static_cast<uint64_t>(key->upserts) << 32 | key_number : row.b;
    r.weight = 0;
    r.piece = piece;
    r.row = at;
  };
  const uint32_t number = rows_.find(
      row.a, [&](const Row& r) { return r.a == row.a && (key != nullptr ? r.key() == key_number : r.b == row.b); }, make);
  // What was before an upsert of its key is forgotten: it begins anew, here.
  if (key != nullptr && rows_[number].upserts() != key->upserts) make(rows_[number]);
  return number;
}

void Consolidator::count(const RowHash& row, const RowHash* key_hash, const Change& change, uint32_t piece, uint32_t at) {
  Key* key = nullptr;
  uint32_t key_number = 0;
  if (key_hash != nullptr) {
    constexpr uint32_t none = EntryTable<Key>::none;
    key_number = keys_.find(
        key_hash->a, [&](const Key& k) { return k.a == key_hash->a && k.b == key_hash->b; },
        [&](Key& k) { k = {key_hash->a, key_hash->b, 0, none, 0, none, none}; });
    key = &keys_[key_number];
    if (change.upsert) {
      key->upserts += 1;
      rows_left_ -= key->rows;
      key->rows = 0;
    }
  }
  const uint32_t number = find_row(row, key, key_number, piece, at);
  Row& entry = rows_[number];
  const bool was = entry.weight != 0;
  int64_t sum;
  if (__builtin_add_overflow(entry.weight, change.weight, &sum)) {
    throw RowFailure{0, "", "very large weight: those of this row add up to more than 64 bits hold"};
  }
  entry.weight = sum;
  const int now = static_cast<int>(sum != 0) - static_cast<int>(was);
  rows_left_ += now;
  if (key == nullptr) return;
  key->rows = static_cast<uint32_t>(static_cast<int>(key->rows) + now);
  if (change.upsert) key->last = number;
}

bool Consolidator::is_pair(const Row& removed, const Row& added, const std::vector<Source>& pieces) {
  if (removed.piece != added.piece || removed.row + 1 != added.row) return false;
  const auto& [reader, block] = pieces[added.piece];
  if (!reader->columns_.pairs || reader->columns_.change != ChangeMode::op) return false;
  const auto c = static_cast<size_t>(reader->columns_.column);
  const Type& type = reader->schema_.children[c];
  return op_at(type, block->children[c], removed.row) == Op::before && op_at(type, block->children[c], added.row) == Op::after;
}

// Finds the one new and the one old row of each key.
void Consolidator::settle(const std::vector<Source>& pieces) {
  for (size_t k = 0; k < rows_.size(); ++k) {
    const auto number = static_cast<uint32_t>(k);
    const Row& row = rows_[number];
    if (!is_left(row)) continue;
    Key& key = keys_[row.key()];
    const auto& [reader, block] = pieces[row.piece];
    if (row.weight > 1 || row.weight < -1) {
      const std::string text = as_json(reader->schema_, reader->columns_.row, *block, row.row);
      refuse(pieces, row, "Record " + text + (row.weight > 0 ? " is inserted " : " is deleted ") + std::to_string(magnitude(row.weight)) + " times");
    }
    uint32_t& place = row.weight > 0 ? key.added : key.removed;
    if (place != EntryTable<Row>::none) {
      refuse(pieces, row, row.weight > 0 ? "Multiple new values for the same key" : "Multiple deleted values for the same key");
    }
    place = number;
  }
}

void Consolidator::refuse(const std::vector<Source>& pieces, const Row& row, const std::string& why) {
  const Source& at = pieces[row.piece];
  std::string text = "the key of index \"" + index_ + "\" of relation \"" + relation_ + "\" is not unique within one batch. Key: " +
                     as_json(at.reader->schema_, at.reader->columns_.key, *at.block, row.row) + ". Error description: " + why +
                     ". Changes of this key:";
  size_t shown = 0;
  for (size_t k = 0; k < rows_.size(); ++k) {
    const Row& other = rows_[static_cast<uint32_t>(k)];
    if (!is_left(other) || other.key() != row.key()) continue;
    if (shown == most_shown_changes) {
      text += "\n    ...";
      break;
    }
    const Source& place = pieces[other.piece];
    text += "\n    " + as_json(place.reader->schema_, place.reader->columns_.row, *place.block, other.row) + ": " + signed_text(other.weight);
    shown += 1;
  }
  failed_piece_ = row.piece;
  throw RowFailure{row.row, "", text};
}

std::vector<std::vector<Verdict>> Consolidator::finish(const std::vector<Source>& pieces) {
  constexpr uint32_t none = EntryTable<Row>::none;
  std::vector<std::vector<Verdict>> verdicts(pieces.size());
  const auto send = [&](const Row& row, uint32_t bits, uint64_t copies) { verdicts[row.piece].push_back({row.row, bits, copies}); };
  if (index_.empty()) {
    for (size_t k = 0; k < rows_.size(); ++k) {
      const Row& row = rows_[static_cast<uint32_t>(k)];
      if (row.weight == 0) continue;
      send(row, row.weight < 0 ? delete_bit : 0, magnitude(row.weight));
    }
  } else {
    settle(pieces);
    for (size_t k = 0; k < keys_.size(); ++k) {
      const Key& key = keys_[static_cast<uint32_t>(k)];
      const bool upserted = key.last != none;
      if (key.added != none) {
        const Row& added = rows_[key.added];
        const bool pair = key.removed != none && is_pair(rows_[key.removed], added, pieces);
        send(added, (upserted || key.removed != none ? update_bit : 0) | (pair ? pair_bit : 0), 1);
      } else if (key.removed != none) {
        send(rows_[key.removed], delete_bit, 1);
      } else if (upserted) {
        send(rows_[key.last], delete_bit, 1);  // it was there once, and what it replaced may still be known to a reader
      }
    }
  }
  for (std::vector<Verdict>& list : verdicts) {
    const auto by_row = [](const Verdict& x, const Verdict& y) { return x.row < y.row; };
    if (!std::is_sorted(list.begin(), list.end(), by_row)) std::sort(list.begin(), list.end(), by_row);
  }
  return verdicts;
}

}  // namespace penstock
