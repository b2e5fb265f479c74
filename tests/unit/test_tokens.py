"""tokens: made, renewed in time, handed to the workers; and what is said when they cannot be made."""

from __future__ import annotations

import asyncio
import base64
import functools
import logging
import math
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlparse

import pytest

from penstock import cluster, control, crew, produce, tokens, worker
from penstock.arena import Arena
from penstock.config import load
from penstock.config.kafka.login import TokenCallback
from penstock.coordinator import Coordinator
from penstock.errors import ConfigError, ConnectError
from penstock.tokens import Tokens, open_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OAUTH = {"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"}


# Renewal, with a clock of our own: waiting for it is what moves it.


class Clock:
    """Time of day, and the event that ends the job at `end`."""

    def __init__(self, end: float) -> None:
        self.now, self.end = 1000.0, 1000 + end

    def __call__(self) -> float:
        return self.now

    def wait(self, timeout: float) -> bool:
        self.now = min(self.now + timeout, self.end)
        return self.is_set()

    def is_set(self) -> bool:
        return self.now >= self.end

    def set(self) -> None:
        self.end = self.now


class Source:
    """Tokens that live so many seconds, named by when they were made; `broken` says when there are none."""

    def __init__(self, clock: Clock, life: float, broken: Callable[[float], str] = lambda _: "") -> None:
        self.clock, self.life, self.broken = clock, life, broken
        self.tried: list[float] = []

    def __call__(self) -> control.Token:
        at = self.clock.now - 1000
        self.tried.append(round(at, 1))
        if self.broken(at):
            raise tokens._NoTokenError(self.broken(at))
        return control.Token(f"at {at:.1f}", int((self.clock.now + self.life) * 1000))


def run(end: float, life: float, broken: Callable[[float], str] = lambda _: "") -> tuple[Tokens, Source, list[str]]:
    """Keep tokens until `end`; what was delivered."""
    clock = Clock(end)
    source = Source(clock, life, broken)
    kept = Tokens("the source", source, clock=clock, closing=clock)  # type: ignore[arg-type]
    kept.first()
    delivered: list[str] = []
    kept.keep(lambda token: delivered.append(token.text))
    assert kept._thread is not None
    kept._thread.join(5)
    assert not kept._thread.is_alive()
    return kept, source, delivered


def test_a_token_is_renewed_at_four_fifths_of_its_life() -> None:
    """900 s: every 720 s, though the clock is looked at each minute; each new one is delivered and is the current."""
    kept, source, delivered = run(2000, 900)
    assert source.tried == [0.0, 720.0, 1440.0]
    assert delivered == ["at 720.0", "at 1440.0"]
    assert kept.current is not None
    assert (kept.current.text, kept.last_failure) == ("at 1440.0", None)


@pytest.mark.parametrize(
    ("life", "tried"),
    [(900, [720, 730, 740, 750]), (100, [80, 85, 88.8, 91.6, 93.7]), (12, [9.6, 10.6, 11.6, 12.6, 22.6, 32.6])],
)
def test_a_renewal_that_failed_is_tried_again(life: float, tried: list[float]) -> None:
    """After 10 s, sooner when little time is left, and every 10 s once none is; what is made then is delivered."""
    _, source, delivered = run(tried[-1] + 0.5, life, lambda at: "no" if 0 < at < tried[-1] - 0.1 else "")
    assert source.tried == pytest.approx([0, *tried])
    assert delivered == [f"at {tried[-1]:.1f}"]


def test_a_failure_is_reported_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """One warning when renewal fails, one when the token has expired, one when there is a new one."""

    def broken(at: float) -> str:
        return "" if at == 0 or at > 950 else "the profile is gone"

    kept, _, delivered = run(1000, 900, broken)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "the source: no new token: the profile is gone; the one in use expires at 1970-01-01 00:31:40 UTC",
        "the source: no new token: the profile is gone; the one in use expired at 1970-01-01 00:31:40 UTC",
        f"the source: there is a new token again, good until {tokens._utc(kept.current)}",  # type: ignore[arg-type]
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert {record.name for record in caplog.records} == {"penstock"}
    assert (len(delivered), kept.last_failure) == (1, None)


def test_the_last_failure_is_kept_for_the_errors_that_follow() -> None:
    """While renewal fails, last_failure says why, and the current token stays."""
    kept, _, delivered = run(750, 900, lambda at: "the profile is gone" if at else "")
    assert (kept.last_failure, delivered) == ("the profile is gone", [])
    assert kept.current is not None
    assert kept.current.text == "at 0.0"


