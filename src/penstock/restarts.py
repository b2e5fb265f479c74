"""restarts: which deaths of workers a job survives, and which chunk is to blame. Pure: times come in, decisions go out.

A chunk that was being encoded when its worker died is the suspect. After its second death it is sent alone, to a worker
that has nothing else; if that one dies too, the chunk is what kills them, and the job ends.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Final

__all__ = ["Restarts"]

_MINUTE_SECS: Final = 60.0
_DEATHS_BEFORE_ALONE: Final = 2


class Restarts:
    """One job's restarts.

    most_per_min  as many workers are replaced within a minute, and no more
    total         workers replaced so far
    """

    def __init__(self, most_per_min: int) -> None:
        self._most = most_per_min
        self._when: deque[float] = deque()
        self._deaths: Counter[int] = Counter()
        self.total = 0

    def allowed(self, now: float) -> bool:
        """Tell whether one more worker may be replaced now, and count it if so."""
        while self._when and now - self._when[0] >= _MINUTE_SECS:
            self._when.popleft()
        if len(self._when) >= self._most:
            return False
        self._when.append(now)
        self.total += 1
        return True

    def blame(self, chunk: int) -> bool:
        """Count a death of the worker that was encoding this chunk; True when the chunk has killed one it had alone."""
        self._deaths[chunk] += 1
        return self._deaths[chunk] > _DEATHS_BEFORE_ALONE

    def alone(self, chunk: int) -> bool:
        """Tell whether the chunk is to be sent to a worker that has nothing else."""
        return self._deaths[chunk] >= _DEATHS_BEFORE_ALONE

    @property
    def suspecting(self) -> bool:
        """Some chunk is to be sent alone."""
        return any(map(self.alone, self._deaths))

    def done(self, chunk: int) -> None:
        """Forget a chunk that was acknowledged."""
        self._deaths.pop(chunk, None)
