"""What an operation or a weight makes of a row: insert or delete, how often, and in which order."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
import penstock
from oracles import Packing
from penstock import blocks, writer
from penstock.config import load
from penstock.source import Source
from penstock.source.batch import Batch
from readback import read_topic

if TYPE_CHECKING:
    from collections.abc import Iterable


def events(batch: Any, **settings: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return (insert or delete, row) of everything a batch sends, in order."""
    made = []
    for message in penstock.preview(batch, topic="t", **settings):
        for line in message.value[:-1].split(b"\n"):
            ((verb, row),) = json.loads(line).items()
            made.append((verb, row))
    return made


def with_ops(ops: list[str | None], kind: pa.DataType | None = None) -> pa.RecordBatch:
    return pa.record_batch({"i": range(len(ops)), "op": pa.array(ops, kind or pa.string())})


def with_weights(weights: list[int | None], kind: pa.DataType | None = None) -> pa.RecordBatch:
    return pa.record_batch({"w": pa.array(weights, kind or pa.int64()), "i": range(len(weights))})


# ---- op -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", sorted(oracles.INSERTS))
def test_spellings_of_insert(spelling):
    """Inserts, and updates, reads and upserts where the format has no such event, are inserts."""
    assert events(with_ops([spelling]), op_column="op") == [("insert", {"i": 0})]


@pytest.mark.parametrize("spelling", sorted(oracles.DELETES))
def test_spellings_of_delete(spelling):
    """Deletes and the before image of an update are deletes."""
    assert events(with_ops([spelling]), op_column="op") == [("delete", {"i": 0})]


@pytest.mark.parametrize("word", ["", "x", "deleted", "insert ", " I", "+", "-", "+X", "1", "é", "ins\0rt", "D\0"])
def test_unknown_op(word):
    """A word that is no operation is an EncodeError that names row, column and word."""
    with pytest.raises(penstock.EncodeError) as caught:
        events(with_ops(["I", "D", word, "I"]), op_column="op")
    assert (caught.value.row, caught.value.column) == (2, "op")
    assert "op" in str(caught.value)
    assert "2" in str(caught.value)


def test_null_op():
    """A null operation is an EncodeError that names row and column."""
    with pytest.raises(penstock.EncodeError) as caught:
        events(with_ops(["I", None]), op_column="op")
    assert (caught.value.row, caught.value.column) == (1, "op")


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.dictionary(pa.uint32(), pa.large_string()),
    ],
)
def test_any_string_column_may_be_op(kind):
    """The operation may be any kind of string column, sliced or not."""
    ops = ["I", "D", "insert", "-U", "+U", "d"]
    batch = with_ops(ops, kind)
    expected = [("delete" if op in oracles.DELETES else "insert", {"i": i}) for i, op in enumerate(ops)]
    assert events(batch, op_column="op") == expected
    assert events(batch.slice(1, 3), op_column="op") == expected[1:4]


def test_run_end_encoded_op():
    """An operation column made of runs is one like any other."""
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3, 5], pa.int32()), pa.array(["I", "D", "u"]))
    batch = pa.record_batch([pa.array(range(5)), runs], names=["i", "op"])
    verbs = ["insert", "insert", "delete", "insert", "insert"]
    assert [verb for verb, _ in events(batch, op_column="op")] == verbs
    assert [verb for verb, _ in events(batch.slice(1, 3), op_column="op")] == verbs[1:4]


@given(ops=st.lists(st.sampled_from(sorted(oracles.INSERTS | oracles.DELETES)), max_size=40))
def test_a_log_keeps_its_order(ops):
    """With an operation column nothing is moved: the events are the rows in the order given."""
    made = events(with_ops(ops), op_column="op")
    assert [row["i"] for _, row in made] == list(range(len(ops)))
    assert [verb for verb, _ in made] == [verb for _, verb in oracles.changes(with_ops(ops), op="op")]


# ---- weight ---------------------------------------------------------------------------------------------------------


