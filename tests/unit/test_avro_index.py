"""Avro with an index and with updates: what each change of a key becomes, as the connector's section 7.4 has it."""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro
import pyarrow as pa
import pytest

import penstock
from penstock.config import load
from penstock.encode import Planner

SCHEMA = pa.schema(
    [
        pa.field("a", pa.string(), nullable=False),
        pa.field("id", pa.int64(), nullable=False),
        pa.field("w", pa.int64(), nullable=False),
    ]
)
RELATION = {"name": "orders", "indexes": {"by_id": ["ID"]}}
# key 1 is new, key 2 changes, key 3 goes
STEPS = [
    [("old", 2, 1), ("gone", 3, 1)],
    [("new", 1, 1), ("old", 2, -1), ("newer", 2, 1), ("gone", 3, -1)],
]


class Recorder:
    """A registry that takes down what it is given."""

    def __init__(self) -> None:
        self.asked: dict[str, str] = {}

    def schema_id(self, subject: str, schema: str, kind: str = "AVRO") -> int:
        assert kind == "AVRO"
        self.asked[subject] = schema
        return len(self.asked)


def config(members: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "transport": {"name": "kafka_output", "config": {"topic": "t"}},
        "format": {"name": "avro", "config": members},
        "index": "by_id",
        "writer": {"weight_column": "w", "relation": RELATION, **more},
    }


def batches() -> list[pa.RecordBatch]:
    return [
        pa.RecordBatch.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in step], schema=SCHEMA)
        for step in STEPS
    ]


def sent(members: dict[str, Any]) -> dict[bytes | None, penstock.Message]:
    """Return the messages of the second batch by key, or by value where there is none."""
    made = [message for message in penstock.preview(batches(), config=config(members)) if message.batch == 1]
    by_key = {message.key if message.key is not None else message.value: message for message in made}
    assert len(by_key) == len(made) == 3
    return by_key


def row(name: str, number: int, cdc: str = "") -> bytes:
    """With an index every column but its own is nullable."""
    text = name.encode()
    more = b"\x02" + cdc.encode() if cdc else b""
    return bytes(5) + b"\x02" + bytes([2 * len(text)]) + text + bytes([2 * number]) + more


def key(number: int) -> bytes:
    return bytes(5) + bytes([2 * number])


def test_raw():
    """Insert, update and delete, the deleted row as it was; the header says which."""
    assert {k: (m.value, m.headers) for k, m in sent({}).items()} == {
        key(1): (row("new", 1), (("op", b"insert"),)),
        key(2): (row("newer", 2), (("op", b"update"),)),
        key(3): (row("gone", 3), (("op", b"delete"),)),
    }


def test_cdc_field():
    """The last field says I, U or D."""
    values = {message.value for message in sent({"cdc_field": "__op", "key_mode": "none"}).values()}
    assert values == {row("new", 1, "I"), row("newer", 2, "U"), row("gone", 3, "D")}


def test_confluent_jdbc():
    """The key is the index's, a delete a tombstone, and there is no header."""
    assert {k: (m.value, m.headers) for k, m in sent({"update_format": "confluent_jdbc"}).items()} == {
        key(1): (row("new", 1), ()),
        key(2): (row("newer", 2), ()),
        key(3): (None, ()),
    }


def test_schemas_and_ids():
    """Key and value have schemas and ids of their own; the cdc field is part of the value's."""
    recorder = Recorder()
    members = {"cdc_field": "__op", "subject_name_strategy": "topic_record_name", "namespace": "com"}
    layout = Planner(load(config(members), for_preview=True), 0, 1, recorder).plan(SCHEMA).layout
    assert (layout.format.prefix, layout.key.prefix) == (b"\0\0\0\0\1", b"\0\0\0\0\2")
    assert recorder.asked == {
        "t-com.orders-value": '{"type":"record","namespace":"com","name":"orders","fields":[{"name":"a","type":["null",'
        '"string"]},{"name":"id","type":"long"},{"name":"__op","type":"string"}]}',
        "t-com.orders-key": '{"type":"record","namespace":"com","name":"by_id","fields":[{"name":"id","type":"long"}]}',
    }


def test_debezium_with_an_index():
    """The key is the index's; an update has both images only where the input brings both."""
    recorder = Recorder()
    members = {"update_format": "debezium"}
    Planner(load(config(members), for_preview=True), 0, 1, recorder).plan(SCHEMA)
    schema = fastavro.parse_schema(json.loads(recorder.asked["t-value"]))
    envelopes = {
        k: fastavro.schemaless_reader(io.BytesIO(m.value[5:]), schema) for k, m in sent(members).items() if m.value
    }
    assert envelopes[key(1)] == {"before": None, "after": {"a": "new", "id": 1}, "op": "c"}
    assert envelopes[key(2)]["op"] == "u"
    assert envelopes[key(2)]["after"] == {"a": "newer", "id": 2}
    assert envelopes[key(3)] == {"before": {"a": "gone", "id": 3}, "after": None, "op": "d"}


def test_pairs_become_updates():
    """A -U and the +U behind it are one envelope with both images."""
    rows = pa.record_batch({"op": ["+I", "-U", "+U", "-D"], "id": [1, 1, 1, 1], "s": ["a", "a", "b", "b"]})
    settings = {"topic": "t", "op_column": "op", "format": {"name": "avro", "config": {"update_format": "debezium"}}}
    recorder = Recorder()
    Planner(load(for_preview=True, **settings), 0, 1, recorder).plan(rows.schema)
    schema = fastavro.parse_schema(json.loads(recorder.asked["t"]))
    made = [fastavro.schemaless_reader(io.BytesIO(m.value[5:]), schema) for m in penstock.preview(rows, **settings)]
    assert made == [
        {"before": None, "after": {"id": 1, "s": "a"}, "op": "c"},
        {"before": {"id": 1, "s": "a"}, "after": {"id": 1, "s": "b"}, "op": "u"},
        {"before": {"id": 1, "s": "b"}, "after": None, "op": "d"},
    ]


def test_tombstones():
    """With a key a delete's envelope may be followed by a null value, for topics that are compacted."""
    made = [
        message
        for message in penstock.preview(batches(), config=config({"update_format": "debezium"}, tombstones=True))
        if message.key == key(3)
    ]
    assert [message.value is None for message in made] == [False, False, True]


@pytest.mark.parametrize(
    ("members", "error", "said"),
    [
        ({"cdc_field": "A"}, penstock.ConfigError, 'cdc_field is "A", but the value schema has a field "a"'),
        ({"cdc_field": "x.y", "key_mode": "none"}, penstock.ConfigError, "has no dots"),
        ({"cdc_field": "1"}, penstock.ConfigError, "cdc_field"),
        (
            {"schema": '{"type":"record","name":"r","fields":[{"name":"id","type":"long"}]}'},
            penstock.SchemaError,
            'column "a" is not in the Avro schema, which with an index must have every column',
        ),
    ],
)
def test_refusals(members, error, said):
    """What the connector refuses with an index is refused before the first row."""
    with pytest.raises(error, match=said):
        penstock.preview(batches(), config=config(members))


def test_an_index_that_is_not_there():
    """A name without columns is refused with the way out."""
    with pytest.raises(penstock.ConfigError, match=r"by_name.*indexes|by_name.*by_id"):
        penstock.preview(batches(), config={**config({}), "index": "by_name"})
