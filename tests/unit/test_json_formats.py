"""What each update format of JSON makes of inserts and deletes, and which settings it refuses."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import oracles
import penstock
import strategies
from penstock.encode import Planner
from styles import FLAVORS, Style

WEIGHT = pa.field("\x01weight", pa.int64(), nullable=False)  # a name that no strategy draws
ORDERS = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("b", pa.bool_(), nullable=False),
        pa.field("i", pa.int64()),
        pa.field("s", pa.string(), nullable=False),
    ]
)


def config(update_format: str, writer: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    return {
        "transport": {"name": "kafka_output", "config": {"topic": "t"}},
        "format": {"name": "json", "config": {"update_format": update_format, **members}},
        "writer": writer or {},
    }


def orders(*rows: tuple[int, bool, int | None, str], weights: list[int] | None = None) -> pa.RecordBatch:
    columns = [pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), ORDERS, strict=True)]
    schema = ORDERS
    if weights is not None:
        columns.append(pa.array(weights))
        schema = schema.append(pa.field("w", pa.int64()))
    return pa.record_batch(columns, schema=schema)


def sent(batch: pa.RecordBatch, settings: dict[str, Any]) -> list[tuple[bytes | None, bytes | None]]:
    return [(message.key, message.value) for message in penstock.preview(batch, config=settings)]


@st.composite
def changes(draw: st.DrawFn) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Return rows of any schema, and the same with a column of weights behind them."""
    schema = draw(strategies.schemas(strategies.types(2)))
    batch = draw(strategies.batch_of(schema))
    weights = draw(st.lists(st.integers(-3, 3), min_size=batch.num_rows, max_size=batch.num_rows))
    whole = pa.RecordBatch.from_arrays([*batch.columns, pa.array(weights, pa.int64())], schema=schema.append(WEIGHT))
    return batch, whole


@given(
    batches=changes(),
    update_format=st.sampled_from(["snowflake", "debezium", "weighted", "redis", "upsert"]),
    flavor=st.sampled_from(FLAVORS),
    array=st.booleans(),
    omit_nulls=st.booleans(),
)
def test_any_schema(batches, update_format, flavor, array, omit_nulls):
    """Every event is the oracle's rows in the text of its update format, deletes first, its key beside it."""
    batch, whole = batches
    style = Style.of(flavor, omit_nulls=omit_nulls)
    rows = oracles.rows(batch, style=style)
    first = batch.schema.names[:1]
    writer = {"weight_column": WEIGHT.name, "omit_nulls": omit_nulls, "schemas": update_format != "debezium"}
    members = {"json_flavor": flavor, "array": array}
    if update_format in {"redis", "upsert"}:
        assume(first[0])  # no setting can name a column without a name
        members["key_fields"] = [f'"{first[0]}"']
    settings = config(update_format, writer, **members)
    weights = whole.column(whole.num_columns - 1).to_pylist()
    events = oracles.changes(whole, weight=WEIGHT.name)
    keys = oracles.rows(batch, first, style)
    expected: list[tuple[bytes | None, bytes | None]] = []
    if update_format == "weighted":
        order = [row for row in range(len(rows)) if weights[row] < 0] + [
            row for row in range(len(rows)) if weights[row] > 0
        ]
        texts = [f'{{"weight":{weights[row]},"data":{rows[row]}}}'.encode() for row in order]
        packed = oracles.pack(texts, limit=999_936, records=10_000, array=array)
        expected = [(None, value) for value in packed]
    elif update_format == "debezium":
        for row, verb in events:
            op = '"c","after"' if verb == "insert" else '"d","before"'
            key = f'{{"payload":{rows[row]}}}'.encode()
            expected.append((key, framed(f'{{"payload":{{"op":{op}:{rows[row]}}}}}', array=array)))
    elif update_format in {"redis", "upsert"}:
        joined = [joined_key(batch, row, style) for row in range(len(rows))]
        for row, verb in events:
            key = joined[row] if update_format == "redis" else keys[row].encode()
            expected.append((key, framed(rows[row], array=array) if verb == "insert" else None))
    made = sent(whole, settings)
    if update_format == "snowflake":
        stream = made and json.loads(made[0][1])
        stream = stream and (stream[0] if array else stream)["__stream_id"]
        for number, (row, verb) in enumerate(events):
            comma = "" if rows[row] == "{}" else ","
            text = f'{rows[row][:-1]}{comma}"__action":"{verb}","__stream_id":{stream},"__seq_number":{number}}}'
            expected.append((None, framed(text, array=array)))
    assert made == expected


