"""source: every kind of input gives the same rows in the same order, in bounded pieces, or one clear error."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import threading
import weakref
from types import SimpleNamespace
from typing import TYPE_CHECKING

import duckdb
import nanoarrow
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.dataset as ds
import pyarrow.fs as pf
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import ConfigError, SchemaError, SourceError
from penstock.source import ROWS_PER_PIECE, Source, open_source
from penstock.source.batch import PIECE_BYTES, Batch, check_same_columns

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [{"id": 1, "name": "a"}, {"id": 2, "name": None}, {"id": 3, "name": "ç"}]
SCHEMA = pa.schema([("id", pa.int64()), ("name", pa.string())])
TABLE = pa.Table.from_pylist(ROWS, SCHEMA)


def rows_of(source: object, **settings) -> list[dict]:
    with open_source(source, **settings) as opened:
        return rows_in(opened)


def rows_in(opened: Source) -> list[dict]:
    found, numbers = [], {}
    for batch in opened.batches():
        start = len(found)
        check_same_columns(opened.schema, batch.schema, expected_in="source", found_in="batch")
        for piece in batch.pieces():
            assert 0 < piece.num_rows <= ROWS_PER_PIECE
            assert piece.schema.equals(batch.schema, check_metadata=True)
            piece.validate(full=True)
            found += piece.to_pylist()
        expected = numbers.get(batch.origin, 0)
        if batch.first_row or expected == 0:
            assert batch.first_row == expected
        else:
            assert batch.first_row == 0  # a file named twice begins again
        numbers[batch.origin] = batch.first_row + len(found) - start
    return found


def sizes(source: object) -> list[list[int]]:
    with open_source(source) as opened:
        return [[piece.num_rows for piece in batch.pieces()] for batch in opened.batches()]


def refusal(source: object, kind: type[Exception] = SourceError, **settings) -> str:
    with pytest.raises(kind) as caught:
        rows_of(source, **settings)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 500
    return text


def ipc_file(path: Path, table: pa.Table, rows: int = 65536, options: pa.ipc.IpcWriteOptions | None = None) -> Path:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=rows)
    return path


def ipc_stream(path: Path, table: pa.Table, rows: int = 65536) -> Path:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows)
    return path


def parquet(path: Path, table: pa.Table = TABLE, **settings) -> Path:
    pq.write_table(table, path, **settings)
    return path


# ---------------------------------------------------------------------------------------------------------- in memory

IN_MEMORY = {
    "RecordBatch": lambda: TABLE.to_batches()[0],
    "Table": lambda: TABLE,
    "table of chunks": lambda: pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)]),
    "RecordBatchReader": TABLE.to_reader,
    "StructArray": lambda: TABLE.to_struct_array().chunk(0),
    "polars": lambda: pl.from_arrow(TABLE),
    "pandas": lambda: pd.DataFrame({"id": [1, 2, 3], "name": ["a", None, "ç"]}),
    "nanoarrow array": lambda: nanoarrow.Array(TABLE.to_batches()[0]),
    "nanoarrow stream": lambda: nanoarrow.ArrayStream(TABLE),
    "nanoarrow c array": lambda: nanoarrow.c_array(TABLE.to_batches()[0]),
    "generator": lambda: (TABLE.slice(i, 1).to_batches()[0] for i in range(3)),
    "list of kinds": lambda: [TABLE.slice(0, 1), pl.from_arrow(TABLE.slice(1, 1)), TABLE.slice(2).to_reader()],
    "dataset batches": lambda: ds.dataset(TABLE).to_batches(),
}


@pytest.mark.parametrize("make", IN_MEMORY.values(), ids=IN_MEMORY)
def test_anything_arrow_shaped_gives_its_rows_in_order(make):
    """Whatever speaks the Arrow capsule protocol, and any iterable of such, gives exactly its rows."""
    assert rows_of(make()) == ROWS


def test_a_duckdb_relation_streams():
    """A DuckDB relation gives its rows in order, without being asked how many they are."""
    connection = duckdb.connect()
    relation = connection.sql("select range id, 'v' || range as name from range(300000)")
    with open_source(relation) as opened:
        assert opened.rows is None
        pieces = [piece for batch in opened.batches() for piece in batch.pieces()]
    assert pa.Table.from_batches(pieces)["id"].to_numpy().tolist() == list(range(300000))
    assert len(pieces) > 4


def test_a_query_that_fails_half_way_is_named():
    """An engine's error while rows are streaming is a SourceError with its text and the rows read before."""
    connection = duckdb.connect()
    text = refusal(connection.sql("select if(range = 290000, error('boom'), range) id from range(300000)"))
    assert text.startswith("duckdb.DuckDBPyRelation: cannot be read after row ")
    assert "boom" in text


def test_only_a_named_pandas_index_is_a_column():
    """Filtering a pandas DataFrame does not add a column; an index with a name is one, consecutive or not."""
    frame = pd.DataFrame({"id": [1, 2, 3], "name": ["a", None, "ç"]})
    filtered = frame[frame.id != 1]
    assert rows_of(filtered) == ROWS[1:]
    assert open_source(filtered).schema.names == ["id", "name"]
    assert rows_of(filtered.set_index("id")) == [{"name": row["name"], "id": row["id"]} for row in ROWS[1:]]


