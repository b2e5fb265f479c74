"""connector: the object by every way it can come, one of several, and what becomes of each of its fields."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.config import Config, load, log_warnings
from penstock.config.connector import NO_MEANING, read_connector
from penstock.errors import ConfigError

EXAMPLES = Path(__file__).parents[1] / "golden" / "connectors"

PLAIN: dict[str, Any] = {"transport": {"name": "kafka_output", "config": {"topic": "total-sales"}}}


def without_notes(config: Config) -> Config:
    return msgspec.structs.replace(config, notes=())


def with_transport(**config: Any) -> dict[str, Any]:
    return {"transport": {"name": "kafka_output", "config": {"topic": "t", **config}}}


def test_the_documented_connector_is_taken_as_it_is() -> None:
    """The original's first example loads as SQL: a consumer's option in it does nothing and warns about nothing."""
    config = load(EXAMPLES / "total_sales.sql")
    assert (config.topic, config.kafka["bootstrap.servers"]) == ("total-sales", "example.com:9092")
    assert config.format == load(topic="t").format
    assert "auto.offset.reset" not in config.kafka
    assert config.warnings == ()


@pytest.mark.parametrize(
    ("name", "options", "settings", "warnings"),
    [
        (
            "ssl_pem.json",
            {
                "bootstrap.servers": "example.com:9092",
                "auto.offset.reset": "earliest",
                "security.protocol": "SSL",
                "ssl.ca.pem": "-----BEGIN CERTIFICATE-----TOPSECRET0\n-----END CERTIFICATE-----\n",
                "ssl.key.pem": "-----BEGIN CERTIFICATE-----TOPSECRET1\n-----END CERTIFICATE-----\n",
                "ssl.certificate.pem": "-----BEGIN CERTIFICATE-----TOPSECRET2\n-----END CERTIFICATE-----\n",
            },
            {"topic": "book-fair-sales"},
            ["line 9: a comma before the closing brace"],
        ),
        (
            "ssl_location.json",
            {
                "bootstrap.servers": "example.com:9092",
                "security.protocol": "SSL",
                "ssl.certificate.location": "path/to/certificate.pem",
            },
            {"topic": "book-fair-sales"},
            [],
        ),
        (
            "msk_iam.sql",
            {
                "bootstrap.servers": "broker-1.kafka.region.amazonaws.com:9098,"
                "broker-2.kafka.region.amazonaws.com:9098",
                "sasl.mechanism": "OAUTHBEARER",
                "security.protocol": "SASL_SSL",
            },
            {"topic": "<TOPIC>", "region": "<AWS_REGION>"},
            [],
        ),
    ],
)
def test_documented_connectors_are_read_whole(
    name: str, options: dict[str, str], settings: dict[str, str], warnings: list[str]
) -> None:
    """Each other example of the original's documentation gives its options and settings, no more."""
    connector = read_connector(EXAMPLES / name)
    assert connector.options == options
    assert {setting: given.value for setting, given in connector.settings.items()} == settings
    assert len(connector.warnings) == len(warnings)
    assert all(words in said for words, said in zip(warnings, connector.warnings, strict=True))


# One of several.

OTHER: dict[str, Any] = {"transport": {"name": "kafka_output", "config": {"topic": "other"}}}
SEVERAL = [
    {"name": "a", **PLAIN},
    {"transport": {"name": "kafka_input", "config": {}}},
    OTHER,
    {"name": "B-_9", **PLAIN},
]


def test_one_of_several_is_chosen_by_name() -> None:
    """Names are those given, or unnamed- with the place among all; what is not chosen is not looked into."""
    assert load(SEVERAL, connector="unnamed-2").topic == "other"
    assert load(json.dumps(SEVERAL), connector="B-_9").topic == "total-sales"
    assert load({"connectors": SEVERAL}, connector="a").topic == "total-sales"
    for config in (OTHER, [OTHER]):
        assert load(config).topic == "other"
        assert load(config, connector="unnamed-0").topic == "other"
    with pytest.raises(ConfigError, match="kafka_input"):
        load(SEVERAL, connector="unnamed-1")


