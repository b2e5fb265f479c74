"""changes: which column says what each row means, and in how many passes a batch is read for it.

No such column: all inserts. `op_column`: a log, order kept as given. `weight_column`: a signed count (a Z-set); the
deletes of a batch come before its inserts. The rows themselves are read in src/core/select.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.columns import find_integers, find_text

if TYPE_CHECKING:
    import pyarrow as pa

    from penstock.config import WriterConfig

__all__ = ["Changes", "find_changes"]


@dataclass(frozen=True)
class Changes:
    """mode: inserts, op or weight; column: its number, -1 for inserts."""

    mode: str
    column: int

    def passes(self, *, one_piece: bool) -> tuple[str, ...]:
        """Which rows to take in each reading of a batch.

        A batch of several pieces is read twice where deletes must come first: first all deletes, then all inserts.
        """
        if self.mode == "weight" and not one_piece:
            return ("deletes", "inserts")
        return ("both",)


def find_changes(schema: pa.Schema, writer: WriterConfig) -> Changes:
    """Find the column; ConfigError when it is missing or of a type that says no operation."""
    if writer.op_column is not None:
        return Changes("op", find_text(schema, writer.op_column, "op_column"))
    if writer.weight_column is not None:
        return Changes("weight", find_integers(schema, writer.weight_column, "weight_column"))
    return Changes("inserts", -1)
