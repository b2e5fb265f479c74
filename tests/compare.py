"""The core beside the oracle: the same batches and settings given to both."""

from __future__ import annotations

import pyarrow as pa
import pytest

import oracles
import penstock
from oracles import NoForm, Packing


def stream(batches: list[pa.RecordBatch]) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(batches[0].schema, batches)


def sent(batches: list[pa.RecordBatch], packing: Packing) -> list[tuple[int, bytes | None, bytes]]:
    messages = list(penstock.preview(stream(batches), **packing.settings()))
    assert all(m.topic == "t" and m.partition is None and m.headers == () for m in messages)
    return [(m.batch, m.key, m.value) for m in messages]


def check(batches: list[pa.RecordBatch], packing: Packing) -> list[tuple[int, bytes | None, bytes]]:
    """Assert that the core sends what the oracle sends, or refuses what it refuses; return the messages."""
    try:
        expected = oracles.messages(batches, packing)
    except NoForm:
        with pytest.raises(penstock.EncodeError):
            sent(batches, packing)
        return []
    messages = sent(batches, packing)
    assert messages == expected
    return messages
