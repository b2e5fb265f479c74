"""avro_schema: Avro schemas, made of columns or given by the user.

    columns ──generate──▶ JSON ──text──▶ registry
    user's text ──parse──▶ AvroType ◀──parse── that JSON
                               └── avro_match.py: AvroType + columns ──▶ what the core writes

The plan of what is written is always made from a parsed schema, whoever wrote it. Names, member order and types are
Feldera's (connector, section 7.2); ROW columns as records, `uuid` and defaults are ours.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeGuard

import pyarrow as pa

from penstock.errors import ConfigError, SchemaError
from penstock.formats.kinds import is_binary, is_list
from penstock.names import did_you_mean, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "DEPTH",
    "AvroField",
    "AvroType",
    "Name",
    "Style",
    "Value",
    "compact",
    "generate",
    "parse",
    "record",
    "value",
]

DEPTH: Final = 64  # levels that a column may be nested, as in the other formats
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PRIMITIVES: Final = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
_WIDEST_DECIMAL: Final = 76  # digits of Arrow's widest


class Name(NamedTuple):
    """A record's name and its namespace, which may be empty."""

    name: str
    namespace: str

    @classmethod
    def of(cls, relation: str, namespace: str | None, what: str) -> Name:
        """Split a relation's name at its dots: the last part is the name, the others go behind `namespace`.

        Raises ConfigError for a part that Avro does not take as a name; `what` says whose name it is.
        """
        parts = [*(namespace.split(".") if namespace else ()), *relation.split(".")]
        for part in parts:
            if _NAME.fullmatch(part) is None:
                whose = f"{what} {shown(relation)}"
                if part not in relation.split("."):
                    whose = f"format.config.namespace {shown(namespace)}"
                raise ConfigError(
                    f"{whose}: Avro takes names of letters, digits and _ that begin with no digit, "
                    f"parted by dots, found {shown(part)}; give another one"
                )
        return cls(parts[-1], ".".join(parts[:-1]))

    @property
    def full(self) -> str:
        """The name as subjects and references spell it."""
        return f"{self.namespace}.{self.name}" if self.namespace else self.name


class Style(NamedTuple):
    """What generated schemas have beyond the connector's: uuid as a logical type, null defaults of nullable fields."""

    uuid: bool = False
    defaults: bool = False


class Value(NamedTuple):
    """What the values of a column are, whatever stores them: behind dictionaries, runs and extension types."""

    type: pa.DataType
    meaning: str  # plain, variant or uuid


def value(column: pa.Field) -> Value:
    """Return the value type of a column, and its meaning as the core reads it (arrow.cpp, make_type)."""
    metadata = column.metadata or {}
    extension = metadata.get(b"ARROW:extension:name", b"").decode(errors="replace")
    sql_type = metadata.get(b"sql_type", b"").decode(errors="replace")
    kind = column.type
    while True:
        if isinstance(kind, pa.BaseExtensionType):
            extension, kind = kind.extension_name, kind.storage_type
        elif pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
            kind = kind.value_type
        else:
            break
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    if (text or kind.equals(pa.binary(16))) and (extension == "arrow.uuid" or sql_type == "UUID"):
        return Value(kind, "uuid")
    if text and (extension == "arrow.json" or sql_type == "VARIANT"):
        return Value(kind, "variant")
    return Value(kind, "plain")


def compact(schema: object) -> str:
    """Return the JSON text as it is registered."""
    return json.dumps(schema, separators=(",", ":"), ensure_ascii=False)


# ---- generated ------------------------------------------------------------------------------------------------------


