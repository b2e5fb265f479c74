"""The flavors of JSON and our own options on top: any schema against the oracle, and each type's spelling by hand."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
import penstock
import strategies
from compare import stream
from styles import FLAVORS, Style

OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "binary_base64": st.booleans(),
        "keep_decimal_scale": st.booleans(),
        "iso_timestamps": st.booleans(),
        "non_finite": st.sampled_from(["null", "error", "string"]),
        "omit_nulls": st.booleans(),
    },
)
VARIANT = {"sql_type": "VARIANT"}


def form(flavor: str, **members: Any) -> dict[str, Any]:
    return {"name": "json", "config": {"update_format": "raw", "json_flavor": flavor, **members}}


def lines(batches: list[pa.RecordBatch], flavor: str, **options: Any) -> list[str]:
    made = penstock.preview(stream(batches), topic="t", format=form(flavor, buffer_size_records=3), **options)
    return b"".join(message.value for message in made).decode().split("\n")[:-1]


def spelled(column: pa.Array, flavor: str, field: pa.Field | None = None, **options: Any) -> list[str]:
    """Return each value's text, which is the oracle's too."""
    field = field or pa.field("v", column.type)
    batch = pa.record_batch([column], schema=pa.schema([field]))
    made = lines([batch], flavor, **options)
    assert made == oracles.rows(batch, style=Style.of(flavor, **options))
    return [line.removeprefix('{"v":').removesuffix("}") for line in made]


@given(batches=strategies.batches(), flavor=st.sampled_from(FLAVORS), options=OPTIONS)
def test_any_schema(batches, flavor, options):
    """Whatever the types, nulls, offsets and nesting, a row of any flavor with any options is the oracle's."""
    try:
        expected = [row for batch in batches for row in oracles.rows(batch, style=Style.of(flavor, **options))]
    except oracles.NoForm:
        with pytest.raises(penstock.EncodeError):
            lines(batches, flavor, **options)
        return
    assert lines(batches, flavor, **options) == expected
    assert all(json.loads(line) is not None for line in expected)


# The table of the specification: DECIMAL, DATE, TIME, TIMESTAMP, TIMESTAMP WITH TIME ZONE, BINARY, VARIANT.
SPACED, ZONED = '"2018-06-20 13:37:03"', '"2018-06-20 13:37:03+00:00"'
OFFSET, UTC, MILLIS = '"2018-06-20T13:37:03+00:00"', '"2018-06-20T13:37:03UTC"', "1529501823000"
DAY, CLOCK, BYTES, INLINE, TEXT = '"2023-09-28"', '"23:21:15.123"', "[104,105]", '{"a":2.5}', '"{\\"a\\":2.5}"'
TABLE = {
    "default": ("1.5", DAY, CLOCK, SPACED, ZONED, BYTES, INLINE),
    "snowflake": ('"1.5"', DAY, CLOCK, OFFSET, OFFSET, BYTES, TEXT),
    "kafka_connect_json_converter": ('"1.5"', "19628", "84075123", MILLIS, MILLIS, BYTES, TEXT),
    "debezium_mysql": ('"1.5"', "19628", "84075123000", UTC, UTC, BYTES, TEXT),
    "debezium_postgres": ('"1.5"', "19628", "84075123000", MILLIS, MILLIS, BYTES, TEXT),
    "pandas": ('"1.5"', DAY, CLOCK, MILLIS, MILLIS, BYTES, TEXT),
    "datagen": ("1.5", DAY, CLOCK, OFFSET, ZONED, BYTES, INLINE),
    "postgres": ('"1.5"', DAY, CLOCK, SPACED, ZONED, '"\\\\x6869"', '{"a":"2.5"}'),
    "c_hex": ("1.5", DAY, CLOCK, SPACED, ZONED, '"0x6869"', TEXT),
    "blockchain": ("1.5", DAY, CLOCK, SPACED, ZONED, '"8wr"', TEXT),
    "ClockInput": ("1.5", DAY, CLOCK, MILLIS, ZONED, BYTES, TEXT),
}


