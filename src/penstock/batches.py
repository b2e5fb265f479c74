"""batches: messages that are made from whole batches in the worker, by pyarrow or by a function of the user's.

    chunk in the arena ──_core.Exporter──▶ pyarrow.RecordBatch ──pyarrow or plug-in──▶ messages ──▶ Producer

Imported only where a ColumnarLayout is met: it brings pyarrow along. Rows are exported in plain layout without a copy
where they stand together; plans are made in formats/columnar.py and formats/plugin.py.
"""

from __future__ import annotations

import importlib
import traceback
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from penstock import _core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from penstock.layout import ColumnarLayout, Layout

__all__ = ["BatchEncoder"]

_SHOWN: Final = 200
_HEADER_ROOM: Final = 10  # what Kafka adds to a header: two lengths, at most 5 bytes each
_MESSAGES: Final = "bytes, (key, value) or (key, value, headers), of bytes or None"
_CHANGES: Final = ("insert", "delete", "update")

Headers = list[tuple[str, bytes | None]]


class BatchEncoder:
    """Makes the messages of chunks of one layout. To be used for one chunk at a time, which lies still meanwhile."""

    def __init__(self, layout: Layout, form: ColumnarLayout) -> None:
        self.layout = layout
        self._form = form
        self._max_payload = layout.max_payload
        self._skip_bad, self._skip_oversize = layout.skip_bad, layout.skip_oversize
        self._exporter = _core.Exporter(_core.Schema(layout.spec), form.columns, form.table)
        self._exported = pa.ipc.read_schema(pa.py_buffer(form.exported))
        self._written = pa.ipc.read_schema(pa.py_buffer(form.written))
        if form.form == "python":
            self._plugin = _Plugin(form, self._exporter, self._max_payload)
        elif form.form == "parquet":
            from pyarrow import parquet  # noqa: PLC0415 - half as much again as pyarrow itself

            self._write: Callable[[pa.Table, pa.BufferOutputStream], None] = parquet.write_table
        else:
            self._write = _write_stream

    def messages(self, arena: int, place: _core.Place) -> Iterator[_core.EncodedMessage | _core.RowLeftOut]:
        """Encode a chunk, message by message; RowError for a row that cannot be, after the messages before it.

        A row that is to be left out then comes in the place of a message.
        """
        for group, (_, events) in enumerate(self._exporter.open(arena, place)):
            for first in range(0, events, self._form.records):
                end = min(first + self._form.records, events)
                if self._form.form == "python":
                    yield from self._plugin.messages(self._batch(group, first, end), group, first)
                else:
                    yield from self._files(group, first, end)

    def collect(self, arena: int, place: _core.Place, left_out: list[_core.RowLeftOut]) -> Iterator[_core.Message]:
        """Encode a chunk as Packer.collect does, message by message."""
        partitions = [partition for partition, _ in self._exporter.open(arena, place)]
        for message in self.messages(arena, place):
            if len(message) == 5:  # noqa: PLR2004 - a RowLeftOut
                left_out.append(message)
                continue
            group, key, value, headers, _, _ = message
            yield partitions[group], key, value, tuple(headers), 0, ""

    def _batch(self, group: int, first: int, end: int) -> pa.RecordBatch:
        rows = self._exporter.array(group, first, end)
        return pa.RecordBatch._import_from_c_capsule(self._exported.__arrow_c_schema__(), rows)  # noqa: SLF001

    def _files(self, group: int, first: int, end: int) -> Iterator[_core.EncodedMessage | _core.RowLeftOut]:
        """One message of these events, or as many as it takes for each to be small enough."""
        alone = end - first == 1
        parts, oversize = 2, False
        try:
            value = self._file(self._batch(group, first, end))
        except _core.RowError as error:  # text that is not UTF-8
            if not self._skip_bad:
                raise
            refused = error
        except (OverflowError, pa.ArrowException) as error:
            # A column beyond 2 GiB, or a value that pyarrow refuses: halves are smaller, and find the row.
            text = f"pyarrow cannot write the row as {self._form.form}: {str(error)[:_SHOWN]}"
            refused = _core.RowError(self._exporter.row(group, first), "", text)
            refused.__cause__ = error
        else:
            if len(value) <= self._max_payload:
                yield (group, None, value, [], *self._exporter.rows_ended(group, first, end))
                return
            refused, oversize = _too_large(self._exporter.row(group, first), len(value), self._max_payload), True
            # As many as the bytes ask for rather than halves of halves, which would write every row at every level.
            parts = min(end - first, -(-len(value) // self._max_payload) + 1)
        if alone:
            yield from self._left_out(group, first, refused, oversize=oversize)
            return
        step = -(-(end - first) // parts)
        for part in range(first, end, step):
            yield from self._files(group, part, min(part + step, end))

    def _left_out(
        self, group: int, event: int, refused: _core.RowError, *, oversize: bool
    ) -> Iterator[_core.RowLeftOut]:
        if not (self._skip_oversize if oversize else self._skip_bad):
            raise refused
        ended, _ = self._exporter.rows_ended(group, event, event + 1)
        if ended:  # the last of its copies, which all end like this
            row, column, text = refused.args
            yield row, ended, column, text, oversize

    def _file(self, batch: pa.RecordBatch) -> bytes:
        columns = [_cast(column, field.type) for column, field in zip(batch.columns, self._written, strict=True)]
        sink = pa.BufferOutputStream()
        self._write(pa.Table.from_arrays(columns, schema=self._written), sink)
        value: bytes = sink.getvalue().to_pybytes()
        return value


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Cast the leaves; lists, structs and maps are the same already, and pyarrow's casts of them are not all right."""
    if column.type == kind:
        return column
    if pa.types.is_struct(kind):
        own, children = 1, [column.field(at) for at in range(kind.num_fields)]
    elif pa.types.is_nested(kind):
        own, children = 2, [column.values]
    else:
        return column.cast(kind)
    children = [_cast(child, kind.field(at).type) for at, child in enumerate(children)]
    return pa.Array.from_buffers(kind, len(column), column.buffers()[:own], column.null_count, children=children)


def _write_stream(table: pa.Table, sink: pa.BufferOutputStream) -> None:
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)


class _Plugin:
    """The user's function, and what it returned as messages."""

    def __init__(self, form: ColumnarLayout, exporter: _core.Exporter, max_payload: int) -> None:
        self._name = form.encoder
        self._takes_changes = form.takes_changes
        self._exporter = exporter
        self._max_payload = max_payload
        module, _, path = form.encoder.partition(":")
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
        self._encode = found

    def messages(self, batch: pa.RecordBatch, group: int, first: int) -> Iterator[_core.EncodedMessage]:
        rows = batch.num_rows
        arguments = [batch]
        if self._takes_changes:
            codes = pa.py_buffer(self._exporter.changes(group, first, first + rows))
            indices = pa.Array.from_buffers(pa.int8(), rows, [None, codes])
            arguments.append(pa.DictionaryArray.from_arrays(indices, pa.array(_CHANGES)))
        try:
            made = list(self._encode(*arguments))
        except Exception as error:  # whatever the user's code raises is told, at its rows
            raise self._failed(group, first, rows, _told(error)) from error
        if not made:
            raise self._failed(group, first, rows, "returned no message; filter rows out before they are written")
        for at, message in enumerate(made):
            begin, end = at * rows // len(made), (at + 1) * rows // len(made)
            # Where the rows do not come out even, the next one goes on in the next message.
            ended, goes_on = self._exporter.rows_ended(group, first + begin, first + end) if end > begin else (0, True)
            goes_on = goes_on or (at + 1) * rows % len(made) != 0
            try:
                key, value, headers = _read(message)
            except (TypeError, ValueError):
                text = f"returned {repr(message)[:_SHOWN]} as message {at}; a message is {_MESSAGES}"
                raise self._failed(group, first, rows, text) from None
            size = len(key or b"") + len(value or b"")
            size += sum(len(name.encode()) + len(header or b"") + _HEADER_ROOM for name, header in headers)
            if size > self._max_payload:
                raise _too_large(self._exporter.row(group, first + begin), size, self._max_payload)
            yield group, key, value, headers, ended, goes_on

    def _failed(self, group: int, first: int, rows: int, text: str) -> _core.RowError:
        which = "for this row" if rows == 1 else f"for a batch of {rows} rows that begins with this one"
        return _core.RowError(self._exporter.row(group, first), "", f"encoder {self._name} {text}, {which}")


def _read(message: Any) -> tuple[bytes | None, bytes | None, Headers]:  # noqa: ANN401 - the user's
    """Return key, value and headers; TypeError or ValueError when it is no message."""
    if message is None:
        raise TypeError  # a function that forgot to return something is more likely than a tombstone
    if not isinstance(message, tuple):
        return None, _bytes(message), []
    key, value, headers = message if len(message) == 3 else (*message, ())  # noqa: PLR2004
    return _bytes(key), _bytes(value), [(_text(name), _bytes(header)) for name, header in headers]


def _told(error: Exception) -> str:
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"raised {type(error).__name__}: {str(error)[:_SHOWN]} ({where.filename}:{where.lineno})"


def _bytes(given: object) -> bytes | None:
    if given is None or isinstance(given, bytes):
        return given
    if isinstance(given, bytearray | memoryview):
        return bytes(given)
    raise TypeError


def _text(given: object) -> str:
    if isinstance(given, str):
        return given
    raise TypeError


def _too_large(row: int, size: int, limit: int) -> _core.RowError:
    return _core.RowError(
        row,
        "",
        f"the message of this row alone needs {size} bytes, message.max.bytes - 64 allows {limit}; raise "
        "message.max.bytes here and on the broker, or write fewer columns",
    )
