"""An encoder of your own with orjson: upserts for a compacted topic, keyed by the first column.

    penstock write orders.parquet --topic orders --weight-column w \
        --format '{"name": "python", "config": {"encoder": "encode_orjson:encode"}}'

The folder of this file must be on PYTHONPATH. The function is called in the worker processes with the rows of one
partition, up to 65,536 at a time; penstock.formats.plugin says what it may return.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa


def encode(batch: pa.RecordBatch, changes: pa.DictionaryArray) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield one message a row: the first column as the key, the row as a JSON object, a null value for a delete."""
    keys = batch.column(0).to_pylist()
    for key, row, change in zip(keys, batch.to_pylist(), changes.to_pylist(), strict=True):
        # orjson knows dates, times and UUIDs; decimals become text, so that no digit is lost.
        value = None if change == "delete" else orjson.dumps(row, default=str)
        yield orjson.dumps(key, default=str), value
