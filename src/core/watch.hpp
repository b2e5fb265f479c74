// Ends this process when its parent is gone.
#pragma once

#include <poll.h>
#include <unistd.h>

#include <thread>

namespace penstock {

// A native thread, since one in Python starves behind the interpreter lock, and PR_SET_PDEATHSIG follows the *thread* that spawned us.
// `pidfd`: of the parent, readable when it has ended. `socket`: hung up when the coordinator let go of us.
inline void watch_parent(int pidfd, int socket) {
  std::thread([pidfd, socket] {
    pollfd fds[2] = {{pidfd, POLLIN, 0}, {socket, POLLRDHUP, 0}};
    for (;;) {
      if (poll(fds, 2, -1) > 0 && ((fds[0].revents | fds[1].revents) & (POLLIN | POLLRDHUP | POLLHUP | POLLERR)) != 0) _exit(3);
    }
  }).detach();
}

}  // namespace penstock
