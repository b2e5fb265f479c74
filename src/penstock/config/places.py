"""places: what was given in several places, put together, the higher place winning.

Keywords and flags, then `kafka_options` / -X, then the connector's object; of that the producer_options of
fault_tolerance before transport.config, where the delivery is exactly once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from penstock.config.connector import Connector, Given, found
from penstock.config.kafka.java import Translation, translate
from penstock.config.kafka.options import KafkaOption, read_options, spelling
from penstock.config.references import is_reference
from penstock.config.settings import WriterConfig
from penstock.config.table import SETTINGS
from penstock.errors import ConfigError
from penstock.names import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.config.references import References

__all__ = ["Place", "merge_options", "merge_settings", "read_consumer_options", "read_places"]

_NAMES: Final = tuple(row.name for row in SETTINGS if "." not in row.name)
_MEMBERS: Final = frozenset(row.name for row in SETTINGS if row.name.startswith("format."))
_WRITER_FIELDS: Final = tuple(field.name for field in msgspec.structs.fields(WriterConfig))


# What the consumer that reads the progress of jobs must have, and why.
_CONSUMER_HAS: Final = {
    "group.id": ("", "joins no group"),
    "isolation.level": ("read_committed", "must not take what was aborted for progress"),
    "enable.auto.commit": ("false", "begins at the beginning each time, and commits nothing"),
    "auto.offset.reset": ("earliest", "begins at the beginning each time"),
    "enable.partition.eof": ("true", "must be told where the topic ends"),
    "client.rack": ("", "asks the leader, which alone knows where the topic ends"),
}
_WAY_IN: Final = ("bootstrap.servers", "security.", "sasl.", "ssl.", "https.", "enable.sasl.", "enable.ssl.")


class Place(NamedTuple):
    """What was given in one place: librdkafka's options in its own words, and the settings of ours beside them.

    settings  those that follow from options are in translated.settings
    """

    where: str
    translated: Translation
    settings: Mapping[str, Given]

    def logs_in_otherwise(self) -> bool:
        """Tell whether it names another mechanism than that of tokens, all that translated.settings are about."""
        named = [value for name, value in self.translated.options.items() if spelling(name) == "sasl.mechanism"]
        return any(not is_reference(value) and str(value).strip().upper() != "OAUTHBEARER" for value in named)


def read_places(
    connector: Connector | None, kafka_options: Mapping[str, object] | None, *, exactly_once: bool
) -> list[Place]:
    """Return the places of options, the lowest first, Java's spellings translated."""
    places: list[Place] = []
    if connector is not None:
        where = connector.options_where
        places.append(Place(where, translate(connector.options, where), connector.settings))
        if exactly_once and connector.fault_tolerance is not None:
            where = f"{connector.fault_tolerance.where}.producer_options"
            places.append(Place(where, translate(connector.fault_tolerance.producer_options, where), {}))
    if kafka_options is not None:
        if not isinstance(kafka_options, Mapping):
            raise ConfigError(f"kafka_options must map names to values, found {type(kafka_options).__name__}")
        where = "kafka_options or -X"
        places.append(Place(where, translate(kafka_options, where), {}))
    return places


def merge_settings(places: Sequence[Place], keywords: Mapping[str, object]) -> dict[str, Given]:
    """Return the settings that were given or follow from options, the higher place winning; refuse unknown names."""
    merged: dict[str, Given] = {}
    for at, place in enumerate(places):
        implied = {} if any(later.logs_in_otherwise() for later in places[at + 1 :]) else place.translated.settings
        merged.update(implied)
        for name, one in place.settings.items():
            if name not in _NAMES:
                raise ConfigError(f"{one.where}: there is no such setting{did_you_mean(name, _WRITER_FIELDS)}")
            if one.value is None and name != "headers":  # null headers are an error, as in the original
                continue
            if name in implied and str(implied[name].value).lower() != str(one.value).lower():
                raise ConfigError(f"{one.where} and {implied[name].where} differ; leave one of them out")
            merged[name] = one
    for name, plain in keywords.items():
        if name not in _NAMES:
            raise ConfigError(f'there is no setting "{name}"{_hint(name)}')
        if plain is not None:
            merged[name] = Given(plain, name)
    return merged


def merge_options(
    places: Sequence[Place], given: Mapping[str, Given], references: References, *, for_preview: bool
) -> tuple[dict[str, KafkaOption], list[str], list[str]]:
    """Return librdkafka's options by spelling, what of them is lost, and what was taken in another way."""
    unchecked = ("partitioner", "message.max.bytes") if for_preview else ("partitioner",)
    merged: dict[str, KafkaOption] = {}
    warnings: list[str] = []
    notes: list[str] = []
    for at, (where, to, _) in enumerate(places):
        higher = {spelling(name) for _, later, _ in places[at + 1 :] for name in later.options if isinstance(name, str)}
        if "bootstrap_servers" in given:
            higher.add("bootstrap.servers")

        def counts(name: str, higher: set[str] = higher) -> bool:
            return name not in higher and (not for_preview or name in unchecked)

        merged.update(
            read_options(
                to.options, where, given_as=to.given_as, settings=_NAMES, unchecked=unchecked, references=references,
                reads=counts,
            )
        )  # fmt: skip
        warnings += to.warnings
        notes += to.notes
    if "bootstrap_servers" in given:
        merged["bootstrap.servers"] = _servers(given["bootstrap_servers"])
    return merged, warnings, notes


def read_consumer_options(
    connector: Connector, options: Mapping[str, KafkaOption], references: References, *, for_preview: bool
) -> dict[str, str]:
    """Return the consumer_options of fault_tolerance, for the consumer that reads the progress of jobs.

    options  of the producer, which the consumer has too where they are not its alone

    Raises ConfigError for what that consumer must have otherwise, and for another way to the brokers.
    """
    if connector.fault_tolerance is None:
        return {}
    read = read_options(
        connector.fault_tolerance.consumer_options,
        f"{connector.fault_tolerance.where}.consumer_options",
        settings=_NAMES,
        consumer=True,
        references=references,
        reads=lambda _: not for_preview,
    )
    shared = {spelling(name): str(value) for name, value in connector.options.items()}
    for name, option in list(read.items()):
        wanted, why = _CONSUMER_HAS.get(name, (option.value, ""))
        if option.value != wanted:
            raise ConfigError(f"{option}: the consumer that reads the progress of jobs {why}; leave it out")
        if name.startswith(_WAY_IN):
            if option.value not in {shared.get(name), options[name].value if name in options else None}:
                raise ConfigError(
                    f"{option}: the progress of jobs is reached as the topic is; give it in transport.config, for both"
                )
            del read[name]
    return {name: option.value for name, option in read.items()}


def _servers(given: Given) -> KafkaOption:
    value = given.value
    if isinstance(value, (list, tuple)) and all(isinstance(address, str) for address in value):
        value = ",".join(value)
    if not isinstance(value, str):
        raise ConfigError(f"{given.where} must be a text or a list of texts, found {found(value)}")
    return KafkaOption("bootstrap.servers", value, given.where)


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