@given(weights=st.lists(st.integers(-3, 3), max_size=40))
def test_deletes_come_first(weights):
    """All deletes of a batch precede its inserts, a row is repeated as often as its weight, and 0 sends nothing."""
    made = events(with_weights(weights), weight_column="w")
    verbs = [verb for verb, _ in made]
    assert verbs == sorted(verbs)  # "delete" before "insert"
    deletes = [row["i"] for verb, row in made if verb == "delete"]
    inserts = [row["i"] for verb, row in made if verb == "insert"]
    assert deletes == sorted(deletes)
    assert inserts == sorted(inserts)
    assert Counter(deletes) == Counter({i: -w for i, w in enumerate(weights) if w < 0})
    assert Counter(inserts) == Counter({i: w for i, w in enumerate(weights) if w > 0})
    assert all(set(row) == {"i"} for _, row in made)


def test_rows_are_neither_sorted_nor_merged():
    """Rows that are equal, or that cancel each other, are all sent, in the order given."""
    batch = pa.record_batch({"v": ["b", "a", "b", "b", "a"], "w": pa.array([1, 1, -1, 1, -1])})
    assert events(batch, weight_column="w") == [
        ("delete", {"v": "b"}),
        ("delete", {"v": "a"}),
        ("insert", {"v": "b"}),
        ("insert", {"v": "a"}),
        ("insert", {"v": "b"}),
    ]


def test_each_batch_for_itself():
    """Deletes are moved before the inserts of their own batch only."""
    batches = [with_weights([1, -1]), with_weights([1, -1])]
    assert [verb for verb, _ in events(batches, weight_column="w")] == ["delete", "insert"] * 2


def test_a_batch_of_many_pieces():
    """A batch of more rows than fit a chunk still sends all its deletes before its inserts."""
    rows = 150_000
    weights = [(-1, 1, 0)[i % 3] for i in range(rows)]
    made = events(with_weights(weights), weight_column="w")
    assert [row["i"] for verb, row in made[:50_000] if verb == "delete"] == list(range(0, rows, 3))
    assert [row["i"] for verb, row in made[50_000:] if verb == "insert"] == list(range(1, rows, 3))
    assert len(made) == 100_000


@pytest.mark.parametrize(
    "kind",
    [
        pa.int8(),
        pa.int16(),
        pa.int32(),
        pa.int64(),
        pa.dictionary(pa.int8(), pa.int64()),
        pa.dictionary(pa.uint64(), pa.int32()),
        pa.dictionary(pa.uint8(), pa.int8()),
    ],
)
def test_any_integer_column_may_be_weight(kind):
    """The weight may be any kind of integer column, sliced or not."""
    batch = with_weights([2, -1, 0, 1, -2], kind)
    expected = oracles.changes(batch, weight="w")
    assert [(row["i"], verb) for verb, row in events(batch, weight_column="w")] == expected
    sliced = [(row["i"] - 1, verb) for verb, row in events(batch.slice(1, 3), weight_column="w")]
    assert sliced == oracles.changes(batch.slice(1, 3), weight="w")


@pytest.mark.parametrize("kind", [pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()])
def test_unsigned_weights(kind):
    """An unsigned weight only inserts."""
    assert events(with_weights([2, 0, 1], kind), weight_column="w") == [("insert", {"i": i}) for i in (0, 0, 2)]


@pytest.mark.parametrize("weight", [1_000_001, -1_000_001, 2**62, 2**63 - 1, -(2**63)])
def test_very_large_weight(weight):
    """A weight beyond a million either way is refused before anything of the batch is sent, naming row and number."""
    made: list[Any] = []
    with pytest.raises(penstock.EncodeError) as caught:
        made.extend(penstock.preview(with_weights([1, weight, -1]), topic="t", weight_column="w"))
    assert made == []
    assert (caught.value.row, caught.value.column) == (1, "w")
    assert str(weight) in str(caught.value).replace(",", "").replace("_", "")


def test_very_large_unsigned_weight():
    """A weight that fits no signed integer is refused like any other that is too large."""
    with pytest.raises(penstock.EncodeError) as caught:
        events(with_weights([1, 2**64 - 1], pa.uint64()), weight_column="w")
    assert caught.value.row == 1


def test_largest_weight():
    """A weight of a million is allowed, and sends a million events."""
    messages = list(penstock.preview(pa.record_batch({"w": [1_000_000]}), topic="t", weight_column="w"))
    assert sum(message.value.count(b"\n") for message in messages) == 1_000_000
    assert {message.value for message in messages} == {b'{"insert":{}}\n' * 10_000}


