"""The settings by name: their types, their defaults, and the one table that people read.

SETTINGS is what argparse's flags, `penstock config` and the README's table are made from. The defaults that run are
those of the two structs; a test holds the table to them.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from penstock.config.memory import IN_FLIGHT_MESSAGES, MIB

__all__ = ["SETTINGS", "JsonFormat", "KeyFormat", "LogLevel", "Partitioner", "Setting", "WriterConfig"]

MAX_DEFAULT_WORKERS: Final = 8  # one caller reads and deals a few million rows/s: more workers than this would wait

LogLevel = Literal["emerg", "alert", "critical", "error", "warning", "notice", "info", "debug"]  # syslog's 0 to 7
KeyFormat = Literal["json", "string", "bytes"]
Partitioner = Literal[
    "consistent", "consistent_random", "murmur2", "murmur2_random", "fnv1a", "fnv1a_random", "random"
]  # fmt: skip
Count = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]


class JsonFormat(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="name", tag="json"):
    """JSON events, packed many to a message unless a key is given."""

    update_format: Literal["insert_delete"] = "insert_delete"
    json_flavor: Literal["default"] | None = None
    buffer_size_records: Count = 10000
    array: bool = False


class WriterConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is penstock's own: the `writer` member, and the keywords and flags of the same names."""

    workers: Annotated[int, msgspec.Meta(ge=0, le=1024)] | None = None
    memory_bytes: Count = 256 * MIB
    op_column: str | None = None
    weight_column: str | None = None
    partition_column: str | None = None
    key: tuple[str, ...] = ()
    key_format: KeyFormat = "json"
    partition_by: tuple[str, ...] = ()
    partitioner: Partitioner = "murmur2_random"
    shutdown_timeout_secs: Seconds = 10.0


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table of settings.

    name     the keyword of open, write and preview, and the member of `writer` where it is one of ours
    flag     its command-line flag; None where it is given in the configuration only
    type     what it takes, for people
    default  its default as text; '' where there is none
    """

    name: str
    flag: str | None
    type: str
    default: str
    meaning: str
    reason: str


def _setting(name: str, kind: str, default: str, meaning: str, reason: str, *, flag: bool = True) -> Setting:
    spelt = f"--{name.replace('_', '-')}" if flag else None
    return Setting(name=name, flag=spelt, type=kind, default=default, meaning=meaning, reason=reason)


_COLUMN, _COLUMNS = "column", "columns, with commas between"
SETTINGS: Final = (
    _setting("topic", "text", "", "topic that the rows are written to", "there is no sensible default"),
    _setting(
        "bootstrap_servers", "host:port, with commas between", "$REDPANDA_BROKERS, else localhost",
        "brokers to start from; librdkafka's bootstrap.servers", "as the original connector; the port defaults to 9092",
    ),
    _setting("format", "name or JSON object", "json", "form of the messages", "the connector's most common format"),
    _setting(
        "format.update_format", "insert_delete", "insert_delete",
        'each event is {"insert":ROW} or {"delete":ROW}', "the connector's default", flag=False,
    ),
    _setting(
        "format.json_flavor", "default", "default", "how each Arrow type is written in JSON",
        "the flavor that belongs to insert_delete", flag=False,
    ),
    _setting(
        "format.buffer_size_records", "whole number", "10000", "most events in one message",
        "the connector's default; at the usual row sizes message.max.bytes is reached first", flag=False,
    ),
    _setting(
        "format.array", "true or false", "false",
        "a message is one JSON array instead of one event per line", "the connector's default", flag=False,
    ),
    _setting(
        "headers", "list of key and value", "", "headers of every message, in the order given",
        "a header costs about as much CPU time as a small row, so there are none unless asked for", flag=False,
    ),
    _setting(
        "key", _COLUMNS, "", "columns of the message key; each row is then its own message",
        "packed messages are several times faster, and have no key",
    ),
    _setting(
        "key_format", "json, string or bytes", "json",
        "the key as a compact JSON object, or the raw bytes of one string or binary column",
        "any columns have a JSON form",
    ),
    _setting(
        "partition_by", _COLUMNS, "", "columns whose rows stay together and in order in one partition, packed",
        "rows without it go to whichever partition is next, which packs best",
    ),
    _setting(
        "partition_column", _COLUMN, "", "integer column with the number of the row's partition; it is not written",
        "the partitioner decides",
    ),
    _setting(
        "partitioner", "consistent, consistent_random, murmur2, murmur2_random, fnv1a, fnv1a_random or random",
        "murmur2_random", "hash that turns key or partition_by into a partition; librdkafka's option of that name",
        "the partition that a Java producer chooses for the same key",
    ),
    _setting(
        "op_column", _COLUMN, "", "column that says insert, delete or upsert; it is not written",
        "without it every row is an insert",
    ),
    _setting(
        "weight_column", _COLUMN, "",
        "integer column: n writes the row n times, -n as deletes, 0 not at all; it is not written",
        "without it every row counts once",
    ),
    _setting(
        "workers", "whole number, 0 to 1024", f"usable cores, at most {MAX_DEFAULT_WORKERS}",
        "processes that encode and send; 0 does it inside the calling process",
        "affinity and CPU quota are respected; the caller cannot feed more, and small memory_bytes allows fewer",
    ),
    _setting(
        "memory_bytes", 'bytes, or a text such as "512 MiB"', "256 MiB",
        "arena, encode buffers and librdkafka's queues of all workers together",
        f"keeps the full window of {IN_FLIGHT_MESSAGES} messages for 2 workers; the least is 8 MiB per worker",
    ),
    _setting(
        "initialization_timeout_secs", "whole number, 1 or more", "60",
        "how long opening may take to reach the broker and the topic", "the connector's default",
    ),
    _setting(
        "shutdown_timeout_secs", "number", "10", "how long a closing worker may take before it is ended",
        "flushing is done by then; what is left is a worker that does not answer",
    ),
    _setting(
        "log_level", "emerg, alert, critical, error, warning, notice, info or debug", "",
        "what librdkafka logs", "librdkafka's own choice, info",
    ),
)  # fmt: skip
