#!/usr/bin/env python3
"""A real Apache Kafka broker (KRaft, one node) on this machine: for tests, benchmarks and trying things out.

    tools/broker.py start --port 9092     returns when the broker answers; prints its address
    tools/broker.py status                every broker started here: address, process, memory, disk
    tools/broker.py stop --port 9092      kills it and removes all it wrote

    with Broker(partitions=4) as broker:  # the same, for as long as the block lasts, on ports nobody else has
        Producer({"bootstrap.servers": broker.bootstrap_servers})

Needs Java 17 or newer, and Maven the first time: the jars (44 MB) are fetched once into .cache/ of this checkout.
Only the standard library is used, so that it runs before anything is installed.

What a broker owns, and who removes it when:

    directory   one, made by mkdtemp: server.properties, broker.log, the log segments. In /dev/shm where there is
                room, since tests measure penstock and not a disk; else in the usual place for temporary files.
    java        one process, in its own session so that Ctrl-C in a terminal does not reach it before we do.
    keeper      a process (broker_state.py) that waits on a pipe from the caller. When the caller is gone without a
                word (kill -9, SIGTERM without a cleanup), the pipe closes: it kills java and removes the directory.
                `start` sends it home once the broker answers; the state file in .cache/broker then says what to stop.

A process is only ever killed when its start time is the one noted down: a number used again belongs to somebody else.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from broker_state import Keeper, State, started, states
from kafka_jars import KAFKA, BrokerError, fetch_jars, java_command, missing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self


# Start-up (4 s with these flags, 9 s without) is what tests wait for; a benchmark wants the other choice, `full_jit`.
QUICK_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")

# One node has nobody to wait for, and a topic deleted by a test gives its memory back at once.
SERVER = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "num.network.threads": "2",
    "num.io.threads": "2",
    "num.recovery.threads.per.data.dir": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "2",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "2",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "log.retention.check.interval.ms": "2000",
    "log.initial.task.delay.ms": "2000",
    "log.segment.delete.delay.ms": "500",
    "log.cleaner.dedupe.buffer.size": "2097152",
}

LOG4J = """\
Configuration:
  Appenders:
    Console: {name: console, PatternLayout: {pattern: "%d %p %c %m%n"}}
  Loggers:
    Root: {level: warn, AppenderRef: {ref: console}}
