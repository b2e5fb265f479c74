"""tools/broker.py keeps its word: what it starts ends with its user, what it leaves running is found and stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import broker as broker_tool
from fix_leftovers import MARK, marked

if TYPE_CHECKING:
    from collections.abc import Callable

TOOLS = Path(broker_tool.__file__).parent
pytestmark = pytest.mark.usefixtures("kafka")  # left out for the same reasons as every test of a broker
USER = f"""
import sys, time
sys.path.insert(0, {str(TOOLS)!r})
from broker import Broker
with Broker() as broker:
    print(broker.directory, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_broker_ends_with_the_program_that_used_it(
    number: signal.Signals, mark: str, wait_until: Callable[..., None]
) -> None:
    """However the user of a `with Broker()` block ends, no Java process and no directory stays."""
    with subprocess.Popen(
        [sys.executable, "-c", USER],
        env={**os.environ, MARK: mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as user:
        assert user.stdout is not None
        directory = Path(user.stdout.readline().strip())
        assert directory.is_dir()
        assert len(marked(mark)) == 3, "the program, Java and the keeper"
        user.send_signal(number)
    wait_until(lambda: not marked(mark) and not directory.exists(), "everything is gone")


def test_start_status_and_stop_agree() -> None:
    """A broker left running is found by its port, answers, is refused a second start, and is gone after stop."""
    port = broker_tool.free_port("127.0.0.1")

    def run(command: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, str(TOOLS / "broker.py"), command, "--port", str(port)]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    try:
        started = run("start")
        assert (started.returncode, started.stdout) == (0, f"127.0.0.1:{port}\n"), started.stderr
        assert broker_tool.answers("127.0.0.1", port)
        (state,) = broker_tool.states(port)
        assert f"process {state.pid}" in run("status").stdout
        again = run("start")
        assert again.returncode == 1
        assert "already running" in again.stderr
    finally:
        stopped = run("stop")
    assert stopped.returncode == 0
    assert not broker_tool.answers("127.0.0.1", port)
    assert not Path(state.directory).exists()
    assert run("status").returncode == 1
    assert run("stop").returncode == 1
