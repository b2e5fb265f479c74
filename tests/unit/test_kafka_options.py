"""kafka_options and kafka_rules: names, values and contradictions, mostly against the librdkafka that is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from penstock.config import load
from penstock.config.kafka import options as kafka_options
from penstock.config.kafka.options import parse_table, property_table, read_options, spelling
from penstock.config.secrets import is_secret
from penstock.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


def kafka(**options: Any) -> dict[str, str]:
    """The options as a job would set them; underscores stand for dots."""
    return load(topic="t", kafka_options={name.replace("_", "."): value for name, value in options.items()}).kafka


def refusal_of(options: Mapping[str, object]) -> str:
    with pytest.raises(ConfigError) as raised:
        load(topic="t", kafka_options=options)
    sentence = str(raised.value)
    assert "\n" not in sentence
    return sentence


def outcome(name: str) -> tuple[str, str | None]:
    """Give an option its own default; return what is wrong with what became of it."""
    row = property_table()[name]
    try:
        read = read_options({name: row.default}, "here")
    except ConfigError as error:
        return name, str(error) if "has no option" in str(error) else None
    expected = set() if row.scope == "C" else {spelling(name)}
    return name, None if set(read) == expected else f"read as {sorted(read)}"


# Names.


def test_librdkafkas_table_is_complete_enough() -> None:
    """The loaded library lists its options with scope and range, aliases too, and the first of a name counts."""
    table = property_table()
    assert len(table) > 150
    assert table["group.id"].scope == "C"
    assert table["linger.ms"].scope == "P"
    assert table["bootstrap.servers"].scope == "*"
    assert table["batch.size"].allowed == "1 .. 2147483647"
    assert "inherit" not in table["compression.codec"].allowed  # the topic's row of that name comes second


def test_the_table_is_read_as_librdkafka_prints_it() -> None:
    """Heads, rules and legends are no options; a bar in a description does not shift the columns."""
    text = """## Global configuration properties

Property | C/P | Range | Default | Importance | Description
---------|-----|-------|--------:|------------| -----------
a.size   |  P  | 1 .. 9 |     5 | high       | Size <br>*Type: integer*
b.kinds  |  *  | x, y   |       | low        | One of x|y|z <br>*Type: enum value*

## Topic configuration properties

a.size   |  C  | 2 .. 3 |     2 | low        | Again <br>*Type: integer*

