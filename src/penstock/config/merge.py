"""merge: what was given in all places (places.py) and the defaults become one frozen Config (job.py).

Or a ConfigError for the first thing that is wrong.
"""

from __future__ import annotations

import logging
import math
import os
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args

import msgspec

from penstock.config.connector import Connector, Given, read_connector
from penstock.config.cores import usable_cores
from penstock.config.delivery import check_delivery, message_timeout_ms
from penstock.config.document import ConfigSource  # noqa: TC001 - get_type_hints may ask
from penstock.config.formats import Format, read_format
from penstock.config.job import FRAMING_BYTES, Config, find_index
from penstock.config.kafka.login import settle_login
from penstock.config.kafka.rules import settle
from penstock.config.memory import MIN_WORKER_BYTES, memory_shares, workers_text
from penstock.config.message import check_message, check_policies
from penstock.config.places import merge_options, merge_settings, read_consumer_options, read_places
from penstock.config.references import References, read_references
from penstock.config.scope import check_scope
from penstock.config.settings import (
    MAX_DEFAULT_WORKERS,
    Count,
    LogLevel,
    Partitioner,
    WriterConfig,
)
from penstock.config.topics import is_pattern, is_topic, read_topics
from penstock.config.values import (
    read_columns,
    read_create_topic,
    read_headers,
    read_oauth_cb,
    read_relation,
    read_size,
    read_value,
)
from penstock.errors import ConfigError
from penstock.names import did_you_mean, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from penstock.config.kafka.options import KafkaOption

__all__ = ["load", "log_warnings"]

_OUTPUT_FIELDS: Final = ("index", "enable_output_buffer", "max_output_buffer_time_millis",
                         "max_output_buffer_size_records")  # fmt: skip
_WRITER_FIELDS: Final = {field.name: field.type for field in msgspec.structs.fields(WriterConfig)}
_MAY_BE_EMPTY: Final = ("csv_null", "region")  # a blank region is none, as in the original
_READERS: Final[dict[str, Callable[[Given], Any]]] = {
    "key": read_columns,
    "partition_by": read_columns,
    "header_columns": read_columns,
    "truncate_columns": read_columns,
    "topics": read_topics,
    "memory_bytes": read_size,
    "epoch_bytes": read_size,
    "relation": read_relation,
    "create_topic": read_create_topic,
    "oauth_cb": read_oauth_cb,
}
_OTHER_TYPES: Final[dict[str, Any]] = {
    "initialization_timeout_secs": Annotated[int, msgspec.Meta(ge=1, le=2**32 - 1)],
    "log_level": LogLevel,
    "index": str,
    "enable_output_buffer": bool,
    "max_output_buffer_time_millis": Count,
    "max_output_buffer_size_records": Count,
}


def load(
    config: ConfigSource | None = None,
    *,
    connector: str | None = None,
    kafka_options: Mapping[str, object] | None = None,
    format: str | Mapping[str, Any] | Format | None = None,  # noqa: A002 - the connector's word
    for_preview: bool = False,
    **settings: object,
) -> Config:
    """Check a job's whole configuration and return it, frozen; no process or socket is touched.

    Of files, `config` is read, and the certificates, keys and AWS profile that it names.

    config         the connector's object, or an array of such: a mapping, JSON or SQL text, or the path of a file with
                   it, which may also be TOML or .properties
    connector      the name of the one to take, where there are several
    kafka_options  librdkafka's options by name, Java's spellings too, numbers and booleans too
    format         a name, or the format object (mapping or JSON text)
    for_preview    nothing will be sent: message.max.bytes may be anything above 64, the topic may be left out, and
                   references are read in topic, headers, format, message.max.bytes and partitioner only: a broker's
                   secrets need not be there
    settings       names as in SETTINGS; None means not given; texts are taken for numbers, as flags give them

    Raises ConfigError for the first thing that is wrong, naming the place, the value and what is allowed; where a
    reference gave the value it is not shown, but the reference.
    """
    if connector is not None and config is None:
        raise ConfigError(f"connector={shown(connector)} chooses from config, which is not given; give --config")
    references = References()
    with references.unshown():
        lower = None if config is None else read_connector(config, connector)
        return _load(lower, kafka_options, format, settings, references, for_preview=for_preview)


