"""delivery: jobs that go on where they stopped, and exactly once: what goes together, and how much time there is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from penstock.config.settings import WriterConfig
from penstock.config.topics import is_topic
from penstock.errors import ConfigError
from penstock.names import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.config.connector import Given
    from penstock.config.kafka.options import KafkaOption

__all__ = ["check_delivery", "message_timeout_ms"]

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,200}")  # "/" parts it from the lane in the progress topic's keys
_NEED_JOB: Final = ("epoch_rows", "epoch_bytes", "epoch_secs", "progress_topic", "restart")
_NOT_TRANSACTIONAL: Final = {
    "enable.idempotence": "a transactional producer is an idempotent one",
    "acks": "a transaction needs acks=all",
    "retries": "what a broker did not answer must be sent again",
    "max.in.flight.requests.per.connection": "an idempotent producer has at most 5 requests under way",
}
_TRANSACTION_SECS: Final = 60.0  # librdkafka's default of transaction.timeout.ms


def check_delivery(
    writer: WriterConfig, given: Mapping[str, Given], options: Mapping[str, KafkaOption], kafka: Mapping[str, str]
) -> None:
    """Refuse settings of a job where none is named, and options that a transactional producer cannot have.

    kafka  all options, defaults included
    """
    _check_job(writer, given)
    exactly_once = writer.delivery == "exactly_once"
    if writer.lanes is not None and not exactly_once:
        raise ConfigError(f"{given['lanes'].where} belongs to delivery=exactly_once; leave it out, or give both")
    if not is_topic(writer.progress_topic):
        raise ConfigError(f"{given['progress_topic'].where}: {shown(writer.progress_topic)} is not a topic name")
    if not exactly_once:
        return
    if writer.reorder_on_reject:
        raise ConfigError(
            f"{given['reorder_on_reject'].where} and delivery=exactly_once exclude each other: a transaction whose "
            "message is refused is aborted, and nothing of it is sent again; leave one of them out"
        )
    if kafka["enable.idempotence"] != "true":
        name = next((name for name in _NOT_TRANSACTIONAL if name in options), "enable.idempotence")
        raise ConfigError(
            f"delivery=exactly_once and {options[name]} exclude each other: {_NOT_TRANSACTIONAL[name]}; leave it out"
        )
    limit = _transaction_secs(options)
    if writer.epoch_secs > limit / 4:
        raise ConfigError(
            f"epoch_secs={writer.epoch_secs:g} is more than a quarter of transaction.timeout.ms={limit * 1000:.0f}, in "
            "which a transaction must end whatever happens; lower it, or raise that option"
        )


def _check_job(writer: WriterConfig, given: Mapping[str, Given]) -> None:
    if writer.job is not None:
        if not _NAME.fullmatch(writer.job):
            raise ConfigError(
                f"{given['job'].where}: {shown(writer.job)} is no name for a job; give 1 to 200 of letters, digits, "
                "'.', '_', '-'"
            )
        return
    if writer.delivery == "exactly_once":
        raise ConfigError(
            f"{given['delivery'].where}=exactly_once needs job: the name that its transactions and its progress "
            "are known by; give one that stays the same from run to run"
        )
    defaults = {field.name: field.default for field in msgspec.structs.fields(WriterConfig)}
    for name in _NEED_JOB:
        if getattr(writer, name) != defaults[name]:
            raise ConfigError(f"{given[name].where} has no effect without job, the name of what is recorded")


def message_timeout_ms(writer: WriterConfig, options: Mapping[str, KafkaOption]) -> str:
    """Return how long a message may be on its way: of a transaction at most half the time that it has."""
    timeout = writer.delivery_timeout_secs
    if writer.delivery == "exactly_once":
        half = _transaction_secs(options) / 2
        timeout = min(timeout or half, half)
    return str(round(timeout * 1000))


def _transaction_secs(options: Mapping[str, KafkaOption]) -> float:
    option = options.get("transaction.timeout.ms")
    return _TRANSACTION_SECS if option is None else int(option.value) / 1000
