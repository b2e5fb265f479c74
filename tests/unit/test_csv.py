"""CSV against two oracles, the slow encoder of tests/csv_oracle.py and the standard library's reader; golden cases."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import csv_oracle
import penstock
import strategies
from csv_oracle import Csv, NoColumn
from golden_cases import by_batch, check_messages, connector, load, schema_of, weighted
from oracles import NoForm

CASES = load("csv.json")


def sent(batches: list[pa.RecordBatch], csv_: Csv, **more: Any) -> list[tuple[int, bytes]]:
    stream = pa.RecordBatchReader.from_batches(batches[0].schema, batches)
    made = list(penstock.preview(stream, **csv_.settings(), **more))
    assert all(m.key is None and m.headers == () and m.topic == "t" for m in made)
    return [(m.batch, m.value) for m in made]


def check(batches: list[pa.RecordBatch], csv_: Csv) -> list[tuple[int, bytes]]:
    """Assert that the core sends what the oracle sends, or refuses what it refuses; return the messages."""
    try:
        expected = csv_oracle.messages(batches, csv_)
    except NoColumn:
        with pytest.raises(penstock.SchemaError):
            sent(batches, csv_)
        return []
    except NoForm:
        with pytest.raises(penstock.EncodeError):
            sent(batches, csv_)
        return []
    made = sent(batches, csv_)
    assert made == expected
    return made


def text(batch: pa.RecordBatch, csv_: Csv = Csv(), **more: Any) -> str:  # noqa: B008 - frozen
    """Return all messages of one batch, one after another."""
    return b"".join(value for _, value in sent([batch], csv_, **more)).decode()


def one(array: pa.Array, csv_: Csv = Csv(), *, nullable: bool = True) -> str:  # noqa: B008 - frozen
    """Return the lines of one column."""
    schema = pa.schema([pa.field("v", array.type, nullable=nullable)])
    return text(pa.RecordBatch.from_arrays([array], schema=schema), csv_)


# ---- golden cases ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "batches" in case])
def test_golden_messages(name):
    """Message by message the bytes are the connector's."""
    case = CASES[name]
    check_messages(case, by_batch(weighted(case), connector(case)))


def test_golden_row():
    """A row without the weight column."""
    case = CASES["record_with_value"]
    batch = pa.RecordBatch.from_pylist([case["row"]], schema=schema_of(case))
    assert text(batch, Csv(weight=False)) == case["expected"]["csv"]
    assert text(batch) == case["expected"]["csv"].replace("\n", ",1\n")


def test_golden_variant():
    """VARIANT is one field of JSON text, its keys sorted."""
    case = CASES["variant_csv_egress"]
    field = pa.field("v", pa.string(), metadata={"sql_type": "VARIANT"})
    for one_case in case["cases"]:
        column = pa.array([csv_oracle.variant(one_case["variant"])])
        (made,) = sent([pa.RecordBatch.from_arrays([column], schema=pa.schema([field]))], Csv())
        assert one_case["expected_contains"] in made[1].decode()
        ((read, weight),) = csv.reader(io.StringIO(made[1].decode(), newline=""))
        assert json.loads(read) == one_case["variant"]
        assert weight == "1"
        assert read == json.dumps(one_case["variant"], separators=(",", ":"), sort_keys=True)


def test_every_case_is_run():
    """No case of the golden file is left out."""
    assert set(CASES) == {
        "record_with_value",
        "weight_column",
        "json_test_data_batch_1_as_csv",
        "json_test_data_batch_2_as_csv",
        "variant_csv_egress",
    }


# ---- any schema -----------------------------------------------------------------------------------------------------

MARKS = st.sampled_from(list(",;|\t\x01 '#-1e:.Na~\x00"))
NULLS = st.sampled_from(["", "", "NULL", "\\N", "null", "NaN", "1", "-", "a longer text for nothing at all", "é"])


@st.composite
def settings(draw: st.DrawFn, *, usual: bool = False) -> Csv:
    """Return any settings; `usual`: with a delimiter and null text that other readers can be told of."""
    delimiter = draw(st.sampled_from(",;|\t") if usual else st.one_of(st.just(","), MARKS))
    null = draw(NULLS.filter(lambda null: delimiter not in null))
    return Csv(
        delimiter=delimiter,
        records=draw(st.integers(0, 5)),
        header=draw(st.booleans()),
        weight=draw(st.booleans()),
        quote=draw(st.sampled_from(["necessary", "always", "strings"])),
        null="" if usual else null,
        nested_json=draw(st.booleans()),
    )


