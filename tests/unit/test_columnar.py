"""parquet and arrow: every message is a whole file that pyarrow reads back as the rows given, none above the limit."""

from __future__ import annotations

import io
import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import penstock
import physical
import strategies
from readback import read_topic

GOLDEN = Path(__file__).parent.parent / "golden" / "parquet.json"
FORMATS = ["parquet", "arrow"]


def read(value: bytes, form: str) -> pa.Table:
    return pq.read_table(io.BytesIO(value)) if form == "parquet" else pa.ipc.open_stream(value).read_all()


def files(source: Any, form: str, **settings: Any) -> list[pa.Table]:
    messages = list(penstock.preview(source, format=form, **settings))
    assert all(message.key is None and message.headers == () for message in messages)
    return [read(message.value, form) for message in messages]


def table(rows: int) -> pa.RecordBatch:
    return pa.record_batch({"n": range(rows), "text": [f"{n * 7919 % 10007} of row {n}" for n in range(rows)]})


# ---- the connector's case -------------------------------------------------------------------------------------------

TYPES = {
    "int64": pa.int64(),
    "utf8": pa.string(),
    "bool": pa.bool_(),
    "timestamp[us]": pa.timestamp("us"),
    "date32": pa.date32(),
    "struct<a: bool not null>": pa.struct([pa.field("a", pa.bool_(), nullable=False)]),
    "map<utf8, int64 not null>": pa.map_(pa.string(), pa.field("value", pa.int64(), nullable=False)),
    "decimal128(10, 3)": pa.decimal128(10, 3),
}


