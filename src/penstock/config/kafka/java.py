"""The spellings of Java's Kafka clients among librdkafka's options: translated, or named where nothing corresponds.

A name that both clients have (acks, linger.ms, delivery.timeout.ms) passes as it is, unless Java's values differ. What
changes nothing for the user is noted, what he loses is a warning, what would make another job of it is refused. No
value that is a reference is looked into: references are resolved later.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from penstock.config.connector import Given
from penstock.config.kafka.java_login import translate_login
from penstock.config.kafka.options import spelling
from penstock.config.references import is_reference
from penstock.config.secrets import is_secret
from penstock.errors import ConfigError
from penstock.names import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Java", "Translation", "translate"]


class Translation(NamedTuple):
    """Options in librdkafka's words.

    given_as  the Java name that an option came from, where it is another
    settings  settings of ours that follow from them
    warnings  what is lost; notes: what was done without loss
    """

    options: dict[str, object]
    given_as: dict[str, str]
    settings: dict[str, Given]
    warnings: list[str]
    notes: list[str]


_RENAMED: Final = {
    "max.request.size": "message.max.bytes",
    "send.buffer.bytes": "socket.send.buffer.bytes",
    "receive.buffer.bytes": "socket.receive.buffer.bytes",
    "ssl.truststore.certificates": "ssl.ca.pem",
    "ssl.keystore.certificate.chain": "ssl.certificate.pem",
    "ssl.keystore.key": "ssl.key.pem",
}
_SERIALIZER: Final = "penstock encodes rows itself; format and key_format say how"
_STATISTICS: Final = "it is about statistics that Java keeps of itself"
_RENEWAL: Final = "logins are renewed when 80 % of their life is over"
_BROKERS: Final = "it is for whoever checks a token: the broker"
_TOKENS: Final = "how long a server of tokens is waited for is librdkafka's choice"
_JAVAS_CHOICE: Final = "it chooses among parts of Java"
# What needs no doing: the job is the same without it.
_NOT_NEEDED: Final = {
    "key.serializer": _SERIALIZER,
    "value.serializer": _SERIALIZER,
    "metrics.num.samples": _STATISTICS,
    "metrics.recording.level": _STATISTICS,
    "metrics.sample.window.ms": _STATISTICS,
    "auto.include.jmx.reporter": _STATISTICS,
    "metadata.max.idle.ms": "metadata of a topic is kept while it is written to",
    "partitioner.adaptive.partitioning.enable": "rows without a key go to the worker that has least to do",
    "partitioner.availability.timeout.ms": "rows without a key go to the worker that has least to do",
    "socket.connection.setup.timeout.max.ms": "socket.connection.setup.timeout.ms does not grow here",
    "ssl.keymanager.algorithm": _JAVAS_CHOICE,
    "ssl.trustmanager.algorithm": _JAVAS_CHOICE,
    "ssl.secure.random.implementation": _JAVAS_CHOICE,
    "ssl.provider": _JAVAS_CHOICE,
    "security.providers": _JAVAS_CHOICE,
    "sasl.login.class": _JAVAS_CHOICE,
    "sasl.login.refresh.window.factor": _RENEWAL,
    "sasl.login.refresh.window.jitter": _RENEWAL,
    "sasl.login.refresh.min.period.seconds": _RENEWAL,
    "sasl.login.refresh.buffer.seconds": _RENEWAL,
    "sasl.login.connect.timeout.ms": _TOKENS,
    "sasl.login.read.timeout.ms": _TOKENS,
    "sasl.login.retry.backoff.ms": _TOKENS,
    "sasl.login.retry.backoff.max.ms": _TOKENS,
    "sasl.oauthbearer.clock.skew.seconds": _BROKERS,
    "sasl.oauthbearer.expected.audience": _BROKERS,
    "sasl.oauthbearer.expected.issuer": _BROKERS,
    "sasl.oauthbearer.jwks.endpoint.refresh.ms": _BROKERS,
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms": _BROKERS,
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms": _BROKERS,
    "sasl.oauthbearer.jwks.endpoint.url": _BROKERS,
    "sasl.oauthbearer.scope.claim.name": _BROKERS,
    "sasl.kerberos.ticket.renew.jitter": "sasl.kerberos.min.time.before.relogin says when a ticket is renewed",
    "sasl.kerberos.ticket.renew.window.factor": "sasl.kerberos.min.time.before.relogin says when a ticket is renewed",
}
_CLASSES: Final = "it names Java classes, which cannot run here"
_VERSIONS: Final = "OpenSSL and the broker take the newest version of TLS that both have"
_REGISTRY: Final = "it belongs to a serializer in Java; give format avro or protobuf with its registry_ members"
# What is lost, though the job can be done.
_LOST: Final = {
    "interceptor.classes": _CLASSES,
    "metric.reporters": _CLASSES,
    "max.block.ms": "writing waits without limit or for timeout_secs, opening for initialization_timeout_secs",
    "ssl.protocol": _VERSIONS,
    "ssl.enabled.protocols": _VERSIONS,
    "schema.registry.url": _REGISTRY,
    "basic.auth.credentials.source": _REGISTRY,
    "basic.auth.user.info": _REGISTRY,
    "auto.register.schemas": _REGISTRY,
}
# Java's names of what concerns consumers only; librdkafka's own are left out by kafka_options.
_CONSUMERS: Final = ("key.deserializer", "value.deserializer", "max.poll.records", "fetch.max.wait.ms",
                     "default.api.timeout.ms", "exclude.internal.topics")  # fmt: skip
_PARTITIONERS: Final = {"DefaultPartitioner": None, "UniformStickyPartitioner": "random"}
_STORE_KINDS: Final = {".pem": "PEM", ".crt": "PEM", ".cer": "PEM", ".p12": "PKCS12", ".pfx": "PKCS12", ".jks": "JKS"}
_KEYTOOL: Final = "keytool -importkeystore -srckeystore {} -destkeystore client.p12 -deststoretype PKCS12"


def translate(options: Mapping[str, object], where: str) -> Translation:
    """Return the options of one place with Java's names and values turned into librdkafka's.

    where  the place, as errors name it

    Raises ConfigError for what would make another job of it (a Java keystore, a partitioner or login in Java), with
    what to give instead, and for two spellings with different values. Values of secrets are never shown.
    Source: the configuration of Kafka's Java producer 4.1 and of aws-msk-iam-auth 2.
    """
    java = Java(options, where)
    _providers(java)
    for name, why in _NOT_NEEDED.items():
        if java.take(name) is not None:
            java.note(name, f"is not needed: {why}")
    for name, why in _LOST.items():
        if java.take(name) is not None:
            java.to.warnings.append(f"{where}: {name} has no effect: {why}")
    for name in _CONSUMERS:
        java.take(name)
    _sizes(java)
    for name, ours in _RENAMED.items():
        value = java.take(name)
        if value is not None:
            java.put(ours, value, name)
    _compression(java)
    _partitioner(java)
    _tls(java)
    _truststore(java)
    _keystore(java)
    translate_login(java)
    return java.to


class Java:
    """The options of one place while they are turned."""

    def __init__(self, options: Mapping[str, object], where: str) -> None:
        self.where = where
        self.to = Translation(dict(options), {}, {}, [], [])

    def get(self, name: str) -> object:
        """Return an option's value; None where it is not given."""
        return self.to.options.get(name)

    def take(self, name: str) -> object:
        """Return an option's value and forget it; None where it is not given."""
        if name in self.to.options and self.to.options[name] is None:
            raise self.error(name, " is null; leave it out to use the default")
        return self.to.options.pop(name, None)

    def put(self, name: str, value: object, java: str) -> None:
        """Give librdkafka's option the value of Java's; refuse another value that it has already."""
        for given, other in self.to.options.items():
            if isinstance(given, str) and spelling(given) == spelling(name):
                if str(other) != str(value):
                    also = self.to.given_as.get(given, given)
                    values = "" if is_secret(name) else f", {shown(str(other))} and {shown(str(value))}"
                    raise ConfigError(
                        f"{self.where}: {also} and {java} are one option with two values{values}; give one of them"
                    )
                return
        self.to.options[name] = value
        self.to.given_as[name] = java
        self.note(java, f"is {name} here")

    def set(self, setting: str, value: object, java: str) -> None:
        """Have a setting of ours follow from an option."""
        self.to.settings[setting] = Given(value, f"{self.where}: {java}", from_json=True)
        self.note(java, f"is the setting {setting} here")

    def note(self, java: str, text: str) -> None:
        """Say what was done with an option without loss."""
        self.to.notes.append(f"{self.where}: {java} {text}")

    def error(self, java: str, text: str) -> ConfigError:
        """Return the error about an option."""
        return ConfigError(f"{self.where}: {java}{text}")