@st.composite
def flat_fields(draw: st.DrawFn, depth: int = 2) -> pa.Field:
    """Return a field that has a fixed number of fields in a line."""
    leaves = strategies.LEAVES.filter(lambda kind: not csv_oracle.is_nested(pa.field("", kind)))
    shapes = ["leaf", "leaf", "bytes", "dictionary", "runs", "list", "struct"]
    shape = draw(st.sampled_from(shapes if depth else shapes[:5]))
    name = draw(strategies.NAMES)
    if shape == "leaf":
        return draw(strategies.fields(draw(leaves), st.just(name)))
    if shape == "bytes":
        size = draw(st.integers(1, 5))
        return pa.field(name, pa.binary(size), nullable=size == 1 and draw(st.booleans()))
    if shape == "list":
        size = draw(st.integers(0, 3))
        return pa.field(name, pa.list_(draw(flat_fields(depth - 1)), size), nullable=False)
    if shape == "struct":
        members = draw(st.lists(flat_fields(depth - 1), max_size=3, unique_by=lambda member: member.name))
        return pa.field(name, pa.struct(members), nullable=False)
    values = leaves.filter(lambda kind: not isinstance(kind, pa.BaseExtensionType) and not pa.types.is_null(kind))
    inner = draw(st.one_of(values, st.sampled_from([pa.binary(1), pa.binary(3)])))
    make = pa.dictionary if shape == "dictionary" else pa.run_end_encoded
    kind = make(draw(strategies.INDICES if shape == "dictionary" else strategies.RUN_ENDS), inner)
    nullable = inner != pa.binary(3)
    field = draw(strategies.fields(kind, st.just(name), marked=nullable))
    return field if nullable else field.with_nullable(False)


@st.composite
def flat_batches(draw: st.DrawFn) -> list[pa.RecordBatch]:
    members = draw(st.lists(flat_fields(), min_size=1, max_size=4, unique_by=lambda field: field.name))
    return draw(st.lists(strategies.batch_of(pa.schema(members)), min_size=1, max_size=3))


@given(batches=flat_batches(), csv_=settings())
def test_any_flat_schema(batches, csv_):
    """Whatever the types, nulls, offsets and settings, every byte of every message is the oracle's."""
    check(batches, csv_)


@given(batches=strategies.batches(), csv_=settings())
def test_any_nested_schema(batches, csv_):
    """Nested columns are one field of JSON text, or they are refused, or their number of fields is fixed."""
    check(batches, csv_)


@given(data=st.data(), batches=flat_batches(), csv_=settings(), form=st.sampled_from(["op", "weight"]))
def test_changes(data, batches, csv_, form):
    """One line a row carries its weight, deletes of a batch first where weights are given; it is no column itself."""
    csv_ = dataclasses.replace(csv_, weight=True)
    place = data.draw(st.integers(0, batches[0].num_columns))
    changed = []
    for batch in batches:
        if form == "op":
            column = pa.array([data.draw(st.sampled_from(["insert", "delete", "D"])) for _ in range(batch.num_rows)])
            column = column.cast(pa.string())
        else:
            weights = st.integers(-3, 3) | st.integers(-(2**63) + 1, 2**63 - 1)
            column = pa.array([data.draw(weights) for _ in range(batch.num_rows)], pa.int64())
        changed.append(batch.add_column(place, "the change", column))
    check(changed, dataclasses.replace(csv_, **{f"{form}_column": "the change"}))


def read(value: bytes, csv_: Csv) -> list[list[str]]:
    quoting = {"necessary": csv.QUOTE_MINIMAL, "always": csv.QUOTE_ALL, "strings": csv.QUOTE_MINIMAL}[csv_.quote]
    text_ = io.StringIO(value.decode(), newline="")
    return list(csv.reader(text_, delimiter=csv_.delimiter, quoting=quoting, strict=True))


