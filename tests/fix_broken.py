"""What the broken configurations of broken_configurations.py are made of, at the Kafka of fix_secure."""

from __future__ import annotations

import json
import socket
import socketserver
from typing import TYPE_CHECKING

import pytest

from secure_broker import AWS_USER, SecureBroker
from serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from broken_configurations import Broken, Options
    from fix_broker import Kafka


class _NoKafka(socketserver.BaseRequestHandler):
    """Answers to whatever comes as a web server does."""

    def handle(self) -> None:
        self.request.recv(100)
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


class Place:
    """See broken_configurations.Place."""

    def __init__(
        self, secure: SecureBroker, aws: Callable[..., None], topics: dict[str, str], ports: list[int]
    ) -> None:
        self._secure, self._aws = secure, aws
        self.topic, self.locked, self.tiny = (topics[name] for name in ("open", "locked", "tiny"))
        self.unused_port, self.web_server = ports

    def options(self, listener: str, user: str = "alice", mechanism: str = "SCRAM-SHA-256") -> Options:
        return self._secure.options(listener, user, mechanism=mechanism)

    def pem(self, name: str) -> str:
        return self._secure.pki[name].read_text()

    def aws(self, secret: str | None = None) -> None:
        self._aws(AWS_USER, {} if secret is None else {"AWS_SECRET_ACCESS_KEY": secret})

    def connector(self, broken: Broken, **more: object) -> Options:
        config = {"topic": self.topic, **broken.make(self), **more}
        return {"transport": {"name": "kafka_output", "config": config}, "writer": broken.writer}


@pytest.fixture(scope="session")
def _broken_topics(_secure_kafka: Kafka) -> dict[str, str]:
    topics = {name: f"{'open' if name == 'tiny' else name}.broken.{name}" for name in ("open", "locked", "tiny")}
    for name, topic in topics.items():
        _secure_kafka.create_topic(topic, 1, **({"max__message__bytes": "100"} if name == "tiny" else {}))
    return topics


@pytest.fixture(scope="session")
def _broken_ports() -> Iterator[list[int]]:
    with socket.create_server(("127.0.0.1", 0)) as held:
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _NoKafka)
        unused = held.getsockname()[1]
    with serving(server):
        yield [unused, server.server_address[1]]


@pytest.fixture
def place(secure: SecureBroker, aws: Callable[..., None], request: pytest.FixtureRequest) -> Place:
    """place.connector(broken) -> the connector's object; AWS cannot be asked for the time.

    SSL_CERT_FILE names the right authority: librdkafka takes no notice of it, nor may we.
    """
    aws({"SSL_CERT_FILE": str(secure.pki["ca"])}, AWS_ENDPOINT_URL_STS="http://127.0.0.1:1")
    return Place(secure, aws, request.getfixturevalue("_broken_topics"), request.getfixturevalue("_broken_ports"))


@pytest.fixture
def connector_file(place: Place, tmp_path: Path) -> Callable[..., Path]:
    """connector_file(broken, debug="all") -> the path of the connector as JSON."""

    def write(broken: Broken, **more: object) -> Path:
        path = tmp_path / "connector.json"
        path.write_text(json.dumps(place.connector(broken, **more)))
        return path

    return write
