"""json: what each update format makes of a schema, as texts with holes for the rows.

    update_format ──_TEXTS──▶ text of an insert, a delete, an update ──▶ JsonLayout ──▶ src/core/json_format.cpp
    key_fields    ──────────▶ columns of the message key             ──▶ JsonKey

Nothing of an event is decided in the core: a new envelope is a new row of texts here. That of debezium, which carries
schemas, is made in debezium.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from penstock.changes import find_index_columns
from penstock.columns import find_connector_columns
from penstock.config import JsonFormat
from penstock.errors import ConfigError, SchemaError
from penstock.formats import Context, Form
from penstock.formats.debezium import check_debezium, find_images, make_envelope
from penstock.layout import JsonKey, JsonLayout, JsonStyle, Packing

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from penstock.config import WriterConfig
    from penstock.layout import JsonText

__all__ = ["plan"]

# The flavor that belongs to an update format, where none is named.
_FLAVORS: Final = {"snowflake": "snowflake", "debezium": "kafka_connect_json_converter"}
# One event a message, whatever buffer_size_records says: as in the connector, and because each has a key.
_ALONE: Final = frozenset({"snowflake", "debezium", "redis", "upsert"})
_KEYED: Final = frozenset({"redis", "upsert"})  # an update is one message: the new row under its key
_SNOWFLAKE_COLUMNS: Final = ("__action", "__stream_id", "__seq_number")
_ROW: Final = ("", "row", "")
_WEIGHTED: Final = ('{"weight":', "weight", ',"data":', "row", "}")


def plan(context: Context) -> Form:
    """Return the layout, the packing and, where the update format has one of its own, the message key.

    Raises ConfigError for settings that exclude each other, SchemaError for columns without a form in JSON.
    """
    form = context.config.format
    assert isinstance(form, JsonFormat)  # noqa: S101 - for mypy: plan_form has seen to it
    writer = context.config.writer
    _check(context, form, writer)
    style = make_style(form, writer)
    keys = _key_columns(context, form)
    packing = Packing(
        framing="array" if form.array else "lines",
        records=1 if form.update_format in _ALONE else form.buffer_size_records,
        weighted=form.update_format == "weighted",
        tombstones=writer.tombstones,
    )
    if form.update_format == "debezium":
        images = find_images(context.schema, context.columns, writer, keyed=form.key_fields is not None)
        rows = context.schema if images is None else images.rows
        columns = _value_columns(context, keys) if images is None else tuple(range(len(rows)))
        _refuse(context, style, (*columns, *keys) if images is None else (images.before, images.after))
        _refuse_twins(rows, columns)
        if keys and images is not None:
            keys = _find_keys(rows, form)
        layout, of_event = make_envelope(context, style, columns, tuple(sorted(set(keys))) or columns, images)
        return Form(layout, packing, of_event, pairs=True)

    columns = _value_columns(context, keys)
    _refuse(context, style, (*columns, *keys))
    _refuse_twins(context.schema, columns)
    if form.update_format == "snowflake":
        _refuse_snowflake(context.schema, columns)
    insert, delete = _texts(form.update_format, context.stream_id)
    key: JsonKey | None = None
    if form.update_format == "redis":
        key = JsonKey(keys, style, joined=True)
    elif form.update_format == "upsert" and keys:
        key = JsonKey(tuple(sorted(set(keys))), style)
    layout = JsonLayout(columns, insert, delete, insert, insert, style)
    return Form(layout, packing, key, pairs=form.update_format in _KEYED)


def make_style(form: JsonFormat, writer: WriterConfig) -> JsonStyle:
    """Return how the types are spelled: the flavor named, or that of the update format, and our own options on top."""
    return JsonStyle(
        flavor=form.json_flavor or _FLAVORS.get(form.update_format, "default"),
        binary_base64=writer.binary_base64,
        keep_decimal_scale=writer.keep_decimal_scale,
        iso_timestamps=writer.iso_timestamps,
        non_finite=writer.non_finite,
        omit_nulls=writer.omit_nulls,
    )


def _texts(update_format: str, stream_id: int) -> tuple[JsonText, JsonText]:
    """Return the text of an insert and that of a delete."""
    if update_format == "snowflake":
        insert, delete = (
            ("", "open_row", f'"__action":"{action}","__stream_id":{stream_id},"__seq_number":', "sequence", "}")
            for action in ("insert", "delete")
        )
        return insert, delete
    if update_format == "weighted":
        return _WEIGHTED, _WEIGHTED
    if update_format in {"redis", "upsert"}:
        return _ROW, None
    if update_format == "raw":
        return _ROW, _ROW  # _check has seen that there are no deletes
    return ('{"insert":', "row", "}"), ('{"delete":', "row", "}")


def _check(context: Context, form: JsonFormat, writer: WriterConfig) -> None:
    """Refuse settings that exclude each other."""
    update_format = form.update_format
    check_debezium(update_format, writer)
    if writer.key and form.key_fields:
        raise ConfigError(
            "key and format.config.key_fields both name the columns of the message key; leave one of them out"
        )
    if writer.key and update_format in {"debezium", "redis"}:
        raise ConfigError(
            f"key: update_format {update_format} has a message key of its own form; "
            "name its columns in format.config.key_fields instead"
        )
    if update_format == "redis" and form.key_fields is None:
        raise ConfigError(
            "update_format redis needs format.config.key_fields: the columns whose values, joined, are the message key"
        )
    if update_format == "upsert" and form.key_fields is None and not writer.key and context.config.index is None:
        raise ConfigError(
            "update_format upsert needs a message key: name its columns in format.config.key_fields or in writer.key, "
            "or give an index"
        )
    if update_format == "raw" and context.changes.mode != "inserts":
        raise ConfigError(
            f"update_format raw has no form for deletes, and {context.changes.mode}_column may say delete; "
            "leave it out to write every row, or take update_format insert_delete, weighted or upsert"
        )


def _key_columns(context: Context, form: JsonFormat) -> tuple[int, ...]:
    """Return the numbers of key_fields' columns, as listed, or of the index's; those of an image are found later."""
    if form.key_fields is None:
        indexed = form.update_format in {"debezium", "upsert"} and not context.config.writer.key
        return find_index_columns(context.schema, context.config) if indexed else ()
    if context.config.writer.after_column is not None:
        return (context.schema.get_field_index(context.config.writer.after_column),)
    return _find_keys(context.schema, form)


def _find_keys(schema: pa.Schema, form: JsonFormat) -> tuple[int, ...]:
    return find_connector_columns(schema, form.key_fields or (), "format.config.key_fields")


def _value_columns(context: Context, keys: Iterable[int]) -> tuple[int, ...]:
    if context.config.writer.key_in_value:
        return context.columns
    left_out = set(keys)
    return tuple(at for at in context.columns if at not in left_out)


def _refuse(context: Context, style: JsonStyle, columns: Iterable[int]) -> None:
    """Refuse columns whose type has no form in JSON of this style."""
    for at in columns:
        why = context.core.refusal(at, style)
        if why:
            field = context.schema.field(at)
            raise SchemaError(
                f'column "{field.name}" {why} ({str(field.type)[:200]}), which has no form in JSON; cast it, or '
                "leave it out",
                column=field.name,
            )


def _refuse_twins(schema: pa.Schema, columns: Iterable[int]) -> None:
    seen: set[str] = set()
    for at in columns:
        name = schema.field(at).name
        if name in seen:
            raise SchemaError(
                f'two columns are called "{name}"; a JSON object needs one of each name, so rename or drop one',
                column=name,
            )
        seen.add(name)


def _refuse_snowflake(schema: pa.Schema, columns: Iterable[int]) -> None:
    for at in columns:
        name = schema.field(at).name
        if name in _SNOWFLAKE_COLUMNS:
            raise SchemaError(
                f'column "{name}" is called as one of the three that update_format snowflake adds to each row '
                f"({', '.join(_SNOWFLAKE_COLUMNS)}); rename or drop it",
                column=name,
            )
