"""An encoder of your own with msgspec: many rows a message, as lines of JSON.

    penstock write orders.parquet --topic orders \
        --format '{"name": "python", "config": {"encoder": "encode_msgspec:encode"}}'

The folder of this file must be on PYTHONPATH. Messages of many rows cost a broker and its clients a fraction of what
as many messages of one row do; the rows are shared out evenly, which is how penstock counts them when a message fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

ROWS_PER_MESSAGE = 500

_encoder = msgspec.json.Encoder(decimal_format="number")


def encode(batch: pa.RecordBatch) -> Iterator[bytes]:
    """Yield messages of at most ROWS_PER_MESSAGE rows, each row a JSON object on a line of its own."""
    messages = -(-batch.num_rows // ROWS_PER_MESSAGE)
    for at in range(messages):
        first, end = at * batch.num_rows // messages, (at + 1) * batch.num_rows // messages
        yield _encoder.encode_lines(batch.slice(first, end - first).to_pylist())
