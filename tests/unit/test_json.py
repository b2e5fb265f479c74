"""The core's JSON against two oracles: the slow encoder of tests/oracles.py, and the standard library's json."""

from __future__ import annotations

import json
import math
import struct
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import oracles
import penstock
import strategies
from compare import check, sent
from oracles import Packing
from scalars import float_text

# ---- any schema, any slicing ----------------------------------------------------------------------------------------


@given(batches=strategies.batches(), array=st.booleans(), records=st.integers(0, 4))
def test_any_schema(batches, array, records):
    """Whatever the types, nulls, offsets and nesting, every byte of every message is the oracle's."""
    check(batches, Packing(array=array, records=records))


@given(batches=strategies.batches(strategies.plain_types(), marked=False), array=st.booleans())
def test_reads_back(batches, array):
    """Where JSON and Python agree on a type, the standard library reads back the objects that pyarrow holds."""
    messages = sent(batches, Packing(array=array, records=2))
    for number, batch in enumerate(batches):
        read = []
        for of_batch, _, value in messages:
            if of_batch == number:
                events = json.loads(value) if array else [json.loads(line) for line in value[:-1].split(b"\n")]
                assert 1 <= len(events) <= 2
                read += events
        assert read == [{"insert": finite(row)} for row in batch.to_pylist()]


def finite(value: Any) -> Any:
    """Return the value as JSON can hold it: NaN and the infinities become None."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list) else value


# ---- values by name -------------------------------------------------------------------------------------------------


def only(column: pa.Array, field: pa.Field | None = None) -> list[str]:
    """Return the JSON text of every value of a column, through messages of one row each."""
    field = field or pa.field("v", column.type)
    batch = pa.record_batch([column], schema=pa.schema([field]))
    values = [value for _, _, value in sent([batch], Packing(records=1))]
    prefix = b'{"insert":{' + json.dumps(field.name).encode() + b":"
    assert all(value.startswith(prefix) and value.endswith(b"}}\n") for value in values)
    texts = [value[len(prefix) : -3].decode() for value in values]
    assert texts == oracles.cells(column, field)
    return texts


DOUBLES = [
    (0.0, "0.0"),
    (-0.0, "-0.0"),
    (1.0, "1.0"),
    (100.0, "100.0"),
    (1e-5, "0.00001"),
    (9.99e-6, "9.99e-6"),
    (1e-6, "1e-6"),
    (1e15, "1000000000000000.0"),
    (9999999999999998.0, "9999999999999998.0"),
    (1e16, "1e16"),
    (5e-324, "5e-324"),
    (2.2250738585072014e-308, "2.2250738585072014e-308"),
    (1.7976931348623157e308, "1.7976931348623157e308"),
    (1.2345678901234568e17, "1.2345678901234568e17"),
    (-1.5e-7, "-1.5e-7"),
    (9007199254740993.0, "9007199254740992.0"),
    (0.1, "0.1"),
    (0.30000000000000004, "0.30000000000000004"),
    (math.nan, "null"),
    (math.inf, "null"),
    (-math.inf, "null"),
]
FLOATS = [
    (0.0, "0.0"),
    (-0.0, "-0.0"),
    (1.0, "1.0"),
    (0.1, "0.1"),
    (1e-6, "0.000001"),
    (9.9e-7, "9.9e-7"),
    (1e-7, "1e-7"),
    (1e12, "1000000000000.0"),
    (9999998779392.0, "9999999000000.0"),
    (1e13, "1e13"),
    (16777216.0, "16777216.0"),
    (1e-45, "1e-45"),
    (3.4028234663852886e38, "3.4028235e38"),
    (math.nan, "null"),
    (math.inf, "null"),
]


def test_floats_by_hand():
    """Doubles and floats are the shortest decimal that reads back, plain or with an exponent by their size."""
    for cases, kind in ((DOUBLES, pa.float64()), (FLOATS, pa.float32())):
        values, texts = zip(*cases, strict=True)
        assert only(pa.array(values, kind)) == list(texts)


def test_every_half_float():
    """Each of the 65536 half floats is written as the float32 it equals."""
    halves = pa.array(np.arange(65536, dtype=np.uint16)).view(pa.float16())
    with np.errstate(all="ignore"):
        widened = pa.array(np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32))
    texts = core_texts(halves)
    assert texts == core_texts(widened)
    for text, value in zip(texts, widened.to_numpy(), strict=True):
        if np.isfinite(value):
            assert np.float32(float(text)) == value
        else:
            assert text == "null"


def core_texts(column: pa.Array) -> list[str]:
    """Return each value's text from packed messages: for columns too long to ask the oracle about."""
    batch = pa.record_batch([column], names=["v"])
    lines = b"".join(value for _, _, value in sent([batch], Packing()))[:-1].split(b"\n")
    return [line[len('{"insert":{"v":') : -2].decode() for line in lines]


