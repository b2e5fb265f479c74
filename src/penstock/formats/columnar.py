"""columnar: parquet (one file a message) and arrow (one IPC stream a message), planned; batches.py makes the bytes.

Both write columns in plain layout, so that a dictionary here and plain strings there give the same message. arrow
keeps each column's own type. parquet writes the types of the connector's table (specification, section 0), widened
where a value would lose digits: timestamps of nanoseconds and decimals of more than 38 digits stay what they are.

A file only ever adds rows. What always means more (an index, a message key) is refused at open; a weight or op column
may hold inserts alone, so it is taken, and the first delete in it is an EncodeError at its row: with weights before
anything of its batch is sent, since deletes are read first, with an op column before anything of its 65,536 rows. An
upsert is a row like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import pyarrow as pa

from penstock.config import ArrowFormat, ParquetFormat
from penstock.errors import ConfigError, SchemaError
from penstock.formats import Form
from penstock.layout import ColumnarLayout, Packing

if TYPE_CHECKING:
    from penstock.config import Config
    from penstock.formats import Context

__all__ = ["check", "plain_field", "plain_fields", "plan", "refuse_fields"]

_MOST_DEPTH: Final = 64
_DECIMAL128_DIGITS: Final = 38
_DECIMAL256_DIGITS: Final = 76
_UUID_BYTES: Final = 16
_ROW_FIELDS: Final = ("headers_column", "header_columns", "timestamp_column", "topic_column", "tombstone_column")


def check(config: Config) -> None:
    """Refuse what makes no sense with messages of many rows and no key."""
    name = _name(config)
    refuse_fields(config, name, "its messages hold many rows and have no key")
    if config.index is not None:
        raise ConfigError(
            f"index and format {name} exclude each other: an index makes upserts and deletes, {name} holds rows that "
            "are added; leave index out, or choose json or avro"
        )


def _name(config: Config) -> Literal["parquet", "arrow"]:
    return "parquet" if isinstance(config.format, ParquetFormat) else "arrow"


def refuse_fields(config: Config, name: str, why: str) -> None:
    """Refuse settings that read a field of the message from each row."""
    if config.writer.key:
        raise ConfigError(
            f"key and format {name} exclude each other: {why}; give partition_by, which keeps the order of equal keys"
        )
    for setting in _ROW_FIELDS:
        if getattr(config.writer, setting):
            raise ConfigError(f"{setting} and format {name} exclude each other: {why}; leave {setting} out")


def plan(context: Context) -> Form:
    """Plan the configured format; SchemaError for a column that it cannot hold, ConfigError as check."""
    form = context.config.format
    assert isinstance(form, ParquetFormat | ArrowFormat)  # noqa: S101
    check(context.config)
    parquet = isinstance(form, ParquetFormat)
    exported = plain_fields(context, "Parquet" if parquet else "Arrow", table=parquet)
    written = exported
    if parquet:
        written = pa.schema([_table_field(field) for field in exported])
    return Form(
        ColumnarLayout(
            form=_name(context.config),
            columns=context.columns,
            exported=exported.serialize().to_pybytes(),
            written=written.serialize().to_pybytes(),
            table=parquet,
            records=form.buffer_size_records,
        ),
        Packing("bare", form.buffer_size_records),
        no_deletes=f"a delete has no form in {_name(context.config)}, whose messages hold rows that are added; "
        "leave deletes out, or write json",
    )


def plain_fields(context: Context, name: str, *, table: bool) -> pa.Schema:
    """Return the written columns as src/core/export.cpp exports them; SchemaError for one without a form in `name`."""
    if not context.columns:
        raise SchemaError(f"there is no column to write: every one of them says something else; {name} needs one")
    fields = []
    seen: set[str] = set()
    for at in context.columns:
        field = context.schema.field(at)
        why = _refusal(field.type, name, 0)
        if why:
            raise SchemaError(
                f'column "{field.name}" {why} ({str(field.type)[:200]}), which has no form in {name}; cast it, or '
                "leave it out",
                column=field.name,
            )
        if field.name in seen:
            raise SchemaError(
                f'two columns are called "{field.name}"; {name} readers find columns by name, so rename or drop one',
                column=field.name,
            )
        seen.add(field.name)
        fields.append(plain_field(field, table=table))
    return pa.schema(fields)


def _values(kind: pa.DataType) -> pa.DataType:
    while pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        kind = kind.value_type
    return kind


def _children(kind: pa.DataType) -> list[pa.Field]:
    return [kind.field(at) for at in range(kind.num_fields)]


def _refusal(kind: pa.DataType, name: str, depth: int) -> str:
    """Return why a type has no form, as the end of a sentence; empty when it has one."""
    kind = _values(kind)
    if isinstance(kind, pa.BaseExtensionType):
        return _refusal(kind.storage_type, name, depth)
    why = _refusal_alone(kind, name)
    if not why and depth > _MOST_DEPTH:
        why = f"is nested more than {_MOST_DEPTH} levels deep"
    members = iter(_children(kind))
    while not why and (field := next(members, None)) is not None:
        why = _refusal(field.type, name, depth + 1)
    return f"holds a value that {why}" if depth == 1 and why.startswith("is ") else why


def _refusal_alone(kind: pa.DataType, name: str) -> str:
    t = pa.types
    for found, what in ((t.is_duration, "a duration"), (t.is_interval, "an INTERVAL"), (t.is_union, "a union")):
        if found(kind):
            return f"is {what}"
    if name == "Parquet" and t.is_decimal(kind) and _digits(kind)[0] > _DECIMAL256_DIGITS:
        return f"is a decimal of {_digits(kind)[0]} digits, beyond {_DECIMAL256_DIGITS}"
    if not t.is_struct(kind):
        return ""
    names = [field.name for field in _children(kind)]
    if not names and name == "Parquet":
        return "is a struct without fields"
    twice = next((one for one in names if names.count(one) > 1), None)
    return "" if twice is None else f'holds two fields called "{twice}"'


def _is_uuid(field: pa.Field) -> bool:
    """Tell whether the core takes the field's 16 bytes for a UUID (make_type in src/core/arrow.cpp)."""
    kind = _values(field.type)
    marks = field.metadata or {}
    name = marks.get(b"ARROW:extension:name", b"").decode(errors="replace")
    if isinstance(kind, pa.BaseExtensionType):
        name, kind = kind.extension_name, kind.storage_type
    sixteen = bool(pa.types.is_fixed_size_binary(kind)) and kind.byte_width == _UUID_BYTES
    return sixteen and (name == "arrow.uuid" or marks.get(b"sql_type") == b"UUID")