def _load(
    connector: Connector | None,
    kafka_options: Mapping[str, object] | None,
    format: str | Mapping[str, Any] | Format | None,  # noqa: A002 - the connector's word
    settings: Mapping[str, object],
    references: References,
    *,
    for_preview: bool,
) -> Config:
    exactly_once = _is_exactly_once(connector, settings)
    places = read_places(connector, kafka_options, exactly_once=exactly_once)
    given = merge_settings(places, settings)
    read_references(given, references, for_preview=for_preview)
    warnings = list(connector.warnings) if connector is not None else []
    notes = list(connector.notes) if connector is not None else []

    options, lost, taken = merge_options(places, given, references, for_preview=for_preview)
    warnings += lost
    notes += taken
    consumer_options: dict[str, str] = {}
    if connector is not None and exactly_once:
        consumer_options = read_consumer_options(connector, options, references, for_preview=for_preview)
    elif connector is not None and connector.fault_tolerance is not None:
        notes.append(connector.fault_tolerance.no_meaning)
    writer = _writer(given, options.pop("partitioner", None))
    writer = _delivery_timeout(writer, given, options.get("message.timeout.ms"))
    _check_roles(writer, given, warnings)
    output: dict[str, Any] = {name: _optional(given, name) for name in _OUTPUT_FIELDS if name in given}
    _check_changes(writer, output)
    if "enable_output_buffer" not in output:
        limits = [given[name].where for name in output if name.startswith("max_output_buffer")]
        warnings += [f"{where} has no effect without enable_output_buffer" for where in limits]
    log_level = _optional(given, "log_level")

    largest = _message_max_bytes(options)
    workers = _settle_workers(writer, largest, for_preview=for_preview)
    writer = msgspec.structs.replace(writer, workers=workers)
    shares = memory_shares(writer.memory_bytes, workers)
    computed = {
        "bootstrap.servers": os.environ.get("REDPANDA_BROKERS") or "localhost",
        "message.timeout.ms": message_timeout_ms(writer, options),
        "queue.buffering.max.messages": str(shares.queue_messages),
        "queue.buffering.max.kbytes": str(shares.queue_kbytes),
    }
    if writer.delivery == "exactly_once":
        options.pop("message.timeout.ms", None)  # it is in delivery_timeout_secs; one transaction has less
    kafka, about_kafka = settle(options, computed)
    check_delivery(writer, given, options, kafka)
    if writer.audit and kafka["acks"] == "0":
        raise ConfigError(
            f"{given['audit'].where} and {options['acks']} exclude each other: with acks=0 the broker names no offsets "
            "that could be read back; leave acks out"
        )
    about_tls: tuple[str, ...] = ()
    if not for_preview and any(name.startswith(("ssl.", "https.")) for name in options):
        from penstock.config.kafka.tls import check_tls  # noqa: PLC0415 - for those who have something to check

        kafka, about_tls = check_tls(kafka, options)
    tokens, about_login = (None, ()) if for_preview else settle_login(options, kafka, writer, given)
    if log_level is not None:
        kafka["log_level"] = str(get_args(LogLevel).index(log_level))
    if writer.topic_column is not None and writer.partition_column is None:
        kafka["partitioner"] = writer.partitioner  # the partitions of a row's own topic are librdkafka's to choose
    timeout = _optional(given, "initialization_timeout_secs")
    form = read_format(format, connector.format if connector is not None else None, references)
    check_message(form, writer, given)
    check_scope(form, writer)
    check_policies(writer)
    return Config(
        topic=_topic(given.get("topic"), writer.topics, for_preview=for_preview),
        kafka=kafka,
        consumer_options=consumer_options,
        format=form,
        writer=writer,
        headers=read_headers(given.get("headers")),
        tokens=tokens,
        initialization_timeout_secs=60 if timeout is None else timeout,
        log_level=log_level,
        **output,
        warnings=tuple(map(references.redact, (*warnings, *about_kafka, *about_tls, *about_login))),
        notes=tuple(map(references.redact, notes)),
        hidden=references.hidden,
    )


def log_warnings(config: Config) -> None:
    """Tell on the log "penstock" what has no effect in a configuration, and at level debug how the rest was taken."""
    log = logging.getLogger("penstock")
    for warning in config.warnings:
        log.warning("%s", warning)
    for note in config.notes:
        log.debug("%s", note)


def _is_exactly_once(connector: Connector | None, keywords: Mapping[str, object]) -> bool:
    """Tell which delivery is asked for, before any setting is read: more options count with one of them."""
    given = keywords.get("delivery")
    if given is None and connector is not None and "delivery" in connector.settings:
        given = connector.settings["delivery"].value
    return given == "exactly_once"


def _writer(given: Mapping[str, Given], option: KafkaOption | None) -> WriterConfig:
    values: dict[str, Any] = {}
    for name, wanted in _WRITER_FIELDS.items():
        if name not in given:
            continue
        one = given[name]
        if name in _READERS:
            values[name] = _READERS[name](one)
        else:
            values[name] = read_value(one, wanted)
            if isinstance(values[name], str) and not values[name] and name not in _MAY_BE_EMPTY:
                raise ConfigError(f"{one.where} is empty; name a column, or leave it out")
    timeout = values.get("shutdown_timeout_secs", 0.0)
    if not math.isfinite(timeout):
        raise ConfigError(f"{given['shutdown_timeout_secs'].where}: found {timeout}; give a finite number of seconds")
    if option is not None:
        named = values.setdefault("partitioner", option.value)
        if named not in get_args(Partitioner):
            raise ConfigError(f"{option}: allowed: {', '.join(get_args(Partitioner))}")
        if named != option.value:
            raise ConfigError(
                f"{given['partitioner'].where}={named} and librdkafka's {option} set the same thing; "
                "give one of them, or the same value"
            )
    return WriterConfig(**values)