def powers(width: int) -> pa.Array:
    """Return every power of two and of ten of a float type, with its neighbours: where shortest forms go wrong."""
    kind, low, high = (np.float64, -1074, 1024) if width == 64 else (np.float32, -149, 128)
    with np.errstate(all="ignore"):
        exact = [kind(math.ldexp(1.0, e)) for e in range(low, high)]
        exact += [kind(f"1e{e}") for e in range(-330, 310)]
        near = [np.nextafter(value, kind(to)) for value in exact for to in (-np.inf, np.inf)]
    return pa.array(np.array(exact + near, dtype=kind))


@pytest.mark.parametrize("width", [32, 64])
def test_floats_near_powers(width):
    """Near every power of two and ten, where the spacing changes, the digits are still shortest and nearest."""
    column = powers(width)
    texts = core_texts(column)
    for text, value in zip(texts, column.to_pylist(), strict=True):
        assert text == float_text(value, width), value


@given(bits=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=50))
def test_doubles_of_any_bits(bits):
    """Any 64 bits as a double have the digits that Python finds, and read back to the same double."""
    column = pa.array(np.array(bits, dtype=np.uint64).view(np.float64))
    for text, value in zip(core_texts(column), column.to_pylist(), strict=True):
        assert text == float_text(value, 64)
        if math.isfinite(value):
            assert struct.pack("<d", float(text)) == struct.pack("<d", value)
            assert text.lstrip("-").replace(".", "").split("e")[0].strip("0") == digits_of(value)


def digits_of(value: float) -> str:
    return repr(abs(value)).split("e")[0].replace(".", "").strip("0")


@given(bits=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=50))
def test_floats_of_any_bits(bits):
    """Any 32 bits as a float have the oracle's digits and read back to the same float."""
    column = pa.array(np.array(bits, dtype=np.uint32).view(np.float32))
    for text, value in zip(core_texts(column), column.to_pylist(), strict=True):
        assert text == float_text(value, 32)


@given(cents=st.lists(st.integers(-(10**11), 10**11), min_size=1, max_size=30), places=st.integers(0, 9))
@example(cents=[0, 1, 5, 10, 100, 99, 101, -1], places=2)
def test_prices(cents, places):
    """Doubles with few decimals, for which there may be a faster way, and a full one among them, are no exception."""
    values = [cent / 10**places for cent in cents]
    for column in (pa.array(values), pa.array([*values, 0.1 + 0.2, math.pi * 1e5, *values])):
        assert core_texts(column) == [float_text(value, 64) for value in column.to_pylist()]


