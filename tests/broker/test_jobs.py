"""Jobs by name on a real Kafka: what they refuse when they go on, and at least once, which counts its repeats."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    NewPartitions,
    ResourcePatternType,
    ResourceType,
)

import penstock
from broker import Broker
from deaths import kill_worker, strike
from fix_broker import Kafka
from fix_jobs import Lives
from job_program import batches, table
from penstock.errors import ConfigError, ConnectError, SourceError
from readback import read_topic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from secure_broker import SecureBroker

ROWS = 6_000
KEY: dict[str, Any] = {"key": "key", "key_format": "json"}
EVERY: dict[str, Any] = {"epoch_rows": 1000, "epoch_secs": 5}


@pytest.fixture(params=["exactly_once", "at_least_once"])
def delivery(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# --- at least once ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_at_least_once_goes_on(seed: int, lives: Callable[..., Lives]) -> None:
    """Killed and run again: no row is missing, and there are no more repeats than the receipts allow for."""
    rng = random.Random(seed)
    job, possible = lives(), 0
    data = {"shape": "plain", "rows": ROWS, "largest": 300}
    for life in range(3):
        last = life == 2
        die = None if last else (rng.choice(["Commit", "Committed", "Ack", "Deal"]), rng.randint(3, 12), True)
        answer = job.life(data, die=die, delivery="at_least_once", workers=rng.choice([0, 1, 2]), **EVERY, **KEY)
        if answer is not None:
            assert "error" not in answer, answer
            possible = max(possible, answer["job"]["possible_repeats"])
    assert answer is not None
    counts = Counter(job.ids())
    assert sorted(counts) == list(range(ROWS))
    assert answer["job"]["total_rows"] == ROWS
    assert answer["rows"] + answer["resumed_rows"] == ROWS
    if job.kills == 1:
        assert sum(counts.values()) - ROWS <= possible


def test_the_overlap_is_counted(lives: Callable[..., Lives]) -> None:
    """What was acknowledged and not recorded when it was killed is counted by the run that sends it again."""
    job = lives()
    data = {"shape": "plain", "rows": ROWS, "largest": 300}
    job.life(data, die=("Commit", 2, False), delivery="at_least_once", **EVERY, **KEY)
    assert job.kills == 1
    before = len(job.messages())
    answer = job.life(data, delivery="at_least_once", **EVERY, **KEY)
    assert answer is not None
    repeats = len(job.messages()) - ROWS
    assert repeats == before - answer["resumed_rows"] > 0
    assert answer["job"]["possible_repeats"] == repeats


def test_a_worker_dies_at_least_once(lives: Callable[..., Lives], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also as it records: the job goes on, all is recorded, and done again there is nothing to do."""
    job = lives()
    strike(monkeypatch.setattr, "Commit", 2, kill_worker, behind=True, times=2)
    report = job.write(batches("plain", ROWS, largest=300), delivery="at_least_once", **EVERY, **KEY)
    assert (report.rows, report.failed_rows, report.unknown_rows) == (ROWS, 0, 0)
    assert report.restarts >= 1
    assert report.job is not None
    assert (report.job.total_rows, report.job.finished) == (ROWS, True)
    assert len(job.ids()) - ROWS <= report.resent_rows
    again = job.write(batches("plain", ROWS, largest=300), delivery="at_least_once", **EVERY, **KEY)
    assert (again.rows, again.resumed_rows) == (0, ROWS)


# --- going on otherwise than it began ---------------------------------------------------------------------------------


