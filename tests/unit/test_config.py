"""config.load: what wins, what is refused and how it is said, and the table that people read."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from penstock.config import (
    FORMATS,
    KAFKA_DEFAULTS,
    SETTINGS,
    Config,
    JsonFormat,
    WriterConfig,
    load,
    memory_shares,
    parse_bytes,
    usable_cores,
)
from penstock.config.keywords import Settings
from penstock.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _no_brokers_by_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDPANDA_BROKERS", raising=False)


def connector(transport: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    """The connector's object as people paste it, with a topic."""
    return {"transport": {"name": "kafka_output", "config": {"topic": "orders", **(transport or {})}}, **members}


# Defaults.


def test_defaults_are_those_of_the_issue() -> None:
    """With nothing but a topic, the job is idempotent, compressed, packed JSON to localhost."""
    config = load(topic="orders", workers=2)
    assert config.kafka == {
        "bootstrap.servers": "localhost",
        "acks": "all",
        "enable.idempotence": "true",
        "compression.type": "lz4",
        "linger.ms": "5",
        "batch.size": "1000000",
        "batch.num.messages": "100000",
        "message.timeout.ms": "300000",
        "message.max.bytes": "1000000",
        "queue.buffering.max.messages": "65536",
        "queue.buffering.max.kbytes": "57344",
        "reconnect.backoff.max.ms": "1000",
        "topic.metadata.propagation.max.ms": "10000",
        "topic.metadata.refresh.interval.ms": "10000",
        "ssl.ca.location": "probe",
    }
    assert config.format == JsonFormat("insert_delete", None, 10000, array=False)
    assert config.writer == WriterConfig(workers=2)
    assert (config.topic, config.headers, config.initialization_timeout_secs) == ("orders", (), 60)
    assert (config.log_level, config.warnings, config.max_payload_bytes) == (None, (), 999936)


def test_every_default_of_librdkafka_has_a_value_and_a_reason() -> None:
    """The table of librdkafka defaults lists exactly the options that are set, in the order they are set."""
    config = load(topic="orders")
    assert [row.option for row in KAFKA_DEFAULTS] == list(config.kafka)
    for row in KAFKA_DEFAULTS:
        assert row.reason
        computed = ("memory_bytes", "REDPANDA", "delivery_timeout_secs")
        assert row.value == config.kafka[row.option] or any(name in row.value for name in computed)


def test_brokers_come_from_the_environment_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """REDPANDA_BROKERS is the default of bootstrap.servers, below the connector, -X and the keyword."""
    monkeypatch.setenv("REDPANDA_BROKERS", "panda:9092")
    file = connector({"bootstrap.servers": "file:1"})
    assert load(topic="t").kafka["bootstrap.servers"] == "panda:9092"
    assert load(file).kafka["bootstrap.servers"] == "file:1"
    assert load(file, kafka_options={"metadata.broker.list": "x:2"}).kafka["bootstrap.servers"] == "x:2"
    above = load(file, kafka_options={"bootstrap.servers": "x:2"}, bootstrap_servers="keyword:3,other:4")
    assert above.kafka["bootstrap.servers"] == "keyword:3,other:4"
    assert load(topic="t", bootstrap_servers=["a:1", "b"]).kafka["bootstrap.servers"] == "a:1,b"
    monkeypatch.setenv("REDPANDA_BROKERS", "")
    assert load(topic="t").kafka["bootstrap.servers"] == "localhost"


@pytest.mark.parametrize("servers", ["", " , ", "host:port", "host:0", "host:65536", ":9092", "PLAINTEXT://host:x"])
def test_an_address_that_cannot_be_one_is_refused(servers: str) -> None:
    """librdkafka takes any text for an address and then waits for a broker; here it is refused."""
    with pytest.raises(ConfigError, match=r"^bootstrap_servers.*localhost:9092"):
        load(topic="t", bootstrap_servers=servers)


@pytest.mark.parametrize("servers", ["host", "host:9092", "::1", "[::1]", "[::1]:9092", "SSL://host:9093, b "])
def test_every_form_of_address_is_taken(servers: str) -> None:
    """Names, IPv4 and IPv6 addresses, with and without port or protocol, pass unchanged."""
    assert load(topic="t", bootstrap_servers=servers).kafka["bootstrap.servers"] == servers


