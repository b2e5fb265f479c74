"""The progress of jobs on a real Kafka: what is read amid transactions, and the commands about it."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import ConfigResource

from fix_secure import ways_in
from penstock.check import check
from penstock.cli import main
from penstock.cluster import before_first_row
from penstock.config import load
from penstock.errors import ConnectError
from penstock.progress import Progress, ProgressReader, read_progress
from penstock.tokens import open_tokens
from penstock.transactions import PartitionEnds, abort_lanes, partition_ends
from readback import read_topic

if TYPE_CHECKING:
    from collections.abc import Callable

    from fix_broker import Kafka
    from penstock.config import Config
    from secure_broker import SecureBroker


def record(job: str, lane: int = 0, **members: Any) -> Progress:
    usual: dict[str, Any] = {
        "lanes": 2, "topic": "orders", "partitions": 4, "delivery": "exactly_once", "plan": "p", "began_ms": 1000,
        "epoch": 1, "rows": 10, "updated_ms": 2000,
    }  # fmt: skip
    return Progress(job=job, lane=lane, **{**usual, **members})


def rows_of(found: dict[str, dict[int, Progress]]) -> dict[str, dict[int, int]]:
    return {job: {lane: one.rows for lane, one in lanes.items()} for job, lanes in found.items()}


class Writers:
    """Ordinary and transactional producers that write records into one topic."""

    def __init__(self, servers: str, topic: str) -> None:
        self.servers, self.topic = servers, topic
        self._known: dict[str | None, Producer] = {}

    def begin(self, transactional_id: str) -> Producer:
        """Begin a transaction of this id."""
        if transactional_id not in self._known:
            made = Producer({"bootstrap.servers": self.servers, "transactional.id": transactional_id, "log_level": 0})
            made.init_transactions(20)
            self._known[transactional_id] = made
        self._known[transactional_id].begin_transaction()
        return self._known[transactional_id]

    def add(self, *records: Progress | tuple[bytes | None, bytes | None], to: Producer | None = None,
            topic: str | None = None, partition: int = 0) -> None:  # fmt: skip
        """Write records, or keys and values as they are; without a transaction where `to` is none."""
        producer = to or self._known.setdefault(None, Producer({"bootstrap.servers": self.servers}))
        errors: list[Any] = []
        for one in records:
            key, value = one if isinstance(one, tuple) else (one.key(), one.value())
            producer.produce(
                topic or self.topic, key=key, value=value, partition=partition,
                on_delivery=lambda error, _: errors.append(error),
            )  # fmt: skip
        assert producer.flush(20) == 0
        assert errors == [None] * len(records)


@pytest.fixture
def topic(new_topic: Callable[..., str]) -> str:
    return new_topic(1, cleanup__policy="compact")


@pytest.fixture
def write(kafka: Kafka, topic: str) -> Writers:
    return Writers(kafka.bootstrap_servers, topic)


@pytest.fixture
def config(kafka: Kafka, topic: str) -> Callable[..., Config]:
    def make(**options: Any) -> Config:
        servers = kafka.bootstrap_servers
        return load(topic="orders", job="any", progress_topic=topic, bootstrap_servers=servers, kafka_options=options)

    return make


def test_the_latest_of_each_lane(
    config: Callable[..., Config], write: Writers, caplog: pytest.LogCaptureFixture, topic: str
) -> None:
    """Of each lane the last record counts, of each job its latest life; a null forgets; what is not ours is told."""
    assert read_progress(config(), None) == {}
    last = record("a", 1, epoch=3, rows=30, position={"file": "x", "row": 7}, runs={"t/0": ((0, 9, 10, "f" * 16),)})
    write.add(
        record("a"), record("a", epoch=2, rows=20), record("a", 1, epoch=2, rows=25), last,
        record("b", began_ms=500), record("b", 1, began_ms=900, rows=5), record("b", 1, began_ms=500, epoch=9),
        record("c"), (b"c/0", None),
        (b"", b"{}"), (b"a/0", b"{"), (b"a/7", record("a").value()), (b"d/0", b"\xff"), (b"nobody", None),
    )  # fmt: skip
    found = read_progress(config(), None)
    assert rows_of(found) == {"a": {0: 20, 1: 30}, "b": {1: 5}}
    assert found["a"][1] == last
    assert rows_of(read_progress(config(), None, "b")) == {"b": {1: 5}}
    assert read_progress(config(), None, "z") == {}
    for offset in (9, 10, 11, 12):
        assert f"{topic}[0] offset {offset} is not a record of a job's progress, passed over: " in caplog.text
    assert "offset 13" not in caplog.text


def test_a_topic_that_is_missing(kafka: Kafka) -> None:
    """No topic, no jobs; and it is not made by looking."""
    name = f"missing.{uuid.uuid4().hex}"
    servers = kafka.bootstrap_servers
    assert read_progress(load(topic="t", job="j", progress_topic=name, bootstrap_servers=servers), None) == {}
    assert not kafka.topic_exists(name)


def test_only_what_is_committed(config: Callable[..., Config], write: Writers) -> None:
    """What was aborted is not seen, and marks at the end of the log, which are no messages, hold nobody up."""
    with contextlib.closing(ProgressReader(config(), None)) as reader:
        write.add(record("a", rows=1), to=(mine := write.begin("a-0")))
        mine.abort_transaction(20)
        assert reader.read() == {}
        for rows in (2, 3):
            mine.begin_transaction()
            write.add(record("a", rows=rows), to=mine)
            mine.commit_transaction(20)
        began = time.monotonic()
        assert rows_of(reader.read()) == {"a": {0: 3}}
        mine.begin_transaction()
        write.add(record("a", rows=4), to=mine)
        mine.abort_transaction(20)
        assert rows_of(reader.read()) == {"a": {0: 3}}
        assert time.monotonic() - began < 2


def test_an_open_transaction_is_waited_for(
    config: Callable[..., Config], write: Writers, caplog: pytest.LogCaptureFixture
) -> None:
    """A record that was committed before we asked is seen, even behind somebody else's transaction that is open."""
    write.add(record("other"), to=(other := write.begin("other-0")))
    write.add(record("a", rows=1), to=(mine := write.begin("a-0")))
    mine.commit_transaction(20)
    assert read_progress(config(), None, wait=False) == {}
    assert rows_of(read_progress(config(), None, isolation="read_uncommitted")) == {"a": {0: 1}, "other": {0: 10}}
    ending = threading.Timer(2.5, lambda: other.abort_transaction(20))
    ending.start()
    began = time.monotonic()
    assert rows_of(read_progress(config(), None)) == {"a": {0: 1}}
    assert time.monotonic() - began > 2
    ending.join()
    assert "an open transaction hides what comes after offset 0 of partition 0; waiting for it, at most 60 s" in (
        caplog.text
    )


