"""columns: the columns that settings name, found in a schema and checked for the part they are to play."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from penstock.errors import ConfigError
from penstock.names import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["find_column", "find_integers", "find_text"]


def find_column(schema: pa.Schema, name: str, setting: str) -> int:
    """Return the number of the column; ConfigError with the nearest names when there is none."""
    places = schema.get_all_field_indices(name)
    if not places:
        known = ", ".join(f'"{column}"' for column in schema.names[:8]) + (", …" if len(schema.names) > 8 else "")  # noqa: PLR2004
        hint = did_you_mean(name, schema.names) or f"; the columns are {known}"
        raise ConfigError(f'{setting}: there is no column "{name}"{hint}', column=name)
    return int(places[0])


def find_integers(schema: pa.Schema, name: str, setting: str) -> int:
    """Return the number of a column of integers."""
    return _find(schema, name, setting, pa.types.is_integer, "integers")


def find_text(schema: pa.Schema, name: str, setting: str) -> int:
    """Return the number of a column of strings or bytes, dictionary-encoded or not."""
    return _find(schema, name, setting, _is_text, "strings or binary values")


def _find(schema: pa.Schema, name: str, setting: str, fits: Callable[[pa.DataType], bool], wanted: str) -> int:
    at = find_column(schema, name, setting)
    found = schema.field(at).type
    kind = found
    while pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        kind = kind.value_type
    if not fits(kind):
        raise ConfigError(f'{setting}: column "{name}" is {found}; {wanted} are needed, so cast it or name another', column=name)
    return at


def _is_text(kind: pa.DataType) -> bool:
    is_ = pa.types
    return bool(
        is_.is_string(kind)
        or is_.is_large_string(kind)
        or is_.is_string_view(kind)
        or is_.is_binary(kind)
        or is_.is_large_binary(kind)
        or is_.is_binary_view(kind)
        or is_.is_fixed_size_binary(kind)
    )
