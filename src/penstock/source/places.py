"""places: which files a path, directory, glob or URL means, and in which format each of them is.

    'orders.parquet'  'exports/'  'exports/*.parquet'  's3://bucket/exports'  '-'  ──▶  [Place, Place, …]

The order is the caller's; within a directory or glob, the order of the names. Nothing is opened here but files whose
name does not tell the format: of those the first bytes are read.
"""

from __future__ import annotations

import difflib
import glob
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa
import pyarrow.fs as pf

from penstock.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["FORMATS", "Place", "check_format", "each_place", "find_places", "first_line"]

_T = TypeVar("_T")

FORMATS = ("parquet", "arrow", "csv", "jsonl")
_EXTENSIONS = {
    **dict.fromkeys(("parquet", "parq", "pq"), "parquet"),
    **dict.fromkeys(("arrow", "arrows", "ipc", "feather"), "arrow"),
    "csv": "csv",
    **dict.fromkeys(("jsonl", "ndjson", "json"), "jsonl"),
}
# pyarrow unpacks these by extension while it reads a stream; Parquet and Arrow IPC compress inside.
_PACKED = ("gz", "bz2", "zst", "lz4", "br")
_OPENERS = 8  # files looked into at once; object stores answer in tens of milliseconds each
_WILD_IN_URL = re.compile(r"[*\[]")  # a '?' begins the URL's options


@dataclass(frozen=True)
class Place:
    """One file to read.

    origin    what errors name: the path as the user gave it, without the credentials and options of a URL
    given     the path as the user gave it; with `path` it tells two files apart
    fs        None for a pipe (standard input, a named pipe): it can be read once and not be sought in
    kind      one of FORMATS
    size      bytes, None when unknown
    modified  when, in nanoseconds since 1970, None when unknown
    """

    origin: str
    given: str
    path: str
    fs: pf.FileSystem | None
    kind: str
    size: int | None
    modified: int | None = None

    @property
    def local(self) -> bool:
        """Reading a few bytes here and there costs microseconds, not a round trip."""
        return isinstance(self.fs, pf.LocalFileSystem)


def check_format(name: str | None) -> None:
    """Refuse an input format that does not exist, naming the nearest."""
    if name is None or name in FORMATS:
        return
    near = difflib.get_close_matches(str(name).lower(), [*FORMATS, *_EXTENSIONS], n=1)
    meant = f'; did you mean "{_EXTENSIONS.get(near[0], near[0])}"?' if near else ""
    raise ConfigError(f'input_format: "{name}" is not one of {", ".join(FORMATS)}{meant}')


def find_places(source: str | os.PathLike[str], input_format: str | None) -> list[Place]:
    """List the files that a path means, at least one.

    A directory means all files below it in the order of their names, without hidden ones and those that begin with
    '_'; a pattern of `*`, `?`, `[…]` and `**` means the files that match (in a URL `?` has its own meaning). A path
    that exists is never a pattern.

    Raises    SourceError naming the path, with the nearest name where there is one
    """
    text = os.fspath(source)
    if not isinstance(text, str):
        raise SourceError(f"{text!r}: a path must be text, found bytes; decode it with os.fsdecode")
    if text == "":
        raise SourceError("a source is an empty path; give a file, a directory, a pattern, a URL, or '-'")
    if text == "-":
        return [Place("standard input", "-", "-", None, input_format or "arrow", None)]
    return _find_remote(text, input_format) if "://" in text else _find_local(text, input_format)


def _find_local(text: str, input_format: str | None) -> list[Place]:
    fs = pf.LocalFileSystem()
    path = os.path.expanduser(text)  # noqa: PTH111 - origins keep the user's spelling, which Path would tidy up
    if glob.has_magic(path) and not os.path.lexists(path):
        shown = not os.path.basename(path).startswith("_")  # noqa: PTH119
        names = sorted(glob.glob(path, recursive=True))  # noqa: PTH207
        names = [name for name in names if not (shown and os.path.basename(name).startswith("_"))]  # noqa: PTH119
        if path.rstrip("/").endswith("**"):  # matches directories too, and all that is in them
            names = [name for name in names if not os.path.isdir(name)]  # noqa: PTH112
        if not names:
            raise SourceError(f"{text}: no file matches the pattern", source=text)
        return [place for name in names for place in _expand(fs, name, name, name, input_format)]
    return _expand(fs, path, text, text, input_format)


def _find_remote(url: str, input_format: str | None) -> list[Place]:
    address, _, options = url.partition("?")
    wild = _WILD_IN_URL.search(address)
    base = address[: address.rindex("/", 0, wild.start()) + 1] if wild else address
    origin = re.sub(r"//[^/@]*@", "//", address)
    try:
        fs, path = pf.FileSystem.from_uri(f"{base}?{options}" if options else base)
        if wild is None:
            return _expand(fs, path, origin, url, input_format)
        found = [info for info in fs.get_file_info(pf.FileSelector(path, recursive=True)) if info.is_file]
    except (pa.ArrowException, OSError, ValueError) as error:
        # arrow's text may repeat the URL, and with it a secret
        why = first_line(error).replace(url, origin).replace(base, origin)
        if options:
            why = why.replace(options, "…")
        raise SourceError(f"{origin}: cannot be opened: {re.sub(r'//[^/@ ]*@', '//', why)}", source=origin) from error
    pattern = _regex(address[len(base) :])
    shown = not address.rpartition("/")[2].startswith("_")
    places = []
    for info in sorted(found, key=lambda one: str(one.path)):
        below = _below(path, info)
        if pattern.fullmatch(below) and not (shown and info.base_name.startswith(("_", "."))):
            name = re.sub(r"//[^/@]*@", "//", base) + below
            places.append(_place(fs, info, name, url, input_format))
    if not places:
        raise SourceError(f"{origin}: no file matches the pattern", source=origin)
    return places