# Precedence.


def test_keywords_win_over_options_over_config_over_defaults() -> None:
    """Each place overrides the one below it, member by member, and leaves the rest."""
    file = connector(
        {"linger.ms": "7", "batch.size": "7000", "initialization_timeout_secs": 7},
        writer={"workers": 7, "key": ["a"], "memory_bytes": "1 GiB"},
        format={"name": "json", "config": {"array": True}},
    )
    low = load(file)
    assert (low.topic, low.writer.workers, low.writer.key, low.format.array) == ("orders", 7, ("a",), True)
    assert (low.kafka["linger.ms"], low.kafka["batch.size"], low.initialization_timeout_secs) == ("7", "7000", 7)
    high = load(file, kafka_options={"linger.ms": 8}, topic="other", workers=3, initialization_timeout_secs=8)
    assert (high.topic, high.writer.workers, high.writer.key) == ("other", 3, ("a",))
    assert (high.kafka["linger.ms"], high.kafka["batch.size"], high.initialization_timeout_secs) == ("8", "7000", 8)


def test_none_means_not_given() -> None:
    """A keyword that is None, as argparse leaves it, and a null in the writer member change nothing."""
    file = connector(writer={"workers": 3, "op_column": None, "key": None})
    assert load(file, workers=None, topic=None, bootstrap_servers=None, log_level=None) == load(file)
    assert load(file).writer == WriterConfig(workers=3)


def test_flags_keywords_and_file_build_the_same_object() -> None:
    """The texts of flags, the values of Python and the members of JSON give equal configurations."""
    flags = load(
        topic="t", workers="3", memory_bytes="64 MiB", key="a, b", shutdown_timeout_secs="2.5", log_level="debug",
        initialization_timeout_secs="9", partition_column="p", op_column="o", partitioner="fnv1a",
    )  # fmt: skip
    python = load(
        topic="t", workers=3, memory_bytes=64 << 20, key=("a", "b"), shutdown_timeout_secs=2.5, log_level="debug",
        initialization_timeout_secs=9, partition_column="p", op_column="o", partitioner="fnv1a",
    )  # fmt: skip
    writer = {
        "workers": 3, "memory_bytes": 64 << 20, "key": ["a", "b"], "shutdown_timeout_secs": 2.5,
        "partition_column": "p", "op_column": "o", "partitioner": "fnv1a",
    }  # fmt: skip
    transport = {"topic": "t", "log_level": "debug", "initialization_timeout_secs": 9}
    file = load(json.dumps(connector(transport, writer=writer)))
    assert flags == python == file


def test_format_by_name_keeps_the_members_of_the_same_format_below() -> None:
    """`--format json` over a file that asks for JSON arrays is no contradiction; an object replaces it whole."""
    file = connector(format={"name": "json", "config": {"array": True, "buffer_size_records": 5}})
    assert load(file, format="json").format == JsonFormat(array=True, buffer_size_records=5)
    assert load(file, format={"name": "json"}).format == JsonFormat()
    assert load(file, format='{"name": "json", "config": {"array": false}}').format == JsonFormat()
    assert load(file, format=JsonFormat(buffer_size_records=1)).format == JsonFormat(buffer_size_records=1)


def test_format_members_as_in_the_original() -> None:
    """config may be null, members may be null, and a count of 0 behaves like 1."""
    assert load(connector(format={"name": "json", "config": None})).format == JsonFormat()
    members = {"update_format": "insert_delete", "json_flavor": "default", "buffer_size_records": 0, "array": None}
    assert load(connector(format={"name": "json", "config": members})).format == JsonFormat(
        json_flavor="default", buffer_size_records=1
    )


def test_headers_in_every_form_keep_their_order() -> None:
    """Texts become UTF-8, lists of numbers bytes, null or nothing a null; keys may repeat."""
    given = [
        {"key": "k", "value": "v\u00e9"},
        {"key": "b", "value": [0, 255]},
        {"key": "n"},
        {"key": "k", "value": None},
    ]
    expected = (("k", b"v\xc3\xa9"), ("b", b"\x00\xff"), ("n", None), ("k", None))
    assert load(connector({"headers": given})).headers == expected
    assert load(topic="t", headers=list(expected)).headers == expected
    assert load(topic="t", headers={"a": "x", "b": None}).headers == (("a", b"x"), ("b", None))


