"""Avro through the front door: messages of each update_format, user schemas, what is refused and in which words."""

from __future__ import annotations

import io
import json
from datetime import date, datetime, time, timezone
from decimal import Decimal
from typing import Any

import fastavro
import pyarrow as pa
import pytest

import penstock
from penstock.config import load
from penstock.encode import Planner

REQUIRED = {"nullable": False}


class Recorder:
    """A registry that takes down what it is given, and gives ids from 1 on."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def schema_id(self, subject: str, schema: str, kind: str = "AVRO") -> int:
        assert kind == "AVRO"
        self.asked.append((subject, schema))
        return len(self.asked)


def avro(**members: Any) -> dict[str, Any]:
    if "schema" in members and not isinstance(members["schema"], str):
        members["schema"] = json.dumps(members["schema"])
    return {"name": "avro", "config": members}


def messages(data: Any, settings: dict[str, Any] | None = None, **members: Any) -> list[penstock.Message]:
    return list(penstock.preview(data, topic="t", format=avro(**members), **(settings or {})))


def registered(columns: pa.Schema, settings: dict[str, Any] | None = None, **members: Any) -> list[tuple[str, Any]]:
    """Return subject and schema of each registration, in order."""
    recorder = Recorder()
    Planner(load(for_preview=True, topic="t", format=avro(**members), **(settings or {})), 0, 1, recorder).plan(columns)
    return [(subject, json.loads(text)) for subject, text in recorder.asked]


def read(message: penstock.Message, schema: Any) -> Any:
    """Return the datum as fastavro reads it, behind five bytes."""
    assert message.value is not None
    assert message.value[:5] == bytes(5)
    return fastavro.schemaless_reader(io.BytesIO(message.value[5:]), fastavro.parse_schema(schema))


def one(value: Any, kind: pa.DataType, *, nullable: bool = True, name: str = "v") -> pa.RecordBatch:
    return pa.record_batch([pa.array([value], kind)], schema=pa.schema([pa.field(name, kind, nullable=nullable)]))


def record(type_: Any, name: str = "v") -> dict[str, Any]:
    return {"type": "record", "name": "r", "fields": [{"name": name, "type": type_}]}


def into(value: Any, kind: pa.DataType, type_: Any, **settings: Any) -> bytes:
    """Return the datum of one value in a user's schema of that type."""
    (message,) = messages(one(value, kind), settings, schema=record(type_), skip_schema_id=True)
    assert message.value is not None
    return message.value


# ---- generated schemas ----------------------------------------------------------------------------------------------


def test_generated_types():
    """Each Arrow type has the connector's Avro type, structs are records with a name of their own."""
    schema = pa.schema(
        [
            pa.field("i", pa.int8(), **REQUIRED),
            pa.field("u", pa.uint64(), **REQUIRED),
            pa.field("w", pa.uint32(), **REQUIRED),
            pa.field("d", pa.decimal128(10, 2)),
            pa.field("e", pa.decimal64(5, -2), **REQUIRED),
            pa.field("t", pa.time64("ns"), **REQUIRED),
            pa.field("z", pa.timestamp("s", "UTC"), **REQUIRED),
            pa.field("id", pa.uuid(), **REQUIRED),
            pa.field("n", pa.null()),
            pa.field("tags", pa.list_(pa.dictionary(pa.int8(), pa.string())), **REQUIRED),
            pa.field("at", pa.struct([pa.field("x", pa.float16(), **REQUIRED), pa.field("b", pa.binary(3))])),
        ]
    )
    ((subject, made),) = registered(schema, {"relation": {"name": "db.orders"}})
    assert subject == "db.orders"
    decimal = {"type": "bytes", "logicalType": "decimal"}
    assert made == {
        "type": "record",
        "namespace": "db",
        "name": "orders",
        "fields": [
            {"name": "i", "type": "int"},
            {"name": "u", "type": "string"},
            {"name": "w", "type": "long"},
            {"name": "d", "type": ["null", {**decimal, "scale": 2, "precision": 10}]},
            {"name": "e", "type": {**decimal, "scale": 0, "precision": 7}},
            {"name": "t", "type": {"type": "long", "logicalType": "time-micros"}},
            {"name": "z", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "id", "type": "string"},
            {"name": "n", "type": "null"},
            {"name": "tags", "type": {"type": "array", "items": ["null", "string"]}},
            {
                "name": "at",
                "type": [
                    "null",
                    {
                        "type": "record",
                        "name": "orders_at",
                        "fields": [{"name": "x", "type": "float"}, {"name": "b", "type": ["null", "bytes"]}],
                    },
                ],
            },
        ],
    }
    fastavro.parse_schema(made)


