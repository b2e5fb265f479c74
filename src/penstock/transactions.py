"""transactions: which partitions an open transaction holds back, and ending what a dead job left open.

librdkafka cannot list transactions, so an open one is seen by what it does: the last stable offset of a partition, up
to which consumers that read committed may read, stays behind the high watermark.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec

from penstock.errors import ConfigError, ConnectError
from penstock.names import did_you_mean
from penstock.reader import Reader, client_options

if TYPE_CHECKING:
    from collections.abc import Iterable

    from penstock.config import Config
    from penstock.progress import Jobs, Progress
    from penstock.tokens import Tokens

__all__ = ["PartitionEnds", "abort_lanes", "find_job", "partition_ends"]


class PartitionEnds(msgspec.Struct, frozen=True):
    """Where a partition ends, for consumers that read committed and for all others.

    open  a transaction that is still open begins at last_stable_offset
    """

    topic: str
    partition: int
    last_stable_offset: int
    high_watermark: int
    open: bool


def partition_ends(config: Config, tokens: Tokens | None, topics: Iterable[str]) -> list[PartitionEnds]:
    """Return the ends of all partitions of these topics; ConnectError where one cannot be read."""
    with (
        contextlib.closing(Reader(config, tokens, "read_uncommitted")) as all_readers,
        contextlib.closing(Reader(config, tokens, "read_committed")) as committed,
    ):
        found = []
        for topic in topics:
            numbers = all_readers.partitions(topic)
            if numbers is None:
                raise all_readers.missing(topic)
            for number in numbers:
                # in this order: what is written meanwhile must not look like something open
                _, high = all_readers.ends(topic, number)
                _, stable = committed.ends(topic, number)
                found.append(PartitionEnds(topic, number, stable, high, stable < high))
    return found


def find_job(jobs: Jobs, name: str, topic: str) -> dict[int, Progress]:
    """Return the records of a job; ConfigError naming the nearest where there are none. topic: where they would be."""
    if name in jobs:
        return jobs[name]
    others = "; `penstock jobs` lists those that it has" if jobs else ", nor any other"
    raise ConfigError(f'the progress topic "{topic}" has no job "{name}"{did_you_mean(name, jobs) or others}')


def abort_lanes(config: Config, tokens: Tokens | None, ids: Iterable[str]) -> None:
    """Take over each transactional id, which aborts what its last producer left open, and fences that one if it lives.

    Returns when the broker has done so. Raises ConnectError naming the first that could not be taken over.
    """
    from confluent_kafka import KafkaException, Producer  # noqa: PLC0415 - 0.15 s that a wrong flag need not wait for

    shared: dict[str, Any] = client_options(config, tokens)
    for one in ids:
        producer = Producer({**shared, "transactional.id": one})
        try:
            producer.init_transactions(float(config.initialization_timeout_secs))
        except KafkaException as error:
            raise _refused(config, one, error.args[0]) from None


def _refused(config: Config, transactional_id: str, error: Any) -> ConnectError:  # noqa: ANN401 - it has no types
    text = config.redactor.redact(error.str())
    if error.name() == "TRANSACTIONAL_ID_AUTHORIZATION_FAILED":
        text = "the broker does not let this login use it; ask for an ACL that allows WRITE on the transactional id"
    return ConnectError(
        f'transactional id "{transactional_id}" on {config.kafka["bootstrap.servers"]}: {text} ({error.name()})',
        code=error.name(),
        retriable=bool(error.retriable()),
    )
