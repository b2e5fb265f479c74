"""What the tests of sources share: three rows, files of them, and what a source gives of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.errors import SourceError
from penstock.source import ROWS_PER_PIECE, Source, open_source
from penstock.source.batch import check_same_columns

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
