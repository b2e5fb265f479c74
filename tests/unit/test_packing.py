"""How events become messages: by size and count, by batch, by key and partition; each message is the oracle's."""

from __future__ import annotations

import json
import random
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
import penstock
import strategies
from compare import check, stream
from oracles import Packing

# ---- any batch ----------------------------------------------------------------------------------------------------


@given(data=st.data(), batches=strategies.batches(strategies.types(1)), array=st.booleans(), records=st.integers(1, 9))
def test_size_packing(data, batches, array, records):
    """Each message takes as many events as fit, is never longer than the limit, and a longer row is refused."""
    sizes = [len(event) for batch in batches for _, event in oracles.events(batch, Packing())]
    total = sum(sizes) + 2 * len(sizes) + 2
    longest = max(sizes, default=0) + 1 + array
    near = st.integers(-3, 3).map(lambda step: max(1, longest + step))
    limit = data.draw(st.one_of(near, st.integers(min(longest, total), total)), label="limit")
    packing = Packing(limit=limit, array=array, records=records)
    for _, _, value in check(batches, packing):
        assert len(value) <= limit
        assert len(oracles.split_value(value, array=array)) <= records


@given(data=st.data(), batches=strategies.batches(strategies.types(1)))
def test_changes_of_any_row(data, batches):
    """The op or weight column decides the events and is not part of the row, wherever it stands among the columns."""
    form = data.draw(st.sampled_from(["op", "weight"]))
    name = data.draw(strategies.NAMES.filter(lambda name: name and name not in batches[0].schema.names))
    place = data.draw(st.integers(0, len(batches[0].schema)))
    changed = []
    for batch in batches:
        if form == "op":
            values = st.sampled_from(sorted(oracles.INSERTS | oracles.DELETES))
            column = pa.array([data.draw(values) for _ in range(batch.num_rows)], pa.string())
        else:
            column = pa.array([data.draw(st.integers(-2, 2)) for _ in range(batch.num_rows)], pa.int64())
        changed.append(batch.add_column(place, name, column))
    check(changed, Packing(records=data.draw(st.integers(1, 5)), array=data.draw(st.booleans()), **{form: name}))


@given(data=st.data(), batches=strategies.batches(strategies.types(1)))
def test_keys_of_any_columns(data, batches):
    """With key columns each message is one row, and its key is the compact object of the columns in the order given."""
    names = [name for name in batches[0].schema.names if name]
    if not names:
        return
    key = tuple(data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True)))
    messages = check(batches, Packing(key=key, array=data.draw(st.booleans())))
    assert len(messages) == sum(batch.num_rows for batch in batches)


@given(data=st.data(), batches=strategies.batches(strategies.types(1)), partitions=st.integers(1, 9))
def test_partition_by(data, batches, partitions):
    """Rows are packed per partition of their key, none is lost, and within a partition they keep their order."""
    names = [name for name in batches[0].schema.names if name]
    if not names:
        return
    columns = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    partitioner = data.draw(st.sampled_from(["murmur2", "murmur2_random", "consistent", "consistent_random", "fnv1a"]))
    packing = Packing(records=data.draw(st.integers(1, 5)))
    expected: Counter[tuple[int, int, bytes]] = Counter()
    in_order: dict[tuple[int, int], list[bytes]] = {}
    for number, batch in enumerate(batches):
        for (_, event), key in zip(oracles.events(batch, packing), oracles.rows(batch, columns), strict=True):
            place = oracles.partition(partitioner, key.encode(), partitions)
            in_order.setdefault((number, place), []).append(event)
            expected[number, place, event] += 1
    made: dict[tuple[int, int], list[bytes]] = {}
    for m in penstock.preview(
        stream(batches), partition_by=columns, partitioner=partitioner, partitions=partitions, **packing.settings()
    ):
        assert m.key is None
        events = oracles.split_value(m.value, array=False)
        made.setdefault((m.batch, m.partition), []).extend(events)
        assert 1 <= len(events) <= packing.records
    assert made == in_order


