"""writer: open, write, flush, close.

    with penstock.open(topic="orders", bootstrap_servers="localhost:9092", schema=schema) as writer:
        for batch in batches:
            writer.write(batch)
        report = writer.flush()

The front door: blocks.py takes the rows from here to the workers, coordinator.py waits for what these answer.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from typing import TYPE_CHECKING, Any

import msgspec

from penstock import config as configuration
from penstock.coordinator import Coordinator
from penstock.deadletters import open_rows
from penstock.encode import Planner
from penstock.errors import (
    DeliveryError,
    EncodeError,
    InternalError,
    PenstockError,
    WriterClosed,
)
from penstock.feed import Feed
from penstock.formats import check_format
from penstock.registry import open_registry
from penstock.source.batch import ROWS_PER_PIECE
from penstock.statistics import TICK_SECS, Statistics, Ticker, statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    import pyarrow as pa
    from typing_extensions import Self, Unpack

    from penstock.config import Config
    from penstock.config.document import ConfigSource
    from penstock.config.keywords import Settings
    from penstock.report import Report
    from penstock.source import Source

__all__ = ["Writer", "open", "write", "write_source"]

_log = logging.getLogger("penstock")


class Writer:
    """Writes Arrow data to one topic; made by penstock.open. To be used from one thread at a time."""

    def __init__(self, config: Config, schema: pa.Schema | None = None) -> None:
        self._config = config
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
        self._config = self._coordinator.config
        self._open = True
        self._ticker = Ticker(self._coordinator)
        self._feed = Feed(self._coordinator, registry, schema, self._ticker)

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
            self._feed.send_late()
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
        if self._feed.changed:
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
            self._feed.send_late()

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
            if not self._feed.has_room(batch, piece):
                return False
            with self._failing():
                self._feed.write(batch, None)
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
            self._feed.send_held()
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
            self._feed.send_held()
            self._coordinator.end_epoch(finished=finished)
            while True:
                self._coordinator.drain(time.monotonic() + TICK_SECS)
                self._ticker.tick()
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
        return statistics(self._coordinator)

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
            self._feed.source = source
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
                self._feed.write(batch, deadline, snapshot=snapshot)

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """End the writer for errors that its rows cannot survive.

        A batch with other columns, a source that cannot be read and a timeout leave it as it is, but for a job in the
        middle of a batch that it sends as a whole. Anything that is not ours, be it Ctrl-C or an alarm that raises, may
        have come between any two steps: nobody knows what was sent.
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
        writer._ticker.told = on_progress  # noqa: SLF001 - ours
        return writer._write_all(source)  # noqa: SLF001