"""


@dataclass(frozen=True)
class Listener:
    """One address to connect to. Certificates and logins of other protocols go into the broker's `config`.

    port        0 takes a free one
    advertised  the port that clients are told, where a proxy stands in between; None is `port`
    """

    name: str = "PLAINTEXT"
    protocol: str = "PLAINTEXT"
    port: int = 0
    advertised: int | None = None


class Broker:
    """One broker. `start` or a `with` block starts it, `stop` or the block's end kills it and removes what it wrote.

    listeners        the addresses; the first is `bootstrap_servers`
    cluster          its id, where several brokers are one cluster; one of its own where it is empty
    partitions       of a topic made without a number, that is by auto-creation too
    retention_bytes  kept per partition; older segments go within seconds. All partitions together take that much each
    heap             of the JVM, as -Xmx wants it
    full_jit         the JVM's own collector and compilers: slower to start, faster under load
    auto_create      a topic that a client asks for is made
    scram            passwords by user, for SCRAM-SHA-256 and SCRAM-SHA-512
    classpath        where Java looks besides Kafka's own jars
    config           any other property of the broker; wins over all of the above
    Raises           BrokerError from start(), with nothing left running and nothing left on disk
    """

    def __init__(
        self,
        *,
        listeners: Sequence[Listener] = (Listener(),),
        host: str = "127.0.0.1",
        cluster: str = "",
        partitions: int = 4,
        retention_bytes: int = 256 << 20,
        heap: str = "512m",
        full_jit: bool = False,
        auto_create: bool = True,
        scram: Mapping[str, str] | None = None,
        classpath: Sequence[str] = (),
        config: Mapping[str, str] | None = None,
    ) -> None:
        self.host = host
        self.cluster = cluster or new_cluster_id()
        self.controller, *ports = free_ports(host, 1 + len(listeners))
        self.listeners = tuple(replace(one, port=one.port or port) for one, port in zip(listeners, ports, strict=True))
        self.heap = heap
        self.full_jit = full_jit
        self.scram = dict(scram or {})
        self.classpath = tuple(classpath)
        # A third of the data may stand in the segment being written, which retention never touches.
        segment = max(1 << 20, min(64 << 20, retention_bytes // 3))
        self.room_bytes = max(1 << 30, 2 * partitions * (retention_bytes + segment))
        self.config = {
            "num.partitions": str(partitions),
            "log.retention.bytes": str(retention_bytes),
            "log.segment.bytes": str(segment),
            "auto.create.topics.enable": str(auto_create).lower(),
            **(config or {}),
        }
        self.directory: Path | None = None
        self._java: subprocess.Popen[bytes] | None = None
        self._keeper: Keeper | None = None

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` of the first listener."""
        return self.address(self.listeners[0].name)

    def address(self, name: str) -> str:
        """`host:port` as clients are told, for one listener by name."""
        for one in self.listeners:
            if one.name == name:
                return f"{self.host}:{one.advertised or one.port}"
        raise KeyError(name)

    @property
    def pid(self) -> int:
        """Of the Java process; BrokerError when there is none."""
        if self._java is None:
            raise BrokerError("the broker is not running")
        return self._java.pid

    @property
    def runs(self) -> bool:
        """Kafka was started and has not ended."""
        return self._java is not None and self._java.poll() is None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self, *, timeout_secs: float = 90) -> None:
        """Fetch the jars when they are not there, format, start, and return when the broker answers a request."""
        try:
            self.launch()
            self.await_answer(time.monotonic() + timeout_secs)
        except BaseException:  # Ctrl-C too: nothing stays
            self.stop()
            raise

    def launch(self) -> None:
        """Do as start does, without waiting for an answer; after an error `stop` removes what there is."""
        why = missing()
        if why is not None:
            raise BrokerError(why)
        for one in self.listeners:
            if not is_free(self.host, one.port):
                raise BrokerError(f"port {one.port} is taken by another program; give another with --port")
        fetch_jars()
        if self.directory is None:
            self.prepare()
        self.write_files()
        # KRaft refuses a directory without its own format; the real tool also writes the feature levels that
        # transactions and groups need, which a meta.properties made by hand lacks.
        if self._spawn("kafka.tools.StorageTool", f"@{self._path('format.arguments')}").wait() != 0:
            raise BrokerError(f"kafka.tools.StorageTool could not format the log directory: {self.log_tail()}")
        self.run()

    def prepare(self) -> None:
        """Make the directory, which `launch` fills."""
        self.directory = Path(tempfile.mkdtemp(prefix="penstock-broker-", dir=roomy_directory(self.room_bytes)))
        self._keeper = Keeper(self.directory)

    def run(self) -> None:
        """Start Kafka with what the directory holds: formatted, or left behind by `kill`."""
        self._java = self._spawn("kafka.Kafka", self._path("server.properties"))

    def kill(self) -> None:
        """End Kafka as a crash does, without a word to anybody; what it wrote stays for `run`."""
        if self._java is not None:
            self._java.kill()
            self._java.wait()
            self._java = None

    def await_answer(self, deadline: float) -> None:
        """Return when the broker answers a request; BrokerError at the deadline, or when it has ended."""
        while not answers(self.host, self.listeners[0].port, self.listeners[0].protocol):
            if not self.runs:
                status = "" if self._java is None else f" with exit status {self._java.returncode}"
                raise BrokerError(f"Kafka ended{status}: {self.log_tail()}")
            if time.monotonic() > deadline:
                raise BrokerError(f"Kafka did not answer in time at {self.bootstrap_servers}: {self.log_tail()}")
            time.sleep(0.05)

    def write_files(self) -> None:
        """Write what the format and Kafka read into the directory, which is theirs to start in."""
        arguments = ["format", "-t", self.cluster, "-c", self._path("server.properties")]
        for user, password in self.scram.items():
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
                arguments += ["--add-scram", f"{mechanism}=[name={user},password={password}]"]
        self.write_file("server.properties", self.properties())
        self.write_file("format.arguments", "".join(f"{one}\n" for one in arguments))
        self.write_file("log4j2.yaml", LOG4J)

    def write_file(self, name: str, text: str) -> None:
        """Write a file into the directory, for the owner's eyes only: it may hold passwords."""
        path = Path(self._path(name))
        path.touch(mode=0o600)
        path.write_text(text)

    def _path(self, name: str) -> str:
        if self.directory is None:
            raise BrokerError("the broker is not running")
        return str(self.directory / name)

    def _spawn(self, *main: str) -> subprocess.Popen[bytes]:
        flags = () if self.full_jit else QUICK_JVM
        settings = f"-Dlog4j2.configurationFile={self._path('log4j2.yaml')}"
        classpath = os.pathsep.join([*self.classpath, fetch_jars()])
        java = [java_command() or "java", f"-Xmx{self.heap}", "-Xms64m", *flags, settings, "-cp", classpath, *main]
        with Path(self._path("broker.log")).open("ab") as log:
            process = subprocess.Popen(
                java, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=self.directory
            )
        if self._keeper is not None:
            self._keeper.add(process.pid)
        return process

    def properties(self) -> str:
        """Return the text of server.properties."""
        listeners = [f"{one.name}://{self.host}:{one.port}" for one in self.listeners]
        protocols = [f"{one.name}:{one.protocol}" for one in self.listeners]
        lines = {
            **SERVER,
            "controller.quorum.voters": f"1@{self.host}:{self.controller}",
            "listeners": ",".join([*listeners, f"CONTROLLER://{self.host}:{self.controller}"]),
            "advertised.listeners": ",".join(f"{one.name}://{self.address(one.name)}" for one in self.listeners),
            "listener.security.protocol.map": ",".join([*protocols, "CONTROLLER:PLAINTEXT"]),
            "inter.broker.listener.name": self.listeners[0].name,
            "log.dirs": self._path("logs"),
            **self.config,
        }
        return "".join(f"{name}={value}\n" for name, value in lines.items())

    def log_tail(self, lines: int = 15) -> str:
        """Return the end of what the broker logged: what a failed start is explained with."""
        try:
            text = Path(self._path("broker.log")).read_text(errors="replace")
        except (OSError, BrokerError):
            return "(no log)"
        return "\n".join(text.strip().splitlines()[-lines:]) or "(empty log)"

    def stop(self) -> None:
        """Kill the broker and remove its directory; harmless when it is not running."""
        self.kill()  # no clean shutdown: what it would write is removed in the next line
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.close()  # it ends a format process that an interrupted start left behind
        if self.directory is not None:
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory = None

    def detach(self) -> State:
        """Leave the broker running when this process ends; the state in its file says how to find it again."""
        if self.directory is None:
            raise BrokerError("the broker is not running")
        state = State(self.pid, started(self.pid) or "", str(self.directory), self.bootstrap_servers, KAFKA)
        state.save()
        if self._keeper is not None:
            self._keeper.leave()
        self._java = self._keeper = self.directory = None
        return state