# ---- shapes of batches ----------------------------------------------------------------------------------------------


def test_no_columns_left():
    """A row whose only column is the weight is the empty object."""
    batch = pa.record_batch({"w": pa.array([1, -1, 0], pa.int64())})
    assert check([batch], Packing(weight="w")) == [(0, None, b'{"delete":{}}\n{"insert":{}}\n')]


def test_empty_batches_are_counted():
    """A batch without rows sends nothing and keeps its number; a source without rows sends nothing at all."""
    schema = pa.schema([("i", pa.int64())])
    empty = pa.RecordBatch.from_pylist([], schema=schema)
    full = pa.RecordBatch.from_pylist([{"i": 1}], schema=schema)
    assert [number for number, _, _ in check([empty, full, empty, full], Packing())] == [1, 3]
    assert check([empty], Packing()) == []
    assert list(penstock.preview(pa.RecordBatchReader.from_batches(schema, []), topic="t")) == []


def test_limit_counts_messages():
    """`limit` ends the preview after so many messages."""
    batch = pa.record_batch({"i": range(10)})
    for limit in (1, 3, 10, 11):
        made = list(penstock.preview(batch, limit=limit, **Packing(records=1).settings()))
        assert [json.loads(m.value)["insert"]["i"] for m in made] == list(range(min(limit, 10)))


def test_a_batch_is_one_chunk_here():
    """A preview does not cut a batch, however long: only what a message may hold ends a message."""
    batch = pa.record_batch({"i": pa.array(range(140_000), pa.int32())})
    assert [value.count(b"\n") for _, _, value in check([batch], Packing(records=10_000))] == [10_000] * 14


def mixed(rows: int, seed: int) -> pa.RecordBatch:
    """Return rows of the usual types, long enough that encoding in pieces would show."""
    rng = random.Random(seed)
    words = ["", "a", "Žluťoučký", '"quoted"', "line\nbreak", "x" * 300, "tab\t", "plain text of some length"]
    return pa.record_batch(
        {
            "id": pa.array([rng.randrange(-(2**63), 2**63) for _ in range(rows)], pa.int64()),
            "price": pa.array([None if rng.random() < 0.1 else rng.randrange(10**7) / 100 for _ in range(rows)]),
            "word": pa.array([rng.choice(words) for _ in range(rows)]).dictionary_encode(),
            "text": pa.array([rng.choice(words) * rng.randrange(4) for _ in range(rows)]),
            "tags": pa.array([[rng.choice(words) for _ in range(rng.randrange(4))] for _ in range(rows)]),
            "at": pa.array([rng.randrange(-(2**50), 2**50) for _ in range(rows)], pa.int64()).view(pa.timestamp("us")),
            "ok": pa.array([rng.choice([True, False, None]) for _ in range(rows)]),
        }
    )


@pytest.mark.parametrize("array", [False, True])
@pytest.mark.parametrize("limit", [999_936, 70_000, 7_000])
def test_many_rows(array, limit):
    """Thousands of rows come out as the oracle has them, whatever pieces they are encoded in."""
    batch = mixed(4000, seed=limit)
    messages = check([batch, batch.slice(1001, 2000)], Packing(array=array, limit=limit))
    assert max(len(value) for _, _, value in messages) <= limit


def test_dictionaries_that_change():
    """The next batch may have another dictionary under the same column, and its values are used."""

    def coded(values: list[str | None]) -> pa.RecordBatch:
        return pa.record_batch([pa.array(values).dictionary_encode()], names=["d"])

    check([coded(["a", "b", "a"]), coded(["x", None, "y"]), coded(["a", "b"]), coded(["b", "a"])], Packing())
    same = pa.array(["p", "q"])
    places = [pa.array([0, 1, None], pa.int32()), pa.array([1, 1, 0], pa.int32())]
    check([pa.record_batch([pa.DictionaryArray.from_arrays(at, same)], names=["d"]) for at in places], Packing())