@given(batches=flat_batches(), csv_=settings(usual=True))
def test_reads_back(batches, csv_):
    """The standard library's reader finds the fields again, as many in each line, whatever stands in them."""
    messages = check(batches, csv_)
    sizes = set()
    rows: dict[int, list[list[str]]] = {number: [] for number in range(len(batches))}
    for number, value in messages:
        assert value.endswith(b"\n")
        found = read(value, csv_)
        sizes |= {len(row) for row in found}
        rows[number] += found[1:] if csv_.header else found
        assert len(found) <= max(csv_.records, 1) + csv_.header
    assert len(sizes) <= 1
    for number, batch in enumerate(batches if messages else []):
        assert len(rows[number]) == batch.num_rows
        for at, field in enumerate(batch.schema):
            if pa.types.is_string(field.type) and field.metadata is None and at == 0:
                assert [row[0] for row in rows[number]] == [value or "" for value in batch.column(0).to_pylist()]


# ---- single values --------------------------------------------------------------------------------------------------


STRINGS = [pa.string(), pa.large_string(), pa.string_view()]


def test_texts():
    """Numbers, times and the like are as in JSON without quotation marks; NaN and the infinities have names."""
    assert one(pa.array([1.0, 1e16, 1e-7, -0.0, float("nan"), float("inf"), float("-inf")])) == (
        "1.0,1\n1e16,1\n1e-7,1\n-0.0,1\nNaN,1\ninf,1\n-inf,1\n"
    )
    assert one(pa.array([1.5, float("nan"), float("-inf")], pa.float32())) == "1.5,1\nNaN,1\n-inf,1\n"
    assert one(pa.array([1.5, float("nan"), float("inf")], pa.float16())) == "1.5,1\nNaN,1\ninf,1\n"
    moments = pa.array([1529501823000000], pa.timestamp("us"))
    assert one(moments) == "2018-06-20 13:37:03,1\n"
    assert one(moments.cast(pa.timestamp("us", "UTC"))) == "2018-06-20 13:37:03+00:00,1\n"


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("", ""),
        (" a ", " a "),
        ("'#\t", "'#\t"),
        ("NULL", "NULL"),
        ("a,b", '"a,b"'),
        ('"', '""""'),
        ("\r", '"\r"'),
        ("\n", '"\n"'),
        ("São Paulo, Zürich", '"São Paulo, Zürich"'),
        ('16 bytes, "quot"', '"16 bytes, ""quot"""'),
    ],
)
@pytest.mark.parametrize("kind", [*STRINGS, pa.dictionary(pa.int8(), pa.string())])
def test_quoting(value, field, kind):
    """A field is quoted only where its text holds the delimiter, a quotation mark, CR or LF."""
    assert one(pa.array([value]).cast(kind)) == f"{field},1\n"


@given(size=st.integers(0, 70), at=st.integers(0, 69), mark=st.sampled_from(',"\r\nxé'), quote=st.booleans())
@example(size=16, at=15, mark='"', quote=True)
@example(size=17, at=16, mark=",", quote=False)
def test_every_place(size, at, mark, quote):
    """A mark is seen at every place of a text of every length."""
    value = "".join(mark if place == at else chr(97 + place % 26) for place in range(size))
    check([pa.record_batch({"a": [value, value], "b": ["", value]})], Csv(quote="strings" if quote else "necessary"))


def test_long_texts():
    """A text longer than a slab, all of it quotation marks, is doubled; one without any is copied."""
    for value in ('"' * 300_000, "x" * 900_000, "x" * 499_000 + '"' * 200_000, "é" * 400_000 + ","):
        check([pa.record_batch({"a": ["1", value, "2"]})], Csv())
        check([pa.record_batch({"a": pa.array(["1", value, value]).dictionary_encode()})], Csv())


def test_not_utf8():
    """Bytes that are not UTF-8 are refused by name, short or long, quoted or not, in a dictionary too."""
    for raw in (b"\xff", b"abcdefghijklmnop\xc3", b"\xed\xa0\x80,", b"x" * 40 + b"\xc0\x80", b'"\xfe' * 20):
        column = pa.array([raw], pa.binary()).view(pa.string())
        for array in (column, pa.DictionaryArray.from_arrays(pa.array([0]), column)):
            for quote in ("necessary", "always"):
                with pytest.raises(penstock.EncodeError, match="not valid UTF-8") as caught:
                    one(array, Csv(quote=quote))
                assert caught.value.column == "v"
                assert caught.value.row == 0


def test_neighbours_that_are_no_utf8():
    """A short text is judged by its own bytes, not by those behind it."""
    assert one(pa.array(["a", "é", "b", "ü" * 7 + "x", "c"])) == "a,1\né,1\nb,1\n" + "ü" * 7 + "x,1\nc,1\n"


