"""progress: how far each job has come, as records of a compacted topic; written by jobs, read here.

    key  "nightly/0", job and lane      value  Progress as JSON; null: the job is forgotten

With delivery=exactly_once a lane's record is part of the transaction whose rows it tells of. So a reader must know the
end of what is committed: read_progress notes the high watermark and reads committed up to it, however long (but for a
limit) an open transaction of this or another job holds that back. Records at the end that are no messages, the marks
of transactions, count: a partition is done when the consumer says that its position is there, never when nothing comes.
"""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from penstock.errors import ConnectError
from penstock.produce import transaction_secs, transactional_id
from penstock.reader import Reader
from penstock.report import Sum  # noqa: TC001 - msgspec reads the annotation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.config import Config
    from penstock.reader import Isolation, Place, Read
    from penstock.tokens import Tokens

__all__ = [
    "Job",
    "Jobs",
    "Progress",
    "ProgressReader",
    "decode_progress",
    "read_progress",
    "sum_up",
    "transactional_ids",
]

_log = logging.getLogger("penstock")

_STEP_SECS: Final = 0.01  # how late the end is noticed; a job's start waits for it
_FETCH_WAIT_MS: Final = 10  # how long a broker that has nothing more may think about it
_TELL_SECS: Final = 2.0

Jobs = dict[str, "dict[int, Progress]"]  # by job and lane
_Count = Annotated[int, msgspec.Meta(ge=0)]


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far one lane of a job has come.

    topic, partitions, delivery   what the job writes to, and how
    plan           a hash of format, key and partitioning, that may not change while the job lives
    began_ms       when this life of the job began; --restart begins another, and records of earlier ones count no more
    epoch          counts from 1
    rows           of the source, before which this lane has everything
    position       of the source, in JSON's types; None: its beginning
    position_rows  how many rows lie before that position
    stream_id      the next one, of formats that have it
    offsets        at_least_once: by topic and partition, the offset behind the last message that is acknowledged
    audited        `runs` has all that this lane has sent since the job began
    runs           with audit: by "topic/partition" the runs of all of the job so far, as PartitionReport.runs
    updated_ms     when the record was made
    """

    job: str
    lane: _Count
    lanes: Annotated[int, msgspec.Meta(ge=1)]
    topic: str
    partitions: _Count
    delivery: str
    plan: str
    began_ms: int
    epoch: _Count
    rows: _Count
    position: Any = None
    position_rows: _Count = 0
    finished: bool = False
    stream_id: int = 0
    offsets: dict[str, dict[str, int]] = {}
    audited: bool = False
    runs: dict[str, tuple[tuple[int, int, int, Sum], ...]] = {}
    updated_ms: int

    def key(self) -> bytes:
        """Return the key of the record."""
        return f"{self.job}/{self.lane}".encode()

    def value(self) -> bytes:
        """Return the record's value."""
        return msgspec.json.encode(self)


class Job(msgspec.Struct, frozen=True):
    """What the records of all lanes of a job come to.

    rows, position  those of the lane that is least far; a lane without a record is at the beginning
    finished        all lanes are
    updated_ms      when the newest record was made
    """

    name: str
    topic: str
    delivery: str
    rows: int
    position: Any
    finished: bool
    updated_ms: int
    lanes: tuple[Progress, ...]


def sum_up(lanes: Mapping[int, Progress]) -> Job:
    """Return what the records of a job's lanes, at least one, come to."""
    records = tuple(lanes[lane] for lane in sorted(lanes))
    one, complete = records[0], len(records) >= records[0].lanes
    least = min(records, key=lambda record: record.rows)
    return Job(
        name=one.job,
        topic=one.topic,
        delivery=one.delivery,
        rows=least.rows if complete else 0,
        position=least.position if complete else None,
        finished=complete and all(record.finished for record in records),
        updated_ms=max(record.updated_ms for record in records),
        lanes=records,
    )


def transactional_ids(job: str, lanes: int) -> list[str]:
    """Return the transactional ids of a job's lanes."""
    return [transactional_id(job, lane) for lane in range(lanes)]


def decode_progress(key: bytes | None, value: bytes | None) -> Progress:
    """Return the record; ValueError, in words that may be shown, where it is none of ours or damaged."""
    try:
        found = msgspec.json.decode(value or b"", type=Progress)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None
    if found.key() != key:
        raise ValueError("its key names another job or lane than its value")
    return found


def read_progress(
    config: Config,
    tokens: Tokens | None,
    job: str | None = None,
    *,
    isolation: Isolation = "read_committed",
    wait: bool = True,
) -> Jobs:
    """Return what ProgressReader.read does, by a reader that lives as long as that."""
    with contextlib.closing(ProgressReader(config, tokens, isolation=isolation)) as reader:
        return reader.read(job, wait=wait)