def test_totals_are_told_where_they_are_known(tmp_path):
    """`rows` is the total of tables, frames, Parquet and IPC files, and None for streams and text."""
    path = parquet(tmp_path / "a.parquet")
    known = [
        TABLE,
        TABLE.to_batches()[0],
        pl.from_arrow(TABLE),
        TABLE.to_pandas(),
        path,
    ]
    if hasattr(pa.ipc.RecordBatchFileReader, "count_rows"):  # since pyarrow 26
        known.append(ipc_file(tmp_path / "a.arrow", TABLE))
    assert [open_source(source).rows for source in known] == [3] * len(known)
    assert open_source([path, path]).rows == 6
    text = tmp_path / "a.csv"
    text.write_text("id,name\n1,a\n")
    unknown = [
        TABLE.to_reader(),
        (TABLE for _ in range(2)),
        ipc_stream(tmp_path / "a.arrows", TABLE),
        text,
        [path, text],
    ]
    assert [open_source(source).rows for source in unknown] == [None] * 5


def test_batches_are_those_given_and_pieces_cut_them():
    """A RecordBatch given is one Batch whatever its size, cut into pieces of 65536 rows that share its memory."""
    column = pa.array(np.arange(200_000))
    batch = pa.record_batch([column], ["n"])
    small = batch.slice(0, 10)
    assert sizes([small, batch, small.slice(0, 0), small]) == [[10], [65536] * 3 + [3392], [], [10]]
    with open_source(batch) as opened:
        (only,) = opened.batches()
        second = list(only.pieces())[1]
    assert second.column(0).buffers()[1].address == column.buffers()[1].address
    assert second.column(0).offset == ROWS_PER_PIECE


def test_pieces_may_be_iterated_again(tmp_path):
    """A second pass over a Batch gives the same rows as the first, from memory and from every kind of file."""
    n = 70_000
    table = pa.table({"n": range(n), "s": [f"v{i % 7}" for i in range(n)]})
    path = tmp_path / "n.csv"
    pc.write_csv(table, path)
    for source in (
        table,
        parquet(tmp_path / "n.parquet", table),
        ipc_file(tmp_path / "n.arrow", table, n),
        ipc_stream(tmp_path / "n.arrows", table, n),
        path,
    ):
        with open_source(source) as opened:
            for batch in opened.batches():
                first, second = ([piece.to_pydict() for piece in batch.pieces()] for _ in range(2))
                assert first == second


def test_batches_kept_are_readable_after_the_next_file(tmp_path):
    """A Batch that the caller keeps stays readable while the source is open, whatever file is being read by then."""
    paths = [parquet(tmp_path / f"{i}.parquet", TABLE.slice(i, 1)) for i in range(3)]
    with open_source(paths) as opened:
        kept = list(opened.batches())
        assert [row for batch in kept for piece in batch.pieces() for row in piece.to_pylist()] == ROWS


def test_wide_rows_make_smaller_pieces(tmp_path):
    """Rows of 10 kB are cut finer than 65536 at a time, so that a piece stays near 32 MiB; none is lost."""
    text = os.urandom(10_000).hex()
    table = pa.table({"i": range(8000), "s": pa.array([text[i : i + 10_000] for i in range(8000)])})
    for source in (table, parquet(tmp_path / "w.parquet", table), ipc_file(tmp_path / "w.arrow", table)):
        with open_source(source) as opened:
            pieces = [piece for batch in opened.batches() for piece in batch.pieces()]
        assert 3 <= len(pieces) <= 4
        assert max(piece.nbytes for piece in pieces) <= PIECE_BYTES * 1.01
        assert [i for piece in pieces for i in piece.column("i").to_pylist()] == list(range(8000))


def test_slices_of_a_large_frame_are_not_taken_for_large():
    """Rows that share their text with a frame of 100 MB are cut by their own size, not by the frame's."""
    frame = pl.DataFrame({"s": [f"{i:>100}" for i in range(500_000)]})
    batches = [next(pa.RecordBatchReader.from_stream(frame.slice(i * 65536, 65536))) for i in range(3)]
    assert sizes(batches) == [[65536]] * 3
    assert [len(pieces) for pieces in sizes(frame)] == [8]


@given(
    counts=st.lists(st.integers(0, 5), min_size=1, max_size=8),
    start=st.integers(0, 3),
)
def test_slices_and_empty_batches_keep_every_row(counts, start):
    """Sliced batches of any offset, empty ones included, give each row once and count the rows from 0 in each item."""
    whole = pa.record_batch([pa.array(range(64)), pa.array([str(i) if i % 3 else None for i in range(64)])], ["i", "s"])
    given_batches, at = [], start
    for count in counts:
        given_batches.append(whole.slice(at, count))
        at += count
    with open_source(iter(given_batches)) as opened:
        batches = list(opened.batches())
        assert [batch.first_row for batch in batches] == [0] * len(counts)
        assert [batch.origin for batch in batches] == [f"batch {i}" for i in range(len(counts))]
        rows = [row for batch in batches for piece in batch.pieces() for row in piece.to_pylist()]
    assert rows == whole.slice(start, sum(counts)).to_pylist()


def test_an_empty_batch_without_buffers():
    """A batch of no rows may have columns without any buffer, which pyarrow's own nbytes cannot measure."""
    empty = pa.record_batch([pa.Array.from_buffers(pa.int32(), 0, [None, None])], ["i"])
    assert sizes(empty) == [[]]


def test_no_batch_is_kept():
    """Once the caller lets go of a streamed batch, the source has no hold on it."""
    seen = []

    def stream():
        for i in range(20):
            batch = pa.record_batch([pa.array([i])], ["i"])
            seen.append(weakref.ref(batch))
            yield batch
            del batch
            assert sum(ref() is not None for ref in seen) <= 3

    with open_source(stream()) as opened:
        for batch in opened.batches():
            for _ in batch.pieces():
                pass
    assert len(seen) == 20


