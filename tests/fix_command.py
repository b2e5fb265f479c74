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
