"""The real Kafka with locks of tools/secure_broker.py, one for the whole run; and AWS credentials.

Where Java 17 with its compiler or Maven is missing its tests are left out like those of the broker (fix_broker).
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fix_broker import Kafka, leave_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
import kafka_jars
from secure_broker import SecureBroker

WHY_NO_SECURE = kafka_jars.missing(compiler=True)


@pytest.fixture(scope="session")
def _secure() -> Iterator[SecureBroker]:
    with SecureBroker() as broker:
        yield broker


@pytest.fixture(scope="session")
def _secure_kafka(_secure: SecureBroker) -> Kafka:
    return Kafka(_secure.bootstrap_servers)


@pytest.fixture
def secure(request: pytest.FixtureRequest) -> SecureBroker:
    """The broker: secure.options(listener, user), secure.pki; left out where it cannot be had."""
    if WHY_NO_SECURE is not None:
        leave_out(request, WHY_NO_SECURE)
    return request.getfixturevalue("_secure")


@pytest.fixture
def secure_kafka(secure: SecureBroker, request: pytest.FixtureRequest) -> Kafka:  # noqa: ARG001 - left out with it
    """The same broker with every right, by its plain listener: to look at what the others have done."""
    return request.getfixturevalue("_secure_kafka")


@pytest.fixture
def secure_topic(secure_kafka: Kafka, request: pytest.FixtureRequest) -> Iterator[Callable[..., str]]:
    """Make fresh topics: secure_topic("locked", partitions=2) -> name, which begins with the word; `open` without."""
    names: list[str] = []

    def make(word: str = "open", partitions: int = 1, **config: str) -> str:
        name = f"{word}.{request.node.originalname}.{uuid.uuid4().hex[:12]}"
        names.append(name)
        secure_kafka.create_topic(name, partitions, **config)
        return name

    yield make
    for name in names:
        secure_kafka.delete_topic(name)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """A machine without any AWS credentials; aws(AWS_USER, AWS_REGION="eu-west-1") sets variables of its environment.

    Its home directory, where ~/.aws is looked for, is tmp_path.
    """
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    def set_variables(*several: dict[str, str], **one: str) -> None:
        for variables in (*several, one):
            for name, value in variables.items():
                monkeypatch.setenv(name, value)

    return set_variables


def unsigned_token(argument: str, life_secs: float = 600) -> tuple[str, float]:
    """An oauth_cb: an unsigned JSON web token of the user that sasl.oauthbearer.config names."""
    now = time.time()

    def part(**members: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(members).encode()).decode().rstrip("=")

    user = argument.removeprefix("principal=")
    return f"{part(alg='none')}.{part(sub=user, iat=now - 1, exp=now + life_secs)}.", now + life_secs


def ways_in(secure: SecureBroker, user: str) -> list[dict[str, Any]]:
    """What a user may log in with: a password over TLS, librdkafka's own tokens, tokens of ours."""
    own = secure.options("OAUTHBEARER", user)
    ours = {name: value for name, value in own.items() if name != "enable.sasl.oauthbearer.unsecure.jwt"}
    return [
        {"kafka_options": secure.options("SASL_SSL", user)},
        {"kafka_options": own},
        {"kafka_options": ours, "oauth_cb": unsigned_token},
    ]


def pytest_report_header() -> list[str]:
    return [] if WHY_NO_SECURE is None else [f"Kafka with locks: NONE, its tests are LEFT OUT: {WHY_NO_SECURE}"]
