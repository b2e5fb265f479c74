"""fields: what a message has beside its value and key, from columns: headers, timestamp, topic, a missing value.

Each of them makes every row a message of its own. They are read in src/core/fields.cpp; here the columns are found and
checked. The topics that a column may name are checked before anything of a block is sent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from penstock.columns import find_column, find_suitable
from penstock.config.topics import is_pattern, is_topic
from penstock.layout import FieldsLayout
from penstock.names import shown

if TYPE_CHECKING:
    import pyarrow as pa

    from penstock import _core
    from penstock.config import WriterConfig

__all__ = ["AllowedTopics", "columns_left_out", "find_fields"]


def find_fields(
    schema: pa.Schema, core: _core.Schema, writer: WriterConfig, partition_column: int
) -> FieldsLayout | None:
    """Find the columns; None when no setting names one, ConfigError for one that is missing or cannot serve."""

    def find(name: str | None, setting: str, role: str) -> int:
        return -1 if name is None else find_suitable(schema, core, name, setting, role)

    topic_column = find(writer.topic_column, "topic_column", "topic")
    found = FieldsLayout(
        headers_column=find(writer.headers_column, "headers_column", "headers"),
        header_columns=tuple(find(name, "header_columns", "header") for name in writer.header_columns),
        timestamp_column=find(writer.timestamp_column, "timestamp_column", "timestamp"),
        topic_column=topic_column,
        partition_column=partition_column if topic_column >= 0 else -1,
        tombstone_column=-1
        if writer.tombstone_column is None
        else find_column(schema, writer.tombstone_column, "tombstone_column"),
    )
    return None if found == FieldsLayout() else found


def columns_left_out(fields: FieldsLayout | None) -> set[int]:
    """Return the columns that are sent beside the value and so not in it; a tombstone_column is as any other."""
    if fields is None:
        return set()
    return {fields.headers_column, *fields.header_columns, fields.timestamp_column, fields.topic_column}


class AllowedTopics:
    """Whether a topic_column may hold a name: one of `topics`, or what its pattern matches as a whole."""

    def __init__(self, topics: tuple[str, ...]) -> None:
        self._names = topics
        self._pattern = re.compile(topics[0]) if is_pattern(topics) else None

    def refusal(self, name: str) -> str:
        """Return why the name is refused, as a sentence about a value; empty when it is allowed."""
        if self._pattern is None:
            if name in self._names:
                return ""
            known = ", ".join(self._names[:8]) + (", …" if len(self._names) > 8 else "")  # noqa: PLR2004
            return f"topic {shown(name)} is not among topics={known}; add it there, or mend the row"
        if not is_topic(name):
            return f"{shown(name)} is not a topic name; Kafka takes 1 to 249 of letters, digits, '.', '_', '-'"
        if self._pattern.fullmatch(name) is None:
            return f"topic {shown(name)} does not match topics={self._pattern.pattern}; widen that, or mend the row"
        return ""
