"""protobuf_schema: a message made from an Arrow schema.

    bool → bool                        string, VARIANT, UUID → string      struct → message, nested in the one it is in
    int8 int16 int32 → int32           binary → bytes                      list → repeated
    int64 → int64                      decimal → string, as in JSON        map → map
    uint8 uint16 uint32 → uint32       date → int32, days since 1970-01-01
    uint64 → uint64                    time → int32 or int64, ticks of the column's unit since midnight
    float16 float32 → float            timestamp → google.protobuf.Timestamp
    float64 → double

A nullable column of one value is `optional`: its null is absent, its default is written. A column that is never null
has no presence: its default (0, "") is left out, as every Protobuf writer does. A list in a list, or in a map, becomes
a message with one field `items` (`entries` for a map). Fields are numbered in the order of the columns.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from penstock.errors import SchemaError
from penstock.formats.protobuf_columns import Column, Proto, columns_of, refuse
from penstock.formats.protobuf_text import TIMESTAMP, ProtoField, ProtoFile, ProtoMessage, json_name
from penstock.layout import ProtobufField

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

__all__ = ["Generated", "generate", "title"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = range(19000, 20000)  # numbers that Protobuf keeps for itself
_KEYS = frozenset({"bool", "int", "uint", "text", "uuid", "decimal", "date", "time"})


class Generated(NamedTuple):
    """The message as a file for its readers, and as fields for the encoder."""

    file: ProtoFile
    fields: tuple[ProtobufField, ...]


def generate(schema: pa.Schema, columns: Sequence[int], package: str, name: str) -> Generated:
    """Make the message `package.name` with a field for each of the columns.

    Raises SchemaError for a column without a form, or whose name cannot be one of Protobuf's.
    """
    message = ProtoMessage(name, f".{package}.{name}" if package else f".{name}")
    fields = _Maker(message).fill(columns_of(schema, columns))
    return Generated(ProtoFile(f"{name}.proto", package, message), fields)


def title(text: str) -> str:
    """Return any text as the name of a message: daily-orders.v2 becomes DailyOrdersV2."""
    words = re.split(r"[^A-Za-z0-9]+", text)
    joined = "".join(word[:1].upper() + word[1:] for word in words)
    return joined if joined[:1].isalpha() else f"M{joined}"


class _Maker:
    """Fills one message; messages inside it get names that nothing else in it has."""

    def __init__(self, message: ProtoMessage) -> None:
        self.message = message
        self.taken: set[str] = set()

    def fill(self, members: Sequence[tuple[int, str, Column]]) -> tuple[ProtobufField, ...]:
        _check_names(members)
        self.taken = {name for _, name, _ in members}
        self.taken |= {_entry_name(name) for _, name, column in members if column.kind == "map"}
        numbers = (number for number in range(1, 2**29) if number not in _RESERVED)
        return tuple(
            self.field(name, number, at, column) for number, (at, name, column) in zip(numbers, members, strict=False)
        )

    def field(self, name: str, number: int, at: int, column: Column) -> ProtobufField:
        if column.kind == "map":
            return self._map(name, number, at, column)
        held = column.item() if column.kind == "list" else column
        repeated = column.kind == "list"
        kind, type_name, inner = self.value(name, held)
        optional = column.nullable and not repeated and kind is not Proto.MESSAGE and kind is not Proto.TIMESTAMP
        self._add(name, number, kind, type_name, repeated=repeated, optional=optional, comment=_comment(held))
        return ProtobufField(
            number=number,
            column=at,
            type=int(kind),
            shape=("packed" if kind.packable else "repeated") if repeated else "single",
            presence="explicit" if repeated or optional or kind is Proto.MESSAGE else "implicit",
            fields=inner,
        )

    def value(self, name: str, column: Column) -> tuple[Proto, str, tuple[ProtobufField, ...]]:
        """Return the type for a single value of the column; `name` is what a message made for it is called after."""
        if column.kind in {"struct", "list", "map"}:
            chosen = self._free(title(name))
            message = ProtoMessage(chosen, f"{self.message.full_name}.{chosen}")
            self.message.nested.append(message)
            maker = _Maker(message)
            if column.kind == "struct":
                fields = maker.fill(column.members())
            else:
                fields = maker.fill([(-1, "items" if column.kind == "list" else "entries", column)])
            return Proto.MESSAGE, message.full_name, fields
        if column.kind == "timestamp":
            return Proto.TIMESTAMP, TIMESTAMP, ()
        if column.kind == "none":
            refuse(column)
        return _scalar(column), "", ()

    def _map(self, name: str, number: int, at: int, column: Column) -> ProtobufField:
        key, item = column.entry()
        if key.kind not in _KEYS:
            refuse(column, "is a map whose keys are no strings, integers, booleans, decimals, dates, times or UUIDs")
        entry_name = _entry_name(name)
        entry = ProtoMessage(entry_name, f"{self.message.full_name}.{entry_name}", entry=True)
        kind, type_name, inner = self.value(name, item)
        self.message.nested.append(entry)
        key_type = _scalar(key)
        maker = _Maker(entry)
        maker._add("key", 1, key_type, "")
        maker._add("value", 2, kind, type_name)
        note = "; ".join(filter(None, [_comment(key) and f"keys: {_comment(key)}", _comment(item)]))
        self._add(name, number, Proto.MESSAGE, entry.full_name, repeated=True, comment=note)
        return ProtobufField(
            number=number,
            column=at,
            type=int(Proto.MESSAGE),
            shape="map",
            fields=(
                ProtobufField(number=1, column=0, type=int(key_type)),
                ProtobufField(number=2, column=1, type=int(kind), fields=inner),
            ),
        )

    def _add(
        self,
        name: str,
        number: int,
        kind: Proto,
        type_name: str,
        *,
        repeated: bool = False,
        optional: bool = False,
        comment: str = "",
    ) -> None:
        told = Proto.MESSAGE if kind is Proto.TIMESTAMP else kind
        self.message.fields.append(ProtoField(name, number, told, type_name, repeated, optional, comment))

    def _free(self, name: str) -> str:
        chosen, count = name, 2
        while chosen in self.taken:
            chosen, count = f"{name}{count}", count + 1
        self.taken.add(chosen)
        return chosen


def _scalar(column: Column) -> Proto:
    wide = column.kind in {"int", "uint", "float", "time"} and column.type.bit_width == 64  # noqa: PLR2004 - bits
    return {
        "bool": Proto.BOOL,
        "int": Proto.INT64 if wide else Proto.INT32,
        "uint": Proto.UINT64 if wide else Proto.UINT32,
        "float": Proto.DOUBLE if wide else Proto.FLOAT,
        "binary": Proto.BYTES,
        "date": Proto.INT32,
        "time": Proto.INT64 if wide else Proto.INT32,
    }.get(column.kind, Proto.STRING)


def _comment(column: Column) -> str:
    if column.kind == "date":
        return "days since 1970-01-01"
    if column.kind == "time":
        units = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
        return f"{units[column.type.unit]} since midnight"
    if column.kind == "decimal":
        return f"decimal({column.type.precision}, {column.type.scale})"
    return {"uuid": "UUID", "variant": "JSON"}.get(column.kind, "")


def _entry_name(name: str) -> str:
    """Return what protoc calls the message of a map field's entries."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_")) + "Entry"


