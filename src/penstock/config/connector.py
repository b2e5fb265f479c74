"""The connector's object, taken apart: settings, librdkafka options, format, each with the place it came from.

    {"name": "orders",                                  what chooses it among several
     "transport": {"name": "kafka_output", "config": {"topic": ..., "headers": ..., "<librdkafka option>": ...}},
     "format": {"name": "json", "config": {...}},
     "writer": {...}}                                   all that is ours

Nothing is converted here: merge.py checks every value, whichever way it was given. Every field of the original
connector is honoured, or has no meaning for a job that writes what it is given (NO_MEANING says why), or is refused, so
that nothing is silently not done.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from penstock.config.document import ConfigSource, Document, read_document
from penstock.errors import ConfigError
from penstock.names import did_you_mean, shown

__all__ = [
    "NO_MEANING",
    "TRANSPORT_FIELDS",
    "Connector",
    "FaultTolerance",
    "Given",
    "found",
    "json_kind",
    "read_connector",
]


class Given(msgspec.Struct, frozen=True):
    """A value and the place it was given at, as errors name it. from_json: its type is JSON's, so taken strictly."""

    value: object
    where: str
    from_json: bool = False


class FaultTolerance(msgspec.Struct, frozen=True):
    """What counts with delivery=exactly_once alone, beside transport.config's options; no value has been checked yet.

    producer_options  over those of transport.config
    consumer_options  of the consumer that reads the progress of jobs
    """

    where: str
    producer_options: Mapping[str, object]
    consumer_options: Mapping[str, object]

    @property
    def no_meaning(self) -> str:
        """Say why it does nothing for a delivery that is another."""
        return _note(self.where, "fault_tolerance")


class Connector(msgspec.Struct, frozen=True, kw_only=True):
    """The object taken apart; no value has been checked yet.

    warnings  sentences for the user
    notes     what was taken without effect and why, for those who look for it
    """

    settings: dict[str, Given]
    options: dict[str, object]
    options_where: str
    fault_tolerance: FaultTolerance | None
    format: Given | None
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


# What transport.config has beside librdkafka's options. True: a setting of ours.
TRANSPORT_FIELDS: Final = {
    "topic": True,
    "headers": True,
    "log_level": True,
    "initialization_timeout_secs": True,
    "region": True,
    "kafka_service": False,
    "fault_tolerance": False,
}

_FIELDS: Final = ("name", "transport", "format", "writer", "soft_delete", "postprocessor")
# Settings of ours that the connector has at the top.
_TOP_SETTINGS: Final = ("index", "enable_output_buffer", "max_output_buffer_time_millis",
                        "max_output_buffer_size_records")  # fmt: skip
_INPUTS_ONLY: Final = "only input connectors act on it, in the original too"
# Fields of the original that are accepted, the last two in transport.config, and why there is nothing to do for them.
NO_MEANING: Final = {
    "send_snapshot": "it is the engine that has a snapshot; from Python, writer.snapshot writes one",
    "max_queued_records": "there is no engine to stop: write waits while the shared memory (memory_bytes) is full",
    "max_queued_bytes": "memory_bytes limits what is queued; the original does not implement it for outputs",
    "paused": "a job writes when it is started; only input connectors act on it, in the original too",
    "labels": _INPUTS_ONLY,
    "start_after": _INPUTS_ONLY,
    "preprocessor": _INPUTS_ONLY,
    "max_batch_size": _INPUTS_ONLY,
    "max_worker_batch_size": _INPUTS_ONLY,
    "kafka_service": "no code of the original reads it either",
    "fault_tolerance": "its options count with delivery=exactly_once alone",
}
_REFUSED: Final = {
    "soft_delete": "an output cannot do that; leave it out or set it to false",
    "postprocessor": "no code is run on messages in this version; leave it out",
}
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_EXACTLY_ONCE: Final = ("producer_options", "consumer_options")


def read_connector(config: ConfigSource, name: str | None = None) -> Connector:
    """Read one connector from a mapping, a text or a file, and take it apart.

    name  which one: needed where there are several; those without a name are called unnamed-0, unnamed-1 …, by their
          place among all

    Raises ConfigError naming file, line and column for what cannot be read, the names there are for a wrong one, and
    the path of the member for anything of the wrong shape.
    """
    document = read_document(config)
    origin = document.origin
    if name is not None and not isinstance(name, str):
        raise ConfigError(f"connector must be the name of one, found {json_kind(name)}")
    connector = _choose(document, name)
    warnings, notes = _check_fields(connector, origin)
    settings: dict[str, Given] = {}
    options: dict[str, object] = {}

    transport = _object(_absent(connector.get("transport")), f"{origin}: transport")
    place = origin if document.flat else f"{origin}: transport.config"
    fields = _object(_absent(transport.get("config")), f"{origin}: transport.config")
    _check_transport(transport, origin)
    strict = not document.flat
    for field, value in fields.items():
        own = TRANSPORT_FIELDS.get(field)
        if own or (document.flat and field in _TOP_SETTINGS):
            settings[field] = Given(value, f"{place}{': ' if document.flat else '.'}{field}", from_json=strict)
        elif own is None:
            options[field] = value
        elif value is not None and field != "fault_tolerance":
            notes.append(_note(f"{origin}: transport.config.{field}", field))
    tolerance = _read_fault_tolerance(fields.get("fault_tolerance"), origin, warnings)
    for field, one in _writer_settings(connector, origin, from_json=strict).items():
        if field == "region" and field in settings and settings[field].value != one.value:
            raise ConfigError(f"{settings[field].where} and {one.where} differ; leave one of them out")
        settings[field] = one
    for field in _TOP_SETTINGS:
        if field in connector:
            settings[field] = Given(connector[field], f"{origin}: {field}", from_json=True)
    form = connector.get("format")
    return Connector(
        settings=settings,
        options=options,
        options_where=place,
        fault_tolerance=tolerance,
        format=None if form is None else Given(form, f"{origin}: format", from_json=strict),
        warnings=(*document.warnings, *warnings),
        notes=tuple(notes),
    )


