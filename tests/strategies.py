"""Hypothesis strategies: any schema the JSON format can write, any batch of it, sliced anywhere.

    fields() ──▶ pa.Field of any type to depth 3 ──arrays()──▶ pa.Array with nulls and an offset ──▶ batches()

Arrays are put together from raw buffers, so that values which pyarrow's Python objects cannot hold, slots under a null
that are not empty, and children with an offset of their own all occur. Two profiles: `quick` (the default here) and
`thorough` (`--hypothesis-profile=thorough`).
"""

from __future__ import annotations

import functools
import json
import struct
import uuid
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

SLOW_TO_DRAW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
settings.register_profile("quick", max_examples=60, deadline=None, suppress_health_check=SLOW_TO_DRAW)
settings.register_profile("thorough", max_examples=3000, deadline=None, suppress_health_check=SLOW_TO_DRAW)
if settings.get_current_profile_name() not in {"quick", "thorough"}:
    settings.load_profile("quick")

DEPTH = 3
TEXT = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from('"\\/\b\f\n\r\t\x00\x01\x1f \x7f\u2028\u00e9\u2318\U0001f44f'),
    ),
    max_size=40,
)
# a C string ends at NUL, and Arrow's C interface passes names as C strings
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=6)
UNITS = st.sampled_from(["s", "ms", "us", "ns"])
TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
VARIANT = {"sql_type": "VARIANT"}
UUID = {"sql_type": "UUID"}


# ---- types ----------------------------------------------------------------------------------------------------------


@st.composite
def decimals(draw: st.DrawFn) -> pa.DataType:
    make, widest = draw(
        st.sampled_from([(pa.decimal32, 9), (pa.decimal64, 18), (pa.decimal128, 38), (pa.decimal256, 76)])
    )
    precision = draw(st.integers(1, widest))
    return make(precision, draw(st.integers(-3, precision)))


