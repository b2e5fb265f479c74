"""protobuf_columns: what a column holds, as far as Protobuf is concerned, and the numbers of Protobuf's types."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
from pyarrow import types as t

from penstock.errors import SchemaError
from penstock.formats.kinds import is_binary, is_list, is_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

__all__ = ["Column", "Proto", "columns_of", "refuse"]


class Proto(IntEnum):
    """google.protobuf.FieldDescriptorProto.Type; TIMESTAMP is our own: one column fills a google.protobuf.Timestamp."""

    TIMESTAMP = 0
    DOUBLE = 1
    FLOAT = 2
    INT64 = 3
    UINT64 = 4
    INT32 = 5
    FIXED64 = 6
    FIXED32 = 7
    BOOL = 8
    STRING = 9
    GROUP = 10
    MESSAGE = 11
    BYTES = 12
    UINT32 = 13
    ENUM = 14
    SFIXED32 = 15
    SFIXED64 = 16
    SINT32 = 17
    SINT64 = 18

    @property
    def packable(self) -> bool:
        """Whether repeated values may stand beside one another without tags."""
        return self not in {Proto.TIMESTAMP, Proto.STRING, Proto.BYTES, Proto.MESSAGE, Proto.GROUP}


_MOST_LEVELS = 64  # readers give up at 100 messages inside one another
_MOST_SCALE = 1000  # Arrow allows any of 32 bits; digits that are not there would fill gigabytes
_REFUSED = (
    (t.is_null, "holds nothing but nulls"),
    (t.is_duration, "is a duration"),
    (t.is_interval, "is an INTERVAL"),
    (t.is_union, "is a union"),
)


class Column(NamedTuple):
    """A column, a field of a struct, an item of a list, or a key or value of a map.

    path   as errors name it: address.tags[]
    kind   bool int uint float decimal text binary uuid variant date time timestamp list map struct; none: no form
    type   behind dictionaries, runs and extensions
    shown  the type as it was given
    why    there is no form
    level  of nesting
    """

    path: str
    kind: str
    type: pa.DataType
    shown: str
    nullable: bool
    why: str
    level: int

    def item(self) -> Column:
        """Return the items of a list."""
        return self._inner(self.type.value_field, "[]")

    def entry(self) -> tuple[Column, Column]:
        """Return the keys and the values of a map."""
        return self._inner(self.type.key_field, "{key}"), self._inner(self.type.item_field, "{}")

    def members(self) -> list[tuple[int, str, Column]]:
        """Return the fields of a struct: number, name and column."""
        fields = [self.type.field(at) for at in range(self.type.num_fields)]
        return [(at, field.name, self._inner(field, f".{field.name}")) for at, field in enumerate(fields)]

    def _inner(self, field: pa.Field, step: str) -> Column:
        return column_of(field, self.path + step, self.level + 1)


def columns_of(schema: pa.Schema, numbers: Iterable[int]) -> list[tuple[int, str, Column]]:
    """Return columns of a schema: number, name and column."""
    return [(at, schema.field(at).name, column_of(schema.field(at), schema.field(at).name)) for at in numbers]


def column_of(field: pa.Field, path: str, level: int = 0) -> Column:
    """Return what the field holds. An extension or `sql_type` holds for the values behind dictionaries and runs too."""
    metadata = field.metadata or {}
    extension = metadata.get(b"ARROW:extension:name", b"").decode(errors="replace")
    sql_type = metadata.get(b"sql_type", b"").decode(errors="replace")
    behind = field.type
    while True:
        if isinstance(behind, pa.BaseExtensionType):
            extension, behind = behind.extension_name, behind.storage_type
        elif t.is_dictionary(behind) or t.is_run_end_encoded(behind):
            behind = behind.value_type
        else:
            break
    kind, why = _kind(behind, extension, sql_type)
    if kind == "decimal" and abs(behind.scale) > _MOST_SCALE:
        kind, why = "none", f"is a decimal of scale {behind.scale}, beyond {_MOST_SCALE}"
    if level > _MOST_LEVELS:
        kind, why = "none", f"is nested more than {_MOST_LEVELS} levels deep"
    return Column(path, kind, behind, str(field.type)[:200], field.nullable, why, level)


def refuse(column: Column, why: str = "") -> NoReturn:
    """Raise the SchemaError for a column that has no form."""
    raise SchemaError(
        f'column "{column.path}" {why or column.why} ({column.shown}), which has no form in Protobuf; cast it, or '
        "leave it out",
        column=column.path,
    )


def _kind(found: pa.DataType, extension: str, sql_type: str) -> tuple[str, str]:
    text = is_text(found)
    sixteen = t.is_fixed_size_binary(found) and found.byte_width == 16  # noqa: PLR2004 - bytes of a UUID
    if (text or sixteen) and (extension == "arrow.uuid" or sql_type == "UUID"):
        return "uuid", ""
    if text:
        return ("variant" if extension == "arrow.json" or sql_type == "VARIANT" else "text"), ""
    for is_kind, kind in (
        (t.is_boolean, "bool"),
        (t.is_signed_integer, "int"),
        (t.is_unsigned_integer, "uint"),
        (t.is_floating, "float"),
        (t.is_decimal, "decimal"),
        (t.is_date, "date"),
        (t.is_time, "time"),
        (t.is_timestamp, "timestamp"),
        (t.is_struct, "struct"),
        (t.is_map, "map"),
    ):
        if is_kind(found):
            return kind, ""
    if is_binary(found):
        return "binary", ""
    if is_list(found):
        return "list", ""
    return "none", next((why for is_kind, why in _REFUSED if is_kind(found)), "has an unknown type")
