"""The connector's own Avro cases, through the front door; what differs on purpose is asserted the other way round."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import penstock
from penstock.config import load
from penstock.encode import Planner
from penstock.formats.avro_schema import Name

GOLDEN = Path(__file__).parent.parent / "golden"
WHOLE = json.loads((GOLDEN / "avro.json").read_text(encoding="utf-8"))
CASES: dict[str, dict[str, Any]] = {case["id"]: case for case in WHOLE["cases"]}
NOT_OURS = {
    # 500 refused rows, counted and 100 of them kept: the connector's status, which a writer does not have
    "encode_error_counting",
}
NUMERIC = [
    ("float32", pa.float32(), False),
    ("float64", pa.float64(), False),
    ("dec1", pa.decimal128(4, 2), False),
    ("dec2", pa.decimal128(8, 0), False),
    ("dec3", pa.decimal128(6, 3), False),
]
# What Arrow's types are where a case names SQL's, or gives no schema of columns.
COLUMNS: dict[str, list[tuple[str, pa.DataType, bool]]] = {
    "serializer_record1_2": [("id", pa.uint32(), False), ("name", pa.string(), True), ("b", pa.bool_(), True)],
    "serializer_record2_1": [
        ("id", pa.int64(), False),
        ("nAmE", pa.string(), True),
        ("b", pa.bool_(), False),
        ("ts", pa.timestamp("us"), False),
        ("dt", pa.date32(), False),
        ("es", pa.struct([pa.field("a", pa.bool_(), nullable=False)]), True),
        ("m", pa.map_(pa.string(), pa.field("value", pa.int64(), nullable=False)), True),
        ("dec", pa.decimal128(10, 3), False),
    ],
    "serializer_numeric": NUMERIC,
    "serializer_numeric_optional": NUMERIC,
}
TEST_STRUCT = [("id", pa.int64(), False), ("b", pa.bool_(), False), ("i", pa.int64(), True), ("s", pa.string(), False)]
RENAMED = {"ts_us": "ts", "dt_days": "dt"}  # raw numbers, named so


def by_kind(*kinds: str) -> list[str]:
    return [name for name, case in CASES.items() if case["kind"] in kinds and name not in NOT_OURS]


def schema_of(name: str) -> pa.Schema:
    columns = COLUMNS.get(name, TEST_STRUCT)
    return pa.schema([pa.field(column, kind, nullable=nullable) for column, kind, nullable in columns])


def batch_of(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    def convert(value: Any, kind: pa.DataType) -> Any:
        if pa.types.is_decimal(kind):
            return Decimal(value).quantize(Decimal(1).scaleb(-kind.scale))
        return list(value.items()) if pa.types.is_map(kind) and value is not None else value

    rows = [{RENAMED.get(name, name): value for name, value in row.items()} for row in rows]
    return pa.RecordBatch.from_pylist(
        [{name: convert(value, schema.field(name).type) for name, value in row.items()} for row in rows], schema=schema
    )


def connector(case: dict[str, Any]) -> dict[str, Any]:
    """Return the case's settings as the connector's own object, with our weight column and relation beside it."""
    config = dict(case.get("format_config", {}).get("config", {}))
    if "schema" in config:
        config["schema"] = json.dumps(case["avro_schema"])
    whole: dict[str, Any] = {
        "transport": {"name": "kafka_output", "config": {"topic": "golden"}},
        "format": {"name": "avro", "config": config},
        "writer": {"weight_column": "weight", "relation": {"name": case.get("view")}},
    }
    if index := case.get("index"):
        whole["index"] = index["name"]
        whole["writer"]["relation"]["indexes"] = {index["name"]: index["columns"]}
    return whole


def changes(case: dict[str, Any]) -> list[pa.RecordBatch]:
    schema = schema_of(case["id"])
    weight = pa.field("weight", pa.int64(), nullable=False)
    return [
        batch_of([change["row"] for change in batch], schema).append_column(
            weight, pa.array([change["weight"] for change in batch], pa.int64())
        )
        for batch in case["batches"]
    ]


@pytest.mark.parametrize("name", by_kind("datum"))
def test_datum(name):
    """A row into the user's schema is the connector's datum, byte for byte; of a map's orders ours is by key."""
    case = CASES[name]
    config = {"schema": json.dumps(case["avro_schema"]), "skip_schema_id": True}
    (message,) = penstock.preview(
        batch_of([case["row"]], schema_of(name)), topic="golden", format={"name": "avro", "config": config}
    )
    expected = case["expected"]
    allowed = expected.get("datum_hex_any_of") or [expected["datum_hex"]]
    assert message.value.hex() in allowed
    if len(allowed) > 1:
        assert message.value.hex() == next(text for text in allowed if text.index("626172") < text.index("666f6f", 20))


