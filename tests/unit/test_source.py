"""source: what is in memory gives its rows in the order given, in bounded pieces of one schema, or one clear error."""

from __future__ import annotations

import os
import weakref

import duckdb
import nanoarrow
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.dataset as ds
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import ConfigError, SchemaError, SourceError
from penstock.source import ROWS_PER_PIECE, open_source
from penstock.source.batch import PIECE_BYTES
from source_rows import ROWS, SCHEMA, TABLE, ipc_file, ipc_stream, parquet, refusal, rows_in, rows_of, sizes

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
