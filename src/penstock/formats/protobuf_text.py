"""protobuf_text: a message of our own making as .proto text and as a serialized FileDescriptorSet.

Both say the same: protoc makes the descriptor from the text. The descriptor is put together by hand, so that writing
Protobuf needs no package of Google's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from penstock.formats.protobuf_columns import Proto

__all__ = ["TIMESTAMP", "ProtoField", "ProtoFile", "ProtoMessage"]

TIMESTAMP = ".google.protobuf.Timestamp"
_OPTIONAL, _REPEATED = 1, 3  # FieldDescriptorProto.Label


@dataclass
class ProtoField:
    """One field. type_name: of messages, from the root and with a leading dot; comment: for the reader of the text."""

    name: str
    number: int
    type: Proto
    type_name: str = ""
    repeated: bool = False
    optional: bool = False
    comment: str = ""


@dataclass
class ProtoMessage:
    """One message; `entry`: that of a map field, which the text does not spell out."""

    name: str
    full_name: str
    fields: list[ProtoField] = field(default_factory=list)
    nested: list[ProtoMessage] = field(default_factory=list)
    entry: bool = False


@dataclass
class ProtoFile:
    """One .proto file with one message at the top."""

    name: str
    package: str
    message: ProtoMessage

    def text(self) -> str:
        """Return the .proto source."""
        lines = ['syntax = "proto3";', ""]
        lines += [f"package {self.package};", ""] if self.package else []
        lines += ['import "google/protobuf/timestamp.proto";', ""] if _has_timestamps(self.message) else []
        return "\n".join([*lines, *_message_lines(self.message, self._root_is_hidden()), ""])

    def descriptor_set(self) -> bytes:
        """Return the file as `protoc --descriptor_set_out` writes it, imports not included."""
        parts = _text(1, self.name)
        if self.package:
            parts += _text(2, self.package)
        if _has_timestamps(self.message):
            parts += _text(3, "google/protobuf/timestamp.proto")
        return _bytes(1, parts + _bytes(4, _describe_message(self.message)) + _text(12, "proto3"))

    def _root_is_hidden(self) -> bool:
        """Whether `google.protobuf` could be looked up in something else that is called google."""
        return "google" in self.package.split(".") or _has_name(self.message, "google")


def _has_timestamps(message: ProtoMessage) -> bool:
    return any(f.type_name == TIMESTAMP for f in message.fields) or any(map(_has_timestamps, message.nested))


def _has_name(message: ProtoMessage, name: str) -> bool:
    return any(f.name == name for f in message.fields) or any(_has_name(inner, name) for inner in message.nested)


# ---- text -----------------------------------------------------------------------------------------------------------


def _message_lines(message: ProtoMessage, hidden: bool) -> list[str]:  # noqa: FBT001
    if not message.fields and not message.nested:
        return [f"message {message.name} {{}}"]
    lines = [f"message {message.name} {{"]
    entries = {inner.full_name: inner for inner in message.nested if inner.entry}

    def spelled(f: ProtoField) -> str:
        if f.type is not Proto.MESSAGE:
            return f.type.name.lower()
        if f.type_name == TIMESTAMP:
            return TIMESTAMP if hidden else TIMESTAMP[1:]
        if f.type_name in entries:
            key, value = entries[f.type_name].fields
            return f"map<{spelled(key)}, {spelled(value)}>"
        return f.type_name.rpartition(".")[2]

    for inner in message.nested:
        if not inner.entry:
            lines += [f"  {line}".rstrip() for line in [*_message_lines(inner, hidden), ""]]
    for f in message.fields:
        label = "" if f.type_name in entries else "repeated " if f.repeated else "optional " if f.optional else ""
        note = f"  // {f.comment}" if f.comment else ""
        lines.append(f"  {label}{spelled(f)} {f.name} = {f.number};{note}")
    return [*lines, "}"]


# ---- descriptor: the fields of google/protobuf/descriptor.proto, by number ------------------------------------------


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:  # noqa: PLR2004 - seven bits a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _bytes(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _text(number: int, value: str) -> bytes:
    return _bytes(number, value.encode())


def json_name(name: str) -> str:
    """Return the name that Protobuf's JSON form gives the field: a_b_c becomes aBC."""
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


def _describe_message(message: ProtoMessage) -> bytes:
    parts = _text(1, message.name)
    oneofs: list[str] = []
    taken = {f.name for f in message.fields}
    for f in message.fields:
        label = _REPEATED if f.repeated else _OPTIONAL
        one = _text(1, f.name) + _number(3, f.number) + _number(4, label) + _number(5, f.type)
        if f.type_name:
            one += _text(6, f.type_name)
        if f.optional:
            one += _number(9, len(oneofs))
            oneofs.append(_oneof_name(f.name, taken))
        one += _text(10, json_name(f.name))
        if f.optional:
            one += _number(17, 1)
        parts += _bytes(2, one)
    for inner in sorted(message.nested, key=lambda one: one.entry):  # as in the text, where entries come with fields
        parts += _bytes(3, _describe_message(inner))
    if message.entry:
        parts += _bytes(7, _number(7, 1))
    for name in oneofs:
        parts += _bytes(8, _text(1, name))
    return parts


def _oneof_name(field_name: str, taken: set[str]) -> str:
    """Return the name of the oneof that stands for `optional`, as protoc makes it up."""
    name = field_name if field_name.startswith("_") else f"_{field_name}"
    while name in taken:
        name = f"X{name}"
    taken.add(name)
    return name
