"""Rows that cannot go: the others are sent as if these had never been there, and these are counted or kept."""

from __future__ import annotations

import bisect
import errno
import json
import math
import os
import re
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import penstock
import physical
import strategies
from penstock import _core, control
from penstock.errors import ConfigError, EncodeError
from penstock.formats.columnar import plain_field
from readback import read_topic

if TYPE_CHECKING:
    from pathlib import Path

LONG = 1200
LIMIT = 64 + 200  # message.max.bytes of a payload of 200 bytes
SCHEMA = pa.schema(
    [("i", pa.int64()), ("s", pa.string()), ("f", pa.float64()), ("op", pa.string()), ("w", pa.int64()),
     ("p", pa.int32()), ("t", pa.string())]
)  # fmt: skip
ADDED = ["penstock_error", "penstock_code", "penstock_source", "penstock_row", "penstock_topic"]


def text(values: list[bytes | None]) -> pa.Array:
    """Make strings of any bytes, UTF-8 or not."""
    return pa.array(values, pa.binary()).view(pa.string())


def table(rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True)) or [()] * 6
    s, f, op, w, p, t = columns
    arrays = [
        pa.array(range(len(rows)), pa.int64()),
        text(list(s)),
        pa.array(f, pa.float64()),
        pa.array(op, pa.string()),
    ]
    arrays += [pa.array(w, pa.int64()), pa.array(p, pa.int32()), pa.array(t, pa.string())]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


ROWS = st.lists(
    st.tuples(
        st.sampled_from([b"a", b"b\xc3\xa4", None, b"\xff", b"c\xe2\x82", b"x" * LONG]),
        st.sampled_from([0.5, None, math.nan, math.inf]),
        st.sampled_from(["I", "U", "D", "+I", "-U", "+U", None, "other"]),
        st.sampled_from([1, 3, -1, 0, None, 10_000_000]),
        st.sampled_from([0, 1, 2, 3, -1, None]),
        st.sampled_from(["one", "two", None, "three", "not a topic"]),
    ),
    max_size=12,
)


def not_utf8(row: dict[str, Any]) -> bool:
    return row["s"] in {b"\xff", b"c\xe2\x82"}


def not_finite(row: dict[str, Any]) -> bool:
    return row["f"] is not None and not math.isfinite(row["f"])


CASES = {
    "json": ({}, not_utf8),
    "json array": (
        {"format": {"name": "json", "config": {"array": True}}, "non_finite": "error"},
        lambda r: not_utf8(r) or not_finite(r),
    ),
    "two a message": ({"format": {"name": "json", "config": {"buffer_size_records": 2}}}, not_utf8),
    "the key alone": ({"key": ["s"], "key_in_value": False, "partitions": 3}, not_utf8),
    "partition_by": ({"partition_by": ["s"], "partitions": 3}, not_utf8),
    "op": ({"op_column": "op"}, lambda r: not_utf8(r) or r["op"] in {None, "other"}),
    "weight": ({"weight_column": "w"}, lambda r: r["w"] in {None, 10_000_000} or (not_utf8(r) and r["w"] != 0)),
    "partition": ({"partition_column": "p", "partitions": 3}, lambda r: not_utf8(r) or r["p"] not in {0, 1, 2}),
    "topic": ({"topic_column": "t", "topics": ["one", "two"]}, lambda r: not_utf8(r) or r["t"] not in {"one", "two"}),
    "timestamp": ({"timestamp_column": "w"}, lambda r: not_utf8(r) or (r["w"] is not None and r["w"] < 1)),
    "csv": ({"format": "csv"}, not_utf8),
    "avro": ({"format": {"name": "avro", "config": {"skip_schema_id": True}}, "key": "s"}, not_utf8),
    "protobuf": ({"format": "protobuf"}, not_utf8),
    "arrow": ({"format": "arrow"}, not_utf8),
    "parquet": ({"format": {"name": "parquet", "config": {"buffer_size_records": 3}}}, not_utf8),
}  # fmt: skip


