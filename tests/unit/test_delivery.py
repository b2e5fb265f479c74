"""config/delivery: what goes together in a job, before anything is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from penstock.config import load
from penstock.errors import ConfigError

if TYPE_CHECKING:
    from penstock.config import Config


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"delivery": "exactly_once"}, "delivery=exactly_once needs job: "),
        ({"job": "a/b"}, 'job: "a/b" is no name for a job; '),
        ({"restart": True}, "restart has no effect without job, "),
        ({"epoch_secs": 5}, "epoch_secs has no effect without job, "),
        (
            {"job": "a", "delivery": "exactly_once", "reorder_on_reject": True},
            "reorder_on_reject and delivery=exactly_once exclude each other: ",
        ),
        ({"job": "a", "lanes": 2}, "lanes belongs to delivery=exactly_once; "),
        ({"job": "a", "progress_topic": "a/b"}, 'progress_topic: "a/b" is not a topic name'),
        ({"job": "a", "delivery": "exactly_once", "epoch_secs": 30}, "epoch_secs=30 is more than a quarter of transac"),
        (
            {"job": "a", "delivery": "exactly_once", "kafka_options": {"acks": "1"}},
            "delivery=exactly_once and acks=1 (kafka_options or -X) exclude each other: a transaction needs acks=all",
        ),
        (
            {"job": "a", "delivery": "exactly_once", "kafka_options": {"enable.idempotence": False}},
            "delivery=exactly_once and enable.idempotence=false (kafka_options or -X) exclude each other: ",
        ),
        (
            {"kafka_options": {"transactional.id": "a"}},
            "kafka_options or -X: transactional.id cannot be set here, it is made of the job's name and the lane; ",
        ),
    ],
)
def test_what_does_not_go_together(settings: dict[str, Any], sentence: str) -> None:
    """Each is refused in one sentence that names both sides."""
    with pytest.raises(ConfigError) as refused:
        load(topic="orders", **settings)
    assert str(refused.value).startswith(sentence), refused.value


@pytest.mark.parametrize(
    ("settings", "timeout_ms"),
    [
        ({}, "30000"),
        ({"delivery_timeout_secs": 10}, "10000"),
        ({"delivery_timeout_secs": 0}, "30000"),
        ({"kafka_options": {"transaction.timeout.ms": 10000}}, "5000"),
        ({"kafka_options": {"message.timeout.ms": 40000}}, "30000"),
    ],
)
def test_a_message_has_half_the_time_of_its_transaction(settings: dict[str, Any], timeout_ms: str) -> None:
    """However long the job may try: what is left is for giving up the transaction, which is then sent again."""
    loaded = load(topic="orders", job="a", delivery="exactly_once", **settings)
    assert loaded.kafka["message.timeout.ms"] == timeout_ms


# --- fault_tolerance: the connector's options of exactly-once delivery ---


def connector(producer: dict[str, Any], consumer: dict[str, Any] | None = None, **common: Any) -> dict[str, Any]:
    tolerance = {"producer_options": producer, "consumer_options": consumer}
    return {"transport": {"config": {"topic": "orders", "fault_tolerance": tolerance, **common}}}


def exactly_once(config: dict[str, Any], **settings: Any) -> Config:
    return load(config, job="a", delivery="exactly_once", **settings)


def test_producer_options_count_over_those_of_the_transport() -> None:
    """-X counts over both, and bootstrap_servers over all; spellings of Java's clients are translated there too."""
    config = connector({"linger.ms": 7, "message.max.bytes": "2000", "max.request.size": 2000}, acks="all", **{
        "linger.ms": 3, "batch.size": 5000,
    })  # fmt: skip
    kafka = exactly_once(config).kafka
    assert (kafka["linger.ms"], kafka["message.max.bytes"], kafka["batch.size"]) == ("7", "2000", "5000")
    assert exactly_once(config, kafka_options={"linger.ms": 9}).kafka["linger.ms"] == "9"
    assert load({**config, "writer": {"job": "a", "delivery": "exactly_once"}}).kafka["linger.ms"] == "7"
    for other in (load(config, job="a"), load(config, job="a", delivery="at_least_once")):
        assert other.kafka["linger.ms"] == "3"
        assert "config: transport.config.fault_tolerance has no meaning here: its options count with " in other.notes[0]
    assert not exactly_once(config).warnings