def test_record_names_are_unique():
    """Two structs whose paths spell alike get different names, and never that of the whole row."""
    inner = pa.struct([pa.field("c", pa.int8())])
    schema = pa.schema([("a_b", inner), ("a", pa.struct([pa.field("b", inner)]))])
    ((_, made),) = registered(schema)
    assert [made["fields"][0]["type"][1]["name"], made["fields"][1]["type"][1]["name"]] == ["t_a_b", "t_a"]
    assert made["fields"][1]["type"][1]["fields"][0]["type"][1]["name"] == "t_a_b_2"
    fastavro.parse_schema(made)


def test_options():
    """A uuid logical type, null defaults and short decimals are there when they are asked for."""
    schema = pa.schema([pa.field("id", pa.uuid()), pa.field("d", pa.decimal128(10, 2), **REQUIRED)])
    ((_, made),) = registered(schema, {"avro_uuid": True, "avro_defaults": True})
    uuid_ = {"type": "string", "logicalType": "uuid"}
    assert made["fields"][0] == {"name": "id", "type": ["null", uuid_], "default": None}
    assert "default" not in made["fields"][1]
    for text, datum in (("0.00", "0200"), ("1.27", "027f"), ("1.28", "040080"), ("-1.28", "0280"), ("-1.29", "04ff7f")):
        (message,) = messages(
            one(Decimal(text), pa.decimal128(10, 2), nullable=False),
            {"avro_minimal_decimals": True},
            skip_schema_id=True,
        )
        assert message.value.hex() == datum


def test_logical_types_are_read():
    """fastavro gives back dates, times, timestamps and decimals."""
    values = {
        "a": (date(1969, 12, 31), pa.date32()),
        "b": (date(2262, 4, 11), pa.date64()),
        "c": (time(23, 59, 59, 999999), pa.time64("us")),
        "d": (time(1, 2, 3), pa.time32("s")),
        "e": (datetime(1900, 1, 1, 0, 0, 0, 1, tzinfo=timezone.utc), pa.timestamp("us", "UTC")),
        "f": (datetime(2020, 1, 1, tzinfo=timezone.utc), pa.timestamp("s", "UTC")),
        "g": (Decimal("-12345.678"), pa.decimal128(12, 3)),
        "h": (Decimal("9" * 70 + ".12"), pa.decimal256(72, 2)),
        "i": (2**64 - 1, pa.uint64()),
    }
    batch = pa.record_batch({name: pa.array([value], kind) for name, (value, kind) in values.items()})
    ((_, schema),) = registered(batch.schema)
    (message,) = messages(batch)
    expected = {name: value for name, (value, _) in values.items()}
    assert read(message, schema) == {**expected, "i": str(2**64 - 1)}


def test_relation_names_a_topic_that_is_no_name():
    """A topic with a dash needs writer.relation.name, and the error says so."""
    with pytest.raises(penstock.ConfigError, match=r"relation.name.*my-topic"):
        list(penstock.preview(pa.table({"a": [1]}), topic="my-topic", format="avro"))
    (message,) = penstock.preview(pa.table({"a": [1]}), topic="my-topic", format="avro", relation={"name": "ok"})
    assert message.value == bytes(5) + b"\x02\x02"


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (pa.schema([("d", pa.duration("s"))]), r'"d" is a duration \(duration\[s\]\), which has no form in Avro'),
        (pa.schema([("d", pa.list_(pa.month_day_nano_interval()))]), r'"d\[\]" is an INTERVAL'),
        (pa.schema([("a-b", pa.int8())]), '"a-b": Avro takes names of letters'),
        (pa.schema([("s", pa.struct([("1", pa.int8())]))]), r'"s\.1": Avro takes names'),
        (pa.schema([("a", pa.int8()), ("a", pa.int8())]), 'two columns are called "a"'),
        (pa.schema([("m", pa.map_(pa.date32(), pa.int8()))]), "Avro only allows string keys"),
    ],
)
def test_columns_without_a_form(schema, said):
    """What has no form in Avro is refused before the first row, by name."""
    with pytest.raises(penstock.SchemaError, match=said):
        penstock.preview(pa.Table.from_batches([], schema), topic="t", format="avro")