def golden_rows(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    columns = []
    for field, values in zip(schema, zip(*(row.values() for row in rows), strict=True), strict=True):
        if pa.types.is_timestamp(field.type):
            columns.append(pa.array(values, pa.int64()).view(field.type))
        elif pa.types.is_date(field.type):
            columns.append(pa.array(values, pa.int32()).view(field.type))
        elif pa.types.is_decimal(field.type):
            columns.append(pa.array([Decimal(value) for value in values], field.type))
        elif pa.types.is_map(field.type):
            columns.append(pa.array([list(value.items()) for value in values], field.type))
        else:
            columns.append(pa.array(values, field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def test_the_connectors_case():
    """Rows, weights, order and schema are the connector's; the bytes are pyarrow's own, which the case allows."""
    (case,) = json.loads(GOLDEN.read_text(encoding="utf-8"))["cases"]
    assert case["format_config"] == {"name": "parquet", "config": {"buffer_size_records": "unlimited"}}
    schema = pa.schema([pa.field(f["name"], TYPES[f["arrow_type"]], nullable=f["nullable"]) for f in case["schema"]])
    (changes,) = case["batches"]
    batch = golden_rows([change["row"] for change in changes], schema)
    batch = batch.append_column(pa.field("weight", pa.int64()), [[change["weight"] for change in changes]])
    config = {
        "transport": {"name": "kafka_output", "config": {"topic": "golden"}},
        "format": {"name": "parquet", "config": {"buffer_size_records": 2**31}},
        "writer": {"weight_column": "weight"},
    }
    made = [read(message.value, "parquet") for message in penstock.preview(batch, config=config)]
    expected = case["expected"]
    assert len(made) == expected["files"]
    written = [pa.field(name, TYPES[kind], nullable=nullable) for name, kind, nullable in expected["arrow_schema"]]
    assert made[0].schema.equals(pa.schema(written))
    assert made[0].equals(golden_rows(expected["rows_in_file_order"], schema))


# ---- any batch ------------------------------------------------------------------------------------------------------


def parquet_holds(kind: pa.DataType) -> bool:
    """Whether Parquet has a form for the type: not for a struct without fields."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return parquet_holds(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return parquet_holds(kind.storage_type)
    children = [kind.field(at).type for at in range(kind.num_fields)]
    return all(map(parquet_holds, children)) and not (pa.types.is_struct(kind) and not children)


@given(batches=strategies.batches())
def test_arrow_holds_any_batch(batches):
    """A batch becomes one stream with exactly its values and its names, nullability and metadata."""
    made = files(batches, "arrow")
    assert len(made) == sum(batch.num_rows > 0 for batch in batches)
    for got, batch in zip(made, (batch for batch in batches if batch.num_rows), strict=True):
        got.validate(full=True)
        assert physical.rows(got) == physical.rows(batch)
        assert got.schema.names == batch.schema.names
        assert [f.nullable for f in got.schema] == [f.nullable for f in batch.schema]
        assert [f.metadata or {} for f in got.schema] == [f.metadata or {} for f in batch.schema]


@given(batches=strategies.batches())
def test_parquet_holds_any_batch(batches):
    """A batch becomes one file that pyarrow reads back, of the values that a cast by pyarrow gives, or is refused."""
    batch = batches[0]
    if not all(map(parquet_holds, batch.schema.types)):
        with pytest.raises(penstock.SchemaError, match="struct without fields"):
            list(penstock.preview(batch, format="parquet"))
        return
    plain = files([batch], "arrow")
    try:
        made = files([batch], "parquet")
    except penstock.EncodeError:
        # A time that the table's unit cannot reach: seconds and milliseconds of far years.
        assume(any("timestamp" in str(kind) for kind in batch.schema.types))
        return
    if not plain:
        assert made == []
        return
    (got,) = made
    got.validate(full=True)
    assert got.num_rows == batch.num_rows
    assert got.schema.names == batch.schema.names
    for field, column, before in zip(got.schema, got.columns, plain[0].columns, strict=True):
        given_as = batch.schema.field(field.name)
        if pa.types.is_nested(field.type) or isinstance(before.type, pa.BaseExtensionType) or physical_uuid(given_as):
            continue  # nested ones are compared below, UUIDs and JSON by hand
        assert physical.values(column) == physical.values(before.cast(field.type))


def physical_uuid(field: pa.Field) -> bool:
    return (field.metadata or {}).get(b"sql_type") == b"UUID"


@given(batches=strategies.batches(strategies.plain_types(), marked=False))
def test_parquet_holds_nested_values(batches):
    """Nested values of plain types come back as the Python objects that went in."""
    batch = batches[0]
    assume(all(map(parquet_holds, batch.schema.types)) and batch.num_rows)
    (got,) = files([batch], "parquet")
    assert repr(got.to_pylist()) == repr(batch.to_pylist())


@given(data=st.data(), rows=st.integers(1, 40), records=st.integers(1, 50))
@pytest.mark.parametrize("form", FORMATS)
def test_weights(form, data, rows, records):
    """A row of weight n is there n times, in the order given, in files of at most buffer_size_records rows."""
    weights = data.draw(st.lists(st.integers(0, 4), min_size=rows, max_size=rows))
    batch = pa.record_batch({"n": range(rows), "w": weights})
    config = {"name": form, "config": {"buffer_size_records": records}}
    made = [read(m.value, form) for m in penstock.preview(batch, format=config, weight_column="w")]
    expected = [n for n, weight in enumerate(weights) for _ in range(weight)]
    assert [n for one in made for n in one["n"].to_pylist()] == expected
    assert [one.num_rows for one in made] == [
        min(records, len(expected) - first) for first in range(0, len(expected), records)
    ]


# ---- types ----------------------------------------------------------------------------------------------------------

WORDS = pa.array(["red", None, "blue"])
SIXTEEN = pa.array([bytes(range(16)), None, b"\xff" * 16], pa.binary(16))
UUIDS = ["00010203-0405-0607-0809-0a0b0c0d0e0f", None, "ffffffff-ffff-ffff-ffff-ffffffffffff"]
LISTS = pa.array([[1], None, []], pa.list_(pa.int32()))
RUNS = pa.RunEndEncodedArray.from_arrays(pa.array([1, 3], pa.int16()), pa.array([[1], None], LISTS.type))
AS_PARQUET: dict[str, tuple[pa.Array, pa.DataType, list[Any] | None]] = {
    "dictionary": (WORDS.dictionary_encode(), pa.string(), None),
    "views": (WORDS.cast(pa.string_view()), pa.string(), None),
    "large text": (WORDS.cast(pa.large_string()), pa.string(), None),
    "binary": (WORDS.cast(pa.binary()), pa.large_binary(), None),
    "binary views": (WORDS.cast(pa.binary_view()), pa.large_binary(), None),
    "fixed binary": (SIXTEEN, pa.large_binary(), None),
    "uuid": (SIXTEEN.cast(pa.uuid()), pa.string(), UUIDS),
    "dictionary of uuids": (
        pa.DictionaryArray.from_arrays(pa.array([0, 1, 1]), SIXTEEN.cast(pa.uuid())),
        pa.string(),
        [UUIDS[0], None, None],
    ),
    "json": (pa.array(['{"a": 1}', None, "2"], pa.json_()), pa.string(), ['{"a": 1}', None, "2"]),
    "half floats": (pa.array([1.5, None, 2.0], pa.float16()), pa.float32(), [1.5, None, 2.0]),
    "dates of 64 bits": (pa.array([86400000, None, 0], pa.int64()).cast(pa.date64()), pa.date32(), None),
    "times": (pa.array([1, None, 86399], pa.int32()).cast(pa.time32("s")), pa.time64("ns"), None),
    "seconds": (pa.array([1, None, -1], pa.int64()).cast(pa.timestamp("s")), pa.timestamp("us"), None),
    "nanoseconds": (pa.array([1, None, -1], pa.int64()).cast(pa.timestamp("ns")), pa.timestamp("ns"), None),
    "zones": (
        pa.array([1, None, 2], pa.int64()).cast(pa.timestamp("ms", "Europe/Prague")),
        pa.timestamp("us", "UTC"),
        None,
    ),
    "small decimals": (
        pa.array([Decimal("1.50"), None, Decimal(-2)], pa.decimal32(5, 2)),
        pa.decimal128(5, 2),
        None,
    ),
    "decimals of negative scale": (
        pa.array([Decimal(1500), None, Decimal(-200)], pa.decimal128(5, -2)),
        pa.decimal128(7, 0),
        None,
    ),
    "wide decimals": (
        pa.array([Decimal(10) ** 50, None, Decimal(0)], pa.decimal256(60, 0)),
        pa.decimal256(60, 0),
        None,
    ),
    "lists": (LISTS, pa.large_list(pa.field("item", pa.int32())), None),
    "list views": (
        pa.array([[1], None, []], pa.list_view(pa.int32())),
        pa.large_list(pa.field("item", pa.int32())),
        [[1], None, []],
    ),
    "lists of fixed size": (
        pa.array([[1, 2], None, [3, None]], pa.list_(pa.int32(), 2)),
        pa.large_list(pa.field("item", pa.int32())),
        None,
    ),
    "runs of lists": (RUNS, pa.large_list(pa.field("item", pa.int32())), [[1], None, None]),
    "null": (pa.nulls(3), pa.null(), None),
}


@pytest.mark.parametrize("name", AS_PARQUET)
def test_types_of_the_connectors_table(name):
    """Every layout of a type is written as the one type that the connector's table has for it."""
    column, kind, expected = AS_PARQUET[name]
    (got,) = files(pa.record_batch({"v": column}), "parquet")
    assert got.schema.field("v").type == kind
    assert physical.values(got["v"]) == physical.values(
        column.cast(kind) if expected is None else pa.array(expected, kind)
    )


@pytest.mark.parametrize("form", FORMATS)
def test_one_schema_for_every_layout(form):
    """A column given as a dictionary, as runs, as views and plain gives the same file."""
    text = pa.array(["a", "a", "b", None])
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3, 4], pa.int32()), pa.array(["a", "b", None]))
    made = [
        message.value
        for column in (text, text.dictionary_encode(), text.cast(pa.string_view()), runs)
        for message in penstock.preview(pa.record_batch({"v": column}), format=form)
    ]
    assert len(made) == 4
    assert len(set(made)) == 1


