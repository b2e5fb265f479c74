"""The installed command line as a program, which is how a shell meets it."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def penstock_command() -> str:
    """Path of the `penstock` command that belongs to this Python."""
    path = Path(sysconfig.get_path("scripts"), "penstock")
    assert path.exists(), f"{path} is missing: install the package first (tools/test does)"
    return str(path)


def command_lines() -> str:
    """Return what `ps` shows of all processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().decode(errors="replace"))
        except OSError:  # it has ended
            continue
    return "\n".join(found)
