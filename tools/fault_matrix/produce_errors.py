"""A line for each error code that a broker may answer a produce request with, injected by librdkafka's mock cluster."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from fault_matrix.round import AT_LEAST_ONCE, Line, Round
from penstock._core import MockCluster
from penstock.config.kafka.options import load_librdkafka

if TYPE_CHECKING:
    from collections.abc import Callable

PRODUCE: Final = 0  # api key
# Codes of the protocol, with whether a producer is to try again. Four that the protocol calls retriable are none here,
# since no broker answers a produce request with them and librdkafka takes them for final: NETWORK_EXCEPTION,
# FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, THROTTLING_QUOTA_EXCEEDED.
CODES: Final = {
    "UNKNOWN_SERVER_ERROR": (-1, False),
    "CORRUPT_MESSAGE": (2, True),
    "UNKNOWN_TOPIC_OR_PARTITION": (3, True),
    "LEADER_NOT_AVAILABLE": (5, True),
    "NOT_LEADER_OR_FOLLOWER": (6, True),
    "REQUEST_TIMED_OUT": (7, True),
    "BROKER_NOT_AVAILABLE": (8, False),
    "REPLICA_NOT_AVAILABLE": (9, True),
    "MESSAGE_TOO_LARGE": (10, False),
    "NETWORK_EXCEPTION": (13, False),
    "INVALID_TOPIC_EXCEPTION": (17, False),
    "RECORD_LIST_TOO_LARGE": (18, False),
    "NOT_ENOUGH_REPLICAS": (19, True),
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND": (20, True),
    "INVALID_REQUIRED_ACKS": (21, False),
    "TOPIC_AUTHORIZATION_FAILED": (29, False),
    "CLUSTER_AUTHORIZATION_FAILED": (31, False),
    "INVALID_TIMESTAMP": (32, False),
    "UNSUPPORTED_FOR_MESSAGE_FORMAT": (43, False),
    "POLICY_VIOLATION": (44, False),
    "OUT_OF_ORDER_SEQUENCE_NUMBER": (45, False),
    "INVALID_PRODUCER_EPOCH": (47, False),
    "INVALID_TXN_STATE": (48, False),
    "INVALID_PRODUCER_ID_MAPPING": (49, False),
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED": (53, False),
    "KAFKA_STORAGE_ERROR": (56, True),
    "UNKNOWN_PRODUCER_ID": (59, False),
    "FENCED_LEADER_EPOCH": (74, False),
    "UNKNOWN_LEADER_EPOCH": (75, False),
    "UNSUPPORTED_COMPRESSION_TYPE": (76, False),
    "INVALID_RECORD": (87, False),
    "THROTTLING_QUOTA_EXCEEDED": (89, False),
    "PRODUCER_FENCED": (90, False),
}


class MockWorld:
    """A mock cluster of one broker; a new one for every topic, since it keeps little."""

    def __init__(self) -> None:
        load_librdkafka()
        self.mock: MockCluster
        self.bootstrap = self.direct = ""

    def create_topic(self, name: str, partitions: int) -> None:
        """Start a cluster with it."""
        self.mock = MockCluster(brokers=1)
        self.mock.create_topic(name, partitions)
        self.bootstrap = self.direct = self.mock.bootstrap_servers

    def delete_topic(self, name: str) -> None:  # noqa: ARG002 - it has no other
        """End the cluster."""
        self.mock.close()

    def heal(self) -> None:
        """Let nothing be left of a fault: errors that nobody has asked for yet are few, and go with the cluster."""


def answer(code: int) -> Callable[[Round], float]:
    """Return the strike that answers one to three produce requests with a code."""

    def strike(here: Round) -> float:
        here.mock.push_request_errors(PRODUCE, [code] * here.rng.randint(1, 3))
        return time.monotonic()

    return strike


PRODUCE_ERRORS: Final = tuple(
    Line(
        f"error-{name}",
        name,
        answer(code),
        deliveries=(AT_LEAST_ONCE,),
        ends=("delivered",) if retriable else ("delivered", "DeliveryError", "Fenced"),
        order={"rows": 6000, "batch_rows": 200, "secs": 0.8, "flush_every": 1000},
        world="mock",
    )
    for name, (code, retriable) in CODES.items()
)