# ---- the user's schema ----------------------------------------------------------------------------------------------

TIMESTAMP = {"type": "long", "logicalType": "timestamp-millis"}
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 3}
FIXED = {"type": "fixed", "name": "f", "size": 4}
FIXED_DECIMAL = {**FIXED, **DECIMAL, "type": "fixed"}


@pytest.mark.parametrize(
    ("value", "kind", "type_", "datum"),
    [
        (5, pa.int8(), "long", "0a"),
        (2**31 - 1, pa.uint32(), "int", "feffffff0f"),
        (2**63 - 1, pa.uint64(), "long", "feffffffffffffffff01"),
        (1.5, pa.float32(), "double", "000000000000f83f"),
        (-1, pa.int64(), ["long", "null"], "0001"),
        (None, pa.int64(), ["long", "null"], "02"),
        (None, pa.null(), ["null", "string"], "00"),
        (-1500, pa.timestamp("us"), TIMESTAMP, "01"),  # toward zero
        (-999, pa.timestamp("us"), TIMESTAMP, "00"),
        (2, pa.timestamp("s"), TIMESTAMP, "a01f"),
        (1_999_999, pa.timestamp("ns"), {"type": "long", "logicalType": "local-timestamp-micros"}, "9e1f"),
        (7, pa.timestamp("us"), {"type": "long", "logicalType": "timestamp-nanos"}, "b06d"),
        (7, pa.timestamp("us"), "long", "0e"),
        (1_999_999, pa.time64("ns"), {"type": "int", "logicalType": "time-millis"}, "02"),
        (3, pa.date32(), "int", "06"),
        ("ab", pa.string(), {"type": "string", "logicalType": "uuid"}, "046162"),
        (b"abcd", pa.binary(4), FIXED, "61626364"),
        (b"abcd", pa.large_binary(), FIXED, "61626364"),
        (Decimal("1.5"), pa.decimal128(4, 1), DECIMAL, "20" + "00" * 14 + "05dc"),
        (Decimal("-1.5"), pa.decimal32(4, 1), FIXED_DECIMAL, "fffffa24"),
        (Decimal("-1.5"), pa.decimal256(4, 1), DECIMAL, "20" + "ff" * 14 + "fa24"),
        (5, pa.int8(), {"type": "int", "logicalType": "no-such"}, "0a"),
    ],
)
def test_into_a_user_schema(value, kind, type_, datum):
    """A value goes into a wider type, another unit or scale, and into either branch of a union with null."""
    assert into(value, kind, type_).hex() == datum


@pytest.mark.parametrize("kind", [pa.binary(16), pa.string()])
def test_uuid_into_fixed(kind):
    """A UUID goes into sixteen bytes, from its text too."""
    text = "00112233-4455-6677-8899-aabbccddeeff"
    sixteen = bytes.fromhex(text.replace("-", ""))
    field = pa.field("v", kind, metadata={"sql_type": "UUID"})
    batch = pa.record_batch([pa.array([text if kind == pa.string() else sixteen], kind)], schema=pa.schema([field]))
    type_ = {"type": "fixed", "name": "u", "size": 16, "logicalType": "uuid"}
    (message,) = messages(batch, schema=record(type_), skip_schema_id=True)
    assert message.value == sixteen
    (message,) = messages(batch, skip_schema_id=True)
    assert message.value == b"\x02\x48" + text.encode()


