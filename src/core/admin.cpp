#include "admin.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <string_view>

namespace penstock {

using rk::api;

namespace {

constexpr int step_ms = 100;  // how late an interruption may be served
constexpr int look_ms = 10;   // how late it is noticed that we were let in
constexpr std::string_view mock_cluster = "mockCluster";  // what its id begins with

const char* text_or_nothing(const char* text) { return text == nullptr ? "" : text; }

}  // namespace

// One request of the admin interface: its options, the queue that its answer comes to, and the answer.
struct Admin::Call {
  Call(const Admin& admin, int operation, int timeout_ms) : admin_(admin), timeout_ms_(timeout_ms) {
    char why[128];
    options = api.AdminOptions_new(admin.rk_, operation);
    api.AdminOptions_set_request_timeout(options, std::max(timeout_ms, 1), why, sizeof why);
    queue = api.queue_new(admin.rk_);
  }
  ~Call() {
    if (event != nullptr) api.event_destroy(event);
    api.queue_destroy(queue);
    api.AdminOptions_destroy(options);
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  // False: no answer, or an error that concerns all of the request; then `outcome` says which.
  bool wait(Outcome& outcome) {
    using Clock = std::chrono::steady_clock;
    // librdkafka keeps the time itself; a second more is for its answer to come through.
    const auto end = Clock::now() + std::chrono::milliseconds(timeout_ms_ + 1000);
    while (event == nullptr && Clock::now() < end) {
      event = api.queue_poll(queue, step_ms);
      api.poll(admin_.rk_, 0);  // lets librdkafka tell its errors
      admin_.check_interrupted();
    }
    outcome.code = event == nullptr ? rk::err_timed_out : api.event_error(event);
    if (outcome.code == 0) return true;
    outcome.text = event == nullptr ? "no answer" : text_or_nothing(api.event_error_string(event));
    return false;
  }

  void* options;
  void* queue;
  void* event = nullptr;

 private:
  const Admin& admin_;
  int timeout_ms_;
};

// librdkafka asks for the brokers by itself as soon as one lets us in, and keeps what they say: so an answer that takes longer than
// timeout_ms comes nevertheless.
bool Admin::connect(int timeout_ms) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::milliseconds(timeout_ms);
  do {
    poll(look_ms);
    check_interrupted();
    char* const id = api.clusterid(rk_, 0);
    if (id != nullptr || api.controllerid(rk_, 0) >= 0) {
      has_controller_ = id == nullptr || std::string_view(id).substr(0, mock_cluster.size()) != mock_cluster;
      if (id != nullptr) api.mem_free(rk_, id);
      return true;
    }
  } while (Clock::now() < end);
  return false;
}

std::vector<Broker> Admin::brokers(int timeout_ms, int32_t& code) {
  const rk::Metadata* metadata = nullptr;
  code = api.metadata(rk_, 0, nullptr, &metadata, timeout_ms);
  poll(0);  // lets librdkafka tell its errors
  std::vector<Broker> found;
  if (code != 0) return found;
  for (int b = 0; b < metadata->broker_count; ++b) {
    found.push_back({metadata->brokers[b].id, metadata->brokers[b].host, metadata->brokers[b].port});
  }
  api.metadata_destroy(metadata);
  return found;
}

int32_t Admin::topic_partitions(const std::string& topic, int timeout_ms, int32_t& code) {
  void* const handle = api.topic_new(rk_, topic.c_str(), nullptr);
  code = rk::err_invalid_arg;
  if (handle == nullptr) return 0;
  const int32_t count = partitions(topic, handle, timeout_ms, code);
  api.topic_destroy(handle);
  return count;
}

TopicDescription Admin::describe_topic(const std::string& topic, int timeout_ms) {
  TopicDescription found;
  Call call(*this, rk::admin_describe_topics, timeout_ms);
  void* const refused = api.AdminOptions_set_include_authorized_operations(call.options, 1);
  if (refused != nullptr) api.error_destroy(refused);
  const char* name = topic.c_str();
  void* const names = api.TopicCollection_of_topic_names(&name, 1);
  api.DescribeTopics(rk_, names, call.options, call.queue);
  api.TopicCollection_destroy(names);
  if (!call.wait(found)) return found;
  size_t count = 0;
  const void* const* const topics = api.DescribeTopics_result_topics(api.event_DescribeTopics_result(call.event), &count);
  if (count != 1) return found.code = rk::err_unknown_topic_or_part, found;
  const void* const error = api.TopicDescription_error(topics[0]);
  found.code = error == nullptr ? 0 : api.error_code(error);
  if (found.code != 0) found.text = text_or_nothing(api.error_string(error));
  if (found.code != 0) return found;
  api.TopicDescription_partitions(topics[0], &count);
  found.partitions = static_cast<int32_t>(count);
  const int* const operations = api.TopicDescription_authorized_operations(topics[0], &count);
  found.has_operations = operations != nullptr;
  if (operations != nullptr) found.operations.assign(operations, operations + count);
  return found;
}

TopicConfig Admin::topic_config(const std::string& topic, int timeout_ms) {
  TopicConfig found;
  Call call(*this, rk::admin_describe_configs, timeout_ms);
  void* resource = api.ConfigResource_new(rk::resource_topic, topic.c_str());
  api.DescribeConfigs(rk_, &resource, 1, call.options, call.queue);
  api.ConfigResource_destroy(resource);
  if (!call.wait(found)) return found;
  size_t count = 0;
  const void* const* const resources = api.DescribeConfigs_result_resources(api.event_DescribeConfigs_result(call.event), &count);
  if (count != 1) return found.code = rk::err_unknown_topic_or_part, found;
  found.code = api.ConfigResource_error(resources[0]);
  if (found.code != 0) found.text = text_or_nothing(api.ConfigResource_error_string(resources[0]));
  if (found.code != 0) return found;
  const void* const* const entries = api.ConfigResource_configs(resources[0], &count);
  for (size_t e = 0; e < count; ++e) {
    found.entries.emplace_back(api.ConfigEntry_name(entries[e]), text_or_nothing(api.ConfigEntry_value(entries[e])));
  }
  return found;
}

Outcome Admin::create_topic(const std::string& topic, int32_t partitions, int32_t replication_factor, const Options& config,
                            int timeout_ms) {
  Outcome outcome;
  char why[512] = "";
  void* topics = api.NewTopic_new(topic.c_str(), partitions, replication_factor, why, sizeof why);
  if (topics == nullptr) return {rk::err_invalid_arg, why};
  for (const auto& [name, value] : config) api.NewTopic_set_config(topics, name.c_str(), value.c_str());
  {
    Call call(*this, rk::admin_create_topics, timeout_ms);
    // How long the broker waits for the topic to be there on all of its replicas.
    api.AdminOptions_set_operation_timeout(call.options, std::max(timeout_ms - 1000, 1), why, sizeof why);
    api.CreateTopics(rk_, &topics, 1, call.options, call.queue);
    api.NewTopic_destroy(topics);
    if (!call.wait(outcome)) return outcome;
    size_t count = 0;
    const void* const* const results = api.CreateTopics_result_topics(api.event_CreateTopics_result(call.event), &count);
    if (count != 1) return {rk::err_unknown_topic_or_part, ""};
    outcome.code = api.topic_result_error(results[0]);
    if (outcome.code != 0) outcome.text = text_or_nothing(api.topic_result_error_string(results[0]));
  }
  return outcome;
}

}  // namespace penstock
