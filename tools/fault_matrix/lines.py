"""The faults, each with the modes of delivery in which it makes sense."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fault_matrix import clock
from fault_matrix.cluster import Cluster
from fault_matrix.round import AT_LEAST_ONCE, EXACTLY_ONCE, PARTITIONS, Line, Missed, Round, World

if TYPE_CHECKING:
    from collections.abc import Callable

ALL: Final = (1, 2, 3)
TOPIC_GONE_SECS: Final = 30


# --- workers ---


def kill_worker(stage: str) -> Callable[[Round], float]:
    """Return the strike that kills a worker at a stage."""

    def strike(here: Round) -> float:
        if stage == "waiting":  # on this machine an acknowledgement takes a millisecond
            here.cluster.proxies.slow(ALL, latency_ms=150)
            time.sleep(0.3)
        if not here.job.kill_worker(stage, here.rng):
            raise Missed(f"no worker was seen {stage}")
        struck = time.monotonic()
        here.cluster.proxies.heal()
        return struck

    return strike


def kill_opening_worker(here: Round) -> float:
    """Kill a worker while all of them connect for the first time, to brokers that are slow for it."""
    here.cluster.proxies.slow(ALL, latency_ms=150)
    if not here.job.wait_for(lambda: len(here.job.workers()) > 1, 20):
        raise Missed("no worker was seen")
    time.sleep(here.rng.uniform(0, 0.6))
    if here.job.opened is not None:
        raise Missed("it was open before")
    os.kill(here.rng.choice(here.job.workers()), signal.SIGKILL)
    struck = time.monotonic()
    here.job.wait_for(lambda: False, 1.0)
    here.cluster.proxies.heal()
    return struck


def kill_connecting_worker(here: Round) -> float:
    """Kill a worker, and then the one that comes in its place before it has connected."""
    here.cluster.proxies.slow(ALL, latency_ms=100)
    before = here.job.workers()
    os.kill(here.rng.choice(before), signal.SIGKILL)
    struck = time.monotonic()
    if not here.job.wait_for(lambda: set(here.job.workers()) - set(before), 20):
        raise Missed("no other worker came")
    time.sleep(here.rng.uniform(0, 0.3))
    os.kill((set(here.job.workers()) - set(before)).pop(), signal.SIGKILL)
    here.cluster.proxies.heal()
    return struck


def freeze_worker(here: Round) -> float:
    """Stop a worker for good."""
    os.kill(here.rng.choice(here.job.workers()), signal.SIGSTOP)
    return time.monotonic()


# --- the caller ---


def kill_caller(here: Round) -> float:
    """Kill the process that writes; its workers must be gone soon after."""
    workers = here.job.workers()
    struck = time.monotonic()
    here.job.kill()
    deadline = struck + 5
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        if time.monotonic() > deadline:
            raise RuntimeError(f"workers {workers} outlive their caller")
        time.sleep(0.01)
    return struck


def start_twice(here: Round) -> float:
    """Start the same job a second time while the first one writes."""
    struck = time.monotonic()
    later = here.start_job()
    later.wait_for(lambda: later.opened or here.job.done, 60)
    if here.job.ended is not None and here.job.ended["end"] == "delivered":
        raise Missed("the first one was done before the second was open")
    return struck


# --- brokers ---


def kill_leader(here: Round) -> float:
    """Kill the broker that leads one of the partitions; it stays away."""
    here.cluster.brokers[here.cluster.leader(here.topic, here.rng.randrange(PARTITIONS))].kill()
    return time.monotonic()


def kill_coordinator(here: Round) -> float:
    """Kill the broker that coordinates the transactions of one of the job's lanes; it stays away."""
    lane = here.rng.randrange(PARTITIONS)
    here.cluster.brokers[here.cluster.transaction_coordinator(f"{here.name}-{lane}")].kill()
    return time.monotonic()


def stop_two(here: Round) -> float:
    """Kill two of three brokers, so that too few replicas are in sync; both come back."""
    chosen = here.rng.sample(ALL, 2)
    for number in chosen:
        here.cluster.brokers[number].kill()
    struck = time.monotonic()
    time.sleep(here.rng.uniform(5, 8))  # the controller notes it after 3
    for number in chosen:
        here.cluster.brokers[number].run()
    return struck


def fill_disk(here: Round) -> float:
    """Fill the disk of a broker that leads some of the partitions."""
    here.cluster.fill_disk()
    return time.monotonic()


def no_small_disk(world: World) -> str:
    """Say why no disk can be filled here."""
    return world.no_disk if isinstance(world, Cluster) else ""


# --- connections ---


def for_a_while(fault: Callable[[Round, list[int]], None]) -> Callable[[Round], float]:
    """Return the strike that does something to the connections to one broker or to all, for 1 to 4 s."""

    def strike(here: Round) -> float:
        struck = time.monotonic()
        fault(here, here.rng.choice([[1], [2], [3], list(ALL), list(ALL)]))
        time.sleep(here.rng.uniform(1, 4))
        here.cluster.proxies.heal()
        return struck

    return strike


# --- clock and topic ---


