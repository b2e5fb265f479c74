"""produce: one librdkafka producer in this process, connected, and what its results mean.

The producer itself is src/core/produce.cpp: messages without a copy, reports counted natively, a full queue means wait.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from penstock import _core
from penstock.control import Ready, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.control import Start, Token

__all__ = [
    "NO_BROKER",
    "TOPIC_WAIT_SECS",
    "UNKNOWN_TOPIC",
    "begin_transactions",
    "connect",
    "find_partitions",
    "make_producer",
    "set_token",
    "transaction_secs",
    "transactional_id",
]

# A broker may create the topic on being asked for it; how long to wait for that.
TOPIC_WAIT_SECS = 5.0
_FIRST_STEP_SECS = 0.5
_LONGEST_STEP_SECS = 8.0  # with workers=0 also how late Ctrl-C may be served
_TRANSACTION_MS = 60_000  # librdkafka's default of transaction.timeout.ms
_TRANSACTION_STEP_MS = 10  # for each look at one of them
UNKNOWN_TOPIC = frozenset({-188, 3, 5})  # _UNKNOWN_TOPIC, UNKNOWN_TOPIC_OR_PART, LEADER_NOT_AVAILABLE
NO_BROKER = frozenset({-185, -195, -187})  # _TIMED_OUT, _TRANSPORT, _ALL_BROKERS_DOWN
_CONFIG_TEXT = "librdkafka refuses the configuration: "


def make_producer(start: Start, lane: int, *, check_signals: bool) -> _core.Producer | Refused:
    """Create a lane's producer and give it its token; Refused (kind config, token) with librdkafka's own words.

    What the worker may use is shared out among its lanes.
    """
    _core.load_librdkafka(start.librdkafka)
    configuration, lanes = start.configuration, len(start.lanes)
    if start.job:
        configuration = [*configuration, ("transactional.id", transactional_id(start.job, lane))]
    try:
        producer = _core.Producer(
            configuration=configuration,
            topic=start.topics[0],
            headers=start.headers,
            window_messages=max(1, start.window_messages // lanes),
            queue_bytes=start.queue_bytes // lanes,
            slab_bytes=start.slab_bytes // lanes,
            audit=start.audit,
            check_signals=check_signals,
        )
    except ValueError as error:
        return Refused("config", "_INVALID_ARG", f"{_CONFIG_TEXT}{error}")
    if start.token is not None:
        refused = set_token(producer, start.token)
        if refused is not None:
            producer.close()
            return Refused("token", "_INVALID_ARG", refused)
    return producer


def transaction_secs(options: Mapping[str, str]) -> float:
    """Return how long a broker leaves a transaction open, with these options of librdkafka's."""
    return int(options.get("transaction.timeout.ms", _TRANSACTION_MS)) / 1000


def transactional_id(job: str, lane: int) -> str:
    """Return the transactional id of a lane."""
    return f"{job}-{lane}"


def set_token(client: _core.Producer | _core.Admin, token: Token) -> str | None:
    """Log in with this token from now on, in any thread; returns why librdkafka refuses it, None where it does not."""
    try:
        client.set_token(token.text, token.expires_ms, token.principal, token.extensions)
    except ValueError as error:
        return f"librdkafka refuses the token to log in with: {error}"
    return None


def connect(producer: _core.Producer, start: Start) -> Ready | Refused:
    """Ask a broker for each topic's partitions, until one is refused.

    The first topic is asked for twice: the first answer makes librdkafka leave the bootstrap connection for the brokers
    of the cluster, and only an answer from one of those makes it ask for its producer id at once. Without it the first
    idempotent message waits for a timer of half a second (measured with 2.16: 450 ms against 60).
    """
    deadline = time.monotonic() + start.initialization_timeout_secs
    found: list[int] = []
    for topic in start.topics:
        partitions, code = find_partitions(producer, topic, deadline)
        if code in NO_BROKER:
            return Refused("broker", _core.error_name(code), producer.last_error or _core.error_text(code))
        if code != 0:
            return Refused("topic", _core.error_name(code), _core.error_text(code), topic)
        found.append(partitions)
    producer.partitions(start.topics[0], int(_LONGEST_STEP_SECS * 1000))
    return Ready(found[0])


def begin_transactions(producers: Mapping[int, _core.Producer], start: Start) -> Refused | None:
    """Fence whoever had these lanes before, and end the transactions that they left open; None when that is done.

    All at once: each looks for the broker that coordinates it, and one of these may be away.
    """
    deadline = time.monotonic() + start.initialization_timeout_secs
    waiting = dict(producers)
    while waiting:
        for lane, producer in list(waiting.items()):
            error = producer.init_transactions(_TRANSACTION_STEP_MS)
            if error is None:
                del waiting[lane]
                continue
            code, text, again, _ = error
            if not again or time.monotonic() >= deadline:
                return Refused("transaction", _core.error_name(code), text, transactional_id(start.job, lane))
    return None


def find_partitions(client: _core.Producer | _core.Admin, topic: str, deadline: float) -> tuple[int, int]:
    """Return a topic's partitions and 0, or 0 and librdkafka's code, once it is settled.

    A topic that is not there is waited for TOPIC_WAIT_SECS: a broker may make it on being asked. A broker that does not
    answer is waited for until the deadline, in growing steps: signals are served in between, a slow broker has time.
    """
    unknown_until: float | None = None
    step = _FIRST_STEP_SECS
    while True:
        left = max(_FIRST_STEP_SECS, deadline - time.monotonic())
        partitions, code = client.partitions(topic, int(min(step, left) * 1000))
        now = time.monotonic()
        if code in UNKNOWN_TOPIC:
            if unknown_until is None:
                unknown_until = now + TOPIC_WAIT_SECS
                deadline = max(deadline, unknown_until)
            if now >= unknown_until:
                return 0, code
            time.sleep(0.05)
        elif code not in NO_BROKER or now >= deadline:
            return partitions, code
        else:
            step = min(2 * step, _LONGEST_STEP_SECS)