### C/P legend: C = Consumer, P = Producer, * = both
"""
    assert parse_table(text) == {
        "a.size": ("a.size", "P", "5", "1 .. 9", "high"),
        "b.kinds": ("b.kinds", "*", "", "x, y", "low"),
    }


def test_every_name_of_the_table_is_known_owned_or_for_consumers() -> None:
    """No option that librdkafka lists is called unknown."""
    assert {name: said for name, said in map(outcome, property_table()) if said is not None} == {}


@pytest.mark.parametrize(
    ("slip", "nearest"),
    [
        ("batch.sizes", "batch.size"), ("compresion.type", "compression.type"), ("linger_ms", "linger.ms"),
        ("Bootstrap.Servers", "bootstrap.servers"), ("enable-idempotence", "enable.idempotence"),
        ("queue.bufering.max.messages", "queue.buffering.max.messages"), ("ack", "acks"),
        ("security.protocl", "security.protocol"), ("sasl.pasword", "sasl.password"), ("topc", "topic"),
        ("acks ", "acks"),
    ],
)  # fmt: skip
def test_a_misspelt_option_gets_the_nearest_name(slip: str, nearest: str) -> None:
    """An unknown name is refused with the name that was meant, and its value, which may be a secret, is not shown."""
    sentence = refusal_of({slip: "hunter2"})
    assert f'"{slip}"' in sentence
    assert f'"{nearest}"' in sentence
    assert "hunter2" not in sentence


@pytest.mark.parametrize("name", ["acks\0password", "password=hunter2", "MIIEvQ/hunter2+", "", "a" * 101])
def test_what_cannot_be_a_name_is_not_repeated(name: str) -> None:
    """A value that lost its name is refused unseen, and nothing after a zero byte slips through."""
    assert "has letters, digits" in refusal_of({name: "1"})
    assert not name or name not in refusal_of({name: "1"})


def test_an_unknown_option_without_a_neighbour_suggests_nothing() -> None:
    """Where nothing is near, nothing is suggested."""
    assert refusal_of({"zzz": 1}) == 'kafka_options or -X: librdkafka has no option "zzz"'


def test_an_option_that_librdkafka_takes_but_does_not_list_passes() -> None:
    """librdkafka has the last word on names: client.software.name is not in its table."""
    assert "client.software.name" not in property_table()
    assert kafka(client_software_name="me")["client.software.name"] == "me"


@pytest.mark.parametrize(
    "name",
    [
        "dr_cb", "dr_msg_cb", "stats_cb", "log_cb", "error_cb", "oauthbearer_token_refresh_cb", "partitioner_cb",
        "ssl.certificate.verify_cb", "consume_cb", "opaque", "interceptors", "default_topic_conf", "ssl_key", "ssl_ca",
        "ssl_certificate", "ssl_engine_callback_data", "transactional.id", "enabled_events", "log.queue", "log_level",
        "test.mock.num.brokers",
    ],
)  # fmt: skip
def test_what_the_writer_owns_is_refused_by_name(name: str) -> None:
    """An option that would break the writer is refused and the sentence says what to do instead."""
    sentence = refusal_of({name: "1"})
    assert f"{name} cannot be set here" in sentence
    assert "use " in sentence or "leave it out" in sentence or "give " in sentence or "see " in sentence


def test_every_callback_of_librdkafka_is_refused() -> None:
    """No option that librdkafka itself would send to its dedicated API gets through."""
    for name in property_table():
        said = kafka_options.refusal(name, "x") or ""
        if "dedicated" in said or "not settable" in said:
            assert "cannot be set here" in refusal_of({name: "x"})


@pytest.mark.parametrize("name", ["workers", "topic", "memory_bytes", "key"])
def test_a_setting_given_as_an_option_is_sent_to_its_place(name: str) -> None:
    """`-X workers=4` is a setting in the wrong place, and the sentence says where it goes."""
    assert f"--{name.replace('_', '-')}" in refusal_of({name: "4"})


def test_consumer_options_do_nothing_in_silence() -> None:
    """A configuration shared with consumers is taken; what is theirs is not set and not warned about."""
    config = load(topic="t", kafka_options={"group.id": "g", "auto.offset.reset": "earliest", "fetch.min.bytes": 5})
    assert config == load(topic="t")
    assert "auto.offset.reset" in refusal_of({"auto.offset.reset": "earliset"})


# Aliases.


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ("metadata.broker.list", "bootstrap.servers", "h:1"), ("request.required.acks", "acks", "all"),
        ("message.send.max.retries", "retries", "3"), ("compression.codec", "compression.type", "zstd"),
        ("max.in.flight", "max.in.flight.requests.per.connection", "2"), ("queue.buffering.max.ms", "linger.ms", "9"),
        ("delivery.timeout.ms", "message.timeout.ms", "9000"), ("sasl.mechanisms", "sasl.mechanism", "PLAIN"),
    ],
)  # fmt: skip
def test_an_alias_replaces_the_default_and_is_set_once(given: str, name: str, value: str) -> None:
    """Naming an option by any alias overrides our value, and no option is set under two names."""
    kafka = load(topic="t", kafka_options={given: value}).kafka
    assert kafka[name] == value
    assert given not in kafka
    spelt = [spelling(one) for one in kafka]
    assert len(set(spelt)) == len(spelt)


def test_every_alias_that_librdkafka_names_is_known() -> None:
    """Our spellings are librdkafka's aliases: both names of a pair take and refuse the same values."""
    for alias, name in kafka_options._SPELLINGS.items():
        assert alias in property_table()
        assert name in property_table()
        for value in ("", "-7", "x y"):
            assert (kafka_options.refusal(alias, value) is None) == (kafka_options.refusal(name, value) is None)


