"""Workers that die, stand still or lose their producer are replaced, and their rows sent again: none is missing."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import penstock
from fix_leftovers import children
from fix_mock import PRODUCE
from penstock import crew
from penstock.config import load
from penstock.restarts import Restarts
from penstock.verify import read_receipt, verify
from penstock.vitals import Vitals
from readback import read_topic

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from penstock import control
    from penstock._core import MockCluster

KEYS = 7
ROWS = 300
SCHEMA = pa.schema([("key", pa.int64()), ("id", pa.int64())])
OUT_OF_ORDER_SEQUENCE = 45  # fatal to an idempotent producer


class Job:
    """An open writer of keyed rows whose ids count up."""

    def __init__(self, mock: MockCluster, **settings: Any) -> None:
        self.before = children()
        self.mock = mock
        self.writer = penstock.open(
            topic="orders",
            bootstrap_servers=mock.bootstrap_servers,
            schema=SCHEMA,
            **{"workers": 2, "key": "key", "kafka_options": {"compression.type": "none"}, **settings},
        )
        self.given = 0

    def write(self, rows: int = ROWS) -> None:
        ids = range(self.given, self.given + rows)
        self.given += rows
        self.writer.write(pa.table({"key": [n % KEYS for n in ids], "id": list(ids)}, schema=SCHEMA))

    def workers(self) -> list[int]:
        return sorted(children() - self.before)

    def signal_one(self, number: int = signal.SIGKILL, which: int = 0) -> None:
        os.kill(self.workers()[which], number)

    def check(self) -> penstock.Report:
        """Flush: every row is acknowledged, and in the topic; of each key the first occurrences are in order."""
        report = self.writer.flush()
        assert (report.rows, report.failed_rows, report.unknown_rows) == (self.given, 0, 0)
        found: dict[int, list[int]] = defaultdict(list)
        repeats = 0
        for message in read_topic(self.mock.bootstrap_servers, "orders").messages:
            row = json.loads(message.value or b"")["insert"]
            if row["id"] in found[row["key"]]:
                repeats += 1
            else:
                found[row["key"]].append(row["id"])
        assert dict(found) == {key: list(range(key, self.given, KEYS)) for key in range(min(KEYS, self.given))}
        assert repeats <= report.resent_rows
        return report


@pytest.fixture
def job(mock: MockCluster) -> Iterator[Job]:
    job = Job(mock)
    yield job
    job.writer.close()


def test_an_idle_worker_is_replaced(job: Job) -> None:
    """Nothing was under way, so nothing is sent again; the receipt says that somebody was replaced."""
    job.write()
    job.writer.flush()
    job.signal_one()
    time.sleep(0.2)
    job.writer.poll()  # notices it, before the next rows are dealt
    job.write()
    report = job.check()
    assert (report.restarts, report.resent_rows) == (1, 0)
    assert "REPLACED: 1 worker\n" in str(report)


@pytest.mark.parametrize("seed", range(5))
def test_rows_on_their_way_are_sent_again(seed: int, mock: MockCluster) -> None:
    """Killed at any moment, once or twice in a row, the other or the same: all rows arrive, in order.

    The receipt's runs are what was acknowledged, and what a dead worker's messages left beside them are repeats.
    """
    rng = random.Random(seed)
    job = Job(mock, audit=True)
    job.mock.set_rtt(rng.choice([0, 30, 100]))
    deaths = rng.randint(1, 3)
    for _ in range(deaths):
        for _ in range(rng.randint(1, 5)):
            job.write(rng.randint(1, ROWS))
        time.sleep(rng.choice([0, 0.01, 0.05]))
        job.signal_one(which=rng.randint(0, 1))
        time.sleep(rng.choice([0, 0.05, 0.3]))
    report = job.check()
    job.writer.close()
    assert 1 <= report.restarts <= deaths
    config = load(topic="orders", bootstrap_servers=mock.bootstrap_servers)
    found = verify(read_receipt(report.to_json().encode(), "receipt"), config, whole=True)
    log = read_topic(mock.bootstrap_servers, "orders").messages
    assert found.verdict == "agrees"
    assert sum(part.messages for part in found.partitions) == report.messages == report.rows
    assert sum(part.repeats for part in found.partitions) == len(log) - report.messages
    assert not any(part.foreign for part in found.partitions)


def test_all_workers_at_once(job: Job) -> None:
    """Nobody is left, and all are replaced; rows that waited are sent for the first time."""
    job.mock.set_rtt(200)
    for _ in range(4):
        job.write()
    for worker in job.workers():
        os.kill(worker, signal.SIGKILL)
    report = job.check()
    assert report.restarts == 2
    assert report.resent_rows > 0
    assert f"{report.resent_rows:,} rows sent again, some may be there twice" in str(report)


def test_a_write_that_waits_for_room_goes_on(mock: MockCluster) -> None:
    """The worker that holds all of the arena dies: what it had is sent by the next one, and the room comes back."""
    job = Job(mock, workers=1, memory_bytes=16 << 20, key=None)
    mock.set_rtt(500)
    death = threading.Timer(0.5, job.signal_one)
    death.start()
    for _ in range(12):
        job.write(20_000)
    report = job.writer.flush()
    death.join()
    job.writer.close()
    assert (report.rows, report.restarts) == (job.given, 1)


def test_it_takes_less_than_a_second(job: Job) -> None:
    """From the kill to the last acknowledgement, with brokers that answer at once."""
    job.write()
    job.writer.flush()
    job.signal_one()
    began = time.monotonic()
    job.write()
    job.check()
    assert time.monotonic() - began < 3  # a second on a machine that has nothing else to do


def test_a_worker_that_stands_still_is_replaced(mock: MockCluster) -> None:
    """SIGSTOP: after worker_timeout_secs it is killed, and its rows are sent by another."""
    job = Job(mock, worker_timeout_secs=1)
    job.write()
    job.writer.flush()
    job.signal_one(signal.SIGSTOP)
    job.write()
    report = job.check()
    assert report.restarts == 1
    job.writer.close()


def test_brokers_that_are_away_are_waited_for(mock: MockCluster) -> None:
    """A worker that dies while no broker answers: the next one waits for them as long as a message may."""
    job = Job(mock, initialization_timeout_secs=2)
    job.write()
    job.writer.flush()
    mock.set_down()
    job.write()
    job.signal_one()
    up = threading.Timer(4, mock.set_up)
    up.start()
    report = job.check()
    up.join()
    assert report.restarts == 1
    job.writer.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_producer_that_cannot_go_on_is_made_anew(workers: int, mock: MockCluster) -> None:
    """librdkafka gives up for good when its sequence is broken: another producer sends the rows again."""
    job = Job(mock, workers=workers)
    job.write()
    job.writer.flush()
    mock.push_request_errors(PRODUCE, [OUT_OF_ORDER_SEQUENCE])
    for _ in range(3):
        job.write()
    report = job.check()
    assert report.restarts == 1
    job.writer.close()


def test_a_producer_that_cannot_go_on_blames_no_rows(mock: MockCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was being encoded just then had no part in it, however often that happens."""
    job = Job(mock, workers=1)
    job.write()
    job.writer.flush()
    monkeypatch.setattr(Vitals, "suspect", lambda *_: next(iter(job.writer._coordinator._chunks), None))
    monkeypatch.setattr(Restarts, "blame", lambda *_: True)
    mock.push_request_errors(PRODUCE, [OUT_OF_ORDER_SEQUENCE])
    job.write()
    assert job.check().restarts == 1
    job.writer.close()


