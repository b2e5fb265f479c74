"""Dead letters whatever dies: the file is readable up to its last batch, and no row is in it twice."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pyarrow as pa

import penstock
from fix_leftovers import MARK, children, marked

if TYPE_CHECKING:
    from pathlib import Path

    from penstock._core import MockCluster

PROGRAM = """
import sys
import pyarrow as pa
import penstock

text = pa.array([b"good", b"\\xff"] * 500, pa.binary()).view(pa.string())
settings = {"topic": "single", "bootstrap_servers": sys.argv[1], "workers": 1}
with penstock.open(**settings, on_bad_row="dead_letter", dead_letter=sys.argv[2]) as writer:
    first = 0
    while True:
        writer.write(pa.record_batch({"id": pa.array(range(first, first + 1000)), "text": text}))
        first += 1000
"""


def batches(path: Path) -> list[pa.RecordBatch]:
    """Read what is whole; what was being written is the last one, if any."""
    found: list[pa.RecordBatch] = []
    reader = pa.ipc.open_stream(path)
    with contextlib.suppress(pa.ArrowInvalid, OSError):
        found.extend(reader)
    return found


def test_kill_9_of_the_caller(mock: MockCluster, mark: str, tmp_path: Path) -> None:
    """The file has whole batches, each a chunk's bad rows, and a later run goes on behind them."""
    path = tmp_path / "dead.arrows"
    mock.create_topic("single", 1)  # the answers of several partitions come in any order
    caller = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, mock.bootstrap_servers, str(path)], env={**os.environ, MARK: mark}
    )
    deadline = time.monotonic() + 20
    while not path.exists() or path.stat().st_size < 200_000:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    caller.send_signal(signal.SIGKILL)
    caller.wait(10)
    while marked(mark):
        assert time.monotonic() < deadline, "a worker outlived its caller"
        time.sleep(0.02)
    found = batches(path)
    ids = [number for batch in found for number in batch.column("id").to_pylist()]
    assert len(ids) >= 500
    assert ids == list(range(1, 2 * len(ids), 2))
    report = penstock.write(
        pa.record_batch({"id": [-1], "text": pa.array([b"\xff"], pa.binary()).view(pa.string())}),
        topic="orders", bootstrap_servers=mock.bootstrap_servers, workers=0,
        on_bad_row="dead_letter", dead_letter=str(path),
    )  # fmt: skip
    assert report.bad_rows == 1
    assert pa.ipc.open_stream(path).read_all()["id"].to_pylist() == [*ids, -1]


def test_a_chunk_sent_again(mock: MockCluster, tmp_path: Path) -> None:
    """A worker that dies before the broker has answered: its chunk's bad rows are kept once, by the next one."""
    path = tmp_path / "dead.arrows"
    before = children()
    text = pa.array([b"good", b"\xff", b"good", b"\xff"], pa.binary()).view(pa.string())
    with penstock.open(
        topic="orders", bootstrap_servers=mock.bootstrap_servers, workers=1,
        on_bad_row="dead_letter", dead_letter=str(path),
    ) as writer:  # fmt: skip
        mock.set_rtt(1000)
        writer.write(pa.record_batch({"id": [0, 1, 2, 3], "text": text}))
        time.sleep(0.3)
        (worker,) = children() - before
        os.kill(worker, signal.SIGKILL)
        mock.set_rtt(0)
        report = writer.flush()
    assert (report.rows, report.bad_rows, report.restarts, report.resent_rows) == (2, 2, 1, 4)
    assert pa.ipc.open_stream(path).read_all()["id"].to_pylist() == [1, 3]
