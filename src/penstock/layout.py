"""layout: what a worker must know to turn the rows of one schema into messages, as msgspec structs.

The coordinator makes one for each schema (encode.py), puts it into the arena, and the core builds a packer from it
(src/core/formats.pxi). Columns are numbers, counted in the schema that `spec` tells; everything that depends on the
schema and the configuration alone is worked out here once.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from penstock import _core

__all__ = [
    "AvroKey",
    "AvroLayout",
    "AvroNode",
    "BigEndianKey",
    "ColumnarLayout",
    "CsvLayout",
    "FieldsLayout",
    "FormatLayout",
    "JsonKey",
    "JsonLayout",
    "JsonStyle",
    "KeyLayout",
    "Layout",
    "Packing",
    "ProtobufField",
    "ProtobufLayout",
    "RawKey",
    "make_packer",
]


class Packing(msgspec.Struct, array_like=True, frozen=True):
    """How events share a message.

    framing     lines: each event and a newline; array: one JSON array; bare: the event alone, one a message
    records     most events in one message
    weighted    one event carries all copies of a row; else there is one event for each
    tombstones  after a delete another message with its key and a null value
    prologue    first bytes of every message
    """

    framing: Literal["lines", "array", "bare"] = "lines"
    records: int = 10000
    weighted: bool = False
    tombstones: bool = False
    prologue: bytes = b""


class JsonStyle(msgspec.Struct, array_like=True, frozen=True):
    """How JSON spells the types: one of the connector's flavors, and what is ours on top of it.

    uint64_text  64-bit numbers without a sign as strings, for a schema that calls them so
    """

    flavor: str = "default"
    binary_base64: bool = False
    keep_decimal_scale: bool = False
    iso_timestamps: bool = False
    non_finite: Literal["null", "error", "string"] = "null"
    omit_nulls: bool = False
    uint64_text: bool = False


# The text of an event: (literal, hole, literal, …, literal), the holes as src/core/json_format.hpp names them. None: no
# value, a tombstone.
JsonText = tuple[str, ...] | None


class JsonLayout(msgspec.Struct, array_like=True, frozen=True, tag="json"):
    """Rows as JSON objects of these columns, in this order, set into the text of each kind of change.

    update         the old row is known too
    upsert         it is not
    before, after  struct columns of the old and the new row, whose fields `columns` are; -1: the schema's columns are
                   the row
    """

    columns: tuple[int, ...]
    insert: JsonText = ('{"insert":', "row", "}")
    delete: JsonText = ('{"delete":', "row", "}")
    update: JsonText = ('{"insert":', "row", "}")
    upsert: JsonText = ('{"insert":', "row", "}")
    style: JsonStyle = JsonStyle()
    before: int = -1
    after: int = -1


class AvroNode(msgspec.Struct, array_like=True, frozen=True):
    """What Avro expects at one place of a schema, and which column has it; avro.hpp, AvroPlan, says what each means.

    form         an AvroForm by its name, without the underscore that C++ asks for
    column       of the schema, or of the struct that encloses it; -1: no column
    null_branch  of a union with null: 0 first, 1 second; -1: no union
    data         of a constant: its bytes; of a change: the letters for insert, update and delete
    """

    form: str
    column: int = -1
    null_branch: int = -1
    scale: int = 0
    precision: int = 0
    size: int = 0
    is_fixed: bool = False
    data: bytes = b""
    children: tuple[AvroNode, ...] = ()


class AvroLayout(msgspec.Struct, array_like=True, frozen=True, tag="avro"):
    """Rows as Avro records.

    prefix      in front of each value: 00 and the schema's id, or nothing
    op_header   the header `op` says insert, update or delete
    tombstones  a delete has no value
    """

    value: AvroNode
    prefix: bytes
    op_header: bool
    tombstones: bool


class AvroKey(msgspec.Struct, array_like=True, frozen=True, tag="avro"):
    """A key that is an Avro record."""

    value: AvroNode
    prefix: bytes


class CsvLayout(msgspec.Struct, array_like=True, frozen=True, tag="csv"):
    """Rows as lines of CSV of these columns, in this order; see src/core/csv.hpp."""

    columns: tuple[int, ...]
    delimiter: str
    weight: bool
    quoting: Literal["necessary", "always", "strings"]
    null_text: str
    nested_json: bool


class ColumnarLayout(msgspec.Struct, array_like=True, frozen=True, tag="columnar"):
    """Messages that pyarrow, or a function of the user's, makes from whole batches in the worker (batches.py).

    columns        which are written, in order
    exported       these columns as the core exports them, a schema in Arrow's IPC form
    written        the same as the message has them
    table          exported in the layouts of Parquet's table: one for all text, all bytes, all lists
    records        most events in one message; python: in one call
    encoder        python: "module:function"
    takes_changes  it takes a second argument, which says what each row is
    """

    form: Literal["parquet", "arrow", "python"]
    columns: tuple[int, ...]
    exported: bytes
    written: bytes
    table: bool
    records: int
    encoder: str = ""
    takes_changes: bool = False


class ProtobufField(msgspec.Struct, array_like=True, frozen=True):
    """One field of a Protobuf message, and where its values are.

    column    among the fields of the struct that fills the message, or of the schema; -1: the column that the message
              itself stands for
    type      google.protobuf.FieldDescriptorProto.Type; 0: a google.protobuf.Timestamp from one column
    presence  implicit: defaults are left out; explicit: only nulls are; required: nulls are refused
    oneof     fields of a message with the same number, 0 to 63, exclude one another
    names     of an enum, for a column of strings
    numbers   of an enum that takes no others, sorted, for a column of integers
    fields    of a message; of a map the key and the value
    """

    number: int
    column: int
    type: int
    shape: Literal["single", "repeated", "packed", "map"] = "single"
    presence: Literal["implicit", "explicit", "required"] = "explicit"
    oneof: int = -1
    names: tuple[tuple[str, int], ...] = ()
    numbers: tuple[int, ...] = ()
    fields: tuple[ProtobufField, ...] = ()


class ProtobufLayout(msgspec.Struct, array_like=True, frozen=True, tag="protobuf"):
    """Rows as Protobuf messages. fields: in the order of their numbers; prefix: before every message."""

    fields: tuple[ProtobufField, ...]
    prefix: bytes = b""


class JsonKey(msgspec.Struct, array_like=True, frozen=True, tag="json"):
    """A key that is a JSON object of these columns.

    prefix, suffix  what stands around the object
    joined          no object, but the values with ':' between them, and strings without quotation marks
    """

    columns: tuple[int, ...]
    style: JsonStyle = JsonStyle()
    before: int = -1
    after: int = -1
    prefix: str = ""
    suffix: str = ""
    joined: bool = False


class RawKey(msgspec.Struct, array_like=True, frozen=True, tag="raw"):
    """A key that is the bytes of one string or binary column."""

    column: int


class BigEndianKey(msgspec.Struct, array_like=True, frozen=True, tag="big_endian"):
    """A key that is the columns' integers and UUIDs in big-endian bytes, one behind another."""

    columns: tuple[int, ...]


