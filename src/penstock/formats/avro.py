"""avro: what the Avro format makes of a schema and its settings: records, keys, envelopes, subjects.

raw             the row; header `op`; with an index its key, and by cdc_field the change inside the row
confluent_jdbc  the row, or nothing for a delete; the key is the index's, without one the whole value
debezium        {before, after, op}: the rows before and after a change; ours
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from penstock import _core
from penstock.changes import find_index_columns
from penstock.config import AvroFormat
from penstock.config.document import parse_json
from penstock.errors import ConfigError
from penstock.formats import Form
from penstock.formats.avro_match import Column, Rules, match
from penstock.formats.avro_schema import AvroType, Name, Style, compact, generate, parse, record
from penstock.formats.debezium import check_debezium, find_images
from penstock.keys import key_columns
from penstock.layout import AvroKey, AvroLayout, AvroNode, Packing
from penstock.names import shown
from penstock.registry import subjects

if TYPE_CHECKING:
    import pyarrow as pa

    from penstock.formats import Context

__all__ = ["check", "plan"]

_SCHEMA: Final = "format.config.schema"
_NULL_FIRST: Final = 0
_RULES: Final = Rules()


class Index(NamedTuple):
    """What rows are found by: its name and the numbers of its columns."""

    name: str
    columns: tuple[int, ...]


class Record(NamedTuple):
    """A record that is written: the schema's text, its full name, and the plan."""

    text: str
    name: str
    node: AvroNode


def plan(context: Context) -> Form:
    """Make the layout; ConfigError or SchemaError for what cannot be written, before the first row."""
    form = _format(context)
    index = _index(context)
    check(form, index is not None)
    check_debezium(form.update_format, context.config.writer)
    style = Style(context.config.writer.avro_uuid, context.config.writer.avro_defaults)
    value_record = (
        _envelope(context, form, style) if form.update_format == "debezium" else _row(context, form, index, style)
    )
    key_record = _key_record(context, form, index, style)
    whole_value = form.update_format == "confluent_jdbc" and key_record is None
    if whole_value:
        key_record = value_record
    value_id, key_id = _ids(context, form, value_record, key_record)
    layout = AvroLayout(
        value=value_record.node,
        prefix=_prefix(form, value_id),
        op_header=form.update_format == "raw",
        tombstones=form.update_format == "confluent_jdbc",
    )
    packing = Packing("bare", 1, tombstones=form.update_format == "debezium" and context.config.writer.tombstones)
    pairs = form.update_format == "debezium"
    if key_record is None:
        return Form(layout, packing, pairs=pairs)
    # Without an index the key is, byte for byte, the value's message: its schema's id too, whatever the key's would be.
    return Form(layout, packing, AvroKey(key_record.node, _prefix(form, value_id if whole_value else key_id)), pairs)


def check(form: AvroFormat, indexed: bool) -> None:  # noqa: FBT001 - the one fact that matters
    """Refuse members that contradict one another; ConfigError names both sides."""
    if form.update_format != "raw":
        for member in ("key_mode", "cdc_field"):
            if getattr(form, member) is not None:
                raise ConfigError(
                    f'format.config.{member} goes with update_format "raw" only, found "{form.update_format}"; leave '
                    "one of them out"
                )
    if form.key_mode == "key_fields" and not indexed:
        raise ConfigError('format.config.key_mode "key_fields" needs an index; name one in "index", or leave it out')
    if form.cdc_field is not None and not indexed:
        raise ConfigError('format.config.cdc_field needs an index; name one in "index", or leave it out')


_RELATION: Final = "writer.relation.name, by default the topic,"
_FRAME: Final = b"\0"


def _format(context: Context) -> AvroFormat:
    form = context.config.format
    assert isinstance(form, AvroFormat)  # noqa: S101 - the planner was chosen by it
    return form


def _relation(context: Context) -> str:
    return context.config.writer.relation.name or context.config.topic


