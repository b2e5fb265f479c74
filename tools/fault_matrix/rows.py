"""The rows that every job of the matrix writes: each one says by its number what else is in it.

id     0, 1, 2, …
key    id % KEYS
seq    id // KEYS: counts up within a key
text   150 letters, one of TEXTS
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

KEYS: Final = 997
TEXTS: Final = [f"{number:02} " + "the same river twice, the same row once; " * 4 for number in range(64)]
TEXTS[:] = [text[:150] for text in TEXTS]
SCHEMA: Final = pa.schema([("id", pa.int64()), ("key", pa.int64()), ("seq", pa.int64()), ("text", pa.string())])
_POOL: Final = pa.array(TEXTS)


def batch(first: int, rows: int) -> pa.RecordBatch:
    """Return the rows from `first` on."""
    ids = range(first, first + rows)
    columns = [
        pa.array(ids, pa.int64()),
        pa.array([n % KEYS for n in ids], pa.int64()),
        pa.array([n // KEYS for n in ids], pa.int64()),
        _POOL.take(pa.array([n % len(TEXTS) for n in ids])),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def is_ours(row: dict[str, object]) -> bool:
    """Say whether a row is as it was written."""
    number = row["id"]
    return isinstance(number, int) and row == {
        "id": number,
        "key": number % KEYS,
        "seq": number // KEYS,
        "text": TEXTS[number % len(TEXTS)],
    }
