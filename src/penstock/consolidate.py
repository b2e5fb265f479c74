"""consolidate: batches are held until it is known what their changes come to, and then sent as one.

    batch ──pieces──▶ Consolidation: hashed as they come (src/core/consolidate.cpp), and held ──finish──▶ Rows, verdicts

With an index one batch is held at a time, so that the changes of a key can be looked at together. The output buffer
holds many: what comes from files is kept as it was decoded, the caller's own memory is copied, because he may change it
after `write`; small batches are laid together, so that a message may hold rows of several.

Memory: what is held, of which an output buffer is sent when it reaches `memory_bytes`, and a batch with an index cannot
be cut, however large a row group or RecordBatch is; and about 40 bytes for each distinct row, 90 with an index.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from penstock import _core
from penstock.source.batch import PIECE_BYTES, ROWS_PER_PIECE, Origins, bytes_of, row_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from penstock.config import Config
    from penstock.encode import Plan, Planner
    from penstock.source.batch import Batch

__all__ = ["Consolidation", "Rows", "paired"]


# A batch of one row takes about a kilobyte by itself: so many are laid together before there are more.
_MOST_PIECES = 256


class Rows(NamedTuple):
    """A piece with what is to be known of it.

    origin, first_row  what errors call its row 0
    which              both, or only the deletes or the inserts, where a batch is gone through twice
    verdicts           what the rows came to beside others; None: what their change column says
    at                 of a job: how many rows of its source lie before row 0
    unit               of a job: first row of the source and end of what an epoch cannot end in; None: of each block
    locate             of a job: tells the position in its source of a row; None: the caller knows
    """

    piece: pa.RecordBatch
    origin: str | Origins
    first_row: int
    which: str
    verdicts: _core.Verdicts | None = None
    at: int = 0
    unit: tuple[int, int] | None = None
    locate: Callable[[int], Any] | None = None


@dataclass
class _Held:
    """Pieces of one plan that will be one.

    dictionaries  columns whose dictionaries must be equal for that; None: they cannot be told, so it stays one piece
    """

    plan: Plan
    dictionaries: list[int] | None
    pieces: list[pa.RecordBatch] = field(default_factory=list)
    origins: list[tuple[int, str, int]] = field(default_factory=list)
    rows: int = 0
    size: int = 0


class Consolidation:
    """Holds what has been written and not been sent; made anew for each batch with an index, else emptied by finish.

    size    bytes that are held, those of the hash tables included
    """

    def __init__(self, config: Config, planner: Planner) -> None:
        self._config = config
        self._planner = planner
        self._buffered = config.enable_output_buffer
        self._empty()

    def _empty(self) -> None:
        index = self._config.index_columns
        relation = self._config.writer.relation.name or self._config.topic
        self._consolidator = _core.Consolidator(*(("", "") if index is None else (index[0], relation)))
        self._held: list[_Held] = []
        self._bytes = 0
        self._since: float | None = None  # when the oldest row came

    @property
    def size(self) -> int:
        """Bytes that are held, those of the hash tables included."""
        return self._bytes + (self._consolidator.nbytes if self._held else 0)

    def add(self, plan: Plan, batch: Batch) -> Iterator[int]:
        """Hash and hold the rows of a batch, yielding the number of rows of each piece before it is looked at.

        Raises EncodeError for a row whose change cannot be read
        """
        at = batch.first_row
        for piece in paired(plan, batch.pieces()):
            yield piece.num_rows
            if self._since is None:
                self._since = time.monotonic()
            self._hold(plan, piece, batch.origin, at, borrowed=batch.borrowed)
            at += piece.num_rows

    def _hold(self, plan: Plan, piece: pa.RecordBatch, origin: str, first_row: int, *, borrowed: bool) -> None:
        if self._buffered and borrowed:
            piece, size = _own(piece)
            plan = self._planner.plan(piece.schema, snapshot=plan.snapshot)
        else:
            size = bytes_of(piece)
        held = self._held[-1] if self._held else None
        if held is None or not _fits(held, plan, piece, size):
            held = _Held(plan, _dictionaries(piece.schema))
            self._held.append(held)
        try:
            self._consolidator.add(_reader(plan), plan.read(piece), len(self._held) - 1, held.rows)
        except _core.RowError as error:
            row, column, text = error.args
            raise row_error(origin, first_row + row, column, text) from None
        held.pieces.append(piece)
        held.origins.append((held.rows, origin, first_row))
        held.rows += piece.num_rows
        held.size += size
        self._bytes += size
        if len(held.pieces) == _MOST_PIECES:
            held.pieces = [_whole(held.pieces)]
            size = bytes_of(held.pieces[0])
            self._bytes += size - held.size
            held.size = size

    def full(self) -> bool:
        """Say whether it is time to send for what is held: always with an index alone, else by rows and by bytes."""
        return (
            not self._buffered
            or self._consolidator.rows >= self._config.max_output_buffer_size_records
            or self.size >= self._config.writer.memory_bytes
        )

    def late(self) -> bool:
        """Say whether it is time to send for the age of what is held."""
        limit = self._config.max_output_buffer_time_millis
        return limit is not None and self._since is not None and (time.monotonic() - self._since) * 1000 > limit

    def finish(self) -> list[tuple[Plan, Rows]]:
        """Return what is to be sent, in order, and hold nothing any more.

        Without an index all deletes come before all inserts. Raises EncodeError for a key whose changes contradict
        one another; everything is still held then
        """
        whole = [(held, _whole(held.pieces)) for held in self._held]
        try:
            judged = self._consolidator.finish([(_reader(held.plan), held.plan.read(piece)) for held, piece in whole])
        except _core.RowError as error:
            row, column, text = error.args
            raise row_error(Origins(self._held[error.piece].origins), row, column, text) from None
        passes = ("both",) if self._config.index is not None or len(whole) < 2 else ("deletes", "inserts")  # noqa: PLR2004
        found = [
            (held.plan, Rows(piece, Origins(held.origins), 0, which, verdicts))
            for which in passes
            for (held, piece), verdicts in zip(whole, judged, strict=True)
        ]
        self._empty()
        return found


def _reader(plan: Plan) -> _core.ChangeReader:
    assert plan.reader is not None  # noqa: S101 - made where the configuration holds batches
    return plan.reader


def paired(plan: Plan, pieces: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Give the pieces of a batch so that none ends between a -U and its +U; these two rows alone are copied."""
    if not plan.pairs:
        yield from pieces
        return
    carried: pa.RecordBatch | None = None
    for whole in pieces:
        piece = whole
        if carried is not None and piece.num_rows:
            both = _whole([carried, piece.slice(0, 1)])
            if plan.selector.is_pair(plan.read(both), 0):
                yield both
                piece = piece.slice(1)
            else:
                yield carried
            carried = None
        last = piece.num_rows - 1
        if last >= 0 and plan.selector.is_before(plan.read(piece), last):
            carried = piece.slice(last)
            piece = piece.slice(0, last)
        if piece.num_rows:
            yield piece
    if carried is not None:
        yield carried


