"""librdkafka's options: names, aliases and values checked before any client exists, and penstock's own defaults.

Each option has one *spelling* here, the name that most people know (`acks`, not `request.required.acks`), whatever
alias it was given by; errors name it as it was given. What is said about one value comes from librdkafka itself,
through the core, and from here where librdkafka is silent (`batch.size=100abc` is 100 to it). Options that exclude each
other are the business of rules.py.
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from penstock.config.connector import json_kind
from penstock.config.references import References, check_reference, is_reference
from penstock.config.secrets import NOT_SHOWN, is_secret, without_user
from penstock.errors import ConfigError
from penstock.names import did_you_mean, is_unicode, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

__all__ = [
    "KAFKA_DEFAULTS",
    "KafkaDefault",
    "KafkaOption",
    "librdkafka_path",
    "load_librdkafka",
    "parse_table",
    "property_table",
    "read_options",
    "spelling",
]


class KafkaDefault(msgspec.Struct, frozen=True):
    """A librdkafka option that penstock sets unless it is named, with the reason."""

    option: str
    value: str
    reason: str


# Naming an option, by any of its aliases, replaces the value. Measured with 165-byte rows, one at a time and packed,
# against Apache Kafka 4.1 on two cores that client and broker shared.
KAFKA_DEFAULTS: Final = (
    KafkaDefault(
        "bootstrap.servers",
        "$REDPANDA_BROKERS, else localhost",
        "where the brokers are; the setting bootstrap_servers names it",
    ),
    KafkaDefault(
        "acks",
        "all",
        "a row counts as written only when every in-sync replica has it; the idempotent producer asks for it",
    ),
    KafkaDefault(
        "enable.idempotence",
        "true",
        "retries neither repeat nor reorder rows; going without gains at most a tenth of the CPU time",
    ),
    KafkaDefault(
        "compression.type",
        "lz4",
        "JSON shrinks several times for about 250 ns per row; none suits a fast network and a busy CPU",
    ),
    KafkaDefault(
        "linger.ms",
        "5",
        "as cheap as 50 at full speed; a longer wait stalls a window that cannot fill batch.size in every partition",
    ),
    KafkaDefault("batch.size", "1000000", "100000 costs a fifth more CPU here and nearly twice as much in the broker"),
    KafkaDefault(
        "batch.num.messages",
        "100000",
        "batch.size is the limit that counts; rows under 100 bytes would reach librdkafka's 10000 first",
    ),
    KafkaDefault(
        "message.timeout.ms",
        "from delivery_timeout_secs",
        "how long a message may be on its way, attempts to send it again included",
    ),
    KafkaDefault(
        "reconnect.backoff.max.ms",
        "1000",
        "how long a broker that is back may wait to be tried again, as in the Java clients; with librdkafka's 10000 a "
        "network that is gone for a second stops a job for ten",
    ),
    KafkaDefault(
        "topic.metadata.refresh.interval.ms",
        "10000",
        "a transaction that waits to be told its partitions notes only so that the topic was deleted; librdkafka asks "
        "every 300000",
    ),
    KafkaDefault(
        "topic.metadata.propagation.max.ms",
        "10000",
        "how long a topic that is suddenly missing is waited for; every topic was seen at the start, and librdkafka's "
        "30000 would hide for longer that one was deleted",
    ),
    KafkaDefault(
        "message.max.bytes",
        "1000000",
        "librdkafka's default, which every broker accepts; a payload may have 64 bytes less",
    ),
    KafkaDefault(
        "queue.buffering.max.messages",
        "from memory_bytes, at most 65536",
        "the messages in flight per worker: fewer leave batches small, more only cost memory (256 bytes each)",
    ),
    KafkaDefault(
        "queue.buffering.max.kbytes",
        "from memory_bytes",
        "a worker's encode buffers: payloads are sent from them without a copy, so the queue can hold no more",
    ),
    KafkaDefault(
        "ssl.ca.location",
        "probe",
        "librdkafka looks where this system keeps its certificates; not set when ssl.ca.pem is given",
    ),
)

# alias -> the spelling used here and in Config.kafka. librdkafka resolves them itself, to the longer names.
_SPELLINGS: Final = {
    "metadata.broker.list": "bootstrap.servers",
    "request.required.acks": "acks",
    "message.send.max.retries": "retries",
    "max.in.flight": "max.in.flight.requests.per.connection",
    "compression.codec": "compression.type",
    "queue.buffering.max.ms": "linger.ms",
    "delivery.timeout.ms": "message.timeout.ms",
    "sasl.mechanisms": "sasl.mechanism",
    "sasl.oauthbearer.client.credentials.client.id": "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.credentials.client.secret": "sasl.oauthbearer.client.secret",
    "max.partition.fetch.bytes": "fetch.message.max.bytes",
    "auto.commit.enable": "enable.auto.commit",
}

_IN_MEMORY: Final = "it takes an object of a C program and cannot be set by text"
# What the writer must own, and what to use instead. Names ending in _cb are refused as well.
_OWNED: Final = {
    "opaque": f"{_IN_MEMORY}; leave it out",
    "interceptors": f"{_IN_MEMORY}; leave it out",
    "default_topic_conf": f"{_IN_MEMORY}; give the topic's options by their own names",
    "msg_order_cmp": f"{_IN_MEMORY}; leave it out",
    "ssl_key": f"{_IN_MEMORY}; use ssl.key.pem or ssl.key.location",
    "ssl_certificate": f"{_IN_MEMORY}; use ssl.certificate.pem or ssl.certificate.location",
    "ssl_ca": f"{_IN_MEMORY}; use ssl.ca.pem or ssl.ca.location",
    "ssl_engine_callback_data": f"{_IN_MEMORY}; leave it out",
    "transactional.id": "it is made of the job's name and the lane; give job and delivery=exactly_once instead",
    "enabled_events": "penstock takes delivery reports by callback, events would not be served; leave it out",
    "log.queue": "nothing would serve that queue; use the setting log_level to choose what is logged",
    "log_level": 'it is a setting of penstock and takes a name; use log_level="debug" or --log-level debug',
    "test.mock.num.brokers": "each worker would start brokers of its own; see penstock demo for a mock cluster",
}

_OLDEST: Final = (2, 12)  # as pyproject.toml asks; before 2.8 a chain of certificates given inline was cut to its first
_TABLE_COLUMNS: Final = 6  # name, C/P, range, default, importance, description
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,20}")
_FRACTION: Final = re.compile(r"[+-]?([0-9]{1,20}\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_RANGE: Final = re.compile(r"(-?\d+) \.\. (-?\d+)")
_FRACTIONS_ALLOWED: Final = frozenset({"linger.ms"})  # the only one that librdkafka keeps as a float
_TRUE: Final = frozenset({"true", "t", "1"})  # what librdkafka takes for a boolean, in any case
_FALSE: Final = frozenset({"false", "f", "0"})


class KafkaProperty(NamedTuple):
    """One row of librdkafka's own table. scope: P producer, C consumer, * both."""

    name: str
    scope: str
    default: str
    allowed: str
    importance: str