def rows_of(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    plain = batch.set_column(1, "s", batch.column("s").view(pa.binary()))
    return plain.to_pylist()


def split(batch: pa.RecordBatch, is_bad: Any) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    bad = [is_bad(row) for row in rows_of(batch)]
    mask = pa.array(bad, pa.bool_())
    return batch.filter(pa.array([not one for one in bad], pa.bool_())), batch.filter(mask)


@pytest.mark.parametrize("case", CASES)
@given(rows=ROWS)
def test_the_others_are_sent_as_if_alone(case: str, rows: list[tuple[Any, ...]]) -> None:
    """With bad rows among them, the good ones become exactly the messages that they become without."""
    chosen, is_bad = CASES[case]
    batch = table(rows)
    good, bad = split(batch, is_bad)
    sent = list(penstock.preview(batch, **chosen, on_bad_row="skip"))
    if chosen.get("format", {}) != "arrow" and "parquet" not in case:
        assert sent == list(penstock.preview(good, **chosen))
    else:  # files are cut elsewhere
        assert values(sent, chosen) == values(list(penstock.preview(good, **chosen)), chosen)
    if bad.num_rows:
        with pytest.raises(EncodeError):
            list(penstock.preview(batch, **chosen))


def values(messages: list[penstock.Message], form: Any) -> list[str]:
    """Read the rows of messages that are files, as texts: a NaN is equal to another there."""
    read = (lambda file: pa.ipc.open_stream(file).read_all()) if form["format"] == "arrow" else pq.read_table
    return [str(row) for message in messages for row in read(pa.BufferReader(message.value)).to_pylist()]


PAYLOAD = 200
SMALL = {"kafka_options": {"message.max.bytes": PAYLOAD + 64}}
SIZES = st.lists(
    st.tuples(st.integers(0, 2 * PAYLOAD), st.sampled_from(["a", "\u00e9", '"', "\U0001f44f"])), max_size=10
)
FORMATS = {
    "json": {},
    "json array": {"format": {"name": "json", "config": {"array": True}}},
    "json keyed": {"key": ["i"]},
    "csv": {"format": "csv"},
    "csv header": {"format": "csv", "csv_header": True},
    "avro": {"format": {"name": "avro", "config": {"skip_schema_id": True}}},
    "protobuf": {"format": "protobuf"},
}
KINDS = [pa.string(), pa.large_string(), pa.string_view()]


def sized(sizes: list[tuple[int, str]], kind: pa.DataType) -> pa.RecordBatch:
    texts = [(character * size)[:size] for size, character in sizes]
    return pa.record_batch({"i": pa.array(range(len(texts)), pa.int64()), "s": pa.array(texts, kind)})


def chosen_rows(batch: pa.RecordBatch, which: list[bool]) -> pa.RecordBatch:
    rows = [row for row, one in zip(batch.to_pylist(), which, strict=True) if one]
    return pa.RecordBatch.from_pylist(rows, schema=batch.schema)


def fits(row: pa.RecordBatch, form: Any) -> bool:
    try:
        list(penstock.preview(row, **form, **SMALL))
    except EncodeError:
        return False
    return True


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=5)
@given(sizes=SIZES, kind=st.sampled_from(KINDS))
def test_too_large(form: str, sizes: list[tuple[int, str]], kind: pa.DataType) -> None:
    """Rows that do not fit alone are left out, or cut to the most that fits; the others are as without them."""
    chosen = FORMATS[form]
    batch = sized(sizes, kind)
    good = [fits(batch.slice(at, 1), chosen) for at in range(len(sizes))]
    alone = list(penstock.preview(chosen_rows(batch, good), **chosen, **SMALL))
    assert list(penstock.preview(batch, **chosen, **SMALL, on_oversize="skip")) == alone

    cut = list(penstock.preview(batch, **chosen, **SMALL, on_oversize="truncate", truncate_columns="s"))
    assert all(len(message.value or b"") + len(message.key or b"") <= PAYLOAD for message in cut)
    texts = batch.column("s").to_pylist()
    for at, one in enumerate(good):
        if not one:  # the longest beginning that fits
            longest = bisect.bisect(
                range(len(texts[at])), 0, key=lambda end: too_long(at, texts[at][:end], kind, chosen)
            )
            texts[at] = texts[at][: longest - 1]
    mended = batch.set_column(1, "s", pa.array(texts, kind))
    assert cut == list(penstock.preview(mended, **chosen, **SMALL))


