"""batch: what a source yields, cut into pieces of bounded size, and when two schemas are the same.

    Source ──▶ Batch (one RecordBatch given, one of an IPC file, one Parquet row group)
                 └──▶ piece (RecordBatch, at most 65536 rows and about 32 MiB) ──▶ arena

A Batch holds no rows of its own where they can be read again: a piece lives as long as the caller keeps it.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from penstock.errors import EncodeError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "PIECE_BYTES",
    "ROWS_PER_PIECE",
    "Batch",
    "Begin",
    "Origins",
    "bytes_of",
    "check_same_columns",
    "find_row",
    "piece_rows",
    "row_error",
    "row_name",
    "slices",
]

ROWS_PER_PIECE = 65536
# 65536 rows of the usual 100 to 500 bytes stay far below this; rows of 100 kB would be 6.5 GB in one piece without it.
PIECE_BYTES = 32 << 20
# Sizes are averages, and a dictionary counts in full in each of them: never cut finer than this on their word.
_LEAST_ROWS = 1024


@dataclass(frozen=True)
class Batch:
    """Rows that belong together: a message never spans two batches.

    schema     of every piece, exactly; logically that of the Source, though a string may be dictionary-encoded here
    origin     what errors name: a file's path as the user gave it, or 'batch', 'batch 3', 'polars.DataFrame'
    first_row  number of the first row within origin, counted from 0
    borrowed   the memory is the caller's, who may change it later
    rows       how many it has, None where only decoding would tell

    Where it lies in the files of its source, for positions in them; None where it does not:

    file          which of them, counted from 0
    row_group     its number in a Parquet file
    record_batch  its number in an IPC file
    part_row      number in the file of the first row of that record batch: first_row is behind it after Source.start_at
    """

    schema: pa.Schema
    origin: str
    first_row: int
    decode: Callable[[], Iterator[pa.RecordBatch]] = field(repr=False, compare=False)
    borrowed: bool = field(default=False, compare=False)
    rows: int | None = field(default=None, compare=False)
    file: int | None = field(default=None, compare=False)
    row_group: int | None = field(default=None, compare=False)
    record_batch: int | None = field(default=None, compare=False)
    part_row: int | None = field(default=None, compare=False)

    def pieces(self) -> Iterator[pa.RecordBatch]:
        """Read the rows in order, as RecordBatches of at most 65536 rows and about 32 MiB; a batch of no rows has none.

        Again    may be called again, for a second pass: files are decoded again, in-memory batches only sliced
        Copies   none for what is in memory; each piece of a file is its own memory, freed when it is let go
        Raises   SourceError for a broken file, naming the rows read before; the pieces already given stay good
        """
        return self.decode()


@dataclass(frozen=True)
class Begin:
    """Where in a file to begin: batches that end at or before `row` are not given, the one that has it from there on.

    row           number in the file
    record_batch  of an IPC file, the one that has the row or ends with it
    part_row      number in the file of that record batch's first row
    """

    row: int
    record_batch: int = 0
    part_row: int = 0


class Origins:
    """Where the rows of several batches came from that were laid one behind the other."""

    def __init__(self, parts: list[tuple[int, str, int]]) -> None:
        self._parts = parts  # (row of the whole, origin, row of the origin), for each part its first

    def find(self, row: int) -> tuple[str, int]:
        """Return the origin of a row of the whole, and the row's number there."""
        start, origin, first = self._parts[bisect.bisect_right(self._parts, row, key=lambda part: part[0]) - 1]
        return origin, first + row - start


def row_error(origin: str | Origins, row: int, column: str, text: str) -> EncodeError:
    """Return the error for a row that cannot be encoded."""
    origin, row = find_row(origin, row)
    where = f'row {row}, column "{column}"' if column else f"row {row}"
    return EncodeError(f"{origin}: {where}: {text}", row=row, column=column or None, source=origin)


def row_name(origin: str | Origins, row: int) -> str:
    """Return what a row is called outside of errors about its values."""
    origin, row = find_row(origin, row)
    return f"{origin}: row {row}"


def find_row(origin: str | Origins, row: int) -> tuple[str, int]:
    """Return where a row came from, and its number there."""
    return (origin, row) if isinstance(origin, str) else origin.find(row)


