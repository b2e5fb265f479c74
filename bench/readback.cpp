// What has arrived: reads a whole topic, or a file of the same events, outside any stopwatch.
//
//   readback topic LIBRDKAFKA BOOTSTRAP TOPIC PARTITIONS
//   readback file FILE
//
// Prints one JSON object: messages, rows (a message of n lines is n rows), bytes (keys and values), the sum of the
// rows' `id`, and a digest: the sum over all rows of a 64-bit hash of the row's text without its newline. Sums do not
// depend on order, so a topic and a file with equal digests hold the same rows, each as often.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "rdkafka.hpp"

namespace {

struct Seen {
  unsigned long long messages = 0, rows = 0, bytes = 0, id_sum = 0, digest = 0;
};

uint64_t mix(uint64_t h) {
  h ^= h >> 32;
  h *= 0xd6e8feb86659fd93ULL;
  h ^= h >> 32;
  return h * 0x9fb21c651e98df25ULL;
}

uint64_t hash(const char* text, size_t size) {
  uint64_t h = 0x9e3779b97f4a7c15ULL ^ size;
  uint64_t word = 0;
  for (; size >= 8; text += 8, size -= 8) {
    std::memcpy(&word, text, 8);
    h = mix(h ^ word);
  }
  word = 0;
  std::memcpy(&word, text, size);
  h = mix(h ^ word);
  return h ^ (h >> 29);
}

void count_row(Seen& seen, const char* row, size_t size) {
  static const char name[] = "\"id\":";
  ++seen.rows;
  seen.digest += hash(row, size);
  const void* found = memmem(row, size, name, sizeof name - 1);
  if (found == nullptr) fail("readback", "a row without an id");
  const char* at = static_cast<const char*>(found) + sizeof name - 1;
  const char* end = row + size;
  while (at < end && *at == ' ') ++at;
  unsigned long long id = 0;
  for (; at < end && *at >= '0' && *at <= '9'; ++at) id = id * 10 + (*at - '0');
  seen.id_sum += id;
}

void count_rows(Seen& seen, const char* text, size_t size) {
  const char* end = text + size;
  seen.bytes += size;
  while (text < end) {
    const void* found = std::memchr(text, '\n', end - text);
    const char* stop = found == nullptr ? end : static_cast<const char*>(found);
    count_row(seen, text, stop - text);
    text = stop + 1;
  }
}

void print(const Seen& seen) {
  std::printf("{\"messages\": %llu, \"rows\": %llu, \"bytes\": %llu, \"id_sum\": %llu, \"digest\": \"%016llx\"}\n",
              seen.messages, seen.rows, seen.bytes, seen.id_sum, seen.digest);
}

int read_file(const char* path) {
  const int fd = open(path, O_RDONLY);
  struct stat status {};
  if (fd < 0 || fstat(fd, &status) != 0) fail("cannot open", path);
  void* mapped = mmap(nullptr, status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (mapped == MAP_FAILED) fail("cannot map", path);
  Seen seen;
  count_rows(seen, static_cast<const char*>(mapped), status.st_size);
  print(seen);
  return 0;
}

int read_topic(char** argv) {
  const Kafka k = load(argv[2]);
  const char* topic = argv[4];
  const int partitions = std::atoi(argv[5]);
  char why[512];
  rd_kafka_conf_t* conf = k.conf_new();
  set(k, conf, "bootstrap.servers", argv[3]);
  set(k, conf, "group.id", "penstock-bench-readback");  // asked for by librdkafka; nothing is ever committed
  set(k, conf, "enable.auto.commit", "false");
  set(k, conf, "enable.partition.eof", "true");  // the marks of transactions are offsets without a message
  set(k, conf, "check.crcs", "true");
  set(k, conf, "queued.max.messages.kbytes", "262144");
  rd_kafka_t* rk = k.make(kConsumer, conf, why, sizeof why);
  if (rk == nullptr) fail("rd_kafka_new", why);
  k.poll_set_consumer(rk);
  rd_kafka_topic_partition_list_t* list = k.list_new(partitions);
  std::vector<bool> ended(partitions, false);
  int open = partitions;
  for (int partition = 0; partition < partitions; ++partition) {
    int64_t low = 0;
    int64_t end = 0;
    const int error = k.query_watermark_offsets(rk, topic, partition, &low, &end, 20000);
    if (error != 0) fail("rd_kafka_query_watermark_offsets", k.err2str(error));
    if (low != 0) fail("readback", "the broker has already dropped the oldest messages: raise its retention");
    k.list_add(list, topic, partition);
    k.list_set_offset(list, topic, partition, kBeginning);
  }
  if (const int error = k.assign(rk, list)) fail("rd_kafka_assign", k.err2str(error));
  k.list_destroy(list);
  rd_kafka_queue_t* queue = k.queue_get_consumer(rk);
  Seen seen;
  std::vector<rd_kafka_message_t*> batch(4096);
  int idle = 0;
  while (open > 0) {
    const ssize_t n = k.consume_batch_queue(queue, 1000, batch.data(), batch.size());
    if (n <= 0 && ++idle > 20) fail("readback", "nothing arrived for 20 s before the end of the topic");
    for (ssize_t i = 0; i < n; ++i) {
      rd_kafka_message_t* message = batch[i];
      idle = 0;
      if (message->err == kPartitionEnd) {
        if (!ended[message->partition]) --open;
        ended[message->partition] = true;
      } else if (message->err != 0) {
        fail("consume", k.err2str(message->err));
      } else {
        ++seen.messages;
        seen.bytes += message->key_len;
        count_rows(seen, static_cast<const char*>(message->payload), message->len);
      }
      k.message_destroy(message);
    }
  }
  print(seen);
  std::fflush(stdout);
  std::_Exit(0);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 6 && std::strcmp(argv[1], "topic") == 0) return read_topic(argv);
  if (argc == 3 && std::strcmp(argv[1], "file") == 0) return read_file(argv[2]);
  fail("usage", "readback topic LIBRDKAFKA BOOTSTRAP TOPIC PARTITIONS | readback file FILE");
}
