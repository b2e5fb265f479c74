"""Memory: the same setting, 1 million rows and 20 million rows; the sum of PSS over all processes, seen from outside.

The receipt says its own peak; here another process reads /proc/PID/smaps_rollup of the caller and of its workers ten
times a second, so that the claim does not rest on the program that makes it.
"""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import data
import machine
from contenders import Contender, Lab, WrongResultError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SMALL_ROWS = 1_000_000
LARGE_ROWS = 20_000_000
FILE_ROWS = 5_000_000  # the large job names this file several times: penstock writes it as often
WORKER_BYTES = 60_000_000
CALLER_BYTES = 250_000_000
DEFAULT_BUDGET = 256 << 20


@dataclass(frozen=True)
class Memory:
    """Peaks of one run.

    peak_bytes      highest sum of PSS seen from outside
    reported_bytes  what the receipt said
    allowed_bytes   memory_bytes + 60 MB for each worker + 250 MB for the caller
    """

    contender: str
    rows: int
    workers: int
    peak_bytes: int
    reported_bytes: int
    allowed_bytes: int
    seconds: float


def _watch(process: subprocess.Popen[str]) -> int:
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(machine.pss_bytes(pid) for pid in machine.children(process.pid)))
        time.sleep(0.1)
    return peak


def measure(lab: Lab, contender: Contender, paths: Sequence[Path], rows: int) -> Memory:
    """One run, watched; the number of rows is checked by the broker's end offsets and the receipt."""
    topic = lab.create_topic(keep_all=False)
    command = lab.ours(contender, topic, *paths)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        peak = _watch(process)
        out, err = process.communicate()
    if process.returncode != 0:
        raise WrongResultError(f"{contender.name}: {err.strip()[-2000:]}")
    said = json.loads(out.splitlines()[-1])
    stored = lab.end_offsets(topic)
    lab.delete_topic(topic)
    if said["rows"] != rows or stored != said["messages"]:
        raise WrongResultError(
            f"{contender.name}: {said['rows']} of {rows} rows, {stored} of {said['messages']} messages"
        )
    allowed = DEFAULT_BUDGET + WORKER_BYTES * said["workers"] + CALLER_BYTES
    return Memory(
        contender=contender.name,
        rows=rows,
        workers=said["workers"],
        peak_bytes=peak,
        reported_bytes=said["peak_memory_bytes"],
        allowed_bytes=allowed,
        seconds=said["seconds"],
    )


def small_and_large(lab: Lab, contenders: Sequence[Contender]) -> list[Memory]:
    """1 and 20 million rows for each contender of ours that is given."""
    small = data.prepare(data.HEADLINE, SMALL_ROWS, encoded=False)
    large = data.prepare(data.HEADLINE, FILE_ROWS, encoded=False)
    many = [large.parquet] * (LARGE_ROWS // FILE_ROWS)
    return [
        found
        for one in contenders
        if one.kind == "ours"
        for found in (
            measure(lab, one, [small.parquet], SMALL_ROWS),
            measure(lab, one, many, LARGE_ROWS),
        )
    ]


def table(found: Sequence[Memory]) -> tuple[tuple[str, ...], list[list[str]]]:
    """Header and rows."""
    header = ("job", "rows", "workers", "peak PSS MB", "receipt says MB", "allowed MB")
    rows = [
        [
            one.contender,
            f"{one.rows:,}",
            str(one.workers),
            f"{one.peak_bytes / 1e6:.0f}",
            f"{one.reported_bytes / 1e6:.0f}",
            f"{one.allowed_bytes / 1e6:.0f}",
        ]
        for one in found
    ]
    return header, rows
