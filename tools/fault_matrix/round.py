"""One round: a job is started, a fault strikes it at a random moment, and what came of it is judged."""

from __future__ import annotations

import random
import tempfile
import time
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from broker_state import Keeper
from fault_matrix.job import Job
from fault_matrix.judge import Verdict, judge, read
from fault_matrix.writer import Order

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fault_matrix.cluster import Cluster
    from penstock._core import MockCluster

AT_LEAST_ONCE: Final = "at_least_once"
EXACTLY_ONCE: Final = "exactly_once"
PARTITIONS: Final = 4
FINISH_SECS: Final = 120.0


class Missed(Exception):  # noqa: N818 - the name is what happened
    """The moment that the fault was to strike at was never seen; the round says nothing."""


class World(Protocol):
    """Where jobs write to: the cluster, or librdkafka's mock."""

    @property
    def bootstrap(self) -> str:
        """Addresses for the job."""

    @property
    def direct(self) -> str:
        """Addresses for ourselves."""

    def create_topic(self, name: str, partitions: int) -> None:
        """Make a topic and wait for it."""

    def delete_topic(self, name: str) -> None:
        """Delete it."""

    def heal(self) -> None:
        """Undo every fault."""


@dataclass(frozen=True)
class Line:
    """A line of the matrix.

    name        for the command line
    what        for the table
    strike      does it, and returns the moment of the fault by time.monotonic()
    deliveries  the modes in which it makes sense
    ends        how the job may end: `delivered`, `killed`, or the class of an error; a second one must deliver
    when        in the midst of writing, or while the writer opens
    again       the job has a name in both modes, and is started once more after its end
    gone        the topic is: nothing is read
    order       fields of Order, settings of the writer, the environment of its process
    world       the cluster of three brokers, or the mock
    why_not     says why the line cannot be run here, or nothing
    """

    name: str
    what: str
    strike: Callable[[Round], float]
    deliveries: tuple[str, ...] = (AT_LEAST_ONCE, EXACTLY_ONCE)
    ends: tuple[str, ...] = ("delivered",)
    when: Literal["opening", "writing"] = "writing"
    again: bool = False
    gone: bool = False
    order: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: Callable[[Path], Mapping[str, str]] = lambda _: {}
    world: Literal["kafka", "mock"] = "kafka"
    why_not: Callable[[World], str] = lambda _: ""


@dataclass(frozen=True)
class Outcome:
    """What came of a round.

    recovered   seconds from the fault until rows taken after it, and all before, were acknowledged; None: never
    wrong       what contradicts the promise, one sentence each
    """

    seed: int
    end: str
    missing: int
    repeats: int
    disordered: int
    recovered: float | None
    wrong: list[str]
    message: str = ""
    code: str | None = None
    acknowledged: int = 0
    failed: int = 0
    unknown: int = 0


