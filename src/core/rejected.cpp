// What the producer does with messages that the broker refuses for good: sent again in smaller and smaller parts, left out, failed.
#include <algorithm>
#include <string>
#include <utility>

#include "produce.hpp"

namespace penstock {

using rk::api;

namespace {

bool is_oversize(int32_t code) { return code == rk::err_msg_size_too_large || code == rk::err_record_list_too_large; }

}  // namespace

// INVALID_MSG is none: it is Kafka's CORRUPT_MESSAGE, damage on the way, which librdkafka sends again by itself.
bool Producer::is_refusal(int32_t code) {
  return code == rk::err_invalid_record || code == rk::err_invalid_timestamp || is_oversize(code);
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
    result.left_out.push_back({{last, "", what + std::string(api.err2str(refused.code)) + " (" + api.err2name(refused.code) + ")", oversize},
                               static_cast<uint32_t>(last - first + 1)});
  }
}

}  // namespace penstock