@pytest.mark.parametrize("name", by_kind("message"))
def test_messages(name):
    """Key, value and headers of every message are the connector's, batch by batch."""
    case = CASES[name]
    batches = changes(case)
    made: list[list[penstock.Message]] = [[] for _ in batches]
    for message in penstock.preview(batches, config=connector(case)):
        made[message.batch].append(message)
    expected = case["expected"]["messages_per_batch"]
    assert [len(batch) for batch in made] == [len(batch) for batch in expected]
    for ours, theirs in zip(made, expected, strict=True):
        for got, wanted in zip(ours, theirs, strict=True):
            key = wanted.get("key_hex", wanted.get("key"))
            assert got.key == (None if key is None else bytes.fromhex(key))
            assert got.value.hex() == wanted["value_hex"]
            assert list(got.headers) == [(name, value.encode()) for name, value in wanted["headers"]]


@pytest.mark.parametrize("name", by_kind("error"))
def test_conflicts(name):
    """Rows that one key cannot have at once are refused in the connector's words, and nothing of the batch is sent."""
    case = CASES[name]
    made = []
    with pytest.raises(penstock.EncodeError) as caught:
        made.extend(penstock.preview(changes(case), config=connector(case)))
    assert made == []
    assert case["expected"]["error_contains"] in str(caught.value)


class Recorder:
    """A registry that takes down what it is given."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def schema_id(self, subject: str, schema: str, kind: str = "AVRO") -> int:
        assert kind == "AVRO"
        self.asked.append((subject, schema))
        return len(self.asked)


def registered(schema: pa.Schema, config: dict[str, Any] | None = None, **settings: Any) -> list[tuple[str, str]]:
    """Return subject and text of each schema that is registered, in order."""
    recorder = Recorder()
    loaded = load(config, for_preview=True, **settings)
    Planner(loaded, 0, 1, recorder).plan(schema)
    return recorder.asked


def test_generated_schemas():
    """Value and key schema are registered in the connector's words, the value's first."""
    case = CASES["raw_indexed_with_key"]
    schema = schema_of("raw_indexed_with_key").append(pa.field("weight", pa.int64(), nullable=False))
    wanted = case["generated_schemas"]
    assert registered(schema, connector(case)) == [("teststruct", wanted["value"]), ("keystruct", wanted["key"])]


def test_fullname_validation():
    """Names are taken and refused as the connector does."""
    case = CASES["fullname_validation"]
    for name in case["valid"]:
        assert Name.of(name, None, "it").full == name
    for name in [*case["invalid"], *CASES["invalid_relation_name_is_rejected"]["rejected_relation_names"]]:
        with pytest.raises(penstock.ConfigError):
            Name.of(name, None, "it")


@pytest.mark.parametrize("name", CASES["invalid_relation_name_is_rejected"]["rejected_relation_names"])
def test_invalid_relation_name(name):
    """Through the front door a bad name is refused before the first row, and says which part of it is bad."""
    with pytest.raises(penstock.ConfigError, match="relation"):
        penstock.preview(pa.table({"id": [1]}), topic="t", format="avro", relation={"name": name})


def test_configured_namespace():
    """The namespace goes in front of what the relation's name has before its last dot."""
    case = CASES["configured_namespace_prefixes_derived_namespace"]
    config = {"name": "avro", "config": {"namespace": case["config_namespace"]}}
    schema = pa.schema([pa.field("id", pa.bool_(), nullable=False)])
    ((subject, text),) = registered(schema, topic="t", format=config, relation={"name": case["relation_name"]})
    assert json.loads(text)["name"] == case["expected"]["record_name"]
    assert json.loads(text)["namespace"] == case["expected"]["record_namespace"]
    assert list(json.loads(text)) == ["type", "namespace", "name", "fields"]
    assert subject == "com.acme.v.key"


def test_map_keys():
    """Maps have string keys, or are refused in the connector's words."""
    case = CASES["map_schema_uses_key_type"]
    ((_, text),) = registered(pa.schema([("m", pa.map_(pa.string(), pa.int64()))]), topic="t", format="avro")
    assert json.loads(text)["fields"][0]["type"] == ["null", {"type": "map", "values": ["null", "long"]}]
    with pytest.raises(penstock.SchemaError, match=case["error_contains"]):
        registered(pa.schema([("m", pa.map_(pa.int32(), pa.string()))]), topic="t", format="avro")


def test_every_case_is_run():
    """A case that this file does not know is a failure, not a silence."""
    tested = {*by_kind("datum", "message", "error"), *NOT_OURS}
    tested |= {"fullname_validation", "configured_namespace_prefixes_derived_namespace"}
    tested |= {"invalid_relation_name_is_rejected", "map_schema_uses_key_type"}
    assert tested == set(CASES)
