"""Any schema, any layout, any slice: our datums against fastavro, which nobody here wrote.

The values are read from Arrow's buffers by the slow reference below, as Avro's physical types (a timestamp is a number,
a decimal bytes), so that no value is out of reach of Python's datetime. fastavro writes them, and reads ours.
"""

from __future__ import annotations

import copy
import io
import math
import uuid
from typing import Any

import fastavro
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock
from oracles import NoForm, _runs
from penstock import _core
from penstock.formats.avro_schema import Name, Style, generate
from strategies import DEPTH, INDICES, LEAVES, RUN_ENDS, STRINGS, TICKS, arrays, fields, lists

NAMES = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,5}\Z")


@st.composite
def structs(draw: st.DrawFn, inner: st.SearchStrategy[pa.DataType]) -> pa.DataType:
    names = draw(st.lists(NAMES, unique=True, max_size=3))
    return pa.struct([draw(fields(draw(inner), st.just(name))) for name in names])


@st.composite
def maps(draw: st.DrawFn, inner: st.SearchStrategy[pa.DataType]) -> pa.DataType:
    key = draw(st.one_of(STRINGS, st.builds(pa.dictionary, INDICES, STRINGS)))
    return pa.map_(pa.field("key", key, nullable=False), draw(fields(draw(inner), st.just("value"))))


def types(depth: int = DEPTH) -> st.SearchStrategy[pa.DataType]:
    if depth == 0:
        return LEAVES
    inner = types(depth - 1)
    values = inner.filter(lambda kind: not isinstance(kind, pa.BaseExtensionType) and not pa.types.is_null(kind))
    flat = values.filter(lambda kind: not (pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind)))
    return st.one_of(
        LEAVES,
        lists(inner),
        structs(inner),
        maps(inner),
        st.builds(pa.dictionary, INDICES, flat),
        st.builds(pa.run_end_encoded, RUN_ENDS, flat),
    )


@st.composite
def batches(draw: st.DrawFn) -> pa.RecordBatch:
    names = draw(st.lists(NAMES, unique=True, min_size=1, max_size=4))
    schema = pa.schema([draw(fields(draw(types()), st.just(name))) for name in names])
    rows = draw(st.integers(0, 6))
    return pa.RecordBatch.from_arrays([draw(arrays(field, rows)) for field in schema], schema=schema)


# ---- the reference --------------------------------------------------------------------------------------------------


def physical(array: pa.Array, field: pa.Field) -> list[Any]:
    """Return each value as Avro stores it."""
    t, kind = pa.types, field.type
    mark = (field.metadata or {}).get(b"sql_type")
    if isinstance(kind, pa.BaseExtensionType):
        mark = {"arrow.json": b"VARIANT", "arrow.uuid": b"UUID"}[kind.extension_name]
        array, kind = array.storage, kind.storage_type
    inner = {b"sql_type": mark} if mark else None
    if t.is_dictionary(kind):
        return _picked(array.dictionary, pa.field("", kind.value_type, metadata=inner), array.indices.to_pylist())
    if t.is_run_end_encoded(kind):
        return _picked(array.values, pa.field("", kind.value_type, metadata=inner), _runs(array))
    valid = array.is_valid().to_pylist()
    if t.is_decimal(kind):
        return [_decimal(array, row, kind) if good else None for row, good in enumerate(valid)]
    if t.is_map(kind):
        return [_map(array[row].values, kind) if good else None for row, good in enumerate(valid)]
    if hasattr(kind, "value_field"):
        return [physical(array[row].values, kind.value_field) if good else None for row, good in enumerate(valid)]
    if t.is_struct(kind):
        children = [kind.field(at) for at in range(kind.num_fields)]
        return [
            {child.name: physical(array.field(at).slice(row, 1), child)[0] for at, child in enumerate(children)}
            if good
            else None
            for row, good in enumerate(valid)
        ]
    if t.is_temporal(kind):
        numbers = array.view(pa.int32() if kind.bit_width == 32 else pa.int64()).to_pylist()
        return [None if v is None else _ticks(v, kind) for v in numbers]
    return [None if v is None else _leaf(v, kind, mark) for v in array.to_pylist()]