def test_two_aliases_must_agree_in_one_place_and_the_higher_place_wins() -> None:
    """Contradicting aliases side by side are refused with both names; across places precedence decides."""
    assert kafka(acks="all", request_required_acks="-1")["acks"] == "all"
    sentence = refusal_of({"linger.ms": 5, "queue.buffering.max.ms": "6"})
    assert 'linger.ms="5" and queue.buffering.max.ms="6"' in sentence
    file = {"transport": {"config": {"topic": "t", "queue.buffering.max.ms": "6"}}}
    assert load(file, kafka_options={"linger.ms": 7}).kafka["linger.ms"] == "7"


# Values.


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("linger.ms", 5, "5"), ("linger.ms", 0.5, "0.5"), ("linger.ms", 5.0, "5"), ("batch.size", "010", "10"),
        ("batch.size", "+7", "7"), ("socket.timeout.ms", 60000.0, "60000"), ("enable.idempotence", True, "true"),
        ("enable.idempotence", "T", "true"), ("enable.idempotence", "1", "true"), ("acks", -1, "all"),
        ("acks", "ALL", "all"), ("socket.keepalive.enable", False, "false"), ("client.id", 7, "7"),
        ("security.protocol", " ssl", "ssl"), ("compression.type", " gzip ", "gzip"), ("client.id", " a ", " a "),
        ("linger.ms", ".5", ".5"),
    ],
)  # fmt: skip
def test_values_are_passed_on_in_plain_form(name: str, value: object, text: str) -> None:
    """Numbers and booleans become the texts librdkafka reads, decimal even with leading zeros."""
    assert load(topic="t", kafka_options={name: value}).kafka[name] == text


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("batch.size", "100abc", ["not a whole number", "1 .. 2147483647"]),
        ("batch.size", "0x10", ["not a whole number"]),
        ("batch.size", 0, ["batch.size=0", "outside allowed range"]),
        ("batch.size", "", ["empty value"]),
        ("socket.timeout.ms", 12.5, ["12.5", "not a whole number", "10 .. 300000"]),
        ("retries", "-1", ["retries=-1", "outside allowed range"]),
        ("compression.type", "lz5", ['"lz5"', "allowed: none, gzip, snappy, lz4, zstd"]),
        ("enable.idempotence", "yes", ["true or false"]),
        ("client.id", "a\0b", ["client.id", "zero byte"]),
        ("client.id", "a\udce9", ["client.id", "not UTF-8 text"]),
        ("batch.size", "9" * 5000, ["not a whole number"]),
        ("batch.size", "many", ["not a whole number"]),
        ("linger.ms", "5ms", ["not a number", "0 .. 900000"]),
        ("linger.ms", float("nan"), ["linger.ms=nan", "not a number"]),
        ("linger.ms", "0x10", ["not a number"]),
        ("linger.ms", "-0.5", ["linger.ms=-0.5", "outside allowed range"]),
        ("client.id", {"a": 1}, ["client.id", "an object"]),
        ("client.id", None, ["client.id", "null", "leave it out"]),
        ("delivery.report.only.error", "1", ["delivery.report.only.error", "receipt"]),
        ("sasl.username", "${env:NO-NAME}", ["sasl.username", "${env:NO-NAME}", "names no variable"]),
        ("sasl.password", "${secret:kubernetes:a/b}", ["sasl.password: ${secret:kubernetes:a/b}", "does not exist"]),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_by_the_name_that_was_given(name: str, value: object, words: list[str]) -> None:
    """librdkafka's own words and ranges, also for what it would cut or ignore without a word."""
    sentence = refusal_of({name: value})
    for word in (name, *words):
        assert word in sentence


