"""Inputs that the fuzzer once found, or that were chosen for their types, and the text that they are kept as."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given

from fuzz.cases import Case, load
from fuzz.run import CORPUS, attempt
from strategies import batches

KEPT = sorted(CORPUS.glob("*.json"))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_kept_input(path):
    """It is written, or refused in the right way, and what is written has a reader."""
    attempt(load(path.read_text(encoding="utf-8")))


def layout(data: tuple) -> tuple:
    """Return what pyarrow knows of an array, with bytes in place of buffers."""
    kind, length, nulls, offset, buffers, children, dictionary = data
    found = [None if buffer is None else buffer.to_pybytes() for buffer in buffers]
    return kind, length, nulls, offset, found, [*map(layout, children)], dictionary and layout(dictionary)


@given(drawn=batches())
def test_text_brings_back_the_same_buffers(drawn):
    """Offsets, slots under nulls and children of children: all are as they were."""
    case = Case("csv", {"format": "csv"}, drawn)
    back = load(case.dump())
    assert (back.target, back.settings, back.schema) == (case.target, case.settings, case.schema)
    assert back.schema.equals(case.schema, check_metadata=True)
    for old, new in zip(case.batches, back.batches, strict=True):
        for ours, theirs in zip(old.columns, new.columns, strict=True):
            assert layout(ours.__reduce__()[1][0]) == layout(theirs.__reduce__()[1][0])
    assert pa.Table.from_batches(back.batches).num_rows == sum(batch.num_rows for batch in drawn)