def record(name: Name, fields: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a record with the members in the connector's order."""
    namespace = {"namespace": name.namespace} if name.namespace else {}
    return {"type": "record", **namespace, "name": name.name, "fields": fields}


def generate(columns: Sequence[pa.Field], name: Name, style: Style, *, optional: Iterable[str] = ()) -> dict[str, Any]:
    """Make the schema of a record of these columns; those that are `optional` are nullable whatever Arrow says.

    Raises SchemaError for a column without a form in Avro, and for names that Avro does not take.
    """
    return record(name, _Generator(name.name, style).fields(columns, "", name.name, set(optional), DEPTH))


class _Generator:
    def __init__(self, root: str, style: Style) -> None:
        self._style = style
        self._names = {root}

    def fields(
        self, columns: Iterable[pa.Field], path: str, owner: str, optional: set[str], depth: int
    ) -> list[dict[str, Any]]:
        made: dict[str, dict[str, Any]] = {}
        for column in columns:
            where = f"{path}.{column.name}" if path else column.name
            if _NAME.fullmatch(column.name) is None:
                raise SchemaError(
                    f'column "{where}": Avro takes names of letters, digits and _ that begin with no digit; rename the '
                    "column",
                    column=where,
                )
            if column.name in made:
                raise SchemaError(
                    f'two columns are called "{where}"; an Avro record needs one of each name, so rename or drop one',
                    column=where,
                )
            made[column.name] = self._field(column, where, owner, depth, optional=column.name in optional)
        return list(made.values())

    def _field(self, column: pa.Field, where: str, owner: str, depth: int, *, optional: bool) -> dict[str, Any]:
        type_ = self._type(column, where, f"{owner}_{column.name}", depth, optional=optional)
        default = {"default": None} if self._style.defaults and isinstance(type_, list) else {}
        return {"name": column.name, "type": type_, **default}

    def _type(self, column: pa.Field, where: str, owner: str, depth: int, *, optional: bool = False) -> Any:  # noqa: ANN401 - JSON
        if depth == 0:
            raise SchemaError(f'column "{where}" is nested more than {DEPTH} levels deep', column=where)
        made = self._nested(column, where, owner, depth - 1) or self._leaf(column, where)
        nullable = (column.nullable or optional) and made != "null"  # a union holds each type once
        return ["null", made] if nullable else made

    def _nested(self, column: pa.Field, where: str, owner: str, depth: int) -> dict[str, Any] | None:
        t, kind = pa.types, value(column).type
        if is_list(kind):
            return {"type": "array", "items": self._type(kind.value_field, f"{where}[]", owner, depth)}
        if t.is_map(kind):
            key = value(kind.key_field)
            if leaf_name(key.type) != "text" or key.meaning != "plain":
                raise SchemaError(
                    f'column "{where}" is a map whose keys are {kind.key_type}: Avro only allows string keys; cast the '
                    "keys, or leave the column out",
                    column=where,
                )
            return {"type": "map", "values": self._type(kind.item_field, f"{where}{{}}", owner, depth)}
        if not t.is_struct(kind):
            return None
        name, again = owner, 1
        while name in self._names:
            again += 1
            name = f"{owner}_{again}"
        self._names.add(name)
        children = [kind.field(at) for at in range(kind.num_fields)]
        return record(Name(name, ""), self.fields(children, where, name, set(), depth))

    def _leaf(self, column: pa.Field, where: str) -> str | dict[str, Any]:
        kind, meaning = value(column)
        if meaning == "uuid":
            return {"type": "string", "logicalType": "uuid"} if self._style.uuid else "string"
        name = leaf_name(kind)
        if name == "decimal":
            precision = max(kind.precision - min(kind.scale, 0), kind.scale)
            if kind.scale < 0 and precision > _WIDEST_DECIMAL:
                raise refused(column, where, f"is a decimal of {precision} digits before the point")
            return {
                "type": "bytes",
                "logicalType": "decimal",
                "scale": max(kind.scale, 0),
                "precision": precision,
            }
        made = _GENERATED.get(name)
        if made is None:
            raise refused(column, where, f"is {name}")
        return made


_GENERATED: Final[dict[str, str | dict[str, Any]]] = {
    "null": "null",
    "boolean": "boolean",
    **dict.fromkeys(("int8", "int16", "int32", "uint8", "uint16"), "int"),
    **dict.fromkeys(("uint32", "int64"), "long"),
    "uint64": "string",
    **dict.fromkeys(("halffloat", "float"), "float"),
    "double": "double",
    "text": "string",
    "binary": "bytes",
    "date": {"type": "int", "logicalType": "date"},
    "time": {"type": "long", "logicalType": "time-micros"},
    "timestamp": {"type": "long", "logicalType": "timestamp-micros"},
}


def refused(column: pa.Field, where: str, why: str) -> SchemaError:
    """Return the error for a column that Avro has no form for."""
    return SchemaError(
        f'column "{where}" {why} ({shown_type(column)}), which has no form in Avro; cast it, or leave it out',
        column=where,
    )


def shown_type(column: pa.Field) -> str:
    """Return the type as errors show it."""
    return str(column.type)[:200]


def leaf_name(kind: pa.DataType) -> str:
    """Return one word for a type that nests nothing: Arrow's own for numbers, else what it shares with others."""
    t = pa.types
    for name, found in (
        ("null", t.is_null),
        ("boolean", t.is_boolean),
        ("decimal", t.is_decimal),
        ("date", t.is_date),
        ("time", t.is_time),
        ("timestamp", t.is_timestamp),
        ("a duration", t.is_duration),
        ("an INTERVAL", t.is_interval),
        ("a union", t.is_union),
    ):
        if found(kind):
            return name
    if t.is_integer(kind) or t.is_floating(kind):
        return str(kind)
    if t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind):
        return "text"
    if is_binary(kind):
        return "binary"
    return "of a type that this version does not know"


