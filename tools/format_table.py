#!/usr/bin/env python3
"""What each format writes for each Arrow type, found out by writing one value of it: a Markdown table for README.md.

    tools/format_table.py            print the table
    tools/format_table.py --write    put it between the markers in README.md

Texts are what stands in the message; for the binary formats it is the type that their readers see.
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

import penstock
import readme_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COLUMN: Final = "v"  # what the samples' only column is called
SAME: Final = "the same"

_UTC = dt.timezone.utc
_DAY = dt.date(2026, 3, 1)
_TIME = dt.time(13, 37, 3, 250000)
_MOMENT = dt.datetime(2026, 3, 1, 13, 37, 3, 250000)  # noqa: DTZ001 - a type without a zone
_NAMES = {
    "halffloat": "float16",
    "float": "float32",
    "double": "float64",
    "date32[day]": "date32",
    "date64[ms]": "date64",
}
_SIXTEEN = bytes(range(0xA0, 0xB0))


class Sample(NamedTuple):
    """One type and one value of it."""

    name: str
    column: pa.Array
    field: pa.Field


def one(kind: pa.DataType, value: object, name: str = "", metadata: dict[str, str] | None = None) -> Sample:
    """Return the sample with this value."""
    field = pa.field(COLUMN, kind, nullable=value is None, metadata=metadata)
    return Sample(name or spelled(kind), pa.array([value], kind), field)


def spelled(kind: pa.DataType) -> str:
    """Return a type's name in Arrow's documents, without the names of what is in it."""
    return re.sub(r"(?<=<)(item|element): | \('\w+'\)", "", _NAMES.get(str(kind), str(kind)))


def whole(array: pa.Array, name: str) -> Sample:
    """Return the sample that is this array."""
    return Sample(name, array, pa.field(COLUMN, array.type, nullable=False))


def samples() -> Iterator[Sample]:
    """Return a value of every kind of type that a column can have."""
    yield from numbers()
    yield from texts()
    yield from moments()
    yield from nested()
    yield one(pa.string(), None, "a null string")
    yield one(pa.null(), None)
    yield one(pa.duration("s"), dt.timedelta(seconds=1), "duration")
    yield one(pa.month_day_nano_interval(), (1, 2, 3), "interval")
    yield whole(pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])]), "union")


def numbers() -> Iterator[Sample]:
    """Return booleans, integers, floats and decimals."""
    yield one(pa.bool_(), value=True)
    for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()):
        yield one(kind, 42)
    for kind in (pa.float16(), pa.float32(), pa.float64()):
        yield one(kind, 1.5)
    for decimal in (pa.decimal32, pa.decimal64, pa.decimal128, pa.decimal256):
        yield one(decimal(9, 2), Decimal("1.50"))


def texts() -> Iterator[Sample]:
    """Return strings, bytes, and what these may mean."""
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        yield one(kind, "né")
    for kind in (pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(2)):
        yield one(kind, b"\x01\xff")
    yield whole(pa.ExtensionArray.from_storage(pa.uuid(), pa.array([_SIXTEEN], pa.binary(16))), "uuid")
    yield one(pa.string(), "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf", "string, sql_type UUID", {"sql_type": "UUID"})
    yield whole(pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"b": 1.50}'])), "json")
    yield one(pa.string(), '{"b": 1.50}', "string, sql_type VARIANT", {"sql_type": "VARIANT"})


def moments() -> Iterator[Sample]:
    """Return dates, times and timestamps."""
    yield one(pa.date32(), _DAY)
    yield one(pa.date64(), _DAY)
    yield one(pa.time32("s"), _TIME.replace(microsecond=0))
    for kind in (pa.time32("ms"), pa.time64("us"), pa.time64("ns")):
        yield one(kind, _TIME)
    yield one(pa.timestamp("s"), _MOMENT.replace(microsecond=0))
    for unit in ("ms", "us", "ns"):
        yield one(pa.timestamp(unit), _MOMENT)
    yield one(pa.timestamp("us", "UTC"), _MOMENT.replace(tzinfo=_UTC), "timestamp[us, tz]")


def nested() -> Iterator[Sample]:
    """Return lists, structs, maps, dictionaries and runs."""
    for kind in (pa.list_(pa.int32()), pa.large_list(pa.int32()), pa.list_view(pa.int32()), pa.list_(pa.int32(), 2)):
        yield one(kind, [1, 2])
    yield one(pa.list_(pa.list_(pa.int32())), [[1, 2], []])
    yield one(pa.struct([("a", pa.int32()), ("b", pa.string())]), {"a": 1, "b": "x"})
    yield one(pa.map_(pa.string(), pa.int32()), [("k", 1)])
    yield one(pa.map_(pa.int32(), pa.int32()), [(1, 2)])
    yield one(pa.dictionary(pa.int8(), pa.string()), "né", "dictionary of strings")
    yield whole(
        pa.RunEndEncodedArray.from_arrays(pa.array([1], pa.int32()), pa.array(["né"])), "run-end encoded strings"
    )


# ---- what is written ------------------------------------------------------------------------------------------------


def value(sample: Sample, config: dict[str, Any], *, csv_weight: bool = True) -> bytes:
    """Return the message of the sample."""
    batch = pa.record_batch([sample.column], schema=pa.schema([sample.field]))
    (message,) = penstock.preview(batch, topic="t", format=config, csv_weight=csv_weight)
    assert message.value is not None  # noqa: S101 - an insert has one
    return message.value


def _json(sample: Sample, flavor: str | None = None) -> str:
    text = value(sample, {"name": "json", "config": {"json_flavor": flavor} if flavor else {}}).decode()
    return text.removeprefix(f'{{"insert":{{"{COLUMN}":').removesuffix("}}\n")


def _kafka_connect(sample: Sample) -> str:
    return _json(sample, "kafka_connect_json_converter")


def _csv(sample: Sample) -> str:
    return value(sample, {"name": "csv"}, csv_weight=False).decode().removesuffix("\n")


def _avro(sample: Sample) -> str:
    value(sample, {"name": "avro"})
    from penstock.formats.avro_schema import Name, Style, compact, generate  # noqa: PLC0415

    record = generate([sample.field], Name("T", ""), Style(uuid=False, defaults=False))
    return compact(record["fields"][0]["type"])


def _protobuf(sample: Sample) -> str:
    from penstock.formats.protobuf_schema import generate  # noqa: PLC0415

    if not value(sample, {"name": "protobuf"}):
        return ""
    lines = generate(pa.schema([sample.field]), [0], "", "T").file.text().splitlines()
    line = next(line for line in lines if f" {COLUMN} = 1;" in line)
    return re.sub(rf"\b{COLUMN.title()}$", "message", line.replace(f" {COLUMN} = 1;", "").strip())


def _parquet(sample: Sample) -> str:
    return _seen(sample, pq.read_schema(pa.BufferReader(value(sample, {"name": "parquet"}))))


def _arrow(sample: Sample) -> str:
    return _seen(sample, pa.ipc.open_stream(value(sample, {"name": "arrow"})).schema)


def _seen(sample: Sample, schema: pa.Schema) -> str:
    seen = schema.field(0).type
    return SAME if seen.equals(sample.field.type) else spelled(seen)


FORMATS: Final[dict[str, Callable[[Sample], str]]] = {
    "json": _json,
    "json, Kafka Connect": _kafka_connect,
    "csv": _csv,
    "avro": _avro,
    "protobuf": _protobuf,
    "parquet": _parquet,
    "arrow": _arrow,
}


def cell(sample: Sample, write: Callable[[Sample], str]) -> str:
    """Return what is written as code, or why it is not."""
    try:
        text = write(sample)
    except penstock.PenstockError as error:
        why = re.search(rf'"{COLUMN}[^" ]*" (?:is )?((?!\()[^,;(]*)', str(error))
        return f"refused: {why[1].strip() if why else error}"
    if text == SAME:
        return text
    code, _, note = text.replace("|", "\\|").partition("  // ")
    return (f"`{code}`" if code else "nothing") + (f", {note}" if note else "")


def table() -> str:
    """Return the table; types of which every format makes the same share a row."""
    rows: list[tuple[list[str], list[str]]] = []
    for sample in samples():
        cells = [cell(sample, write) for write in FORMATS.values()]
        if rows and rows[-1][1] == cells:
            rows[-1][0].append(sample.name)
        else:
            rows.append(([sample.name], cells))
    lines = [["Arrow", *FORMATS], ["---"] * (len(FORMATS) + 1)]
    lines += [[", ".join(f"`{name}`" for name in names), *cells] for names, cells in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    readme_table.main("types", table())