def test_an_open_transaction_is_not_waited_for_without_end(config: Callable[..., Config], write: Writers) -> None:
    """After transaction.timeout.ms it is an error that says so, and what to do."""
    write.add(record("a"), to=write.begin("a-0"))
    with pytest.raises(ConnectError, match="an open transaction hides what comes after offset 0 of partition 0") as why:
        read_progress(config(**{"transaction.timeout.ms": 1000}), None)
    assert "for 1 s (transaction.timeout.ms); `penstock transactions abort --job NAME` ends" in str(why.value)
    assert (why.value.code, why.value.retriable) == ("_TIMED_OUT", True)


def test_more_than_one_partition(kafka: Kafka, new_topic: Callable[..., str]) -> None:
    """Records may lie in any partition, of one lane in several."""
    topic = new_topic(3)
    write = Writers(kafka.bootstrap_servers, topic)
    for partition, epoch in enumerate((2, 3, 1)):
        write.add(record("a", epoch=epoch, rows=epoch), record("b", partition), partition=partition)
    config = load(topic="t", job="j", progress_topic=topic, bootstrap_servers=kafka.bootstrap_servers)
    assert rows_of(read_progress(config, None)) == {"a": {0: 3}, "b": {0: 10, 1: 10, 2: 10}}


def test_a_log_that_begins_later(kafka: Kafka, new_topic: Callable[..., str]) -> None:
    """What was deleted is not waited for; consumer_options of the connector are the reader's."""
    topic = new_topic(1)
    write = Writers(kafka.bootstrap_servers, topic)
    write.add(record("a"), record("b"), record("c"))
    tolerance = {
        "consumer_options": {"fetch.min.bytes": 1, "fetch.wait.max.ms": 50, "isolation.level": "read_committed"}
    }
    config = load(
        {"transport": {"config": {"topic": "t", "fault_tolerance": tolerance}}}, job="j", delivery="exactly_once",
        progress_topic=topic, bootstrap_servers=kafka.bootstrap_servers,
    )  # fmt: skip
    for first, left in ((2, {"c": {0: 10}}), (3, {})):
        kafka.admin.delete_records([TopicPartition(topic, 0, first)])[TopicPartition(topic, 0, first)].result(20)
        assert rows_of(read_progress(config, None)) == left


