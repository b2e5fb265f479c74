"""position: a source goes on at exactly the row where another one was left, or says which file is not what it was."""

from __future__ import annotations

import gzip
import json
import os
import random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.fs as pf
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.deadletters import open_rows
from penstock.errors import ConfigError, SourceError
from penstock.source import Source, decode, open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

NOTES = [None, "a", "ç", "", "a"]


def table(first: int, rows: int) -> pa.Table:
    """Rows that each occur once; the notes repeat, so Parquet brings them dictionary-encoded."""
    ids = range(first, first + rows)
    return pa.table({"id": pa.array(ids, pa.int64()), "note": pa.array([NOTES[i % 5] for i in ids], pa.string())})


def chunked(whole: pa.Table, sizes: Sequence[int]) -> list[pa.RecordBatch]:
    """Cut a table into batches of these sizes, as often as it takes; sizes of 0 are batches without rows."""
    batches, at = [], 0
    while at < whole.num_rows:
        for size in sizes:
            part = whole.slice(at, size).combine_chunks()
            batches += part.to_batches() or [pa.RecordBatch.from_pylist([], whole.schema)]
            at += part.num_rows
    return batches


def parquet(path: Path, whole: pa.Table, sizes: Sequence[int]) -> None:
    with pq.ParquetWriter(path, whole.schema, write_page_checksum=True) as writer:
        for batch in chunked(whole, sizes):
            writer.write_table(pa.Table.from_batches([batch]), row_group_size=max(1, batch.num_rows))


def ipc(make: Callable[..., Any], compression: str | None = None) -> Callable[..., None]:
    def write(path: Path, whole: pa.Table, sizes: Sequence[int]) -> None:
        with make(str(path), whole.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
            for batch in chunked(whole, sizes):
                writer.write_batch(batch)

    return write


def csv(path: Path, whole: pa.Table, _: Sequence[int]) -> None:
    with pa.CompressedOutputStream(str(path), "gzip") if path.suffix == ".gz" else path.open("wb") as file:
        pc.write_csv(whole, file)


def jsonl(path: Path, whole: pa.Table, _: Sequence[int]) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in whole.to_pylist()).encode()
    path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)