def test_a_generators_own_error_comes_through():
    """What the caller's generator raises is raised unchanged, behind a RecordBatchReader too."""

    def broken():
        yield TABLE.to_batches()[0]
        raise KeyError("mine")

    for source in (broken(), pa.RecordBatchReader.from_batches(SCHEMA, broken())):
        with open_source(source) as opened, pytest.raises(KeyError, match="mine"):
            list(opened.batches())


def test_a_generator_is_closed_with_the_source():
    """Leaving the block closes the caller's generator, read to its end or not."""
    closed = []

    def stream():
        try:
            while True:
                yield TABLE
        finally:
            closed.append(True)

    with open_source(stream()) as opened:
        next(opened.batches())
    assert closed == [True]


def test_a_source_is_read_once():
    """Reading a source a second time, or after it was closed, is an error rather than no rows."""
    with open_source(TABLE) as opened:
        assert rows_in(opened) == ROWS
        with pytest.raises(SourceError, match="already being read"):
            opened.batches()
    opened.close()
    with pytest.raises(SourceError, match="closed"):
        opened.batches()


NOT_ARROW = {
    "a number": (5, "an int is not Arrow data; give a pyarrow,"),
    "None": (None, "a NoneType is not Arrow data"),
    "bytes": (b"a.parquet", "a bytes is not Arrow data"),
    "a mapping": ({"id": [1]}, "pyarrow.table(columns)"),
    "rows": ([{"id": 1}], "batch 0: a dict is not Arrow data; for rows use pyarrow.RecordBatch.from_pylist(rows)"),
    "an empty iterable": ([], "empty iterable, so the columns are not known"),
    "one column": (pa.array([1, 2]), "a pyarrow.Int64Array has no form as Arrow columns"),
    "a chunked column": (pa.chunked_array([[1]]), "has no form as Arrow columns"),
    "a polars column": (pl.Series("a", [1]), "a polars.Series has no form as Arrow columns"),
    "a lazy frame": (pl.DataFrame({"a": [1]}).lazy(), "call its collect()"),
    "a dataset": (ds.dataset(TABLE), "give its to_batches()"),
    "null rows": (
        pa.StructArray.from_arrays([pa.array([1, 2])], ["a"], mask=pa.array([True, False])),
        "non-zero null count",
    ),
    "a path among tables": ([TABLE, "a.parquet"], "item 1 of the source is a path among tables"),
    "a table among paths": (["a.parquet", TABLE], "item 1 of the source is a pyarrow.Table among paths"),
}


@pytest.mark.parametrize(("source", "expected"), NOT_ARROW.values(), ids=NOT_ARROW)
def test_what_is_not_a_source_is_refused_by_its_type(source, expected):
    """What cannot be written is refused with its type's name and what to give instead."""
    assert expected in refusal(source)


def test_input_format_is_checked():
    """A wrong input format is a ConfigError naming the nearest; one for what is not a path is refused, not ignored."""
    assert refusal("x.bin", ConfigError, input_format="parqet").endswith('did you mean "parquet"?')
    assert refusal("x.bin", ConfigError, input_format="ndjson").endswith('did you mean "jsonl"?')
    assert "the source has a pyarrow.Table" in refusal(TABLE, ConfigError, input_format="csv")
    assert "the source has a pyarrow.Table" in refusal([TABLE], ConfigError, input_format="csv")


# --------------------------------------------------------------------------------------------------- equal schemas

TEXTS = (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.large_string()))


def test_spellings_of_one_type_are_one_schema():
    """Strings in any layout, dictionaries, nullability and metadata may differ between batches and files."""
    column = pa.array(["x", None])
    tables = [pa.table({"s": column.cast(kind)}) for kind in TEXTS]
    tables.append(pa.table({"s": pa.RunEndEncodedArray.from_arrays(pa.array([1, 2], pa.int32()), column)}))
    tables.append(tables[0].replace_schema_metadata({"a": "b"}))
    for first in tables:
        assert rows_of([first, *tables]) == [{"s": "x"}, {"s": None}] * 7
    nested = [pa.list_(pa.string()), pa.large_list(pa.large_string()), pa.list_view(pa.string_view())]
    batches = [pa.record_batch([pa.array([["x"]], kind)], ["l"]) for kind in nested]
    assert rows_of(batches) == [{"l": ["x"]}] * 3
    needed = pa.schema([pa.field("s", pa.string(), nullable=False)])
    assert len(rows_of([tables[0], pa.table({"s": ["y"]}, needed)])) == 3


CHANGES = {
    "type": (pa.schema([("id", pa.int32()), ("name", pa.string())]), 'column "id" is int32, batch 0 has int64'),
    "missing": (pa.schema([("id", pa.int64())]), 'column "name" is missing, batch 0 has it as string'),
    "new": (SCHEMA.append(pa.field("x", pa.bool_())), 'column "x" (bool) is new, batch 0 does not have it'),
    "order": (pa.schema([SCHEMA.field(1), SCHEMA.field(0)]), "the columns come as name, id, batch 0 has id, name"),
    "twice": (SCHEMA.append(SCHEMA.field(1)), "the columns come as id, name, name, batch 0 has id, name"),
    "variant": (
        SCHEMA.set(1, SCHEMA.field(1).with_metadata({"sql_type": "VARIANT"})),
        'column "name" is string with sql_type VARIANT, batch 0 has string',
    ),
}


@pytest.mark.parametrize(("schema", "expected"), CHANGES.values(), ids=CHANGES)
def test_a_changed_schema_is_refused_and_named(schema, expected):
    """A batch whose columns differ is a SchemaError naming batch, column, found and expected; those before are read."""
    batches = [TABLE, pa.table([pa.nulls(1, field.type) for field in schema], schema=schema)]
    with open_source(batches) as opened:
        reading = opened.batches()
        assert [piece.to_pylist() for piece in next(reading).pieces()] == [ROWS]
        with pytest.raises(SchemaError) as caught:
            next(reading)
    assert str(caught.value).startswith(f"batch 1: {expected}")
    assert caught.value.source == "batch 1"