# ---- given ----------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class AvroType:
    """One type of a parsed schema; a name that is referred to is the same object, so that types may hold themselves.

    kind     Avro's word: null … string, fixed, enum, array, map, record, union
    logical  its logicalType, where that is one that this kind may have
    """

    kind: str
    logical: str = ""
    name: str = ""
    scale: int = 0
    precision: int = 0
    size: int = 0
    items: AvroType | None = None
    branches: list[AvroType] = field(default_factory=list)
    fields: list[AvroField] = field(default_factory=list)

    @property
    def shown(self) -> str:
        """The type in a few words, for errors."""
        if self.kind == "union":
            return "[" + ", ".join(branch.shown for branch in self.branches) + "]"
        if self.logical == "decimal":
            return f"{self.kind} decimal({self.precision}, {self.scale})"
        name = f' "{self.name}"' if self.name else ""
        return self.kind + name + (f" {self.logical}" if self.logical else "")


class AvroField(NamedTuple):
    """A field of a record."""

    name: str
    type: AvroType


_LOGICAL: Final = {
    "bytes": ("decimal",),
    "fixed": ("decimal", "duration", "uuid"),
    "string": ("uuid",),
    "int": ("date", "time-millis"),
    "long": (
        "time-micros",
        *(f"{zone}timestamp-{unit}" for zone in ("", "local-") for unit in ("millis", "micros", "nanos")),
    ),
}


def parse(schema: Any, where: str) -> AvroType:  # noqa: ANN401 - JSON
    """Read a schema that json.loads gave; ConfigError naming the place, below `where`, of what Avro does not take."""
    return _Parser(where).type(schema, "", "")


def _whole(number: object) -> TypeGuard[int]:
    return isinstance(number, int) and not isinstance(number, bool)