def too_long(number: int, value: str, kind: pa.DataType, form: Any) -> bool:
    row = pa.record_batch({"i": pa.array([number], pa.int64()), "s": pa.array([value], kind)})
    return not fits(row, form)


def test_the_key_alone() -> None:
    """A row that is too large becomes its key, a null value and a header that says why; one whose key is, an error."""
    batch = sized([(3, "a"), (PAYLOAD, "a")], pa.string())
    first, second = penstock.preview(batch, key="i", on_oversize="key_only", **SMALL)
    assert json.loads(first.value or b"")["insert"]["i"] == 0
    assert (second.key, second.value) == (b'{"i":1}', None)
    ((name, why),) = second.headers
    assert name == "penstock.error"
    assert b"needs 233 bytes" in (why or b"")
    with pytest.raises(EncodeError, match="row 1: the message of this row alone"):
        list(penstock.preview(batch, key="s", on_oversize="key_only", **SMALL))
    with pytest.raises(ConfigError, match="key_only needs a key"):
        penstock.preview(batch, on_oversize="key_only")


def test_pairs() -> None:
    """An update of which either half cannot be encoded is left out with both rows; halves with bad keys go alone."""
    batch = pa.record_batch(
        {
            "op": ["-U", "+U", "-U", "+U", "-U", "+U"],
            "k": [1, 1, 2, 2, 3, 3],
            "s": text([b"a", b"\xff", b"\xff", b"b", b"c", b"d"]),
        }
    )
    debezium = {"name": "json", "config": {"update_format": "debezium", "key_fields": ["k"]}}
    (sent,) = penstock.preview(batch, format=debezium, op_column="op", schemas=False, on_bad_row="skip")
    payload = json.loads(sent.value or b"")["payload"]
    assert (payload["before"]["s"], payload["after"]["s"]) == ("c", "d")


def test_preview_says_how_many(caplog: pytest.LogCaptureFixture) -> None:
    """What is missing among the messages is said at their end, each kind on a line."""
    batch = table(
        [(b"a", 0.5, "I", 1, 0, "one"), (b"\xff", 0.5, "I", 1, 0, "one"), (b"x" * LONG, 0.5, "I", 1, 0, "one")]
    )
    assert len(list(penstock.preview(batch, on_bad_row="skip", on_oversize="skip", **SMALL))) == 1
    assert [record.message for record in caplog.records] == [
        "left out: 1 row that cannot be encoded (on_bad_row)",
        "left out: 1 row that is too large (on_oversize)",
    ]


# ---- kept ------------------------------------------------------------------------------------------------------------


BAD = [(b"a", 0.5, "I", 1, 0, "one"), (b"\xff", math.nan, "D", 2, 1, None), (b"c", None, "I", 1, 0, "one"),
       (b"x" * LONG, 0.5, "U", -1, 2, "two"), (None, 0.5, "other", 1, 0, "one")]  # fmt: skip
KEEP = {"on_bad_row": "dead_letter", "on_oversize": "dead_letter"}


def keeping(mock: _core.MockCluster, path: Path, **more: Any) -> dict[str, Any]:
    servers = mock.bootstrap_servers
    return {"topic": "orders", "bootstrap_servers": servers, "workers": 0, "dead_letter": str(path), **KEEP, **more}


def letters(path: Path) -> pa.Table:
    return pa.ipc.open_stream(path).read_all()


