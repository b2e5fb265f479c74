"""Which partition a row goes to and which worker has it, beside librdkafka's own functions."""

from __future__ import annotations

import json
import random
import struct
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock
from penstock import _core
from penstock.config import load
from penstock.config.kafka.options import load_librdkafka
from penstock.encode import Plan

PARTITIONERS = ["consistent", "consistent_random", "murmur2", "murmur2_random", "fnv1a", "fnv1a_random"]
DELETE = 1 << 31


@pytest.fixture(autouse=True, scope="module")
def _librdkafka():
    load_librdkafka()


def librdkafka(partitioner: str, key: bytes, partitions: int) -> int:
    return _core.librdkafka_partition_of(partitioner, key, partitions)


def many_keys() -> list[bytes]:
    """Return keys of every length up to 70, of text, of zeros and of the highest bytes, and some long ones."""
    rng = random.Random(20)
    keys = [rng.randbytes(size) for size in range(1, 71) for _ in range(30)]
    keys += [bytes([byte]) * size for byte in (0, 0x7F, 0x80, 0xFF) for size in range(1, 20)]
    keys += [f"user-{n}".encode() for n in range(500)] + [f"ключ {n} 鍵".encode() for n in range(100)]
    return [*keys, rng.randbytes(10_000), rng.randbytes(100_001)]


# ---- the functions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("partitioner", PARTITIONERS)
def test_thousands_of_keys(partitioner):
    """Every key goes where librdkafka would put it, for few, many and awkward numbers of partitions."""
    keys = many_keys()
    for partitions in (1, 2, 3, 7, 12, 100, 3000, 2**31 - 1):
        ours = [_core.partition_of(partitioner, key, partitions) for key in keys]
        assert ours == [librdkafka(partitioner, key, partitions) for key in keys]


@pytest.mark.parametrize("partitioner", PARTITIONERS)
@given(key=st.binary(min_size=1, max_size=300), partitions=st.integers(1, 2**31 - 1))
def test_any_key(partitioner, key, partitions):
    """No key and no number of partitions is placed otherwise than by librdkafka."""
    assert _core.partition_of(partitioner, key, partitions) == librdkafka(partitioner, key, partitions)


@pytest.mark.parametrize("partitioner", [p for p in PARTITIONERS if p != "consistent_random"])
def test_the_empty_key(partitioner):
    """A key of no bytes is a key: it is hashed, except by consistent_random, which leaves it to chance."""
    for partitions in (1, 2, 5, 12):
        assert _core.partition_of(partitioner, b"", partitions) == librdkafka(partitioner, b"", partitions)


# ---- rows -----------------------------------------------------------------------------------------------------------


def settings(**more: Any) -> dict[str, Any]:
    return {"topic": "t", **more}


@pytest.mark.parametrize("partitioner", PARTITIONERS)
@pytest.mark.parametrize(
    ("kind", "key_format"),
    [(pa.string(), "string"), (pa.large_binary(), "bytes"), (pa.string_view(), "bytes"), (pa.string(), "json")],
)
def test_rows_by_their_key(partitioner, kind, key_format):
    """The partition of a row is that of the very bytes of its message key."""
    rng = random.Random(3)
    texts = ["".join(rng.choices("abcdefgé鍵", k=rng.randint(1, 30))) for _ in range(2000)]
    column = pa.array(texts, pa.string())
    column = column.cast(pa.binary()).cast(kind) if kind == pa.large_binary() else column.cast(kind)
    batch = pa.record_batch({"k": column, "i": range(len(texts))})
    more = {"key": ["k"], "key_format": key_format, "partitioner": partitioner}
    seen = 0
    for message in penstock.preview(batch, partitions=11, **settings(**more)):
        row = json.loads(message.value)["insert"]["i"]
        expected = texts[row].encode()
        if key_format == "json":
            expected = json.dumps({"k": texts[row]}, ensure_ascii=False, separators=(",", ":")).encode()
        assert message.key == expected
        assert message.partition == librdkafka(partitioner, expected, 11)
        seen += 1
    assert seen == len(texts)


def test_a_key_of_several_columns():
    """A json key of several columns is one object in the order that was asked for, dictionaries and nulls included."""
    country = pa.array(["de", "fr", None, "de"] * 50).dictionary_encode()
    batch = pa.record_batch({"country": country, "id": range(200), "x": [1.5] * 200})
    for message in penstock.preview(batch, partitions=13, **settings(key=["id", "country"])):
        row = json.loads(message.value)["insert"]
        expected = json.dumps({"id": row["id"], "country": row["country"]}, separators=(",", ":")).encode()
        assert message.key == expected
        assert message.partition == librdkafka("murmur2_random", expected, 13)


@pytest.mark.parametrize("partitioner", PARTITIONERS)
def test_partition_by_without_a_key(partitioner):
    """partition_by hashes the same bytes as a key would, but the messages have none and hold many rows."""
    batch = pa.record_batch({"user": [f"u{n % 97}" for n in range(3000)], "i": range(3000)})
    rows = 0
    messages = 0
    for message in penstock.preview(batch, partitions=5, **settings(partition_by=["user"], partitioner=partitioner)):
        assert message.key is None
        messages += 1
        for line in message.value.splitlines():
            row = json.loads(line)["insert"]
            assert librdkafka(partitioner, json.dumps({"user": row["user"]}, separators=(",", ":")).encode(), 5) == (
                message.partition
            )
            rows += 1
    assert (rows, messages) == (3000, 5)


