"""The arena: one anonymous shared-memory region, where rows stay from `write` until the broker has acknowledged them.

    0                                                                    reserved                     size
    | vitals | block | selection | dictionary | free | block | selection | not touched yet ............ |

The coordinator alone allocates and frees; workers only read, but for their lines of the vitals (vitals.py). An
allocation has a count of its users: a block is used by each of its chunks, a dictionary by each of its blocks. The
lowest free place is taken first, because pages that were used before cost a tenth of fresh ones (measured: 6 ms against
65 ms for 64 MB). Nothing has a name in the file system, so nothing is left behind, however the processes end.
"""

from __future__ import annotations

import bisect
import contextlib
import errno
import fcntl
import mmap
import os
from pathlib import Path

from penstock.errors import ConfigError

__all__ = ["Arena", "above_standard", "available_memory"]

_ALIGNMENT = 64  # a cache line
# Memory is reserved in slices before it is touched: where it runs out fallocate says so, a plain first touch is SIGBUS.
_SLICE_BYTES = 16 << 20


class Arena:
    """Shared memory of `size` bytes at most, the first `vitals_bytes` of which are never allocated.

    fd        to be passed to the workers; sealed against shrinking and growing
    used      bytes allocated now, and `peak` the most there ever were
    """

    def __init__(self, size: int, vitals_bytes: int = 0) -> None:
        self.size = min(size, max(available_memory() // 2, _SLICE_BYTES))
        self.fd = above_standard(os.memfd_create("penstock", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
        try:
            os.ftruncate(self.fd, self.size)
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            self.memory = mmap.mmap(self.fd, self.size)
        except OSError as error:
            os.close(self.fd)
            raise ConfigError(
                f"cannot map {self.size} bytes of shared memory: {error.strerror}; give a smaller memory_bytes"
            ) from None
        self.used = 0
        self.peak = 0
        self._reserved = 0
        # (position, size), by position, never two that touch
        self._free: list[tuple[int, int]] = [(vitals_bytes, self.size - vitals_bytes)]
        self._taken: dict[int, list[int]] = {}  # position: [size, users]
        self._reserve(vitals_bytes)

    def allocate(self, size: int) -> int | None:
        """Return the position of `size` bytes with one user, aligned to 64; None when there is no room now."""
        size = max((size + _ALIGNMENT - 1) // _ALIGNMENT, 1) * _ALIGNMENT
        for at, (position, room) in enumerate(self._free):
            if room < size:
                continue
            if not self._reserve(position + size):
                return None
            if room == size:
                del self._free[at]
            else:
                self._free[at] = (position + size, room - size)
            self._taken[position] = [size, 1]
            self.used += size
            self.peak = max(self.peak, self.used)
            return position
        return None

    def share(self, position: int) -> None:
        """Add a user."""
        self._taken[position][1] += 1

    def release(self, position: int) -> None:
        """Take a user away; the last one frees the place."""
        entry = self._taken[position]
        entry[1] -= 1
        if entry[1] > 0:
            return
        del self._taken[position]
        size = entry[0]
        self.used -= size
        at = bisect.bisect_left(self._free, (position, 0))
        if at < len(self._free) and self._free[at][0] == position + size:
            size += self._free.pop(at)[1]
        if at > 0 and sum(self._free[at - 1]) == position:
            before = self._free[at - 1]
            self._free[at - 1] = (before[0], before[1] + size)
        else:
            self._free.insert(at, (position, size))

    @property
    def allocations(self) -> int:
        """How many places are taken."""
        return len(self._taken)

    def close(self) -> None:
        """Give the memory back; workers that still map it keep their view of it."""
        if self.fd >= 0:
            self.memory.close()
            os.close(self.fd)
            self.fd = -1

    def _reserve(self, end: int) -> bool:
        while self._reserved < end:
            upto = min(self._reserved + _SLICE_BYTES, self.size)
            try:
                os.posix_fallocate(self.fd, self._reserved, upto - self._reserved)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.ENOMEM):
                    raise
                if not self._taken:
                    raise ConfigError(
                        f"the machine gave {self._reserved} bytes of shared memory and no more ({error.strerror}); "
                        "give a smaller memory_bytes"
                    ) from None
                return False  # what is in use will be freed, and reused
            self._reserved = upto
        return True


def above_standard(fd: int) -> int:
    """Return the same file under a number above 2, closing the old one where it moved.

    A caller without standard streams (a daemon) gets low numbers, and a worker's own streams would be laid over them.
    """
    if fd > 2:  # noqa: PLR2004
        return fd
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(fd)
    return moved


def available_memory() -> int:
    """Return how many bytes this machine, or this control group, can still give; a guess where neither says."""
    found = [1 << 62]
    with contextlib.suppress(OSError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    for limit, usage in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            found.append(int(Path(limit).read_text()) - int(Path(usage).read_text()))
        except (OSError, ValueError):  # no such group, or "max"
            continue
    return max(min(found), 0)
