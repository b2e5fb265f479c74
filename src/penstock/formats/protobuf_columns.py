"""protobuf_columns: what a column holds, as far as Protobuf is concerned, and the numbers of Protobuf's types."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
from pyarrow import types as t

from penstock.errors import SchemaError

if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["DEPTH", "KINDS_OF_LIST", "Column", "Proto", "column_of", "refuse"]

DEPTH = 64  # readers give up at 100 messages inside one another


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
        return self not in {Proto.TIMESTAMP, Proto.STRING, Proto.BYTES, Proto.MESSAGE, Proto.GROUP}


KINDS_OF_LIST = (t.is_list, t.is_large_list, t.is_list_view, t.is_large_list_view, t.is_fixed_size_list)
_TEXT = (t.is_string, t.is_large_string, t.is_string_view)
_BINARY = (t.is_binary, t.is_large_binary, t.is_binary_view, t.is_fixed_size_binary)
_REFUSED = ((t.is_null, "holds nothing but nulls"), (t.is_duration, "is a duration"), (t.is_union, "is a union"))


class Column(NamedTuple):
    """A column, a field of a struct, an item of a list, or a key or value of a map.

    path  as errors name it: address.tags[]
    kind  bool int uint float decimal text binary uuid variant date time timestamp list map struct, or none: refused
    type  behind dictionaries, runs and extensions
    """

    path: str
    kind: str
    type: pa.DataType
    shown: str
    nullable: bool
    why: str

    def item(self) -> Column:
        return column_of(self.type.value_field, f"{self.path}[]")

    def entry(self) -> tuple[Column, Column]:
        key = column_of(self.type.key_field, f"{self.path}{{key}}")
        return key, column_of(self.type.item_field, f"{self.path}{{}}")

    def members(self) -> list[tuple[str, Column]]:
        fields = [self.type.field(at) for at in range(self.type.num_fields)]
        return [(field.name, column_of(field, f"{self.path}.{field.name}")) for field in fields]


def column_of(field: pa.Field, path: str) -> Column:
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
    return Column(path, kind, behind, str(field.type)[:200], field.nullable, why)


def refuse(column: Column, why: str) -> NoReturn:
    """Raise the SchemaError for a column that has no form."""
    raise SchemaError(
        f'column "{column.path}" {why} ({column.shown}), which has no form in Protobuf; cast it, or leave it out',
        column=column.path,
    )


def _kind(found: pa.DataType, extension: str, sql_type: str) -> tuple[str, str]:
    text = any(is_kind(found) for is_kind in _TEXT)
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
    if any(is_kind(found) for is_kind in _BINARY):
        return "binary", ""
    if any(is_kind(found) for is_kind in KINDS_OF_LIST):
        return "list", ""
    return "none", next((why for is_kind, why in _REFUSED if is_kind(found)), "has an unknown type")
