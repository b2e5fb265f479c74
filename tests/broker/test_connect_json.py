"""Debezium's JSON as a sink of Kafka Connect reads it: JsonConverter with schemas, then ExtractNewRecordState.

JsonConverter is lenient: a value of another type than the schema says becomes null or 0 where null is allowed. So the
tests compare decoded values with the source's, never only that nothing was refused.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from confluent_kafka import Producer

import penstock

if TYPE_CHECKING:
    from collections.abc import Callable

    from fix_broker import Kafka
    from fix_connect import Record

GOLDEN = Path(__file__).parent.parent / "golden" / "json_debezium.json"
UTC = dt.timezone.utc
# what makes the transform show a delete's row instead of a null
SHOW_DELETES = {"delete.tombstone.handling.mode": "rewrite"}
DEBEZIUM = {"name": "json", "config": {"update_format": "debezium", "key_fields": ["id"]}}
# what makes the messages such as Debezium's own consumers expect; each is penstock's and off by default
FOR_CONSUMERS = {"debezium_source": True, "binary_base64": True}


def changes() -> pa.Table:
    """Every type that has a form in the converter's schemas, with nulls; rows are created, deleted, created again."""
    rows = [
        {
            "id": 1,
            "flag": True,
            "i8": -128,
            "i16": -32768,
            "i32": -(2**31),
            "i64": -(2**63),
            "u8": 255,
            "u16": 65535,
            "u32": 2**32 - 1,
            "f32": 0.5,
            "f64": 0.1,
            "price": Decimal("-12345.670"),
            "text": 'Zürich "\u2318" \n',
            "view": "a text too long to stand inside its view",
            "city": "Oslo",
            "bytes": b"\x00\xff\x10",
            "day": dt.date(2024, 2, 29),
            "time": dt.time(23, 21, 15, 123000),
            "at": dt.datetime.fromisoformat("2018-06-20 13:37:03.005"),
            "at_utc": dt.datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
            "list": [1, None, 3],
            "map": [("b", 1.5), ("a", None)],
            "struct": {"x": 7, "tags": ["p", "q"]},
        },
        {"id": 2, "flag": False, "i64": 2**63 - 1, "text": "", "bytes": b"", "list": [], "map": [], "struct": {}},
        {"id": 3},
    ]
    schema = pa.schema(
        [
            pa.field("id", pa.int64(), nullable=False),
            ("flag", pa.bool_()),
            ("i8", pa.int8()),
            ("i16", pa.int16()),
            ("i32", pa.int32()),
            ("i64", pa.int64()),
            ("u8", pa.uint8()),
            ("u16", pa.uint16()),
            ("u32", pa.uint32()),
            ("f32", pa.float32()),
            ("f64", pa.float64()),
            ("price", pa.decimal128(12, 3)),
            ("text", pa.string()),
            ("view", pa.string_view()),
            ("city", pa.dictionary(pa.int8(), pa.string())),
            ("bytes", pa.binary()),
            ("day", pa.date32()),
            ("time", pa.time64("us")),
            ("at", pa.timestamp("us")),
            ("at_utc", pa.timestamp("us", "UTC")),
            ("list", pa.list_(pa.int32())),
            ("map", pa.map_(pa.string(), pa.float64())),
            ("struct", pa.struct([("x", pa.int16()), ("tags", pa.list_(pa.string()))])),
        ]
    )
    order = [("c", 0), ("c", 1), ("d", 0), ("c", 2), ("d", 1), ("c", 0), ("d", 2)]
    table = pa.Table.from_pylist([rows[at] for _, at in order], schema=schema)
    return table.append_column("op", pa.array(["insert" if op == "c" else "delete" for op, _ in order]))


def java_text(value: dt.time | dt.datetime) -> str:
    """Return ISO 8601 as java.time prints it: no fraction of a second, or three digits of one."""
    return value.isoformat(timespec="milliseconds" if value.microsecond else "seconds")


def as_connect(field: pa.Field, value: Any) -> Any:
    """Return a value as ConnectReader prints what the converter should have made of it."""
    if value is None:
        return None
    kind = field.type
    if pa.types.is_decimal(kind):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if pa.types.is_binary(kind):
        return value.hex()
    if pa.types.is_date(kind):
        return value.isoformat()
    if pa.types.is_time(kind):
        return java_text(value)
    if pa.types.is_timestamp(kind):
        return java_text(value.replace(tzinfo=None)) + "Z"
    if pa.types.is_list(kind):
        return [as_connect(kind.value_field, item) for item in value]
    if pa.types.is_map(kind):
        return {name: as_connect(kind.item_field, item) for name, item in value}
    if pa.types.is_struct(kind):
        return {member.name: as_connect(member, value[member.name]) for member in kind}
    return value


