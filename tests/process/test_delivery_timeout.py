"""delivery_timeout_secs: brokers away for less are waited for; for longer the job fails, and the counts are true."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import penstock
from readback import read_topic

if TYPE_CHECKING:
    from penstock._core import MockCluster

ROWS = pa.table({"id": list(range(100))})


def opened(mock: MockCluster, workers: int, delivery_timeout_secs: float) -> penstock.Writer:
    """Return a writer whose connections are up: the first rows are there."""
    writer = penstock.open(
        topic="orders",
        bootstrap_servers=mock.bootstrap_servers,
        workers=workers,
        delivery_timeout_secs=delivery_timeout_secs,
        key="id",
    )
    writer.write(ROWS)
    writer.flush()
    return writer


@pytest.mark.parametrize("workers", [0, 1])
def test_brokers_are_away_for_less(workers: int, mock: MockCluster) -> None:
    """Nothing is lost, and nothing fails: writing goes on when they are back."""
    writer = opened(mock, workers, 30)
    mock.set_down()
    up = threading.Timer(1.5, mock.set_up)
    up.start()
    began = time.monotonic()
    writer.write(ROWS)
    assert writer.flush().rows == 200
    assert time.monotonic() - began > 1
    writer.close()
    up.join()


@pytest.mark.parametrize("workers", [0, 1])
def test_an_answer_that_comes_too_late_is_unknown(workers: int, mock: MockCluster) -> None:
    """The broker took the rows and its answer was not waited for: they are neither acknowledged nor called failed."""
    writer = opened(mock, workers, 1)
    mock.set_rtt(2500)
    writer.write(ROWS)
    with pytest.raises(penstock.errors.DeliveryError, match="_MSG_TIMED_OUT") as raised:
        writer.flush()
    assert (raised.value.acknowledged_rows, raised.value.failed_rows, raised.value.unknown_rows) == (100, 0, 100)
    mock.set_rtt(0)
    assert len(read_topic(mock.bootstrap_servers, "orders").messages) == 200


@pytest.mark.parametrize("workers", [0, 1])
def test_what_was_never_sent_has_failed(workers: int, mock: MockCluster) -> None:
    """No broker was there to take the rows: they are not in the log, and the counts say so."""
    writer = opened(mock, workers, 1)
    mock.set_down()
    time.sleep(0.3)  # the connections are gone
    writer.write(ROWS)
    with pytest.raises(penstock.errors.DeliveryError) as raised:
        writer.flush()
    assert (raised.value.acknowledged_rows, raised.value.failed_rows, raised.value.unknown_rows) == (100, 100, 0)