def test_columns_not_in_the_schema_are_left_out():
    """The schema's fields decide what is written and in which order; a field without a column is refused."""
    schema = {
        "type": "record",
        "name": "r",
        "fields": [
            {"name": "b", "type": "string"},
            {"name": "s", "type": {"type": "record", "name": "q", "fields": [{"name": "y", "type": "int"}]}},
        ],
    }
    rows = pa.table({"a": [1], "b": ["x"], "s": pa.array([{"x": 1, "y": 2}], pa.struct([("x", "i1"), ("y", "i1")]))})
    (message,) = messages(rows, schema=schema, skip_schema_id=True)
    assert message.value == b"\x02x\x04"
    with pytest.raises(penstock.SchemaError, match=r'field "b" that no column fills; .*\'s\''):
        messages(rows.drop(["b"]), schema=schema)


def test_names_are_references():
    """A named type is defined once and referred to, with its namespace or within it."""
    point = {"type": "record", "name": "point", "fields": [{"name": "x", "type": "int"}]}
    schema = {
        "type": "record",
        "name": "r",
        "namespace": "com.acme",
        "fields": [
            {"name": "a", "type": point},
            {"name": "b", "type": ["null", "point"]},
            {"name": "c", "type": {"type": "array", "items": "com.acme.point"}},
        ],
    }
    kind = pa.struct([("x", pa.int32())])
    rows = pa.record_batch(
        [pa.array([{"x": 1}], kind), pa.array([None], kind), pa.array([[{"x": 2}]], pa.list_(kind))],
        names=["a", "b", "c"],
    )
    (message,) = messages(rows, schema=schema)
    assert read(message, schema) == {"a": {"x": 1}, "b": None, "c": [{"x": 2}]}


@pytest.mark.parametrize(
    ("kind", "type_", "said"),
    [
        (pa.int64(), "int", 'column "v" is int64, but the Avro schema has int there; cast the column'),
        (pa.int64(), TIMESTAMP, "has long timestamp-millis there"),
        (pa.float64(), "float", "is double, but the Avro schema has float"),
        (pa.string(), {"type": "enum", "name": "e", "symbols": ["a"]}, 'has enum "e" there; only "string"'),
        (pa.string(), ["null", "string", "int"], r"union \[null, string, int\]; only"),
        (pa.string(), ["string"], r"union \[string\]; only"),
        (pa.binary(3), FIXED, r'fixed_size_binary\[3\], but the Avro schema has fixed "f"'),
        (pa.decimal128(9, 4), DECIMAL, "has a scale of 3; digits would be lost"),
        (pa.decimal128(9, 2), "bytes", "decimal128"),
        (pa.null(), "string", "is null, but the Avro schema has string"),
        (pa.int8(), "null", "has null there"),
        (pa.list_(pa.int64()), {"type": "array", "items": "int"}, r'column "v\[\]" is int64'),
        (pa.duration("s"), "long", "is a duration"),
        (pa.string(), "bytes", "has bytes there"),
    ],
)
def test_misfits_are_refused_before_the_first_row(kind, type_, said):
    """What the schema has no place for is refused at open, column and both types named."""
    schema = pa.schema([("v", kind)])
    with pytest.raises(penstock.SchemaError, match=said):
        penstock.preview(pa.Table.from_batches([], schema), topic="t", format=avro(schema=record(type_)))


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("{", "schema, line 1"),
        ('"long"', "rows are records, found long"),
        ({"type": "record", "name": "r"}, 'record "r" needs an array of fields'),
        ({"type": "record", "fields": []}, "record needs a name"),
        ({"type": "record", "name": "a-b", "fields": []}, '"a-b" is no name'),
        (record("strin"), 'v: there is no type "strin"; did you mean "string"'),
        (record({"type": "array"}), "v: array needs items"),
        (record({"type": "fixed", "name": "f"}), 'v: fixed "f" needs a size'),
        (record({**DECIMAL, "scale": 7}), "v: a decimal has 0 <= scale <= precision"),
        (record(["null", "null"]), "a union holds other types, each once"),
        (record({"type": "record", "name": "r", "fields": []}), '"r" is defined twice'),
        (record(5), "v: a type is a name"),
        ({"type": "record", "name": "r", "fields": [{"type": "int"}]}, "an object with name and type"),
        ({"type": "record", "name": "r", "fields": [{"name": "a b", "type": "int"}]}, "a field's name is of letters"),
    ],
)
def test_broken_schemas(schema, said):
    """A text that is no Avro schema is a ConfigError with the place."""
    with pytest.raises(penstock.ConfigError, match=said):
        messages(one(1, pa.int64()), schema=schema)


