// The calls of a producer about transactions, and the records of progress that go with them.
#include "produce.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

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

// One call has all the time there is. One that ran out of it must not be resumed, though librdkafka offers that: an answer to a step of
// the former call may come in then and be taken for the answer to a step of the new one. With calls of 2 ms on a busy machine its
// assertions failed (2.16), and by its source a commit could be told that was not made. A call that was answered may be made again.
TransactionOutcome commit_within(void* rk, int timeout_ms) {
  using std::chrono::milliseconds;
  using std::chrono::steady_clock;
  constexpr milliseconds pause{20};
  const auto end = steady_clock::now() + milliseconds(timeout_ms);
  for (;;) {
    const auto left = std::chrono::duration_cast<milliseconds>(end - steady_clock::now());
    TransactionOutcome outcome = outcome_of(api.commit_transaction(rk, std::max(1, static_cast<int>(left.count()))));
    if (!outcome.again || outcome.code == rk::err_timed_out || left <= pause) return outcome;
    std::this_thread::sleep_for(pause);
  }
}

class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

TransactionOutcome Producer::init_transactions(int timeout_ms) { return outcome_of(api.init_transactions(rk_, timeout_ms)); }

TransactionOutcome Producer::begin_transaction() { return outcome_of(api.begin_transaction(rk_)); }

TransactionOutcome Producer::abort_transaction(int timeout_ms) { return outcome_of(api.abort_transaction(rk_, timeout_ms)); }

void Producer::begin_commit(int timeout_ms) {
  commit_over_ = false;
  const SignalsBlocked blocked;  // a signal is for the threads that were there before
  commit_ = std::thread([this, timeout_ms] {
    commit_outcome_ = commit_within(rk_, timeout_ms);
    commit_over_ = true;
    const uint64_t one = 1;
    // Cannot fail but for a count that is full, which is readable anyway.
    if (write(event_fd_, &one, sizeof one) < 0) return;
  });
}

TransactionOutcome Producer::end_commit() {
  commit_.join();
  return std::move(commit_outcome_);
}

void Producer::end(std::unique_ptr<Producer> producer) {
  if (producer == nullptr || !producer->ours() || !producer->committing()) return;
  const SignalsBlocked blocked;
  std::thread([producer = std::move(producer)] {}).detach();
}

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
