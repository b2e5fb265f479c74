"""partition: what decides a row's Kafka partition, and which worker owns it.

A partition column; else the key's bytes (or those of the `partition_by` columns) and a partitioner; else, without a
key, a run of rows stays together and runs are dealt round the partitions. Partition p belongs to worker p % workers for
the life of the writer, so rows with equal keys keep their order. The sorting itself is native: select.cpp, hash.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.columns import find_column, find_integers, find_text

if TYPE_CHECKING:
    import pyarrow as pa

    from penstock.config import WriterConfig

__all__ = ["Placement", "find_placement"]


@dataclass(frozen=True)
class Placement:
    """Column numbers and modes, as _core.Selector takes them.

    key               none, json or raw: the bytes that are hashed
    message_key       the same for the message's key; none where partition_by only chooses the partition
    partition_column  -1: none
    """

    key: str
    message_key: str
    key_columns: tuple[int, ...]
    partition_column: int
    partitioner: str

    @property
    def affine(self) -> bool:
        """True when each partition belongs to one worker; False when runs may go to any."""
        return self.key != "none" or self.partition_column >= 0


def find_placement(schema: pa.Schema, writer: WriterConfig) -> Placement:
    """Find the columns; ConfigError for one that is missing or of a type that cannot serve."""
    names, setting = (writer.key, "key") if writer.key else (writer.partition_by, "partition_by")
    raw = bool(writer.key) and writer.key_format != "json"
    find = find_text if raw else find_column
    columns = tuple(
        find(schema, name, f"{setting} with key_format={writer.key_format}" if raw else setting) for name in names
    )
    mode = "none" if not columns else "raw" if raw else "json"
    return Placement(
        key=mode,
        message_key=mode if writer.key else "none",
        key_columns=columns,
        partition_column=-1
        if writer.partition_column is None
        else find_integers(schema, writer.partition_column, "partition_column"),
        partitioner=writer.partitioner,
    )