def test_files_are_compared_before_the_first_row(tmp_path):
    """A file with other columns is refused at open, naming both files, before a row of any file is read."""
    first, second = parquet(tmp_path / "a.parquet"), tmp_path / "b.parquet"
    parquet(second, TABLE.set_column(0, "id", pa.array([1.5, 2.5, 3.5])))
    with pytest.raises(SchemaError) as caught:
        open_source([first, second])
    assert str(caught.value) == (
        f'{second}: column "id" is double, {first} has int64; cast one of them, or write them apart'
    )
    assert (caught.value.column, caught.value.found, caught.value.expected) == ("id", "double", "int64")


def test_a_file_may_hold_dictionaries_where_another_holds_strings(tmp_path):
    """Parquet and IPC files of one logical schema are one source, however each of them encodes its strings."""
    coded = TABLE.set_column(1, "name", TABLE["name"].dictionary_encode())
    paths = [
        parquet(tmp_path / "a.parquet"),
        parquet(tmp_path / "b.parquet", coded),
        ipc_file(tmp_path / "c.arrow", coded),
        ipc_file(tmp_path / "d.arrow", TABLE.cast(pa.schema([("id", pa.int64()), ("name", pa.large_string())]))),
    ]
    assert rows_of(paths) == ROWS * 4


# ----------------------------------------------------------------------------------------------------------- Parquet


def big_table(rows: int, seed: int = 1) -> pa.Table:
    random = np.random.default_rng(seed)
    cities = np.array([f"city {i}" for i in range(200)])
    return pa.table(
        {
            "id": np.arange(rows),
            "price": random.random(rows),
            "city": cities[random.integers(0, 200, rows)],
            "note": np.char.add("note ", random.integers(0, 10**9, rows).astype(str)),
        }
    )


def test_a_row_group_is_a_batch_in_pieces(tmp_path):
    """Each Parquet row group is one Batch, numbered from its first row, in pieces of 65536 rows."""
    table = big_table(300_000)
    path = parquet(tmp_path / "a.parquet", table, row_group_size=140_000)
    with open_source(path) as opened:
        assert opened.rows == 300_000
        batches = list(opened.batches())
        assert [(batch.origin, batch.first_row) for batch in batches] == [
            (str(path), 0),
            (str(path), 140_000),
            (str(path), 280_000),
        ]
        pieces = [list(batch.pieces()) for batch in batches]
    assert [[piece.num_rows for piece in each] for each in pieces] == [[65536, 65536, 8928]] * 2 + [[20_000]]
    read = pa.Table.from_batches([piece for each in pieces for piece in each])
    assert read.cast(table.schema).equals(table)


def test_repetitive_strings_come_dictionary_encoded(tmp_path):
    """A string column of few values is read as a dictionary of those values, one of many values is read plainly."""
    table = big_table(200_000)
    kinds = (pa.string(), pa.large_string(), pa.string_view(), pa.binary())
    for kind in kinds:
        schema = pa.schema(
            [
                table.schema.field(0),
                table.schema.field(1),
                pa.field("city", kind, metadata={"sql_type": "X"}),
                pa.field("note", kind),
            ]
        )
        path = parquet(tmp_path / "a.parquet", table.cast(schema))
        with open_source(path) as opened:
            (batch,) = opened.batches()
            pieces = list(batch.pieces())
        assert pa.types.is_dictionary(opened.schema.field("city").type)
        assert opened.schema.field("city").metadata[b"sql_type"] == b"X"
        assert not pa.types.is_dictionary(opened.schema.field("note").type)
        assert [len(piece["city"].dictionary) for piece in pieces] == [200] * 4
        assert pa.Table.from_batches(pieces).cast(table.schema).equals(table)


def test_a_dictionary_given_up_half_way_is_read_plainly(tmp_path):
    """A column whose writer fell back to plain pages is not read as a dictionary, in whichever row group that is."""
    few = pa.array([f"v{i % 100}" for i in range(50_000)])
    many = pa.array([f"some long value {i * 7919 % 50_000:>30}" for i in range(50_000)])
    path = tmp_path / "a.parquet"
    with pq.ParquetWriter(path, pa.schema([("s", pa.string())]), dictionary_pagesize_limit=100_000) as writer:
        for column in (few, many, few):
            writer.write_table(pa.table({"s": column}))
    assert open_source(path).schema.field("s").type == pa.string()
    rows = rows_of(path)
    assert rows[50_000:50_010] == [{"s": text} for text in many[:10].to_pylist()]
    assert len(rows) == 150_000


def test_nested_and_extension_columns_are_read(tmp_path):
    """Lists, structs, maps, UUIDs and categoricals come back as they were written, with their metadata."""
    table = pa.table(
        {
            "l": pa.array([["a", None], None, []]),
            "t": pa.array([{"x": 1, "s": "p"}, None, {"x": None, "s": "q"}]),
            "m": pa.array([[("k", 1)], [], None], pa.map_(pa.string(), pa.int64())),
            "c": pa.array(["p", "q", "p"]).dictionary_encode(),
            "u": pa.array([b"0123456789abcdef"] * 3, pa.binary(16)).cast(pa.uuid()),
        }
    )
    for path in (parquet(tmp_path / "a.parquet", table), ipc_file(tmp_path / "a.arrow", table)):
        assert rows_of(path) == table.to_pylist()
        assert open_source(path).schema.field("u").type == pa.uuid()
        assert open_source(path).schema.field("c").type == table.schema.field("c").type


