"""Message keys of columns: raw bytes, integers and UUIDs in big-endian order, and where librdkafka puts them."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
import penstock
import strategies
from compare import stream
from penstock import _core
from penstock.config.kafka.options import load_librdkafka

UUIDS = st.sampled_from([pa.uuid(), pa.binary(16)])
TEXT_UUID = {"sql_type": "UUID"}


@pytest.fixture(autouse=True, scope="module")
def _librdkafka():
    load_librdkafka()


def settings(**more: Any) -> dict[str, Any]:
    return {"topic": "t", **more}


def keys_of(batch: pa.RecordBatch, **more: Any) -> list[bytes | None]:
    return [message.key for message in penstock.preview(batch, **settings(**more))]


def value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind) else kind


def big_endian(column: pa.Array) -> list[bytes | None]:
    """Return each value as int.to_bytes and uuid.bytes have it."""
    kind = value_type(column.type)
    found: list[bytes | None] = []
    for value in column.to_pylist():
        if value is None:
            found.append(None)
        elif pa.types.is_integer(kind):
            found.append(value.to_bytes(kind.bit_width // 8, "big", signed=pa.types.is_signed_integer(kind)))
        else:
            found.append(value.bytes if isinstance(value, uuid.UUID) else value)
    return found


# ---- big_endian -----------------------------------------------------------------------------------------------------


@given(data=st.data(), batches=strategies.batches(strategies.types(1, st.one_of(strategies.INTEGERS, UUIDS))))
def test_big_endian_keys(data, batches):
    """A key is its columns' bytes one behind another; a null alone is a null key, a null among several is refused."""
    schema = batches[0].schema
    names = [field.name for field in schema if not pa.types.is_nested(field.type) and field.name]
    if not names:
        return
    chosen = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    expected: list[bytes | None] = []
    for batch in batches:
        columns = [big_endian(batch.column(name)) for name in chosen]
        expected += [
            None if None in parts and len(parts) == 1 else parts if None in parts else b"".join(parts)
            for parts in map(list, zip(*columns, strict=True))
        ]
    refused = next((at for at, key in enumerate(expected) if isinstance(key, list)), None)
    made: list[bytes | None] = []

    def take() -> None:
        for message in penstock.preview(stream(batches), key=chosen, key_format="big_endian", **settings()):
            made.append(message.key)  # noqa: PERF401 - those before an error count

    if refused is None:
        take()
    else:
        with pytest.raises(penstock.EncodeError, match="the value is null") as caught:
            take()
        assert caught.value.column in chosen
    assert made == expected[:refused]


def test_uuids_as_text():
    """A string column that is marked as UUID gives its 16 bytes in any spelling; other text is refused by row."""
    field = pa.field("id", pa.string(), metadata=TEXT_UUID)
    one = uuid.UUID("6f1a2b3c-0000-4000-8000-0123456789ab")
    batch = pa.record_batch([[str(one), one.hex.upper(), f"{{{one}}}", None]], schema=pa.schema([field]))
    assert keys_of(batch, key="id", key_format="big_endian") == [one.bytes, one.bytes, one.bytes, None]
    batch = pa.record_batch([["nonsense"]], schema=pa.schema([field]))
    with pytest.raises(penstock.EncodeError, match="not a UUID") as caught:
        keys_of(batch, key="id", key_format="big_endian")
    assert (caught.value.row, caught.value.column) == (0, "id")


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.float64(), pa.bool_(), pa.decimal128(5), pa.timestamp("us"), pa.binary(8)]
)
def test_columns_that_are_no_big_endian_key(kind):
    """Text without a mark, floats, times and bytes are refused before the first row, by name and type."""
    with pytest.raises(penstock.ConfigError, match="integers or UUIDs are needed") as caught:
        keys_of(pa.record_batch({"k": pa.nulls(1, kind)}), key="k", key_format="big_endian")
    assert f'"k" is {kind}' in str(caught.value)


# ---- raw ------------------------------------------------------------------------------------------------------------


@given(batches=strategies.batches(strategies.types(1, st.one_of(strategies.STRINGS, strategies.BINARY)), marked=False))
def test_raw_keys(batches):
    """A raw key is the value's own bytes through dictionaries and runs; null stays null, empty stays empty."""
    for field in batches[0].schema:
        if not field.name or (pa.types.is_nested(field.type) and not pa.types.is_run_end_encoded(field.type)):
            continue
        values = [value for batch in batches for value in batch.column(field.name).to_pylist()]
        expected = [value.encode() if isinstance(value, str) else value for value in values]
        alone = [batch.select([field.name]) for batch in batches]
        for key_format in ("string", "bytes"):
            more = settings(key=[field.name], key_format=key_format)
            assert [m.key for m in penstock.preview(stream(alone), **more)] == expected


# ---- key_in_value ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key_format", ["json", "string", "bytes"])
def test_key_columns_left_out_of_the_value(key_format):
    """key_in_value=False writes the row without the columns of its key."""
    batch = pa.record_batch({"a": ["x", "y"], "b": [1, 2]})
    made = list(penstock.preview(batch, key="a", key_format=key_format, key_in_value=False, **settings()))
    assert [json.loads(m.value) for m in made] == [{"insert": {"b": 1}}, {"insert": {"b": 2}}]
    assert [m.key for m in made] == ([b'{"a":"x"}', b'{"a":"y"}'] if key_format == "json" else [b"x", b"y"])