@pytest.mark.parametrize("flavor", FLAVORS)
def test_the_table(flavor):
    """Each flavor spells each type as the specification's table has it."""
    columns = {
        "decimal": pa.array([Decimal("1.500")], pa.decimal128(10, 3)),
        "date": pa.array([19628], pa.int32()).view(pa.date32()),
        "time": pa.array([84075123000000]).view(pa.time64("ns")),
        "timestamp": pa.array([1529501823000000]).view(pa.timestamp("us")),
        "zoned": pa.array([1529501823000000]).view(pa.timestamp("us", "UTC")),
        "binary": pa.array([b"hi"]),
        "variant": pa.array(['{ "a": 2.50 }']),
    }
    fields = [
        pa.field(name, column.type, metadata=VARIANT if name == "variant" else None) for name, column in columns.items()
    ]
    (row,) = lines([pa.record_batch(list(columns.values()), schema=pa.schema(fields))], flavor)
    members = ",".join(f'"{name}":{text}' for name, text in zip(columns, TABLE[flavor], strict=True))
    assert row == f"{{{members}}}"


def test_toward_zero():
    """What is finer than a millisecond or microsecond is cut off toward zero, before 1970 too, in every unit."""

    def millis(values: list[int], unit: str) -> list[str]:
        return spelled(pa.array(values, pa.int64()).view(pa.timestamp(unit)), "pandas")

    assert millis([-1, -1500, -999, 999, 1500, -1000], "us") == ["0", "-1", "0", "0", "1", "-1"]
    assert millis([-999_999, -1_000_000, 1_999_999], "ns") == ["0", "-1", "1"]
    assert millis([-7, 7], "ms") == ["-7", "7"]
    assert millis([0, -1, 2**63 - 1, -(2**63)], "s") == [
        "0", "-1000", "9223372036854775807000", "-9223372036854775808000",
    ]  # fmt: skip
    clock = pa.array([999_999, 1_000_000, 86_399_999_999_999]).view(pa.time64("ns"))
    assert spelled(clock, "kafka_connect_json_converter") == ["0", "1", "86399999"]
    assert spelled(clock, "debezium_mysql") == ["999", "1000", "86399999999"]
    for unit, size in (("s", 1), ("ms", 1000)):
        ticks = pa.array([0, 86_399 * size], pa.int32()).view(pa.time32(unit))
        assert spelled(ticks, "kafka_connect_json_converter") == ["0", "86399000"]
        assert spelled(ticks, "debezium_postgres") == ["0", "86399000000"]
    days = pa.array([-86_400_000, 86_400_000]).view(pa.date64())
    assert spelled(days, "debezium_mysql") == ["-1", "1"]


def test_binary():
    """Base58 keeps leading zeros as ones; base64 is the standard's, with padding; both of any length."""
    values = [
        b"",
        b"\0",
        b"\0\0a",
        b"hello world",
        *(bytes(range(255, 255 - n, -1)) for n in range(70)),
        b"\xff" * 5000,
    ]
    for kind in (pa.binary(), pa.large_binary(), pa.binary_view()):
        column = pa.array([*values, None], kind)
        found = spelled(column, "blockchain")
        assert found[:4] == ['""', '"1"', '"112g"', '"StV1DL6CwTryKyV"']
        made = spelled(column, "default", binary_base64=True)
        assert [base64.b64decode(json.loads(text), validate=True) for text in made[:-1]] == values
        assert [bytes.fromhex(json.loads(text)[2:]) for text in spelled(column, "postgres")[:-1]] == values
        assert spelled(column, "c_hex")[3] == '"0x68656c6c6f20776f726c64"'
    assert spelled(pa.array([b"hi", b"\0\1"], pa.binary(2)), "blockchain") == ['"8wr"', '"12"']


