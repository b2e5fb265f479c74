"""lanes: epochs of a job against a broker that commits, aborts and dies at every moment."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from penstock.control import Ack
from penstock.lanes import Epoch, Lanes


def ack(chunk: int) -> Ack:
    return Ack(chunk, [], [], 0, 0, None)


def epoch(number: int, rows: int = 0) -> Epoch:
    return Epoch(number, rows, None, 0)


def everywhere(_: int) -> bool:
    return True


def test_an_epoch_is_due_when_all_its_chunks_are_answered() -> None:
    """Exactly once: a lane without a chunk is due at once, another one with its last answer, each for itself."""
    lanes = Lanes(2, gated=True)
    lanes.enter(0, 0)
    lanes.enter(1, 0)
    assert lanes.answer(ack(0)) is False
    assert lanes.due(everywhere) == []  # nothing was cut
    lanes.cut(epoch(1))
    assert lanes.due(everywhere) == [(1, epoch(1))]
    assert lanes.due(everywhere) == []  # it is told already
    lanes.answer(ack(1))
    assert lanes.due(lambda lane: lane != 0) == []
    assert lanes.due(everywhere) == [(0, epoch(1))]
    assert lanes.telling
    assert lanes.recorded(0) == (epoch(1), [ack(0), ack(1)])
    assert lanes.waiting
    assert lanes.recorded(1) == (epoch(1), [])
    assert not lanes.waiting
    assert not lanes.telling


def test_the_next_epoch_waits_for_the_one_before() -> None:
    """Exactly once nothing of it may go, since it would belong to the transaction that is being committed."""
    lanes = Lanes(2, gated=True)
    lanes.enter(0, 0)
    lanes.cut(epoch(1))
    lanes.enter(1, 0)
    lanes.enter(2, 1)
    assert [lanes.may_go(chunk) for chunk in (0, 1, 2)] == [True, False, False]
    lanes.due(everywhere)
    lanes.recorded(1)
    assert [lanes.may_go(chunk) for chunk in (1, 2)] == [False, True]


def test_at_least_once_only_the_latest_complete_epoch_is_recorded() -> None:
    """Chunks go as they come and count at once; of epochs that are complete together the last one tells all."""
    lanes = Lanes(1, gated=False)
    for number in (1, 2, 3):
        lanes.enter(number, 0)
        lanes.cut(epoch(number))
    assert all(lanes.may_go(chunk) for chunk in (1, 2, 3))
    assert lanes.answer(ack(2)) is True
    assert lanes.due(everywhere) == []  # the first one is open
    assert lanes.answer(ack(1)) is True
    assert lanes.due(everywhere) == [(0, epoch(2))]
    assert lanes.recorded(0) == (epoch(2), [])
    assert lanes.waiting
    lanes.answer(ack(3))
    assert lanes.due(everywhere) == [(0, epoch(3))]
    lanes.recorded(0)
    assert not lanes.waiting


def test_what_is_lost_is_unanswered_again() -> None:
    """After a death: the answers of the epoch do not count, it is due again when they have come again."""
    lanes = Lanes(1, gated=True)
    lanes.enter(0, 0)
    lanes.enter(1, 0)
    lanes.cut(epoch(1))
    lanes.answer(ack(0))
    lanes.answer(ack(1))
    assert lanes.due(everywhere)
    lanes.undo(0)
    assert lanes.told(0) is None
    assert lanes.due(everywhere) == []
    lanes.answer(ack(1))
    lanes.answer(ack(0))
    assert lanes.due(everywhere) == [(0, epoch(1))]
    assert lanes.recorded(0)[1] == [ack(1), ack(0)]


@pytest.mark.parametrize("seed", range(40))
def test_everything_is_committed_once_in_its_epoch(seed: int) -> None:
    """Whatever the order of answers, commits and deaths: each chunk counts once, epochs of a lane in their order."""
    rnd = random.Random(seed)
    count = rnd.randint(1, 4)
    lanes = Lanes(count, gated=True)
    waiting: dict[int, list[int]] = {lane: [] for lane in range(count)}  # to be sent, in order
    sent: dict[int, list[int]] = {lane: [] for lane in range(count)}  # not answered
    open_: dict[int, list[int]] = {lane: [] for lane in range(count)}  # in the transaction
    log: list[tuple[int, list[int]]] = []  # lane and chunks, as committed
    counted: Counter[int] = Counter()
    epochs: dict[int, int] = {}
    left, number, last = 60, 1, False
    for _ in range(20_000):
        what = rnd.choice(("enter", "send", "send", "answer", "answer", "cut", "commit", "commit", "die"))
        lane = rnd.randrange(count)
        if what == "enter" and left:
            left -= 1
            lanes.enter(left, lane)
            waiting[lane].append(left)
            epochs[left] = lanes.open
        elif what == "send" and waiting[lane] and lanes.may_go(waiting[lane][0]):
            sent[lane].append(waiting[lane].pop(0))
        elif what == "answer" and sent[lane]:
            chunk = sent[lane].pop(rnd.randrange(len(sent[lane])))
            open_[lane].append(chunk)
            assert lanes.answer(ack(chunk)) is False
        elif what == "cut" and not last:
            last = not left
            lanes.cut(epoch(number))
            number += 1
        elif what == "commit":
            lanes.due(lambda _: rnd.random() < 0.5)
            if lanes.told(lane) is not None and rnd.random() < 0.7:
                log.append((lane, open_[lane]))
                open_[lane] = []
                if rnd.random() < 0.8:  # the answer arrives
                    told, acks = lanes.recorded(lane)
                else:  # it is lost with the worker; the progress topic tells
                    waiting[lane] = [*sent[lane], *waiting[lane]]
                    sent[lane] = []
                    told, acks = lanes.recorded(lane)
                assert {epochs[one.chunk] for one in acks} <= {told.number}
                counted.update(one.chunk for one in acks)
        elif what == "die":
            waiting[lane] = sorted([*open_[lane], *sent[lane], *waiting[lane]], reverse=True)
            open_[lane], sent[lane] = [], []
            lanes.undo(lane)
        if last and not lanes.waiting:
            break
    assert counted == Counter(range(60))
    for lane in range(count):
        order = [max(epochs[chunk] for chunk in chunks) for who, chunks in log if who == lane and chunks]
        assert order == sorted(order)
