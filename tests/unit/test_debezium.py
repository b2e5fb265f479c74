"""The debezium envelope: its schemas, both images of an update, and what Debezium's own consumers expect."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import penstock
import strategies
from compare import stream

ROW = pa.struct([pa.field("id", pa.int64(), nullable=False), pa.field("s", pa.string())])
KINDS = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}


def config(writer: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    return {
        "transport": {"name": "kafka_output", "config": {"topic": "shop.orders"}},
        "format": {"name": "json", "config": {"update_format": "debezium", **members}},
        "writer": writer or {},
    }


def sent(batch: pa.RecordBatch, settings: dict[str, Any], **named: Any) -> list[tuple[Any, Any]]:
    """Return key and value of every message, read back."""
    made = penstock.preview(batch, config=settings, **named)
    return [(json.loads(m.key), None if m.value is None else json.loads(m.value)) for m in made]


def payloads(batch: pa.RecordBatch, settings: dict[str, Any]) -> list[tuple[Any, Any]]:
    return [(key["payload"], value and value["payload"]) for key, value in sent(batch, settings)]


# ---- schemas --------------------------------------------------------------------------------------------------------

TYPES: list[tuple[pa.DataType, dict[str, Any]]] = [
    (pa.bool_(), {"type": "boolean"}),
    (pa.int8(), {"type": "int8"}),
    (pa.int16(), {"type": "int16"}),
    (pa.int32(), {"type": "int32"}),
    (pa.int64(), {"type": "int64"}),
    (pa.uint8(), {"type": "int16"}),
    (pa.uint16(), {"type": "int32"}),
    (pa.uint32(), {"type": "int64"}),
    (pa.uint64(), {"type": "string"}),
    (pa.float16(), {"type": "float"}),
    (pa.float32(), {"type": "float"}),
    (pa.float64(), {"type": "double"}),
    (pa.decimal32(5, 2), {"type": "string"}),
    (pa.decimal256(50, 2), {"type": "string"}),
    (pa.large_string(), {"type": "string"}),
    (pa.string_view(), {"type": "string"}),
    (pa.uuid(), {"type": "string"}),
    (pa.json_(), {"type": "string"}),
    (pa.null(), {"type": "string"}),
    (pa.binary(), {"type": "bytes"}),
    (pa.binary(16), {"type": "bytes"}),
    (pa.date32(), {"type": "int32", "name": "org.apache.kafka.connect.data.Date"}),
    (pa.date64(), {"type": "int32", "name": "org.apache.kafka.connect.data.Date"}),
    (pa.time32("s"), {"type": "int64", "name": "org.apache.kafka.connect.data.Time"}),
    (pa.timestamp("ns"), {"type": "int64", "name": "org.apache.kafka.connect.data.Timestamp"}),
    (pa.timestamp("us", "UTC"), {"type": "int64"}),
    (pa.dictionary(pa.int8(), pa.int16()), {"type": "int16"}),
    (pa.run_end_encoded(pa.int32(), pa.bool_()), {"type": "boolean"}),
    (
        pa.list_view(pa.field("item", pa.int8(), nullable=False)),
        {"type": "array", "items": {"type": "int8", "optional": False}},
    ),
    (pa.list_(pa.string(), 2), {"type": "array", "items": {"type": "string", "optional": True}}),
    (
        pa.map_(pa.int64(), pa.date32()),
        {
            "type": "map",
            "keys": {"type": "int64", "optional": False},
            "values": {"type": "int32", "name": "org.apache.kafka.connect.data.Date", "optional": True},
        },
    ),
    (ROW, {"type": "struct", "fields": [
        {"field": "id", "type": "int64", "optional": False}, {"field": "s", "type": "string", "optional": True},
    ]}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "described"), TYPES, ids=str)
def test_types(kind, described):
    """Each Arrow type is declared as the SQL type it stands for, in the member order of the connector."""
    batch = pa.record_batch([pa.nulls(1, kind)], schema=pa.schema([pa.field("v", kind)]))
    ((key, value),) = sent(batch, config())
    field = {"field": "v", **described, "optional": True}
    after = {"field": "after", "type": "struct", "fields": [field], "optional": True}
    op = {"field": "op", "type": "string", "optional": False}
    expected = {"type": "struct", "fields": [after, op], "name": "Envelope"}
    assert json.dumps(value["schema"]) == json.dumps(expected)
    assert json.dumps(key["schema"]) == json.dumps({"type": "struct", "fields": [field], "name": "Key"})


def test_only_where_they_belong():
    """Schemas are left out on request, and in any flavor but Kafka Connect's."""
    batch = pa.record_batch({"id": [1]})
    for settings in (config({"schemas": False}), config(json_flavor="default"), config(json_flavor="debezium_mysql")):
        ((key, value),) = sent(batch, settings)
        assert (key, value) == ({"payload": {"id": 1}}, {"payload": {"op": "c", "after": {"id": 1}}})


