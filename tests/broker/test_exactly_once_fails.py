"""What goes wrong during delivery=exactly_once on a real Kafka: the counts are exact, and the next run completes it."""

from __future__ import annotations

import json
import random
import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from deaths import kill_worker, kill_worker_soon, kill_worker_unheard, strike
from fix_jobs import adds_up
from job_program import batches, table
from penstock.cli import main
from penstock.config import load
from penstock.errors import EncodeError, Fenced, SourceError
from penstock.verify import read_receipt, verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fix_jobs import Lives

ROWS = 6_000
EVERY: dict[str, Any] = {"epoch_rows": 1000, "epoch_secs": 5}
KEY: dict[str, Any] = {"key": "key", "key_format": "json"}


def some(start: int, end: int) -> pa.Table:
    return table("plain", ROWS).slice(start, end - start)


# --- workers that die -------------------------------------------------------------------------------------------------


def never_told(crew: Any, worker: int, message: Any) -> bool:
    kill_worker(crew, worker, message)
    return True


STAGES: dict[str, tuple[str, Any, bool]] = {
    "before it hears of the commit": ("Commit", never_told, False),
    "as it hears of it": ("Commit", kill_worker, True),
    "while it commits": ("Commit", kill_worker_soon(0.004), True),
    "when it has committed": ("Commit", kill_worker_soon(0.3), True),
    "when it has committed, unheard": ("Committed", kill_worker_unheard, False),
    "when it has answered for a chunk, unheard": ("Ack", kill_worker_unheard, False),
    "when it hears of a chunk": ("Deal", kill_worker, True),
}


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("stage", STAGES)
def test_a_worker_dies(stage: str, workers: int, lives: Callable[..., Lives], monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice at the same stage: what was committed counts, what was not is sent again; each row once, and counted."""
    job, (kind, what, behind) = lives(), STAGES[stage]
    struck = strike(monkeypatch.setattr, kind, random.Random(stage).randint(2, 6), what, behind=behind, times=2)
    with job.open(workers=workers, **EVERY, **KEY) as writer:
        for batch in batches("plain", ROWS, largest=300):
            writer.write(batch)
        report = writer.flush()
    assert struck.left == 0
    assert (report.rows, report.failed_rows, report.unknown_rows) == (ROWS, 0, 0)
    assert report.restarts >= 1
    messages = job.messages()
    assert job.ids() == list(range(ROWS))
    assert report.messages == len(messages)
    assert sum(part.messages for part in report.partitions) == len(messages)
    keys: dict[bytes | None, list[int]] = {}
    for message in messages:
        keys.setdefault(message.key, []).append(json.loads(message.value or b"")["insert"]["id"])
    assert all(ids == sorted(ids) for ids in keys.values())


@pytest.mark.parametrize("policy", ["skip", "dead_letter"])
def test_bad_rows_when_a_worker_dies(
    policy: str, lives: Callable[..., Lives], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are counted once and kept once, in the order of the rows, and all others are there once."""
    job = lives()
    dead = {"dead_letter": str(tmp_path / "dead.arrows")} if policy == "dead_letter" else {}
    struck = strike(monkeypatch.setattr, "Commit", 3, kill_worker_soon(0.004), behind=True, times=2)
    report = job.write(batches("bad", ROWS, largest=300), on_bad_row=policy, **EVERY, **KEY, **dead)
    assert struck.left == 0
    bad = [row for row in range(ROWS) if row % 97 == 5]
    assert (report.rows, report.bad_rows, report.failed_rows) == (ROWS - len(bad), len(bad), 0)
    assert job.ids() == [row for row in range(ROWS) if row % 97 != 5]
    if dead:
        assert sorted(pa.ipc.open_stream(dead["dead_letter"]).read_all()["id"].to_pylist()) == bad


# --- other ends -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_row_ends_it(workers: int, lives: Callable[..., Lives]) -> None:
    """What was committed before stays and counts; nothing else of it is seen; mended, the job is completed."""
    job = lives()
    mended = table("plain", ROWS)
    text = pa.array([b"\xff" if row == 4321 else f"row {row}".encode() for row in range(ROWS)], pa.binary())
    broken = mended.set_column(2, "text", text.view(pa.string()))
    writer = job.open(workers=workers, **EVERY, **KEY)
    with pytest.raises(EncodeError, match='column "text": the string is not valid UTF-8') as raised:
        for start in range(0, ROWS, 250):
            writer.write(broken.slice(start, 250))
        writer.flush()
    report = adds_up(raised.value, writer.statistics().rows_taken)
    found = job.ids()
    assert len(found) == len(set(found)) == report.rows
    assert report.unknown_rows == 0
    assert 4321 not in found
    assert len(job.ids(isolation="read_uncommitted")) >= len(found)
    again = job.write(mended, workers=1, **EVERY, **KEY)
    assert (again.rows + again.resumed_rows, again.resumed_rows) == (ROWS, len(found))
    assert job.ids() == list(range(ROWS))


@pytest.mark.parametrize("where", ["source", "Deal", "Commit", "Ack", "Committed"])
@pytest.mark.parametrize("workers", [0, 2])
def test_an_interruption(
    workers: int, where: str, lives: Callable[..., Lives], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C anywhere: each row taken is counted in one place, what counts as delivered is; and it goes on later."""
    job = lives()

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with (
        monkeypatch.context() as patch,
        pytest.raises(KeyboardInterrupt) as raised,
        job.open(workers=workers, shutdown_timeout_secs=2, **EVERY, **KEY) as writer,
    ):
        if where != "source":
            strike(patch.setattr, where, 4, interrupt)
        for number, batch in enumerate(batches("plain", ROWS, largest=300)):
            if where == "source" and number == 15:
                writer.write(interrupt() for _ in range(1))
            writer.write(batch)
        writer.flush()
    report = adds_up(raised.value, writer.statistics().rows_taken)
    found = job.ids()
    assert len(found) == len(set(found))
    assert report.rows <= len(found) <= report.rows + report.unknown_rows
    again = job.write(batches("plain", ROWS, largest=500), workers=1, **EVERY, **KEY)
    assert (again.resumed_rows, again.rows) == (len(found), ROWS - len(found))
    assert job.ids() == list(range(ROWS))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_same_job_twice(workers: int, lives: Callable[..., Lives]) -> None:
    """The second writer takes over; the first ends with Fenced, and what it had not committed is seen by nobody."""
    job = lives()
    first = job.open(workers=workers, epoch_secs=10, **KEY)
    first.write(some(0, 1000))
    first.flush()
    first.write(some(1000, 2000))
    time.sleep(0.5)
    with job.open(workers=workers, epoch_secs=10, **KEY) as second:
        assert second.position() is None
        with pytest.raises(Fenced, match="another writer of the same job has taken over") as raised:
            first.write(some(2000, 3000))
            first.flush()
        second.write(some(0, ROWS))
        report = second.flush()
    assert (report.resumed_rows, report.rows) == (1000, ROWS - 1000)
    ended = adds_up(raised.value, 3000)
    assert (ended.rows, ended.unknown_rows) == (1000, 0)
    assert job.ids() == list(range(ROWS))
    assert len(job.ids(isolation="read_uncommitted")) > ROWS


@pytest.mark.parametrize("workers", [0, 2])
def test_the_first_writer_comes_back_late(workers: int, lives: Callable[..., Lives]) -> None:
    """Its transaction has lasted too long as well: it is the one that ends, and the second is not disturbed."""
    job = lives()
    options = {"transaction.timeout.ms": 4000}
    first = job.open(workers=workers, epoch_secs=1, kafka_options=options, **KEY)
    first.write(some(0, 1000))
    first.flush()
    first.write(some(1000, 2000))
    with job.open(workers=workers, epoch_secs=1, kafka_options=options, **KEY) as second:
        second.write(some(0, 4000))
        second.flush()
        time.sleep(5)
        with pytest.raises(Fenced, match="another writer of the same job has taken over") as raised:
            first.write(some(2000, 3000))
            first.flush()
        second.write(some(4000, ROWS))
        second.flush()
    adds_up(raised.value, 3000)
    assert job.ids() == list(range(ROWS))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_transaction_that_lasts_too_long(workers: int, lives: Callable[..., Lives]) -> None:
    """A caller who does nothing for longer than the broker waits: the broker ends it, and its rows are sent again."""
    job = lives()
    options = {"transaction.timeout.ms": 4000}
    with job.open(workers=workers, epoch_secs=1, kafka_options=options, **KEY) as writer:
        writer.write(some(0, 1000))
        time.sleep(6)
        writer.write(some(1000, 2000))
        report = writer.flush()
        writer.write(some(2000, ROWS))
        report = writer.flush()
    assert (report.rows, report.failed_rows, report.unknown_rows) == (ROWS, 0, 0)
    assert job.ids() == list(range(ROWS))


# --- streams ----------------------------------------------------------------------------------------------------------


def test_positions_of_a_stream(lives: Callable[..., Lives]) -> None:
    """What commit() was told comes back from position(); flush and close may be called again, with nothing new too."""
    job = lives()
    with job.open(**KEY) as writer:
        assert writer.position() is None
        writer.commit({"offset": 0})  # of no row
        assert writer.flush().rows == 0
        assert writer.position() == {"offset": 0}
        writer.write(some(0, 1000))
        writer.commit({"offset": 1000})
        assert writer.flush().rows == 1000
        assert writer.flush() == writer.flush()
        assert writer.position() == {"offset": 1000}
        writer.write(some(1000, 1500))
        writer.flush()  # delivered and recorded, but at no position
        assert writer.position() == {"offset": 1000}
    writer.close()
    assert job.ids() == list(range(1500))
    with job.open(workers=2, **KEY) as writer:
        assert writer.position() == {"offset": 1000}
        writer.write(some(1000, 2000))
        writer.commit({"offset": 2000})
        writer.commit({"offset": 2050})  # what lies between is no rows
        report = writer.flush()
        assert writer.position() == {"offset": 2050}
    assert (report.rows, report.resumed_rows) == (500, 500)
    assert job.ids() == list(range(2000))


def test_other_rows_than_those_after_the_position(lives: Callable[..., Lives]) -> None:
    """A position that came after more rows the last time is refused, before anything is recorded."""
    job = lives()
    with job.open(**KEY) as writer:
        writer.write(some(0, 1000))
        writer.commit("a")
    writer = job.open(**KEY)
    assert writer.position() == "a"
    writer.write(some(1000, 1200))
    with pytest.raises(SourceError, match=r"position \'a\' comes after 1200 rows, and came after 1000"):
        writer.commit("a")
    with job.open(**KEY) as writer:
        assert writer.position() == "a"
        writer.write(some(1000, ROWS))
    assert job.ids() == list(range(ROWS))


def test_an_exception_of_the_callers(lives: Callable[..., Lives]) -> None:
    """He leaves the block by an error of his own: what was not committed is aborted at once, and replayed."""
    job = lives()
    with pytest.raises(ZeroDivisionError), job.open(epoch_secs=10, **KEY) as writer:
        writer.write(some(0, 1000))
        writer.commit(1000)
        writer.flush()
        writer.write(some(1000, 3000))
        raise ZeroDivisionError
    assert job.ids() == list(range(1000))
    began = time.monotonic()
    with job.open(**KEY) as writer:
        start = writer.position()
        writer.write(some(start, ROWS))
    assert start == 1000
    assert time.monotonic() - began < 10
    assert job.ids() == list(range(ROWS))


# --- the proof --------------------------------------------------------------------------------------------------------


def test_the_receipt_of_all_runs_agrees(
    lives: Callable[..., Lives], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With audit, after a worker's death and a run that was left: what it tells is what committed readers see."""
    job = lives()
    strike(monkeypatch.setattr, "Commit", 5, kill_worker, behind=True)
    with pytest.raises(ZeroDivisionError), job.open(audit=True, **EVERY, **KEY) as writer:
        writer.write(some(0, 3300))
        writer.flush()
        writer.write(some(3300, 4000))
        raise ZeroDivisionError
    report = job.write(some(0, ROWS), audit=True, workers=2, **EVERY, **KEY)
    config = load(topic=job.topic, bootstrap_servers=job.kafka.bootstrap_servers)
    found = verify(read_receipt(report.to_json().encode(), "receipt"), config, whole=True)
    assert found.verdict == "agrees", found
    assert sum(part.repeats + part.foreign for part in found.partitions) == 0
    receipt = tmp_path / "receipt.json"
    receipt.write_text(report.to_json())
    assert main(["verify", str(receipt), "--bootstrap-servers", job.kafka.bootstrap_servers, "--whole"]) == 0
    capsys.readouterr()
    assert job.ids() == list(range(ROWS))
