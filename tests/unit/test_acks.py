"""The ledger under every order of events: no row is lost, none is counted twice, and offsets merge right."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penstock.acks import Ledger

if TYPE_CHECKING:
    from penstock.control import PartitionAck

WORKERS = 3
PLACES = st.tuples(st.sampled_from(["", "other"]), st.integers(0, 4))  # topic and partition
ERRORS = {10: "MSG_SIZE_TOO_LARGE", -192: "_MSG_TIMED_OUT"}


@dataclass
class Alive:
    """A chunk as the model sees it: every row has a name, and is somewhere."""

    worker: int
    rows: set[str]
    dealt: bool = False
    parts: list[PartitionAck] = field(default_factory=list)  # what of its answer is told already


@dataclass
class Broker:
    """What was acknowledged, message by message: the facts that the ledger's totals must sum up."""

    messages: Counter[tuple[str, int]] = field(default_factory=Counter)
    bytes: Counter[tuple[str, int]] = field(default_factory=Counter)
    offsets: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    rows: Counter[tuple[str, int]] = field(default_factory=Counter)
    unnamed: int = 0


class LedgerMachine(RuleBasedStateMachine):
    """The model keeps the fate of each single row; the ledger only numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.alive: dict[int, Alive] = {}
        self.fates: dict[str, str] = {}
        self.broker = Broker()
        self.errors: Counter[int] = Counter()
        self.error_messages: Counter[int] = Counter()
        self.null_keys = 0
        self.numbers = 0
        self.resent = 0

    # --- events ---

    @rule(skipped=st.integers(0, 3), failed=st.integers(0, 2))
    def take(self, skipped, failed):
        for fate, count in (("skipped", skipped), ("failed", failed)):
            for _ in range(count):
                self.fates[f"taken {len(self.fates)}"] = fate
        self.ledger.take(skipped=skipped, failed=failed)

    @rule(worker=st.integers(0, WORKERS - 1), rows=st.integers(1, 6))
    def add(self, worker, rows):
        number = self.numbers
        self.numbers += 1
        self.alive[number] = Alive(worker, {f"{number}.{row}" for row in range(rows)})
        self.fates.update(dict.fromkeys(self.alive[number].rows, "pending"))
        self.ledger.add(number, worker, rows)

    @rule(rows=st.integers(0, 5))
    def hold(self, rows):
        self.fates.update({f"held {len(self.fates) + row}": "held" for row in range(rows)})
        self.ledger.hold(rows)

    @precondition(lambda self: "held" in self.fates.values())
    @rule(data=st.data(), worker=st.integers(0, WORKERS - 1))
    def send_held(self, data, worker):
        held = [row for row, fate in self.fates.items() if fate == "held"]
        rows = set(held[: data.draw(st.integers(1, len(held)))])
        merged_away = set(sorted(rows)[: data.draw(st.integers(0, len(rows)))])
        self.fates.update(dict.fromkeys(merged_away, "skipped"))
        self.ledger.take(skipped=len(merged_away))
        if rows - merged_away:
            number = self.numbers
            self.numbers += 1
            self.alive[number] = Alive(worker, rows - merged_away)
            self.fates.update(dict.fromkeys(rows - merged_away, "pending"))
            self.ledger.add(number, worker, len(rows - merged_away))
        self.ledger.hold(-len(rows))

    @precondition(lambda self: any(not chunk.dealt for chunk in self.alive.values()))
    @rule(data=st.data())
    def deal(self, data):
        number = data.draw(st.sampled_from([n for n, chunk in self.alive.items() if not chunk.dealt]))
        self.alive[number].dealt = True
        self.ledger.deal(number)

    @precondition(lambda self: any(chunk.dealt and not chunk.parts for chunk in self.alive.values()))
    @rule(data=st.data())
    def undeal(self, data):
        waiting = [n for n, chunk in self.alive.items() if chunk.dealt and not chunk.parts]
        number = data.draw(st.sampled_from(waiting))
        self.alive[number].dealt = False
        self.ledger.undeal(number)

    @precondition(lambda self: any(chunk.dealt for chunk in self.alive.values()))
    @rule(data=st.data())
    def acknowledge_part(self, data):
        number = data.draw(st.sampled_from([n for n, chunk in self.alive.items() if chunk.dealt]))
        part = self._answer(data, number)
        self.alive[number].parts += part
        self.ledger.acknowledge_part(number, part)

    @precondition(lambda self: any(chunk.dealt for chunk in self.alive.values()))
    @rule(data=st.data(), null_keys=st.integers(0, 2))
    def acknowledge(self, data, null_keys):
        number = data.draw(st.sampled_from([n for n, chunk in self.alive.items() if chunk.dealt]))
        partitions = self._answer(data, number)
        left = self._count(number, partitions)
        unknown = sorted(left)[: data.draw(st.integers(0, len(left)))]
        self.fates.update(dict.fromkeys(left, "failed") | dict.fromkeys(unknown, "unknown"))
        errors = []
        if left:
            code = data.draw(st.sampled_from(sorted(ERRORS)))
            errors.append((code, ERRORS[code], len(left), 1, f"t[0]: {ERRORS[code]}"))
            self.errors[code] += len(left)
            self.error_messages[code] += 1
        self.null_keys += null_keys
        self.ledger.acknowledge(number, partitions, errors, null_keys, len(unknown))

    @rule(worker=st.integers(0, WORKERS - 1))
    def requeue(self, worker):
        mine = [n for n, chunk in self.alive.items() if chunk.worker == worker]
        assert self.ledger.requeue(worker) == mine
        for number in mine:
            chunk = self.alive[number]
            self.resent += len(chunk.rows) if chunk.dealt else 0
            chunk.dealt = False
            chunk.parts.clear()

    @rule(worker=st.integers(0, WORKERS - 1))
    def died(self, worker):
        gone = [n for n, chunk in self.alive.items() if chunk.worker == worker]
        assert self.ledger.died(worker) == gone
        self._end(gone)

    @rule()
    def give_up(self):
        gone = list(self.alive)
        assert self.ledger.give_up() == gone
        self._end(gone)
        self.fates.update({row: "failed" for row, fate in self.fates.items() if fate == "held"})

    def _end(self, gone: list[int]) -> None:
        for number in gone:
            dealt = self.alive[number].dealt
            self.fates.update(dict.fromkeys(self._count(number, []), "unknown" if dealt else "failed"))

    def _answer(self, data: st.DataObject, number: int) -> list[PartitionAck]:
        """Let the broker take some of the chunk's rows, in some partitions; first and last offset are as it tells."""
        left = len(self.alive[number].rows) - sum(rows for _, _, _, rows, *_ in self.alive[number].parts)
        said = []
        for place in data.draw(st.lists(PLACES, unique=True, max_size=3)):
            rows = data.draw(st.integers(0, left))
            left -= rows
            # A message may carry no row's last copy, and a partition of which nothing arrived is in the answer too.
            sizes = data.draw(st.lists(st.integers(1, 9), min_size=1 if rows else 0, max_size=3))
            offsets = data.draw(st.lists(st.integers(0, 99), max_size=len(sizes)))
            ends = (min(offsets), max(offsets)) if offsets else (-1, -1)
            said.append((*place, len(sizes), rows, sum(sizes), *ends, len(sizes) - len(offsets), []))
        return said

    def _count(self, number: int, rest: list[PartitionAck]) -> set[str]:
        """End a chunk: what its answer told is acknowledged. Returns the other rows."""
        chunk = self.alive.pop(number)
        left = sorted(chunk.rows)
        for topic, partition, messages, rows, size, first, last, unnamed, _ in [*chunk.parts, *rest]:
            if not messages:
                continue
            place = (topic, partition)
            self.broker.messages[place] += messages
            self.broker.bytes[place] += size
            self.broker.offsets.setdefault(place, []).extend(offset for offset in (first, last) if offset >= 0)
            self.broker.rows[place] += rows
            self.broker.unnamed += unnamed
            self.fates.update(dict.fromkeys(left[:rows], "acknowledged"))
            left = left[rows:]
        return set(left)

    # --- facts ---

    @invariant()
    def every_row_has_one_fate(self):
        ledger = self.ledger
        fates = Counter(self.fates.values())
        assert ledger.acknowledged == fates["acknowledged"]
        assert ledger.failed == fates["failed"]
        assert ledger.unknown == fates["unknown"]
        assert ledger.skipped == fates["skipped"]
        assert ledger.taken == len(self.fates)

    @invariant()
    def the_sum_is_what_was_taken(self):
        ledger = self.ledger
        assert ledger.pending_rows == Counter(self.fates.values())["pending"]
        ended = ledger.acknowledged + ledger.failed + ledger.unknown + ledger.skipped
        assert ledger.held == Counter(self.fates.values())["held"]
        assert ledger.taken == ended + ledger.pending_rows + ledger.held

    @invariant()
    def totals_are_those_of_the_broker(self):
        ledger = self.ledger
        assert sorted(ledger.partitions) == sorted(self.broker.messages)
        for place, total in ledger.partitions.items():
            offsets = self.broker.offsets[place]
            assert (total.messages, total.bytes) == (self.broker.messages[place], self.broker.bytes[place])
            assert total.rows == self.broker.rows[place]
            assert total.first_offset == min(offsets, default=-1)
            assert total.last_offset == max(offsets, default=-1)
        assert ledger.messages == self.broker.messages.total()
        assert ledger.bytes == self.broker.bytes.total()
        assert ledger.unknown_offsets == self.broker.unnamed
        assert ledger.null_keys == self.null_keys
        assert ledger.resent == self.resent
        assert {code: total.rows for code, total in ledger.errors.items()} == self.errors
        assert {code: total.messages for code, total in ledger.errors.items()} == self.error_messages

    @invariant()
    def who_has_what(self):
        ledger = self.ledger
        assert ledger.idle == (not self.alive)
        assert ledger.dealt_chunks == sum(chunk.dealt for chunk in self.alive.values())
        for worker in range(WORKERS):
            has = [n for n, chunk in self.alive.items() if chunk.worker == worker]
            assert (ledger.dealt_rows.get(worker, 0) > 0) == bool(has)


