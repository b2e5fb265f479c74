"""writer: open, write, flush, close.

    with penstock.open(topic="orders", bootstrap_servers="localhost:9092", schema=schema) as writer:
        for batch in batches:
            writer.write(batch)
        report = writer.flush()

The front door: blocks.py takes the rows from here to the workers, coordinator.py waits for what these answer.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from penstock import config as configuration
from penstock.blocks import Blocks
from penstock.changes import without_change
from penstock.consolidate import Consolidation, Rows, paired
from penstock.coordinator import Coordinator
from penstock.deadletters import open_rows
from penstock.encode import Planner
from penstock.errors import (
    ConfigError,
    DeliveryError,
    EncodeError,
    InternalError,
    PenstockError,
    SourceError,
    WriterClosed,
)
from penstock.formats import check_format
from penstock.registry import open_registry
from penstock.source.batch import ROWS_PER_PIECE, check_same_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    import pyarrow as pa
    from typing_extensions import Self, Unpack

    from penstock.config import Config
    from penstock.config.document import ConfigSource
    from penstock.config.keywords import Settings
    from penstock.encode import Plan
    from penstock.report import Report
    from penstock.source import Source
    from penstock.source.batch import Batch

__all__ = ["Statistics", "Writer", "open", "write", "write_source"]

_log = logging.getLogger("penstock")

_TICK_SECS = 0.1


class Statistics(msgspec.Struct, frozen=True):
    """How a writer stands, as one moment's numbers.

    rows_taken         given to `write` so far
    rows_held          of those the ones that wait in the output buffer
    rows_acked         acknowledged by the broker; messages_acked, bytes_acked (keys and values) likewise
    arena_bytes        of shared memory in use now; arena_peak_bytes the most so far, of arena_size
    partitions         of the topic
    workers            processes; 0: none but the caller's
    """

    rows_taken: int
    rows_held: int
    rows_acked: int
    messages_acked: int
    bytes_acked: int
    arena_bytes: int
    arena_peak_bytes: int
    arena_size: int
    partitions: int
    workers: int


class Writer:
    """Writes Arrow data to one topic; made by penstock.open. To be used from one thread at a time."""

    def __init__(self, config: Config, schema: pa.Schema | None = None) -> None:
        self._config = config
        self._schema = schema
        self._tick: Callable[[Statistics], None] | None = None
        self._ticked = 0.0
        self._report: Report | None = None  # the last one, for calls after the end
        self._open = False
        self._process = os.getpid()
        # The columns are checked before any process is started, and their schemas get their ids; the partitions do not
        # matter to that.
        check_format(config)
        registry = open_registry(config)
        if schema is not None:
            Planner(config, 0, 1, registry).plan(schema)
        self._coordinator = Coordinator(config)
        self._config = config = self._coordinator.config
        self._open = True
        job = self._coordinator.job
        self._planner = Planner(
            config,
            self._coordinator.partitions,
            self._coordinator.lanes,
            registry,
            stream_id=None if job is None else job.stream_id,
        )
        self._source: Source | None = None  # a whole one, which tells its positions
        self._row = 0 if job is None else job.position_rows  # of a job's source: how many were given so far
        self._held_from = self._row  # the first that is held, or the next
        self._held_at: Callable[[], Any] | None = None
        self._blocks = Blocks(self._coordinator)
        self._buffer = Consolidation(config, self._planner) if config.enable_output_buffer else None
        self._is_snapshot = False  # the schema is so far that of a snapshot
        self._changed = False

    # --- for everybody ---

    def write(self, data: object, *, timeout_secs: float | None = None) -> None:
        """Hand rows to the workers; return once all of them are in shared memory.

        data          anything with __arrow_c_stream__ or __arrow_c_array__, an iterable of those, or paths
        timeout_secs  how long to wait for room in the arena; None waits without limit
        Copies        each value once, into the arena; the data may be changed afterwards
        Order         rows with equal keys reach Kafka in the order given; without a key there is no order
        Held          with an index until the whole batch has been looked at, which is then sent without regard to the
                      timeout; with an output buffer until that is full or late, or flushed: rows that are merged away
                      count as skipped
        Raises        SchemaError or ConfigError, nothing of that batch sent, and SourceError, the rows before it sent:
                      the writer stays open. EncodeError, DeliveryError and WorkerDied (also for rows of earlier calls)
                      with the counts in `report`: the writer is closed. WriteTimeout: the rows of `data` that found
                      room are sent, `rows_taken` of statistics() says how many, the writer stays open
        """
        self._check_open()
        with self._failing():
            self._send_late()
        deadline = None if timeout_secs is None else time.monotonic() + timeout_secs
        with self._opened(data) as source:
            self._write_source(source, deadline)

    def snapshot(self, data: object, *, timeout_secs: float | None = None) -> None:
        """Write all rows of a table as inserts, before any change to it; changes follow with `write`.

        data     as for write; the column that says what a row does may be missing. If it is there, an op is not read,
                 a weight says how often the row is inserted
        Raises   ValueError once `write` has been called; else as write
        Buffer   the output buffer is not used: a snapshot is sent as it comes, with an index batch by batch
        """
        self._check_open()
        if self._changed:
            raise ValueError(
                "snapshot comes before any change, and this writer was given some already; open another writer for it"
            )
        deadline = None if timeout_secs is None else time.monotonic() + timeout_secs
        with self._opened(data) as source:
            self._write_source(source, deadline, snapshot=True)

    def poll(self) -> None:
        """Take the workers' answers, and send the output buffer if it has become late; waits only if it is sent.

        Nothing else looks at the clock while nothing is written: with max_output_buffer_time_millis call this from
        time to time. Raises as write does for earlier rows.
        """
        self._check_open()
        with self._failing():
            self._coordinator.poll(0)
            self._coordinator.raise_failure()
            self._send_late()

    def try_write(self, data: object) -> bool:
        """Hand rows over if there is room for them now; False, and nothing of it taken, if there is not.

        data    as for write, but one RecordBatch of at most 65536 rows; ValueError for more
        Waits   only where these rows fill an output buffer, which is then sent
        Raises  as write
        """
        self._check_open()
        with self._opened(data) as source:
            pieces = [(batch, piece) for batch in source.batches() for piece in batch.pieces()]
        if len(pieces) > 1:
            raise ValueError(f"try_write takes one RecordBatch of at most {ROWS_PER_PIECE} rows; use write")
        for batch, piece in pieces:
            self.poll()
            if not self._blocks.has_room(self._planner.plan(batch.schema), piece):
                return False
            with self._failing():
                self._write_batch(batch, None)
        return True

    def commit(self, position: object) -> None:
        """Of a job: note that all rows so far lie before this position of your source, and have it recorded with them.

        position  anything that JSON has a form for; position() returns it in the next run
        Returns   at once: what was written is recorded once it is acknowledged, flush() waits for that
        Ends      the epoch: with delivery=exactly_once what was written since the last one becomes visible together
        Raises    ValueError without a job; SourceError when an earlier run came to this position after another number
                  of rows; and as write does for earlier rows
        """
        self._check_open()
        if self._coordinator.job is None:
            raise ValueError("commit records the progress of a job; open the writer with job=...")
        msgspec.json.encode(position)  # TypeError here, not when it is recorded
        with self._failing():
            if self._buffer is not None:
                self._send(self._buffer)
            self._coordinator.job.mark(position)
            self._coordinator.end_epoch()
            self._coordinator.poll(0)
            self._coordinator.raise_failure()

    def position(self) -> Any:  # noqa: ANN401 - the caller's
        """Return where a job is to go on: the last position committed by the lane that has least; None: the beginning.

        Write the same rows again from there, with the same commits: what a lane has already, it passes over.
        """
        self._check_open()
        if self._coordinator.job is None:
            raise ValueError("only a job has a position; open the writer with job=...")
        return self._coordinator.job.position

    def flush(self) -> Report:
        """Wait until the broker has acknowledged every row that was written, and return the receipt.

        Of a job all of it is recorded, and with delivery=exactly_once committed.
        Raises DeliveryError, EncodeError or WorkerDied with exact counts in `report`; the writer is closed then.
        """
        return self._flush(finished=False)

    def _flush(self, *, finished: bool) -> Report:
        self._check_open()
        try:
            if self._buffer is not None:
                self._send(self._buffer)
            self._coordinator.end_epoch(finished=finished)
            while True:
                self._coordinator.drain(time.monotonic() + _TICK_SECS)
                self._progress()
                self._coordinator.raise_failure()
                if self._coordinator.idle:
                    self._report = self._coordinator.report()
                    return self._report
        except BaseException as error:
            self._abandon(error)
            raise

    def close(self) -> None:
        """Flush, then end the workers and give the memory back; may be called twice. Raises as flush does."""
        if not self._open or self._is_forked():
            return
        self.flush()
        self._end(kill=False)

    def statistics(self) -> Statistics:
        """Return how things stand, peaks as well as levels."""
        coordinator = self._coordinator
        ledger = coordinator.ledger
        return Statistics(
            rows_taken=ledger.taken,
            rows_held=ledger.held,
            rows_acked=ledger.acknowledged,
            messages_acked=ledger.messages,
            bytes_acked=ledger.bytes,
            arena_bytes=coordinator.arena.used,
            arena_peak_bytes=coordinator.arena.peak,
            arena_size=coordinator.arena.size,
            partitions=coordinator.partitions,
            workers=coordinator.workers,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        elif self._open and not self._is_forked():
            self._abandon(error)

    def __del__(self) -> None:
        if getattr(self, "_open", False) and not self._is_forked():
            lost = self._coordinator.ledger.pending_rows
            if lost:
                _log.warning("a writer was dropped without flush or close: %d rows are not acknowledged", lost)
            self._end(kill=True)

    # --- inside ---

    def _is_forked(self) -> bool:
        """Tell whether this is a copy in a child process: the workers and their answers are the parent's."""
        return os.getpid() != self._process

    def _check_open(self) -> None:
        if self._is_forked():
            raise WriterClosed("the writer belongs to the process that opened it, not to one forked off; open another")
        if not self._open:
            raise WriterClosed("the writer is closed; open another one", report=self._report)

    def _opened(self, data: object) -> Source:
        return open_rows(data, dead_letter=self._config.writer.dead_letter)

    def _write_all(self, source: Source) -> Report:
        """Write all of a source that is there as a whole; of a job from where it stands, to its end."""
        job = self._coordinator.job
        if job is not None:
            self._source = source
            if job.position is not None:
                source.start_at(job.position)
        self._write_source(source, None)
        return self._flush(finished=True)

    def _write_source(self, source: Source, deadline: float | None, *, snapshot: bool = False) -> None:
        batches = source.batches()
        while True:
            try:
                batch = next(batches, None)
            except Exception:  # of the source, or the caller's own: what was written before is still on its way
                raise
            except BaseException as error:
                self._abandon(error)
                raise
            if batch is None:
                return
            with self._failing():
                self._write_batch(batch, deadline, snapshot=snapshot)

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """End the writer for errors that its rows cannot survive.

        A batch with other columns, a source that cannot be read and a timeout leave it as it is, but for a job in the
        middle of a batch that it sends as a whole. Anything that is not
        ours, be it Ctrl-C or an alarm that raises, may have come between any two steps: nobody knows what was sent.
        """
        try:
            yield
        except PenstockError as error:
            job = self._coordinator.job
            if isinstance(error, (EncodeError, DeliveryError, InternalError)) or (job is not None and job.inside):
                self._abandon(error)
            raise
        except BaseException as error:
            self._abandon(error)
            raise

    def _write_batch(self, batch: Batch, deadline: float | None, *, snapshot: bool = False) -> None:
        self._coordinator.took_batch()
        self._check_columns(batch, snapshot=snapshot)
        plan = self._planner.plan(batch.schema, snapshot=snapshot)
        self._changed = self._changed or not snapshot
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
        return None if self._source is None else partial(self._source.position, batch, row)

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
        at = 0
        for which in passes:
            at = 0
            for piece in paired(plan, batch.pieces()):
                locate = None if self._source is None else partial(self._source_position, batch, at)
                rows = Rows(piece, batch.origin, batch.first_row + at, which, None, self._row + at, unit, locate)
                self._blocks.write(plan, rows, deadline)
                at += piece.num_rows
                self._progress()
        self._row = self._held_from = self._row + at
        if unit is not None:
            self._coordinator.reached(self._row, self._locate(batch, at))

    def _source_position(self, batch: Batch, before: int, row: int) -> Any:  # noqa: ANN401 - of JSON's types
        """Return the position of a row of a piece, so many rows behind the beginning of its batch."""
        assert self._source is not None  # noqa: S101 - it gave the batch
        return self._source.position(batch, before + row)

    def _hold(self, held: Consolidation, plan: Plan, batch: Batch) -> None:
        if self._coordinator.job is not None:
            self._coordinator.job.begin_unit(time.monotonic())
        at = 0
        for rows in held.add(plan, batch):
            self._coordinator.ledger.hold(rows)
            at += rows
            self._progress()
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
            self._progress()
        self._held_from = self._row
        self._coordinator.reached(self._row, self._held_at)

    def _send_late(self) -> None:
        if self._buffer is not None and self._buffer.late():
            self._send(self._buffer)

    def _progress(self) -> None:
        if self._tick is not None and time.monotonic() - self._ticked >= _TICK_SECS:
            self._ticked = time.monotonic()
            self._tick(self.statistics())

    def _abandon(self, error: BaseException) -> None:
        """After an error: let what was dealt be answered for a while, count the rest, attach the report, end."""
        if not self._open:
            return
        coordinator = self._coordinator
        try:
            if isinstance(error, PenstockError) and coordinator.failure is None:
                coordinator.failure = error
            elif coordinator.failure is None:
                coordinator.failure = WriterClosed("the writer was left by an exception")
            coordinator.drain(time.monotonic() + self._config.writer.shutdown_timeout_secs)
        finally:
            coordinator.give_up()
            self._report = report = coordinator.report()
            if isinstance(error, (PenstockError, KeyboardInterrupt)):
                _attach(error, report)
            else:
                _log.warning("the writer was left by %s: %s", type(error).__name__, report)
            self._end(kill=True)

    def _end(self, *, kill: bool) -> None:
        self._open = False
        self._coordinator.close(kill=kill)


