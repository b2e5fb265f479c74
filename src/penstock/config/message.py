"""Which settings of a message's key and fields go together, and with which formats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from penstock.config.topics import is_pattern
from penstock.errors import ConfigError
from penstock.names import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.config.connector import Given
    from penstock.config.settings import WriterConfig

__all__ = ["check_message", "check_policies"]

# Each of these makes every row a message of its own.
_PER_ROW: Final = ("key", "headers_column", "header_columns", "timestamp_column", "topic_column", "tombstone_column")
_POLICIES: Final = ("on_bad_row", "on_oversize")
_ALWAYS_PACKED: Final = {
    "parquet": "a Parquet file holds many rows",
    "arrow": "an Arrow stream holds many rows",
    "python": "an encoder in Python makes its own messages of many rows",
}


def check_message(form: Any, writer: WriterConfig, given: Mapping[str, Given]) -> None:  # noqa: ANN401 - any format
    """Refuse settings of key, headers, timestamp and topic that make no sense together; both sides are named."""
    name = str(form.__struct_config__.tag)
    per_row = [setting for setting in _PER_ROW if getattr(writer, setting)]
    if per_row and name in _ALWAYS_PACKED:
        raise ConfigError(
            f"{per_row[0]} and format {name} exclude each other: {_ALWAYS_PACKED[name]}, and {per_row[0]} is each "
            "row's own; leave it out, or choose json, csv, avro or protobuf"
        )
    _check_key(form, name, writer)
    _check_topics(writer, given)


def _check_key(form: Any, name: str, writer: WriterConfig) -> None:  # noqa: ANN401 - any format
    if writer.key_format == "avro" and name != "avro":
        raise ConfigError(
            f"key_format=avro and format {name} exclude each other: an Avro key belongs to Avro values; "
            "use format avro, or another key_format"
        )
    if writer.key_format in {"string", "bytes"} and len(writer.key) != 1:
        raise ConfigError(
            f"key_format={writer.key_format} takes the raw bytes of exactly one key column, "
            f"found {len(writer.key)} in key; name one column, or use key_format=json"
        )
    if writer.key_format in {"avro", "big_endian"} and not writer.key:
        raise ConfigError(f"key_format={writer.key_format} needs key; name its columns, or leave it out")
    if not writer.key_in_value and not writer.key and not getattr(form, "key_fields", None):
        raise ConfigError("key_in_value=False needs key: it leaves the columns of the key out of the value")
    if writer.key and getattr(form, "key_mode", None) == "key_fields":
        raise ConfigError(
            f"key={','.join(writer.key)} and key_mode=key_fields of format {name} both make the message key; give one "
            "of them"
        )


def _check_topics(writer: WriterConfig, given: Mapping[str, Given]) -> None:
    column = writer.topic_column
    if column is None:
        if writer.topics:
            raise ConfigError(
                f"{given['topics'].where} needs topic_column: it says which topics that column may name; give it, or "
                "name the one topic in topic"
            )
        return
    if not writer.topics:
        raise ConfigError(
            f"topic_column={shown(column)} needs topics, what it may hold: a list of names, or a pattern such as "
            '"^orders-.*"'
        )
    if writer.partition_by:
        raise ConfigError(
            f"topic_column={shown(column)} and partition_by exclude each other: partition_by packs the rows of a "
            "partition, and rows of several topics share no message; give key, or leave one of them out"
        )
    topic = given["topic"].value if "topic" in given else None
    if topic is not None and not is_pattern(writer.topics) and topic not in writer.topics:
        raise ConfigError(
            f"{given['topic'].where}={shown(topic)} is not among topics, all that topic_column={shown(column)} may "
            "hold; add it there, or leave topic out"
        )


def check_policies(writer: WriterConfig) -> None:
    """Refuse a policy for rows that cannot go without what it needs, and what no policy needs."""
    kept = [setting for setting in _POLICIES if getattr(writer, setting) == "dead_letter"]
    if kept and writer.dead_letter is None:
        raise ConfigError(f"{kept[0]}=dead_letter needs dead_letter, the file to keep the rows in; give its path")
    if writer.dead_letter is not None and not kept:
        raise ConfigError(
            f"dead_letter={shown(writer.dead_letter)} has no effect without on_bad_row=dead_letter or "
            "on_oversize=dead_letter; give one of them, or leave it out"
        )
    if writer.on_oversize == "truncate" and not writer.truncate_columns:
        raise ConfigError("on_oversize=truncate needs truncate_columns: which columns may be cut; name them")
    if writer.on_oversize != "truncate" and writer.truncate_columns:
        raise ConfigError("truncate_columns has no effect without on_oversize=truncate; give it, or leave them out")
    if writer.on_oversize == "truncate" and writer.before_column is not None:
        raise ConfigError(
            "on_oversize=truncate and before_column exclude each other: the columns are in its struct; choose another "
            "policy"
        )
