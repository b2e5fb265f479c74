#include "produce.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "xxhash.hpp"

namespace penstock {

using rk::api;

namespace {

// Messages for librdkafka at a time: enough to make its locks cheap, few enough that their bytes are still in the L2 cache.
constexpr size_t most_batch_messages = 1024;

constexpr size_t least_slab = size_t{64} << 10;
constexpr int64_t most_batch_bytes = static_cast<int64_t>(least_slab) * 4;
constexpr size_t most_slab = size_t{2} << 20;

std::string name_of(int32_t code) { return api.err2str(code); }

}  // namespace

Producer::Producer(const ProducerOptions& options, bool (*interrupted)(void*), void* interrupted_with)
    : Client(options.configuration, on_delivery, interrupted, interrupted_with), options_(options) {
  // A sixteenth of the budget each, so that some are on their way while others are written.
  slab_size_ = std::clamp(static_cast<size_t>(options_.slab_bytes / 16), least_slab, most_slab);
  topic_index(options_.topic);
  if (topics_[0].handle == nullptr) {
    throw std::invalid_argument("topic \"" + options_.topic + "\" is refused by librdkafka");
  }
  if (!options_.headers.empty()) {
    headers_ = api.headers_new(options_.headers.size());
    for (const auto& [name, value] : options_.headers) {
      api.header_add(headers_, name.c_str(), static_cast<ssize_t>(name.size()), value.first ? value.second.data() : nullptr,
                     value.first ? static_cast<ssize_t>(value.second.size()) : 0);
    }
  }
  event_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  main_queue_ = api.queue_get_main(rk_);
  const uint64_t one = 1;
  api.queue_io_event_enable(main_queue_, event_fd_, &one, sizeof one);
}

Producer::~Producer() {
  if (!ours()) {
    if (commit_.joinable()) commit_.detach();
    close(event_fd_);
    return;
  }
  if (commit_.joinable()) commit_.join();
  // Reports still to come would find freed records: purge first, and serve what that gives.
  purge();
  for (int tries = 0; outstanding_ > 0 && tries < 100; ++tries) api.poll(rk_, 10);
  api.queue_io_event_enable(main_queue_, -1, nullptr, 0);
  api.queue_destroy(main_queue_);
  if (headers_ != nullptr) api.headers_destroy(headers_);
  for (const Topic& topic : topics_) {
    if (topic.handle != nullptr) api.topic_destroy(topic.handle);
  }
  close(event_fd_);
}

void Producer::on_delivery(void*, const rk::Message* m, void* client) {
  static_cast<Producer*>(static_cast<Client*>(client))->delivered(*m);
}

// Topics are known by number; librdkafka's handle is made when one is met, and kept.
size_t Producer::topic_index(std::string_view name) {
  const auto known = topic_numbers_.find(name);
  if (known != topic_numbers_.end()) return known->second;
  topics_.push_back({std::string(name), nullptr});
  topics_.back().handle = api.topic_new(rk_, topics_.back().name.c_str(), nullptr);
  return topic_numbers_.emplace(name, topics_.size() - 1).first->second;
}

int32_t Producer::partitions(const std::string& name, int timeout_ms, int32_t& code) {
  void* const handle = topics_[topic_index(name)].handle;
  code = rk::err_invalid_arg;
  return handle == nullptr ? 0 : Client::partitions(name, handle, timeout_ms, code);
}

void Producer::produce(uint64_t id, Packer& packer, const Chunk& chunk) {
  const PackOptions& options = packer.options();
  begin_chunk(id, chunk, {options.resend, options.skip_bad, options.skip_oversize});
  try {
    packer.pack(chunk, *this);
  } catch (const RowFailure& failure) {
    return end_chunk(&failure);
  } catch (...) {
    drop_chunk();
    throw;
  }
  end_chunk(nullptr);
}

void Producer::begin_chunk(uint64_t id, const Chunk& chunk, const Refusals& refusals) {
  auto working = std::make_unique<Working>();
  working->result.id = id;
  working->chunk = chunk;
  working->chunk.block = nullptr;
  working->refusals = refusals;
  working->result.partitions.resize(chunk.n_groups);
  for (size_t g = 0; g < chunk.n_groups; ++g) working->result.partitions[g].partition = chunk.groups[g].partition;
  last_group_ = 0;
  next_entry_ = chunk.n_groups == 0 ? 0 : chunk.groups[0].first;
  now_ = working.get();
  singles_slab_ = nullptr;
  chunks_.emplace(id, std::move(working));
}

void Producer::add_message(size_t group, const Bytes& key, const Bytes& value, const Extras& extras, uint32_t rows, bool open) {
  if (group != last_group_) {
    flush_batch();
    last_group_ = group;
    next_entry_ = now_->chunk.groups[group].first;
  }
  const auto value_size = static_cast<size_t>(value.size);
  const auto key_size = static_cast<size_t>(key.size);
  Slab* const slab = take_slab(value_size + key_size);
  uint8_t* const to = slab->memory.get() + slab->used;
  if (value_size != 0) std::memcpy(to, value.data, value_size);
  if (key_size != 0) std::memcpy(to + value_size, key.data, key_size);
  slab->used += value_size + key_size;
  Message m{};
  m.value = value.data == nullptr ? nullptr : to;
  m.value_size = value_size;
  m.key = key.data == nullptr ? nullptr : to + value_size;
  m.key_size = key_size;
  m.extras = &extras;
  m.group = group;
  m.rows = rows;
  m.single = rows == 1 && !open && (now_->records.empty() || !now_->records.back().open);
  m.open = open;
  m.entry = next_entry_;
  const uint32_t* const entries = now_->chunk.entries;
  for (uint32_t left = rows; left > 0; ++next_entry_) left -= std::min(left, entries == nullptr ? 1 : rows_of(entries[next_entry_]));
  m.end = std::max(next_entry_, m.entry + 1);
  m.slab = slab;
  message(m);
  park_slab(slab);
}

// What was sent of it stays sent. `failure`: why the rest was not encoded.
void Producer::end_chunk(const RowFailure* failure) {
  try {
    flush_batch();
  } catch (...) {
    drop_chunk();
    throw;
  }
  if (failure != nullptr) {
    now_->result.failed = true;
    now_->result.failure = *failure;
  }
  finish_chunk();
}

void Producer::drop_chunk() {
  drop_batch();
  finish_chunk();
}

void Producer::finish_chunk() {
  Working* const chunk = now_;
  chunk->packed = true;
  now_ = nullptr;
  if (chunk->pending == 0) settle(*chunk);
}

// Messages of the batch belong together: one partition, one call.
void Producer::flush_batch() {
  while (batch_from_ < batch_.size()) {
    if (sends_again()) {  // what is sent again must be alone
      wait();
      continue;
    }
    // Never more than fits: librdkafka refuses message by message, and one refused amid others would change their order.
    rk::Message* const first = &batch_[batch_from_];
    const size_t left = batch_.size() - batch_from_;
    const int64_t free_messages = options_.window_messages - outstanding_;
    const int64_t free_bytes = options_.queue_bytes - outstanding_bytes_;
    size_t count = 0;
    for (int64_t bytes = 0; count < left && static_cast<int64_t>(count) < free_messages; ++count) {
      bytes += static_cast<int64_t>(first[count].len + first[count].key_len);
      if (bytes > free_bytes) break;
    }
    if (count == 0 && outstanding_ > 0) {
      wait();
      continue;
    }
    if (count == 0) count = 1;  // alone in an empty queue: larger than our share, let librdkafka judge
    for (size_t k = 0; k < count; ++k) {
      outstanding_ += 1;
      outstanding_bytes_ += static_cast<int64_t>(first[k].len + first[k].key_len);
    }
    const auto taken = static_cast<size_t>(api.produce_batch(topics_[0].handle, first->partition, 0, first, static_cast<int>(count)));
    size_t full = 0;
    if (taken != count) {
      // Those that met a full queue move, in their order, to the end of this stretch; anything else has failed.
      std::vector<rk::Message> again;
      for (size_t k = 0; k < count; ++k) {
        rk::Message m = first[k];
        if (m.err == 0) continue;
        outstanding_ -= 1;
        outstanding_bytes_ -= static_cast<int64_t>(m.len + m.key_len);
        if (m.err == rk::err_queue_full && (outstanding_ > 0 || taken > 0)) {
          m.err = 0;
          again.push_back(m);
        } else {
          report(record_of(m), m.err, m.partition, -1, 0);
        }
      }
      full = again.size();
      std::copy(again.begin(), again.end(), first + (count - full));
    }
    batch_from_ += count - full;
    if (full > 0) wait();
  }
  batch_.clear();
  batch_from_ = 0;
  batch_bytes_ = 0;
  poll(0);
}

// After an interruption: what librdkafka has not been given is not sent any more.
void Producer::drop_batch() {
  for (size_t k = batch_from_; k < batch_.size(); ++k) {
    report(record_of(batch_[k]), rk::err_purge_queue, batch_[k].partition, -1, 0);
  }
  batch_.clear();
  batch_from_ = 0;
  batch_bytes_ = 0;
}

// With headers, a timestamp or a topic of its own: librdkafka takes such messages one at a time.
void Producer::send_one(const rk::Message& m, const Topic& topic, const Extras& extras) {
  const auto size = static_cast<int64_t>(m.len + m.key_len);
  const auto fail = [&](int32_t code) { report(record_of(m), code, m.partition, -1, 0); };
  if (topic.handle == nullptr) return fail(rk::err_invalid_arg);
  try {
    for (;;) {
      // Alone in an empty queue it may be larger than our share, let librdkafka judge.
      while (sends_again() ||
             (outstanding_ > 0 && (outstanding_ >= options_.window_messages || outstanding_bytes_ + size > options_.queue_bytes))) {
        wait();
      }
      const int32_t code = hand_over(m, topic, extras.timestamp, all_headers(extras));
      if (code == 0) break;
      if (code != rk::err_queue_full || outstanding_ == 0) return fail(code);
      wait();
    }
  } catch (const Interrupted&) {
    fail(rk::err_purge_queue);
    throw;
  }
  unserved_bytes_ += size;
  if (++unserved_ < most_batch_messages && unserved_bytes_ < most_batch_bytes) return;
  unserved_ = 0;
  unserved_bytes_ = 0;
  poll(0);
}

// Gives librdkafka one message; returns its code, 0 where it took it. The headers are gone in either case.
int32_t Producer::hand_over(const rk::Message& m, const Topic& topic, int64_t timestamp, void* headers) {
  rk::Vu v[8];
  size_t n = 0;
  v[n].type = rk::vu_topic;
  v[n++].u.pointer = topic.handle;
  v[n].type = rk::vu_partition;
  v[n++].u.i32 = m.partition;
  v[n].type = rk::vu_flags;
  v[n++].u.i32 = 0;
  v[n].type = rk::vu_value;
  v[n].u.bytes.data = m.payload;
  v[n++].u.bytes.size = m.len;
  v[n].type = rk::vu_opaque;
  v[n++].u.pointer = m.opaque;
  if (m.key != nullptr) {
    v[n].type = rk::vu_key;
    v[n].u.bytes.data = m.key;
    v[n++].u.bytes.size = m.key_len;
  }
  if (timestamp != 0) {
    v[n].type = rk::vu_timestamp;
    v[n++].u.i64 = timestamp;
  }
  if (headers != nullptr) {
    v[n].type = rk::vu_headers;
    v[n++].u.pointer = headers;
  }
  void* const error = api.produceva(rk_, v, n);
  if (error == nullptr) {
    outstanding_ += 1;
    outstanding_bytes_ += static_cast<int64_t>(m.len + m.key_len);
    return 0;
  }
  const int32_t code = api.error_code(error);
  api.error_destroy(error);
  if (headers != nullptr) api.headers_destroy(headers);  // ours again when the call fails
  return code;
}

// The static headers, then the message's own; librdkafka takes the list over. nullptr: there are none.
void* Producer::all_headers(const Extras& extras) const {
  if (headers_ == nullptr && extras.headers.empty()) return nullptr;
  void* const headers = headers_ != nullptr ? api.headers_copy(headers_) : api.headers_new(extras.headers.size());
  for (const Header& h : extras.headers) {
    api.header_add(headers, h.name.data() == nullptr ? "" : h.name.data(), static_cast<ssize_t>(h.name.size()), h.value,
                   static_cast<ssize_t>(h.size));
  }
  return headers;
}

void Producer::wait() {
  poll(20);
  check_interrupted();
}

void Producer::poll(int timeout_ms) {
  if (commit_.joinable()) return;
  Client::poll(timeout_ms);
  send_again();
}

Producer::Record& Producer::record_for(const Message& m, size_t topic) {
  // Singles of a slab, group and topic share a record. Copies of one row have one each, which ends where `open` does.
  if (m.single && (singles_slab_ != m.slab || singles_group_ != m.group)) {
    singles_.assign(topics_.size(), nullptr);
    singles_slab_ = m.slab;
    singles_group_ = m.group;
  }
  if (m.single && singles_.size() <= topic) singles_.resize(topic + 1);
  if (m.single && singles_[topic] != nullptr && m.entry - singles_[topic]->entry <= most_tag) return *singles_[topic];
  const bool begun = !now_->records.empty() && now_->records.back().open;
  now_->records.emplace_back();
  Record& record = now_->records.back();
  record.chunk = now_;
  record.slab = m.slab;
  record.topic = topic;
  record.place = m.group;
  record.spread = !m.extras->topic.empty();
  record.single = m.single;
  record.rows = m.single ? 0 : m.rows;
  record.open = m.open;
  record.begun = begun;
  record.entry = m.entry;
  record.end = m.end;
  if (m.single) singles_[topic] = &record;
  return record;
}

void Producer::message(const Message& m) {
  const Extras& extras = *m.extras;
  const size_t topic = extras.topic.empty() ? 0 : topic_index(extras.topic);
  Record& record = record_for(m, topic);
  record.pending += 1;
  now_->pending += 1;
  m.slab->pending += 1;
  if (m.keyless) now_->result.null_keys += m.rows;
  rk::Message out{};
  out.partition = std::max(now_->result.partitions[m.group].partition, rk::partition_unassigned);
  if (extras.partition >= 0) out.partition = extras.partition;
  out.payload = const_cast<uint8_t*>(m.value);
  out.len = m.value_size;
  out.key = const_cast<uint8_t*>(m.key);
  out.key_len = m.key != nullptr ? m.key_size : 0;
  out.opaque = tagged(record, m.single ? m.entry : record.entry);
  if (headers_ != nullptr || !extras.headers.empty() || extras.timestamp != 0 || !extras.topic.empty()) {
    if (!batch_.empty()) flush_batch();  // what came before it goes before it
    return send_one(out, topics_[topic], extras);
  }
  batch_.push_back(out);
  batch_bytes_ += static_cast<int64_t>(m.value_size);
  // Large messages go at once, so that sending overlaps with encoding the next one.
  if (batch_.size() >= most_batch_messages || batch_bytes_ >= most_batch_bytes) flush_batch();
}

void Producer::end_group() { flush_batch(); }

void Producer::delivered(const rk::Message& m) {
  if (m.opaque == nullptr) return recorded_.push_back(m.err);
  outstanding_ -= 1;
  outstanding_bytes_ -= static_cast<int64_t>(m.len + m.key_len);
  const size_t together = together_;
  if (outstanding_ == 0) together_ = 0;
  const bool maybe = m.err != 0 && api.message_status(&m) != rk::status_not_persisted;
  if (!maybe && (is_refusal(m.err) || m.err == rk::err_invalid_different_record)) {
    const bool resend = record_of(m).chunk->refusals.resend && !purged_;
    if (resend && together != 1) return take_back(m, together);
    if (is_refusal(m.err)) return refuse(m);
  }
  // The value still lies in its slab, which the report may let go of.
  const uint64_t hash = options_.audit && m.err == 0 ? message_hash(m.key, m.key_len, m.payload, m.len) : 0;
  report(record_of(m), m.err, m.partition, m.offset, m.len + m.key_len, maybe, hash);
}

void Producer::report(Record& record, int32_t code, int32_t partition, int64_t offset, size_t bytes, bool maybe, uint64_t hash) {
  Working& chunk = *record.chunk;
  if (code == 0) {
    if (record.spread) {
      const auto [at, is_new] = chunk.places.try_emplace({record.topic, partition}, chunk.result.partitions.size());
      record.place = at->second;
      if (is_new) {
        chunk.result.partitions.emplace_back();
        chunk.result.partitions.back().partition = partition;
        if (record.topic != 0) chunk.result.partitions.back().topic = topics_[record.topic].name;
      }
    }
    PartitionAck& ack = chunk.result.partitions[record.place];
    ack.messages += 1;
    ack.bytes += static_cast<int64_t>(bytes);
    if (record.single) ack.rows += 1;
    if (offset < 0) {
      ack.unknown_offsets += 1;
    } else {
      if (ack.first_offset < 0 || offset < ack.first_offset) ack.first_offset = offset;
      if (offset > ack.last_offset) ack.last_offset = offset;
      if (options_.audit) add_offset(ack.runs, offset, hash);
    }
  } else {
    fail(record, code, partition, maybe);
  }
  answered(record);
}

// Counts a message that did not arrive.
void Producer::fail(Record& record, int32_t code, int32_t partition, bool maybe) {
  ChunkResult& result = record.chunk->result;
  ErrorCount& error = result.errors[code];
  error.messages += 1;
  if (record.single) error.rows += 1;
  if (record.single && maybe) result.unknown_rows += 1;
  if (error.example.empty()) {
    const std::string where = partition < 0 ? "" : "[" + std::to_string(partition) + "]";
    error.example = topics_[record.topic].name + where + ": " + name_of(code);
  }
  record.failed += 1;
  record.code = code;
  record.maybe = record.maybe || maybe;
}

// One of its messages is done with, and so may be its slab and its chunk.
void Producer::answered(Record& record) {
  Working& chunk = *record.chunk;
  record.pending -= 1;
  Slab* const slab = record.slab;
  slab->pending -= 1;
  if (slab->pending == 0 && slab->sealed) release(slab);
  chunk.pending -= 1;
  if (chunk.pending == 0 && chunk.packed) settle(chunk);
}

// All reports are in: rows that share messages are counted now. A row counts once, and only when every copy of it arrived.
void Producer::settle(Working& chunk) {
  ChunkResult& result = chunk.result;
  if (!chunk.refused.empty()) {
    std::set<int64_t> left_out;
    for (const LeftOut& row : result.left_out) left_out.insert(row.failure.row);
    for (const Refused& refused : chunk.refused) judge(chunk, refused, left_out);
  }
  int32_t carried = 0;  // code of a failure in an earlier record that the first row of this one began in
  bool carried_maybe = false;
  for (const Record& record : chunk.records) {
    if (record.single) continue;
    const bool lost = record.failed > 0;
    int64_t rows = record.rows;
    if (!lost && carried != 0 && rows > 0) {
      result.errors[carried].rows += 1;
      if (carried_maybe) result.unknown_rows += 1;
      rows -= 1;
    }
    if (lost) {
      result.errors[record.code].rows += rows;
      if (record.maybe) result.unknown_rows += rows;
    } else {
      result.partitions[record.place].rows += rows;
    }
    // A row that still goes on keeps its failure; one that ended here leaves none.
    const int32_t before = carried;
    if (lost) carried_maybe = record.maybe;
    carried = !record.open ? 0 : (lost ? record.code : (record.rows > 0 ? 0 : before));
  }
  for (PartitionAck& ack : result.partitions) join_runs(ack.runs);
  const uint64_t id = result.id;
  results_.push_back(std::make_unique<ChunkResult>(std::move(result)));
  chunks_.erase(id);
}

std::vector<std::unique_ptr<ChunkResult>> Producer::take_results() {
  std::vector<std::unique_ptr<ChunkResult>> taken;
  taken.swap(results_);
  return taken;
}

void Producer::purge() {
  purged_ = true;
  for (; !returned_.empty(); returned_.pop_front()) {
    const Returned& one = returned_.front();
    if (one.headers != nullptr) api.headers_destroy(one.headers);
    report(record_of(one.message), rk::err_purge_queue, one.message.partition, -1, 0);
  }
  api.purge(rk_, rk::purge_queue_and_inflight);
  api.poll(rk_, 0);
}

}  // namespace penstock