class _Parser:
    def __init__(self, where: str) -> None:
        self._where = where
        self._named: dict[str, AvroType] = {}

    def _error(self, path: str, why: str) -> ConfigError:
        return ConfigError(f"{self._where}: {path + ': ' if path else ''}{why}")

    def type(self, schema: Any, namespace: str, path: str) -> AvroType:  # noqa: ANN401 - JSON
        if isinstance(schema, str):
            return self._by_name(schema, namespace, path)
        if isinstance(schema, list):
            return self._union(schema, namespace, path)
        if not isinstance(schema, dict):
            raise self._error(path, f"a type is a name, an object or an array, found {shown(schema)}")
        kind = schema.get("type")
        if kind in {"record", "error"}:
            return self._record(schema, namespace, path)
        if kind in {"fixed", "enum"}:
            return self._fixed_or_enum(schema, namespace, path)
        if kind in {"array", "map"}:
            member = "items" if kind == "array" else "values"
            if member not in schema:
                raise self._error(path, f"{kind} needs {member}")
            step = "[]" if kind == "array" else "{}"
            return AvroType(kind, items=self.type(schema[member], namespace, path + step))
        if kind is None:
            raise self._error(path, "an object needs a type")
        made = self.type(kind, namespace, path)
        return self._logical(schema, made, path) if made.kind in _PRIMITIVES else made

    def _by_name(self, name: str, namespace: str, path: str) -> AvroType:
        if name in _PRIMITIVES:
            return AvroType(name)
        full = name if "." in name or not namespace else f"{namespace}.{name}"
        found = self._named.get(full) or self._named.get(name)
        if found is None:
            hint = did_you_mean(name, (*_PRIMITIVES, *self._named))
            raise self._error(path, f"there is no type {shown(name)}{hint}")
        return found

    def _union(self, branches: list[Any], namespace: str, path: str) -> AvroType:
        made = AvroType("union", branches=[self.type(branch, namespace, path) for branch in branches])
        seen: set[str] = set()
        for branch in made.branches:
            which = branch.name or branch.kind
            if branch.kind == "union" or which in seen:
                raise self._error(path, f"a union holds other types, each once, found {made.shown}")
            seen.add(which)
        return made

    def _name(self, schema: dict[str, Any], namespace: str, path: str) -> tuple[str, str]:
        """Return the full name and its namespace."""
        name = schema.get("name")
        if not isinstance(name, str):
            raise self._error(path, f"{schema['type']} needs a name")
        if "." not in name:
            space = schema.get("namespace", namespace) or ""
            name = f"{space}.{name}" if space else name
        for part in name.split("."):
            if _NAME.fullmatch(part) is None:
                raise self._error(
                    path, f"{shown(name)} is no name: letters, digits and _, no digit first, dots between"
                )
        if name in self._named:
            raise self._error(path, f"{shown(name)} is defined twice")
        return name, name.rpartition(".")[0]

    def _record(self, schema: dict[str, Any], namespace: str, path: str) -> AvroType:
        name, namespace = self._name(schema, namespace, path)
        made = self._named[name] = AvroType("record", name=name)  # before its fields, which may refer to it
        fields = schema.get("fields")
        if not isinstance(fields, list):
            raise self._error(path, f"record {shown(name)} needs an array of fields")
        for one in fields:
            known = {known.name for known in made.fields}
            if not isinstance(one, dict) or not isinstance(one.get("name"), str) or "type" not in one:
                raise self._error(path, f"a field of {shown(name)} is an object with name and type, found {shown(one)}")
            where = f"{path}.{one['name']}" if path else one["name"]
            if _NAME.fullmatch(one["name"]) is None or one["name"] in known:
                raise self._error(where, "a field's name is of letters, digits and _, no digit first, and stands once")
            type_ = self.type(one["type"], namespace, where)
            # Beside `type` a logicalType means nothing to Avro, but it is often written there; Feldera reads it too.
            if type_.kind in _PRIMITIVES:
                type_ = self._logical(one, type_, where)
            made.fields.append(AvroField(one["name"], type_))
        return made

    def _fixed_or_enum(self, schema: dict[str, Any], namespace: str, path: str) -> AvroType:
        name, _ = self._name(schema, namespace, path)
        made = self._named[name] = AvroType(schema["type"], name=name)
        if made.kind == "enum":
            return made
        size = schema.get("size")
        if not _whole(size) or size < 0:
            raise self._error(path, f"fixed {shown(name)} needs a size in bytes, found {shown(size)}")
        made.size = size
        return self._logical(schema, made, path)

    def _logical(self, schema: dict[str, Any], made: AvroType, path: str) -> AvroType:
        """Give the type its logicalType; as Avro asks, one that is unknown for the type means nothing."""
        logical = schema.get("logicalType")
        if logical not in _LOGICAL.get(made.kind, ()):
            return made
        made.logical = logical
        if logical == "decimal":
            precision, scale = schema.get("precision"), schema.get("scale", 0)
            if not _whole(precision) or not _whole(scale) or not 0 <= scale <= precision or precision == 0:
                raise self._error(
                    path,
                    "a decimal has 0 <= scale <= precision, found "
                    f"precision {shown(precision)} and scale {shown(scale)}",
                )
            made.precision, made.scale = precision, scale
        return made
