"""feed: batches, as the writer gets them, into blocks: columns checked, held where they must be, counted for a job.

Writer ──Batch──▶ Feed ──pieces──▶ Blocks
                   └──▶ Consolidation: one batch with an index, many with the output buffer ──▶ Blocks
"""

from __future__ import annotations

import itertools
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from penstock.blocks import Blocks
from penstock.changes import without_change
from penstock.consolidate import Consolidation, Rows, paired
from penstock.encode import Planner
from penstock.errors import ConfigError, SourceError
from penstock.source.batch import check_same_columns

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from penstock.coordinator import Coordinator
    from penstock.encode import Plan
    from penstock.registry import Registry
    from penstock.source import Source
    from penstock.source.batch import Batch
    from penstock.statistics import Ticker

__all__ = ["Feed"]


class Feed:
    """What becomes of the batches of one writer.

    source   the whole one that they are of, which tells its positions; None: the caller's, who knows them himself
    changed  something else than a snapshot was written
    """

    def __init__(
        self,
        coordinator: Coordinator,
        registry: Registry | None,
        schema: pa.Schema | None,
        ticker: Ticker,
    ) -> None:
        """Begin with these columns; None: those of the first batch."""
        config, job = coordinator.config, coordinator.job
        self._config = config
        self._coordinator = coordinator
        self._ticker = ticker
        self._planner = Planner(
            config,
            coordinator.partitions,
            coordinator.lanes,
            registry,
            stream_id=None if job is None else job.stream_id,
        )
        self._blocks = Blocks(coordinator)
        self._buffer = Consolidation(config, self._planner) if config.enable_output_buffer else None
        self._schema = schema
        self._is_snapshot = False  # the schema is so far that of a snapshot
        self.changed = False
        self.source: Source | None = None
        self._row = 0 if job is None else job.position_rows  # of a job's source: how many were given so far
        self._held_from = self._row  # the first that is held, or the next
        self._held_at: Callable[[], Any] | None = None

    def has_room(self, batch: Batch, piece: pa.RecordBatch) -> bool:
        """Tell whether a piece of a batch fits the arena now; ValueError when it never does."""
        return self._blocks.has_room(self._planner.plan(batch.schema), piece)

    def write(self, batch: Batch, deadline: float | None, *, snapshot: bool = False) -> None:
        """Hand a batch over, or hold it; raises as Writer.write does."""
        self._coordinator.took_batch()
        self._check_columns(batch, snapshot=snapshot)
        plan = self._planner.plan(batch.schema, snapshot=snapshot)
        self.changed = self.changed or not snapshot
        if self._passes_over(batch):
            return
        if self._buffer is not None and not snapshot:
            self._check_lanes(plan)
            self._coordinator.poll(0)
            self._coordinator.raise_failure()  # of rows sent before: these would only be held
            self._hold(self._buffer, plan, batch)
            if self._buffer.full() or (
                self._coordinator.job is not None and self._coordinator.job.must_send(self._row)
            ):
                self._send(self._buffer)
        elif self._config.index is not None:
            held = Consolidation(self._config, self._planner)
            try:
                self._hold(held, plan, batch)
            except SourceError:
                if self._coordinator.job is None:
                    self._send(held)  # what was read before it, as without an index
                raise
            self._send(held)
        else:
            self._write_pieces(plan, batch, deadline)

    def _passes_over(self, batch: Batch) -> bool:
        """Tell whether a job has all of a batch from an earlier run, without decoding it."""
        job = self._coordinator.job
        if job is None or batch.rows is None or not job.has(self._row + batch.rows):
            return False
        self._coordinator.ledger.take(resumed=batch.rows)
        self._row = self._held_from = self._row + batch.rows
        self._coordinator.reached(self._row, self._locate(batch, batch.rows))
        return True

    def _check_lanes(self, plan: Plan) -> None:
        """Refuse what would send a change to another lane, depending on when the output buffer is sent."""
        if self._coordinator.job is not None and self._coordinator.job.lanes > 1 and not plan.affine:
            raise ConfigError(
                "enable_output_buffer with delivery=exactly_once needs a key, partition_by, or lanes=1: without, rows "
                "that are merged in one run and not in the next would change their lanes"
            )

    def _locate(self, batch: Batch, row: int) -> Callable[[], Any] | None:
        """Return what tells the position of a row of a batch, where it is the source that knows it."""
        return None if self.source is None else partial(self.source.position, batch, row)

    def _check_columns(self, batch: Batch, *, snapshot: bool) -> None:
        schema = batch.schema
        if schema is self._schema:
            return
        expected = self._schema
        if snapshot or self._is_snapshot:
            schema, expected = (one and without_change(one, self._config.writer) for one in (schema, expected))
        if expected is not None:
            check_same_columns(expected, schema, expected_in="the writer's schema", found_in=batch.origin)
        if self._schema is None or self._is_snapshot:
            self._schema, self._is_snapshot = batch.schema, snapshot

    def _write_pieces(self, plan: Plan, batch: Batch, deadline: float | None) -> None:
        passes: tuple[str, ...] = ("both",)
        unit: tuple[int, int] | None = None
        if plan.changes.mode == "weight":
            few = list(itertools.islice(batch.pieces(), 2))
            passes = plan.changes.passes(one_piece=len(few) < 2)  # noqa: PLR2004
            del few
            if self._coordinator.job is not None:  # it is sent out of its order, and so whole or not
                unit = self._row, self._row + _count(batch)
        first, at = self._row, 0
        for which in passes:
            at = 0
            for piece in paired(plan, batch.pieces()):
                locate = None if self.source is None else partial(self._position_of, batch, at)
                rows = Rows(piece, batch.origin, batch.first_row + at, which, None, first + at, unit, locate)
                self._blocks.write(plan, rows, deadline)
                at += piece.num_rows
                if unit is None:  # what follows may not be readable; these are handed over all the same
                    self._row = self._held_from = first + at
                self._ticker.tick()
        self._row = self._held_from = first + at
        if unit is not None:
            self._coordinator.reached(self._row, self._locate(batch, at))

    def _position_of(self, batch: Batch, before: int, row: int) -> Any:  # noqa: ANN401 - of JSON's types
        """Return the position of a row of a piece, so many rows behind the beginning of its batch."""
        assert self.source is not None  # noqa: S101 - it gave the batch
        return self.source.position(batch, before + row)

    def _hold(self, held: Consolidation, plan: Plan, batch: Batch) -> None:
        if self._coordinator.job is not None:
            self._coordinator.job.begin_unit(time.monotonic())
        at = 0
        for rows in held.add(plan, batch):
            self._coordinator.ledger.hold(rows)
            at += rows
            self._ticker.tick()
        self._row += at
        self._held_at = self._locate(batch, at)

    def _send(self, held: Consolidation) -> None:
        ledger = self._coordinator.ledger
        unit = self._held_from, self._row
        at = self._held_from
        for plan, rows in held.finish():
            before = ledger.taken
            try:
                self._blocks.write(plan, rows._replace(at=at, unit=unit), None)
            finally:
                ledger.hold(before - ledger.taken)  # counted by what became of them from now on
            at += rows.piece.num_rows
            self._ticker.tick()
        self._held_from = self._row
        self._coordinator.reached(self._row, self._held_at)

    def send_held(self) -> None:
        """Send the output buffer, where there is one."""
        if self._buffer is not None:
            self._send(self._buffer)

    def send_late(self) -> None:
        """Send the output buffer if it has become late."""
        if self._buffer is not None and self._buffer.late():
            self._send(self._buffer)


def _count(batch: Batch) -> int:
    """Count the rows of a batch, decoding it where nothing else tells."""
    return sum(piece.num_rows for piece in batch.pieces()) if batch.rows is None else batch.rows
