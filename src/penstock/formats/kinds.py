"""kinds: Arrow types that are one thing to a format, whatever their layout."""

from __future__ import annotations

from pyarrow import DataType, types

__all__ = ["is_binary", "is_list", "is_text"]

_LISTS = (types.is_list, types.is_large_list, types.is_list_view, types.is_large_list_view, types.is_fixed_size_list)
_TEXT = (types.is_string, types.is_large_string, types.is_string_view)
_BINARY = (types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary)


def is_list(kind: DataType) -> bool:
    """Tell whether values are lists; a map is none."""
    return any(is_kind(kind) for is_kind in _LISTS)


def is_text(kind: DataType) -> bool:
    """Tell whether values are strings."""
    return any(is_kind(kind) for is_kind in _TEXT)


def is_binary(kind: DataType) -> bool:
    """Tell whether values are bytes, of one size or of any."""
    return any(is_kind(kind) for is_kind in _BINARY)
