"""check: its steps where no broker is needed; what brokers say is tested with a real one (broker/)."""

from __future__ import annotations

import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from penstock import check as checking
from penstock.check import check
from penstock.config import load
from penstock.listener import Listener
from serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

OAUTH = {"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"}


def findings(**settings: Any) -> list[tuple[str, bool | None, str]]:
    config = load(**{"topic": "orders", "bootstrap_servers": "127.0.0.1:1", **settings})
    return [(finding.step, finding.ok, finding.text) for finding in check(config)]


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A server in the place of AWS's; aws.date is its answer's Date, None for an answer that is no HTTP."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            if server.date is None:
                self.wfile.write(b"what?\r\n\r\n")
                return
            self.send_response_only(403)
            self.send_header("Date", server.date)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server: Any = HTTPServer(("127.0.0.1", 0), Handler)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{server.server_port}")
    with serving(server):
        yield server


@pytest.mark.parametrize(
    ("ahead", "ok", "words"),
    [
        (0, True, " AWS"),
        (-250, True, "behind AWS"),
        (400, False, "s ahead of AWS, which refuses more than 300 s; set it right, by NTP"),
        (-400, False, "s behind AWS, which refuses"),
    ],
)
def test_the_clock_is_compared_with_awss(ahead: int, *, ok: bool | None, words: str, aws: Any) -> None:
    """Any answer tells the time, a refusal too; AWS takes 300 s."""
    aws.date = formatdate(time.time() - ahead, usegmt=True)
    found = checking._clock("eu-west-1")
    assert (found.step, found.ok) == ("clock", ok)
    assert words in found.text


@pytest.mark.parametrize(
    ("date", "words"), [("soon", "does not tell the time"), ("", "does not tell the time"), (None, "cannot be reached")]
)
def test_a_clock_that_cannot_be_compared_is_no_error(date: str | None, words: str, aws: Any) -> None:
    """Neither an answer without a time nor one that is no HTTP."""
    aws.date = date
    found = checking._clock("eu-west-1")
    assert (found.ok, words in found.text) == (None, True)


def test_steps_that_need_no_broker_are_done_without_one() -> None:
    """No address can be used: the login is not tried, the registry is."""
    found = findings(format={"name": "avro", "config": {"registry_urls": ["http://127.0.0.1:1"]}})
    assert [(step, ok) for step, ok, _ in found] == [("address", False), ("login", None), ("registry", False)]


def test_what_a_registry_contradicts_is_found() -> None:
    """Members that need a registry where none is named: the error of open is a finding here."""
    (_, _, (step, ok, text)) = findings(format={"name": "avro"}, check_compatibility=True)
    assert (step, ok) == ("registry", False)
    assert text.startswith("check_compatibility needs format.config.registry_urls")


def test_a_function_that_is_not_there_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """oauth_cb cannot be imported: a sentence of the login, and the steps after it are done."""
    monkeypatch.setattr(checking, "inspect", lambda address, *_: Listener(address, connected=True))
    found = findings(
        kafka_options=OAUTH, oauth_cb="nowhere:f",
        format={"name": "avro", "config": {"registry_urls": ["http://127.0.0.1:1"]}},
    )  # fmt: skip
    assert [(step, ok) for step, ok, _ in found] == [("address", True), ("login", False), ("registry", False)]
    assert 'oauth_cb "nowhere:f": No module named' in found[1][2]


def test_each_address_is_told_once_it_was_visited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second address that takes its time does not hold the first one back."""
    visited: list[str] = []
    monkeypatch.setattr(checking, "inspect", lambda address, *_: visited.append(address) or Listener(address))
    steps = check(load(topic="orders", bootstrap_servers="a:1,b:2"))
    assert next(steps).about == "a:1"
    assert visited == ["a:1"]
