"""What has no JSON form: types are refused at open, values by row and column; what a null hides is not looked at."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

import oracles
import penstock
from oracles import Packing
from scalars import variant_text


def values(batch: Any, **settings: Any) -> list[bytes]:
    return [message.value for message in penstock.preview(batch, topic="t", **settings)]


def column(array: pa.Array, *, metadata: dict[str, str] | None = None, name: str = "bad") -> pa.RecordBatch:
    field = pa.field(name, array.type, metadata=metadata)
    return pa.record_batch([pa.array(range(len(array))), array], schema=pa.schema([pa.field("i", pa.int64()), field]))


def refused(batch: Any, *, row: int, name: str = "bad") -> str:
    """Assert that the batch fails at `row` in column `name`; return the error's sentence."""
    with pytest.raises(penstock.EncodeError) as caught:
        values(batch)
    assert caught.value.row == row
    assert caught.value.column is not None
    assert caught.value.column.startswith(name)  # a path where the value is nested
    text = str(caught.value)
    assert name in text
    assert str(row) in text
    assert "\n" not in text
    return text


# ---- types ----------------------------------------------------------------------------------------------------------

INTERVAL = pa.month_day_nano_interval()
UNION = [pa.field("a", pa.int8()), pa.field("b", pa.string())]
FORMLESS = [
    pa.decimal128(5, 1001),
    pa.decimal128(5, -2_000_000_000),
    pa.duration("s"),
    pa.duration("ms"),
    pa.duration("us"),
    pa.duration("ns"),
    INTERVAL,
    pa.dense_union(UNION),
    pa.sparse_union(UNION),
    pa.list_(pa.duration("s")),
    pa.large_list(INTERVAL),
    pa.list_view(pa.duration("s")),
    pa.list_(pa.duration("s"), 2),
    pa.struct([pa.field("ok", pa.int8()), pa.field("inner", pa.duration("us"))]),
    pa.map_(pa.string(), pa.duration("s")),
    pa.map_(pa.duration("s"), pa.string()),
    pa.dictionary(pa.int8(), pa.duration("s")),
    pa.run_end_encoded(pa.int32(), pa.duration("s")),
    pa.struct([pa.field("a", pa.list_(pa.map_(pa.string(), pa.struct([pa.field("b", INTERVAL)]))))]),
]


@pytest.mark.parametrize("kind", FORMLESS, ids=str)
def test_type_without_a_form(kind):
    """A column whose type has no form is a SchemaError by its name, even if no row ever comes."""
    schema = pa.schema([pa.field("fine", pa.int64()), pa.field("elapsed", kind)])
    with pytest.raises(penstock.SchemaError) as caught:
        values(pa.RecordBatchReader.from_batches(schema, []))
    assert "elapsed" in str(caught.value)
    assert "fine" not in str(caught.value)


def test_type_without_a_form_as_a_key():
    """Key columns are part of the row, so the same types are refused there."""
    batch = pa.record_batch({"k": pa.array([1], pa.duration("s")), "i": [1]})
    with pytest.raises(penstock.SchemaError, match="k"):
        values(batch, key=["k"])


# ---- text -----------------------------------------------------------------------------------------------------------

BROKEN = {
    "lone continuation": b"\x80",
    "two of them": b"\xbf\xbf",
    "overlong slash": b"\xc0\xaf",
    "overlong in three": b"\xe0\x80\xaf",
    "overlong in four": b"\xf0\x80\x80\xaf",
    "surrogate": b"\xed\xa0\x80",
    "low surrogate": b"\xed\xbf\xbf",
    "above the last": b"\xf4\x90\x80\x80",
    "never a byte": b"\xff",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "cut after one of two": b"\xc3",
    "cut after two of three": b"\xe2\x82",
    "cut after three of four": b"\xf0\x9f\x91",
    "letter where a continuation is due": b"\xe2\x82A",
}


