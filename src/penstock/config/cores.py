"""How many cores this process may use: its affinity mask, cut by the CPU quota of its control groups."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

__all__ = ["cgroup_cores", "usable_cores"]

_MOUNTINFO_ROOT = 3  # fields of /proc/self/mountinfo: id, parent, device, root, mount point, options, ..., "-", type
_MOUNTINFO_POINT = 4


def usable_cores() -> int:
    """Return the number of cores this process may use, at least 1.

    The lesser of the affinity mask (taskset, cpuset) and the CPU quota of this control group and its ancestors,
    version 1 or 2 (`docker run --cpus`, Kubernetes limits). A quota of 2.5 cores gives 2: a worker that is throttled
    in the middle of a request delays its acknowledgement by a whole scheduling period.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # macOS has none
    cores: int = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    quota = cgroup_cores()
    return max(1, cores if quota is None else min(cores, int(quota)))


def cgroup_cores(root: Path = Path("/")) -> float | None:
    """Return the CPU quota of this process in cores, or None where there is none.

    root  where /proc and the control group file systems are looked for; tests give a directory of their own

    A group's own limit and those of all its ancestors apply, so the smallest is returned. Files that are missing or
    unreadable, as in a sandbox, mean no quota. Source: cgroups(7), the kernel's cgroup-v2.rst and sched-bwc.rst.
    """
    groups = _lines(root / "proc/self/cgroup")
    mounts = _lines(root / "proc/self/mountinfo")
    quotas: list[float] = []
    for line in groups:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        version2 = number == "0" and not controllers
        if not version2 and "cpu" not in controllers.split(","):
            continue
        for point, mounted_root in _mounts(mounts, version2=version2):
            quotas.extend(_quotas(root, point, mounted_root, path, version2=version2))
    return min(quotas, default=None)


def _quotas(root: Path, point: str, mounted_root: str, path: str, *, version2: bool) -> list[float]:
    top = root / point.lstrip("/")
    try:
        inside = PurePosixPath(path).relative_to(mounted_root)
    except ValueError:  # a container that sees its own group as the top of the mount, but its path as the host's
        inside = PurePosixPath()
    if ".." in inside.parts:
        inside = PurePosixPath()
    found = []
    for directory in (inside, *inside.parents):
        quota = _quota2(top / directory) if version2 else _quota1(top / directory)
        if quota is not None:
            found.append(quota)
    return found


def _mounts(mounts: list[str], *, version2: bool) -> list[tuple[str, str]]:
    """Return (mount point, root of the mount) for each mounted cgroup file system with the cpu controller."""
    found = []
    for line in mounts:
        before, separator, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if not separator or not kind or len(fields) <= _MOUNTINFO_POINT:
            continue
        if kind[0] == "cgroup2" if version2 else (kind[0] == "cgroup" and "cpu" in kind[-1].split(",")):
            found.append((fields[_MOUNTINFO_POINT], fields[_MOUNTINFO_ROOT]))
    return found


def _quota2(group: Path) -> float | None:
    lines = _lines(group / "cpu.max")  # "200000 100000" or "max 100000"
    return _ratio(*lines[0].split()[:2]) if lines and len(lines[0].split()) > 1 else None


def _quota1(group: Path) -> float | None:
    quota, period = _lines(group / "cpu.cfs_quota_us"), _lines(group / "cpu.cfs_period_us")  # -1: no limit
    return _ratio(quota[0], period[0]) if quota and period else None


def _ratio(quota: str, period: str) -> float | None:
    try:
        microseconds, of = int(quota), int(period)
    except ValueError:  # "max"
        return None
    return microseconds / of if microseconds > 0 and of > 0 else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return []
