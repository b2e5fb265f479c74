"""No secret shows in what a broken configuration leaves, at librdkafka's most talkative: streams, log, errors, `ps`."""

from __future__ import annotations

import base64
import logging
import pickle
import re
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import penstock
from broken_configurations import BROKEN
from fix_command import command_lines
from penstock.cli import main
from penstock.tokens import Tokens
from secure_broker import AWS_SESSION, AWS_USER, REGION, USERS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fix_broken import Place
    from secure_broker import SecureBroker

ROW = pa.table({"id": [1]})
LOUD = {"debug": "all", "log_level": "debug", "initialization_timeout_secs": 1}
PASSWORDS = {*USERS.values(), "wrong-password", "wrong-key-password", "wrong-secret-access-key", "sesame"}
AWS_SECRETS = {value for one in (AWS_USER, AWS_SESSION) for name, value in one.items() if not name.endswith("_ID")}


def key_lines(secure: SecureBroker) -> set[str]:
    """Return the lines of base64 of all clients' keys."""
    texts = [path.read_text() for name, path in secure.pki.items() if "_key" in name and "keystore" not in name]
    return {line for text in texts for line in text.splitlines() if not line.startswith("-----")}


def shown_by(error: BaseException) -> str:
    return "\n".join([str(error), repr(error), str(pickle.dumps(error)), *traceback.format_exception(error)])


@pytest.fixture
def made_tokens(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every token that is made from now on, and what its signature is made of."""
    tokens: set[str] = set()
    renew = Tokens._renew

    def noting(self: Tokens) -> Any:
        token = renew(self)
        tokens.add(token.text)
        return token

    monkeypatch.setattr(Tokens, "_renew", noting)
    return tokens


def pieces(tokens: set[str]) -> set[str]:
    """Return what of a token gives it away: itself, its beginning, its base64 once more, the signature in it."""
    found = set()
    for token in tokens:
        found |= {token, token[:40], base64.b64encode(token.encode())[:40].decode()}
        inside = base64.urlsafe_b64decode(token + "==") if "." not in token else b""
        found |= set(re.findall(r"X-Amz-Signature=(\w+)", inside.decode(errors="replace")))
    return found


def log_of(caplog: pytest.LogCaptureFixture) -> str:
    lines = [record.getMessage() for record in caplog.records]
    assert any(line.startswith(("SASL: ", "first connection: SASL: ")) for line in lines), (
        "librdkafka was not talkative"
    )
    return "\n".join(lines)


def leaks(text: str, secrets: set[str]) -> set[str]:
    return {secret for secret in secrets if secret in text}


@pytest.fixture
def everything(secure: SecureBroker, caplog: pytest.LogCaptureFixture) -> Callable[[], set[str]]:
    caplog.set_level(logging.DEBUG)
    return lambda: PASSWORDS | AWS_SECRETS | key_lines(secure)


def test_writers_that_are_refused(
    place: Place, everything: Callable[[], set[str]], made_tokens: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither error, traceback nor log has one, whatever is wrong."""

    def refused(connector: dict[str, Any]) -> str:
        with pytest.raises(penstock.PenstockError) as error:
            penstock.write(ROW, config=connector, workers=0)
        return shown_by(error.value)

    said = []
    others = [place.connector(broken, **LOUD) for broken in BROKEN if not broken.by_environment]
    with ThreadPoolExecutor(8) as pool:
        said += pool.map(refused, others)
    said += [refused(place.connector(broken, **LOUD)) for broken in BROKEN if broken.by_environment]
    assert len(made_tokens) > 3
    secrets = everything() | pieces(made_tokens)
    assert leaks("\n".join(said), secrets) == set()
    assert leaks(log_of(caplog), secrets) == set()


def test_what_the_command_says(
    connector_file: Callable[..., Path],
    everything: Callable[[], set[str]],
    made_tokens: set[str],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Neither stream of `penstock write` has one, with the log on standard error."""
    source = tmp_path / "rows.jsonl"
    source.write_text('{"id": 1}\n')
    for what in ("a wrong password, PLAIN", "an encrypted key, wrong password", "AWS MSK, a wrong secret key"):
        (broken,) = [one for one in BROKEN if one.what == what]
        path = connector_file(broken, **LOUD)
        assert main(["write", str(source), "--workers", "0", "--config", str(path)]) == broken.exit_code
    said = "".join(capfd.readouterr())
    assert "SASL: " in said
    assert leaks(said, everything() | pieces(made_tokens)) == set()


def test_a_writer_that_is_let_in(
    place: Place, everything: Callable[[], set[str]], made_tokens: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the processes' arguments nor the log nor what is shown of a writer has one."""
    place.aws()
    config = {**place.options("IAM"), **LOUD, "topic": place.topic, "region": REGION, "initialization_timeout_secs": 20}
    connector = {"transport": {"name": "kafka_output", "config": config}}
    with penstock.open(config=connector, workers=1) as writer:
        seen = command_lines() + repr(writer) + repr(vars(writer))
        writer.write(ROW)
        writer.flush()
    secrets = everything() | pieces(made_tokens)
    assert leaks(seen, secrets) == set()
    assert leaks(log_of(caplog), secrets) == set()
