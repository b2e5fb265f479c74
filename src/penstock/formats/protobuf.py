"""protobuf: each row a message, of a schema made from the columns or of a descriptor set that is given."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from penstock.config import ProtobufFormat
from penstock.errors import ConfigError
from penstock.formats import Form
from penstock.formats.protobuf_given import load_message
from penstock.formats.protobuf_match import match
from penstock.formats.protobuf_schema import Generated, generate, title
from penstock.layout import Packing, ProtobufLayout

if TYPE_CHECKING:
    from penstock.formats import Context

__all__ = ["generated", "plan"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


def plan(context: Context) -> Form:
    """Return how the columns become Protobuf messages.

    Raises SchemaError for a column that has no form or does not fit its field, ConfigError for a wrong setting.
    """
    config = _config(context)
    if config.descriptor_set is None:
        fields = generated(context).fields
    else:
        if config.package is not None:
            raise ConfigError(
                f'package="{config.package}" and descriptor_set={config.descriptor_set}: the descriptor set has its '
                "own packages; leave one of the two out"
            )
        given = load_message(config.descriptor_set, config.message)
        fields = match(given.descriptor, context.schema, context.columns)
    return Form(ProtobufLayout(fields), Packing("bare", 1))


def generated(context: Context) -> Generated:
    """Return the message made from the columns: `message` in `package`, or called after the relation or the topic."""
    config = _config(context)
    for setting, name in (("message", config.message), ("package", config.package)):
        if name is not None and not _NAME.fullmatch(name):
            raise ConfigError(
                f'{setting}="{name}": Protobuf\'s names are letters, digits and underscores, joined by points, and '
                "begin with no digit"
            )
    name = config.message or title(context.config.writer.relation.name or context.config.topic)
    package, _, last = name.rpartition(".")
    return generate(context.schema, context.columns, ".".join(filter(None, [config.package, package])), last)


def _config(context: Context) -> ProtobufFormat:
    config = context.config.format
    assert isinstance(config, ProtobufFormat)  # noqa: S101 - plan_form chose by it
    return config
