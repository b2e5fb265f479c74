"""kill -9 of a worker that is not to be replaced: WorkerDied, and every row taken is in exactly one of three counts."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import penstock
from fix_leftovers import children
from readback import read_topic, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock._core import MockCluster

WORKERS = 3
ROWS = 500
SCHEMA = pa.schema([("id", pa.int64()), ("text", pa.string())])


class Job:
    """An open writer, its workers, and batches whose ids never repeat."""

    def __init__(self, mock: MockCluster, **settings: Any) -> None:
        before = children()
        self.writer = penstock.open(
            topic="orders",
            bootstrap_servers=mock.bootstrap_servers,
            schema=SCHEMA,
            **{
                "workers": WORKERS,
                "max_restarts_per_min": 0,
                "kafka_options": {"compression.type": "none"},
                **settings,
            },
        )
        self.workers = sorted(children() - before)
        self.given = 0

    def write(self, rows: int = ROWS, text: str = "some text") -> None:
        ids = pa.array(range(self.given, self.given + rows), pa.int64())
        self.given += rows
        self.writer.write(pa.record_batch([ids, pa.array([text] * rows)], schema=SCHEMA))

    def kill_one(self, which: int = 0) -> None:
        os.kill(self.workers[which], signal.SIGKILL)


@pytest.fixture
def job(mock: MockCluster) -> Iterator[Job]:
    job = Job(mock)
    assert len(job.workers) == WORKERS
    yield job
    job.writer.close()  # the error was raised by then: closing is quiet, and ends


def check_counts(error: penstock.errors.WorkerDied, job: Job, mock: MockCluster) -> None:
    """Every row taken is acknowledged, failed or unknown; the topic has the first and at most the last of them too."""
    taken = job.writer.statistics().rows_taken
    assert error.acknowledged_rows + error.failed_rows + error.unknown_rows == taken
    assert error.report is not None
    assert error.report.rows == error.acknowledged_rows
    assert error.report.failed_rows == error.failed_rows
    assert error.report.unknown_rows == error.unknown_rows
    assert sum(partition.rows for partition in error.report.partitions) == error.acknowledged_rows
    ids = [row[0] for m in read_topic(mock.bootstrap_servers, "orders").messages for row in rows_of(m)]
    assert len(ids) == len(set(ids)), "a row was written twice"
    assert error.acknowledged_rows <= len(ids) <= error.acknowledged_rows + error.unknown_rows


def test_death_of_an_idle_worker_is_noticed_at_the_next_call(job: Job, mock: MockCluster) -> None:
    """A worker that dies before the first row makes a following write or the flush raise, with exact counts."""
    job.kill_one()
    with pytest.raises(penstock.errors.WorkerDied) as raised:
        for _ in range(20):
            job.write()
            time.sleep(0.02)
        job.writer.flush()
    check_counts(raised.value, job, mock)


@pytest.mark.parametrize("delay_secs", [0.0, 0.02, 0.1])
def test_death_with_rows_on_their_way(delay_secs: float, job: Job, mock: MockCluster) -> None:
    """Rows that a dead worker held are unknown, never acknowledged and never forgotten."""
    mock.set_rtt(200)
    for _ in range(6):
        job.write()
    time.sleep(delay_secs)
    job.kill_one(1)
    with pytest.raises(penstock.errors.WorkerDied) as raised:
        job.writer.flush()
    check_counts(raised.value, job, mock)
    assert raised.value.unknown_rows > 0, "the worker had rows and was killed before any answer"


def test_death_after_everything_was_acknowledged(job: Job, mock: MockCluster) -> None:
    """What a flush has confirmed stays confirmed when the worker dies later."""
    for _ in range(4):
        job.write()
    assert job.writer.flush().rows == 4 * ROWS
    job.kill_one(2)
    with pytest.raises(penstock.errors.WorkerDied) as raised:
        for _ in range(20):
            job.write()
            time.sleep(0.02)
        job.writer.flush()
    assert raised.value.acknowledged_rows >= 4 * ROWS
    check_counts(raised.value, job, mock)


def test_death_of_all_workers(job: Job, mock: MockCluster) -> None:
    """Nobody is left to do the work: still an error with all counts, and no hang."""
    mock.set_rtt(200)
    for _ in range(6):
        job.write()
    for which in range(WORKERS):
        job.kill_one(which)
    began = time.monotonic()
    with pytest.raises(penstock.errors.WorkerDied) as raised:
        job.writer.flush()
    assert time.monotonic() - began < 5
    check_counts(raised.value, job, mock)


def test_death_wakes_a_write_that_waits_for_room(mock: MockCluster) -> None:
    """write() blocked on a full arena returns with the error when the worker that holds the room dies."""
    job = Job(mock, workers=1, memory_bytes=16 << 20)
    mock.set_rtt(2_000)
    death = threading.Timer(1.0, job.kill_one)
    death.start()
    began = time.monotonic()
    with pytest.raises(penstock.errors.WorkerDied) as raised:
        for _ in range(200):
            job.write(20_000, "x" * 50)
    assert 0.9 < time.monotonic() - began < 6
    error = raised.value
    assert error.acknowledged_rows + error.failed_rows + error.unknown_rows == job.writer.statistics().rows_taken
    death.join()
    job.writer.close()


def test_death_that_nobody_has_seen_is_raised_by_close(mock: MockCluster) -> None:
    """A job that only writes and closes learns of it too: closing flushes."""
    job = Job(mock)
    mock.set_rtt(300)
    job.write()
    for which in range(WORKERS):
        job.kill_one(which)
    with pytest.raises(penstock.errors.WorkerDied) as raised:
        job.writer.close()
    check_counts(raised.value, job, mock)


def test_no_failure_is_optional_to_notice(job: Job) -> None:
    """After the error every further call says so again; the with block's end would too."""
    job.write()
    job.kill_one()
    with pytest.raises(penstock.errors.WorkerDied):
        for _ in range(50):
            job.write()
            time.sleep(0.02)
        job.writer.flush()
    with pytest.raises((penstock.errors.WorkerDied, penstock.errors.WriterClosed)):
        job.write()
    with pytest.raises((penstock.errors.WorkerDied, penstock.errors.WriterClosed)):
        job.writer.flush()
