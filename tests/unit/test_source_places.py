"""source: paths, patterns, URLs and standard input name the files that are read, in the order of their names."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pf
import pyarrow.parquet as pq
import pytest

from penstock.errors import SchemaError, SourceError
from penstock.source import open_source
from penstock.source.batch import Batch
from source_rows import ROWS, SCHEMA, TABLE, ipc_file, ipc_stream, parquet, refusal, rows_in, rows_of


@pytest.fixture
def exports(tmp_path):
    """Make a directory of three files, a nested one, and things that are not to be read."""
    base = tmp_path / "exports"
    (base / "deep" / "er").mkdir(parents=True)
    (base / "_delta_log").mkdir()
    for i, name in enumerate(("b.parquet", "a.parquet", "deep/er/c.parquet")):
        parquet(base / name, pa.table({"n": [i]}))
    (base / "_SUCCESS").touch()
    (base / ".hidden.parquet").touch()
    (base / "_delta_log" / "0.json").touch()
    return base


def numbers(source: object) -> list[int]:
    return [row["n"] for row in rows_of(source)]


def test_directories_and_patterns_are_read_in_the_order_of_names(exports, monkeypatch):
    """A directory means all its files, deep ones too, hidden and '_' ones not; a pattern means the files it matches."""
    assert numbers(exports) == [1, 0, 2]
    assert numbers(f"{exports}/") == [1, 0, 2]
    assert numbers(f"{exports}/*.parquet") == [1, 0]
    assert numbers(f"{exports}/**/*.parquet") == [1, 0, 2]
    assert numbers(f"{exports}/[b-z].parquet") == [0]
    assert numbers(f"{exports}/*") == [1, 0, 2]
    assert numbers(f"{exports}/**") == [1, 0, 2]
    monkeypatch.chdir(exports)
    with open_source(["a.parquet", "deep"]) as opened:
        assert [batch.origin for batch in opened.batches()] == ["a.parquet", "deep/er/c.parquet"]
    monkeypatch.setenv("HOME", str(exports))
    assert numbers("~/a.parquet") == [1]


def test_urls_mean_the_same_files(exports):
    """A file:// URL of a file, directory or pattern reads what the path would."""
    url = exports.as_uri()
    assert numbers(f"{url}/a.parquet") == [1]
    assert numbers(url) == [1, 0, 2]
    assert numbers(f"{url}/*.parquet") == [1, 0]
    assert numbers(f"{url}/**/*.parquet") == [1, 0, 2]
    assert numbers(f"{url}/[!a].parquet") == [0]
    assert refusal(f"{url}/*.csv") == f"{url}/*.csv: no file matches the pattern"
    assert "did you mean" in refusal(f"{url}/a.parqet")


def test_object_stores_read_as_local_files_do(exports, monkeypatch):
    """A file system that is not this machine's gives the same rows; its credentials are in no error and no origin."""
    store = pf.SubTreeFileSystem(str(exports), pf.LocalFileSystem())
    asked = []

    def from_uri(uri):
        asked.append(uri)
        return store, uri.partition("?")[0].removeprefix("store://user:secret@bucket").strip("/")

    names = {name: getattr(pf, name) for name in ("FileSelector", "FileType", "LocalFileSystem")}
    monkeypatch.setattr(
        "penstock.source.places.pf", SimpleNamespace(**names, FileSystem=SimpleNamespace(from_uri=from_uri))
    )
    url = "store://user:secret@bucket"
    assert numbers(f"{url}/a.parquet?region=x") == [1]
    assert asked == [f"{url}/a.parquet?region=x"]
    assert numbers(url) == [1, 0, 2]
    assert numbers(f"{url}/deep/**/*.parquet?region=x") == [2]
    assert numbers([url, f"{url}/[a]*"]) == [1, 0, 2, 1]
    ipc_file(exports / "x.arrow", pa.table({"n": range(5)}), 2)
    assert numbers(f"{url}/x.arrow") == [0, 1, 2, 3, 4]
    with open_source(f"{url}/x.arrow") as opened:
        assert {batch.origin for batch in opened.batches()} == {"store://bucket/x.arrow"}
    assert refusal(f"{url}/none.parquet") == "store://bucket/none.parquet: no such file or directory"
    assert refusal(f"{url}/*.csv?key=hidden") == "store://bucket/*.csv: no file matches the pattern"


def test_a_source_named_twice_is_read_twice(exports):
    """The same file twice gives its rows twice, as a list or through two names."""
    a = exports / "a.parquet"
    assert numbers([a, a, exports]) == [1, 1, 1, 0, 2]
    assert numbers(str(path) for path in (a, a)) == [1, 1]


def test_a_file_whose_name_is_a_pattern_is_that_file(tmp_path):
    """A path that exists is read as it is, whatever characters are in it."""
    path = parquet(tmp_path / "a[1]*.parquet")
    (tmp_path / "a1x.parquet").touch()
    assert rows_of(path) == ROWS


def test_content_tells_what_a_name_does_not(tmp_path):
    """A file without a known extension is read by its first bytes; where they do not tell, the formats are listed."""
    paths = [parquet(tmp_path / "p"), ipc_file(tmp_path / "f.bin", TABLE), ipc_stream(tmp_path / "s.2024", TABLE)]
    for path in paths:
        assert rows_of(path) == ROWS
    (tmp_path / "t.txt").write_text("id\n1\n")
    assert "it begins with b'id\\n1\\n'); name it with input_format" in refusal(tmp_path / "t.txt")
    (tmp_path / "e").touch()
    assert "(it is empty)" in refusal(tmp_path / "e")