def set_clock(direction: int) -> Callable[[Round], float]:
    """Return the strike that sets the clock by up to 50 minutes; beyond an hour brokers refuse timestamps."""

    def strike(here: Round) -> float:
        clock.jump(here.folder, direction * here.rng.randint(5, 3000))
        return time.monotonic()

    return strike


def delete_topic(here: Round) -> float:
    """Delete the topic; the job must say so in time."""
    here.cluster.delete_topic(here.topic)
    struck = time.monotonic()
    ended = here.job.finish(TOPIC_GONE_SECS)
    if here.topic not in ended.get("message", ""):
        raise RuntimeError(f"the error does not name the topic: {ended}")
    return struck


def grow_topic(here: Round) -> float:
    """Give the topic two partitions more."""
    here.cluster.add_partitions(here.topic, PARTITIONS + 2)
    return time.monotonic()


LINES: Final = (
    Line(
        "kill-worker-opening",
        "kill -9 of a worker while the writer opens",
        kill_opening_worker,
        ends=("WorkerDied", "delivered"),
        when="opening",
    ),
    Line(
        "kill-worker-connecting",
        "kill -9 of a worker, and of the one in its place while that connects",
        kill_connecting_worker,
        settings={"workers": 1},
    ),
    Line(
        "kill-worker-encoding",
        "kill -9 of a worker that encodes",
        kill_worker("encoding"),
        order={"batch_rows": 10_000},
        settings={"workers": 1},
    ),
    Line(
        "kill-worker-waiting",
        "kill -9 of a worker that waits for acknowledgements",
        kill_worker("waiting"),
        settings={"workers": 1},
    ),
    Line(
        "kill-worker-idle",
        "kill -9 of a worker between two chunks",
        kill_worker("idle"),
        order={"flush_every": 5000, "rest_secs": 0.05},
        settings={"workers": 1},
    ),
    Line(
        "kill-one-of-two-workers",
        "kill -9 of one of two workers that encodes",
        kill_worker("encoding"),
        order={"batch_rows": 20_000},
    ),
    Line(
        "freeze-worker",
        "a worker frozen (SIGSTOP; worker_timeout_secs 2)",
        freeze_worker,
        settings={"workers": 1, "worker_timeout_secs": 2},
    ),
    Line("kill-caller", "kill -9 of the caller", kill_caller, deliveries=(AT_LEAST_ONCE,), ends=("killed",)),
    Line(
        "kill-caller-again",
        "kill -9 of the caller, job started again",
        kill_caller,
        ends=("killed",),
        again=True,
    ),
    Line("kill-leader", "kill -9 of a leader broker, which stays away", kill_leader),
    Line(
        "kill-coordinator",
        "kill -9 of the transaction coordinator's broker, which stays away",
        kill_coordinator,
        deliveries=(EXACTLY_ONCE,),
    ),
    Line("not-enough-replicas", "two of three brokers killed (NOT_ENOUGH_REPLICAS), back after 5 to 8 s", stop_two),
    Line("disk-full", "a leader broker's disk full", fill_disk, order={"secs": 6.0}, why_not=no_small_disk),
    Line("cut", "connections cut and refused for 1 to 4 s", for_a_while(lambda here, to: here.cluster.proxies.cut(to))),
    Line(
        "slow",
        "connections slow for 1 to 4 s: 300 ms, 200 kB/s",
        for_a_while(lambda here, to: here.cluster.proxies.slow(to, latency_ms=300, kb_per_sec=200)),
    ),
    Line(
        "silence",
        "connections silent for 1 to 4 s (black hole)",
        for_a_while(lambda here, to: here.cluster.proxies.silence(to)),
    ),
    Line(
        "lost-answers",
        "the brokers' answers lost for 1 to 4 s",
        for_a_while(lambda here, to: here.cluster.proxies.silence(to, ["downstream"])),
    ),
    Line("reset", "connections reset for 1 to 4 s", for_a_while(lambda here, to: here.cluster.proxies.reset(to))),
    Line(
        "closed-in-a-request",
        "connections closed in the middle of a request, for 1 to 4 s",
        for_a_while(lambda here, to: here.cluster.proxies.close_after(to, here.rng.randint(1000, 200_000))),
    ),
    Line(
        "clock-forwards",
        "the writer's clock set forwards, up to 50 min",
        set_clock(1),
        environment=clock.environment,
        why_not=lambda _: clock.missing(),
    ),
    Line(
        "clock-backwards",
        "the writer's clock set back, up to 50 min",
        set_clock(-1),
        environment=clock.environment,
        why_not=lambda _: clock.missing(),
    ),
    Line(
        "topic-deleted",
        "topic deleted: an error that names it, within 30 s",
        delete_topic,
        ends=("DeliveryError",),
        gone=True,
        order={"rows": 1_000_000, "secs": 30.0},
    ),
    Line("topic-grown", "topic given two partitions more", grow_topic),
    Line(
        "fenced",
        "the same job started twice",
        start_twice,
        deliveries=(EXACTLY_ONCE,),
        ends=("Fenced",),
        order={"secs": 12.0},
    ),
)
