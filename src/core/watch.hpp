// Ends this process when its parent is gone, and shows that it lives.
#pragma once

#include <poll.h>
#include <unistd.h>

#include <cstdint>
#include <thread>

namespace penstock {

// A native thread, since one in Python starves behind the interpreter lock, and PR_SET_PDEATHSIG follows the *thread* that spawned us.
// `pidfd`: of the parent, readable when it has ended. `socket`: hung up when the coordinator let go of us. `beat`: counted up while
// this process runs, several times a second; who is stopped does not count.
inline void watch_parent(int pidfd, int socket, uint64_t* beat) {
  std::thread([pidfd, socket, beat] {
    constexpr int beat_ms = 250;
    pollfd fds[2] = {{pidfd, POLLIN, 0}, {socket, POLLRDHUP, 0}};
    for (;;) {
      __atomic_add_fetch(beat, 1, __ATOMIC_RELAXED);
      if (poll(fds, 2, beat_ms) > 0 && ((fds[0].revents | fds[1].revents) & (POLLIN | POLLRDHUP | POLLHUP | POLLERR)) != 0) _exit(3);
    }
  }).detach();
}

}  // namespace penstock
