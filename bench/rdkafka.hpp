// The part of librdkafka's C API that the two programs here call, looked up with dlsym in the library that the
// confluent-kafka wheel ships: the wheel has no header, and the comparison is fair only with the very same library.
// Layouts: librdkafka rdkafka.h 2.x, stable since 1.0.
#pragma once
#include <dlfcn.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

struct rd_kafka_t;
struct rd_kafka_topic_t;
struct rd_kafka_conf_t;
struct rd_kafka_queue_t;
struct rd_kafka_topic_partition_list_t;
struct rd_kafka_metadata;

struct rd_kafka_message_t {
  int err;
  rd_kafka_topic_t* rkt;
  int32_t partition;
  void* payload;
  size_t len;
  void* key;
  size_t key_len;
  int64_t offset;
  void* opaque;
};
static_assert(sizeof(rd_kafka_message_t) == 72, "layout of rdkafka.h");

constexpr int kQueueFull = -184;     // RD_KAFKA_RESP_ERR__QUEUE_FULL
constexpr int64_t kBeginning = -2;   // RD_KAFKA_OFFSET_BEGINNING
constexpr int kPartitionEnd = -191;  // RD_KAFKA_RESP_ERR__PARTITION_EOF
constexpr int kProducer = 0;         // RD_KAFKA_PRODUCER
constexpr int kConsumer = 1;         // RD_KAFKA_CONSUMER

struct Kafka {
  rd_kafka_conf_t* (*conf_new)();
  int (*conf_set)(rd_kafka_conf_t*, const char*, const char*, char*, size_t);
  void (*conf_set_dr_msg_cb)(rd_kafka_conf_t*, void (*)(rd_kafka_t*, const rd_kafka_message_t*, void*));
  void (*conf_set_opaque)(rd_kafka_conf_t*, void*);
  rd_kafka_t* (*make)(int, rd_kafka_conf_t*, char*, size_t);
  void (*destroy)(rd_kafka_t*);
  rd_kafka_topic_t* (*topic_new)(rd_kafka_t*, const char*, void*);
  void (*topic_destroy)(rd_kafka_topic_t*);
  int (*metadata)(rd_kafka_t*, int, rd_kafka_topic_t*, const rd_kafka_metadata**, int);
  void (*metadata_destroy)(const rd_kafka_metadata*);
  int (*produce_batch)(rd_kafka_topic_t*, int32_t, int, rd_kafka_message_t*, int);
  int (*poll)(rd_kafka_t*, int);
  int (*flush)(rd_kafka_t*, int);
  const char* (*err2str)(int);
  rd_kafka_topic_partition_list_t* (*list_new)(int);
  void* (*list_add)(rd_kafka_topic_partition_list_t*, const char*, int32_t);
  int (*list_set_offset)(rd_kafka_topic_partition_list_t*, const char*, int32_t, int64_t);
  void (*list_destroy)(rd_kafka_topic_partition_list_t*);
  int (*assign)(rd_kafka_t*, const rd_kafka_topic_partition_list_t*);
  int (*poll_set_consumer)(rd_kafka_t*);
  rd_kafka_queue_t* (*queue_get_consumer)(rd_kafka_t*);
  void (*queue_destroy)(rd_kafka_queue_t*);
  ssize_t (*consume_batch_queue)(rd_kafka_queue_t*, int, rd_kafka_message_t**, size_t);
  void (*message_destroy)(rd_kafka_message_t*);
  int (*query_watermark_offsets)(rd_kafka_t*, const char*, int32_t, int64_t*, int64_t*, int);
  int (*consumer_close)(rd_kafka_t*);
};

[[noreturn]] inline void fail(const char* what, const char* detail) {
  std::fprintf(stderr, "%s: %s\n", what, detail);
  std::exit(1);
}

template <typename F>
void find(void* library, F& function, const char* name) {
  void* address = dlsym(library, name);
  if (address == nullptr) fail("librdkafka has no function", name);
  function = reinterpret_cast<F>(address);
}

inline Kafka load(const char* path) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) fail("cannot load librdkafka", dlerror());
  Kafka k{};
  find(library, k.conf_new, "rd_kafka_conf_new");
  find(library, k.conf_set, "rd_kafka_conf_set");
  find(library, k.conf_set_dr_msg_cb, "rd_kafka_conf_set_dr_msg_cb");
  find(library, k.conf_set_opaque, "rd_kafka_conf_set_opaque");
  find(library, k.make, "rd_kafka_new");
  find(library, k.destroy, "rd_kafka_destroy");
  find(library, k.topic_new, "rd_kafka_topic_new");
  find(library, k.topic_destroy, "rd_kafka_topic_destroy");
  find(library, k.metadata, "rd_kafka_metadata");
  find(library, k.metadata_destroy, "rd_kafka_metadata_destroy");
  find(library, k.produce_batch, "rd_kafka_produce_batch");
  find(library, k.poll, "rd_kafka_poll");
  find(library, k.flush, "rd_kafka_flush");
  find(library, k.err2str, "rd_kafka_err2str");
  find(library, k.list_new, "rd_kafka_topic_partition_list_new");
  find(library, k.list_add, "rd_kafka_topic_partition_list_add");
  find(library, k.list_set_offset, "rd_kafka_topic_partition_list_set_offset");
  find(library, k.list_destroy, "rd_kafka_topic_partition_list_destroy");
  find(library, k.assign, "rd_kafka_assign");
  find(library, k.poll_set_consumer, "rd_kafka_poll_set_consumer");
  find(library, k.queue_get_consumer, "rd_kafka_queue_get_consumer");
  find(library, k.queue_destroy, "rd_kafka_queue_destroy");
  find(library, k.consume_batch_queue, "rd_kafka_consume_batch_queue");
  find(library, k.message_destroy, "rd_kafka_message_destroy");
  find(library, k.query_watermark_offsets, "rd_kafka_query_watermark_offsets");
  find(library, k.consumer_close, "rd_kafka_consumer_close");
  return k;
}

inline void set(const Kafka& k, rd_kafka_conf_t* conf, const char* name, const char* value) {
  char why[512];
  if (k.conf_set(conf, name, value, why, sizeof why) != 0) fail(name, why);
}