@pytest.mark.parametrize("deaths", [1, 3, 4])
def test_a_worker_that_dies_before_it_is_ready(
    deaths: int, mock: MockCluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is replaced like any other, but not for ever: what dies at once, time after time, lacks something."""
    left = [deaths]
    configure = crew._configure

    def die(process: subprocess.Popen[bytes], start: control.Start) -> None:
        configure(process, start)
        if start.worker == 0 and left[0]:
            left[0] -= 1
            process.kill()

    monkeypatch.setattr(crew, "_configure", die)
    if deaths > 3:
        with pytest.raises(
            penstock.errors.WorkerDied, match=r"worker 0 of 2 was killed by SIGKILL .* before it was re"
        ):
            Job(mock)
        return
    job = Job(mock)
    job.write()
    assert job.check().restarts == deaths
    assert sum("before it was ready; another one takes its place" in line for line in caplog.messages) == deaths
    job.writer.close()


def test_too_many_deaths_end_the_job(mock: MockCluster) -> None:
    """One more than max_restarts_per_min: WorkerDied says so, with exact counts."""
    job = Job(mock, max_restarts_per_min=2)
    with pytest.raises(penstock.errors.WorkerDied, match="2 were replaced within a minute") as raised:
        for _ in range(3):
            job.write()
            job.signal_one()
            time.sleep(0.3)
            job.writer.poll()
            time.sleep(0.3)
    error = raised.value
    assert error.report is not None
    assert error.report.restarts == 2
    taken = job.writer.statistics().rows_taken
    assert error.acknowledged_rows + error.failed_rows + error.unknown_rows == taken
    job.writer.close()


def test_rows_that_kill_every_worker_are_named(
    mock: MockCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third worker had nothing but these rows: the job ends and says which; the rows before them are there."""
    (tmp_path / "deadly.py").write_text(
        "import os, signal\n"
        "def encode(batch):\n"
        "    for row in batch.to_pylist():\n"
        "        if row['id'] == 450:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        yield str(row['id']).encode()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    form = {"name": "python", "config": {"encoder": "deadly:encode"}}
    job = Job(mock, workers=1, key=None, format=form)
    job.write(100)
    job.writer.flush()
    with pytest.raises(
        penstock.errors.WorkerDied, match=r"encoding the rows from .*row 0 to before .*row 500"
    ) as raised:
        job.write(500)
        job.write(100)
        job.writer.flush()
    assert raised.value.acknowledged_rows == 100
    assert raised.value.report is not None
    assert raised.value.report.restarts == 2
    job.writer.close()
