"""leftout: rows that cannot go and that a job is to do without: kept in the dead-letter file, counted, told once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from penstock import _core
from penstock.deadletters import DeadLetter, DeadLetters
from penstock.source.batch import find_row, row_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.config import Config
    from penstock.control import RowLeftOut
    from penstock.coordinator import Chunk
    from penstock.encode import Plan
    from penstock.source.batch import Origins

__all__ = ["LeftOut"]

_log = logging.getLogger("penstock")


class LeftOut:
    """What one writer leaves out.

    Of a chunk they are kept once, however often it is sent: what is kept before a worker dies, or before a transaction
    is aborted, is not kept again.
    """

    def __init__(self, config: Config) -> None:
        """Open the dead-letter file, where the job has one; ConfigError where that cannot be."""
        writer = config.writer
        self._policies = (writer.on_bad_row, writer.on_oversize)
        self._warned = [False, False]
        self._told: dict[int, list[RowLeftOut]] = {}  # by chunk, of those that have not been answered
        self._kept: dict[int, tuple[int, int]] = {}  # by chunk: how many bad rows, and too large ones
        self._letters: DeadLetters | None = None
        if writer.dead_letter is not None:
            self._letters = DeadLetters(writer.dead_letter, config.topic, writer.topic_column)

    def add_plan(self, plan: Plan) -> None:
        """Take rows of this plan's schema; ConfigError where they do not fit what is in the file."""
        if self._letters is not None:
            self._letters.add_schema(plan.number, plan.core, plan.schema)

    def hear(self, chunk: int, rows: list[RowLeftOut]) -> None:
        """Note rows that a worker leaves out."""
        self._told.setdefault(chunk, []).extend(rows)

    def keep(self, number: int, chunk: Chunk, arena: int) -> None:
        """Keep what was heard of a chunk in the arena at this address, now that all of it is answered.

        Raises EncodeError where that cannot be; the rows then count as failed
        """
        told = self._told.pop(number, [])
        if number in self._kept:
            return
        self._kept[number] = 0, 0
        self._kept[number] = self.leave_out(
            told,
            chunk.layout,
            lambda core, rows: _core.rows_of_block(core, arena, chunk.place[0], rows),
            (chunk.origin, chunk.first_row),
        )

    def count(self, chunk: int) -> tuple[int, int]:
        """Return how many rows of a chunk are bad, and how many too large, and forget it."""
        return self._kept.pop(chunk, (0, 0))

    def sent_again(self, chunk: int) -> None:
        """Forget what a worker said of a chunk that another one is to send again."""
        self._told.pop(chunk, None)

    def forget(self, chunk: int) -> None:
        """Forget a chunk that has ended."""
        self._told.pop(chunk, None)
        self._kept.pop(chunk, None)

    def leave_out(
        self,
        left_out: list[RowLeftOut],
        layout: int,
        read: Callable[[_core.Schema, list[int]], object],
        named: tuple[str | Origins, int],
    ) -> tuple[int, int]:
        """Keep the rows that are not sent, where they are to be kept; returns how many are bad, and how many too large.

        read    gives the rows by number, as _core.rows_of_block does
        named   what an error calls row 0: its origin, and its number there
        Raises  EncodeError where they cannot be kept
        """
        counts = [0, 0]
        letters = []
        origin, first_row = named
        for row, rows, column, text, large in sorted(left_out):
            counts[large] += rows
            error = row_error(origin, first_row + row, column, text)
            if not self._warned[large]:
                self._warned[large] = True
                _log.warning("%s; such rows are left out: %s", error, "on_oversize" if large else "on_bad_row")
            for at in range(row - rows + 1, row + 1) if self._policies[large] == "dead_letter" else ():
                source, number = find_row(origin, first_row + at)
                letters.append(DeadLetter(at, str(error), "oversize" if large else "bad_row", source, number))
        if letters and self._letters is not None:
            self._letters.append(layout, letters, read)
        return counts[0], counts[1]

    def close(self) -> None:
        """Let the file go."""
        if self._letters is not None:
            self._letters.close()
