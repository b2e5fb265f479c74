"""The values of any Arrow array as Python objects that compare exactly: what lies in memory, whatever the layout.

Fixed-width values are their bytes, so that NaNs, years beyond Python's and nanoseconds all count. Nothing here is
shared with the core; runs and dictionaries are looked up here and not by pyarrow.
"""

from __future__ import annotations

import bisect
from typing import Any

import pyarrow as pa

t = pa.types


def values(array: pa.Array) -> list[Any]:
    """Return one object for each value: None, bytes, text, bool, a list, or a tuple for a struct."""
    if isinstance(array, pa.ChunkedArray):
        return [value for chunk in array.chunks for value in values(chunk)]
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return values(array.storage)
    if t.is_dictionary(kind):
        known = values(array.dictionary)
        return [None if place is None else known[place] for place in array.indices.to_pylist()]
    if t.is_run_end_encoded(kind):
        known, ends = values(array.values), array.run_ends.to_pylist()
        return [known[bisect.bisect_right(ends, array.offset + at)] for at in range(len(array))]
    if t.is_null(kind):
        return [None] * len(array)
    valid = array.is_valid().to_pylist()
    if t.is_struct(kind):
        members = [values(array.field(at)) for at in range(kind.num_fields)]
        return [tuple(member[at] for member in members) if valid[at] else None for at in range(len(array))]
    if t.is_map(kind) or t.is_nested(kind):
        return [values(array[at].values) if valid[at] else None for at in range(len(array))]
    if t.is_boolean(kind) or not (t.is_primitive(kind) or t.is_decimal(kind) or t.is_fixed_size_binary(kind)):
        return array.to_pylist()
    width = kind.bit_width // 8
    raw = bytes(array.buffers()[1] or b"")
    starts = range(array.offset * width, (array.offset + len(array)) * width, width)
    return [raw[at : at + width] if ok else None for at, ok in zip(starts, valid, strict=True)]


def rows(table: pa.Table | pa.RecordBatch) -> list[tuple[Any, ...]]:
    """Return the values row by row."""
    return list(zip(*map(values, table.columns), strict=True))
