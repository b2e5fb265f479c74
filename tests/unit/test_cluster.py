"""cluster: what is asked of the brokers before the first row, of a client that answers as told."""

from __future__ import annotations

import _thread
import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from penstock import _core, listener, produce
from penstock import explain as explaining
from penstock.cluster import Cluster, Topic, within_limits
from penstock.config import load
from penstock.control import Token
from penstock.errors import ConfigError, ConnectError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock._core import MockCluster
    from penstock.config import Config

UNKNOWN, EXISTS, NOT_CONTROLLER, TIMED_OUT, DENIED, INVALID, POLICY = 3, 36, 41, -185, 29, 40, 44
WRITE, DESCRIBE = 4, 8


class Answers:
    """In the place of _core.Admin: each call gives the next of its answers, the last one for ever.

    asked  names of the calls
    """

    has_controller = True

    def __init__(self, **answers: list[Any]) -> None:
        self.answers = {
            "brokers": [(0, [(1, "b", 9092)])],
            "connect": [True],
            "topic_config": [(0, "", {})],
            "errors": [[]],
            **answers,
        }
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def answer(*_: object) -> Any:
            self.asked.append(name)
            left = self.answers.get(name, [[]])
            return left.pop(0) if len(left) > 1 else left[0]

        return answer


def config(**settings: Any) -> Config:
    return load(topic="orders", bootstrap_servers="b:9092", **settings)


@contextlib.contextmanager
def asking(monkeypatch: pytest.MonkeyPatch, answers: Answers, **settings: Any) -> Iterator[Cluster]:
    monkeypatch.setattr(_core, "Admin", lambda **_: answers)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with Cluster(config(**settings)) as found:
        yield found
    assert answers.asked[-1] == "close"


MISSING = (UNKNOWN, "", 0, None)
THERE = (0, "", 3, [DESCRIBE, WRITE])


