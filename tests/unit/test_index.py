"""With an index the changes of one key become one event; without, rows that are undone vanish: against slow oracles.

The rows' meaning is that of connector.md 4.1 and 4.2; cases of the connector's own tests stand at the end.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock
import strategies
from penstock import _core, messages
from penstock.config import load
from penstock.encode import Planner
from penstock.source import Source
from penstock.source.batch import Batch
from readback import read_topic

if TYPE_CHECKING:
    from collections.abc import Iterator

DELETE, UPDATE = 1 << 31, 1 << 30
VERBS = {DELETE: "delete", UPDATE: "update", 0: "insert"}
KEYED = {"index": "by_k", "relation": {"name": "v", "indexes": {"by_k": ["k"]}}}
STRINGS = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]


def consolidate(
    batches: list[pa.RecordBatch], *, change: str = "inserts", column: str | None = None, key: tuple[str, ...] = ()
) -> list[tuple[str, dict[str, Any], int]]:
    """Return (verb, row, copies) of everything that is left, in the order in which it would be sent."""
    consolidator = _core.Consolidator("i" if key else "", "v")
    sources = []
    for number, batch in enumerate(batches):
        schema = _core.Schema(_core.schema_spec(batch.schema.__arrow_c_schema__()))
        names = batch.schema.names
        reader = _core.ChangeReader(
            schema,
            change=change,
            change_column=-1 if column is None else names.index(column),
            row_columns=[at for at, name in enumerate(names) if name != column],
            key_columns=[names.index(name) for name in key],
        )
        sources.append((reader, _core.Piece(schema, batch.__arrow_c_array__()[1])))
        consolidator.add(*sources[-1], number)
    left = [
        (VERBS[bits], batches[number].slice(row, 1).to_pylist()[0], copies)
        for number, verdicts in enumerate(consolidator.finish(sources))
        for row, bits, copies in verdicts.rows()
    ]
    for _, row, _ in left:
        row.pop(column, None)
    return [one for one in left if one[0] == "delete"] + [one for one in left if one[0] != "delete"]


# ---- oracles --------------------------------------------------------------------------------------------------------


def net(changes: list[tuple[Any, int]]) -> dict[Any, int]:
    """Add up the weights of each row, in order of first occurrence; a weight of 0 is none."""
    total: dict[Any, int] = {}
    for row, weight in changes:
        if weight:
            total[row] = total.get(row, 0) + weight
    return {row: weight for row, weight in total.items() if weight}


def by_key(changes: list[tuple[tuple[Any, Any], int, bool]]) -> dict[Any, tuple[str, Any] | None]:
    """Return key -> (verb, row); None for a key whose changes contradict one another."""
    found: dict[Any, tuple[str, Any] | None] = {}
    for key in dict.fromkeys(row[0] for row, _, _ in changes):
        own = [change for change in changes if change[0][0] == key]
        last = max((at for at, (_, _, upsert) in enumerate(own) if upsert), default=None)
        left = net([(row, weight) for row, weight, _ in own[last or 0 :]])
        added = [row for row, weight in left.items() if weight > 0]
        removed = [row for row, weight in left.items() if weight < 0]
        if len(added) > 1 or len(removed) > 1 or any(abs(weight) > 1 for weight in left.values()):
            found[key] = None
        elif added:
            found[key] = ("update" if removed or last is not None else "insert", added[0])
        elif removed:
            found[key] = ("delete", removed[0])
        elif last is not None:
            found[key] = ("delete", own[last][0])
    return found


def pieces(
    rows: list[dict[str, Any]], schema: pa.Schema, cuts: list[int], kinds: list[pa.DataType]
) -> Iterator[pa.RecordBatch]:
    """Cut the rows, each piece with another layout of the strings in `v`, and with rows around it that are not its."""
    ends = sorted({min(cut, len(rows)) for cut in cuts} | {len(rows)})
    for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        if start < end:
            at = schema.get_field_index("v")
            own = schema.set(at, pa.field("v", kinds[number % len(kinds)]))
            around = [rows[0], *rows[start:end], rows[-1]]
            plain = pa.RecordBatch.from_pylist(around, schema=schema)
            yield pa.record_batch([c.cast(f.type) for c, f in zip(plain.columns, own, strict=True)], schema=own).slice(
                1, end - start
            )


CUTS = st.lists(st.integers(0, 30), max_size=4)
KINDS = st.permutations(STRINGS)
ROWS = st.tuples(st.integers(0, 2), st.sampled_from(["a", "b", None, ""]))
OPS = {"I": (1, False), "+i": (1, False), "D": (-1, False), "-U": (-1, False), "U": (1, True), "upsert": (1, True)}


# ---- the core against the oracles -----------------------------------------------------------------------------------


@given(changes=st.lists(st.tuples(ROWS, st.integers(-2, 2)), max_size=30), cuts=CUTS, kinds=KINDS)
def test_weights_add_up(changes, cuts, kinds):
    """Without an index each row keeps the sum of its weights, and goes where that is 0, whatever layout it came in."""
    schema = pa.schema({"k": pa.int64(), "v": pa.string(), "w": pa.int32()})
    rows = [{"k": k, "v": v, "w": weight} for (k, v), weight in changes]
    left = consolidate(list(pieces(rows, schema, cuts, kinds)), change="weight", column="w")
    expected = net(changes)
    assert [((row["k"], row["v"]), -copies if verb == "delete" else copies) for verb, row, copies in left] == [
        *((row, weight) for row, weight in expected.items() if weight < 0),
        *((row, weight) for row, weight in expected.items() if weight > 0),
    ]


@given(changes=st.lists(st.tuples(ROWS, st.sampled_from(sorted(OPS))), max_size=12), cuts=CUTS, kinds=KINDS)
def test_changes_of_a_key(changes, cuts, kinds):
    """With an index each key becomes what its changes come to, or an error that names it."""
    schema = pa.schema({"k": pa.int64(), "op": pa.string(), "v": pa.string()})
    rows = [{"k": k, "v": v, "op": op} for (k, v), op in changes]
    expected = by_key([(row, *OPS[op]) for row, op in changes])
    batches = list(pieces(rows, schema, cuts, kinds))
    bad = {key for key, event in expected.items() if event is None}
    if bad:
        with pytest.raises(_core.RowError) as caught:
            consolidate(batches, change="op", column="op", key=("k",))
        row, _, text = caught.value.args
        key = batches[caught.value.piece].slice(row, 1).to_pylist()[0]["k"]
        assert key in bad
        assert f'Key: {{"k":{key}}}' in text
        return
    left = consolidate(batches, change="op", column="op", key=("k",))
    assert Counter((verb, (row["k"], row["v"]), copies) for verb, row, copies in left) == Counter(
        (verb, row, 1) for verb, row in expected.values()
    )


@given(data=st.data())
def test_any_row_cancels_itself(data):
    """Every kind of value, in every layout, is equal to itself: a batch and its own deletes come to nothing."""
    batch = data.draw(strategies.batch_of(data.draw(strategies.schemas(strategies.types(2)))))
    schema = _core.Schema(_core.schema_spec(batch.schema.__arrow_c_schema__()))
    piece = _core.Piece(schema, batch.__arrow_c_array__()[1])
    consolidator = _core.Consolidator()
    columns = range(batch.num_columns)
    insert = _core.ChangeReader(schema, change="inserts", change_column=-1, row_columns=columns, key_columns=())
    consolidator.add(insert, piece, 0)
    distinct = consolidator.rows
    assert distinct <= batch.num_rows
    consolidator.add(insert, piece, 1)
    assert consolidator.rows == distinct
    (first, second) = consolidator.finish([(insert, piece)] * 2)
    assert [copies % 2 for _, _, copies in first.rows()] == [0] * distinct
    assert sum(copies for _, _, copies in first.rows()) == 2 * batch.num_rows
    assert len(second) == 0


LAYOUTS = [
    {"s": pa.string(), "d": pa.decimal128(9, 2), "l": pa.list_(pa.int8()), "b": pa.binary()},
    {"s": pa.string_view(), "d": pa.decimal32(9, 2), "l": pa.large_list(pa.int8()), "b": pa.binary_view()},
    {
        "s": pa.dictionary(pa.int32(), pa.string()),
        "d": pa.decimal64(9, 2),
        "l": pa.list_view(pa.int8()),
        "b": pa.binary(),
    },
    {"s": pa.large_string(), "d": pa.decimal256(9, 2), "l": pa.large_list_view(pa.int8()), "b": pa.large_binary()},
]


@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "s": st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
                "d": st.none() | st.decimals(-9999999, 9999999, places=2, allow_nan=False),
                "l": st.none() | st.lists(st.none() | st.integers(-128, 127), max_size=3),
                "b": st.none() | st.binary(max_size=40),
            }
        ),
        max_size=8,
    )
)
def test_layouts_do_not_matter(rows):
    """A value is the same value in a view, a dictionary, a wider decimal or another kind of list."""
    batches = [pa.RecordBatch.from_pylist(rows, pa.schema(layout)) for layout in LAYOUTS]
    plain = consolidate(batches[:1])
    assert [(verb, row, copies // 4) for verb, row, copies in consolidate(batches)] == plain


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()])
def test_floats(kind):
    """NaN equals NaN, 0.0 equals -0.0, and null is neither."""
    values = pa.array([math.nan, 0.0, None, -0.0, -math.nan, 1.0, None], pa.float64()).cast(kind)
    left = consolidate([pa.record_batch({"f": values})])
    assert [copies for _, _, copies in left] == [2, 2, 2, 1]


def test_maps_have_no_order():
    """A map is the same map whichever of its entries comes first, and another one with one value changed."""
    maps = [[("a", 1), ("b", None)], [("b", None), ("a", 1)], [("a", None), ("b", 1)], [("a", 1)], [], None]
    left = consolidate([pa.record_batch({"m": pa.array(maps, pa.map_(pa.string(), pa.int8()))})])
    assert [copies for _, _, copies in left] == [2, 1, 1, 1, 1]


def test_texts_that_mean_the_same():
    """VARIANT texts are compared as the JSON that is written for them, UUID texts as their 16 bytes."""
    variant = pa.field("v", pa.string(), metadata={"sql_type": "VARIANT"})
    uuid = pa.field("u", pa.string(), metadata={"sql_type": "UUID"})
    texts = ["0123456789ABCDEF0123456789abcdef", "01234567-89ab-cdef-0123-456789abcdef"]
    batch = pa.record_batch(
        [pa.array(['{"b":1,"a":2.50}', '{ "a": 2.5, "b": 1 }']), pa.array(texts)], pa.schema([variant, uuid])
    )
    assert [copies for _, _, copies in consolidate([batch])] == [2]


def test_neighbours_do_not_flow_together():
    """Where one column ends and the next begins is part of the row."""
    batch = pa.record_batch({"a": ["x", "xy", "", "xyz"], "b": ["yz", "z", "xyz", ""]})
    assert [copies for _, _, copies in consolidate([batch])] == [1] * 4


def test_a_sum_beyond_64_bits():
    """Weights that do not fit 64 bits together are refused at the row that goes over."""
    batch = pa.record_batch({"w": pa.array([2**63 - 1, 1], pa.int64()), "k": [1, 1]})
    with pytest.raises(_core.RowError, match="very large weight") as caught:
        consolidate([batch], change="weight", column="w")
    assert caught.value.args[0] == 1


def test_memory_of_a_row():
    """An entry takes at most 48 bytes for each distinct row, and 64 more with an index."""
    for key, most in (([], 48), ([0], 112)):
        batch = pa.record_batch({"k": range(300_000)})
        schema = _core.Schema(_core.schema_spec(batch.schema.__arrow_c_schema__()))
        reader = _core.ChangeReader(schema, change="inserts", change_column=-1, row_columns=[0], key_columns=key)
        consolidator = _core.Consolidator("i" if key else "", "v")
        consolidator.add(reader, _core.Piece(schema, batch.__arrow_c_array__()[1]), 0)
        assert consolidator.nbytes <= most * 300_000


# ---- through the front door -----------------------------------------------------------------------------------------


def events(source: Any, **settings: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return (insert or delete, row) of everything a source sends, in order."""
    found = []
    for message in penstock.preview(source, topic="t", **settings):
        for line in message.value[:-1].split(b"\n"):
            ((verb, row),) = json.loads(line).items()
            found.append((verb, row))
    return found


