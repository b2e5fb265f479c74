"""A chunk in shared memory, exported to pyarrow: the same values in plain layout, whatever it was before."""

from __future__ import annotations

import gc
import mmap
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import physical
import strategies
from penstock import _core
from penstock.batches import BatchEncoder
from penstock.config import load
from penstock.encode import Planner


class Memory:
    """An arena of one batch, filled with ones where nothing was written, and what is exported from it."""

    def __init__(self, batch: pa.RecordBatch, **settings: Any) -> None:
        self.plan = Planner(load(for_preview=True, topic="t", format="arrow", **settings), 0, 1).plan(batch.schema)
        self.read = self.plan.read(batch)
        self.encoder = BatchEncoder(self.plan.layout, self.plan.layout.format)
        sizes = [self.read.measure_dictionary(at) for at in range(self.read.dictionaries)]
        self.block = sum(-(-size // 64) * 64 for size in sizes)
        self.size = self.block + self.read.measure(0, self.read.rows) + 20 * self.read.rows + 4096
        self.memory = mmap.mmap(-1, self.size)
        self.memory.write(b"\xff" * self.size)
        self.address = _core.address_of(self.memory)
        self.places = []
        position = 0
        for at, size in enumerate(sizes):
            self.read.copy_dictionary(at, self.address, position)
            self.places.append((position, at + 1))
            position += -(-size // 64) * 64

    def place(self, first: int, end: int) -> tuple[int, ...]:
        selection = self.plan.selector.select(self.read, first, end, "both", 0)
        self.memory[self.block :] = b"\xff" * (self.size - self.block)
        size = self.read.measure(first, end)
        self.read.copy(first, end, self.address, self.block, self.places)
        entries, repeats, groups = selection.copy(self.address, (self.block + size + 15) // 16 * 16)
        return self.block, first, entries, repeats, groups, len(selection.shares()), 0

    def export(self, first: int, end: int) -> pa.RecordBatch:
        """Copy rows first..end into a block and export all of them."""
        ((_, events),) = self.encoder._exporter.open(self.address, self.place(first, end))
        exported = self.encoder._batch(0, 0, events)
        exported.validate(full=True)
        return exported


@given(data=st.data(), batches=strategies.batches())
def test_any_rows_of_any_batch(data, batches):
    """Any stretch of any batch's rows has the source's values, in a schema without dictionaries, runs and views."""
    batch = batches[0]
    memory = Memory(batch)
    expected = physical.rows(batch)
    for _ in range(3):
        first = data.draw(st.integers(0, batch.num_rows))
        end = data.draw(st.integers(first, batch.num_rows))
        if end > first:
            exported = memory.export(first, end)
            assert physical.rows(exported) == expected[first:end]
            assert exported.schema.names == batch.schema.names
            assert [f.nullable for f in exported.schema] == [f.nullable for f in batch.schema]
            assert [f.metadata or {} for f in exported.schema] == [f.metadata or {} for f in batch.schema]


@given(data=st.data(), batches=strategies.batches())
def test_any_selection_of_any_batch(data, batches):
    """Rows selected and repeated by a weight column are there as often as it says, in any window of events."""
    batch = batches[0]
    weights = data.draw(st.lists(st.integers(0, 3), min_size=batch.num_rows, max_size=batch.num_rows))
    name = "weight of the row"
    memory = Memory(batch.append_column(name, pa.array(weights, pa.int8())), weight_column=name)
    expected = [
        (number, row)
        for number, (row, weight) in enumerate(zip(physical.rows(batch), weights, strict=True))
        for _ in range(weight)
    ]
    if not expected:
        return
    exporter = memory.encoder._exporter
    ((partition, events),) = exporter.open(memory.address, memory.place(0, batch.num_rows))
    assert (partition, events) == (-1, len(expected))
    first = data.draw(st.integers(0, events - 1))
    end = data.draw(st.integers(first + 1, events))
    exported = memory.encoder._batch(0, first, end)
    exported.validate(full=True)
    assert physical.rows(exported) == [row for _, row in expected[first:end]]
    assert [exporter.row(0, at) for at in range(events)] == [number for number, _ in expected]
    goes_on = end < events and expected[end][0] == expected[end - 1][0]
    assert exporter.rows_ended(0, first, end) == (
        len({number for number, _ in expected[first:end]}) - goes_on,
        goes_on,
    )
    assert exporter.changes(0, first, end) == bytes(end - first)


def test_plain_columns_are_not_copied():
    """Numbers, and strings from the first row on, stay in the arena."""
    batch = pa.record_batch({"n": pa.array(range(100)), "s": pa.array([f"text {n}" for n in range(100)])})
    memory = Memory(batch)
    exported = memory.export(0, 100)
    inside = range(memory.address, memory.address + memory.size)
    buffers = [b for column in exported.columns for b in column.buffers() if b is not None]
    assert len(buffers) == 3
    assert all(buffer.address in inside for buffer in buffers)
    assert exported.column("n").buffers()[1].address == memory.export(0, 100).column("n").buffers()[1].address


def test_exported_memory_is_let_go():
    """What an array holds beside the arena goes with it, also when nobody imported it, and when exporting fails."""
    column = pa.array(["a string of more than twelve bytes"] * 20000, pa.string_view())
    memory = Memory(pa.record_batch({"v": column}))
    exporter = memory.encoder._exporter
    exporter.open(memory.address, memory.place(0, 20000))

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE

    for turn in range(400):
        exporter.array(0, 0, 20000)
        memory.encoder._batch(0, 0, 20000)
        if turn == 100:
            gc.collect()
            before = resident()
    assert resident() - before < 50 << 20  # 300 turns of twice 700 kB


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_text_that_is_not_utf8_names_its_row(kind):
    """Text that no reader would take is refused at its row, wherever it is nested."""
    binary = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary(), pa.string_view(): pa.binary_view()}[kind]
    wrong = pa.array([b"fine", None, b"also fine", b"\xff\xfe", b"fine"], binary).view(kind)
    listed = pa.ListArray.from_arrays(pa.array([0, 1, 2, 3, 4, 5], pa.int32()), wrong)
    for column in (wrong, listed, pa.StructArray.from_arrays([wrong], ["s"])):
        memory = Memory(pa.record_batch({"a": range(5), "v": column}))
        with pytest.raises(_core.RowError) as caught:
            memory.export(1, 5)
        row, name, text = caught.value.args
        assert (row, name) == (3, "v")
        assert "UTF-8" in text


def test_a_null_hides_what_lies_under_it():
    """Bytes under a null, of a value or of a struct around it, are not looked at."""
    wrong = pa.Array.from_buffers(
        pa.string(),
        2,
        [
            pa.py_buffer(b"\x01"),
            pa.py_buffer((0).to_bytes(4, "little") + (1).to_bytes(4, "little") * 2),
            pa.py_buffer(b"a"),
        ],
    )
    under = pa.array([b"\xff", b"b"], pa.binary()).view(pa.string())
    struct = pa.StructArray.from_buffers(pa.struct([("s", pa.string())]), 2, [pa.py_buffer(b"\x02")], children=[under])
    batch = pa.record_batch({"v": wrong, "s": struct})
    assert physical.rows(Memory(batch).export(0, 2)) == [("a", None), (None, ("b",))]


def test_a_dictionary_index_outside_its_dictionary():
    """A dictionary column that points nowhere is an error at its row, not a crash."""
    indices = pa.array([0, 1, 7], pa.int8())
    column = pa.DictionaryArray.from_arrays(indices, pa.array(["a", "b"]), safe=False)
    memory = Memory(pa.record_batch({"d": column}))
    with pytest.raises(_core.RowError, match="outside the dictionary") as caught:
        memory.export(0, 3)
    assert caught.value.args[:2] == (2, "d")
