"""The connector's JSON object, taken apart: settings, librdkafka options, format, each with the place it came from.

    {"transport": {"name": "kafka_output", "config": {"topic": ..., "headers": ..., "<librdkafka option>": ...}},
     "format": {"name": "json", "config": {...}},
     "writer": {...}}                                   all that is ours

Nothing is converted here but the JSON itself: config.py checks every value, whichever way it was given. Every field of
the original connector is either honoured, or harmless to a job that writes what it is given, or refused, so that
nothing is silently not done.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from penstock.errors import ConfigError
from penstock.names import did_you_mean, shown

__all__ = ["TRANSPORT_FIELDS", "Connector", "Given", "found", "json_kind", "parse_json", "read_connector"]


class Given(msgspec.Struct, frozen=True):
    """A value and the place it was given at, as errors name it. from_json: its type is JSON's, so taken strictly."""

    value: object
    where: str
    from_json: bool = False


class Connector(msgspec.Struct, frozen=True, kw_only=True):
    """The object taken apart; no value has been checked yet."""

    settings: dict[str, Given]
    options: dict[str, object]
    options_where: str
    format: Given | None
    warnings: tuple[str, ...]


# What transport.config has beside librdkafka's options. True: a setting of ours.
TRANSPORT_FIELDS: Final = {
    "topic": True,
    "headers": True,
    "log_level": True,
    "initialization_timeout_secs": True,
    "region": True,
    "kafka_service": False,  # the original ignores it too
    "fault_tolerance": False,  # options of the exactly-once mode only
}

_FIELDS: Final = ("name", "transport", "format", "writer", "soft_delete", "postprocessor")
# Settings of ours that the connector has at the top.
_TOP_SETTINGS: Final = ("index", "enable_output_buffer", "max_output_buffer_time_millis",
                        "max_output_buffer_size_records")  # fmt: skip
# Fields of the original that need no doing here: they concern its engine, its inputs or its queue.
_HARMLESS: Final = ("send_snapshot", "max_queued_records", "max_queued_bytes", "paused", "labels", "start_after",
                    "preprocessor", "max_batch_size", "max_worker_batch_size")  # fmt: skip
_REFUSED: Final = {
    "soft_delete": "an output cannot do that; leave it out or set it to false",
    "postprocessor": "no code is run on messages in this version; leave it out",
}


def read_connector(config: Mapping[str, Any] | str | bytes | os.PathLike[str]) -> Connector:
    """Read the connector object from a mapping, from JSON text, or from a file, and take it apart.

    config  a path object, a text that ends in .json or names an existing file: that file; any other text: JSON

    An array is taken when it holds exactly one connector. Raises ConfigError naming file, line and column for text
    that is not JSON, and the path of the member for anything of the wrong shape.
    """
    whole, origin = _load(config)
    if isinstance(whole, list):
        if len(whole) != 1:
            raise ConfigError(f"{origin}: an array of {len(whole)} connectors; give the one that is to be run")
        whole = whole[0]
    connector = _object(whole, origin)
    warnings = _check_fields(connector, origin)
    settings: dict[str, Given] = {}
    options: dict[str, object] = {}

    transport = _object(_absent(connector.get("transport")), f"{origin}: transport")
    _check_transport(transport, origin)
    place = f"{origin}: transport.config"
    for name, value in _object(_absent(transport.get("config")), place).items():
        if name not in TRANSPORT_FIELDS:
            options[name] = value
        elif TRANSPORT_FIELDS[name]:
            settings[name] = Given(value, f"{place}.{name}", from_json=True)
    for name, one in _writer_settings(connector, origin).items():
        if name == "region" and name in settings and settings[name].value != one.value:
            raise ConfigError(f"{settings[name].where} and {one.where} differ; leave one of them out")
        settings[name] = one
    for name in _TOP_SETTINGS:
        if name in connector:
            settings[name] = Given(connector[name], f"{origin}: {name}", from_json=True)
    form = connector.get("format")
    return Connector(
        settings=settings,
        options=options,
        options_where=place,
        format=None if form is None else Given(form, f"{origin}: format", from_json=True),
        warnings=tuple(warnings),
    )


def _writer_settings(connector: Mapping[str, Any], origin: str) -> dict[str, Given]:
    settings: dict[str, Given] = {}
    for name, value in _object(_absent(connector.get("writer")), f"{origin}: writer").items():
        settings_where = f"{origin}: writer.{name}"
        if name in _TOP_SETTINGS:
            raise ConfigError(f"{settings_where}: this belongs to the connector; give it at its top, beside transport")
        if (name in TRANSPORT_FIELDS and name != "region") or name == "bootstrap_servers" or "." in name:
            right = "bootstrap.servers" if name == "bootstrap_servers" else name
            raise ConfigError(f"{settings_where}: this belongs to the transport; give it as transport.config.{right}")
        settings[name] = Given(value, settings_where, from_json=True)
    return settings


