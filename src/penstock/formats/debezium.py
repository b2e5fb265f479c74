"""debezium: the envelope of a change with the schemas that Kafka Connect's JsonConverter reads, built once per schema.

    key    {"schema":{"type":"struct","fields":[…],"name":"Key"},"payload":{"id":1}}
    value  {"schema":{…,"name":"Envelope"},"payload":{"op":"c","after":{"id":1,"b":true}}}

By default byte for byte the connector's, whose schema declares no `before` and disagrees with its payload in places
(numbers where it says string, lists where it says bytes). `debezium_source` gives what Debezium's own consumers expect
instead: the members `source` and `ts_ms`, both images in every event, the names of schemas that Debezium gives, and a
schema that tells the payload as it is.

Source: the connector's schema generator and its tests (tests/golden/json_debezium.json); Debezium's Envelope and
AbstractSourceInfo for the members of `source`, and its SmtManager for the name, which must end in ".Envelope".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import pyarrow as pa
from pyarrow import types

from penstock import _core
from penstock.columns import find_column
from penstock.errors import ConfigError, SchemaError
from penstock.formats.kinds import is_binary, is_list
from penstock.layout import JsonKey, JsonLayout

if TYPE_CHECKING:
    from penstock.config import Config, WriterConfig
    from penstock.formats import Context
    from penstock.layout import JsonStyle

__all__ = ["Images", "check_debezium", "connect_fields", "find_images", "make_envelope"]

# Settings that say something about the envelope only, and what each is when it is not given.
_FOR_ENVELOPE: Final = {
    "before_column": None,
    "after_column": None,
    "schemas": True,
    "tombstones": False,
    "debezium_source": False,
}
# The only flavor whose messages carry schemas.
_WITH_SCHEMAS: Final = "kafka_connect_json_converter"
_CONNECT: Final = "org.apache.kafka.connect.data"
_INTEGERS: Final = {
    pa.int8(): "int8",
    pa.int16(): "int16",
    pa.int32(): "int32",
    pa.int64(): "int64",
    pa.uint8(): "int16",
    pa.uint16(): "int32",
    pa.uint32(): "int64",
    pa.uint64(): "string",
}
_SCALARS: Final = (
    (types.is_boolean, {"type": "boolean"}),
    (types.is_float64, {"type": "double"}),
    (types.is_floating, {"type": "float"}),
    (types.is_date, {"type": "int32", "name": f"{_CONNECT}.Date"}),
)
_SOURCE_FIELDS: Final = (
    ("version", "string", False),
    ("connector", "string", False),
    ("name", "string", False),
    ("ts_ms", "int64", False),
    ("snapshot", "string", True),
    ("db", "string", False),
    ("table", "string", True),
)


class Images(NamedTuple):
    """The struct columns of the row before and after a change, and the row's own columns."""

    before: int
    after: int
    rows: pa.Schema


def check_debezium(update_format: str, writer: WriterConfig) -> None:
    """Refuse settings of the envelope where another update format has none; ConfigError names both."""
    if update_format == "debezium":
        return
    for name, off in _FOR_ENVELOPE.items():
        if getattr(writer, name) != off:
            raise ConfigError(f"{name} goes with update_format debezium, found {update_format}; leave it out")