class KafkaOption(msgspec.Struct, frozen=True):
    """An option as somebody gave it: its name as they spelt it, its value as text, and where they wrote it.

    reference  what they wrote, where the value stands elsewhere; it is shown in the value's place
    """

    name: str
    value: str
    where: str
    reference: str | None = None

    def __str__(self) -> str:
        """Return `acks=1 (kafka_options)`, without the value where it is a secret or came from a reference."""
        value = self.reference or (NOT_SHOWN if is_secret(self.name) else shown(without_user(self.value)).strip('"'))
        return f"{self.name}={value} ({self.where})"

    def __repr__(self) -> str:
        return f"<KafkaOption {self}>"


def spelling(name: str) -> str:
    """Return the one spelling of an option that Config.kafka uses: `acks` for `request.required.acks`."""
    return _SPELLINGS.get(name, name)


def librdkafka_path() -> str:
    """Return the path of the shared library of confluent-kafka's wheel that carries librdkafka.

    Nothing is imported: confluent_kafka itself takes 0.15 s, and find_spec of a submodule would import its parent.
    Raises ImportError saying what was looked for.
    """
    package = importlib.util.find_spec("confluent_kafka")
    if package is None or package.submodule_search_locations is None:
        raise ImportError("librdkafka comes with the package confluent-kafka, which is not installed: install it")
    places = list(package.submodule_search_locations)
    module = importlib.machinery.PathFinder.find_spec("confluent_kafka.cimpl", places)
    if module is None or module.origin is None:
        raise ImportError(f"confluent-kafka has no compiled part in {', '.join(places)}: reinstall it")
    return module.origin