def expected_rows(table: pa.Table) -> list[Record]:
    fields = [field for field in table.schema if field.name != "op"]
    return [{field.name: as_connect(field, row[field.name]) for field in fields} for row in table.to_pylist()]


def write(table: pa.Table, topic: str, kafka: Kafka, **settings: Any) -> None:
    report = penstock.write(
        table,
        topic=topic,
        bootstrap_servers=kafka.bootstrap_servers,
        workers=1,
        format=DEBEZIUM,
        **{"op_column": "op", **settings},
    )
    assert report.rows == table.num_rows


def refused(records: list[Record]) -> list[str]:
    return [record["error"] for record in records if "error" in record]


@pytest.mark.parametrize("options", [{}, {"tombstones": True}])
def test_every_change_becomes_its_row(
    options: dict[str, bool], kafka: Kafka, connect: Callable[..., list[Record]], new_topic: Callable[..., str]
) -> None:
    """With the members that Debezium's consumers expect, the transform gives every row back, deleted ones too."""
    table, topic = changes(), new_topic(partitions=1)
    write(table, topic, kafka, **FOR_CONSUMERS, **options)
    records = connect(topic, {**SHOW_DELETES, "add.fields": "op,ts_ms,source.connector"})
    assert refused(records) == []
    assert {record["key"]["id"] for record in records} == {1, 2, 3}
    expected = [
        {**row, "__deleted": "true" if op == "delete" else "false", "__op": "d" if op == "delete" else "c"}
        for row, op in zip(expected_rows(table), table["op"].to_pylist(), strict=True)
    ]
    rows = [record["row"] for record in records if record["value"] is not None]
    assert all(row.pop("__ts_ms") > 1_700_000_000_000 for row in rows)
    assert {row.pop("__source_connector") for row in rows} == {"penstock"}
    assert rows == expected
    # a tombstone stands directly after its delete and has the delete's key
    deletes = [at for at, record in enumerate(records) if (record["value"] or {}).get("op") == "d"]
    nulls = [at for at, record in enumerate(records) if record["value"] is None]
    assert nulls == ([at + 1 for at in deletes] if options else [])
    assert all(records[at]["key"] == records[at - 1]["key"] for at in nulls)


@pytest.mark.parametrize("options", [{}, {"tombstones": True}])
def test_a_sink_ends_with_the_rows_of_the_source(
    options: dict[str, bool], kafka: Kafka, connect: Callable[..., list[Record]], new_topic: Callable[..., str]
) -> None:
    """An upserting sink (the transform's own defaults, a null row deletes) holds what is left at the end."""
    table, topic = changes(), new_topic(partitions=2)
    write(table, topic, kafka, **FOR_CONSUMERS, **options)
    held: dict[int, Record] = {}
    for record in connect(topic):
        if "row" not in record:  # the transform drops tombstones by default: the delete before it was enough
            continue
        if record["row"] is None:
            held.pop(record["key"]["id"], None)
        else:
            held[record["key"]["id"]] = record["row"]
    assert held == {1: expected_rows(table)[0]}


def test_images_of_updates(kafka: Kafka, connect: Callable[..., list[Record]], new_topic: Callable[..., str]) -> None:
    """A -U and its +U are one update with both images; the transform gives the row after it."""
    table = pa.table({"op": ["+I", "-U", "+U", "-D"], "id": pa.array([1, 1, 1, 1], pa.int64()), "n": [1, 1, 2, 2]})
    topic = new_topic(partitions=1)
    write(table, topic, kafka, **FOR_CONSUMERS)
    records = connect(topic, {**SHOW_DELETES, "add.fields": "op"})
    assert refused(records) == []
    images = [(r["value"]["op"], r["value"]["before"], r["value"]["after"]) for r in records]
    assert images == [
        ("c", None, {"id": 1, "n": 1}),
        ("u", {"id": 1, "n": 1}, {"id": 1, "n": 2}),
        ("d", {"id": 1, "n": 2}, None),
    ]
    assert [(r["row"]["n"], r["row"]["__op"], r["row"]["__deleted"]) for r in records] == [
        (1, "c", "false"),
        (2, "u", "false"),
        (2, "d", "true"),
    ]


