"""connector: the JSON object by every way it can come, and what becomes of each of its fields."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.config import load
from penstock.errors import ConfigError

PLAIN: dict[str, Any] = {"transport": {"name": "kafka_output", "config": {"topic": "total-sales"}}}


def with_transport(**config: Any) -> dict[str, Any]:
    return {"transport": {"name": "kafka_output", "config": {"topic": "t", **config}}}


def test_the_documented_connector_is_taken_as_it_is() -> None:
    """The original's first example loads: a consumer's option in it does nothing and warns about nothing."""
    config = load(
        {
            "transport": {
                "name": "kafka_output",
                "config": {
                    "bootstrap.servers": "example.com:9092",
                    "auto.offset.reset": "earliest",
                    "topic": "total-sales",
                },
            },
            "format": {"name": "json", "config": {"update_format": "insert_delete", "array": False}},
        }
    )
    assert (config.topic, config.kafka["bootstrap.servers"]) == ("total-sales", "example.com:9092")
    assert "auto.offset.reset" not in config.kafka
    assert config.warnings == ()


def test_object_text_bytes_and_file_say_the_same(tmp_path: Path) -> None:
    """A mapping, JSON text, bytes, a path as text or as Path, with or without .json, give equal configurations."""
    text = json.dumps(PLAIN, indent=2)
    named, bare, marked = tmp_path / "sales.json", tmp_path / "sales.conf", tmp_path / "bom.json"
    named.write_text(text)
    bare.write_text(text)
    marked.write_bytes(b"\xef\xbb\xbf" + text.encode())  # as some editors save UTF-8
    expected = load(PLAIN)
    for given in (text, "\n  " + text, text.encode(), f"[{text}]", str(named), named, str(bare), bare, marked):
        assert load(given) == expected


def test_a_config_may_hold_less_than_a_connector() -> None:
    """Members that are absent or null are left to keywords and defaults."""
    assert load({}, topic="t") == load(topic="t")
    assert load({"transport": None, "format": None, "writer": None}, topic="t") == load(topic="t")
    assert load({"writer": {"workers": 0}}, topic="t").writer.workers == 0
    assert load({"transport": {"config": None}}, topic="t") == load(topic="t")


def test_numbers_and_booleans_are_options_too() -> None:
    """librdkafka's options may have JSON's own types, which the original refuses."""
    kafka = load(with_transport(**{"linger.ms": 20, "socket.keepalive.enable": True, "batch.size": "5000"})).kafka
    assert (kafka["linger.ms"], kafka["socket.keepalive.enable"], kafka["batch.size"]) == ("20", "true", "5000")


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "out1", "send_snapshot": False, "paused": True, "labels": ["a"], "start_after": "b"},
        {"max_queued_records": 5, "max_queued_bytes": 5, "preprocessor": [{"name": "x"}], "max_batch_size": 1},
        {"enable_output_buffer": False},
        {"index": None, "soft_delete": False, "postprocessor": None, "max_worker_batch_size": 1},
    ],
)
def test_harmless_fields_are_accepted_in_silence(fields: dict[str, Any]) -> None:
    """What concerns the original's engine, inputs or queue changes nothing here."""
    assert load({**PLAIN, **fields}) == load(PLAIN)


def test_harmless_transport_fields_are_accepted_in_silence() -> None:
    """region, kafka_service and the exactly-once options mean nothing to an at-least-once job without AWS."""
    tolerant = {"producer_options": {"linger.ms": "3"}, "consumer_options": {}}
    assert load(with_transport(kafka_service="k", fault_tolerance=tolerant)) == load(with_transport())


