"""blocks: pieces of a batch go into the arena, at most 64 Ki rows at a time, and from there to the workers as chunks.

    piece ──▶ block (its buffers, copied once) + selection (who gets which rows) ──▶ a chunk for each worker concerned

A block is as large as memory allows every worker two of them, beside the dictionaries; a dictionary is a block of its
own that others share.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from penstock import _core
from penstock.coordinator import Chunk
from penstock.errors import EncodeError
from penstock.job import RUN_ROWS
from penstock.source.batch import ROWS_PER_PIECE, row_error

if TYPE_CHECKING:
    import pyarrow as pa

    from penstock.consolidate import Rows
    from penstock.coordinator import Coordinator
    from penstock.encode import Plan

__all__ = ["Blocks"]

_SELECTION_BYTES_PER_ROW = 12  # an entry and a repeat
_GROUP_BYTES = 12
_ALIGNMENT = 16  # of a selection behind its block
_SLACK_BYTES = 4096  # alignments, a layout


class _Dictionary(NamedTuple):
    """A dictionary in the arena."""

    position: int
    size: int
    number: int


class _Block(NamedTuple):
    """Where the rows of a piece from first to end lie in the arena."""

    position: int
    size: int
    first: int
    end: int


class _Opened(NamedTuple):
    """A piece, with the places and ids of its dictionaries in the arena; for all of its blocks."""

    plan: Plan
    read: _core.Piece
    dictionaries: list[tuple[int, int]]
    deadline: float | None


class Blocks:
    """Puts rows into one coordinator's arena and deals them."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        self._largest = coordinator.arena.size // (2 * max(coordinator.workers, 1) + 2)
        self._runs = 0
        self._sticky = 0  # where rows of the block at hand go that are left to chance
        # of events, so far; those of a job count on behind any of an earlier run, which had fewer in each of its epochs
        self._sequence = 0 if coordinator.job is None else (coordinator.job.first_epoch - 1) << 32
        self._dictionaries: list[_Dictionary | None] = []
        self._dictionaries_of: Plan | None = None
        self._dictionary_number = 0

    def write(self, plan: Plan, rows: Rows, deadline: float | None) -> None:
        """Deal all rows of the piece, waiting for room in the arena.

        Raises EncodeError for a row that the changes or the partition cannot take, nothing of its block sent;
        WriteTimeout at the deadline; what the workers reported before.
        """
        coordinator = self._coordinator
        coordinator.raise_failure()
        if not coordinator.has_layout(plan.number):
            coordinator.left_out.add_plan(plan)
            coordinator.add_layout(plan.number, plan.layout)
        read = plan.read(rows.piece)
        dictionaries = self._place_dictionaries(plan, read, deadline)
        passes: tuple[str, ...] = (rows.which,)
        if rows.which == "both" and self._cut(plan, read, rows, 0)[0] < read.rows:
            # Its blocks are to it what pieces are to a batch.
            passes = plan.changes.passes(one_piece=False, judged=rows.verdicts is not None)
        opened = _Opened(plan, read, dictionaries, deadline)
        for which in passes:
            self._write_blocks(opened, rows._replace(which=which))

    def _write_blocks(self, opened: _Opened, rows: Rows) -> None:
        coordinator, read = self._coordinator, opened.read
        first = 0
        while first < read.rows:
            end, size = self._cut(opened.plan, read, rows, first)
            unit = rows.unit or (rows.at + first, rows.at + end)
            if rows.unit is None and coordinator.job is not None and coordinator.job.has(unit[1]):
                coordinator.ledger.take(resumed=end - first)
            else:
                self._write_block(opened, rows._replace(unit=unit), first, end, size)
            if rows.unit is None:
                coordinator.reached(unit[1], None if rows.locate is None else partial(rows.locate, end))
            first = end

    def _write_block(self, opened: _Opened, rows: Rows, first: int, end: int, size: int) -> None:
        coordinator, (plan, read, dictionaries, deadline) = self._coordinator, opened
        selection = self._select(plan, read, rows, first, end)
        if selection.rows:
            if size + selection.nbytes > coordinator.arena.size // 2:
                raise _too_large(rows, first, size, coordinator.arena.size // 2)
            position = coordinator.allocate(size + selection.nbytes + _ALIGNMENT, deadline)
            read.copy(first, end, coordinator.address, position, dictionaries)
            self._deal(plan, rows, selection, _Block(position, size, first, end), [place for place, _ in dictionaries])
        coordinator.ledger.take(skipped=selection.skipped)
        self._leave_out(plan, read, rows, selection)

    def _leave_out(self, plan: Plan, read: _core.Piece, rows: Rows, selection: _core.Selection) -> None:
        """Keep and count the rows that the selection could not take."""
        left_out = selection.left_out
        if not left_out:
            return
        coordinator = self._coordinator
        try:
            bad, _ = coordinator.left_out.leave_out(
                left_out, plan.number, lambda _, at: _core.rows_of_piece(read, at), (rows.origin, rows.first_row)
            )
        except EncodeError:
            coordinator.ledger.take(failed=sum(count for _, count, *_ in left_out))
            raise
        coordinator.ledger.take(bad=bad)

    def has_room(self, plan: Plan, piece: pa.RecordBatch) -> bool:
        """Whether the piece fits the arena now, as one block; ValueError when it never does."""
        coordinator = self._coordinator
        read = plan.read(piece)
        size = read.measure(0, read.rows) + sum(read.measure_dictionary(at) for at in range(read.dictionaries))
        size += read.rows * _SELECTION_BYTES_PER_ROW + coordinator.partitions * _GROUP_BYTES + _SLACK_BYTES
        if size > self._largest:
            raise ValueError(f"the rows need {size} bytes, at this memory_bytes {self._largest} fit at once; use write")
        place = coordinator.arena.allocate(size)
        if place is not None:
            coordinator.arena.release(place)
        return place is not None

    def _cut(self, plan: Plan, read: _core.Piece, rows: Rows, first: int) -> tuple[int, int]:
        """Return the end of the next block, and its size; a -U and its +U stay together.

        Of a job no block goes beyond a run of rows without a key, nor beyond what some lane has from an earlier run.
        """
        taken = sum(entry.size for entry in self._dictionaries if entry is not None)
        largest = self._largest * (self._coordinator.arena.size - taken) // self._coordinator.arena.size
        end = min(first + ROWS_PER_PIECE, read.rows)
        if self._coordinator.job is not None:
            end = min(end, self._coordinator.job.block_end(rows.at + first) - rows.at)
        size = read.measure(first, end)
        while size > largest and end - first > 1:
            end = first + max(1, (end - first) * largest // (size * 2))
            size = read.measure(first, end)
        if plan.pairs and end < read.rows and plan.selector.is_pair(read, end - 1):
            end = end - 1 if end - 1 > first else end + 1
            size = read.measure(first, end)
        return end, size

    def _select(self, plan: Plan, read: _core.Piece, rows: Rows, first: int, end: int) -> _core.Selection:
        run = self._runs if self._coordinator.job is None else (rows.at + first) // RUN_ROWS
        self._runs += 1
        self._sticky = run % self._coordinator.partitions
        try:
            return plan.selector.select(read, first, end, rows.which, self._sticky, rows.verdicts)
        except _core.RowError as error:
            row, column, text = error.args
            self._coordinator.ledger.take(failed=1)
            raise row_error(rows.origin, rows.first_row + row, column, text) from None

    def _deal(self, plan: Plan, rows: Rows, selection: _core.Selection, block: _Block, dictionaries: list[int]) -> None:
        coordinator = self._coordinator
        position, size, first, end = block
        behind = (position + size + _ALIGNMENT - 1) // _ALIGNMENT * _ALIGNMENT
        entries, repeats, groups = selection.copy(coordinator.address, behind)
        holds = (position, *dictionaries)
        job = coordinator.job
        for owner, first_group, count, share, copies in selection.shares():
            # A run without a key goes where its partition would.
            lane = owner if plan.affine else self._sticky % coordinator.lanes
            if job is not None and rows.unit is not None and job.passes(lane, *rows.unit):
                coordinator.ledger.take(resumed=share)
                continue
            for place in holds:
                coordinator.arena.share(place)
            coordinator.deal(
                Chunk(
                    layout=plan.number,
                    place=(
                        position,
                        first,
                        entries,
                        repeats,
                        groups + _GROUP_BYTES * first_group,
                        count,
                        self._sequence,
                    ),
                    lane=lane if plan.affine or job is not None else None,
                    rows=share,
                    holds=holds,
                    origin=rows.origin,
                    first_row=rows.first_row,
                    block_rows=(first, end),
                    resend=plan.layout.resend,
                )
            )
            self._sequence += share if plan.layout.packing.weighted else copies
        coordinator.arena.release(position)  # the chunks have it now

    def _place_dictionaries(self, plan: Plan, read: _core.Piece, deadline: float | None) -> list[tuple[int, int]]:
        """Put each dictionary into the arena, unless the piece before had the same one; (position, id) of each.

        Pieces of one Parquet row group bring equal dictionaries at different addresses, and a caller may change one in
        place, so values are compared, with those in the arena.
        """
        coordinator = self._coordinator
        if self._dictionaries_of is not plan:
            for at in range(len(self._dictionaries)):
                self._let_go(at)
            self._dictionaries = [None] * read.dictionaries
            self._dictionaries_of = plan
        for at, before in enumerate(self._dictionaries):
            if before is not None:
                if read.is_dictionary_at(at, coordinator.address, before.position):
                    continue
                self._let_go(at)  # before the next one is placed: there may not be room for both
            size = read.measure_dictionary(at)
            position = coordinator.allocate(size, deadline)
            read.copy_dictionary(at, coordinator.address, position)
            self._dictionary_number += 1
            self._dictionaries[at] = _Dictionary(position, size, self._dictionary_number)
        placed = [entry for entry in self._dictionaries if entry is not None]
        read.set_dictionary_ids([entry.number for entry in placed])
        return [(entry.position, entry.number) for entry in placed]

    def _let_go(self, at: int) -> None:
        entry = self._dictionaries[at]
        if entry is not None:
            self._dictionaries[at] = None
            self._coordinator.arena.release(entry.position)


def _too_large(rows: Rows, row: int, size: int, limit: int) -> EncodeError:
    text = (
        f"the row needs {size} bytes of shared memory, memory_bytes leaves {limit} for one row; give more memory_bytes"
    )
    return row_error(rows.origin, rows.first_row + row, "", text)
