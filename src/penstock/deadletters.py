"""deadletters: rows that could not go, kept in a file that `penstock write` takes again.

An Arrow IPC stream: the columns of the rows as they were given, and behind them why each is here. It is never ended, so
that a later run can go on with it, and each append is on the disk before its rows count as done.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import logging
import os
import stat
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pyarrow as pa

from penstock.errors import ConfigError, EncodeError
from penstock.formats.columnar import plain_field
from penstock.source import Source, open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from penstock import _core
    from penstock.source import Batch

__all__ = ["DeadLetter", "DeadLetters", "open_rows"]

_log = logging.getLogger("penstock")

# In the schema's metadata: how many columns at the end are ours.
_MARK: Final = b"penstock.dead_letters"
_ADDED: Final = (
    pa.field("penstock_error", pa.string()),
    pa.field("penstock_code", pa.string()),
    pa.field("penstock_source", pa.string()),
    pa.field("penstock_row", pa.int64()),
    pa.field("penstock_topic", pa.string()),
)
_ROWS_PER_BATCH: Final = 1024


class DeadLetter(NamedTuple):
    """A row for the file.

    at           its number where the core finds it
    source, row  its name in errors
    """

    at: int
    error: str
    code: str
    source: str
    row: int


class DeadLetters:
    """A dead-letter file, open for appending and locked against other writers. Lasting: what append returned from."""

    def __init__(self, path: str, topic: str, topic_column: str | None) -> None:
        """Open or make the file; ConfigError where that cannot be, or where it is something else."""
        self._path = path
        self._topic = topic
        self._topic_column = topic_column
        self._schema: pa.Schema | None = None
        self._cores: dict[int, tuple[_core.Schema, pa.Schema]] = {}
        try:
            self._ours = not os.path.lexists(path)  # then it may go again
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise ConfigError(f"dead_letter: {path} cannot be opened: {error.strerror}") from error
        try:
            self._end = self._look()
        except BaseException:
            os.close(self._fd)
            raise

    def _look(self) -> int:
        """Return where the last complete batch ends, and note the schema."""
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            raise ConfigError(f"dead_letter: {self._path} is no ordinary file; give another path")
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(f"dead_letter: {self._path} is in use by another writer; give each its own") from error
        if os.fstat(self._fd).st_size == 0:
            return 0
        try:
            with pa.memory_map(self._path) as file:
                reader = pa.ipc.open_stream(file)
                self._schema = reader.schema
                end = file.tell()
                with contextlib.suppress(StopIteration, pa.ArrowException, OSError):
                    while True:
                        reader.read_next_batch()
                        end = file.tell()
        except (pa.ArrowException, OSError):
            self._schema = None
        if self._schema is None or _MARK not in (self._schema.metadata or {}):
            raise ConfigError(f"dead_letter: {self._path} is there and is no dead-letter file; give another path")
        return int(end)

    def add_schema(self, number: int, core: _core.Schema, schema: pa.Schema) -> None:
        """Take rows of this schema too, which append will know by its number; ConfigError where they do not fit."""
        plain = pa.schema([plain_field(field, table=False) for field in schema])
        whole = pa.schema([*plain, *_ADDED], metadata={_MARK: str(len(_ADDED))})
        before = self._schema
        # Of one writer the columns are logically the same; in a file of an earlier one they may be anything.
        if before is not None and (before.names != whole.names if self._cores else not before.equals(whole)):
            raise ConfigError(
                f"dead_letter: {self._path} holds rows of other columns ({_columns(before)}) than these "
                f"({_columns(whole)}); give another path"
            )
        self._schema = before or whole
        self._cores[number] = core, plain

    def append(
        self, number: int, letters: Sequence[DeadLetter], read: Callable[[_core.Schema, list[int]], object]
    ) -> None:
        """Write rows of one schema and have them on the disk, or raise EncodeError, and the file is as before.

        read  gives rows by number, as _core.rows_of_block does
        """
        core, plain = self._cores[number]
        assert self._schema is not None  # noqa: S101 - of add_schema
        parts = [] if self._end else [self._schema.serialize()]
        for first in range(0, len(letters), _ROWS_PER_BATCH):
            some = letters[first : first + _ROWS_PER_BATCH]
            rows = read(core, [letter.at for letter in some])
            batch = pa.RecordBatch._import_from_c_capsule(plain.__arrow_c_schema__(), rows)  # noqa: SLF001
            parts.append(self._batch(batch, some).serialize())
        end = self._end
        try:
            os.ftruncate(self._fd, end)  # an end mark, or half a batch
            for part in parts:
                rest = memoryview(part)
                while rest:
                    written = os.pwrite(self._fd, rest, end)
                    end, rest = end + written, rest[written:]
            os.fsync(self._fd)
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._end)
            if isinstance(error, OSError):
                raise EncodeError(
                    f"{letters[0].error}; nor can it be kept in dead_letter {self._path}: {error.strerror}"
                ) from error
            raise
        self._end = end

    def _batch(self, rows: pa.RecordBatch, letters: Sequence[DeadLetter]) -> pa.RecordBatch:
        schema = self._schema
        assert schema is not None  # noqa: S101 - of add_schema
        topics = [self._topic] * len(letters)
        if self._topic_column is not None:
            own = rows.column(rows.schema.get_field_index(self._topic_column))
            topics = [_text(value) or self._topic for value in own.cast(pa.binary()).to_pylist()]
        _, errors, codes, sources, numbers = zip(*letters, strict=True)
        columns = [
            column if column.type == field.type else column.cast(field.type)
            for column, field in zip(rows.columns, schema, strict=False)
        ]
        added = [
            pa.array(values, field.type)
            for values, field in zip((errors, codes, sources, numbers, topics), _ADDED, strict=True)
        ]
        return pa.RecordBatch.from_arrays([*columns, *added], schema=schema)

    def close(self) -> None:
        """Let the file go; one that was made here and has no row is taken away."""
        if self._fd < 0:
            return
        if self._end == 0 and self._ours:
            with contextlib.suppress(OSError):
                Path(self._path).unlink()
        os.close(self._fd)
        self._fd = -1


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode(errors="replace")


def _columns(schema: pa.Schema) -> str:
    shown = [f"{field.name}: {field.type}" for field in schema][: -len(_ADDED)]
    return ", ".join(shown)[:200]


def open_rows(data: object, *, dead_letter: str | None = None, input_format: str | None = None) -> Source:
    """Open what is to be written; of dead letters the rows as they were first given.

    dead_letter  the file that the rows may come to in turn; ConfigError where they are read from it
    others       as for open_source
    """
    source = open_source(data, input_format=input_format)
    added = (source.schema.metadata or {}).get(_MARK)
    if added is None:
        return source
    columns = list(range(len(source.schema) - int(added)))
    schema = pa.schema([source.schema.field(at) for at in columns])

    def batches() -> Iterator[Batch]:
        for batch in source.batches():
            if dead_letter is not None and _same_file(batch.origin, dead_letter):
                raise ConfigError(
                    f"dead_letter: {dead_letter} is what is read; give another path for what cannot go this time either"
                )
            own = pa.schema([batch.schema.field(at) for at in columns])
            yield dataclasses.replace(batch, schema=own, decode=partial(_pieces, batch, columns))

    return Source(schema, source.rows, batches, source.close, source.files)


def _pieces(batch: Batch, columns: list[int]) -> Iterator[pa.RecordBatch]:
    for piece in batch.pieces():
        yield piece.select(columns)


def _same_file(origin: str, path: str) -> bool:
    try:
        return os.path.samefile(origin, path)  # noqa: PTH121 - an origin need not be a path
    except OSError:
        return False
