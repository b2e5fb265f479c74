"""The settings as keywords of open, write and preview, for type checkers and editors: nothing runs by this.

Their meanings and defaults stand in table.py, what is checked in settings.py; a test holds the names together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypedDict

from penstock.config.settings import Delivery, KeyFormat, LogLevel, OversizePolicy, Partitioner, RowPolicy  # noqa: TC001 - get_type_hints may ask

__all__ = ["Settings"]

Names = str | list[str] | tuple[str, ...]
Headers = Mapping[str, str | bytes | None] | Iterable[tuple[str, str | bytes | None]] | Iterable[Mapping[str, Any]]


class Settings(TypedDict, total=False):
    """Every setting but topic, bootstrap_servers and format, which have parameters of their own; None: not given."""

    # changes across rows and batches
    index: str | None
    enable_output_buffer: bool | None
    max_output_buffer_time_millis: int | None
    max_output_buffer_size_records: int | None
    # key and partition
    headers: Headers | None
    key: Names | None
    key_format: KeyFormat | None
    partition_by: Names | None
    partition_column: str | None
    partitioner: Partitioner | None
    # what a row does
    op_column: str | None
    weight_column: str | None
    relation: Mapping[str, Any] | None
    max_weight: int | None
    # fields of a message
    key_in_value: bool | None
    headers_column: str | None
    header_columns: Names | None
    timestamp_column: str | None
    topic_column: str | None
    topics: Names | None
    tombstone_column: str | None
    # debezium
    before_column: str | None
    after_column: str | None
    schemas: bool | None
    tombstones: bool | None
    debezium_source: bool | None
    # json
    binary_base64: bool | None
    keep_decimal_scale: bool | None
    iso_timestamps: bool | None
    non_finite: Literal["null", "error", "string"] | None
    omit_nulls: bool | None
    # csv
    csv_header: bool | None
    csv_weight: bool | None
    csv_quote: Literal["necessary", "always", "strings"] | None
    csv_null: str | None
    csv_nested_json: bool | None
    # avro
    avro_minimal_decimals: bool | None
    avro_uuid: bool | None
    avro_defaults: bool | None
    # schema registry
    auto_register: bool | None
    check_compatibility: bool | None
    # jobs that go on where they stopped
    job: str | None
    delivery: Delivery | None
    lanes: int | None
    epoch_rows: int | None
    epoch_bytes: int | str | None
    epoch_secs: float | None
    progress_topic: str | None
    restart: bool | None
    # rows that cannot go
    on_bad_row: RowPolicy | None
    on_oversize: OversizePolicy | None
    truncate_columns: Names | None
    dead_letter: str | None
    reorder_on_reject: bool | None
    # topics and logins
    create_topic: Mapping[str, Any] | None
    region: str | None
    aws_iam: bool | None
    aws_role_arn: str | None
    oauth_cb: str | Callable[..., tuple[Any, ...]] | None
    # processes, memory, time
    workers: int | None
    memory_bytes: int | str | None
    initialization_timeout_secs: int | None
    shutdown_timeout_secs: float | None
    delivery_timeout_secs: float | None
    worker_timeout_secs: float | None
    max_restarts_per_min: int | None
    log_level: LogLevel | None
    # the receipt
    audit: bool | None