def _choose(document: Document, name: str | None) -> Mapping[str, Any]:
    """Return the connector of that name, or the only one."""
    origin, connectors = document.origin, _by_name(document)
    names = ", ".join(f'"{called}"' for called in connectors)
    if name is None:
        if len(connectors) > 1:
            raise ConfigError(
                f"{origin}: there are {len(connectors)} connectors, {names}; "
                "choose one by its name: --connector NAME or connector=..."
            )
        (name,) = connectors
    if name not in connectors:
        raise ConfigError(f'{origin}: there is no connector "{name}"{did_you_mean(name, connectors)}; found {names}')
    return connectors[name]


def _by_name(document: Document) -> dict[str, Mapping[str, Any]]:
    origin, whole = document.origin, document.tree
    if isinstance(whole, Mapping) and list(whole) == ["connectors"]:
        whole = whole["connectors"]
    if not isinstance(whole, list):
        whole = [whole]
    if not whole:
        raise ConfigError(f"{origin}: an array of 0 connectors; give the one that is to be run")
    connectors: dict[str, Mapping[str, Any]] = {}
    for index, one in enumerate(whole):
        where = f"{origin}: connector {index}" if len(whole) > 1 else origin
        connector = _object(one, where)
        called = connector.get("name")
        if called is None:
            called = f"unnamed-{index}"
        if not isinstance(called, str) or not _NAME.fullmatch(called):
            found = shown(called) if isinstance(called, str) else json_kind(called)
            raise ConfigError(f"{where}: name: found {found}; give one or more of letters, digits, '_' and '-'")
        if called in connectors:
            raise ConfigError(f'{origin}: two connectors are called "{called}"; give one of them another name')
        connectors[called] = connector
    return connectors


def _writer_settings(connector: Mapping[str, Any], origin: str, *, from_json: bool) -> dict[str, Given]:
    settings: dict[str, Given] = {}
    for name, value in _object(_absent(connector.get("writer")), f"{origin}: writer").items():
        settings_where = f"{origin}: writer.{name}"
        if name in _TOP_SETTINGS:
            place = "at its top, beside transport" if from_json else f"as {name}"
            raise ConfigError(f"{settings_where}: this belongs to the connector; give it {place}")
        if (name in TRANSPORT_FIELDS and name != "region") or name == "bootstrap_servers" or "." in name:
            right = "bootstrap.servers" if name == "bootstrap_servers" else name
            right = f"transport.config.{right}" if from_json else right
            raise ConfigError(f"{settings_where}: this belongs to the transport; give it as {right}")
        settings[name] = Given(value, settings_where, from_json=from_json)
    return settings


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
    return json_kind(value) if value is None or isinstance(value, (Mapping, list, tuple)) else shown(value)


def json_kind(value: object) -> str:
    """Return JSON's word for the type of a value, never the value: it may be a secret in the wrong place."""
    kinds: dict[type, str] = {str: "a text", bool: "a boolean", int: "a number", float: "a number", list: "an array",
                              dict: "an object"}  # fmt: skip
    return "null" if value is None else kinds.get(type(value), type(value).__name__)


def _check_fields(connector: Mapping[str, Any], origin: str) -> tuple[list[str], list[str]]:
    """Refuse what would not be done, warn about names that mean nothing (the original ignores those); add the notes."""
    warnings, notes = [], []
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
        elif name in NO_MEANING:
            if value is not None:
                notes.append(_note(f"{origin}: {name}", name))
        elif name not in _FIELDS and name not in _TOP_SETTINGS:
            hint = did_you_mean(name, (*_FIELDS, *_TOP_SETTINGS, *NO_MEANING))
            warnings.append(f'{origin}: "{name}" is not a field of a connector and is ignored{hint}')
    return warnings, notes


def _note(where: str, name: str) -> str:
    return f"{where} has no meaning here: {NO_MEANING[name]}"


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


def _read_fault_tolerance(value: object, origin: str, warnings: list[str]) -> FaultTolerance | None:
    where = f"{origin}: transport.config.fault_tolerance"
    if value is None:
        return None
    options: dict[str, Mapping[str, object]] = {name: {} for name in _EXACTLY_ONCE}
    for name, given in _object(value, where).items():
        if name in _EXACTLY_ONCE:
            options[name] = _object(_absent(given), f"{where}.{name}")
        else:  # ignored by the original too
            warnings.append(f'{where} has no member "{name}", it is ignored{did_you_mean(name, _EXACTLY_ONCE)}')
    return FaultTolerance(where, **options)
