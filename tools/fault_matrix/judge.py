"""What an ordinary consumer finds in a topic, held against what the job says was acknowledged.

Reading is confluent-kafka's consumer, hashing PyPI's xxhash: nothing here is penstock's but the rows that it made.
"""

from __future__ import annotations

import json
import struct
import time
import uuid
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import xxhash
from confluent_kafka import Consumer, KafkaError, TopicPartition

from fault_matrix.rows import is_ours

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MODULUS: Final = 1 << 64


@dataclass(frozen=True)
class Message:
    """One record of the topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True)
class Verdict:
    """What was found.

    missing     rows that were acknowledged and are not there, or not as they were written
    repeats     rows that are there once more
    disordered  rows that came for the first time after a later one of their key
    rows        different ones
    """

    missing: int
    repeats: int
    disordered: int
    rows: int


def read(bootstrap: str, topic: str, *, committed: bool, timeout_secs: float = 120) -> list[Message]:
    """Read every partition to its end: its high watermark, so an open transaction is waited for.

    committed   as a reader with isolation.level read_committed sees it; else with what was aborted or is open
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"judge-{uuid.uuid4().hex}",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "isolation.level": "read_committed" if committed else "read_uncommitted",
            "fetch.message.max.bytes": 8 << 20,
            "log_level": 0,
        }
    )
    messages: list[Message] = []
    try:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=30)[1] for p in partitions}
        left = {p for p, end in ends.items() if end > 0}
        consumer.assign([TopicPartition(topic, p, 0) for p in left])
        deadline = time.monotonic() + timeout_secs
        while left:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{topic}: partitions {sorted(left)} were not read to their ends, {ends}")
            for one in consumer.consume(10_000, timeout=0.2):
                error = one.error()
                if error is None:
                    messages.append(Message(one.partition(), one.offset(), one.key(), one.value()))
                elif error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                    continue  # a broker that is gone: the consumer goes on by itself
            # The last record may be one that no reader sees, the end of a transaction: positions count it too.
            for at in consumer.position([TopicPartition(topic, p) for p in left]):
                if at.offset >= ends[at.partition]:
                    left.discard(at.partition)
    finally:
        consumer.close()
    messages.sort(key=lambda one: (one.partition, one.offset))
    return messages


def judge(
    messages: Iterable[Message],
    *,
    written: int | None = None,
    acknowledged: int = 0,
    runs: Mapping[int, Iterable[tuple[int, int, int, str]]] | None = None,
) -> Verdict:
    """Compare.

    written       rows 0 to written - 1 were acknowledged, all of them
    acknowledged  so many rows were, whichever
    runs          those of the receipt's audit, by partition
    """
    by_partition: dict[int, list[Message]] = {}
    seen: set[int] = set()
    last: dict[int, int] = {}
    repeats = disordered = broken = 0
    for one in messages:
        by_partition.setdefault(one.partition, []).append(one)
        for row in _rows(one.value):
            if not is_ours(row):
                broken += 1
            elif row["id"] in seen:
                repeats += 1
            else:
                seen.add(row["id"])
                disordered += row["seq"] < last.get(row["key"], -1)
                last[row["key"]] = max(row["seq"], last.get(row["key"], -1))
    missing = max(0, acknowledged - len(seen))
    if written is not None:
        missing = max(missing, written - sum(number in seen for number in range(written)))
    lost = sum(_lost(by_partition.get(partition, []), told) for partition, told in (runs or {}).items())
    return Verdict(max(missing, lost) + broken, repeats, disordered, len(seen))


def _rows(value: bytes | None) -> list[dict[str, Any]]:
    return [json.loads(line)["insert"] for line in (value or b"").splitlines()]


def _lost(messages: list[Message], runs: Iterable[tuple[int, int, int, str]]) -> int:
    """Count the messages that a partition's runs name and that are not there; a wrong sum counts as one."""
    offsets = [one.offset for one in messages]
    lost = 0
    for first, last, count, total in runs:
        inside = messages[bisect_left(offsets, first) : bisect_right(offsets, last)]
        found = sum(_hash(one) for one in inside) % _MODULUS
        lost += max(count - len(inside), int(found != int(total, 16)))
    return lost


def _hash(one: Message) -> int:
    framed = b"".join(
        struct.pack("<i", -1) if part is None else struct.pack("<i", len(part)) + part for part in (one.key, one.value)
    )
    return int(xxhash.xxh64_intdigest(framed))