class ProgressReader:
    """Reads config.writer.progress_topic; may read several times.

    isolation  read_uncommitted: what was aborted and what is open counts too
    hides      the last read gave what was committed by then, and an open transaction hid the rest
    """

    def __init__(self, config: Config, tokens: Tokens | None, *, isolation: Isolation = "read_committed") -> None:
        self._topic = config.writer.progress_topic
        self._patience = transaction_secs(config.kafka)
        # a follower near by, which client.rack asks for, may know a lower high watermark than the leader
        options = {"fetch.wait.max.ms": str(_FETCH_WAIT_MS), **config.consumer_options, "client.rack": ""}
        self._reader = Reader(config, tokens, isolation, options)
        self.hides = False
        self._told = False

    def close(self) -> None:
        """End the reader."""
        self._reader.close()

    def read(self, job: str | None = None, *, wait: bool = True) -> Jobs:
        """Return the latest committed record of each lane, of the latest life of each job, or of one job.

        Nothing where there is no such topic. All that was written when this was called is waited for; wait=False: but
        for open transactions.
        Raises ConnectError when the topic cannot be read; when an open transaction hides the end of it for
               transaction.timeout.ms, after which its broker should have ended it
        """
        latest: dict[bytes, Progress] = {}
        left = {(self._topic, number): _Partition() for number in self._reader.partitions(self._topic) or ()}
        self._reader.begin(dict.fromkeys(left, 0))
        began = heard = time.monotonic()
        self.hides = False
        while left:
            messages, ended = self._reader.some(_STEP_SECS)
            for one in messages:
                if one.place in left:
                    _take(one, latest)
                    left[one.place] = _Partition(one.offset + 1, left[one.place].end)
            for place in left.keys() & ended.keys():
                left[place] = _Partition(ended[place], left[place].end, held=True)
            for place in left.keys() & {*ended, *(one.place for one in messages)}:
                if self._is_read(left[place], place, wait=wait):
                    del left[place]
                    self._reader.leave(place)
            if messages or ended:
                heard = time.monotonic()
            self._wait_for(left, began, heard)
        return _living(latest, job)

    def high_watermarks(self, topic: str) -> dict[int, int]:
        """Return for each partition of a topic the offset behind its last message that is committed."""
        return {number: self._reader.ends(topic, number)[1] for number in self._reader.partitions(topic) or ()}

    def _is_read(self, part: _Partition, place: Place, *, wait: bool) -> bool:
        """Tell whether all is read of a partition that has answered; its end is noted the first time."""
        if part.end is None:
            part.end = self._reader.high_watermark(place)
        if part.at >= part.end:
            return True
        self.hides = self.hides or (part.held and not wait)
        return part.held and not wait

    def _wait_for(self, left: dict[Place, _Partition], began: float, heard: float) -> None:
        """Tell once what is waited for, and end that where it takes too long."""
        now = time.monotonic()
        place, held = next(((place, part) for place, part in left.items() if part.held), (None, None))
        if held is None or place is None or not all(part.held for part in left.values()):
            if left and now - heard > self._reader.timeout_secs:
                raise self._reader.nothing_came(self._topic)
            return
        text = (
            f'the progress topic "{self._topic}": an open transaction hides what comes after offset {held.at} of '
            f"partition {place[1]}"
        )
        if now - began > self._patience:
            raise ConnectError(
                f"{text}, and did so for {self._patience:.0f} s (transaction.timeout.ms); `penstock transactions abort "
                "--job NAME` ends those of a job that is dead",
                code="_TIMED_OUT",
                retriable=True,
            )
        if now - began > _TELL_SECS and not self._told:
            self._told = True
            _log.warning("%s; waiting for it, at most %.0f s", text, self._patience)


@dataclass
class _Partition:
    """How far a partition has been read: before `at`, of `end` when it is known; held: there, for now, it ends."""

    at: int = 0
    end: int | None = None
    held: bool = False


def _take(one: Read, latest: dict[bytes, Progress]) -> None:
    """Put a record in the place of the one before."""
    if one.key is not None and one.value is None:
        latest.pop(one.key, None)
        return
    try:
        found = decode_progress(one.key, one.value)
    except ValueError as error:
        topic, number = one.place
        _log.warning("%s[%d] offset %d is not a record of a job's progress, passed over: %s",
                     topic, number, one.offset, error)  # fmt: skip
        return
    before = latest.get(found.key())
    # a process that was believed dead may have written after its successor
    if before is None or (found.began_ms, found.epoch) >= (before.began_ms, before.epoch):
        latest[found.key()] = found


def _living(latest: dict[bytes, Progress], job: str | None) -> Jobs:
    """Sort by job and lane; of each job only those of its latest life."""
    began: dict[str, int] = {}
    for one in latest.values():
        began[one.job] = max(one.began_ms, began.get(one.job, one.began_ms))
    jobs: Jobs = {}
    for one in sorted(latest.values(), key=lambda one: (one.job, one.lane)):
        if one.began_ms == began[one.job] and job in {None, one.job}:
            jobs.setdefault(one.job, {})[one.lane] = one
    return jobs