# --- the topic itself ---


def test_the_topic_is_made(kafka: Kafka, new_topic: Callable[..., str], caplog: pytest.LogCaptureFixture) -> None:
    """Of several jobs at once all go on; it has one partition and is compacted. One that is not is a warning."""
    name = f"penstock.test.made.{uuid.uuid4().hex}"
    target = new_topic(1)
    config = load(topic=target, job="j", progress_topic=name, bootstrap_servers=kafka.bootstrap_servers)
    try:
        found = {finding.about: finding.text for finding in check(config) if finding.step == "topic"}
        assert found[name] == "does not exist yet; the job makes it when a writer opens"
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda _: before_first_row(config, None), range(3)))  # none raises
        assert list(read_topic(kafka.bootstrap_servers, name).watermarks) == [0]
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        settings = kafka.admin.describe_configs([resource])[resource].result(20)
        assert settings["cleanup.policy"].value == "compact"
        assert settings["segment.bytes"].value == str(50 << 20)
        assert "not compacted" not in caplog.text
        kafka.alter_topic(name, cleanup__policy="delete")
        before_first_row(config, None)
        assert f'the progress topic "{name}" is not compacted (cleanup.policy=delete): ' in caplog.text
    finally:
        kafka.delete_topic(name)


# --- the commands ---


@pytest.fixture
def run(kafka: Kafka, topic: str, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command on the test's progress topic: exit code, standard output, standard error."""

    def command(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([*words, "--bootstrap-servers", kafka.bootstrap_servers, "--progress-topic", topic])
        return code, *capsys.readouterr()

    return command


def test_jobs(run: Callable[..., tuple[int, str, str]], write: Writers, topic: str) -> None:
    """One line for each job, in 80 columns; the lane that is least far counts."""
    assert run("jobs") == (0, "", f'penstock: no job has recorded anything in the topic "{topic}"\n')
    now = int(time.time() * 1000)
    where = {"file": "/data/2026/orders.parquet", "row_group": 3, "row": 0}
    write.add(
        record("nightly", rows=1_200_000, position=where, updated_ms=now - 7_500_000),
        record("nightly", 1, rows=1_300_000, position="later", updated_ms=now - 9_000_000),
        record("once", lanes=1, rows=5, finished=True, delivery="at_least_once", updated_ms=now - 65_000),
        record("partly", 1, rows=9, position=1, updated_ms=now - 200_000_000),
        record("x" * 200, lanes=1, topic="y" * 249, updated_ms=now),
        to=(open_ := write.begin("any")),
    )
    assert json.loads(run("jobs", "--json")[1]) == {"jobs": []}
    open_.commit_transaction(20)
    code, out, err = run("jobs")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines] == ["job", "nightly", "once", "partly", f"{'x' * 12}…"]
    facts = [" ".join(line.split()) for line in lines]
    assert "exactly once 1,200,000 2 h ago {" in facts[1]
    assert facts[2].endswith("at least once 5 1 min ago finished")
    assert "exactly once 0 2 d ago the beg" in facts[3]
    jobs = json.loads(run("jobs", "--json")[1])["jobs"]
    assert [(job["name"], job["rows"], job["finished"]) for job in jobs[:3]] == [
        ("nightly", 1_200_000, False), ("once", 5, True), ("partly", 0, False),
    ]  # fmt: skip
    assert (jobs[0]["position"], [lane["rows"] for lane in jobs[0]["lanes"]]) == (where, [1_200_000, 1_300_000])


def test_transactions(
    run: Callable[..., tuple[int, str, str]],
    write: Writers,
    new_topic: Callable[..., str],
    config: Callable[..., Config],
    topic: str,
) -> None:
    """What a job has left open is listed and ended; one that still runs is fenced."""
    target = new_topic(2)
    write.add(record("nightly", 0, topic=target, position="p7"), to=(mine := write.begin("nightly-0")))
    write.add((b"k", b"v"), to=mine, topic=target)
    mine.commit_transaction(20)
    mine.begin_transaction()
    write.add((b"k", b"w"), to=mine, topic=target)
    write.add(record("nightly", 0, topic=target, epoch=2, rows=20), to=mine)
    code, out, err = run("transactions", "list", "--job", "nightly")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"✗ {target}[0] OPEN: last stable offset 2, high watermark 3",
        f"✓ {target}[1] nothing open: stable up to its end at 0",
        f"✗ {topic}[0] OPEN: last stable offset 2, high watermark 3",
        "nightly-0: epoch 1, row 10, goes on at p7",
        "nightly-1: nothing recorded yet",
    ]
    listed = json.loads(run("transactions", "list", "--topic", target, "--json")[1])
    assert listed["lanes"] == []
    assert listed["partitions"][0] == {
        "topic": target, "partition": 0, "last_stable_offset": 2, "high_watermark": 3, "open": True,
    }  # fmt: skip
    taken_over = "taken over; what it had open is aborted, and a run that still uses it is fenced"
    assert run("transactions", "abort", "--job", "nightly") == (
        0, f"nightly-0: {taken_over}\nnightly-1: {taken_over}\n", "",
    )  # fmt: skip
    with pytest.raises(KafkaException, match="_FENCED"):
        mine.commit_transaction(20)
    ends = partition_ends(config(), None, [target, topic])
    assert ends[0] == PartitionEnds(target, 0, 4, 4, open=False)
    assert not any(one.open for one in ends)
    assert rows_of(read_progress(config(), None)) == {"nightly": {0: 10}}
    assert json.loads(run("transactions", "abort", "--job", "nightly", "--json")[1]) == {
        "job": "nightly", "transactional_ids": ["nightly-0", "nightly-1"],
    }  # fmt: skip