def _prefix(form: AvroFormat, schema_id: int) -> bytes:
    return b"" if form.skip_schema_id else _FRAME + schema_id.to_bytes(4, "big")


# ---- records --------------------------------------------------------------------------------------------------------


def _columns(context: Context, numbers: tuple[int, ...]) -> list[Column]:
    return [Column(at, context.schema.field(at)) for at in numbers]


def _generated(context: Context, numbers: tuple[int, ...], name: Name, style: Style) -> Record:
    columns = _columns(context, numbers)
    return _matched(context, columns, generate([column.field for column in columns], name, style))


def _matched(context: Context, columns: list[Column], schema: Any, rules: Rules = _RULES) -> Record:  # noqa: ANN401 - JSON
    parsed = parse(schema, _SCHEMA)
    rules = rules._replace(minimal_decimals=context.config.writer.avro_minimal_decimals)
    return Record(compact(schema), parsed.name, match(columns, parsed, rules))


def _row(context: Context, form: AvroFormat, index: Index | None, style: Style) -> Record:
    columns = _columns(context, context.columns)
    if form.schema is not None:
        schema = _given(form.schema)
    else:
        keys = set() if index is None else {context.schema.field(at).name for at in index.columns}
        optional = () if index is None else (c.field.name for c in columns if c.field.name not in keys)
        name = Name.of(_relation(context), form.namespace, _RELATION)
        schema = generate([column.field for column in columns], name, style, optional=optional)
    rules = Rules(exact=index is not None)
    if form.cdc_field is not None:
        schema = _with_cdc_field(schema, form.cdc_field)
        rules = rules._replace(more={form.cdc_field: AvroNode("change", data=b"IUD")})
    elif form.schema is not None:  # as it was given, white space and all
        return _matched(context, columns, schema, rules)._replace(text=form.schema)
    return _matched(context, columns, schema, rules)


def _given(text: str) -> dict[str, Any]:
    """Return the user's schema, a record."""
    schema = parse_json(text, _SCHEMA)
    parsed: AvroType = parse(schema, _SCHEMA)
    if parsed.kind != "record" or not isinstance(schema, dict):
        raise ConfigError(f"{_SCHEMA}: rows are records, found {parsed.shown}; give a schema of type record")
    return schema


def _with_cdc_field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    for one in schema["fields"]:
        if one["name"].lower() == name.lower():
            raise ConfigError(
                f"format.config.cdc_field is {shown(name)}, but the value schema has a field {shown(one['name'])}; "
                "give another name"
            )
    Name.of(name, None, "format.config.cdc_field")
    if "." in name:
        raise ConfigError(f"format.config.cdc_field {shown(name)}: the name of a field has no dots; give another one")
    return {**schema, "fields": [*schema["fields"], {"name": name, "type": "string"}]}


def _key_record(context: Context, form: AvroFormat, index: Index | None, style: Style) -> Record | None:
    """Return the record that is the key: the index's, or that of writer.key with key_format=avro; None: there is none.

    The latter is called <relation>.key, as Feldera calls the key of a view that is its own index.
    """
    writer = context.config.writer
    if index is not None and form.key_mode != "none":
        if writer.key:
            raise ConfigError('"index" and key both say what the key is; leave key out, or set key_mode to "none"')
        return _generated(context, index.columns, Name.of(index.name, form.namespace, '"index"'), style)
    if not writer.key:
        return None
    if writer.key_format == "avro":
        name = Name.of(f"{_relation(context)}.key", form.namespace, _RELATION)
        return _generated(context, key_columns(context.schema, writer), name, style)
    if form.update_format == "confluent_jdbc":
        raise ConfigError(
            f"update_format confluent_jdbc writes keys in Avro, key_format is {writer.key_format}; set it to avro, or "
            "leave key out"
        )
    return None


def _index(context: Context) -> Index | None:
    named = context.config.index_columns
    return None if named is None else Index(named[0], find_index_columns(context.schema, context.config))


