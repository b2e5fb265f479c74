"""What a writer does about its topic: has it made where it may, and keeps to its limit."""

from __future__ import annotations

import bisect
import logging
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import ConfigResource

import penstock
from penstock.errors import EncodeError
from readback import read_topic, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fix_broker import Kafka
    from penstock._core import MockCluster
    from secure_broker import SecureBroker

LIMIT = 20_000  # of a topic, in bytes


@pytest.fixture
def unmade(secure_kafka: Kafka) -> Iterator[str]:
    """A name that no topic has; a topic of this name is gone after the test."""
    name = f"open.made.{uuid.uuid4().hex}"
    yield name
    secure_kafka.delete_topic(name)


def settings_of(kafka: Kafka, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    return {name: entry.value for name, entry in kafka.admin.describe_configs([resource])[resource].result(20).items()}


def test_create_topic(secure: SecureBroker, secure_kafka: Kafka, unmade: str) -> None:
    """The topic is made with its partitions and settings; of two clients at once both go on, and both rows arrive."""
    wanted = {"partitions": 3, "replication_factor": 1, "config": {"max.message.bytes": "50000"}}

    def write(number: int) -> int:
        rows, admin = pa.table({"id": [number]}), secure.options("SASL_SSL", "admin")
        return penstock.write(rows, topic=unmade, kafka_options=admin, create_topic=wanted, workers=0).rows

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(write, range(2))) == [1, 1]
    log = read_topic(secure_kafka.bootstrap_servers, unmade)
    assert sorted(row for message in log.messages for row in rows_of(message)) == [(0,), (1,)]
    assert len(log.watermarks) == 3
    assert settings_of(secure_kafka, unmade)["max.message.bytes"] == "50000"


def test_a_broker_that_makes_topics(mock: MockCluster) -> None:
    """Where the broker makes what is asked for, nothing is said and the row is written."""
    report = penstock.write(
        pa.table({"id": [1]}), topic="never.seen", bootstrap_servers=mock.bootstrap_servers, workers=0
    )
    assert report.rows == 1


# --- the topic's limit ---


def refused(kafka: Kafka, topic: str, value_bytes: int) -> bool:
    """Tell whether the broker refuses a value of this size, as another client sends it."""
    told: list[Any] = []
    producer = Producer(
        {"bootstrap.servers": kafka.bootstrap_servers, "message.max.bytes": 1_000_000, "compression.type": "none"}
    )
    producer.produce(topic, b"x" * value_bytes, on_delivery=lambda error, _: told.append(error))
    producer.flush(20)
    assert told[0] is None or told[0].name() == "MSG_SIZE_TOO_LARGE"
    return told[0] is not None


def test_the_limit_is_the_brokers(secure_kafka: Kafka, secure_topic: Callable[..., str]) -> None:
    """What the allowance of 128 bytes rests on: a value of the limit less 64 bytes is refused, less 72 is taken."""
    topic = secure_topic(max__message__bytes=str(LIMIT))
    assert refused(secure_kafka, topic, LIMIT - 64)
    assert not refused(secure_kafka, topic, LIMIT - 72)


def test_the_limit_is_told(
    secure: SecureBroker, secure_topic: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    """message.max.bytes is lowered to the topic's limit less 128 bytes, with a note."""
    topic = secure_topic(max__message__bytes=str(LIMIT))
    caplog.set_level(logging.INFO, "penstock")
    penstock.open(topic=topic, kafka_options=secure.options("SSL"), workers=0).close()
    assert f"message.max.bytes is lowered from 1000000 to {LIMIT - 128}" in caplog.text


@pytest.mark.parametrize(
    ("settings", "headers"),
    [({}, []), ({"key": ["k"]}, []), ({"key": ["k"]}, [{"key": "h", "value": "v" * 500}])],
    ids=["packed", "keyed", "with headers"],
)
def test_the_largest_row_is_accepted(
    settings: dict[str, Any],
    headers: list[dict[str, str]],
    secure: SecureBroker,
    secure_kafka: Kafka,
    secure_topic: Callable[..., str],
) -> None:
    """The largest row that penstock takes for the topic, the broker takes too; a larger one is an error of its row."""
    topic = secure_topic(max__message__bytes=str(LIMIT))
    options = {**secure.options("SSL"), "topic": topic, "headers": headers, "compression.type": "none"}

    def row(size: int) -> pa.Table:
        return pa.table({"k": ["0123456789" * 5], "v": ["x" * size]})

    def fits(size: int) -> bool:
        config = {"transport": {"name": "kafka_output", "config": {**options, "message.max.bytes": LIMIT - 128}}}
        try:
            return len(list(penstock.preview(row(size), config=config, **settings))) == 1
        except EncodeError:
            return False

    largest = bisect.bisect(range(LIMIT), 0, key=lambda size: not fits(size)) - 1
    assert largest > LIMIT - 1000
    config = {"transport": {"name": "kafka_output", "config": options}}
    assert penstock.write(row(largest), config=config, workers=0, **settings).rows == 1
    with pytest.raises(EncodeError):
        penstock.write(row(largest + 1), config=config, workers=0, **settings)
    (message,) = read_topic(secure_kafka.bootstrap_servers, topic).messages
    assert message.value is not None
    assert b"x" * largest in message.value