STRINGS = st.sampled_from([pa.string(), pa.large_string(), pa.string_view()])
INTEGERS = st.sampled_from([getattr(pa, f"{sign}int{width}")() for sign in ("", "u") for width in (8, 16, 32, 64)])
TIMES = st.one_of(
    st.sampled_from([pa.date32(), pa.date64()]),
    st.sampled_from([pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")]),
    st.builds(pa.timestamp, UNITS, st.sampled_from([None, "UTC", "Europe/Prague", "+05:30"])),
)
BINARY = st.sampled_from([pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(1), pa.binary(16), pa.binary(5)])
EXTENSIONS = st.sampled_from([pa.uuid(), pa.json_(), pa.json_(pa.large_string()), pa.json_(pa.string_view())])
LEAVES = st.one_of(
    st.just(pa.bool_()),
    INTEGERS,
    st.sampled_from([pa.float16(), pa.float32(), pa.float64()]),
    decimals(),
    STRINGS,
    BINARY,
    TIMES,
    EXTENSIONS,
    st.just(pa.null()),
)
# what json.loads and to_pylist agree on: the second oracle is the standard library
PLAIN_LEAVES = st.one_of(st.sampled_from([pa.bool_(), pa.float64(), pa.string(), pa.null()]), INTEGERS, STRINGS)
KEYS = st.one_of(STRINGS, INTEGERS, st.sampled_from([pa.bool_(), pa.float32(), pa.float64(), pa.uuid()]), TIMES)
INDICES = st.sampled_from([pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.int64(), pa.uint64()])
RUN_ENDS = st.sampled_from([pa.int16(), pa.int32(), pa.int64()])


@st.composite
def structs(draw: st.DrawFn, inner: st.SearchStrategy[pa.DataType]) -> pa.DataType:
    names = draw(st.lists(NAMES, unique=True, max_size=3))
    return pa.struct([draw(fields(draw(inner), st.just(name))) for name in names])


@st.composite
def maps(draw: st.DrawFn, inner: st.SearchStrategy[pa.DataType]) -> pa.DataType:
    key = draw(st.one_of(KEYS, st.builds(pa.dictionary, INDICES, KEYS)))
    item = draw(fields(draw(inner), st.just("value")))
    return pa.map_(pa.field("key", key, nullable=False), item)


@st.composite
def lists(draw: st.DrawFn, inner: st.SearchStrategy[pa.DataType]) -> pa.DataType:
    child = draw(fields(draw(inner), st.just("item")))
    form = draw(st.sampled_from([pa.list_, pa.large_list, pa.list_view, pa.large_list_view, "fixed"]))
    return pa.list_(child, draw(st.integers(0, 3))) if form == "fixed" else form(child)


@functools.cache  # put together anew for each draw they would take longer than the draw
def types(depth: int = DEPTH, leaves: st.SearchStrategy[pa.DataType] = LEAVES) -> st.SearchStrategy[pa.DataType]:
    """Return types nested at most `depth` deep: a leaf, lists, a struct, a map, a dictionary, run ends."""
    if depth == 0:
        return leaves
    inner = types(depth - 1, leaves)
    # a dictionary or run-end encoding of extension types cannot be put together by pyarrow
    values = inner.filter(lambda kind: not isinstance(kind, pa.BaseExtensionType) and not pa.types.is_null(kind))
    flat = values.filter(lambda kind: not (pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind)))
    return st.one_of(
        leaves,
        lists(inner),
        structs(inner),
        maps(inner),
        st.builds(pa.dictionary, INDICES, flat),
        st.builds(pa.run_end_encoded, RUN_ENDS, flat),
    )


@functools.cache
def plain_types(depth: int = 2) -> st.SearchStrategy[pa.DataType]:
    """Return types whose to_pylist() is what json.loads gives back."""
    if depth == 0:
        return PLAIN_LEAVES
    inner = plain_types(depth - 1)
    members = st.lists(st.tuples(NAMES, inner), unique_by=lambda member: member[0], max_size=3)
    return st.one_of(PLAIN_LEAVES, *map(inner.map, [pa.list_, pa.large_list, pa.list_view]), members.map(pa.struct))


def is_string(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


@st.composite
def fields(
    draw: st.DrawFn, kind: pa.DataType, names: st.SearchStrategy[str] = NAMES, *, marked: bool = True
) -> pa.Field:
    """Return a field of `kind`, at times `marked` as VARIANT or UUID where its values may be such."""
    value = kind.value_type if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind) else kind
    marks: list[dict[str, str] | None] = [None, None]
    if marked and is_string(value):
        marks += [VARIANT, UUID]
    elif marked and value.equals(pa.binary(16)):
        marks += [UUID]
    nullable = draw(st.booleans()) or pa.types.is_null(kind)
    return pa.field(draw(names), kind, nullable=nullable, metadata=draw(st.sampled_from(marks)))


@st.composite
def schemas(draw: st.DrawFn, kinds: st.SearchStrategy[pa.DataType], *, marked: bool = True) -> pa.Schema:
    names = draw(st.lists(NAMES, unique=True, min_size=1, max_size=4))
    return pa.schema([draw(fields(draw(kinds), st.just(name), marked=marked)) for name in names])


# ---- values ---------------------------------------------------------------------------------------------------------


@st.composite
def json_numbers(draw: st.DrawFn) -> str:
    """Return the text of a number, in any of the spellings of RFC 8259."""
    if draw(st.booleans()):
        return str(draw(st.integers(-(2**63), 2**64 - 1)))
    number = Decimal(draw(st.integers(-(10**17), 10**17))).scaleb(draw(st.integers(-20, 12)))
    return draw(st.sampled_from([f"{number:f}", f"{number:e}", f"{number:E}", f"{number:.3f}"]))


@st.composite
def json_texts(draw: st.DrawFn, depth: int = 2) -> str:
    """Return JSON text with white space wherever it is allowed."""
    space = st.sampled_from(["", "", "", " ", "\n\t", "\r "])
    before, after = draw(space), draw(space)
    shape = draw(st.sampled_from(["scalar", "number", "text", "list", "object"][: 5 if depth else 3]))
    if shape == "scalar":
        body = draw(st.sampled_from(["null", "true", "false"]))
    elif shape == "number":
        body = draw(json_numbers())
    elif shape == "text":
        body = json.dumps(draw(TEXT), ensure_ascii=draw(st.booleans()))
    elif shape == "list":
        body = f"[{','.join(draw(st.lists(json_texts(depth - 1), max_size=3))) or draw(space)}]"
    else:
        members = draw(st.lists(st.tuples(TEXT, space, json_texts(depth - 1)), max_size=3))
        body = ",".join(f"{json.dumps(name)}{gap}:{value}" for name, gap, value in members)
        body = f"{{{body or draw(space)}}}"
    return before + body + after


def _texts(field: pa.Field) -> st.SearchStrategy[str]:
    mark = (field.metadata or {}).get(b"sql_type")
    if mark == b"VARIANT":
        return json_texts()
    return st.uuids().map(str) if mark == b"UUID" else TEXT


def _whole(bits: int, *, signed: bool = True) -> st.SearchStrategy[int]:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return st.one_of(st.integers(low, high), st.integers(max(low, -100), 100))


def _ticks(kind: pa.DataType) -> st.SearchStrategy[int]:
    """Return raw values of a date, time or timestamp: near and far years, whole and broken seconds."""
    if pa.types.is_time(kind):
        return st.integers(0, 86400 * TICKS[kind.unit] - 1)
    if pa.types.is_date32(kind):
        return st.one_of(_whole(32), st.integers(-720000, 2933000))
    if pa.types.is_date64(kind):  # milliseconds, whole days by Arrow's specification
        most = 2**63 // 86_400_000 - 1
        return st.one_of(st.integers(-most, most), st.integers(-720000, 2933000)).map(lambda day: day * 86_400_000)
    size = TICKS[kind.unit]
    seconds = st.integers(max(-(2**63) // size + 1, -62200000000), min((2**63 - 1) // size - 1, 253403000000))
    coarse = st.builds(lambda second, part: second * size + part * size // 1000, seconds, st.integers(0, 999))
    return st.one_of(_whole(64), coarse, seconds.map(lambda second: second * size))


def _raw(kind: pa.DataType) -> tuple[st.SearchStrategy[bytes], int] | None:
    """Return a strategy for the bytes of one value of a fixed-width type, and their number."""
    t = pa.types
    if t.is_integer(kind):
        width, signed = kind.bit_width // 8, t.is_signed_integer(kind)
        return _whole(kind.bit_width, signed=signed).map(lambda v: v.to_bytes(width, "little", signed=signed)), width
    if t.is_floating(kind):
        width, form = kind.bit_width // 8, {16: "<e", 32: "<f", 64: "<d"}[kind.bit_width]
        values = st.floats(width=kind.bit_width).map(lambda v: struct.pack(form, v))
        return st.one_of(values, st.binary(min_size=width, max_size=width)), width
    if t.is_decimal(kind):
        width, most = kind.bit_width // 8, 10**kind.precision - 1
        return st.integers(-most, most).map(lambda v: v.to_bytes(width, "little", signed=True)), width
    if t.is_temporal(kind):
        width = kind.bit_width // 8
        return _ticks(kind).map(lambda v: v.to_bytes(width, "little", signed=True)), width
    if t.is_fixed_size_binary(kind):
        return st.binary(min_size=kind.byte_width, max_size=kind.byte_width), kind.byte_width
    return None


def bitmap(flags: list[bool]) -> pa.Buffer | None:
    """Return flags as an Arrow bitmap."""
    packed = bytearray((len(flags) + 7) // 8)
    for at, flag in enumerate(flags):
        packed[at // 8] |= flag << at % 8
    return pa.py_buffer(bytes(packed))


def _many(values: st.SearchStrategy[Any], count: int) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=count, max_size=count)


@st.composite
def validity(draw: st.DrawFn, field: pa.Field, count: int) -> pa.Buffer | None:
    """Return a validity bitmap, or None where nothing may be null or nothing is."""
    if not field.nullable or draw(st.integers(0, 2)) == 0:
        return None
    return bitmap(draw(_many(st.booleans(), count)))


@st.composite
def arrays(draw: st.DrawFn, field: pa.Field, count: int) -> pa.Array:
    """Return `count` values of the field's type, half of the time as a slice of something longer."""
    lead, tail = draw(st.sampled_from([(0, 0), (0, 0), (1, 0), (0, 2), (3, 1), (9, 0)]))
    whole = draw(_arrays(field, lead + count + tail))
    return whole.slice(lead, count)


@st.composite
def _arrays(draw: st.DrawFn, field: pa.Field, count: int) -> pa.Array:
    kind = field.type
    t = pa.types
    if t.is_null(kind):
        return pa.nulls(count)
    if isinstance(kind, pa.BaseExtensionType):
        metadata = VARIANT if kind.extension_name == "arrow.json" else None
        storage = pa.field(field.name, kind.storage_type, nullable=field.nullable, metadata=metadata)
        return pa.ExtensionArray.from_storage(kind, draw(_arrays(storage, count)))
    if t.is_boolean(kind):
        bits = bitmap(draw(_many(st.booleans(), count)))
        return pa.Array.from_buffers(kind, count, [draw(validity(field, count)), bits])
    if raw := _raw(kind):
        values = b"".join(draw(_many(raw[0], count)))
        return pa.Array.from_buffers(kind, count, [draw(validity(field, count)), pa.py_buffer(values)])
    if t.is_dictionary(kind):
        return draw(_dictionary(field, count))
    if t.is_run_end_encoded(kind):
        return draw(_runs(field, count))
    if t.is_struct(kind):
        children = [draw(arrays(kind.field(i), count)) for i in range(kind.num_fields)]
        return pa.Array.from_buffers(kind, count, [draw(validity(field, count))], children=children)
    if is_string(kind):
        return pa.array(draw(_many(_nullable(_texts(field), field), count)), kind)
    if t.is_binary(kind) or t.is_large_binary(kind) or t.is_binary_view(kind):
        return pa.array(draw(_many(_nullable(st.binary(max_size=20), field), count)), kind)
    return draw(_lists(field, count))


def _nullable(values: st.SearchStrategy[Any], field: pa.Field) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values) if field.nullable else values


@st.composite
def _dictionary(draw: st.DrawFn, field: pa.Field, count: int) -> pa.Array:
    kind = field.type
    values = pa.field(field.name, kind.value_type, nullable=field.nullable, metadata=field.metadata)
    size = draw(st.integers(1, 4))
    dictionary = draw(arrays(values, size))
    places = pa.array(draw(_many(_nullable(st.integers(0, size - 1), field), count)), kind.index_type)
    return pa.DictionaryArray.from_arrays(places, dictionary)


@st.composite
def _runs(draw: st.DrawFn, field: pa.Field, count: int) -> pa.Array:
    kind = field.type
    values = pa.field(field.name, kind.value_type, nullable=field.nullable, metadata=field.metadata)
    ends = sorted({*draw(st.lists(st.integers(1, max(count, 1)), max_size=3)), count}) if count else []
    runs = draw(arrays(values, len(ends)))
    return pa.RunEndEncodedArray.from_arrays(pa.array(ends, kind.run_end_type), runs, kind)


def _offsets(numbers: list[int], *, large: bool) -> pa.Buffer:
    return pa.array(numbers, pa.int64() if large else pa.int32()).buffers()[1]


@st.composite
def _lists(draw: st.DrawFn, field: pa.Field, count: int) -> pa.Array:
    """Return lists, list views, lists of a fixed size or maps; a null slot may span values."""
    kind = field.type
    t = pa.types
    bits = draw(validity(field, count))
    if t.is_fixed_size_list(kind):
        child = draw(arrays(kind.value_field, count * kind.list_size))
        return pa.Array.from_buffers(kind, count, [bits], children=[child])
    large = t.is_large_list(kind) or t.is_large_list_view(kind)
    sizes = draw(_many(st.integers(0, 3), count))
    if t.is_list_view(kind) or t.is_large_list_view(kind):
        total = draw(st.integers(3, 6))
        starts = [draw(st.integers(0, total - size)) for size in sizes]
        buffers = [bits, _offsets(starts or [0], large=large), _offsets(sizes or [0], large=large)]
        return pa.Array.from_buffers(kind, count, buffers, children=[draw(arrays(kind.value_field, total))])
    start = draw(st.integers(0, 2))
    offsets = [start]
    for size in sizes:
        offsets.append(offsets[-1] + size)
    total = offsets[-1] + draw(st.integers(0, 1))
    child = draw(_entries(kind, total)) if t.is_map(kind) else draw(arrays(kind.value_field, total))
    return pa.Array.from_buffers(kind, count, [bits, _offsets(offsets, large=large)], children=[child])


@st.composite
def _entries(draw: st.DrawFn, kind: pa.DataType, count: int) -> pa.Array:
    """Return map entries whose keys have a form: not null, finite, and no negative zero beside a zero."""
    key = draw(_keys(kind.key_type, count))
    item = draw(arrays(kind.item_field, count))
    entries = pa.struct([kind.key_field, kind.item_field])
    return pa.Array.from_buffers(entries, count, [None], children=[key, item])


@st.composite
def _keys(draw: st.DrawFn, kind: pa.DataType, count: int) -> pa.Array:
    if pa.types.is_dictionary(kind):
        size = draw(st.integers(1, 4))
        places = pa.array(draw(_many(st.integers(0, size - 1), count)), kind.index_type)
        return pa.DictionaryArray.from_arrays(places, draw(_keys(kind.value_type, size)))
    if pa.types.is_floating(kind):
        finite = st.floats(allow_nan=False, allow_infinity=False, width=kind.bit_width)
        return pa.array([value + 0.0 for value in draw(_many(finite, count))], kind)
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(
            kind,
            pa.array([uuid.UUID(int=n).bytes for n in draw(_many(_whole(128, signed=False), count))], pa.binary(16)),
        )
    return draw(arrays(pa.field("key", kind, nullable=False), count))


# ---- batches --------------------------------------------------------------------------------------------------------


@st.composite
def batch_of(draw: st.DrawFn, schema: pa.Schema, *, most: int = 6) -> pa.RecordBatch:
    """Return a batch of at most `most` rows, at times itself a slice."""
    lead, tail = draw(st.sampled_from([(0, 0), (0, 0), (2, 1)]))
    count = draw(st.integers(0, most))
    columns = [draw(arrays(field, lead + count + tail)) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema).slice(lead, count)


@st.composite
def batches(
    draw: st.DrawFn, kinds: st.SearchStrategy[pa.DataType] | None = None, *, marked: bool = True
) -> list[pa.RecordBatch]:
    """Return one to three batches of one schema, of any types or of `kinds`."""
    schema = draw(schemas(types() if kinds is None else kinds, marked=marked))
    return draw(st.lists(batch_of(schema), min_size=1, max_size=3))