def test_variant_that_is_no_json():
    """VARIANT text that is not JSON is refused, as in JSON."""
    field = pa.field("v", pa.string(), metadata={"sql_type": "VARIANT"})
    batch = pa.RecordBatch.from_arrays([pa.array(["{"])], schema=pa.schema([field]))
    with pytest.raises(penstock.EncodeError):
        text(batch)


def test_time_outside_a_day():
    """A time of day beyond the day is refused, as in JSON."""
    with pytest.raises(penstock.EncodeError, match="outside a day"):
        one(pa.array([86400], pa.int32()).view(pa.time32("s")))


# ---- options --------------------------------------------------------------------------------------------------------

ROWS = pa.record_batch(
    {
        "i": pa.array([1, None], pa.int32()),
        "s": pa.array(["a", ""]),
        "t": pa.array([None, "x,y"]),
        "d": pa.array([0, 1], pa.date32()),
    }
)


def test_defaults():
    """As the connector: no header, the weight last, an empty string and a null alike."""
    assert text(ROWS) == '1,a,,1970-01-01,1\n,,"x,y",1970-01-02,1\n'


def test_header():
    """Every message begins with the names; the weight is called `weight`."""
    made = sent([ROWS], Csv(header=True, records=1))
    assert made == [(0, b"i,s,t,d,weight\n1,a,,1970-01-01,1\n"), (0, b'i,s,t,d,weight\n,,"x,y",1970-01-02,1\n')]
    assert text(ROWS, Csv(header=True, weight=False)).startswith("i,s,t,d\n1,a,,1970-01-01\n")
    odd = pa.record_batch({"a,b": ["1"], 'c"d': ["2"], "": ["3"]})
    assert text(odd, Csv(header=True)) == '"a,b","c""d",,weight\n1,2,3,1\n'
    assert text(odd, Csv(header=True, quote="strings")) == '"a,b","c""d","","weight"\n"1","2","3",1\n'


def test_header_of_flattened_columns():
    """A flattened column has a name for each of its fields."""
    point = pa.struct([pa.field("x", pa.int32()), pa.field("b", pa.binary(2), nullable=False)])
    schema = pa.schema([pa.field("p", point, nullable=False), pa.field("l", pa.list_(pa.int8(), 2), nullable=False)])
    batch = pa.RecordBatch.from_pylist([{"p": {"x": 1, "b": b"hi"}, "l": [3, None]}], schema=schema)
    assert text(batch, Csv(header=True)) == "p.x,p.b[0],p.b[1],l[0],l[1],weight\n1,104,105,3,,1\n"


def test_names_that_are_alike():
    """Two fields of one name are refused in a header line, and only there."""
    batch = pa.record_batch({"weight": [1]})
    assert text(batch) == "1,1\n"
    with pytest.raises(penstock.SchemaError, match="csv_header") as caught:
        text(batch, Csv(header=True))
    assert caught.value.column == "weight"


def test_quote_always():
    """Everything is quoted but nulls, so that a reader can tell them from empty strings."""
    assert text(ROWS, Csv(quote="always")) == '"1","a",,"1970-01-01","1"\n,"","x,y","1970-01-02","1"\n'


def test_quote_strings():
    """Strings are quoted, numbers and dates are not."""
    assert text(ROWS, Csv(quote="strings")) == '1,"a",,1970-01-01,1\n,"","x,y",1970-01-02,1\n'


def test_null_text():
    """A null is its text, never quoted; a value of the same text is quoted."""
    batch = pa.record_batch({"s": ["NULL", None, "", "NULLS"], "i": pa.array([1, 2, None, 4])})
    assert text(batch, Csv(null="NULL")) == '"NULL",1,1\nNULL,2,1\n,NULL,1\nNULLS,4,1\n'
    assert text(batch, Csv(null="1")).startswith('NULL,"1","1"\n1,2,"1"\n')


def test_no_empty_lines():
    """A line that would hold nothing is a quoted empty field, since readers skip empty lines."""
    assert one(pa.array(["", None, "a"]), Csv(weight=False)) == '""\n""\na\n'
    assert one(pa.array(["", None]), Csv(weight=False, null="-")) == '""\n-\n'
    assert read(one(pa.array(["", None]), Csv(weight=False)).encode(), Csv()) == [[""], [""]]


