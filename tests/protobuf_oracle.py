"""Protobuf values read back by Google's own package, and what they ought to be by the tables of the documentation.

    pa.Array, Field ──plain()──▶ Python values per row ──agree()──◀ google.protobuf message ──◀ bytes of the core

Nothing here is shared with the core or with the planner; the message classes come from protoc.
"""

from __future__ import annotations

import math
import tempfile
import uuid
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

import oracles
from scalars import TICKS, NoForm, decimal_text, variant_text

INCLUDED = Path(protoc.__file__).parent / "_proto"


class Stamp(NamedTuple):
    """Since 1970."""

    seconds: int
    nanos: int


class Pairs(list):
    """The entries of one map."""


def compiled(text: str, name: str = "t.proto", *, imports: bool = True) -> bytes:
    """Return the FileDescriptorSet that protoc makes of .proto text."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / name, Path(folder) / "set"
        source.write_text(text, encoding="utf-8")
        arguments = ["protoc", f"-I{folder}", f"-I{INCLUDED}", f"--descriptor_set_out={target}", str(source)]
        assert protoc.main([*arguments, *(["--include_imports"] if imports else [])]) == 0, text
        return target.read_bytes()


def message_class(descriptor_set: bytes, name: str) -> Any:
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptor_set).file:
        pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


# ---- what a column holds --------------------------------------------------------------------------------------------


def plain(array: pa.Array, field: pa.Field) -> list[Any]:
    """Return a Python value per row; NoForm for what Protobuf cannot say."""
    kind = field.type
    t = pa.types
    mark = (field.metadata or {}).get(b"sql_type", b"").decode()
    if isinstance(kind, pa.BaseExtensionType):
        mark = {"arrow.json": "VARIANT", "arrow.uuid": "UUID"}[kind.extension_name]
        array, kind = array.storage, kind.storage_type
    inner = {"sql_type": mark} if mark else None
    if t.is_dictionary(kind):
        # a value that no row points at may have no form
        values = pa.field("", kind.value_type, metadata=inner)
        places = array.indices.to_pylist()
        return [None if at is None else plain(array.dictionary.slice(at, 1), values)[0] for at in places]
    if t.is_run_end_encoded(kind):
        values = pa.field("", kind.value_type, metadata=inner)
        return [plain(array.values.slice(run, 1), values)[0] for run in oracles._runs(array)]
    valid = array.is_valid().to_pylist()
    return [_value(array, kind, mark, row) if valid[row] else None for row in range(len(array))]


def _value(array: pa.Array, kind: pa.DataType, mark: str, row: int) -> Any:
    t = pa.types
    if t.is_map(kind):
        keys = plain(array[row].values.field(0), kind.key_field)
        items = plain(array[row].values.field(1), kind.item_field)
        return Pairs(zip(_present(keys), _present(items), strict=True))
    if oracles._is_list(kind):
        return _present(plain(array[row].values, kind.value_field))
    if t.is_struct(kind):
        fields = [kind.field(at) for at in range(kind.num_fields)]
        return {f.name: plain(array.field(at).slice(row, 1), f)[0] for at, f in enumerate(fields)}
    if t.is_decimal(kind):
        return decimal_text(oracles.integers(array.slice(row, 1), kind.bit_width // 8)[0], kind.scale)
    if t.is_temporal(kind):
        return _moment(oracles.integers(array.slice(row, 1), kind.bit_width // 8)[0], kind)
    value = array[row].as_py()
    if mark == "UUID":
        return str(uuid.UUID(value) if isinstance(value, str) else uuid.UUID(bytes=value))
    if mark == "VARIANT" and isinstance(value, str):
        return variant_text(value)
    return float(value) if t.is_floating(kind) else value


def _moment(ticks: int, kind: pa.DataType) -> Any:
    if pa.types.is_time(kind):
        return ticks
    if pa.types.is_date(kind):
        days = ticks if kind.bit_width == 32 else ticks // 86_400_000
        if not -(2**31) <= days < 2**31:
            raise NoForm("a day beyond 32 bits")
        return days
    seconds, rest = divmod(ticks, TICKS[kind.unit])
    if not -62135596800 <= seconds <= 253402300799:
        raise NoForm("a year outside 1 to 9999")
    return Stamp(seconds, rest * (10**9 // TICKS[kind.unit]))


def _present(values: list[Any]) -> list[Any]:
    if any(value is None for value in values):
        raise NoForm("a null in a repeated field or a map")
    return values


def rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return each row as a dictionary; NoForm when one of them has none."""
    columns = [plain(column, field) for column, field in zip(batch.columns, batch.schema, strict=True)]
    return [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]


# ---- what was read --------------------------------------------------------------------------------------------------


def agree(message: Any, expected: dict[str, Any]) -> None:
    """Assert that the message holds these values: absent where they are None, present where they are not."""
    for field in message.DESCRIPTOR.fields:
        _agree_field(message, field, expected.get(field.name))


def _agree_field(message: Any, field: Any, expected: Any) -> None:
    got = getattr(message, field.name)
    if field.is_repeated:
        if expected is None:
            assert len(got) == 0
        elif isinstance(expected, Pairs):
            last = dict(expected)
            assert set(got) == set(last)
            for key, value in last.items():
                _agree_value(got[key], value)
        else:
            assert len(got) == len(expected)
            for one, value in zip(got, expected, strict=True):
                _agree_value(one, value)
    elif expected is None:
        assert not message.HasField(field.name)
    else:
        assert not field.has_presence or message.HasField(field.name)
        _agree_value(got, expected)


def _agree_value(got: Any, expected: Any) -> None:
    if isinstance(expected, Stamp):
        assert (got.seconds, got.nanos) == expected
    elif isinstance(expected, dict):
        agree(got, expected)
    elif isinstance(expected, list):  # in a message of its own, because the place holds one value
        (only,) = got.DESCRIPTOR.fields
        assert only.name == ("entries" if isinstance(expected, Pairs) else "items")
        _agree_field(got, only, expected)
    elif isinstance(expected, float) and math.isnan(expected):
        assert math.isnan(got)
    else:
        assert type(got) is type(expected)
        assert got == expected
        assert not isinstance(expected, float) or math.copysign(1.0, got) == math.copysign(1.0, expected)
