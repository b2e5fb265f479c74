"""reader: an ordinary consumer over given partitions, and what may go wrong with it as errors of ours.

verify.py reads topics with it and progress.py the progress of jobs. It belongs to no group that anybody joins, and
commits nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from penstock.config.kafka.options import property_table
from penstock.errors import ConfigError, ConnectError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from penstock.config import Config
    from penstock.tokens import Tokens

__all__ = ["Isolation", "Place", "Read", "Reader", "client_options"]

Isolation = Literal["read_committed", "read_uncommitted"]
Place = tuple[str, int]  # topic and partition
_BATCH: Final = 10_000
_STEP_SECS: Final = 0.1  # how long a batch may take to fill


class Read(NamedTuple):
    """A message as it was read."""

    place: Place
    offset: int
    key: bytes | None
    value: bytes | None


class Reader:
    """Reads partitions from given offsets on.

    isolation  read_committed passes over what was aborted, and ends before what is still open
    options    more of librdkafka's options, over those of config

    Errors are ConnectError, naming topic and brokers; a broker may take initialization_timeout_secs for each answer.
    """

    def __init__(
        self,
        config: Config,
        tokens: Tokens | None,
        isolation: Isolation,
        options: Mapping[str, str] | None = None,
    ) -> None:
        from confluent_kafka import Consumer, KafkaException  # noqa: PLC0415 - 0.15 s that a wrong flag need not take

        all_options = {
            **client_options(config, tokens, consumer=True),
            **(options or {}),
            "group.id": "penstock",  # never joined, and nothing is committed for it
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",  # where what was to be read next is deleted meanwhile
            "isolation.level": isolation,
        }
        try:
            self._consumer = Consumer(all_options)
        except KafkaException as error:
            text = config.redactor.redact(error.args[0].str())
            raise ConfigError(f"librdkafka refuses the configuration: {text}", code=error.args[0].name()) from None
        self.servers = config.kafka["bootstrap.servers"]
        self.timeout_secs = float(config.initialization_timeout_secs)
        self._redact = config.redactor.redact
        self._complaint: Any = None

    def close(self) -> None:
        """End the consumer."""
        self._consumer.close()

    def partitions(self, topic: str) -> list[int] | None:
        """Return the numbers of a topic's partitions; None where there is no such topic."""
        from confluent_kafka import KafkaError  # noqa: PLC0415 - as above

        found = self._asked(topic, self._consumer.list_topics, topic).topics[topic]
        if found.error is None:
            return sorted(found.partitions)
        if found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        raise self._refused(topic, found.error)

    def missing(self, topic: str) -> ConnectError:
        """Return the error for a topic that is not there."""
        from confluent_kafka import KafkaError  # noqa: PLC0415 - as above

        return self._refused(topic, KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))

    def ends(self, topic: str, number: int) -> tuple[int, int]:
        """Ask for the first offset of a partition and the one behind its last; read_committed: its last stable one."""
        from confluent_kafka import TopicPartition  # noqa: PLC0415 - as above

        low, high = self._asked(topic, self._consumer.get_watermark_offsets, TopicPartition(topic, number))
        return low, high

    def high_watermark(self, place: Place) -> int:
        """Return the high watermark as the last answer to a fetch told it, whatever the isolation; negative: none."""
        from confluent_kafka import TopicPartition  # noqa: PLC0415 - as above

        known = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
        return -1 if known is None else int(known[1])

    def begin(self, offsets: Mapping[Place, int]) -> None:
        """Read these partitions from these offsets on."""
        from confluent_kafka import TopicPartition  # noqa: PLC0415 - as above

        self._consumer.assign([TopicPartition(*place, offset) for place, offset in offsets.items()])

    def leave(self, place: Place) -> None:
        """Read a partition no more."""
        from confluent_kafka import TopicPartition  # noqa: PLC0415 - as above

        self._consumer.incremental_unassign([TopicPartition(*place)])

    def some(self, secs: float = _STEP_SECS) -> tuple[list[Read], dict[Place, int]]:
        """Return the next messages, after so many seconds, and the partitions at whose ends it is, with the offset."""
        from confluent_kafka import KafkaError  # noqa: PLC0415 - as above

        messages: list[Read] = []
        ended: dict[Place, int] = {}
        for message in self._consumer.consume(_BATCH, timeout=secs):
            error = message.error()
            place = (message.topic(), message.partition())
            if error is None:
                messages.append(Read(place, message.offset(), message.key(), message.value()))
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its name
                ended[place] = message.offset()
            elif error.code() in {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.UNKNOWN_TOPIC_OR_PART}:
                raise self._refused(place[0], error)
            else:
                self._complaint = error
        return messages, ended

    def nothing_came(self, topic: str) -> ConnectError:
        """Return the error for a partition that did not answer for initialization_timeout_secs."""
        if self._complaint is not None:
            return self._refused(topic, self._complaint)
        return ConnectError(
            f'topic "{topic}" on {self.servers}: nothing came for {self.timeout_secs:.0f} s; try again later, or give '
            "more initialization_timeout_secs"
        )

    def _asked(self, topic: str, ask: Callable[..., Any], about: object) -> Any:  # noqa: ANN401 - it has no types
        from confluent_kafka import KafkaException  # noqa: PLC0415 - as above

        try:
            return ask(about, timeout=self.timeout_secs)
        except KafkaException as error:
            raise self._refused(topic, error.args[0]) from None

    def _refused(self, topic: str, error: Any) -> ConnectError:  # noqa: ANN401 - as above
        text = self._redact(error.str())
        if error.name() == "TOPIC_AUTHORIZATION_FAILED":
            text = "the broker does not let this login read it; ask for an ACL that allows READ on the topic"
        return ConnectError(
            f'topic "{topic}" on {self.servers} cannot be read: {text} ({error.name()})', code=error.name()
        )


def client_options(config: Config, tokens: Tokens | None, *, consumer: bool = False) -> dict[str, Any]:
    """Return what a client of confluent_kafka needs to reach the brokers as the job does.

    consumer  those that librdkafka's table has for consumers too; the producer's own are left out in any case
    """

    def token(_: str) -> tuple[str, float, str, dict[str, str]]:
        made = tokens.first()  # type: ignore[union-attr] # asked for only where there are some
        return made.text, made.expires_ms / 1000, made.principal, dict(made.extensions)

    table, scopes = property_table(), {"*", "C"} if consumer else {"*"}
    options: dict[str, Any] = {
        name: value for name, value in config.kafka.items() if name in table and table[name].scope in scopes
    }
    options["log_level"] = 0  # what is wrong is an error of ours
    return options if tokens is None else {**options, "oauth_cb": token}
