"""places: what was given in several places, put together, the higher place winning.

Keywords and flags, then `kafka_options` / -X, then the connector's object.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from penstock.config.connector import Connector, Given
from penstock.config.kafka.java import translate
from penstock.config.kafka.options import KafkaOption, read_options, spelling
from penstock.config.settings import WriterConfig
from penstock.config.table import SETTINGS
from penstock.config.values import read_value
from penstock.errors import ConfigError
from penstock.names import did_you_mean

if TYPE_CHECKING:
    from penstock.config.kafka.java import Translation
    from penstock.config.references import References

__all__ = ["merge_options", "merge_settings"]

_NAMES: Final = tuple(row.name for row in SETTINGS if "." not in row.name)
_MEMBERS: Final = frozenset(row.name for row in SETTINGS if row.name.startswith("format."))
_WRITER_FIELDS: Final = tuple(field.name for field in msgspec.structs.fields(WriterConfig))


def merge_settings(connector: Connector | None, settings: Mapping[str, object]) -> dict[str, Given]:
    """Return what was given, the higher place winning; refuse unknown names in both."""
    merged: dict[str, Given] = {}
    if connector is not None:
        for name, value in connector.settings.items():
            if name not in _NAMES:
                hint = did_you_mean(name, _WRITER_FIELDS)
                raise ConfigError(f"{value.where}: there is no such setting{hint}")
            if value.value is not None or name == "headers":  # null headers are an error, as in the original
                merged[name] = value
    for name, plain in settings.items():
        if name not in _NAMES:
            raise ConfigError(f'there is no setting "{name}"{_hint(name)}')
        if plain is not None:
            merged[name] = Given(plain, name)
    return merged


def merge_options(
    connector: Connector | None,
    kafka_options: Mapping[str, object] | None,
    given: dict[str, Given],
    references: References,
    *,
    for_preview: bool,
) -> tuple[dict[str, KafkaOption], list[str], list[str]]:
    """Return librdkafka's options by spelling, what of them is lost, and what was taken in another way.

    given  gets the settings that follow from options, where they are not given themselves
    """
    unchecked = ("partitioner", "message.max.bytes") if for_preview else ("partitioner",)
    places = _translated(connector, kafka_options)
    merged: dict[str, KafkaOption] = {}
    implied: dict[str, Given] = {}
    warnings: list[str] = []
    notes: list[str] = []
    for at, (where, to, settings) in enumerate(places):
        higher = {spelling(name) for _, later, _ in places[at + 1 :] for name in later.options if isinstance(name, str)}

        def counts(name: str, higher: set[str] = higher) -> bool:
            return name not in higher and (not for_preview or name in unchecked)

        merged.update(
            read_options(
                to.options, where, given_as=to.given_as, settings=_NAMES, unchecked=unchecked, references=references,
                reads=counts,
            )
        )  # fmt: skip
        for name, one in to.settings.items():
            if name in settings and settings[name].value != one.value:
                raise ConfigError(f"{settings[name].where} and {one.where} differ; leave one of them out")
        implied.update(to.settings)
        warnings += to.warnings
        notes += to.notes
    for name, one in implied.items():
        given.setdefault(name, one)
    servers = given.get("bootstrap_servers")
    if servers is not None:
        value = servers.value
        if isinstance(value, (list, tuple)):
            value = ",".join(str(address) for address in value)
        text = read_value(Given(value, servers.where), str)
        merged["bootstrap.servers"] = KafkaOption("bootstrap.servers", text, servers.where)
    return merged, warnings, notes


def _translated(
    connector: Connector | None, kafka_options: Mapping[str, object] | None
) -> list[tuple[str, Translation, Mapping[str, Given]]]:
    """Return each place, lowest first: its name, its options in librdkafka's words, the settings beside them."""
    places: list[tuple[str, Translation, Mapping[str, Given]]] = []
    if connector is not None:
        where = connector.options_where
        places.append((where, translate(connector.options, where), connector.settings))
    if kafka_options is not None:
        if not isinstance(kafka_options, Mapping):
            raise ConfigError(f"kafka_options must map names to values, found {type(kafka_options).__name__}")
        where = "kafka_options or -X"
        places.append((where, translate(kafka_options, where), {}))
    return places


def _hint(name: str) -> str:
    if f"format.{name}" in _MEMBERS:
        return f'; it is a member of format: {{"name": …, "config": {{"{name}": …}}}}'
    if name == "send_snapshot":
        return "; the connector's engine does that, here it is writer.snapshot(table)"
    hint = did_you_mean(name, _NAMES)
    option = name.replace("_", ".")
    if not hint and option != name:
        return f'; options of librdkafka go in kafka_options or -X, as "{option}"'
    return hint