def test_null_weight():
    """A null weight is an EncodeError that names row and column."""
    with pytest.raises(penstock.EncodeError) as caught:
        events(with_weights([1, 0, None]), weight_column="w")
    assert (caught.value.row, caught.value.column) == (2, "w")


def test_weight_with_a_key():
    """A keyed row is repeated as whole messages under the same key."""
    batch = pa.record_batch({"k": ["a", "b"], "w": [2, -2]})
    made = [(m.key, m.value) for m in penstock.preview(batch, **Packing(weight="w", key=("k",)).settings())]
    assert made == [(b'{"k":"b"}', b'{"delete":{"k":"b"}}\n')] * 2 + [(b'{"k":"a"}', b'{"insert":{"k":"a"}}\n')] * 2


def test_weight_and_partitions():
    """Deletes come first within each partition, and packing repeats a row across messages where it must."""
    batch = pa.record_batch({"k": ["a", "b", "c", "d"] * 5, "w": [3, -2, 0, -1, 1] * 4, "i": range(20)})
    packing = Packing(weight="w", records=2)
    made: dict[int, list[bytes]] = {}
    for m in penstock.preview(batch, partition_by=["k"], partitions=3, **packing.settings()):
        made.setdefault(m.partition, []).append(m.value)
    expected: dict[int, list[bytes]] = {}
    for (_, event), (row, _) in zip(oracles.events(batch, packing), oracles.changes(batch, weight="w"), strict=True):
        key = oracles.rows(batch.slice(row, 1), ["k"])[0].encode()
        expected.setdefault(oracles.partition("murmur2", key, 3), []).append(event)
    packed = {p: oracles.pack(some, limit=packing.limit, records=2, array=False) for p, some in expected.items()}
    assert made == packed


@pytest.mark.parametrize("largest", [1, 5])
def test_max_weight(largest):
    """The largest weight may be set, a sender of weights has none, and 0 is none either."""
    batch = with_weights([largest + 1])
    with pytest.raises(penstock.EncodeError, match=f"very large weight {largest + 1}; .* at most {largest} times"):
        events(batch, weight_column="w", max_weight=largest)
    assert len(events(with_weights([largest]), weight_column="w", max_weight=largest)) == largest
    assert len(events(batch, weight_column="w", max_weight=0)) == largest + 1


def test_a_format_with_weights_has_no_limit():
    """Where one event carries all copies a weight may have 64 bits."""
    weighted = {"name": "json", "config": {"update_format": "weighted"}}
    batch = with_weights([2**63 - 1, -(2**63) + 1, 0])
    (message,) = penstock.preview(batch, topic="t", format=weighted, weight_column="w")
    assert [json.loads(line)["weight"] for line in message.value.splitlines()] == [-(2**63) + 1, 2**63 - 1]


# ---- updates: -U and +U, two images ---------------------------------------------------------------------------------