# Partitioner: a setting and a librdkafka option.


def test_the_partitioner_may_be_given_as_either() -> None:
    """librdkafka's option sets the setting, is not passed on, and -X wins over the file."""
    assert load(topic="t", kafka_options={"partitioner": "fnv1a"}).writer.partitioner == "fnv1a"
    assert "partitioner" not in load(topic="t", kafka_options={"partitioner": "fnv1a"}).kafka
    file = connector({"partitioner": "consistent"})
    assert load(file).writer.partitioner == "consistent"
    assert load(file, kafka_options={"partitioner": "murmur2"}).writer.partitioner == "murmur2"
    assert load(file, partitioner="consistent").writer.partitioner == "consistent"


@pytest.mark.parametrize(
    "job",
    [
        {"partitioner": "murmur2", "kafka_options": {"partitioner": "fnv1a"}},
        {"config": connector({"partitioner": "murmur2"}, writer={"partitioner": "fnv1a"})},
        {"config": connector({"partitioner": "murmur2"}), "partitioner": "fnv1a"},
        {"config": connector(writer={"partitioner": "murmur2"}), "kafka_options": {"partitioner": "fnv1a"}},
    ],
)
def test_two_partitioners_are_refused_wherever_they_stand(job: dict[str, Any]) -> None:
    """Setting and option given differently would move keys to other partitions, so no precedence decides it."""
    with pytest.raises(ConfigError, match=r"fnv1a.*murmur2|murmur2.*fnv1a"):
        load(**{"topic": "t", **job})