KINDS: dict[str, Callable[..., None]] = {
    "parquet": parquet,
    "arrow": ipc(pa.ipc.new_file),
    "feather": ipc(pa.ipc.new_file, "zstd"),
    "arrows": ipc(pa.ipc.new_stream),
    "csv": csv,
    "csv.gz": csv,
    "jsonl": jsonl,
    "json.gz": jsonl,
}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode few rows at a time, so that small files have as many pieces and blocks as large ones."""
    monkeypatch.setattr(decode, "piece_rows", lambda _rows, _size: 7)
    monkeypatch.setattr(decode, "_TEXT_BLOCK", 128)


def rows_in(source: Source) -> list[dict[str, Any]]:
    """Read what is left of a source, each batch twice; row numbers in a file have no gap."""
    rows: list[dict[str, Any]] = []
    behind: dict[int | None, int] = {}
    for batch in source.batches():
        once, again = ([row for piece in batch.pieces() for row in piece.to_pylist()] for _ in range(2))
        assert once == again
        assert batch.rows in {None, len(once)}
        assert batch.first_row == behind.get(batch.file, batch.first_row if not behind else 0)
        behind[batch.file] = batch.first_row + len(once)
        rows += once
    return rows


def rows_from(data: Any, position: dict[str, Any]) -> list[dict[str, Any]]:
    with open_rows(data) as source:
        source.start_at(json.loads(json.dumps(position)))
        return rows_in(source)


def positions(data: Any) -> list[tuple[int, dict[str, Any]]]:
    """Take every position of a source: before each row, and behind each batch; each with how many rows are before."""
    found, at = [], 0
    with open_rows(data) as source:
        for batch in source.batches():
            rows = sum(piece.num_rows for piece in batch.pieces())
            for row in range(rows + 1):
                position = source.position(batch, row)
                assert position is not None
                assert (position["file"], position["row"]) == (batch.origin, batch.first_row + row)
                found.append((at + row, position))
            at += rows
    return found


def position_at(data: Any, row: int) -> dict[str, Any]:
    return next(position for at, position in positions(data) if at == row)


def refusal(data: Any, position: Any) -> str:
    with open_source(data) as source:
        with pytest.raises(SourceError) as caught:
            source.start_at(position)
        text = str(caught.value)
        assert "\n" not in text
        assert text.startswith(f"{getattr(caught.value, 'source', '')}")
        assert rows_in(source)  # refused, it begins where it would have
    return text


def rewrite(path: Path, content: bytes, modified: int | None = None) -> None:
    state = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns if modified is None else modified))


# ------------------------------------------------------------------------------------------------------------- going on


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("kind", "mapped"), [*((kind, False) for kind in KINDS), ("arrow", True), ("feather", True)])
def test_every_row_is_a_place_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, *, mapped: bool
) -> None:
    """From each row of each file, and from behind each batch, come exactly the rest of the rows, of every format."""
    if mapped:  # as IPC files of large batches are
        monkeypatch.setattr(decode, "_MAPPED_BATCH", 1)
    paths = [tmp_path / f"{name}.{kind}" for name in "abc"]
    for number, path in enumerate(paths):
        KINDS[kind](path, table(number * 100, 23), [5, 0, 9, 1, 0])
    data = [*paths, paths[0]]  # a file named twice is read twice
    with open_source(data) as source:
        whole = rows_in(source)
    assert len(whole) == 4 * 23
    taken = positions(data)
    assert len(taken) > len(whole)
    for at, position in taken:
        assert rows_from(data, position) == whole[at:]
    assert {position["number"] for _, position in taken} == {0, 1, 2, 3}


@pytest.mark.usefixtures("small")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_a_job_stopped_again_and_again_reads_every_row_once(tmp_path: Path, data: st.DataObject) -> None:
    """Files of any formats, cut and stopped anywhere, as often as may be: all rows, in order, none twice."""
    paths, first = [], 0
    for number in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from([*KINDS]))
        rows = data.draw(st.integers(4 if KINDS[kind] in {csv, jsonl} else 0, 40))  # text of no row has no types
        sizes = data.draw(st.lists(st.integers(0, 20), min_size=1, max_size=4).filter(any))
        paths.append(tmp_path / f"{number}.{kind}")
        KINDS[kind](paths[-1], table(first, rows), sizes)
        first += rows
    read: list[int] = []
    position: dict[str, Any] | None = None
    while True:
        stop = data.draw(st.integers(1, 30))
        with open_source(paths) as source:
            if position is not None:
                source.start_at(position)
            for batch in source.batches():
                ids = [row["id"] for piece in batch.pieces() for row in piece.to_pylist()][:stop]
                position = source.position(batch, len(ids))
                read += ids
                stop -= len(ids)
                if stop == 0:
                    break
            else:
                break
    assert read == list(range(first))


@pytest.mark.parametrize("kind", KINDS)
def test_behind_the_last_row_is_nothing_until_a_file_is_added(tmp_path: Path, kind: str) -> None:
    """At the very end no batch comes, not even an empty one; of a directory that grew the new files do."""
    exports = tmp_path / "exports"
    exports.mkdir()
    KINDS[kind](exports / f"a.{kind}", table(0, 20), [10, 0])
    _, end = positions(exports)[-1]
    assert end["row"] == 20
    with open_source(exports) as source:
        source.start_at(end)
        assert list(source.batches()) == []
    KINDS[kind](exports / f"b.{kind}", table(20, 20), [10])
    assert [row["id"] for row in rows_from(exports, end)] == list(range(20, 40))
    assert [row["id"] for row in rows_from(exports, position_at(exports, 15))] == list(range(15, 40))


def test_text_files_keep_the_types_they_agreed_on(tmp_path: Path) -> None:
    """A file whose numbers are whole is read as the doubles of the others, gone on in as from the start."""
    for name, numbers in (("a", "12"), ("b", ["3", "4"]), ("c", ["5.5"])):
        (tmp_path / f"{name}.csv").write_text("x\n" + "".join(f"{n}\n" for n in numbers))
        (tmp_path / f"{name}.jsonl").write_text("".join(f'{{"x": {n}}}\n' for n in numbers))
    for kind in ("csv", "jsonl"):
        data = tmp_path / f"*.{kind}"
        with open_source(data) as source:
            source.start_at(position_at(data, 3))
            batches = [(batch.first_row, piece) for batch in source.batches() for piece in batch.pieces()]
        assert [(row, piece.schema.types, piece["x"].to_pylist()) for row, piece in batches] == [
            (1, [pa.float64()], [4.0]),
            (0, [pa.float64()], [5.5]),
        ]


def test_what_is_before_the_position_is_not_decoded(tmp_path: Path) -> None:
    """Row groups and record batches before the one with the row are not read: damage in them is not met."""
    rows = 30_000
    noise = random.Random(1).randbytes(rows * 8)  # the damage is to lie before the last 64 KiB
    column = pa.Array.from_buffers(pa.binary(8), rows, [None, pa.py_buffer(noise)])
    for kind, mark in (("parquet", b"PAR1"), ("feather", b"\x28\xb5\x2f\xfd")):  # of zstd's first frame
        path = tmp_path / f"a.{kind}"
        KINDS[kind](path, table(0, rows).append_column("noise", column), [rows // 3])
        content, modified = path.read_bytes(), path.stat().st_mtime_ns
        begin = content.index(mark)
        broken = content[:begin] + mark[::-1] + bytes(1000) + content[begin + 1004 :]
        for at in (rows // 3 + 5, rows - 5, rows):
            rewrite(path, content, modified)
            position = position_at(path, at)
            rewrite(path, broken, modified)
            with open_source(path) as source, pytest.raises(SourceError, match="cannot be read"):
                rows_in(source)
            assert [row["id"] for row in rows_from(path, position)] == list(range(at, rows))


def test_dead_letters_go_on_as_files(tmp_path: Path) -> None:
    """A dead-letter file has positions of its rows as they were first given; it may still not be read into itself."""
    path = tmp_path / "dead.arrows"
    added = table(0, 50).append_column("penstock_error", pa.array(["bad"] * 50))
    ipc(pa.ipc.new_stream)(path, added.replace_schema_metadata({"penstock.dead_letters": "1"}), [20])
    taken = positions(path)
    assert [at for at, _ in taken] == [*range(21), *range(20, 41), *range(40, 51)]
    for at, position in taken:
        assert rows_from(path, position) == table(0, 50).to_pylist()[at:]
    with open_rows(path, dead_letter=str(path)) as source:
        source.start_at(taken[5][1])
        with pytest.raises(ConfigError, match="is what is read"):
            next(source.batches())


# ------------------------------------------------------------------------------------------------------------- refused


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{name}.parquet" for name in "abc"]
    for number, path in enumerate(paths):
        parquet(path, table(number * 10, 10), [4])
    return paths


def test_a_changed_file_is_refused_by_what_changed(files: list[Path]) -> None:
    """Another size, modification time or footer is named, found against recorded, each alone and all together."""
    _, b, _ = files
    content, position = b.read_bytes(), position_at(files, 15)
    assert {**position, "size": 0, "footer": "", "before": ""} == {
        "file": str(b), "number": 1, "row_group": 1, "row": 5,
        "size": 0, "modified": b.stat().st_mtime_ns, "footer": "", "before": "",
    }  # fmt: skip
    assert (position["size"], len(position["footer"]), len(position["before"])) == (len(content), 16, 16)
    kept = position["modified"]

    rewrite(b, content, kept + 1)
    late = f"{kept % 10**9:09d}"
    text = refusal(files, position)
    assert text.startswith(f"{b}: changed since the position in it was taken: its modification time is ")
    assert f".{late} UTC); give the files as they were" in text
    assert "size" not in text.partition(";")[0]

    length = int.from_bytes(content[-8:-4], "little") + 8
    changed = content[:-length] + content[-length:].replace(b"parquet-cpp", b"parquet-CPP")
    assert changed != content
    rewrite(b, changed, kept)
    text = refusal(files, position)
    assert text.startswith(f"{b}: changed since the position in it was taken: the hash of its footer is ")
    assert f"(was {position['footer']}); " in text

    parquet(b, table(10, 11), [4])
    text = refusal(files, position)
    assert f"its size is {b.stat().st_size} bytes (was {len(content)}), its modification time is" in text
    assert "the hash of its footer is" in text

    rewrite(b, content, kept)
    assert [row["id"] for row in rows_from(files, position)] == list(range(15, 30))


def test_the_end_of_a_text_file_is_its_footer(tmp_path: Path) -> None:
    """Of other formats the last 64 KiB as they lie in the file count, of packed ones too."""
    for kind, at in (("csv", -10), ("csv.gz", 4), ("arrows", -10)):  # 4: gzip's own time, of which nothing depends
        path = tmp_path / f"a.{kind}"
        KINDS[kind](path, table(0, 20_000), [1000])
        position, content = position_at(path, 7), path.read_bytes()
        rewrite(path, content[:at] + b"\1" + content[at + 1 :])
        with open_source(path) as source, pytest.raises(SourceError, match="the hash of its last 64 KiB is"):
            source.start_at(position)


def test_other_files_before_are_refused(files: list[Path], tmp_path: Path) -> None:
    """A file that was delivered may not change, and none may be missing, added or elsewhere; later ones may."""
    a, b, c = files
    position = position_at(files, 25)
    d = tmp_path / "d.parquet"
    parquet(d, table(30, 10), [4])
    why = "before it changed since the position in it was taken, or were exchanged: the hash of names"
    assert refusal([b, a, c], position).startswith(f"{c}: the 2 files {why}")
    assert refusal([a, a, c], position).startswith(f"{c}: the 2 files {why}")
    assert refusal([a, c], position).startswith(
        f"{c}: the position is in this file as number 3 of the source, which has only 2 now; give"
    )
    assert refusal([a, c, b], position).startswith(
        f"{c}: was number 3 of the files when the position was taken, is number 2 now; "
    )
    assert refusal([a, b, d, c], position).startswith(f"{c}: was number 3 of the files when the position was taken, is")
    assert refusal([a, b, d], position).startswith(
        f"{c}: the position is in this file, which is not among the 3 given; "
    )
    assert rows_from([a, b, c, d], position)[-1]["id"] == 39
    rewrite(d, d.read_bytes(), 1)  # touched: it comes after
    assert rows_from([a, b, c, d], position)[-1]["id"] == 39
    renamed = a.rename(tmp_path / "other.parquet")
    assert refusal([renamed, b, c], position).startswith(f"{c}: the 2 files {why}")
    renamed.rename(a)
    rewrite(a, a.read_bytes(), 1)
    assert refusal(files, position).startswith(f"{c}: the 2 files {why}")
    assert refusal(files, position_at(files, 11) | {"before": "0"}).startswith(f"{b}: the file {why}")


def test_files_may_be_named_by_another_path(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same files as a list, a directory, a pattern or from another working directory are the same files."""
    position = position_at(files, 15)
    monkeypatch.chdir(files[0].parent)
    for data in (["a.parquet", "b.parquet", "c.parquet"], ".", "*.parquet", files[0].parent.as_uri()):
        assert [row["id"] for row in rows_from(data, position)] == list(range(15, 30))


