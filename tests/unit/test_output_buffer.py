"""The output buffer: batches are held, their changes put together, and sent when there are enough, or in time."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import penstock
import strategies
from penstock import consolidate
from penstock.config import load
from penstock.encode import Planner
from penstock.source.batch import Batch
from readback import read_topic

if TYPE_CHECKING:
    from penstock import Report, Writer
    from penstock._core import MockCluster

MIB = 1 << 20
BUFFERED = {"enable_output_buffer": True, "weight_column": "w"}
SCHEMA = pa.schema({"k": pa.int64(), "v": pa.string(), "w": pa.int64()})
CASES = json.loads((Path(__file__).parent.parent / "golden" / "transport.json").read_text(encoding="utf-8"))["cases"]


def changes(*rows: tuple[int, str | None, int]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"k": k, "v": v, "w": w} for k, v, w in rows], SCHEMA)


def groups(source: Any, **options: Any) -> list[list[tuple[str, int, str]]]:
    """Return what each message holds, as (verb, k, v)."""
    return [parsed(message.value) for message in penstock.preview(source, topic="t", **{**BUFFERED, **options})]


def parsed(value: bytes) -> list[tuple[str, int, str]]:
    return [(verb, *row.values()) for line in value.splitlines() for verb, row in json.loads(line).items()]


def opened(mock: MockCluster, **options: Any) -> Writer:
    servers = mock.bootstrap_servers
    return penstock.open(**{"topic": "orders", "bootstrap_servers": servers, "workers": 0, **BUFFERED, **options})


def read(mock: MockCluster) -> list[tuple[str, int, str]]:
    log = read_topic(mock.bootstrap_servers, "orders")
    return [event for message in log.messages for event in parsed(message.value)]


def balanced(report: Report, rows: int) -> None:
    """Assert that each row that was given is counted, and once."""
    assert report.rows + report.failed_rows + report.unknown_rows + report.skipped_rows == rows


# ---- what comes out -------------------------------------------------------------------------------------------------


def test_what_is_undone_vanishes():
    """An insert and a later delete of the same row vanish; the rest is one batch, deletes first."""
    batches = [changes((1, "a", 1), (2, "a", 1)), changes((1, "a", -1), (3, "b", -2)), changes((2, "a", 1))]
    assert groups(batches) == [[("delete", 3, "b"), ("delete", 3, "b"), ("insert", 2, "a"), ("insert", 2, "a")]]


def test_nothing_is_left():
    """Batches that undo one another make no message."""
    assert groups([changes((1, "a", 1)), changes((1, "a", -1))]) == []


def test_layouts_meet():
    """A row is the same row though one batch holds it as a view and the next as a dictionary."""
    kinds = [pa.string(), pa.string_view(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())]
    plain = [changes((1, "a", 1), (2, "b", n)) for n in (1, 1, -1, 0)]
    cast = [
        pa.record_batch([b["k"], b["v"].cast(kind), b["w"]], names=["k", "v", "w"])
        for b, kind in zip(plain, kinds, strict=True)
    ]
    assert sorted(event for group in groups(cast) for event in group) == [("insert", 1, "a")] * 4 + [("insert", 2, "b")]


@given(data=st.data(), size=st.integers(1, 8))
def test_against_an_oracle(data, size):
    """Each flush holds what the batches since the last one come to: a Counter of rows says what that is."""
    row = st.tuples(st.integers(0, 3), st.sampled_from(["a", None]), st.integers(-2, 2))
    batches = data.draw(st.lists(st.lists(row, max_size=6), max_size=6))
    expected: list[Counter[tuple[int, str | None]]] = []
    held: Counter[tuple[int, str | None]] = Counter()
    for number, batch in enumerate(batches):
        for k, v, weight in batch:
            held[k, v] += weight
        held = Counter({row: weight for row, weight in held.items() if weight})
        if len(held) >= size or number == len(batches) - 1:
            expected.append(held)
            held = Counter()
    made = groups([changes(*batch) for batch in batches] or changes(), max_output_buffer_size_records=size)
    found = []
    for group in made:
        verbs = [verb for verb, _, _ in group]
        assert verbs == sorted(verbs)  # "delete" before "insert"
        found.append(Counter())
        for verb, k, v in group:
            found[-1][k, v] += 1 if verb == "insert" else -1
    assert found == [group for group in expected if group]


@settings(max_examples=30)
@given(batches=strategies.batches())
def test_any_columns(batches):
    """Whatever the columns are: what is held and sent is what would be sent at once, and what is undone is not."""
    plain = [m.value for m in penstock.preview(batches, topic="t")]
    held = [m.value for m in penstock.preview(batches, topic="t", enable_output_buffer=True)]
    # 0.0 and -0.0 are one value, and the first of them is what is written
    one_zero = [
        {line.replace(b"-0.0", b"0.0") for value in made for line in value.splitlines()} for made in (plain, held)
    ]
    assert one_zero[0] == one_zero[1]


# ---- when -----------------------------------------------------------------------------------------------------------


def test_output_buffer_groups():
    """The connector's case: nothing until 100 rows are held, then one flush for each 100; the last row at the end."""
    (case,) = [case for case in CASES if case["id"] == "output_buffer_groups"]
    config = {"format": {"name": "json"}, **case["connector_config"]}
    steps = [pa.record_batch({"id": [n]}) for n in range(1001)]
    made = [m.value for m in penstock.preview(steps, topic="t", config=config)]
    assert [value.count(b"\n") for value in made] == [100] * 10 + [1]
    assert b"".join(made) == b"".join(b'{"insert":{"id":%d}}\n' % n for n in range(1001))