@functools.cache
def load_librdkafka() -> None:
    """Load librdkafka into this process, once; ImportError says what was tried, or which version is too old."""
    from penstock import _core  # noqa: PLC0415 - a configuration without options needs no librdkafka

    path = librdkafka_path()
    _core.load_librdkafka(path)
    version = _core.librdkafka_version()
    needed = ".".join(map(str, _OLDEST))
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < _OLDEST:
        raise ImportError(
            f"{path} carries librdkafka {version}, penstock needs {needed} or later; "
            f'pip install "confluent-kafka>={needed}" brings it'
        )


@functools.cache
def property_table() -> Mapping[str, KafkaProperty]:
    """Return librdkafka's own table by name. Where a name is listed twice (global, topic) the first counts."""
    from penstock import _core  # noqa: PLC0415 - as above

    load_librdkafka()
    return parse_table(_core.kafka_property_text())


def parse_table(text: str) -> dict[str, KafkaProperty]:
    """Read the table that rd_kafka_conf_properties_show prints: two headed parts, columns between bars."""
    table: dict[str, KafkaProperty] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|", _TABLE_COLUMNS - 1)]
        if len(cells) == _TABLE_COLUMNS and cells[1] in {"P", "C", "*"}:
            name, scope, allowed, default, importance, _ = cells
            table.setdefault(name, KafkaProperty(name, scope, default, allowed, importance))
    return table


def refusal(name: str, value: str) -> str | None:
    """Return librdkafka's own words on a name or value that it refuses, None where it takes both."""
    from penstock import _core  # noqa: PLC0415 - as above

    load_librdkafka()
    said: str | None = _core.check_kafka_option(name, value)
    return said


def read_options(
    options: Mapping[str, object],
    where: str,
    *,
    given_as: Mapping[str, str] = MappingProxyType({}),
    settings: Collection[str] = (),
    unchecked: Collection[str] = (),
    consumer: bool = False,
    references: References | None = None,
    reads: Callable[[str], bool] = lambda _: True,
) -> dict[str, KafkaOption]:
    """Check the options of one place, each by itself, and return them by their spelling.

    options    name to value: a text, a number or a boolean
    where      the place, as errors name it: 'kafka_options', 'orders.json: transport.config'
    given_as   the names that options were given by, where they are others: those of Java's clients
    settings   names of penstock's settings: given here by mistake, the error says so
    unchecked  spellings whose range the caller checks instead of librdkafka
    consumer   they are a consumer's: the producer's own are left out instead
    references what reads references; it remembers what they gave
    reads      told a spelling, whether a reference in its place is needed; if not, only its form is checked, and the
               option is left out

    Options for consumers are checked and then left out: they do nothing in a producer, and librdkafka would log a
    warning for each; likewise the other way round. Raises ConfigError for the first wrong one; values of secrets are
    never in its text.
    Source: the names and ranges are those of the loaded librdkafka, rd_kafka_conf_properties_show.
    """
    read: dict[str, KafkaOption] = {}
    references = references or References()
    left_out = "P" if consumer else "C"
    for name, given in options.items():
        _check_name(name, where, settings)
        same = spelling(name)
        place = f"{where}: {given_as[name]}" if name in given_as else where
        value, reference = given, None
        if isinstance(given, str) and is_reference(given):
            if not reads(same) or _scope(name) == left_out:
                check_reference(given, f"{where}: {name}")
                continue
            value, reference = references.read(given, f"{where}: {name}", public=_is_public(name)), given
        option = KafkaOption(name, _text(name, value, place), place, reference)
        option = _check_value(option, asked=same not in unchecked)
        twin = read.get(same)
        if twin is not None and twin.value != option.value:
            raise ConfigError(f"{where}: {_pair(twin, option)} are one option with two values; give one of them")
        read[same] = option
    return {name: option for name, option in read.items() if _scope(name) != left_out}