# Refusals: each names the place, what was found and what to do.


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"topic": None}, ["topic is missing", "--topic"]),
        ({"topic": "two words"}, ["topic", '"two words"', "249"]),
        ({"topic": ".."}, ["topic", '".."']),
        ({"topic": "x" * 250}, ["topic", "249"]),
        ({"topic": 7}, ["topic", "7", "text"]),
        ({"wokers": 3}, ['"wokers"', 'did you mean "workers"?']),
        ({"linger_ms": 3}, ['"linger_ms"', "kafka_options or -X", '"linger.ms"']),
        ({"workers": -1}, ["workers", "-1", ">= 0"]),
        ({"workers": 2000}, ["workers", "2000", "<= 1024"]),
        ({"workers": True}, ["workers", "True", "whole number"]),
        ({"workers": "many"}, ["workers", '"many"', "whole number"]),
        ({"workers": 2.5}, ["workers", "2.5", "whole number"]),
        ({"memory_bytes": "lots"}, ["memory_bytes", '"lots"', '"512 MiB"']),
        ({"memory_bytes": -1}, ["memory_bytes", "-1"]),
        ({"memory_bytes": 1 << 20}, ["memory_bytes=1048576", "8388608"]),
        ({"workers": 9, "memory_bytes": "64 MiB"}, ["9 workers", "75497472", "fewer workers"]),
        ({"key": "a,a"}, ["key", '"a"', "twice"]),
        ({"key": "a,,b"}, ["key", "column 2", "empty"]),
        ({"key": 5}, ["key", "5", "list of columns"]),
        ({"key": "a", "partition_by": "b"}, ["key", "partition_by", "one of them"]),
        ({"key_format": "sting", "key": "a"}, ["key_format", '"sting"', "json, string, bytes", '"string"']),
        ({"key_format": "string"}, ["key_format=string", "exactly one", "found 0"]),
        ({"key_format": "bytes", "key": "a,b"}, ["key_format=bytes", "exactly one", "found 2"]),
        ({"op_column": "o", "weight_column": "w"}, ['op_column="o"', 'weight_column="w"']),
        ({"op_column": "o", "key": "o"}, ["op_column", "key", '"o"']),
        ({"weight_column": "o", "partition_by": "o"}, ["weight_column", "partition_by", '"o"']),
        ({"op_column": "o", "partition_column": "o"}, ['"o"', "partition_column"]),
        ({"partition_column": "p", "partition_by": "o"}, ["partition_column", "partition_by"]),
        ({"op_column": ""}, ["op_column", "empty"]),
        ({"partitioner": "murmur3"}, ["partitioner", '"murmur3"', "fnv1a_random", '"murmur2"']),
        ({"kafka_options": {"partitioner": "murmer"}}, ["partitioner=murmer", "murmur2_random"]),
        ({"initialization_timeout_secs": 0}, ["initialization_timeout_secs", "0", ">= 1"]),
        ({"initialization_timeout_secs": 2**32}, ["initialization_timeout_secs", "4294967296"]),
        ({"shutdown_timeout_secs": float("inf")}, ["shutdown_timeout_secs", "inf", "finite"]),
        ({"shutdown_timeout_secs": float("nan")}, ["shutdown_timeout_secs", "nan"]),
        ({"shutdown_timeout_secs": -0.5}, ["shutdown_timeout_secs", "-0.5", ">= 0"]),
        ({"log_level": "verbose"}, ["log_level", '"verbose"', "emerg", "debug"]),
        ({"headers": "a=b"}, ["headers", "list"]),
        ({"headers": [{"key": "a", "vlue": 1}]}, ["headers[0]", '"vlue"', '"value"']),
        ({"headers": [("a", "b"), {"value": "b"}]}, ["headers[1].key", "required"]),
        ({"headers": [{"key": "a", "value": [256]}]}, ["headers[0].value", "0 to 255"]),
        ({"headers": [{"key": "a", "value": [True]}]}, ["headers[0].value", "0 to 255"]),
        ({"headers": [("a\udce9", "b")]}, ["headers[0]", "UTF-8"]),
        ({"headers": {"a": "\udce9"}}, ["headers[0]", "UTF-8"]),
        ({"aws_iam": "maybe"}, ["aws_iam", '"maybe"', "give true or false"]),
        ({"bootstrap_servers": ["h:1", 5]}, ["bootstrap_servers", "list of texts", "an array"]),
        ({"headers": [{"key": "a", "value": {"foo": "bar"}}]}, ["headers[0].value"]),
        ({"headers": ["a"]}, ["headers[0]", "object"]),
        ({"headers": {"a": "${env:A-}"}}, ["headers.a", "${env:A-}", "variable"]),
        ({"format": "arvo"}, ['"arvo"', '"avro"']),
        ({"format": "python"}, ["format.config.encoder", "missing"]),
        ({"format": "csv", "binary_base64": True}, ["binary_base64", "format json", "format csv"]),
        ({"csv_header": "true"}, ["csv_header", "format csv", "format json"]),
        ({"format": "parquet", "tombstones": True}, ["tombstones", "format json and avro", "format parquet"]),
        ({"auto_register": False}, ["auto_register", "format avro and protobuf", "format json"]),
        ({"format": "jsn"}, ['"jsn"', '"json"']),
        ({"format": {"name": "json", "array": True}}, ['"array"', "inside config"]),
        ({"format": {"config": {}}}, ["format.name", "text"]),
        ({"format": {"name": "json", "config": []}}, ["format.config", "object"]),
        ({"format": 5}, ["format", "name or an object"]),
        ({"format": '{"name": json}'}, ["format", "line 1, column 10"]),
        ({"format": {"name": "json", "config": {"arrray": 1}}}, ["format.config.arrray", '"array"']),
        ({"format": {"name": "json", "config": {"array": 1}}}, ["format.config.array", "true or false"]),
        ({"format": {"name": "json", "config": {"buffer_size_records": -1}}}, ["buffer_size_records", "-1", ">= 0"]),
        ({"format": {"name": "json", "config": {"update_format": "debezum"}}}, ['"debezum"', '"debezium"']),
        ({"format": {"name": "json", "config": {"json_flavor": "x"}}}, ["json_flavor", '"x"', "default"]),
        ({"format": {"name": "json", "config": {"key_fields": ["a"]}}}, ["key_fields", "debezium"]),
        ({"kafka_options": [("a", "b")]}, ["kafka_options", "list"]),
    ],
)
def test_a_wrong_setting_is_one_sentence(settings: dict[str, Any], words: list[str]) -> None:
    """An error names the place, what was found and what is allowed, in one line, and is a ConfigError (exit 2)."""
    with pytest.raises(ConfigError) as raised:
        load(**{"topic": "t", **settings})
    sentence = str(raised.value)
    assert "\n" not in sentence
    assert raised.value.exit_code == 2
    for word in words:
        assert word in sentence