@pytest.mark.parametrize(
    "name",
    [
        "sasl.password", "ssl.key.password", "ssl.keystore.password", "ssl.key.pem", "ssl.certificate.pem",
        "ssl.ca.pem",
        "sasl.oauthbearer.client.secret", "sasl.oauthbearer.client.credentials.client.secret",
        "sasl.oauthbearer.assertion.private.key.passphrase", "sasl.oauthbearer.config", "sasl.jaas.config", "my.token",
    ],
)  # fmt: skip
def test_a_secret_is_never_repeated(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Whatever librdkafka says about a secret's value, and it repeats values, the error does not show it."""
    assert is_secret(name)
    monkeypatch.setattr(kafka_options, "refusal", lambda name, value: f'Invalid value "{value}" for "{name}"\n')
    sentence = refusal_of({name: "hunter2"})
    assert name in sentence
    assert "hunter2" not in sentence
    option = kafka_options.KafkaOption(name, "hunter2", "here")
    assert "hunter2" not in f"{option} {option!r}"


def test_two_secrets_that_differ_are_not_repeated() -> None:
    """Contradicting aliases of a secret are refused by name only."""
    both = ("sasl.oauthbearer.client.secret", "sasl.oauthbearer.client.credentials.client.secret")
    sentence = refusal_of({both[0]: "hunter2", both[1]: "hunter3"})
    assert "hunter" not in sentence
    assert all(name in sentence for name in both)


# Idempotence.


def test_idempotence_stays_on_with_values_that_it_allows() -> None:
    """acks=all or -1, any retries but 0, up to 5 in flight: the producer stays idempotent, without a word."""
    for options in ({"acks": "all"}, {"acks": -1}, {"retries": 1}, {"max.in.flight": 5}, {"enable.idempotence": True}):
        config = load(topic="t", kafka_options=options)
        assert (config.kafka["enable.idempotence"], config.warnings) == ("true", ())


@pytest.mark.parametrize(
    ("options", "losses"),
    [
        ({"acks": 1}, ["acks=1", "arrive twice", "after later rows of the same key", "only the leader"]),
        ({"request.required.acks": "1"}, ["request.required.acks=1", "arrive twice", "only the leader"]),
        ({"max.in.flight": 6}, ["max.in.flight=6", "arrive twice", "after later rows of the same key"]),
        ({"max.in.flight.requests.per.connection": 1000}, ["=1000", "arrive twice"]),
        ({"retries": 0}, ["retries=0", "not sent again", "may have arrived"]),
        ({"acks": 1, "max.in.flight": 9}, ["acks=1", "max.in.flight=9", "leave them out"]),
    ],
)
def test_a_value_that_excludes_idempotence_switches_it_off_and_says_what_is_lost(
    options: dict[str, Any], losses: list[str]
) -> None:
    """The user's value holds, enable.idempotence is false, and the warning names option, place and loss."""
    config = load(topic="t", kafka_options=options)
    (warning,) = config.warnings
    assert config.kafka["enable.idempotence"] == "false"
    for word in (*losses, "enable.idempotence is off", "kafka_options or -X"):
        assert word in warning
    for name, value in options.items():
        assert config.kafka[spelling(name)] == str(value)


def test_acks_0_says_that_the_receipt_is_hollow() -> None:
    """Without acknowledgements the receipt means little, whether or not idempotence was switched off by name."""
    for options in ({"acks": 0}, {"acks": "0", "enable.idempotence": "false"}):
        warnings = load(topic="t", kafka_options=options).warnings
        assert "whether or not they arrive" in warnings[0]


def test_idempotence_switched_off_by_name_is_taken_at_its_word() -> None:
    """Who writes enable.idempotence=false has decided, and is not warned."""
    config = load(topic="t", kafka_options={"enable.idempotence": "false", "acks": 1, "retries": 0})
    assert (config.kafka["enable.idempotence"], config.kafka["acks"], config.warnings) == ("false", "1", ())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"enable.idempotence": True, "acks": 1}, ["enable.idempotence=true", "acks=1", "must be all"]),
        ({"enable.idempotence": "true", "retries": 0}, ["retries=0", "1 or more"]),
        ({"enable.idempotence": 1, "max.in.flight": 6}, ["max.in.flight=6", "5 or less"]),
        ({"queuing.strategy": "lifo"}, ["queuing.strategy=lifo", "fifo", "enable.idempotence=false"]),
        ({"queue.buffering.backpressure.threshold": 2}, ["threshold=2", "must be 1", "enable.idempotence=false"]),
        ({"acks": 1, "enable.gapless.guarantee": True}, ["enable.gapless.guarantee=true", "enable.idempotence=true"]),
        ({"message.timeout.ms": 5}, ["message.timeout.ms=5", "linger.ms=5"]),
        ({"delivery.timeout.ms": 9, "linger.ms": 20}, ["delivery.timeout.ms=9", "linger.ms=20"]),
        (
            {"reconnect.backoff.ms": 20000, "reconnect.backoff.max.ms": 10000},
            ["reconnect.backoff.ms=20000", "reconnect.backoff.max.ms=10000"],
        ),
        ({"reconnect.backoff.max.ms": 50}, ["reconnect.backoff.ms=100", "reconnect.backoff.max.ms=50"]),
    ],
)
def test_options_that_exclude_each_other_are_refused_with_both_names(options: dict[str, Any], words: list[str]) -> None:
    """What librdkafka says only when a client is made, inside each worker, is said before anything is opened."""
    sentence = refusal_of(options)
    for word in words:
        assert word in sentence


