"""A second, slow encoder written from the specification alone, to which the core's bytes are compared.

    Array, Field ──cells()──▶ JSON text per row ──rows()──▶ {"id":1,…} ──changes()──▶ order of events ──pack()──▶ values

Every function takes a pyarrow array of any offset and reads raw integers from its buffers where pyarrow's Python
objects cannot hold the value (a timestamp of the year -200000, the nanosecond of a time). Nothing here is shared with
the core, and nothing is fast.
"""

from __future__ import annotations

import bisect
import uuid
import zlib
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from scalars import SECONDS_PER_DAY, NoForm, quoted
from styles import Style

ROWS_PER_CHUNK = 65536
LARGEST_WEIGHT = 1_000_000
DEFAULT = Style()
HEADROOM = 64  # the maximum payload is message.max.bytes less this
DELETES = frozenset({"delete", "D", "d", "-U", "-D"})
INSERTS = frozenset({"insert", "upsert", "I", "U", "c", "u", "r", "+I", "+U"})


# ---- arrays ---------------------------------------------------------------------------------------------------------


def integers(array: pa.Array, width: int) -> list[int]:
    """Return the signed little-endian integers of `width` bytes in the array's second buffer, slicing respected."""
    buffer = array.buffers()[1]
    if buffer is None:
        return [0] * len(array)
    raw = memoryview(buffer)
    places = range(array.offset * width, (array.offset + len(array)) * width, width)
    return [int.from_bytes(raw[at : at + width], "little", signed=True) for at in places]


def _sql_type(field: pa.Field) -> str:
    return (field.metadata or {}).get(b"sql_type", b"").decode()


def _is_binary(kind: pa.DataType) -> bool:
    t = pa.types
    return (
        t.is_binary(kind) or t.is_large_binary(kind) or t.is_binary_view(kind) or t.is_fixed_size_binary(kind)
    ) and not t.is_decimal(kind)


