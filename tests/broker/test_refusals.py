"""What a real broker refuses: each is one sentence, one exit code, exact counts, and an end in time."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import uuid
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import broker as broker_tool
import penstock
from readback import multiset, read_topic, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fix_broker import Kafka


@pytest.fixture
def small_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.parquet"
    pq.write_table(pa.table({"id": list(range(10))}), path)
    return path


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port where nobody listens and nobody will: bound, never listening."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def run_write(command: str, source: Path, topic: str, brokers: str, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [command, "write", str(source), "--topic", topic, "--bootstrap-servers", brokers, *more],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def error_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line of stderr that says what went wrong; a traceback is not an answer."""
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert lines, "nothing was said"
    return lines[-1]


def test_topic_that_does_not_exist_is_named(kafka: Kafka, small_file: Path, penstock_command: str) -> None:
    """Where the broker makes no topic, penstock gives up after 5 s with exit code 4 and the topic's name."""
    if kafka.setting("auto.create.topics.enable") == "true":
        pytest.skip("the running broker makes every topic that is asked for")
    topic = f"penstock.missing.{uuid.uuid4().hex}"
    began = time.monotonic()
    done = run_write(penstock_command, small_file, topic, kafka.bootstrap_servers)
    assert done.returncode == 4
    assert topic in error_line(done)
    assert 4 < time.monotonic() - began < 12
    assert not kafka.topic_exists(topic)
    with pytest.raises(penstock.errors.ConnectError, match=topic):
        penstock.write(small_file, topic=topic, bootstrap_servers=kafka.bootstrap_servers)


@pytest.mark.usefixtures("kafka")
def test_topic_is_made_where_the_broker_makes_topics(small_file: Path) -> None:
    """A broker with automatic creation gets the topic asked for, with its own number of partitions, and all rows."""
    if os.environ.get("PENSTOCK_TEST_BROKERS"):
        pytest.skip("needs a broker of its own")
    with broker_tool.Broker(partitions=5, auto_create=True) as broker:
        report = penstock.write(small_file, topic="made.on.demand", bootstrap_servers=broker.bootstrap_servers)
        log = read_topic(broker.bootstrap_servers, "made.on.demand")
    assert report.rows == 10
    assert len(log.watermarks) == 5
    assert multiset(row for m in log.messages for row in rows_of(m)) == multiset((n,) for n in range(10))


def test_broker_that_is_not_there_is_named(small_file: Path, penstock_command: str, closed_port: int) -> None:
    """No broker: exit code 4 within the initialization timeout, with the broker's address and the topic."""
    began = time.monotonic()
    done = run_write(
        penstock_command, small_file, "orders", f"127.0.0.1:{closed_port}", "--initialization-timeout-secs", "3"
    )
    took = time.monotonic() - began
    assert done.returncode == 4
    line = error_line(done)
    assert f"127.0.0.1:{closed_port}" in line
    assert "orders" in line
    assert took < 6
    with pytest.raises(penstock.errors.ConnectError, match=f"127.0.0.1:{closed_port}"):
        penstock.open(
            topic="orders", bootstrap_servers=f"127.0.0.1:{closed_port}", initialization_timeout_secs=1, workers=1
        )


@pytest.mark.parametrize("workers", [0, 2])
def test_message_larger_than_the_broker_allows(kafka: Kafka, new_topic: Callable[..., str], workers: int) -> None:
    """Messages that the topic refuses are counted as failed, those it took as acknowledged; together all rows.

    Its limit is known from the start, so it takes somebody who lowers it meanwhile.
    """
    topic = new_topic(partitions=2)
    small = [{"id": n, "text": "x"} for n in range(1_000)]
    large = [{"id": 1_000 + n, "text": os.urandom(60_000).hex()} for n in range(4)]
    schema = pa.schema([("id", pa.int64()), ("text", pa.string())])
    writer = penstock.open(
        topic=topic,
        bootstrap_servers=kafka.bootstrap_servers,
        schema=schema,
        workers=workers,
        kafka_options={"compression.type": "none", "linger.ms": "0"},
    )
    with pytest.raises(penstock.errors.DeliveryError) as raised, writer:
        writer.write(pa.RecordBatch.from_pylist(small, schema))
        assert writer.flush().rows == 1_000
        kafka.alter_topic(topic, max__message__bytes="100000")
        writer.write(pa.RecordBatch.from_pylist(large, schema))
    error = raised.value
    assert (error.acknowledged_rows, error.failed_rows, error.unknown_rows) == (1_000, 4, 0)
    assert error.code == "MSG_SIZE_TOO_LARGE"
    assert topic in str(error)
    report = error.report
    assert report is not None
    assert (report.rows, report.failed_rows, report.unknown_rows) == (1_000, 4, 0)
    assert [(e.name, e.rows) for e in report.errors] == [("MSG_SIZE_TOO_LARGE", 4)]
    received = [row for m in read_topic(kafka.bootstrap_servers, topic).messages for row in rows_of(m)]
    assert multiset(received) == multiset((row["id"], row["text"]) for row in small)


def test_row_larger_than_the_limit_is_named(kafka: Kafka, new_topic: Callable[..., str]) -> None:
    """A row above message.max.bytes is an EncodeError with its number; rows before it keep their fate in the report."""
    topic = new_topic(partitions=1)
    table = pa.table({"id": [1, 2, 3], "text": ["a", "b" * 2_000_000, "c"]})
    with pytest.raises(penstock.errors.EncodeError, match=r"\b1\b") as raised:
        penstock.write(table, topic=topic, bootstrap_servers=kafka.bootstrap_servers, workers=1)
    assert raised.value.row == 1
    log = read_topic(kafka.bootstrap_servers, topic)
    sent = sum(len(rows_of(message)) for message in log.messages)
    assert raised.value.report is None or raised.value.report.rows == sent
    assert sent < 3
