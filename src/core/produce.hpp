// One librdkafka producer: messages go in without being copied, delivery reports are counted per chunk, a full queue means wait.
//
// Everything here runs in the one thread that packs, polls and reads the results; only a commit has one of its own, which polls meanwhile.
// Who owns what: slabs are the producer's until every message in them has its delivery report; a chunk's block and entries in the
// arena are read only while the chunk is packed; keys are copied by librdkafka.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "client.hpp"
#include "pack.hpp"
#include "rdkafka.hpp"
#include "runs.hpp"

namespace penstock {

struct ProducerOptions {
  Options configuration;  // librdkafka's names and values
  std::string topic;
  std::vector<std::pair<std::string, std::pair<bool, std::string>>> headers;  // name, (has a value, value): on every message
  int64_t window_messages = 65536;  // most messages without a delivery report
  int64_t queue_bytes = 0;          // most bytes of keys and values without one; below librdkafka's own queue limit
  int64_t slab_bytes = 0;           // most bytes of slabs
  bool audit = false;               // keep the runs of acknowledged offsets
};

// What the broker said of one partition's messages of one chunk.
struct PartitionAck {
  std::string topic;           // empty: the producer's own
  int32_t partition = -1;
  int64_t messages = 0;
  int64_t rows = 0;
  int64_t bytes = 0;           // keys and values of acknowledged messages
  int64_t first_offset = -1;
  int64_t last_offset = -1;
  int64_t unknown_offsets = 0; // acknowledged, but the broker named no offset
  std::vector<Run> runs;       // of the others, with audit
};

// What may become of a chunk's messages that the broker refuses for good.
struct Refusals {
  bool resend = false;         // what was refused with others is sent again, in the end alone
  bool skip_bad = false;       // the rows of one that is refused even so are left out; else they have failed
  bool skip_oversize = false;  // likewise of one that is too large
};

struct ErrorCount {
  int64_t rows = 0;
  int64_t messages = 0;
  std::string example;
};

// Everything about a chunk, complete once all of its messages have a delivery report.
struct ChunkResult {
  uint64_t id = 0;
  std::vector<PartitionAck> partitions;  // of each group; then, where rows name their topics, of each partition that they came to
  std::map<int32_t, ErrorCount> errors;  // by librdkafka's code
  int64_t unknown_rows = 0;              // of the rows in errors those that may be in the log all the same
  int64_t null_keys = 0;
  bool failed = false;                   // the packer stopped at `failure`
  RowFailure failure{0, "", ""};
  std::vector<LeftOut> left_out;
  int64_t shortened_rows = 0;
  std::pair<int64_t, int64_t> refused{-1, -1};  // first and last row of the first message that was refused for good and not left out
};

// How a call about a transaction ended; code 0: well.
struct TransactionOutcome {
  int32_t code = 0;
  std::string text;
  bool again = false;  // the same call may be made again
  bool abort = false;  // what is left to do with the transaction is to abort it
};

class Producer : public Client, public Sink {
 public:
  Producer(const ProducerOptions& options, bool (*interrupted)(void*), void* interrupted_with);
  ~Producer() override;

  // A topic's partitions; see Client. Connects on the way.
  int32_t partitions(const std::string& topic, int timeout_ms, int32_t& code);

  // Packs and sends the chunk; returns when its last message is in librdkafka's queue.
  void produce(uint64_t id, Packer& packer, const Chunk& chunk);

  // The same for messages that somebody else encoded: begin, each message in the order of its groups, end. Bytes are copied. After
  // an exception, and where the rest of the chunk is not to be sent, drop_chunk instead of end_chunk.
  void begin_chunk(uint64_t id, const Chunk& chunk, const Refusals& refusals);
  void add_message(size_t group, const Bytes& key, const Bytes& value, const Extras& extras, uint32_t rows, bool open);
  void end_chunk(const RowFailure* failure);
  void drop_chunk();

  // Chunks whose messages all have their reports, in the order in which they completed.
  std::vector<std::unique_ptr<ChunkResult>> take_results();

