"""Values as they were given, turned into what the settings hold, or refused with place, finding and what is allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from penstock.config.connector import Given, found, json_kind
from penstock.config.document import parse_json
from penstock.config.memory import parse_bytes
from penstock.config.settings import CreateTopic, Relation
from penstock.errors import ConfigError
from penstock.names import did_you_mean, is_unicode, shown

__all__ = [
    "choices",
    "read_columns",
    "read_create_topic",
    "read_headers",
    "read_oauth_cb",
    "read_relation",
    "read_size",
    "read_value",
]


def read_headers(given: Given | None) -> tuple[tuple[str, bytes | None], ...]:
    """Return the headers as (key, value) pairs in the order given: texts as UTF-8, lists of numbers as bytes.

    Takes the connector's list of {"key", "value"}; from Python also pairs, bytes, and a mapping of key to value.
    """
    if given is None:
        return ()
    value = given.value
    if not given.from_json:
        value = _from_text(value, given.where)
        value = list(value.items()) if isinstance(value, Mapping) else value
    if not isinstance(value, Iterable) or isinstance(value, (str, bytes, Mapping)):
        raise ConfigError(f'{given.where} must be a list of {{"key": ..., "value": ...}}; use [] for none')
    return tuple(_header(one, f"{given.where}[{index}]") for index, one in enumerate(value))


def _header(one: object, where: str) -> tuple[str, bytes | None]:
    if isinstance(one, Mapping):
        for name in one:
            if name not in {"key", "value"}:
                raise ConfigError(f'{where}: a header has no "{name}"{did_you_mean(str(name), ("key", "value"))}')
        key, value = one.get("key"), one.get("value")
    elif isinstance(one, tuple) and len(one) == 2:  # noqa: PLR2004 - a pair
        key, value = one
    else:
        raise ConfigError(f'{where} must be an object with "key" and "value"')
    if not isinstance(key, str):
        raise ConfigError(f"{where}.key must be a text, and is required")
    if not is_unicode(f"{key}{value if isinstance(value, str) else ''}"):
        raise ConfigError(f"{where}: key and value must be UTF-8 text; from Python, a value may be bytes")
    return key, _header_value(value, f"{where}.value")


def _header_value(value: object, where: str) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, list) and all(type(byte) is int and 0 <= byte <= 255 for byte in value):  # noqa: PLR2004
        return bytes(value)
    raise ConfigError(f"{where} must be a text, a list of numbers 0 to 255, or null; it is sent as bytes")


def _from_text(value: object, where: str) -> Any:  # noqa: ANN401 - JSON
    """Return what a text holds that a flag or a file of texts gives for an object or a list; others as they are."""
    return parse_json(value, where) if isinstance(value, str) and value.lstrip()[:1] in {"{", "["} else value


def read_columns(given: Given) -> tuple[str, ...]:
    """Return column names from a list, or from a text with commas between them; none empty, none twice."""
    value = given.value
    if isinstance(value, str):
        value = [name.strip() for name in value.split(",")] if value.strip() else []
    if not isinstance(value, (list, tuple)) or not all(isinstance(name, str) for name in value):
        raise ConfigError(f'{given.where} must be a list of columns, or a text such as "a,b"; found {found(value)}')
    for index, name in enumerate(value):
        if not name:
            raise ConfigError(f"{given.where}: column {index + 1} has an empty name; remove it")
        if name in value[:index]:
            raise ConfigError(f"{given.where}: column {shown(name)} is named twice; remove one of them")
    return tuple(value)


def read_relation(given: Given) -> Relation:
    """Return the relation: {"name": …, "indexes": {name: [columns]}}, both optional."""
    value = given.value if given.from_json else _from_text(given.value, given.where)
    if not isinstance(value, Mapping):
        raise ConfigError(f'{given.where} must be an object such as {{"name": "v", "indexes": {{"i": ["id"]}}}}')
    for member in value:
        if member not in {"name", "indexes"}:
            hint = did_you_mean(str(member), ("name", "indexes"))
            raise ConfigError(f'{given.where}: a relation has no member "{member}"{hint}')
    name = value.get("name")
    if name is not None and (not isinstance(name, str) or not name):
        raise ConfigError(f"{given.where}.name must be a text")
    indexes = value.get("indexes") or {}
    if not isinstance(indexes, Mapping):
        raise ConfigError(f"{given.where}.indexes must map names to lists of columns")
    return Relation(
        name, {str(index): read_columns(Given(of, f"{given.where}.indexes.{index}")) for index, of in indexes.items()}
    )


def read_create_topic(given: Given) -> CreateTopic:
    """Return how a missing topic is made: {"partitions": …, "replication_factor": …, "config": {…}}, all optional."""
    value = given.value if given.from_json else _from_text(given.value, given.where)
    shape = '{"partitions": 12, "replication_factor": 3, "config": {"retention.ms": "86400000"}}'
    if not isinstance(value, Mapping):
        raise ConfigError(f"{given.where} must be an object such as {shape}, found {json_kind(value)}")
    members = ("partitions", "replication_factor", "config")
    for member in value:
        if member not in members:
            raise ConfigError(f'{given.where} has no member "{member}"{did_you_mean(str(member), members)}')
    numbers: dict[str, int | None] = {}
    for name in members[:2]:
        number = value.get(name)
        wanted = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1 if name == "partitions" else 2**15 - 1)]
        numbers[name] = None if number is None else read_value(Given(number, f"{given.where}.{name}"), wanted)
    options = _absent_object(value.get("config"), f"{given.where}.config")
    texts: dict[str, str] = {}
    for name, option in options.items():
        if not isinstance(option, (str, int, float)):
            raise ConfigError(
                f"{given.where}.config.{name} must be a text, a number or a boolean, found {json_kind(option)}"
            )
        texts[str(name)] = str(option).lower() if isinstance(option, bool) else str(option)
    return CreateTopic(numbers["partitions"], numbers["replication_factor"], texts)


def _absent_object(value: object, where: str) -> Mapping[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where} must be an object, found {json_kind(value)}")
    return value


def read_oauth_cb(given: Given) -> str | Callable[..., Any]:
    """Return the name "module:function", or the function itself from Python."""
    value = given.value
    if callable(value) and not given.from_json:
        return value
    if not isinstance(value, str):
        raise ConfigError(f'{given.where} must be a text such as "module:function", found {json_kind(value)}')
    module, colon, function = value.partition(":")
    if not (colon and module and function):
        raise ConfigError(f'{given.where}: found {shown(value)}; give it as "module:function"')
    return value


def read_size(given: Given) -> int:
    """Return a number of bytes from a number or a text such as "256 MiB"."""
    if isinstance(given.value, str):
        try:
            return parse_bytes(given.value)
        except ValueError:
            raise ConfigError(
                f'{given.where}: {shown(given.value)} is not a size; give bytes, or a text such as "512 MiB" or "1 GB"'
            ) from None
    size: int = read_value(given, int)
    if size < 0:
        raise ConfigError(f"{given.where}: found {size}; give a number of bytes")
    return size


def read_value(given: Given, wanted: Any, *, secret: bool = False) -> Any:  # noqa: ANN401 - what `wanted` says
    """Return the value as `wanted`, or raise ConfigError: the place, what was found (no secret), what is allowed."""
    allowed = choices(wanted)
    if allowed:
        if given.value not in allowed:
            hint = did_you_mean(given.value, allowed) if isinstance(given.value, str) else ""
            raise ConfigError(f"{given.where}: found {found(given.value)}, allowed: {', '.join(allowed)}{hint}")
        return given.value
    value = given.value
    if isinstance(value, str) and not given.from_json and wanted is not str and not _takes_text(wanted):
        value = _plain(value)  # a flag
    try:
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        what = json_kind(given.value) if secret else found(given.value)
        raise ConfigError(f"{given.where}: found {what}; {_reworded(str(error))}") from None


def _reworded(said: str) -> str:
    """Return msgspec's sentence in our words: '`int` >= 0' and the like become what to give."""
    said = said.partition(" - at ")[0].partition(", got ")[0].replace(" | null`", "`")
    for theirs, ours in (("`int`", "a whole number"), ("`float`", "a number"), ("`str`", "a text"),
                         ("`bool`", "true or false"), ("`array`", "a list"), ("`object`", "an object")):  # fmt: skip
        said = said.replace(theirs, ours)
    return said.replace("Expected", "give")


def _plain(text: str) -> object:
    if text in {"true", "false"}:
        return text == "true"
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text


def choices(wanted: Any) -> tuple[str, ...]:  # noqa: ANN401 - a type
    """Return the words that a type allows; none where it is not one of few words."""
    if get_origin(wanted) is Literal:
        return get_args(wanted)
    literals = [one for one in get_args(wanted) if get_origin(one) is Literal]
    return get_args(literals[0]) if literals else ()


def _takes_text(wanted: Any) -> bool:  # noqa: ANN401 - a type
    return str in get_args(wanted)