@pytest.mark.parametrize(
    ("kind", "form", "text"),
    [
        (pa.duration("s"), "parquet", 'column "v" is a duration'),
        (pa.duration("s"), "arrow", 'column "v" is a duration'),
        (pa.month_day_nano_interval(), "arrow", 'column "v" is an INTERVAL'),
        (pa.list_(pa.duration("s")), "arrow", 'column "v" holds a value that is a duration'),
        (pa.struct([("a", pa.int8()), ("a", pa.int8())]), "parquet", 'holds two fields called "a"'),
        (pa.decimal256(76, -1), "parquet", "is a decimal of 77 digits"),
    ],
)
def test_columns_without_a_form(kind, form, text):
    """They are refused by name before the first row."""
    with pytest.raises(penstock.SchemaError, match=text) as caught:
        penstock.preview(pa.schema([("v", kind)]).empty_table(), format=form)
    assert caught.value.column == "v"


@pytest.mark.parametrize("form", FORMATS)
def test_two_columns_of_one_name(form):
    """Readers find columns by name."""
    batch = pa.RecordBatch.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(penstock.SchemaError, match='two columns are called "a"'):
        penstock.preview(batch, format=form)


def test_a_value_beyond_the_tables_unit():
    """A second of the year 3,000,000 has no microseconds in 64 bits: its row and column are named."""
    far = pa.array([0, 1, 2, 10**14, 3], pa.int64()).cast(pa.timestamp("s"))
    made = []
    with pytest.raises(penstock.EncodeError, match="would result in out of bounds") as caught:
        made.extend(penstock.preview(pa.record_batch({"t": far}), format="parquet"))
    assert caught.value.row == 3
    assert [n for m in made for n in read(m.value, "parquet")["t"].cast(pa.int64()).to_pylist()] == [
        0,
        10**6,
        2 * 10**6,
    ]