def _is_string(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_list(kind: pa.DataType) -> bool:
    t = pa.types
    return (
        t.is_list(kind)
        or t.is_large_list(kind)
        or t.is_fixed_size_list(kind)
        or t.is_list_view(kind)
        or t.is_large_list_view(kind)
    )


def _leaf(array: pa.Array, kind: pa.DataType, style: Style) -> list[str]:
    """Return the texts of a column without children; those of null slots are not looked at."""
    t = pa.types
    if t.is_boolean(kind):
        return ["true" if value else "false" for value in array.to_pylist()]
    if t.is_integer(kind):
        return [str(value) for value in array.to_pylist()]
    if t.is_floating(kind):
        width = 64 if t.is_float64(kind) else 32  # a float16 is the float32 it equals
        return [style.float_value(None if value is None else float(value), width) for value in array.to_pylist()]
    if t.is_decimal(kind):
        return [style.decimal_value(value, kind.scale) for value in integers(array, kind.bit_width // 8)]
    if t.is_date32(kind):
        return [style.date_value(value) for value in integers(array, 4)]
    if t.is_date64(kind):
        return [style.date_value(value // (SECONDS_PER_DAY * 1000)) for value in integers(array, 8)]
    if t.is_time(kind):
        return [style.time_value(value, kind.unit) for value in integers(array, kind.bit_width // 8)]
    if t.is_timestamp(kind):
        return [style.timestamp_value(value, kind.unit, zoned=kind.tz is not None) for value in integers(array, 8)]
    raise NoForm(f"{kind} has no JSON form")


def _text_column(array: pa.Array, field: pa.Field, style: Style, *, variant: bool) -> list[str]:
    values = array.to_pylist()
    if variant:
        return ["null" if value is None else style.variant_value(value) for value in values]
    if _sql_type(field) == "UUID":
        return ["null" if value is None else quoted(str(uuid.UUID(value))) for value in values]
    return ["null" if value is None else quoted(value) for value in values]


def _bytes_column(array: pa.Array, style: Style, *, as_uuid: bool) -> list[str]:
    values = array.to_pylist()
    if as_uuid:
        return ["null" if value is None else f'"{uuid.UUID(bytes=value)}"' for value in values]
    return ["null" if value is None else style.bytes_value(value) for value in values]


def map_text(entries: pa.Array, key: pa.Field, item: pa.Field, style: Style) -> str:
    """Return one map's entries as an object sorted by key, equal keys in the order given."""
    keys, items = entries.field(0), entries.field(1)
    names = []
    for text in cells(keys, key, style.of_key()):
        if text[0] in "[{" or text == "null":
            raise NoForm("a map key that is null, not finite, or not a scalar")
        names.append(text if text[0] == '"' else f'"{text}"')
    order = sorted(range(len(names)), key=sort_values(keys, style).__getitem__)
    texts = cells(items, item, style)
    return "{" + ",".join(f"{names[i]}:{texts[i]}" for i in order) + "}"


def sort_values(keys: pa.Array, style: Style) -> list[Any]:
    """Return one comparable value per map key: text by its UTF-8 bytes, numbers and times by value, false first."""
    kind = keys.type
    t = pa.types
    if isinstance(keys, pa.ExtensionArray):
        return sort_values(keys.storage, style)
    if t.is_dictionary(kind):
        values = sort_values(keys.dictionary, style)
        return [values[i] for i in keys.indices.to_pylist()]
    if t.is_run_end_encoded(kind):
        values = sort_values(keys.values, style)
        return [values[i] for i in _runs(keys)]
    if _is_string(kind):
        return [value.encode() for value in keys.to_pylist()]
    if t.is_decimal(kind) and not style.decimal_text:
        raise NoForm("a decimal map key")
    if t.is_temporal(kind) or t.is_decimal(kind):
        return integers(keys, kind.bit_width // 8)
    return keys.to_pylist()


def _runs(array: pa.Array) -> list[int]:
    """Return the number of the run in which each row of a run-end-encoded array lies."""
    ends = array.run_ends.to_pylist()
    return [bisect.bisect_right(ends, array.offset + row) for row in range(len(array))]


def cells(array: pa.Array, field: pa.Field, style: Style = DEFAULT) -> list[str]:
    """Return one JSON text per row of `array`; `field` is its field, whose metadata may name an SQL type."""
    kind = field.type
    t = pa.types
    variant = _sql_type(field) == "VARIANT"
    if isinstance(kind, pa.BaseExtensionType):
        variant = variant or kind.extension_name == "arrow.json"
        array, kind = array.storage, kind.storage_type
        if field.type.extension_name == "arrow.uuid":
            return _bytes_column(array, style, as_uuid=True)
    if t.is_null(kind):
        return ["null"] * len(array)
    if t.is_dictionary(kind):
        texts = cells(array.dictionary, pa.field(field.name, kind.value_type, metadata=field.metadata), style)
        return ["null" if i is None else texts[i] for i in array.indices.to_pylist()]
    if t.is_run_end_encoded(kind):
        texts = cells(array.values, pa.field(field.name, kind.value_type, metadata=field.metadata), style)
        return [texts[run] for run in _runs(array)]
    if _is_string(kind):
        return _text_column(array, field, style, variant=variant)
    if _is_binary(kind):
        sixteen = t.is_fixed_size_binary(kind) and kind.byte_width == 16
        return _bytes_column(array, style, as_uuid=sixteen and _sql_type(field) == "UUID")
    valid = array.is_valid().to_pylist()
    if t.is_map(kind):
        return [
            map_text(array[row].values, kind.key_field, kind.item_field, style) if valid[row] else "null"
            for row in range(len(array))
        ]
    if _is_list(kind):
        return [
            "[" + ",".join(cells(array[row].values, kind.value_field, style)) + "]" if valid[row] else "null"
            for row in range(len(array))
        ]
    if t.is_struct(kind):
        children = [kind.field(i) for i in range(kind.num_fields)]
        # a row that is null may hide values which have no form, so only the others are encoded
        return [_row(array, children, row, style) if valid[row] else "null" for row in range(len(array))]
    return [text if good else "null" for text, good in zip(_leaf(array, kind, style), valid, strict=True)]


def _row(array: pa.StructArray, children: list[pa.Field], row: int, style: Style) -> str:
    values = [array.field(i).slice(row, 1) for i in range(len(children))]
    texts = (cells(value, child, style)[0] for value, child in zip(values, children, strict=True))
    return object_text(children, texts, [_is_null(value, 0) for value in values], style)


def _is_null(array: pa.Array, row: int) -> bool:
    """Tell whether the value is null, be it by the dictionary or the runs behind it."""
    if isinstance(array, pa.ExtensionArray):
        return _is_null(array.storage, row)
    if pa.types.is_dictionary(array.type):
        at = array.indices[row].as_py()
        return at is None or _is_null(array.dictionary, at)
    if pa.types.is_run_end_encoded(array.type):
        return _is_null(array.values, _runs(array)[row])
    return not array[row].is_valid


def object_text(fields: list[pa.Field], texts: Any, nulls: list[bool], style: Style) -> str:
    """Return one object with the fields' names in their order, without those that are null where the style says so."""
    members = [
        f"{quoted(field.name)}:{text}"
        for field, text, null in zip(fields, texts, nulls, strict=True)
        if not (null and style.omit_nulls)
    ]
    return "{" + ",".join(members) + "}"


def rows(batch: pa.RecordBatch, columns: list[str] | None = None, style: Style = DEFAULT) -> list[str]:
    """Return each row as one JSON object of `columns` in the order given (all of them, in schema order, by default)."""
    names = batch.schema.names if columns is None else columns
    fields = [batch.schema.field(name) for name in names]
    found = [batch.column(name) for name in names]
    texts = [cells(column, field, style) for column, field in zip(found, fields, strict=True)]
    return [
        object_text(fields, [text[row] for text in texts], [_is_null(column, row) for column in found], style)
        for row in range(batch.num_rows)
    ]


# ---- changes, keys and messages -------------------------------------------------------------------------------------


def changes(batch: pa.RecordBatch, *, op: str | None = None, weight: str | None = None) -> list[tuple[int, str]]:
    """Return (row, "insert" or "delete") in the order in which the events are sent, one entry per event."""
    if op is not None:
        return [(row, _verb(value)) for row, value in enumerate(batch.column(op).to_pylist())]
    if weight is None:
        return [(row, "insert") for row in range(batch.num_rows)]
    weights = batch.column(weight).to_pylist()
    if any(count is None or abs(count) > LARGEST_WEIGHT for count in weights):
        raise NoForm("a weight that is null or above the limit")
    deletes = [(row, "delete") for row, count in enumerate(weights) for _ in range(-count)]
    return deletes + [(row, "insert") for row, count in enumerate(weights) for _ in range(count)]


def _verb(value: str | None) -> str:
    if value in DELETES:
        return "delete"
    if value in INSERTS:
        return "insert"
    raise NoForm(f"{value!r} is no operation")


def pack(events: list[bytes], *, limit: int, records: int, array: bool) -> list[bytes]:
    """Return message values of at most `limit` bytes and `records` events, each filled before the next is begun."""
    values: list[bytes] = []
    held: list[bytes] = []
    size = frame = 1 if array else 0  # each event brings one byte with it, and n events in brackets have n + 1

    def send() -> None:
        values.append(b"[" + b",".join(held) + b"]" if array else b"".join(event + b"\n" for event in held))
        assert len(values[-1]) == size

    for event in events:
        if frame + len(event) + 1 > limit:
            raise NoForm(f"an event of {len(event)} bytes where {limit} are allowed")
        if held and (len(held) >= records or size + len(event) + 1 > limit):
            send()
            held, size = [], frame
        held.append(event)
        size += len(event) + 1
    if held:
        send()
    return values


@dataclass(frozen=True)
class Packing:
    """What of the settings shapes the messages; limit is the maximum payload, message.max.bytes - 64."""

    limit: int = 999_936
    records: int = 10_000
    array: bool = False
    op: str | None = None
    weight: str | None = None
    partition_column: str | None = None
    key: tuple[str, ...] = ()
    key_format: str = "json"

    def settings(self, topic: str = "t") -> dict[str, Any]:
        """Return the same as keywords of penstock.preview, leaving out what is not set."""
        named = {
            "op_column": self.op,
            "weight_column": self.weight,
            "partition_column": self.partition_column,
            "key": self.key,
            "key_format": self.key_format if self.key else None,
        }
        return {
            "topic": topic,
            "format": {"name": "json", "config": {"array": self.array, "buffer_size_records": self.records}},
            "kafka_options": {"message.max.bytes": str(self.limit + HEADROOM)},
            **{name: value for name, value in named.items() if value},
        }


def events(batch: pa.RecordBatch, packing: Packing) -> list[tuple[int, bytes]]:
    """Return (row, event) in the order of sending, for one batch."""
    control = {packing.op, packing.weight, packing.partition_column}
    texts = rows(batch, [name for name in batch.schema.names if name not in control])
    return [
        (row, f'{{"{verb}":{texts[row]}}}'.encode())
        for row, verb in changes(batch, op=packing.op, weight=packing.weight)
    ]


def key_bytes(batch: pa.RecordBatch, columns: tuple[str, ...], key_format: str = "json") -> list[bytes | None]:
    """Return each row's message key: the compact object of `columns`, or the bytes of the only one."""
    if key_format == "json":
        return [text.encode() for text in rows(batch, list(columns))]
    values = batch.column(columns[0]).to_pylist()
    return [value.encode() if isinstance(value, str) else value for value in values]


def messages(
    batches: list[pa.RecordBatch], packing: Packing, *, rows_per_chunk: int | None = None
) -> list[tuple[int, bytes | None, bytes]]:
    """Return (batch, key, value) of every message in the order of sending to one partition.

    rows_per_chunk  where a batch is cut: ROWS_PER_CHUNK when it is written, nowhere in a preview
    """
    sent: list[tuple[int, bytes | None, bytes]] = []
    for number, batch in enumerate(batches):
        for chunk, made in _chunks(batch, packing, rows_per_chunk or max(batch.num_rows, 1)):
            records = 1 if packing.key else max(packing.records, 1)
            values = pack([event for _, event in made], limit=packing.limit, records=records, array=packing.array)
            keys: list[bytes | None] = [None] * len(values)
            if packing.key:
                of_rows = key_bytes(chunk, packing.key, packing.key_format)
                keys = [of_rows[row] for row, _ in made]
                if any(len(value) + len(key or b"") > packing.limit for key, value in zip(keys, values, strict=True)):
                    raise NoForm("key and value together are above the limit")
            sent += [(number, key, value) for key, value in zip(keys, values, strict=True)]
    return sent


def _chunks(
    batch: pa.RecordBatch, packing: Packing, rows_per_chunk: int
) -> list[tuple[pa.RecordBatch, list[tuple[int, bytes]]]]:
    """Return the chunks of a batch, each with its events; weights go through many chunks twice, for deletes first."""
    chunks = [batch.slice(start, rows_per_chunk) for start in range(0, batch.num_rows, rows_per_chunk)]
    made = [(chunk, events(chunk, packing)) for chunk in chunks]
    if packing.weight is None or len(made) < 2:
        return made
    return [
        (chunk, [(row, event) for row, event in some if event.startswith(first)])
        for first in (b'{"delete":', b'{"insert":')
        for chunk, some in made
    ]


def split_value(value: bytes, *, array: bool) -> list[bytes]:
    """Return the events of one message value, whose framing must be exact."""
    if not array:
        assert value.endswith(b"\n")
        lines = value[:-1].split(b"\n")  # a newline inside a string is escaped
        assert all(line.startswith(b'{"') and line.endswith(b"}") for line in lines)
        return lines
    assert value.startswith(b"[{")
    assert value.endswith(b"}]")
    parts, start, depth, inside, escaped = [], 1, 0, False, False
    for at, byte in enumerate(value):
        if inside:
            inside = escaped or byte != ord('"')
            escaped = not escaped and byte == ord("\\")
        elif byte == ord('"'):
            inside = True
        elif byte in b"[{":
            depth += 1
        elif byte in b"]}":
            depth -= 1
        elif byte == ord(",") and depth == 1:
            parts.append(value[start:at])
            start = at + 1
    return [*parts, value[start:-1]]


# ---- partitioners ---------------------------------------------------------------------------------------------------


def murmur2(key: bytes) -> int:
    """Return Java's murmur2 of `key` as an unsigned 32-bit number (Kafka's Utils.murmur2, seed 0x9747b28c)."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = (0x9747B28C ^ len(key)) & mask
    whole = len(key) // 4 * 4
    for at in range(0, whole, 4):
        k = int.from_bytes(key[at : at + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    if rest := key[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def fnv1a(key: bytes) -> int:
    """Return 32-bit FNV-1a as librdkafka folds it: the absolute value of the signed number."""
    h = 0x811C9DC5
    for byte in key:
        h = (h ^ byte) * 0x01000193 & 0xFFFFFFFF
    return h if h < 2**31 else 2**32 - h


def partition(partitioner: str, key: bytes, partitions: int) -> int:
    """Return the partition of a key that is present and not empty."""
    family = partitioner.removesuffix("_random")
    if family == "murmur2":
        return (murmur2(key) & 0x7FFFFFFF) % partitions
    if family == "fnv1a":
        return fnv1a(key) % partitions
    assert family == "consistent"
    return zlib.crc32(key) % partitions
