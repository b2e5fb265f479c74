"""runs: which offsets of a partition were acknowledged, and what their messages hash to, for a receipt with audit."""

from __future__ import annotations

import copy
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from penstock.control import PartitionAck

__all__ = ["LaneRuns", "Run", "Runs"]

Run = tuple[int, int, int, int]  # first offset, last, count, sum of _core.message_hashes modulo 2^64
Told = tuple[tuple[int, int, int, str], ...]
_ALL = 2**64
_MOST_IN_A_RECORD: Final = 2000  # 80 kB: more there are only where others write to the topic between our transactions


class Runs:
    """Runs of offsets without a gap, in order; neighbours become one. Takes them in any order.

    Memory  about 200 bytes a run: few, unless others write to the partition at the same time
    """

    def __init__(self, told: Iterable[tuple[int, int, int, str]] = ()) -> None:
        """Begin with what told() said."""
        self._runs: list[Run] = [(first, last, count, int(total, 16)) for first, last, count, total in told]
        self._marked = -2

    def add(self, run: Run) -> None:
        """Enter a run of offsets that are not there yet."""
        first, last, count, total = run
        begin = end = bisect_left(self._runs, run)
        if begin and self._meet(self._runs[begin - 1][1], first):
            begin -= 1
        while end < len(self._runs) and self._meet(last, self._runs[end][0]):
            end += 1
        for other in self._runs[begin:end]:
            first, last = min(first, other[0]), max(last, other[1])
            count, total = count + other[2], total + other[3]
        self._runs[begin:end] = [(first, last, count, total % _ALL)]

    def _meet(self, last: int, first: int) -> bool:
        """Tell whether a run that ends here and one that begins there are neighbours."""
        return first <= last + 1 or (last == self._marked and first == last + 2)

    def commit(self) -> None:
        """Note that what there is has been committed.

        The broker's mark of that stands behind it, and before all that comes: where one offset is left out there, it is
        that mark, which no consumer sees.
        """
        self._marked = self._runs[-1][1] if self._runs else -2

    def told(self) -> Told:
        """Return them as a receipt has them: the sum as 16 hexadecimal digits, since JSON's numbers may be floats."""
        return tuple((first, last, count, f"{total:016x}") for first, last, count, total in self._runs)


class LaneRuns:
    """The runs of all that one lane of a job has committed, by topic and partition."""

    def __init__(self, told: Mapping[str, Any], topic: str) -> None:
        """Begin with what told() said; topic: that of answers which name none."""
        self._topic = topic
        self._runs = {place: Runs(runs) for place, runs in told.items()}

    def with_epoch(self, answers: Iterable[PartitionAck]) -> LaneRuns:
        """Return them with what the answers of another epoch tell, which is about to be committed."""
        after = LaneRuns({}, self._topic)
        after._runs = copy.deepcopy(self._runs)
        for runs in after._runs.values():
            runs.commit()
        for topic, partition, _, _, _, _, _, _, found in answers:
            for run in found:
                after._runs.setdefault(f"{topic or self._topic}/{partition}", Runs()).add(run)
        return after

    def told(self) -> dict[str, Told] | None:
        """Return them as a record has them; None where they are too many for one."""
        told = {place: runs.told() for place, runs in self._runs.items()}
        return told if sum(map(len, told.values())) <= _MOST_IN_A_RECORD else None
