"""librdkafka's options against each other: defaults filled in, contradictions refused, losses said aloud.

librdkafka itself refuses such combinations only when a client is made, inside each worker; here it is said before any
process or socket, naming both sides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from penstock.config.kafka.options import KAFKA_DEFAULTS, KafkaOption, spelling
from penstock.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["settle"]

_HIGHEST_IN_FLIGHT: Final = 5  # librdkafka's and the broker's limit for an idempotent producer
_HIGHEST_PORT: Final = 65535
_IDEMPOTENCE_NEEDS: Final = {
    "acks": "acks must be all",
    "retries": "retries must be 1 or more",
    "max.in.flight.requests.per.connection": f"max.in.flight must be {_HIGHEST_IN_FLIGHT} or less",
    "queuing.strategy": "queuing.strategy must be fifo",
    "queue.buffering.backpressure.threshold": "queue.buffering.backpressure.threshold must be 1",
}


def settle(options: Mapping[str, KafkaOption], computed: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Fill in the defaults and check the options against each other.

    options   by spelling, as read_options returns them, the layers already merged
    computed  values of the defaults that depend on other settings, by spelling

    Returns every option to set, by spelling, and the warnings. Raises ConfigError naming both sides of what excludes
    each other. Source of the rules: rd_kafka_new, which would otherwise refuse inside each worker.
    """
    idempotent, warnings = _idempotence(options)
    values = {default.option: computed.get(default.option, default.value) for default in KAFKA_DEFAULTS}
    values["enable.idempotence"] = "true" if idempotent else "false"
    values.update({name: option.value for name, option in options.items() if name != "enable.idempotence"})
    if "reconnect.backoff.max.ms" not in options:  # who names the shortest wait alone means at least that one
        shortest = int(values.get("reconnect.backoff.ms", "0"))
        values["reconnect.backoff.max.ms"] = str(max(shortest, int(values["reconnect.backoff.max.ms"])))
    if "ssl.ca.pem" in options and "ssl.ca.location" not in options:
        del values["ssl.ca.location"]
    _check_together(options, values, idempotent=idempotent)
    _check_brokers(values["bootstrap.servers"])
    return values, tuple(warnings)


def _idempotence(options: Mapping[str, KafkaOption]) -> tuple[bool, list[str]]:
    """Decide enable.idempotence; return it and the warnings on what is lost without it."""
    named = options.get("enable.idempotence")
    excluding = [option for name, option in options.items() if _excludes_idempotence(name, option.value)]
    warnings = []
    acks = options.get("acks")
    if acks is not None and acks.value == "0":
        warnings.append(
            f"{acks}: the broker acknowledges nothing, so rows count as acknowledged once they are written to the "
            "socket, whether or not they arrive, and the receipt has no offsets; use acks=all for a receipt that holds"
        )
    if named is not None and named.value != "true":
        return False, warnings  # asked for by name: no warning about what its user already decided
    if not excluding:
        return True, warnings
    if named is not None:
        raise ConfigError(
            f"{named} and {excluding[0]} exclude each other: {_IDEMPOTENCE_NEEDS[spelling(excluding[0].name)]} "
            "with an idempotent producer; leave one of them out"
        )
    verb, it = ("exclude", "them") if len(excluding) > 1 else ("excludes", "it")
    warnings.append(
        f"{' and '.join(str(option) for option in excluding)} {verb} the idempotent producer, so enable.idempotence is "
        f"off: {_what_is_lost(options)}; leave {it} out to keep order and no repeats, or name "
        "enable.idempotence=false to say that you accept this"
    )
    return False, warnings


def _what_is_lost(options: Mapping[str, KafkaOption]) -> str:
    retries, acks = options.get("retries"), options.get("acks")
    if retries is not None and retries.value == "0":
        lost = "a request that fails is not sent again, and its rows count as failed although they may have arrived"
    else:
        lost = "when a request is sent again its rows may arrive twice, and after later rows of the same key"
    if acks is not None and acks.value not in {"0", "all"}:
        lost += ", and rows that only the leader has acknowledged are gone if it fails"
    return lost


def _excludes_idempotence(name: str, value: str) -> bool:
    """Tell whether this value of one of the three options that switch idempotence off by themselves does so."""
    if name == "acks":
        return value != "all"
    if name == "retries":
        return value == "0"
    if name == "max.in.flight.requests.per.connection":
        return int(value) > _HIGHEST_IN_FLIGHT
    return False


def _check_together(options: Mapping[str, KafkaOption], values: Mapping[str, str], *, idempotent: bool) -> None:
    for name, wanted in (("queuing.strategy", "fifo"), ("queue.buffering.backpressure.threshold", "1")):
        option = options.get(name)
        if idempotent and option is not None and option.value.lower() != wanted:
            raise ConfigError(
                f"{option}: {_IDEMPOTENCE_NEEDS[name]} while enable.idempotence is true; leave it out, "
                "or name enable.idempotence=false and lose order and uniqueness when a request is retried"
            )
    if not idempotent and values.get("enable.gapless.guarantee") == "true":
        raise ConfigError(
            f"{options['enable.gapless.guarantee']} needs enable.idempotence=true, which is off; leave one of them out"
        )
    timeout, linger = values["message.timeout.ms"], values["linger.ms"]
    if 0 < int(timeout) <= float(linger):
        named = options.get("message.timeout.ms")
        raise ConfigError(
            f"{named or f'delivery_timeout_secs={int(timeout) / 1000:g}'}: it must be greater than linger.ms={linger}, "
            "or every message expires before it is sent; raise it, or lower linger.ms"
        )
    first, last = values.get("reconnect.backoff.ms", "100"), values["reconnect.backoff.max.ms"]
    if int(first) > int(last):
        raise ConfigError(f"reconnect.backoff.ms={first} is above reconnect.backoff.max.ms={last}; swap or lower it")
    queue, largest = int(values["queue.buffering.max.kbytes"]) * 1024, int(values["message.max.bytes"])
    if queue < largest and "queue.buffering.max.kbytes" in options:
        raise ConfigError(
            f"{options['queue.buffering.max.kbytes']}: a message of message.max.bytes={largest} bytes would never "
            f"fit that queue; give at least {-(-largest // 1024)}"
        )


def _check_brokers(servers: str) -> None:
    addresses = [address.strip() for address in servers.split(",") if address.strip()]
    if not addresses:
        raise ConfigError('bootstrap_servers is empty; give at least one broker, such as "localhost:9092"')
    for address in addresses:
        bare = address.rpartition("://")[2]
        host, colon, port = bare.rpartition(":")
        if not colon or bare.endswith("]") or (":" in host and not host.endswith("]")):
            continue  # no port given, or an IPv6 address without one
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) <= _HIGHEST_PORT:
            raise ConfigError(
                f'bootstrap_servers: "{address}" is not an address; '
                'give host or host:port with a port of 1 to 65535, such as "localhost:9092"'
            )
