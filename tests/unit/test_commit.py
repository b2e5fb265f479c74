"""A transaction is committed in a thread of its own: what it tells, when, and that its producer may go meanwhile."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock import _core

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock._core import MockCluster, Producer

END_TXN = 26  # api key
_TIMED_OUT = -185
_FENCED = -144
INVALID_PRODUCER_EPOCH = 47
CONCURRENT_TRANSACTIONS = 51


@pytest.fixture
def producer(mock: MockCluster) -> Iterator[Producer]:
    """One with a transactional id, that has it."""
    made = _core.Producer(
        configuration=[("bootstrap.servers", mock.bootstrap_servers), ("transactional.id", "job-0")],
        topic="orders",
        headers=[],
        window_messages=100,
        queue_bytes=1 << 20,
        slab_bytes=1 << 20,
        audit=False,
        check_signals=False,
    )
    while (error := made.init_transactions(10)) is not None:
        assert error[2], error
    yield made
    made.close()


def _begin(producer: Producer, timeout_ms: int) -> None:
    """Begin a transaction, send a record and begin to commit."""
    assert producer.begin_transaction() is None
    assert producer.record("orders", b"key", b"value") == 0
    producer.begin_commit(timeout_ms)


def _wait(producer: Producer, seconds: float) -> None:
    """Wait for the descriptor to say that the commit is over."""
    poll = select.poll()
    poll.register(producer.event_fd, select.POLLIN)
    end = time.monotonic() + seconds
    while producer.committing:
        assert poll.poll(max(0, int((end - time.monotonic()) * 1000))), "nothing says that it is over"
        os.read(producer.event_fd, 8)


def _threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def test_each_commit_is_told_once_it_is_made(producer: Producer) -> None:
    """Hundreds of them, while this thread keeps asking: what a call tells is never what a former one was asked for."""
    for _ in range(500):
        _begin(producer, 30_000)
        while producer.committing:
            assert producer.poll(0) == []
        assert producer.end_commit() is None
        assert producer.recorded() == 0
    assert producer.recorded() is None


def test_the_descriptor_tells_of_the_end(mock: MockCluster, producer: Producer) -> None:
    """A slow broker: nobody has to look again and again; what the record's report said is known then."""
    mock.set_rtt(300)
    began = time.monotonic()
    _begin(producer, 30_000)
    assert producer.committing
    assert producer.recorded() is None
    _wait(producer, 20)
    assert producer.end_commit() is None
    assert producer.recorded() == 0
    assert time.monotonic() - began > 0.3


def test_a_broker_that_does_not_answer_in_time(mock: MockCluster, producer: Producer) -> None:
    """The call ends when its time is up, and says so; it is not made again."""
    mock.set_rtt(5000)
    began = time.monotonic()
    _begin(producer, 500)
    _wait(producer, 4)
    error = producer.end_commit()
    assert error is not None
    assert error[0] == _TIMED_OUT
    assert 0.4 < time.monotonic() - began < 4


@pytest.mark.parametrize(("code", "found"), [(INVALID_PRODUCER_EPOCH, _FENCED), (CONCURRENT_TRANSACTIONS, None)])
def test_what_the_broker_answers(mock: MockCluster, producer: Producer, code: int, found: int | None) -> None:
    """One that was fenced is told so; a coordinator that is busy is asked again until it is not."""
    mock.push_request_errors(END_TXN, [code] * 2)
    _begin(producer, 20_000)
    _wait(producer, 20)
    error = producer.end_commit()
    assert (error and error[0]) == found
    fatal = producer.fatal()
    assert (fatal and fatal[0]) == found


def test_a_producer_may_go_while_it_commits(mock: MockCluster, producer: Producer) -> None:
    """Nobody waits for a broker that does not answer: its thread goes on by itself, and lets the producer go then."""
    threads = _threads()
    mock.set_rtt(2000)
    _begin(producer, 1500)
    began = time.monotonic()
    producer.close()
    assert time.monotonic() - began < 0.5
    mock.set_rtt(0)
    while _threads() >= threads:
        assert time.monotonic() - began < 20, "the producer's threads are still there"
        time.sleep(0.05)
