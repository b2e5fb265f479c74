"""avro_match: a schema and the columns become the tree that the core writes by; what does not fit is refused here.

Nothing is left for the first row to find out but values: a null where the schema has none, a number that is too large.
Which column may go into what is Feldera's (connector, section 7.3); wider is allowed where no value can be lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import pyarrow as pa

from penstock.errors import SchemaError
from penstock.formats.avro_schema import DEPTH, AvroType, leaf_name, refused, shown_type, value
from penstock.formats.kinds import is_list
from penstock.layout import AvroNode
from penstock.names import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Column", "Rules", "match"]

_BITS_128_DIGITS: Final = 38
_INTEGERS: Final = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
# What each kind of integer may go into, uint32 and uint64 as far as their values fit.
_WHOLE: Final = {
    **dict.fromkeys(("int8", "int16", "int32", "uint8", "uint16", "uint32"), ("int", "long")),
    **dict.fromkeys(("int64", "uint64"), ("long",)),
}
# (what the column is, Avro's kind, its logicalType): the form. Plain long is microseconds.
_TEMPORAL: Final = {
    ("date", "int", ""): "date",
    ("date", "int", "date"): "date",
    ("time", "int", "time-millis"): "time_millis",
    ("time", "long", ""): "time_micros",
    ("time", "long", "time-micros"): "time_micros",
    ("timestamp", "long", ""): "timestamp_micros",
    **{
        ("timestamp", "long", f"{zone}timestamp-{unit}"): f"timestamp_{unit}"
        for zone in ("", "local-")
        for unit in ("millis", "micros", "nanos")
    },
}


class Column(NamedTuple):
    """A column of the schema, or a field of a struct, by its number there."""

    at: int
    field: pa.Field


class Rules(NamedTuple):
    """How schema and columns are put together.

    exact             every column must be in the schema; else those that are not are left out
    minimal_decimals  as few bytes as hold the value, not 16
    more              fields of the record that no column fills
    """

    exact: bool = False
    minimal_decimals: bool = False
    more: Mapping[str, AvroNode] = {}


def match(columns: Iterable[Column], record: AvroType, rules: Rules) -> AvroNode:
    """Return what is written for a record over these columns; SchemaError for what does not fit."""
    return _Matcher(rules.minimal_decimals).record(list(columns), record, "", DEPTH, exact=rules.exact, more=rules.more)


class _Matcher:
    def __init__(self, minimal_decimals: bool) -> None:  # noqa: FBT001 - the only one
        self._minimal_decimals = minimal_decimals

    def record(
        self,
        columns: list[Column],
        record: AvroType,
        path: str,
        depth: int,
        *,
        exact: bool = False,
        more: Mapping[str, AvroNode] = {},
        at: int = -1,
        null_branch: int = -1,
    ) -> AvroNode:
        known: dict[str, Column] = {}
        in_schema = {one.name for one in record.fields}
        for column in columns:
            name = column.field.name
            where = _below(path, name)
            if name in known and name in in_schema:
                raise SchemaError(
                    f'two columns are called "{where}"; an Avro record needs one of each name, so rename or drop one',
                    column=where,
                )
            if exact and name not in in_schema:
                raise SchemaError(
                    f'column "{where}" is not in the Avro schema, which with an index must have every column'
                    f"{did_you_mean(name, in_schema)}",
                    column=where,
                )
            known[name] = column
        children = []
        for one in record.fields:
            where = _below(path, one.name)
            if one.name in more:
                children.append(more[one.name])
            elif one.name in known:
                children.append(self.value(known[one.name], one.type, where, depth))
            else:
                hint = did_you_mean(one.name, known) or f"; the columns are {', '.join(map(repr, known))[:200]}"
                raise SchemaError(f'the Avro schema has a field "{where}" that no column fills{hint}', column=where)
        return AvroNode("record", at, null_branch, children=tuple(children))

    def value(self, column: Column, avro: AvroType, where: str, depth: int) -> AvroNode:
        if depth == 0:
            raise SchemaError(f'column "{where}" is nested more than {DEPTH} levels deep', column=where)
        null_branch = -1
        if avro.kind == "union":
            null_branch, avro = _branches(avro, where)
        at, field = column
        kind = value(field).type
        if is_list(kind) and avro.kind == "array":
            assert avro.items is not None  # noqa: S101 - the parser gave it
            item = self.value(Column(0, kind.value_field), avro.items, f"{where}[]", depth - 1)
            return AvroNode("array", at, null_branch, children=(item,))
        if pa.types.is_map(kind) and avro.kind == "map":
            assert avro.items is not None  # noqa: S101 - the parser gave it
            key = value(kind.key_field)
            if leaf_name(key.type) != "text" or key.meaning != "plain":
                raise SchemaError(
                    f'column "{where}" is a map whose keys are {kind.key_type}: Avro only allows string keys; cast the '
                    "keys, or leave the column out",
                    column=where,
                )
            item = self.value(Column(1, kind.item_field), avro.items, f"{where}{{}}", depth - 1)
            return AvroNode("map", at, null_branch, children=(item,))
        if pa.types.is_struct(kind) and avro.kind == "record":
            fields = [Column(number, kind.field(number)) for number in range(kind.num_fields)]
            return self.record(fields, avro, where, depth - 1, at=at, null_branch=null_branch)
        if pa.types.is_null(kind) and (null_branch >= 0 or avro.kind == "null"):
            return AvroNode("null", at, null_branch)
        leaf = self._leaf(column, avro, where)
        return AvroNode(leaf.form, at, null_branch, leaf.scale, leaf.precision, leaf.size, leaf.is_fixed)

    def _leaf(self, column: Column, avro: AvroType, where: str) -> AvroNode:
        kind, meaning = value(column.field)
        name = leaf_name(kind)
        if name == "decimal" and avro.logical == "decimal":
            return self._decimal(column, avro, where)
        form = _TEMPORAL.get((name, avro.kind, avro.logical)) or _plain_form(kind, name, meaning, avro)
        if form is None:
            raise _misfit(column.field, avro, where)
        return AvroNode(form, size=avro.size if form == "fixed" else 0)

    def _decimal(self, column: Column, avro: AvroType, where: str) -> AvroNode:
        kind = value(column.field).type
        if avro.scale < kind.scale:
            raise SchemaError(
                f'column "{where}" is {kind}, but the Avro schema has a scale of {avro.scale}; digits would be '
                f"lost, so cast the column, or give the schema a scale of {kind.scale}",
                column=where,
            )
        digits = kind.precision - kind.scale + avro.scale  # that a value may have once it is rescaled
        most = min(digits, avro.precision)
        size = 32 if most > _BITS_128_DIGITS else 16
        if self._minimal_decimals:
            size = 0
        is_fixed = avro.kind == "fixed"
        return AvroNode(
            "decimal",
            scale=avro.scale,
            precision=avro.precision if digits > avro.precision else 0,
            size=avro.size if is_fixed else size,
            is_fixed=is_fixed,
        )


def _plain_form(kind: pa.DataType, name: str, meaning: str, avro: AvroType) -> str | None:
    """Return the form of a number, a string or bytes; None where the column has no place in this type."""
    form: str | None = None
    if name == "binary" or meaning == "uuid":
        width = kind.byte_width if pa.types.is_fixed_size_binary(kind) else avro.size
        width = 16 if meaning == "uuid" else width
        if avro.kind == "fixed" and avro.size == width and avro.logical in {"", "uuid"}:
            form = "fixed"
    if meaning == "plain" and name == "binary":
        form = "bytes" if (avro.kind, avro.logical) == ("bytes", "") else form
    elif name == "text" or meaning == "uuid" or name == "uint64":
        form = "string" if avro.kind == "string" and (name != "uint64" or not avro.logical) else form
    if name in _INTEGERS and avro.kind in _WHOLE[name] and not avro.logical:
        form = avro.kind
    elif name == "boolean" == avro.kind:
        form = "boolean"
    elif (name in {"halffloat", "float"} and avro.kind in {"float", "double"}) or name == "double" == avro.kind:
        form = avro.kind
    return form


def _branches(union: AvroType, where: str) -> tuple[int, AvroType]:
    """Return the place of "null" and the other type of a union of the two."""
    kinds = [branch.kind for branch in union.branches]
    if len(kinds) != 2 or "null" not in kinds:  # noqa: PLR2004 - null and one other
        raise SchemaError(
            f'column "{where}": the Avro schema has the union {union.shown}; only ["null", T] and [T, "null"] can be '
            "written",
            column=where,
        )
    at = kinds.index("null")
    return at, union.branches[1 - at]


def _misfit(field: pa.Field, avro: AvroType, where: str) -> SchemaError:
    name = leaf_name(value(field).type)
    if name.startswith(("a ", "an ", "of ")):
        return refused(field, where, f"is {name}")
    hint = "cast the column or change the schema"
    if avro.kind == "enum":
        hint = 'only "string" can take it'
    return SchemaError(
        f'column "{where}" is {shown_type(field)}, but the Avro schema has {avro.shown} there; {hint}', column=where
    )


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
