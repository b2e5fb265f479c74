"""The core's Protobuf, read back by google.protobuf with classes that protoc made of our own .proto text."""

from __future__ import annotations

from unittest import mock

import pyarrow as pa
import pytest
from google.protobuf import descriptor_pb2
from hypothesis import assume, given
from hypothesis import strategies as st

import penstock
import protobuf_oracle
import strategies
from oracles import NoForm
from penstock.formats.protobuf_schema import generate, title
from protobuf_oracle import agree, compiled, message_class
from readback import read_topic

# ---- any schema, any slicing ----------------------------------------------------------------------------------------

WORDS = "a b A B a_b aB _ _x x9 X_ items entries key value google message string map_ tags TagsEntry A2 Pos pos _pos"
NAMES = st.one_of(st.sampled_from(WORDS.split()), st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True))
KEYS = st.one_of(
    strategies.STRINGS,
    strategies.INTEGERS,
    strategies.decimals(),
    st.sampled_from([pa.bool_(), pa.uuid(), pa.date32(), pa.time32("s"), pa.time64("ns")]),
)
LEAVES = st.one_of(
    st.sampled_from([pa.bool_(), pa.float16(), pa.float32(), pa.float64()]),
    strategies.INTEGERS,
    strategies.decimals(),
    strategies.STRINGS,
    strategies.BINARY,
    strategies.TIMES,
    strategies.EXTENSIONS,
)
AS_TOLD = ("Protobuf's JSON form", "entries Protobuf calls")


@st.composite
def batches(draw):
    """Return batches whose names and types have a form, though their values may have none."""
    with mock.patch.multiple(strategies, NAMES=NAMES, KEYS=KEYS):
        return draw(strategies.batches(strategies.types(leaves=LEAVES)))


def stream(batches):
    return pa.RecordBatchReader.from_batches(batches[0].schema, batches)


def sent(source, **config):
    messages = list(penstock.preview(source, topic="t", format={"name": "protobuf", "config": config}))
    assert all(m.key is None for m in messages)
    return messages


def made(schema):
    """Return the message made from a schema, with its class by protoc."""
    ours = generate(schema, range(len(schema)), "", "T")
    theirs = compiled(ours.file.text(), ours.file.name)
    return ours, message_class(theirs, "T")


@given(batches=batches())
def test_any_schema(batches):
    """Whatever the types, nulls, offsets and nesting: Google's reader finds the values, and writes the same bytes."""
    try:
        ours, cls = made(batches[0].schema)
    except penstock.SchemaError as error:
        assume(not any(words in str(error) for words in AS_TOLD))
        raise
    try:
        expected = [row for batch in batches for row in protobuf_oracle.rows(batch)]
    except NoForm:
        with pytest.raises(penstock.EncodeError):
            sent(stream(batches))
        return
    messages = sent(stream(batches))
    assert len(messages) == len(expected)
    for message, row in zip(messages, expected, strict=True):
        read = cls.FromString(message.value)
        agree(read, row)
        if "map<" not in ours.file.text():  # their order is anybody's
            assert read.SerializeToString() == message.value
        assert message.headers == (("op", b"insert"),)


@given(batches=batches())
def test_text_and_descriptor_say_the_same(batches):
    """protoc makes of our .proto text the descriptor that we put together by hand."""
    try:
        ours = generate(batches[0].schema, range(len(batches[0].schema)), "p.q", "T")
    except penstock.SchemaError:
        assume(False)
    theirs = compiled(ours.file.text(), ours.file.name, imports=False)
    parse = descriptor_pb2.FileDescriptorSet.FromString
    assert parse(ours.file.descriptor_set()) == parse(theirs)


# ---- the schema that is made ----------------------------------------------------------------------------------------

