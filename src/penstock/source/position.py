"""position: where in several files a row is, so that a later run can go on there, if the files are still the same.

    {"file": "b.parquet", "number": 1, "row_group": 3, "row": 123456,          the row
     "size": …, "modified": …, "footer": "9f86d081884c7d65",                    the file it is in
     "before": "e3b0c44298fc1c14"}                                              all files before that one

What lies behind the file is not looked at, so files may be added at the end of the list. A file's name counts without
its directory: it may be given by another path. Nothing is looked at before the first position is asked for or given.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from penstock.errors import SourceError
from penstock.source.batch import Begin
from penstock.source.places import each_place, first_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.source.batch import Batch
    from penstock.source.places import Place

__all__ = ["Positions"]

_TAIL: Final = 64 << 10
_PARQUET_END: Final = 8  # the length of the footer, and a magic number
_AS_IT_WAS: Final = (
    "give the files as they were, in the same order and new ones behind them, or start from the beginning"
)


@dataclass(frozen=True)
class _Print:
    """What tells one state of a file from another. `footer` hashes its last 64 KiB, of Parquet exactly the footer."""

    size: int | None
    modified: int | None
    footer: str


class Positions:
    """Makes positions in a list of files, and finds them again. Looks at each file once, when it is first needed."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = places
        self._pipe = next((place.origin for place in places if place.fs is None), None)
        self._prints: list[_Print] = []
        self._before = [_hash(b"")]  # for each file, and one more, the hash of what is before it

    def make(self, batch: Batch, row: int) -> dict[str, Any] | None:
        """Return the position of a row of a batch, None where there is a pipe among the files."""
        number = batch.file
        if number is None or self._pipe is not None:
            return None
        self._look(number)
        part = {"row_group": batch.row_group}
        if batch.record_batch is not None:
            part |= {"record_batch": batch.record_batch, "part_row": batch.part_row}
        return {
            "file": self._places[number].origin,
            "number": number,
            **part,
            "row": batch.first_row + row,
            **vars(self._prints[number]),
            "before": self._before[number],
        }

    def find(self, position: dict[str, Any]) -> tuple[int, Begin]:
        """Return in which file a position is and where in it; SourceError where the files are not what they were."""
        if self._pipe is not None:
            why = f"{self._pipe}: a pipe cannot go on from a position; give paths of files"
            raise SourceError(why, source=self._pipe)
        file, number, begin, recorded, before = _taken_apart(position)
        self._check_order(file, number)
        self._look(number)
        place, found = self._places[number], self._prints[number]
        changes = _changes(place, found, recorded)
        if changes:
            raise SourceError(
                f"{place.origin}: changed since the position in it was taken: {', '.join(changes)}; {_AS_IT_WAS}",
                source=place.origin,
            )
        if self._before[number] != before:
            files = "the file" if number == 1 else f"the {number} files"
            raise SourceError(
                f"{place.origin}: {files} before it changed since the position in it was taken, or were exchanged: "
                f"the hash of names, sizes, modification times and footers is {self._before[number]} (was {before}); "
                f"{_AS_IT_WAS}",
                source=place.origin,
            )
        return number, begin

    def _check_order(self, file: str, number: int) -> None:
        names = [_name(place.origin) for place in self._places]
        if _name(file) not in names:
            what = f"the position is in this file, which is not among the {len(names)} given"
        elif number >= len(names):
            what = f"the position is in this file as number {number + 1} of the source, which has only {len(names)} now"
        elif names[number] != _name(file):
            now = names.index(_name(file)) + 1
            what = f"was number {number + 1} of the files when the position was taken, is number {now} now"
        else:
            return
        raise SourceError(f"{file}: {what}; {_AS_IT_WAS}", source=file)

    def _look(self, number: int) -> None:
        new = self._places[len(self._prints) : number + 1]
        for place, found in zip(new, each_place(_print_of, new), strict=True):
            self._prints.append(found)
            text = f"{self._before[-1]} {found.size} {found.modified} {found.footer} {_name(place.origin)}"
            self._before.append(_hash(text.encode()))


def _taken_apart(position: dict[str, Any]) -> tuple[str, int, Begin, _Print, str]:
    """Check that a position from outside is one of files, since another version or the caller may have written it."""
    try:
        begin = Begin(position["row"], position.get("record_batch", 0), position.get("part_row", 0))
        state = _Print(position["size"], position["modified"], position["footer"])
        file, number, before = position["file"], position["number"], position["before"]
    except (TypeError, KeyError, AttributeError):
        sound = False
    else:
        counts = (number, begin.row, begin.record_batch, begin.part_row)
        sound = (
            all(isinstance(count, int) and count >= 0 for count in counts)
            and all(isinstance(text, str) for text in (file, state.footer, before))
            and all(isinstance(known, int | None) for known in (state.size, state.modified))
        )
    if not sound:
        raise SourceError(
            f"{str(position)[:200]} is not a position in files, which has file, number, row, size, modified, footer "
            "and before; give one that was taken in this source, or start from the beginning"
        )
    return file, number, begin, state, before


def _print_of(place: Place) -> _Print:
    assert place.fs is not None  # noqa: S101 - pipes have no positions
    try:
        info = place.fs.get_file_info(place.path)
        state = _Print(info.size, info.mtime_ns, "")
        opened = _Print(place.size, place.modified, "")
        changes = _changes(place, state, opened) if info.is_file else ["it is gone"]
        if changes:
            raise SourceError(
                f"{place.origin}: changed while it was read: {', '.join(changes)}; a position needs files that stay as "
                "they are",
                source=place.origin,
            )
        return _Print(info.size, info.mtime_ns, _hash(_footer(place)))
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{place.origin}: cannot be read: {first_line(error)}", source=place.origin) from error


def _footer(place: Place) -> bytes:
    assert place.fs is not None  # noqa: S101 - as above
    with place.fs.open_input_file(place.path) as file:
        size: int = file.size()
        tail: bytes = file.read_at(min(size, _TAIL), max(0, size - _TAIL))
        if place.kind != "parquet" or len(tail) < _PARQUET_END:
            return tail
        length = min(size, int.from_bytes(tail[-_PARQUET_END:-4], "little") + _PARQUET_END)
        return tail[-length:] if length <= len(tail) else bytes(file.read_at(length, size - length))


def _changes(place: Place, found: _Print, expected: _Print) -> list[str]:
    """Name what differs; what a file system does not tell is not compared."""
    changes = []
    if None not in (found.size, expected.size) and found.size != expected.size:
        changes.append(f"its size is {found.size} bytes (was {expected.size})")
    if None not in (found.modified, expected.modified) and found.modified != expected.modified:
        changes.append(f"its modification time is {_time(found.modified)} (was {_time(expected.modified)})")
    if found.footer != expected.footer:
        part = "footer" if place.kind == "parquet" else "last 64 KiB"
        changes.append(f"the hash of its {part} is {found.footer} (was {expected.footer})")
    return changes


def _time(modified: int | None) -> str:
    seconds, rest = divmod(modified or 0, 10**9)
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M:%S}.{rest:09d} UTC"


def _name(origin: str) -> str:
    return origin.rstrip("/").rpartition("/")[2]


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