# ---- debezium -------------------------------------------------------------------------------------------------------


def _envelope(context: Context, form: AvroFormat, style: Style) -> Record:
    """Return the envelope around the row's record: before, after and op, by option source and ts_ms."""
    columns = _columns(context, context.columns)
    found = find_images(context.schema, context.columns, context.config.writer, keyed=True)
    images = None if found is None else _columns(context, (found.before, found.after))
    after = columns if images is None else _fields(images[1])
    if form.schema is not None:
        row = _given(form.schema)
        row_name = parse(row, _SCHEMA).name
        space = row_name
    else:
        space = Name.of(_relation(context), form.namespace, _RELATION).full
        row = generate([column.field for column in after], Name("Value", space), style)
        row_name = f"{space}.Value"
    null = {"default": None} if style.defaults else {}
    source: list[dict[str, Any]] = []
    now: list[dict[str, Any]] = []
    more: dict[str, AvroNode] = {}
    if context.config.writer.debezium_source:
        schema, more["source"] = _source(context)
        source = [{"name": "source", "type": schema}]
        now = [{"name": "ts_ms", "type": ["null", "long"], **null}]
        more["ts_ms"] = AvroNode("now", null_branch=_NULL_FIRST)
    envelope = record(
        Name("Envelope", space),
        [
            {"name": "before", "type": ["null", row], **null},
            {"name": "after", "type": ["null", row_name], **null},
            *source,
            {"name": "op", "type": "string"},
            *now,
        ],
    )
    more["op"] = AvroNode("change", data=b"cud")
    if images is None:
        node = _matched(context, columns, row).node
        more["before"] = AvroNode("before", null_branch=_NULL_FIRST, children=node.children)
        more["after"] = AvroNode("after", null_branch=_NULL_FIRST, children=node.children)
    else:
        for name, column in zip(("before", "after"), images, strict=True):
            node = _matched(context, _fields(column), row).node
            more[name] = AvroNode("record", column.at, _NULL_FIRST, children=node.children)
    return _matched(context, [], envelope, Rules(more=more))


def _fields(column: Column) -> list[Column]:
    kind: pa.DataType = column.field.type
    return [Column(at, kind.field(at)) for at in range(kind.num_fields)]


def _source(context: Context) -> tuple[dict[str, Any], AvroNode]:
    """Return the record `source`, with the values that it has in JSON too: constants but for ts_ms."""
    texts = {
        "version": _core.version(),
        "connector": "penstock",
        "name": context.config.topic,
        "ts_ms": None,
        "snapshot": "false",
        "db": "",
        "table": _relation(context),
    }
    fields = [{"name": name, "type": "long" if text is None else "string"} for name, text in texts.items()]
    nodes = tuple(AvroNode("now") if text is None else _constant(text) for text in texts.values())
    return record(Name("Source", ""), fields), AvroNode("group", children=nodes)


def _constant(text: str) -> AvroNode:
    """Return a string that is the same in every row: its length, zigzag and in sevens of bits, and its bytes."""
    data = text.encode()
    rest = 2 * len(data)
    length = bytearray()
    while rest >= 1 << 7:
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    length.append(rest)
    return AvroNode("constant", data=bytes(length) + data)


# ---- registry -------------------------------------------------------------------------------------------------------


def _ids(context: Context, form: AvroFormat, value_record: Record, key_record: Record | None) -> tuple[int, int]:
    """Register the schemas, the value's first; without a registry both ids are 0."""
    registry = context.registry
    if registry is None:
        return 0, 0
    key_name = None if key_record is None else key_record.name
    value_subject, key_subject = subjects(form, context.config.topic, value_record.name, key_name)
    value_id = registry.schema_id(value_subject, value_record.text)
    if key_record is None or key_subject is None:
        return value_id, 0
    return value_id, registry.schema_id(key_subject, key_record.text)
