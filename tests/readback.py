"""What a consumer finds in a topic, in the form in which it can be compared with the source.

Reading is confluent-kafka's, an ordinary client; parsing is the standard library's json. Nothing of penstock is used.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from confluent_kafka import Consumer, KafkaError, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Iterable

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Received:
    """One message as the consumer got it."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True)
class Log:
    """All of a topic: messages by partition and offset, and the broker's watermarks by partition."""

    messages: list[Received]
    watermarks: dict[int, tuple[int, int]]


def read_topic(
    bootstrap_servers: str, topic: str, *, isolation: str = "read_committed", timeout_secs: float = 120
) -> Log:
    """Read every partition from its beginning to the end that it had when we asked.

    isolation  read_uncommitted shows what was aborted as well; read_committed waits for transactions that are open
    """
    settings = {
        "bootstrap.servers": bootstrap_servers,
        "group.id": f"readback-{uuid.uuid4().hex}",
        "enable.auto.commit": False,
        "enable.partition.eof": True,  # the marks at the end of a transaction are offsets without a message
        "auto.offset.reset": "error",  # an offset that is gone is a test that wrote too much, not an empty topic
        "log_level": 0,
    }
    consumer = Consumer({**settings, "isolation.level": "read_uncommitted"})
    try:
        partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
        watermarks = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=20) for p in partitions}
    finally:
        consumer.close()
    left = {p: high for p, (low, high) in watermarks.items() if high > low}
    consumer = Consumer({**settings, "isolation.level": isolation})
    try:
        consumer.assign([TopicPartition(topic, p, watermarks[p][0]) for p in left])
        messages: list[Received] = []
        deadline = time.monotonic() + timeout_secs
        while left:
            assert time.monotonic() < deadline, f"{topic}: partitions {left} were not read to their ends in time"
            for message in consumer.consume(10_000, timeout=0.1):
                partition, offset, error = message.partition(), message.offset(), message.error()
                if error is None:
                    messages.append(Received(partition, offset, message.key(), message.value()))
                    offset += 1
                else:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                if offset >= left.get(partition, 0):
                    left.pop(partition, None)
    finally:
        consumer.close()
    messages.sort(key=lambda one: (one.partition, one.offset))
    return Log(messages, watermarks)


def rows_of(message: Received, *, parse_float: type = float) -> list[Row]:
    """Parse a value of one or many `{"insert":{…}}` lines to the rows' values in column order."""
    assert message.value is not None
    assert message.value.endswith(b"\n")
    rows = []
    for line in message.value.decode().split("\n")[:-1]:
        event = json.loads(line, parse_float=parse_float)
        assert list(event) == ["insert"]
        rows.append(tuple(event["insert"].values()))
    return rows


def column_names(message: Received) -> list[str]:
    """Return the names of the first row, in order."""
    assert message.value is not None
    return list(json.loads(message.value.split(b"\n")[0])["insert"])


def expected_rows(table: pa.Table) -> list[Row]:
    """Return the source's rows as the JSON of the specification means them: dates as text, numbers as numbers."""
    return list(zip(*(_expected_column(column) for column in table.columns), strict=True))


def _expected_column(column: pa.ChunkedArray) -> list[Any]:
    values = column.to_pylist()
    if pa.types.is_date(column.type):
        return [None if value is None else value.isoformat() for value in values]
    simple = (int, float, str, bool, Decimal, type(None))
    assert all(isinstance(value, simple) for value in values), f"no rule here for {column.type}"
    return values


def multiset(rows: Iterable[Row]) -> Counter[Row]:
    """Count equal rows."""
    return Counter(rows)


def by_key(rows: Iterable[Row], columns: list[int]) -> dict[Row, list[Row]]:
    """Return the rows of each key, in the order given."""
    groups: dict[Row, list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[column] for column in columns)].append(row)
    return groups