def test_the_connectors_own_form(
    kafka: Kafka, connect: Callable[..., list[Record]], new_topic: Callable[..., str]
) -> None:
    """Without our options the converter reads `after`, has no `before`, and the transform unwraps nothing.

    What the connector's schema says otherwise than its payload becomes null, not an error: binary values (lists of
    numbers) and BIGINT UNSIGNED (declared text). A moment with a zone is a bare number. `debezium_source` mends these.
    """
    table = changes().append_column("big", pa.array([2**64 - 1] * 7, pa.uint64())).drop_columns("op")
    weighted = table.append_column("weight", pa.array([1, 1, -1, 1, -1, 1, -1], pa.int64()))
    topic = new_topic(partitions=1)
    write(weighted, topic, kafka, op_column=None, weight_column="weight")
    records = connect(topic, SHOW_DELETES)
    assert refused(records) == []
    assert {record["schema"] for record in records} == {"Envelope"}
    assert [record["row"] for record in records] == [record["value"] for record in records]
    seen = [(record["key"]["id"], record["value"]) for record in records]
    # deletes come before inserts within a batch
    assert seen[:3] == [
        (1, {"after": None, "op": "d"}),
        (2, {"after": None, "op": "d"}),
        (3, {"after": None, "op": "d"}),
    ]
    rows = expected_rows(table)
    for row, moment in zip(rows, table["at_utc"].to_pylist(), strict=True):
        row |= {"bytes": None, "big": None, "at_utc": moment and round(moment.timestamp() * 1000)}
    assert seen[3:] == [(rows[at]["id"], {"after": rows[at], "op": "c"}) for at in (0, 1, 3, 5)]


def test_unsigned_big_integers_are_texts(
    kafka: Kafka, connect: Callable[..., list[Record]], new_topic: Callable[..., str]
) -> None:
    """Connect has no type for them: with debezium_source the text that the schema promises is what is written."""
    table = pa.table({"op": ["I"], "id": pa.array([1], pa.int64()), "big": pa.array([2**64 - 1], pa.uint64())})
    topic = new_topic(partitions=1)
    write(table, topic, kafka, debezium_source=True)
    (record,) = connect(topic)
    assert record["row"] == {"id": 1, "big": "18446744073709551615"}


def test_binary_that_may_not_be_null_is_refused_as_an_array(
    kafka: Kafka, connect: Callable[..., list[Record]], new_topic: Callable[..., str]
) -> None:
    """A required binary column cannot be read in the connector's form at all, and can with binary_base64."""
    schema = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("b", pa.binary(), nullable=False)])
    table = pa.table({"id": [1], "b": [b"\x01\x02"]}, schema=schema).append_column("op", pa.array(["insert"]))
    plain, base64 = new_topic(partitions=1), new_topic(partitions=1)
    write(table, plain, kafka)
    write(table, base64, kafka, binary_base64=True)
    (record,) = connect(plain)
    assert record["error"].startswith("DataException: Invalid value: null used for required field")
    (record,) = connect(base64)
    assert record["value"]["after"] == {"id": 1, "b": "0102"}


def test_golden_messages(kafka: Kafka, connect: Callable[..., list[Record]], new_topic: Callable[..., str]) -> None:
    """The connector's golden bytes, sent as they stand: what the sink sees of them is what its own test says."""
    case = next(c for c in json.loads(GOLDEN.read_text(encoding="utf-8"))["cases"] if c["id"] == "test_debezium")
    topic = new_topic(partitions=1)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    messages = [message for batch in case["expected"]["messages_per_batch"] for message in batch]
    for message in messages:
        producer.produce(topic, key=message["key"], value=message["value"], partition=0)
    assert producer.flush(20) == 0
    del producer
    records = connect(topic)
    assert refused(records) == []
    changed = Counter(
        (change["weight"] > 0, json.dumps(change["row"]))
        for batch in case["batches"]
        for change in batch
        for _ in range(abs(change["weight"]))
    )
    # without the declaration of `before` a delete is known by its key, here the whole row
    seen = Counter(
        (record["value"]["op"] == "c", json.dumps(record["value"]["after"] or record["key"])) for record in records
    )
    assert seen == changed
