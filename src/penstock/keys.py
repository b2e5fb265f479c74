"""keys: what the key of a message is made of.

A format may prescribe the key itself (Form.key); else it comes from the columns that `key` names: a JSON object of
them, the bytes of one, or integers and UUIDs in big-endian order. With a key each row is a message of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.columns import find_column, find_suitable
from penstock.errors import SchemaError
from penstock.layout import BigEndianKey, JsonKey, RawKey

if TYPE_CHECKING:
    import pyarrow as pa

    from penstock import _core
    from penstock.config import WriterConfig
    from penstock.layout import KeyLayout

__all__ = ["find_key", "json_key", "key_columns"]


def find_key(schema: pa.Schema, core: _core.Schema, writer: WriterConfig) -> KeyLayout | None:
    """Find the columns of the key; ConfigError for one that is missing or of a type that cannot serve.

    None: there is no key, or with key_format=avro it is the format that makes it.
    """
    if not writer.key or writer.key_format == "avro":
        return None
    if writer.key_format == "json":
        return json_key(schema, core, writer.key, "key")
    setting = f"key with key_format={writer.key_format}"
    if writer.key_format == "big_endian":
        return BigEndianKey(tuple(find_suitable(schema, core, name, setting, "big_endian_key") for name in writer.key))
    return RawKey(find_suitable(schema, core, writer.key[0], setting, "raw_key"))


def json_key(schema: pa.Schema, core: _core.Schema, names: tuple[str, ...], setting: str) -> JsonKey:
    """Return a key that is a JSON object; SchemaError for a column without a form in JSON."""
    columns = tuple(find_column(schema, name, setting) for name in names)
    for name, at in zip(names, columns, strict=True):
        why = core.refusal(at)
        if why:
            raise SchemaError(
                f'{setting}: column "{name}" {why} ({str(schema.field(at).type)[:200]}), which has no form in JSON; '
                "cast it, or name another",
                column=name,
            )
    return JsonKey(columns)


def key_columns(schema: pa.Schema, writer: WriterConfig) -> tuple[int, ...]:
    """Return the numbers of the columns that `key` names."""
    return tuple(find_column(schema, name, "key") for name in writer.key)
