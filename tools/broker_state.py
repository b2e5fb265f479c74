"""Processes of a broker: which one is ours, how they end, and how a later program finds them again.

Run as a program with a directory as its argument, this is the keeper of broker.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from kafka_jars import CACHE

STATES = CACHE / "broker"


def started(pid: int) -> str | None:
    """When the process began, as text that no later process of the same number shares; None when it is gone."""
    if Path("/proc/self/stat").exists():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] == "Z" else fields[19]
    said = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return said.stdout.strip() or None


def kill(pid: int, begun: str) -> None:
    """SIGKILL to the process noted down, and only to it; returns when it is gone."""
    while started(pid) == begun:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def keep(directory: str) -> None:
    """Wait for the caller's end; then kill the processes that it named and remove the directory."""
    processes: list[tuple[int, str]] = []
    for line in sys.stdin:
        if line.strip() == "leave":
            return
        pid, begun = line.split(maxsplit=1)
        processes.append((int(pid), begun.strip()))
    for pid, begun in processes:
        kill(pid, begun)
    shutil.rmtree(directory, ignore_errors=True)


class Keeper:
    """A process that survives its maker: when that is gone, it kills what it was told of and removes the directory."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-S", __file__, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def add(self, pid: int) -> None:
        """Tell it of one more process."""
        self._say(f"{pid} {started(pid)}\n")

    def leave(self) -> None:
        """Send it home: nothing is killed and nothing removed."""
        self._say("leave\n")
        self._process.communicate()

    def close(self) -> None:
        """Let it do its work now; returns when that is done."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self._process.wait()

    def _say(self, line: str) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()


@dataclass(frozen=True)
class State:
    """A broker that outlives the program that started it."""

    pid: int
    begun: str
    directory: str
    bootstrap_servers: str
    kafka: str

    @property
    def file(self) -> Path:
        """Where the state is kept: one file for each port."""
        return STATES / f"{self.bootstrap_servers.rpartition(':')[2]}.json"

    @property
    def runs(self) -> bool:
        """The process noted down is alive."""
        return started(self.pid) == self.begun

    def save(self) -> None:
        """Write the state where `stop` and `status` look for it."""
        STATES.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(vars(self), indent=2) + "\n")

    def end(self) -> None:
        """Kill the broker, remove its directory, forget it."""
        kill(self.pid, self.begun)
        shutil.rmtree(self.directory, ignore_errors=True)
        self.file.unlink(missing_ok=True)

    def __str__(self) -> str:
        if not self.runs:
            return f"{self.bootstrap_servers}  gone (process {self.pid} ended); `stop` removes what it left"
        disk = sum(file.stat().st_blocks * 512 for file in Path(self.directory).rglob("*") if file.is_file())
        memory = "?"
        with contextlib.suppress(OSError, TypeError):
            status = Path(f"/proc/{self.pid}/status").read_text()
            memory = str(int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) // 1024)
        return (
            f"{self.bootstrap_servers}  Apache Kafka {self.kafka}, process {self.pid}, {memory} MB memory, "
            f"{disk >> 20} MB in {self.directory}"
        )


def states(port: int | None = None) -> list[State]:
    """Return the brokers that `start` left running from this checkout, or the one at a port."""
    files = sorted(STATES.glob("*.json" if port is None else f"{port}.json"))
    return [State(**json.loads(file.read_text())) for file in files]


if __name__ == "__main__":
    keep(sys.argv[1])