def test_an_unneeded_partitioner_is_warned_about() -> None:
    """partition_column leaves a named partitioner without effect, and says so."""
    assert load(topic="t", partition_column="p").warnings == ()
    (warning,) = load(topic="t", partition_column="p", partitioner="murmur2").warnings
    assert "partitioner=murmur2 has no effect" in warning


# Memory and workers.


def test_the_largest_message_must_fit_twice() -> None:
    """message.max.bytes asks for memory, and the memory that the error names is exactly enough."""
    options = {"message.max.bytes": 40_000_000}
    with pytest.raises(ConfigError, match="give memory_bytes of at least 365714286, fewer workers") as raised:
        load(topic="t", workers=2, kafka_options=options)
    assert "message.max.bytes=40000000" in str(raised.value)
    enough = load(topic="t", workers=2, kafka_options=options, memory_bytes=365714286)
    assert enough.shares.encode_buffer_bytes >= 80_000_000
    assert int(enough.kafka["queue.buffering.max.kbytes"]) * 1024 >= 80_000_000
    assert load(topic="t", kafka_options=options).writer.workers == 1  # left to us, fewer workers make room


def test_workers_are_settled_from_cores_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unnamed workers follow the usable cores, at most 8, and no more than memory_bytes has room for."""
    assert load(topic="t").writer.workers == min(8, usable_cores())
    monkeypatch.setattr("penstock.config.merge.usable_cores", lambda: 64)
    assert load(topic="t").writer.workers == 8
    assert load(topic="t", memory_bytes="24 MiB").writer.workers == 3
    monkeypatch.setattr("penstock.config.merge.usable_cores", lambda: 1)
    assert load(topic="t").worker_count == 1
    assert load(topic="t", workers=0).worker_count == 0


def test_queues_named_by_the_user_are_kept() -> None:
    """A named queue size replaces the one from memory_bytes, unless no message would ever fit it."""
    options = {"queue.buffering.max.messages": 5, "queue.buffering.max.kbytes": 977}
    kafka = load(topic="t", kafka_options=options).kafka
    assert (kafka["queue.buffering.max.messages"], kafka["queue.buffering.max.kbytes"]) == ("5", "977")
    with pytest.raises(ConfigError, match=r"queue.buffering.max.kbytes=976.*1000000 bytes.*at least 977"):
        load(topic="t", kafka_options={"queue.buffering.max.kbytes": 976})


# Preview.


def test_preview_takes_any_size_above_64_and_needs_no_topic() -> None:
    """For preview, message.max.bytes may be below librdkafka's 1000; for writing it may not."""
    config = load(for_preview=True, kafka_options={"message.max.bytes": 65})
    assert (config.max_payload_bytes, config.writer.workers, config.topic) == (1, 0, "preview")
    assert load(connector(), for_preview=True).topic == "orders"
    for size in (64, 0, -5, "10x", "x"):
        with pytest.raises(ConfigError, match=r"message\.max\.bytes"):
            load(for_preview=True, kafka_options={"message.max.bytes": size})
    with pytest.raises(ConfigError, match=r"message\.max\.bytes=999.*1000"):
        load(topic="t", kafka_options={"message.max.bytes": 999})


def test_preview_does_not_ask_for_the_memory_that_writing_would_need() -> None:
    """A message of 500 MB can be looked at within the default memory_bytes."""
    assert load(for_preview=True, kafka_options={"message.max.bytes": 500_000_000}).max_payload_bytes == 499_999_936


# The object itself.


def test_a_config_is_frozen_and_survives_the_way_to_a_worker() -> None:
    """Workers get the configuration as msgpack, errors travel by pickle: both give back an equal object."""
    config = load(topic="t", key="a", headers={"h": b"\xff", "n": None}, log_level="error")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(config), type=Config) == config
    assert pickle.loads(pickle.dumps(config)) == config  # noqa: S301 - our own
    with pytest.raises(AttributeError):
        config.topic = "other"  # type: ignore[misc]
    assert config.kafka["log_level"] == "3"