# ---- size -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("limit", [3000, 20000, 200000])
def test_files_are_split_to_fit(form, limit):
    """No message is above the limit, no row is lost or moved, and files are not smaller than they have to be."""
    batch = table(20000)
    options = {"message.max.bytes": limit + 64}
    messages = list(penstock.preview(batch, format=form, kafka_options=options))
    assert max(len(message.value) for message in messages) <= limit
    assert len(messages) > 1
    assert pa.concat_tables(read(m.value, form) for m in messages).combine_chunks().equals(pa.table(batch))
    (whole,) = penstock.preview(batch, format=form, kafka_options={"message.max.bytes": 10**8})
    if limit >= 20000:
        assert len(messages) < 3 * len(whole.value) / limit + 2


@pytest.mark.parametrize("form", FORMATS)
def test_a_row_that_does_not_fit(form):
    """A row that alone is above the limit is refused by number, the rows before it are sent."""
    texts = ["small", "small", random.Random(1).randbytes(5000).hex(), "small"]
    batch = pa.record_batch({"v": texts})
    made: list[pa.Table] = []
    with pytest.raises(penstock.EncodeError, match="message of this row alone needs") as caught:
        messages = penstock.preview(batch, format=form, kafka_options={"message.max.bytes": 4064})
        made.extend(read(message.value, form) for message in messages)
    assert caught.value.row == 2
    assert "4000" in str(caught.value)
    assert pa.concat_tables(made)["v"].to_pylist() == texts[:2]


# ---- changes and settings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("settings", "column"),
    [({"weight_column": "c"}, [1, 2, -1, 1]), ({"op_column": "c"}, ["insert", "c", "-D", "u"])],
)
def test_deletes_are_refused(form, settings, column):
    """A delete is an error at its row, before anything of its batch is sent; without one such columns are fine."""
    batch = pa.record_batch({"n": range(4), "c": column})
    with pytest.raises(penstock.EncodeError, match=f"delete has no form in {form}") as caught:
        next(penstock.preview(batch, format=form, **settings))
    assert caught.value.row == 2
    kept = batch.take(pa.array([0, 1, 3]))
    (got,) = files(kept, form, **settings)
    assert got.column_names == ["n"]
    assert got["n"].to_pylist() == ([0, 1, 1, 3] if "weight_column" in settings else [0, 1, 3])


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["key", "header_columns", "timestamp_column", "topic_column", "tombstone_column"])
def test_fields_of_single_rows_are_refused(form, name):
    """What is read from one row has no place on a message of many; said before any process starts."""
    settings = {name: ["n"] if name in {"key", "header_columns"} else "n"}
    with pytest.raises(penstock.ConfigError, match=f"{name} and format {form} exclude each other"):
        penstock.open(topic="orders", bootstrap_servers="127.0.0.1:1", format=form, **settings)


@pytest.mark.parametrize("form", FORMATS)
def test_an_index_is_refused(form):
    """As the connector does."""
    config = {
        "transport": {"name": "kafka_output", "config": {"topic": "t"}},
        "format": {"name": form},
        "index": "by_n",
        "writer": {"relation": {"indexes": {"by_n": ["n"]}}},
    }
    with pytest.raises(penstock.ConfigError, match="index"):
        penstock.preview(table(1), config=config)