def test_no_weight_repeats():
    """Without the weight column a line stands once for each copy; nothing can be deleted."""
    batch = pa.record_batch({"i": [1, 2]})
    assert text(batch, Csv(weight=False)) == "1\n2\n"
    for column in ("op_column", "weight_column"):
        values = pa.array(["insert", "insert"]) if column == "op_column" else pa.array([1, 1])
        with pytest.raises(penstock.ConfigError, match=f"csv_weight.*{column}"):
            text(batch.append_column("c", values), Csv(weight=False, **{column: "c"}))


def test_large_weights():
    """A weight is one number, however large: no line is repeated and there is no limit."""
    for weight in (1 - 2**63, 2**63 - 1, -1_000_001, 10**15):
        batch = pa.record_batch({"a": ["x"], "w": pa.array([weight], pa.int64())})
        assert text(batch, Csv(weight_column="w")) == f"x,{weight}\n"


def test_delimiter_within_numbers():
    """A delimiter that may stand in a number or a date makes those fields quoted too."""
    batch = pa.record_batch({"i": [-1, 2], "d": pa.array([0, 1], pa.date32())})
    assert text(batch, Csv(delimiter="-")) == '"-1"-"1970-01-01"-1\n2-"1970-01-02"-1\n'
    assert text(batch.slice(1), Csv(delimiter="1")) == '21"1970-01-02"1"1"\n'


@pytest.mark.parametrize("delimiter", ["", '"', "\r", "\n", ",,", "é", "€"])
def test_wrong_delimiters(delimiter):
    """A delimiter that no reader could tell from the rest, or that is not one byte, is refused before the first row."""
    with pytest.raises(penstock.ConfigError, match="delimiter"):
        text(ROWS, Csv(delimiter=delimiter))


@pytest.mark.parametrize("null", [",", 'a"', "a\nb", "\r"])
def test_wrong_null_texts(null):
    """A null text that would have to be quoted is refused."""
    with pytest.raises(penstock.ConfigError, match="csv_null"):
        text(ROWS, Csv(null=null))


# ---- nested columns -------------------------------------------------------------------------------------------------

NESTED = {
    "list": pa.array([[1, 2], [], None], pa.list_(pa.int64())),
    "views": pa.array([["a,b"], None, [None]], pa.list_view(pa.string())),
    "binary": pa.array([b"hi", b"", None]),
    "map": pa.array([[("b", 1), ("a", None)], [], None], pa.map_(pa.string(), pa.int64())),
    "struct": pa.array([{"a": 1, "b": 'x"'}, None, {"a": None, "b": "null"}]),
    "fixed": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int8(), 2)),
}
EXPECTED = {
    "list": ['"[1,2]"', "[]", ""],
    "views": ['"[""a,b""]"', "", "[null]"],
    "binary": ['"[104,105]"', "[]", ""],
    "map": ['"{""a"":null,""b"":1}"', "{}", ""],
    "struct": ['"{""a"":1,""b"":""x\\""""}"', "", '"{""a"":null,""b"":""null""}"'],
    "fixed": ['"[1,2]"', "", '"[3,4]"'],
}


@pytest.mark.parametrize("name", NESTED)
def test_nested_json(name):
    """With the option a nested or binary column is one field of JSON text, and a null is a null."""
    assert one(NESTED[name], Csv(nested_json=True)) == "".join(f"{field},1\n" for field in EXPECTED[name])


@pytest.mark.parametrize("name", NESTED)
def test_nested_is_refused(name):
    """Without it a column whose number of fields could change is refused before the first row, the way out named."""
    with pytest.raises(penstock.SchemaError, match="csv_nested_json") as caught:
        one(NESTED[name])
    assert caught.value.column == "v"


def test_flattened():
    """Where the number of fields is fixed, a nested column is flattened as the connector does."""
    assert one(pa.array([b"hi", b"\x00\xff"], pa.binary(2)), nullable=False) == "104,105,1\n0,255,1\n"
    assert one(pa.array([b"h", None], pa.binary(1))) == "104,1\n,1\n"
    items = pa.array([[1, 2], [3, None]], pa.list_(pa.int8(), 2))
    assert one(items, nullable=False) == "1,2,1\n3,,1\n"
    assert one(pa.array([{"a": 1}, None, {"a": None}])) == "1,1\n,1\n,1\n"
    assert one(pa.array([{}, {}], pa.struct([])), nullable=False) == "1\n1\n"
    with pytest.raises(penstock.SchemaError, match="no column"):
        one(pa.array([{}, {}], pa.struct([])), Csv(weight=False), nullable=False)