def raw_text(items: list[bytes | None], kind: pa.DataType) -> pa.Array:
    """Return a string array of bytes that nobody has checked."""
    storage = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary(), pa.string_view(): pa.binary_view()}[kind]
    held = pa.array(items, storage)
    return pa.Array.from_buffers(kind, len(held), held.buffers(), held.null_count)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_invalid_utf8(kind, broken):
    """Bytes that are not UTF-8 are an EncodeError wherever they stand in a string of whatever length."""
    for before in (0, 1, 7, 13, 15, 16, 31, 50):
        for after in (0, 1, 16, 40):
            text = b"a" * before + broken + b"z" * after
            assert "UTF-8" in refused(column(raw_text([b"ok", text, None], kind)), row=1)
    refused(column(raw_text(["é".encode() * 9 + broken + "⌛".encode() * 9], kind)), row=0)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_all_of_unicode_is_valid(kind):
    """The first and last character of each length, and all lengths around them, are written as they are."""
    edges = "\x7f\u0080\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff"
    texts = ["a" * before + c + "z" * after for c in edges for before in range(18) for after in (0, 3, 17)]
    made = values(pa.record_batch([raw_text([t.encode() for t in texts], kind)], names=["s"]))
    read = [json.loads(line)["insert"]["s"] for line in b"".join(made)[:-1].split(b"\n")]
    assert read == texts


def test_invalid_utf8_inside():
    """Invalid bytes in lists, structs, maps, dictionaries and runs are found too, and the path leads there."""
    bad = raw_text([b"ok", b"\xff", b"ok"], pa.string())
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 3], pa.int32()), bad)
    refused(column(lists), row=1)
    refused(column(pa.StructArray.from_arrays([bad], ["inner"])), row=1)
    refused(column(pa.MapArray.from_arrays(pa.array([0, 1, 3], pa.int32()), bad, pa.array([1, 2, 3]))), row=1)
    refused(column(pa.MapArray.from_arrays(pa.array([0, 1, 3], pa.int32()), pa.array(["a", "b", "c"]), bad)), row=1)
    refused(column(pa.DictionaryArray.from_arrays(pa.array([0, 2, 0, 1]), bad)), row=3)
    runs = [pa.array([2, 5, 6], pa.int32()), bad]
    refused(column(pa.Array.from_buffers(pa.run_end_encoded(pa.int32(), pa.string()), 6, [None], children=runs)), row=2)


def test_invalid_utf8_that_is_not_a_value():
    """Bytes under a null, outside the slice, or in a dictionary value that no row has, are nobody's value."""
    bad = raw_text([b"\xff", b"ok", b"fine", b"\xff"], pa.string())
    expected = b'{"insert":{"s":"ok"}}\n{"insert":{"s":"fine"}}\n'
    assert values(pa.record_batch([bad.slice(1, 2)], names=["s"])) == [expected]
    coded = pa.DictionaryArray.from_arrays(pa.array([1, 2]), bad)
    assert values(pa.record_batch([coded], names=["s"])) == [expected]
    hidden = pa.Array.from_buffers(pa.string(), 4, [pa.py_buffer(b"\x06"), *bad.buffers()[1:]])
    assert values(pa.record_batch([hidden], names=["s"])) == [
        b'{"insert":{"s":null}}\n' + expected + b'{"insert":{"s":null}}\n'
    ]


def test_the_first_bad_row_is_named():
    """The row counts from 0 within the source, whatever was sliced off or came in batches before it."""
    bad = raw_text([b"ok"] * 70 + [b"\xff"] + [b"ok"] * 9, pa.string())
    refused(column(bad), row=70)
    refused(column(bad).slice(60), row=10)


# ---- VARIANT and UUID text ------------------------------------------------------------------------------------------

NOT_JSON = [
    "",
    " ",
    "{",
    "nul",
    "nulll",
    "True",
    "NaN",
    "-Infinity",
    "[1,]",
    "[,1]",
    "[1 2]",
    "1 2",
    "01",
    "+1",
    ".5",
    "1.",
    "1e",
    "-",
    "0x10",
    "'a'",
    '"a',
    '"\\x41"',
    '"\\u12g4"',
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"tab\tinside"',
    '"line\ninside"',
    '{"a":1,}',
    '{"a"}',
    '{"a":}',
    "{a:1}",
    '{1:"a"}',
    "[1]]",
    "\ufeff1",
    "/* c */ 1",
    "1\x00",
    "\u00a01",
]