def _delivery_timeout(writer: WriterConfig, given: Mapping[str, Given], option: KafkaOption | None) -> WriterConfig:
    """Return the writer with the time that a message may take, which librdkafka's option may say instead."""
    if option is None:
        return writer
    secs = int(option.value) / 1000
    if "delivery_timeout_secs" in given and secs != writer.delivery_timeout_secs:
        raise ConfigError(
            f"{given['delivery_timeout_secs'].where}={writer.delivery_timeout_secs:g} and librdkafka's {option} set "
            "the same thing; give one of them, or the same time"
        )
    return msgspec.structs.replace(writer, delivery_timeout_secs=secs)


def _check_roles(writer: WriterConfig, given: Mapping[str, Given], warnings: list[str]) -> None:
    """Refuse columns and settings that exclude each other; both sides are named."""
    if writer.op_column is not None and writer.weight_column is not None:
        raise ConfigError(
            f"op_column={shown(writer.op_column)} and weight_column={shown(writer.weight_column)} both say what a row "
            "does; give one of them"
        )
    if writer.key and writer.partition_by:
        raise ConfigError(
            "key and partition_by exclude each other: a keyed row is its own message and goes where its key says, "
            "partition_by packs rows without a key; give one of them"
        )
    if writer.partition_column is not None and writer.partition_by:
        raise ConfigError("partition_column and partition_by both choose the partition; give one of them")
    roles = {name: getattr(writer, name) for name in ("op_column", "weight_column", "partition_column")}
    for role, column in roles.items():
        for name in ("key", "partition_by"):
            if role != "partition_column" and column is not None and column in getattr(writer, name):
                raise ConfigError(f"{role} and {name} both name column {shown(column)}; it cannot be both")
    change = writer.op_column or writer.weight_column
    if change is not None and change == writer.partition_column:
        raise ConfigError(f"column {shown(change)} cannot be partition_column and say what a row does; name another")
    if writer.partition_column is not None and "partitioner" in given:
        warnings.append(f"partitioner={writer.partitioner} has no effect: partition_column names the partition")


def _check_changes(writer: WriterConfig, output: Mapping[str, Any]) -> None:
    """Refuse an index that is not there, and images of rows where something else says what a row does."""
    index = output.get("index")
    if index is not None and find_index(writer, index) is None:
        known = ", ".join(f'"{name}"' for name in writer.relation.indexes)
        hint = did_you_mean(index, writer.relation.indexes) or (f"; it has {known}" if known else "; it has none")
        raise ConfigError(
            f'index: writer.relation.indexes has no "{index}"{hint}; give its columns there, as '
            '{"indexes": {"' + index + '": ["id"]}}'
        )
    merged = "index" if index is not None else "enable_output_buffer" if output.get("enable_output_buffer") else None
    if merged is not None and (writer.before_column is not None or writer.after_column is not None):
        raise ConfigError(
            f"before_column, after_column and {merged} exclude each other: a row with two images already is what the "
            f"changes of a row come to; leave {merged} out"
        )


def _message_max_bytes(options: Mapping[str, KafkaOption]) -> int:
    option = options.get("message.max.bytes")
    if option is None:
        return 1000000
    if not option.value.isascii() or not option.value.isdigit() or int(option.value) <= FRAMING_BYTES:
        raise ConfigError(f"{option}: it must be a whole number above {FRAMING_BYTES}, which Kafka's framing may take")
    return int(option.value)


def _settle_workers(writer: WriterConfig, largest: int, *, for_preview: bool) -> int:
    """Return the number of workers; refuse a memory_bytes in which a worker's largest message has no room.

    A worker sends one message while it encodes the next, so its encode buffers hold two of message.max.bytes.
    """
    if for_preview:
        return 0
    needed = max(MIN_WORKER_BYTES, -(-2 * largest * 16 // 7))
    if writer.workers is None:
        workers = max(1, min(MAX_DEFAULT_WORKERS, usable_cores(), writer.memory_bytes // needed))
    else:
        workers = writer.workers
    least = needed * max(1, workers)
    if writer.memory_bytes < least and needed > MIN_WORKER_BYTES:
        raise ConfigError(
            f"memory_bytes={writer.memory_bytes} is too little for {workers_text(workers)} with "
            f"message.max.bytes={largest}: each must hold two messages; give memory_bytes of at least {least}"
            f"{', fewer workers,' if workers > 1 else ''} or a smaller message.max.bytes"
        )
    return workers


def _topic(given: Given | None, topics: tuple[str, ...], *, for_preview: bool) -> str:
    if given is None and topics and not is_pattern(topics):
        return topics[0]
    if given is None:
        if for_preview:
            return "preview"  # only a label: nothing is sent
        raise ConfigError("topic is missing; give topic=..., --topic or transport.config.topic")
    topic: str = read_value(given, str)
    if not is_topic(topic):
        raise ConfigError(
            f"{given.where}: {shown(topic)} is not a topic name; Kafka takes 1 to 249 of letters, digits, '.', '_', '-'"
        )
    return topic


def _optional(given: Mapping[str, Given], name: str) -> Any:  # noqa: ANN401 - of the type in _OTHER_TYPES
    return read_value(given[name], _OTHER_TYPES[name]) if name in given else None