  // Of a producer with a transactional.id (transaction.cpp). They wait for the broker, all but the second.
  TransactionOutcome init_transactions(int timeout_ms);
  TransactionOutcome begin_transaction();
  TransactionOutcome abort_transaction(int timeout_ms);
  // Commits in a thread of its own, which waits for the broker and serves the callbacks meanwhile: poll does nothing until end_commit.
  // All messages but records must have their reports. Makes event_fd readable when it is over.
  void begin_commit(int timeout_ms);
  bool committing() const { return commit_.joinable() && !commit_over_; }
  // How it ended; waits for that.
  TransactionOutcome end_commit();
  // Lets a producer go. Where it is committing, once that is over, in the background.
  static void end(std::unique_ptr<Producer> producer);
  // Sends a message that belongs to no chunk: in a transaction it is committed with what was sent before it. Its bytes are copied.
  // 0, or librdkafka's code where it did not take it; what became of it, recorded() tells.
  int32_t record(const std::string& topic, const std::string& key, const std::string& value);
  // True, once for each record, when its report is in; `code`: why it failed, 0 where it did not.
  bool recorded(int32_t& code);

  // Serves callbacks for up to timeout_ms, and sends again what they brought back.
  void poll(int timeout_ms);
  // Becomes readable when there is something to poll for; read 8 bytes from it, then poll.
  int event_fd() const { return event_fd_; }
  // Gives up on everything that is queued or in flight: each message gets its (failed) report.
  void purge();
  // Messages whose fate is open.
  int64_t outstanding() const { return outstanding_ + static_cast<int64_t>(returned_.size()); }
  // Half of the window or of the slabs is taken: a chunk given now may have to wait for the broker.
  bool busy() const {
    const int64_t taken = slab_bytes_ - static_cast<int64_t>(free_slabs_.size() * slab_size_);
    return sends_again() || outstanding_ * 2 > options_.window_messages || taken * 2 > options_.slab_bytes;
  }
  int64_t slab_bytes() const { return slab_bytes_; }

  Slab* take_slab(size_t size) override;
  void seal_slab(Slab* slab) override;
  void park_slab(Slab* slab) override;
  void message(const Message& m) override;
  void end_group() override;
  void left_out(const LeftOut& row) override {
    now_->result.left_out.push_back(row);
    next_entry_ += 1;
  }
  void shortened(uint32_t rows) override { now_->result.shortened_rows += rows; }

 private:
  struct Working;
  struct Topic {
    std::string name;
    void* handle;
  };
  // What messages of one slab, group, topic and kind share; librdkafka hands its address back with each report, and in the 16 bits above
  // it which of its entries the message is: so a refused message knows its row, and none keeps memory for that.
  struct Record {
    Working* chunk;
    Slab* slab;
    size_t topic;          // index into topics_
    size_t place;          // index into the chunk's partitions: the group's, or where the last acknowledged message came to
    int64_t rows = 0;      // to count when the last report is in; 0 for singles, which count one by one
    uint32_t pending = 0;  // messages without a report
    uint32_t failed = 0;   // messages
    uint32_t entry;        // of the chunk, of the first message; behind the last one, where it is no single
    uint32_t end;
    int32_t code = 0;      // of a failure
    bool spread;           // the partition is known from the reports only
    bool maybe = false;    // a message that failed may be in the log: its answer was lost
    bool single = false;
    bool open = false;     // its last row goes on in the next record
    bool begun = false;    // its first row began in the one before
  };
  // A message that was refused together with others, and waits to be sent again.
  struct Returned {
    rk::Message message;   // the value still lies in its slab; the key is below
    std::string key;
    void* headers;
    int64_t timestamp;
    size_t most;           // how many may go together; 0: half of those that came back like it
    bool is_like(const Returned& other) const;
  };
  // One that was refused alone, or may not be sent again.
  struct Refused {
    Record* record;
    uint32_t entry;        // of a single
    int32_t code;
    int32_t partition;
  };
  struct Working {
    ChunkResult result;
    std::deque<Record> records;
    std::map<std::pair<size_t, int32_t>, size_t> places;  // topic and partition: index into the result's partitions
    Chunk chunk;                                          // without its block; the rest lies in the arena until it is answered for
    Refusals refusals;
    std::vector<Refused> refused;
    int64_t pending = 0;
    bool packed = false;
  };