def test_schema_text():
    """Names are escaped as everywhere, and beyond ASCII stay as they are."""
    batch = pa.record_batch({'"é\n\x01': [1]})
    (message,) = penstock.preview(batch, config=config())
    assert message.key.count('"\\"é\\n\\u0001":1'.encode()) == 1
    assert message.key.count('"field":"\\"é\\n\\u0001"'.encode()) == 1


def fits(schema: dict[str, Any], value: Any) -> bool:
    """Tell whether Kafka Connect's JsonConverter would read the value as the schema says, losing nothing."""
    kind = schema["type"]
    if value is None:
        return bool(schema["optional"])
    if kind in KINDS:
        most = 2 ** (KINDS[kind] - 1)
        return type(value) is int and -most <= value < most
    if kind in {"float", "double"}:
        return isinstance(value, (int, float))
    if kind == "bytes":
        return isinstance(value, str) and base64.b64decode(value, validate=True) is not None
    if kind == "array":
        return isinstance(value, list) and all(fits(schema["items"], item) for item in value)
    if kind == "map":
        return (
            schema["keys"]["type"] == "string"
            and isinstance(value, dict)
            and all(fits(schema["values"], item) for item in value.values())
        )
    if kind == "struct":
        names = {field["field"] for field in schema["fields"]}
        return value.keys() <= names and all(fits(field, value.get(field["field"])) for field in schema["fields"])
    return isinstance(value, {"string": str, "boolean": bool}[kind])


def required(field: pa.Field) -> bool:
    """Tell whether a null may stand where the schema promises none: NaN, or a null dictionary value."""
    kind = field.type
    if pa.types.is_floating(kind) or pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return True
    children = [kind.field(i) for i in range(kind.num_fields)]
    return any(required(child) for child in children)


# What Hypothesis says of a draw it rejects, spelling out every strategy.
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@given(
    batches=strategies.batches(strategies.types(2)),
    binary_base64=st.booleans(),
    iso_timestamps=st.booleans(),
    omit_nulls=st.booleans(),
)
def test_payload_fits_its_schema(batches, **options):
    """With debezium_source every key and value is what its own schema declares, whatever the types."""
    # A date far away has more days than 32 bits, a second more milliseconds than 64: no fault of the schema.
    assume(not any(far in str(field.type) for field in batches[0].schema for far in ("timestamp[s", "date64")))
    assume(not any(required(field) for field in batches[0].schema))
    settings = config({"debezium_source": True, **options})
    for message in penstock.preview(stream(batches), config=settings):
        for text in (message.key, message.value):
            event = json.loads(text)
            assert fits({**event["schema"], "optional": False}, event["payload"])


# ---- what Debezium's consumers expect -------------------------------------------------------------------------------


def test_source():
    """debezium_source adds source and ts_ms, both images and Debezium's own names of schemas, the schema with them."""
    batch = pa.record_batch({"id": [1, 2], "u": pa.array([2**64 - 1, 0], pa.uint64()), "w": [1, -1]})
    begun = time.time() * 1000
    delete, insert = sent(batch, config({"weight_column": "w", "debezium_source": True}, key_fields=["id"]))
    assert delete[0]["payload"] == {"id": 2}
    assert delete[0]["schema"]["name"] == "shop.orders.Key"
    schema = insert[1]["schema"]
    assert schema["name"] == "shop.orders.Envelope"
    assert [field["field"] for field in schema["fields"]] == ["before", "after", "source", "op", "ts_ms"]
    assert [field.get("name") for field in schema["fields"][:2]] == ["shop.orders.Value"] * 2
    payload = insert[1]["payload"]
    source = payload.pop("source")
    assert begun - 1000 < payload["ts_ms"] == source["ts_ms"] < time.time() * 1000 + 1
    assert payload == {
        "op": "c", "before": None, "after": {"id": 1, "u": "18446744073709551615"}, "ts_ms": payload["ts_ms"],
    }  # fmt: skip
    assert source == {
        "version": penstock._core.version(), "connector": "penstock", "name": "shop.orders", "ts_ms": source["ts_ms"],
        "snapshot": "false", "db": "", "table": "shop.orders",
    }  # fmt: skip
    assert {field["field"] for field in schema["fields"][2]["fields"]} == source.keys()
    assert delete[1]["payload"] | {"source": 0, "ts_ms": 0} == {
        "op": "d", "before": {"id": 2, "u": "0"}, "after": None, "source": 0, "ts_ms": 0,
    }  # fmt: skip
    named = config({"debezium_source": True, "relation": {"name": "orders"}})
    assert sent(batch, named)[0][1]["payload"]["source"]["table"] == "orders"