def test_repr_shows_no_secret() -> None:
    """Passwords, keys, certificates and header values do not appear in the repr of a configuration."""
    options = {"sasl.password": "hunter2", "ssl.key.pem": "PEMTEXT", "sasl.username": "ada"}
    text = repr(load(topic="t", kafka_options=options, headers={"auth": "hunter3"}))
    assert "ada" in text
    assert "auth" in text
    for secret in ("hunter2", "hunter3", "PEMTEXT"):
        assert secret not in text


# The table.


def test_the_keywords_are_the_settings() -> None:
    """What type checkers know of open, write and preview is what they take."""
    own = {"topic", "bootstrap_servers", "format"}
    assert set(Settings.__annotations__) | own == {row.name for row in SETTINGS if "." not in row.name}


def test_the_table_lists_every_setting_with_its_real_default() -> None:
    """Each writer member and keyword has a row, and the default that people read is the one that runs."""
    rows = {row.name: row for row in SETTINGS}
    assert len(rows) == len(SETTINGS)
    keywords = {"topic", "bootstrap_servers", "format", "headers", "initialization_timeout_secs", "log_level"}
    writer = {field.name for field in msgspec.structs.fields(WriterConfig)}
    members = {f"format.{field.name}" for form in FORMATS.values() for field in msgspec.structs.fields(form)}
    top = {"index", "enable_output_buffer", "max_output_buffer_time_millis", "max_output_buffer_size_records"}
    assert set(rows) == keywords | writer | top | members - {"format.referenced"}  # which nobody gives
    for row in SETTINGS:
        assert row.meaning
        assert row.reason
        assert row.type
        assert row.flag in {None, f"--{row.name.replace('_', '-')}"}
    assert parse_bytes(rows["memory_bytes"].default) == WriterConfig().memory_bytes
    assert memory_shares(WriterConfig().memory_bytes, 2).queue_messages == 65536
    assert float(rows["shutdown_timeout_secs"].default) == WriterConfig().shutdown_timeout_secs
    assert int(rows["initialization_timeout_secs"].default) == load(topic="t").initialization_timeout_secs
    for name in ("op_column", "weight_column", "partition_column", "key", "partition_by"):
        assert rows[name].default == ""
        assert not getattr(WriterConfig(), name)
    for name in ("key_format", "partitioner"):
        assert rows[name].default == getattr(WriterConfig(), name)
        assert rows[name].default in rows[name].type
    assert rows["format.update_format"].default == JsonFormat().update_format
    assert int(rows["format.buffer_size_records"].default) == JsonFormat().buffer_size_records
    assert rows["format.array"].default == str(JsonFormat().array).lower()