def test_wrong_paths_are_named_with_the_nearest(tmp_path):
    """Missing files, directories without files, bad URLs and unreadable files are one line each, naming the path."""
    parquet(tmp_path / "orders.parquet")
    text = refusal(tmp_path / "ordrs.parquet")
    assert text == f"{tmp_path}/ordrs.parquet: no such file or directory; did you mean {tmp_path}/orders.parquet?"
    assert "nor is there a directory" in refusal(tmp_path / "nowhere" / "a.parquet")
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "_x").touch()
    assert "the directory has no file to read" in refusal(tmp_path / "none")
    assert refusal(f"{tmp_path}/*.csv") == f"{tmp_path}/*.csv: no file matches the pattern"
    assert "an empty path" in refusal("")
    assert refusal("nope://user:secret@host/x?key=hidden").startswith("nope://host/x: cannot be opened: ")
    assert not {"secret", "hidden"} & set(refusal("nope://user:secret@host/x?key=hidden").replace(":", " ").split())


def test_columns_in_directory_names_are_not_dropped_silently(tmp_path):
    """A Hive-partitioned directory is refused, since the columns in its directory names would be left out."""
    (tmp_path / "d" / "day=1").mkdir(parents=True)
    parquet(tmp_path / "d" / "day=1" / "a.parquet")
    assert 'the directory name "day=1" holds a column' in refusal(tmp_path / "d")
    dataset = ds.dataset(tmp_path / "d", partitioning="hive")
    assert rows_of(dataset.to_batches()) == [{**row, "day": 1} for row in ROWS]
    assert rows_of(tmp_path / "d" / "day=1") == ROWS


READ_STDIN = (
    "import sys\n"
    "from penstock.source import open_source\n"
    "from penstock.errors import SourceError\n"
    "try:\n"
    "    with open_source(sys.argv[1:-1], input_format=sys.argv[-1] or None) as s:\n"
    "        print([row for b in s.batches() for p in b.pieces() for row in p.to_pylist()])\n"
    "except SourceError as error:\n"
    "    print(error)\n"
)


def read_stdin(content: bytes, *arguments: str) -> str:
    command = [sys.executable, "-c", READ_STDIN, *(arguments or ("-", ""))]
    ran = subprocess.run(command, input=content, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr.decode()
    return ran.stdout.decode().strip()


def test_standard_input_is_an_ipc_stream(tmp_path):
    """'-' reads an Arrow IPC stream, an IPC file, or CSV if told so, from standard input; Parquet needs a file."""
    assert read_stdin(ipc_stream(tmp_path / "a", TABLE, 2).read_bytes()) == str(ROWS)
    assert read_stdin(ipc_file(tmp_path / "b", TABLE, 2).read_bytes()) == str(ROWS)
    assert read_stdin(b"id\n1\n", "-", "csv") == "[{'id': 1}]"
    assert read_stdin(b"", "-", "parquet").startswith("standard input: Parquet cannot be read from a pipe")
    assert read_stdin(b"").startswith("standard input: is empty, an Arrow stream has its columns at least")
    assert read_stdin(b"id\n1\n").startswith("standard input: cannot be read as Arrow IPC: ")
    assert read_stdin(b"", "-", "-", "").startswith("standard input: a pipe can be read only once")


def test_a_named_pipe_is_read_once(tmp_path):
    """A named pipe, or a shell's <(…), is read as a stream, after the files before it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = ipc_stream(tmp_path / "a.arrows", TABLE).read_bytes()
    feeder = threading.Thread(target=pipe.write_bytes, args=(content,))
    feeder.start()
    try:
        assert rows_of([parquet(tmp_path / "a.parquet"), pipe]) == ROWS * 2
    finally:
        feeder.join()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - iterdir() would open one more while it counts


def test_files_are_closed(tmp_path):
    """Leaving the block, half-way or at an error, leaves no descriptor open."""
    paths = [
        parquet(tmp_path / "a.parquet"),
        ipc_file(tmp_path / "b.arrow", TABLE),
        ipc_stream(tmp_path / "c.arrow", TABLE),
    ]
    open_before = descriptors()
    for path in paths:
        with open_source(path) as opened:
            for batch in opened.batches():
                assert list(batch.pieces())
                break
        with open_source([path, *paths]) as opened:
            rows_in(opened)
        opened = open_source(path)
        reading = opened.batches()
        next(reading)
        opened.close()
        del opened, reading, batch
    broken = tmp_path / "d.parquet"
    broken.write_bytes(b"PAR1")
    for path in paths:
        with pytest.raises(SourceError):
            open_source([path, broken])
    assert descriptors() == open_before


def test_batches_compare_by_what_they_are():
    """A Batch is a plain frozen record: its schema, origin and first row."""
    (batch,) = open_source(TABLE.to_batches()[0]).batches()
    assert batch == Batch(SCHEMA, "batch", 0, lambda: iter(()))
    with pytest.raises(AttributeError):
        batch.origin = "other"


def test_a_column_that_is_missing_has_the_type_of_the_file(tmp_path):
    """Whether a Parquet column is read as a dictionary is our choice; the user's type is string."""
    pq.write_table(pa.table({"id": range(1000), "note": ["a", "b"] * 500}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"id": range(1000)}), tmp_path / "b.parquet")
    assert "a.parquet has it as string; select" in refusal(
        [tmp_path / "a.parquet", tmp_path / "b.parquet"], SchemaError
    )
