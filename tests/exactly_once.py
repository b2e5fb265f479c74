"""An independent consumer: does a topic hold each row of a Parquet file once, for readers of committed messages?

    python tests/exactly_once.py lineitem.parquet --topic lineitem --bootstrap-servers localhost:9092

Messages are JSON lines of `{"insert": {…}}`, one or more in each. Rows are told apart by their columns l_orderkey and
l_linenumber (--key names others) and compared as a whole. Exit code 0: each row is there once; 1: it is not, and where.

Nothing of penstock is used: confluent_kafka reads the topic, pyarrow the file, the standard library compares.
"""

from __future__ import annotations

import argparse
import json
import sys
import uuid
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from confluent_kafka import Consumer, KafkaError, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SHOWN = 5
Key = tuple[Any, ...]


def messages(bootstrap_servers: str, topic: str) -> Iterator[bytes]:
    """Read all partitions from their beginnings to their ends, as of when each is reached."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers, "group.id": f"exactly-once-{uuid.uuid4().hex}",
            "isolation.level": "read_committed", "enable.auto.commit": False, "enable.partition.eof": True,
            "auto.offset.reset": "error",
        }
    )  # fmt: skip
    left = set(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, number, 0) for number in left])
    while left:
        for message in consumer.consume(10_000, timeout=1):
            error = message.error()
            if error is None:
                yield message.value()
            elif error.code() == KafkaError._PARTITION_EOF:
                left.discard(message.partition())
            else:
                raise SystemExit(f"{topic}: {error}")
    consumer.close()


def plain(value: object) -> object:
    """Return a value as JSON of the file's rows would have it."""
    return value if value is None or isinstance(value, (bool, int, float, str, Decimal)) else str(value)


def differences(path: str, topic: str, bootstrap_servers: str, key: Sequence[str]) -> list[str]:
    """Compare a topic with a file; [] where each row is there once."""
    expected: dict[Key, dict[str, object]] = {}
    for batch in pq.ParquetFile(path).iter_batches():
        for row in batch.to_pylist():
            expected[tuple(row[name] for name in key)] = {name: plain(value) for name, value in row.items()}
    seen: Counter[Key] = Counter()
    wrong: list[str] = []
    for value in messages(bootstrap_servers, topic):
        for line in value.splitlines():
            row = json.loads(line, parse_float=Decimal)["insert"]
            at = tuple(row[name] for name in key)
            seen[at] += 1
            if expected.get(at) != row:
                wrong.append(f"{at}: found {row}, expected {expected.get(at)}")
    wrong += [f"{at}: missing" for at in expected if at not in seen]
    wrong += [f"{at}: {count} times" for at, count in seen.items() if count > 1]
    return wrong


def main() -> int:
    """Compare, say what differs, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("--topic", required=True)
    parser.add_argument("--bootstrap-servers", required=True)
    parser.add_argument("--key", default="l_orderkey,l_linenumber")
    flags = parser.parse_args()
    wrong = differences(flags.file, flags.topic, flags.bootstrap_servers, flags.key.split(","))
    for line in wrong[:SHOWN]:
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"{len(wrong)} differences\n" if wrong else "each row exactly once\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
