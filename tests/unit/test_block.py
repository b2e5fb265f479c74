"""What lies in shared memory encodes to the same bytes as what was given, however it was sliced, shared or nested."""

from __future__ import annotations

import json
import mmap
import random
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
import penstock
import strategies
from penstock import _core
from penstock.config import load
from penstock.encode import Plan
from penstock.layout import make_packer
from readback import read_topic

ROWS = 200


class Memory:
    """An arena of one batch: its dictionaries once, and blocks of any of its rows, read elsewhere than written.

    What is not written is filled with ones, so that reading it would show.
    """

    def __init__(self, batch: pa.RecordBatch) -> None:
        form = {"name": "json", "config": {"buffer_size_records": 1}}
        self.plan = Plan(0, batch.schema, load(for_preview=True, topic="t", format=form), 0, 1)
        self.read = self.plan.read(batch)
        self.packer = make_packer(self.plan.layout)
        sizes = [self.read.measure_dictionary(at) for at in range(self.read.dictionaries)]
        self.block = sum(-(-size // 64) * 64 for size in sizes)
        self.size = self.block + self.read.measure(0, self.read.rows) + 4096
        self.written = mmap.mmap(-1, self.size)
        self.written.write(b"\xff" * self.size)
        self.places = []
        position = 0
        for at, size in enumerate(sizes):
            assert self.read.copy_dictionary(at, _core.address_of(self.written), position) == size
            self.places.append((position, at + 1))
            position += -(-size // 64) * 64
        self.read.set_dictionary_ids([number for _, number in self.places])

    def values(self, first: int, end: int) -> list[bytes]:
        """Copy rows first..end into a block and return what they become, a message each."""
        place = self.copy(first, end)
        return self.encode(place) if place else []

    def copy(self, first: int, end: int) -> tuple[int, ...] | None:
        selection = self.plan.selector.select(self.read, first, end, "both", 0)
        if not selection.rows:
            return None
        self.written[self.block :] = b"\xff" * (self.size - self.block)
        size = self.read.measure(first, end)
        address = _core.address_of(self.written)
        assert self.read.copy(first, end, address, self.block, self.places) == size
        assert self.written[self.block + size :] == b"\xff" * (self.size - self.block - size)
        entries, repeats, groups = selection.copy(address, (self.block + size + 15) // 16 * 16)
        return self.block, first, entries, repeats, groups, 1, 0

    def encode(self, place: tuple[int, ...]) -> list[bytes]:
        with mmap.mmap(-1, self.size) as elsewhere:
            elsewhere[:] = self.written[:]
            return [message[2] for message in self.packer.collect(_core.address_of(elsewhere), place, [])]


def expected(batch: pa.RecordBatch) -> list[bytes]:
    return [f'{{"insert":{text}}}\n'.encode() for text in oracles.rows(batch)]


# ---- any batch ------------------------------------------------------------------------------------------------------


@given(data=st.data(), batches=strategies.batches())
def test_any_rows_of_any_batch(data, batches):
    """Any stretch of any batch's rows, copied alone, gives the messages that these rows give in the whole."""
    try:
        lines = expected(batches[0])
    except oracles.NoForm:
        return
    memory = Memory(batches[0])
    rows = batches[0].num_rows
    for _ in range(3):
        first = data.draw(st.integers(0, rows))
        end = data.draw(st.integers(first, rows))
        assert memory.values(first, end) == lines[first:end]
    assert memory.values(0, rows) == lines


@given(batches=strategies.batches())
def test_nothing_is_read_after_the_copy(batches):
    """Once the rows are copied the caller's memory may be overwritten."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema) as stream:
        stream.write_batch(batches[0])
    given_memory = bytearray(sink.getvalue().to_pybytes())
    batch = pa.ipc.open_stream(pa.py_buffer(given_memory)).read_next_batch()
    try:
        lines = expected(batch)
    except oracles.NoForm:
        return
    memory = Memory(batch)
    place = memory.copy(0, batch.num_rows)
    given_memory[:] = b"\xff" * len(given_memory)
    assert (memory.encode(place) if place else []) == lines


# ---- shapes by hand -------------------------------------------------------------------------------------------------


def texts(count: int, seed: int = 1) -> list[str | None]:
    rng = random.Random(seed)
    return [None if rng.random() < 0.1 else "é" * rng.randrange(12) + str(n) for n in range(count)]


def shared_views() -> pa.Array:
    """Return string views of which many stand for parts of the same bytes, in one of several buffers."""
    whole = [b"the quick brown fox jumps over the lazy dog", b"0123456789abcdefghijklmnopqrstuvwxyz"]
    rng = random.Random(2)
    views = bytearray()
    for n in range(ROWS):
        buffer = rng.randrange(2)
        size = rng.randint(0, len(whole[buffer]))
        at = rng.randint(0, len(whole[buffer]) - size)
        text = whole[buffer][at : at + size]
        views += size.to_bytes(4, "little")
        if size <= 12:
            views += text.ljust(12, b"\0")
        else:
            views += text[:4] + buffer.to_bytes(4, "little") + at.to_bytes(4, "little")
        assert len(views) == 16 * (n + 1)
    buffers = [None, pa.py_buffer(bytes(views)), *map(pa.py_buffer, whole)]
    return pa.Array.from_buffers(pa.string_view(), ROWS, buffers)


def many_buffers() -> pa.Array:
    """Return string views with a buffer for each, in an order of their own, and nulls whose views point nowhere."""
    rng = random.Random(3)
    order = rng.sample(range(ROWS), ROWS)
    buffers: list[Any] = [None] * ROWS
    views = bytearray()
    for n in range(ROWS):
        text = f"row {n} is longer than twelve bytes".encode()
        buffers[order[n]] = pa.py_buffer(text)
        views += len(text).to_bytes(4, "little") + text[:4] + order[n].to_bytes(4, "little") + bytes(4)
    flags = [n % 7 != 3 for n in range(ROWS)]
    for n in (n for n in range(ROWS) if not flags[n]):
        views[16 * n : 16 * n + 16] = (1000).to_bytes(4, "little") + b"\xff" * 12
    return pa.Array.from_buffers(
        pa.string_view(), ROWS, [strategies.bitmap(flags), pa.py_buffer(bytes(views)), *buffers]
    )


def list_views(kind: pa.DataType) -> pa.Array:
    """Return list views that overlap, run backwards, and reach to both ends of their values."""
    rng = random.Random(4)
    child = pa.array(texts(300))
    sizes = [rng.randint(0, 5) for _ in range(ROWS)]
    starts = [rng.randint(0, 300 - size) for size in sizes]
    wide = pa.int64() if kind == pa.large_list_view(pa.string()) else pa.int32()
    numbers = [pa.array(values, wide).buffers()[1] for values in (starts, sizes)]
    flags = strategies.bitmap([n % 5 != 0 for n in range(ROWS)])
    return pa.Array.from_buffers(kind, ROWS, [flags, *numbers], children=[child])


def runs(values: pa.Array) -> pa.Array:
    ends = [*sorted(random.Random(5).sample(range(1, ROWS), len(values) - 1)), ROWS]
    return pa.RunEndEncodedArray.from_arrays(pa.array(ends, pa.int32()), values)


def coded(values: Any, count: int = ROWS, seed: int = 6) -> pa.DictionaryArray:
    rng = random.Random(seed)
    places = [None if rng.random() < 0.1 else rng.randrange(len(values)) for _ in range(count)]
    return pa.DictionaryArray.from_arrays(pa.array(places, pa.int8()), values)


def offsets(count: int, most: int = 4) -> list[int]:
    rng = random.Random(7)
    found = [0]
    for _ in range(count):
        found.append(found[-1] + rng.randint(0, most))
    return found


WORDS = pa.array(["red", None, "grün", "", "blue", 'quoted "x"'])
PLACES = pa.array([{"x": n, "tags": ["a"] * n, "word": texts(9)[n]} for n in range(9)])
LISTS = offsets(ROWS)
SHAPES = {
    "strings": pa.array(texts(ROWS)),
    "large strings, sliced": pa.array(texts(ROWS + 50), pa.large_string()).slice(37, ROWS),
    "views": pa.array(texts(ROWS), pa.string_view()),
    "views of the same bytes": shared_views(),
    "views in many buffers": many_buffers(),
    "views in lists": pa.ListArray.from_arrays(LISTS, pa.array(texts(LISTS[-1]), pa.string_view())),
    "list views": list_views(pa.list_view(pa.string())),
    "large list views": list_views(pa.large_list_view(pa.string())),
    "lists of fixed size": pa.FixedSizeListArray.from_arrays(pa.array(range(3 * ROWS)), 3),
    "lists of lists, sliced": pa.array([[[n], None, [n, None]] for n in range(ROWS + 20)]).slice(11, ROWS),
    "booleans, sliced": pa.array([n % 3 == 0 for n in range(ROWS + 13)]).slice(13, ROWS),
    "runs": runs(pa.array(texts(40))),
    "runs of runs' lists": runs(pa.array([[n, None] if n % 4 else None for n in range(30)])),
    "runs of dictionaries": runs(coded(WORDS, 25)),
    "runs in structs, sliced": pa.StructArray.from_arrays([runs(pa.array(texts(40)))], ["r"]).slice(9, 180),
    "dictionary": coded(WORDS),
    "sliced dictionary": coded(WORDS.slice(1, 4)),
    "dictionary of structs": coded(PLACES),
    "dictionary of lists": coded(pa.array([[1, 2], None, [], [3]])),
    "dictionary in structs": pa.StructArray.from_arrays([coded(WORDS), coded(WORDS, seed=8)], ["a", "b"]),
    "dictionary in sliced structs": pa.StructArray.from_arrays([coded(WORDS, 250)], ["a"]).slice(31, ROWS),
    "dictionary in lists": pa.ListArray.from_arrays(LISTS, coded(WORDS, LISTS[-1])),
    "dictionaries in maps": pa.MapArray.from_arrays(
        LISTS,
        pa.DictionaryArray.from_arrays(pa.array([n % 5 for n in range(LISTS[-1])]), pa.array(["a", "ü", "", "b", '"'])),
        coded(PLACES, LISTS[-1]),
    ),
    "dictionary of dictionaries": coded(coded(WORDS, 12, seed=9)),
    "an empty dictionary": pa.DictionaryArray.from_arrays(pa.nulls(ROWS, pa.int16()), pa.array([], pa.string())),
    "all null strings": pa.nulls(ROWS, pa.string()),
    "all null structs": pa.nulls(ROWS, pa.struct({"a": pa.int64(), "b": pa.list_(pa.string_view())})),
    "all null list views": pa.nulls(ROWS, pa.list_view(pa.int64())),
    "nulls": pa.nulls(ROWS),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape):
    """Whole, cut and sliced, one after the other with one dictionary, each shape gives the oracle's bytes."""
    column = SHAPES[shape]
    column.validate(full=True)
    batch = pa.record_batch({"before": range(len(column)), "v": column, "after": pa.array(texts(len(column), 9))})
    lines = expected(batch)
    memory = Memory(batch)
    rows = batch.num_rows
    cuts = [(0, rows), (0, 0), (5, 5), (rows, rows), (0, 1), (3, 17), (63, 129), (64, 128), (rows - 1, rows), (0, rows)]
    for first, end in cuts:
        assert memory.values(first, end) == lines[first:end]
    for first, size in [(0, 0), (1, 100), (8, 64), (77, 3), (rows - 1, 1)]:
        part = batch.slice(first, size)
        assert Memory(part).values(0, size) == lines[first : first + size]
        assert [m.value for m in penstock.preview(part, topic="t")] == (
            [b"".join(lines[first : first + size])] * bool(size)
        )


@pytest.mark.parametrize("shape", SHAPES)
def test_empty(shape):
    """A batch of no rows needs only its nodes, and sends nothing."""
    column = SHAPES[shape]
    # pyarrow makes no empty runs inside of structs
    empty = column.slice(0, 0) if "runs" in shape else pa.nulls(0, column.type)
    batch = pa.record_batch({"v": empty})
    assert Memory(batch).values(0, 0) == []
    assert list(penstock.preview(batch, topic="t")) == []


def test_only_the_rows_that_are_copied_are_paid_for():
    """A block of few rows is small, whatever its columns share with the rest of the batch."""
    for shape, column in SHAPES.items():
        if "fixed size" in shape or "list view" in shape:  # the views of a few rows may lie far apart
            continue
        memory = Memory(pa.record_batch({"v": column}))
        assert memory.read.measure(10, 12) < 1500, shape


# ---- dictionaries that change under one writer ----------------------------------------------------------------------


def dictionaries(number: int) -> pa.Array:
    """Return the number-th dictionary of a column: growing, then changed, shortened, empty, with a null, and back."""
    made = [
        ["a", "b"],
        ["a", "b", "c"],
        ["a", "b", "c", "d" * 50],
        ["a", "x", "c", "d" * 50],
        ["b", "a"],
        [],
        [None, "z"],
        ["a", "b"],
    ]
    return pa.array(made[number % len(made)], pa.string())


def with_dictionaries(numbers: list[int]) -> list[pa.RecordBatch]:
    """Return a batch for each, of two plain dictionary columns and one of a nested dictionary."""
    batches = []
    for turn, number in enumerate(numbers):
        first, second = dictionaries(number), dictionaries(turn)
        codes = [pa.array([None, *range(len(values))] * 3, pa.int32()) for values in (first, second)]
        rows = min(map(len, codes))
        columns = [
            pa.DictionaryArray.from_arrays(code.slice(0, rows), values)
            for code, values in zip(codes, (first, second), strict=True)
        ]
        nested = pa.StructArray.from_arrays([columns[0]], ["inner"])
        batches.append(pa.record_batch([*columns, nested, pa.array([turn] * rows)], names=["a", "b", "s", "turn"]))
    return batches


def arrived(mock: _core.MockCluster, topic: str) -> Counter[bytes]:
    log = read_topic(mock.bootstrap_servers, topic)
    return Counter(line + b"\n" for message in log.messages for line in message.value.split(b"\n")[:-1])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("settings", [{}, {"key": ["a", "s"]}])
def test_dictionaries_that_change_under_one_writer(mock, workers, settings):
    """Whatever a dictionary becomes from batch to batch, every row arrives with its own values, not older ones."""
    batches = with_dictionaries([0, 1, 2, 2, 3, 4, 5, 6, 7, 0, 2, 1, 3])
    with penstock.open(topic="orders", bootstrap_servers=mock.bootstrap_servers, workers=workers, **settings) as writer:
        for batch in batches:
            writer.write(batch)
        report = writer.flush()
    sent = Counter(line for batch in batches for line in expected(batch))
    assert report.rows == sum(sent.values())
    assert arrived(mock, "orders") == sent


@pytest.mark.parametrize("workers", [0, 1])
def test_a_dictionary_changed_in_place(mock, workers):
    """The caller may overwrite a dictionary once write has returned; the next batch has the new values."""
    values = np.array([1.5, 2.5, 3.5])
    dictionary = pa.array(values)  # shares the array's memory
    batch = pa.record_batch({"v": pa.DictionaryArray.from_arrays(pa.array([0, 1, 2] * 5, pa.int8()), dictionary)})
    sent = Counter(expected(batch))
    with penstock.open(topic="orders", bootstrap_servers=mock.bootstrap_servers, workers=workers) as writer:
        writer.write(batch)
        values += 10
        sent += Counter(expected(batch))
        writer.write(batch)
    assert len(sent) == 6
    assert arrived(mock, "orders") == sent


def test_dictionaries_and_plain_strings_in_turn(mock):
    """One writer takes a column as a dictionary in one batch and as plain strings in the next."""
    words = ["a", "b", "c", None]
    plain = pa.record_batch({"w": pa.array(words * 10), "i": range(40)})
    batches = []
    for turn in range(6):
        column = plain["w"] if turn % 2 else pa.array(words[turn:] + words[: 40 - len(words[turn:])] * 10).slice(0, 40)
        batches.append(pa.record_batch({"w": column if turn % 2 else column.dictionary_encode(), "i": range(40)}))
    with penstock.open(topic="orders", bootstrap_servers=mock.bootstrap_servers, workers=2, key=["w"]) as writer:
        for batch in batches:
            writer.write(batch)
    sent = Counter(line for batch in batches for line in expected(batch))
    assert arrived(mock, "orders") == sent
    assert any(json.loads(line)["insert"]["w"] is None for line in sent)
