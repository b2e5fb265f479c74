"""Tokens are renewed while rows are written, and while none are; a renewal that fails for a while loses nothing.

Both jobs run at the same time, each in a thread, at listeners that end a login with its token, or after 15 s.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from aws_msk_iam_sasl_signer import MSKAuthTokenProvider

import penstock
from broken_configurations import without
from fix_secure import unsigned_token
from penstock import tokens
from readback import read_topic, rows_of
from secure_broker import AWS_USER, REGION

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from fix_broker import Kafka
    from secure_broker import SecureBroker

LIFE_SECS = 12.0
FIRST_SECS, IDLE_SECS, LAST_SECS = 3.0, 13.0, 8.0  # new tokens are made after 9.6 and 19.2 s


def write_and_rest(topic: str, options: dict[str, Any], **settings: Any) -> tuple[int, float]:
    """Write a row now and then, none and no call for longer than a token lives, and again; flush at the very end.

    Returns the number of rows, and how long the first write and flush after the rest took.
    """
    rows = 0

    def busy(secs: float) -> None:
        nonlocal rows
        until = time.monotonic() + secs
        while time.monotonic() < until:
            writer.write(pa.table({"id": [rows]}))
            rows += 1
            time.sleep(0.2)

    options = {**options, "message.timeout.ms": 10_000}  # a login that has ended is a failure, and soon
    with penstock.open(topic=topic, kafka_options=options, workers=1, **settings) as writer:
        busy(FIRST_SECS)
        time.sleep(IDLE_SECS)
        began = time.monotonic()
        writer.write(pa.table({"id": [rows]}))
        rows += 1
        assert writer.flush().rows == rows
        took = time.monotonic() - began
        busy(LAST_SECS)
        assert writer.flush().rows == rows
    return rows, took


def test_nothing_is_lost(
    secure: SecureBroker,
    secure_topic: Callable[..., str],
    secure_kafka: Kafka,
    aws: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Every row arrives once, and soon after the rest; a renewal that fails is a warning, and its end another."""
    monkeypatch.setattr(tokens, "LONGEST_LIFE_SECS", LIFE_SECS)
    monkeypatch.setattr(MSKAuthTokenProvider, "DEFAULT_TOKEN_EXPIRY_SECONDS", int(LIFE_SECS))  # for the broker too
    aws(AWS_USER)
    caplog.set_level(logging.INFO, "penstock")
    made: list[float] = []

    def at_times(argument: str) -> tuple[str, float]:
        made.append(time.monotonic())
        if len(made) == 2:
            raise OSError("the identity server is down")
        return unsigned_token(argument, LIFE_SECS)

    ours = without(secure.options("OAUTHBEARER"), "enable.sasl.oauthbearer.unsecure.jwt")
    topics = [secure_topic(), secure_topic()]
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(write_and_rest, topics[0], secure.options("IAM"), region=REGION),
            pool.submit(write_and_rest, topics[1], ours, oauth_cb=at_times),
        ]
        done = [job.result() for job in jobs]
    for topic, (rows, took) in zip(topics, done, strict=True):
        log = read_topic(secure_kafka.bootstrap_servers, topic)
        assert sorted(row[0] for message in log.messages for row in rows_of(message)) == list(range(rows))
        assert took < 1
    assert len(made) >= 4
    warnings = [record.getMessage() for record in caplog.records if record.name == "penstock"]
    assert any("no new token: it raised OSError: the identity server is down" in line for line in warnings), warnings
    assert any("there is a new token again" in line for line in warnings), warnings