def _regex(pattern: str) -> re.Pattern[str]:
    """Translate a glob over '/'-separated names: `*` stays within one name, `**/` crosses them."""
    text = ""
    for part in re.findall(r"\*\*/|\*+|\[!?[^\]]+\]|.", pattern):
        if part == "**/":
            text += "(?:.*/)?"
        elif part.startswith("**"):
            text += ".*"
        elif part == "*":
            text += "[^/]*"
        elif part.startswith("[") and len(part) > 1:
            text += "[" + re.sub(r"^!", "^", part[1:-1]).replace("\\", r"\\") + "]"
        else:
            text += re.escape(part)
    return re.compile(text, re.DOTALL)


def each_place(look: Callable[[Place], _T], places: Sequence[Place]) -> list[_T]:
    """Call `look` for each place, several at once where one would wait for the other's round trip."""
    if len(places) == 1 or all(place.local or place.fs is None for place in places):
        return [look(place) for place in places]
    with ThreadPoolExecutor(_OPENERS) as openers:
        return list(openers.map(look, places))


def _expand(fs: pf.FileSystem, path: str, origin: str, given: str, input_format: str | None) -> list[Place]:
    try:
        info = fs.get_file_info(path)
        if info.type == pf.FileType.NotFound:
            raise SourceError(f"{origin}: {_missing(fs, path)}", source=origin)
        if info.type == pf.FileType.Directory:
            return _directory(fs, path, origin, given, input_format)
        return [_place(fs, info, origin, given, input_format)]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise SourceError(f"{origin}: cannot be opened: {first_line(error)}", source=origin) from error


def _directory(fs: pf.FileSystem, path: str, origin: str, given: str, input_format: str | None) -> list[Place]:
    places = []
    for info in sorted(fs.get_file_info(pf.FileSelector(path, recursive=True)), key=lambda one: str(one.path)):
        below = _below(path, info)
        names = below.split("/")
        if info.type == pf.FileType.Directory or any(name.startswith((".", "_")) for name in names):
            continue
        column = next((name for name in names[:-1] if "=" in name), None)
        if column is not None:
            # reading on would leave out these columns without a word
            raise SourceError(
                f'{origin}: the directory name "{column}" holds a column, which would be left out; '
                f"read it with pyarrow.dataset.dataset({origin!r}, partitioning='hive') and write its to_batches()",
                source=origin,
            )
        places.append(_place(fs, info, f"{origin.rstrip('/')}/{below}", given, input_format))
    if not places:
        raise SourceError(
            f"{origin}: the directory has no file to read (names that begin with '.' or '_' are left out)",
            source=origin,
        )
    return places


def _below(base: str, info: pf.FileInfo) -> str:
    path = str(info.path)
    root = base.strip("/") == ""  # a bucket itself is '', and what is in it has no '/' in front
    return path.lstrip("/") if root else path[len(base.rstrip("/")) + 1 :]


def _place(fs: pf.FileSystem, info: pf.FileInfo, origin: str, given: str, input_format: str | None) -> Place:
    path = str(info.path)
    pipe = isinstance(fs, pf.LocalFileSystem) and not info.is_file  # a named pipe, or /dev/fd/63 of a shell's <(…)
    if pipe:
        return Place(origin, given, path, None, input_format or _by_name(path) or "arrow", None)
    kind = input_format or _by_name(path) or _by_content(fs, path, origin)
    return Place(origin, given, path, fs, kind, info.size, info.mtime_ns)


def _by_name(path: str) -> str | None:
    parts = path.rpartition("/")[2].lower().split(".")
    kind = _EXTENSIONS.get(parts[-1]) if len(parts) > 1 else None
    if kind is None and len(parts) > 2 and parts[-1] in _PACKED:  # noqa: PLR2004 - name.csv.gz
        kind = _EXTENSIONS.get(parts[-2])
        kind = kind if kind in ("csv", "jsonl") else None
    return kind


def _by_content(fs: pf.FileSystem, path: str, origin: str) -> str:
    with fs.open_input_stream(path, compression=None) as stream:
        start = stream.read(6)
    if start.startswith((b"PAR1", b"PARE")):
        return "parquet"
    if start == b"ARROW1" or start.startswith(b"\xff\xff\xff\xff"):
        return "arrow"
    found = f"it begins with {start!r}" if start else "it is empty"
    raise SourceError(
        f"{origin}: neither its name nor its content tells the format ({found}); "
        f"name it with input_format or --input-format ({', '.join(FORMATS)})",
        source=origin,
    )


def _missing(fs: pf.FileSystem, path: str) -> str:
    parent, _, name = path.rstrip("/").rpartition("/")
    if isinstance(fs, pf.LocalFileSystem):  # a bucket may hold millions of names
        folder = parent or ("/" if path.startswith("/") else ".")
        try:
            names: Sequence[str] = os.listdir(folder)  # noqa: PTH208 - names are wanted, not paths
        except FileNotFoundError:
            return f"no such file or directory, nor is there a directory {folder}"
        except OSError:
            names = ()
        near = difflib.get_close_matches(name, names, n=1)
        if near:
            return f"no such file or directory; did you mean {parent + '/' if parent else ''}{near[0]}?"
    return "no such file or directory"


def first_line(error: BaseException) -> str:
    """Cut the text of another library's error down to its first line, at most 200 characters."""
    text = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return text[:200].rstrip(" .")