def test_refusals(delivery: str, lives: Callable[..., Lives], new_topic: Callable[..., str]) -> None:
    """Another topic, delivery, format, key, or number of lanes: one sentence says both, and nothing is sent."""
    job = lives()
    job.write(table("plain", 100), delivery=delivery, **KEY)
    others: list[tuple[dict[str, Any], str]] = [
        ({"topic": new_topic()}, f"began with topic={job.topic}, it is "),
        ({"key": "id"}, "began with another format, key or partitioning than now"),
        ({"format": "csv"}, "began with another format, key or partitioning than now"),
        (
            {"delivery": "at_least_once" if delivery == "exactly_once" else "exactly_once"},
            f"began with delivery={delivery}, it is ",
        ),
    ]
    if delivery == "exactly_once":
        others.append(({"lanes": 3}, "began with lanes=4, it is 3 now"))
    for settings, sentence in others:
        with pytest.raises(ConfigError) as refused:
            job.write(table("plain", 200), **{"delivery": delivery, **KEY, **settings})
        assert str(refused.value).startswith(f'job "{job.job}" {sentence}'), refused.value
        assert "restart" in str(refused.value)
    assert job.ids() == list(range(100))
    report = job.write(table("plain", 200), delivery=delivery, workers=0, **KEY)
    assert (report.rows, report.resumed_rows) == (100, 100)


def test_a_topic_that_grew(delivery: str, lives: Callable[..., Lives]) -> None:
    """With more partitions than it began with rows would change their places: refused, until it starts over."""
    job = lives(2)
    job.write(table("plain", 100), delivery=delivery, **KEY)
    job.kafka.admin.create_partitions([NewPartitions(job.topic, 5)])[job.topic].result(20)
    time.sleep(0.5)
    with pytest.raises(ConfigError, match=r"began with partitions=2, it is 5 now"):
        job.write(table("plain", 200), delivery=delivery, **KEY)
    report = job.write(table("plain", 200), delivery=delivery, restart=True, **KEY)
    assert (report.rows, report.resumed_rows) == (200, 0)


def test_starting_over(delivery: str, lives: Callable[..., Lives]) -> None:
    """restart delivers everything again, with other lanes and another key if they are given; and is gone on with."""
    job = lives()
    more: dict[str, Any] = {"lanes": 5} if delivery == "exactly_once" else {}
    job.write(table("plain", 100), delivery=delivery, **more, **KEY)
    if more:
        more = {"lanes": 2}
    report = job.write(table("plain", 150), delivery=delivery, restart=True, key="id", **more)
    assert (report.rows, report.resumed_rows) == (150, 0)
    again = job.write(table("plain", 160), delivery=delivery, key="id")
    assert (again.rows, again.resumed_rows) == (10, 150)
    assert job.ids() == sorted([*range(100), *range(160)])


def test_starting_over_after_a_kill(lives: Callable[..., Lives]) -> None:
    """Transactions of more lanes that it left open hide nothing: neither the new life nor readers wait for them."""
    job = lives(6)
    data = {"shape": "plain", "rows": ROWS, "largest": 300}
    job.life(data, die=("Ack", 18, True), lanes=6, workers=2, **EVERY, **KEY)
    assert job.kills == 1
    before = len(job.messages(isolation="read_uncommitted"))
    began = time.monotonic()
    report = job.write(batches(**data), restart=True, lanes=2, **EVERY, **KEY)
    assert time.monotonic() - began < 20
    assert report.rows == ROWS
    assert before > 0
    assert set(job.ids()) == set(range(ROWS))
    assert time.monotonic() - began < 30


def test_files(delivery: str, lives: Callable[..., Lives], tmp_path: Path) -> None:
    """Files added at the end of a folder are gone on with; one that has changed is refused by name."""
    job = lives()
    for number in range(2):
        pq.write_table(table("plain", 300).slice(number * 100, 100), tmp_path / f"{number}.parquet")
    settings: dict[str, Any] = {"delivery": delivery, **KEY}
    assert job.write(str(tmp_path), **settings).rows == 200
    done = job.write(str(tmp_path), **settings)
    assert (done.rows, done.messages) == (0, 0)
    assert done.job is not None
    assert (done.job.total_rows, done.job.resumed_from, done.job.finished) == (200, 200, True)
    pq.write_table(table("plain", 300).slice(200, 100), tmp_path / "2.parquet")
    more = job.write(str(tmp_path), **settings)
    assert more.rows == 100
    assert more.job is not None
    assert more.job.total_rows == 300
    assert job.ids() == list(range(300))
    shutil.copy(tmp_path / "0.parquet", tmp_path / "1.parquet")
    with pytest.raises(SourceError, match=r"2\.parquet: the 2 files before it changed"):
        job.write(str(tmp_path), **settings)
    (tmp_path / "2.parquet").unlink()
    with pytest.raises(SourceError, match=r"2\.parquet"):
        job.write(str(tmp_path), **settings)
    assert job.ids() == list(range(300))