def test_the_first_token_is_made_once() -> None:
    """first() gives the token that is there until it is to be renewed."""
    clock = Clock(math.inf)
    source = Source(clock, 100)
    kept = Tokens("the source", source, clock=clock, closing=clock)  # type: ignore[arg-type]
    assert kept.first() is kept.first()
    clock.now += 81
    assert kept.first().text == "at 81.0"
    assert source.tried == [0.0, 81.0]


def test_a_first_token_that_cannot_be_made_is_an_error() -> None:
    """No token, or one that has expired already: ConnectError with the cause, and it may be asked for again."""
    clock = Clock(math.inf)
    kept = Tokens("the source", Source(clock, 100, lambda _: "no credentials"), clock=clock)
    for _ in range(2):
        with pytest.raises(ConnectError, match=r"^the source: no token to log in with: no credentials$"):
            kept.first()
    assert kept.last_failure == "no credentials"
    with pytest.raises(ConnectError, match="expired 5 s ago; check the clock"):
        Tokens("the source", Source(clock, -5), clock=clock).first()


def test_the_lifetime_can_be_cut_for_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """LONGEST_LIFE_SECS shortens what the signer says: it is what librdkafka is told, and what is renewed by."""
    monkeypatch.setattr(tokens, "LONGEST_LIFE_SECS", 12.0)
    kept, source, _ = run(20, 900)
    assert source.tried == [0.0, 9.6, 19.2]
    assert kept.current is not None
    assert kept.current.expires_ms == 1031200


def test_close_ends_the_thread_and_nothing_is_delivered_after() -> None:
    """close() waits for a thread that sleeps, and not for a function that hangs, whose token is then let go."""
    started, release = threading.Event(), threading.Event()
    made = iter([control.Token("first", int(time.time() * 1000) + 10)])

    def make() -> control.Token:
        for token in made:
            return token
        started.set()
        release.wait(5)
        return control.Token("late", int(time.time() * 1000) + 1000)

    delivered: list[control.Token] = []
    kept = Tokens("the source", make)
    kept.first()
    kept.keep(delivered.append)
    assert started.wait(5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens, "_JOIN_SECS", 0.01)
        kept.close()
    release.set()
    assert kept._thread is not None
    kept._thread.join(5)
    assert not kept._thread.is_alive()
    assert delivered == []

    sleeping = Tokens("the source", lambda: control.Token("t", int(time.time() * 1000) + 900_000))
    sleeping.first()
    sleeping.keep(delivered.append)
    begun = time.monotonic()
    sleeping.close()
    sleeping.close()
    assert time.monotonic() - begun < 0.5
    assert sleeping._thread is not None
    assert not sleeping._thread.is_alive()


# The user's function.


def by(function: Any, options: dict[str, str] | None = None) -> Tokens:
    made = open_tokens(load(topic="t", kafka_options={**OAUTH, **(options or {})}, oauth_cb=function))
    assert made is not None
    return made


SOON = time.time() + 3600


@pytest.mark.parametrize(
    ("answer", "token"),
    [
        (("abc", SOON), control.Token("abc", int(SOON * 1000))),
        (("abc", int(SOON)), control.Token("abc", int(SOON) * 1000)),
        (("abc", SOON, "ada"), control.Token("abc", int(SOON * 1000), "ada")),
        (("abc", SOON, "ada", {"a": "1 2"}), control.Token("abc", int(SOON * 1000), "ada", [("a", "1 2")])),
        (["abc", SOON, None, None], control.Token("abc", int(SOON * 1000))),
    ],
)
def test_a_function_returns_what_confluent_kafkas_does(answer: Any, token: control.Token) -> None:
    """Token and expiry in seconds, then principal and extensions if wanted; it is called with the option's text."""
    asked: list[str] = []

    def function(argument: str) -> Any:
        asked.append(argument)
        return answer

    assert by(function, {"sasl.oauthbearer.config": "a=b"}).first() == token
    assert by(function).first() == token
    assert asked == ["a=b", ""]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "returned NoneType, not (token, expires)"),
        (("hunter2",), "returned tuple, not (token"),
        (("hunter2", SOON, "p", {}, 5), "returned tuple, not (token"),
        (("hunter2\n", SOON), "token is not a text of visible ASCII"),
        (("", SOON), "token is not"),
        ((b"hunter2", SOON), "token is not"),
        (("hunter2", SOON, 5), "principal is not a text"),
        (("hunter2", SOON, "", ["a"]), "extensions are not"),
        (("hunter2", SOON, "", {"auth": "x"}), "none of them auth"),
        (("hunter2", SOON, "", {"a1": "x"}), "of letters"),
        (("hunter2", SOON, "", {"a": "\0"}), "ASCII characters"),
        (("hunter2", "soon"), "does not say when the token expires"),
        (("hunter2", math.nan), "does not say when the token expires"),
        (("hunter2", SOON * 1000), "looks like milliseconds; return seconds"),
        (("hunter2", time.time() - 9), " s ago; check the clock"),
    ],
)
def test_what_a_function_returns_is_looked_at_first(answer: Any, words: str) -> None:
    """librdkafka would show a token that it refuses, or take milliseconds: here it is one sentence without it."""
    with pytest.raises(ConnectError) as caught:
        by(lambda _: answer).first()
    assert words in str(caught.value)
    assert str(caught.value).startswith('oauth_cb "test_what_a_function_returns')
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("error", [OSError("idp is down, secret=hunter2, hunter3\nmore"), SystemExit(3)])
def test_what_a_function_raises_is_told_without_its_secret(error: BaseException) -> None:
    """The first line of it, without what it was given; the exception itself is the cause."""

    def function(_: str) -> Any:
        raise error

    with pytest.raises(ConnectError, match=r"secret=<not shown>, hunter3|: 3$"):
        by(function, {"sasl.oauthbearer.config": "hunter2"}).first()

    with pytest.raises(ConnectError) as caught:
        by(function, {"sasl.oauthbearer.config": 'a=hunter2, b="hunter3"'}).first()
    expected = (
        "OSError: idp is down, secret=<not shown>, <not shown>" if isinstance(error, OSError) else "SystemExit: 3"
    )
    assert str(caught.value).endswith(f"it raised {expected}")
    assert caught.value.__cause__ is error