@pytest.mark.parametrize(
    ("config", "name", "words"),
    [
        (SEVERAL, None, ['4 connectors, "a", "unnamed-1", "unnamed-2", "B-_9"', "--connector NAME"]),
        (SEVERAL, "b-_8", ['no connector "b-_8"', 'did you mean "B-_9"', '"a", "unnamed-1"']),
        (PLAIN, "a", ['no connector "a"', 'found "unnamed-0"']),
        ([{"name": "a"}, {"name": "a"}], "a", ['two connectors are called "a"']),
        ([{}, {"name": "unnamed-0"}], "a", ['two connectors are called "unnamed-0"']),
        ({"name": ""}, None, ["name", "letters, digits"]),
        ([{}, {"name": "a.b"}], "unnamed-0", ["connector 1: name", '"a.b"']),
        ({"name": 5}, None, ["name", "a number"]),
        ([{}, 5], "unnamed-0", ["connector 1 must be an object"]),
        ([], None, ["array of 0 connectors"]),
        (None, "a", ['connector="a"', "--config"]),
        ([{}, {}], 1, ["connector must be the name", "a number"]),
    ],
)
def test_a_connector_that_cannot_be_told_is_refused(config: Any, name: str | None, words: list[str]) -> None:
    """A missing or wrong choice lists the names; names follow the original's rule, and none is there twice."""
    with pytest.raises(ConfigError) as raised:
        load(config, connector=name, topic="t")
    for word in words:
        assert word in str(raised.value)


# Its forms.


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
    assert without_notes(load({**PLAIN, **fields})) == load(PLAIN)


@pytest.mark.parametrize("name", NO_MEANING)
def test_a_field_without_meaning_is_noted_with_the_reason(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is silently not done: at level debug the log says which field has no effect and why."""
    value: Any = {"producer_options": {"linger.ms": "x"}} if name == "fault_tolerance" else False
    in_transport = name in {"kafka_service", "fault_tolerance"}
    config = load(with_transport(**{name: value}) if in_transport else {**PLAIN, name: value})
    with caplog.at_level(logging.DEBUG, "penstock"):
        log_warnings(config)
    (record,) = caplog.records
    path = f"transport.config.{name}" if in_transport else name
    assert record.levelno == logging.DEBUG
    assert record.getMessage() == f"config: {path} has no meaning here: {NO_MEANING[name]}"


def test_harmless_transport_fields_are_accepted_in_silence() -> None:
    """region, kafka_service and the exactly-once options mean nothing to an at-least-once job without AWS."""
    tolerant = {"producer_options": {"linger.ms": "3"}, "consumer_options": {}}
    config = load(with_transport(kafka_service="k", fault_tolerance=tolerant))
    assert without_notes(config) == load(with_transport())
    (warning,) = load(with_transport(fault_tolerance={"producer_option": {}})).warnings
    assert 'did you mean "producer_options"' in warning


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
        ({"transport": {"name": None}}, ["transport.name is null"]),
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
        (with_transport(fault_tolerance={"consumer_options": 5}), ["consumer_options must be an object"]),
        (with_transport(**{"linger.ms": None}), ["linger.ms", "null"]),
        (with_transport(**{"linger.ms": [5]}), ["linger.ms", "an array"]),
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
        ('{"writer": {"workers": ' + "9" * 5000 + "}}", "thousands of digits"),
        ("sasl.password=hunter2", "config: a text is neither an existing file"),
        ("[" * 100_000, "config"),
        ("[]", "array of 0 connectors"),
        ("[{}, {}]", "there are 2 connectors"),
        ("[5]", "must be an object"),
        ("5", "neither an existing file nor a connector as JSON or SQL"),
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
