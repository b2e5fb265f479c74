"""A second, slow CSV encoder written from section 6 of the specification, to which the core's bytes are compared.

    Array, Field ──fields()──▶ per row a list of (text, kind) ──line()──▶ quoted and joined ──messages()──▶ values

Texts of single values are those of JSON (oracles.py) without their quotation marks. Nothing is shared with the core.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

import oracles
from oracles import HEADROOM, NoForm

# A field of a line: its text, None for a null, and whether it is text (a string, VARIANT or JSON).
Cell = tuple[str | None, bool]


class NoColumn(ValueError):  # noqa: N818 - what it says about a column
    """The column is refused before the first row."""


@dataclass(frozen=True)
class Csv:
    """The settings that shape the messages; limit is the maximum payload."""

    delimiter: str = ","
    records: int = 10_000
    limit: int = 999_936
    header: bool = False
    weight: bool = True
    quote: str = "necessary"
    null: str = ""
    nested_json: bool = False
    op_column: str | None = None
    weight_column: str | None = None

    def settings(self, topic: str = "t") -> dict[str, Any]:
        """Return the same as keywords of penstock.preview."""
        named = {"op_column": self.op_column, "weight_column": self.weight_column}
        return {
            "topic": topic,
            "format": {
                "name": "csv",
                "config": {"delimiter": self.delimiter, "buffer_size_records": self.records},
            },
            "kafka_options": {"message.max.bytes": str(self.limit + HEADROOM)},
            "csv_header": self.header,
            "csv_weight": self.weight,
            "csv_quote": self.quote,
            "csv_null": self.null,
            "csv_nested_json": self.nested_json,
            **{name: value for name, value in named.items() if value},
        }


def _behind(field: pa.Field) -> tuple[pa.DataType, bool, bool]:
    """Return the type of a field's values, and whether they are UUIDs or VARIANT."""
    mark = (field.metadata or {}).get(b"sql_type")
    kind = field.type
    names = {mark}
    while True:
        if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
            kind = kind.value_type
        elif isinstance(kind, pa.BaseExtensionType):
            names.add(kind.extension_name.encode())
            kind = kind.storage_type
        else:
            break
    uuid_storage = oracles._is_string(kind) or kind.equals(pa.binary(16))
    return kind, uuid_storage and bool(names & {b"UUID", b"arrow.uuid"}), bool(names & {b"VARIANT", b"arrow.json"})


def width(field: pa.Field) -> int:
    """Return how many fields of a line the column is; NoColumn where that depends on the row."""
    kind, is_uuid, _ = _behind(field)
    t = pa.types
    if t.is_map(kind) or (oracles._is_list(kind) and not t.is_fixed_size_list(kind)):
        raise NoColumn(str(kind))
    if oracles._is_binary(kind) and not is_uuid:
        if not t.is_fixed_size_binary(kind):
            raise NoColumn(str(kind))
        size = kind.byte_width
    elif t.is_fixed_size_list(kind):
        size = kind.list_size * width(kind.value_field) if kind.list_size else 0
    elif t.is_struct(kind):
        size = sum(width(kind.field(at)) for at in range(kind.num_fields))
    else:
        size = 1
    if field.nullable and size != 1:
        raise NoColumn(f"nullable {kind}")
    return size


def is_nested(field: pa.Field) -> bool:
    kind, is_uuid, _ = _behind(field)
    return pa.types.is_nested(kind) or (oracles._is_binary(kind) and not is_uuid)


def fields(array: pa.Array, field: pa.Field) -> list[list[Cell]]:
    """Return the fields that each row of a column becomes, nested values flattened."""
    kind = field.type
    t = pa.types
    if t.is_dictionary(kind) or t.is_run_end_encoded(kind):
        values = pa.field(field.name, kind.value_type, field.nullable, field.metadata)
    if t.is_dictionary(kind):
        of_value = fields(array.dictionary, values)
        return [[(None, False)] if at is None else of_value[at] for at in array.indices.to_pylist()]
    if t.is_run_end_encoded(kind):
        of_run = fields(array.values, values)
        return [of_run[run] for run in oracles._runs(array)]
    storage, is_uuid, is_variant = _behind(field)
    valid = array.is_valid().to_pylist()
    if t.is_struct(kind):
        parts = [fields(array.field(at), kind.field(at)) for at in range(kind.num_fields)]
        rows = [[cell for part in parts for cell in part[row]] for row in range(len(array))]
    elif t.is_fixed_size_list(kind):
        rows = [
            [cell for item in fields(array[row].values, kind.value_field) for cell in item] if valid[row] else []
            for row in range(len(array))
        ]
    elif oracles._is_binary(storage) and not is_uuid:
        rows = [[(str(byte), False) for byte in value or b""] for value in array.to_pylist()]
    elif oracles._is_string(storage) and not is_uuid and not is_variant:
        rows = [[(value, True)] for value in array.to_pylist()]
    elif t.is_floating(kind):
        texts = oracles.cells(array, field)
        real = array.to_pylist()
        rows = [[(_real(text, value), False)] for text, value in zip(texts, real, strict=True)]
    elif is_variant:
        rows = [[(text, True)] for text in oracles.cells(array, field)]
    else:
        rows = [[(text.strip('"'), False)] for text in oracles.cells(array, field)]
    return [row if good else [(None, False)] for row, good in zip(rows, valid, strict=True)]