EVERY = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("small", pa.uint8()),
        pa.field("total", pa.decimal128(12, 2)),
        pa.field("day", pa.date32()),
        pa.field("opens", pa.time64("us")),
        pa.field("at", pa.timestamp("us", "UTC")),
        pa.field("who", pa.uuid()),
        pa.field("extra", pa.string(), metadata={"sql_type": "VARIANT"}),
        pa.field("tags", pa.list_(pa.dictionary(pa.int8(), pa.string()))),
        pa.field("grid", pa.list_(pa.list_(pa.float32()))),
        pa.field("by_name", pa.map_(pa.string(), pa.list_(pa.int32()))),
        pa.field("address", pa.struct([pa.field("city", pa.string()), pa.field("Address", pa.binary())])),
    ]
)
TEXT = """\
syntax = "proto3";

package shop.v1;

import "google/protobuf/timestamp.proto";

message Orders {
  message Grid {
    repeated float items = 1;
  }

  message ByName {
    repeated int32 items = 1;
  }

  message Address {
    optional string city = 1;
    optional bytes Address = 2;
  }

  int64 id = 1;
  optional uint32 small = 2;
  optional string total = 3;  // decimal(12, 2)
  optional int32 day = 4;  // days since 1970-01-01
  optional int64 opens = 5;  // microseconds since midnight
  google.protobuf.Timestamp at = 6;
  optional string who = 7;  // UUID
  optional string extra = 8;  // JSON
  repeated string tags = 9;
  repeated Grid grid = 10;
  map<string, ByName> by_name = 11;
  Address address = 12;
}
"""


def test_the_text_by_hand():
    made = generate(EVERY, range(len(EVERY)), "shop.v1", "Orders")
    assert made.file.text() == TEXT
    assert made.file.name == "Orders.proto"


def test_columns_that_are_left_out_have_no_field():
    """Fields are numbered in the order of the columns that are written."""
    batch = pa.record_batch({"op": ["insert", "delete", "update"], "a": [1, 2, 3], "b": ["x", "y", "z"]})
    sent_ = list(penstock.preview(batch, topic="t", format="protobuf", op_column="op"))
    assert [m.value for m in sent_] == [b"\x08\x01\x12\x01x", b"\x08\x02\x12\x01y", b"\x08\x03\x12\x01z"]
    assert [m.headers for m in sent_][:2] == [(("op", b"insert"),), (("op", b"delete"),)]


@pytest.mark.parametrize(
    ("text", "name"),
    [("orders", "Orders"), ("daily-orders.v2", "DailyOrdersV2"), ("a_b", "AB"), ("9x", "M9x"), ("..", "M")],
)
def test_messages_are_called_after_topics(text, name):
    assert title(text) == name


def test_numbers_that_protobuf_keeps_are_skipped():
    """Numbers 19000 to 19999 are Protobuf's own, so the 19000th column has number 20000."""
    schema = pa.schema([pa.field(f"c{n}", pa.bool_()) for n in range(19001)])
    fields = generate(schema, range(19001), "", "T").fields
    assert [f.number for f in fields[18998:]] == [18999, 20000, 20001]


