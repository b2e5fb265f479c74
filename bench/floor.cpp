// The floor: what librdkafka itself costs. Sends bytes that somebody else has encoded, and does nothing else.
//
//   floor LIBRDKAFKA FILE TOPIC PARTITIONS PRODUCERS packed|rows MAX_PAYLOAD [name=value]...
//
// FILE holds one event and a newline per row. `rows` sends each as one message; `packed` cuts where penstock cuts:
// at MAX_PAYLOAD bytes, 10,000 rows, or 65,536 rows from the start of a chunk. The file is mapped, touched and cut
// before the stopwatch; payloads are not copied; delivery reports are counted in C. Each producer has its own thread
// and its own partitions, as penstock's workers do. One JSON object on stdout; its peak memory leaves the file out.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "rdkafka.hpp"

namespace {

constexpr long kRowsPerMessage = 10000;
constexpr long kRowsPerChunk = 65536;
constexpr int kBatch = 4096;       // messages per rd_kafka_produce_batch
constexpr long kWindow = 65536;    // messages in flight per producer

struct Message {
  const char* start;
  uint32_t size;
};

struct Sender {
  rd_kafka_t* rk = nullptr;
  rd_kafka_topic_t* topic = nullptr;
  long sent = 0;
  long acked = 0;
  long failed = 0;
  int error = 0;
};

void count(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
  auto* sender = static_cast<Sender*>(opaque);
  if (message->err == 0) {
    ++sender->acked;
  } else {
    ++sender->failed;
    sender->error = message->err;
  }
}

// One call's worth: a full queue (the only refusal to expect) leaves messages marked, which are offered again.
void send(const Kafka& k, Sender& sender, int partition, rd_kafka_message_t* messages, int n) {
  while (n > 0) {
    int taken = k.produce_batch(sender.topic, partition, 0, messages, n);
    sender.sent += taken;
    int left = 0;
    if (taken < n) {
      for (int i = 0; i < n; ++i) {
        if (messages[i].err == 0) continue;
        if (messages[i].err != kQueueFull) fail("rd_kafka_produce_batch", k.err2str(messages[i].err));
        messages[left] = messages[i];
        messages[left++].err = 0;
      }
    }
    n = left;
    k.poll(sender.rk, n > 0 ? 2 : 0);
  }
  while (sender.sent - sender.acked - sender.failed > kWindow - kBatch) k.poll(sender.rk, 5);
}

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return used.ru_utime.tv_sec + used.ru_stime.tv_sec + 1e-6 * (used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

// Peak resident memory. Not ru_maxrss: that begins with what the process that started this one had.
long long peak_memory_bytes() {
  FILE* file = std::fopen("/proc/self/status", "r");
  char line[256];
  long long kilobytes = 0;
  while (file != nullptr && std::fgets(line, sizeof line, file) != nullptr) {
    if (std::sscanf(line, "VmHWM: %lld", &kilobytes) == 1) break;
  }
  if (file != nullptr) std::fclose(file);
  return kilobytes * 1024;
}

std::vector<Message> cut(const char* text, size_t size, bool packed, size_t max_payload, long& rows) {
  std::vector<Message> messages;
  const char* end = text + size;
  const char* start = text;
  long in_message = 0;
  rows = 0;
  auto close = [&](const char* stop) {
    if (stop > start) messages.push_back({start, static_cast<uint32_t>(stop - start)});
    start = stop;
    in_message = 0;
  };
  for (const char* row = text; row < end;) {
    const char* next = static_cast<const char*>(std::memchr(row, '\n', end - row));
    if (next == nullptr) fail("floor", "the file does not end with a newline");
    ++next;
    if (in_message == kRowsPerMessage || static_cast<size_t>(next - start) > max_payload) close(row);
    ++in_message;
    ++rows;
    row = next;
    if (!packed || rows % kRowsPerChunk == 0) close(row);
  }
  close(end);
  return messages;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 8) fail("usage", "floor LIBRDKAFKA FILE TOPIC PARTITIONS PRODUCERS packed|rows MAX_PAYLOAD [name=value]...");
  using clock = std::chrono::steady_clock;
  auto since = [](clock::time_point from) { return std::chrono::duration<double>(clock::now() - from).count(); };
  const auto begun = clock::now();
  const Kafka k = load(argv[1]);
  const char* topic = argv[3];
  const int partitions = std::atoi(argv[4]);
  const int producers = std::min(std::atoi(argv[5]), partitions);
  const bool packed = std::strcmp(argv[6], "packed") == 0;
  const size_t max_payload = std::strtoul(argv[7], nullptr, 10);

  const int fd = open(argv[2], O_RDONLY);
  struct stat status {};
  if (fd < 0 || fstat(fd, &status) != 0) fail("cannot open", argv[2]);
  void* mapped = mmap(nullptr, status.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
  if (mapped == MAP_FAILED) fail("cannot map", argv[2]);
  long rows = 0;
  const std::vector<Message> messages = cut(static_cast<const char*>(mapped), status.st_size, packed, max_payload, rows);

  std::vector<Sender> senders(producers);
  for (Sender& sender : senders) {
    char why[512];
    rd_kafka_conf_t* conf = k.conf_new();
    for (int i = 8; i < argc; ++i) {
      const std::string option = argv[i];
      const size_t equals = option.find('=');
      if (equals == std::string::npos) fail("no value in option", argv[i]);
      set(k, conf, option.substr(0, equals).c_str(), option.substr(equals + 1).c_str());
    }
    k.conf_set_dr_msg_cb(conf, count);
    k.conf_set_opaque(conf, &sender);
    sender.rk = k.make(kProducer, conf, why, sizeof why);
    if (sender.rk == nullptr) fail("rd_kafka_new", why);
    sender.topic = k.topic_new(sender.rk, topic, nullptr);
    // Twice, as penstock does: only the second answer makes librdkafka fetch its producer id at once. With one, the floor
    // would wait 0.45 s inside the stopwatch.
    for (int asked = 0; asked < 2; ++asked) {
      const rd_kafka_metadata* found = nullptr;
      const int error = k.metadata(sender.rk, 0, sender.topic, &found, 10000);
      if (error != 0) fail("rd_kafka_metadata", k.err2str(error));
      k.metadata_destroy(found);
    }
  }

  const double startup = since(begun);
  const double cpu = cpu_seconds();
  const auto started = clock::now();
  std::vector<std::thread> threads;
  for (int number = 0; number < producers; ++number) {
    threads.emplace_back([&, number] {
      Sender& sender = senders[number];
      const size_t run = packed ? 1 : kBatch;  // neighbours that go to one partition in one call
      rd_kafka_message_t batch[kBatch];
      int partition = 0;
      for (size_t first = 0; first < messages.size(); first += run, partition = (partition + 1) % partitions) {
        if (partition % producers != number) continue;
        const int n = static_cast<int>(std::min(run, messages.size() - first));
        for (int i = 0; i < n; ++i) {
          const Message& message = messages[first + i];
          batch[i] = rd_kafka_message_t{};
          batch[i].payload = const_cast<char*>(message.start);
          batch[i].len = message.size;
        }
        send(k, sender, partition, batch, n);
      }
      k.flush(sender.rk, 120000);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double seconds = since(started);
  const double used = cpu_seconds() - cpu;

  Sender sum;
  for (const Sender& sender : senders) {
    sum.acked += sender.acked;
    sum.failed += sender.failed;
    if (sender.error != 0) sum.error = sender.error;
  }
  if (sum.failed != 0) fail("delivery failed", k.err2str(sum.error));
  if (sum.acked != static_cast<long>(messages.size())) fail("floor", "not every message was acknowledged in 120 s");
  std::printf(
      "{\"rows\": %ld, \"messages\": %ld, \"bytes\": %lld, \"seconds\": %.6f, \"cpu_seconds\": %.6f, "
      "\"startup_seconds\": %.6f, \"peak_memory_bytes\": %lld, \"workers\": %d}\n",
      rows, sum.acked, static_cast<long long>(status.st_size), seconds, used, startup, peak_memory_bytes() - static_cast<long long>(status.st_size),
      producers);
  std::fflush(stdout);
  std::_Exit(0);  // everything is acknowledged: taking librdkafka apart is not part of the measurement
}