@pytest.mark.parametrize(
    ("value", "kind", "type_", "said"),
    [
        (None, pa.int64(), "long", "the value is null, and the Avro schema has no null here"),
        (2**31, pa.uint32(), "int", "2147483648 is above 2147483647, the largest that the Avro schema's int holds"),
        (2**63, pa.uint64(), "long", "9223372036854775808 is above"),
        ([2**63], pa.list_(pa.uint64()), {"type": "array", "items": "long"}, r'"v\[\]".* is above'),
        (Decimal("1000.0"), pa.decimal128(6, 1), DECIMAL, "more than the 6 digits"),
        (Decimal("9" * 38), pa.decimal128(38, 0), {**DECIMAL, "precision": 50, "scale": 40}, "more than the 50 digits"),
        (Decimal("327.68"), pa.decimal128(5, 2), {**FIXED_DECIMAL, "size": 2, "scale": 2}, "fit the bytes"),
        (b"abc", pa.binary(), FIXED, "has 3 bytes, the Avro schema's fixed holds 4"),
        (2**62, pa.timestamp("s"), "long", "out of the range of 64 bits"),
        (86400, pa.time32("s"), "long", "lies outside a day"),
    ],
)
def test_values_that_do_not_fit(value, kind, type_, said):
    """A value without a place is refused by row and column."""
    if pa.types.is_temporal(kind):
        value = pa.scalar(value, pa.int32() if kind.bit_width == 32 else pa.int64()).cast(kind, safe=False)
    with pytest.raises(penstock.EncodeError, match=said) as caught:
        into(value, kind, type_)
    assert caught.value.row == 0
    assert caught.value.column.startswith("v")


# ---- messages -------------------------------------------------------------------------------------------------------

ROWS = pa.table({"a": ["x", "y", "z"], "w": [1, -1, 2]})
WEIGHTED = {"weight_column": "w"}


def test_raw():
    """Every event is one message, with its header; deletes come first."""
    made = messages(ROWS, WEIGHTED)
    assert [(m.key, m.value[5:], m.headers) for m in made] == [
        (None, b"\x02\x02y", (("op", b"delete"),)),
        (None, b"\x02\x02x", (("op", b"insert"),)),
        (None, b"\x02\x02z", (("op", b"insert"),)),
        (None, b"\x02\x02z", (("op", b"insert"),)),
    ]
    (first, *_) = list(
        penstock.preview(
            ROWS,
            config={"transport": {"name": "kafka_output", "config": {"topic": "t", "headers": [{"key": "k"}]}}},
            format="avro",
            **WEIGHTED,
        )
    )
    assert first.headers == (("k", None), ("op", b"delete"))  # static headers stand before the format's own


def test_confluent_jdbc_without_an_index():
    """The key is the whole value message; a delete has that key and no value, and no header."""
    made = messages(ROWS.slice(0, 2), WEIGHTED, update_format="confluent_jdbc")
    assert [(m.key, m.value, m.headers) for m in made] == [
        (bytes(5) + b"\x02\x02y", None, ()),
        (bytes(5) + b"\x02\x02x", bytes(5) + b"\x02\x02x", ()),
    ]
    asked = registered(ROWS.schema, update_format="confluent_jdbc")
    assert [subject for subject, _ in asked] == ["t-value", "t-key"]


