"""What a preview cannot show: a batch above 65536 rows is cut into chunks, and each chunk is packed for itself."""

from __future__ import annotations

import pyarrow as pa
import pytest

import oracles
import penstock
from oracles import Packing
from readback import read_topic

SETTINGS = {"workers": 0, "initialization_timeout_secs": 20}


def written(mock, topic: str, batches: list[pa.RecordBatch], packing: Packing) -> list[tuple[bytes | None, bytes]]:
    """Write the batches to a new topic of one partition; return key and value of its messages in their order."""
    mock.create_topic(topic, 1)
    report = penstock.write(batches, bootstrap_servers=mock.bootstrap_servers, **SETTINGS, **packing.settings(topic))
    log = read_topic(mock.bootstrap_servers, topic)
    messages = [(message.key, message.value) for message in log.messages]
    assert (report.messages, report.failed_rows, report.unknown_rows) == (len(messages), 0, 0)
    return messages


def expected(batches: list[pa.RecordBatch], packing: Packing) -> list[tuple[bytes | None, bytes]]:
    made = oracles.messages(batches, packing, rows_per_chunk=oracles.ROWS_PER_CHUNK)
    return [(key, value) for _, key, value in made]


@pytest.mark.parametrize("array", [False, True])
def test_a_message_never_spans_two_chunks(mock, array):
    """Messages end where a chunk or a batch ends, and nowhere else than by count."""
    batch = pa.record_batch({"i": pa.array(range(70_000), pa.int32())})
    packing = Packing(records=10_000, array=array)
    messages = written(mock, "chunks", [batch, batch.slice(0, 5)], packing)
    counts = [len(oracles.split_value(value, array=array)) for _, value in messages]
    assert counts == [10_000] * 6 + [5_536, 4_464, 5]
    assert messages == expected([batch, batch.slice(0, 5)], packing)


def test_deletes_of_all_chunks_come_first(mock):
    """In a long batch the deletes of every chunk go before the inserts of the first, each chunk packed for itself."""
    rows = 70_000
    batch = pa.record_batch({"i": range(rows), "w": pa.array([(-1, 1, 0, 2)[i % 4] for i in range(rows)], pa.int8())})
    packing = Packing(weight="w", records=20_000)
    messages = written(mock, "passes", [batch], packing)
    assert messages == expected([batch], packing)
    verbs = [line[2:8] for _, value in messages for line in value[:-1].split(b"\n")]
    assert verbs == [b"delete"] * (rows // 4) + [b"insert"] * (rows // 4 * 3)


def test_keys_across_chunks(mock):
    """Keyed rows of a long batch are one message each, in the order given."""
    rows = 66_000
    batch = pa.record_batch({"k": pa.array([i % 7 for i in range(rows)], pa.int8())})
    packing = Packing(key=("k",))
    assert written(mock, "keyed", [batch], packing) == expected([batch], packing)