FormatLayout = JsonLayout | CsvLayout | AvroLayout | ColumnarLayout | ProtobufLayout
KeyLayout = JsonKey | RawKey | AvroKey | BigEndianKey


class FieldsLayout(msgspec.Struct, array_like=True, frozen=True):
    """What else a row's message has from columns, by their numbers; -1: none.

    partition_column  only beside a topic_column; without one the selection knows the partition
    """

    headers_column: int = -1
    header_columns: tuple[int, ...] = ()
    timestamp_column: int = -1
    topic_column: int = -1
    partition_column: int = -1
    tombstone_column: int = -1


class Layout(msgspec.Struct, array_like=True, frozen=True):
    """How the columns of one schema become messages.

    spec         the schema as _core.schema_spec reads it
    key          None: null keys, and rows may share a message
    max_payload  most bytes of a value, or of key, value and column headers where each row is a message
    skip_bad     a row that cannot be encoded is left out; else it ends the job
    skip_oversize  likewise one whose message would be larger than max_payload
    key_only       of such a row the key is sent, without a value
    truncate_columns  of such a row these are cut
    resend            messages that the broker refuses may be sent again, behind what came after them
    """

    spec: Any
    format: FormatLayout
    key: KeyLayout | None
    packing: Packing
    max_payload: int
    fields: FieldsLayout | None = None
    skip_bad: bool = False
    skip_oversize: bool = False
    key_only: bool = False
    truncate_columns: tuple[int, ...] = ()
    resend: bool = False


def make_packer(layout: Layout) -> _core.Packer:
    """Compile a layout."""
    return _core.Packer(_core.Schema(layout.spec), layout)
