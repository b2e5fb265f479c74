"""acks: the ledger. Events in, facts out: no clock, no process, no socket, so that every order of events can be tried.

A chunk's life:

    add ──▶ waiting ──deal──▶ dealt ──acknowledge──▶ gone: its rows are acknowledged or failed
               ▲                ├──requeue──▶ waiting again: its worker died, another one sends it once more
               └────────────────┤
                                └──died / give_up──▶ gone: its rows are unknown
    waiting ────────────────────────give_up────────▶ gone: its rows are failed, nobody ever sent them

`taken` is at all times the sum of acknowledged, failed, unknown, skipped, resumed, bad, oversize, pending and held.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from penstock.runs import Runs

if TYPE_CHECKING:
    from penstock.control import PartitionAck

__all__ = ["Ledger", "PartitionTotal"]


@dataclass
class _Chunk:
    """parts: what a part of its answer has told already; the rest of the answer makes it count."""

    worker: int
    rows: int
    dealt: bool = False
    parts: list[PartitionAck] = field(default_factory=list)


@dataclass
class PartitionTotal:
    """What one partition has acknowledged so far; offsets are -1 until one was named, runs there are with audit."""

    messages: int = 0
    rows: int = 0
    bytes: int = 0
    first_offset: int = -1
    last_offset: int = -1
    runs: Runs = field(default_factory=Runs)

    def add(self, messages: int, rows: int, size: int, first: int, last: int) -> None:
        """Count what one chunk brought."""
        self.messages += messages
        self.rows += rows
        self.bytes += size
        if first >= 0 and (self.first_offset < 0 or first < self.first_offset):
            self.first_offset = first
        self.last_offset = max(self.last_offset, last)


@dataclass
class ErrorTotal:
    """Rows that one kind of error kept out of the topic."""

    name: str
    example: str
    rows: int = 0
    messages: int = 0


@dataclass
class Ledger:
    """Counts of one writer's life.

    taken      rows given to the writer, weight-0 rows included
    partitions by topic ("" for the writer's own) and number
    resent     rows that were dealt once more, because a worker died with them; those of an earlier life may arrive too
    bad        rows that could not be encoded and were left out; oversize: that were too large
    shortened  rows that were sent without a value, or cut, because they were too large
    resumed    rows that an earlier run of the job had delivered
    held       of those the ones that wait in the caller: of a batch with an index, or in the output buffer
    dealt_rows per worker: rows that it has and the broker has not answered for, what dealing looks at
    """

    taken: int = 0
    held: int = 0
    acknowledged: int = 0
    failed: int = 0
    unknown: int = 0
    skipped: int = 0
    bad: int = 0
    oversize: int = 0
    shortened: int = 0
    resent: int = 0
    resumed: int = 0
    null_keys: int = 0
    unknown_offsets: int = 0
    messages: int = 0
    bytes: int = 0
    partitions: dict[tuple[str, int], PartitionTotal] = field(default_factory=dict)
    errors: dict[int, ErrorTotal] = field(default_factory=dict)
    dealt_rows: dict[int, int] = field(default_factory=dict)
    _chunks: dict[int, _Chunk] = field(default_factory=dict)

    def take(self, *, skipped: int = 0, failed: int = 0, bad: int = 0, resumed: int = 0) -> None:
        """Count rows that never become part of a chunk."""
        self.taken += skipped + failed + bad + resumed
        self.resumed += resumed
        self.skipped += skipped
        self.failed += failed
        self.bad += bad

    def hold(self, rows: int) -> None:
        """Count rows that wait in the caller; let go of as many (rows below 0) as have been counted otherwise."""
        self.taken += rows
        self.held += rows

    def add(self, chunk: int, worker: int, rows: int) -> None:
        """Enter a chunk that lies in the arena, for this worker."""
        self._chunks[chunk] = _Chunk(worker, rows)
        self.taken += rows
        self.dealt_rows[worker] = self.dealt_rows.get(worker, 0) + rows

    def deal(self, chunk: int) -> None:
        """Note that the worker has been told of it: from now on its messages may reach the broker."""
        self._chunks[chunk].dealt = True

    def undeal(self, chunk: int) -> None:
        """Note that the worker took no more packets, and so never heard of it."""
        self._chunks[chunk].dealt = False

    def acknowledge(
        self,
        chunk: int,
        partitions: list[PartitionAck],
        errors: list[tuple[int, str, int, int, str]],
        null_keys: int,
        unknown: int = 0,
        *,
        bad: int = 0,
        oversize: int = 0,
        shortened: int = 0,
    ) -> None:
        """Count a chunk that is done; rows neither acknowledged nor left out have failed, or are unknown."""
        entry = self._forget(chunk)  # first: what is not known must not be counted
        acknowledged = self._count([*entry.parts, *partitions])
        self.failed += entry.rows - acknowledged - unknown - bad - oversize
        self.bad += bad
        self.oversize += oversize
        self.shortened += shortened
        self.unknown += unknown
        self.null_keys += null_keys
        for code, name, rows, messages, example in errors:
            total = self.errors.setdefault(code, ErrorTotal(name, example))
            total.rows += rows
            total.messages += messages

    def committed(self) -> None:
        """Note that all that is acknowledged so far has been committed, by transactions whose marks follow it."""
        for total in self.partitions.values():
            total.runs.commit()

    def acknowledge_part(self, chunk: int, partitions: list[PartitionAck]) -> None:
        """Note some of a chunk's partitions; they count when the rest has followed, or when the chunk ends."""
        self._chunks[chunk].parts += partitions

    def requeue(self, worker: int) -> list[int]:
        """Have all chunks of a dead worker wait for the one that takes its place; returns them, in their order.

        What it was told of may have reached the broker in part: its rows are sent a second time.
        """
        mine = [chunk for chunk, entry in self._chunks.items() if entry.worker == worker]
        for chunk in mine:
            entry = self._chunks[chunk]
            if entry.dealt:
                self.resent += entry.rows
            entry.dealt = False
            entry.parts.clear()
        return mine

    def died(self, worker: int) -> list[int]:
        """End the chunks of a dead worker: what it was told of is unknown, the rest failed. Returns them."""
        gone = [chunk for chunk, entry in self._chunks.items() if entry.worker == worker]
        for chunk in gone:
            self._end(chunk)
        return gone

    def give_up(self) -> list[int]:
        """End all chunks that are left, as died does. Returns them."""
        gone = list(self._chunks)
        for chunk in gone:
            self._end(chunk)
        self.failed += self.held
        self.held = 0
        return gone

    @property
    def pending_rows(self) -> int:
        """Rows of chunks that are still alive."""
        return sum(entry.rows for entry in self._chunks.values())

    @property
    def dealt_chunks(self) -> int:
        """Chunks that a worker has been told of and not answered for."""
        return sum(entry.dealt for entry in self._chunks.values())

    def dealt(self, worker: int) -> list[int]:
        """Return the chunks that the worker has been told of and not answered for."""
        return [chunk for chunk, entry in self._chunks.items() if entry.dealt and entry.worker == worker]

    @property
    def idle(self) -> bool:
        """Nothing is left to wait for."""
        return not self._chunks

    def _count(self, partitions: list[PartitionAck]) -> int:
        acknowledged = 0
        for topic, partition, messages, rows, size, first, last, unknown, runs in partitions:
            if messages == 0 and not runs:
                continue
            total = self.partitions.setdefault((topic, partition), PartitionTotal())
            total.add(messages, rows, size, first, last)
            for run in runs:
                total.runs.add(run)
            self.messages += messages
            self.bytes += size
            self.unknown_offsets += unknown
            acknowledged += rows
        self.acknowledged += acknowledged
        return acknowledged

    def _end(self, chunk: int) -> None:
        entry = self._forget(chunk)
        already = self._count(entry.parts)
        if entry.dealt:
            self.unknown += entry.rows - already
        else:
            self.failed += entry.rows - already

    def _forget(self, chunk: int) -> _Chunk:
        entry = self._chunks.pop(chunk)
        self.dealt_rows[entry.worker] -= entry.rows
        return entry