def _count(batch: Batch) -> int:
    """Count the rows of a batch, decoding it where nothing else tells."""
    return sum(piece.num_rows for piece in batch.pieces()) if batch.rows is None else batch.rows


def _attach(error: PenstockError | KeyboardInterrupt, report: Report) -> None:
    error.report = report  # type: ignore[union-attr]
    if isinstance(error, DeliveryError):
        error.acknowledged_rows = report.rows
        error.failed_rows = report.failed_rows
        error.unknown_rows = report.unknown_rows
        unknown = f", {report.unknown_rows} unknown (they may or may not be in the log)" if report.unknown_rows else ""
        error.message += f"; {report.rows} rows are acknowledged, {report.failed_rows} are not{unknown}"


def open(  # noqa: A001 - penstock.open, as in gzip.open
    *,
    topic: str | None = None,
    bootstrap_servers: str | None = None,
    schema: pa.Schema | None = None,
    config: ConfigSource | None = None,
    connector: str | None = None,
    kafka_options: Mapping[str, object] | None = None,
    format: str | Mapping[str, Any] | None = None,  # noqa: A002 - the connector's word
    **settings: Unpack[Settings],
) -> Writer:
    """Connect to the topic and return a Writer; the workers are up and the topic's partitions known when it returns.

    schema     of what will be written, checked now instead of with the first batch
    format     json, csv, avro, protobuf, parquet, arrow or python, or an object of name and config
    config     the connector's object, or an array of such: a mapping, JSON or SQL text, or the path of a file with it,
               which may also be TOML or .properties
    connector  the name of the one to take, where there are several
    settings   workers, key, op_column, index, timestamp_column, … : `penstock config` lists them all
    Logs       on "penstock" what has no effect in `config`, and at level debug how the rest was taken
    Raises     ConfigError and SchemaError before any process or socket; ConnectError. Nothing is left behind.
    """
    loaded = configuration.load(
        config,
        connector=connector,
        kafka_options=kafka_options,
        format=format,
        for_preview=False,
        topic=topic,
        bootstrap_servers=bootstrap_servers,
        **settings,
    )
    configuration.log_warnings(loaded)
    return Writer(loaded, schema)


