"""source: files of every format give their rows in bounded pieces; what is broken in one is named."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from penstock.errors import SchemaError, SourceError
from penstock.source import ROWS_PER_PIECE, open_source
from source_rows import ROWS, TABLE, ipc_file, ipc_stream, parquet, refusal, rows_of

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