def test_a_file_that_changes_while_it_is_read_has_no_position(files: list[Path]) -> None:
    """A position is of the file that was opened: where that is gone or changed, asking for one is the error."""
    a, b, _ = files
    with open_source(files) as source:
        batches = source.batches()
        first = next(batches)
        rewrite(a, a.read_bytes(), 1)
        with pytest.raises(
            SourceError, match=r"a.parquet: changed while it was read: its modification time is 1970-01"
        ):
            source.position(first, 1)
    with open_source([b]) as source:
        first = next(source.batches())
        b.unlink()
        with pytest.raises(SourceError, match=r"b.parquet: changed while it was read: it is gone; a position needs"):
            source.position(first, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_with_fewer_rows_than_the_position_is_refused(tmp_path: Path, kind: str) -> None:
    """What no fingerprint showed is an error once the file ends too early, not an end without rows."""
    path = tmp_path / f"a.{kind}"
    KINDS[kind](path, table(0, 20), [10])
    position = position_at(path, 20)
    with pytest.raises(SourceError, match=r"has 20 rows, to go on from row 21 it needs as many; give"):
        rows_from(path, position | {"row": 21})


def test_what_is_no_file_has_no_position(tmp_path: Path, files: list[Path]) -> None:
    """Data in memory, readers and pipes have none, and cannot go on from one; a source being read cannot either."""
    position = position_at(files, 3)
    for data in (table(0, 3), table(0, 3).to_batches()[0], [table(0, 3)], table(0, 3).to_reader()):
        with open_source(data) as source:
            with pytest.raises(SourceError, match="this source is no files, so it cannot go on from a position; give"):
                source.start_at(position)
            (batch,) = source.batches()
            assert batch.rows == 3
            assert source.position(batch, 1) is None
    pipe, stream = tmp_path / "pipe", tmp_path / "a.arrows"
    ipc(pa.ipc.new_stream)(stream, table(0, 3), [3])
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDWR)
    try:
        os.write(held, stream.read_bytes())
        with open_source([stream, pipe]) as source:
            with pytest.raises(SourceError, match="pipe: a pipe cannot go on from a position; give paths of files"):
                source.start_at(position)
            assert source.position(next(source.batches()), 1) is None
    finally:
        os.close(held)
    with open_source(files) as source:
        source.batches()
        with pytest.raises(SourceError, match="this source is already being read; open it again"):
            source.start_at(position)


