"""job: a whole job, checked, in one frozen tree."""

from __future__ import annotations

from typing import Final

import msgspec

from penstock.config.formats import Format, RegistryFormat
from penstock.config.kafka.login import TokenSource  # noqa: TC001 - as above
from penstock.config.memory import MemoryShares, memory_shares
from penstock.config.secrets import NOT_SHOWN, Redactor, is_secret
from penstock.config.settings import WriterConfig  # noqa: TC001 - as above
from penstock.config.topics import is_pattern

__all__ = ["FRAMING_BYTES", "Config", "find_index"]

FRAMING_BYTES: Final = 64  # the original connector's allowance for what Kafka wraps around a payload
_MESSAGE_BYTES: Final = 36  # librdkafka's own
_HEADER_BYTES: Final = 10  # two lengths, at most 5 bytes each


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A whole job, checked. Its repr shows no password, key, token or header value, nor what references gave.

    kafka     every librdkafka option that will be set, defaults included, by its usual name, as text
    consumer_options  likewise, of the consumer that reads the progress of jobs, over those of kafka
    writer    with `workers` settled: never None here
    tokens    who makes the tokens of OAUTHBEARER; None where nobody does, or librdkafka itself
    warnings  sentences for the user, to be shown once
    notes     what was taken in another way than it was given, or without effect, and why: for those who look for it
    hidden    what references gave and nobody may see: each text, and the reference that is shown in its place
    """

    topic: str
    kafka: dict[str, str]
    format: Format
    writer: WriterConfig
    consumer_options: dict[str, str] = {}
    headers: tuple[tuple[str, bytes | None], ...] = ()
    tokens: TokenSource | None = None
    initialization_timeout_secs: int = 60
    log_level: str | None = None
    index: str | None = None
    enable_output_buffer: bool = False
    max_output_buffer_time_millis: int | None = None
    max_output_buffer_size_records: int = 10_000_000
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    hidden: dict[str, str] = {}

    @property
    def index_columns(self) -> tuple[str, tuple[str, ...]] | None:
        """Name and columns of the index that changes are grouped by; None without one."""
        return None if self.index is None else find_index(self.writer, self.index)

    @property
    def max_payload_bytes(self) -> int:
        """The most bytes a message's key and value may have: message.max.bytes less 64, or less if headers need it.

        librdkafka takes a message while 36 + key + value + headers fit message.max.bytes.
        """
        headers = sum(len(name.encode()) + len(value or b"") + _HEADER_BYTES for name, value in self.headers)
        largest = int(self.kafka["message.max.bytes"])
        return min(largest - FRAMING_BYTES, largest - _MESSAGE_BYTES - headers)

    @property
    def topics_needed(self) -> list[str]:
        """Topics that must be there when a writer opens; `topic` is the first."""
        others = () if is_pattern(self.writer.topics) else self.writer.topics
        return list(dict.fromkeys((self.topic, *others)))

    @property
    def worker_count(self) -> int:
        """Worker processes; 0 encodes and sends inside the calling process."""
        return self.writer.workers or 0

    @property
    def shares(self) -> MemoryShares:
        """How memory_bytes is shared out between these workers."""
        return memory_shares(self.writer.memory_bytes, self.worker_count)

    @property
    def redactor(self) -> Redactor:
        """What takes the secrets of this configuration out of texts.

        They are the options that is_secret names, what is secret of a registry, and what references gave: in the place
        of that stands the reference. Literal values of headers are not: they are as often as not ordinary words.
        """
        texts = {value: NOT_SHOWN for name, value in self.kafka.items() if is_secret(name)}
        if isinstance(self.format, RegistryFormat):
            texts.update(dict.fromkeys(self.format.secrets(), NOT_SHOWN))
        return Redactor({**texts, **self.hidden})

    def __repr__(self) -> str:
        kafka = {name: NOT_SHOWN if is_secret(name) else value for name, value in self.kafka.items()}
        headers = tuple((key, None if value is None else f"<{len(value)} bytes>") for key, value in self.headers)
        return self.redactor.redact(
            f"Config(topic={self.topic!r}, kafka={kafka!r}, format={self.format!r}, writer={self.writer!r}, "
            f"consumer_options={self.consumer_options!r}, "
            f"headers={headers!r}, tokens={self.tokens!r}, "
            f"initialization_timeout_secs={self.initialization_timeout_secs!r}, log_level={self.log_level!r}, "
            f"index={self.index!r}, enable_output_buffer={self.enable_output_buffer!r}, "
            f"max_output_buffer_time_millis={self.max_output_buffer_time_millis!r}, "
            f"max_output_buffer_size_records={self.max_output_buffer_size_records!r}, warnings={self.warnings!r}, "
            f"notes={self.notes!r})"
        )


def find_index(writer: WriterConfig, name: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the index and its columns; the name folds like an SQL identifier unless it stands in double quotes."""
    quoted = len(name) > 2 and name[0] == name[-1] == '"'  # noqa: PLR2004 - two quotation marks
    for wanted in (name[1:-1],) if quoted else (name.lower(), name):
        if wanted in writer.relation.indexes:
            return wanted, writer.relation.indexes[wanted]
    return None
