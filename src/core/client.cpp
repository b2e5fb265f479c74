#include "client.hpp"

#include <unistd.h>

namespace penstock {

using rk::api;

namespace {

constexpr size_t most_lines = 1000;
constexpr int warning = 4;  // syslog

}  // namespace

Client::Client(const Options& configuration, Delivered delivered, bool (*interrupted)(void*), void* interrupted_with)
    : interrupted_(interrupted), interrupted_with_(interrupted_with), process_(getpid()) {
  char why[512];
  void* const conf = api.conf_new();
  for (const auto& [name, value] : configuration) {
    if (api.conf_set(conf, name.c_str(), value.c_str(), why, sizeof why) != 0) {
      api.conf_destroy(conf);
      throw std::invalid_argument(why);
    }
  }
  api.conf_set_opaque(conf, this);
  if (delivered != nullptr) api.conf_set_dr_msg_cb(conf, delivered);
  api.conf_set_error_cb(conf, on_error);
  api.conf_set_log_cb(conf, on_log);
  rk_ = api.create(rk::type_producer, conf, why, sizeof why);
  if (rk_ == nullptr) {
    api.conf_destroy(conf);
    throw std::invalid_argument(why);
  }
}

Client::~Client() {
  if (ours()) api.destroy(rk_);
}

bool Client::ours() const { return getpid() == process_; }

void Client::on_error(void*, int code, const char* reason, void* opaque) {
  auto* const self = static_cast<Client*>(opaque);
  self->last_error_ = std::string(api.err2str(code)) + ": " + reason;
  if (self->errors_.size() < most_lines) self->errors_.push_back({code, reason});
}

void Client::on_log(const void* rk, int level, const char* facility, const char* text) {
  auto* const self = static_cast<Client*>(api.opaque(rk));
  const std::lock_guard<std::mutex> guard(self->log_lock_);
  if (self->log_.size() < most_lines) {
    self->log_.push_back({level, facility, text});
  } else {
    self->dropped_ += 1;
  }
}

std::vector<LogLine> Client::take_log() {
  const std::lock_guard<std::mutex> guard(log_lock_);
  std::vector<LogLine> lines(log_.begin(), log_.end());
  log_.clear();
  if (dropped_ != 0) lines.push_back({warning, "PENSTOCK", std::to_string(dropped_) + " lines came too fast and were dropped"});
  dropped_ = 0;
  return lines;
}

std::vector<ClientError> Client::take_errors() {
  std::vector<ClientError> errors;
  errors.swap(errors_);
  return errors;
}

std::string Client::set_token(const std::string& token, int64_t expires_ms, const std::string& principal, const Options& extensions) {
  std::vector<const char*> flat;
  for (const auto& [name, value] : extensions) {
    flat.push_back(name.c_str());
    flat.push_back(value.c_str());
  }
  char why[512] = "";
  const int code = api.oauthbearer_set_token(rk_, token.c_str(), expires_ms, principal.c_str(), flat.data(), flat.size(), why, sizeof why);
  return code == 0 ? "" : why;
}

std::string Client::fatal(int32_t& code) const {
  char why[512] = "";
  code = api.fatal_error(rk_, why, sizeof why);
  return code == 0 ? "" : why;
}

int32_t Client::partitions(const std::string& name, void* topic, int timeout_ms, int32_t& code) {
  const rk::Metadata* metadata = nullptr;
  code = api.metadata(rk_, 0, topic, &metadata, timeout_ms);
  poll(0);  // lets librdkafka tell its errors
  if (code != 0) return 0;
  int32_t count = 0;
  code = rk::err_unknown_topic_or_part;
  for (int t = 0; t < metadata->topic_count; ++t) {
    const rk::MetadataTopic& found = metadata->topics[t];
    if (name != found.topic) continue;
    code = found.err;
    count = found.partition_count;
    for (int p = 0; p < found.partition_count && code == 0; ++p) {
      // A partition without a leader right after the topic was created: not ready yet.
      if (found.partitions[p].leader < 0) code = rk::err_leader_not_available;
    }
  }
  api.metadata_destroy(metadata);
  if (code == 0 && count == 0) code = rk::err_leader_not_available;
  return code == 0 ? count : 0;
}

}  // namespace penstock
