"""cores: the affinity mask and the CPU quota of control groups, read from made-up /proc and /sys trees."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from penstock.config import cores
from penstock.config.cores import cgroup_cores, usable_cores

if TYPE_CHECKING:
    from pathlib import Path

V2_MOUNT = "30 23 0:26 {root} /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"
V1_MOUNT = "32 31 0:29 {root} /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct"


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def test_no_control_groups_mean_no_quota(tmp_path: Path) -> None:
    """Without /proc, as on macOS, or with a tree that says nothing, there is no quota."""
    assert cgroup_cores(tmp_path) is None
    tree(tmp_path, {"proc/self/cgroup": "0::/\nnonsense", "proc/self/mountinfo": "nonsense"})
    assert cgroup_cores(tmp_path) is None


@pytest.mark.parametrize(
    ("own", "parent", "cores_"), [("max 100000", "max 100000", None), ("150000 100000", "max 100000", 1.5),
                                  ("400000 100000", "200000 100000", 2.0), ("50000 100000", "200000 100000", 0.5)]
)  # fmt: skip
def test_version_2_takes_the_least_of_a_group_and_its_ancestors(
    tmp_path: Path, own: str, parent: str, cores_: float | None
) -> None:
    """cpu.max of the group and of every ancestor counts."""
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/kube/pod/box",
            "proc/self/mountinfo": V2_MOUNT.format(root="/"),
            "sys/fs/cgroup/kube/pod/box/cpu.max": own,
            "sys/fs/cgroup/kube/cpu.max": parent,
        },
    )
    assert cgroup_cores(root) == cores_


def test_version_1_reads_quota_and_period(tmp_path: Path) -> None:
    """cfs_quota_us over cfs_period_us counts, -1 does not, and groups of other controllers are not looked at."""
    files = {
        "proc/self/cgroup": "4:memory:/elsewhere\n3:cpu,cpuacct:/docker/box\n0::/",
        "proc/self/mountinfo": V1_MOUNT.format(root="/"),
        "sys/fs/cgroup/cpu,cpuacct/docker/box/cpu.cfs_quota_us": "300000",
        "sys/fs/cgroup/cpu,cpuacct/docker/box/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
    }
    assert cgroup_cores(tree(tmp_path, files)) == 3.0
    tree(tmp_path, {"sys/fs/cgroup/cpu,cpuacct/docker/box/cpu.cfs_quota_us": "-1"})
    assert cgroup_cores(tmp_path) is None


@pytest.mark.parametrize(("mounted", "path"), [("/docker/box", "/docker/box"), ("/", "/../.."), ("/docker/a", "/b")])
def test_a_container_finds_its_own_quota_at_the_top_of_the_mount(tmp_path: Path, mounted: str, path: str) -> None:
    """Inside a container the mount shows the container's own group, whatever path /proc gives it."""
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": f"0::{path}",
            "proc/self/mountinfo": V2_MOUNT.format(root=mounted),
            "sys/fs/cgroup/cpu.max": "200000 100000",
        },
    )
    assert cgroup_cores(root) == 2.0


@pytest.mark.parametrize(("quota", "expected"), [(None, 6), (2.5, 2), (0.5, 1), (64.0, 6)])
def test_usable_cores_is_the_lesser_of_affinity_and_quota(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, expected: int
) -> None:
    """Whole cores only, never more than the affinity mask, never none."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr(cores, "cgroup_cores", lambda: quota)
    assert usable_cores() == expected


def test_usable_cores_of_this_machine() -> None:
    """Here and now the answer lies between 1 and the machine's cores."""
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
