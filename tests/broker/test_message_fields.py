"""Keys, headers, timestamps and topics in a real log, as kcat prints them."""

from __future__ import annotations

import subprocess
import uuid
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import penstock

if TYPE_CHECKING:
    from collections.abc import Callable

    from fix_broker import Kafka

MS = 1_700_000_000_000
# Lengths first, so that any bytes can follow: key, value (-1: null), timestamp, headers, end.
FORMAT = "%K %S %T %k%s|%h\x1e"


def printed(kcat: str, kafka: Kafka, topic: str) -> list[tuple[bytes | None, bytes | None, int, str]]:
    """Return what kcat prints of each message: key, value, timestamp, headers."""
    done = subprocess.run(
        [kcat, "-b", kafka.bootstrap_servers, "-C", "-e", "-q", "-t", topic, "-f", FORMAT],
        capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    found = []
    rest = done.stdout
    while rest:
        key_size, value_size, timestamp, rest = rest.split(b" ", 3)
        key = None if key_size == b"-1" else rest[: int(key_size)]
        rest = rest[max(int(key_size), 0) :]
        value = None if value_size == b"-1" else rest[: int(value_size)]
        headers, _, rest = rest[max(int(value_size), 0) :].partition(b"\x1e")
        found.append((key, value, int(timestamp), headers.removeprefix(b"|").decode()))
    return found


@pytest.mark.parametrize("workers", [0, 2])
def test_kcat_prints_keys_headers_and_timestamps(
    workers: int, kafka: Kafka, kcat: str, new_topic: Callable[..., str]
) -> None:
    """An ordinary consumer shows each row's key, its headers in their order, its timestamp, and a null value."""
    topic = new_topic(partitions=3, retention__ms="-1")  # its messages are years old
    ids = [uuid.UUID(int=n << 64 | 1) for n in range(300)]
    batch = pa.record_batch(
        {
            "id": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([one.bytes for one in ids], pa.binary(16))),
            "n": pa.array(range(300), pa.int32()),
            "at": pa.array([MS + n for n in range(300)], pa.timestamp("ms")),
            "h": pa.array([[("list", str(n)), ("none", None)] for n in range(300)], pa.map_("string", "string")),
            "region": pa.array([f"r{n % 3}" for n in range(300)]).dictionary_encode(),
            "v": [None if n % 10 == 0 else n / 2 for n in range(300)],
        }
    )
    report = penstock.write(
        batch, topic=topic, bootstrap_servers=kafka.bootstrap_servers, workers=workers, key=["id", "n"],
        key_format="big_endian", key_in_value=False, headers={"from": "test"}, headers_column="h",
        header_columns=["region"], timestamp_column="at", tombstone_column="v",
    )  # fmt: skip
    assert (report.rows, report.messages) == (300, 300)
    assert sorted(printed(kcat, kafka, topic), key=lambda message: message[2]) == [
        (
            one.bytes + n.to_bytes(4, "big"),
            None if n % 10 == 0 else b'{"insert":{"v":%s}}\n' % str(n / 2).encode(),
            MS + n,
            f"from=test,list={n},none=NULL,region=r{n % 3}",
        )
        for n, one in enumerate(ids)
    ]


def test_rows_in_several_topics(kafka: Kafka, kcat: str, new_topic: Callable[..., str]) -> None:
    """Each topic holds the rows that name it; topics of a pattern are met as they come."""
    topics = [new_topic(partitions=2) for _ in range(3)]
    rows = pa.record_batch({"to": [topics[n % 3] for n in range(90)], "k": [f"k{n % 7}" for n in range(90)]})
    for allowed, first in ((topics, None), ("^penstock[.]test[.].*", topics[0])):
        report = penstock.write(
            rows, topic=first, bootstrap_servers=kafka.bootstrap_servers, workers=2, key="k", key_format="string",
            topic_column="to", topics=allowed,
        )  # fmt: skip
        assert report.rows == 90
    for number, topic in enumerate(topics):
        keys = [key for key, _, _, _ in printed(kcat, kafka, topic)]
        expected = [b"k%d" % (n % 7) for n in range(90) if n % 3 == number] * 2
        assert sorted(key or b"" for key in keys) == sorted(expected)


def test_a_topic_of_the_list_that_is_missing(kafka: Kafka, new_topic: Callable[..., str]) -> None:
    """Opening fails and names the one of `topics` that the broker does not have."""
    there, missing = new_topic(), f"missing-{uuid.uuid4().hex}"
    with pytest.raises(penstock.ConnectError, match=missing):
        penstock.open(bootstrap_servers=kafka.bootstrap_servers, workers=1, topic_column="to", topics=[there, missing])


def test_a_topic_of_a_pattern_that_is_missing(kafka: Kafka, new_topic: Callable[..., str]) -> None:
    """A row of a topic that matches and is not there is not delivered; the error names it, the rest arrives."""
    there, missing = new_topic(), f"penstock.test.missing-{uuid.uuid4().hex}"
    rows = pa.record_batch({"to": [there, missing], "i": [1, 2]})
    with pytest.raises(penstock.DeliveryError, match=missing) as caught:
        penstock.write(
            rows, topic=there, bootstrap_servers=kafka.bootstrap_servers, workers=1, topic_column="to",
            topics="^penstock[.]test[.].*", kafka_options={"topic.metadata.propagation.max.ms": "500"},
        )  # fmt: skip
    assert (caught.value.acknowledged_rows, caught.value.failed_rows) == (1, 1)
