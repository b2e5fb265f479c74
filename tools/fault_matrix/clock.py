"""A process whose wall clock can be set while it runs, by libfaketime; its monotonic clock goes on, as in reality."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from kafka_jars import CACHE, BrokerError

_LIBRARIES: Final = ("usr/lib/*/faketime/libfaketimeMT.so.1", "usr/lib*/faketime/libfaketimeMT.so.1")
_SHIM: Final = Path(__file__).with_name("cnd_timedwait.c")
# libfaketime 0.9.10 refuses the system call by which Python sleeps: it mistakes moments of the monotonic clock.
_SITE: Final = "import select, time\ntime.sleep = lambda secs: select.select([], [], [], secs)\n"


def missing() -> str:
    """Say why no clock can be set here, or nothing."""
    if _library() is None:
        return "libfaketime is not installed (Debian: libfaketime)"
    return "" if shutil.which("cc") else "no C compiler (Debian: gcc)"


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a process whose clock `jump` sets; the folder is the process's own."""
    jump(folder, 0)
    (folder / "sitecustomize.py").write_text(_SITE)
    return {
        "PYTHONPATH": str(folder),
        "LD_PRELOAD": f"{_shim()} {_library()}",
        "FAKETIME_TIMESTAMP_FILE": str(folder / "clock"),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def jump(folder: Path, secs: int) -> None:
    """Set the clock to so many seconds after the true time, or before it; at once."""
    new = folder / "clock.new"
    new.write_text(f"{secs:+d}")
    new.replace(folder / "clock")


def _library() -> Path | None:
    return next((path for pattern in _LIBRARIES for path in Path("/").glob(pattern)), None)


def _shim() -> Path:
    """Return cnd_timedwait.c as a library, compiled into .cache/ when it is not there."""
    built = CACHE / "faults" / "cnd_timedwait.so"
    if not built.exists() or built.stat().st_mtime < _SHIM.stat().st_mtime:
        built.parent.mkdir(parents=True, exist_ok=True)
        partial = built.with_name(f"{os.getpid()}.so")
        command = ["cc", "-O2", "-shared", "-fPIC", "-o", str(partial), str(_SHIM)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BrokerError(f"{_SHIM.name} could not be compiled: {done.stderr.strip()}")
        partial.replace(built)
    return built
