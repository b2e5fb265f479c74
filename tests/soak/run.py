"""Ten minutes of writing while workers are killed and frozen and connections are cut: nothing grows, nothing is lost.

    python tests/soak/run.py                     10 minutes, at least once
    python tests/soak/run.py --minutes 60 --delivery exactly_once --seed 7

A real Kafka of one broker behind a proxy; the writer is a process of its own, and a consumer reads along. Twice a
second the memory (PSS) and the descriptors of the writer and its workers are looked at. The first quarter is warm-up.
Exit status 1 when a row is missing (exactly once: or repeated), or when memory or descriptors have grown since then.
pytest does not collect this; it prints a summary.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient, NewTopic

from broker import Broker, Listener, free_port
from broker_state import Keeper
from fault_matrix.job import Job
from fault_matrix.proxy import Proxies
from fault_matrix.writer import Order

TOPIC = "soak"
ROWS_PER_SEC = 5000
PARTITIONS = 4
MEMORY_BYTES = 32 << 20  # small, so that it was full once before the warm-up ends
GROWTH = 1.10  # of the median since the warm-up: what one moment differs from another by
SPARE_BYTES = 4 << 20
SPARE_DESCRIPTORS = 2  # a process that is just being started has some more


class Reader(threading.Thread):
    """A consumer that reads along and notes each id.

    seen      a byte for each id
    repeats   rows that came once more
    """

    def __init__(self, bootstrap: str, rows: int, *, committed: bool) -> None:
        super().__init__(name="soak-reader")
        self.seen = bytearray(rows)
        self.repeats = 0
        self.found = 0
        self.done = threading.Event()
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "soak",
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed" if committed else "read_uncommitted",
                "log_level": 0,
            }
        )
        self._consumer.subscribe([TOPIC])

    def run(self) -> None:
        while not self.done.is_set():
            for message in self._consumer.consume(5000, timeout=0.5):
                if message.error() is None:
                    for line in message.value().splitlines():
                        number = json.loads(line)["insert"]["id"]
                        self.repeats += self.seen[number]
                        self.found += not self.seen[number]
                        self.seen[number] = 1
        self._consumer.close()


class Usage:
    """Memory and descriptors of a job's processes, sampled."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.samples: list[tuple[float, int, int, int]] = []  # when, PSS, descriptors: caller, worker

    def look(self) -> None:
        caller, workers = self._job.process.pid, self._job.workers()
        with contextlib.suppress(OSError):  # one of them has just ended: this sample is none
            pss = sum(map(pss_bytes, [caller, *workers]))
            self.samples.append((time.monotonic(), pss, descriptors(caller), max(map(descriptors, workers), default=0)))

    def since(self, begin: float, end: float) -> tuple[float, int, int]:
        """Return the median of memory and the most descriptors of caller and worker in a span of time."""
        inside = [one for one in self.samples if begin <= one[0] < end]
        return median(one[1] for one in inside), max(one[2] for one in inside), max(one[3] for one in inside)


def pss_bytes(pid: int) -> int:
    """Return the memory of a process; pages that are shared count in parts."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"process {pid} has ended")


def descriptors(pid: int) -> int:
    """Count the open descriptors of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def strike(job: Job, proxies: Proxies, rng: random.Random, told: Counter[str]) -> None:
    """Let one fault happen, and undo it."""
    kind = rng.choice(["kill", "kill", "freeze", "cut", "slow", "silence", "reset", "close_after"])
    told[kind] += 1
    workers = job.workers()
    if kind in {"kill", "freeze"}:
        with contextlib.suppress(ProcessLookupError, IndexError):
            os.kill(rng.choice(workers), signal.SIGKILL if kind == "kill" else signal.SIGSTOP)
        return
    if kind == "cut":
        proxies.cut([1])
    elif kind == "slow":
        proxies.slow([1], latency_ms=200, kb_per_sec=300)
    elif kind == "silence":
        proxies.silence([1], rng.choice([["upstream"], ["downstream"], ["upstream", "downstream"]]))
    elif kind == "reset":
        proxies.reset([1])
    else:
        proxies.close_after([1], rng.randint(1000, 200_000))
    time.sleep(rng.uniform(0.2, 3))
    proxies.heal()