def find_images(schema: pa.Schema, columns: tuple[int, ...], writer: WriterConfig, *, keyed: bool) -> Images | None:
    """Find before_column and after_column; None where neither is named.

    keyed   there are key_fields
    Raises  ConfigError where one is missing, is no struct or not the same row, SchemaError for columns beside them
    """
    names = {"before_column": writer.before_column, "after_column": writer.after_column}
    given = {setting: name for setting, name in names.items() if name is not None}
    if not given:
        return None
    if len(given) == 1:
        ((setting, _),) = given.items()
        (other,) = names.keys() - given.keys()
        raise ConfigError(f"{setting} is given without {other}; an envelope has both images, so name both columns")
    for other in ("op_column", "weight_column"):
        if getattr(writer, other) is not None:
            raise ConfigError(
                f"before_column and {other} both say what a row does: without a row before it is an insert, without "
                f"one after it a delete; leave {other} out"
            )
    if not keyed:
        raise ConfigError(
            "before_column needs format.config.key_fields: otherwise the whole row is the key, and an update changes it"
        )
    before, after = (_find_image(schema, name, setting) for setting, name in given.items())
    kinds = [schema.field(at).type for at in (before, after)]
    told = [[(member.name, member.type) for member in kind] for kind in kinds]
    if told[0] != told[1]:
        raise ConfigError(
            f'before_column "{writer.before_column}" and after_column "{writer.after_column}" have different fields '
            f"({str(kinds[0])[:200]}, {str(kinds[1])[:200]}); both must be the same row",
            column=writer.after_column,
        )
    for at in columns:
        if at not in {before, after}:
            name = schema.field(at).name
            raise SchemaError(
                f'column "{name}" stands beside the images "{writer.before_column}" and "{writer.after_column}", and '
                "the envelope has no place for it; put it into both structs, or leave it out",
                column=name,
            )
    return Images(before, after, pa.schema(list(kinds[1])))


def _find_image(schema: pa.Schema, name: str, setting: str) -> int:
    at = find_column(schema, name, setting)
    kind = schema.field(at).type
    if not types.is_struct(kind):
        raise ConfigError(
            f'{setting}: column "{name}" is {kind}; a struct of the row\'s columns is needed', column=name
        )
    return at


def make_envelope(
    context: Context, style: JsonStyle, columns: tuple[int, ...], keys: tuple[int, ...], images: Images | None
) -> tuple[JsonLayout, JsonKey]:
    """Return how values and keys are written.

    columns, keys  of the row: columns of the schema, or fields of the images
    """
    config = context.config
    writer = config.writer
    told = writer.debezium_source  # the schema tells the payload as it is
    style = msgspec.structs.replace(style, uint64_text=told)
    key_text = value_text = ""
    if style.flavor == _WITH_SCHEMAS and writer.schemas:
        if writer.non_finite == "string":
            raise ConfigError(
                "non_finite=string and the schemas of update_format debezium exclude each other: a reader takes a text "
                "where a number is declared for 0; give non_finite=error or null, or schemas=false"
            )
        rows = context.schema if images is None else images.rows
        fields = [connect_fields(rows.field(at), style, told=told) for at in columns]
        before = None
        if images is not None:
            own = context.schema.field(images.before).type
            before = [connect_fields(own.field(at), style, told=told) for at in columns]
        elif (
            told or context.changes.mode == "op"
        ):  # deletes and updates bring a row before; weights do too, see 5.6 [Q]
            before = fields
        value_text = f'"schema":{_dump(_value_schema(config, fields, before))},'
        key_fields = [connect_fields(rows.field(at), style, told=told) for at in keys]
        key_schema = {"type": "struct", "fields": key_fields, "name": f"{config.topic}.Key" if told else "Key"}
        key_text = f'"schema":{_dump(key_schema)},'
    places = (-1, -1) if images is None else (images.before, images.after)
    insert, delete, update, upsert = _texts(config, value_text)
    layout = JsonLayout(columns, insert, delete, update, upsert, style, *places)
    return layout, JsonKey(keys, style, *places, prefix=f'{{{key_text}"payload":', suffix="}")


def _texts(config: Config, schema: str) -> list[tuple[str, ...]]:
    """Return the texts of an insert, a delete, an update, and an update whose row before is not known."""
    start = f'{{{schema}"payload":{{"op":'
    if not config.writer.debezium_source:
        return [
            (f'{start}"c","after":', "row", "}}"),
            (f'{start}"d","before":', "row", "}}"),
            (f'{start}"u","before":', "before", ',"after":', "row", "}}"),
            (f'{start}"u","after":', "row", "}}"),
        ]
    source = {
        "version": _core.version(),
        "connector": "penstock",
        "name": config.topic,
        "ts_ms": 0,
        "snapshot": "false",
        "db": "",
        "table": config.writer.relation.name or config.topic,
    }
    head, tail = _dump(source).split('"ts_ms":0', 1)
    end = (f',"source":{head}"ts_ms":', "now", f'{tail},"ts_ms":', "now", "}}")
    joined = (f"{end[0]}", *end[1:])
    return [
        (f'{start}"c","before":null,"after":', "row", *joined),
        (f'{start}"d","before":', "row", f',"after":null{joined[0]}', *joined[1:]),
        (f'{start}"u","before":', "before", ',"after":', "row", *joined),
        (f'{start}"u","before":null,"after":', "row", *joined),
    ]


