"""The judge of the fault matrix sees what a fault may do to a topic: it would not be believed if it saw nothing."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

import pytest
import xxhash

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
from fault_matrix.judge import Message, Verdict, judge
from fault_matrix.rows import KEYS, batch, is_ours

ROWS = batch(0, 3 * KEYS).to_pylist()


def message(offset, row, partition=0):
    return Message(partition, offset, str(row["key"]).encode(), json.dumps({"insert": row}).encode() + b"\n")


def log(*numbers):
    return [message(offset, ROWS[number]) for offset, number in enumerate(numbers)]


def run(messages):
    total = sum(
        xxhash.xxh64_intdigest(b"".join(struct.pack("<i", len(part)) + part for part in (one.key, one.value)))
        for one in messages
    )
    return (messages[0].offset, messages[-1].offset, len(messages), f"{total % 2**64:016x}")


def test_the_rows_are_as_they_say():
    """What is_ours looks for is what batch makes."""
    assert all(map(is_ours, ROWS))
    assert not is_ours({**ROWS[5], "text": ROWS[6]["text"]})


@pytest.mark.parametrize(
    ("numbers", "written", "expected"),
    [
        ((0, 1, 2), 3, Verdict(0, 0, 0, 3)),
        ((0, 2), 3, Verdict(1, 0, 0, 2)),
        ((0, 1, 1, 2, 0), 3, Verdict(0, 2, 0, 3)),
        ((KEYS, 0, 1), 2, Verdict(0, 0, 1, 3)),
        ((0, KEYS, 0, 2 * KEYS), 1, Verdict(0, 1, 0, 3)),  # a repeat after a later row is none that came late
    ],
)
def test_rows_are_counted(numbers, written, expected):
    """Missing, repeated and late rows, by what was written."""
    assert judge(log(*numbers), written=written) == expected


def test_acknowledged_rows_are_counted_where_it_is_not_known_which():
    """Fewer different rows than were acknowledged: so many are missing."""
    assert judge(log(4, 7, 7), acknowledged=3).missing == 1


def test_a_row_that_was_changed_is_missing():
    """It was acknowledged, and is not there as it was written."""
    assert judge([message(0, {**ROWS[0], "seq": 1})], written=0).missing == 1


def test_runs_are_held_against_the_log():
    """What the receipt names is there; one less, or another in its place, is seen."""
    whole = log(0, 1, 2, 3)
    assert judge(whole, written=4, runs={0: [run(whole)]}).missing == 0
    assert judge(whole, written=4, runs={0: [run(whole)], 1: [run(whole)]}).missing == 4
    assert judge([*whole[:2], *log(0, 1, 2, 0)[3:]], written=0, runs={0: [run(whole)]}).missing == 1
    assert judge([message(0, ROWS[9]), *whole[1:]], written=0, runs={0: [run(whole)]}).missing == 1