# ---- through workers ------------------------------------------------------------------------------------------------


def arrived(mock: Any, form: str) -> list[tuple[int, pa.Table]]:
    log = read_topic(mock.bootstrap_servers, "orders")
    assert all(message.key is None for message in log.messages)
    return [(message.partition, read(message.value, form)) for message in log.messages]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("workers", [0, 2])
def test_through_workers(mock, form, workers):
    """Every row arrives once and is counted once, with sizes split and rows repeated, from several processes."""
    rows = 30000
    batch = table(rows).append_column("w", pa.array([n % 3 for n in range(rows)], pa.int8()))
    with penstock.open(
        topic="orders",
        bootstrap_servers=mock.bootstrap_servers,
        workers=workers,
        format=form,
        weight_column="w",
        kafka_options={"message.max.bytes": 50000},
    ) as writer:
        for first in range(0, rows, 7000):
            writer.write(batch.slice(first, 7000))
        report = writer.flush()
    found = arrived(mock, form)
    assert sorted(n for _, one in found for n in one["n"].to_pylist()) == sorted(
        n for n in range(rows) for _ in range(n % 3)
    )
    assert report.rows == sum(n % 3 > 0 for n in range(rows))
    assert report.skipped_rows == rows - report.rows
    assert report.messages == len(found) > 5
    for partition in {p for p, _ in found}:
        together = [n for p, one in found if p == partition for n in one["n"].to_pylist()]
        if workers == 0:
            assert together == sorted(together)


@pytest.mark.parametrize("form", FORMATS)
def test_partitions(mock, form):
    """With partition_by the rows of a partition share files, all rows of a key are in one partition, in order."""
    batches = [
        pa.record_batch(
            {"k": pa.array([f"key {n % 17}" for n in range(first, first + 2000)]), "n": range(first, first + 2000)}
        )
        for first in range(0, 10000, 2000)
    ]
    with penstock.open(
        topic="orders", bootstrap_servers=mock.bootstrap_servers, workers=2, format=form, partition_by=["k"]
    ) as writer:
        for batch in batches:
            writer.write(batch)
        report = writer.flush()
    assert (report.rows, report.messages) == (10000, 4 * 5)
    homes: dict[str, int] = {}
    last: dict[str, int] = {}
    for partition, one in arrived(mock, form):
        for key, n in zip(one["k"].to_pylist(), one["n"].to_pylist(), strict=True):
            assert homes.setdefault(key, partition) == partition
            assert last.get(key, -1) < n
            last[key] = n
    assert len(homes) == 17


def test_an_error_in_a_worker_is_counted(mock):
    """Rows before the one that fails are sent and counted, the others have failed, and the row is named."""
    far = pa.array([0] * 500 + [10**14] + [0] * 499, pa.int64()).cast(pa.timestamp("s"))
    with pytest.raises(penstock.EncodeError, match="out of bounds") as caught:
        penstock.write(
            pa.record_batch({"t": far}),
            topic="orders",
            bootstrap_servers=mock.bootstrap_servers,
            workers=1,
            format="parquet",
        )
    assert caught.value.row == 500
    report = caught.value.report
    assert (report.rows, report.failed_rows) == (500, 500)
    assert sum(one.num_rows for _, one in arrived(mock, "parquet")) == 500


def test_dictionaries_from_piece_to_piece(mock):
    """A dictionary that changes from batch to batch gives each row its own value."""
    words = [["a", "b"], ["b", "c", "a"], ["x" * 30]]
    batches = [
        pa.record_batch(
            {"w": pa.DictionaryArray.from_arrays(pa.array([n % len(known) for n in range(300)]), pa.array(known))}
        )
        for known in words
    ]
    with penstock.open(topic="orders", bootstrap_servers=mock.bootstrap_servers, workers=1, format="arrow") as writer:
        for batch in batches:
            writer.write(batch)
    found = sorted(word for _, one in arrived(mock, "arrow") for word in one["w"].to_pylist())
    assert found == sorted(word for batch in batches for word in batch["w"].to_pylist())