# ---- partitions -----------------------------------------------------------------------------------------------------

KEYS: list[tuple[str, list[str], dict[str, Any]]] = [
    ("json", ["s", "i"], {}),
    ("string", ["s"], {}),
    ("bytes", ["b"], {}),
    ("big_endian", ["i"], {}),
    ("big_endian", ["i", "u"], {}),
]


@pytest.mark.parametrize("partitioner", ["consistent", "consistent_random", "murmur2", "murmur2_random", "fnv1a"])
@pytest.mark.parametrize(("key_format", "names", "more"), KEYS)
def test_partitions_of_every_kind_of_key(key_format, names, more, partitioner):
    """The partition of a row is the one that librdkafka's own function gives for its key's bytes."""
    count = 500
    batch = pa.record_batch(
        {
            "s": pa.array([f"é{n % 97}" for n in range(count)]).dictionary_encode(),
            "b": pa.array([n.to_bytes(3, "little") for n in range(count)], pa.binary_view()),
            "i": pa.array([n * 7919 - 1000 for n in range(count)], pa.int32()),
            "u": pa.ExtensionArray.from_storage(
                pa.uuid(), pa.array([uuid.UUID(int=n << 90 | 5).bytes for n in range(count)], pa.binary(16))
            ),
        }
    )
    made = list(
        penstock.preview(
            batch, partitions=7, key=names, key_format=key_format, partitioner=partitioner, **settings(**more)
        )
    )
    assert len(made) == count
    for message in made:
        assert message.partition == _core.librdkafka_partition_of(partitioner, message.key, 7)
    assert len({message.partition for message in made}) == 7


# ---- settings that do not go together -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        ({"key_format": "big_endian"}, ["key_format=big_endian", "needs key"]),
        ({"key_format": "avro", "key": "a"}, ["key_format=avro", "format json"]),
        ({"key_in_value": False}, ["key_in_value=False", "needs key"]),
        ({"key_format": "bytes", "key": "a,b"}, ["key_format=bytes", "exactly one", "found 2"]),
        ({"key": "a", "format": "parquet"}, ["key", "format parquet"]),
        ({"key": "a", "format": "arrow"}, ["key", "format arrow"]),
        ({"key": "a", "format": {"name": "python", "config": {"encoder": "m:f"}}}, ["key", "format python"]),
        (
            {
                "key": "a",
                "format": {"name": "json", "config": {"update_format": "debezium", "key_fields": ["a"]}},
            },
            ["key", "key_fields"],
        ),
        ({"key": "a", "format": {"name": "avro", "config": {"key_mode": "key_fields"}}}, ["key", "key_mode"]),
    ],
)
def test_keys_that_make_no_sense(more, parts):
    """A combination is refused at open, and both of its sides are named."""
    with pytest.raises(penstock.ConfigError) as caught:
        penstock.preview(pa.record_batch({"a": ["x"]}), **settings(**more))
    for part in parts:
        assert part in str(caught.value)


def test_a_missing_key_column_is_named():
    """Every key format names the column that is not there, and the nearest that is."""
    for key_format in ("json", "string", "bytes", "big_endian"):
        with pytest.raises(penstock.ConfigError, match='no column "idd"; did you mean "id"'):
            keys_of(pa.record_batch({"id": [1]}), key="idd", key_format=key_format)


def test_the_oracle_knows_json_keys():
    """A json key stays what it was: the compact object of its columns."""
    batch = pa.record_batch({"a": [1, None], "b": ["x", "y"]})
    assert keys_of(batch, key="b,a") == [text.encode() for text in oracles.rows(batch, ["b", "a"])]


# ---- beside an index and partition_by -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "more"),
    [
        ({"name": "json", "config": {"update_format": "debezium", "key_fields": ["k", "v"]}}, {}),
        ({"name": "json", "config": {"update_format": "redis", "key_fields": ["v"]}}, {}),
        ("json", {"key": ["v"]}),
        ({"name": "avro", "config": {"key_mode": "none"}}, {"key": ["v"]}),
    ],
)
def test_a_key_beyond_the_index(form, more):
    """A key that an update of the index can change is refused: the old one would stay; a part of the index is fine."""
    batch = pa.record_batch({"k": [1, 1], "v": ["a", "b"], "op": ["-U", "+U"]})
    for columns in (["k"], ["k", "v"]):
        indexed = {"index": "i", "relation": {"indexes": {"i": columns}}, "op_column": "op"}
        if columns == ["k"]:
            with pytest.raises(penstock.ConfigError, match='column "v", which index "i" has not'):
                penstock.preview(batch, format=form, **indexed, **more)
        else:
            assert len(list(penstock.preview(batch, format=form, **indexed, **more))) == 2


@pytest.mark.parametrize(
    "form",
    [
        {"name": "json", "config": {"update_format": "debezium", "key_fields": ["k"]}},
        {"name": "json", "config": {"update_format": "redis", "key_fields": ["k"]}},
        {"name": "avro", "config": {"update_format": "confluent_jdbc"}},
    ],
)
def test_partition_by_beside_a_key_of_the_format(form):
    """The format's key chooses the partition, so partition_by is refused instead of ignored."""
    batch = pa.record_batch({"k": [1], "v": ["a"]})
    with pytest.raises(penstock.ConfigError, match="partition_by=v and the message key"):
        penstock.preview(batch, format=form, partition_by=["v"])