def test_tombstones():
    """By option a delete is followed by its key and a null value, and counts as one event."""
    batch = pa.record_batch({"id": [1, 2, 3], "w": [1, -2, -1]})
    settings = config({"weight_column": "w", "tombstones": True, "schemas": False})
    assert [(key["id"], value and value["op"]) for key, value in (
        (key["payload"], value and value["payload"]) for key, value in sent(batch, settings)
    )] == [(2, "d"), (2, None), (2, "d"), (2, None), (3, "d"), (3, None), (1, "c")]  # fmt: skip


# ---- both images ----------------------------------------------------------------------------------------------------


def log(*rows: tuple[str, int, str | None]) -> pa.RecordBatch:
    ops, ids, texts = zip(*rows, strict=True)
    return pa.record_batch({"op": list(ops), "id": list(ids), "s": pa.array(list(texts), pa.string())})


def test_pairs():
    """A -U directly followed by its +U is one u with both images, unless the key changes between them."""
    batch = log(
        ("+I", 1, "a"), ("-U", 1, "a"), ("+U", 1, "b"), ("-U", 1, "b"), ("+U", 2, "b"), ("+U", 2, None), ("-D", 2, None)
    )  # fmt: skip
    made = payloads(batch, config({"op_column": "op"}, key_fields=["id"]))
    assert made == [
        ({"id": 1}, {"op": "c", "after": {"id": 1, "s": "a"}}),
        ({"id": 1}, {"op": "u", "before": {"id": 1, "s": "a"}, "after": {"id": 1, "s": "b"}}),
        ({"id": 1}, {"op": "d", "before": {"id": 1, "s": "b"}}),
        ({"id": 2}, {"op": "c", "after": {"id": 2, "s": "b"}}),
        ({"id": 2}, {"op": "u", "after": {"id": 2, "s": None}}),
        ({"id": 2}, {"op": "d", "before": {"id": 2, "s": None}}),
    ]
    (_, value) = sent(batch, config({"op_column": "op"}, key_fields=["id"]))[0]
    before, after, _ = value["schema"]["fields"]
    assert before == {**after, "field": "before"}


def images(*rows: tuple[Any, Any]) -> pa.RecordBatch:
    before, after = zip(*rows, strict=True)
    return pa.record_batch({"was": pa.array(before, ROW), "is": pa.array(after, ROW)})


IMAGES = {"before_column": "was", "after_column": "is"}


def test_images():
    """A row with only the image after is a c, with only the one before a d, and with both a u."""
    one, two, other = {"id": 1, "s": "a"}, {"id": 1, "s": None}, {"id": 2, "s": "é"}
    batch = images((None, other), (None, one), (one, two), (two, None), (other, None))
    expected = [
        ({"id": 1}, {"op": "c", "after": one}),
        ({"id": 1}, {"op": "u", "before": one, "after": two}),
        ({"id": 1}, {"op": "d", "before": two}),
    ]
    for whole in (batch.slice(1, 3), images((None, one), (one, two), (two, None))):
        assert payloads(whole, config(IMAGES, key_fields=["ID"])) == expected
    told = sent(batch, config({**IMAGES, "tombstones": True, "debezium_source": True}, key_fields=["id"]))
    assert [value and value["payload"]["op"] for _, value in told] == ["c", "c", "u", "d", None, "d", None]
    assert [field["field"] for field in told[0][1]["schema"]["fields"]] == ["before", "after", "source", "op", "ts_ms"]
    for key, value in told:
        assert fits({**key["schema"], "optional": False}, key["payload"])
        assert value is None or fits({**value["schema"], "optional": False}, value["payload"])
    schema = sent(batch, config(IMAGES, key_fields=["id"]))[0][1]["schema"]
    assert [field["field"] for field in schema["fields"]] == ["before", "after", "op"]
    assert schema["fields"][1]["fields"][0] == {"field": "id", "type": "int64", "optional": False}


