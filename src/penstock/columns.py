"""columns: the columns that settings name, found in a schema and checked for the part they are to play."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.errors import ConfigError
from penstock.names import did_you_mean, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from penstock import _core

__all__ = ["find_column", "find_connector_columns", "find_integers", "find_suitable", "find_text"]

# as in the names of pyarrow.types.is_…
_TEXT = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view", "fixed_size_binary")


def find_column(schema: pa.Schema, name: str, setting: str) -> int:
    """Return the number of the column; ConfigError with the nearest names when there is none."""
    places = schema.get_all_field_indices(name)
    if not places:
        known = ", ".join(f'"{column}"' for column in schema.names[:8]) + (", …" if len(schema.names) > 8 else "")  # noqa: PLR2004
        hint = did_you_mean(name, schema.names) or f"; the columns are {known}"
        raise ConfigError(f'{setting}: there is no column "{name}"{hint}', column=name)
    return int(places[0])


def find_connector_columns(schema: pa.Schema, names: Iterable[str], setting: str) -> tuple[int, ...]:
    """Return the numbers of columns that the connector's own configuration names, none of them twice.

    There a name is an SQL identifier: folded to lower case unless it stands in double quotes. A column of exactly the
    name as written is taken too when no folded one is there.
    """
    found: dict[int, str] = {}
    for name in names:
        at = _find_connector_column(schema, name, setting)
        if at in found:
            raise ConfigError(
                f"{setting}: {found[at]} and {name} are the same column, {shown(schema.field(at).name)}; leave one of "
                "them out, or put names with capitals in double quotes"
            )
        found[at] = name
    return tuple(found)


def _find_connector_column(schema: pa.Schema, name: str, setting: str) -> int:
    if len(name) > 2 and name[0] == name[-1] == '"':  # noqa: PLR2004 - two quotation marks
        return find_column(schema, name[1:-1], setting)
    folded = name.lower()
    return find_column(schema, folded if folded in schema.names else name, setting)


def find_integers(schema: pa.Schema, name: str, setting: str) -> int:
    """Return the number of a column of integers."""
    return _find(schema, name, setting, ("integer",), "integers")


def find_text(schema: pa.Schema, name: str, setting: str) -> int:
    """Return the number of a column of strings or bytes, dictionary-encoded or not."""
    return _find(schema, name, setting, _TEXT, "strings or binary values")


_WANTED = {
    "raw_key": "strings or binary values",
    "big_endian_key": "integers or UUIDs",
    "headers": "lists of struct<key: string, value: string or binary>, or maps of string to string or binary,",
    "header": "strings, bytes, numbers, booleans or times",
    "timestamp": "timestamps, dates or int64 milliseconds",
    "topic": "strings",
}


def find_suitable(schema: pa.Schema, core: _core.Schema, name: str, setting: str, role: str) -> int:
    """Return the number of a column that can play the role, one of _core.Schema.suits."""
    at = find_column(schema, name, setting)
    if not core.suits(at, role):
        raise ConfigError(
            f'{setting}: column "{name}" is {schema.field(at).type}; {_WANTED[role]} are needed, so cast it or name '
            "another",
            column=name,
        )
    return at


def _find(schema: pa.Schema, name: str, setting: str, forms: tuple[str, ...], wanted: str) -> int:
    from pyarrow import types  # noqa: PLC0415 - workers import this module, and do without pyarrow's 0.35 s

    at = find_column(schema, name, setting)
    found = schema.field(at).type
    kind = found
    while types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        kind = kind.value_type
    if not any(getattr(types, f"is_{form}")(kind) for form in forms):
        raise ConfigError(
            f'{setting}: column "{name}" is {found}; {wanted} are needed, so cast it or name another', column=name
        )
    return at
