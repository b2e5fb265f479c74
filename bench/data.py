"""Seeded orders for the benchmark, as a Parquet file and as the JSON that a correct run must deliver.

One row: 2 ints, a long, a double, 2 strings, a bool, a timestamp; about 166 bytes as `{"insert":{…}}` and its newline.

    id         int32          0, 1, 2, …
    quantity   int32          1 … 499
    account    int64          12 digits, random
    price      double         shape `cents`: 1.00 … 999.99; shape `random`: any double in [1, 1000), so 15 to 17 digits
    ref        utf8           'ref-' and 8 base-36 digits, nearly unique
    city       utf8           one of 16, two of them not ASCII
    paid       bool           random
    placed     timestamp[us]  random in 2024: neighbours share neither day nor second

The same seed and row number give the same row whatever the number of rows, so a short file is the head of a long one.
The JSON is written by a few lines of Python in this file, not by penstock: it is what results are held against.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator

Shape = Literal["cents", "random"]
SHAPES: tuple[Shape, ...] = ("cents", "random")
HEADLINE: Shape = "cents"

SEED = 20260101
GROUP_ROWS = 1 << 20  # pyarrow's default row group
PIECE_ROWS = 1 << 16
CACHE = Path(__file__).resolve().parent.parent / ".cache" / "bench"

CITIES = (
    "Amsterdam", "Berlin", "Chicago", "Dublin", "Edinburgh", "Florence", "Geneva", "Helsinki",
    "Istanbul", "Jakarta", "Kyoto", "Lisbon", "Melbourne", "New York", "São Paulo", "Zürich",
)  # fmt: skip
SCHEMA = pa.schema(
    [
        ("id", pa.int32()),
        ("quantity", pa.int32()),
        ("account", pa.int64()),
        ("price", pa.float64()),
        ("ref", pa.string()),
        ("city", pa.string()),
        ("paid", pa.bool_()),
        ("placed", pa.timestamp("us")),
    ]
)
_YEAR_START_US = 1_704_067_200_000_000  # 2024-01-01
_YEAR_US = 366 * 86_400 * 1_000_000
_DIGITS = np.frombuffer(b"0123456789abcdefghijklmnopqrstuvwxyz", dtype=np.uint8)


@dataclass(frozen=True)
class Prepared:
    """One data set on disk.

    parquet  written by pyarrow with its defaults (snappy, 1 Mi rows a row group, dictionaries)
    encoded  the same rows, one JSON event and a newline each, in the same order
    """

    shape: Shape
    rows: int
    parquet: Path
    encoded: Path


def _group(shape: Shape, number: int, rows: int) -> pa.RecordBatch:
    """Row group `number`, cut to its first `rows` rows."""
    rng = np.random.default_rng([SEED, number])
    n = GROUP_ROWS
    first = number * GROUP_ROWS
    quantity = rng.integers(1, 500, n, dtype=np.int32)
    account = rng.integers(10**11, 10**12, n, dtype=np.int64)
    price = rng.integers(100, 100_000, n) / 100.0 if shape == "cents" else rng.uniform(1.0, 1000.0, n)
    text = np.empty((n, 12), dtype=np.uint8)
    text[:, :4] = np.frombuffer(b"ref-", dtype=np.uint8)
    text[:, 4:] = _DIGITS[rng.integers(0, len(_DIGITS), (n, 8))]
    offsets = np.arange(0, 12 * n + 1, 12, dtype=np.int32)
    cities = pa.DictionaryArray.from_arrays(pa.array(rng.integers(0, len(CITIES), n, dtype=np.int8)), list(CITIES))
    columns = [
        pa.array(np.arange(first, first + n, dtype=np.int32)),
        pa.array(quantity),
        pa.array(account),
        pa.array(price),
        pa.StringArray.from_buffers(n, pa.py_buffer(offsets), pa.py_buffer(text)),
        cities.dictionary_decode(),
        pa.array(rng.integers(0, 2, n).astype(bool)),
        pa.array(_YEAR_START_US + rng.integers(0, _YEAR_US, n)).cast(pa.timestamp("us")),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA).slice(0, rows)


def groups(shape: Shape, rows: int) -> Iterator[pa.RecordBatch]:
    """`rows` rows in order, in batches of 1 Mi rows (the last may be shorter)."""
    for number in range(-(-rows // GROUP_ROWS)):
        yield _group(shape, number, min(GROUP_ROWS, rows - number * GROUP_ROWS))


def _second_part(text: str) -> str:
    """Cut a timestamp as pyarrow prints it to 0, 3 or 6 digits of a second: the fewest that are exact."""
    if not text.endswith("000"):
        return text
    return text[:-7] if text.endswith("000000") else text[:-3]


def encode(batch: pa.RecordBatch) -> bytes:
    """Return the rows of `batch` as JSON events, a newline after each; plain Python, about 2 µs a row."""
    columns = [column.to_pylist() for column in batch.columns[:6]]
    paid = ["true" if value else "false" for value in batch.column("paid").to_pylist()]
    placed = [_second_part(value) for value in batch.column("placed").cast(pa.string()).to_pylist()]
    lines = [
        f'{{"insert":{{"id":{i},"quantity":{q},"account":{a},"price":{p!r},"ref":"{r}","city":"{c}",'
        f'"paid":{f},"placed":"{t}"}}}}\n'
        for i, q, a, p, r, c, f, t in zip(*columns, paid, placed, strict=True)
    ]
    return "".join(lines).encode()


def write_parquet(path: Path, shape: Shape, rows: int) -> None:
    """Write `rows` rows as pyarrow would by default; the name appears once the file is whole."""
    partial = path.with_suffix(f".{os.getpid()}")
    with pq.ParquetWriter(partial, SCHEMA) as writer:
        for batch in groups(shape, rows):
            writer.write_batch(batch, row_group_size=GROUP_ROWS)
    partial.rename(path)


def prepare(shape: Shape, rows: int, *, encoded: bool = True) -> Prepared:
    """Make the data set in `.cache/bench` unless it is there; `encoded=False` leaves the JSON file out."""
    CACHE.mkdir(parents=True, exist_ok=True)
    prepared = Prepared(shape, rows, CACHE / f"{shape}-{rows}.parquet", CACHE / f"{shape}-{rows}.ndjson")
    if not prepared.parquet.exists():
        write_parquet(prepared.parquet, shape, rows)
    if encoded and not prepared.encoded.exists():
        partial = prepared.encoded.with_suffix(f".{os.getpid()}")
        with partial.open("wb") as file:
            for batch in groups(shape, rows):
                for first in range(0, batch.num_rows, PIECE_ROWS):
                    file.write(encode(batch.slice(first, PIECE_ROWS)))
        partial.rename(prepared.encoded)
    return prepared
