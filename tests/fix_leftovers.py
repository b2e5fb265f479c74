"""After each test of process/ and broker/ nothing remains: no child, descriptor, name in /dev/shm, temporary file.

What ends a little later than the call that ended it (a reaped child, a socket of the broker's side) gets PATIENCE.
"""

from __future__ import annotations

import contextlib
import gc
import os
import tempfile
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_SECS = 5.0
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - looked at, never written to
MARK = "PENSTOCK_TEST_MARK"


def children() -> set[int]:
    """Return the processes started from here that were not waited for."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that ended while we looked
            found.update(map(int, (task / "children").read_text().split()))
    return found


def descriptors() -> Counter[str]:
    """Count what is open, by kind: memory, Unix sockets, processes waited on, files by path.

    TCP sockets and the pipes of librdkafka's threads are not ours to count: the clients with which a test reads back
    open and close them when they like.
    """
    unix = {line.split()[6] for line in Path("/proc/self/net/unix").read_text().splitlines()[1:]}
    kinds: Counter[str] = Counter()
    for entry in Path("/proc/self/fd").iterdir():
        target = ""
        with contextlib.suppress(OSError):  # the descriptor of the listing itself
            target = str(entry.readlink())
        if target.startswith("socket:["):
            if target[8:-1] in unix:
                kinds["unix socket"] += 1
        elif target.startswith("anon_inode:"):
            if "eventpoll" not in target:
                kinds[target] += 1
        elif target and not target.startswith(("pipe:[", "/proc/")):
            kinds[target] += 1
    return kinds


def shared_memory() -> set[str]:
    """Return the names in /dev/shm, less the directories of test brokers."""
    if not SHARED_MEMORY.is_dir():
        return set()
    names = {path.name for path in SHARED_MEMORY.iterdir()}
    ours = {name for name in names if "penstock" in name or name.startswith(("psm_", "sem."))}
    return {name for name in ours if not name.startswith("penstock-broker-")}


def marked(mark: str) -> set[int]:
    """Return the living processes with `mark` in their environment: the one it was given to and all it started."""
    wanted = f"{MARK}={mark}".encode()
    found: set[int] = set()
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # it ended while we looked
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z" and wanted in (process / "environ").read_bytes().split(b"\0"):
                found.add(int(process.name))
    return found


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """Wait for what another process does: wait_until(lambda: …, "what should have happened", timeout_secs=5)."""

    def wait(happened: Callable[[], bool], what: str, *, timeout_secs: float = PATIENCE_SECS) -> None:
        deadline = time.monotonic() + timeout_secs
        while not happened():
            assert time.monotonic() < deadline, f"not within {timeout_secs} s: {what}"
            time.sleep(0.02)

    return wait


@pytest.fixture
def mark() -> str:
    """A text for PENSTOCK_TEST_MARK of a process, by which `marked` finds it and all that it started."""
    return uuid.uuid4().hex


@pytest.fixture(autouse=True)
def _no_leftovers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = Path(str(request.node.path)).parent.name
    if folder not in {"process", "broker"} or not Path("/proc/self/task").is_dir():
        yield
        return
    # What the session shares is started first, so that it does not count as left behind by the first test.
    for shared in ("kafka", "secure", "kcat", "registry_url"):
        if shared in request.fixturenames:
            request.getfixturevalue(shared)
    temporary = request.getfixturevalue("tmp_path_factory").mktemp("temporary")
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    own_mark = request.getfixturevalue("mark") if "mark" in request.fixturenames else None
    before = children(), descriptors(), shared_memory()
    yield
    deadline = time.monotonic() + PATIENCE_SECS
    while left := _left(before, temporary, own_mark):
        if time.monotonic() > deadline:
            pytest.fail("left behind: " + "; ".join(left), pytrace=False)
        gc.collect()
        time.sleep(0.05)


def _left(before: tuple[set[int], Counter[str], set[str]], temporary: Path, own_mark: str | None) -> list[str]:
    left = []
    if processes := children() - before[0]:
        left.append(f"child processes {sorted(processes)}")
    if own_mark is not None and (processes := marked(own_mark)):
        left.append(f"processes started by a process of the test: {sorted(processes)}")
    if opened := descriptors() - before[1]:
        left.append(f"descriptors {dict(opened)}")
    if names := shared_memory() - before[2]:
        left.append(f"shared memory {sorted(names)}")
    if files := sorted(path.name for path in temporary.rglob("*")):
        left.append(f"temporary files {files}")
    return left
