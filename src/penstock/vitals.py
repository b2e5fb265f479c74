"""vitals: a line in the arena for each worker, by which the coordinator sees how it does without asking.

    position + 0   uint64   the chunk that is being encoded, plus one; 0: none. The suspect, should the worker die
             + 8   uint64   counted up by a native thread of the worker while it runs: a stopped process stands still

A line is 64 bytes, so that no two workers write to one cache line.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import mmap

__all__ = ["BEAT_AT", "LINE_BYTES", "Vitals", "encoding", "show_encoding"]

LINE_BYTES: Final = 64
BEAT_AT: Final = 8
_NUMBER: Final = struct.Struct("<Q")


def show_encoding(memory: mmap.mmap, position: int, chunk: int | None) -> None:
    """Say in a line which chunk is being encoded; for the worker."""
    _NUMBER.pack_into(memory, position, 0 if chunk is None else chunk + 1)


def encoding(memory: mmap.mmap, position: int) -> int | None:
    """Return the chunk that a line says is being encoded."""
    number: int = _NUMBER.unpack_from(memory, position)[0]
    return None if number == 0 else number - 1


class Vitals:
    """The lines of all workers, and since when each stands still; for the coordinator.

    limit_secs  who has not counted for so long is frozen
    """

    def __init__(self, memory: mmap.mmap, position: int, workers: int, limit_secs: float) -> None:
        self._memory = memory
        self._first = position
        self._limit = limit_secs
        self._beats = [0] * workers
        self._since = [0.0] * workers
        self._looked = 0.0

    def position(self, worker: int) -> int:
        """Return where a worker's line lies in the arena."""
        return self._first + LINE_BYTES * worker

    def suspect(self, worker: int) -> int | None:
        """Return the chunk that the worker was encoding last."""
        return encoding(self._memory, self.position(worker))

    def clear(self, worker: int) -> None:
        """Forget what a worker said: another one takes its line."""
        position = self.position(worker)
        self._memory[position : position + LINE_BYTES] = bytes(LINE_BYTES)
        self._beats[worker] = 0

    def frozen(self, now: float) -> list[int]:
        """Return the workers that have stood still for longer than the limit; to be called often.

        After a pause of the caller's own the count begins anew: the whole machine may have slept.
        """
        paused = now - self._looked > self._limit / 4
        self._looked = now
        found = []
        for worker in range(len(self._beats)):
            beat: int = _NUMBER.unpack_from(self._memory, self.position(worker) + BEAT_AT)[0]
            if beat != self._beats[worker] or beat == 0 or paused:
                self._beats[worker], self._since[worker] = beat, now
            elif now - self._since[worker] > self._limit:
                found.append(worker)
        return found