@pytest.mark.parametrize("update_format", ["raw", "confluent_jdbc", "debezium"])
def test_key_columns(update_format):
    """writer.key with key_format=avro gives keys that are records, with a schema and a subject of their own."""
    settings = {**WEIGHTED, "key": ["a"], "key_format": "avro"}
    members = {"update_format": update_format, "subject_name_strategy": "topic_name"}
    (value, key) = registered(ROWS.schema, settings, **members)
    assert (value[0], key[0]) == ("t-value", "t-key")
    fields = [{"name": "a", "type": ["null", "string"]}]
    assert key[1] == {"type": "record", "namespace": "t", "name": "key", "fields": fields}
    made = messages(ROWS.slice(0, 2), settings, **members)
    assert [m.key for m in made] == [bytes(5) + b"\x02\x02y", bytes(5) + b"\x02\x02x"]
    assert (made[0].value is None) == (update_format == "confluent_jdbc")


def test_keys_of_another_format():
    """A key may be plain bytes beside a value in Avro, but for confluent_jdbc."""
    settings = {**WEIGHTED, "key": ["a"], "key_format": "string"}
    (first, *_) = messages(ROWS, settings)
    assert first.key == b"y"
    with pytest.raises(penstock.ConfigError, match="confluent_jdbc writes keys in Avro, key_format is string"):
        messages(ROWS, settings, update_format="confluent_jdbc")


def test_ids_stand_in_front():
    """Value and key carry their schemas' ids, or nothing at all."""
    recorder = Recorder()
    recorder.asked = [("", "")] * 300
    config = load(for_preview=True, topic="t", format=avro())
    plan = Planner(config, 0, 1, recorder).plan(pa.schema([("a", pa.int64())]))
    assert plan.layout.format.prefix == b"\0" + (301).to_bytes(4, "big")
    (message,) = messages(one(1, pa.int64()), skip_schema_id=True)
    assert message.value == b"\x02\x02"


def test_debezium():
    """Inserts and deletes are envelopes with one image, which fastavro reads."""
    made = messages(ROWS.slice(0, 2), WEIGHTED, update_format="debezium", namespace="com.acme")
    ((subject, schema),) = registered(ROWS.schema, WEIGHTED, update_format="debezium", namespace="com.acme")
    assert (subject, schema["namespace"], schema["name"]) == ("t", "com.acme.t", "Envelope")
    assert [read(m, schema) for m in made] == [
        {"before": {"a": "y"}, "after": None, "op": "d"},
        {"before": None, "after": {"a": "x"}, "op": "c"},
    ]
    assert [(m.key, m.headers) for m in made] == [(None, ())] * 2


def test_debezium_source():
    """By option the envelope says where it comes from and when it was made."""
    settings = {"debezium_source": True, "relation": {"name": "shop.orders"}}
    (message,) = messages(one(1, pa.int64(), nullable=False), settings, update_format="debezium")
    ((_, schema),) = registered(pa.schema([pa.field("v", pa.int64(), **REQUIRED)]), settings, update_format="debezium")
    envelope = read(message, schema)
    made = envelope.pop("ts_ms")
    source = envelope.pop("source")
    assert envelope == {"before": None, "after": {"v": 1}, "op": "c"}
    assert abs(made - datetime.now(tz=timezone.utc).timestamp() * 1000) < 60_000
    assert abs(source.pop("ts_ms") - made) < 1000
    version = source.pop("version")
    assert version
    assert source == {"connector": "penstock", "name": "t", "snapshot": "false", "db": "", "table": "shop.orders"}


def test_debezium_images_from_columns():
    """Struct columns give both images; what is null says which change it was."""
    image = pa.struct([pa.field("id", pa.int64()), pa.field("s", pa.string())])
    rows = pa.record_batch(
        [
            pa.array([None, {"id": 1, "s": "a"}, {"id": 1, "s": "b"}], image),
            pa.array([{"id": 1, "s": "a"}, {"id": 1, "s": "b"}, None], image),
        ],
        names=["old", "new"],
    )
    settings = {"before_column": "old", "after_column": "new"}
    made = messages(rows, settings, update_format="debezium")
    ((_, schema),) = registered(rows.schema, settings, update_format="debezium")
    assert [read(m, schema) for m in made] == [
        {"before": None, "after": {"id": 1, "s": "a"}, "op": "c"},
        {"before": {"id": 1, "s": "a"}, "after": {"id": 1, "s": "b"}, "op": "u"},
        {"before": {"id": 1, "s": "b"}, "after": None, "op": "d"},
    ]


