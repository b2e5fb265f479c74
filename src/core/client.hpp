// One librdkafka client: made from options, connected, logged in; what it logs and complains of is kept until somebody asks.
//
// The base of Producer (produce.hpp) and Admin (admin.hpp). All of it is for one thread, but for set_token, which librdkafka takes from
// any; librdkafka's own threads only reach the log.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "rdkafka.hpp"

namespace penstock {

struct LogLine {
  int level;  // syslog: 3 error, 4 warning, 6 info, 7 debug
  std::string facility;
  std::string text;
};

// What librdkafka complained of, such as an unreachable broker or a refused login.
struct ClientError {
  int32_t code;
  std::string text;
};

// Thrown out of a wait when the caller asked for it.
struct Interrupted : std::runtime_error {
  Interrupted() : std::runtime_error("interrupted") {}
};

using Options = std::vector<std::pair<std::string, std::string>>;

class Client {
 public:
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Logs in with this from now on; empty, or librdkafka's words on why not. `expires_ms` counts from 1970.
  std::string set_token(const std::string& token, int64_t expires_ms, const std::string& principal, const Options& extensions);

  // Serves callbacks for up to timeout_ms: errors, and a producer's delivery reports.
  void poll(int timeout_ms) { rk::api.poll(rk_, timeout_ms); }

  // Empty, or the reason why this client cannot go on.
  std::string fatal(int32_t& code) const;
  // What was logged since the last call; of more than a thousand lines the last one says how many were dropped.
  std::vector<LogLine> take_log();
  // What librdkafka last complained of; empty when nothing.
  std::string last_error() const { return last_error_; }
  // All that it complained of since the last call, at most a thousand.
  std::vector<ClientError> take_errors();

 protected:
  using Delivered = void (*)(void* rk, const rk::Message* m, void* client);

  // `interrupted`, where given, is asked in every wait; true ends it with Interrupted. invalid_argument with librdkafka's words when
  // it refuses the options. `delivered` gets the Client as its last argument.
  Client(const Options& configuration, Delivered delivered, bool (*interrupted)(void*), void* interrupted_with);
  ~Client();

  // False in a process that was forked off: librdkafka's threads are not there, and to end it would wait for them for ever.
  bool ours() const;
  // A topic's partitions as a broker tells; <= 0 with `code` set: not known within the time. A broker may make the topic for that.
  int32_t partitions(const std::string& name, void* topic, int timeout_ms, int32_t& code);
  void check_interrupted() const {
    if (interrupted_ != nullptr && interrupted_(interrupted_with_)) throw Interrupted{};
  }

  void* rk_ = nullptr;

 private:
  static void on_error(void* rk, int code, const char* reason, void* opaque);
  static void on_log(const void* rk, int level, const char* facility, const char* text);

  bool (*interrupted_)(void*);
  void* interrupted_with_;
  pid_t process_;
  std::string last_error_;
  std::vector<ClientError> errors_;
  std::mutex log_lock_;  // guards log_ and dropped_: librdkafka's threads write them
  std::deque<LogLine> log_;
  int64_t dropped_ = 0;
};

}  // namespace penstock
