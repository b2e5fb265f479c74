"""The connector's own cases as Arrow batches and configuration: what every format's golden test begins with.

    load("json_redis.json") ──▶ case ──weighted()──▶ batches ──by_batch(…, connector(case))──▶ messages of each batch

A case names its columns by `arrow_type` or, where it has none, by `sql_type`. check_messages holds the messages of one
case to its own, but for those listed in golden/differences.json, which it asserts from both sides.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa

import oracles
import penstock

GOLDEN = Path(__file__).parent / "golden"
_SCALARS = {
    "int64": pa.int64(),
    "int32": pa.int32(),
    "int16": pa.int16(),
    "int8": pa.int8(),
    "uint64": pa.uint64(),
    "uint32": pa.uint32(),
    "uint8": pa.uint8(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "utf8": pa.string(),
    "binary": pa.binary(),
    "date32": pa.date32(),
    "time64[ns]": pa.time64("ns"),
    "timestamp[us]": pa.timestamp("us"),
    "timestamp[us, tz=UTC]": pa.timestamp("us", "UTC"),
}
_SQL = {
    "BIGINT": pa.int64(),
    "INTEGER": pa.int32(),
    "TINYINT": pa.int8(),
    "BOOLEAN": pa.bool_(),
    "VARCHAR": pa.string(),
    "DOUBLE": pa.float64(),
    "TIME": pa.time64("ns"),
    "TIMESTAMP": pa.timestamp("us"),
    "DATE": pa.date32(),
    "VARBINARY": pa.binary(),
}


def load(name: str) -> dict[str, dict[str, Any]]:
    """Return the cases of one file by their id."""
    return {case["id"]: case for case in json.loads((GOLDEN / name).read_text(encoding="utf-8"))["cases"]}


DIFFERENCES: list[dict[str, Any]] = json.loads((GOLDEN / "differences.json").read_text(encoding="utf-8"))


def arrow_type(name: str) -> pa.DataType:
    """Return the type that a case names, as Arrow spells it."""
    if decimal := re.fullmatch(r"decimal128\((\d+), *(\d+)\)", name):
        return pa.decimal128(*map(int, decimal.groups()))
    return _SCALARS[name]


def sql_type(name: str) -> pa.DataType:
    """Return the Arrow type that is nearest to an SQL type, ROW and MAP included."""
    if decimal := re.fullmatch(r"DECIMAL\((\d+), *(\d+)\)", name):
        return pa.decimal128(*map(int, decimal.groups()))
    if re.fullmatch(r"BINARY\(\d+\)", name):
        return pa.large_binary()
    if name.startswith("ROW("):
        members = [part.split(" ", 1) for part in _split(name[len("ROW(") : -1])]
        return pa.struct([_sql_field(label, kind) for label, kind in members])
    if name.startswith("MAP<"):
        key, value = _split(name[len("MAP<") : -1])
        return pa.map_(_sql_field("key", key), _sql_field("value", value))
    return _SQL[name]


def _sql_field(name: str, kind: str) -> pa.Field:
    return pa.field(name, sql_type(kind.removesuffix(" NOT NULL")), nullable=not kind.endswith(" NOT NULL"))


def _split(text: str) -> list[str]:
    """Return the parts between commas that stand outside of brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "(<") - (letter in ")>")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def schema_of(case: dict[str, Any]) -> pa.Schema:
    """Return the case's columns."""
    return pa.schema(
        [
            pa.field(
                f["name"],
                arrow_type(f["arrow_type"]) if "arrow_type" in f else sql_type(f["sql_type"]),
                nullable=f.get("nullable", True),
            )
            for f in case["schema"]
        ]
    )


def connector(case: dict[str, Any], **writer: Any) -> dict[str, Any]:
    """Return the case's settings as the connector's own object, with our weight column beside it."""
    transport = {"topic": "golden"}
    if case.get("max_payload_bytes") is not None:
        transport["message.max.bytes"] = str(case["max_payload_bytes"] + oracles.HEADROOM)
    return {
        "transport": {"name": "kafka_output", "config": transport},
        "format": case["format_config"],
        "writer": {"weight_column": "weight", **writer},
    }


def weighted(case: dict[str, Any]) -> list[pa.RecordBatch]:
    """Return the case's batches, a column `weight` behind its own."""
    schema = schema_of(case).append(pa.field("weight", pa.int64(), nullable=False))
    return [
        pa.RecordBatch.from_pylist([{**change["row"], "weight": change["weight"]} for change in batch], schema=schema)
        for batch in case["batches"]
    ]


def physical(case: dict[str, Any]) -> pa.RecordBatch:
    """Return the row of a case whose times are given as the integers that Arrow stores."""
    columns = []
    for field, value in zip(schema_of(case), case["row_physical"].values(), strict=True):
        storage = pa.int32() if field.type.bit_width == 32 else pa.int64()
        columns.append(pa.array([value], storage).view(field.type))
    return pa.record_batch(columns, schema=schema_of(case))


def by_batch(batches: list[pa.RecordBatch], config: dict[str, Any], **settings: Any) -> list[list[penstock.Message]]:
    """Return the messages of each batch, through the public entry."""
    grouped: list[list[penstock.Message]] = [[] for _ in batches]
    for message in penstock.preview(batches, config=config, **settings):
        grouped[message.batch].append(message)
    return grouped


def _bytes(expected: dict[str, Any], name: str) -> bytes | None:
    """Return a message's key or value, which a case gives as text or in hexadecimal."""
    if f"{name}_hex" in expected:
        text = expected[f"{name}_hex"]
        return None if text is None else bytes.fromhex(text)
    text = expected[name]
    return None if text is None else text.encode()


def check_messages(case: dict[str, Any], made: list[list[penstock.Message]], **marks: str) -> None:
    """Assert key, value and headers of every message; `marks` are the case's {{NAMES}} of what is drawn anew."""
    expected = case["expected"]["messages_per_batch"]
    assert [len(batch) for batch in made] == [len(batch) for batch in expected]
    ours = {(d["batch"], d["message"]): d for d in DIFFERENCES if d["case"] == case["id"] and "batch" in d}
    for number, batch in enumerate(expected):
        for place, message in enumerate(batch):
            got = made[number][place]
            assert got.key == _bytes(message, "key")
            assert [[name, value] for name, value in got.headers] == [list(pair) for pair in message["headers"]]
            value = _bytes(message, "value")
            for name, text in marks.items():
                value = value and value.replace(b"{{" + name.encode() + b"}}", text.encode())
            if different := ours.get((number, place)):
                assert message["value"] == different["connector"] != different["penstock"]
                assert got.value == different["penstock"].encode()
            else:
                assert got.value == value