def deep(levels):
    kind = pa.int8()
    for _ in range(levels):
        kind = pa.list_(kind)
    return kind


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ([("a b", pa.int8())], '"a b" is no name for a Protobuf field'),
        ([("9", pa.int8())], '"9" is no name'),
        ([("a", pa.struct([("é", pa.int8())]))], 'column "a.é": "é" is no name'),
        ([("a_b", pa.int8()), ("aB", pa.int8())], '"a_b" and "aB" would both be "aB"'),
        ([("a", pa.int8()), ("a", pa.int8())], 'two columns are called "a"'),
        ([("a", pa.map_(pa.string(), pa.int8())), ("AEntry", pa.int8())], "whose entries Protobuf calls AEntry"),
        ([("a", pa.null())], 'column "a" holds nothing but nulls (null), which has no form in Protobuf'),
        ([("a", pa.list_(pa.duration("s")))], 'column "a[]" is a duration (duration[s])'),
        ([("a", pa.map_(pa.float64(), pa.int8()))], "is a map whose keys are no strings"),
        ([("a", pa.map_(pa.timestamp("s"), pa.int8()))], "is a map whose keys are no strings"),
        ([("a", pa.decimal128(5, 1001))], "is a decimal of scale 1001, beyond 1000"),
        ([("a", deep(66))], "is nested more than 64 levels deep"),
    ],
)
def test_what_is_refused(fields, sentence):
    """A column without a form, or whose name Protobuf cannot have, is refused before the first row."""
    schema = pa.schema(fields)
    with pytest.raises(penstock.SchemaError) as caught:
        sent(pa.Table.from_batches([], schema))
    assert sentence in str(caught.value)
    assert caught.value.column


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        (pa.array([[1, None]]), 'column "v[]": the value is null, and a repeated field or a map holds no nulls'),
        (pa.array([[("k", None)]], pa.map_(pa.string(), pa.int8())), 'column "v{}": the value is null'),
        (pa.array([2**62], pa.timestamp("s")), "outside the years 1 to 9999"),
        (pa.array([b"\xff"]).view(pa.string()), "not valid UTF-8"),
        (pa.array([b"\xff" * 40]).view(pa.string()), "not valid UTF-8"),
        (pa.array([2**40 * 86_400_000 >> 8]).view(pa.date64()), "outside the range of the field, -2147483648 to"),
    ],
)
def test_values_without_a_form(column, sentence):
    with pytest.raises(penstock.EncodeError) as caught:
        sent(pa.table({"v": column}))
    assert sentence in str(caught.value)


# ---- a descriptor set that is given ---------------------------------------------------------------------------------