def _real(text: str, value: Any) -> str:
    if value is None or math.isfinite(value):
        return text
    return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"


def json_fields(array: pa.Array, field: pa.Field) -> list[list[Cell]]:
    """Return the one field of JSON text that each row of a nested column becomes."""
    return [[(None, False)] if text == "null" else [(text, True)] for text in oracles.cells(array, field)]


def line(cells: list[Cell], csv: Csv) -> str:
    """Return a line without its newline."""
    texts = []
    for text, is_text in cells:
        if text is None:
            texts.append(csv.null)
            continue
        marked = any(mark in text for mark in (csv.delimiter, '"', "\r", "\n"))
        wanted = csv.quote == "always" or (csv.quote == "strings" and is_text)
        like_null = text != "" and text == csv.null
        texts.append('"' + text.replace('"', '""') + '"' if marked or wanted or like_null else text)
    joined = csv.delimiter.join(texts)
    return '""' if joined == "" and len(cells) == 1 else joined


def names(field: pa.Field, path: str) -> list[str]:
    kind, is_uuid, _ = _behind(field)
    if pa.types.is_struct(kind):
        inner = (kind.field(at) for at in range(kind.num_fields))
        return [name for child in inner for name in names(child, f"{path}.{child.name}")]
    if pa.types.is_fixed_size_list(kind):
        return [name for at in range(kind.list_size) for name in names(kind.value_field, f"{path}[{at}]")]
    if pa.types.is_fixed_size_binary(kind) and not is_uuid:
        return [f"{path}[{at}]" for at in range(kind.byte_width)]
    return [path]


def header(schema: pa.Schema, csv: Csv) -> bytes:
    columns = _columns(schema, csv)
    found: list[Cell] = []
    for field in columns:
        whole = csv.nested_json and is_nested(field)
        found += [(name, True) for name in ([field.name] if whole else names(field, field.name))]
    if csv.weight:
        found.append(("weight", True))
    if len({name for name, _ in found}) != len(found):
        raise NoColumn("two of one name")
    return (line(found, csv) + "\n").encode()


def _columns(schema: pa.Schema, csv: Csv) -> list[pa.Field]:
    return [field for field in schema if field.name not in {csv.op_column, csv.weight_column}]


def lines(batch: pa.RecordBatch, csv: Csv) -> list[str]:
    """Return the lines of one batch in the order of sending."""
    columns = _columns(batch.schema, csv)
    sizes = [1 if csv.nested_json and is_nested(field) else width(field) for field in columns]
    if not sum(sizes) and not csv.weight:
        raise NoColumn("no fields")
    parts = []
    for field, size in zip(columns, sizes, strict=True):
        array = batch.column(batch.schema.get_field_index(field.name))
        part = json_fields(array, field) if csv.nested_json and is_nested(field) else fields(array, field)
        if any(len(cells) != size for cells in part):
            raise NoForm("a null that is declared to be none")
        parts.append(part)
    made = []
    for row, weight in _weights(batch, csv):
        cells = [cell for part in parts for cell in part[row]]
        if csv.weight:
            made.append(line([*cells, (str(weight), False)], csv))
        else:
            made += [line(cells, csv)] * weight
    return made


def _weights(batch: pa.RecordBatch, csv: Csv) -> list[tuple[int, int]]:
    if csv.op_column is not None:
        verbs = oracles.changes(batch, op=csv.op_column)
        return [(row, 1 if verb == "insert" else -1) for row, verb in verbs]
    if csv.weight_column is None:
        return [(row, 1) for row in range(batch.num_rows)]
    weights = list(enumerate(batch.column(csv.weight_column).to_pylist()))
    return [entry for entry in weights if entry[1] < 0] + [entry for entry in weights if entry[1] > 0]


def messages(batches: list[pa.RecordBatch], csv: Csv) -> list[tuple[int, bytes]]:
    """Return (batch, value) of every message, packed as section 11 does; NoForm for a line above the limit."""
    head = header(batches[0].schema, csv) if csv.header else b""
    sent = []
    for number, batch in enumerate(batches):
        held, count = head, 0
        for text in lines(batch, csv):
            made = text.encode() + b"\n"
            if len(head) + len(made) > csv.limit:
                raise NoForm(f"a line of {len(made)} bytes")
            if count and (count >= max(csv.records, 1) or len(held) + len(made) > csv.limit):
                sent.append((number, held))
                held, count = head, 0
            held += made
            count += 1
        if count:
            sent.append((number, held))
    return sent


def variant(value: Any) -> str:
    """Return the JSON text in which a producer would hand over a VARIANT value."""
    return json.dumps(value, separators=(" , ", " : "))