def _check_name(name: str, where: str, settings: Collection[str]) -> None:
    if not isinstance(name, str):
        raise ConfigError(f"{where}: the name of a librdkafka option is a text, found {shown(name)}")
    if name in _OWNED:
        raise ConfigError(f"{where}: {name} cannot be set here, {_OWNED[name]}")
    if name.endswith("_cb"):
        raise ConfigError(f"{where}: {name} cannot be set here, callbacks are penstock's own; leave it out")
    if name in settings and name not in property_table():
        raise ConfigError(
            f"{where}: {name} is a setting of penstock, not an option of librdkafka; "
            f"give it as {name}=... or --{name.replace('_', '-')}"
        )
    if name in property_table():
        return
    if not _NAME.fullmatch(name.strip()):  # not repeated: it may be a value that lost its name
        raise ConfigError(f"{where}: the name of a librdkafka option has letters, digits, '.', '_' and '-' only")
    # Some names are taken but not listed (client.software.name), so librdkafka has the last word.
    said = refusal(name, "")
    if said is not None and said.startswith("No such configuration property"):
        known = [row.name for row in property_table().values() if row.name not in _OWNED and "_cb" not in row.name]
        # An exact match in other clothes, such as linger_ms or Linger.MS, is the only one worth naming.
        dotted = name.lower().replace("_", ".").replace("-", ".")
        hint = f'; did you mean "{dotted}"?' if dotted in known else did_you_mean(name, [*known, *settings])
        raise ConfigError(f'{where}: librdkafka has no option "{name}"{hint}')


def _text(name: str, value: object, where: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if not isinstance(value, str):
        raise ConfigError(
            f"{where}: {name} must be a text, a number or a boolean, found {json_kind(value)}; "
            "leave it out to use the default"
        )
    if "\0" in value:
        raise ConfigError(f"{where}: {name} contains a zero byte, where librdkafka would end the value; remove it")
    if not is_unicode(value):
        raise ConfigError(f"{where}: {name} is not UTF-8 text; give it as such")
    return value


def _check_value(option: KafkaOption, *, asked: bool) -> KafkaOption:
    """Return the option with its value in plain form, once librdkafka, where it is asked, has taken it."""
    row = property_table().get(option.name)
    allowed = row.allowed if row is not None else ""
    value = _plain(option, allowed)
    said = refusal(option.name, value) if asked else None
    if said is None:
        if spelling(option.name) == "delivery.report.only.error" and value == "true":
            raise ConfigError(f"{option}: penstock counts every delivery report to make the receipt; leave it out")
        return msgspec.structs.replace(option, value=value)
    if is_secret(option.name):  # librdkafka repeats the value in its text
        raise ConfigError(f"{option}: librdkafka refuses its value")
    if option.reference is not None:  # likewise
        raise ConfigError(f"{option}: librdkafka refuses its value{f'; allowed: {allowed}' if allowed else ''}")
    allowed_text = f"; allowed: {allowed}" if allowed and not _RANGE.fullmatch(allowed) else ""
    raise ConfigError(f"{option}: librdkafka says: {said}{allowed_text}")


def _plain(option: KafkaOption, allowed: str) -> str:
    value = option.value.strip()
    if spelling(option.name) == "acks" and value.lower() in {"all", "-1"}:
        return "all"
    if allowed == "true, false":
        lower = value.lower()
        return "true" if lower in _TRUE else "false" if lower in _FALSE else option.value
    if not _RANGE.fullmatch(allowed):
        return value if allowed else option.value  # a word of a list, where librdkafka overlooks some white space
    # librdkafka reads the digits it finds, in octal after a 0, and ignores the rest without a word.
    if _WHOLE.fullmatch(value):
        return str(int(value))
    may_be_fraction = spelling(option.name) in _FRACTIONS_ALLOWED
    if value and not (may_be_fraction and _FRACTION.fullmatch(value)):
        raise ConfigError(f"{option}: not a {'' if may_be_fraction else 'whole '}number; allowed: {allowed}")
    return option.value


def _is_public(name: str) -> bool:
    """Tell whether everybody may see what the option is: addresses of brokers, numbers and words of lists."""
    row = property_table().get(name)
    return spelling(name) in {"bootstrap.servers", "sasl.mechanism"} or (row is not None and bool(row.allowed))


def _scope(name: str) -> str:
    """Return whose option it is: P of producers, C of consumers, * of both."""
    row = property_table().get(name)
    return "*" if row is None else row.scope


def _pair(one: KafkaOption, other: KafkaOption) -> str:
    if is_secret(one.name) or one.reference is not None or other.reference is not None:
        return f"{one.name} and {other.name}"
    return f"{one.name}={shown(one.value)} and {other.name}={shown(other.value)}"
