"""CSV, one core: penstock's encoder beside pyarrow.csv.write_csv and polars.DataFrame.write_csv on the same table.

    POLARS_MAX_THREADS=1 python bench/stage_csv.py [SECONDS]

    orders        the 8 columns of data.py, prices in cents
    lineitem      TPC-H, 16 columns: decimals, dates, string views (plain strings for pyarrow, which has no other CSV)
    strings, dictionaries   8 columns of 16 letters: any, and one of 1000 by 32-bit indices

Ours encodes and packs rows that lie in the arena, as a worker does, and writes a weight more; the others write into
memory from a table that lies there. All of them write a header only where they must. CPU time of the process, the best
of at least five passes; the fields are compared as the standard library's reader finds them, once and unmeasured.
"""

from __future__ import annotations

import csv
import io
import mmap
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from subprocess import run
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv as arrow_csv

import data
from penstock import _core
from penstock.layout import CsvLayout, Layout, Packing

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS: Final = 200_000
WORDS: Final = 1000
LETTERS: Final = 16
LARGEST: Final = 999_936  # the maximum payload at librdkafka's default message.max.bytes


class Ours:
    """A table in an arena of its own, and the packer that makes lines of it."""

    def __init__(self, table: pa.Table) -> None:
        schema = table.schema
        core = _core.Schema(_core.schema_spec(schema.__arrow_c_schema__()))
        layout = CsvLayout(tuple(range(len(schema))), ",", True, "necessary", "", False)
        self._packer = _core.Packer(core, Layout(core.spec, layout, None, Packing(weighted=True), LARGEST))
        self._memory = mmap.mmap(-1, 4 * table.nbytes + (64 << 20))
        self._arena = _core.address_of(memoryview(self._memory))
        self._end = 0
        selector = _core.Selector(
            core,
            change="inserts",
            change_column=-1,
            key=None,
            partition_column=-1,
            partitioner="murmur2_random",
            partitions=1,
            workers=1,
        )
        self._places = []
        for batch in table.combine_chunks().to_batches(max_chunksize=data.PIECE_ROWS):
            piece = _core.Piece(core, batch.__arrow_c_array__()[1])
            dictionaries = []
            for at in range(piece.dictionaries):
                position = self._end
                self._take(piece.copy_dictionary(at, self._arena, position))
                dictionaries.append((position, at + 1))
            block = self._end
            self._take(piece.copy(0, piece.rows, self._arena, block, dictionaries))
            selection = selector.select(piece, 0, piece.rows, "both", 0)
            entries, repeats, groups = selection.copy(self._arena, self._end)
            self._take(selection.nbytes)
            self._places.append((block, 0, entries, repeats, groups, 1, 0))

    def _take(self, size: int) -> None:
        self._end = (self._end + size + 63) // 64 * 64

    def encode(self) -> int:
        """Return the bytes of all messages."""
        return sum(self._packer.measure(self._arena, place)[2] for place in self._places)

    def text(self) -> str:
        """Return all messages, one after another."""
        return "".join(
            m[2].decode() for place in self._places for m in self._packer.collect(self._arena, place) if m[2]
        )


def with_pyarrow(table: pa.Table) -> Callable[[], int]:
    """Write into memory; string views become strings first."""
    for at, field in enumerate(table.schema):
        if pa.types.is_string_view(field.type):
            table = table.set_column(at, field.name, table.column(at).cast(pa.string()))
    options = arrow_csv.WriteOptions(include_header=False)

    def encode() -> int:
        sink = io.BytesIO()
        arrow_csv.write_csv(table, sink, options)
        return sink.tell()

    return encode


def with_polars(table: pa.Table) -> Callable[[], int]:
    """Write into memory."""
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)  # noqa: S101

    def encode() -> int:
        sink = io.BytesIO()
        frame.write_csv(sink, include_header=False)
        return sink.tell()

    return encode


def lineitem() -> pa.Table:
    """Return TPC-H lineitem as tpchgen writes it."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(sysconfig.get_path("scripts"), "tpchgen-cli")
        command = [program, "parquet", "-s", "0.05", "--tables=lineitem", f"--output-dir={folder}"]
        run(command, check=True, capture_output=True)
        return pq.read_table(Path(folder) / "lineitem.parquet").slice(0, ROWS)


def letters(*, dictionary: bool) -> pa.Table:
    """Return 8 columns of 16 letters."""
    rng = np.random.default_rng(data.SEED)

    def words(count: int) -> pa.Array:
        text = rng.integers(ord("a"), ord("z") + 1, (count, LETTERS), dtype=np.uint8)
        offsets = np.arange(0, LETTERS * count + 1, LETTERS, dtype=np.int32)
        return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(text)))

    def column() -> pa.Array:
        if not dictionary:
            return words(ROWS)
        return pa.DictionaryArray.from_arrays(pa.array(rng.integers(0, WORDS, ROWS, dtype=np.int32)), words(WORDS))

    return pa.table({f"c{at}": column() for at in range(8)})


def nanoseconds(encode: Callable[[], int], seconds: float) -> float:
    """Return the least CPU time of a row."""
    passes: list[float] = []
    encode()
    while sum(passes) < seconds or len(passes) < 5:  # noqa: PLR2004 - at least a handful
        started = time.process_time()
        encode()
        passes.append(time.process_time() - started)
    return min(passes) / ROWS * 1e9


def check(ours: Ours, table: pa.Table) -> None:
    """Assert that the reader finds the strings of the first rows again, and one weight behind each."""
    rows = [row for _, row in zip(range(1000), csv.reader(io.StringIO(ours.text(), newline="")), strict=False)]
    for at, field in enumerate(table.schema):
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if pa.types.is_string(kind) or pa.types.is_string_view(kind):
            assert [row[at] for row in rows] == table.column(at).slice(0, len(rows)).to_pylist()  # noqa: S101
    assert all(len(row) == len(table.schema) + 1 and row[-1] == "1" for row in rows)  # noqa: S101


def main() -> None:
    """Print one line for each table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    orders = next(data.groups("cents", ROWS))
    tables = {
        "orders": pa.Table.from_batches([orders]),
        "lineitem": lineitem(),
        "strings": letters(dictionary=False),
        "dictionaries": letters(dictionary=True),
    }
    for name, table in tables.items():
        ours = Ours(table)
        check(ours, table)
        mine = nanoseconds(ours.encode, seconds)
        line = f"{name:13} penstock {mine:6.1f} ns a row"
        for label, make in (("pyarrow", with_pyarrow), ("polars", with_polars)):
            theirs = nanoseconds(make(table), seconds)
            line += f"   {label} {theirs:6.1f} ({theirs / mine:.2f} times ours)"
        print(line)


if __name__ == "__main__":
    main()