def _check_names(members: Sequence[tuple[int, str, Column]]) -> None:
    seen: dict[str, str] = {}
    names = {name for _, name, _ in members}
    for _, name, column in members:
        if not _NAME.fullmatch(name):
            raise SchemaError(
                f'column "{column.path}": "{name}" is no name for a Protobuf field, which has letters, digits and '
                "underscores and begins with no digit; rename the column",
                column=column.path,
            )
        other = seen.setdefault(json_name(name), name)
        if other != name:
            raise SchemaError(
                f'columns "{other}" and "{column.path}" would both be "{json_name(name)}" in Protobuf\'s JSON form, '
                "which protoc refuses; rename one of them",
                column=column.path,
            )
        if column.kind == "map" and _entry_name(name) in names:
            raise SchemaError(
                f'column "{column.path}" is a map, whose entries Protobuf calls {_entry_name(name)}, and another '
                "column has that name; rename one of them",
                column=column.path,
            )
        if column.kind == "map" and _entry_name(name)[0].isdigit():
            raise SchemaError(
                f'column "{column.path}" is a map, whose entries Protobuf calls {_entry_name(name)}; readers refuse a '
                "name that begins with a digit, so rename the column",
                column=column.path,
            )
    if len(seen) != len(members):
        counted = [name for _, name, _ in members]
        twice = next(name for name in counted if counted.count(name) > 1)
        raise SchemaError(f'two columns are called "{twice}"; rename or drop one', column=twice)
