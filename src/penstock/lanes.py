"""lanes: which epoch each chunk of a job belongs to, and when a lane may record one. Pure, as the ledger (acks.py) is.

    rows ──▶ the open epoch ──cut──▶ waits until all its chunks are answered ──due──▶ told ──recorded──▶ the next one

A lane is one producer. Exactly once, its epoch is one transaction: nothing of the next one is dealt before it is
committed, and until then nothing in it counts, so the answers are kept here. At least once there is one lane, which
only records what was acknowledged anyway, the latest epoch that is complete.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.control import Ack

__all__ = ["Epoch", "Lanes"]


@dataclass(frozen=True)
class Epoch:
    """A stretch of the source, by its end.

    number          counts from 1 within one life of the job
    rows            of the source that lie before its end
    position        where a source is to be read from again, position_rows before it: at its end, or before
    finished        nothing comes behind it
    """

    number: int
    rows: int
    position: Any
    position_rows: int
    finished: bool = False


@dataclass
class _Lane:
    """epoch: the number of the one that its chunks may be dealt of; told: it has been asked to record this one."""

    epoch: int
    told: Epoch | None = None
    unanswered: dict[int, set[int]] = field(default_factory=dict)  # by epoch
    answers: list[Ack] = field(default_factory=list)


class Lanes:
    """The lanes of one job.

    count   how many
    gated   exactly once: an epoch of a lane waits for the one before it
    first   the number of the first epoch
    """

    def __init__(self, count: int, *, gated: bool, first: int = 1) -> None:
        self.gated = gated
        self._open = first
        self._cut: deque[Epoch] = deque()
        self._lanes = [_Lane(first) for _ in range(count)]
        self._chunks: dict[int, tuple[int, int]] = {}  # lane and epoch

    @property
    def open(self) -> int:
        """The number of the epoch that new chunks belong to."""
        return self._open

    def enter(self, chunk: int, lane: int) -> None:
        """Enter a chunk of the open epoch."""
        self._chunks[chunk] = lane, self._open
        self._lanes[lane].unanswered.setdefault(self._open, set()).add(chunk)

    def may_go(self, chunk: int) -> bool:
        """Tell whether the chunk belongs to the epoch that its lane is in."""
        lane, epoch = self._chunks[chunk]
        return not self.gated or self._lanes[lane].epoch == epoch

    def answer(self, ack: Ack) -> bool:
        """Note a chunk's answer; True: it counts now, False: it is kept until its epoch is committed."""
        lane, epoch = self._chunks[ack.chunk]
        self._lanes[lane].unanswered[epoch].discard(ack.chunk)
        if self.gated:
            self._lanes[lane].answers.append(ack)
            return False
        del self._chunks[ack.chunk]
        return True

    def cut(self, epoch: Epoch) -> None:
        """End the open epoch."""
        self._cut.append(epoch)
        self._open = epoch.number + 1

    def due(self, reachable: Callable[[int], bool]) -> list[tuple[int, Epoch]]:
        """Return the lanes within reach that can record an epoch, each with it, and note that they are told."""
        found = []
        for number, lane in enumerate(self._lanes):
            if lane.told is not None or not reachable(number):
                continue
            complete = [epoch for epoch in self._cut if epoch.number >= lane.epoch and self._complete(lane, epoch)]
            if complete:
                lane.told = complete[0] if self.gated else complete[-1]
                found.append((number, lane.told))
        return found

    def answers(self, lane: int) -> list[Ack]:
        """Return the answers of a lane's epoch, which count when it is committed."""
        return self._lanes[lane].answers

    def recorded(self, lane: int) -> tuple[Epoch, list[Ack]]:
        """Begin a lane's next epoch: the one that it was told of is recorded. Returns it, and what counts now."""
        here = self._lanes[lane]
        assert here.told is not None  # noqa: S101 - nobody answers what he was not asked
        epoch, here.told = here.told, None
        answers, here.answers = here.answers, []
        for ack in answers:
            del self._chunks[ack.chunk]
        for number in [number for number in here.unanswered if number <= epoch.number]:
            del here.unanswered[number]
        here.epoch = epoch.number + 1
        while self._cut and all(one.epoch > self._cut[0].number for one in self._lanes):
            self._cut.popleft()
        return epoch, answers

    def epoch_of(self, chunk: int) -> int:
        """Return the number of the epoch that a chunk belongs to."""
        return self._chunks[chunk][1]

    def untell(self, lane: int) -> None:
        """Note that the lane could not be told."""
        self._lanes[lane].told = None

    def told(self, lane: int) -> Epoch | None:
        """Return the epoch that a lane has been told to record and has not answered for."""
        return self._lanes[lane].told

    def undo(self, lane: int) -> None:
        """Have a lane's epoch be unanswered and untold again: what there was of it is lost."""
        here = self._lanes[lane]
        here.told = None
        for ack in here.answers:
            here.unanswered.setdefault(here.epoch, set()).add(ack.chunk)
        here.answers.clear()

    @property
    def telling(self) -> bool:
        """Some lane has been told and has not answered."""
        return any(lane.told is not None for lane in self._lanes)

    @property
    def waiting(self) -> bool:
        """Some epoch has been cut that not all lanes have recorded."""
        return bool(self._cut)

    def _complete(self, lane: _Lane, epoch: Epoch) -> bool:
        return not any(chunks for number, chunks in lane.unanswered.items() if number <= epoch.number)