def write(
    source: object,
    *,
    input_format: str | None = None,
    topic: str | None = None,
    bootstrap_servers: str | None = None,
    config: ConfigSource | None = None,
    connector: str | None = None,
    kafka_options: Mapping[str, object] | None = None,
    format: str | Mapping[str, Any] | None = None,  # noqa: A002 - the connector's word
    **settings: Unpack[Settings],
) -> Report:
    """Write a whole source to the topic and return the receipt: everything in it is acknowledged.

    source        anything with __arrow_c_stream__ or __arrow_c_array__, an iterable of those, or paths
    input_format  parquet, arrow, csv or jsonl, where a file's name and content do not tell
    others        as for open
    Raises        ConfigError, SourceError, SchemaError before any process or socket; ConnectError; and, with the counts
                  in `report`, SourceError, EncodeError, DeliveryError, WorkerDied
    """
    loaded = configuration.load(
        config,
        connector=connector,
        kafka_options=kafka_options,
        format=format,
        for_preview=False,
        topic=topic,
        bootstrap_servers=bootstrap_servers,
        **settings,
    )
    configuration.log_warnings(loaded)
    with open_rows(source, dead_letter=loaded.writer.dead_letter, input_format=input_format) as opened:
        return write_source(opened, loaded)


def write_source(source: Source, config: Config, on_progress: Callable[[Statistics], None] | None = None) -> Report:
    """Write an opened source; on_progress is called from this thread about ten times a second."""
    with Writer(config, source.schema) as writer:
        writer._tick = on_progress  # noqa: SLF001 - ours
        return writer._write_all(source)  # noqa: SLF001
