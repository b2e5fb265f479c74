// A client that looks at the cluster before the first row, and makes topics.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "client.hpp"

namespace penstock {

struct Broker {
  int32_t id;
  std::string host;
  int32_t port;
};

// An answer, or librdkafka's or the broker's code with a text.
struct Outcome {
  int32_t code = 0;
  std::string text;
};

struct TopicDescription : Outcome {
  int32_t partitions = 0;
  bool has_operations = false;      // the broker tells what we may do with the topic
  std::vector<int32_t> operations;  // rd_kafka_AclOperation_t
};

struct TopicConfig : Outcome {
  Options entries;  // of the topic, the broker's defaults included
};

class Admin : public Client {
 public:
  Admin(const Options& configuration, bool (*interrupted)(void*), void* interrupted_with)
      : Client(configuration, nullptr, interrupted, interrupted_with) {}

  // False: no broker has let us in within the time, yet. May be called again.
  bool connect(int timeout_ms);
  // The brokers of the cluster, by the addresses that they tell clients; empty with `code` set: no answer within the time. It comes
  // with all topics of the cluster: librdkafka has no other way that does not need the controller.
  std::vector<Broker> brokers(int timeout_ms, int32_t& code);
  // Once connected: the requests below are answered. They go to the controller, and librdkafka's mock cluster names one that it
  // does not have.
  bool has_controller() const { return has_controller_; }
  // As of a producer: asking for a topic makes it where the broker is set to.
  int32_t topic_partitions(const std::string& topic, int timeout_ms, int32_t& code);
  // Never makes the topic.
  TopicDescription describe_topic(const std::string& topic, int timeout_ms);
  TopicConfig topic_config(const std::string& topic, int timeout_ms);
  // -1: as many as the broker gives a topic that it makes itself.
  Outcome create_topic(const std::string& topic, int32_t partitions, int32_t replication_factor, const Options& config, int timeout_ms);

 private:
  struct Call;

  bool has_controller_ = true;
};

}  // namespace penstock
