"""One `penstock.write` in a process of its own.

    python bench/ours.py SETTINGS PARQUET…

SETTINGS is a JSON object of keyword arguments. `seconds` and `peak_memory_bytes` are the receipt's; the CPU is that of
this process and of its workers, from start to end, start-up included: run.py takes off what a run of one row costs.
"""

from __future__ import annotations

import json
import resource
import sys

import penstock


def cpu_seconds() -> float:
    """User and system time of this process and of all workers, which have ended by now."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + workers.ru_utime + workers.ru_stime


def main() -> None:
    """Write the files; print one JSON object."""
    settings, *paths = sys.argv[1:]
    report = penstock.write(paths, **json.loads(settings))
    print(
        json.dumps(
            {
                "rows": report.rows,
                "messages": report.messages,
                "bytes": report.bytes,
                "seconds": report.seconds,
                "cpu_seconds": cpu_seconds(),
                "startup_seconds": report.startup_seconds,
                "peak_memory_bytes": report.peak_memory_bytes,
                "workers": report.workers,
            }
        )
    )


if __name__ == "__main__":
    main()