def plain_field(field: pa.Field, *, table: bool) -> pa.Field:
    """Return the field as src/core/export.cpp exports it, in the table's layouts where asked."""
    if table and _is_uuid(field):
        return field.with_type(pa.string())
    return field.with_type(_plain_type(_values(field.type), table=table))


def _plain_type(kind: pa.DataType, *, table: bool) -> pa.DataType:  # noqa: C901, PLR0911 - a table
    """Return the type without dictionaries, run ends and views; in the table's layouts where asked."""
    t = pa.types

    def inner(field: pa.Field) -> pa.Field:
        return plain_field(field, table=table)

    if isinstance(kind, pa.BaseExtensionType):
        storage = _plain_type(kind.storage_type, table=table)
        if not table and storage == kind.storage_type:
            return kind
        return pa.json_(storage) if not table and kind.extension_name == "arrow.json" else storage
    small_list = t.is_list(kind) or t.is_list_view(kind)
    large_list = t.is_large_list(kind) or t.is_large_list_view(kind) or (table and t.is_fixed_size_list(kind))
    binary = t.is_binary(kind) or t.is_binary_view(kind) or t.is_fixed_size_binary(kind)
    if t.is_string_view(kind) or (table and t.is_large_string(kind)):
        return pa.string()
    if t.is_binary_view(kind) or (table and binary):
        return pa.large_binary() if table else pa.binary()
    if large_list or (table and small_list):
        return pa.large_list(inner(kind.value_field))
    if small_list:
        return pa.list_(inner(kind.value_field))
    if t.is_fixed_size_list(kind):
        return pa.list_(inner(kind.value_field), kind.list_size)
    if t.is_struct(kind):
        return pa.struct([inner(field) for field in _children(kind)])
    if t.is_map(kind):
        return pa.map_(inner(kind.key_field), inner(kind.item_field), keys_sorted=kind.keys_sorted)
    return kind


def _digits(kind: pa.DataType) -> tuple[int, int]:
    """Return precision and scale as Parquet takes them: a scale from 0 to the precision."""
    precision, scale = kind.precision, kind.scale
    return (precision - scale, 0) if scale < 0 else (max(precision, scale), scale)


def _table_field(field: pa.Field) -> pa.Field:
    return field.with_type(_table_type(field.type))


def _table_type(kind: pa.DataType) -> pa.DataType:  # noqa: PLR0911 - a table
    """Return what the connector's table has for a type of its layouts: numbers and times of its own widths."""
    t = pa.types
    if t.is_float16(kind):
        return pa.float32()
    if t.is_decimal(kind):
        precision, scale = _digits(kind)
        return pa.decimal128(precision, scale) if precision <= _DECIMAL128_DIGITS else pa.decimal256(precision, scale)
    if t.is_date64(kind):
        return pa.date32()
    if t.is_time(kind):
        return pa.time64("ns")
    if t.is_timestamp(kind):
        return pa.timestamp("ns" if kind.unit == "ns" else "us", None if kind.tz is None else "UTC")
    if t.is_large_list(kind):
        return pa.large_list(_table_field(kind.value_field))
    if t.is_struct(kind):
        return pa.struct([_table_field(field) for field in _children(kind)])
    if t.is_map(kind):
        return pa.map_(_table_field(kind.key_field), _table_field(kind.item_field), keys_sorted=kind.keys_sorted)
    return kind