def framed(text: str, *, array: bool) -> bytes:
    return f"[{text}]".encode() if array else f"{text}\n".encode()


def joined_key(batch: pa.RecordBatch, row: int, style: Style) -> bytes:
    """Return a row's value of the first column as redis has it."""
    (text,) = oracles.cells(batch.column(0).slice(row, 1), batch.schema.field(0), style)
    return (json.loads(text) if text.startswith('"') else text).encode()


def test_weighted():
    """All copies of a row are one event that tells their number, negative for deletes; rows of weight 0 are none."""
    batch = orders((1, True, None, "x"), (2, False, 3, "y"), (3, True, 0, "z"), weights=[-2, 1_000_000, 0])
    rows = ['{"id":1,"b":true,"i":null,"s":"x"}', '{"id":2,"b":false,"i":3,"s":"y"}']
    text = f'{{"weight":-2,"data":{rows[0]}}}\n{{"weight":1000000,"data":{rows[1]}}}\n'
    assert sent(batch, config("weighted", {"weight_column": "w"})) == [(None, text.encode())]
    plain = orders((1, True, None, "x"))
    assert sent(plain, config("weighted")) == [(None, f'{{"weight":1,"data":{rows[0]}}}\n'.encode())]


def test_raw():
    """Rows stand as they are, packed as events are."""
    batch = orders((1, True, None, "x"), (2, False, 3, "y"))
    rows = [b'{"id":1,"b":true,"i":null,"s":"x"}', b'{"id":2,"b":false,"i":3,"s":"y"}']
    assert sent(batch, config("raw")) == [(None, b"\n".join([*rows, b""]))]
    assert sent(batch, config("raw", array=True)) == [(None, b"[" + b",".join(rows) + b"]")]
    assert sent(batch, config("raw", buffer_size_records=1)) == [(None, row + b"\n") for row in rows]
    assert sent(batch, config("raw", {"key": ["id"]}))[0] == (b'{"id":1}', rows[0] + b"\n")


def test_upsert():
    """A compacted topic: the key in table order, the row or null; key_fields and writer.key give the same."""
    batch = orders((1, True, None, "x"), (2, False, 3, "y"), weights=[-1, 1])
    expected = [(b'{"id":1,"s":"x"}', None), (b'{"id":2,"s":"y"}', b'{"id":2,"b":false,"i":3,"s":"y"}\n')]
    assert sent(batch, config("upsert", {"weight_column": "w"}, key_fields=["S", "id"])) == expected
    assert sent(batch, config("upsert", {"weight_column": "w", "key": ["id", "s"]})) == expected
    without = [(key, value and b'{"b":false,"i":3}\n') for key, value in expected]
    assert sent(batch, config("upsert", {"weight_column": "w", "key_in_value": False}, key_fields=["id", "s"])) == (
        without
    )


def test_redis_keys():
    """Values stand in the order listed: texts raw, unescaped, and everything else as JSON, null included."""
    text = 'a"\\\b\f\n\r\t\x01:é/\u2028'
    batch = pa.record_batch(
        {
            "s": [text, ""],
            "n": pa.array([1.5, None]),
            "d": pa.array([0, 1], pa.int32()).view(pa.date32()),
            "l": pa.array([[1, 2], []], pa.list_(pa.int8())),
            "c": pa.array([text, "v"]).dictionary_encode(),
            "b": [b"\x00\xff", b""],
        }
    )
    listed = sent(batch, config("redis", key_fields=["d", "s", "n", "l", "c", "b"]))
    assert [key for key, _ in listed] == [
        f"1970-01-01:{text}:1.5:[1,2]:{text}:[0,255]".encode(),
        b"1970-01-02::null:[]:v:[]",
    ]
    assert sent(batch, config("redis", key_fields=["b"], json_flavor="c_hex"))[0][0] == b"0x00ff"


def test_redis_empty_key():
    """A key of no bytes is a key: its delete has no value, where the connector sends the row and a null key."""
    batch = orders((1, True, None, ""), (2, True, None, ""), weights=[-1, 1])
    made = sent(batch, config("redis", {"weight_column": "w"}, key_fields=["s"]))
    assert made == [(b"", None), (b"", b'{"id":2,"b":true,"i":null,"s":""}\n')]


