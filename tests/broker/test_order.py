"""Order per key in a real log, with more workers than one and more partitions than workers."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import penstock
from readback import read_topic, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from fix_broker import Kafka

ROWS = 200_000
KEYS = 500
PARTITIONS = 7
WORKERS = 3


@pytest.mark.parametrize("mode", ["key", "partition_by"])
def test_rows_of_a_key_keep_their_order_with_several_workers(
    mode: str, kafka: Kafka, new_topic: Callable[..., str]
) -> None:
    """Across batches of uneven size, several workers and a skewed choice of keys, no row overtakes one of its key."""
    topic = new_topic(partitions=PARTITIONS)
    seeded = random.Random(13)
    customers = [min(int(seeded.expovariate(0.02)), KEYS - 1) for _ in range(ROWS)]
    table = pa.table({"customer": customers, "sequence": pa.array(range(ROWS), pa.int64())})
    with penstock.open(
        topic=topic,
        bootstrap_servers=kafka.bootstrap_servers,
        schema=table.schema,
        workers=WORKERS,
        memory_bytes=64 << 20,
        **{mode: ["customer"]},
    ) as writer:
        start = 0
        while start < ROWS:
            size = seeded.choice([1, 10, 1_000, 30_000])
            writer.write(table.slice(start, size).combine_chunks())
            start += size
        report = writer.flush()
    assert report.rows == ROWS

    log = read_topic(kafka.bootstrap_servers, topic)
    sequences: dict[int, list[int]] = defaultdict(list)
    homes: dict[int, set[int]] = defaultdict(set)
    for message in log.messages:
        for customer, sequence in rows_of(message):
            sequences[customer].append(sequence)
            homes[customer].add(message.partition)
    expected: dict[int, list[int]] = defaultdict(list)
    for sequence, customer in enumerate(customers):
        expected[customer].append(sequence)
    assert sequences == expected
    assert all(len(partitions) == 1 for partitions in homes.values())
    assert {partition for partitions in homes.values() for partition in partitions} == set(range(PARTITIONS))


def test_deletes_and_inserts_of_a_log_keep_their_order(kafka: Kafka, new_topic: Callable[..., str]) -> None:
    """With an op column the messages of a key are its changes in the order given: the log replays to the same table."""
    topic = new_topic(partitions=4)
    seeded = random.Random(14)
    ops = [seeded.choice(["I", "U", "D", "+I", "-U", "+U", "-D", "upsert", "delete"]) for _ in range(20_000)]
    keys = [seeded.randrange(50) for _ in ops]
    table = pa.table({"op": ops, "id": keys, "sequence": pa.array(range(len(ops)), pa.int64())})
    report = penstock.write(
        table,
        topic=topic,
        bootstrap_servers=kafka.bootstrap_servers,
        workers=2,
        op_column="op",
        key=["id"],
    )
    assert report.rows == len(ops)
    changes: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for message in read_topic(kafka.bootstrap_servers, topic).messages:
        assert message.value is not None
        ((event, row),) = json.loads(message.value).items()
        assert list(row) == ["id", "sequence"]
        changes[row["id"]].append((event, row["sequence"]))
    expected: dict[int, list[tuple[str, int]]] = defaultdict(list)
    deletes = {"D", "-U", "-D", "delete"}
    for sequence, (op, key) in enumerate(zip(ops, keys, strict=True)):
        expected[key].append(("delete" if op in deletes else "insert", sequence))
    assert changes == expected
