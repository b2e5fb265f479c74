"""decode: one file of Parquet, Arrow IPC, CSV or JSON lines, read piece by piece.

Memory does not depend on the size of a file, nor on that of a Parquet row group. Measured with pyarrow 26 on 8 columns
of 165 bytes of JSON per row, most of pyarrow's own pool in use at any time, and the CPU time of decoding:

    | Parquet, 65536 rows at a time             | row group 0.1 M | 1 M    | 4 M    | CPU per row |
    | whole column chunks (buffer_size 0)       | 21 MB           | 56 MB  | 154 MB | 105-112 ns  |
    | buffer_size 64 KiB, no pre_buffer (ours)  |                 | 23 MB  | 25 MB  | 105-113 ns  |
    | pre_buffer (pyarrow's default)            |                 | 56 MB  |        | 113 ns      |
    | use_threads (2 cores: 75 ns of wall time) | 22 MB           | 57 MB  | 154 MB | 122-128 ns  |
    | ours, one column of 200 values as dictionary | 17 MB        | 22 MB  | 23 MB  | 94 ns       |

So threads cost 15 % more CPU, which is the workers' while cores are few: they are the caller's choice. Verifying page
checksums, where a file has them, costs 6 ns per row; it is what finds a flipped bit in a page that still decodes.
"""

from __future__ import annotations

import mmap
import os
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.json as pj
import pyarrow.parquet as pq

from penstock.errors import SourceError
from penstock.source.batch import Batch, Begin, piece_rows, slices
from penstock.source.places import Place, first_line

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator

__all__ = ["TEXT_KINDS", "Opened", "open_place"]

TEXT_KINDS = ("csv", "jsonl")

_READ_AHEAD = 64 << 10  # per column; 1 MiB was no faster (105-113 ns per row for 64 KiB, 256 KiB and 1 MiB alike)
# Types are inferred over the first block of a file, and each block is a Batch: larger than pyarrow's 1 MiB for both.
_TEXT_BLOCK = 8 << 20
_MAPPED_BATCH = 64 << 20
_SAMPLED_GROUPS = 64
_BROKEN = "the file is damaged, or was cut short; write it again or leave it out"


@dataclass(frozen=True)
class Opened:
    """One file, opened: its columns, its rows where it says so, and how to read it. `close` may be called twice.

    batches  from where Begin says, SourceError where the file ends before that; None: all of them
    """

    schema: pa.Schema
    rows: int | None
    batches: Callable[[Begin | None], Iterator[Batch]]
    close: Callable[[], None]


@contextmanager
def _reading(origin: str, what: str, advice: str = _BROKEN, **facts: Any) -> Iterator[None]:  # noqa: ANN401
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, EOFError) as error:
        why = first_line(error)
        raise SourceError(f"{origin}: {what}: {why}; {advice}", source=origin, **facts) from error


def _rest(rows: int, first_row: int, begin: Begin | None) -> int | None:
    """Say how many rows of a batch come before those to give; None: there are none to give."""
    if begin is None:
        return 0
    before = max(0, begin.row - first_row)
    return before if before < rows else None


def _check_reached(origin: str, rows: int, begin: Begin | None) -> None:
    if begin is not None and rows < begin.row:
        raise SourceError(
            f"{origin}: has {rows} rows, to go on from row {begin.row} it needs as many; give the file as it was",
            source=origin,
            row=begin.row,
        )


def open_place(place: Place, text_schema: pa.Schema | None, *, use_threads: bool) -> Opened | None:
    """Open one file and learn its columns; None: a CSV or JSON lines file in which there is nothing at all.

    text_schema  the types to read CSV and JSON lines with; None: infer them from the file
    Raises       SourceError, nothing left open
    """
    if place.kind == "parquet":
        return _parquet(place, use_threads=use_threads)
    if place.kind == "arrow":
        return _arrow(place)
    return _text(place, text_schema, use_threads=use_threads)


def _pipe(place: Place) -> io.BufferedReader:
    """Open standard input or a named pipe through Python: Ctrl-C ends a read that waits, which it does not in C++."""
    if place.path == "-":
        if os.isatty(0):
            raise SourceError("standard input is a terminal; pipe an Arrow IPC stream into it, or name a file")
        # a descriptor of our own: closing it leaves the caller's sys.stdin alone
        return os.fdopen(os.dup(0), "rb")
    return open(place.path, "rb")  # noqa: PTH123 - closed with the Opened it goes into


# ---------------------------------------------------------------------------------------------------------- Parquet