def test_flushed_by_size(mock):
    """A writer sends when the merged rows are enough, and holds them until then."""
    with opened(mock, max_output_buffer_size_records=3) as writer:
        writer.write(changes((1, "a", 1), (2, "a", 1)))
        assert (writer.statistics().rows_held, writer.statistics().rows_taken) == (2, 2)
        writer.write(changes((1, "a", -1)))  # one row is left
        assert writer.statistics().rows_held == 3
        writer.write(changes((3, "a", 1), (4, "a", 1)))
        assert (writer.statistics().rows_held, writer.statistics().rows_taken) == (0, 5)
        report = writer.flush()
    assert (report.rows, report.skipped_rows) == (3, 2)
    assert sorted(read(mock)) == [("insert", 2, "a"), ("insert", 3, "a"), ("insert", 4, "a")]


def test_flushed_by_time(mock):
    """When the oldest row is older than the limit, the next write or poll sends what was held before it."""
    with opened(mock, max_output_buffer_time_millis=200) as writer:
        writer.write(changes((1, "a", 1)))
        writer.poll()
        writer.write(changes((2, "a", 1)))
        assert writer.statistics().rows_held == 2
        time.sleep(0.25)
        writer.write(changes((3, "a", 1)))
        assert writer.statistics().rows_held == 1
        time.sleep(0.25)
        writer.poll()
        assert writer.statistics().rows_held == 0


def test_flushed_by_memory(mock):
    """Rows that are held count against memory_bytes, and more than that is sent before its time."""
    with opened(mock, memory_bytes=16 * MIB) as writer:
        for n in range(40):
            writer.write(changes((n, "x" * MIB, 1), (n, "x" * MIB, -1)))
            assert writer.statistics().rows_held <= 16
    assert read(mock) == []


def test_small_batches_are_laid_together():
    """Thousands of batches of one row take no more memory than their rows do, and become messages as one batch."""
    config = load(for_preview=True, topic="t", **BUFFERED)
    planner = Planner(config, 0, 1)
    held = consolidate.Consolidation(config, planner)
    for n in range(3000):
        batch = changes((n, "a", 1))
        plan = planner.plan(batch.schema)
        list(held.add(plan, Batch(SCHEMA, "batch", n, lambda batch=batch: iter([batch]), borrowed=True)))
    assert held.size < 1 << 20
    ((_, rows),) = held.finish()
    assert rows.piece.num_rows == 3000
    assert rows.origin.find(2999) == ("batch", 2999)


def test_flush_and_close(mock):
    """flush sends what is held, and so does closing."""
    with opened(mock) as writer:
        writer.write(changes((1, "a", 2)))
        assert writer.flush().rows == 1
        writer.write(changes((2, "a", 1)))
    assert sorted(read(mock)) == [("insert", 1, "a")] * 2 + [("insert", 2, "a")]


# ---- whose memory ---------------------------------------------------------------------------------------------------


