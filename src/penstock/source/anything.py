"""source: anything Arrow-shaped, or any file, becomes an iterator of Batch. Knows nothing of Kafka.

    RecordBatch, Table, RecordBatchReader ─┐
    __arrow_c_stream__, __arrow_c_array__ ─┤
    an iterable of those ──────────────────┼──▶ Source ──▶ Batch ──▶ pieces of at most 65536 rows
    paths ─▶ places ─▶ files ─▶ decode ────┘

Imports pyarrow (0.35 s): import this module only where a source is opened.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from penstock.errors import ConfigError, SourceError
from penstock.source.batch import ROWS_PER_PIECE, Batch, check_same_columns, slices
from penstock.source.files import Files
from penstock.source.places import check_format, first_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["ROWS_PER_PIECE", "Batch", "Source", "open_source"]

_TAKEN = (
    "a pyarrow, polars, pandas, DuckDB or nanoarrow object, an iterable of such, or paths of Parquet, Arrow IPC, CSV "
    "or JSON lines files"
)
_PATHS = (str, os.PathLike)
_UNNAMED_INDEX = re.compile(r"__index_level_\d+__")


class Source:
    """Rows to write, opened: the columns are known and nothing has been read. Closes its files when the block is left.

    schema  of the first batch; later ones are logically the same (a string may be dictionary-encoded in one of them)
    rows    how many there are in all, None when that is not known without reading them; start_at does not change it
    files   what positions are made in, None where the rows are not of files
    """

    def __init__(
        self,
        schema: pa.Schema,
        rows: int | None,
        start: Callable[[], Iterator[Batch]],
        close: Callable[[], None],
        files: Files | None = None,
    ) -> None:
        self.schema = schema
        self.rows = rows
        self.files = files
        self._start: Callable[[], Iterator[Batch]] | None = start
        self._close = close
        self._closed = False

    def batches(self) -> Iterator[Batch]:
        """Read the batches, once, in order.

        Memory    one Batch of what is given in memory or as a stream, one piece of what is read from files
        Raises    SourceError for what cannot be read, SchemaError for a batch whose columns differ from `schema`; the
                  batches before it stay good. What a caller's own iterator raises comes through unchanged
        """
        start, self._start = self._unread(), None
        return start()

    def position(self, batch: Batch, row: int) -> dict[str, Any] | None:
        """Say where row `row` of a batch of this source is, as JSON, for start_at of a source opened later.

        row      0 to its number of rows, which means behind the batch
        Returns  None where the source cannot be opened again: it is no files, or has a pipe among them. Otherwise
                 file (its name in errors), number (which of the files, from 0), row_group (of Parquet) or
                 record_batch (of an IPC file), row (of the file); size, modified (ns since 1970) and footer (a
                 hash) of the file, and before, a hash of these of all files before it
        Raises   SourceError for a file that changed since it was opened: no one could go on in it
        """
        return None if self.files is None else self.files.position(batch, row)

    def start_at(self, position: dict[str, Any]) -> None:
        """Have batches() begin with the row of a position, whose file and all before it must be as they were then.

        Order    row groups, and record batches of an IPC file, are skipped unread; what is before the row in its row
                 group is decoded, and so is what is before it in a stream, CSV or JSON lines
        Rows     of the first batch are those from there on, first_row tells which they are; behind the last row of
                 all, batches() gives nothing. Files may have been added at the end
        Raises   SourceError naming the file and what changed: missing, another order, size, modification time, content;
                 or for a source that has no positions. batches() then begins where it would have before
        """
        self._unread()
        if self.files is None:
            raise SourceError("this source is no files, so it cannot go on from a position; give paths of files")
        self.files.start_at(position)

    def _unread(self) -> Callable[[], Iterator[Batch]]:
        if self._closed or self._start is None:
            state = "closed" if self._closed else "already being read"
            raise SourceError(f"this source is {state}; open it again to read it again")
        return self._start

    def close(self) -> None:
        """Close the files; may be called twice."""
        if not self._closed:
            self._closed = True
            self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_source(source: object, *, input_format: str | None = None, use_threads: bool = False) -> Source:
    """Open what is to be written, and check it as far as that goes without reading rows.

    source        anything with __arrow_c_stream__ or __arrow_c_array__; an iterable of such; a path, or several
    input_format  parquet, arrow, csv or jsonl, for paths whose name and content do not tell; None: they tell
    use_threads   decode files on pyarrow's threads as well: sooner where cores are idle, 15 % more CPU time
    Raises        SourceError, SchemaError, ConfigError (input_format); nothing is left open. A first item is taken from
                  an iterable, since only that tells the columns
    """
    check_format(input_format)
    if isinstance(source, _PATHS):
        return _files([source], input_format, use_threads=use_threads)
    if not _is_arrow(source) and not isinstance(source, (bytes, bytearray, memoryview, Mapping)):
        root = _name(source).partition(".")[0]
        if isinstance(source, Iterable) and root not in ("pandas", "polars", "numpy"):
            return _from_iterable(source, input_format, use_threads=use_threads)
    _no_format(input_format, source)
    schema, rows, start = _open_arrow(source, _label(source))
    return Source(schema, rows, start, _nothing)


def _nothing() -> None:
    pass


def _no_format(input_format: str | None, item: object) -> None:
    if input_format is not None:
        raise ConfigError(f'input_format: "{input_format}" is for paths, the source has {_a(item)}; leave it out')


def _files(paths: Iterable[str | os.PathLike[str]], input_format: str | None, *, use_threads: bool) -> Source:
    files = Files(paths, input_format, use_threads=use_threads)
    return Source(files.schema, files.rows, files.batches, files.close, files)


def _from_iterable(source: Iterable[object], input_format: str | None, *, use_threads: bool) -> Source:
    items = iter(source)
    try:
        first = next(items)
    except StopIteration:
        raise SourceError(
            "the source is an empty iterable, so the columns are not known; for no rows give a table without rows"
        ) from None
    if isinstance(first, _PATHS):
        paths: list[Any] = [first, *items]
        for index, path in enumerate(paths):
            if not isinstance(path, _PATHS):
                raise SourceError(
                    f"item {index} of the source is {_a(path)} among paths; give paths alone, or no paths"
                )
        return _files(paths, input_format, use_threads=use_threads)
    close = getattr(items, "close", _nothing)
    try:
        _no_format(input_format, first)
        schema, rows, start = _open_arrow(first, "batch 0")
    except BaseException:
        close()
        raise
    counted = rows if isinstance(source, (list, tuple)) and len(source) == 1 else None
    return Source(schema, counted, partial(_each, schema, start, items), close)


def _each(schema: pa.Schema, start: Callable[[], Iterator[Batch]], items: Iterator[object]) -> Iterator[Batch]:
    yield from start()
    for index, item in enumerate(items, 1):
        name = f"batch {index}"
        if isinstance(item, _PATHS):
            raise SourceError(f"item {index} of the source is a path among tables; give paths alone, or no paths")
        found, _, start = _open_arrow(item, name)
        check_same_columns(schema, found, expected_in="batch 0", found_in=name)
        yield from start()


def _open_arrow(item: Any, origin: str) -> tuple[pa.Schema, int | None, Callable[[], Iterator[Batch]]]:  # noqa: ANN401
    """Open one Arrow-shaped object: its schema, its rows where known, and how to read it."""
    if isinstance(item, pa.RecordBatch):
        return item.schema, item.num_rows, partial(_given, item.schema, origin, [item])
    if isinstance(item, pa.Table):
        # not through a capsule: a table of no chunks and one of many read alike, and nothing is copied
        return item.schema, item.num_rows, partial(_given, item.schema, origin, item.to_batches())
    if isinstance(item, pa.RecordBatchReader):
        # not through a capsule: what the caller's own generator raises behind it comes through as it is
        return item.schema, None, partial(_given, item.schema, origin, item)
    try:
        if _name(item) == "pandas.DataFrame" and hasattr(item, "__arrow_c_stream__"):
            return _open_arrow(_from_pandas(item), origin)
        if hasattr(item, "__arrow_c_stream__"):
            reader = pa.RecordBatchReader.from_stream(item)
            rows = len(item) if _root(item) == "polars" else None  # not of all: DuckDB's len() runs the query
            return reader.schema, rows, partial(_given, reader.schema, origin, reader)
        if hasattr(item, "__arrow_c_array__"):
            batch = pa.record_batch(item)
            return batch.schema, batch.num_rows, partial(_given, batch.schema, origin, [batch])
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        hint = "; give a table, whose every column has a name" if "non-struct" in str(error) else ""
        why = f"{origin}: {_a(item)} has no form as Arrow columns: {first_line(error)}{hint}"
        raise SourceError(why, source=origin) from error
    raise SourceError(f"{origin}: {_refusal(item)}", source=origin)


def _from_pandas(frame: Any) -> pa.Table:  # noqa: ANN401
    """Convert a pandas DataFrame, its indexes that have a name included.

    Not through its capsule: that leaves out an index of consecutive numbers, named or not, and makes a column of any
    other without a name, which is how pandas numbers the rows left by a filter.
    """
    table = pa.Table.from_pandas(frame, preserve_index=True)
    names = [n for n in table.column_names if n in frame.columns or not _UNNAMED_INDEX.fullmatch(n)]
    return table if len(names) == len(table.column_names) else table.select(names)


def _given(schema: pa.Schema, origin: str, batches: Iterable[pa.RecordBatch]) -> Iterator[Batch]:
    first_row = 0
    taken = iter(batches)
    while True:
        try:
            batch = next(taken, None)
        except (pa.ArrowException, OSError) as error:
            raise SourceError(
                f"{origin}: cannot be read after row {first_row}: {first_line(error)}", source=origin, row=first_row
            ) from error
        if batch is None:
            return
        yield Batch(schema, origin, first_row, partial(slices, batch), borrowed=True, rows=batch.num_rows)
        first_row += batch.num_rows


def _is_arrow(source: object) -> bool:
    return hasattr(source, "__arrow_c_stream__") or hasattr(source, "__arrow_c_array__")


def _root(item: object) -> str:
    return type(item).__module__.partition(".")[0].lstrip("_")


def _name(item: object) -> str:
    kind, root = type(item), _root(item)
    return kind.__name__ if root == "builtins" else f"{root}.{kind.__name__}"


def _label(item: object) -> str:
    return "batch" if isinstance(item, pa.RecordBatch) else _name(item)


def _a(item: object) -> str:
    name = _name(item)
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _refusal(item: object) -> str:
    name, root = _name(item), _root(item)
    if name == "polars.LazyFrame":
        advice = "call its collect()"
    elif hasattr(item, "to_batches"):
        advice = "give its to_batches()"
    elif root in ("pandas", "polars"):
        advice = f"this version of {root} has no Arrow interface; use pandas 2.2, polars 1.20 or later"
    elif isinstance(item, Mapping):
        advice = "for rows use pyarrow.RecordBatch.from_pylist(rows), for columns pyarrow.table(columns)"
    else:
        advice = f"give {_TAKEN}"
    return f"{_a(item)} is not Arrow data; {advice}"
