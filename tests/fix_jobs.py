"""A job on the real Kafka: its topic, its own progress topic, its many lives, and what readers see of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import penstock
from fix_leftovers import MARK, marked
from readback import read_topic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fix_broker import Kafka
    from penstock.errors import PenstockError
    from penstock.report import Report
    from readback import Received

PROGRAM = Path(__file__).with_name("job_program.py")


class Lives:
    """One job, run again and again, in this process or in others that are killed."""

    def __init__(self, kafka: Kafka, topic: str, progress: str, mark: str) -> None:
        self.kafka = kafka
        self.topic = topic
        self.progress = progress
        self.mark = mark
        self.job = f"job-{uuid.uuid4().hex[:12]}"
        self.kills = 0

    def settings(self, **more: Any) -> dict[str, Any]:
        """What a life of it is opened with; None takes one away."""
        one: dict[str, Any] = {
            "topic": self.topic, "bootstrap_servers": self.kafka.bootstrap_servers, "job": self.job,
            "delivery": "exactly_once", "progress_topic": self.progress, "epoch_secs": 0.05, "workers": 1,
            "memory_bytes": 64 << 20, **more,
        }  # fmt: skip
        return {name: value for name, value in one.items() if value is not None}

    def write(self, source: object, **more: Any) -> Report:
        return penstock.write(source, **self.settings(**more))

    def open(self, **more: Any) -> penstock.Writer:
        return penstock.open(**self.settings(**more))

    def life(self, data: object, *, die: tuple[str, int, bool] | None = None, **more: Any) -> dict[str, Any] | None:
        """Run it as a program; None: it was killed before it came to its end."""
        told = {"data": data, "settings": self.settings(**more), "die": die}
        done = subprocess.run(
            [sys.executable, str(PROGRAM), json.dumps(told)],
            env={**os.environ, MARK: self.mark}, stdout=subprocess.PIPE, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode in {0, -9}, done
        if done.returncode:
            self.kills += 1
            return None
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def messages(self, topic: str | None = None, **how: Any) -> list[Received]:
        """What a reader sees of a topic; committed only, if not told otherwise."""
        return read_topic(self.kafka.bootstrap_servers, topic or self.topic, timeout_secs=30, **how).messages

    def rows(self, **how: Any) -> list[tuple[str, dict[str, Any]]]:
        """The rows in JSON of each message, with what happened to them, in the order of their partition."""
        return [event for message in self.messages(**how) for event in events(message)]

    def ids(self, **how: Any) -> list[int]:
        """Their ids, in order."""
        return sorted(row["id"] for _, row in self.rows(**how))


def events(message: Received) -> list[tuple[str, dict[str, Any]]]:
    """Take a value of one or many `{"insert":{…}}` lines apart."""
    assert message.value is not None
    return [next(iter(json.loads(line).items())) for line in message.value.splitlines()]


def by_key(messages: list[Received]) -> dict[bytes | None, list[bytes | None]]:
    """The values of each key in their order; of no key sorted, since it has none."""
    found: dict[bytes | None, list[bytes | None]] = defaultdict(list)
    for message in messages:
        found[message.key].append(message.value)
    if None in found:
        lines = [line for value in found[None] for line in (value or b"").splitlines()]
        found[None] = sorted(lines)
    return found


def places(messages: list[Received]) -> Counter[tuple[int, bytes | None, bytes | None]]:
    """How often each message is in each partition."""
    return Counter((one.partition, one.key, one.value) for one in messages)


def adds_up(error: PenstockError | BaseException, taken: int) -> Report:
    """The receipt of a failure: each row that was taken is counted in one place."""
    report: Report = error.report  # type: ignore[union-attr]
    assert report is not None
    counted = (
        report.rows + report.failed_rows + report.unknown_rows + report.skipped_rows + report.bad_rows
        + report.oversize_rows + report.resumed_rows
    )  # fmt: skip
    assert counted == taken, report
    return report


@pytest.fixture
def lives(kafka: Kafka, new_topic: Callable[..., str], mark: str) -> Iterator[Callable[..., Lives]]:
    """Make jobs: lives(partitions=4) -> Lives, each with a topic of its own."""
    made: list[str] = []

    def make(partitions: int = 4) -> Lives:
        progress = f"penstock.test.progress.{uuid.uuid4().hex[:12]}"
        made.append(progress)
        return Lives(kafka, new_topic(partitions), progress, mark)

    yield make
    for progress in made:
        kafka.delete_topic(progress)
    assert not marked(mark)