def changes(*rows: tuple[int, str, int]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(
        [{"k": k, "v": v, "w": w} for k, v, w in rows], pa.schema({"k": pa.int64(), "v": pa.string(), "w": pa.int64()})
    )


def test_insert_update_delete():
    """One event for each key and batch: of an update the new row, of nothing nothing."""
    batch = changes((1, "a", 1), (2, "a", -1), (3, "a", -1), (3, "b", 1), (4, "a", 1), (4, "a", -1), (5, "x", 0))
    assert events(batch, weight_column="w", **KEYED) == [
        ("delete", {"k": 2, "v": "a"}),
        ("insert", {"k": 1, "v": "a"}),
        ("insert", {"k": 3, "v": "b"}),
    ]


def test_batches_are_apart():
    """An update in the next batch is another event."""
    batches = [changes((1, "a", 1)), changes((1, "a", -1), (1, "b", 1)), changes((1, "b", -1))]
    made = events(batches, weight_column="w", **KEYED)
    assert made == [("insert", {"k": 1, "v": "a"}), ("insert", {"k": 1, "v": "b"}), ("delete", {"k": 1, "v": "b"})]


def test_a_batch_of_many_pieces():
    """Changes of one key meet though they lie in different pieces of a batch."""
    rows = 150_000
    batch = pa.record_batch(
        {
            "k": [*range(rows), *range(0, rows, 2)],
            "v": pa.array([*["a"] * rows, *["b"] * (rows // 2)]),
            "w": [-1 if k % 2 == 0 else 1 for k in range(rows)] + [1] * (rows // 2),
        }
    )
    made = events(batch, weight_column="w", **KEYED)
    assert Counter((verb, row["k"], row["v"]) for verb, row in made) == Counter(
        ("insert", k, "a" if k % 2 else "b") for k in range(rows)
    )


def test_a_changed_key_is_two_events():
    """A change of the key columns is a delete of the old key and an insert of the new one."""
    assert events(changes((1, "a", -1), (2, "a", 1)), weight_column="w", **KEYED) == [
        ("delete", {"k": 1, "v": "a"}),
        ("insert", {"k": 2, "v": "a"}),
    ]


def test_rows_of_a_key_go_to_one_partition():
    """Without a key of the message the index chooses the partition, so that changes of a key stay in order."""
    batches = [changes(*((k, str(n), 1 if n == 0 else 0) for k in range(50))) for n in range(1)]
    again = [changes(*((k, "0", -1) for k in range(50)), *((k, "1", 1) for k in range(50)))]
    where: dict[int, set[int | None]] = {}
    for message in penstock.preview([*batches, *again], topic="t", weight_column="w", partitions=4, **KEYED):
        for line in message.value[:-1].split(b"\n"):
            ((_, row),) = json.loads(line).items()
            where.setdefault(row["k"], set()).add(message.partition)
    assert len(where) == 50
    assert all(len(partitions) == 1 for partitions in where.values())
    assert len(set.union(*where.values())) == 4


@pytest.mark.parametrize("quoted", ['"K"', "K"])
def test_names_fold(quoted):
    """An index and its columns are SQL identifiers: folded to lower case unless they stand in double quotes."""
    batch = pa.record_batch({"K": [1, 1], "k": [1, 2], "w": [1, -1]})
    settings = {"index": "BY_K", "relation": {"indexes": {"by_k": [quoted]}}, "weight_column": "w"}
    made = events(batch, **settings)
    assert [verb for verb, _ in made] == (["insert"] if quoted == '"K"' else ["delete", "insert"])


@pytest.mark.parametrize(
    ("update_format", "keys"),
    [("upsert", [b'{"k":1}']), ("debezium", [b'{"payload":{"k":1}}']), ("insert_delete", [None])],
)
def test_the_index_is_the_key(update_format, keys):
    """Formats whose messages have a key take the index's, where no other is named."""
    form = {"name": "json", "config": {"update_format": update_format}}
    options = {"schemas": False} if update_format == "debezium" else {}
    made = penstock.preview(changes((1, "a", 1)), topic="t", weight_column="w", format=form, **KEYED, **options)
    assert [message.key for message in made] == keys


@pytest.mark.parametrize("cut", [1, 2, 3, 20])
def test_both_images(cut):
    """An update keeps its old row where that is the -U right before its +U, and both rows are in the one event."""
    rows = [
        ("-U", 1, "a"),
        ("+U", 1, "b"),
        ("-U", 2, "a"),
        ("D", 3, "x"),
        ("+U", 2, "b"),
        ("U", 4, "c"),
        ("-U", 5, "a"),
        ("+U", 6, "b"),
    ]
    batch = pa.RecordBatch.from_pylist([dict(zip(("op", "k", "v"), row, strict=True)) for row in rows])
    cuts = [batch.slice(start, cut) for start in range(0, len(rows), cut)]
    source = Source(batch.schema, None, lambda: iter([Batch(batch.schema, "log", 0, lambda: iter(cuts))]), lambda: None)
    config = load(
        for_preview=True, topic="t", op_column="op", schemas=False, **KEYED,
        format={"name": "json", "config": {"update_format": "debezium", "key_fields": ["k"]}},
    )  # fmt: skip
    made = messages._preview(source, Planner(config, 0, 1), config, 1)
    payloads = [json.loads(m.value)["payload"] for m in made]
    found = [(p["op"], (p.get("before") or {}).get("v"), (p.get("after") or {}).get("v")) for p in payloads]
    assert sorted(found, key=str) == [
        ("c", None, "b"), ("d", "a", None), ("d", "x", None), ("u", "a", "b"), ("u", None, "b"), ("u", None, "c"),
    ]  # fmt: skip


def test_ops():
    """In a log an upsert takes the place of what its key had, and a -U with its +U changes a row."""
    batch = pa.record_batch(
        {
            "op": ["I", "U", "U", "-U", "+U", "D", "U", "+U", "I", "D"],
            "k": [1, 1, 2, 3, 3, 4, 5, 6, 7, 7],
            "v": ["a", "b", "a", "a", "b", "a", "z", "c", "d", "d"],
        }
    )
    assert events(batch, op_column="op", **KEYED) == [
        ("delete", {"k": 4, "v": "a"}),
        *(("insert", {"k": k, "v": v}) for k, v in [(1, "b"), (2, "a"), (3, "b"), (5, "z"), (6, "c")]),
    ]


# ---- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "said", "listed"),
    [
        ([(1, "a", 2)], 'Record {"k":1,"v":"a"} is inserted 2 times', ['    {"k":1,"v":"a"}: +2']),
        ([(1, "a", -3)], 'Record {"k":1,"v":"a"} is deleted 3 times', ['    {"k":1,"v":"a"}: -3']),
        (
            [(1, "a", 1), (1, "b", 1)],
            "Error description: Multiple new values for the same key.",
            ['    {"k":1,"v":"a"}: +1', '    {"k":1,"v":"b"}: +1'],
        ),
        (
            [(1, "a", -1), (1, "b", -1)],
            "Error description: Multiple deleted values for the same key.",
            ['    {"k":1,"v":"a"}: -1', '    {"k":1,"v":"b"}: -1'],
        ),
        (
            [(1, str(n), 1) for n in range(12)],
            "Multiple new values for the same key",
            [*(f'    {{"k":1,"v":"{n}"}}: +1' for n in range(10)), "    ..."],
        ),
    ],
)
def test_contradictions(rows, said, listed):
    """Changes of a key that contradict one another: index, relation, key and up to ten changes are named."""
    with pytest.raises(penstock.EncodeError) as caught:
        events(changes((0, "a", 1), (9, "x", 1), (9, "x", -1), *rows), weight_column="w", **KEYED)
    text = str(caught.value)
    assert said in text
    assert 'index "by_k"' in text
    assert 'relation "v"' in text
    assert 'Key: {"k":1}' in text
    assert text.split("\n")[1:] == listed
    assert caught.value.row == (4 if len(rows) > 1 else 3)


def test_an_index_that_is_not_there():
    """An index must be one of the relation's, and its columns those of the rows."""
    with pytest.raises(penstock.ConfigError, match="by_x"):
        events(changes((1, "a", 1)), index="by_x", relation={"indexes": {"by_k": ["k"]}})
    with pytest.raises(penstock.ConfigError, match="nope"):
        events(changes((1, "a", 1)), index="i", relation={"indexes": {"i": ["nope"]}})
    with pytest.raises(penstock.ConfigError, match="says what a row does"):
        events(changes((1, "a", 1)), index="i", relation={"indexes": {"i": ["w"]}}, weight_column="w")
    with pytest.raises(penstock.ConfigError, match="no columns"):
        events(changes((1, "a", 1)), index="i", relation={"indexes": {"i": []}})


# ---- the connector's own cases --------------------------------------------------------------------------------------

ROW = pa.schema({"id": pa.int64(), "b": pa.bool_(), "i": pa.int64(), "s": pa.string(), "w": pa.int64()})
V1, V2 = {"id": 1, "b": True, "i": None, "s": "foo"}, {"id": 1, "b": False, "i": None, "s": "foo"}
V3 = {"id": 1, "b": False, "i": None, "s": "bar"}
INDEXED = {"index": "keystruct", "relation": {"name": "teststruct", "indexes": {"keystruct": ["id"]}}}


def golden(*batches: list[tuple[dict[str, Any], int]]) -> list[tuple[str, dict[str, Any]]]:
    made = [pa.RecordBatch.from_pylist([{**row, "w": w} for row, w in batch], ROW) for batch in batches]
    return events(made, weight_column="w", **INDEXED)


def test_raw_indexed():
    """raw_indexed_with_key, as JSON: insert, upsert of the new row, delete."""
    made = golden([(V1, 1)], [(V1, -1), (V2, 1)], [(V2, -1)])
    assert made == [("insert", V1), ("insert", V2), ("delete", V2)]


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        ([(V1, 2)], "is inserted 2 times"),
        ([(V1, -2)], "is deleted 2 times"),
        ([(V1, 1), (V3, 1)], "Error description: Multiple new values for the same key."),
        ([(V1, -1), (V3, -1)], "Error description: Multiple deleted values for the same key."),
    ],
)
def test_non_unique_keys(batch, said):
    """test_non_unique_keys_*: what the connector's error contains."""
    with pytest.raises(penstock.EncodeError, match=said):
        golden(batch)


# ---- the writer -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_written(mock, workers):
    """What is written is what preview shows; merged rows are skipped, and changes of a key arrive in order."""
    log = [
        changes(*((k, str(n), -1) for k in range(40) if n), *((k, str(n + 1), 1) for k in range(40))) for n in range(5)
    ]
    settings = {"weight_column": "w", **KEYED}
    with penstock.open(topic="orders", bootstrap_servers=mock.bootstrap_servers, workers=workers, **settings) as writer:
        for batch in log:
            writer.write(batch)
        writer.write(changes((1, "x", 1), (1, "x", -1)))
        report = writer.flush()
    given_rows = sum(batch.num_rows for batch in log) + 2
    assert (report.rows, report.skipped_rows) == (200, given_rows - 200)
    found: dict[int, list[str]] = {}
    for message in read_topic(mock.bootstrap_servers, "orders").messages:
        for line in message.value.splitlines():
            ((verb, row),) = json.loads(line).items()
            assert verb == "insert"
            found.setdefault(row["k"], []).append(row["v"])
    assert found == {k: ["1", "2", "3", "4", "5"] for k in range(40)}
    shown = [row for _, row in events(log, **settings)]
    assert Counter((row["k"], row["v"]) for row in shown) == Counter((k, v) for k, vs in found.items() for v in vs)


def test_nothing_of_a_contradictory_batch_is_sent(mock):
    """All rows of the batch have failed; those of batches before are sent."""
    writer = penstock.open(
        topic="orders", bootstrap_servers=mock.bootstrap_servers, workers=0, weight_column="w", **KEYED
    )
    writer.write(changes((1, "a", 1)))
    with pytest.raises(penstock.EncodeError, match="Multiple new values") as caught:
        writer.write(changes((2, "a", 1), (3, "a", 1), (3, "b", 1)))
    report = caught.value.report
    assert (report.rows, report.failed_rows, report.skipped_rows, report.unknown_rows) == (1, 3, 0, 0)


def test_a_broken_file(mock):
    """Rows read before a file turned out to be broken are sent, as without an index; the writer stays open."""
    good = changes(*((n, "a", 1) for n in range(70_000)))

    def half() -> Iterator[pa.RecordBatch]:
        yield good.slice(0, 65_536)
        raise penstock.SourceError("f: cannot be read after row 65536")

    broken = Batch(good.schema, "f", 0, half)
    source = Source(good.schema, None, lambda: iter([broken]), lambda: None)
    writer = penstock.open(
        topic="orders", bootstrap_servers=mock.bootstrap_servers, workers=0, weight_column="w", **KEYED
    )
    with pytest.raises(penstock.SourceError):
        writer._write_source(source, None)
    writer.write(changes((0, "b", 1)))
    assert writer.flush().rows == 65_537
    writer.close()
