"""changes: what each row says of itself, what identifies it, and in how many passes a batch is read.

No column for it: all inserts. `op_column`: a log, order kept as given. `weight_column`: a signed count (a Z-set); the
deletes of a batch come before its inserts. `before_column` and `after_column`: two structs, the row before a change and
after it. The rows themselves are read in src/core/select.cpp; where rows are put together, consolidate.py holds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from penstock.columns import find_column, find_connector_columns, find_integers, find_text
from penstock.errors import ConfigError, SchemaError

if TYPE_CHECKING:
    import pyarrow as pa

    from penstock import _core
    from penstock.config import Config, WriterConfig

__all__ = ["Changes", "find_changes", "find_identity", "find_index_columns", "without_change"]


@dataclass(frozen=True)
class Changes:
    """mode: inserts, op, weight or images; column: its number, -1 for inserts; after: with images, the one after."""

    mode: str
    column: int
    after: int = -1

    def passes(self, *, one_piece: bool, judged: bool = False) -> tuple[str, ...]:
        """Which rows to take in each reading of a batch.

        A batch of several pieces is read twice where deletes must come first: first all deletes, then all inserts.
        judged  the rows have verdicts
        """
        if (judged or self.mode == "weight") and not one_piece:
            return ("deletes", "inserts")
        return ("both",)


def find_changes(schema: pa.Schema, writer: WriterConfig, *, snapshot: bool = False) -> Changes:
    """Find the columns; ConfigError when one is missing or of a type that cannot say what a row does.

    snapshot    every row is an insert; the column may be missing, an op column is not read, a weight says how often
    """
    if snapshot and (writer.op_column or writer.weight_column) not in schema.names:
        return find_changes(schema, msgspec.structs.replace(writer, op_column=None, weight_column=None))
    if writer.op_column is not None:
        at = find_text(schema, writer.op_column, "op_column")
        return Changes("inserts" if snapshot else "op", at)
    if writer.weight_column is not None:
        return Changes("weight", find_integers(schema, writer.weight_column, "weight_column"))
    if writer.before_column is not None and writer.after_column is not None:
        return _find_images(schema, writer)
    return Changes("inserts", -1)


def _find_images(schema: pa.Schema, writer: WriterConfig) -> Changes:
    """Find both structs; that they are such, and have the same fields, is seen to by the format that writes them."""
    names = {"before_column": writer.before_column, "after_column": writer.after_column}
    places = (find_column(schema, name, setting) for setting, name in names.items() if name is not None)
    return Changes("images", *places)


def find_index_columns(schema: pa.Schema, config: Config) -> tuple[int, ...]:
    """Return the numbers of the index's columns, () without an index; ConfigError for one that is missing."""
    index = config.index_columns
    if index is None:
        return ()
    name, columns = index
    if not columns:
        raise ConfigError(f'index: writer.relation.indexes gives "{name}" no columns; name those of its key')
    return find_connector_columns(schema, columns, f"writer.relation.indexes.{name}")


def find_identity(schema: pa.Schema, core: _core.Schema, config: Config, columns: set[int]) -> tuple[int, ...]:
    """Return `columns` in order: what makes two rows the same row; SchemaError for one that cannot be compared."""
    why = "enable_output_buffer" if config.index is None else "index"
    for at in sorted(columns):
        if not core.comparable(at):
            field = schema.field(at)
            raise SchemaError(
                f'column "{field.name}" is {str(field.type)[:200]}, whose values are not compared, and {why} needs '
                "that; cast it, or leave it out",
                column=field.name,
            )
    return tuple(sorted(columns))


def without_change(schema: pa.Schema, writer: WriterConfig) -> pa.Schema:
    """Return the schema without the column that says what a row does, which a snapshot may lack."""
    name = writer.op_column or writer.weight_column
    return schema.remove(schema.get_field_index(name)) if name in schema.names else schema