def soak(minutes: float, delivery: str, seed: int) -> int:
    """Write for so long; print the summary, return the exit status."""
    rng = random.Random(seed)
    secs = minutes * 60
    rows = int(secs * ROWS_PER_SEC)
    port = free_port("127.0.0.1")
    listeners = (Listener("DIRECT"), Listener("PROXIED", advertised=port))
    with contextlib.ExitStack() as ends:
        broker = ends.enter_context(Broker(listeners=listeners, retention_bytes=192 << 20, auto_create=False))
        proxies = ends.enter_context(Proxies({1: (port, broker.listeners[1].port)}))
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})
        admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(30)
        keeper = Keeper(Path(tempfile.mkdtemp(prefix="penstock-soak-")))
        ends.callback(keeper.close)
        reader = Reader(broker.bootstrap_servers, rows, committed=delivery == "exactly_once")
        reader.start()
        ends.callback(reader.join)
        ends.callback(reader.done.set)
        settings = {
            "memory_bytes": MEMORY_BYTES,
            "audit": False,
            "worker_timeout_secs": 2,
            "max_restarts_per_min": 60,
            "delivery": delivery,
        }
        if delivery == "exactly_once":
            settings |= {"job": "soak", "epoch_secs": 0.5}
        order = Order(
            TOPIC,
            broker.address("PROXIED"),
            rows,
            batch_rows=500,
            secs=secs,
            commit_every=2500 if "job" in settings else 0,
            settings=settings,
        )
        job = Job(order, keeper)
        ends.callback(job.kill)
        assert job.wait_for(lambda: job.opened, 60), job.finish(0)
        usage = Usage(job)
        told: Counter[str] = Counter()
        began = time.monotonic()
        stop = threading.Event()
        watching = threading.Thread(target=watch, args=(usage, stop))
        watching.start()
        proxies.cut([1])  # the arena fills once in the warm-up
        time.sleep(min(secs / 10, 10))
        proxies.heal()
        while time.monotonic() - began < secs * 0.97 and job.process.poll() is None:
            strike(job, proxies, rng, told)
            time.sleep(rng.uniform(1, 5))
        ended = job.finish(secs + 120)
        stop.set()
        watching.join()
        deadline = time.monotonic() + 60
        while reader.found < rows and time.monotonic() < deadline and ended["end"] == "delivered":
            time.sleep(0.2)
        return summary(ended, usage, reader, began, secs, told, delivery)


def watch(usage: Usage, stop: threading.Event) -> None:
    while not stop.wait(0.5):
        usage.look()


def summary(ended, usage, reader, began, secs, told, delivery) -> int:
    """Print what was seen; return the exit status."""
    missing = len(reader.seen) - reader.found
    early = usage.since(began + secs / 4, began + secs / 2)
    late = usage.since(began + secs * 3 / 4, began + secs)
    report = ended["report"] or {}
    wrong = []
    if ended["end"] != "delivered":
        wrong.append(f"the end was {ended['end']}: {ended['message']}")
    if missing:
        wrong.append(f"{missing} rows are missing")
    if reader.repeats and delivery == "exactly_once":
        wrong.append(f"{reader.repeats} rows are there more than once")
    if late[0] > early[0] * GROWTH + SPARE_BYTES:
        wrong.append("memory has grown")
    if late[1] > early[1] + SPARE_DESCRIPTORS or late[2] > early[2] + SPARE_DESCRIPTORS:
        wrong.append("descriptors have grown")
    print(f"{delivery}, {secs / 60:g} minutes, {len(reader.seen):,} rows, the end: {ended['end']}")
    print(f"faults: {', '.join(f'{count} {kind}' for kind, count in sorted(told.items()))}")
    print(f"restarts {report.get('restarts')}, rows sent again {report.get('resent_rows')}")
    print(f"rows missing {missing}, repeats {reader.repeats}")
    for name, one in (("second", early), ("last", late)):
        print(
            f"{name} quarter: memory {one[0] / 1e6:.1f} MB (median PSS of all), descriptors at most {one[1]} of the "
            f"caller, {one[2]} of a worker"
        )
    print("WRONG: " + "; ".join(wrong) if wrong else "as it should be")
    return int(bool(wrong))


def main() -> int:
    parser = argparse.ArgumentParser(description="a soak with random faults")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--delivery", choices=("at_least_once", "exactly_once"), default="at_least_once")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything that was started ends
    print(f"seed {options.seed}", flush=True)
    return soak(options.minutes, options.delivery, options.seed)


if __name__ == "__main__":
    sys.exit(main())
