"""Where and with what a result was measured: facts stored beside the numbers, and how busy the machine was."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("penstock", "confluent-kafka", "pyarrow", "orjson", "msgspec", "numpy")
_TICK = os.sysconf("SC_CLK_TCK")


def _first_line(path: str, prefix: str) -> str:
    for line in Path(path).read_text().splitlines():
        if line.startswith(prefix):
            return line.partition(":")[2].strip()
    return ""


def commit() -> str:
    """Name the commit that is checked out, read from .git without running git; empty where there is none."""
    head = ROOT / ".git" / "HEAD"
    if not head.is_file():
        return ""
    text = head.read_text().strip()
    if not text.startswith("ref: "):
        return text
    name = text[5:]
    loose = ROOT / ".git" / name
    if loose.is_file():
        return loose.read_text().strip()
    packed = ROOT / ".git" / "packed-refs"
    lines = packed.read_text().splitlines() if packed.is_file() else []
    return next((line.split()[0] for line in lines if line.endswith(f" {name}")), "")


def source_digest() -> str:
    """SHA-256 over src/ and bench/: two results with equal digests come from the same code, committed or not."""
    digest = hashlib.sha256()
    suffixes = {".py", ".pyx", ".pxd", ".pyi", ".cpp", ".hpp", ".txt"}
    for folder in ("src", "bench"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in suffixes and path.is_file():
                digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def facts() -> dict[str, Any]:
    """Machine, versions, commit and command of this run."""
    memory_kb = int(_first_line("/proc/meminfo", "MemTotal").split()[0])
    return {
        "cpu": _first_line("/proc/cpuinfo", "model name") or platform.machine(),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory_kb / 1024**2, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {package: _version(package) for package in PACKAGES},
        "commit": commit(),
        "source_digest": source_digest(),
        "command": " ".join(["python", *sys.argv]),
        "load_average": os.getloadavg(),
    }


@dataclass(frozen=True)
class Busy:
    """CPU seconds of the whole machine since it started: all programs, and taken by the host (steal)."""

    programs: float
    stolen: float

    def __sub__(self, earlier: Busy) -> Busy:
        return Busy(self.programs - earlier.programs, self.stolen - earlier.stolen)


def busy() -> Busy:
    """Read /proc/stat: user, nice, system, irq and softirq; steal apart."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields
    return Busy((user + nice + system + irq + softirq) / _TICK, steal / _TICK)


def cpu_seconds(pid: int | None) -> float:
    """CPU time of one running process, all threads; 0 without one."""
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def _started_by(pid: int) -> list[int]:
    """Children of any thread of a process; none when it has ended."""
    try:
        texts = [(task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []
    return [int(child) for text in texts for child in text.split()]


def children(pid: int) -> list[int]:
    """Every process below `pid`, itself included."""
    found = [pid]
    for parent in found:
        found.extend(_started_by(parent))
    return found


def pss_bytes(pid: int) -> int:
    """Memory of one process, pages shared with others counted by their share; 0 when it is gone."""
    try:
        return int(_first_line(f"/proc/{pid}/smaps_rollup", "Pss:").split()[0]) * 1024
    except (OSError, IndexError):
        return 0
