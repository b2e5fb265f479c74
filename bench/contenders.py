"""What is compared, and how one run of it is made, timed and checked.

Every run is a fresh process that writes to a fresh topic. When it has ended, the topic is read back to its last offset
by bench/readback.cpp and held against the expected rows: a wrong result raises, so it never has a time. Then the topic
is deleted. Nothing of that is on the stopwatch.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

import data
import machine
from penstock import config

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).resolve().parent
PARTITIONS = 4
RUN_LIMIT_SECS = 600


class WrongResultError(Exception):
    """A run that ended well but left something else in the topic than it should have."""


@dataclass(frozen=True)
class Contender:
    """One row of the table.

    kind    naive: bench/naive.py; ours: bench/ours.py; floor: bench/floor.cpp
    shape   packed: as many rows in a message as fit; rows: one; keyed: one, with the column `id` as its key
    floor   name of the floor that it is divided by; of a way of delivery, of the same job without it
    delivery  exactly_once: in transactions; audit: with the proof in the receipt
    """

    name: str
    label: str
    kind: Literal["naive", "ours", "floor"]
    shape: Literal["packed", "rows", "keyed"]
    compression: Literal["none", "lz4"] = "none"
    encoder: str = ""
    floor: str = ""
    delivery: Literal["", "exactly_once", "audit"] = ""


CONTENDERS = (
    Contender("naive-json", "naive loop, json", "naive", "rows", encoder="json", floor="floor-rows-none"),
    Contender("naive-orjson", "naive loop, orjson", "naive", "rows", encoder="orjson", floor="floor-rows-none"),
    Contender("packed-none", "penstock, packed", "ours", "packed", "none", floor="floor-packed-none"),
    Contender("packed-lz4", "penstock, packed, lz4", "ours", "packed", "lz4", floor="floor-packed-lz4"),
    Contender("rows-none", "penstock, row per message", "ours", "rows", "none", floor="floor-rows-none"),
    Contender("rows-lz4", "penstock, row per message, lz4", "ours", "rows", "lz4", floor="floor-rows-lz4"),
    Contender("keyed-lz4", "penstock, row per message with key, lz4", "ours", "keyed", "lz4", floor="floor-rows-lz4"),
    Contender(
        "exactly-once-packed-lz4", "penstock, packed, lz4, exactly once (÷ at least once)", "ours", "packed", "lz4",
        floor="packed-lz4", delivery="exactly_once",
    ),
    Contender(
        "exactly-once-keyed-lz4", "penstock, row per message with key, lz4, exactly once (÷ at least once)", "ours",
        "keyed", "lz4", floor="keyed-lz4", delivery="exactly_once",
    ),
    Contender(
        "audit-rows-lz4", "penstock, row per message, lz4, audit (÷ without)", "ours", "rows", "lz4", floor="rows-lz4",
        delivery="audit",
    ),
    Contender("floor-packed-none", "floor, packed", "floor", "packed", "none"),
    Contender("floor-packed-lz4", "floor, packed, lz4", "floor", "packed", "lz4"),
    Contender("floor-rows-none", "floor, row per message", "floor", "rows", "none"),
    Contender("floor-rows-lz4", "floor, row per message, lz4", "floor", "rows", "lz4"),
)  # fmt: skip
BASELINE = "naive-json"


@dataclass(frozen=True)
class Run:
    """One checked run.

    seconds            first row taken to last acknowledgement, start-up apart
    cpu_seconds        of the client's processes in that time
    peak_memory_bytes  ours: peak sum of PSS, from the receipt; the others: peak resident memory of their one process
    wall_seconds       the whole process, from start to exit
    broker_cpu         CPU seconds of the broker in that time, where run.py started it, else 0
    other_cpu          CPU seconds of everything else on this machine in that time: next to nothing when it is quiet
    stolen_cpu         CPU seconds that the host took in that time
    """

    contender: str
    cycle: int
    rows: int
    messages: int
    bytes: int
    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    startup_seconds: float
    workers: int
    wall_seconds: float
    broker_cpu: float
    other_cpu: float
    stolen_cpu: float


def librdkafka() -> str:
    """Path of the librdkafka inside the confluent-kafka wheel: the one that penstock and the naive loops use.

    The wheel's extension module cannot be loaded by a program without Python, the library beside it can.
    """
    package = find_spec("confluent_kafka")
    folders = list(package.submodule_search_locations or []) if package else []
    found = [file for folder in folders for file in Path(f"{folder}.libs").glob("librdkafka*.so*")]
    if len(found) != 1:
        raise SystemExit(f"expected one librdkafka beside {folders}, found {found}; install confluent-kafka's wheel")
    return str(found[0])


def build(program: str) -> Path:
    """Compile bench/`program`.cpp into the cache unless that is newer than its sources."""
    data.CACHE.mkdir(parents=True, exist_ok=True)
    target = data.CACHE / program
    sources = (HERE / f"{program}.cpp", HERE / "rdkafka.hpp")
    if not target.exists() or target.stat().st_mtime < max(source.stat().st_mtime for source in sources):
        compiler = os.environ.get("CXX", "c++")
        flags = ["-std=c++17", "-O2", "-Wall", "-Wextra", "-pthread"]
        subprocess.run([compiler, *flags, "-o", str(target), str(sources[0]), "-ldl"], check=True)
    return target


def output(command: Sequence[str], environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Run a program that prints one JSON object; what it says on stderr becomes the error."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=RUN_LIMIT_SECS, env=environment)
    if done.returncode != 0:
        raise WrongResultError(f"{' '.join(command[:3])} … ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


@dataclass
class Lab:
    """A broker, the built programs, and what is known about penstock's start.

    startup_cpu  CPU seconds of a run of one row, by contender: taken off every run of ours
    broker_pid   of the broker, when it is ours
    memory_bytes  of penstock; None: its default
    workers      how many processes penstock chose; the floor gets as many producers
    """

    bootstrap_servers: str
    broker_pid: int | None = None
    workers: int | None = None
    memory_bytes: int | None = None
    library: str = field(default_factory=librdkafka)
    startup_cpu: dict[str, float] = field(default_factory=dict)
    _expected: dict[Path, dict[str, Any]] = field(default_factory=dict)
    _topics: int = 0

    def __post_init__(self) -> None:
        self.floor_program = build("floor")
        self.readback_program = build("readback")
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})

    def create_topic(self, *, keep_all: bool = True) -> str:
        """Make a topic of 4 partitions; with `keep_all` nothing goes from it before it is read back."""
        self._topics += 1
        name = f"penstock-bench-{os.getpid()}-{self._topics}"
        keep = {"retention.bytes": "-1", "retention.ms": "-1"} if keep_all else {}
        self.admin.create_topics([NewTopic(name, PARTITIONS, 1, config=keep)])[name].result(30)
        time.sleep(0.3)  # until the leaders have said so: no contender should pay for asking twice
        return name

    def delete_topic(self, name: str) -> None:
        """Free its memory; returns when the broker has taken the order."""
        self.admin.delete_topics([name])[name].result(30)

    def end_offsets(self, topic: str) -> int:
        """How many messages the partitions have taken, those already dropped included."""
        asked = {TopicPartition(topic, number): OffsetSpec.latest() for number in range(PARTITIONS)}
        return sum(found.result(30).offset for found in self.admin.list_offsets(asked).values())

    def settings(self, contender: Contender, topic: str, bootstrap_servers: str | None = None) -> dict[str, Any]:
        """Keyword arguments of penstock.write for one contender; another broker's address may be given."""
        rows = 10000 if contender.shape == "packed" else 1
        settings: dict[str, Any] = {
            "topic": topic,
            "bootstrap_servers": bootstrap_servers or self.bootstrap_servers,
            "kafka_options": {"compression.type": contender.compression},
            "format": {"name": "json", "config": {"buffer_size_records": rows}},
        }
        if contender.shape == "keyed":
            settings["key"] = ["id"]
        if contender.delivery == "exactly_once":
            settings |= {"delivery": "exactly_once", "job": topic}
        elif contender.delivery == "audit":
            settings["audit"] = True
        if self.workers is not None:
            settings["workers"] = self.workers
        if self.memory_bytes is not None:
            settings["memory_bytes"] = self.memory_bytes
        return settings

    def ours(self, contender: Contender, topic: str, *paths: Path) -> list[str]:
        """Command line of one run of penstock."""
        settings = json.dumps(self.settings(contender, topic))
        return [sys.executable, str(HERE / "ours.py"), settings, *map(str, paths)]

    def floor(self, settings: dict[str, Any], encoded: Path, producers: int) -> list[str]:
        """Command line of the floor: every librdkafka option that penstock sets for these settings is set there too."""
        chosen = config.load(**settings)
        options = [f"{name}={value}" for name, value in chosen.kafka.items()]
        command = [str(self.floor_program), self.library, str(encoded), chosen.topic, str(PARTITIONS), str(producers)]
        shape = "rows" if settings["format"]["config"]["buffer_size_records"] == 1 else "packed"
        return [*command, shape, str(chosen.max_payload_bytes), *options]

    def prepare_startup(self, contender: Contender, repeats: int = 3) -> None:
        """Measure what one row costs: interpreter, imports, workers, connections. Sets `workers` if it was open."""
        one = data.prepare(data.HEADLINE, 1)
        found = []
        for _ in range(repeats):
            topic = self.create_topic()
            found.append(output(self.ours(contender, topic, one.parquet)))
            self.delete_topic(topic)
        self.startup_cpu[contender.name] = statistics.median(run["cpu_seconds"] for run in found)
        self.workers = int(found[-1]["workers"])

    def expected(self, encoded: Path) -> dict[str, Any]:
        """Rows, sum of ids and digest of the events that must arrive."""
        if encoded not in self._expected:
            self._expected[encoded] = output([str(self.readback_program), "file", str(encoded)])
        return self._expected[encoded]

    def check(self, contender: Contender, topic: str, said: dict[str, Any], prepared: data.Prepared) -> None:
        """Read the topic back and compare; WrongResultError says what differs.

        The naive loops write another JSON text (white space, escapes): theirs is checked by number and sum of ids.
        """
        program = [str(self.readback_program), "topic", self.library, self.bootstrap_servers, topic, str(PARTITIONS)]
        found = output(program)
        expected: dict[str, Any] = {"messages": said["messages"], "bytes": said["bytes"]}
        if contender.kind == "naive":
            expected |= {"rows": said["rows"], "id_sum": said["rows"] * (said["rows"] - 1) // 2}
        else:
            whole = self.expected(prepared.encoded)
            expected |= {name: whole[name] for name in ("rows", "id_sum", "digest")}
        wrong = {name: (found[name], value) for name, value in expected.items() if found[name] != value}
        if wrong:
            told = ", ".join(f"{name} {got} against {value}" for name, (got, value) in wrong.items())
            raise WrongResultError(f"{contender.name}: the topic holds {told} expected")

    def run(self, contender: Contender, prepared: data.Prepared, naive_rows: int, cycle: int) -> Run:
        """Make one run, check what has arrived, clean up, and only then return its figures."""
        topic = self.create_topic()
        naive = [str(prepared.parquet), str(naive_rows), topic, self.bootstrap_servers]
        if contender.kind == "naive":
            command = [sys.executable, str(HERE / "naive.py"), contender.encoder, *naive]
        elif contender.kind == "ours":
            command = self.ours(contender, topic, prepared.parquet)
        else:
            command = self.floor(self.settings(contender, topic), prepared.encoded, max(self.workers or 1, 1))
        before, broker_before = machine.busy(), machine.cpu_seconds(self.broker_pid)
        started = time.perf_counter()
        said = output(command)
        wall = time.perf_counter() - started
        spent, broker = machine.busy() - before, machine.cpu_seconds(self.broker_pid) - broker_before
        self.check(contender, topic, said, prepared)
        self.delete_topic(topic)
        cpu = said["cpu_seconds"] - self.startup_cpu.get(contender.name, 0.0)
        return Run(
            contender=contender.name,
            cycle=cycle,
            rows=said["rows"],
            messages=said["messages"],
            bytes=said["bytes"],
            seconds=said["seconds"],
            cpu_seconds=cpu,
            peak_memory_bytes=said["peak_memory_bytes"],
            startup_seconds=said["startup_seconds"],
            workers=said["workers"],
            wall_seconds=wall,
            broker_cpu=broker,
            other_cpu=spent.programs - broker - said.get("all_cpu_seconds", said["cpu_seconds"]),
            stolen_cpu=spent.stolen,
        )
