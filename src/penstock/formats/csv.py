"""csv: which columns have a form in lines of CSV, and the header line.

A line is read by its number of fields, so that number never depends on the row. The connector writes a list as one
field for each of its items, a struct as one for each of its fields and a binary value as one for each of its bytes;
here such a column is refused where that number could change. Two of them always could: a list or binary value of any
length, and, since a null is one field, whatever may be null and is not one field anyway. With `csv_nested_json` each of
these columns is one field that holds JSON text, as the connector's own CSV input reads it; a binary value too, as the
list of numbers that it is in JSON: whoever reads such a file has one rule for all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa

from penstock.config import CsvFormat
from penstock.errors import ConfigError, SchemaError
from penstock.formats import Context, Form
from penstock.formats.kinds import is_binary, is_list
from penstock.layout import CsvLayout, Packing
from penstock.names import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["plan"]

WEIGHT: Final = "weight"  # of the last column, in the header line
_UUID_BYTES: Final = 16


def plan(context: Context) -> Form:
    """Return what the core needs; SchemaError for a column without a form, ConfigError for settings that cannot be."""
    form, writer = context.config.format, context.config.writer
    assert isinstance(form, CsvFormat)  # noqa: S101
    _check_delimiter(form.delimiter)
    _check_null(writer.csv_null, form.delimiter)
    if not writer.csv_weight and context.changes.mode != "inserts":
        raise ConfigError(
            f"csv_weight is false and {context.changes.mode}_column is set: without its weight a line cannot say that "
            "a row is deleted; leave out one of the two"
        )
    names: list[str] = []
    for at in context.columns:
        field = context.schema.field(at)
        if why := context.core.refusal(at):
            raise SchemaError(
                f'column "{field.name}" {why} ({str(field.type)[:200]}), which has no form in CSV; cast it, or leave '
                "it out",
                column=field.name,
            )
        if writer.csv_nested_json and _is_nested(field):
            names.append(field.name)
        else:
            names += _flatten(field)
    if writer.csv_weight:
        names.append(WEIGHT)
    if not names:
        raise SchemaError("no column is left to write, and csv_weight is false: a line of CSV needs a field")
    layout = CsvLayout(
        columns=context.columns,
        delimiter=form.delimiter,
        weight=writer.csv_weight,
        quoting=writer.csv_quote,
        null_text=writer.csv_null,
        nested_json=writer.csv_nested_json,
    )
    prologue = _header(names, layout) if writer.csv_header else b""
    packing = Packing("lines", form.buffer_size_records, weighted=writer.csv_weight, prologue=prologue)
    return Form(layout, packing)


def _check_delimiter(delimiter: str) -> None:
    """Refuse what the connector takes and no reader could tell apart, or what it silently replaces by a comma."""
    if len(delimiter.encode(errors="surrogatepass")) != 1 or delimiter in '"\r\n':
        raise ConfigError(
            f"format.config.delimiter is {shown(delimiter)}; it must be one byte of ASCII, and no quotation mark, CR "
            "or LF"
        )


def _check_null(text: str, delimiter: str) -> None:
    for mark, name in ((delimiter, "the delimiter"), ('"', "a quotation mark"), ("\r", "CR"), ("\n", "LF")):
        if mark in text:
            raise ConfigError(f"csv_null is {shown(text)}, which holds {name}; a null is never quoted, so it cannot")


# ---- fields of a column ---------------------------------------------------------------------------------------------


def _flatten(column: pa.Field) -> list[str]:
    """Return the names of the fields that a column becomes; SchemaError where their number changes with the row."""
    try:
        return list(_fields(column, column.name))
    except _VariesError as error:
        raise SchemaError(
            f'column "{column.name}" ({str(column.type)[:200]}): {error}, so lines would differ in their number of '
            "fields; set writer.csv_nested_json to write it as one field of JSON text, or leave it out",
            column=column.name,
        ) from None


class _VariesError(Exception):
    """The number of fields changes with the row; why."""


def _fields(field: pa.Field, path: str) -> Iterator[str]:
    kind, is_uuid = _values(field)
    t = pa.types
    if t.is_map(kind):
        raise _VariesError(f'"{path}" is a map of any length')
    if is_list(kind) and not t.is_fixed_size_list(kind):
        raise _VariesError(f'"{path}" is a list of any length, one field for each item')
    if is_binary(kind) and not t.is_fixed_size_binary(kind):
        raise _VariesError(f'"{path}" is binary of any length, one field for each byte')
    if t.is_struct(kind):
        names = [name for at in range(kind.num_fields) for name in _fields(kind.field(at), f"{path}.{kind[at].name}")]
    elif t.is_fixed_size_list(kind):
        names = [name for at in range(kind.list_size) for name in _fields(kind.value_field, f"{path}[{at}]")]
    elif t.is_fixed_size_binary(kind) and not is_uuid:
        names = [f"{path}[{at}]" for at in range(kind.byte_width)]
    else:
        names = [path]
    if field.nullable and len(names) != 1:
        raise _VariesError(f'"{path}" may be null, which is one field instead of {len(names)} (unless it is NOT NULL)')
    return iter(names)


def _is_nested(column: pa.Field) -> bool:
    """Whether csv_nested_json concerns a column: those whose values are not one field by themselves."""
    kind, is_uuid = _values(column)
    t = pa.types
    return bool(t.is_map(kind) or t.is_struct(kind) or is_list(kind) or (is_binary(kind) and not is_uuid))


def _values(field: pa.Field) -> tuple[pa.DataType, bool]:
    """Return the type behind dictionaries, runs and extensions, and whether its 16 bytes are a UUID."""
    metadata = field.metadata or {}
    is_uuid = metadata.get(b"sql_type") == b"UUID" or metadata.get(b"ARROW:extension:name") == b"arrow.uuid"
    kind = field.type
    while True:
        if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
            kind = kind.value_type
        elif isinstance(kind, pa.BaseExtensionType):
            is_uuid = is_uuid or kind.extension_name == "arrow.uuid"
            kind = kind.storage_type
        else:
            return kind, is_uuid and pa.types.is_fixed_size_binary(kind) and kind.byte_width == _UUID_BYTES


# ---- header line ----------------------------------------------------------------------------------------------------


def _header(names: list[str], layout: CsvLayout) -> bytes:
    """Return the line of names, quoted as the values of string columns are."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise SchemaError(
                f'two fields of the header line are called "{name}"; rename or leave out the column, or set csv_header '
                "to false",
                column=name,
            )
        seen.add(name)
    alone = len(names) == 1
    return (layout.delimiter.join(_quoted(name, layout, alone=alone) for name in names) + "\n").encode()


def _quoted(name: str, layout: CsvLayout, *, alone: bool) -> str:
    needed = any(mark in name for mark in (layout.delimiter, '"', "\r", "\n"))
    unclear = alone if not name else name == layout.null_text  # a line without anything is skipped by readers
    if not needed and not unclear and layout.quoting == "necessary":
        return name
    return '"' + name.replace('"', '""') + '"'