def test_the_data_may_be_changed_afterwards(mock):
    """What the caller does to his memory after `write` does not reach what is held."""
    numbers = np.arange(5)
    codes = np.zeros(5, np.int8)
    dictionary = np.frombuffer(bytearray(b"abc"), np.uint8)
    strings = pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, 3], np.int32)), pa.py_buffer(dictionary))
    batch = pa.record_batch(
        [pa.array(numbers), pa.DictionaryArray.from_arrays(pa.array(codes), strings), pa.array(np.ones(5, np.int64))],
        names=["k", "v", "w"],
    )
    with opened(mock) as writer:
        writer.write(batch)
        numbers[:] = 9
        dictionary.flags.writeable = True
        dictionary[:] = 0
    assert sorted(read(mock)) == [("insert", n, "abc") for n in range(5)]


def test_files_are_held(mock, tmp_path):
    """Rows of files, with dictionaries that differ from row group to row group, are put together too."""
    path = tmp_path / "changes.parquet"
    rows = [(n % 1000, f"v{n % 1000 // 250}", 1 if n < 1000 else -1) for n in range(1900)]
    pq.write_table(pa.Table.from_batches([changes(*rows)]), path, row_group_size=100)
    with opened(mock) as writer:
        writer.write(path)
        report = writer.flush()
    assert (report.rows, report.skipped_rows) == (100, 1800)
    assert sorted(read(mock)) == [("insert", n, "v3") for n in range(900, 1000)]


def test_own_copies_everything():
    """A copy shares no memory with what it was made from, and small slices of large frames stay small."""
    frame = pa.record_batch(
        {"v": pa.array(["a text that does not fit a view"] * 100_000, pa.string_view()), "n": range(100_000)}
    )
    copy, size = consolidate._own(frame.slice(70_000, 10))
    assert copy.num_rows == 10
    assert copy["v"].to_pylist() == frame["v"].slice(70_000, 10).to_pylist()
    assert copy.get_total_buffer_size() <= size < 10_000


# ---- errors and counts ----------------------------------------------------------------------------------------------


def test_a_null_weight(mock):
    """A row whose change cannot be read ends the writer: it and all that is held have failed."""
    bad = pa.record_batch({"k": [7, 8], "v": ["a", "b"], "w": pa.array([1, None], pa.int64())})
    writer = opened(mock)
    writer.write(changes((1, "a", 1)))
    with pytest.raises(penstock.EncodeError, match="the weight is null") as caught:
        writer.write([bad])
    assert (caught.value.row, caught.value.column) == (1, "w")
    assert (caught.value.report.rows, caught.value.report.failed_rows) == (0, 3)
    assert read(mock) == []


def test_a_row_that_cannot_be_encoded(mock):
    """An error names the row where the caller gave it, though it was laid behind others."""
    text = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.array([0, 1], pa.int32()).buffers()[1], pa.py_buffer(b"\xff")]
    )
    bad = pa.record_batch([pa.array([1]), text, pa.array([1])], schema=SCHEMA)
    writer = opened(mock)
    writer.write([changes((1, "a", 1)), changes((2, "a", 1), (3, "a", 1))])
    writer.write([changes((4, "a", 1)), bad])
    with pytest.raises(penstock.EncodeError, match="batch 1: row 0") as caught:
        writer.flush()
    balanced(caught.value.report, 5)


def test_a_very_large_weight():
    """The limit is for what rows come to, and can be moved."""
    batches = [changes((1, "a", 1_000_000)), changes((1, "a", 1), (2, "a", 0))]
    with pytest.raises(penstock.EncodeError, match=r"very large weight 1000001; .* at most 1000000 times"):
        groups(batches)
    with pytest.raises(penstock.EncodeError, match="very large weight -4"):
        groups(changes((1, "a", -2), (1, "a", -2)), max_weight=3)
    assert groups([*batches, changes((1, "a", -999_999))], max_weight=2) == [[("insert", 1, "a")] * 2]


@settings(max_examples=25)
@given(data=st.data())
def test_every_row_is_counted_once(data, mock_once):
    """Whatever is written and whenever it is flushed, rows + failed + unknown + skipped is every row given."""
    row = st.tuples(st.integers(0, 3), st.sampled_from(["a", "b"]), st.integers(-2, 2))
    index = {"index": "i", "relation": {"indexes": {"i": ["k"]}}} if data.draw(st.booleans()) else {}
    buffered = data.draw(st.booleans()) if index else True
    writer = opened(
        mock_once, **index, enable_output_buffer=buffered, max_output_buffer_size_records=data.draw(st.integers(1, 6))
    )
    given_rows = 0
    try:
        for _ in range(data.draw(st.integers(0, 6))):
            batch = data.draw(st.lists(row, max_size=6))
            given_rows += len(batch)
            writer.write(changes(*batch))
            statistics = writer.statistics()
            assert statistics.rows_taken == given_rows
            assert statistics.rows_held == 0 or buffered
            if data.draw(st.booleans()):
                balanced(writer.flush(), given_rows)
        report = writer.flush()
        assert (report.failed_rows, report.unknown_rows) == (0, 0)
        writer.close()
    except penstock.EncodeError as error:  # an index found a contradiction
        assert index
        report = error.report
        assert report.unknown_rows == 0
    balanced(report, given_rows)