def _fits(held: _Held, plan: Plan, piece: pa.RecordBatch, size: int) -> bool:
    """Say whether the piece may be laid behind those held."""
    if held.plan is not plan or held.rows + piece.num_rows > ROWS_PER_PIECE or held.size + size > PIECE_BYTES:
        return False
    # Dictionaries that differ would have to be made one, and that may need wider indices than their type has.
    before = held.pieces[-1]
    return held.dictionaries is not None and all(
        piece.column(at).dictionary.equals(before.column(at).dictionary) for at in held.dictionaries
    )


def _dictionaries(schema: pa.Schema) -> list[int] | None:
    found = [at for at, column in enumerate(schema) if _has_dictionary(column.type)]
    return found if all(pa.types.is_dictionary(schema.field(at).type) for at in found) else None


def _has_dictionary(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return _has_dictionary(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return True
    if pa.types.is_run_end_encoded(kind):
        return _has_dictionary(kind.value_type)
    return any(_has_dictionary(kind.field(at).type) for at in range(kind.num_fields))


def _whole(pieces: list[pa.RecordBatch]) -> pa.RecordBatch:
    """Lay pieces of one schema together."""
    if len(pieces) == 1:
        return pieces[0]
    (whole,) = pa.Table.from_batches(pieces).combine_chunks().to_batches()
    return whole


def _own(piece: pa.RecordBatch) -> tuple[pa.RecordBatch, int]:
    """Copy all of a piece, dictionaries included, into memory of its own: as an IPC stream that is read in place.

    Returns it with the bytes that it takes
    """
    schema, columns = piece.schema, piece.columns
    for at, column in enumerate(schema):
        # A view refers to all of the frame that it is a slice of, and that would be copied with it.
        bare = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}.get(column.type)
        if bare is not None:
            schema = schema.set(at, column.with_type(bare))
            columns[at] = columns[at].cast(
                bare
            )  # it alone: a cast of all would take run ends from where the slice is not
    piece = pa.RecordBatch.from_arrays(columns, schema=schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(piece)
    memory = sink.getvalue()
    return pa.ipc.open_stream(memory).read_next_batch(), memory.size
