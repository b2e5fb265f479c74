"""Connecting: what penstock.produce asks of a broker, and for how long."""

from __future__ import annotations

import pytest

import penstock
from penstock import control, coordinator, crew, workers


@pytest.mark.parametrize("workers", [0, 1])
def test_a_slow_broker_has_its_time(mock, workers):
    """A broker that takes a second for each answer is connected to, well within initialization_timeout_secs."""
    mock.create_topic("slow", 2)
    mock.set_rtt(1000)

    with penstock.open(
        topic="slow", bootstrap_servers=mock.bootstrap_servers, workers=workers, initialization_timeout_secs=30
    ) as writer:
        partitions = writer.statistics().partitions
        mock.set_rtt(0)

    assert partitions == 2


def test_a_broker_that_is_not_there_is_given_up_in_time():
    """No broker: ConnectError naming broker and topic after initialization_timeout_secs, and not much later."""
    with pytest.raises(
        penstock.ConnectError, match=r'127\.0\.0\.1:1 within 1 s \(initialization_timeout_secs\) for topic "orders"'
    ) as caught:
        penstock.open(topic="orders", bootstrap_servers="127.0.0.1:1", workers=1, initialization_timeout_secs=1)

    assert caught.value.retriable


def test_why_a_worker_refused_is_heard_after_its_end(monkeypatch):
    """A worker that says why it cannot start and ends at once, between two looks at it, is no WorkerDied."""

    class Late(crew.ProcessCrew):
        said = False

        def spawn(self, *, tokens):
            """Start nobody."""

        def start(self, starts):
            """Tell nobody."""

        def receive(self, timeout):
            """Give the one message after the worker was seen dead."""
            if timeout == 0 and not self.said:
                self.said = True
                yield 0, control.Refused("config", "_INVALID_ARG", "two options exclude each other")

        def dead(self):
            """Tell at once."""
            return [(0, "ended with exit code 0")]

    monkeypatch.setattr(workers, "ProcessCrew", Late)
    monkeypatch.setattr(coordinator, "before_first_row", lambda config, _: (config, 4))
    with pytest.raises(penstock.ConfigError, match="exclude"):
        penstock.open(topic="orders", bootstrap_servers="127.0.0.1:1", workers=1)