def test_decimals_by_hand():
    """A decimal has no exponent, no trailing zeros and at least one digit before the point."""

    def texts(numbers: list[int], scale: int, width: int = 128) -> list[str]:
        kind = {32: pa.decimal32, 64: pa.decimal64, 128: pa.decimal128, 256: pa.decimal256}[width]
        precision = {32: 9, 64: 18, 128: 38, 256: 76}[width]
        raw = b"".join(n.to_bytes(width // 8, "little", signed=True) for n in numbers)
        return only(pa.Array.from_buffers(kind(precision, scale), len(numbers), [None, pa.py_buffer(raw)]))

    for width in (32, 64, 128, 256):
        assert texts([10000, 1500, -10, 0, 1, -1], 3, width) == ["10", "1.5", "-0.01", "0", "0.001", "-0.001"]
        assert texts([5, 0, -7], -2, width) == ["500", "0", "-700"]
        assert texts([42, -42], 0, width) == ["42", "-42"]
    assert texts([10**38 - 1, -(10**38) + 1], 38) == ["0." + "9" * 38, "-0." + "9" * 38]
    assert texts([10**76 - 1, 10**75], 38, 256) == ["9" * 38 + "." + "9" * 38, "1" + "0" * 37]
    assert texts([2**63, -(2**63), 2**64, 2**64 - 1, 10**19, 10**37], 0) == [
        "9223372036854775808",
        "-9223372036854775808",
        "18446744073709551616",
        "18446744073709551615",
        "1" + "0" * 19,
        "1" + "0" * 37,
    ]


def test_integers_by_hand():
    """Integers keep every digit, unquoted, to the ends of their range."""
    for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()):
        bits, signed = kind.bit_width, pa.types.is_signed_integer(kind)
        ends = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1]
        tens = [10**n + step for n in range(20) for step in (-1, 0, 1) if ends[0] <= 10**n + step <= ends[1]]
        tens += [-n for n in tens if signed]
        assert only(pa.array(ends + tens, kind)) == [str(n) for n in ends + tens]


def test_times_by_hand():
    """Fractions have 3, 6 or 9 digits, far years a sign, and a zone is +00:00."""

    def stamps(values: list[int], unit: str, zone: str | None = None) -> list[str]:
        return [json.loads(text) for text in only(pa.array(values, pa.int64()).view(pa.timestamp(unit, zone)))]

    assert stamps([1529501823000000, 1529501823120000, 1529501823120001, -1, 0], "us") == [
        "2018-06-20 13:37:03",
        "2018-06-20 13:37:03.120",
        "2018-06-20 13:37:03.120001",
        "1969-12-31 23:59:59.999999",
        "1970-01-01 00:00:00",
    ]
    assert stamps([1, 1000, 1000000, 10**9, -1], "ns", "America/New_York") == [
        "1970-01-01 00:00:00.000000001+00:00",
        "1970-01-01 00:00:00.000001+00:00",
        "1970-01-01 00:00:00.001+00:00",
        "1970-01-01 00:00:01+00:00",
        "1969-12-31 23:59:59.999999999+00:00",
    ]
    assert stamps([253402300799, 253402300800, -62167219200, -62167219201, 2**63 - 1, -(2**63)], "s") == [
        "9999-12-31 23:59:59",
        "+10000-01-01 00:00:00",
        "0000-01-01 00:00:00",
        "-0001-12-31 23:59:59",
        "+292277026596-12-04 15:30:07",
        "-292277022657-01-27 08:29:52",
    ]
    days = pa.array([0, 19628, -719529, 2932897, 2**31 - 1, -(2**31), 11016, -25509], pa.int32()).view(pa.date32())
    assert [json.loads(text) for text in only(days)] == [
        "1970-01-01",
        "2023-09-28",
        "-0001-12-31",
        "+10000-01-01",
        "+5881580-07-11",
        "-5877641-06-23",
        "2000-02-29",
        "1900-02-28",
    ]
    clock = pa.array([0, 84075123000000, 86399999999999, 120000, 1000], pa.int64()).view(pa.time64("ns"))
    assert [json.loads(text) for text in only(clock)] == [
        "00:00:00",
        "23:21:15.123",
        "23:59:59.999999999",
        "00:00:00.000120",
        "00:00:00.000001",
    ]