def _value_schema(config: Config, after: list[dict[str, Any]], before: list[dict[str, Any]] | None) -> dict[str, Any]:
    """Return the schema of a value; without `before` the connector's."""
    told = config.writer.debezium_source
    row_name = {"name": f"{config.topic}.Value"} if told else {}
    members = [
        {"field": name, "type": "struct", "fields": fields, **row_name, "optional": True}
        for name, fields in (("before", before), ("after", after))
        if fields is not None
    ]
    if told:
        source = [{"field": name, "type": kind, "optional": optional} for name, kind, optional in _SOURCE_FIELDS]
        members.append(
            {"field": "source", "type": "struct", "fields": source, "name": "io.debezium.connector.penstock.Source",
             "optional": False}
        )  # fmt: skip
    members.append({"field": "op", "type": "string", "optional": False})
    if told:
        members.append({"field": "ts_ms", "type": "int64", "optional": True})
    return {"type": "struct", "fields": members, "name": f"{config.topic}.Envelope" if told else "Envelope"}


def connect_fields(field: pa.Field, style: JsonStyle, *, told: bool) -> dict[str, Any]:
    """Return one field of a schema, the members in the connector's order."""
    return {"field": field.name, **_described(field, style, told=told), "optional": field.nullable}


def _described(field: pa.Field, style: JsonStyle, *, told: bool) -> dict[str, Any]:
    """Return `type` and what belongs to it."""
    kind = field.type
    if isinstance(kind, pa.BaseExtensionType):
        kind = pa.string() if kind.extension_name in {"arrow.uuid", "arrow.json"} else kind.storage_type
    while types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        kind = kind.value_type
    if types.is_struct(kind):
        return {"type": "struct", "fields": [connect_fields(member, style, told=told) for member in kind]}
    if types.is_map(kind):
        keys = {"type": "string"} if told else _described(kind.key_field, style, told=told)
        values = _described(kind.item_field, style, told=told)
        return {
            "type": "map",
            "keys": {**keys, "optional": kind.key_field.nullable},
            "values": {**values, "optional": kind.item_field.nullable},
        }
    if is_list(kind):
        item = kind.value_field
        return {"type": "array", "items": {**_described(item, style, told=told), "optional": item.nullable}}
    if is_binary(kind) and not _is_uuid(kind, field):
        if told and not style.binary_base64:  # the payload is a list of numbers up to 255
            return {"type": "array", "items": {"type": "int16", "optional": False}}
        return {"type": "bytes"}
    return _scalar(kind, style, told=told)


def _scalar(kind: pa.DataType, style: JsonStyle, *, told: bool) -> dict[str, Any]:
    if kind in _INTEGERS:
        return {"type": _INTEGERS[kind]}
    for is_kind, described in _SCALARS:
        if is_kind(kind):
            return dict(described)
    if types.is_time(kind):  # Connect's own Time is an int32
        return {"type": "int32" if told else "int64", "name": f"{_CONNECT}.Time"}
    if types.is_timestamp(kind) and not style.iso_timestamps:
        return {"type": "int64", "name": f"{_CONNECT}.Timestamp"} if told or kind.tz is None else {"type": "int64"}
    return {"type": "string"}  # decimals, texts, UUIDs, VARIANT, nulls


def _is_uuid(kind: pa.DataType, field: pa.Field) -> bool:
    marked = (field.metadata or {}).get(b"sql_type") == b"UUID"
    return bool(marked and types.is_fixed_size_binary(kind) and kind.byte_width == 16)  # noqa: PLR2004 - of a UUID


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