@pytest.mark.parametrize("text", NOT_JSON, ids=ascii)
def test_variant_that_is_not_json(text):
    """Text that is not JSON is an EncodeError by row and column, in a VARIANT column and in arrow.json alike."""
    with pytest.raises(oracles.NoForm):
        variant_text(text)
    items = pa.array(["{}", None, text, "[]"])
    for storage in (items, items.cast(pa.large_string()), items.cast(pa.string_view()), items.dictionary_encode()):
        assert "JSON" in refused(column(storage, metadata={"sql_type": "VARIANT"}), row=2)
    assert "JSON" in refused(column(pa.ExtensionArray.from_storage(pa.json_(), items)), row=2)


def test_variant_that_is_not_utf8():
    """A VARIANT's strings are UTF-8 as any others."""
    for broken in BROKEN.values():
        items = raw_text([b'"' + broken + b'"'], pa.string())
        refused(column(items, metadata={"sql_type": "VARIANT"}), row=0)


def test_uuid_that_is_none():
    """Text in a UUID column that is no UUID is an EncodeError by row and column."""
    good = "a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf"
    for bad in ("", good[:-1], good + "0", good.replace("a0", "g0"), "x" + good):
        refused(column(pa.array([good, bad]), metadata={"sql_type": "UUID"}), row=1)


# ---- map keys -------------------------------------------------------------------------------------------------------


def one_map(keys: pa.Array) -> pa.Array:
    """Return a map column of two rows: the first empty, the second with all the keys."""
    field = pa.field("key", keys.type, nullable=False)
    kind = pa.map_(field, pa.field("value", pa.int64()))
    entries = pa.Array.from_buffers(
        pa.struct([field, kind.item_field]), len(keys), [None], children=[keys, pa.array(range(len(keys)))]
    )
    offsets = pa.array([0, 0, len(keys)], pa.int32()).buffers()[1]
    return pa.Array.from_buffers(kind, 2, [None, offsets], children=[entries])


@pytest.mark.parametrize(
    "keys",
    [
        pa.array([1.0, float("nan")]),
        pa.array([float("inf")]),
        pa.array([1.5, -float("inf")], pa.float32()),
        pa.array([float("nan")], pa.float16()),
        pa.array([1.0, float("nan")]).dictionary_encode(),
        # a null key as such ends the process in Arrow's own import; only these two forms get through to us
        pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["a", None])),
        pa.RunEndEncodedArray.from_arrays(pa.array([1, 2], pa.int32()), pa.array(["a", None])),
    ],
    ids=["NaN", "infinity", "float32", "float16", "coded NaN", "coded null", "null run"],
)
def test_map_key_without_a_form(keys):
    """A map key that is NaN, infinite or null is an EncodeError naming row and column."""
    refused(column(one_map(keys)), row=1)


@pytest.mark.parametrize(
    "key",
    [
        pa.decimal32(5, 2),
        pa.decimal64(5, 2),
        pa.decimal128(5, 2),
        pa.decimal256(5, 2),
        pa.list_(pa.int8()),
        pa.struct([pa.field("a", pa.int8())]),
        pa.map_(pa.string(), pa.int8()),
        pa.binary(),
        pa.binary(1),
        pa.json_(),
        pa.dictionary(pa.int8(), pa.decimal128(5, 2)),
        pa.run_end_encoded(pa.int32(), pa.binary()),
    ],
    ids=str,
)
def test_map_key_type_without_a_form(key):
    """Maps whose keys could only be lists, rows, bytes, decimals or VARIANTs are refused at open by name."""
    schema = pa.schema([pa.field("i", pa.int64()), pa.field("bad", pa.map_(key, pa.int64()))])
    with pytest.raises(penstock.SchemaError, match="bad"):
        values(pa.RecordBatchReader.from_batches(schema, []))


