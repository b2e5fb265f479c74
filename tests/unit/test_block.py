"""Blocks: any range of a batch's rows, copied once into shared memory, encodes as those rows do where they were.

`write` cuts long batches and wide rows into blocks, which a preview never does; so this goes one level below the front door.
"""

from __future__ import annotations

import oracles
import pyarrow as pa
import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st
from oracles import Packing

from penstock import _core, config
from penstock.encode import Planner, make_packer

ALIGNMENT = 64


class Arena:
    """Memory filled with 0xAA, so that a byte which was not copied shows, and one block of it in use."""

    def __init__(self, size: int) -> None:
        self.memory = bytearray(b"\xaa" * (size + ALIGNMENT))
        self.address = _core.address_of(self.memory)
        self.next = -self.address % ALIGNMENT

    def take(self, size: int) -> int:
        position = self.next
        self.next += (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
        return position


def block_messages(batch: pa.RecordBatch, first: int, end: int, packing: Packing, which: str = "both") -> list[bytes]:
    """Return the values that a worker makes of rows first..end of the batch, from a block of exactly the size measured."""
    loaded = config.load(for_preview=True, **packing.settings())
    plan = Planner(loaded, 0, 1).plan(batch.schema)
    read = plan.read(batch)
    selection = plan.selector.select(read, first, end, which, 0)
    if not selection.rows:
        return []
    sizes = [read.measure_dictionary(at) for at in range(read.dictionaries)]
    size = read.measure(first, end)
    arena = Arena(sum(sizes) + size + selection.nbytes + ALIGNMENT * (len(sizes) + 3))
    placed = []
    for at, need in enumerate(sizes):
        placed.append((arena.take(need), at + 1))
        assert read.copy_dictionary(at, arena.address, placed[-1][0]) <= need
    read.set_dictionary_ids([number for _, number in placed])
    position = arena.take(size)
    assert read.copy(first, end, arena.address, position, placed) <= size
    assert all(byte == 0xAA for byte in arena.memory[position + size : arena.next])
    entries, repeats, groups = selection.copy(arena.address, arena.take(selection.nbytes))
    count = sum(share[2] for share in selection.shares())
    del read, batch  # the block must stand for itself
    made = make_packer(plan.layout).collect(arena.address, (position, first, entries, repeats, groups, count))
    assert all(partition == -1 for partition, _, _ in made)
    return [value for _, _, value in made]


@given(data=st.data(), batches=strategies.batches())
def test_any_range_of_any_schema(data, batches):
    """Whatever the types, offsets and nesting, a block of some rows says what those rows say, and no byte lies outside it."""
    batch = batches[0]
    first = data.draw(st.integers(0, batch.num_rows), label="first")
    end = data.draw(st.integers(first, batch.num_rows), label="end")
    packing = Packing(records=data.draw(st.integers(1, 4)))
    values = oracles.messages([batch.slice(first, end - first)], packing)
    assert block_messages(batch, first, end, packing) == [value for _, _, value in values]


@given(data=st.data(), batches=strategies.batches(strategies.types(1)))
def test_two_passes(data, batches):
    """The deletes of a range and then its inserts are together what one pass over it gives."""
    batch = batches[0]
    name = data.draw(strategies.NAMES.filter(lambda name: name and name not in batch.schema.names))
    weights = pa.array([data.draw(st.integers(-2, 2)) for _ in range(batch.num_rows)], pa.int32())
    batch = batch.append_column(name, weights)
    packing = Packing(weight=name)
    first = data.draw(st.integers(0, batch.num_rows), label="first")
    end = data.draw(st.integers(first, batch.num_rows), label="end")
    both = block_messages(batch, first, end, packing)
    apart = block_messages(batch, first, end, packing, "deletes") + block_messages(batch, first, end, packing, "inserts")
    assert b"".join(apart) == b"".join(both)
    assert both == [value for _, _, value in oracles.messages([batch.slice(first, end - first)], packing)]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_a_block_holds_its_rows_only(kind):
    """A block of few rows of a long column takes the memory of those rows."""
    column = pa.array(["short", "x" * 50 + "é"] * 50_000, kind)
    batch = pa.record_batch([column, pa.array(range(100_000))], names=["s", "i"])
    loaded = config.load(for_preview=True, topic="t")
    read = Planner(loaded, 0, 1).plan(batch.schema).read(batch)
    assert read.measure(70_000, 70_100) < 100 * 100 + 2000
    values = oracles.messages([batch.slice(70_001, 99)], Packing())
    assert block_messages(batch, 70_001, 70_100, Packing()) == [value for _, _, value in values]