# ---- snapshot -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{}, {"enable_output_buffer": False}, {"index": "i", "relation": {"indexes": {"i": ["k"]}}}]
)
def test_snapshot(mock, options):
    """A snapshot is sent at once, all of it as inserts, with the change column or without; changes follow."""
    with opened(mock, **options) as writer:
        writer.snapshot(changes((1, "a", 1), (2, "a", 1)).drop_columns(["w"]))
        writer.snapshot([changes((3, "a", 1))])
        assert writer.statistics().rows_held == 0
        writer.write(changes((1, "a", -1)))
        with pytest.raises(ValueError, match="before any change"):
            writer.snapshot(changes((9, "a", 1)))
        assert writer.flush().rows == 4
    assert sorted(read(mock)) == [("delete", 1, "a"), *(("insert", n, "a") for n in (1, 2, 3))]


def test_snapshot_of_a_log(mock):
    """The op column of a snapshot is not read, and the columns must be those of the changes."""
    batch = pa.record_batch({"k": [1], "op": ["D"], "v": ["a"]})
    with opened(mock, enable_output_buffer=False, weight_column=None, op_column="op") as writer:
        writer.snapshot(batch)
        with pytest.raises(penstock.SchemaError, match='"v" is missing'):
            writer.write(batch.drop_columns(["v"]))
        writer.write(batch)
    assert sorted(read(mock)) == [("delete", 1, "a"), ("insert", 1, "a")]


@pytest.mark.parametrize(
    ("ops", "row"), [(["u", "u", "u"], 0), (["I", "u"], 1), (["+U"], 0), (["-U", "+U", "upsert"], 2)]
)
def test_an_update_without_its_old_row(ops, row):
    """Without an index nobody knows what it replaces: a, b, a would be sent as a, a, b. With one it is sent."""
    batch = pa.record_batch({"k": [1] * len(ops), "v": [("a", "b")[at % 2] for at in range(len(ops))], "op": ops})
    form = {"name": "json", "config": {"update_format": "upsert", "key_fields": ["k"]}}
    given: dict[str, Any] = {"format": form, "op_column": "op", "enable_output_buffer": True}
    with pytest.raises(penstock.EncodeError, match="give an index") as caught:
        list(penstock.preview(batch, **given))
    assert (caught.value.row, caught.value.column) == (row, "op")
    (message,) = penstock.preview(batch, index="i", relation={"indexes": {"i": ["k"]}}, **given)
    assert message.value is not None
    assert json.loads(message.value)["v"] == batch.column("v").to_pylist()[-1]


@pytest.mark.parametrize("view", [pa.string_view(), pa.binary_view()])
@pytest.mark.parametrize("nested", [False, True])
def test_slices_of_run_ends_beside_views(view, nested):
    """What is held of a slice is its own rows, though pyarrow's cast of sliced run ends begins at the first."""
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3, 5], pa.int32()), pa.array(["a", None, "b"]))
    column = pa.StructArray.from_arrays([runs], ["x"]) if nested else runs
    rows = pa.record_batch({"v": pa.array(["1", "long enough to lie apart", None, "", "z"], view), "r": column}).slice(
        1
    )
    for source in (rows, [rows, rows.slice(2)]):
        sent = [json.loads(line) for m in penstock.preview(source) for line in (m.value or b"").splitlines()]
        held = [
            json.loads(line)
            for m in penstock.preview(source, enable_output_buffer=True)
            for line in (m.value or b"").splitlines()
        ]
        key = json.dumps
        # Rows that are the same are put together: as many as there were, at the place of the first.
        assert sorted(map(key, sent)) == sorted(map(key, held))
        assert list(dict.fromkeys(map(key, sent))) == list(dict.fromkeys(map(key, held)))