GIVEN = """
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
message Other { message First {} message Inner { int32 x = 1; } }
enum State { NEW = 0; PAID = 3; LOST = -1; }
message Order {
  sint64 zig = 20;
  int32 narrow = 1;
  uint64 wide = 2;
  fixed32 f32 = 3;
  sfixed64 sf64 = 4;
  repeated sint32 zigs = 5;
  repeated fixed64 fixed = 6;
  repeated int32 unpacked = 7 [packed = false];
  State state = 8;
  repeated State states = 9;
  string day = 10;
  string opens = 11;
  string at = 12;
  google.protobuf.Timestamp stamp = 13;
  google.protobuf.StringValue wrapped = 14;
  repeated google.protobuf.Int64Value counts = 15;
  map<int32, State> by_number = 16;
  bytes who = 17;
  oneof choice { string left = 18; Other.Inner right = 19; }
  double half = 21;
  int64 ticks = 22;
  optional bytes text = 23;
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("given")


def given_set(folder, text, **options):
    path = folder / f"{abs(hash(text))}.desc"
    path.write_bytes(compiled(text, **options))
    return str(path)


def read_given(folder, batch, text=GIVEN, name="shop.Order"):
    path = given_set(folder, text)
    cls = message_class(compiled(text), name)
    values = [m.value for m in sent(batch, descriptor_set=path, message=name)]
    messages = [cls.FromString(value) for value in values]
    assert [m.SerializeToString(deterministic=True) for m in messages] == values
    return messages


def test_every_type_of_a_given_message(folder):
    """Each field has the wire type that the descriptor says, and the bytes are those that Google's package writes."""
    who = "a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf"
    columns = {
        "narrow": [-5, 0, None],
        "zig": [-1, 2**62, None],
        "wide": [7, 2**63 - 1, None],
        "f32": [1, 2**32 - 1, None],
        "sf64": pa.array([-1, 5, None], pa.int8()),
        "zigs": [[-1, 1, -(2**31)], [], None],
        "fixed": pa.array([[1, 2**64 - 1], [0], None], pa.list_(pa.uint64())),
        "unpacked": [[1, -1], [0], None],
        "state": pa.array(["PAID", "NEW", None]).dictionary_encode(),
        "states": [["LOST", "NEW"], [], None],
        "day": pa.array([0, -1, None], pa.date32()),
        "opens": pa.array([1_500_000, 0, None], pa.time64("us")),
        "at": pa.array([1_500, 0, None], pa.timestamp("ms", "UTC")),
        "stamp": pa.array([-1, 0, None], pa.timestamp("ns")),
        "wrapped": pa.array(["w", "", None]),
        "counts": [[0, 5], [], None],
        "by_number": pa.array([[(-1, "NEW"), (1, "PAID")], [], None], pa.map_(pa.int64(), pa.string())),
        "who": pa.array([who, who.upper(), None]),
        "left": [None, "l", None],
        "right": [{"x": 4}, None, None],
        "half": pa.array([1.5, 0.0, None], pa.float16()),
        "ticks": pa.array([5, 0, None], pa.timestamp("s")),
        "text": ["t", "", None],
    }
    table = pa.table(columns)
    mark = pa.field("who", pa.string(), metadata={"sql_type": "UUID"})
    table = table.set_column(table.schema.get_field_index("who"), mark, table["who"])
    first, second, third = read_given(folder, table)
    assert (first.narrow, first.zig, first.wide, first.f32, first.sf64) == (-5, -1, 7, 1, -1)
    assert (second.narrow, second.zig, second.wide, second.f32, second.sf64) == (0, 2**62, 2**63 - 1, 2**32 - 1, 5)
    assert list(first.zigs) == [-1, 1, -(2**31)]
    assert list(first.fixed) == [1, 2**64 - 1]
    assert list(first.unpacked) == [1, -1]
    assert (first.state, list(first.states)) == (3, [-1, 0])
    assert (first.day, first.opens, first.at) == ("1970-01-01", "00:00:01.500", "1970-01-01 00:00:01.500+00:00")
    assert (first.stamp.seconds, first.stamp.nanos) == (-1, 999_999_999)
    assert (first.wrapped.value, second.HasField("wrapped"), third.HasField("wrapped")) == ("w", True, False)
    assert [count.value for count in first.counts] == [0, 5]
    assert dict(first.by_number) == {1: 3, -1: 0}
    assert first.who == second.who == bytes(range(0xA0, 0xB0))
    assert (first.WhichOneof("choice"), second.WhichOneof("choice")) == ("right", "left")
    assert (first.half, first.ticks, first.text, second.HasField("text")) == (1.5, 5, b"t", True)
    assert third == type(third)()


def test_enums_by_number(folder):
    """An open enum takes any number of 32 bits; a closed one only its own."""
    (message,) = read_given(folder, pa.table({"state": [77], "states": [[3, -9]]}))
    assert (message.state, list(message.states)) == (77, [3, -9])
    closed = """
    syntax = "proto2";
    message M { enum E { A = 1; B = 5; } required E e = 1; repeated E many = 2 [packed = true]; }
    """
    (message,) = read_given(folder, pa.table({"e": pa.array([5], pa.uint64()), "many": [[1, 5]]}), closed, "M")
    assert (message.e, list(message.many)) == (5, [1, 5])
    for column in ({"e": [2]}, {"e": pa.array([2**63], pa.uint64())}, {"e": [1], "many": [[2]]}):
        with pytest.raises(penstock.EncodeError, match=r"is (no number of|outside)"):
            read_given(folder, pa.table(column), closed, "M")
    with pytest.raises(penstock.EncodeError, match='"C" is no name of the field\'s enum'):
        read_given(folder, pa.table({"e": ["C"]}), closed, "M")


def test_editions_say_what_is_absent(folder):
    """Presence and packing come from the edition's features, as Google's package settles them."""
    text = """
    edition = "2023";
    message M {
      int32 e = 1;
      int32 i = 2 [features.field_presence = IMPLICIT];
      int32 r = 3 [features.field_presence = LEGACY_REQUIRED];
      repeated int32 packed = 4;
      repeated int32 expanded = 5 [features.repeated_field_encoding = EXPANDED];
    }
    """
    table = pa.table({"e": [0], "i": [0], "r": [0], "packed": [[1, 2]], "expanded": [[1, 2]]})
    (message,) = read_given(folder, table, text, "M")
    assert message.SerializeToString() == b"\x08\x00\x18\x00\x22\x02\x01\x02\x28\x01\x28\x02"
    with pytest.raises(penstock.EncodeError, match="the value is null, and the field is required"):
        read_given(folder, pa.table({"r": pa.array([None], pa.int32())}), text, "M")


