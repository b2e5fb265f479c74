"""config/delivery: what goes together in a job, before anything is opened."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.config import load
from penstock.errors import ConfigError


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
