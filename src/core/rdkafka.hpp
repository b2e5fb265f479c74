// librdkafka, found at run time inside the confluent-kafka wheel: the calls that we make, and no more.
//
// Declared by hand from librdkafka's public header (rdkafka.h, rdkafka_mock.h), whose ABI is stable since 1.0; the sizes are asserted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>

#include <sys/types.h>

namespace penstock::rk {

struct Message {  // rd_kafka_message_t
  int32_t err;
  void* topic;
  int32_t partition;
  void* payload;
  size_t len;
  void* key;
  size_t key_len;
  int64_t offset;
  void* opaque;
};
static_assert(sizeof(Message) == 72, "rd_kafka_message_t");

struct Vu {  // rd_kafka_vu_t, one argument of rd_kafka_produceva
  int32_t type;
  union {
    void* pointer;
    int32_t i32;
    int64_t i64;
    struct {
      void* data;
      size_t size;
    } bytes;
    char room[64];
  } u;
};
static_assert(sizeof(Vu) == 72, "rd_kafka_vu_t");
enum VuType : int32_t {
  vu_topic = 2, vu_partition = 3, vu_value = 4, vu_key = 5, vu_opaque = 6, vu_flags = 7, vu_timestamp = 8, vu_headers = 10,
};

struct MetadataBroker {
  int32_t id;
  char* host;
  int port;
};
struct MetadataPartition {
  int32_t id;
  int32_t err;
  int32_t leader;
  int replica_count;
  int32_t* replicas;
  int isr_count;
  int32_t* isrs;
};
struct MetadataTopic {
  char* topic;
  int partition_count;
  MetadataPartition* partitions;
  int32_t err;
};
struct Metadata {
  int broker_count;
  MetadataBroker* brokers;
  int topic_count;
  MetadataTopic* topics;
  int32_t origin_id;
  char* origin_name;
};

constexpr int32_t err_purge_queue = -152;
constexpr int32_t err_invalid_different_record = -138;  // refused because of another one of the same request
constexpr int32_t err_invalid_arg = -186;
constexpr int32_t err_queue_full = -184;
constexpr int32_t err_unknown_topic_or_part = 3;
constexpr int32_t err_leader_not_available = 5;
constexpr int32_t err_msg_size_too_large = 10;
constexpr int32_t err_record_list_too_large = 18;
constexpr int32_t err_invalid_timestamp = 32;
constexpr int32_t err_invalid_record = 87;
constexpr int32_t partition_unassigned = -1;
constexpr int type_producer = 0;
constexpr int purge_queue_and_inflight = 3;
constexpr int message_copy = 2;  // RD_KAFKA_MSG_F_COPY
constexpr int status_not_persisted = 0;  // rd_kafka_msg_status_t
constexpr int admin_create_topics = 1;  // rd_kafka_admin_op_t
constexpr int admin_describe_configs = 5;
constexpr int admin_describe_topics = 19;
constexpr int resource_topic = 2;
constexpr int32_t err_timed_out = -185;

// name in the library without "rd_kafka_", return type, arguments
#define PENSTOCK_RDKAFKA_CALLS(X)                                                                              \
  X(conf_new, void*, (void))                                                                                   \
  X(conf_destroy, void, (void*))                                                                               \
  X(conf_set, int, (void*, const char*, const char*, char*, size_t))                                           \
  X(conf_set_dr_msg_cb, void, (void*, void (*)(void*, const Message*, void*)))                                 \
  X(conf_set_error_cb, void, (void*, void (*)(void*, int, const char*, void*)))                                \
  X(conf_set_log_cb, void, (void*, void (*)(const void*, int, const char*, const char*)))                      \
  X(conf_set_opaque, void, (void*, void*))                                                                     \
  X(conf_properties_show, void, (FILE*))                                                                       \
  X(destroy, void, (void*))                                                                                    \
  X(opaque, void*, (const void*))                                                                              \
  X(topic_new, void*, (void*, const char*, void*))                                                             \
  X(topic_destroy, void, (void*))                                                                              \
  X(produce_batch, int, (void*, int32_t, int, Message*, int))                                                  \
  X(produceva, void*, (void*, const Vu*, size_t))                                                              \
  X(error_code, int, (const void*))                                                                            \
  X(error_destroy, void, (void*))                                                                              \
  X(error_is_retriable, int, (const void*))                                                                    \
  X(error_txn_requires_abort, int, (const void*))                                                              \
  X(init_transactions, void*, (void*, int))                                                                    \
  X(begin_transaction, void*, (void*))                                                                         \
  X(commit_transaction, void*, (void*, int))                                                                   \
  X(abort_transaction, void*, (void*, int))                                                                    \
  X(headers_new, void*, (size_t))                                                                              \
  X(header_add, int, (void*, const char*, ssize_t, const void*, ssize_t))                                      \
  X(headers_copy, void*, (const void*))                                                                        \
  X(headers_destroy, void, (void*))                                                                            \
  X(poll, int, (void*, int))                                                                                   \
  X(message_status, int, (const Message*))                                                                     \
  X(message_timestamp, int64_t, (const Message*, int*))                                                        \
  X(message_detach_headers, int, (const Message*, void**))                                                     \
  X(purge, int, (void*, int))                                                                                  \
  X(metadata, int, (void*, int, void*, const Metadata**, int))                                                 \
  X(metadata_destroy, void, (const Metadata*))                                                                 \
  X(controllerid, int32_t, (void*, int))                                                                       \
  X(clusterid, char*, (void*, int))                                                                            \
  X(mem_free, void, (void*, void*))                                                                            \
  X(queue_get_main, void*, (void*))                                                                            \
  X(queue_destroy, void, (void*))                                                                              \
  X(queue_io_event_enable, void, (void*, int, const void*, size_t))                                            \
  X(err2name, const char*, (int))                                                                              \
  X(err2str, const char*, (int))                                                                               \
  X(fatal_error, int, (void*, char*, size_t))                                                                  \
  X(error_string, const char*, (const void*))                                                                  \
  X(oauthbearer_set_token, int, (void*, const char*, int64_t, const char*, const char**, size_t, char*, size_t)) \
  X(queue_new, void*, (void*))                                                                                 \
  X(queue_poll, void*, (void*, int))                                                                           \
  X(event_error, int, (void*))                                                                                 \
  X(event_error_string, const char*, (void*))                                                                  \
  X(event_destroy, void, (void*))                                                                              \
  X(AdminOptions_new, void*, (void*, int))                                                                     \
  X(AdminOptions_destroy, void, (void*))                                                                       \
  X(AdminOptions_set_request_timeout, int, (void*, int, char*, size_t))                                        \
  X(AdminOptions_set_operation_timeout, int, (void*, int, char*, size_t))                                      \
  X(AdminOptions_set_include_authorized_operations, void*, (void*, int))                                       \
  X(TopicCollection_of_topic_names, void*, (const char**, size_t))                                             \
  X(TopicCollection_destroy, void, (void*))                                                                    \
  X(DescribeTopics, void, (void*, const void*, const void*, void*))                                            \
  X(event_DescribeTopics_result, const void*, (void*))                                                         \
  X(DescribeTopics_result_topics, const void**, (const void*, size_t*))                                        \
  X(TopicDescription_error, const void*, (const void*))                                                        \
  X(TopicDescription_partitions, const void**, (const void*, size_t*))                                         \
  X(TopicDescription_authorized_operations, const int*, (const void*, size_t*))                                \
  X(ConfigResource_new, void*, (int, const char*))                                                             \
  X(ConfigResource_destroy, void, (void*))                                                                     \
  X(DescribeConfigs, void, (void*, void**, size_t, const void*, void*))                                        \
  X(event_DescribeConfigs_result, const void*, (void*))                                                        \
  X(DescribeConfigs_result_resources, const void**, (const void*, size_t*))                                    \
  X(ConfigResource_error, int, (const void*))                                                                  \
  X(ConfigResource_error_string, const char*, (const void*))                                                   \
  X(ConfigResource_configs, const void**, (const void*, size_t*))                                              \
  X(ConfigEntry_name, const char*, (const void*))                                                              \
  X(ConfigEntry_value, const char*, (const void*))                                                             \
  X(NewTopic_new, void*, (const char*, int, int, char*, size_t))                                               \
  X(NewTopic_set_config, int, (void*, const char*, const char*))                                               \
  X(NewTopic_destroy, void, (void*))                                                                           \
  X(CreateTopics, void, (void*, void**, size_t, const void*, void*))                                           \
  X(event_CreateTopics_result, const void*, (void*))                                                           \
  X(CreateTopics_result_topics, const void**, (const void*, size_t*))                                          \
  X(topic_result_error, int, (const void*))                                                                    \
  X(topic_result_error_string, const char*, (const void*))                                                     \
  X(version_str, const char*, (void))                                                                          \
  X(msg_partitioner_consistent, int32_t, (const void*, const void*, size_t, int32_t, void*, void*))            \
  X(msg_partitioner_consistent_random, int32_t, (const void*, const void*, size_t, int32_t, void*, void*))     \
  X(msg_partitioner_murmur2, int32_t, (const void*, const void*, size_t, int32_t, void*, void*))               \
  X(msg_partitioner_murmur2_random, int32_t, (const void*, const void*, size_t, int32_t, void*, void*))        \
  X(msg_partitioner_fnv1a, int32_t, (const void*, const void*, size_t, int32_t, void*, void*))                 \
  X(msg_partitioner_fnv1a_random, int32_t, (const void*, const void*, size_t, int32_t, void*, void*))          \
  X(mock_cluster_new, void*, (void*, int))                                                                     \
  X(mock_cluster_destroy, void, (void*))                                                                       \
  X(mock_cluster_bootstraps, const char*, (const void*))                                                       \
  X(mock_topic_create, int, (void*, const char*, int, int))                                                    \
  X(mock_push_request_errors_array, void, (void*, int16_t, size_t, const int*))                                \
  X(mock_broker_set_rtt, int, (void*, int32_t, int))                                                           \
  X(mock_broker_set_down, int, (void*, int32_t))                                                               \
  X(mock_broker_set_up, int, (void*, int32_t))

struct Api {
#define X(name, result, arguments) result(*name) arguments;
  PENSTOCK_RDKAFKA_CALLS(X)
#undef X
  void* (*create)(int, void*, char*, size_t);  // rd_kafka_new, whose name C++ keeps for itself
};

// Filled by load(); every other call of the core relies on it.
extern Api api;

// Opens the library that `path` (a wheel's extension module or librdkafka itself) carries. Empty, or what went wrong.
std::string load(const char* path);
bool loaded();

}  // namespace penstock::rk