@pytest.mark.parametrize("workers", [0, 1])
def test_dead_letters(mock: _core.MockCluster, tmp_path: Path, workers: int, caplog: pytest.LogCaptureFixture) -> None:
    """They keep every column and say why, where and for which topic; written again, what can go then goes."""
    path, rest = tmp_path / "dead.arrows", tmp_path / "rest.arrows"
    batch = table(BAD)
    limit = {"kafka_options": {"message.max.bytes": 1064}}
    report = penstock.write(batch, **keeping(mock, path, workers=workers, op_column="op", **limit))
    assert (report.rows, report.bad_rows, report.oversize_rows, report.failed_rows) == (2, 2, 1, 0)
    assert "LEFT OUT: 2 rows that cannot be encoded" in str(report)
    assert len(caplog.records) == 2  # one of each kind
    kept = letters(path)
    assert kept.schema.names == [*SCHEMA.names, *ADDED]
    assert [field.type for field in kept.schema][: len(SCHEMA)] == SCHEMA.types
    kept = kept.sort_by("i")
    expected = rows_of(batch)
    found = rows_of(kept.select(SCHEMA.names).combine_chunks().to_batches()[0])
    assert str(found) == str([expected[at] for at in (1, 3, 4)])
    assert kept["penstock_code"].to_pylist() == ["bad_row", "oversize", "bad_row"]
    assert kept["penstock_row"].to_pylist() == [1, 3, 4]
    assert set(kept["penstock_source"].to_pylist()) == {"batch"}
    assert set(kept["penstock_topic"].to_pylist()) == {"orders"}
    assert 'row 1, column "s": the string is not valid UTF-8' in kept["penstock_error"][0].as_py()

    again = penstock.write(path, **keeping(mock, rest, workers=workers, op_column="op"))  # with a larger limit
    assert (again.rows, again.bad_rows, again.oversize_rows) == (1, 2, 0)
    assert letters(rest)["penstock_source"].to_pylist() == [str(path)] * 2
    values = b"".join(message.value or b"" for message in read_topic(mock.bootstrap_servers, "orders").messages)
    assert sorted(json.loads(line)["insert"]["i"] for line in values.splitlines()) == [0, 2, 3]
    assert b"penstock_" not in values


def test_kept_before_the_selection(mock: _core.MockCluster, tmp_path: Path) -> None:
    """Rows of which even the change or the partition cannot be told are kept as well, a batch of nothing else too."""
    path = tmp_path / "dead.arrows"
    batch = table([(b"a", 0.5, None, 1, 9, "one"), (b"b", 0.5, "x", 1, 0, "one")])
    report = penstock.write(batch, **keeping(mock, path, op_column="op", partition_column="p"))
    assert (report.rows, report.bad_rows, report.failed_rows) == (0, 2, 0)
    assert letters(path)["i"].to_pylist() == [0, 1]


def test_a_later_run_goes_on(mock: _core.MockCluster, tmp_path: Path) -> None:
    """Rows come behind those of an earlier run, of which a batch that was cut short is gone; without any, no file."""
    path = tmp_path / "dead.arrows"
    with penstock.open(**keeping(mock, path)) as writer:
        writer.write(table(BAD[:1]))
        writer.flush()
    assert not path.exists()
    for _ in range(2):
        penstock.write(table(BAD), **keeping(mock, path))
    whole = path.read_bytes()
    assert letters(path)["i"].to_pylist() == [1, 1]
    path.write_bytes(whole[:-9])
    penstock.write(table(BAD), **keeping(mock, path))
    assert path.read_bytes() == whole
    with pytest.raises(ConfigError, match="is what is read"):
        penstock.write(path, **keeping(mock, path))


def test_files_that_will_not_do(mock: _core.MockCluster, tmp_path: Path) -> None:
    """Another file is never touched, and two writers never share one."""
    path = tmp_path / "dead.arrows"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="is no dead-letter file"):
        penstock.write(table(BAD), **keeping(mock, path))
    assert path.read_text() == "mine"
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(ConfigError, match="is no ordinary file"):
        penstock.write(table(BAD), **keeping(mock, fifo))
    assert fifo.exists()
    path.write_text("")
    penstock.write(table(BAD[:1]), **keeping(mock, path))  # nothing to keep
    assert path.read_bytes() == b""
    with pytest.raises(ConfigError, match="cannot be opened: No such file"):
        penstock.write(table(BAD), **keeping(mock, tmp_path / "none" / "dead.arrows"))
    path.unlink()
    penstock.write(table(BAD), **keeping(mock, path))
    with pytest.raises(ConfigError, match="holds rows of other columns"):
        penstock.write(table(BAD).rename_columns(list("abcdefg")), **keeping(mock, path))
    with (
        penstock.open(**keeping(mock, path)),
        pytest.raises(ConfigError, match="in use by another writer"),
    ):
        penstock.open(**keeping(mock, path))


