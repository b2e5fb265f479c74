"""commits: what a named job adds to a coordinator: where it begins, what waits for its commit, what is recorded when.

    chunks, answers ──▶ Lanes (which epoch, what is complete) ──▶ control.Commit with the record that Job makes
    a worker that died ──▶ the progress topic is read again: was its last transaction committed, or not?

The coordinator sends and hears; here it is decided what. Of I/O there is only reading the progress topic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.control import Commit
from penstock.errors import ConnectError, Fenced
from penstock.job import Job, count_lanes
from penstock.lanes import Lanes
from penstock.progress import ProgressReader, read_progress, transactional_ids
from penstock.transactions import abort_lanes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from penstock.config import Config
    from penstock.control import Ack, PartialAck, PartitionAck
    from penstock.progress import Progress
    from penstock.reader import Isolation
    from penstock.tokens import Tokens

__all__ = ["Commits"]


class Commits:
    """One job's commits in one run.

    exactly_once  an epoch is a transaction: what is in it waits for it, and counts when it is committed
    job           where it stands, once begin() was called
    """

    def __init__(self, config: Config, tokens: Tokens | None) -> None:
        """Open the reader of the progress topic, which must be there."""
        self._config = config
        self._name = config.writer.job or ""
        self._topic = config.writer.progress_topic
        self.exactly_once = config.writer.delivery == "exactly_once"
        self._tokens = tokens
        # At least once nothing is hidden by transactions, and those of other jobs are not waited for.
        isolation: Isolation = "read_committed" if self.exactly_once else "read_uncommitted"
        self._reader = ProgressReader(config, tokens, isolation=isolation)
        self._former: Mapping[int, Progress] = {}  # an earlier life of the job, which is to be forgotten
        self._parts: dict[int, list[PartitionAck]] = {}  # of answers that came in parts, by chunk
        self._failing: dict[int, float] = {}  # workers that could not commit, and since when
        self._records: dict[int, Progress] = {}  # of lanes that were told, until they have answered

    def close(self) -> None:
        """End the reader."""
        self._reader.close()

    def find(self) -> Mapping[int, Progress]:
        """Read how far the job has come: by lane, nothing where it is new or is to start over."""
        found = self._reader.read(self._name).get(self._name, {})
        if not self._config.writer.restart:
            return found
        self._former = found
        return {}

    def count_lanes(self, partitions: int) -> int:
        """Return how many transactional producers the job has; before it is read where it stands.

        What a life of it that was killed has left open is not waited for: it is ended when its lanes are fenced, those
        that this one does not have here.
        """
        found = self._reader.read(self._name, wait=False)
        if self._name not in found and self._reader.hides:
            found = read_progress(self._config, self._tokens, self._name, isolation="read_uncommitted")
        former = found.get(self._name, {})
        lanes = count_lanes(self._config, partitions, {} if self._config.writer.restart else former)
        one = next(iter(former.values()), None)
        if self._config.writer.restart and one is not None and one.delivery == "exactly_once" and one.lanes > lanes:
            abort_lanes(self._config, self._tokens, transactional_ids(self._name, one.lanes)[lanes:])
        return lanes

    def begin(self, partitions: int, lanes: int, arena_bytes: int, found: Mapping[int, Progress]) -> None:
        """Begin where `found` says; ConfigError where the job began otherwise. Its lanes must be fenced by now."""
        kept = lanes if self.exactly_once else 1
        self.job = Job(self._config, partitions, kept, arena_bytes, found)
        self.job.begin_after(self._former)
        self._lanes = Lanes(kept, gated=self.exactly_once, first=self.job.first_epoch)
        if not self.exactly_once:
            self.job.count_repeats(self._reader.high_watermarks(self._config.topic))
        self.end_epoch()  # of a new job: what it began with

    # --- chunks ---

    def enter(self, chunk: int, lane: int, now: float) -> None:
        """Enter a chunk that is to be sent."""
        self._lanes.enter(chunk, lane if self.exactly_once else 0)
        self.job.begin_unit(now)

    def may_go(self, chunk: int) -> bool:
        """Tell whether the chunk's lane is in its epoch: before, it must not be sent."""
        return self._lanes.may_go(chunk)

    def part(self, ack: PartialAck) -> None:
        """Note a part of an answer."""
        self._note(ack.chunk, ack.partitions)
        if self.exactly_once:
            self._parts.setdefault(ack.chunk, []).extend(ack.partitions)

    def sent_again(self, chunk: int) -> None:
        """Forget what was answered for a chunk that is sent again."""
        self._parts.pop(chunk, None)

    def answer(self, ack: Ack) -> bool:
        """Note a chunk's answer; True: it counts now, False: it is kept until its epoch is committed."""
        self._note(ack.chunk, ack.partitions)
        return self._lanes.answer(ack)

    def _note(self, chunk: int, partitions: list[PartitionAck]) -> None:
        if not self.exactly_once:
            self.job.acknowledged(self._lanes.epoch_of(chunk), partitions)

    # --- epochs ---

    def reached(self, rows: int, locate: Callable[[], Any] | None, now: float) -> None:
        """Note that a unit has ended, as Job.reached does, and end the epoch if it is time for that."""
        self.job.reached(rows, locate)
        self.tick(now)

    def tick(self, now: float) -> None:
        """End the open epoch if it is time for that."""
        if self.job.due(now):
            self.end_epoch()

    def end_epoch(self, *, finished: bool = False) -> None:
        """End the open epoch, wherever the source stands; nothing happens where there is nothing new to record."""
        epoch = self.job.epoch(self._lanes.open, finished=finished)
        if epoch is not None:
            self._lanes.cut(epoch)

    def make_room(self) -> bool:
        """See that memory becomes free; False where what takes it is one unit, which cannot be committed in parts."""
        if self.exactly_once and not self._lanes.waiting and self.job.can_end:
            self.end_epoch()
        return not self.exactly_once or self._lanes.waiting

    def due(self, reachable: Callable[[int], bool]) -> Iterator[Commit]:
        """Give what lanes within reach are to be told, now that all of an epoch is answered; unsent() undoes it."""
        for lane, epoch in self._lanes.due(reachable):
            acks = self._lanes.answers(lane)
            answers = (part for ack in acks for part in (*self._parts.get(ack.chunk, ()), *ack.partitions))
            progress = self.job.record(lane, epoch, answers)
            self._records[lane] = progress
            yield Commit(lane, epoch.number, self._topic, progress.key(), progress.value())

    def unsent(self, lane: int) -> None:
        """Note that a lane could not be told."""
        self._lanes.untell(lane)

    def committed(self, lane: int) -> list[Ack]:
        """Note that a lane has committed what it was told to; returns what counts now."""
        _, acks = self._lanes.recorded(lane)
        for ack in acks:
            self._parts.pop(ack.chunk, None)
        self.job.recorded(self._records.pop(lane))
        return acks

    @property
    def idle(self) -> bool:
        """Nothing is left to be recorded."""
        return not self._lanes.waiting

    @property
    def telling(self) -> bool:
        """Some lane has been told to commit and has not answered."""
        return self._lanes.telling

    def in_doubt(self, lane: int) -> bool:
        """Tell whether a lane has been told to commit and has not answered."""
        return self._lanes.told(lane) is not None

    # --- when something fails ---

    def keeps_failing(self, worker: int, limit_secs: float, now: float) -> bool:
        """Note that a worker could not commit; True when it could not for longer than the limit (0: there is none)."""
        return 0 < limit_secs < now - self._failing.setdefault(worker, now)

    def succeeds(self, worker: int) -> None:
        """Note that a worker has committed something."""
        self._failing.pop(worker, None)

    def fenced(self, what: str, code: str) -> Fenced:
        """Return the error for a job that somebody else has begun as well."""
        return Fenced(
            f'job "{self._name}": another writer of the same job has taken over; what this one had not committed is '
            f"not in the topic, and the other one goes on; {what}",
            code=code,
        )

    def taken_over(self, what: str) -> Fenced | None:
        """Return the error where another writer of the job has recorded something; to be asked before fencing again.

        A transaction that lasted too long fails as one of a writer that was fenced does, and it may be both. What is
        hidden just now is not waited for: only what is behind our own records tells of another.
        """
        try:
            found = self._reader.read(self._name, wait=False).get(self._name, {})
        except ConnectError:  # nobody can be asked: what is recorded is looked at again, before anything is sent
            return None
        for lane, progress in found.items():
            if progress != self._records.get(lane) and self.job.is_behind(lane, progress):
                return self.fenced(what, "_FENCED")
        return None

    def undo(self, lane: int) -> None:
        """Note that the lane's transaction was aborted: all of its epoch is to be sent again."""
        self._lanes.undo(lane)
        self._records.pop(lane, None)

    def resolve(self, lanes: Iterable[int]) -> dict[int, list[Ack]]:
        """Find out which of these lanes, fenced anew, had committed what they were told to; returns what counts now.

        The transactions of the others are aborted, by the fence. Raises Fenced where somebody else has recorded
        something since: another writer with the same job.
        """
        found = self._reader.read(self._name).get(self._name, {})
        counts: dict[int, list[Ack]] = {}
        for lane in lanes:
            progress = found.get(lane)
            if progress is not None and progress == self._records.get(lane):
                counts[lane] = self.committed(lane)
            elif self.job.is_ours(lane, progress):
                self.undo(lane)
            else:
                raise self.fenced(f"lane {lane} has recorded what is none of ours", "_FENCED")
        return counts
