"""secrets: which options are secret, what is taken out of texts, and that no error and no repr shows a secret."""

from __future__ import annotations

import contextlib
import logging
import pickle
import socket
import traceback
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock
from penstock import control, worker
from penstock.cli import main
from penstock.config import FORMATS, load
from penstock.config.kafka.options import KafkaOption, property_table
from penstock.config.secrets import Redactor, is_secret
from penstock.coordinator import Coordinator
from penstock.errors import ConfigError, PenstockError
from penstock.worker import Work
from penstock.workers import refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from penstock._core import MockCluster

MARKER = "MARKER-7f3a-secret"
ROWS = pa.table({"id": [1]})


def test_which_options_are_secret() -> None:
    """Of librdkafka's options these are never shown: passwords, keys, certificates, tokens; paths and addresses are."""
    assert sorted(filter(is_secret, property_table())) == [
        "https.ca.pem",
        "oauthbearer_token_refresh_cb",
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "sasl.oauthbearer.assertion.private.key.pem",
        "sasl.oauthbearer.client.credentials.client.secret",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.config",
        "sasl.password",
        "ssl.ca.pem",
        "ssl.certificate.pem",
        "ssl.key.password",
        "ssl.key.pem",
        "ssl.keystore.password",
        "ssl_key",
    ]
    javas = ("sasl.jaas.config", "ssl.truststore.password", "ssl.keystore.key", "basic.auth.user.info")
    assert all(map(is_secret, javas))


# Taking secrets out of texts.

PEM = "-----BEGIN PRIVATE KEY-----\nAAAABBBBCCCC\nDDDDEEEE==\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("secrets", "text", "left"),
    [
        (["hunter2"], "SASL hunter2 hunter2x failed", "SASL <not shown> <not shown>x failed"),
        (["hunter2\n"], "no hunter2", "no <not shown>"),  # a file's line end is no part of what is logged
        (["hunt", "hunter2"], "hunter2 hunt", "<not shown> <not shown>"),
        (["abc"], "abc alphabet abc", "abc alphabet abc"),  # it would be in ordinary words
        ([" \n "], "a \n b", "a \n b"),
        ([PEM], "line AAAABBBBCCCC of -----BEGIN PRIVATE KEY-----", "line <not shown> of -----BEGIN PRIVATE KEY-----"),
        (["x" * 40 + "end"], "cut: " + "x" * 40 + "e...", "cut: <not shown>..."),
        (["shown>", "not s"], "shown> not s", "<not shown> <not shown>"),  # what was put in is not looked at again
        ([], "nothing", "nothing"),
    ],
)
def test_redact(secrets: list[str], text: str, left: str) -> None:
    """Secrets are replaced, the longest first, by lines, and also where a text was cut; short ones stay."""
    redactor = Redactor(dict.fromkeys(secrets, "<not shown>"))
    assert redactor.redact(text) == left
    assert not any(secret in repr(redactor) for secret in secrets)


@given(
    secrets=st.lists(st.text("abc", min_size=4), max_size=4), text=st.text("abc ", max_size=80), at=st.integers(0, 80)
)
def test_no_secret_is_left(secrets: list[str], text: str, at: int) -> None:
    """Whatever the secrets are and however they overlap, none of them is in the text that is left."""
    for secret in secrets:
        text = text[:at] + secret + text[at:]
    left = Redactor(dict.fromkeys(secrets, "*")).redact(text)
    assert not any(secret in left for secret in secrets)


# Errors and reprs.


def outcome(run: Callable[[], object]) -> str:
    """All that a run says: of an error text, repr, pickle and traceback, else the repr of what it returned."""
    try:
        return repr(run())
    except PenstockError as error:
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
        pickled = pickle.dumps(error).decode("latin-1")
        return "\n".join([str(error), repr(error), pickled, repr(copy), *traceback.format_exception(error)])


def preview(**settings: Any) -> Callable[[], object]:
    return lambda: list(penstock.preview(ROWS, **settings))