def _sizes(java: Java) -> None:
    for name in ("send.buffer.bytes", "receive.buffer.bytes"):
        if str(java.get(name)) == "-1" and java.take(name):
            java.put(f"socket.{name}", "0", name)  # the system's default
    size = java.take("buffer.memory")
    if size is None:
        return
    ours = "queue.buffering.max.kbytes"
    if is_reference(size):
        raise java.error("buffer.memory", f" counts bytes and cannot be a reference; give {ours} instead")
    text = str(size)
    java.put(ours, str(max(1, int(text) // 1024)) if text.isascii() and text.isdigit() else size, "buffer.memory")


def _compression(java: Java) -> None:
    used = str(java.get("compression.type") or java.get("compression.codec")).lower()
    for codec in ("gzip", "lz4", "zstd"):
        name = f"compression.{codec}.level"
        level = java.take(name)
        if level is None:
            continue
        if codec == used:
            java.put("compression.level", level, name)
        else:
            java.note(name, "is not needed: compression.type is another")


def _partitioner(java: Java) -> None:
    name = "partitioner.class"
    value = java.take(name)
    if value not in (None, ""):
        simple = str(value).rpartition(".")[2]
        if simple not in _PARTITIONERS:
            raise java.error(
                name, ": a partitioner in Java cannot run here; choose one by the setting partitioner, such as random"
            )
        if _PARTITIONERS[simple] is not None:
            java.put("partitioner", _PARTITIONERS[simple], name)
        else:
            java.note(name, "is not needed: partitioner=murmur2_random chooses as it does")
    name = "partitioner.ignore.keys"
    if str(java.take(name)).lower() == "true":
        java.put("partitioner", "random", name)


def _tls(java: Java) -> None:
    name = "ssl.endpoint.identification.algorithm"
    if java.get(name) == "":
        java.to.options[name] = "none"
        java.note(name, "is none where it is empty: the broker's name is not checked")
    suites = java.get("ssl.cipher.suites")
    if isinstance(suites, str) and ("," in suites or suites.startswith("TLS_")):
        raise java.error(
            "ssl.cipher.suites",
            " has Java's names; librdkafka takes OpenSSL's with colons between them, such as "
            "ECDHE-RSA-AES256-GCM-SHA384; leave it out to let OpenSSL and the broker choose",
        )
    if java.take("ssl.engine.factory.class") is not None:
        raise java.error("ssl.engine.factory.class", ": code in Java cannot run here; give the ssl. options instead")


def _providers(java: Java) -> None:
    if java.take("config.providers") is not None:  # else their ${…} would be sent as passwords
        raise java.error(
            "config.providers",
            ": code in Java cannot run here; leave it and its options out, and give values as ${env:NAME} or "
            "${secret:kubernetes:name/data-key}",
        )


def _truststore(java: Java) -> None:
    name = "ssl.truststore.location"
    location = java.take(name)
    kind = _store_kind(java.take("ssl.truststore.type"), location) or "JKS"  # Java's default
    if java.take("ssl.truststore.password") is not None:
        java.note("ssl.truststore.password", "is not needed: certificates in PEM have none")
    if location is None:
        return
    if kind != "PEM":
        raise java.error(
            name,
            f" is a keystore of Java's ({kind}), which librdkafka cannot read; make PEM of it with "
            f"`keytool -list -rfc -keystore {_file(location)} > ca.pem` and give ssl.ca.location=ca.pem",
        )
    java.put("ssl.ca.location", location, name)


def _keystore(java: Java) -> None:
    name = "ssl.keystore.location"
    location = java.get(name)
    kind = _store_kind(java.take("ssl.keystore.type"), location) or "PKCS12"  # all that librdkafka's option can mean
    if kind == "PEM":
        if java.take("ssl.keystore.password") is not None:
            java.note("ssl.keystore.password", "is not needed: ssl.key.password is that of a key in PEM")
        if java.take(name) is not None:
            java.put("ssl.certificate.location", location, name)
            java.put("ssl.key.location", location, name)
    elif location is not None and kind != "PKCS12":
        raise java.error(
            name,
            f" is a keystore of Java's ({kind}), which librdkafka cannot read; make PKCS12 of it with "
            f"`{_KEYTOOL.format(_file(location))}` and give ssl.keystore.location=client.p12",
        )


def _store_kind(kind: object, location: object) -> str | None:
    """Return what a key or trust store is: what its type says, else what its name ends in says."""
    if kind is not None:
        return str(kind).upper()
    return _STORE_KINDS.get(Path(str(location)).suffix.lower())


def _file(location: object) -> str:
    return "FILE" if is_reference(location) else shlex.quote(str(location))