def test_memory_does_not_grow_with_the_row_group(tmp_path):
    """Reading a row group of a million rows takes no more of pyarrow's memory than one of a quarter of that."""
    table = big_table(1_000_000)
    peaks = []
    for rows in (250_000, 1_000_000):
        path = parquet(tmp_path / f"{rows}.parquet", table.slice(0, rows), row_group_size=rows)
        script = (
            "import sys, pyarrow as pa\n"
            "from penstock.source import open_source\n"
            "with open_source(sys.argv[1]) as s:\n"
            "    n = sum(p.num_rows for b in s.batches() for p in b.pieces())\n"
            "print(n, pa.default_memory_pool().max_memory())\n"
        )
        ran = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
        read, peak = map(int, ran.stdout.split())
        assert read == rows
        peaks.append(peak)
    assert peaks[1] < peaks[0] * 1.25
    assert peaks[1] < 24 << 20


# ------------------------------------------------------------------------------------------------------ broken files


def test_a_broken_page_is_named_with_what_was_read(tmp_path):
    """A damaged page stops the reading, naming file, row group and row; the pieces before it are good."""
    table = big_table(400_000)
    path = parquet(tmp_path / "a.parquet", table, row_group_size=200_000)
    chunk = pq.read_metadata(path).row_group(1).column(3)
    content = bytearray(path.read_bytes())
    middle = chunk.data_page_offset + chunk.total_compressed_size // 2
    content[middle : middle + 200] = os.urandom(200)
    path.write_bytes(content)
    read = 0
    with open_source(path) as opened:
        pieces = (piece for batch in opened.batches() for piece in batch.pieces())
        with pytest.raises(SourceError) as caught:  # the loop is what must be stopped
            while piece := next(pieces):
                assert piece["id"][0].as_py() == read
                read += piece.num_rows
    assert 200_000 <= read < 400_000
    assert str(caught.value).startswith(f"{path}: row group 1 cannot be read after row {read}: ")
    assert (caught.value.row_group, caught.value.row, caught.value.source) == (1, read, str(path))


def test_a_flipped_bit_is_found_by_the_page_checksum(tmp_path):
    """Where a file has page checksums they are verified: a changed byte that still decodes is an error."""
    path = parquet(
        tmp_path / "a.parquet",
        pa.table({"n": np.arange(1000)}),
        compression="none",
        use_dictionary=False,
        write_page_checksum=True,
    )
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    assert "row group 0 cannot be read after row 0: " in refusal(path)


def test_what_is_not_parquet_says_so(tmp_path):
    """Empty, cut and foreign files are refused at open, with the file's name and the reason."""
    whole = parquet(tmp_path / "a.parquet").read_bytes()
    cases = {
        "empty": b"",
        "text": b"id,name\n1,a\n" * 9,
        "cut": whole[:-10],
        "footer": whole[:-60] + b"x" * 40 + whole[-20:],
    }
    for name, content in cases.items():
        path = tmp_path / f"{name}.parquet"
        path.write_bytes(content)
        with pytest.raises(SourceError) as caught:
            open_source(path)
        assert str(caught.value).startswith(f"{path}: cannot be read as Parquet: ")


def test_broken_ipc_says_so(tmp_path):
    """IPC files and streams that are cut, empty or foreign are refused, with what was read before."""
    table = pa.table({"n": range(1000)})
    file, stream = ipc_file(tmp_path / "a.arrow", table, 400), ipc_stream(tmp_path / "b.arrows", table, 400)
    for path, cut in ((file, 30), (file, 10**6), (stream, 10**6)):
        broken = tmp_path / "broken.arrow"
        broken.write_bytes(path.read_bytes()[:-cut])
        with pytest.raises(SourceError, match=r"broken\.arrow: cannot be read as Arrow IPC: "):
            open_source(broken)
    broken.write_bytes(stream.read_bytes()[:-500])
    assert "cannot be read after record batch 2, row 800: " in refusal(broken)
    broken.write_bytes(b"FEA1" + bytes(100))
    assert "Feather version 1" in refusal(broken)


def test_foreign_offsets_are_found_before_they_are_used(tmp_path):
    """Offsets outside their buffer are an error naming file, record batch and column; bad UTF-8 is the encoder's."""
    offsets = pa.py_buffer(np.array([0, 5, 2], np.int32))
    bad = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"ab"))
    deep = pa.StructArray.from_arrays([pa.ListArray.from_arrays(pa.array([0, 2], pa.int32()), bad)], ["x"])
    for column in (bad, deep):
        table = pa.table({"ok": [1] * len(column), "s": column})
        for path in (ipc_file(tmp_path / "a.arrow", table), ipc_stream(tmp_path / "a.arrows", table)):
            assert refusal(path).startswith(f'{path}: record batch 0, column "s" is broken: ')
    latin = pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, 1], np.int32)), pa.py_buffer(b"\xe7"))
    nested = pa.StructArray.from_arrays([latin], ["x"])
    path = ipc_file(tmp_path / "b.arrow", pa.table({"s": latin, "t": nested, "d": latin.dictionary_encode()}))
    with open_source(path) as opened:
        assert [piece.num_rows for batch in opened.batches() for piece in batch.pieces()] == [1]


# -------------------------------------------------------------------------------------------------------- other files