def test_decimals_with_their_scale():
    """keep_decimal_scale keeps every digit of the scale, in numbers and in texts, of every width."""
    for kind in (pa.decimal32(9, 3), pa.decimal64(18, 3), pa.decimal128(38, 3), pa.decimal256(76, 3)):
        column = pa.array([Decimal(text) for text in ("10.000", "1.500", "-0.010", "0.000")], kind)
        kept = ["10.000", "1.500", "-0.010", "0.000"]
        assert spelled(column, "default", keep_decimal_scale=True) == kept
        assert spelled(column, "snowflake", keep_decimal_scale=True) == [f'"{text}"' for text in kept]
    whole = pa.array([Decimal(5), Decimal(0)], pa.decimal128(5, 0))
    assert spelled(whole, "default", keep_decimal_scale=True) == ["5", "0"]
    for scale, text in ((-2, "700"), (30, f"0.{'0' * 29}7"), (38, f"0.{'0' * 37}7")):
        raw = pa.py_buffer((7).to_bytes(16, "little"))
        column = pa.Array.from_buffers(pa.decimal128(38, scale), 1, [None, raw])
        assert spelled(column, "default", keep_decimal_scale=True) == [text]
    large = [10**37, 0, -(10**25)]
    raw = pa.py_buffer(b"".join(n.to_bytes(16, "little", signed=True) for n in large))
    column = pa.Array.from_buffers(pa.decimal128(38, 30), 3, [None, raw])
    assert spelled(column, "default", keep_decimal_scale=True) == [
        f"10000000.{'0' * 30}", f"0.{'0' * 30}", f"-0.00001{'0' * 25}",
    ]  # fmt: skip


def test_iso_timestamps():
    """iso_timestamps puts a T between day and time in any flavor, and an offset where the column has a zone."""
    for flavor in FLAVORS:
        for zone, behind in ((None, ""), ("Europe/Prague", "+00:00")):
            column = pa.array([1529501823120000, None]).view(pa.timestamp("us", zone))
            assert spelled(column, flavor, iso_timestamps=True) == [f'"2018-06-20T13:37:03.120{behind}"', "null"]


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()])
def test_not_finite(kind):
    """NaN and the infinities are null, an error that names row and column, or texts."""
    values = [1.5, float("nan"), float("inf"), float("-inf"), None, -0.0]
    numbers = [None if value is None else np.dtype(kind.to_pandas_dtype()).type(value) for value in values]
    column = pa.array(numbers, kind)
    assert spelled(column, "default") == ["1.5", "null", "null", "null", "null", "-0.0"]
    assert spelled(column, "default", non_finite="string") == [
        "1.5", '"NaN"', '"Infinity"', '"-Infinity"', "null", "-0.0",
    ]  # fmt: skip
    made = penstock.preview(
        pa.record_batch([column], names=["v"]), topic="t", format=form("default"), non_finite="error"
    )
    with pytest.raises(penstock.EncodeError, match="NaN") as caught:
        list(made)
    assert (caught.value.row, caught.value.column) == (1, "v")
    nested = pa.array([[1.0, float("inf")]], pa.list_(pa.float64()))
    with pytest.raises(penstock.EncodeError, match="Infinity"):
        spelled(nested, "default", non_finite="error")


def test_nulls_left_out():
    """omit_nulls leaves out columns and struct fields that are null, and nothing of lists and maps."""
    kind = pa.struct([("a", pa.int8()), ("b", pa.struct([("c", pa.string())]))])
    rows = [
        {"x": None, "s": None, "l": [None], "m": [("k", None)], "d": None, "n": None},
        {"x": 1, "s": {"a": None, "b": {"c": None}}, "l": None, "m": None, "d": "y", "n": None},
        {"x": None, "s": {"a": 2, "b": None}, "l": [], "m": [], "d": None, "n": None},
    ]
    schema = pa.schema([
        ("x", pa.int64()), ("s", kind), ("l", pa.list_(pa.int8())), ("m", pa.map_(pa.string(), pa.int8())),
        ("d", pa.dictionary(pa.int8(), pa.string())), ("n", pa.null()),
    ])  # fmt: skip
    batch = pa.RecordBatch.from_pylist(rows, schema=schema)
    assert lines([batch], "default", omit_nulls=True) == [
        '{"l":[null],"m":{"k":null}}',
        '{"x":1,"s":{"b":{}},"d":"y"}',
        '{"s":{"a":2},"l":[],"m":{}}',
    ]
    behind = pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["v", None]))
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([1, 2], pa.int32()), pa.array([None, 5]))
    assert lines([pa.record_batch([behind, runs], names=["d", "r"])], "default", omit_nulls=True) == [
        '{"d":"v"}', '{"r":5}',
    ]  # fmt: skip
    assert lines([pa.record_batch([pa.nulls(2)], names=["n"])], "default", omit_nulls=True) == ["{}", "{}"]


