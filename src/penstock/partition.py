"""partition: what decides a row's Kafka partition, and which worker owns it.

A partition column; else the key's bytes (or those of the `partition_by` columns) and a partitioner; else, without a
key, a run of rows stays together and runs are dealt round the partitions. Partition p belongs to worker p % workers for
the life of the writer, so rows with equal keys keep their order. The sorting itself is native: select.cpp, hash.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.columns import find_column, find_integers, find_text
from penstock.layout import JsonKey, RawKey

if TYPE_CHECKING:
    import pyarrow as pa

    from penstock.config import WriterConfig
    from penstock.layout import KeyLayout

__all__ = ["Placement", "find_key", "find_placement"]


@dataclass(frozen=True)
class Placement:
    """What chooses a row's partition where its message has no key.

    hashed            the columns of partition_by as a key that is hashed and not sent; None: there are none
    partition_column  its number, -1: none
    """

    hashed: KeyLayout | None
    partition_column: int
    partitioner: str


def find_placement(schema: pa.Schema, writer: WriterConfig) -> Placement:
    """Find the columns; ConfigError for one that is missing or of a type that cannot serve."""
    columns = tuple(find_column(schema, name, "partition_by") for name in writer.partition_by)
    return Placement(
        hashed=JsonKey(columns) if columns else None,
        partition_column=-1
        if writer.partition_column is None
        else find_integers(schema, writer.partition_column, "partition_column"),
        partitioner=writer.partitioner,
    )


def find_key(schema: pa.Schema, writer: WriterConfig) -> KeyLayout | None:
    """Find the columns of the message key; ConfigError for one that is missing or of a type that cannot serve."""
    if not writer.key:
        return None
    if writer.key_format == "json":
        return JsonKey(tuple(find_column(schema, name, "key") for name in writer.key))
    return RawKey(find_text(schema, writer.key[0], f"key with key_format={writer.key_format}"))