def test_a_full_disk(mock: _core.MockCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that can neither go nor be kept ends the job, and counts as failed."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(EncodeError, match=r"nor can it be kept in dead_letter .*: No space left on device$") as caught:
        penstock.write(table(BAD), **keeping(mock, tmp_path / "dead.arrows"))
    report = caught.value.report
    assert report is not None
    assert (report.rows, report.failed_rows, report.bad_rows) == (4, 1, 0)


@given(batches=strategies.batches(), data=st.data())
def test_any_rows_are_given_back(batches: list[pa.RecordBatch], data: st.DataObject) -> None:
    """Of any columns the core gives back the rows as they were, in plain layout."""
    batch = batches[0]
    rows = data.draw(st.lists(st.integers(0, max(batch.num_rows - 1, 0)), max_size=5)) if batch.num_rows else []
    core = _core.Schema(_core.schema_spec(batch.schema.__arrow_c_schema__()))
    capsule = _core.rows_of_piece(_core.Piece(core, batch.__arrow_c_array__()[1]), rows)
    plain = pa.schema([plain_field(field, table=False) for field in batch.schema])
    found = pa.RecordBatch._import_from_c_capsule(plain.__arrow_c_schema__(), capsule)
    found.validate(full=True)
    expected = physical.rows(batch)
    assert physical.rows(found) == [expected[row] for row in rows]
    assert pa.ipc.open_stream(
        plain.serialize().to_pybytes() + found.serialize().to_pybytes()
    ).read_all().num_rows == len(rows)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"on_bad_row": "dead_letter"}, "on_bad_row=dead_letter needs dead_letter, the file"),
        ({"dead_letter": "f"}, 'dead_letter="f" has no effect without on_bad_row=dead_letter or'),
        ({"dead_letter": "f", "on_bad_row": "skip"}, "has no effect without"),
        ({"on_bad_row": "key_only"}, "on_bad_row"),
        ({"on_oversize": "truncate"}, "on_oversize=truncate needs truncate_columns"),
        ({"truncate_columns": "s"}, "truncate_columns has no effect without on_oversize=truncate"),
        ({"truncate_columns": "i", "on_oversize": "truncate"}, 'truncate_columns: column "i" is int64'),
        (
            {"on_oversize": "skip", "format": {"name": "python", "config": {"encoder": "json:dumps"}}},
            "found format python",
        ),
        ({"on_oversize": "truncate", "truncate_columns": "s", "format": "arrow"}, "found format arrow"),
    ],
)
def test_settings_that_make_no_sense(given: dict[str, Any], said: str) -> None:
    """A policy without what it needs, and what no policy needs, are refused before anything is opened."""
    with pytest.raises(ConfigError, match=re.escape(said)):
        penstock.preview(table(BAD), **given)


def test_held_rows(mock: _core.MockCluster, tmp_path: Path) -> None:
    """With an output buffer bad rows are named by the batches that they came with; with an index as well."""
    path = tmp_path / "dead.arrows"
    columns = [("i", pa.int64()), ("s", pa.string())]
    batches = [
        pa.RecordBatch.from_arrays([pa.array([n, n + 10]), text([b"a", value])], schema=pa.schema(columns))
        for n, value in enumerate([b"\xff", b"b", b"\xfe"])
    ]
    buffered = {"enable_output_buffer": True, "max_output_buffer_size_records": 100}
    indexed = {"index": "by_i", "relation": {"indexes": {"by_i": ["i"]}}}
    for held in (buffered, indexed):
        report = penstock.write(batches, **keeping(mock, path, **held))
        assert (report.rows, report.bad_rows) == (4, 2)
        kept = letters(path)
        places = zip(*(kept[name].to_pylist() for name in ("i", "penstock_source", "penstock_row")), strict=True)
        assert list(places) == [(10, "batch 0", 1), (12, "batch 2", 1)]
        path.unlink()


def test_what_is_told_of_a_row_is_redacted() -> None:
    """A secret that an encoder's text repeats is taken out before anybody sees it."""
    told = control.redacted(control.LeftOut(1, [(0, 1, "c", "it is hush", False)]), lambda t: t.replace("hush", "***"))
    assert told == control.LeftOut(1, [(0, 1, "c", "it is ***", False)])
