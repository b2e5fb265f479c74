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

bool is_oversize(int32_t code) { return code == rk::err_msg_size_too_large || code == rk::err_record_list_too_large; }

// For good, and because of what the message is. INVALID_MSG is not among them: it is Kafka's CORRUPT_MESSAGE, damage on the way, which
// librdkafka sends again by itself.
bool is_refusal(int32_t code) { return code == rk::err_invalid_record || code == rk::err_invalid_timestamp || is_oversize(code); }

// Addresses of a process have 47 bits, on some machines 48.
constexpr int tag_shift = 48;
constexpr uint32_t most_tag = 0xFFFF;
static_assert(sizeof(void*) == 8);

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
    close(event_fd_);
    return;
  }
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
  api.poll(rk_, 0);
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
  api.poll(rk_, 0);
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
  Client::poll(timeout_ms);
  send_again();
}

void* Producer::tagged(Record& record, uint32_t entry) {
  return reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(&record) | uintptr_t{entry - record.entry} << tag_shift);
}

Producer::Record& Producer::record_of(const rk::Message& m) {
  return *reinterpret_cast<Record*>(reinterpret_cast<uintptr_t>(m.opaque) & ((uintptr_t{1} << tag_shift) - 1));
}

uint32_t Producer::entry_of(const rk::Message& m) {
  return record_of(m).entry + static_cast<uint32_t>(reinterpret_cast<uintptr_t>(m.opaque) >> tag_shift);
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

bool Producer::Returned::is_like(const Returned& other) const {
  return message.err == other.message.err && most == other.most && message.partition == other.message.partition &&
         record_of(message).topic == record_of(other.message).topic;
}

// Refused with others, any of which may be the cause: to be sent again. Brokers since 2.4 name the records that they refuse, and
// librdkafka has a code of its own for the rest of the request. Of those that are refused, and without names that is the whole request,
// half go together the next time, and half of those, down to one: about 2 n log(m / n) requests for n bad ones of m, where message by
// message would be m.
void Producer::take_back(const rk::Message& m, size_t together) {
  Returned back{};
  back.message = m;
  if (m.key != nullptr) back.key.assign(static_cast<const char*>(m.key), m.key_len);
  if (api.message_detach_headers(&m, &back.headers) != 0) back.headers = nullptr;
  // Of a message with an error librdkafka tells no timestamp, though it has one.
  auto& own = const_cast<rk::Message&>(m);
  own.err = 0;
  back.timestamp = api.message_timestamp(&m, nullptr);
  own.err = back.message.err;
  back.most = together == 0 && m.err == rk::err_invalid_different_record ? SIZE_MAX : together / 2;
  // In the order in which they were given at first: what was sent again goes before what waits for that.
  const auto behind = together == 0 ? returned_.end() : returned_.begin() + static_cast<std::ptrdiff_t>(came_back_++);
  returned_.insert(behind, std::move(back));
}

// Sends the first of them again, as many as may go together. Nothing else is under way then, so that librdkafka cannot make one request
// of them and of others.
void Producer::send_again() {
  if (returned_.empty() || outstanding_ > 0) return;
  const auto unlike = [this](const Returned& one) { return !returned_.front().is_like(one); };
  const auto end = std::find_if(returned_.begin(), returned_.end(), unlike);
  const auto alike = static_cast<size_t>(end - returned_.begin());
  if (returned_.front().most == 0) {
    std::for_each(returned_.begin(), end, [alike](Returned& one) { one.most = (alike + 1) / 2; });
  }
  came_back_ = 0;
  together_ = std::min(returned_.front().most, alike);
  for (size_t left = together_; left > 0; --left) {
    Returned one = std::move(returned_.front());
    returned_.pop_front();
    if (one.message.key != nullptr) one.message.key = one.key.data();
    Record& record = record_of(one.message);
    const int32_t code = hand_over(one.message, topics_[record.topic], one.timestamp, one.headers);
    if (code != 0) report(record, code, one.message.partition, -1, 0);
  }
  if (outstanding_ == 0) together_ = 0;
}

// Refused for good. What becomes of its rows is told when all of the chunk is answered for. The broker's own words on it are not to be
// had: rd_kafka_message_produce_errstr gives memory that is freed by now (2.16.1).
void Producer::refuse(const rk::Message& m) {
  Record& record = record_of(m);
  record.chunk->refused.push_back({&record, entry_of(m), m.err, m.partition});
  answered(record);
}

// Leaves the rows of a refused message out, or counts them as failed. A row that is in another message too cannot be left out, since
// that one may have arrived.
void Producer::judge(Working& chunk, const Refused& refused, const std::set<int64_t>& left_out) {
  Record& record = *refused.record;
  ChunkResult& result = chunk.result;
  std::vector<std::pair<int64_t, int64_t>> runs;  // first and last row
  int64_t rows = 0;
  const uint32_t end = record.single ? refused.entry + 1 : record.end;
  for (uint32_t e = record.single ? refused.entry : record.entry; e < end; ++e) {
    const uint32_t entry = chunk.chunk.entry(e);
    const int64_t last = entry & row_mask;
    const int64_t first = last - rows_of(entry) + 1;
    if (left_out.count(last) != 0) continue;
    rows += last - first + 1;
    if (!runs.empty() && runs.back().second + 1 == first) {
      runs.back().second = last;
    } else {
      runs.emplace_back(first, last);
    }
  }
  const bool oversize = is_oversize(refused.code);
  const bool skip = oversize ? chunk.refusals.skip_oversize : chunk.refusals.skip_bad;
  if (!chunk.refusals.resend || !skip || record.open || record.begun) {
    fail(record, refused.code, refused.partition, false);
    if (result.refused.first >= 0) return;
    for (const auto& [first, last] : runs) {
      result.refused.first = result.refused.first < 0 ? first : std::min(result.refused.first, first);
      result.refused.second = std::max(result.refused.second, last);
    }
    return;
  }
  record.rows = 0;
  const std::string what = rows == 1 ? "the broker refuses its message: " : "the broker refuses the message of " + std::to_string(rows) +
                                                                            " rows that it is in: ";
  for (const auto& [first, last] : runs) {
    result.left_out.push_back({{last, "", what + name_of(refused.code) + " (" + api.err2name(refused.code) + ")", oversize},
                               static_cast<uint32_t>(last - first + 1)});
  }
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

Slab* Producer::take_slab(size_t size) {
  if (parked_ != nullptr) {
    Slab* const slab = parked_;
    parked_ = nullptr;
    if (slab->pending == 0) slab->used = 0;
    if (slab->size - slab->used >= size) return slab;
    seal_slab(slab);
  }
  const size_t wanted = std::max(size, slab_size_);
  // With nothing in flight there is nothing to wait for: one message larger than the whole budget still gets its slab.
  while (slab_bytes_ + static_cast<int64_t>(wanted) > options_.slab_bytes && (wanted != slab_size_ || free_slabs_.empty())) {
    if (!batch_.empty()) flush_batch();
    if (outstanding() == 0) break;
    wait();
  }
  if (wanted == slab_size_ && !free_slabs_.empty()) {
    Slab* const slab = free_slabs_.back();  // the last one used is the warmest
    free_slabs_.pop_back();
    slab->sealed = false;
    slab->used = 0;
    return slab;
  }
  slabs_.push_back(std::make_unique<Slab>(wanted));
  slab_bytes_ += static_cast<int64_t>(wanted);
  return slabs_.back().get();
}

void Producer::seal_slab(Slab* slab) {
  slab->sealed = true;
  if (slab->pending == 0) release(slab);
}

void Producer::park_slab(Slab* slab) {
  if (parked_ != nullptr) seal_slab(parked_);
  parked_ = slab;
}

void Producer::release(Slab* slab) {
  if (slab->size == slab_size_) {
    free_slabs_.push_back(slab);
    return;
  }
  slab_bytes_ -= static_cast<int64_t>(slab->size);
  slabs_.erase(std::find_if(slabs_.begin(), slabs_.end(), [slab](const auto& s) { return s.get() == slab; }));
}

}  // namespace penstock
