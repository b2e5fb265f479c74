"""check: the steps before the first row, each with its outcome, for `penstock check`.

    address    resolves, takes connections, speaks what was configured      each of bootstrap.servers, each advertised
    login      a broker lets us in
    topic      is there; partitions, settings
    rights     we may write to it
    limit      how large a message all topics take
    registry   lets us in
    clock      is right enough for signed requests to AWS

A step that could not be reached says so. The same is done in silence when a writer opens (cluster.py): there the first
thing that is wrong is the error.
"""

from __future__ import annotations

import email.utils
import functools
import http.client
import os
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Final

import msgspec

from penstock.cluster import Cluster, Topic, within_limits
from penstock.config.kafka.login import MskIam
from penstock.errors import ConnectError, PenstockError
from penstock.listener import inspect
from penstock.registry import open_registry
from penstock.tokens import open_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    from penstock.config import Config

__all__ = ["Finding", "check"]

_VISIT_SECS: Final = 5.0
_MOST_CLOCK_SECS: Final = 300  # AWS refuses signatures that are older, or from later
_OPERATIONS: Final = {
    2: "ALL", 3: "READ", 4: "WRITE", 5: "CREATE", 6: "DELETE", 7: "ALTER", 8: "DESCRIBE", 10: "DESCRIBE_CONFIGS",
    11: "ALTER_CONFIGS",
}  # fmt: skip
_MISSING: Final = ("UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC")
_SETTINGS: Final = ("max.message.bytes", "cleanup.policy", "min.insync.replicas")


class Finding(msgspec.Struct, frozen=True):
    """The outcome of one step.

    step   configuration, address, login, topic, rights, limit, registry or clock
    about  which one; empty where there is only one
    ok     None: it could not be told, or does not matter here
    text   what was found
    """

    step: str
    about: str
    ok: bool | None
    text: str


def check(config: Config) -> Iterator[Finding]:
    """Do the steps one by one and yield what is found; nothing is made, written or changed.

    An error of a step is its finding: only what is a bug is raised.
    """
    given = [one.strip() for one in config.kafka["bootstrap.servers"].split(",") if one.strip()]
    visited: dict[str, bool | None] = {}
    for finding in _addresses(config, given):
        visited[finding.about] = finding.ok
        yield finding
    if any(visited.values()):
        yield from _cluster(config, visited)
    else:
        yield Finding("login", "", None, "not tried: no address can be used")
    yield from _registry(config)
    if isinstance(config.tokens, MskIam):
        yield _clock(config.tokens.region)


def _addresses(config: Config, addresses: list[str], why: str = "") -> Iterator[Finding]:
    for address in addresses:
        found = inspect(address, config.kafka, _VISIT_SECS)
        where = ", ".join(found.resolved)
        problem = found.problem and found.problem.removeprefix(f"{found.address}: ")
        text = f"answers at {where}" if problem is None else f"{why}{problem}"
        yield Finding("address", found.address, problem is None, text)


def _cluster(config: Config, given: Container[str]) -> Iterator[Finding]:
    try:
        tokens = open_tokens(config)
        with Cluster(config, None if tokens is None else tokens.first()) as cluster:
            cluster.connect()
            brokers = cluster.brokers()
            login = config.kafka.get("sasl.mechanism", "no SASL")
            protocol = config.kafka.get("security.protocol", "plaintext").upper()
            count = "1 broker" if len(brokers) == 1 else f"{len(brokers)} brokers"
            told = f"{count}: {', '.join(brokers)}" if brokers else "its brokers are not told"
            yield Finding("login", "", True, f"{protocol}, {login}; {told}")
            others = [broker for broker in brokers if broker not in given]
            advertised = list(
                _addresses(config, others, "clients are sent on to this address (advertised.listeners), but ")
            )
            yield from advertised
            if advertised and len(advertised) == len(brokers) and not any(finding.ok for finding in advertised):
                yield Finding(
                    "topic", "", None, "not tried: the brokers send clients on to addresses that cannot be used"
                )
                return
            topics: list[Topic] = []
            made = "create_topic" if config.writer.create_topic is not None else ""
            for name in config.topics_needed:
                yield from _topic(functools.partial(cluster.topic, name, make=False), name, made, topics)
            if topics:
                yield from _limits(config, topics)
            if config.writer.job is not None:
                look = functools.partial(cluster.progress_topic, make=False)
                yield from _topic(look, config.writer.progress_topic, "the job", [])
    except PenstockError as error:
        yield Finding("login", "", False, str(error))


def _topic(look: Callable[[], Topic], name: str, made: str, topics: list[Topic]) -> Iterator[Finding]:
    """Look at a topic. made: what makes a missing one, if anything does."""
    try:
        topic = look()
    except ConnectError as error:
        if error.code in _MISSING and made:
            yield Finding("topic", name, None, f"does not exist yet; {made} makes it when a writer opens")
            return
        step = "rights" if error.code == "TOPIC_AUTHORIZATION_FAILED" else "topic"
        yield Finding(step, name, False, str(error))
        return
    topics.append(topic)
    settings = [f"{setting} {topic.config[setting]}" for setting in _SETTINGS if setting in topic.config]
    if topic.untold:
        settings.append(f"its settings are not told: {topic.untold}")
    partitions = "1 partition" if topic.partitions == 1 else f"{topic.partitions} partitions"
    yield Finding("topic", name, True, ", ".join([partitions, *settings]))
    if topic.operations is None:
        yield Finding("rights", name, None, "the broker does not tell what this login may do")
    else:
        rights = sorted(_OPERATIONS.get(operation, str(operation)) for operation in topic.operations)
        yield Finding("rights", name, True, ", ".join(rights))


def _limits(config: Config, topics: list[Topic]) -> Iterator[Finding]:
    try:
        allowed = within_limits(config, topics)
    except PenstockError as error:
        yield Finding("limit", "", False, str(error))
        return
    yield Finding("limit", "", True, f"keys, values and headers of a message up to {allowed.max_payload_bytes} bytes")


def _registry(config: Config) -> Iterator[Finding]:
    try:
        registry = open_registry(config)
        if registry is None:
            return
        registry.reach()
    except PenstockError as error:
        yield Finding("registry", "", False, str(error))
    else:
        yield Finding("registry", "", True, "answers")


def _clock(region: str) -> Finding:
    """Compare this machine's clock with that of AWS, where it can be reached."""
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    url = os.environ.get("AWS_ENDPOINT_URL_STS") or f"https://sts.{region}.{domain}"
    try:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - of AWS, or what the user named instead
        with urllib.request.urlopen(request, timeout=_VISIT_SECS) as answer:  # noqa: S310
            stamp = answer.headers.get("Date")
    except urllib.error.HTTPError as error:  # an answer too
        stamp = error.headers.get("Date")
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Finding(
            "clock", "", None, f"AWS cannot be reached at {url} to compare it: {getattr(error, 'reason', error)}"
        )
    try:
        theirs = email.utils.parsedate_to_datetime(stamp or "").timestamp()
    except ValueError:
        return Finding("clock", "", None, f"{url} does not tell the time")
    ahead = time.time() - theirs
    side = "ahead of" if ahead > 0 else "behind"
    text = f"{abs(ahead):.0f} s {side} AWS"
    if abs(ahead) < _MOST_CLOCK_SECS:
        return Finding("clock", "", True, text)
    return Finding("clock", "", False, f"{text}, which refuses more than {_MOST_CLOCK_SECS} s; set it right, by NTP")