def parse_json(text: str, origin: str) -> Any:  # noqa: ANN401 - it is JSON
    """Parse JSON text; raise ConfigError naming the line and column where it is broken, or the name given twice."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigError(f'{origin}: "{twice}" is given twice in one object; leave one of them out')
        return found

    def constant(name: str) -> float:
        raise ConfigError(f"{origin}: {name} is not JSON; give a number")

    try:
        return json.loads(text, object_pairs_hook=members, parse_constant=constant)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ConfigError(f"{origin}, {place}: not JSON: {error.msg[:1].lower()}{error.msg[1:]}") from None
    except RecursionError:
        raise ConfigError(f"{origin}: nested too deeply for a configuration") from None


def _load(config: Mapping[str, Any] | str | bytes | os.PathLike[str]) -> tuple[Any, str]:
    if isinstance(config, Mapping):
        return config, "config"
    if isinstance(config, bytes):
        return parse_json(_decode(config, "config"), "config"), "config"
    if not isinstance(config, (str, os.PathLike)):
        raise ConfigError(f"config must be an object, JSON text or a file, found {type(config).__name__}")
    text = os.fspath(config)
    if isinstance(config, os.PathLike) or _names_file(text):
        path = Path(text)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"config file {text}: {error.strerror or error}; check the path") from None
        return parse_json(_decode(content, text), text), text
    if text.strip()[:1] not in {"{", "["}:
        # A path that does not exist, most likely; a text may hold secrets, so only a short one is repeated.
        found = shown(text) if len(text) < 100 and "\n" not in text else "a text"  # noqa: PLR2004 - an ample path
        raise ConfigError(f"config: {found} is neither an existing file nor a JSON object")
    return parse_json(text, "config"), "config"


def _names_file(text: str) -> bool:
    if text.lstrip()[:1] in {"{", "["}:  # JSON, even where it ends in a string such as "x.json"
        return False
    if text.endswith(".json"):
        return True
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a path, or a zero byte
        return False


def _decode(content: bytes, origin: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{origin}, line {line}: not UTF-8 text; save the file as UTF-8") from None


def _object(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where} must be an object, found {json_kind(value)}")
    for name in value:
        if not isinstance(name, str):
            raise ConfigError(f"{where}: the name of a member is a text, found {shown(name)}")
    return value


def _absent(value: object) -> object:
    """Return an empty object for null: the connector takes both for "nothing said"."""
    return {} if value is None else value


def found(value: object) -> str:
    """Return a value as an error shows it; of one with members only what it is: a secret may be among them."""
    return json_kind(value) if isinstance(value, (Mapping, list, tuple)) else shown(value)


def json_kind(value: object) -> str:
    """Return JSON's word for the type of a value, never the value: it may be a secret in the wrong place."""
    kinds: dict[type, str] = {str: "a text", bool: "a boolean", int: "a number", float: "a number", list: "an array",
                              dict: "an object"}  # fmt: skip
    return "null" if value is None else kinds.get(type(value), type(value).__name__)


def _check_fields(connector: Mapping[str, Any], origin: str) -> list[str]:
    """Refuse what would not be done, warn about names that mean nothing (the original ignores those)."""
    warnings = []
    for name, value in connector.items():
        if name in _REFUSED:
            if value not in (None, False):
                raise ConfigError(f"{origin}: {name} is not supported by this version: {_REFUSED[name]}")
        elif name == "send_snapshot" and value:
            warnings.append(
                f"{origin}: send_snapshot has no effect, as it is the engine that has the snapshot; "
                "from Python, give it to writer.snapshot before any change"
            )
        elif name in TRANSPORT_FIELDS or "." in name:
            raise ConfigError(f"{origin}: {name} stands at the top; give it inside transport.config")
        elif name not in _FIELDS and name not in _HARMLESS and name not in _TOP_SETTINGS:
            hint = did_you_mean(name, (*_FIELDS, *_HARMLESS, *_TOP_SETTINGS))
            warnings.append(f'{origin}: "{name}" is not a field of a connector and is ignored{hint}')
    return warnings


def _check_transport(transport: Mapping[str, Any], origin: str) -> None:
    for name in transport:
        if name not in {"name", "config"}:
            hint = did_you_mean(name, ("name", "config"))
            if not hint:
                hint = "; options go inside transport.config"
            raise ConfigError(f'{origin}: transport has no member "{name}"{hint}')
    name = transport.get("name", "kafka_output")
    if name != "kafka_output":
        raise ConfigError(f'{origin}: transport.name is {found(name)}; penstock writes "kafka_output" only')
    config = transport.get("config")
    if isinstance(config, Mapping):
        _object(_absent(config.get("fault_tolerance")), f"{origin}: transport.config.fault_tolerance")
