#!/usr/bin/env python3
"""What each format writes for each Arrow type, found out by writing one value of it: a Markdown table for README.md.

    tools/format_table.py            print the table
    tools/format_table.py --write    put it between the markers in README.md

Texts are what stands in the message; for the binary formats it is the type that their readers see.
"""

from __future__ import annotations

import datetime
import re
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

import penstock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

README: Final = Path(__file__).parent.parent / "README.md"
START: Final = "<!-- types -->\n"
END: Final = "<!-- /types -->"
COLUMN: Final = "v"  # what the samples' only column is called

_UTC = datetime.timezone.utc
_DAY = datetime.date(2026, 3, 1)
_TIME = datetime.time(13, 37, 3, 250000)
_MOMENT = datetime.datetime(2026, 3, 1, 13, 37, 3, 250000)  # noqa: DTZ001 - a type without a zone
_SIXTEEN = bytes(range(0xA0, 0xB0))


class Sample(NamedTuple):
    """One type and one value of it."""

    name: str
    column: pa.Array
    field: pa.Field


def samples() -> Iterator[Sample]:
    """Return a value of every kind of type that a column can have."""

    def one(kind: pa.DataType, value: object, name: str = "", metadata: dict[str, str] | None = None) -> Sample:
        field = pa.field(COLUMN, kind, metadata=metadata)
        return Sample(name or str(kind), pa.array([value], kind), field)

    yield one(pa.bool_(), value=True)
    for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()):
        yield one(kind, 42)
    for kind in (pa.float16(), pa.float32(), pa.float64()):
        yield one(kind, 1.5)
    for make, name in ((pa.decimal32, 9), (pa.decimal64, 18), (pa.decimal128, 38), (pa.decimal256, 76)):
        yield one(make(name, 2), Decimal("1.50"))
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        yield one(kind, "né")
    for kind in (pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(2)):
        yield one(kind, b"\x01\xff")
    uuids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([_SIXTEEN], pa.binary(16)))
    yield Sample("uuid", uuids, pa.field(COLUMN, pa.uuid()))
    yield one(pa.string(), "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf", "string, sql_type UUID", {"sql_type": "UUID"})
    variants = pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"b": 1.50}']))
    yield Sample("json", variants, pa.field(COLUMN, pa.json_()))
    yield one(pa.string(), '{"b": 1.50}', "string, sql_type VARIANT", {"sql_type": "VARIANT"})
    yield one(pa.date32(), _DAY)
    yield one(pa.date64(), _DAY)
    yield one(pa.time32("s"), _TIME.replace(microsecond=0))
    for kind in (pa.time32("ms"), pa.time64("us"), pa.time64("ns")):
        yield one(kind, _TIME)
    yield one(pa.timestamp("s"), _MOMENT.replace(microsecond=0))
    for unit in ("ms", "us", "ns"):
        yield one(pa.timestamp(unit), _MOMENT)
    yield one(pa.timestamp("us", "UTC"), _MOMENT.replace(tzinfo=_UTC), "timestamp[us, tz]")
    for kind in (pa.list_(pa.int32()), pa.large_list(pa.int32()), pa.list_view(pa.int32()), pa.list_(pa.int32(), 2)):
        yield one(kind, [1, 2], re.sub("<.*>", "<int32>", str(kind)))
    yield one(pa.list_(pa.list_(pa.int32())), [[1, 2], []], "list<list<int32>>")
    yield one(pa.struct([("a", pa.int32()), ("b", pa.string())]), {"a": 1, "b": "x"}, "struct<a: int32, b: string>")
    yield one(pa.map_(pa.string(), pa.int32()), [("k", 1)], "map<string, int32>")
    yield one(pa.map_(pa.int32(), pa.int32()), [(1, 2)], "map<int32, int32>")
    yield one(pa.dictionary(pa.int8(), pa.string()), "né", "dictionary of strings")
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([1], pa.int32()), pa.array(["né"]))
    yield Sample("run-end encoded strings", runs, pa.field(COLUMN, runs.type))
    yield one(pa.string(), None, "a null string")
    yield one(pa.null(), None)
    yield one(pa.duration("s"), datetime.timedelta(seconds=1), "duration")
    yield one(pa.month_day_nano_interval(), (1, 2, 3), "interval")
    union = pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])
    yield Sample("union", union, pa.field(COLUMN, union.type))


# ---- what is written ------------------------------------------------------------------------------------------------


def value(sample: Sample, config: dict[str, Any], **settings: object) -> bytes:
    """Return the message of the sample."""
    batch = pa.record_batch([sample.column], schema=pa.schema([sample.field]))
    (message,) = penstock.preview(batch, topic="t", format=config, **settings)
    assert message.value is not None  # noqa: S101 - an insert has one
    return message.value


def json(sample: Sample, flavor: str | None = None) -> str:
    text = value(sample, {"name": "json", "config": {"json_flavor": flavor} if flavor else {}}).decode()
    return text.removeprefix(f'{{"insert":{{"{COLUMN}":').removesuffix("}}\n")


def kafka_connect(sample: Sample) -> str:
    return json(sample, "kafka_connect_json_converter")


def csv(sample: Sample) -> str:
    return value(sample, {"name": "csv"}, csv_weight=False).decode().removesuffix("\n")


def avro(sample: Sample) -> str:
    from penstock.formats import avro_schema  # noqa: PLC0415

    value(sample, {"name": "avro"})
    return str(avro_schema)


def protobuf(sample: Sample) -> str:
    from penstock.formats.protobuf_schema import generate  # noqa: PLC0415

    value(sample, {"name": "protobuf"})
    lines = generate(pa.schema([sample.field]), [0], "", "T").file.text().splitlines()
    return next(line for line in lines if f" {COLUMN} = 1;" in line).strip().replace(f" {COLUMN} = 1;", "").strip()


def parquet(sample: Sample) -> str:
    return _shown(pq.read_schema(pa.BufferReader(value(sample, {"name": "parquet"}))))


def arrow(sample: Sample) -> str:
    return _shown(pa.ipc.open_stream(value(sample, {"name": "arrow"})).schema)


def _shown(schema: pa.Schema) -> str:
    return str(schema.field(0).type)


FORMATS: Final[dict[str, Callable[[Sample], str]]] = {
    "json": json,
    "json, Kafka Connect": kafka_connect,
    "csv": csv,
    "avro": avro,
    "protobuf": protobuf,
    "parquet": parquet,
    "arrow": arrow,
}


def cell(sample: Sample, write: Callable[[Sample], str]) -> str:
    """Return what is written as code, or why it is not."""
    try:
        text = write(sample)
    except penstock.PenstockError as error:
        why = re.sub(rf'^.*?column "{COLUMN}[^"]*":? ', "", str(error))
        return f"refused: {re.split(r' [(]|[,;]', why)[0]}"
    text = text.replace("|", "\\|")
    return f"`{text}`" if text else "nothing"


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


def main() -> None:
    """Print the table or write it."""
    made = table()
    if sys.argv[1:] != ["--write"]:
        print(made, end="")
        return
    before, _, rest = README.read_text(encoding="utf-8").partition(START)
    _, _, after = rest.partition(END)
    README.write_text(before + START + made + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
