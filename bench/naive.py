"""The loop that everyone writes: to_pylist, dumps, produce with a callback. One process, one message per row.

    python bench/naive.py json|orjson PARQUET ROWS TOPIC BOOTSTRAP

Uncompressed, linger.ms 50, batch.size 1 MB, all else as the client has it (acks=all, no idempotence). The stopwatch and
the CPU count start when the client knows the topic and the file is open, and stop at the last acknowledgement.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow.parquet as pq
from confluent_kafka import Producer

if TYPE_CHECKING:
    from collections.abc import Callable


def json_dumps(row: dict[str, Any]) -> str:
    """Use the standard library as it comes; a timestamp becomes text."""
    return json.dumps({"insert": row}, default=str)


def orjson_dumps(row: dict[str, Any]) -> bytes:
    """Use orjson, which knows timestamps."""
    return orjson.dumps({"insert": row})


DUMPS: dict[str, Callable[[dict[str, Any]], str | bytes]] = {"json": json_dumps, "orjson": orjson_dumps}


def cpu_seconds() -> float:
    """User and system time of this process so far, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_memory_bytes() -> int:
    """Peak resident memory. Not ru_maxrss: that begins with what the process that started this one had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def main() -> None:
    """Send the first ROWS rows of a Parquet file; print one JSON object."""
    encoder, path, rows, topic, bootstrap_servers = sys.argv[1:]
    begun = time.perf_counter()
    dumps = DUMPS[encoder]
    wanted = int(rows)
    acked = failed = size = 0

    def on_delivery(error: object, message: object) -> None:  # noqa: ARG001 - the client's signature
        nonlocal acked, failed
        if error is None:
            acked += 1
        else:
            failed += 1

    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 50, "batch.size": 1_000_000})
    producer.list_topics(topic, timeout=10)
    file = pq.ParquetFile(path)
    startup = time.perf_counter() - begun

    cpu = cpu_seconds()
    started = time.perf_counter()
    sent = 0
    for batch in file.iter_batches():
        for row in batch.slice(0, wanted - sent).to_pylist():
            value = dumps(row)
            size += len(value)
            while True:
                try:
                    producer.produce(topic, value, on_delivery=on_delivery)
                    break
                except BufferError:  # the queue is full
                    producer.poll(0.1)
            producer.poll(0)
            sent += 1
        if sent >= wanted:
            break
    producer.flush()
    seconds = time.perf_counter() - started
    cpu = cpu_seconds() - cpu

    if failed or acked != wanted:
        sys.exit(f"{acked} of {wanted} rows acknowledged, {failed} failed")
    print(
        json.dumps(
            {
                "rows": sent,
                "messages": acked,
                "bytes": size,  # json escapes what is not ASCII, so characters are bytes
                "seconds": seconds,
                "cpu_seconds": cpu,
                "startup_seconds": startup,
                "peak_memory_bytes": peak_memory_bytes(),
                "workers": 0,
            }
        )
    )


if __name__ == "__main__":
    main()
