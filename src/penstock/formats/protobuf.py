"""protobuf: each row a message, of a schema made from the columns or of a descriptor set that is given.

With a schema registry each message begins as Confluent's clients write it:

    00 │ id of the schema, 4 bytes │ where the message stands in its file: 00 for the first, else a count and numbers
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from penstock.config import ProtobufFormat
from penstock.errors import ConfigError
from penstock.formats import Form
from penstock.formats.protobuf_given import load_message, message_indexes
from penstock.formats.protobuf_match import match
from penstock.formats.protobuf_schema import Generated, generate, title
from penstock.layout import Packing, ProtobufField, ProtobufLayout

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from penstock.formats import Context

__all__ = ["framing", "generated", "plan"]

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_KNOWN_TO_REGISTRIES: Final = ("google/protobuf/", "google/type/", "confluent/")


class Chosen(NamedTuple):
    """The message that is written. schema: its file as registries take it; indexes: where it stands in that file."""

    fields: tuple[ProtobufField, ...]
    full_name: str
    schema: str
    indexes: tuple[int, ...]


def plan(context: Context) -> Form:
    """Return how the columns become Protobuf messages; register their schema where there is a registry.

    Raises SchemaError for a column that has no form or does not fit its field, ConfigError for a wrong setting.
    """
    config = _config(context)
    chosen = _given(context, config, config.descriptor_set) if config.descriptor_set else _made(context)
    prefix = b""
    if context.registry is not None:
        schema_id = context.registry.schema_id(_subject(context, config, chosen.full_name), chosen.schema, "PROTOBUF")
        prefix = b"" if config.skip_schema_id else framing(schema_id, chosen.indexes)
    return Form(ProtobufLayout(chosen.fields, prefix), Packing("bare", 1))


def generated(context: Context) -> Generated:
    """Return the message made from the columns: `message` in `package`, or called after the relation or the topic."""
    config = _config(context)
    for setting, name in (("message", config.message), ("package", config.package)):
        if name is not None and not _NAME.fullmatch(name):
            raise ConfigError(
                f'format.config.{setting} "{name}": Protobuf\'s names are letters, digits and underscores, joined by '
                "points, and begin with no digit; choose another"
            )
    name = config.message or title(context.config.writer.relation.name or context.config.topic)
    package, _, last = name.rpartition(".")
    return generate(context.schema, context.columns, ".".join(filter(None, [config.package, package])), last)


def framing(schema_id: int, indexes: Sequence[int]) -> bytes:
    """Return what stands before a message whose schema has this id.

    Source  Confluent's wire format; the one number 0 is written as a count of 0
    """
    numbers = b"\0" if tuple(indexes) == (0,) else b"".join(map(_zigzag, [len(indexes), *indexes]))
    return b"\0" + schema_id.to_bytes(4, "big") + numbers


def _zigzag(number: int) -> bytes:
    rest = number << 1
    out = bytearray()
    while rest >= 1 << 7:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*out, rest])


def _config(context: Context) -> ProtobufFormat:
    config = context.config.format
    assert isinstance(config, ProtobufFormat)  # noqa: S101 - plan_form chose by it
    return config


def _made(context: Context) -> Chosen:
    made = generated(context)
    return Chosen(made.fields, made.file.message.full_name.removeprefix("."), made.file.text(), (0,))


def _given(context: Context, config: ProtobufFormat, path: str) -> Chosen:
    if config.package is not None:
        raise ConfigError(
            f'format.config.package "{config.package}" and descriptor_set "{path}": a descriptor set has its own '
            "packages; leave one of the two out"
        )
    given = load_message(path, config.message)
    if context.registry is not None:
        _check_imports(path, given.imports)
    return Chosen(
        match(given.descriptor, context.schema, context.columns),
        given.descriptor.full_name,
        base64.b64encode(given.file).decode(),  # as Confluent's own clients register a descriptor
        message_indexes(given.descriptor),
    )


def _check_imports(path: str, imports: Iterable[str]) -> None:
    for name in imports:
        if not name.startswith(_KNOWN_TO_REGISTRIES):
            raise ConfigError(
                f'descriptor_set "{path}" and registry_urls: the message\'s file imports {name}, which the registry '
                "would have to know as a reference; put both into one file, or leave one of the two settings out"
            )


def _subject(context: Context, config: ProtobufFormat, full_name: str) -> str:
    """Return the subject as Confluent's Protobuf serializers choose it; the connector has no such format."""
    topic = context.config.topic
    strategy = config.subject_name_strategy or "topic_name"
    return {
        "topic_name": f"{topic}-value",
        "record_name": full_name,
        "topic_record_name": f"{topic}-{full_name}",
    }[strategy]
