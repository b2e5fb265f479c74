"""Every other way out of a writer: it never opened, its block raised, nobody closed it, it was one of many."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import penstock
from fix_leftovers import MARK, children, marked

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock._core import MockCluster

TABLE = pa.table({"id": list(range(100))})


def open_writer(brokers: str, **settings: object) -> penstock.Writer:
    return penstock.open(topic="orders", bootstrap_servers=brokers, schema=TABLE.schema, **{"workers": 2, **settings})


@pytest.mark.parametrize("workers", [0, 2])
def test_open_that_finds_no_broker_leaves_nothing(workers: int) -> None:
    """The workers of an open() that raised are gone when it raises."""
    before = children()
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, never listening
        with pytest.raises(penstock.ConnectError):
            open_writer(f"127.0.0.1:{held.getsockname()[1]}", workers=workers, initialization_timeout_secs=1)
    assert children() == before


def test_open_with_columns_that_have_no_form_starts_nothing(mock: MockCluster) -> None:
    """A schema is refused by column name, with no worker left."""
    before = children()
    schema = pa.schema([("id", pa.int64()), ("lasted", pa.duration("s"))])
    with pytest.raises(penstock.SchemaError, match="lasted"):
        penstock.open(topic="orders", bootstrap_servers=mock.bootstrap_servers, schema=schema, workers=2)
    assert children() == before


@pytest.mark.parametrize("workers", [0, 2])
def test_block_left_by_an_exception_of_the_caller(workers: int, mock: MockCluster) -> None:
    """The caller's own exception comes out of the block as it is, and the workers are gone."""
    before = children()
    reason = "the caller's own"
    with pytest.raises(LookupError, match=reason), open_writer(mock.bootstrap_servers, workers=workers) as writer:
        writer.write(TABLE)
        raise LookupError(reason)
    assert children() == before


def test_writer_that_nobody_closed(mock: MockCluster, wait_until: Callable[..., None]) -> None:
    """A writer that is forgotten takes its workers and its memory with it."""
    before = children()
    writer = open_writer(mock.bootstrap_servers)
    writer.write(TABLE)
    writer.flush()
    assert len(children() - before) == 2
    del writer
    gc.collect()
    wait_until(lambda: children() == before, "the workers of a forgotten writer ended")


def test_program_that_ends_without_closing(mock: MockCluster, mark: str, wait_until: Callable[..., None]) -> None:
    """A script that opens a writer and ends without closing it leaves no process, and its exit status is its own."""
    program = (
        "import penstock, pyarrow as pa, sys\n"
        "table = pa.table({'id': [1, 2, 3]})\n"
        f"writer = penstock.open(topic='orders', bootstrap_servers={mock.bootstrap_servers!r},"
        " schema=table.schema, workers=2)\n"
        "writer.write(table)\n"
        "writer.flush()\n"
        "sys.exit(5)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, MARK: mark},
        timeout=30,
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert done.returncode == 5
    wait_until(lambda: not marked(mark), "nobody is left")


def test_many_writers_one_after_another(mock: MockCluster, wait_until: Callable[..., None]) -> None:
    """Twenty writers leave as many descriptors, threads and children as the first one did: none."""
    with open_writer(mock.bootstrap_servers) as writer:  # what is loaded once is loaded now
        writer.write(TABLE)

    def counts() -> tuple[int, int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count(), len(children())

    before = counts()
    for workers in [1, 0, 2, 0, 1] * 4:
        with open_writer(mock.bootstrap_servers, workers=workers) as writer:
            writer.write(TABLE)
            assert writer.flush().rows == TABLE.num_rows

    def settled() -> bool:
        gc.collect()
        return all(now <= then for now, then in zip(counts(), before, strict=True))

    wait_until(settled, f"as many descriptors, threads and children as before: {before}", timeout_secs=10)


def test_two_writers_at_once(mock: MockCluster) -> None:
    """Writers do not share workers: closing one leaves the other at work."""
    with open_writer(mock.bootstrap_servers) as first:
        with open_writer(mock.bootstrap_servers) as second:
            first.write(TABLE)
            second.write(TABLE)
            assert second.flush().rows == TABLE.num_rows
        first.write(TABLE)
        assert first.flush().rows == 2 * TABLE.num_rows
