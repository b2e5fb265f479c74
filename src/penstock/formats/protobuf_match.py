"""protobuf_match: a message of a given descriptor set, held against the columns before the first row.

Columns go by name: each needs a field, a field without a column stays unset. What fits what:

    bool                     bool                    binary                  bytes
    integers                 any integer, enum       decimal                 string
    float16, float32         float, double           date, time              integers (days, ticks), string
    float64                  double                  timestamp               google.protobuf.Timestamp, string, integers
    string                   string, bytes, enum     struct, list, map       message, repeated, map
    UUID                     string, bytes           any of these            the google.protobuf wrapper of its field

An integer that may not fit is checked row by row; a float64 does not go into a float.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from penstock.errors import SchemaError
from penstock.formats.protobuf_columns import Column, Proto, columns_of, refuse
from penstock.layout import ProtobufField
from penstock.names import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa

__all__ = ["match"]

_INTEGERS = frozenset(
    {
        Proto.INT32, Proto.INT64, Proto.UINT32, Proto.UINT64, Proto.SINT32, Proto.SINT64,
        Proto.FIXED32, Proto.FIXED64, Proto.SFIXED32, Proto.SFIXED64,
    }
)  # fmt: skip
_FITS = {
    "bool": {Proto.BOOL},
    "int": {*_INTEGERS, Proto.ENUM},
    "uint": {*_INTEGERS, Proto.ENUM},
    "float": {Proto.FLOAT, Proto.DOUBLE},
    "text": {Proto.STRING, Proto.BYTES, Proto.ENUM},
    "uuid": {Proto.STRING, Proto.BYTES},
    "variant": {Proto.STRING, Proto.BYTES},
    "binary": {Proto.BYTES},
    "decimal": {Proto.STRING},
    "date": {*_INTEGERS, Proto.STRING},
    "time": {*_INTEGERS, Proto.STRING},
    "timestamp": {*_INTEGERS, Proto.STRING},
}
_ADVICE = {
    "float": "cast it to float32",
    "decimal": "cast it, or make the field a string",
    "binary": "cast it to string, or make the field bytes",
    "text": "cast it, or make the field a string",
}
_MOST_ONEOFS = 64


def match(descriptor: Any, schema: pa.Schema, columns: Iterable[int]) -> tuple[ProtobufField, ...]:  # noqa: ANN401
    """Return how these columns fill the message; SchemaError where one does not fit."""
    return _fill(descriptor, columns_of(schema, columns), "")


def _fill(descriptor: Any, members: Sequence[tuple[int, str, Column]], where: str) -> tuple[ProtobufField, ...]:  # noqa: ANN401
    fields = descriptor.fields_by_name
    exclusive: dict[int, list[str]] = {}
    matched: set[str] = set()
    for _, name, column in members:
        if name not in fields:
            hint = did_you_mean(name, fields) or "; leave the column out, or take a message that has the field"
            raise SchemaError(
                f'column "{column.path}": message {descriptor.full_name} has no field "{name}"{hint}',
                column=column.path,
            )
        if name in matched:
            raise SchemaError(f'two columns are called "{column.path}"; rename or drop one', column=column.path)
        matched.add(name)
        if fields[name].containing_oneof is not None:
            exclusive.setdefault(fields[name].containing_oneof.index, []).append(name)
    for field in descriptor.fields:
        if field.is_required and field.name not in matched:
            path = f"{where}.{field.name}" if where else field.name
            raise SchemaError(
                f'message {descriptor.full_name} requires "{field.name}", and there is no column "{path}"; add it',
                column=path,
            )
    rivals = [names for names in exclusive.values() if len(names) > 1]
    if len(rivals) > _MOST_ONEOFS:
        raise SchemaError(
            f"message {descriptor.full_name} has {len(rivals)} oneofs with several columns, {_MOST_ONEOFS} are "
            "possible; leave columns out"
        )
    oneofs = {name: number for number, names in enumerate(rivals) for name in names}
    found = [_fit(fields[name], at, column, oneofs.get(name, -1)) for at, name, column in members]
    return tuple(sorted(found, key=lambda one: one.number))


def _fit(field: Any, at: int, column: Column, oneof: int = -1) -> ProtobufField:  # noqa: ANN401
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        if column.kind != "map":
            raise _misfit(field, column, "a map", "cast the column to a map, or leave it out")
        of_key, of_value = field.message_type.fields_by_number[1], field.message_type.fields_by_number[2]
        key, item = column.entry()
        pair = (_value(of_key, 0, key), _value(of_value, 1, item))  # written even when they are defaults
        return ProtobufField(field.number, at, int(Proto.MESSAGE), shape="map", fields=pair)
    if field.is_repeated:
        if column.kind != "list":
            raise _misfit(field, column, "repeated", "cast the column to a list, or leave it out")
        item_of = _value(field, at, column.item())
        return msgspec.structs.replace(item_of, shape="packed" if field.is_packed else "repeated")
    presence = "required" if field.is_required else "explicit" if field.has_presence else "implicit"
    return msgspec.structs.replace(_value(field, at, column), presence=presence, oneof=oneof)


def _value(field: Any, at: int, column: Column) -> ProtobufField:  # noqa: ANN401
    """Return how one value of the column fills the field, repeated or not."""
    if column.kind == "none":
        refuse(column)
    kind = Proto(field.type)
    if kind is Proto.GROUP:
        raise _misfit(field, column, "a group", "groups are not written, make it a message")
    if kind is Proto.MESSAGE:
        return _message(field, at, column)
    if kind not in _FITS.get(column.kind, ()) or (kind is Proto.FLOAT and column.type.bit_width == 64):  # noqa: PLR2004
        advice = _ADVICE.get(column.kind, "cast it, or change the field")
        raise _misfit(field, column, f"of type {kind.name.lower()}", advice)
    if kind is not Proto.ENUM:
        return ProtobufField(field.number, at, int(kind))
    values = [(value.name, value.number) for value in field.enum_type.values]
    if column.kind == "text":
        return ProtobufField(field.number, at, int(kind), names=tuple(values))
    numbers = tuple(sorted({number for _, number in values})) if field.enum_type.is_closed else ()
    return ProtobufField(field.number, at, int(kind), numbers=numbers)


def _message(field: Any, at: int, column: Column) -> ProtobufField:  # noqa: ANN401
    inner = field.message_type
    if column.kind == "struct":
        fields = _fill(inner, column.members(), column.path)
        return ProtobufField(field.number, at, int(Proto.MESSAGE), fields=fields)
    if inner.full_name == "google.protobuf.Timestamp" and column.kind == "timestamp":
        return ProtobufField(field.number, at, int(Proto.TIMESTAMP))
    alone = inner.fields[0] if len(inner.fields) == 1 else None
    wrapper = inner.file.name == "google/protobuf/wrappers.proto"
    if alone is not None and (wrapper or (column.kind in {"list", "map"} and alone.is_repeated)):
        return ProtobufField(field.number, at, int(Proto.MESSAGE), fields=(_fit(alone, -1, column),))
    raise _misfit(field, column, f"the message {inner.full_name}", "cast the column to a struct, or leave it out")


def _misfit(field: Any, column: Column, found: str, way_out: str) -> SchemaError:  # noqa: ANN401
    return SchemaError(
        f'column "{column.path}" ({column.shown}) does not fit the field {field.full_name}: it is {found}; {way_out}',
        column=column.path,
    )