@pytest.mark.parametrize(
    ("answers", "made"),
    [
        ([(0, "")], True),
        ([(EXISTS, "")], False),  # another client was faster
        ([(NOT_CONTROLLER, ""), (TIMED_OUT, ""), (0, "")], True),
        ([(TIMED_OUT, ""), (EXISTS, "")], False),  # made after all
    ],
)
def test_a_topic_is_made_whoever_is_the_controller(
    answers: list[Any], *, made: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that is not the controller any more, or slow, is asked again; that it exists by then is as good."""
    told = Answers(describe_topic=[MISSING, THERE], create_topic=[*answers], partitions=[(3, 0)])
    with asking(monkeypatch, told, create_topic={"partitions": 3}) as found:
        assert found.topic("orders") == Topic("orders", 3, (DESCRIBE, WRITE), {}, made=made)
    assert told.asked.count("create_topic") == len(answers)
    assert told.asked.count("brokers") == len(answers) - 1


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (DENIED, "the broker does not let this login; ask for an ACL that allows CREATE, or for the topic itself ("),
        (INVALID, "Unknown topic config name: x (INVALID_CONFIG)"),
    ],
)
def test_a_topic_that_cannot_be_made(code: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence has the broker's reason; without the right to it, what to ask for. It is asked once."""
    told = Answers(describe_topic=[MISSING], create_topic=[(code, "Unknown topic config name: x")])
    with (
        asking(monkeypatch, told, create_topic={"partitions": 3}) as found,
        pytest.raises(ConnectError, match="does not exist, and could not be made: ") as caught,
    ):
        found.topic("orders")
    assert words in str(caught.value)
    assert told.asked.count("create_topic") == 1


def test_the_progress_topic_is_made(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Without create_topic too; when it is only looked at it is not made, and one that is not compacted is told."""
    settings = (0, "", {"cleanup.policy": "compact"})
    told = Answers(
        describe_topic=[MISSING, THERE], create_topic=[(0, "")], partitions=[(1, 0)], topic_config=[settings]
    )
    with asking(monkeypatch, told, job="j", progress_topic="p") as found:
        assert found.progress_topic() == Topic("p", 1, (DESCRIBE, WRITE), settings[2], made=True)
    assert caplog.text == ""
    told = Answers(describe_topic=[MISSING])
    with asking(monkeypatch, told, job="j") as found, pytest.raises(ConnectError, match='topic "penstock-progress"'):
        found.progress_topic(make=False)
    assert "create_topic" not in told.asked
    told = Answers(describe_topic=[THERE], topic_config=[(0, "", {"cleanup.policy": "delete"})])
    with asking(monkeypatch, told, job="j") as found:
        assert not found.progress_topic().made
    assert "is not compacted (cleanup.policy=delete): what jobs record there is deleted in time" in caplog.text


@pytest.mark.parametrize("code", [INVALID, POLICY])
def test_a_broker_that_sets_the_size_of_segments_itself(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes the progress topic in its own way; what it refuses then too is told."""
    refused = (code, "segment.bytes is not yours to set")
    told = Answers(describe_topic=[MISSING, THERE], create_topic=[refused, (0, "")], partitions=[(1, 0)])
    with asking(monkeypatch, told, job="j") as found:
        assert found.progress_topic().made
    assert told.asked.count("create_topic") == 2
    told = Answers(describe_topic=[MISSING], create_topic=[refused, (code, "no compacted topics")])
    with asking(monkeypatch, told, job="j") as found, pytest.raises(ConnectError, match="made: no compacted topics"):
        found.progress_topic()
    assert told.asked.count("create_topic") == 2


def test_no_controller_until_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that never finds a controller ends with initialization_timeout_secs."""
    told = Answers(describe_topic=[MISSING], create_topic=[(NOT_CONTROLLER, "")])
    with asking(monkeypatch, told, create_topic={"partitions": 3}) as found:
        found._deadline = time.monotonic() + 0.05
        with pytest.raises(ConnectError, match="NOT_CONTROLLER"):
            found.topic("orders")


def test_settings_that_may_not_be_read_are_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """DescribeConfigs denied: the topic is used without its limits, and says why."""
    told = Answers(describe_topic=[THERE], topic_config=[(DENIED, "Topic authorization failed.", {})])
    with asking(monkeypatch, told) as found:
        topic = found.topic("orders")
    assert (topic.config, topic.untold) == ({}, "Topic authorization failed.")
    assert within_limits(config(), [topic]) == config()


@pytest.mark.parametrize(
    ("operations", "allowed"), [(None, True), ([WRITE], True), ([2], True), ([DESCRIBE], False), ([], False)]
)
def test_a_topic_that_may_not_be_written_is_an_error(
    operations: list[int] | None, *, allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WRITE or ALL is needed where the broker tells what a login may do."""
    with (
        asking(monkeypatch, Answers(describe_topic=[(0, "", 3, operations)])) as found,
        contextlib.nullcontext() if allowed else pytest.raises(ConnectError, match="ACL that allows WRITE"),
    ):
        assert found.topic("orders").partitions == 3


@pytest.mark.parametrize(
    ("limits", "given", "lowered"),
    [
        ([2_000_000], 1_000_000, None),
        ([1_048_588], 2_000_000, 1_048_460),
        ([1_048_588, 500_000], 2_000_000, 499_872),  # the least
        ([1_000_128], 1_000_000, None),
    ],
)
def test_messages_are_as_small_as_the_topics_want_them(limits: list[int], given: int, lowered: int | None) -> None:
    """message.max.bytes becomes the least limit less 128, unless it is lower already."""
    before = config(kafka_options={"message.max.bytes": given})
    topics = [Topic(f"t{n}", 1, None, {"max.message.bytes": str(limit)}) for n, limit in enumerate(limits)]
    assert within_limits(before, topics).kafka["message.max.bytes"] == str(lowered or given)


def test_addresses_of_ipv6_can_be_visited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brokers tell their host without brackets, which an address needs."""
    with asking(monkeypatch, Answers(brokers=[(0, [(1, "::1", 9092), (2, "b", 9093)])])) as found:
        assert found.brokers() == ["[::1]:9092", "b:9093"]


def test_a_token_that_is_refused_leaves_no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """librdkafka refuses the token: ConnectError, and the client is closed already."""
    closed: list[str] = []

    class Refusing(Answers):
        def set_token(self, *_: object) -> None:
            raise ValueError("no")

        def close(self) -> None:
            closed.append("closed")

    monkeypatch.setattr(_core, "Admin", lambda **_: Refusing())
    with pytest.raises(ConnectError, match="refuses the token to log in with: no"):
        Cluster(config(), Token("x", 1))
    assert closed == ["closed"]


def test_options_that_exclude_each_other_are_a_config_error() -> None:
    """What only librdkafka finds wrong with the options together is told in its words."""
    with pytest.raises(ConfigError, match="librdkafka refuses the configuration: "):
        Cluster(config(kafka_options={"security.protocol": "SSL", "ssl.cipher.suites": "nonsense"}))


def test_the_cause_is_looked_for_before_a_short_time_is_over() -> None:
    """A listener that never answers: librdkafka says nothing for 10 s, and yet the error of 1 s tells what is there."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        with (
            Cluster(load(topic="orders", bootstrap_servers=address, initialization_timeout_secs=1)) as found,
            pytest.raises(ConnectError, match="takes connections but answers neither plaintext nor TLS"),
        ):
            found.connect()
        assert time.monotonic() - began < 4


def test_nobody_waits_for_visits_that_were_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while addresses are visited is raised at once, whatever they still wait for."""
    going_on = threading.Event()

    def inspect(*_: object) -> listener.Listener:
        _thread.interrupt_main()
        going_on.wait(20)
        return listener.Listener("b:9092")

    monkeypatch.setattr(explaining, "inspect", inspect)
    others = set(threading.enumerate())
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        explaining.explain({"bootstrap.servers": "b:9092"}, [], 1)
    assert time.monotonic() - began < 10
    visits = set(threading.enumerate()) - others
    assert visits
    assert all(visit.daemon for visit in visits)
    going_on.set()


@pytest.mark.parametrize(
    ("answers", "found", "seconds"),
    [
        ([(4, 0)], (4, 0), 1),
        ([(0, UNKNOWN), (0, TIMED_OUT), (4, 0)], (4, 0), 3),  # made, by a broker that took its time
        ([(0, UNKNOWN)], (0, UNKNOWN), 6),  # 5 s, although the deadline is after 3
        ([(0, TIMED_OUT)], (0, TIMED_OUT), 3),
        ([(0, DENIED)], (0, DENIED), 1),
    ],
)
def test_a_topic_is_waited_for(
    answers: list[Any], found: tuple[int, int], seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is not there 5 s, a broker that does not answer until the deadline, nothing else at all."""
    told = Answers(partitions=[*answers])
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(time, "monotonic", lambda: float(len(told.asked)))  # each answer takes a second
    assert produce.find_partitions(told, "t", 3.0) == found  # type: ignore[arg-type]
    assert time.monotonic() == seconds


def test_each_new_refusal_is_looked_into_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second address refuses the login a moment after the first was explained: that ends it, not 5 s later."""
    refusals = [("_AUTHENTICATION", f"{one}:9092/bootstrap: SASL authentication error: no") for one in "ab"]
    told = Answers(connect=[False], errors=[[(0, *refusals[0])], [(0, *refusals[1])], []])
    explained: list[list[tuple[str, str]]] = []

    def explain(_: object, errors: list[tuple[str, str]], *__: object, **___: object) -> explaining.Explanation:
        explained.append([*errors])
        return explaining.Explanation("refused", lasting=len(explained) > 1)

    monkeypatch.setattr(explaining, "explain", explain)
    with asking(monkeypatch, told) as found, pytest.raises(ConnectError, match="refused"):
        found.connect()
    assert explained == [refusals[:1], refusals]


def test_who_was_sent_on_was_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error about a broker with an id says what librdkafka may not: we were let in, and sent there."""
    failed = (-195, "_TRANSPORT", "wrong:9093/2: Connect to ipv4#10.0.0.1:9093 failed: Connection refused")
    first = (-195, "_TRANSPORT", "b:9092/bootstrap: Disconnected")
    told = Answers(connect=[False], errors=[[first], [failed], []], brokers=[(TIMED_OUT, [])])
    monkeypatch.setattr(explaining, "explain", lambda *_, **__: explaining.Explanation(None, lasting=False))
    with asking(monkeypatch, told) as found:
        found.connect()
        assert told.asked.count("connect") == 2
        assert found.brokers() == ["wrong:9093"]


def test_a_slow_cluster_is_waited_for(mock: MockCluster) -> None:
    """An answer that takes longer than a step of ours comes nevertheless: it is not asked for anew each time."""
    mock.set_rtt(700)
    with Cluster(load(topic="orders", bootstrap_servers=mock.bootstrap_servers)) as found:
        found.connect()
        assert found.topic("orders").partitions == 4


def test_a_topic_is_counted_where_no_controller_can_be_asked(mock: MockCluster) -> None:
    """librdkafka's mock cluster: partitions are known, nothing else is."""
    with Cluster(load(topic="orders", bootstrap_servers=mock.bootstrap_servers)) as found:
        found.connect()
        assert found.brokers() == [mock.bootstrap_servers]
        assert found.topic("orders").partitions == 4
        assert found.topic("orders").operations is None