def maps(keys: pa.Array) -> pa.Array:
    return pa.MapArray.from_arrays([0, len(keys)], keys, pa.array(range(len(keys))))


def test_map_keys():
    """A key is spelled as its type is in the flavor, in quotation marks, and sorted by value."""
    days = pa.array([20, -3, 5], pa.int32()).view(pa.date32())
    assert spelled(maps(days), "debezium_mysql") == ['{"-3":1,"5":2,"20":0}']
    stamps = pa.array([2000, -1000]).view(pa.timestamp("us"))
    assert spelled(maps(stamps), "pandas") == ['{"-1":1,"2":0}']
    assert spelled(maps(stamps), "snowflake")[0].startswith('{"1969-12-31T23:59:59.999+00:00":1,')
    decimals = pa.array([Decimal("10.50"), Decimal("-2.00"), Decimal("9.00")], pa.decimal128(5, 2))
    assert spelled(maps(decimals), "snowflake") == ['{"-2":1,"9":2,"10.5":0}']
    wide = pa.array([Decimal(2) ** 100, -(Decimal(2) ** 100), Decimal(-1)], pa.decimal256(76, 0))
    assert [text.count(":") for text in spelled(maps(wide), "pandas")] == [3]
    assert spelled(maps(pa.array([b"b", b"a\0"])), "c_hex") == ['{"0x6100":1,"0x62":0}']
    assert spelled(maps(pa.array([b"b"])), "default", binary_base64=True) == ['{"Yg==":0}']
    for keys, flavor in ((decimals, "default"), (decimals, "c_hex"), (pa.array([b"a"]), "snowflake")):
        with pytest.raises(penstock.SchemaError, match="keys"):
            spelled(maps(keys), flavor)
    with pytest.raises(penstock.EncodeError, match="NaN"):
        lines([pa.record_batch([maps(pa.array([float("nan")]))], names=["v"])], "default", non_finite="string")


def test_variants():
    """VARIANT text is rewritten the same way everywhere; as a string it is escaped, and null is a text too."""
    column = pa.array(['{"b": [1, 2.50, "x\\n"], "a": null}', "null", None, "5.0", "7"])
    field = pa.field("v", pa.string(), metadata=VARIANT)
    assert spelled(column, "datagen", field) == ['{"a":null,"b":[1,2.5,"x\\n"]}', "null", "null", "5", "7"]
    assert spelled(column, "pandas", field) == [
        '"{\\"a\\":null,\\"b\\":[1,2.5,\\"x\\\\n\\"]}"', '"null"', "null", '"5"', '"7"',
    ]  # fmt: skip
    assert spelled(column, "postgres", field) == [
        '{"a":null,"b":[1,"2.5","x\\n"]}', "null", "null", '"5"', "7",
    ]  # fmt: skip
    numbers = pa.array(["[" + ",".join(["1.5"] * 500) + "]"])
    assert spelled(numbers, "postgres", field) == ["[" + ",".join(['"1.5"'] * 500) + "]"]


def test_flavors_by_update_format():
    """Without json_flavor snowflake and debezium take their own, all others the default."""
    batch = pa.record_batch({"d": pa.array([Decimal("1.5")], pa.decimal128(3, 1))})
    for update_format, text in (("snowflake", '"1.5"'), ("debezium", '"1.5"'), ("weighted", "1.5"), ("raw", "1.5")):
        config = {"name": "json", "config": {"update_format": update_format}}
        (message,) = penstock.preview(batch, topic="t", format=config)
        assert f'{{"d":{text}'.encode() in message.value
        config["config"]["json_flavor"] = "c_hex"  # any flavor goes with any update format
        (message,) = penstock.preview(batch, topic="t", format=config)
        assert b'{"d":1.5' in message.value