  static void on_delivery(void* rk, const rk::Message* m, void* client);
  void delivered(const rk::Message& m);
  void report(Record& record, int32_t code, int32_t partition, int64_t offset, size_t bytes, bool maybe = false, uint64_t hash = 0);
  void fail(Record& record, int32_t code, int32_t partition, bool maybe);
  void answered(Record& record);
  // Whether the broker means the message, or one that went with it, and would never take it.
  static bool is_refusal(int32_t code);
  bool sends_again() const { return together_ > 0 || !returned_.empty(); }
  void take_back(const rk::Message& m, size_t together);
  void send_again();
  void refuse(const rk::Message& m);
  void judge(Working& chunk, const Refused& refused, const std::set<int64_t>& left_out);
  void settle(Working& chunk);
  void flush_batch();
  void drop_batch();
  void send_one(const rk::Message& m, const Topic& topic, const Extras& extras);
  int32_t hand_over(const rk::Message& m, const Topic& topic, int64_t timestamp, void* headers);
  void* all_headers(const Extras& extras) const;
  void finish_chunk();
  void wait();
  void release(Slab* slab);
  size_t topic_index(std::string_view name);
  Record& record_for(const Message& m, size_t topic);
  // What librdkafka hands back: a record and which entry. Addresses of a process have 47 bits, on some machines 48.
  static constexpr int tag_shift = 48;
  static constexpr uint32_t most_tag = 0xFFFF;
  static_assert(sizeof(void*) == 8);
  static void* tagged(Record& record, uint32_t entry) {
    return reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(&record) | uintptr_t{entry - record.entry} << tag_shift);
  }
  static Record& record_of(const rk::Message& m) {
    return *reinterpret_cast<Record*>(reinterpret_cast<uintptr_t>(m.opaque) & ((uintptr_t{1} << tag_shift) - 1));
  }
  static uint32_t entry_of(const rk::Message& m) {
    return record_of(m).entry + static_cast<uint32_t>(reinterpret_cast<uintptr_t>(m.opaque) >> tag_shift);
  }

  ProducerOptions options_;
  std::vector<Topic> topics_;                  // the producer's own, then those that rows named
  std::map<std::string, size_t, std::less<>> topic_numbers_;
  void* main_queue_ = nullptr;
  void* headers_ = nullptr;
  int event_fd_ = -1;

  std::vector<std::unique_ptr<Slab>> slabs_;   // all there are
  std::vector<Slab*> free_slabs_;              // of the usual size
  Slab* parked_ = nullptr;                     // filled in part, for the next chunk: small chunks share slabs
  size_t slab_size_;
  int64_t slab_bytes_ = 0;

  Working* now_ = nullptr;                     // the chunk being packed
  std::vector<Record*> singles_;               // by topic: the records that its next singles of the same slab and group share
  const Slab* singles_slab_ = nullptr;
  size_t singles_group_ = 0;
  size_t unserved_ = 0;                        // messages sent one by one since reports were served
  int64_t unserved_bytes_ = 0;
  size_t last_group_ = 0;                      // of add_message
  uint32_t next_entry_ = 0;                    // of the chunk, for add_message
  std::vector<rk::Message> batch_;             // of one group; those from batch_from_ on are not yet with librdkafka
  size_t batch_from_ = 0;
  int64_t batch_bytes_ = 0;
  int64_t outstanding_ = 0;                    // messages with librdkafka, or in the batch
  int64_t outstanding_bytes_ = 0;
  std::deque<Returned> returned_;
  size_t came_back_ = 0;                       // of those that were sent again; they stand at the front
  size_t together_ = 0;                        // messages that went together for the second time, and nothing beside them; 0: none is under way
  bool purged_ = false;
  std::map<uint64_t, std::unique_ptr<Working>> chunks_;
  std::vector<std::unique_ptr<ChunkResult>> results_;
  std::deque<int32_t> recorded_;               // codes of records that have their reports

  std::thread commit_;                         // from begin_commit to end_commit
  std::atomic<bool> commit_over_{false};
  TransactionOutcome commit_outcome_;          // the thread's, until it is over
};

}  // namespace penstock