def test_debezium_with_a_user_schema():
    """The user's schema is the row's; the envelope stands around it."""
    row = record(["null", "string"], "a")
    made = messages(ROWS.slice(0, 1), WEIGHTED, update_format="debezium", schema=row)
    ((subject, schema),) = registered(ROWS.schema, WEIGHTED, update_format="debezium", schema=row)
    assert (subject, schema["namespace"], schema["name"]) == ("t", "r", "Envelope")
    assert read(made[0], schema) == {"before": None, "after": {"a": "x"}, "op": "c"}


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"update_format": "confluent_jdbc", "key_mode": "none"}, 'key_mode goes with update_format "raw" only'),
        ({"update_format": "debezium", "cdc_field": "c"}, 'cdc_field goes with update_format "raw" only'),
        ({"key_mode": "key_fields"}, "needs an index"),
        ({"cdc_field": "c"}, "needs an index"),
        ({"registry_username": "u"}, "registry_username needs registry_urls"),
        ({"registry_headers": {"a": "b"}}, "registry_headers needs registry_urls"),
        ({"registry_urls": ["http://h"], "registry_password": "p"}, "registry_password needs registry_username"),
        (
            {"registry_urls": ["http://h"], "registry_username": "u", "registry_authorization_token": "t"},
            "two ways to say who asks",
        ),
        ({"registry_urls": ["h:8081"]}, '"h:8081" is not the address of a registry'),
        ({"key_fields": ["a"]}, "avro has no such member"),
        ({"threads": 0}, "threads"),
    ],
)
def test_members_that_contradict(members, said):
    """What the connector refuses is refused, both sides named."""
    with pytest.raises(penstock.ConfigError, match=said):
        messages(one(1, pa.int64()), **members)


def test_a_dictionary_that_changes():
    """Encoded values of a dictionary are not taken for those of the next one; long ones and nulls are right too."""
    kind = pa.dictionary(pa.int8(), pa.string())
    long = "é" * 300
    batches = [
        pa.record_batch([pa.DictionaryArray.from_arrays(pa.array(places, pa.int8()), pa.array(values))], names=["v"])
        for places, values in (
            ([0, 1, None, 1, 2, 2], ["a", long, None]),
            ([1, 0, 0], ["b", "c"]),
            ([1, 0, 0], ["b", "c"]),
        )
    ]
    assert batches[0].schema.field("v").type == kind
    ((_, schema),) = registered(batches[0].schema)
    made = [read(m, schema)["v"] for m in messages(batches)]
    assert made == ["a", long, None, long, None, None, "c", "b", "b", "c", "b", "b"]


def test_long_and_empty_values():
    """Values longer than a slab's room, and empty ones, in every place that a value may have."""
    big = "x" * 100_000
    kind = pa.struct([("l", pa.list_(pa.string())), ("m", pa.map_(pa.string(), pa.large_binary()))])
    rows = pa.record_batch(
        [pa.array([{"l": [big, "", big], "m": [(big, b""), ("", big.encode())]}, {"l": [], "m": []}], kind)],
        names=["v"],
    )
    ((_, schema),) = registered(rows.schema)
    assert [read(m, schema)["v"] for m in messages(rows)] == [
        {"l": [big, "", big], "m": {"": big.encode(), big: b""}},
        {"l": [], "m": {}},
    ]


@pytest.mark.parametrize("form", ["avro", "json", "protobuf"])
def test_map_key_outside_its_dictionary(form):
    """A map's keys are not looked for outside of their dictionary, sorted or not."""
    keys = pa.DictionaryArray.from_arrays(pa.array([1, 1 << 30, 0, -1], pa.int32()), ["b", "a"], safe=False)
    entries = pa.MapArray.from_arrays(pa.array([0, 4], pa.int32()), keys, pa.array([1, 2, 3, 4]))
    with pytest.raises(penstock.EncodeError, match="outside the dictionary"):
        list(penstock.preview(pa.record_batch({"m": entries}), format=form))
