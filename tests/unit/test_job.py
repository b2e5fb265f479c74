"""job: which rows are passed over, when an epoch ends, and what is recorded; no broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from penstock.config import load
from penstock.errors import ConfigError, SourceError
from penstock.job import RUN_ROWS, Job, count_lanes
from penstock.lanes import Epoch

if TYPE_CHECKING:
    from penstock.progress import Progress

ARENA = 3_000_000


def job(found: dict[int, Progress] | None = None, *, lanes: int = 2, partitions: int = 4, **settings: Any) -> Job:
    given = {"topic": "orders", "job": "nightly", "delivery": "exactly_once", "key": "id", **settings}
    return Job(load(**given), partitions, lanes, ARENA, found or {})


def recorded(one: Job, lane: int, rows: int, position: Any = None, **more: Any) -> Progress:
    return one.record(lane, Epoch(1, rows, position, rows, **more), [])


def test_lanes_are_as_given_recorded_or_four() -> None:
    """And never more than there are partitions, unless they were asked for."""
    config = load(topic="orders", job="nightly", delivery="exactly_once")
    assert [count_lanes(config, partitions, {}) for partitions in (1, 3, 4, 12)] == [1, 3, 4, 4]
    assert count_lanes(config, 12, {1: recorded(job(lanes=7), 1, 5)}) == 7
    given = load(topic="orders", job="nightly", delivery="exactly_once", lanes=2)
    assert count_lanes(given, 12, {1: recorded(job(lanes=7), 1, 5)}) == 2


def test_a_lane_passes_over_what_it_has() -> None:
    """Each by its own record; a job begins where the lane stands that has least, with the position of that one."""
    first = job()
    again = job({0: recorded(first, 0, 1000, "a"), 1: recorded(first, 1, 3000, "b")})
    assert (again.resumed_from, again.position, again.position_rows) == (1000, "a", 1000)
    assert again.has(1000)
    assert not again.has(1001)
    assert not again.passes(0, 1000, 2000)
    assert again.passes(1, 1000, 2000)
    assert again.passes(1, 2000, 3000)
    assert not again.passes(1, 3000, 3001)
    assert [again.block_end(row) for row in (1000, 2999, 3000, RUN_ROWS)] == [3000, 3000, RUN_ROWS, 2 * RUN_ROWS]
    assert again.must_send(3000)
    assert not again.must_send(2000)


def test_a_lane_without_a_record_begins_at_the_beginning() -> None:
    """Its first transaction was never committed, whatever the others have."""
    again = job({1: recorded(job(), 1, 3000, "b")})
    assert (again.resumed_from, again.position, again.position_rows) == (0, None, 0)
    assert again.passes(1, 0, 3000)
    assert not again.passes(0, 0, 3000)


def test_batches_that_are_cut_otherwise_are_refused() -> None:
    """A unit of which a lane has a part cannot be sent to it, whole or not."""
    again = job({0: recorded(job(), 0, 1000), 1: recorded(job(), 1, 1000)})
    with pytest.raises(SourceError, match="delivered the rows before 1000, which is now in the middle"):
        again.passes(0, 500, 1500)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"topic": "others"}, "topic=orders, it is others now"),
        ({"partitions": 5}, "partitions=4, it is 5 now"),
        ({"lanes": 3}, "lanes=2, it is 3 now"),
        ({"key": "other"}, "another format, key or partitioning than now"),
        ({"format": "csv"}, "another format, key or partitioning than now"),
        ({"partitioner": "fnv1a"}, "another format, key or partitioning than now"),
        ({"delivery": "at_least_once", "lanes": 1}, "delivery=exactly_once, it is at_least_once now"),
    ],
)
def test_what_may_not_change(changed: dict[str, Any], words: str) -> None:
    """Rows would go to other lanes than before, or messages would differ."""
    before = recorded(job(), 0, 1000)
    with pytest.raises(ConfigError, match=f'^job "nightly" began with {words}; .* or restart') as refused:
        job({0: before}, **changed)
    assert "--restart" in str(refused.value)


def test_what_may_change() -> None:
    """Processes, memory, epochs, policies and the threads of the original's encoder."""
    before = recorded(job(), 0, 1000)
    other = {"workers": 3, "memory_bytes": "64 MiB", "epoch_secs": 5, "audit": True, "on_bad_row": "skip"}
    assert job({0: before}, **other).resumed_from == 0


def test_an_epoch_ends_by_rows_bytes_and_time() -> None:
    """But never inside of a unit, nor where there is nothing in it."""
    one = job(epoch_rows=100, epoch_bytes=5000, epoch_secs=2)
    assert not one.due(50.0)  # nothing has come
    one.begin_unit(10.0)
    assert not one.due(50.0)
    one.reached(99, None)
    assert [one.due(now) for now in (11.9, 12.0)] == [False, True]
    one.reached(100, None)
    assert one.due(10.0)
    assert one.epoch(1) == Epoch(1, 100, None, 0)
    one.begin_unit(20.0)
    one.add_bytes(5000)
    assert not one.due(20.0)
    one.reached(110, None)
    assert one.due(20.0)