def test_null_that_was_ruled_out():
    """A null in a flattened column declared NOT NULL is refused at its row: it has no fixed number of fields."""
    with pytest.raises(penstock.EncodeError, match="NOT NULL") as caught:
        one(pa.array([b"hi", None], pa.binary(2)), nullable=False)
    assert caught.value.row == 1


def test_types_without_a_form():
    """A duration has no form, and the sentence says so."""
    with pytest.raises(penstock.SchemaError, match="no form in CSV"):
        one(pa.array([1], pa.duration("s")))


# ---- dictionaries ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.int64()])
def test_dictionaries(index):
    """A dictionary's value is written as it would be on its own: short, long, quoted, empty and null."""
    words = ["", "a", "x" * 29, "y" * 30, "z" * 31, "w" * 400, 'quoted "', "é,é" * 20, None]
    places = pa.array([*range(len(words)), None, *reversed(range(len(words)))], index)
    array = pa.DictionaryArray.from_arrays(places, pa.array(words))
    for csv_ in (Csv(), Csv(quote="always"), Csv(null="NULL"), Csv(weight=False)):
        check([pa.record_batch({"a": array, "b": array.slice(1).take(pa.array([*range(18), 0]))})], csv_)


def test_dictionary_index_outside():
    """An index outside of its dictionary is refused at its row."""
    array = pa.DictionaryArray.from_arrays(pa.array([0, 5, -1], pa.int32()), ["a"], safe=False)
    with pytest.raises(penstock.EncodeError, match="outside the dictionary"):
        one(array)


def test_large_dictionaries():
    """Values beyond what is kept encoded are written all the same."""
    words = [f"w{at}" for at in range(300_000)]
    batch = pa.record_batch({"a": pa.array(words).dictionary_encode()})
    assert text(batch) == "".join(f"{word},1\n" for word in words)


# ---- packing --------------------------------------------------------------------------------------------------------


@given(data=st.data(), batches=flat_batches(), csv_=settings())
def test_size_packing(data, batches, csv_):
    """Each message takes as many lines as fit, at most `limit` bytes with its header, and a longer line is refused."""
    try:
        sizes = [len(line.encode()) + 1 for batch in batches for line in csv_oracle.lines(batch, csv_)]
        head = len(csv_oracle.header(batches[0].schema, csv_)) if csv_.header else 0
    except (NoColumn, NoForm):
        return
    near = st.integers(-2, 3).map(lambda step: max(1, head + max(sizes, default=1) + step))
    limit = data.draw(near | st.integers(1, head + sum(sizes) + 2), label="limit")
    for _, value in check(batches, dataclasses.replace(csv_, limit=limit)):
        assert len(value) <= limit


def test_exactly_the_limit():
    """A message of exactly the maximum payload is sent; one more byte begins the next."""
    batch = pa.record_batch({"a": ["abc", "def", "ghi"]})
    size = len("abc,1\n")
    assert sent([batch], Csv(limit=2 * size)) == [(0, b"abc,1\ndef,1\n"), (0, b"ghi,1\n")]
    assert sent([batch], Csv(limit=3 * size)) == [(0, b"abc,1\ndef,1\nghi,1\n")]
    assert len(sent([batch], Csv(limit=2 * size - 1))) == 3
    head = len("a,weight\n")
    with_header = sent([batch], Csv(header=True, limit=head + 2 * size))
    assert [len(value) for _, value in with_header] == [head + 2 * size, head + size]
    with pytest.raises(penstock.EncodeError):
        sent([batch], Csv(limit=size - 1))


def test_index_changes_nothing():
    """The connector's `index` is accepted with CSV and has no effect on its bytes."""
    config = {"transport": {"config": {"topic": "t"}}, "format": {"name": "csv"}, "index": "by_i"}
    config["writer"] = {"relation": {"name": "r", "indexes": {"by_i": ["i"]}}}
    with_index = [m.value for m in penstock.preview(ROWS, config=config)]
    assert b"".join(with_index).decode() == text(ROWS)
