// The calls of a producer about transactions, and the records of progress that go with them.
#include "produce.hpp"

namespace penstock {

using rk::api;

namespace {

TransactionOutcome outcome_of(void* error) {
  TransactionOutcome outcome;
  if (error == nullptr) return outcome;
  outcome.code = api.error_code(error);
  outcome.text = api.error_string(error);
  outcome.again = api.error_is_retriable(error) != 0;
  outcome.abort = api.error_txn_requires_abort(error) != 0;
  api.error_destroy(error);
  return outcome;
}

}  // namespace

TransactionOutcome Producer::init_transactions(int timeout_ms) { return outcome_of(api.init_transactions(rk_, timeout_ms)); }

TransactionOutcome Producer::begin_transaction() { return outcome_of(api.begin_transaction(rk_)); }

TransactionOutcome Producer::commit_transaction(int timeout_ms) { return outcome_of(api.commit_transaction(rk_, timeout_ms)); }

TransactionOutcome Producer::abort_transaction(int timeout_ms) { return outcome_of(api.abort_transaction(rk_, timeout_ms)); }

int32_t Producer::record(const std::string& topic, const std::string& key, const std::string& value) {
  void* const handle = topics_[topic_index(topic)].handle;
  if (handle == nullptr) return rk::err_invalid_arg;
  rk::Message m{};
  m.partition = 0;  // the topic has one, so that it has one order
  m.payload = const_cast<char*>(value.data());
  m.len = value.size();
  m.key = const_cast<char*>(key.data());
  m.key_len = key.size();
  return api.produce_batch(handle, 0, rk::message_copy, &m, 1) == 1 ? 0 : m.err;
}

bool Producer::recorded(int32_t& code) {
  if (recorded_.empty()) return false;
  code = recorded_.front();
  recorded_.pop_front();
  return true;
}

}  // namespace penstock