def piece_rows(rows: int, size: int) -> int:
    """Say how many of `rows` rows, `size` bytes in all, make a piece."""
    if size <= PIECE_BYTES or rows == 0:
        return ROWS_PER_PIECE
    return max(_LEAST_ROWS, min(ROWS_PER_PIECE, PIECE_BYTES * rows // size))


def slices(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cut a RecordBatch into pieces, without copying."""
    rows: int = batch.num_rows
    if rows == 0:  # its columns may lack their buffers, and pyarrow's nbytes reads them all the same
        return
    step = piece_rows(rows, bytes_of(batch))
    if rows <= step:
        yield batch
        return
    for start in range(0, rows, step):
        yield batch.slice(start, step)


def bytes_of(batch: pa.RecordBatch) -> int:
    """Say how large the rows are.

    String views share their bytes with other rows: nbytes counts all of them, 107 MB for each 65536 rows of a polars
    frame of 107 MB (and before pyarrow 26 it raises). So a thousand rows, evenly spread, are measured without sharing.
    """
    rows: int = batch.num_rows
    size = 0
    for column in batch.columns:
        if _is_view(column.type):
            bare = pa.large_string() if pa.types.is_string_view(column.type) else pa.large_binary()
            runs = [column.slice(start, 64).cast(bare) for start in range(0, rows, max(64, rows // 16))]
            size += sum(run.nbytes for run in runs) * rows // max(1, sum(map(len, runs)))
            continue
        try:
            size += column.nbytes
        except pa.ArrowException:  # lists of views, before pyarrow 26
            size += column.get_total_buffer_size()
    return size


def _is_view(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string_view(kind) or pa.types.is_binary_view(kind))


def check_same_columns(expected: pa.Schema, found: pa.Schema, *, expected_in: str, found_in: str) -> None:
    """Refuse `found` when it would be written otherwise than `expected`.

    The same: string, large_string, string_view and dictionaries of them; the binary family; list, large_list and
    list_view; decimals of any width; nullability; metadata. Not the same: names, order, other types, and the field
    metadata `sql_type`, since that changes what is written.

    Raises    SchemaError naming the first column that differs, what was found and what was expected
    """
    if found.equals(expected, check_metadata=True):
        return
    old, new = list(expected.names), list(found.names)
    if old != new:
        _refuse_names(expected, found, expected_in, found_in)
    for want, have in zip(expected, found, strict=True):
        if _meaning(want) != _meaning(have):
            raise SchemaError(
                f'{found_in}: column "{have.name}" is {_text(have)}, {expected_in} has {_text(want)}; '
                "cast one of them, or write them apart",
                source=found_in,
                column=have.name,
                found=_text(have),
                expected=_text(want),
            )


def _refuse_names(expected: pa.Schema, found: pa.Schema, expected_in: str, found_in: str) -> None:
    old, new = list(expected.names), list(found.names)
    advice = "select the same columns in the same order, or write them apart"
    for name in old:
        if name not in new:
            kind = _type_text(expected.field(old.index(name)).type)
            raise SchemaError(
                f'{found_in}: column "{name}" is missing, {expected_in} has it as {kind}; {advice}',
                source=found_in,
                column=name,
                found=None,
                expected=kind,
            )
    for name in new:
        if name not in old:
            kind = _type_text(found.field(new.index(name)).type)
            raise SchemaError(
                f'{found_in}: column "{name}" ({kind}) is new, {expected_in} does not have it; {advice}',
                source=found_in,
                column=name,
                found=kind,
                expected=None,
            )
    first = next(
        (i for i, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), min(len(old), len(new))
    )
    raise SchemaError(
        f"{found_in}: the columns come as {_some(new)}, {expected_in} has {_some(old)}; {advice}",
        source=found_in,
        column=(new + old)[first] if first < len(new) else old[first],
        found=tuple(new),
        expected=tuple(old),
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")  # noqa: PLR2004 - an error stays one line


def _sql_type(column: pa.Field) -> str | None:
    text: bytes | None = (column.metadata or {}).get(b"sql_type")
    return None if text is None else text.decode(errors="replace")


def _text(column: pa.Field) -> str:
    sql_type = _sql_type(column)
    return _type_text(column.type) + (f" with sql_type {sql_type}" if sql_type else "")


def _type_text(kind: pa.DataType) -> str:
    """Name the type as its owner would: whether a Parquet column is read as a dictionary is our choice."""
    return _type_text(kind.value_type) if pa.types.is_dictionary(kind) else str(kind)


def _meaning(column: pa.Field) -> tuple[Any, ...]:
    return column.name, _sql_type(column), _kind(column.type)


def _kind(kind: pa.DataType) -> Any:  # noqa: ANN401, PLR0911 - nested tuples, one answer per family of types
    """Reduce a type to what is written for it, as something that compares and hashes."""
    is_ = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return "extension", kind.extension_name, _kind(kind.storage_type)
    if is_.is_dictionary(kind) or is_.is_run_end_encoded(kind):
        return _kind(kind.value_type)
    if is_.is_string(kind) or is_.is_large_string(kind) or is_.is_string_view(kind):
        return "string"
    if is_.is_binary(kind) or is_.is_large_binary(kind) or is_.is_binary_view(kind):
        return "binary"
    if is_.is_decimal(kind):
        return "decimal", kind.precision, kind.scale
    if is_.is_map(kind):
        return "map", _kind(kind.key_type), _sql_type(kind.item_field), _kind(kind.item_type)
    if is_.is_fixed_size_list(kind):
        return "fixed_size_list", kind.list_size, _sql_type(kind.value_field), _kind(kind.value_type)
    if is_.is_list(kind) or is_.is_large_list(kind) or is_.is_list_view(kind) or is_.is_large_list_view(kind):
        return "list", _sql_type(kind.value_field), _kind(kind.value_type)
    if is_.is_struct(kind):
        return "struct", *(_meaning(kind.field(i)) for i in range(kind.num_fields))
    return kind