class Round:
    """A round while it runs; what `strike` gets.

    rng      all that is random comes from it
    folder   for files of the round
    """

    def __init__(self, line: Line, delivery: str, seed: int, world: World) -> None:
        self.line = line
        self.delivery = delivery
        self.seed = seed
        self.world = world
        self.rng = random.Random(f"{line.name} {delivery} {seed}")  # noqa: S311 - to be had again
        self.topic = f"faults-{uuid.uuid4().hex[:12]}"
        self.folder = Path(tempfile.mkdtemp(prefix="penstock-faults-"))
        self._keeper = Keeper(self.folder)
        self._jobs: list[Job] = []

    @property
    def cluster(self) -> Cluster:
        """The three brokers."""
        from fault_matrix.cluster import Cluster  # noqa: PLC0415 - only to say what it is

        assert isinstance(self.world, Cluster)  # noqa: S101 - a line that names them has them
        return self.world

    @property
    def mock(self) -> MockCluster:
        """The mock cluster."""
        found: MockCluster = self.world.mock  # type: ignore[attr-defined]
        return found

    @property
    def job(self) -> Job:
        """The job that the fault strikes."""
        return self._jobs[0]

    @property
    def name(self) -> str:
        """The job's name."""
        return self.topic

    def order(self) -> Order:
        """Return what the job is to write."""
        settings: dict[str, Any] = {**self.line.settings, "delivery": self.delivery}
        if self.delivery == EXACTLY_ONCE or self.line.again:
            settings |= {"job": self.name, "epoch_secs": 0.2}
        order = Order(
            self.topic,
            self.world.bootstrap,
            rows=100_000,
            batch_rows=1000,
            secs=3.0,
            flush_every=10_000,
            commit_every=5000 if "job" in settings else 0,
            settings=settings,
        )
        return replace(order, **self.line.order)

    def start_job(self) -> Job:
        """Start it, or start it once more."""
        job = Job(self.order(), self._keeper, self.line.environment(self.folder))
        self._jobs.append(job)
        return job

    def play(self) -> Outcome:
        """Run the round; Missed when the fault did not strike."""
        try:
            self.world.create_topic(self.topic, PARTITIONS)
            job = self.start_job()
            if self.line.when == "writing":
                if not job.wait_for(lambda: job.opened, 60):
                    raise Missed(f"the job did not open: {job.finish(0)}")
                time.sleep(self.rng.uniform(0.1, 0.8) * job.order.secs)
            struck = self.line.strike(self)
            ends = [job.finish(FINISH_SECS)]
            if job.done is not None and job.done < struck:
                raise Missed("the job was done before")
            if self.line.again:
                self.start_job()
            ends += [later.finish(FINISH_SECS) for later in self._jobs[1:]]
            self.world.heal()
            return self._judge(struck, ends)
        finally:
            for job in self._jobs:
                job.kill()
            self._keeper.close()
            self.world.heal()
            self.world.delete_topic(self.topic)

    def _judge(self, struck: float, ends: list[dict[str, Any]]) -> Outcome:
        """Judge by `ends`: how the job ended, and how one did that was started after it."""
        last = self._jobs[-1]
        verdict, report = self._verdict(ends), ends[-1]["report"] or {}
        wrong = []
        if ends[0]["end"] not in self.line.ends:
            wrong.append(f"the end was {ends[0]['end']}: {ends[0].get('message', '')}")
        wrong += [f"the second job: {one['end']}: {one['message']}" for one in ends[1:] if one["end"] != "delivered"]
        if verdict.missing:
            wrong.append(f"{verdict.missing} acknowledged rows are missing")
        if verdict.disordered:
            wrong.append(f"{verdict.disordered} rows came after a later one of their key")
        if verdict.repeats and self.delivery == EXACTLY_ONCE:
            wrong.append(f"{verdict.repeats} rows are there more than once")
        counted = sum(report.get(name, 0) for name in ("rows", "failed_rows", "unknown_rows"))
        if report and not last.order.commit_every and counted != last.taken:
            wrong.append(f"{last.taken} rows were taken, {counted} are accounted for")
        if report and not last.order.commit_every and verdict.rows > report["rows"] + report["unknown_rows"]:
            wrong.append(f"{verdict.rows} rows are there, of which some are said to have failed")
        if report and not last.order.commit_every and verdict.repeats > report["resent_rows"] + report["unknown_rows"]:
            wrong.append(f"{verdict.repeats} rows are there more than once, {report['resent_rows']} were sent again")
        return Outcome(
            seed=self.seed,
            end=", then ".join(one["end"] for one in ends),
            missing=verdict.missing,
            repeats=verdict.repeats,
            disordered=verdict.disordered,
            recovered=last.recovered_after(struck) if ends[-1]["end"] == "delivered" else None,
            wrong=wrong,
            message=ends[0].get("message", ""),
            code=ends[0].get("code"),
            acknowledged=report.get("rows", 0),
            failed=report.get("failed_rows", 0),
            unknown=report.get("unknown_rows", 0),
        )

    def _verdict(self, ends: list[dict[str, Any]]) -> Verdict:
        """Read the topic and compare it with what the jobs said."""
        if self.line.gone:
            return Verdict(0, 0, 0, 0)
        messages = read(self.world.direct, self.topic, committed=self.delivery == EXACTLY_ONCE)
        runs: dict[int, list[tuple[int, int, int, str]]] = {}
        for end in ends:
            for part in (end["report"] or {"partitions": []})["partitions"]:
                runs.setdefault(part["partition"], []).extend(part["runs"] or ())
        if ends[-1]["end"] == "delivered":
            return judge(messages, written=self.job.order.rows, runs=runs)
        acknowledged = max(self.job.acked, (ends[0]["report"] or {}).get("rows", 0))
        return judge(messages, written=self.job.flushed, acknowledged=acknowledged, runs=runs)