# --- brokers ----------------------------------------------------------------------------------------------------------


def test_rights(secure: SecureBroker, secure_topic: Callable[..., str], secure_kafka: Kafka) -> None:
    """Without that to read progress, or to use the transactional id, the sentence names it; nothing was sent."""
    topic, progress = secure_topic(), secure_topic()
    may_read = AclBinding(
        ResourceType.TOPIC, progress, ResourcePatternType.LITERAL, "User:alice", "*", AclOperation.READ,
        AclPermissionType.ALLOW,
    )  # fmt: skip
    options = secure.options("SASL_PLAINTEXT", "alice")
    servers = options.pop("bootstrap.servers")
    settings: dict[str, Any] = {
        "topic": topic, "bootstrap_servers": servers, "kafka_options": options, "delivery": "exactly_once",
        "progress_topic": progress, "lanes": 1,
    }  # fmt: skip
    with pytest.raises(ConnectError, match=f'topic "{progress}" on .* ask for an ACL that allows READ') as refused:
        penstock.write(table("plain", 10), job="alices", workers=0, **settings)
    secure_kafka.admin.create_acls([may_read])[may_read].result(20)
    for workers in (0, 1):
        with pytest.raises(ConnectError) as refused:
            penstock.write(table("plain", 10), job="bobs", workers=workers, **settings)
        assert 'transactional id "bobs-0"' in str(refused.value)
        assert "ACL" in str(refused.value)
        assert refused.value.code == "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"
    assert read_topic(secure_kafka.bootstrap_servers, topic).messages == []
    assert penstock.write(table("plain", 10), job="alices", workers=1, **settings).rows == 10


@pytest.mark.parametrize("workers", [0, 1])
def test_more_time_than_the_broker_gives(workers: int, lives: Callable[..., Lives]) -> None:
    """transaction.timeout.ms above transaction.max.timeout.ms: the sentence names both."""
    job = lives()
    options = {"transaction.timeout.ms": 2_000_000_000}
    with pytest.raises(
        ConfigError, match=r"give a transaction\.timeout\.ms of at most .*transaction\.max\.timeout\.ms"
    ):
        job.write(table("plain", 10), kafka_options=options, workers=workers)


@pytest.fixture
def own_broker(kafka: Kafka) -> Iterator[Broker]:  # noqa: ARG001 - left out with it
    """A broker that a test may stop for a while."""
    with Broker(auto_create=False, partitions=2, retention_bytes=64 << 20) as broker:
        yield broker


@pytest.mark.parametrize(("workers", "secs"), [(0, 4), (2, 4), (2, 9)])
def test_brokers_that_stand_still(workers: int, secs: int, own_broker: Broker) -> None:
    """For some seconds, longer than a transaction may take too: all is delivered afterwards, once."""
    servers = own_broker.bootstrap_servers
    Kafka(servers).create_topic("orders", 2)
    with penstock.open(
        topic="orders", bootstrap_servers=servers, job="still", delivery="exactly_once", workers=workers,
        epoch_secs=0.2, kafka_options={"socket.timeout.ms": 2000, "transaction.timeout.ms": 6000}, **KEY,
    ) as writer:  # fmt: skip
        writer.write(table("plain", ROWS).slice(0, 1000))
        writer.flush()
        os.kill(own_broker.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            for start in range(1000, 3000, 100):
                writer.write(table("plain", ROWS).slice(start, 100))
                time.sleep(0.1)
            time.sleep(max(0, secs - (time.monotonic() - began)))
        finally:
            os.kill(own_broker.pid, signal.SIGCONT)
        writer.write(table("plain", ROWS).slice(3000))
        report = writer.flush()
    assert (report.rows, report.failed_rows, report.unknown_rows) == (ROWS, 0, 0)
    job = Lives(Kafka(servers), "orders", "penstock-progress", "")
    assert job.ids() == list(range(ROWS))