def test_what_ends_a_thread_of_others_does_not_end_ours() -> None:
    """asyncio's CancelledError is no Exception: in our thread it is a failure, in the caller's it is his."""
    assert not issubclass(asyncio.CancelledError, Exception)

    def cancelled(_: str) -> Any:
        raise asyncio.CancelledError

    call = functools.partial(tokens._call, cancelled, TokenCallback(cancelled, ""))
    with pytest.raises(asyncio.CancelledError):
        call()
    with ThreadPoolExecutor(1) as pool, pytest.raises(tokens._NoTokenError, match="it raised CancelledError"):
        pool.submit(call).result()


def test_a_function_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """ "module:function" on sys.path; one that is not there is a ConfigError before anything starts."""
    (tmp_path / "login_of_test.py").write_text("def token(config):\n    return 'abc', 4e9\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert by("login_of_test:token").first() == control.Token("abc", 4_000_000_000_000)
    with pytest.raises(ConfigError, match=r'^oauth_cb "login_of_test:tokn": .* did you mean "token"'):
        by("login_of_test:tokn")
    assert open_tokens(load(topic="t")) is None


# AWS MSK IAM.


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home of its own: no credentials, no profile, no metadata service, no region."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
                 "AWS_SESSION_TOKEN", "AWS_CONFIG_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN",
                 "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return tmp_path


def iam(**settings: str) -> Tokens:
    made = open_tokens(load(topic="t", kafka_options=OAUTH, region="eu-west-1", **settings))
    assert made is not None
    return made


def signed(token: control.Token) -> dict[str, str]:
    """What a broker reads in a token: host and parameters of the signed URL."""
    url = urlparse(base64.urlsafe_b64decode(token.text + "=" * (-len(token.text) % 4)).decode())
    return {"host": url.netloc, **{name: values[0] for name, values in parse_qs(url.query).items()}}


def test_a_token_is_a_url_that_the_environment_signed(aws: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    """Credentials in the environment sign a request to the region's cluster, good for the signer's 900 s."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session")
    token = iam().first()
    url = signed(token)
    assert url["host"] == "kafka.eu-west-1.amazonaws.com"
    assert url["Action"] == "kafka-cluster:Connect"
    assert url["X-Amz-Credential"].split("/")[0::2] == ["AKIDEXAMPLE", "eu-west-1", "aws4_request"]
    assert url["X-Amz-Security-Token"] == "session"
    assert 895 < token.expires_ms / 1000 - time.time() <= 900
    assert (token.principal, token.extensions) == ("", [])


def test_credentials_come_from_the_profile_in_use(aws: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """~/.aws/credentials: the default profile, or the one that AWS_PROFILE names, read anew for each token."""
    entry = "[{}]\naws_access_key_id = {}\naws_secret_access_key = hunter2\n"
    (aws / "credentials").write_text(entry.format("default", "AKIDDEFAULT") + entry.format("other", "AKIDOTHER"))
    assert signed(iam().first())["X-Amz-Credential"].startswith("AKIDDEFAULT/")
    monkeypatch.setenv("AWS_PROFILE", "other")
    assert signed(iam().first())["X-Amz-Credential"].startswith("AKIDOTHER/")


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "boto3 finds no AWS credentials, neither in the environment (AWS_ACCESS_KEY_ID"),
        ({"AWS_PROFILE": "nobody"}, "The config profile (nobody) could not be found"),
        ({"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE"}, "Partial credentials found in env, missing: AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_credentials_that_are_not_there_are_named(
    aws: Path,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    words: str,
) -> None:
    """Without credentials the error says where they were looked for, or what boto3 says."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConnectError, match=r"^AWS MSK IAM, region eu-west-1: no token to log in with: ") as caught:
        iam().first()
    assert words in str(caught.value)
    assert caught.value.__cause__ is None


class Service:
    """AWS's token service, as botocore's client sees it."""

    def __init__(self, answer: object) -> None:
        self.answer, self.asked = answer, {}

    def assume_role(self, **asked: str) -> object:
        self.asked = asked
        logging.getLogger("botocore.parsers").debug("Response body: hunter2")
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_a_role_signs_in_the_clusters_region(
    aws: Path,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """aws_role_arn is assumed where the cluster is, its credentials sign, and no log says them, at any level."""
    from botocore.exceptions import ClientError
    from botocore.session import Session

    keys = {"AccessKeyId": "ASIAROLE", "SecretAccessKey": "hunter2", "SessionToken": "hunter3"}
    service = Service({"Credentials": keys})

    def create_client(session: Any, name: str) -> Service:
        assert (name, session.get_config_variable("region")) == ("sts", "eu-west-1")
        return service

    monkeypatch.setattr(Session, "create_client", create_client)
    kept = iam(aws_role_arn="arn:aws:iam::1:role/r")
    with caplog.at_level(logging.DEBUG):
        url = signed(kept.first())
    assert url["X-Amz-Credential"].startswith("ASIAROLE/")
    assert url["X-Amz-Security-Token"] == "hunter3"
    assert service.asked == {"RoleArn": "arn:aws:iam::1:role/r", "RoleSessionName": "penstock"}
    assert "hunter" not in caplog.text
    assert url["X-Amz-Signature"] not in caplog.text

    said = {"Error": {"Code": "SignatureDoesNotMatch", "Message": "It does not match.\n\nThe string was hunter4"}}
    service.answer = ClientError(said, "AssumeRole")
    with pytest.raises(ConnectError, match=r"SignatureDoesNotMatch.*It does not match\.$") as caught:
        iam(aws_role_arn="arn:aws:iam::1:role/r").first()
    assert caught.value.__cause__ is None


# The way to the workers.


class Producer:
    """What a worker has of _core.Producer here; `refuse` makes it say so."""

    def __init__(self, refuse: str = "") -> None:
        self.refuse = refuse
        self.tokens: list[tuple[str, int, str, list[tuple[str, str]]]] = []

    def set_token(self, token: str, expires_ms: int, principal: str, extensions: list[tuple[str, str]]) -> None:
        self.tokens.append((token, expires_ms, principal, extensions))
        if self.refuse:
            raise ValueError(self.refuse)

    def close(self) -> None:
        """Nothing to let go."""


START: Any = functools.partial(
    control.Start, worker=0, librdkafka="", configuration=[], topics=["t"], headers=[], window_messages=1,
    queue_bytes=1, slab_bytes=1, arena_bytes=1, initialization_timeout_secs=1.0, lanes=[0],
)  # fmt: skip
TOKEN = control.Token("hunter2", 5, "ada", [("a", "1")])


def test_a_token_reaches_a_process_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first comes with the Start, later ones by a channel of their own; the command line shows none."""
    echo = (
        "import sys, socket, msgspec; sys.path[:] = sys.argv[1].split(chr(0x1F)); from penstock import control\n"
        "start = msgspec.msgpack.decode(sys.stdin.buffer.read()[control.SIZE_BYTES :], type=control.Start)\n"
        "channel, tokens = (socket.socket(fileno=int(sys.argv[i])) for i in (3, 5))\n"
        "for token in (start.token, control.decode_token(tokens.recv(1 << 20))):\n"
        "    channel.send(control.encode(control.Log([(0, token.principal, token.text)])))\n"
    )
    monkeypatch.setattr(crew, "_BOOT", echo)
    arena = Arena(1 << 20)
    workers = crew.ProcessCrew(1, arena)
    try:
        workers.spawn(tokens=True)
        workers.start([START(token=TOKEN)])
        workers.renew(control.Token("hunter3", 6))
        said: list[object] = []
        while len(said) < 2:
            said += [message.lines for _, message in workers.receive(5)]  # type: ignore[union-attr]
        assert said == [[(0, "ada", "hunter2")], [(0, "", "hunter3")]]
        (process,) = workers._processes
        assert "hunter" not in " ".join(process.args)  # type: ignore[arg-type]
        process.wait(5)
        workers.renew(TOKEN)  # to one that has ended: no error
    finally:
        workers.close(kill=True)
        arena.close()
    workers.renew(TOKEN)


def test_renewing_never_waits_for_a_worker() -> None:
    """A worker that does not read, however long: renew returns."""
    workers = crew.ProcessCrew(1, None)  # type: ignore[arg-type]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    workers._token_channels.append(ours)
    with ours, theirs:
        for _ in range(1000):
            workers.renew(control.Token("x" * 2000, 1))
        assert control.decode_token(theirs.recv(1 << 20)).text == "x" * 2000


@pytest.fixture
def taking() -> Iterator[Callable[[Producer], tuple[socket.socket, socket.socket]]]:
    """The worker's thread of a producer, in this process; its channels as the coordinator has them."""
    opened: list[socket.socket] = []

    def start(producer: Producer) -> tuple[socket.socket, socket.socket]:
        work = worker.Work(START(), 0, check_signals=False)
        work._producers[0] = producer  # type: ignore[assignment]
        tokens_ours, tokens_theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        opened.extend((tokens_ours, ours, theirs))
        worker._take_tokens(work, tokens_theirs.detach(), theirs)
        return tokens_ours, ours

    yield start
    for one in opened:
        one.close()
    for thread in threading.enumerate():
        if thread.name == "penstock-tokens":
            thread.join(5)
            assert not thread.is_alive()


def test_a_worker_takes_tokens_while_it_does_other_things(taking: Any) -> None:
    """The worker's own thread gives each token to librdkafka; one that is refused is told as a log line."""
    producer = Producer(refuse="Must supply an unexpired token")
    channel, said = taking(producer)
    channel.send(control.encode(TOKEN))
    message = control.decode_from_worker(said.recv(1 << 20))
    assert producer.tokens == [("hunter2", 5, "ada", [("a", "1")])]
    assert message == control.Log(
        [(4, "TOKEN", "librdkafka refuses the token to log in with: Must supply an unexpired token")]
    )


def test_the_first_token_is_set_before_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """make_producer gives the producer its token, or says that librdkafka refuses it; without one it sets none."""
    producer = Producer()
    monkeypatch.setattr(produce._core, "load_librdkafka", lambda _: None)
    monkeypatch.setattr(produce._core, "Producer", lambda **_: producer)
    assert produce.make_producer(START(), 0, check_signals=False) is producer  # type: ignore[comparison-overlap]
    assert producer.tokens == []
    assert produce.make_producer(START(token=TOKEN), 0, check_signals=False) is producer  # type: ignore[comparison-overlap]
    assert producer.tokens == [("hunter2", 5, "ada", [("a", "1")])]
    producer.refuse = "expired"
    refused = produce.make_producer(START(token=TOKEN), 0, check_signals=False)
    assert refused == control.Refused("token", "_INVALID_ARG", "librdkafka refuses the token to log in with: expired")


def test_a_job_keeps_its_tokens_from_start_to_close(mock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The coordinator asks for the first token, has later ones set while it runs, and ends the thread with itself."""
    mock.create_topic("login", 1)
    seen: list[str] = []
    second = threading.Event()

    def set_token(_: object, token: control.Token) -> None:
        seen.append(token.text)
        if len(seen) == 2:
            second.set()

    monkeypatch.setattr(produce, "set_token", set_token)
    monkeypatch.setattr(worker, "set_token", set_token)
    monkeypatch.setattr(cluster, "set_token", lambda *_: None)
    numbers = iter(range(1000))
    kept = Tokens("test", lambda: control.Token(str(next(numbers)), int(time.time() * 1000) + 60))
    config = load(topic="login", bootstrap_servers=mock.bootstrap_servers, workers=0)
    job = Coordinator(config, kept)
    try:
        assert second.wait(5)
    finally:
        job.close()
    assert int(seen[0]) < int(seen[1])
    assert kept._thread is not None
    assert not kept._thread.is_alive()


def test_no_token_is_no_thread() -> None:
    """A worker that needs no tokens does not even import threading, and shows none in its messages."""
    code = "import sys, penstock.worker; print('threading' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert "hunter2" not in repr(START(token=TOKEN))