def test_ipc_files_and_streams_keep_their_batches(tmp_path):
    """Each RecordBatch of an IPC file or stream is one Batch, empty ones included, compressed or not."""
    table = big_table(150_000)
    batches = [
        table.slice(0, 100_000).to_batches()[0],
        table.to_batches()[0].slice(0, 0),
        table.slice(100_000).to_batches()[0],
    ]
    for make, options in ((pa.ipc.new_file, None), (pa.ipc.new_file, "zstd"), (pa.ipc.new_stream, "lz4")):
        path = tmp_path / "a.arrow"
        with make(str(path), table.schema, options=pa.ipc.IpcWriteOptions(compression=options)) as writer:
            for batch in batches:
                writer.write_batch(batch)
        with open_source(path) as opened:
            found = list(opened.batches())
            assert [batch.first_row for batch in found] == [0, 100_000, 100_000]
            assert [[p.num_rows for p in batch.pieces()] for batch in found] == [[65536, 34464], [], [50_000]]
        with open_source(path) as opened:
            pieces = [piece for batch in opened.batches() for piece in batch.pieces()]
        assert pa.Table.from_batches(pieces).equals(table)


def test_a_large_record_batch_is_read_in_pieces(tmp_path):
    """A record batch of 80 MB is not held in memory: the peak stays far below it, and every row arrives."""
    rows = 1_000_000
    columns = {f"c{i}": np.arange(rows) for i in range(10)}
    path = ipc_file(tmp_path / "a.arrow", pa.table(columns), rows)
    script = (
        "import sys, resource\n"
        "from penstock.source import open_source\n"
        "def own():\n"
        "    lines = open('/proc/self/smaps_rollup').read().split('\\n')\n"
        "    return next(int(line.split()[1]) for line in lines if line.startswith('Pss:'))\n"
        "with open_source(sys.argv[1]) as s:\n"
        "    sizes, total = [], 0\n"
        "    for b in s.batches():\n"
        "        for p in b.pieces():\n"
        "            total += max(p.column(0).to_pylist())\n"
        "            sizes.append(own())\n"
        "print(total, (max(sizes) - sizes[0]) // 1024)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    total, grown = map(int, ran.stdout.split())
    assert total == sum(min(start + ROWS_PER_PIECE, rows) - 1 for start in range(0, rows, ROWS_PER_PIECE))
    assert grown < 20


def test_csv_and_json_lines_are_read(tmp_path):
    """CSV and JSON lines give their rows, packed by gzip too; empty lines and a missing last newline are nothing."""
    csv = tmp_path / "a.csv"
    csv.write_text('id,name,at\n1,a,2024-01-02\n2,"b,""c",\n')
    rows = rows_of(csv)
    assert [(row["id"], row["name"], str(row["at"])) for row in rows] == [(1, "a", "2024-01-02"), (2, 'b,"c', "None")]
    text = '{"id": 1, "name": "a"}\n{"id": 2}\n{"id": 3, "name": "ç"}'
    for name in ("a.jsonl", "a.ndjson", "a.json"):
        (tmp_path / name).write_text(text)
        assert rows_of(tmp_path / name) == ROWS
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    assert rows_of(packed) == ROWS
    (tmp_path / "a.txt").write_text(text)
    assert rows_of(tmp_path / "a.txt", input_format="jsonl") == ROWS


def test_large_text_comes_in_several_batches(tmp_path):
    """A CSV file larger than a block is read block by block, rows numbered on."""
    table = big_table(300_000)
    path = tmp_path / "a.csv"
    pc.write_csv(table, path)
    with open_source(path) as opened:
        starts, pieces = [], []
        for batch in opened.batches():
            starts.append(batch.first_row)
            pieces += batch.pieces()
    assert len(starts) > 1
    read = pa.Table.from_batches(pieces)
    assert read["id"].to_pylist() == list(range(300_000))
    assert read["note"].equals(table["note"])


def test_text_files_agree_on_types(tmp_path):
    """Types inferred from several text files are brought together; JSON lines may lack a column, CSV may not."""
    for name, text in {"a": "x,y\n1,\n", "b": "x,y\n1.5,z\n", "c": "y,x\np,1\n", "d": "x,y\nq,r\n", "e": ""}.items():
        (tmp_path / f"{name}.csv").write_text(text)
    a, b, c, d, e = (tmp_path / f"{name}.csv" for name in "abcde")
    assert rows_of([a, b, e]) == [{"x": 1.0, "y": ""}, {"x": 1.5, "y": "z"}]
    assert "the columns come as y, x" in refusal([a, c], SchemaError)
    assert f'{d}: column "x" is string, {a} has int64' in refusal([a, d], SchemaError)
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_text('{"x": 1}\n')
    second.write_text('{"y": "z", "x": 2.5}\n')
    assert rows_of([first, second]) == [{"x": 1.0, "y": None}, {"x": 2.5, "y": "z"}]


def test_bad_text_names_the_file(tmp_path):
    """Rows that do not fit, later fields of another type, and files without a row are errors naming file and row."""
    csv, lines, empty = tmp_path / "a.csv", tmp_path / "a.jsonl", tmp_path / "empty.jsonl"
    csv.write_text("x,y\n1,2\n3\n")
    assert refusal(csv).startswith(f"{csv}: cannot be read as CSV: CSV parse error: ")
    csv.write_text("x,y\n" + "1,2\n" * 4_000_000 + "z,2\n")
    assert f"{csv}: cannot be read after row " in (text := refusal(csv))
    assert "invalid value 'z'" in text
    lines.write_text('[{"x": 1}]')
    assert refusal(lines).startswith(f"{lines}: cannot be read as JSON lines: ")
    lines.write_text('{"x": 1}\n' * 1_000_000 + '{"x": 1, "y": 2}\n')
    assert "unexpected field" in refusal(lines)
    empty.write_bytes(b"")
    assert refusal(empty) == f"{empty}: there is no row, so the columns are not known"


def test_files_without_rows_are_read_as_such(tmp_path):
    """Parquet and IPC files of no rows, and a CSV of a header alone, give their columns and no piece."""
    none = TABLE.slice(0, 0)
    csv = tmp_path / "a.csv"
    csv.write_text("id,name\n")
    for path in (parquet(tmp_path / "a.parquet", none), ipc_file(tmp_path / "a.arrow", none), csv):
        assert open_source(path).schema.names == ["id", "name"]
        assert rows_of(path) == []
    for source in (none, TABLE.to_batches()[0].slice(3), pl.from_arrow(none), [none, TABLE]):
        assert rows_of(source) == (ROWS if isinstance(source, list) else [])


# -------------------------------------------------------------------------------------------------------------- paths


@pytest.fixture
def exports(tmp_path):
    """Make a directory of three files, a nested one, and things that are not to be read."""
    base = tmp_path / "exports"
    (base / "deep" / "er").mkdir(parents=True)
    (base / "_delta_log").mkdir()
    for i, name in enumerate(("b.parquet", "a.parquet", "deep/er/c.parquet")):
        parquet(base / name, pa.table({"n": [i]}))
    (base / "_SUCCESS").touch()
    (base / ".hidden.parquet").touch()
    (base / "_delta_log" / "0.json").touch()
    return base


def numbers(source: object) -> list[int]:
    return [row["n"] for row in rows_of(source)]


def test_directories_and_patterns_are_read_in_the_order_of_names(exports, monkeypatch):
    """A directory means all its files, deep ones too, hidden and '_' ones not; a pattern means the files it matches."""
    assert numbers(exports) == [1, 0, 2]
    assert numbers(f"{exports}/") == [1, 0, 2]
    assert numbers(f"{exports}/*.parquet") == [1, 0]
    assert numbers(f"{exports}/**/*.parquet") == [1, 0, 2]
    assert numbers(f"{exports}/[b-z].parquet") == [0]
    assert numbers(f"{exports}/*") == [1, 0, 2]
    assert numbers(f"{exports}/**") == [1, 0, 2]
    monkeypatch.chdir(exports)
    with open_source(["a.parquet", "deep"]) as opened:
        assert [batch.origin for batch in opened.batches()] == ["a.parquet", "deep/er/c.parquet"]
    monkeypatch.setenv("HOME", str(exports))
    assert numbers("~/a.parquet") == [1]


def test_urls_mean_the_same_files(exports):
    """A file:// URL of a file, directory or pattern reads what the path would."""
    url = exports.as_uri()
    assert numbers(f"{url}/a.parquet") == [1]
    assert numbers(url) == [1, 0, 2]
    assert numbers(f"{url}/*.parquet") == [1, 0]
    assert numbers(f"{url}/**/*.parquet") == [1, 0, 2]
    assert numbers(f"{url}/[!a].parquet") == [0]
    assert refusal(f"{url}/*.csv") == f"{url}/*.csv: no file matches the pattern"
    assert "did you mean" in refusal(f"{url}/a.parqet")


def test_object_stores_read_as_local_files_do(exports, monkeypatch):
    """A file system that is not this machine's gives the same rows; its credentials are in no error and no origin."""
    store = pf.SubTreeFileSystem(str(exports), pf.LocalFileSystem())
    asked = []

    def from_uri(uri):
        asked.append(uri)
        return store, uri.partition("?")[0].removeprefix("store://user:secret@bucket").strip("/")

    names = {name: getattr(pf, name) for name in ("FileSelector", "FileType", "LocalFileSystem")}
    monkeypatch.setattr(
        "penstock.source.places.pf", SimpleNamespace(**names, FileSystem=SimpleNamespace(from_uri=from_uri))
    )
    url = "store://user:secret@bucket"
    assert numbers(f"{url}/a.parquet?region=x") == [1]
    assert asked == [f"{url}/a.parquet?region=x"]
    assert numbers(url) == [1, 0, 2]
    assert numbers(f"{url}/deep/**/*.parquet?region=x") == [2]
    assert numbers([url, f"{url}/[a]*"]) == [1, 0, 2, 1]
    ipc_file(exports / "x.arrow", pa.table({"n": range(5)}), 2)
    assert numbers(f"{url}/x.arrow") == [0, 1, 2, 3, 4]
    with open_source(f"{url}/x.arrow") as opened:
        assert {batch.origin for batch in opened.batches()} == {"store://bucket/x.arrow"}
    assert refusal(f"{url}/none.parquet") == "store://bucket/none.parquet: no such file or directory"
    assert refusal(f"{url}/*.csv?key=hidden") == "store://bucket/*.csv: no file matches the pattern"


def test_a_source_named_twice_is_read_twice(exports):
    """The same file twice gives its rows twice, as a list or through two names."""
    a = exports / "a.parquet"
    assert numbers([a, a, exports]) == [1, 1, 1, 0, 2]
    assert numbers(str(path) for path in (a, a)) == [1, 1]


def test_a_file_whose_name_is_a_pattern_is_that_file(tmp_path):
    """A path that exists is read as it is, whatever characters are in it."""
    path = parquet(tmp_path / "a[1]*.parquet")
    (tmp_path / "a1x.parquet").touch()
    assert rows_of(path) == ROWS


def test_content_tells_what_a_name_does_not(tmp_path):
    """A file without a known extension is read by its first bytes; where they do not tell, the formats are listed."""
    paths = [parquet(tmp_path / "p"), ipc_file(tmp_path / "f.bin", TABLE), ipc_stream(tmp_path / "s.2024", TABLE)]
    for path in paths:
        assert rows_of(path) == ROWS
    (tmp_path / "t.txt").write_text("id\n1\n")
    assert "it begins with b'id\\n1\\n'); name it with input_format" in refusal(tmp_path / "t.txt")
    (tmp_path / "e").touch()
    assert "(it is empty)" in refusal(tmp_path / "e")


def test_wrong_paths_are_named_with_the_nearest(tmp_path):
    """Missing files, directories without files, bad URLs and unreadable files are one line each, naming the path."""
    parquet(tmp_path / "orders.parquet")
    text = refusal(tmp_path / "ordrs.parquet")
    assert text == f"{tmp_path}/ordrs.parquet: no such file or directory; did you mean {tmp_path}/orders.parquet?"
    assert "nor is there a directory" in refusal(tmp_path / "nowhere" / "a.parquet")
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "_x").touch()
    assert "the directory has no file to read" in refusal(tmp_path / "none")
    assert refusal(f"{tmp_path}/*.csv") == f"{tmp_path}/*.csv: no file matches the pattern"
    assert "an empty path" in refusal("")
    assert refusal("nope://user:secret@host/x?key=hidden").startswith("nope://host/x: cannot be opened: ")
    assert not {"secret", "hidden"} & set(refusal("nope://user:secret@host/x?key=hidden").replace(":", " ").split())


