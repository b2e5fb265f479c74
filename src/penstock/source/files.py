"""files: the rows of several files, one after the other, opened and compared before the first row is read."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from penstock.errors import SchemaError, SourceError
from penstock.source.batch import check_same_columns
from penstock.source.decode import TEXT_KINDS, open_place
from penstock.source.places import each_place, find_places, first_line
from penstock.source.position import Positions

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

    from penstock.source.batch import Batch, Begin
    from penstock.source.decode import Opened
    from penstock.source.places import Place

__all__ = ["Files"]


class Files:
    """The rows of several files, one after the other, all of the same columns.

    Every file is opened and its schema checked before the first row; a file named twice is read twice.

    schema  of the first file
    rows    the sum, where every file says how many rows it has
    """

    def __init__(self, paths: Iterable[str | os.PathLike[str]], input_format: str | None, *, use_threads: bool) -> None:
        """Find and open the files.

        Raises    SourceError, SchemaError; nothing is left open
        """
        self._use_threads = use_threads
        self._pipes: dict[str, Opened] = {}
        self._current: Opened | None = None
        self._begin: tuple[int, Begin | None] = 0, None  # in which file, and where in it
        self._places = [place for path in paths for place in find_places(path, input_format)]
        if not self._places:
            raise SourceError("no source was given; name at least one file")
        self._positions = Positions(self._places)
        pipes = [place.origin for place in self._places if place.fs is None]
        for origin in pipes:
            if pipes.count(origin) > 1:
                raise SourceError(f"{origin}: a pipe can be read only once, it is named {pipes.count(origin)} times")
        try:
            self.schema, self.rows = self._check()
        except BaseException:
            self.close()
            raise

    def batches(self) -> Iterator[Batch]:
        """Read the files in order."""
        first, begin = self._begin
        for number, place in enumerate(self._places[first:], first):
            key = (place.given, place.path)
            if self._found[key] is None:
                continue  # a text file without a row has no columns either
            opened = self._pipes.pop(place.origin, None) or self._open(place)
            if opened is None:
                raise SourceError(f"{place.origin}: the file changed while it was read: it is empty now")
            # The file before is not closed here but with its last Batch: whoever keeps a Batch may still read it.
            self._current = opened
            batches = opened.batches(begin if number == first else None)
            yield from map(partial(dataclasses.replace, file=number), batches)
            if place.fs is None:  # its batches are in memory, and Python warns of a file left open
                opened.close()
        self._current = None

    def position(self, batch: Batch, row: int) -> dict[str, Any] | None:
        """Return the position of a row, as Source.position."""
        return self._positions.make(batch, row)

    def start_at(self, position: dict[str, Any]) -> None:
        """Have batches begin there, as Source.start_at."""
        self._begin = self._positions.find(position)

    def close(self) -> None:
        """Close what is open; pieces already given stay good."""
        for opened in (*self._pipes.values(), self._current):
            if opened is not None:
                opened.close()
        self._pipes.clear()
        self._current = None

    def _check(self) -> tuple[pa.Schema, int | None]:
        """Open every file once, each of those named twice only once, and compare them with the first."""
        unique = {(place.given, place.path): place for place in self._places}
        self._text: pa.Schema | None = None
        found = each_place(self._look, list(unique.values()))
        self._found = dict(zip(unique, found, strict=True))
        self._agree_on_text([(place, look[0]) for place, look in zip(unique.values(), found, strict=True) if look])
        first: tuple[str, pa.Schema] | None = None
        for key, place in unique.items():
            look = self._found[key]
            if look is None:
                continue
            # a pipe was begun with the types of its own first block, and stays so
            agreed = self._text if place.kind in TEXT_KINDS and place.fs is not None else None
            schema = look[0] if agreed is None else agreed
            if first is None:
                first = place.origin, schema
            check_same_columns(first[1], schema, expected_in=first[0], found_in=place.origin)
        if first is None:
            raise SourceError(f"{self._places[0].origin}: there is no row, so the columns are not known", rows=0)
        counts = [look[1] if look else 0 for look in (self._found[place.given, place.path] for place in self._places)]
        known = [count for count in counts if count is not None]
        return first[1], sum(known) if len(known) == len(counts) else None

    def _look(self, place: Place) -> tuple[pa.Schema, int | None] | None:
        opened = self._open(place)
        if opened is None:
            return None
        if place.fs is None:
            self._pipes[place.origin] = opened
        else:
            opened.close()
        return opened.schema, opened.rows

    def _agree_on_text(self, found: list[tuple[Place, pa.Schema]]) -> None:
        """Find the types that fit all text files: one may have an int64 where another has a double, or only nulls.

        A JSON lines file may lack a column, which is null there; CSV files all have the same columns in the same order.
        """
        text = [(place, schema) for place, schema in found if place.kind in TEXT_KINDS]
        for place, schema in text:
            self._text = schema if self._text is None else _unified(self._text, schema, text[0][0].origin, place.origin)
        for place, schema in text:
            if self._text is not None and place.kind == "csv" and len(text) > 1:
                known = set(self._text.names)
                columns = [self._text.field(f.name) if f.name in known else f for f in schema]
                check_same_columns(self._text, pa.schema(columns), expected_in=text[0][0].origin, found_in=place.origin)

    def _open(self, place: Place) -> Opened | None:
        return open_place(place, self._text, use_threads=self._use_threads)


def _unified(schema: pa.Schema, other: pa.Schema, schema_in: str, other_in: str) -> pa.Schema:
    try:
        return pa.unify_schemas([schema, other], promote_options="permissive")
    except (pa.ArrowException, ValueError) as error:
        for field in other:
            if schema.get_field_index(field.name) < 0:
                continue
            old = schema.field(field.name)
            try:
                pa.unify_schemas([pa.schema([old]), pa.schema([field])], promote_options="permissive")
            except (pa.ArrowException, ValueError):
                check_same_columns(pa.schema([old]), pa.schema([field]), expected_in=schema_in, found_in=other_in)
        raise SchemaError(
            f"{other_in}: the columns do not fit those of {schema_in}: {first_line(error)}; write them apart",
            source=other_in,
        ) from error