def test_exactly_once_an_epoch_takes_a_third_of_the_memory() -> None:
    """At least once nothing waits for it, so there is no such limit."""
    limits = {}
    for delivery in ("exactly_once", "at_least_once"):
        one = job(delivery=delivery)
        one.begin_unit(1.0)
        one.add_bytes(ARENA // 3)
        one.reached(10, None)
        limits[delivery] = one.due(1.0)
    assert limits == {"exactly_once": True, "at_least_once": False}


def test_positions_are_those_of_the_source_or_the_caller() -> None:
    """A source tells where it stands; a caller marks, and between his marks the last one stands, with its rows."""
    one = job()
    one.begin_unit(1.0)
    one.reached(100, lambda: {"row": 100})
    assert one.epoch(1) == Epoch(1, 100, {"row": 100}, 100)
    stream = job()
    stream.begin_unit(1.0)
    stream.reached(70, None)
    stream.mark("seventy")
    stream.reached(100, None)
    assert stream.epoch(1) == Epoch(1, 100, "seventy", 70)


def test_a_replay_of_other_rows_is_refused() -> None:
    """A position that an earlier run came to after 70 rows must come after 70 rows again."""
    first = job()
    before = {lane: first.record(lane, Epoch(3, 100, "seventy", 70), []) for lane in (0, 1)}
    again = job(before)
    assert (again.position, again.position_rows, again.resumed_from) == ("seventy", 70, 100)
    with pytest.raises(SourceError, match="position 'seventy' comes after 90 rows, and came after 70 when"):
        again.reached(90, None)
        again.mark("seventy")


def test_nothing_new_is_not_recorded() -> None:
    """But what a new job begins with is, and that it has come to its end."""
    one = job()
    assert one.epoch(1) == Epoch(1, 0, None, 0)
    assert one.epoch(2) is None
    one.begin_unit(1.0)
    one.reached(10, None)
    assert one.epoch(2) == Epoch(2, 10, None, 0)
    assert one.epoch(3, finished=True) == Epoch(3, 10, None, 0, finished=True)
    assert one.epoch(4) is None
    assert one.epoch(4, finished=True) is None


def test_a_lane_that_was_further_stays_there() -> None:
    """An epoch that others do again does not set it back, and it says so in its record."""
    first = job()
    again = job({0: recorded(first, 0, 1000, "a"), 1: recorded(first, 1, 3000, "b", finished=True)})
    kept = again.record(1, Epoch(9, 2000, "c", 2000), [])
    assert (kept.epoch, kept.rows, kept.position, kept.finished) == (9, 3000, "b", True)
    assert again.record(0, Epoch(9, 2000, "c", 2000), []).rows == 2000


def test_at_least_once_what_may_be_repeated_is_counted() -> None:
    """By the offsets behind what was acknowledged when it was recorded, of the epochs that are complete."""
    first = job(delivery="at_least_once", lanes=1)
    first.count_repeats({0: 5, 1: 7})
    assert first.possible_repeats == 0  # a new job
    first.acknowledged(1, [("", 0, 1, 1, 1, 5, 14, 0, [])])
    first.acknowledged(2, [("", 0, 1, 1, 1, 15, 29, 0, [])])  # of a later epoch
    before = recorded(first, 0, 100)
    assert before.offsets == {"orders": {"0": 15, "1": 7}}
    again = job({0: before}, delivery="at_least_once", lanes=1)
    again.count_repeats({0: 30, 1: 7})
    assert again.possible_repeats == 15


def test_a_life_comes_after_the_former_one() -> None:
    """Also when the clock was set back: the newest record of a job is told by when its life began."""
    former = recorded(job(), 0, 1000)
    one = job()
    one.begin_after(
        {0: former.__class__(**{**{n: getattr(former, n) for n in former.__struct_fields__}, "began_ms": 2**50})}
    )
    assert recorded(one, 0, 1).began_ms == 2**50 + 1


def test_somebody_elses_record_is_told_apart() -> None:
    """What this run or the one before it has recorded is ours; anything else is another writer's."""
    before = recorded(job(), 0, 1000)
    one = job({0: before})
    assert one.is_ours(0, before)
    assert one.is_ours(1, None)
    assert not one.is_ours(1, before)
    after = one.record(0, Epoch(2, 2000, None, 2000), [])
    assert not one.is_ours(0, after)
    one.recorded(after)
    assert one.is_ours(0, after)


def test_with_audit_a_record_has_all_runs_of_its_lane() -> None:
    """Over the mark of each transaction two runs are one; what was written without audit cannot be known later."""
    first = job(audit=True)
    first.recorded(first.record(0, Epoch(1, 10, None, 10), [("", 1, 3, 3, 9, 0, 2, 0, [(0, 2, 3, 100)])]))
    before = first.record(0, Epoch(2, 20, None, 20), [("", 1, 2, 2, 9, 4, 5, 0, [(4, 5, 2, 11)])])
    assert before.audited
    assert before.runs == {"orders/1": ((0, 5, 5, f"{111:016x}"),)}
    again = job({0: before, 1: recorded(first, 1, 20)}, audit=True)
    after = again.record(0, Epoch(3, 30, None, 30), [("", 1, 1, 1, 9, 9, 9, 0, [(9, 9, 1, 1)])])
    assert after.runs["orders/1"][1:] == ((9, 9, 1, f"{1:016x}"),)
    again.recorded(after)
    partitions = again.report().partitions
    assert partitions is not None
    assert [(one.topic, one.partition, one.messages) for one in partitions] == [("orders", 1, 6)]
    without = job({0: before}).record(0, Epoch(4, 40, None, 40), [])
    assert not without.audited
    assert job({0: without, 1: recorded(first, 1, 20)}, audit=True).report().partitions is None