def with_pairs(rows: list[tuple[str, int, str]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(
        [{"op": op, "k": k, "v": v} for op, k, v in rows],
        pa.schema({"op": pa.string(), "k": pa.int64(), "v": pa.string()}),
    )


DEBEZIUM = {
    "op_column": "op",
    "schemas": False,
    "format": {"name": "json", "config": {"update_format": "debezium", "key_fields": ["k"]}},
}
LOG = [
    ("I", 1, "a"), ("-U", 1, "b"), ("+U", 1, "c"), ("-U", 2, "d"), ("+U", 3, "e"), ("D", 3, "f"), ("U", 4, "g"),
    ("-U", 5, "h"), ("-U", 6, "i"), ("+U", 6, "j"), ("-u", 7, "k"), ("+u", 7, "l"), ("+U", 7, "m"), ("-U", 8, "n"),
]  # fmt: skip


def paired(rows: list[tuple[str, int, str]]) -> list[tuple[str, int, str | None, str | None]]:
    """Return (op, key, before, after) of each event: the slow way."""
    made: list[tuple[str, int, str | None, str | None]] = []
    at = 0
    while at < len(rows):
        op, k, v = rows[at]
        following = rows[at + 1] if at + 1 < len(rows) else ("", 0, "")
        if op.upper() == "-U" and following[0].upper() == "+U":
            after_k, after = following[1:]
            made += [("u", k, v, after)] if k == after_k else [("d", k, v, None), ("c", after_k, None, after)]
            at += 2
            continue
        kind = "d" if op in oracles.DELETES or op.upper() == "-U" else "c" if op == "I" else "u"
        made.append((kind, k, v, None) if kind == "d" else (kind, k, None, v))
        at += 1
    return made


def envelopes(values: Iterable[bytes]) -> list[tuple[str, int, str | None, str | None]]:
    made = []
    for value in values:
        payload = json.loads(value)["payload"]
        before, after = payload.get("before") or {}, payload.get("after") or {}
        made.append((payload["op"], (after or before)["k"], before.get("v"), after.get("v")))
    return made


def test_pairs():
    """A -U and the +U behind it are one update with both images; alone they are a delete, and an update without."""
    assert paired(LOG)[:4] == [("c", 1, None, "a"), ("u", 1, "b", "c"), ("d", 2, "d", None), ("c", 3, None, "e")]
    made = envelopes(message.value for message in penstock.preview(with_pairs(LOG), topic="t", **DEBEZIUM))
    assert made == paired(LOG)


@given(
    rows=st.lists(st.tuples(st.sampled_from(["I", "D", "U", "-U", "+U"]), st.integers(1, 2), st.just("x")), max_size=12)
)
def test_pairs_of_any_log(rows):
    """Whatever the order of the ops is, each row is in one event and in the order given."""
    made = envelopes(message.value for message in penstock.preview(with_pairs(rows), topic="t", **DEBEZIUM))
    assert made == paired(rows)


@pytest.mark.parametrize("cut", range(1, 8))
def test_pairs_are_not_parted(mock, monkeypatch, cut):
    """Wherever blocks and pieces end, a pair stays one event, and counts as two rows."""
    rows = LOG * 3
    monkeypatch.setattr(blocks, "ROWS_PER_PIECE", max(1, cut // 2))
    batch = with_pairs(rows)
    cuts = [batch.slice(start, cut) for start in range(0, len(rows), cut)]
    source = Source(batch.schema, None, lambda: iter([Batch(batch.schema, "log", 0, lambda: iter(cuts))]), lambda: None)
    loaded = load(topic="orders", bootstrap_servers=mock.bootstrap_servers, workers=0, **DEBEZIUM)
    report = writer.write_source(source, loaded)
    assert (report.rows, report.skipped_rows, report.messages) == (len(rows), 0, len(paired(rows)))
    log = read_topic(mock.bootstrap_servers, "orders")
    found = envelopes(message.value for message in log.messages)
    for k in range(1, 9):
        assert [one for one in found if one[1] == k] == [one for one in paired(rows) if one[1] == k]


def test_pairs_where_updates_are_two_events():
    """A format without updates gets a delete and an insert."""
    rows = [("-U", 1, "a"), ("+U", 1, "b")]
    assert events(with_pairs(rows), op_column="op") == [("delete", {"k": 1, "v": "a"}), ("insert", {"k": 1, "v": "b"})]


def with_images(*rows: tuple[str | None, str | None]) -> pa.RecordBatch:
    image = pa.struct({"k": pa.int64(), "v": pa.string()})
    columns = [[None if v is None else {"k": 1, "v": v} for v in column] for column in zip(*rows, strict=True)]
    return pa.record_batch([pa.array(column, image) for column in columns], names=["old", "new"])


IMAGES = {**DEBEZIUM, "op_column": None, "before_column": "old", "after_column": "new"}


def test_images():
    """Without a row before it is an insert, without one after it a delete, with both an update."""
    batch = with_images((None, "a"), ("a", "b"), ("b", None))
    made = envelopes(message.value for message in penstock.preview(batch, topic="t", **IMAGES))
    assert made == [("c", 1, None, "a"), ("u", 1, "a", "b"), ("d", 1, "b", None)]


def test_no_image():
    """A row with neither image is an EncodeError that names row and both columns."""
    with pytest.raises(penstock.EncodeError, match='"new": both images are null, here and in "old"') as caught:
        list(penstock.preview(with_images((None, "a"), (None, None)), topic="t", **IMAGES))
    assert (caught.value.row, caught.value.column) == (1, "new")


@pytest.mark.parametrize(
    "other", [{"enable_output_buffer": True}, {"index": "i", "relation": {"indexes": {"i": ["k"]}}}]
)
def test_images_are_not_merged(other):
    """A row of two images is a change already: an index or an output buffer is refused, both named."""
    with pytest.raises(penstock.ConfigError, match=f"before_column, after_column and {next(iter(other))}"):
        penstock.preview(with_images((None, "a")), topic="t", **IMAGES, **other)


def test_images_go_with_debezium():
    """Another format has no place for two images."""
    with pytest.raises(penstock.ConfigError, match="before_column"):
        penstock.preview(with_images((None, "a")), topic="t", before_column="old", after_column="new")


# ---- columns that cannot be used ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["op_column", "weight_column", "partition_column", "key", "partition_by"])
def test_unknown_column(name):
    """A column that is not there is a ConfigError with the nearest name, before the first row is read."""
    batch = pa.record_batch({"amount": [1], "other": ["x"]})
    value: Any = ["amuont"] if name in {"key", "partition_by"} else "amuont"
    with pytest.raises(penstock.ConfigError) as caught:
        list(penstock.preview(batch, topic="t", partitions=1, **{name: value}))
    assert "amuont" in str(caught.value)
    assert "amount" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("op_column", pa.array([1.5])),
        ("op_column", pa.array([["I"]])),
        ("op_column", pa.array([True])),
        ("weight_column", pa.array(["1"])),
        ("weight_column", pa.array([1.0])),
        ("weight_column", pa.array([True])),
        ("partition_column", pa.array(["0"])),
        ("partition_column", pa.array([0.0])),
    ],
)
def test_column_of_a_wrong_type(name, column):
    """An op that is no string, or a weight or partition that is no integer, is refused by name before row 0."""
    batch = pa.record_batch([column, pa.array([1])], names=["chosen", "i"])
    with pytest.raises((penstock.ConfigError, penstock.SchemaError)) as caught:
        list(penstock.preview(batch, topic="t", partitions=1, **{name: "chosen"}))
    assert "chosen" in str(caught.value)


def test_op_and_weight_exclude_each_other():
    """Both columns at once contradict each other: ConfigError, naming both."""
    batch = pa.record_batch({"op": ["I"], "w": [1], "i": [1]})
    with pytest.raises(penstock.ConfigError) as caught:
        list(penstock.preview(batch, topic="t", op_column="op", weight_column="w"))
    assert "op_column" in str(caught.value)
    assert "weight_column" in str(caught.value)


@pytest.mark.parametrize("place", [None, -1, 3, 2**31])
def test_partition_that_is_not_there(place):
    """A partition that is null or outside the topic is an EncodeError naming row and column."""
    batch = pa.record_batch({"p": pa.array([0, 2, place], pa.int64()), "i": range(3)})
    with pytest.raises(penstock.EncodeError) as caught:
        list(penstock.preview(batch, topic="t", partitions=3, partition_column="p"))
    assert (caught.value.row, caught.value.column) == (2, "p")


@pytest.mark.parametrize("setting", ["op_column", "weight_column", "partition_column"])
@pytest.mark.parametrize("index", [-1, 2, 2**31 - 1])
def test_dictionary_index_outside(setting, index):
    """What a row does and where it goes is not looked for outside of a dictionary."""
    values = pa.array(["-U", "+U"]) if setting == "op_column" else pa.array([1, 2])
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, index], pa.int32()), values, safe=False)
    batch = pa.record_batch({"k": [1, 2, 3], "c": column})
    debezium = {"name": "json", "config": {"update_format": "debezium", "key_fields": ["k"]}}
    for more in ({}, {"enable_output_buffer": True}, {"format": debezium}):
        with pytest.raises(penstock.EncodeError, match="outside the dictionary") as caught:
            list(penstock.preview(batch, partitions=3, **{setting: "c"}, **more))
        assert caught.value.row == 2
