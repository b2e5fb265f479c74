"""Ctrl-C and SIGTERM of `penstock write`: the counts so far, the shell's exit code, nobody left, no hang."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import penstock
from fix_leftovers import MARK, children, marked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from penstock._core import MockCluster

WORKERS = 2
ROWS = 2_000_000
END_SECS = 12.0  # shutdown_timeout_secs is 10
EXIT = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that takes this slow mock cluster more than ten seconds."""
    path = tmp_path_factory.mktemp("source") / "orders.parquet"
    ids = pa.array(range(ROWS), pa.int64())
    pq.write_table(pa.table({"id": ids, "text": pa.array(["0123456789" * 5] * ROWS)}), path, row_group_size=100_000)
    return path


def start(command: str, source: Path, mock: MockCluster, mark: str) -> subprocess.Popen[str]:
    """Start it as a shell does: a process group of its own, to which the terminal sends Ctrl-C."""
    words = [
        command,
        "write",
        str(source),
        "--topic",
        "orders",
        "--bootstrap-servers",
        mock.bootstrap_servers,
        "--json",
    ]
    more = ["--workers", str(WORKERS), "--memory-bytes", str(32 << 20), "-X", "compression.type=none"]
    return subprocess.Popen(
        [*words, *more],
        env={**os.environ, MARK: mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def end_group(running: subprocess.Popen[str], number: signal.Signals) -> tuple[str, str, float]:
    """Send the signal to the whole group (Ctrl-C) or to the process alone (kill); return what it said, and its time."""
    began = time.monotonic()
    if number is signal.SIGINT:
        os.killpg(running.pid, number)
    else:
        running.send_signal(number)
    try:
        out, err = running.communicate(timeout=END_SECS + 5)
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
        pytest.fail(f"{number.name}: still there after {END_SECS + 5} s")
    return out, err, time.monotonic() - began


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("milliseconds", [300, 450, 600, 800, 1_200, 2_000, 3_500])
def test_signal_at_any_stage_ends_with_its_exit_code(
    number: signal.Signals, milliseconds: int, source: Path, mock: MockCluster, mark: str, penstock_command: str
) -> None:
    """Imports, checks, start of the workers, first rows, full arena: the same exit code and one line, in time."""
    mock.set_rtt(200)
    running = start(penstock_command, source, mock, mark)
    time.sleep(milliseconds / 1000)
    assert running.poll() is None, "it was done before the signal: this test tested nothing"
    out, err, took = end_group(running, number)
    assert running.returncode == EXIT[number], err
    assert took < END_SECS
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) >= 1
    if out:
        report = json.loads(out)
        assert report["rows"] < ROWS
    assert not marked(mark)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_while_rows_are_sent_gives_the_counts_so_far(
    number: signal.Signals,
    source: Path,
    mock: MockCluster,
    mark: str,
    penstock_command: str,
    wait_until: Callable[..., None],
) -> None:
    """The partial report is on stdout as JSON, with rows acknowledged before the signal, and the line names them."""
    mock.set_rtt(200)
    running = start(penstock_command, source, mock, mark)
    wait_until(lambda: len(marked(mark)) >= 1 + WORKERS, "the workers run", timeout_secs=10)
    time.sleep(4)
    out, err, _ = end_group(running, number)
    assert running.returncode == EXIT[number], err
    report = json.loads(out)
    assert 0 < report["rows"] < ROWS
    assert sum(partition["rows"] for partition in report["partitions"]) == report["rows"]
    assert "Traceback" not in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_second_signal_does_not_break_the_first(
    number: signal.Signals,
    source: Path,
    mock: MockCluster,
    mark: str,
    penstock_command: str,
    wait_until: Callable[..., None],
) -> None:
    """An impatient second Ctrl-C ends it at once; still the same exit code, and still nobody left."""
    running = start(penstock_command, source, mock, mark)
    wait_until(lambda: len(marked(mark)) >= 1 + WORKERS, "the workers run", timeout_secs=10)
    mock.set_rtt(3_000)  # the first one waits for answers
    time.sleep(0.5)
    if number is signal.SIGINT:
        os.killpg(running.pid, number)
    else:
        running.send_signal(number)
    time.sleep(0.3)
    if running.poll() is None:
        _, err, _ = end_group(running, number)
    else:
        _, err = running.communicate()
    assert running.returncode == EXIT[number], err
    deadline = time.monotonic() + 5
    while survivors := marked(mark):
        assert time.monotonic() < deadline, f"left: {survivors}"
        time.sleep(0.02)


def test_workers_ignore_ctrl_c(mock: MockCluster) -> None:
    """The caller decides what Ctrl-C means: a worker that gets the terminal's SIGINT goes on and delivers."""
    before = children()
    table = pa.table({"id": list(range(1_000))})
    with penstock.open(
        topic="orders", bootstrap_servers=mock.bootstrap_servers, schema=table.schema, workers=WORKERS
    ) as writer:
        workers = children() - before
        assert len(workers) == WORKERS
        for pid in workers:
            os.kill(pid, signal.SIGINT)
        writer.write(table)
        for pid in workers:
            os.kill(pid, signal.SIGINT)
        assert writer.flush().rows == 1_000
        assert children() - before == workers


def test_keyboard_interrupt_in_the_library_carries_the_counts(mock: MockCluster) -> None:
    """Ctrl-C inside flush() reaches the caller as KeyboardInterrupt with the partial report; close leaves nobody."""
    before = children()
    table = pa.table({"id": list(range(1_000))})
    writer = penstock.open(
        topic="orders", bootstrap_servers=mock.bootstrap_servers, schema=table.schema, workers=WORKERS
    )
    mock.set_rtt(3_000)
    writer.write(table)
    signal.signal(signal.SIGALRM, _interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt) as raised, writer:
        writer.flush()
    assert time.monotonic() - began < END_SECS + 2
    report = raised.value.report
    assert report.rows + report.failed_rows + report.unknown_rows == table.num_rows
    assert children() == before


def _interrupt(number: int, _: object) -> None:
    signal.signal(number, signal.SIG_DFL)
    raise KeyboardInterrupt