def test_two_values_of_one_oneof(folder):
    """Rows that set two fields of a oneof are refused: a reader would keep only one of them."""
    with pytest.raises(penstock.EncodeError, match='column "right": another field of the same oneof has a value'):
        read_given(folder, pa.table({"left": ["a"], "right": [{"x": 1}]}))


@pytest.mark.parametrize(
    ("name", "values", "hit"),
    [("narrow", [2**31], "2147483648"), ("wide", [-1], "0 to 18446744073709551615"), ("f32", [2**32], "4294967296")],
)
def test_integers_that_do_not_fit(folder, name, values, hit):
    with pytest.raises(penstock.EncodeError, match=hit):
        read_given(folder, pa.table({name: values}))


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"narow": [1]}, 'message shop.Order has no field "narow"; did you mean "narrow"?'),
        ({"narrow": ["1"]}, 'column "narrow" (string) does not fit the field shop.Order.narrow: it is of type int32'),
        ({"zigs": [1]}, "it is repeated; cast the column to a list"),
        ({"narrow": [[1]]}, "it is of type int32; cast it, or change the field"),
        ({"half": ["1"]}, "it is of type double; cast it, or make the field a string"),
        ({"by_number": [{"a": 1}]}, "it is a map"),
        ({"right": [1]}, "it is the message shop.Other.Inner; cast the column to a struct"),
        ({"right": [{"y": 1}]}, 'column "right.y": message shop.Other.Inner has no field "y"'),
        ({"narrow": pa.nulls(1)}, 'column "narrow" holds nothing but nulls'),
    ],
)
def test_columns_that_do_not_fit(folder, columns, sentence):
    """What does not fit the message is refused before the first row, with the field and a way out."""
    with pytest.raises(penstock.SchemaError) as caught:
        read_given(folder, pa.table(columns).slice(0, 0))
    assert sentence in str(caught.value)


def test_required_fields_need_columns(folder):
    text = (
        'syntax = "proto2"; message M { optional In a = 1; message In { required int32 x = 1; optional int32 y = 2; } }'
    )
    with pytest.raises(penstock.SchemaError, match=r'message M\.In requires "x", and there is no column "a\.x"'):
        read_given(folder, pa.table({"a": [{"y": 1}]}), text, "M")


def test_groups_and_floats_are_refused(folder):
    text = 'syntax = "proto2"; message M { optional group G = 1 { optional int32 x = 1; } optional float f = 2; }'
    with pytest.raises(penstock.SchemaError, match="it is a group"):
        read_given(folder, pa.table({"g": [{"x": 1}]}), text, "M")
    with pytest.raises(penstock.SchemaError, match="cast it to float32"):
        read_given(folder, pa.table({"f": [1.5]}), text, "M")


