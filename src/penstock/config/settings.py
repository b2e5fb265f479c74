"""The settings that are ours, by name: their types and their defaults.

The defaults that run are those of this struct; a test holds the table of settings (table.py) to them.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from penstock.config.memory import MIB
from penstock.names import function_name

__all__ = [
    "Count",
    "CreateTopic",
    "Delivery",
    "KeyFormat",
    "LogLevel",
    "OversizePolicy",
    "Partitioner",
    "Relation",
    "RowPolicy",
    "WriterConfig",
]

MAX_DEFAULT_WORKERS: Final = 8  # one caller reads and deals a few million rows/s: more workers than this would wait

LogLevel = Literal["emerg", "alert", "critical", "error", "warning", "notice", "info", "debug"]  # syslog's 0 to 7
KeyFormat = Literal["json", "string", "bytes", "avro", "big_endian"]
Partitioner = Literal[
    "consistent", "consistent_random", "murmur2", "murmur2_random", "fnv1a", "fnv1a_random", "random"
]  # fmt: skip
Delivery = Literal["at_least_once", "exactly_once"]
RowPolicy = Literal["fail", "skip", "dead_letter"]
OversizePolicy = Literal["fail", "skip", "dead_letter", "key_only", "truncate"]
Count = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]


class Relation(msgspec.Struct, frozen=True, dict=True):
    """What the rows are rows of: its name (None: the topic's) and its indexes, each a list of columns."""

    name: str | None = None
    indexes: dict[str, tuple[str, ...]] = {}


class CreateTopic(msgspec.Struct, frozen=True):
    """How a missing topic is made; None and no config: as the broker has it for topics that it makes itself."""

    partitions: int | None = None
    replication_factor: int | None = None
    config: dict[str, str] = {}


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
    delivery_timeout_secs: Annotated[float, msgspec.Meta(ge=0, le=2147483)] = 300.0
    worker_timeout_secs: Annotated[float, msgspec.Meta(ge=1)] = 10.0
    max_restarts_per_min: Count = 20
    audit: bool = False
    # jobs that go on where they stopped
    job: str | None = None
    delivery: Delivery = "at_least_once"
    lanes: Annotated[int, msgspec.Meta(ge=1, le=1024)] | None = None
    epoch_rows: Annotated[int, msgspec.Meta(ge=1)] | None = None
    epoch_bytes: Annotated[int, msgspec.Meta(ge=1)] | None = None
    epoch_secs: Annotated[float, msgspec.Meta(ge=0.01, le=3600)] = 1.0
    progress_topic: str = "penstock-progress"
    restart: bool = False
    # rows that cannot go
    on_bad_row: RowPolicy = "fail"
    on_oversize: OversizePolicy = "fail"
    truncate_columns: tuple[str, ...] = ()
    dead_letter: str | None = None
    reorder_on_reject: bool = False
    # topics and logins
    create_topic: CreateTopic | None = None
    region: str | None = None
    aws_iam: bool | None = None
    aws_role_arn: str | None = None
    oauth_cb: Any = None  # "module:function", or from Python the function itself
    # changes
    relation: Relation = Relation()
    max_weight: Count = 1_000_000
    # fields of a message
    key_in_value: bool = True
    headers_column: str | None = None
    header_columns: tuple[str, ...] = ()
    timestamp_column: str | None = None
    topic_column: str | None = None
    topics: tuple[str, ...] = ()
    tombstone_column: str | None = None
    # json
    before_column: str | None = None
    after_column: str | None = None
    schemas: bool = True
    tombstones: bool = False
    debezium_source: bool = False
    binary_base64: bool = False
    keep_decimal_scale: bool = False
    iso_timestamps: bool = False
    non_finite: Literal["null", "error", "string"] = "null"
    omit_nulls: bool = False
    # csv
    csv_header: bool = False
    csv_weight: bool = True
    csv_quote: Literal["necessary", "always", "strings"] = "necessary"
    csv_null: str = ""
    csv_nested_json: bool = False
    # avro
    avro_minimal_decimals: bool = False
    avro_uuid: bool = False
    avro_defaults: bool = False
    # schema registry
    auto_register: bool = True
    check_compatibility: bool = False

    def __repr__(self) -> str:
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        if callable(self.oauth_cb):
            values["oauth_cb"] = function_name(self.oauth_cb)
        return f"WriterConfig({', '.join(f'{name}={value!r}' for name, value in values.items())})"