def test_transactions_of_other_jobs(run: Callable[..., tuple[int, str, str]], write: Writers, topic: str) -> None:
    """An unknown job is an error with the nearest names; one without transactions has none to abort."""
    wrong = f'penstock: error: the progress topic "{topic}" has no job "nihgtly"'
    assert run("transactions", "abort", "--job", "nihgtly") == (2, "", f"{wrong}, nor any other\n")
    write.add(record("nightly", topic=topic, delivery="at_least_once"))
    assert run("transactions", "list", "--job", "nihgtly") == (2, "", f'{wrong}; did you mean "nightly"?\n')
    code, out, _ = run("transactions", "list", "--job", "nightly")
    assert (code, out.splitlines()[1:]) == (0, ["job nightly is delivered at least once: it has no transactions"])
    code, out, err = run("transactions", "abort", "--job", "nightly")
    assert (code, out) == (2, "")
    assert "job nightly is delivered at least once: it has no transactions to abort" in err
    code, _, err = run("transactions", "list", "--topic", f"{topic}.no")
    assert code == 4
    assert f'topic "{topic}.no" on ' in err


def test_the_ways_in(secure: SecureBroker, secure_topic: Callable[..., str], secure_kafka: Kafka) -> None:
    """Passwords and tokens, of librdkafka's and of ours, read progress and end transactions too."""
    topic, ways = secure_topic(), ways_in(secure, "admin")
    for number, way in enumerate(ways):
        write = Writers(secure_kafka.bootstrap_servers, topic)
        write.add(record("a", rows=number), to=(open_ := write.begin(f"{topic}-0")))
        loaded = load(topic=topic, job="a", progress_topic=topic, **way)
        abort_lanes(loaded, open_tokens(loaded), [f"{topic}-0"])
        with pytest.raises(KafkaException, match="_FENCED"):
            open_.commit_transaction(20)
        write.add(record("a", rows=number))
        assert rows_of(read_progress(loaded, open_tokens(loaded))) == {"a": {0: number}}
        assert not partition_ends(loaded, open_tokens(loaded), [topic])[0].open
    alice = load(topic=topic, job="a", progress_topic=topic, kafka_options=secure.options("SASL_SSL", "alice"))
    with pytest.raises(ConnectError, match="ask for an ACL that allows WRITE on the transactional id") as refused:
        abort_lanes(alice, None, ["somebody-0"])
    assert refused.value.code == "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"