def test_map_key_outside_a_value():
    """Keys under a null map or outside the slice are nobody's."""
    keys = pa.array([float("nan"), 1.0, float("nan")])
    maps = pa.MapArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), keys, pa.array([1, 2, 3]))
    assert values(pa.record_batch([maps.slice(1, 1)], names=["m"])) == [b'{"insert":{"m":{"1.0":2}}}\n']
    hidden = pa.Array.from_buffers(
        maps.type,
        3,
        [pa.py_buffer(b"\x02"), maps.buffers()[1]],
        children=[
            pa.StructArray.from_arrays([keys, pa.array([1, 2, 3])], fields=[maps.type.key_field, maps.type.item_field])
        ],
    )
    assert json.loads(
        b"["
        + b",".join(
            values(
                pa.record_batch([hidden], names=["m"]), format={"name": "json", "config": {"buffer_size_records": 1}}
            )
        )
        + b"]"
    ) == [{"insert": {"m": None}}, {"insert": {"m": {"1.0": 2}}}, {"insert": {"m": None}}]


# ---- times and sizes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "ticks"),
    [
        (pa.time32("s"), 86400),
        (pa.time32("s"), -1),
        (pa.time32("ms"), 86_400_000),
        (pa.time64("us"), -1),
        (pa.time64("us"), 86_400_000_000),
        (pa.time64("ns"), 86_400_000_000_000),
        (pa.time64("ns"), -(2**63)),
    ],
    ids=str,
)
def test_time_outside_a_day(kind, ticks):
    """A time of day that lies outside the day is an EncodeError: any text for it would be a lie."""
    storage = pa.int32() if kind.bit_width == 32 else pa.int64()
    refused(column(pa.array([0, ticks], storage).view(kind)), row=1)


@pytest.mark.parametrize("array", [False, True])
def test_row_larger_than_the_limit(array):
    """A row that fits no message is an EncodeError with both sizes; one byte less and it is sent."""
    batch = pa.record_batch({"s": ["x", "y" * 100, "z"]})
    event = len('{"insert":{"s":""}}') + 100 + (2 if array else 1)
    (_, fits, _) = penstock.preview(batch, **Packing(limit=event, array=array, records=1).settings())
    assert len(fits.value) == event
    for records in (1, 10):
        with pytest.raises(penstock.EncodeError) as caught:
            list(penstock.preview(batch, **Packing(limit=event - 1, array=array, records=records).settings()))
        assert caught.value.row == 1
        assert str(event) in str(caught.value)
        assert str(event - 1) in str(caught.value)


def test_key_and_value_larger_than_the_limit():
    """With a key, key and value count together: the broker's limit is for both."""
    batch = pa.record_batch({"k": ["x" * 50]})
    size = len(b'{"insert":{"k":""}}\n') + 50 + len(b'{"k":""}') + 50
    assert len(list(penstock.preview(batch, **Packing(limit=size, key=("k",)).settings()))) == 1
    with pytest.raises(penstock.EncodeError):
        list(penstock.preview(batch, **Packing(limit=size - 1, key=("k",)).settings()))


@pytest.mark.parametrize("limit", ["64", "63", "0", "-1", "many", ""])
def test_limit_that_leaves_no_room(limit):
    """message.max.bytes must be a number above 64, even where nothing is sent."""
    with pytest.raises(penstock.ConfigError, match=r"message\.max\.bytes"):
        values(pa.record_batch({"i": [1]}), kafka_options={"message.max.bytes": limit})


def test_smallest_limit():
    """Any message.max.bytes above 64 is accepted in a preview, and its last byte is used."""
    batch = pa.record_batch({"i": [1]})
    value = b'{"insert":{"i":1}}\n'
    assert values(batch, kafka_options={"message.max.bytes": str(64 + len(value))}) == [value]
    with pytest.raises(penstock.EncodeError):
        values(batch, kafka_options={"message.max.bytes": "65"})


def test_rows_before_the_bad_one_keep_their_messages():
    """What the preview gave before the error is what would have been sent before it, and nothing follows."""
    good = pa.record_batch({"s": ["a", "b"]})
    bad = pa.record_batch([raw_text([b"c", b"\xff"], pa.string())], names=["s"])
    made = []
    with pytest.raises(penstock.EncodeError):
        made.extend(m.value for m in penstock.preview([good, bad, good], **Packing(records=1).settings()))
    assert made[:2] == [b'{"insert":{"s":"a"}}\n', b'{"insert":{"s":"b"}}\n']
    assert made[2:] in ([], [b'{"insert":{"s":"c"}}\n'])