def test_an_option_from_a_reference_shows_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """The option is named as it was written, in errors of librdkafka's, of ours, and in pairs that contradict."""
    monkeypatch.setenv("M", MARKER)
    option = KafkaOption("sasl.username", MARKER, "orders.json: transport.config", "${env:M}")
    assert str(option) == "sasl.username=${env:M} (orders.json: transport.config)"
    for options in (
        {"compression.type": "${env:M}"}, {"linger.ms": "${env:M}"}, {"acks": "${env:M}"}, {"batch.size": "${env:M}"},
        {"enable.idempotence": "${env:M}"}, {"partitioner": "${env:M}"}, {"message.max.bytes": "${env:M}"},
        {"client.id": "${env:M}", "debug": "${env:M}"}, {"linger.ms": "${env:M}", "queue.buffering.max.ms": "4"},
    ):  # fmt: skip
        with pytest.raises(ConfigError) as raised:
            load(topic="t", kafka_options=options)
        assert MARKER not in str(raised.value) + repr(raised.value)
        assert "${env:M}" in str(raised.value)


def test_numbers_from_references_are_named_by_them_in_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning that quotes an option quotes the reference."""
    monkeypatch.setenv("M", "0000")
    warning = load(topic="t", kafka_options={"acks": "${env:M}"}).warnings[0]
    assert warning.startswith("acks=${env:M} (kafka_options or -X)")


@pytest.mark.parametrize("name", [name for name in sorted(filter(is_secret, property_table())) if "_" not in name])
def test_no_secret_option_is_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given as it is or as a reference, alone or beside what is wrong: the value is in no error and no repr."""
    monkeypatch.setenv("M", MARKER)
    for value in (MARKER, "${env:M}", [MARKER], {MARKER: MARKER}, f"{MARKER}\0"):
        for more in ({}, {"linger.ms": "x"}, {"sasl.mechanism": "OAUTHBEARER"}, {"security.protocol": "ssl"}):
            assert MARKER not in outcome(lambda: load(topic="t", kafka_options={name: value, **more}))  # noqa: B023


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_no_member_from_a_reference_is_shown(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever member of a format a reference gives, in whichever shape: nothing shows what it gave."""
    monkeypatch.setenv("M", MARKER)
    members = [name for name in FORMATS[form].__struct_fields__ if name != "referenced"]
    for name in members:
        for value in ("${env:M}", ["${env:M}"], {"a": "${env:M}"}):
            config = {"encoder": "json:dumps"} if form == "python" else {}
            config |= {"registry_urls": ["http://127.0.0.1:1"]} if name.startswith("registry") else {}
            given = {"name": form, "config": {**config, name: value}}
            for settings in ({}, {"index": "i", "relation": {"indexes": {"i": ["id"]}}}):
                run = preview(topic="t", format=given, **settings)
                said = outcome(run)
                assert MARKER not in said or "Message(" in said, (name, value)  # a message is made of its members
                loaded = outcome(lambda: load(topic="t", format=given))  # noqa: B023
                assert MARKER not in loaded
                if "Error" not in loaded:
                    assert MARKER not in repr(load(topic="t", format=given).format)


@pytest.mark.parametrize(
    "settings",
    [
        {"topic": {"sasl.password": MARKER}}, {"topic": [MARKER]}, {"topics": {"a": MARKER}}, {"key": {"a": MARKER}},
        {"workers": [MARKER]}, {"key_format": {"a": MARKER}}, {"relation": MARKER}, {"create_topic": [MARKER]},
        {"config": {"transport": {"name": {"a": MARKER}}}}, {"config": {"writer": {"key": [{"a": MARKER}]}}},
        {"config": {"transport": {"config": {"topic": "t", "headers": [{"key": {"a": MARKER}}]}}}},
        {"config": {"transport": {"config": {"topic": "t", "log_level": [MARKER]}}}},
        {"kafka_options": {"sasl.pasword": MARKER}}, {"format": {"name": "json", "config": {"array": [MARKER]}}},
        {"headers": [{"key": "a", "value": {"b": MARKER}}]}, {"headers": MARKER}, {"bootstrap_servers": {"a": MARKER}},
    ],
)  # fmt: skip
def test_what_stands_in_the_wrong_place_is_not_repeated(settings: dict[str, Any]) -> None:
    """Of a value with members an error says only what it is: a whole object may have slipped into the wrong place."""
    with pytest.raises(ConfigError) as raised:
        load(**{"topic": "t", **settings})
    assert MARKER not in str(raised.value)


def test_a_mistaken_reference_in_a_public_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A topic is public, but not what was taken for one by mistake."""
    monkeypatch.setenv("M", MARKER + "!")
    with pytest.raises(ConfigError, match=r'"\$\{env:M\}" is not a topic name'):
        load(topic="${env:M}")


def test_messages_of_start_and_token_hide_what_they_carry() -> None:
    """A traceback with locals shows neither options nor headers nor the token."""
    secret = {"configuration": [("sasl.password", MARKER)], "headers": [("k", MARKER.encode())]}
    rest = dict.fromkeys(("window_messages", "queue_bytes", "slab_bytes", "arena_bytes"), 1)
    start = control.Start(
        worker=1, librdkafka="lib", topics=["t"], initialization_timeout_secs=1.0, lanes=[1], **secret, **rest,  # type: ignore[arg-type]
    )  # fmt: skip
    assert repr(start) == "<Start of worker 1 for t>"
    assert MARKER not in repr(control.Token(MARKER, 1, extensions=[("a", MARKER)]))


@pytest.fixture
def own_log() -> Iterator[None]:
    """The log is afterwards as it was before main() set it up."""
    log = logging.getLogger("penstock")
    before = log.handlers[:], log.level, log.propagate
    yield
    log.handlers[:], log.level, log.propagate = before


@pytest.mark.usefixtures("own_log")
def test_a_literal_secret_on_the_command_line_is_warned_of(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """One warning names the options that others can read in `ps`; a reference is none, and neither is shown."""
    (tmp_path / "a.csv").write_text("id\n1\n")
    words = ["preview", str(tmp_path / "a.csv"), "-X", f"sasl.password={MARKER}", "-X", "ssl.key.password=${env:M}"]
    assert main([*words, "-X", f"ssl.keystore.password={MARKER}", "-X", "linger.ms=4"]) == 0
    _, err = capsys.readouterr()
    (line,) = [line for line in err.splitlines() if "warning" in line]
    assert line.startswith("penstock: warning: -X sasl.password, -X ssl.keystore.password: ")
    assert "'${env:NAME}'" in line
    form = '{"name": "avro", "config": {"registry_username": "a", "registry_password": "%s"}}'
    assert main([*words[:2], "--format", form % MARKER]) == 2  # there is no registry
    said = capsys.readouterr().err
    assert "warning: --format registry_password: " in said
    assert MARKER not in said
    assert main([*words[:2], "--format", form % "${env:PATH}"]) == 2
    assert main([*words[:2], "-X", "ssl.key.password=${env:M}"]) == 0
    for end in ("", "=", "=="):  # base64, perhaps
        for command in (words[:2], ["check", "--topic", "t"]):
            assert main([*command, "-X", f"sasl.password:{MARKER}{end}"]) == 2
    assert main([*words[:2], "-X", f"sasl.password={MARKER}", "-X", f"sasl.password={MARKER}x"]) == 2
    later = "".join(capsys.readouterr())
    assert "warning" not in later
    assert MARKER not in err + later


# What workers say.


class _Said:
    """Workers that have said these things, and are none."""

    def __init__(self, *messages: control.FromWorker) -> None:
        self.messages = messages

    def receive(self, _: float) -> Any:
        return ((0, message) for message in self.messages)

    def dead(self) -> list[Any]:
        return []

    pids = dead

    def close(self, *, kill: bool) -> None:
        """There is nobody to end."""


@pytest.fixture
def coordinator(mock: MockCluster) -> Iterator[Callable[..., Coordinator]]:
    """Open coordinators of one worker that says what is given: coordinator(message, …, workers=1)."""
    opened = []

    def make(*messages: control.FromWorker, workers: int = 1) -> Coordinator:
        made = Coordinator(
            load(
                topic="orders",
                bootstrap_servers=mock.bootstrap_servers,
                kafka_options={"sasl.password": MARKER, "ssl.key.pem": PEM},
                headers=[{"key": "k", "value": "literal"}],
                max_restarts_per_min=0,
                workers=0,
            )
        )
        opened.append(made)
        made._workers.close(kill=True)
        made._workers._crew = _Said(*messages)  # type: ignore[assignment]
        made._workers.processes = workers
        return made

    yield make
    for made in opened:
        made.close(kill=True)


def test_lines_of_the_log_have_level_worker_and_no_secret(
    coordinator: Callable[..., Coordinator], caplog: pytest.LogCaptureFixture
) -> None:
    """Levels are the connector's, each line names its worker, what was dropped is counted, secrets are taken out."""
    caplog.set_level(logging.DEBUG, "penstock.librdkafka")
    lines = [(level, "FAC", f"level {level} {MARKER} DDDDEEEE== literal") for level in range(8)]
    coordinator(control.Log(lines, 5)).poll(0)
    assert [record.levelname for record in caplog.records] == [
        "ERROR", "ERROR", "ERROR", "ERROR", "WARNING", "INFO", "INFO", "DEBUG", "WARNING",
    ]  # fmt: skip
    assert caplog.messages[0] == "worker 0: FAC: level 0 <not shown> <not shown> literal"
    assert caplog.messages[-1].startswith("worker 0: 5 lines were dropped")
    caplog.clear()
    coordinator(control.Log(lines[:1]), workers=0).poll(0)
    assert caplog.messages == ["FAC: level 0 <not shown> <not shown> literal"]


def test_what_librdkafka_says_of_failures_has_no_secret(coordinator: Callable[..., Coordinator]) -> None:
    """Neither a producer that cannot go on nor one that is refused repeats a secret."""
    failing = coordinator(control.Failing("_FATAL", f"bad {MARKER}"))
    failing.poll(0)
    assert "bad <not shown>" in str(failing.failure)
    for kind in ("config", "topic", "broker", "transaction"):
        made = coordinator(control.Refused(kind, "_X", f"bad {MARKER}", "t"))
        ((_, message),) = made._workers.receive(0)
        assert isinstance(message, control.Refused)
        assert "bad <not shown>" in str(refused(message, made.config))
    committed = control.redacted(control.Committed(0, 1, "_X", f"bad {MARKER}"), Redactor({MARKER: "*"}).redact)
    assert committed.text == "bad *"
    ack = control.Ack(0, [], [(-1, "_X", 1, 1, f"bad {MARKER}")], 0, 0, (0, "a", MARKER))
    said = control.redacted(ack, Redactor({MARKER: "*"}).redact)
    assert (said.errors[0][4], said.failure) == ("bad *", (0, "a", "*"))


class _Chatty:
    """A producer that has logged 400 lines."""

    def log(self) -> list[tuple[int, str, str]]:
        lines, self.log = [(7, "FAC", "x" * 2000)] * 400, list  # type: ignore[method-assign,assignment]
        return lines


def test_lines_that_nobody_reads_are_counted() -> None:
    """A coordinator that is late costs lines, never a wait; the next packet says how many."""
    work = Work(control.Start(0, "", [], ["t"], [], 1, 1, 1, 1, 1.0, [0]), 0, check_signals=False)
    work._producers[0] = _Chatty()  # type: ignore[assignment]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 100_000)  # room for two packets of 64 lines or so
        for message in work._log():
            worker._send(work, theirs, message)
        ours.setblocking(False)
        counts = []
        with contextlib.suppress(BlockingIOError):
            while True:
                packet = control.decode_from_worker(ours.recv(1 << 20))
                assert isinstance(packet, control.Log)
                counts.append((len(packet.lines), packet.dropped))
        assert counts[0] == (64, 0)
        untold = [(len(packet.lines), packet.dropped) for packet in work._log()]
        assert sum(lines + dropped for lines, dropped in counts + untold) == 400
        assert sum(dropped for _, dropped in counts + untold) >= 64
        assert list(work._log()) == []


def test_the_user_of_an_address_is_not_shown() -> None:
    """An option that is an address is shown, but not who asks there."""
    option = KafkaOption("sasl.oauthbearer.token.endpoint.url", f"https://me:{MARKER}@idp/token", "place")
    assert str(option) == "sasl.oauthbearer.token.endpoint.url=https://<not shown>@idp/token (place)"