def _parquet(place: Place, *, use_threads: bool) -> Opened:
    origin = place.origin
    if place.fs is None:
        raise SourceError(f"{origin}: Parquet cannot be read from a pipe, its index is at the end; give a file")
    with _reading(
        origin, "cannot be read as Parquet", "give a whole Parquet file, or name the format with input_format"
    ):
        handle = place.fs.open_input_file(place.path)
        settings = {
            # Many small requests are what an object store is slowest at: there the compressed bytes of a row group are
            # fetched at once and held, which is the one case where memory grows with the row group.
            "pre_buffer": not place.local,
            "buffer_size": _READ_AHEAD,
            "page_checksum_verification": True,
        }
        file = pq.ParquetFile(handle, **settings)
        repetitive = _repetitive_columns(file)
        if repetitive:
            file = pq.ParquetFile(handle, metadata=file.metadata, read_dictionary=repetitive, **settings)
        meta, schema = file.metadata, file.schema_arrow

    def batches(begin: Begin | None) -> Iterator[Batch]:
        _check_reached(origin, meta.num_rows, begin)
        first_row = 0
        for group in range(meta.num_row_groups):
            rows: int = meta.row_group(group).num_rows
            before = _rest(rows, first_row, begin)
            if before is not None:
                decode = partial(_row_group, file, group, first_row, before, origin=origin, use_threads=use_threads)
                yield Batch(schema, origin, first_row + before, decode, rows=rows - before, row_group=group)
            first_row += rows

    return Opened(schema, meta.num_rows, batches, handle.close)


def _row_group(
    file: pq.ParquetFile,
    group: int,
    first_row: int,
    before: int,
    *,
    origin: str,
    use_threads: bool,
) -> Iterator[pa.RecordBatch]:
    """Read a row group but for the rows before; they are decoded, since pyarrow cannot begin within a row group."""
    meta = file.metadata.row_group(group)
    rows, read = meta.num_rows, 0
    if rows == 0:
        return
    step = piece_rows(rows, meta.total_byte_size)
    decoded = file.iter_batches(batch_size=step, row_groups=[group], use_threads=use_threads)
    while read < rows:
        what = f"row group {group} cannot be read after row {first_row + read}"
        with _reading(origin, what, row_group=group, row=first_row + read):
            batch = next(decoded, None)
        if batch is None:
            raise SourceError(
                f"{origin}: {what}: it has {read} rows, the file's index says {rows}; {_BROKEN}",
                source=origin,
                row_group=group,
                row=first_row + read,
            )
        # decoding fewer than asked for is allowed; more bytes than the index promised come from long repeated strings
        yield from slices(batch.slice(min(max(0, before - read), batch.num_rows)))
        read += batch.num_rows


