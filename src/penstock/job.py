"""job: where a named job stands, which rows it passes over, when an epoch ends, and what is recorded then. No I/O.

Rows are counted from the beginning of the source, over all of its batches: by these numbers a lane knows what it has.
A *unit* is what an epoch cannot end in: a block of rows, or a whole batch where its rows are sent out of their order.
A row's lane must never depend on load, memory or the sizes of batches, or a lane that is ahead of others would pass
over rows that it does not have: so a row goes where its partition goes, and rows without a key in runs of fixed places.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from penstock.errors import ConfigError, SourceError
from penstock.lanes import Epoch
from penstock.progress import Progress
from penstock.report import JobPartition, JobReport
from penstock.runs import LaneRuns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from penstock.config import Config
    from penstock.control import PartitionAck

__all__ = ["RUN_ROWS", "Job", "count_lanes"]

RUN_ROWS: Final = 65536  # rows without a key that stay together
_DEFAULT_LANES: Final = 4
_EPOCH_SHARE: Final = 3  # of the arena: one epoch is committed while the next one fills, and there is room to spare
# What decides the bytes of a message and where it goes, beside the format.
_PLAN: Final = (
    "key", "key_format", "key_in_value", "partition_by", "partition_column", "partitioner", "op_column",
    "weight_column", "before_column", "after_column", "topic_column", "tombstone_column",
)  # fmt: skip


def count_lanes(config: Config, partitions: int, found: Mapping[int, Progress]) -> int:
    """Return how many lanes an exactly-once job has: as recorded, as configured, or 4, and no more than partitions."""
    if config.writer.lanes is not None:
        return config.writer.lanes
    for progress in found.values():
        return progress.lanes
    return max(1, min(_DEFAULT_LANES, partitions))


class Job:
    """One job in one run.

    name, exactly_once
    lanes         how many positions are kept: one, or exactly once one for each lane
    resumed_from  as many rows had been delivered before
    """

    def __init__(
        self, config: Config, partitions: int, lanes: int, arena_bytes: int, found: Mapping[int, Progress]
    ) -> None:
        """Begin where `found` says, the records of the job's lanes; none: at the beginning.

        Raises ConfigError where the job began with another topic, partitions, lanes, delivery, format or key.
        """
        writer = config.writer
        self.name = writer.job or ""
        self.exactly_once = writer.delivery == "exactly_once"
        self.lanes = lanes
        self._fixed: dict[str, Any] = {
            "topic": config.topic,
            "partitions": partitions,
            "delivery": writer.delivery,
            "lanes": lanes,
            "plan": _plan_of(config),
        }
        for progress in found.values():
            self._check(progress)
        first = next(iter(found.values()), None)
        self._began_ms = _now_ms() if first is None else first.began_ms
        self.stream_id = secrets.randbelow(2**63 - 1) if first is None else first.stream_id
        self.first_epoch = max((progress.epoch for progress in found.values()), default=0) + 1
        self._stands = [found.get(lane) for lane in range(lanes)]
        self._rows = [0 if progress is None else progress.rows for progress in self._stands]
        self.resumed_from = min(self._rows)
        self.possible_repeats = 0
        # the open epoch
        self._rows_per_epoch = writer.epoch_rows
        limits = [writer.epoch_bytes, arena_bytes // _EPOCH_SHARE if self.exactly_once else None]
        self._bytes_per_epoch = min((limit for limit in limits if limit is not None), default=None)
        self._secs_per_epoch = writer.epoch_secs
        self._reached = self._cut_at = self.position_rows
        self._bytes = 0
        self._since: float | None = None
        self._inside = False
        self._locate: Callable[[], Any] | None = None
        self._position, self._position_rows = self.position, self.position_rows
        finished = all(progress is not None and progress.finished for progress in self._stands)
        # by the epoch before; a new job records what it began with
        end = max(self._rows) if finished else self._reached
        self._recorded = (end, self._position_rows, finished, self._position) if found else None
        self._ends: dict[int, dict[tuple[str, int], int]] = {}  # by epoch: offsets behind what is acknowledged
        self._offsets: dict[str, dict[str, int]] = {}
        if first is not None:
            self._offsets = {topic: dict(offsets) for topic, offsets in first.offsets.items()}
        # of all that was committed; None: not all of it is known
        self._runs: list[LaneRuns | None] = [self._begin_runs(stand, audit=writer.audit) for stand in self._stands]
        self._runs_to_come: dict[int, LaneRuns | None] = {}

    def _begin_runs(self, stand: Progress | None, *, audit: bool) -> LaneRuns | None:
        if not audit or not self.exactly_once or not (stand is None or stand.audited):
            return None
        return LaneRuns({} if stand is None else stand.runs, str(self._fixed["topic"]))

    def _check(self, progress: Progress) -> None:
        for name, wanted in self._fixed.items():
            recorded = getattr(progress, name)
            if recorded == wanted:
                continue
            what = (
                "another format, key or partitioning than now"
                if name == "plan"
                else f"{name}={recorded}, it is {wanted} now"
            )
            raise ConfigError(
                f'job "{self.name}" began with {what}; what it has delivered would not fit what is to come: give what '
                "it began with, another name, or restart (--restart), which delivers everything again"
            )

    def begin_after(self, former: Mapping[int, Progress]) -> None:
        """Begin a life of the job that comes after this one, whatever the clocks say."""
        self._began_ms = max([self._began_ms, *(progress.began_ms + 1 for progress in former.values())])

    # --- where it begins ---

    @property
    def position(self) -> Any:  # noqa: ANN401 - the source's, or the caller's
        """Where the source is to be read from, as recorded of the lane that has least; None: from its beginning."""
        lowest = self._lowest()
        return None if lowest is None else lowest.position

    @property
    def position_rows(self) -> int:
        """How many rows of the source lie before that position."""
        lowest = self._lowest()
        return 0 if lowest is None else lowest.position_rows

    def _lowest(self) -> Progress | None:
        return min(self._stands, key=lambda progress: 0 if progress is None else progress.rows)

    def has(self, end: int) -> bool:
        """Tell whether all lanes have all rows before this one: nothing of them needs to be looked at."""
        return end <= self.resumed_from

    def passes(self, lane: int, first: int, end: int) -> bool:
        """Tell whether a lane has what it gets of the rows of this unit, from an earlier run.

        Raises SourceError where it has a part of it: the unit was another one then
        """
        rows = self._rows[lane if self.exactly_once else 0]
        if first < rows < end:
            raise SourceError(
                f'job "{self.name}": an earlier run delivered the rows before {rows}, which is now in the middle of a '
                f"batch, rows {first} to {end}; give the same batches as then"
            )
        return rows >= end

    def block_end(self, row: int) -> int:
        """Return the first row behind this one at which a block must end."""
        return min([row - row % RUN_ROWS + RUN_ROWS, *(rows for rows in self._rows if rows > row)])

    def must_send(self, row: int) -> bool:
        """Tell whether some lane's earlier run sent all that came before this row, so that a buffer must do so too."""
        return row in self._rows

    # --- the open epoch ---

    def add_bytes(self, size: int) -> None:
        """Count shared memory that the open epoch takes."""
        self._bytes += size

    def begin_unit(self, now: float) -> None:
        """Note that a unit has begun, which may be told for each part of it: until its end no epoch ends."""
        self._inside = True
        if self._since is None:
            self._since = now

    def reached(self, rows: int, locate: Callable[[], Any] | None) -> None:
        """Note that a unit has ended, so many rows after the source's beginning.

        locate  tells the position in the source there; None: the caller marks positions
        """
        self._reached = rows
        self._inside = False
        self._locate = locate

    def due(self, now: float) -> bool:
        """Tell whether the open epoch should end now."""
        rows = self._reached - self._cut_at
        if self._inside or self._since is None or rows <= 0 or self.has(self._reached):
            return False
        return (
            now - self._since >= self._secs_per_epoch
            or (self._rows_per_epoch is not None and rows >= self._rows_per_epoch)
            or (self._bytes_per_epoch is not None and self._bytes >= self._bytes_per_epoch)
        )

    @property
    def inside(self) -> bool:
        """A part of a unit is handed out or held, and not all of it."""
        return self._inside

    @property
    def can_end(self) -> bool:
        """The open epoch may end here, and has something in it."""
        return not self._inside and self._reached > self._cut_at

    def mark(self, position: Any) -> None:  # noqa: ANN401 - the caller's
        """Note where the caller would go on from here.

        Raises SourceError when an earlier run came to this position after another number of rows
        """
        for progress in self._stands:
            if progress is not None and position == progress.position and self._reached != progress.position_rows:
                raise SourceError(
                    f'job "{self.name}": position {position!r} comes after {self._reached} rows, and came after '
                    f"{progress.position_rows} when it was committed; replay the rows that followed writer.position()"
                )
        self._position, self._position_rows = position, self._reached

    def epoch(self, number: int, *, finished: bool = False) -> Epoch | None:
        """End the open epoch and return it, None where there is nothing to record that is not recorded."""
        if self._locate is not None and (position := self._locate()) is not None:
            self._position, self._position_rows = position, self._reached
        now = self._reached, self._position_rows, finished, self._position
        if self._recorded in (now, (self._reached, self._position_rows, True, self._position)):
            return None
        self._recorded = now
        self._cut_at, self._bytes, self._since = self._reached, 0, None
        return Epoch(number, self._reached, self._position, self._position_rows, finished)

    # --- what is recorded ---

    def acknowledged(self, epoch: int, partitions: list[PartitionAck]) -> None:
        """Note how far the topic's partitions have come with an epoch; at least once."""
        ends = self._ends.setdefault(epoch, {})
        for topic, partition, _, _, _, _, last, _, _ in partitions:
            if last >= 0:
                place = (topic or str(self._fixed["topic"]), partition)
                ends[place] = max(ends.get(place, 0), last + 1)

    def count_repeats(self, high_watermarks: Mapping[int, int]) -> None:
        """Count the messages in the topic behind what is recorded, which may be sent again.

        high_watermarks  of the topic's partitions, now; a new job begins there
        """
        topic = str(self._fixed["topic"])
        known = self._offsets.setdefault(topic, {str(number): high for number, high in high_watermarks.items()})
        self.possible_repeats = sum(
            max(0, high - known.get(str(number), 0)) for number, high in high_watermarks.items()
        )

    def record(self, lane: int, epoch: Epoch, answers: Iterable[PartitionAck]) -> Progress:
        """Return what is to be recorded of a lane at the end of an epoch; one that was further stays where it was.

        answers  what became of the epoch's messages
        """
        known = self._runs[lane]
        to_come = None if known is None else known.with_epoch(answers)
        told = None if to_come is None else to_come.told()
        self._runs_to_come[lane] = None if told is None else to_come
        before = self._stands[lane]
        if before is not None and before.rows > epoch.rows:
            where = (before.rows, before.position, before.position_rows, before.finished)
        else:
            where = (epoch.rows, epoch.position, epoch.position_rows, epoch.finished)
        for number in [number for number in self._ends if number <= epoch.number]:
            for (topic, partition), end in self._ends.pop(number).items():
                offsets = self._offsets.setdefault(topic, {})
                offsets[str(partition)] = max(offsets.get(str(partition), 0), end)
        rows, position, position_rows, finished = where
        return Progress(
            job=self.name,
            lane=lane,
            began_ms=self._began_ms,
            epoch=epoch.number,
            rows=rows,
            position=position,
            position_rows=position_rows,
            finished=finished,
            stream_id=self.stream_id,
            offsets=self._offsets,
            audited=told is not None,
            runs=told or {},
            updated_ms=_now_ms(),
            **self._fixed,
        )

    def recorded(self, progress: Progress) -> None:
        """Note that this is recorded."""
        self._stands[progress.lane] = progress
        self._runs[progress.lane] = self._runs_to_come.pop(progress.lane)

    def is_behind(self, lane: int, progress: Progress) -> bool:
        """Tell whether this was recorded after what this run, or one before it, has recorded of a lane."""
        before = self._stands[lane] if lane < self.lanes else None
        return before is None or (progress.began_ms, progress.epoch) > (before.began_ms, before.epoch)

    def is_ours(self, lane: int, progress: Progress | None) -> bool:
        """Tell whether what is recorded of a lane is what this run, or one before it, has recorded."""
        before = self._stands[lane]
        return progress == before

    def report(self) -> JobReport:
        """Return what the receipt says of the job."""
        rows = [0 if progress is None else progress.rows for progress in self._stands]
        known = [None if runs is None else runs.told() for runs in self._runs]
        partitions = [
            JobPartition(*_place(place), sum(run[2] for run in runs), runs)
            for told in known
            for place, runs in (told or {}).items()
        ]
        return JobReport(
            name=self.name,
            lanes=self.lanes,
            total_rows=min(rows),
            resumed_from=self.resumed_from,
            finished=all(progress is not None and progress.finished for progress in self._stands),
            possible_repeats=self.possible_repeats,
            partitions=None if None in known else tuple(sorted(partitions, key=lambda one: (one.topic, one.partition))),
        )


def _place(text: str) -> tuple[str, int]:
    topic, _, partition = text.partition("/")
    return topic, int(partition)


def _plan_of(config: Config) -> str:
    """Return a hash of all that decides which message a row becomes, and where it goes."""
    form = msgspec.to_builtins(config.format)
    chosen = {
        "format": {
            name: value for name, value in form.items() if name != "threads" and not name.startswith("registry")
        },
        "writer": {name: getattr(config.writer, name) for name in _PLAN},
        "topics": config.writer.topics,
        "index": config.index_columns,
        "buffer": config.enable_output_buffer,
    }
    return hashlib.sha256(msgspec.json.encode(chosen, order="sorted")).hexdigest()[:16]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
