"""runs: which offsets of a partition were acknowledged, and what their messages hash to, for a receipt with audit."""

from __future__ import annotations

from bisect import bisect_left

__all__ = ["Run", "Runs"]

Run = tuple[int, int, int, int]  # first offset, last, count, sum of _core.message_hashes modulo 2^64
_ALL = 2**64


class Runs:
    """Runs of offsets without a gap, in order; neighbours become one. Takes them in any order.

    Memory  about 200 bytes a run: few, unless others write to the partition at the same time
    """

    def __init__(self) -> None:
        self._runs: list[Run] = []

    def add(self, run: Run) -> None:
        """Enter a run of offsets that are not there yet."""
        first, last, count, total = run
        begin = end = bisect_left(self._runs, run)
        if begin and self._runs[begin - 1][1] >= first - 1:
            begin -= 1
        while end < len(self._runs) and self._runs[end][0] <= last + 1:
            end += 1
        for other in self._runs[begin:end]:
            first, last = min(first, other[0]), max(last, other[1])
            count, total = count + other[2], total + other[3]
        self._runs[begin:end] = [(first, last, count, total % _ALL)]

    def told(self) -> tuple[tuple[int, int, int, str], ...]:
        """Return them as a receipt has them: the sum as 16 hexadecimal digits, since JSON's numbers may be floats."""
        return tuple((first, last, count, f"{total:016x}") for first, last, count, total in self._runs)