LedgerMachine.TestCase.settings = settings(
    max_examples=80, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestLedger = LedgerMachine.TestCase


def test_offsets_out_of_order():
    """First and last offset are the least and the greatest, in whatever order answers come; -1 names none."""
    ledger = Ledger()
    for chunk, (first, last) in enumerate([(7, 9), (-1, -1), (0, 2), (4, 4)]):
        ledger.add(chunk, 0, 1)
        ledger.deal(chunk)
        ledger.acknowledge(chunk, [("", 3, 1, 1, 10, first, last, int(first < 0), [])], [], 0)
    assert (ledger.partitions["", 3].first_offset, ledger.partitions["", 3].last_offset) == (0, 9)
    assert ledger.unknown_offsets == 1


def test_a_chunk_is_answered_once():
    """A second answer for a chunk is a KeyError that changes no count, not rows counted twice."""
    ledger = Ledger()
    ledger.add(1, 0, 5)
    ledger.deal(1)
    ledger.acknowledge(1, [("", 0, 1, 5, 10, 0, 0, 0, [])], [], 0)
    with pytest.raises(KeyError):
        ledger.acknowledge(1, [("", 0, 1, 5, 10, 0, 0, 0, [])], [], 0)
    with pytest.raises(KeyError):
        ledger.acknowledge_part(1, [("", 0, 1, 5, 10, 0, 0, 0, [])])
    assert (ledger.acknowledged, ledger.failed, ledger.messages) == (5, 0, 1)