def test_one_stream():
    """A writer draws its __stream_id once, whatever schemas it meets; another writer draws another."""
    batches = [pa.record_batch({"a": [1]}), pa.record_batch({"a": ["x"]})]
    loaded = penstock.config.load(config("snowflake"))
    texts = []
    for _ in range(2):
        planner = Planner(loaded, 1, 1)
        texts.append([planner.plan(batch.schema).layout.format.insert for batch in batches])
    assert texts[0][0] == texts[0][1]
    assert texts[0] != texts[1]


def test_snowflake_numbers():
    """Events are numbered across the batches of a writer, and a row without members has no comma too many."""
    batches = [orders((1, True, None, "x"), weights=[2]), orders((1, True, None, "x"), weights=[-1])]
    made = [json.loads(m.value) for m in penstock.preview(batches, config=config("snowflake", {"weight_column": "w"}))]
    assert [(m["__action"], m["__seq_number"]) for m in made] == [("insert", 0), ("insert", 1), ("delete", 2)]
    assert len({m["__stream_id"] for m in made}) == 1
    ((_, value),) = sent(pa.record_batch({"n": pa.nulls(1)}), config("snowflake", {"omit_nulls": True}))
    assert value.startswith(b'{"__action":"insert","__stream_id":')


REFUSED: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("insert_delete", {}, {"key_fields": ["id"]}, "key_fields"),
    ("weighted", {}, {"key_fields": ["id"]}, "key_fields"),
    ("redis", {}, {"key_fields": []}, "empty"),
    ("redis", {}, {"key_fields": ["nope"]}, "nope"),
    ("redis", {}, {"key_fields": ["id", "id"]}, "twice"),
    ("debezium", {}, {"key_fields": ['"ID"']}, '"id"'),
    ("redis", {}, {}, "key_fields"),
    ("redis", {"key": ["id"]}, {"key_fields": ["id"]}, "both"),
    ("debezium", {"key": ["id"]}, {}, "key_fields"),
    ("upsert", {}, {}, "key"),
    ("upsert", {"key": ["id"]}, {"key_fields": ["id"]}, "both"),
    ("raw", {"op_column": "s"}, {}, "op_column"),
    ("raw", {"weight_column": "id"}, {}, "weight_column"),
    ("insert_delete", {"tombstones": True}, {}, "tombstones"),
    ("redis", {"schemas": False}, {"key_fields": ["id"]}, "schemas"),
    ("upsert", {"debezium_source": True, "key": ["id"]}, {}, "debezium_source"),
    ("insert_delete", {"before_column": "id", "after_column": "i"}, {}, "before_column"),
    ("debezium", {"before_column": "id"}, {}, "after_column"),
    ("debezium", {"non_finite": "string"}, {}, "schemas"),
]


@pytest.mark.parametrize(("update_format", "writer", "members", "named"), REFUSED)
def test_refused_settings(update_format, writer, members, named):
    """Settings that exclude each other, or name nothing, are refused before any row, with what to change."""
    with pytest.raises(penstock.ConfigError, match=named):
        penstock.preview(orders((1, True, None, "x")), config=config(update_format, writer, **members))


def test_refused_columns():
    """A column that the envelope writes itself, or one of two of one name, is refused by name."""
    for name, update_format in itertools.product(("__action", "__stream_id", "__seq_number"), ("snowflake", "raw")):
        batch = pa.record_batch({name: [1]})
        if update_format == "raw":
            assert sent(batch, config(update_format)) == [(None, f'{{"{name}":1}}\n'.encode())]
            continue
        with pytest.raises(penstock.SchemaError, match=name) as caught:
            penstock.preview(batch, config=config(update_format))
        assert caught.value.column == name
    twins = pa.record_batch([pa.array([1]), pa.array([2])], names=["a", "a"])
    for update_format in ("raw", "debezium", "weighted", "snowflake"):
        with pytest.raises(penstock.SchemaError, match="two columns"):
            penstock.preview(twins, config=config(update_format))
    left_out = pa.record_batch({"id": [1], "gone": pa.array([1], pa.duration("s"))})
    for update_format in ("redis", "upsert", "debezium"):
        with pytest.raises(penstock.SchemaError, match="duration"):
            penstock.preview(left_out, config=config(update_format, {"key_in_value": False}, key_fields=["gone"]))