def test_an_unknown_field_of_the_connector_warns_with_the_nearest_name() -> None:
    """The original ignores such fields, so a working connector stays working, but a slip is not silent."""
    (warning,) = load({**PLAIN, "formt": {}}).warnings
    assert '"formt"' in warning
    assert 'did you mean "format"?' in warning


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({**PLAIN, "writer": {"index": "by_id"}}, ["writer.index", "at its top"]),
        ({**PLAIN, "enable_output_buffer": 1}, ["enable_output_buffer", "true or false"]),
        ({**PLAIN, "soft_delete": True}, ["soft_delete is not supported"]),
        ({**PLAIN, "postprocessor": [{"name": "p"}]}, ["postprocessor is not supported"]),
        ({"topic": "t"}, ["topic", "inside transport.config"]),
        ({**PLAIN, "linger.ms": "5"}, ["linger.ms", "inside transport.config"]),
        ({"transport": {"name": "kafka_input"}}, ['"kafka_input"', '"kafka_output"']),
        ({"transport": {"confg": {}}}, ['"confg"', '"config"']),
        ({"transport": {"topic": "t"}}, ['"topic"', "inside transport.config"]),
        ({"transport": []}, ["transport must be an object", "an array"]),
        ({"transport": {"config": "t"}}, ["transport.config must be an object", "a text"]),
        ({"writer": 5}, ["writer must be an object", "a number"]),
        ({"writer": {"wokers": 1}}, ["writer.wokers", '"workers"']),
        ({"writer": {"topic": "t"}}, ["writer.topic", "transport.config.topic"]),
        ({"writer": {"linger.ms": 5}}, ["writer.linger.ms", "transport.config.linger.ms"]),
        ({"writer": {"bootstrap_servers": "h"}}, ["transport.config.bootstrap.servers"]),
        ({"writer": {"workers": "4"}}, ["writer.workers", '"4"', "whole number"]),
        ({**PLAIN, "format": {"name": "cvs"}}, ['format: there is no format "cvs"', '"csv"']),
        (with_transport(headers=None), ["transport.config.headers", "[]"]),
        (with_transport(headers={"a": "b"}), ["transport.config.headers", "list"]),
        (with_transport(initialization_timeout_secs="60"), ["initialization_timeout_secs", '"60"']),
        (with_transport(initialization_timeout_secs=60.0), ["initialization_timeout_secs", "60.0"]),
        (with_transport(log_level="DEBUG"), ["log_level", '"DEBUG"', '"debug"']),
        (with_transport(topc="t"), ['"topc"', '"topic"']),
        (with_transport(fault_tolerance=[]), ["fault_tolerance must be an object"]),
        (with_transport(**{"linger.ms": None}), ["linger.ms", "NoneType"]),
        (with_transport(**{"linger.ms": [5]}), ["linger.ms", "list"]),
    ],
)
def test_a_connector_that_cannot_be_honoured_is_one_sentence(config: dict[str, Any], words: list[str]) -> None:
    """Whatever would silently not be done, or stands in the wrong place, is refused with its path."""
    with pytest.raises(ConfigError) as raised:
        load(config)
    sentence = str(raised.value)
    assert sentence.startswith("config")
    assert "\n" not in sentence
    for word in words:
        assert word in sentence


def test_broken_json_is_named_by_file_line_and_column(tmp_path: Path) -> None:
    """A file that is not JSON is refused with the place an editor can go to; a text is called config."""
    broken = '{"transport": {\n  "name": kafka_output}}'
    file = tmp_path / "broken.json"
    file.write_text(broken)
    with pytest.raises(ConfigError, match=r"broken\.json, line 2, column 11: not JSON"):
        load(file)
    with pytest.raises(ConfigError, match=r"^config, line 2, column 11: not JSON"):
        load(broken)
    file.write_bytes(b'{"a":\n "\xff"}')
    with pytest.raises(ConfigError, match=r"broken\.json, line 2: not UTF-8"):
        load(str(file))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"writer": {"key": "a", "key": "b"}}', '"key" is given twice'),
        ('{"writer": {"workers": NaN}}', "NaN is not JSON"),
        ("[" * 100_000, "config"),
        ("[]", "array of 0 connectors"),
        ("[{}, {}]", "array of 2 connectors"),
        ("[5]", "must be an object"),
        ("5", "neither an existing file nor a JSON object"),
        ("no-such-file", '"no-such-file" is neither an existing file'),
        ("no-such-file.json", "no-such-file.json: No such file"),
        ("x\0y", "neither an existing file"),
    ],
)
def test_what_is_no_connector_is_refused(text: str, words: str) -> None:
    """Texts that are neither an object nor a file, and JSON that says two things at once, are ConfigErrors."""
    with pytest.raises(ConfigError) as raised:
        load(text, topic="t")
    assert words in str(raised.value)


def test_a_config_of_another_type_is_refused() -> None:
    """Anything but a mapping, a text or a path is a ConfigError, not a traceback from within."""
    with pytest.raises(ConfigError, match="found int"):
        load(5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="name of a member is a text, found 5"):
        load({"transport": {5: 6}})


def test_a_wrong_value_does_not_show_a_secret_text() -> None:
    """A long text taken for a path is not repeated: it may be a connector with its passwords."""
    with pytest.raises(ConfigError) as raised:
        load('"sasl.password": "hunter2",\n"topic": "t"')
    assert "hunter2" not in str(raised.value)


def test_a_directory_is_not_a_file(tmp_path: Path) -> None:
    """A path that exists but cannot be read is refused with the system's reason."""
    folder = tmp_path / "folder.json"
    folder.mkdir()
    with pytest.raises(ConfigError, match=r"folder\.json: Is a directory"):
        load(Path(folder))
