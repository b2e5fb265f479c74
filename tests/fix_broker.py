"""A real Apache Kafka for the tests of broker/: one for the whole run, a fresh topic for each test.

PENSTOCK_TEST_BROKERS=host:port uses a running one. Without it tools/broker.py starts one where Java 17 and Maven are
found. Where they are not, the tests that need it are left out: the header of the run says so, and a line before the
summary says so again, because a green run that tested nothing must not look like one that did. In CI it is a failure.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
import broker as broker_tool

BROKERS = os.environ.get("PENSTOCK_TEST_BROKERS", "")
WHY_NO_BROKER = None if BROKERS else broker_tool.missing()
WHY_NO_KCAT = None if shutil.which("kcat") else "kcat is not installed (Debian: kcat)"

LEFT_OUT = pytest.StashKey[dict[str, int]]()


class Kafka:
    """A running broker, and an admin client that is connected to it."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
        self.admin.list_topics(timeout=20)

    @property
    def host_and_port(self) -> tuple[str, int]:
        host, _, port = self.bootstrap_servers.split(",")[0].rpartition(":")
        return host, int(port)

    def create_topic(self, name: str, partitions: int, **config: str) -> None:
        """Make a topic and wait until the broker serves it. Dots in the names of `config` are written as `__`."""
        settings = {key.replace("__", "."): value for key, value in config.items()}
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=settings)
        self.admin.create_topics([topic])[name].result(20)
        for _ in range(200):
            found = self.admin.list_topics(name, timeout=20).topics[name]
            if found.error is None and len(found.partitions) == partitions:
                return
            time.sleep(0.05)
        raise AssertionError(f"the broker did not get topic {name} ready")

    def delete_topic(self, name: str) -> None:
        try:
            self.admin.delete_topics([name])[name].result(20)
        except KafkaException as error:
            if error.args[0].name() != "UNKNOWN_TOPIC_OR_PART":
                raise

    def alter_topic(self, name: str, **config: str) -> None:
        """Set settings of a topic, spelt as in create_topic."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        for key, value in config.items():
            entry = ConfigEntry(key.replace("__", "."), value, incremental_operation=AlterConfigOpType.SET)
            resource.add_incremental_config(entry)
        self.admin.incremental_alter_configs([resource])[resource].result(20)

    def topic_exists(self, name: str) -> bool:
        return name in self.admin.list_topics(timeout=20).topics

    def setting(self, name: str) -> str:
        """Read one property of the broker."""
        node = next(iter(self.admin.list_topics(timeout=20).brokers))
        resource = ConfigResource(ConfigResource.Type.BROKER, str(node))
        return str(self.admin.describe_configs([resource])[resource].result(20)[name].value)


def leave_out(request: pytest.FixtureRequest, why: str) -> None:
    """Skip the test, count it for the line before the summary; in CI fail it."""
    counts = request.config.stash.setdefault(LEFT_OUT, {})
    counts[why] = counts.get(why, 0) + 1
    if os.environ.get("CI"):
        pytest.fail(f"CI is set, and a test against a real Kafka cannot run: {why}", pytrace=False)
    pytest.skip(why)


@pytest.fixture(scope="session")
def _broker() -> Iterator[str]:
    if BROKERS:
        yield BROKERS
        return
    # Topics are made by the tests: one that nobody made must stay missing. Segments stay small, and so does /dev/shm.
    # It looks every half second for transactions that have lasted too long, not every ten.
    config = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": "500"}
    with broker_tool.Broker(partitions=4, retention_bytes=512 << 20, auto_create=False, config=config) as broker:
        yield broker.bootstrap_servers


@pytest.fixture(scope="session")
def _kafka(_broker: str) -> Kafka:
    return Kafka(_broker)


@pytest.fixture
def kafka(request: pytest.FixtureRequest) -> Kafka:
    """A real Apache Kafka; the test is left out where there is none."""
    if WHY_NO_BROKER is not None:
        leave_out(request, WHY_NO_BROKER)
    return request.getfixturevalue("_kafka")


@pytest.fixture
def kcat(request: pytest.FixtureRequest) -> str:
    """Path of kcat; the test is left out where there is none."""
    if WHY_NO_KCAT is not None:
        leave_out(request, WHY_NO_KCAT)
    return str(shutil.which("kcat"))


@pytest.fixture
def new_topic(kafka: Kafka, request: pytest.FixtureRequest) -> Iterator[Callable[..., str]]:
    """Make fresh topics: new_topic(partitions=4, max__message__bytes="100000") -> name. Gone after the test."""
    names: list[str] = []

    def make(partitions: int = 4, **config: str) -> str:
        name = f"penstock.test.{request.node.originalname}.{uuid.uuid4().hex[:12]}"
        names.append(name)
        kafka.create_topic(name, partitions, **config)
        return name

    yield make
    for name in names:
        kafka.delete_topic(name)


# --- what the run says about itself -------------------------------------------------------------------------------


def pytest_report_header() -> list[str]:
    try:
        import penstock
        from penstock import _core
        from penstock.config.kafka import options as kafka_options

        kafka_options.load_librdkafka()
        core = f"penstock {penstock.__version__}, core {_core.version()} ({_core.build()})"
        client = f"librdkafka {_core.librdkafka_version()}"
    except ImportError as error:  # the run fails on its own; its header need not
        core, client = f"penstock cannot be imported: {error}", "librdkafka unknown"
    if BROKERS:
        broker = f"broker at {BROKERS}"
    elif WHY_NO_BROKER is None:
        broker = f"broker: Apache Kafka {broker_tool.KAFKA}, started when the first test asks for it"
    else:
        broker = f"broker: NONE, tests that need one are LEFT OUT: {WHY_NO_BROKER}"
    left_out = [] if WHY_NO_KCAT is None else [f"kcat: NONE, its tests are LEFT OUT: {WHY_NO_KCAT}"]
    return [core, client, broker, *left_out]


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for why, count in config.stash.get(LEFT_OUT, {}).items():
        word = "FAILED, since CI is set" if os.environ.get("CI") else "LEFT OUT"
        terminalreporter.write_line(f"broker tests {word}: {count} of them; {why}", red=True, bold=True)
