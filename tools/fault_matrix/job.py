"""A writer in a process of its own, as it is seen from outside: what it says, its workers, what these are doing."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import penstock
from penstock.vitals import LINE_BYTES, encoding

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Mapping

    from broker_state import Keeper
    from fault_matrix.writer import Order

PROGRAM: Final = Path(__file__).with_name("writer.py")
_TELLING_SECS: Final = 0.02  # from a change in the job until we have heard of it
_HERE: Final = Path(penstock.__file__).parent.parent


class Job:
    """One run of writer.py.

    taken, acked   rows, as it said last; flushed: the first so many were acknowledged
    opened         when it had a connection, None before; by time.monotonic(), like all times here
    history        (time, taken, acked), oldest first
    ended          its last line, None while it runs or when it was killed; done: when it came
    """

    def __init__(self, order: Order, keeper: Keeper, environment: Mapping[str, str] | None = None) -> None:
        self.order = order
        self.taken = self.acked = self.flushed = 0
        self.resumed: int | None = None
        self.opened: float | None = None
        self.history: list[tuple[float, int, int]] = []
        self.ended: dict[str, Any] | None = None
        self.done: float | None = None
        more = dict(environment or {})
        path = [str(_HERE), more.pop("PYTHONPATH", None), os.environ.get("PYTHONPATH")]
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), json.dumps(asdict(order))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **more, "PYTHONPATH": os.pathsep.join(filter(None, path))},
            start_new_session=True,
        )
        keeper.add(self.process.pid)
        self.stderr: list[str] = []
        self._readers = [threading.Thread(target=self._listen), threading.Thread(target=self._complaints)]
        for reader in self._readers:
            reader.start()

    def _listen(self) -> None:
        for line in self.process.stdout or ():
            with contextlib.suppress(json.JSONDecodeError):  # killed in the middle of a line
                self._heard(json.loads(line))

    def _complaints(self) -> None:
        self.stderr.extend(self.process.stderr or ())

    def _heard(self, said: dict[str, Any]) -> None:
        now = time.monotonic()
        if "acked" in said:
            self.taken, self.acked = said["taken"], said["acked"]
            self.history.append((now, self.taken, self.acked))
        elif "opened" in said:
            self.opened = now
        elif "flushed" in said:
            self.flushed = said["flushed"]
            self.history.append((now, self.taken, self.taken))  # what a lane had from an earlier run is no news to it
        elif "resumed" in said:
            self.resumed = said["resumed"]
        elif "end" in said:
            self.ended, self.done = said, now
            if said["end"] == "delivered":
                self.history.append((now, self.taken, self.taken))

    # --- waiting ---

    def wait_for(self, holds: Callable[[], object], timeout_secs: float, step_secs: float = 0.002) -> bool:
        """Wait until something holds; False when it did not, or the job ended before."""
        deadline = time.monotonic() + timeout_secs
        while not holds():
            if self.process.poll() is not None or time.monotonic() > deadline:
                return bool(holds())
            time.sleep(step_secs)
        return True

    def finish(self, timeout_secs: float) -> dict[str, Any]:
        """Wait for the end and return its last line; a job that does not end is killed, and its end is `hangs`."""
        try:
            self.process.wait(timeout_secs)
        except subprocess.TimeoutExpired:
            self.kill()
            return {"end": "hangs", "message": f"no end after {timeout_secs:.0f} s", "report": None, "code": None}
        self._join()
        text = "".join(self.stderr)[-2000:]
        end = "killed" if self.process.returncode == -signal.SIGKILL else "died"
        return self.ended or {"end": end, "message": text, "report": None, "code": None}

    def kill(self) -> None:
        """Kill -9 of the caller, and of nobody else."""
        self.process.kill()
        self.process.wait()
        self._join()

    def _join(self) -> None:
        for reader in self._readers:
            reader.join()

    # --- its workers ---

    def workers(self) -> list[int]:
        """Return the process ids of its children, oldest first."""
        found: list[tuple[int, int]] = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                pid, _, rest = stat.read_text().partition(" ")
                fields = rest.rpartition(")")[2].split()
                if int(fields[1]) == self.process.pid and fields[0] != "Z":
                    found.append((int(fields[19]), int(pid)))
        return [pid for _, pid in sorted(found)]

    @contextlib.contextmanager
    def arena(self) -> Iterator[mmap.mmap]:
        """Map the arena's first page, in which each worker says what it encodes."""
        for link in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if str(link.readlink()).startswith("/memfd:penstock"):
                    with (
                        link.open("rb") as file,
                        mmap.mmap(file.fileno(), mmap.PAGESIZE, prot=mmap.PROT_READ) as mapped,
                    ):
                        yield mapped
                        return
        raise RuntimeError("the job has no arena")

    def kill_worker(self, stage: str, rng: random.Random, timeout_secs: float = 20) -> bool:
        """Kill -9 of a worker at a stage: `encoding`, `waiting` (for acknowledgements) or `idle`. False: never seen.

        It is stopped first and then looked at, since no look from outside is as quick as a worker.
        """
        workers = self.workers()
        which = rng.randrange(len(workers))
        pid = workers[which]
        deadline = time.monotonic() + timeout_secs
        with self.arena() as arena:
            while time.monotonic() < deadline and self.process.poll() is None:
                if not self._is_at(stage, arena, which):
                    time.sleep(0 if stage == "encoding" else 0.001)
                    continue
                os.kill(pid, signal.SIGSTOP)
                _await_stop(pid)
                if self._is_at(stage, arena, which):
                    os.kill(pid, signal.SIGKILL)
                    return True
                os.kill(pid, signal.SIGCONT)
                time.sleep(rng.uniform(0, 0.02))
        return False

    def _is_at(self, stage: str, arena: mmap.mmap, worker: int) -> bool:
        if stage == "encoding":
            return encoding(arena, worker * LINE_BYTES) is not None
        waits = self.taken > self.acked
        return encoding(arena, worker * LINE_BYTES) is None and waits == (stage == "waiting")

    def recovered_after(self, since: float) -> float | None:
        """Return the seconds from a fault until rows taken after it, and all before, were acknowledged; None: never."""
        before = max((taken for when, taken, _ in self.history if when <= since + _TELLING_SECS), default=0)
        for when, taken, acked in self.history:
            if when > since and acked == taken and (taken > before or taken == self.order.rows):
                return when - since
        return None


def _await_stop(pid: int) -> None:
    """Wait until SIGSTOP has arrived in all of a process."""
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
                return
