"""Rows in memory for the comparison of encoders, as Arrow RecordBatches of 65,536 rows.

orders      the 8 columns of data.py, prices in cents
lineitem    TPC-H: 16 columns, of them 4 decimals, 3 dates and 5 string views (tpchgen-cli, scale 0.05)
plain       8 columns of 16 ASCII characters, 1000 values each
dictionary  the same values, dictionary-encoded
"""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import data

Sample = Literal["orders", "lineitem", "plain", "dictionary"]
ROWS = 2 * data.PIECE_ROWS
TEXT_COLUMNS, TEXT_VALUES, TEXT_BYTES = 8, 1000, 16


def batches(sample: Sample) -> list[pa.RecordBatch]:
    """Return ROWS rows."""
    if sample == "orders":
        return _pieces(pa.Table.from_batches(data.groups("cents", ROWS)))
    if sample == "lineitem":
        with pq.ParquetFile(lineitem()) as file:
            return _pieces(pa.Table.from_batches([next(file.iter_batches(batch_size=ROWS))]))
    return _pieces(_texts(encoded=sample == "dictionary"))


def _pieces(table: pa.Table) -> list[pa.RecordBatch]:
    pieces: list[pa.RecordBatch] = table.combine_chunks().to_batches(max_chunksize=data.PIECE_ROWS)
    return pieces


def lineitem() -> Path:
    """Return the Parquet file, made when it is not there."""
    data.CACHE.mkdir(parents=True, exist_ok=True)
    path = data.CACHE / "lineitem.parquet"
    if not path.exists():
        command = [str(Path(sysconfig.get_path("scripts"), "tpchgen-cli")), "parquet", "-s", "0.05"]
        subprocess.run([*command, "--tables=lineitem", f"--output-dir={data.CACHE}"], check=True, capture_output=True)
    return path


def _texts(*, encoded: bool) -> pa.Table:
    rng = np.random.default_rng(data.SEED)
    columns = {}
    for number in range(TEXT_COLUMNS):
        values = pa.array([rng.bytes(TEXT_BYTES // 2).hex() for _ in range(TEXT_VALUES)])
        places = pa.array(rng.integers(0, TEXT_VALUES, ROWS, dtype=np.int32))
        column = pa.DictionaryArray.from_arrays(places, values)
        columns[f"text{number}"] = column if encoded else column.dictionary_decode()
    return pa.table(columns)