@pytest.mark.parametrize(
    "change",
    [
        None, "41", {"offset": 3}, {"file": 3}, {"row": -1}, {"row": "3"}, {"number": None}, {"record_batch": -1},
        {"part_row": 1.5}, {"size": "1"}, {"modified": 0.5}, {"footer": None}, {"before": 7},
    ],
)  # fmt: skip
def test_what_is_no_position_of_files_is_refused(files: list[Path], change: Any) -> None:
    """A position of the caller's own, or of another version, is refused by what it lacks."""
    position = position_at(files, 3) | change if isinstance(change, dict) and change.keys() != {"offset"} else change
    text = refusal(files, position)
    assert text.startswith(f"{str(position)[:200]} is not a position in files, which has file, number, row, size")


class Store:
    """An object store that does not know when its files were written; keeps what it is asked for after the listing."""

    def __init__(self, base: Path) -> None:
        self.under = pf.SubTreeFileSystem(str(base), pf.LocalFileSystem())
        self.asked: list[str] = []
        self.open_input_file = self.under.open_input_file
        self.open_input_stream = self.under.open_input_stream

    def get_file_info(self, what: str | pf.FileSelector) -> Any:
        def timeless(info: pf.FileInfo) -> pf.FileInfo:
            return pf.FileInfo(info.path, info.type, size=info.size)

        found = self.under.get_file_info(what)
        if isinstance(found, list):
            return [timeless(info) for info in found]
        self.asked.append(found.path)
        return timeless(found)


