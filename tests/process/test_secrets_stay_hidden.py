"""No secret shows in anything that a failing job leaves: its streams, its log, its errors, `ps`, the shared memory."""

from __future__ import annotations

import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import penstock
from fix_command import command_lines
from fix_leftovers import children
from penstock import control
from penstock.config import load
from registry_server import RegistryServer

if TYPE_CHECKING:
    from pathlib import Path

    from penstock._core import MockCluster

MARKER = "MARKER-7f3a"
ROWS = pa.table({"id": [1, 2, 3]})
# Each its own, so that a failure says which. As files and variables, as they are, and in the members of a format.
OPTIONS = {
    "security.protocol": "sasl_plaintext",
    "sasl.mechanism": "PLAIN",
    "sasl.username": "${env:PENSTOCK_TEST_USER}",
    "sasl.password": "${secret:kubernetes:kafka/password}",
    "client.id": "${env:PENSTOCK_TEST_CLIENT}",
    "ssl.key.password": f"{MARKER}-key-password",
    "ssl.keystore.password": f"{MARKER}-keystore-password",
    "sasl.oauthbearer.client.secret": f"{MARKER}-client-secret",
    "sasl.oauthbearer.assertion.private.key.passphrase": f"{MARKER}-passphrase",
    "debug": "all",
}


@pytest.fixture
def connector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A connector's object with a secret wherever one may stand."""
    secret = tmp_path / "kubernetes" / "kafka" / "password"
    secret.parent.mkdir(parents=True)
    secret.write_text(f"{MARKER}-password\n")
    monkeypatch.setenv("PENSTOCK_SECRETS_DIR", str(tmp_path))
    for name in ("user", "client", "header"):
        monkeypatch.setenv(f"PENSTOCK_TEST_{name.upper()}", f"{MARKER}-{name}")
    headers = [{"key": "a", "value": "${env:PENSTOCK_TEST_HEADER}"}, {"key": "b", "value": f"{MARKER}-literal"}]
    return {
        "transport": {
            "name": "kafka_output",
            "config": {"topic": "orders", "log_level": "debug", "headers": headers, **OPTIONS},
        }
    }


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ({"compression.type": "${env:PENSTOCK_TEST_CLIENT}"}, 2, "compression.type=${env:PENSTOCK_TEST_CLIENT}"),
        (
            {"security.protocol": "sasl_ssl", "ssl.cipher.suites": "none-such"},
            2,
            "librdkafka refuses the configuration",
        ),
        ({}, 4, "no broker answered at 127.0.0.1:1"),
    ],
    ids=["checked", "refused by librdkafka", "no broker"],
)
def test_a_command_that_fails(
    connector: dict[str, Any], options: dict[str, str], code: int, said: str, tmp_path: Path
) -> None:
    """With debug=all and log_level debug the streams are full of librdkafka's lines, and no secret is in them."""
    connector["transport"]["config"] |= {
        "bootstrap.servers": "127.0.0.1:1",
        "initialization_timeout_secs": 1,
        **options,
    }
    (tmp_path / "orders.json").write_text(json.dumps(connector))
    (tmp_path / "rows.csv").write_text("id\n1\n")
    command = [sys.executable, "-m", "penstock", "write", str(tmp_path / "rows.csv"), "--workers", "2"]
    shown = ""
    with (tmp_path / "streams").open("w+") as streams:
        process = subprocess.Popen(
            [*command, "--config", str(tmp_path / "orders.json")],
            stdout=streams,
            stderr=streams,
            stdin=subprocess.DEVNULL,
        )
        while process.poll() is None:
            shown += command_lines()
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
        streams.seek(0)
        text = streams.read()
    assert process.returncode == code
    assert said in text
    assert MARKER not in text
    assert MARKER not in shown
    if code != 2:
        assert "debug: first connection: " in text
        assert "penstock.worker" in shown


def test_a_worker_that_is_killed(
    connector: dict[str, Any], mock: MockCluster, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A job ended by a worker's death shows no secret: not of broker, registry, format or header."""
    caplog.set_level(1)
    connector["transport"]["config"] |= {"bootstrap.servers": mock.bootstrap_servers, "security.protocol": "plaintext"}
    with RegistryServer() as server:
        connector["format"] = {
            "name": "avro",
            "config": {
                "registry_urls": [server.url.replace("http://", f"http://u:{MARKER}-url@")],
                "registry_headers": {"X-Key": "${env:PENSTOCK_TEST_HEADER}"},
            },
        }
        before = children()
        writer = penstock.open(config=connector, schema=ROWS.schema, workers=2, max_restarts_per_min=0)
        writer.write(ROWS)
        shown = command_lines()
        memory = bytes(writer._coordinator.arena.memory)
        os.kill(min(children() - before), signal.SIGKILL)
        with pytest.raises(penstock.WorkerDied) as raised:
            for _ in range(200):
                writer.write(ROWS)
                writer.flush()
        writer.close()
    error = raised.value
    config = load(connector)
    start = control.Start(0, "", list(config.kafka.items()), ["orders"], list(config.headers), 1, 1, 1, 1, 1.0, [0])
    said = [str(error), repr(error), *traceback.format_exception(error), repr(config), repr(start), repr(config.format)]
    said += [pickle.dumps(error).decode("latin-1"), *caplog.messages, *capfd.readouterr(), shown]
    assert not [text for text in said if MARKER in text]
    assert MARKER.encode() not in memory
    assert len([record for record in caplog.records if record.levelno == logging.DEBUG]) > 10