def _picked(values: pa.Array, field: pa.Field, places: list[int | None]) -> list[Any]:
    """Return the values at these places; what nobody refers to may have no form."""
    of = {place: physical(values.slice(place, 1), field)[0] for place in {*places} - {None}}
    return [None if place is None else of[place] for place in places]


def _decimal(array: pa.Array, row: int, kind: pa.DataType) -> bytes:
    width = kind.bit_width // 8
    at = (array.offset + row) * width
    value = int.from_bytes(array.buffers()[1].to_pybytes()[at : at + width], "little", signed=True)
    digits = kind.precision
    if kind.scale < 0:
        value *= 10**-kind.scale
        digits -= kind.scale
    return value.to_bytes(16 if max(digits, kind.scale) <= 38 else 32, "big", signed=True)


def _map(entries: pa.StructArray, kind: pa.MapType) -> dict[str, Any]:
    keys, values = physical(entries.field(0), kind.key_field), physical(entries.field(1), kind.item_field)
    if len(set(keys)) < len(keys):
        raise NoForm("a key twice: both are written, and readers keep the last")
    return dict(sorted(zip(keys, values, strict=True), key=lambda entry: entry[0].encode()))


def _ticks(value: int, kind: pa.DataType) -> int:
    if pa.types.is_date(kind):
        days = value if kind.bit_width == 32 else value // 86_400_000
        if not -(2**31) <= days < 2**31:
            raise NoForm("a date beyond 32 bits of days")
        return days
    size = TICKS[kind.unit]
    micros = value * (10**6 // size) if size <= 10**6 else abs(value) // (size // 10**6) * (1 if value >= 0 else -1)
    if not -(2**63) <= micros < 2**63:
        raise NoForm("a timestamp beyond 64 bits of microseconds")
    return micros


def _leaf(value: Any, kind: pa.DataType, mark: bytes | None) -> Any:
    if mark == b"UUID":
        return str(value if isinstance(value, uuid.UUID) else _uuid(value))
    if mark == b"VARIANT":
        return _core.rewrite_json(value.encode()).decode()
    return str(value) if kind == pa.uint64() else value


def _uuid(value: str | bytes) -> uuid.UUID:
    return uuid.UUID(value) if isinstance(value, str) else uuid.UUID(bytes=value)


def without_logical_types(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {name: without_logical_types(value) for name, value in schema.items() if name != "logicalType"}
    return [without_logical_types(branch) for branch in schema] if isinstance(schema, list) else schema


def same(ours: Any, theirs: Any) -> bool:
    """Whether two values are equal, NaN with NaN."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return list(ours) == list(theirs) and all(same(ours[name], theirs[name]) for name in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(ours, float) and isinstance(theirs, float) and math.isnan(ours):
        return math.isnan(theirs)
    return type(ours) is type(theirs) and ours == theirs


def has_nan(value: Any) -> bool:
    if isinstance(value, (dict, list)):
        return any(map(has_nan, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and math.isnan(value)


# ---- the tests ------------------------------------------------------------------------------------------------------


@given(batch=batches())
def test_datums_are_fastavros(batch):
    """fastavro reads from our bytes what the buffers hold, and writes the same bytes."""
    schema = generate(list(batch.schema), Name("t", ""), Style())
    parsed = fastavro.parse_schema(without_logical_types(copy.deepcopy(schema)))
    fastavro.parse_schema(schema)  # with the logical types it is good too
    config = {"name": "avro", "config": {"skip_schema_id": True}}
    made = penstock.preview(batch, topic="t", format=config)
    try:
        columns = [physical(column, field) for column, field in zip(batch.columns, batch.schema, strict=True)]
    except NoForm as why:
        if "twice" not in str(why):
            with pytest.raises(penstock.EncodeError):
                list(made)
        return
    messages = list(made)
    assert len(messages) == batch.num_rows
    for row, message in enumerate(messages):
        wanted = {name: column[row] for name, column in zip(batch.schema.names, columns, strict=True)}
        read = io.BytesIO(message.value)
        assert same(fastavro.schemaless_reader(read, parsed), wanted)
        assert read.read() == b""
        if not has_nan(wanted):
            written = io.BytesIO()
            fastavro.schemaless_writer(written, parsed, wanted)
            assert written.getvalue() == message.value