def _repetitive_columns(file: pq.ParquetFile) -> list[str]:
    """Name the string and binary columns that are worth reading dictionary-encoded.

    Measured on 1 M rows of one string column of 10 bytes: 4-5 ns per row against 22-33 for up to 16,000 values, 7-9
    for 30,000 to 60,000; and the values are then copied and encoded once instead of once per row. Every piece comes
    with the whole dictionary of its row group, equal but its own copy, never growing from piece to piece. But a column
    whose writer gave up the dictionary half-way (more than 1 MB of values, usually) costs 4.5 times as much as plain
    reading: 480 ns per row against 105 in the file of the table above, 141 MB against 23.

    pyarrow does not show the page statistics that tell such a column, and calls it dictionary-encoded. Its size does:
    plain values take 4 bytes and their own length each, indexes of 16,000 values at most 14 bits; and before a writer
    gives up, the dictionary has grown large. So: at most 2 bytes per row, and a dictionary of at most 256 KiB packed.
    """
    meta = file.metadata
    paths = {file.schema.column(i).path: i for i in range(meta.num_columns)}
    step = -(-meta.num_row_groups // _SAMPLED_GROUPS) or 1
    groups = [meta.row_group(i) for i in range(0, meta.num_row_groups, step)]
    names = []
    for field in file.schema_arrow:
        kind, leaf = field.type, paths.get(field.name)
        # large and view types would come back as dictionary<string>: the same for us, and no reason to leave them out
        text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
        plain = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
        if leaf is None or not (text or plain):
            continue
        chunks = [group.column(leaf) for group in groups if group.num_rows]
        if chunks and all(_repeats(chunk) for chunk in chunks):
            names.append(field.name)
    return names


def _repeats(chunk: pq.ColumnChunkMetaData) -> bool:
    start = chunk.dictionary_page_offset
    if not start or not chunk.has_dictionary_page:
        return False
    small: bool = 0 < chunk.data_page_offset - start <= 256 << 10
    return small and chunk.total_uncompressed_size <= 2 * chunk.num_values


# -------------------------------------------------------------------------------------------------------- Arrow IPC


def _arrow(place: Place) -> Opened:
    origin = place.origin
    with _reading(origin, "cannot be read as Arrow IPC", "give a whole IPC file or stream, or name its format"):
        if place.fs is None:
            return _piped_stream(place)
        handle = place.fs.open_input_file(place.path)
        start = handle.read(6)
        handle.seek(0)
        if start.startswith(b"FEA1"):
            raise SourceError(
                f"{origin}: Feather version 1 is not Arrow IPC; write it again as version 2", source=origin
            )
        if start != b"ARROW1":
            reader = pa.ipc.open_stream(handle)
            return Opened(reader.schema, None, partial(_ipc_stream, reader, origin), handle.close)
        reader = pa.ipc.open_file(handle)
        count = reader.num_record_batches
        rows = None
        if place.local and hasattr(reader, "count_rows"):  # since pyarrow 26
            # mapped: it would read every batch whole to skip it, 165 ms against 0.5 for one batch of 78 MB
            with pa.memory_map(place.path) as view:
                rows = pa.ipc.open_file(view).count_rows()
        mapped: mmap.mmap | None = None
        if place.local and 0 < count * _MAPPED_BATCH < (place.size or 0):
            # A batch is read whole, 6 ns per row; a file of few large batches would be held in memory. Mapped, only the
            # pages of one piece are. Not for all files: one cut short while it is mapped ends the process by SIGBUS.
            with open(place.path, "rb") as file:  # noqa: PTH123
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            reader = pa.ipc.open_file(pa.py_buffer(mapped))
    return Opened(reader.schema, rows, partial(_ipc_file, reader, origin, mapped), handle.close)


def _piped_stream(place: Place) -> Opened:
    pipe = _pipe(place)
    try:
        if (
            pipe.peek(6)[:6] == b"ARROW1"
        ):  # an IPC file is this, two bytes, a stream, and an index that a pipe can do without
            pipe.read(8)
        reader = pa.ipc.open_stream(pa.PythonFile(pipe, "r")) if pipe.peek(1) else None
    except BaseException:
        pipe.close()
        raise
    if reader is None:
        pipe.close()
        why = "is empty, an Arrow stream has its columns at least; look at the command before the pipe"
        raise SourceError(f"{place.origin}: {why}", source=place.origin)
    return Opened(reader.schema, None, partial(_ipc_stream, reader, place.origin), pipe.close)


def _ipc_file(
    reader: pa.RecordBatchFileReader, origin: str, mapped: mmap.mmap | None, begin: Begin | None
) -> Iterator[Batch]:
    rows: dict[int, int] = {}

    def read(index: int) -> pa.RecordBatch:
        with _reading(origin, f"record batch {index} cannot be read", record_batch=index):
            batch = reader.get_batch(index)
        rows[index] = batch.num_rows
        return batch

    def pieces(index: int, before: int) -> Iterator[pa.RecordBatch]:
        for piece in _checked(read(index).slice(before), origin, index):
            yield piece
            if mapped is not None:
                # counted out of our memory, not out of the page cache: pieces that the caller still has stay readable
                mapped.madvise(mmap.MADV_DONTNEED)

    index, part_row = (0, 0) if begin is None else (begin.record_batch, begin.part_row)
    while index < reader.num_record_batches:
        # how many rows it has only reading tells, which is left to pieces() but where the rows begin
        sought = begin is not None and part_row <= begin.row
        before = _rest(read(index).num_rows, part_row, begin) if sought else 0
        if before is not None:
            decode = partial(pieces, index, before)
            yield Batch(reader.schema, origin, part_row + before, decode, record_batch=index, part_row=part_row)
        part_row += rows[index] if index in rows else read(index).num_rows
        index += 1
    _check_reached(origin, part_row, begin)


def _ipc_stream(reader: pa.RecordBatchReader, origin: str, begin: Begin | None) -> Iterator[Batch]:
    """Read an IPC stream to its end; each RecordBatch is one Batch, held until the next is asked for."""
    first_row, index = 0, 0
    while True:
        with _reading(origin, f"cannot be read after record batch {index}, row {first_row}", row=first_row):
            batch = next(iter(reader), None)
        if batch is None:
            _check_reached(origin, first_row, begin)
            return
        before = _rest(batch.num_rows, first_row, begin)
        if before is not None:
            decode = partial(_checked, batch.slice(before), origin, index)
            yield Batch(reader.schema, origin, first_row + before, decode, rows=batch.num_rows - before)
        first_row += batch.num_rows
        index += 1


def _checked(batch: pa.RecordBatch, origin: str, index: int) -> Iterator[pa.RecordBatch]:
    """Cut a RecordBatch from outside into pieces whose offsets and indexes all lie inside their buffers.

    Arrow IPC carries them as they are, and the encoder trusts them: a broken file would have it read foreign memory.
    Costs 1.6 ns per row. Text that is not UTF-8 is left to the encoder, which names row and column (checking it here
    as well would be 17 ns).
    """
    for piece in slices(batch):
        for name, column in zip(piece.schema.names, piece.columns, strict=True):
            with _reading(origin, f'record batch {index}, column "{name}" is broken', record_batch=index, column=name):
                bare = _without_text(column.type)
                (column if bare == column.type else column.view(bare)).validate(full=True)
        yield piece


def _without_text(kind: pa.DataType) -> pa.DataType:
    """Replace text by binary, whose bytes are not checked, all the way down."""
    make = next((make for test, make in _BARE if test(kind)), None)
    return kind if make is None else make(kind)


def _plain(field: pa.Field) -> pa.Field:
    return field.with_type(_without_text(field.type))


_BARE: tuple[tuple[Callable[[pa.DataType], bool], Callable[[Any], pa.DataType]], ...] = (
    (pa.types.is_string, lambda _: pa.binary()),
    (pa.types.is_large_string, lambda _: pa.large_binary()),
    (pa.types.is_string_view, lambda _: pa.binary_view()),
    (pa.types.is_dictionary, lambda t: pa.dictionary(t.index_type, _without_text(t.value_type), ordered=t.ordered)),
    (pa.types.is_run_end_encoded, lambda t: pa.run_end_encoded(t.run_end_type, _without_text(t.value_type))),
    (pa.types.is_map, lambda t: pa.map_(_plain(t.key_field), _plain(t.item_field), keys_sorted=t.keys_sorted)),
    (pa.types.is_struct, lambda t: pa.struct([_plain(t.field(i)) for i in range(t.num_fields)])),
    (pa.types.is_fixed_size_list, lambda t: pa.list_(_plain(t.value_field), t.list_size)),
    (pa.types.is_list, lambda t: pa.list_(_plain(t.value_field))),
    (pa.types.is_large_list, lambda t: pa.large_list(_plain(t.value_field))),
    (pa.types.is_list_view, lambda t: pa.list_view(_plain(t.value_field))),
    (pa.types.is_large_list_view, lambda t: pa.large_list_view(_plain(t.value_field))),
)


# --------------------------------------------------------------------------------------------- CSV and JSON lines

_TYPED = (
    "the types are inferred over the first 8 MiB of each file; correct the file, or read it with types of your own "
    "(pyarrow.csv.open_csv, pyarrow.json.open_json) and write that"
)


def _text(place: Place, schema: pa.Schema | None, *, use_threads: bool) -> Opened | None:
    """Open CSV or JSON lines, with the types of `schema` or else those of its first block; None: it is empty."""
    origin, name = place.origin, "CSV" if place.kind == "csv" else "JSON lines"
    with _reading(origin, f"cannot be read as {name}", _TYPED):
        if place.fs is None:
            handle: Any = _pipe(place)
        else:
            handle = place.fs.open_input_stream(place.path)  # unpacks .gz and the like
        open_text = _open_csv if place.kind == "csv" else _open_json
        try:
            reader = open_text(handle, schema, use_threads)
        except BaseException as error:
            handle.close()
            if isinstance(error, pa.ArrowInvalid) and str(error).startswith(("Empty CSV file", "Empty JSON stream")):
                return None
            raise
    found = reader.schema

    def batches(begin: Begin | None) -> Iterator[Batch]:
        first_row = 0
        while True:
            with _reading(origin, f"cannot be read after row {first_row}", _TYPED, row=first_row):
                batch = next(iter(reader), None)
            if batch is None:
                _check_reached(origin, first_row, begin)
                return
            before = _rest(batch.num_rows, first_row, begin)
            if before is not None:
                decode = partial(slices, batch.slice(before))
                yield Batch(found, origin, first_row + before, decode, rows=batch.num_rows - before)
            first_row += batch.num_rows

    return Opened(found, None, batches, handle.close)


def _open_csv(handle: Any, schema: pa.Schema | None, use_threads: bool) -> pa.RecordBatchReader:  # noqa: ANN401, FBT001
    return pc.open_csv(
        handle,
        read_options=pc.ReadOptions(block_size=_TEXT_BLOCK, use_threads=use_threads),
        convert_options=pc.ConvertOptions(column_types=schema),
    )


def _open_json(handle: Any, schema: pa.Schema | None, use_threads: bool) -> pa.RecordBatchReader:  # noqa: ANN401, FBT001
    # "error": a field that appears only later in the file is an error of pyarrow's either way, never dropped
    return pj.open_json(
        handle,
        read_options=pj.ReadOptions(block_size=_TEXT_BLOCK, use_threads=use_threads),
        parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
        if schema is not None
        else None,
    )