def test_descriptor_sets_that_cannot_be_used(folder):
    """A set that is missing, broken, incomplete or without the message is refused with the way out."""
    table = pa.table({"x": [1]})
    broken = folder / "broken"
    broken.write_bytes(b"\x0a\xff")
    alone = given_set(folder, 'syntax = "proto3"; message A { int32 x = 1; }')
    two = given_set(folder, 'syntax = "proto3"; message A {} message B {}')
    lacking = folder / "lacking"
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", dependency=["other.proto"], syntax="proto3")
    lacking.write_bytes(descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString())
    for path, message, sentence in (
        (folder / "none", "A", "No such file"),
        (broken, "A", "this is no FileDescriptorSet"),
        (alone, "B", 'there is no message "B"; it has A'),
        (two, None, "name the message, in format.config.message; the last file has A, B"),
        (lacking, "A", "t.proto imports other.proto, which is not in it"),
    ):
        with pytest.raises(penstock.ConfigError) as caught:
            sent(table, descriptor_set=str(path), **({"message": message} if message else {}))
        assert sentence in str(caught.value)
    assert [m.value for m in sent(table, descriptor_set=alone)] == [b"\x08\x01"]
    with pytest.raises(penstock.ConfigError, match="a descriptor set has its own packages"):
        sent(table, descriptor_set=alone, package="p")
    with pytest.raises(penstock.ConfigError, match='message "a b": Protobuf\'s names'):
        sent(table, message="a b")


def test_sets_without_the_files_of_protobuf_itself(folder):
    """timestamp.proto and its kind need not be in the set."""
    text = 'syntax = "proto3"; import "google/protobuf/timestamp.proto"; message M { google.protobuf.Timestamp t = 1; }'
    path = given_set(folder, text, imports=False)
    assert [m.value for m in sent(pa.table({"t": pa.array([1], pa.timestamp("s"))}), descriptor_set=path)] == [
        b"\n\x02\x08\x01"
    ]


@given(batches=batches())
def test_our_own_message_given_back(folder, batches):
    """A message made from a schema, compiled and given back, has the same bytes."""
    try:
        text = generate(batches[0].schema, range(len(batches[0].schema)), "p", "T").file.text()
    except penstock.SchemaError:
        assume(False)
    path = folder / "own.desc"
    path.write_bytes(compiled(text))
    try:
        expected = sent(stream(batches))
    except penstock.EncodeError:
        assume(False)
    assert sent(stream(batches), descriptor_set=str(path), message="p.T") == expected


# ---- with the rest of penstock --------------------------------------------------------------------------------------


def test_written_by_workers(mock):
    """What workers send is what preview shows, and a table of many blocks keeps its dictionaries."""
    count = 70_000
    table = pa.table(
        {
            "id": range(count),
            "city": pa.array(["Praha", "Brno", None] * (count // 3) + ["é"]).dictionary_encode(),
            "pos": pa.array([{"x": n / 2, "tags": ["a", "b"][: n % 3]} for n in range(count)]),
        }
    )
    settings = {"topic": "orders", "format": "protobuf", "key": "id", "key_format": "big_endian"}
    report = penstock.write(table, bootstrap_servers=mock.bootstrap_servers, workers=2, **settings)
    assert report.rows == report.messages == count
    log = read_topic(mock.bootstrap_servers, "orders")
    expected = {m.key: m.value for m in penstock.preview(table, **settings)}
    assert len(expected) == count
    assert {m.key: m.value for m in log.messages} == expected


def test_weights_deletes_and_other_columns():
    """A copy is a message of its own, deletes carry the row, and columns with another part have no field."""
    table = pa.table({"n": [2, -1, 1], "id": [1, 2, 3], "note": ["a", "b", "c"], "gone": [1, 1, None]})
    messages = list(
        penstock.preview(
            table,
            topic="t",
            format="protobuf",
            weight_column="n",
            key="id",
            key_in_value=False,
            header_columns=["note"],
            tombstone_column="gone",
        )
    )
    assert [(m.key, m.value, dict(m.headers)["op"]) for m in messages] == [
        (b'{"id":2}', b"\x08\x01", b"delete"),
        (b'{"id":1}', b"\x08\x01", b"insert"),
        (b'{"id":1}', b"\x08\x01", b"insert"),
        (b'{"id":3}', None, b"insert"),
    ]
    plain = penstock.preview(table, topic="t", format="protobuf", weight_column="n", key="id", key_in_value=False)
    assert [m.value for m in plain] == [b"\x0a\x01b\x10\x01", b"\x0a\x01a\x10\x01", b"\x0a\x01a\x10\x01", b"\x0a\x01c"]
