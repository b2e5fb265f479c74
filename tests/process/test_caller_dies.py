"""kill -9 of the calling process: its workers end with it, at whatever stage it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fix_leftovers import MARK, marked

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock._core import MockCluster

CALLER = Path(__file__).with_name("caller.py")
WORKERS = 2
SURVIVAL_SECS = 5.0


def start(
    mock: MockCluster, mark: str, *, stay_at: str = "closed", rows: int = 1_000, memory: int = 64 << 20
) -> subprocess.Popen[str]:
    command = [sys.executable, str(CALLER), mock.bootstrap_servers, str(WORKERS), str(rows), str(memory), stay_at]
    # no pipe for stderr: a worker that outlived its parent would hold it open, and the test would hang, not fail
    return subprocess.Popen(
        command, env={**os.environ, MARK: mark}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def wait_for(caller: subprocess.Popen[str], stage: str) -> None:
    assert caller.stdout is not None
    for line in caller.stdout:
        if line.strip() == stage:
            return
    raise AssertionError(f"the caller ended with {caller.wait()} before it was {stage}")


def kill_and_expect_nobody(caller: subprocess.Popen[str], mark: str) -> None:
    caller.send_signal(signal.SIGKILL)
    assert caller.wait(10) == -signal.SIGKILL
    deadline = time.monotonic() + SURVIVAL_SECS
    while survivors := marked(mark):
        assert time.monotonic() < deadline, f"workers outlived their caller: {sorted(survivors)}"
        time.sleep(0.02)
    assert caller.stdout is not None
    caller.stdout.close()


@pytest.mark.parametrize("stage", ["imported", "opened", "written", "flushing", "flushed", "closed"])
def test_workers_end_with_a_killed_caller(stage: str, mock: MockCluster, mark: str) -> None:
    """At no stage does a worker, or anything else that the caller started, outlive it."""
    if stage in {"written", "flushing"}:
        mock.set_rtt(300)  # so that rows are still on their way
    caller = start(mock, mark, stay_at="closed" if stage == "flushing" else stage)  # flushing: inside flush()
    wait_for(caller, stage)
    if stage in {"opened", "written", "flushing", "flushed"}:
        assert len(marked(mark)) >= 1 + WORKERS, "the workers cannot be seen, so this test would see nothing"
    kill_and_expect_nobody(caller, mark)


@pytest.mark.parametrize("milliseconds", [10, 30, 60, 100, 150, 200, 300])
def test_workers_end_with_a_caller_killed_while_it_opens(milliseconds: int, mock: MockCluster, mark: str) -> None:
    """Between the import and the first row there is no moment at which a started worker is on its own."""
    mock.set_rtt(50)  # so that open() takes longer than starting the workers
    caller = start(mock, mark)
    wait_for(caller, "imported")
    time.sleep(milliseconds / 1000)
    kill_and_expect_nobody(caller, mark)


def test_workers_end_with_a_caller_killed_while_it_waits_for_room(mock: MockCluster, mark: str) -> None:
    """Workers that hold a full arena and cannot get rid of it end as well."""
    caller = start(mock, mark, rows=400_000, memory=32 << 20)
    wait_for(caller, "opened")
    mock.set_rtt(3_000)
    time.sleep(1.0)
    assert len(marked(mark)) >= 1 + WORKERS
    kill_and_expect_nobody(caller, mark)


def test_stopped_workers_end_with_a_killed_caller_once_they_go_on(
    mock: MockCluster, mark: str, wait_until: Callable[..., None]
) -> None:
    """A worker that was stopped while its caller died ends as soon as it runs again."""
    caller = start(mock, mark, stay_at="opened")
    wait_for(caller, "opened")
    workers = marked(mark) - {caller.pid}
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    caller.send_signal(signal.SIGKILL)
    caller.wait(10)
    for pid in workers & marked(mark):
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: not marked(mark), "the workers ended", timeout_secs=SURVIVAL_SECS)
    assert caller.stdout is not None
    caller.stdout.close()
