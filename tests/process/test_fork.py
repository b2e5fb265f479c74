"""A caller that forks, as multiprocessing does on Linux: what the child holds open, or ends with, harms nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from fix_leftovers import MARK, marked

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock._core import MockCluster

WHILE_IT_OPENS = """
import os, sys, time
import penstock, pyarrow as pa
from penstock import coordinator

ask = coordinator.before_first_row
def fork_and_ask(*arguments):
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    print(child, flush=True)
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), 9)
    return ask(*arguments)

coordinator.before_first_row = fork_and_ask
penstock.write(pa.table({"id": [1]}), topic="orders", bootstrap_servers=sys.argv[1], workers=2)
"""

WHILE_IT_IS_OPEN = """
import os, sys, time
import penstock, pyarrow as pa

table = pa.table({"id": [1]})
writer = penstock.open(
    topic="orders", bootstrap_servers=sys.argv[1], schema=table.schema, workers=int(sys.argv[2])
)
writer.write(table)
child = os.fork()
if child == 0:
    writer.close()
    try:
        writer.write(table)
    except penstock.WriterClosed:
        del writer
        sys.exit(7)
deadline = time.monotonic() + 10
while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < deadline:
    time.sleep(0.02)
writer.write(table)
print(writer.flush().rows)
writer.close()
os.kill(child, 9) if ended[0] == 0 else sys.exit(os.waitstatus_to_exitcode(ended[1]))
"""


@pytest.mark.parametrize(("fate", "code"), [("lives", 0), ("killed", -signal.SIGKILL)])
def test_workers_do_not_wait_for_a_process_forked_while_they_come_up(
    fate: str, code: int, mock: MockCluster, mark: str, wait_until: Callable[..., None]
) -> None:
    """It holds their standard input open for a minute: they start nevertheless, and end when the caller is killed."""
    done = subprocess.Popen(
        [sys.executable, "-c", WHILE_IT_OPENS, mock.bootstrap_servers, fate],
        env={**os.environ, MARK: mark},
        stdout=subprocess.PIPE,
    )
    assert done.stdout is not None
    with done.stdout:
        child = int(done.stdout.readline())
    try:
        assert done.wait(10) == code
        wait_until(lambda: marked(mark) == {child}, "the workers ended")
    finally:
        os.kill(child, signal.SIGKILL)
        done.kill()
        done.wait()


@pytest.mark.parametrize("workers", [0, 2])
def test_forked_child_ends_and_leaves_the_writer_alone(workers: int, mock: MockCluster, mark: str) -> None:
    """A child can neither write with the caller's writer nor close it, and ends at once; the caller goes on writing."""
    done = subprocess.run(
        [sys.executable, "-c", WHILE_IT_IS_OPEN, mock.bootstrap_servers, str(workers)],
        env={**os.environ, MARK: mark},
        stdout=subprocess.PIPE,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (7, "2\n")