def test_every_day():
    """Each day of five centuries, and each leap year's end, is the day that Python's calendar has."""
    days = np.arange(-150_000, 60_000, dtype=np.int32)
    texts = core_texts(pa.array(days).view(pa.date32()))
    assert texts == [f'"{day}"' for day in days.astype("datetime64[D]")]


def test_strings_by_hand():
    """Seven short escapes, \\u00xx in lower case below a space, and all else as it is, wherever it stands."""
    awkward = [
        '"',
        "\\",
        "/",
        "\b\f\n\r\t",
        "\x00\x01\x0b\x1f",
        "\x7f",
        "\u2028\u2029",
        "é⌛👏",
        "\ufeff",
        "\U0010ffff",
    ]
    texts = only(pa.array(awkward))
    assert texts[:6] == ['"\\""', '"\\\\"', '"/"', '"\\b\\f\\n\\r\\t"', '"\\u0000\\u0001\\u000b\\u001f"', '"\x7f"']
    assert [json.loads(text) for text in texts] == awkward
    everywhere = [
        "x" * before + bad + "y" * after for bad in awkward for before in range(20) for after in (0, 1, 15, 40)
    ]
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        assert [json.loads(text) for text in only(pa.array(everywhere, kind))] == everywhere
    assert [json.loads(text) for text in only(pa.array([chr(c) for c in range(128)]))] == [chr(c) for c in range(128)]


def test_names_are_escaped_too():
    """Names of columns and struct fields are JSON strings like any other, of any length."""
    names = ['a"b', "c\\d", "e\nf", "УКРАЇНСЬКА", "⌛", "", "g" * 31, "h" * 200]
    kind = pa.struct([pa.field(name, pa.int8()) for name in names])
    batch = pa.record_batch(
        [pa.array([n], pa.int8()) for n in range(len(names))] + [pa.array([dict.fromkeys(names, 7)], kind)],
        names=[*names, "all"],
    )
    ((_, _, value),) = check([batch], Packing())
    expected = {name: n for n, name in enumerate(names)} | {"all": dict.fromkeys(names, 7)}
    assert list(json.loads(value)["insert"].items()) == list(expected.items())


def test_uuids():
    """A UUID is lower-case and hyphenated, from 16 bytes or from text, by extension type or by sql_type."""
    raw = bytes(range(0xA0, 0xB0))
    text = "a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf"
    mark = {"sql_type": "UUID"}
    sixteen = pa.array([raw, None], pa.binary(16))
    assert only(pa.ExtensionArray.from_storage(pa.uuid(), sixteen)) == [f'"{text}"', "null"]
    assert only(sixteen, pa.field("v", pa.binary(16), metadata=mark)) == [f'"{text}"', "null"]
    assert only(pa.array([text, text.upper()]), pa.field("v", pa.string(), metadata=mark)) == [f'"{text}"'] * 2
    coded = pa.array([text.upper(), None, text]).dictionary_encode()
    assert only(coded, pa.field("v", coded.type, metadata=mark)) == [f'"{text}"', "null", f'"{text}"']


def test_maps_by_hand():
    """Entries stand in the order of their keys' values, not of their texts, and equal keys as given."""

    def maps(rows: list[list[tuple[Any, Any]] | None], key: pa.DataType) -> list[str]:
        return only(pa.array(rows, pa.map_(key, pa.int64())))

    assert maps([[(10, 1), (9, 2), (-1, 3)]], pa.int8()) == ['{"-1":3,"9":2,"10":1}']
    assert maps([[(2**64 - 1, 1), (0, 2)]], pa.uint64()) == ['{"0":2,"18446744073709551615":1}']
    assert maps([[("b", 1), ("a", 2), ("é", 3), ("B", 4), ("", 5), ("aa", 6)]], pa.string()) == [
        '{"":5,"B":4,"a":2,"aa":6,"b":1,"é":3}'
    ]
    assert maps([[(True, 1), (False, 2)]], pa.bool_()) == ['{"false":2,"true":1}']
    assert maps([[(1e16, 1), (2.5, 2), (-1.0, 3)]], pa.float64()) == ['{"-1.0":3,"2.5":2,"1e16":1}']
    assert maps([[("k", 2), ("k", 1), ("a", 0), ("k", 3)]], pa.string()) == ['{"a":0,"k":2,"k":1,"k":3}']
    assert maps([[], None, [("x", None)]], pa.string()) == ["{}", "null", '{"x":null}']
    days = pa.array([2932897, 0, -719529], pa.int32()).view(pa.date32())
    made = pa.MapArray.from_arrays([0, 3], days, pa.array([1, 2, 3]))
    assert only(made) == ['{"-0001-12-31":3,"1970-01-01":2,"+10000-01-01":1}']
    inner = pa.array([[("b", [(2, 1), (1, 1)]), ("a", [(3, 1)])]], pa.map_(pa.string(), pa.map_(pa.int8(), pa.int8())))
    assert only(inner) == ['{"a":{"3":1},"b":{"1":1,"2":1}}']


