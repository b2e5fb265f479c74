"""partition: what decides a row's Kafka partition, and which worker owns it.

A partition column; else the key's bytes (or those of the `partition_by` columns) and a partitioner; else, without a
key, a run of rows stays together and runs are dealt round the partitions. Partition p belongs to worker p % workers for
the life of the writer, so rows with equal keys keep their order. The sorting itself is native: select.cpp, hash.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.columns import find_integers
from penstock.keys import json_key

if TYPE_CHECKING:
    import pyarrow as pa

    from penstock import _core
    from penstock.config import WriterConfig
    from penstock.layout import KeyLayout

__all__ = ["Placement", "find_placement"]


@dataclass(frozen=True)
class Placement:
    """What chooses a row's partition where its message has no key.

    hashed            the columns of partition_by as a key that is hashed and not sent; None: there are none
    partition_column  its number, -1: none
    """

    hashed: KeyLayout | None
    partition_column: int
    partitioner: str


def find_placement(schema: pa.Schema, core: _core.Schema, writer: WriterConfig) -> Placement:
    """Find the columns; ConfigError for one that is missing or of a type that cannot serve."""
    return Placement(
        hashed=json_key(schema, core, writer.partition_by, "partition_by") if writer.partition_by else None,
        partition_column=-1
        if writer.partition_column is None
        else find_integers(schema, writer.partition_column, "partition_column"),
        partitioner=writer.partitioner,
    )