def test_columns_in_directory_names_are_not_dropped_silently(tmp_path):
    """A Hive-partitioned directory is refused, since the columns in its directory names would be left out."""
    (tmp_path / "d" / "day=1").mkdir(parents=True)
    parquet(tmp_path / "d" / "day=1" / "a.parquet")
    assert 'the directory name "day=1" holds a column' in refusal(tmp_path / "d")
    dataset = ds.dataset(tmp_path / "d", partitioning="hive")
    assert rows_of(dataset.to_batches()) == [{**row, "day": 1} for row in ROWS]
    assert rows_of(tmp_path / "d" / "day=1") == ROWS


READ_STDIN = (
    "import sys\n"
    "from penstock.source import open_source\n"
    "from penstock.errors import SourceError\n"
    "try:\n"
    "    with open_source(sys.argv[1:-1], input_format=sys.argv[-1] or None) as s:\n"
    "        print([row for b in s.batches() for p in b.pieces() for row in p.to_pylist()])\n"
    "except SourceError as error:\n"
    "    print(error)\n"
)


def read_stdin(content: bytes, *arguments: str) -> str:
    command = [sys.executable, "-c", READ_STDIN, *(arguments or ("-", ""))]
    ran = subprocess.run(command, input=content, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr.decode()
    return ran.stdout.decode().strip()


def test_standard_input_is_an_ipc_stream(tmp_path):
    """'-' reads an Arrow IPC stream, an IPC file, or CSV if told so, from standard input; Parquet needs a file."""
    assert read_stdin(ipc_stream(tmp_path / "a", TABLE, 2).read_bytes()) == str(ROWS)
    assert read_stdin(ipc_file(tmp_path / "b", TABLE, 2).read_bytes()) == str(ROWS)
    assert read_stdin(b"id\n1\n", "-", "csv") == "[{'id': 1}]"
    assert read_stdin(b"", "-", "parquet").startswith("standard input: Parquet cannot be read from a pipe")
    assert read_stdin(b"").startswith("standard input: is empty, an Arrow stream has its columns at least")
    assert read_stdin(b"id\n1\n").startswith("standard input: cannot be read as Arrow IPC: ")
    assert read_stdin(b"", "-", "-", "").startswith("standard input: a pipe can be read only once")


def test_a_named_pipe_is_read_once(tmp_path):
    """A named pipe, or a shell's <(…), is read as a stream, after the files before it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = ipc_stream(tmp_path / "a.arrows", TABLE).read_bytes()
    feeder = threading.Thread(target=pipe.write_bytes, args=(content,))
    feeder.start()
    try:
        assert rows_of([parquet(tmp_path / "a.parquet"), pipe]) == ROWS * 2
    finally:
        feeder.join()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - iterdir() would open one more while it counts


def test_files_are_closed(tmp_path):
    """Leaving the block, half-way or at an error, leaves no descriptor open."""
    paths = [
        parquet(tmp_path / "a.parquet"),
        ipc_file(tmp_path / "b.arrow", TABLE),
        ipc_stream(tmp_path / "c.arrow", TABLE),
    ]
    open_before = descriptors()
    for path in paths:
        with open_source(path) as opened:
            for batch in opened.batches():
                assert list(batch.pieces())
                break
        with open_source([path, *paths]) as opened:
            rows_in(opened)
        opened = open_source(path)
        reading = opened.batches()
        next(reading)
        opened.close()
        del opened, reading, batch
    broken = tmp_path / "d.parquet"
    broken.write_bytes(b"PAR1")
    for path in paths:
        with pytest.raises(SourceError):
            open_source([path, broken])
    assert descriptors() == open_before


def test_batches_compare_by_what_they_are():
    """A Batch is a plain frozen record: its schema, origin and first row."""
    (batch,) = open_source(TABLE.to_batches()[0]).batches()
    assert batch == Batch(SCHEMA, "batch", 0, lambda: iter(()))
    with pytest.raises(AttributeError):
        batch.origin = "other"


def test_a_column_that_is_missing_has_the_type_of_the_file(tmp_path):
    """Whether a Parquet column is read as a dictionary is our choice; the user's type is string."""
    pq.write_table(pa.table({"id": range(1000), "note": ["a", "b"] * 500}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"id": range(1000)}), tmp_path / "b.parquet")
    assert "a.parquet has it as string; select" in refusal(
        [tmp_path / "a.parquet", tmp_path / "b.parquet"], SchemaError
    )
