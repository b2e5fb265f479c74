"""One input of the fuzzer, as text that brings back the same buffers, offsets and children, whatever made them.

pyarrow's IPC would cut slices to size and lose what is being tried; so arrays are kept as pyarrow pickles them (type,
length, nulls, offset, buffers, children, dictionary), but in JSON.
"""

from __future__ import annotations

import base64
import json
from typing import Any, NamedTuple

import pyarrow as pa

_RESTORE = pa.nulls(0).__reduce__()[0]


class Case(NamedTuple):
    """Batches of one schema, and what is to be made of them.

    target    a name of targets.TARGETS
    settings  keywords of penstock.preview, `format` and `topic` included
    """

    target: str
    settings: dict[str, Any]
    batches: list[pa.RecordBatch]

    @property
    def schema(self) -> pa.Schema:
        return self.batches[0].schema

    def without(self, column: str) -> Case:
        at = self.schema.names.index(column)
        kept = [number for number in range(len(self.schema)) if number != at]
        return self._replace(batches=[batch.select(kept) for batch in self.batches])

    def dump(self) -> str:
        """Return JSON text."""
        batches = [
            {"rows": batch.num_rows, "columns": [_array(column.__reduce__()[1][0]) for column in batch.columns]}
            for batch in self.batches
        ]
        text = {"target": self.target, "settings": self.settings, "schema": _schema(self.schema), "batches": batches}
        return json.dumps(text, indent=1) + "\n"


def load(text: str) -> Case:
    """Return the case that dump() made a text of."""
    told = json.loads(text)
    schema = _read_schema(told["schema"])
    batches = [
        pa.RecordBatch.from_arrays([_RESTORE(_read_array(column)) for column in batch["columns"]], schema=schema)
        for batch in told["batches"]
    ]
    return Case(told["target"], told["settings"], batches)


def _bytes(buffer: pa.Buffer | None) -> str | None:
    return None if buffer is None else base64.b64encode(buffer).decode()


def _schema(schema: pa.Schema) -> str:
    return str(_bytes(schema.serialize()))


def _read_schema(text: str) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))


def _array(data: tuple[Any, ...] | None) -> list[Any] | None:
    if data is None:
        return None
    kind, length, nulls, offset, buffers, children, dictionary = data
    told = _schema(pa.schema([pa.field("", kind)]))
    return [told, length, nulls, offset, [*map(_bytes, buffers)], [*map(_array, children)], _array(dictionary)]


def _read_array(told: list[Any] | None) -> tuple[Any, ...] | None:
    if told is None:
        return None
    kind, length, nulls, offset, buffers, children, dictionary = told
    found = [None if text is None else pa.py_buffer(base64.b64decode(text)) for text in buffers]
    kind = _read_schema(kind).field(0).type
    return kind, length, nulls, offset, found, [*map(_read_array, children)], _read_array(dictionary)