def test_images_in_partitions():
    """Rows of one key meet in one partition, whichever image the key is read from."""
    one, two = {"id": 7, "s": "a"}, {"id": 7, "s": "b"}
    batch = images((None, one), (one, two), (two, None))
    made = list(penstock.preview(batch, config=config(IMAGES, key_fields=["id"]), partitions=13))
    assert len({(message.key, message.partition) for message in made}) == 1


def test_images_refused():
    """An update that changes the key, a row with neither image, other columns and other fields are refused."""
    one, two = {"id": 1, "s": "a"}, {"id": 2, "s": "a"}
    with pytest.raises(penstock.EncodeError, match="changes the key") as caught:
        sent(images((None, one), (one, two)), config(IMAGES, key_fields=["id"]))
    assert caught.value.row == 1
    assert '{"id":1}' in str(caught.value)
    with pytest.raises(penstock.EncodeError, match="both images"):
        sent(images((None, one), (None, None)), config(IMAGES, key_fields=["id"]))
    with pytest.raises(penstock.ConfigError, match="key_fields"):
        sent(images((None, one)), config(IMAGES))
    beside = images((None, one)).append_column("extra", pa.array([1]))
    with pytest.raises(penstock.SchemaError, match="extra"):
        sent(beside, config(IMAGES, key_fields=["id"]))
    unlike = pa.record_batch({"was": pa.array([None], ROW), "is": pa.array([{"id": 1}])})
    with pytest.raises(penstock.ConfigError, match="different fields"):
        sent(unlike, config(IMAGES, key_fields=["id"]))
    flat = pa.record_batch({"was": [1], "is": [1]})
    with pytest.raises(penstock.ConfigError, match="struct"):
        sent(flat, config(IMAGES, key_fields=["id"]))
    for other in ("op_column", "weight_column"):
        beside = images((None, one)).append_column("o", pa.array([1] if other == "weight_column" else ["I"]))
        with pytest.raises(penstock.ConfigError, match=other):
            sent(beside, config({**IMAGES, other: "o"}))
    with pytest.raises(penstock.ConfigError, match="nope"):
        sent(images((None, one)), config(IMAGES, key_fields=["nope"]))


@given(data=st.data())
def test_images_of_any_row(data):
    """Whatever the columns, the images hold what the rows hold that they were put together from."""
    schema = data.draw(strategies.schemas(strategies.plain_types(1), marked=False))
    assume(schema.names[0])  # no setting can name a column without a name
    members = {"json_flavor": "default", "key_fields": [f'"{schema.names[0]}"']}
    count = data.draw(st.integers(0, 6))
    rows = [data.draw(strategies.arrays(field, count)) for field in schema]
    whole = pa.RecordBatch.from_arrays(rows, schema=schema)
    has = data.draw(st.lists(st.sampled_from([(0, 1), (1, 0), (1, 1)]), min_size=count, max_size=count))
    made = {}
    for place, name in enumerate(IMAGES.values()):
        bits = strategies.bitmap([bool(pair[place]) for pair in has])
        kind = pa.struct(list(schema))
        made[name] = pa.Array.from_buffers(kind, count, [bits], children=whole.columns)
    batch = pa.record_batch(made)
    settings = config({**IMAGES, "schemas": False}, **members)
    plain = sent(whole, config({"schemas": False}, **members))
    expected = [value["payload"]["after"] for _, value in plain]
    for (was, is_), row, (key, value) in zip(has, expected, sent(batch, settings), strict=True):
        images_ = ({"before": row} if was else {}) | ({"after": row} if is_ else {})
        assert value["payload"] == {"op": {(0, 1): "c", (1, 0): "d", (1, 1): "u"}[was, is_], **images_}
        assert key["payload"] == {schema.names[0]: row[schema.names[0]]}
