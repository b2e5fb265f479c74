"""Kafka Connect's JsonConverter and Debezium's ExtractNewRecordState, as a sink has them, over a topic.

broker/java/ConnectReader.java is compiled against jars that tools/kafka_jars.py fetches. Without a Java compiler or
Maven the tests that need it are left out like those of the broker (fix_broker).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fix_broker import leave_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from fix_broker import Kafka

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
import kafka_jars

READER = Path(__file__).resolve().parent / "broker" / "java" / "ConnectReader.java"
Record = dict[str, Any]


WHY_NO_CONNECT = kafka_jars.missing(kafka_jars.CONNECT, compiler=True)


@pytest.fixture(scope="session")
def _connect_classes() -> str:
    """Return the class path of the compiled reader."""
    classes = kafka_jars.compile_java(READER, kafka_jars.CONNECT)
    return os.pathsep.join([classes, kafka_jars.fetch_jars(kafka_jars.CONNECT)])


@pytest.fixture
def connect(kafka: Kafka, request: pytest.FixtureRequest) -> Callable[..., list[Record]]:
    """Read a topic: connect(topic, {"add.fields": "op"}) -> one dict a record, as ConnectReader.java says."""
    if WHY_NO_CONNECT is not None:
        leave_out(request, WHY_NO_CONNECT)
    classes = request.getfixturevalue("_connect_classes")

    def read(topic: str, options: dict[str, str] | None = None) -> list[Record]:
        words = [f"{name}={value}" for name, value in (options or {}).items()]
        flags = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx128m"]
        command = [str(kafka_jars.java_command()), *flags, "-cp", classes, "ConnectReader", kafka.bootstrap_servers]
        done = subprocess.run([*command, topic, *words], capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return read


def pytest_report_header() -> list[str]:
    return [] if WHY_NO_CONNECT is None else [f"Kafka Connect: NONE, its tests are LEFT OUT: {WHY_NO_CONNECT}"]
