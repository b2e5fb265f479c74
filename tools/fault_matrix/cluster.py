"""Three Kafka brokers and their controller on this machine; clients reach the brokers through proxies only.

The controller is a node of its own that no fault touches. So two of the three brokers can be gone and the cluster
still says what is in sync, without which NOT_ENOUGH_REPLICAS would be a timeout.

Every broker has two addresses: one for the other brokers and for us, and one that clients are told, which is a proxy's.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import time
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from broker import Broker, Listener, free_ports, new_cluster_id
from fault_matrix.proxy import Proxies

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from confluent_kafka.admin import ClusterMetadata
    from typing_extensions import Self

HOST: Final = "127.0.0.1"
BROKERS: Final = 3
HEAP: Final = "256m"
SESSION_SECS: Final = 3  # a broker that is silent for so long is taken for dead
DISK_MB: Final = 128
_CLONE_NEWNS: Final = 0x00020000

_SHARED: Final = {
    "num.io.threads": "2",
    "num.network.threads": "2",
    "default.replication.factor": str(BROKERS),
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": str(BROKERS),
    "transaction.state.log.replication.factor": str(BROKERS),
    "transaction.state.log.min.isr": "2",
    "transaction.state.log.num.partitions": "3",
    "broker.session.timeout.ms": str(SESSION_SECS * 1000),
    "broker.heartbeat.interval.ms": "500",
    "replica.lag.time.max.ms": str(SESSION_SECS * 1000),
    "replica.fetch.wait.max.ms": "100",
    "unclean.leader.election.enable": "false",
}


class Cluster:
    """The brokers by number, 1 to 3, and the proxies before them. A `with` block starts all and ends all.

    bootstrap    for the client that is watched: proxied
    direct       for ourselves
    small_disk   number of the broker whose log directory is a small memory file system; None where none can be mounted
    no_disk      why not
    """

    def __init__(self) -> None:
        self._ends = contextlib.ExitStack()
        self.small_disk: int | None = None
        self.no_disk = ""
        cluster = new_cluster_id()
        ports = free_ports(HOST, BROKERS)
        self._controller = Broker(cluster=cluster, heap="160m")
        at = f"{HOST}:{self._controller.controller}"
        voters = {"controller.quorum.voters": f"100@{at}"}
        only = {"process.roles": "controller", "node.id": "100"}
        addresses = {"listeners": f"CONTROLLER://{at}", "advertised.listeners": f"CONTROLLER://{at}"}
        self._controller.config |= _SHARED | voters | only | addresses
        self.brokers: dict[int, Broker] = {}
        for number, port in enumerate(ports, 1):
            listeners = (Listener("DIRECT"), Listener("PROXIED", advertised=port))
            broker = Broker(
                listeners=listeners, cluster=cluster, heap=HEAP, retention_bytes=96 << 20, auto_create=False
            )
            own = ",".join(f"{one.name}://{HOST}:{one.port}" for one in broker.listeners)
            broker.config |= _SHARED | voters
            broker.config |= {"process.roles": "broker", "node.id": str(number), "listeners": own}
            self.brokers[number] = broker
        self.proxies = Proxies(
            {number: (port, self.brokers[number].listeners[1].port) for number, port in enumerate(ports, 1)}
        )
        self.bootstrap = ",".join(f"{HOST}:{port}" for port in ports)
        self.direct = ",".join(broker.bootstrap_servers for broker in self.brokers.values())
        self.admin: AdminClient

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:  # Ctrl-C too: nothing stays
            self._ends.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def _start(self) -> None:
        self._ends.enter_context(self.proxies)
        own_mounts = _own_mounts()
        for number, broker in {100: self._controller, **self.brokers}.items():
            self._ends.callback(broker.stop)
            if number == BROKERS:
                broker.prepare()
                self._mount(broker, own_mounts)
            broker.launch()
        for broker in self.brokers.values():
            broker.await_answer(time.monotonic() + 120)
        self.admin = AdminClient({"bootstrap.servers": self.direct, "log_level": 0})
        self.heal()

    # --- topics ---

    def create_topic(self, name: str, partitions: int) -> None:
        """Make a topic of three replicas each and wait until all are in sync."""
        self.admin.create_topics([NewTopic(name, partitions, BROKERS)])[name].result(30)
        self._until(lambda found: len(_in_sync(found, name)) == partitions, f"topic {name} is in sync")

    def delete_topic(self, name: str) -> None:
        """Delete a topic; it may be gone already."""
        try:
            self.admin.delete_topics([name])[name].result(30)
        except KafkaException as error:
            if error.args[0].name() != "UNKNOWN_TOPIC_OR_PART":
                raise

    def add_partitions(self, name: str, total: int) -> None:
        """Let a topic have more partitions."""
        self.admin.create_partitions([NewPartitions(name, total)])[name].result(30)

    def leader(self, topic: str, partition: int) -> int:
        """Return the number of the broker that leads a partition."""
        return int(self.admin.list_topics(timeout=30).topics[topic].partitions[partition].leader)

    def transaction_coordinator(self, transactional_id: str) -> int:
        """Return the broker that coordinates the transactions of an id: who leads its partition of the state topic."""
        partitions = self.admin.list_topics(timeout=30).topics["__transaction_state"].partitions
        return int(partitions[(_java_hash(transactional_id) & 0x7FFFFFFF) % len(partitions)].leader)

    # --- faults ---

    def fill_disk(self) -> None:
        """Leave no byte on the small disk."""
        filler = self._filler()
        with filler.open("wb") as file:
            block = bytes(1 << 20)
            with contextlib.suppress(OSError):
                while True:
                    os.write(file.fileno(), block)

    def _filler(self) -> Path:
        broker = self.brokers[BROKERS]
        if broker.directory is None:
            raise RuntimeError("the broker was not started")
        return broker.directory / "logs" / "filler.tmp"

    def heal(self) -> None:
        """Undo every fault: connections as they should be, all brokers up, all replicas in sync."""
        self.proxies.heal()
        if self.small_disk is not None and self._filler().exists():
            self._filler().unlink()
            self.brokers[self.small_disk].kill()  # Kafka does not take a disk back that was full once
        for broker in self.brokers.values():
            if not broker.runs:
                broker.kill()
                broker.run()
        for broker in self.brokers.values():
            broker.await_answer(time.monotonic() + 120)
        self._until(lambda found: len(found.brokers) == BROKERS and _all_in_sync(found), "all replicas are in sync")

    def _until(self, holds: Callable[[ClusterMetadata], bool], what: str, timeout_secs: float = 120) -> None:
        deadline = time.monotonic() + timeout_secs
        while True:
            with contextlib.suppress(KafkaException):
                if holds(self.admin.list_topics(timeout=10)):
                    return
            if time.monotonic() > deadline:
                raise TimeoutError(f"the cluster did not come so far that {what}, in {timeout_secs} s")
            time.sleep(0.1)

    # --- the small disk ---

    def _mount(self, broker: Broker, own_mounts: str) -> None:
        """Put the small disk where a broker keeps its logs; the mount is seen by this program and its children only."""
        if broker.directory is None:
            raise RuntimeError("the broker was not prepared")
        if own_mounts:
            self.no_disk = own_mounts
            return
        logs = broker.directory / "logs"
        logs.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(logs)]
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self.no_disk = done.stderr.strip()
            return
        self.small_disk = BROKERS
        self._ends.callback(subprocess.run, ["umount", "-l", str(logs)], check=False)
        self._ends.callback(broker.kill)  # before its disk goes


def _own_mounts() -> str:
    """Let this process and its children have mounts that nobody else sees; return why that is refused, or nothing."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        return f"mounts of one's own are refused: {os.strerror(ctypes.get_errno())}"
    done = subprocess.run(["mount", "--make-rprivate", "/"], capture_output=True, text=True, check=False)
    return done.stderr.strip()


def _in_sync(found: ClusterMetadata, topic: str) -> list[int]:
    if topic not in found.topics:
        return []
    partitions = found.topics[topic].partitions.values()
    return [one.id for one in partitions if len(one.isrs) == len(one.replicas) == BROKERS and one.leader > 0]


def _all_in_sync(found: ClusterMetadata) -> bool:
    return all(len(_in_sync(found, name)) == len(topic.partitions) for name, topic in found.topics.items())


def _java_hash(text: str) -> int:
    value = 0
    for letter in text:
        value = (31 * value + ord(letter)) & 0xFFFFFFFF
    return value