def test_every_flag_of_the_table_is_taken_as_a_text() -> None:
    """What argparse hands over, one text per flag, loads for each flag of the table."""
    texts = {
        "topic": "t", "bootstrap_servers": "h:1", "format": "json", "key": "a", "key_format": "string",
        "partition_by": "b", "partition_column": "p", "partitioner": "fnv1a", "op_column": "o", "weight_column": "w",
        "workers": "1", "memory_bytes": "99 MB", "initialization_timeout_secs": "5", "shutdown_timeout_secs": "5",
        "log_level": "info", "max_weight": "5", "key_in_value": "false", "headers_column": "h", "header_columns": "h",
        "timestamp_column": "t", "topic_column": "t", "topics": "t,b", "tombstone_column": "t", "before_column": "b",
        "after_column": "a", "schemas": "false", "tombstones": "true", "debezium_source": "true",
        "binary_base64": "true", "keep_decimal_scale": "true", "iso_timestamps": "true", "non_finite": "error",
        "omit_nulls": "true", "csv_header": "true", "csv_weight": "false", "csv_quote": "always", "csv_null": "NULL",
        "csv_nested_json": "true", "avro_minimal_decimals": "true", "avro_uuid": "true", "avro_defaults": "true",
        "auto_register": "false", "check_compatibility": "true", "create_topic": '{"partitions": 3}',
        "delivery_timeout_secs": "90.5", "worker_timeout_secs": "5", "max_restarts_per_min": "3",
        "audit": "true",
        "region": "eu-west-1", "aws_iam": "false", "aws_role_arn": "arn:aws:iam::1:role/r", "oauth_cb": "m:f",
        "job": "nightly", "delivery": "exactly_once", "lanes": "2", "epoch_rows": "1000", "epoch_bytes": "1MiB",
        "epoch_secs": "0.5", "progress_topic": "p", "restart": "true",
        "on_bad_row": "skip", "on_oversize": "skip", "dead_letter": "f.arrows", "truncate_columns": "a,b",
        "reorder_on_reject": "true",
    }  # fmt: skip
    assert set(texts) == {row.name for row in SETTINGS if row.flag is not None}
    oauth = {"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"}
    unsecured = {**oauth, "enable.sasl.oauthbearer.unsecure.jwt": "true"}
    beside = {
        "aws_iam": {"kafka_options": unsecured}, "oauth_cb": {"kafka_options": oauth, "region": "r"},
        "region": {"kafka_options": oauth}, "aws_role_arn": {"kafka_options": oauth, "region": "r"},
        "key_format": {"key": "k"}, "key_in_value": {"key": "k"}, "tombstone_column": {"key": "k"},
        "truncate_columns": {"on_oversize": "truncate"}, "dead_letter": {"on_bad_row": "dead_letter"},
        "topic_column": {"topics": "t"}, "topics": {"topic_column": "c"},
        "delivery": {"job": "j"}, "lanes": {"job": "j", "delivery": "exactly_once"},
        **{name: {"job": "j"} for name in texts if name.startswith(("epoch_", "progress_", "restart"))},
        **{name: {"format": "csv"} for name in texts if name.startswith("csv_")},
        **{name: {"format": "avro"} for name in texts if name.startswith(("avro_", "auto_", "check_"))},
    }  # fmt: skip
    for name, text in texts.items():
        more = beside.get(name, {})
        config = load(**{"topic": "t", **more, name: text})
        plain = load(topic="t", **({} if name.startswith(("topic", "region", "dead", "trunc")) else more))
        assert config != plain or name in {"topic", "format"} or (name, usable_cores()) == ("workers", 1)


def test_unknown_names_get_the_nearest_setting_for_any_single_slip() -> None:
    """Dropping or doubling any letter of any setting's name still leads to that name."""
    names = [row.name for row in SETTINGS if "." not in row.name]
    for name, where in itertools.product(names, range(3)):
        for slip in (name[:where] + name[where + 1 :], name[: where + 1] + name[where:]):
            if slip in names:
                continue
            with pytest.raises(ConfigError, match=f'"{name}"'):
                load(topic="t", **{slip: 1})


def test_loading_a_configuration_imports_nothing_heavy(tmp_path: Path) -> None:
    """pyarrow (0.35 s) and confluent_kafka (0.15 s) stay out of a process that only reads its configuration."""
    code = (
        "import sys; from penstock.config import load; load(topic='t', kafka_options={'linger.ms': 1}); "
        "print(sorted({'pyarrow', 'confluent_kafka'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.stdout == "[]\n"


def test_the_time_of_a_message_has_two_names() -> None:
    """delivery_timeout_secs and message.timeout.ms are one thing: either sets both, different ones are refused."""
    assert load(topic="t").kafka["message.timeout.ms"] == "300000"
    assert load(topic="t", delivery_timeout_secs=1.5).kafka["message.timeout.ms"] == "1500"
    given = load(topic="t", kafka_options={"delivery.timeout.ms": 9000})
    assert (given.writer.delivery_timeout_secs, given.kafka["message.timeout.ms"]) == (9, "9000")
    assert load(topic="t", delivery_timeout_secs=9, kafka_options={"message.timeout.ms": 9000}) == given
    with pytest.raises(ConfigError, match=r"delivery_timeout_secs=8 and librdkafka's .*=9000"):
        load(topic="t", delivery_timeout_secs=8, kafka_options={"message.timeout.ms": 9000})
    with pytest.raises(ConfigError, match=r"delivery_timeout_secs=0.001: it must be greater than linger.ms=5"):
        load(topic="t", delivery_timeout_secs=0.001)