def test_an_object_store_without_times_tells_by_size_and_footer(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no modification time is known the rest decides; each file is looked at once, and none without need."""
    store = Store(files[0].parent)
    names = {name: getattr(pf, name) for name in ("FileSelector", "FileType", "LocalFileSystem")}
    fs = SimpleNamespace(from_uri=lambda uri: (store, uri.removeprefix("store://bucket").strip("/")))
    monkeypatch.setattr("penstock.source.places.pf", SimpleNamespace(**names, FileSystem=fs))
    data = "store://bucket"
    with open_source(data) as source:
        store.asked.clear()
        whole = rows_in(source)
        assert store.asked == []
    position = position_at(data, 25)
    assert (position["file"], position["modified"]) == ("store://bucket/c.parquet", None)
    assert position_at(files, 25)["modified"] is not None
    assert rows_from(data, position) == whole[25:]
    with open_source(data) as source:
        store.asked.clear()
        source.start_at(position)
        for batch in source.batches():
            source.position(batch, 0)
        assert sorted(store.asked) == ["a.parquet", "b.parquet", "c.parquet"]
    content = files[2].read_bytes()
    files[2].write_bytes(content.replace(b"parquet-cpp", b"parquet-CPP"))
    assert refusal(data, position).startswith(
        "store://bucket/c.parquet: changed since the position in it was taken: the hash of its footer is "
    )
    files[2].write_bytes(content)
    files[0].write_bytes(files[0].read_bytes().replace(b"parquet-cpp", b"parquet-CPP"))
    assert refusal(data, position).startswith("store://bucket/c.parquet: the 2 files before it changed")