@pytest.mark.parametrize(("shortest", "longest"), [(50, "1000"), (1000, "1000"), (20000, "20000")])
def test_the_longest_wait_for_a_broker_is_at_least_the_shortest(shortest: int, longest: str) -> None:
    """Naming reconnect.backoff.ms alone, as for any other client, is no contradiction with our own default."""
    config = load(topic="t", kafka_options={"reconnect.backoff.ms": shortest})
    assert config.kafka["reconnect.backoff.max.ms"] == longest


def test_a_contradiction_is_found_across_places() -> None:
    """The file's acks=1 and the flag's enable.idempotence=true contradict each other as much as side by side."""
    file = {"transport": {"config": {"topic": "t", "acks": "1"}}}
    with pytest.raises(ConfigError, match=r"acks=1 \(config: transport.config\)"):
        load(file, kafka_options={"enable.idempotence": "true"})
    assert load(file, kafka_options={"acks": "all"}).warnings == ()


def test_options_that_go_together_are_not_refused() -> None:
    """The neighbours of each contradiction are fine."""
    assert kafka(message_timeout_ms=0)["message.timeout.ms"] == "0"  # without limit
    assert kafka(message_timeout_ms=6)["message.timeout.ms"] == "6"
    assert kafka(enable_idempotence="false", queuing_strategy="lifo")["queuing.strategy"] == "lifo"


def test_a_certificate_given_inline_is_not_looked_for_elsewhere() -> None:
    """ssl.ca.pem takes the place of probing."""
    assert "ssl.ca.location" not in kafka(ssl_ca_pem="pem")


def test_librdkafka_takes_all_that_is_set() -> None:
    """Every option of a default job, by the name it is set under, is one that the loaded library takes."""
    for name, value in load(topic="t", log_level="warning").kafka.items():
        assert kafka_options.refusal(name, value) is None


def test_a_librdkafka_that_is_too_old_is_refused_by_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest that is taken is the one that pyproject.toml asks for; the error names both versions."""
    for version, taken in (
        ("2.11.1", False),
        ("1.9.2-RC1", False),
        ("2.12.0", True),
        ("2.100.0-dirty", True),
        ("3.0.0", True),
    ):
        monkeypatch.setattr("penstock._core.librdkafka_version", lambda version=version: version)
        kafka_options.load_librdkafka.cache_clear()
        if taken:
            kafka_options.load_librdkafka()
        else:
            with pytest.raises(
                ImportError, match=rf"librdkafka {version}, penstock needs 2\.12 .*confluent-kafka>=2\.12"
            ):
                kafka_options.load_librdkafka()
    assert "confluent-kafka>=2.12" in (Path(__file__).parents[2] / "pyproject.toml").read_text()