def new_cluster_id() -> str:
    """Return the id of a new cluster. It begins with a letter: one that begins with - the tool takes for an option."""
    return base64.urlsafe_b64encode(b"k" + uuid.uuid4().bytes[1:]).decode().rstrip("=")


# --- room and ports -----------------------------------------------------------------------------------------------


def roomy_directory(need_bytes: int) -> str | None:
    """Return the memory file system when it and the machine's memory have room, else None: the usual place."""
    try:
        free = shutil.disk_usage("/dev/shm").free  # noqa: S108 - the directory is made by mkdtemp
        available = re.search(r"^MemAvailable:\s+(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        return None
    room = min(free, int(available[1]) * 1024 if available else 0)
    return "/dev/shm" if room > need_bytes else None  # noqa: S108


def free_port(host: str) -> int:
    """Return a port that nobody listens at just now."""
    return free_ports(host, 1)[0]


def free_ports(host: str, count: int) -> list[int]:
    """Return ports that nobody listens at just now, no two the same: each is held until the last is found."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((host, 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def is_free(host: str, port: int) -> bool:
    """Say whether a broker could listen at the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Java does: closed connections do not count
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def answers(host: str, port: int, protocol: str = "PLAINTEXT") -> bool:
    """Say whether the broker serves requests: on a plain listener it must name itself in a metadata response.

    The port opens before the broker is registered, and a client that comes in between waits out its back-off.
    """
    try:
        with socket.create_connection((host, port), timeout=2) as connection:
            if protocol != "PLAINTEXT":
                return True
            client = b"broker.py"
            # request header: api key 3 (metadata), version 1, correlation id, client id; body: an empty list of topics
            request = struct.pack(f">hhih{len(client)}si", 3, 1, 7, len(client), client, 0)
            connection.sendall(struct.pack(">i", len(request)) + request)
            reply = connection.recv(12, socket.MSG_WAITALL)  # length, correlation id, number of brokers
    except OSError:
        return False
    return len(reply) == 12 and struct.unpack(">iii", reply)[2] > 0  # noqa: PLR2004 - three ints


# --- command line -------------------------------------------------------------------------------------------------


def start_command(options: argparse.Namespace) -> int:
    """Start a broker, leave it running, print its address."""
    for state in states(options.port):
        if state.runs:
            print(f"already running: {state}; `stop` it first", file=sys.stderr)
            return 1
        state.end()
    broker = Broker(
        listeners=(Listener(port=options.port), *options.listener),
        host=options.host,
        partitions=options.partitions,
        retention_bytes=options.retention_mb << 20,
        heap=options.heap,
        full_jit=options.full_jit,
        auto_create=options.auto_create,
        config=dict(options.config),
    )
    with broker:
        state = broker.detach()
    print(state.bootstrap_servers)
    return 0


def stop_command(options: argparse.Namespace) -> int:
    """Stop the broker named, or the only one."""
    found = states(options.port)
    if not found:
        where = "" if options.port is None else f" on port {options.port}"
        print(f"no broker of this checkout runs{where}", file=sys.stderr)
        return 1
    if len(found) > 1 and not options.all:
        print("several brokers run; name one with --port, or --all:", *found, sep="\n  ", file=sys.stderr)
        return 1
    for state in found:
        state.end()
        print(f"stopped {state.bootstrap_servers}")
    return 0


def status_command(options: argparse.Namespace) -> int:
    """Print a line for each broker."""
    found = states(options.port)
    print("\n".join(map(str, found)) or "no broker of this checkout runs")
    return 0 if found and all(state.runs for state in found) else 1


def _listener(text: str) -> Listener:
    match = re.fullmatch(r"(\w+)=(\w+):(\d+)(?:@(\d+))?", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PROTOCOL:PORT, such as PROXIED=PLAINTEXT:9093@9193")
    return Listener(match[1], match[2], int(match[3]), int(match[4]) if match[4] else None)


def _property(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not name=value, such as message.max.bytes=2000000")
    return name, value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    parser = argparse.ArgumentParser(description="a real Apache Kafka broker on this machine")
    commands = parser.add_subparsers(required=True, metavar="start|stop|status")
    start = commands.add_parser("start", help="start a broker and leave it running")
    start.add_argument("--port", type=int, default=9092, help="of the plain listener (default 9092)")
    start.add_argument("--host", default="127.0.0.1", help="address to listen at (default 127.0.0.1)")
    start.add_argument(
        "--listener",
        type=_listener,
        action="append",
        default=[],
        metavar="NAME=PROTOCOL:PORT[@ADVERTISED]",
        help="one more address; the port told to clients may be a proxy's",
    )
    start.add_argument("--partitions", type=int, default=4, help="of a topic made without a number (default 4)")
    start.add_argument("--retention-mb", type=int, default=256, help="kept per partition (default 256)")
    start.add_argument("--heap", default="512m", help="of the JVM (default 512m)")
    start.add_argument("--full-jit", action="store_true", help="slower to start, faster under load: for benchmarks")
    start.add_argument("--no-auto-create", dest="auto_create", action="store_false", help="make no topic on demand")
    start.add_argument(
        "--config", type=_property, action="append", default=[], metavar="NAME=VALUE", help="any property of the broker"
    )
    start.set_defaults(run=start_command)
    stop = commands.add_parser("stop", help="kill a broker and remove all it wrote")
    stop.add_argument("--port", type=int, help="which one, when several run")
    stop.add_argument("--all", action="store_true", help="every broker started from this checkout")
    stop.set_defaults(run=stop_command)
    status = commands.add_parser("status", help="list the brokers; exit status 0 when they run")
    status.add_argument("--port", type=int)
    status.set_defaults(run=status_command)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except BrokerError as error:
        print(f"broker.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