@pytest.mark.parametrize("partitioner", PARTITIONERS)
def test_null_keys(partitioner):
    """A null key stays null; where the partitioner leaves it to chance a run's nulls stay together, else they hash."""
    batch = pa.record_batch({"k": [None, "a"] * 100, "i": range(200)})
    more = {"key": ["k"], "key_format": "string", "partitioner": partitioner}
    places = []
    for number in range(4):
        made = list(penstock.preview([batch] * 4, partitions=4, **settings(**more)))
        nulls = {m.partition for m in made if m.batch == number and m.key is None}
        assert sum(m.key is None for m in made) == 400
        assert len(nulls) == 1
        places += nulls
    if partitioner.endswith("_random"):
        assert sorted(places) == [0, 1, 2, 3]
    else:
        assert set(places) == {librdkafka(partitioner, b"", 4)}


@pytest.mark.parametrize("partitioner", [*PARTITIONERS, "random"])
def test_rows_without_a_key(partitioner):
    """Without a key a batch stays together; runs go round the partitions, unless the hash of nothing says one."""
    batch = pa.record_batch({"i": range(50)})
    places = [m.partition for m in penstock.preview([batch] * 8, partitions=4, **settings(partitioner=partitioner))]
    assert len(places) == 8
    if partitioner.endswith("random"):
        assert places == [0, 1, 2, 3, 0, 1, 2, 3]
    else:
        assert set(places) == {librdkafka(partitioner, b"", 4)}


# ---- workers, and the sort ------------------------------------------------------------------------------------------


def select(batch: pa.RecordBatch, partitions: int, workers: int, **more: Any) -> tuple[_core.Selection, list[Any]]:
    """Return the selection, and its groups as (partition, [entry, …]) in the order in which they are dealt."""
    plan = Plan(0, batch.schema, load(for_preview=True, **settings(**more)), partitions, workers, stream_id=0)
    read = plan.read(batch)
    read.set_dictionary_ids([0] * read.dictionaries)
    selection = plan.selector.select(read, 0, read.rows, "both", 0)
    memory = bytearray(selection.nbytes + 64)
    entries, _, groups = selection.copy(_core.address_of(memory), 0)
    count = sum(share[2] for share in selection.shares())
    found = []
    for number in range(count):
        partition, first, size = struct.unpack_from("<iII", memory, groups + 12 * number)
        found.append((partition, list(struct.unpack_from(f"<{size}I", memory, entries + 4 * first))))
    return selection, found


@given(
    places=st.lists(st.integers(0, 9), min_size=1, max_size=60),
    deleted=st.data(),
    spare=st.integers(0, 5),
    workers=st.integers(1, 5),
)
def test_worker_affinity_and_stable_sort(places, deleted, spare, workers):
    """Each partition is one group of one worker, p % workers, and keeps its rows in the order given; none is lost."""
    ops = deleted.draw(st.lists(st.sampled_from("ID"), min_size=len(places), max_size=len(places)))
    batch = pa.record_batch({"p": pa.array(places, pa.int16()), "op": ops, "i": range(len(places))})
    partitions = max(places) + 1 + spare
    selection, groups = select(batch, partitions, workers, partition_column="p", op_column="op")
    expected: dict[int, list[int]] = {}
    for row, (place, op) in enumerate(zip(places, ops, strict=True)):
        expected.setdefault(place, []).append(row | (DELETE if op == "D" else 0))
    assert dict(groups) == expected
    assert len(groups) == len(expected)
    shares = selection.shares()
    assert [share[0] for share in shares] == sorted({place % workers for place in places})
    for worker, first, count, rows, _ in shares:
        mine = groups[first : first + count]
        assert {place % workers for place, _ in mine} == {worker}
        assert rows == sum(len(entries) for _, entries in mine)
    assert selection.rows == len(places)


def test_repeats_are_sorted_with_their_rows():
    """A weight goes where its row goes, deletes first within a partition."""
    weights = [2, -1, 3, 1, -4, 0, 5]
    batch = pa.record_batch({"p": [1, 0, 0, 1, 1, 0, 1], "w": weights, "i": range(7)})
    made: dict[int, Counter[tuple[str, int]]] = {}
    order: dict[int, list[str]] = {}
    for message in penstock.preview(batch, partitions=2, **settings(partition_column="p", weight_column="w")):
        for line in message.value.splitlines():
            ((verb, row),) = json.loads(line).items()
            made.setdefault(message.partition, Counter())[verb, row["i"]] += 1
            order.setdefault(message.partition, []).append(verb)
    assert made == {
        0: Counter({("delete", 1): 1, ("insert", 2): 3}),
        1: Counter({("delete", 4): 4, ("insert", 0): 2, ("insert", 3): 1, ("insert", 6): 5}),
    }
    assert all(verbs == sorted(verbs) for verbs in order.values())


def test_thousands_of_partitions():
    """A batch may touch more partitions than it fills, and each row still finds its own."""
    batch = pa.record_batch({"k": [f"key {n}" for n in range(20_000)]})
    selection, groups = select(batch, 3001, 7, key=["k"], key_format="string")
    assert sum(len(entries) for _, entries in groups) == selection.rows == 20_000
    for partition, entries in groups:
        assert entries == sorted(entries)
        assert {librdkafka("murmur2_random", b"key %d" % row, 3001) for row in entries} == {partition}