def test_consumer_options_are_the_readers() -> None:
    """Those of consumers are kept, those of producers alone checked and left out, the same way in is given twice."""
    usual = {"isolation.level": "read_committed", "enable.auto.commit": False, "auto.offset.reset": "earliest"}
    ways = {"bootstrap.servers": "b:1", "security.protocol": "ssl"}
    config = connector({}, {**usual, **ways, "fetch.min.bytes": 5, "linger.ms": 1, "fetch.wait.max.ms": "0"}, **ways)
    loaded = exactly_once(config, bootstrap_servers="c:1")
    assert loaded.consumer_options == {**usual, "enable.auto.commit": "false"} | {
        "fetch.min.bytes": "5", "fetch.wait.max.ms": "0",
    }  # fmt: skip
    assert loaded.kafka["bootstrap.servers"] == "c:1"
    assert not set(loaded.consumer_options) & set(loaded.kafka)
    assert load(config).consumer_options == exactly_once(connector({})).consumer_options == {}


@pytest.mark.parametrize(
    ("producer", "consumer", "sentence"),
    [
        ({"acks": 1}, {}, "delivery=exactly_once and acks=1 ({}.producer_options) exclude each other: "),
        ({"linger.sm": 1}, {}, '{}.producer_options: librdkafka has no option "linger.sm"; did you mean "linger.ms"'),
        ({"linger.ms": None}, {}, "{}.producer_options: linger.ms must be a text, a number or a boolean, found null; "),
        ({"transactional.id": "t"}, {}, "{}.producer_options: transactional.id cannot be set here, "),
        ({"topic": "t"}, {}, "{}.producer_options: topic is a setting of penstock, not an option of librdkafka; "),
        ({}, {"fetch.min.byte": 1}, '{}.consumer_options: librdkafka has no option "fetch.min.byte"; did you mean '),
        ({}, {"fetch.min.bytes": "x"}, "fetch.min.bytes=x ({}.consumer_options): not a whole number; "),
        ({}, {"group.id": "g"}, "group.id=g ({}.consumer_options): the consumer that reads the progress of jobs joins"),
        (
            {},
            {"isolation.level": "read_uncommitted"},
            "isolation.level=read_uncommitted ({}.consumer_options): the con",
        ),
        ({}, {"enable.auto.commit": True}, "enable.auto.commit=true ({}.consumer_options): the consumer that reads "),
        ({}, {"auto.commit.enable": True}, "auto.commit.enable=true ({}.consumer_options): the consumer that reads "),
        ({}, {"auto.offset.reset": "latest"}, "auto.offset.reset=latest ({}.consumer_options): the consumer that "),
        ({}, {"enable.partition.eof": False}, "enable.partition.eof=false ({}.consumer_options): the consumer that "),
        (
            {},
            {"client.rack": "r"},
            "client.rack=r ({}.consumer_options): the consumer that reads the progress of jobs ",
        ),
        ({}, {"bootstrap.servers": "c"}, "bootstrap.servers=c ({}.consumer_options): the progress of jobs is reached "),
        ({}, {"sasl.password": "hunter2"}, "sasl.password=<not shown> ({}.consumer_options): the progress of jobs is "),
    ],
)
def test_options_that_cannot_be_honoured(producer: dict[str, Any], consumer: dict[str, Any], sentence: str) -> None:
    """What is wrong in them is told as for options anywhere else, with its place."""
    with pytest.raises(ConfigError) as refused:
        exactly_once(connector(producer, consumer))
    assert str(refused.value).startswith(sentence.format("config: transport.config.fault_tolerance")), refused.value
    assert "hunter2" not in str(refused.value)


def test_references_of_consumer_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference is read where it counts, and what it gave is not shown."""
    config = connector({}, {"client.id": "${env:WHO}"})
    with pytest.raises(ConfigError, match="WHO"):
        exactly_once(config)
    assert exactly_once(config, for_preview=True).consumer_options == {}
    monkeypatch.setenv("WHO", "somebody-secret")
    loaded = exactly_once(config)
    assert loaded.consumer_options == {"client.id": "somebody-secret"}
    assert "somebody-secret" not in repr(loaded)