def test_delta_of_one_long_value():
    """One value longer than any buffer in use is written whole, or refused by the limit."""
    for size in (100_000, 999_900):
        batch = pa.record_batch({"s": ["x" * size]})
        ((_, _, value),) = check([batch], Packing())
        assert len(value) == size + len('{"insert":{"s":""}}\n')
    batch = pa.record_batch({"s": ["x" * 999_936]})
    assert check([batch], Packing()) == []  # the oracle refuses it too


# ---- keys and partitions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.binary_view()])
def test_raw_keys(kind):
    """`string` and `bytes` keys are one column's own bytes, and a null there is a null Kafka key."""
    values = ["k", "", None, "é\n" * 10]
    raw = [None if v is None else v.encode() for v in values]
    column = pa.array(values if strategies.is_string(kind) else raw, kind)
    batch = pa.record_batch([column, pa.array(range(4))], names=["k", "i"])
    key_format = "string" if strategies.is_string(kind) else "bytes"
    messages = check([batch], Packing(key=("k",), key_format=key_format))
    assert [key for _, key, _ in messages] == raw
    if kind in (pa.string(), pa.large_string(), pa.binary()):
        coded = pa.record_batch([column.dictionary_encode(), pa.array(range(4))], names=["k", "i"])
        assert [key for _, key, _ in check([coded], Packing(key=("k",), key_format=key_format))] == raw


def test_json_keys():
    """A key object has the columns in the order given, nulls included, and the row still has them all."""
    batch = pa.record_batch({"a": [1, None], "b": ["x", "y"], "c": [True, False]})
    assert check([batch], Packing(key=("b", "a"))) == [
        (0, b'{"b":"x","a":1}', b'{"insert":{"a":1,"b":"x","c":true}}\n'),
        (0, b'{"b":"y","a":null}', b'{"insert":{"a":null,"b":"y","c":false}}\n'),
    ]


@pytest.mark.parametrize(
    "partitioner", ["murmur2", "murmur2_random", "consistent", "consistent_random", "fnv1a", "fnv1a_random"]
)
def test_partition_of_a_key(partitioner):
    """A keyed row goes where the partitioner puts the exact key bytes, and each partition keeps the order given."""
    rng = random.Random(partitioner)
    batch = pa.record_batch({"k": [f"k{rng.randrange(50)}" for _ in range(500)], "i": range(500)})
    settings = Packing(key=("k",)).settings()
    made = list(penstock.preview(batch, partitions=7, partitioner=partitioner, **settings))
    assert len(made) == 500
    for m in made:
        assert m.partition == oracles.partition(partitioner, m.key, 7)
    for number in range(7):
        rows = [json.loads(m.value)["insert"]["i"] for m in made if m.partition == number]
        assert rows == sorted(rows)


def test_partition_column():
    """The partition column names the partition and is not part of the row."""
    places = [2, 0, 1, 2, 0, 2]
    batch = pa.record_batch({"p": pa.array(places, pa.int32()), "i": range(6)})
    made = list(penstock.preview(batch, partitions=3, **Packing(partition_column="p").settings()))
    read = {m.partition: [json.loads(line)["insert"] for line in m.value[:-1].split(b"\n")] for m in made}
    assert read == {p: [{"i": i} for i, at in enumerate(places) if at == p] for p in range(3)}


def test_keyless_rows_go_anywhere():
    """Without a key every row is sent once, to partitions that exist, in messages of one partition."""
    batch = pa.record_batch({"i": range(5000)})
    made = list(penstock.preview([batch] * 3, partitions=4, **Packing(records=100).settings()))
    assert {m.partition for m in made} <= set(range(4))
    rows = [json.loads(line)["insert"]["i"] for m in made for line in m.value[:-1].split(b"\n")]
    assert sorted(rows) == sorted([*range(5000)] * 3)