def test_variants_by_hand():
    """VARIANT text loses its white space, keys are sorted, numbers lose exponents and trailing zeros."""
    cases = {
        ' {"b" : 1 ,\n"a": [ 1.50 , 2e3, -0, "x\\u00e9\\/"] } ': '{"a":[1.5,2000,0,"xé/"],"b":1}',
        "null": "null",
        " true": "true",
        "5.0": "5",
        "1e-3": "0.001",
        "18446744073709551615": "18446744073709551615",
        '"\\ud83d\\udc4f\\u001f"': '"👏\\u001f"',
        "[]": "[]",
        "{ }": "{}",
        '{"a":1,"a":2}': '{"a":2}',
    }
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        column = pa.array([*cases, None], kind)
        field = pa.field("v", kind, metadata={"sql_type": "VARIANT"})
        assert only(column, field) == [*cases.values(), "null"]
        assert only(pa.ExtensionArray.from_storage(pa.json_(kind), column)) == [*cases.values(), "null"]
    coded = pa.array([*cases, *cases]).dictionary_encode()
    assert only(coded, pa.field("v", coded.type, metadata={"sql_type": "VARIANT"})) == [
        *cases.values(),
        *cases.values(),
    ]


def test_nested_variant():
    """The mark on a list's item, a struct's field or a map's value works as on a column; unmarked text stays text."""
    mark = {"sql_type": "VARIANT"}
    item = pa.field("item", pa.string(), metadata=mark)
    assert only(pa.array([["[1, 2]", None]], pa.list_(item))) == ["[[1,2],null]"]
    inner = pa.field("j", pa.string(), metadata=mark)
    assert only(pa.array([{"j": "{ }", "s": "{ }"}], pa.struct([inner, pa.field("s", pa.string())]))) == [
        '{"j":{},"s":"{ }"}'
    ]
    value = pa.field("value", pa.string(), metadata=mark)
    kind = pa.map_(pa.string(), value)
    maps = pa.MapArray.from_arrays([0, 1], pa.array(["k"]), pa.array(["1.0"]), type=kind)
    assert only(maps, pa.field("v", kind)) == ['{"k":1}']


@given(st.integers(-(10**18) + 1, 10**18 - 1), st.integers(0, 18))
def test_decimals_of_one_word(unscaled, scale):
    """Every scale of a number that fits 64 bits: as the standard library has it, without zeros at the end."""
    value = Decimal(unscaled).scaleb(-scale)
    text = f"{value:f}"
    expected = text.rstrip("0").rstrip(".") if "." in text else text
    column = pa.array([value], pa.decimal128(18, scale))
    (message,) = penstock.preview(pa.record_batch({"v": column}), topic="t")
    assert message.value.decode() == f'{{"insert":{{"v":{"0" if expected in {"", "-0"} else expected}}}}}\n'
    (message,) = penstock.preview(pa.record_batch({"v": column}), topic="t", keep_decimal_scale=True)
    assert message.value.decode() == f'{{"insert":{{"v":{text}}}}}\n'
