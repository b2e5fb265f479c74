"""cluster: what is asked of the brokers before the first row, by one client of the coordinator's own.

    connect        every address, until one lets us in; a refusal by all of them ends it at once
    topic          is it there, or to be made; how many partitions; may we write to it; how large a message it takes
    progress_topic the same for the one with the progress of jobs, which is made wherever it is missing
    before_first_row   the same for all topics of a job, at open; `penstock check` shows each step (check.py)

The client lives as long as the questions. It has the job's own options, so that what works here works in the workers.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import msgspec

from penstock import _core
from penstock.config import FRAMING_BYTES
from penstock.config.kafka.login import MskIam
from penstock.config.kafka.options import load_librdkafka
from penstock.config.settings import CreateTopic
from penstock.errors import ConfigError, ConnectError
from penstock.logs import tell_log
from penstock.produce import NO_BROKER, TOPIC_WAIT_SECS, UNKNOWN_TOPIC, find_partitions, set_token

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from typing_extensions import Self

    from penstock.config import Config
    from penstock.control import Token

__all__ = ["Cluster", "Topic", "before_first_row", "missing_topic", "no_answer", "topic_refused"]

_log = logging.getLogger("penstock")

_TOPIC_EXISTS: Final = 36
# NOT_CONTROLLER, REQUEST_TIMED_OUT, THROTTLING_QUOTA_EXCEEDED: of a broker that may well make the topic a moment later.
_LATER: Final = frozenset({41, 7, 89}) | NO_BROKER
# INVALID_CONFIG, INVALID_REQUEST, POLICY_VIOLATION: of one that may make the topic with other settings.
_OTHERWISE: Final = frozenset({40, 42, 44})
_NO_RIGHT: Final = ("TOPIC_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED")
_MAY_WRITE: Final = 4  # rd_kafka_AclOperation_t
_MAY_DO_ALL: Final = 2
# A batch of one message is longer than the message: a value of the topic's limit less 64 bytes is refused by Kafka 4.1,
# one less 72 is taken. Twice as much is left for what comes with it.
_BATCH_BYTES: Final = 128
_TRIED_ALL: Final = ("_AUTHENTICATION", "_SSL", "_ALL_BROKERS_DOWN")  # the most telling first
_VISIT_SECS: Final = 2.0  # for each connection to an address, and one needs up to three
_LEAST_VISIT_SECS: Final = 0.5
_LONGEST_VISIT_SECS: Final = 3 * _VISIT_SECS
_EXPLAIN_EVERY_SECS: Final = 5.0
_TIMED_OUT: Final = -185
_BROKERS_SECS: Final = 5.0
_STEP_SECS: Final = 0.2  # how late a refusal is noticed
_REQUEST_SECS: Final = 30.0  # for one answer of a broker that has let us in
# One partition, so that all jobs' records are in one order; the broker's default replication. The segment that is being
# written is not compacted, and each start of a job reads all of it. Confluent Cloud takes no fewer than 50 MiB; brokers
# that do not let one choose get the second form.
_PROGRESS_TOPIC: Final = (
    CreateTopic(partitions=1, config={"cleanup.policy": "compact", "segment.bytes": str(50 << 20)}),
    CreateTopic(partitions=1, config={"cleanup.policy": "compact"}),
)
_ADVICE: Final = "; check bootstrap.servers and security.protocol"


class Topic(msgspec.Struct, frozen=True):
    """What the brokers tell of a topic.

    partitions  0 where nobody could be asked
    operations  what we may do with it, as rd_kafka_AclOperation_t; None where the broker does not tell
    config      its settings, the broker's defaults included; empty where it may not be read, `untold` says why
    made        by us, just now
    """

    name: str
    partitions: int
    operations: tuple[int, ...] | None
    config: dict[str, str]
    untold: str = ""
    made: bool = False

    @property
    def max_message_bytes(self) -> int | None:
        """The largest batch that it takes, None where it is not told."""
        limit = self.config.get("max.message.bytes", "")
        return int(limit) if limit.isdigit() else None


class Cluster:
    """A client that is let in, or not.

    token   to log in with, where the login takes one
    Raises  ConfigError when librdkafka says that the options exclude each other
    """

    def __init__(self, config: Config, token: Token | None = None) -> None:
        self._config = config
        self._deadline = time.monotonic() + config.initialization_timeout_secs
        self._redact = config.redactor.redact
        self._errors: list[tuple[str, str]] = []  # of librdkafka's, since we were let in or from the beginning
        self._explain_at = 0.0
        self._explained: str | None = None
        self._hopeless: set[tuple[str, str]] = set()  # errors that were looked into: names, and whose they are
        self._told: set[tuple[int, str, str]] = set()
        self.servers = config.kafka["bootstrap.servers"]
        load_librdkafka()
        # Nothing is produced, so no producer id is asked for, which some brokers hold back for a while.
        options = {name: value for name, value in config.kafka.items() if name != "enable.gapless.guarantee"}
        try:
            self._admin = _core.Admin(configuration=[*options.items(), ("enable.idempotence", "false")])
        except ValueError as error:
            raise ConfigError(f"librdkafka refuses the configuration: {error}", code="_INVALID_ARG") from None
        refused = None if token is None else set_token(self._admin, token)
        if refused is not None:
            self._admin.close()
            raise ConnectError(refused)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._admin.close()

    def connect(self) -> None:
        """Wait for the first broker that lets us in.

        Raises ConnectError: at once when every address refuses our login or our TLS, or speaks another protocol than
        was asked for; else when initialization_timeout_secs are over.
        """
        while True:
            left = self._deadline - time.monotonic()
            connected = self._admin.connect(int(max(0.001, min(_STEP_SECS, left)) * 1000))
            self._hear()
            self.tell_log()
            if connected:
                self._errors.clear()
            # librdkafka may leave the address that let us in before it has noted the cluster's id.
            if connected or self._sent_on():
                return
            if left <= 0:
                raise self._no_answer(_TIMED_OUT)
            self._explain()

    def brokers(self) -> list[str]:
        """Return the addresses that the brokers tell clients, none where that cannot be told."""
        code, brokers = self._admin.brokers(int(_BROKERS_SECS * 1000))
        self._hear()
        if code != 0:
            return self._sent_on()
        return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for _, host, port in brokers]

    def topic(self, name: str, *, make: bool = True) -> Topic:
        """Look at a topic; make it where it is missing and create_topic says so, or where the broker does by itself.

        make    false leaves a missing one missing, which is an error then
        Raises ConnectError when it is not there after 5 s, when it cannot be made, or when we may not write to it.
        """
        wanted = self._config.writer.create_topic
        return self._look(name, () if wanted is None else (wanted,), make=make)

    def progress_topic(self, *, make: bool = True) -> Topic:
        """Look at the topic with the progress of jobs; make it where it is missing: one partition, compacted.

        A topic that is not compacted is a warning. Raises ConnectError as `topic` does.
        """
        name = self._config.writer.progress_topic
        found = self._look(name, _PROGRESS_TOPIC, make=make)
        policy = found.config.get("cleanup.policy", "compact")
        if "compact" not in policy:
            _log.warning(
                'the progress topic "%s" is not compacted (cleanup.policy=%s): what jobs record there is deleted in '
                "time, and they would begin anew; set cleanup.policy=compact", name, policy,
            )  # fmt: skip
        return found

    def _look(self, name: str, wanted: Sequence[CreateTopic], *, make: bool) -> Topic:
        if not self._admin.has_controller:
            return Topic(name, self._wait_for(name), None, {}, "the cluster names no controller that could be asked")
        code, text, partitions, operations = self._admin.describe_topic(name, self._request_ms())
        made = False
        if code in UNKNOWN_TOPIC and not make:
            raise missing_topic(self.servers, name, _core.error_name(code), asked=False)
        if code in UNKNOWN_TOPIC:
            made = bool(wanted) and self._make(name, *wanted)
            partitions = self._wait_for(name)
            _, _, _, operations = self._admin.describe_topic(name, self._request_ms())
        elif code in NO_BROKER:  # the address that we were given answers, and those that it sends us on to do not
            self._hear()
            self._explain_at = 0.0
            self._explain()
            raise self._no_answer(code)
        elif code != 0:
            raise topic_refused(self.servers, name, _core.error_name(code), text or _core.error_text(code))
        if operations is not None and not {_MAY_WRITE, _MAY_DO_ALL} & set(operations):
            raise ConnectError(
                f'topic "{name}" on {self.servers}: the broker lets this login see the topic, but not write to it; ask '
                "for an ACL that allows WRITE",
                code="TOPIC_AUTHORIZATION_FAILED",
            )
        config, untold = self.settings(name)
        self.tell_log()
        return Topic(name, partitions, None if operations is None else tuple(operations), config, untold, made)

    def settings(self, name: str) -> tuple[dict[str, str], str]:
        """Return a topic's settings, the broker's defaults included; where they may not be read none, and why."""
        if not self._admin.has_controller:
            return {}, "the cluster names no controller that could be asked"
        code, text, config = self._admin.topic_config(name, self._request_ms())
        return config, "" if code == 0 else text or _core.error_text(code)

    def tell_log(self) -> None:
        """Hand on what librdkafka logged, each line once, but for failed connections, which the errors tell as well."""
        lines = [(level, facility, self._redact(text)) for level, facility, text in self._admin.log()]
        if self._config.log_level != "debug":
            lines = [line for line in dict.fromkeys(lines) if line[1] != "FAIL" and line not in self._told]
            self._told.update(lines)
        tell_log(lines, "first connection")

    def _hear(self) -> None:
        self._errors += [(name, self._redact(text)) for _, name, text in self._admin.errors()]

    def _sent_on(self) -> list[str]:
        """Return the addresses that we were sent on to by a broker that let us in, of those with an error."""
        if not self._errors:
            return []
        from penstock.explain import advertised  # noqa: PLC0415 - ssl and more, needed only when something is wrong

        return list(advertised(self._errors))

    def _explain(self) -> None:
        """Find out why nobody lets us in, now and then and before the time is over.

        Raises ConnectError when no address is left that might.
        """
        now = time.monotonic()
        left = self._deadline - now
        hopeless = {(name, text.partition(": ")[0]) for name, text in self._errors if name in _TRIED_ALL}
        due = now >= self._explain_at and (hopeless or left < _LONGEST_VISIT_SECS)
        if not (due or hopeless - self._hopeless):
            return
        self._hopeless |= hopeless
        from penstock.explain import explain  # noqa: PLC0415 - ssl and more, needed only when something is wrong

        hidden = frozenset(name for name, value in self._config.kafka.items() if value in self._config.hidden)
        region = self._config.tokens.region if isinstance(self._config.tokens, MskIam) else None
        why = explain(
            self._config.kafka,
            self._errors,
            min(_VISIT_SECS, max(_LEAST_VISIT_SECS, left / 3)),
            hidden=hidden,
            msk_region=region,
        )
        self._explain_at = time.monotonic() + _EXPLAIN_EVERY_SECS
        if why.text is not None and why.lasting:
            raise ConnectError(why.text, code=_worst(self._errors))
        if why.text is not None and why.text != self._explained:
            _log.warning("%s (trying for up to %d s)", why.text, self._config.initialization_timeout_secs)
        self._explained = why.text

    def _no_answer(self, code: int) -> ConnectError:
        said = self._errors[-1][1] if self._errors else _core.error_text(code)
        advice = "" if self._explained else _ADVICE
        return no_answer(self._config, self._explained or said, _core.error_name(code), advice)

    def _request_ms(self) -> int:
        return int(max(1.0, min(_REQUEST_SECS, self._deadline - time.monotonic())) * 1000)

    def _make(self, name: str, wanted: CreateTopic, *others: CreateTopic) -> bool:
        """Make the topic; several clients at once still work. Tells whether it was us.

        others  what it may be instead where the broker refuses that
        """
        numbers = (wanted.partitions or -1, wanted.replication_factor or -1)
        while True:
            code, text = self._admin.create_topic(name, *numbers, wanted.config.items(), self._request_ms())
            if code in {0, _TOPIC_EXISTS}:
                return code == 0
            if code not in _LATER or time.monotonic() >= self._deadline:
                break
            time.sleep(_STEP_SECS)
            self.brokers()  # tells librdkafka who the controller is by now
        if code in _OTHERWISE and others:
            return self._make(name, *others)
        error = _core.error_name(code)
        text = text or _core.error_text(code)
        if error in _NO_RIGHT:
            text = "the broker does not let this login; ask for an ACL that allows CREATE, or for the topic itself"
        raise ConnectError(
            f'topic "{name}" on {self.servers} does not exist, and could not be made: {text} ({error})',
            code=error,
        )

    def _wait_for(self, name: str) -> int:
        """Ask for a topic until all its partitions have leaders; a broker may make it on being asked."""
        partitions, code = find_partitions(self._admin, name, self._deadline)
        if code in UNKNOWN_TOPIC:
            raise missing_topic(self.servers, name, _core.error_name(code))
        if code in NO_BROKER:
            self._hear()
            raise self._no_answer(code)
        if code != 0:
            raise topic_refused(self.servers, name, _core.error_name(code), _core.error_text(code))
        return partitions


def _worst(errors: list[tuple[str, str]]) -> str:
    names = {name for name, _ in errors}
    return next((name for name in _TRIED_ALL if name in names), _TRIED_ALL[-1])


def before_first_row(config: Config, token: Token | None) -> tuple[Config, int]:
    """Look at the cluster and at every topic of the job; return the configuration as they allow it, and the partitions.

    These are those of config.topic. message.max.bytes is lowered to the least of the topics' limits less 128 bytes,
    which is logged.
    Raises ConnectError, as Cluster does, and when a topic's limit leaves no room for a message.
    """
    with Cluster(config, token) as cluster:
        cluster.connect()
        topics = [cluster.topic(name) for name in config.topics_needed]
        if config.writer.job is not None:
            cluster.progress_topic()
    return within_limits(config, topics), topics[0].partitions


def within_limits(config: Config, topics: list[Topic]) -> Config:
    """Return the configuration with message.max.bytes as low as the topics want it."""
    limits = [(topic.max_message_bytes, topic.name) for topic in topics if topic.max_message_bytes is not None]
    if not limits:
        return config
    limit, name = min(limits)
    largest, given = limit - _BATCH_BYTES, int(config.kafka["message.max.bytes"])
    if given <= largest:
        return config
    if largest <= FRAMING_BYTES:
        raise ConnectError(
            f'topic "{name}" takes at most {limit} bytes (its max.message.bytes), which leaves no room for a message; '
            "raise it"
        )
    _log.info(
        'topic "%s" takes at most %d bytes (its max.message.bytes): message.max.bytes is lowered from %d to %d',
        name, limit, given, largest,
    )  # fmt: skip
    return msgspec.structs.replace(config, kafka={**config.kafka, "message.max.bytes": str(largest)})


def missing_topic(servers: str, name: str, code: str, *, asked: bool = True) -> ConnectError:
    """Return the error for a topic that is not there. asked: so that a broker that is set to would have made it."""
    waited = f", and the broker did not create it within {TOPIC_WAIT_SECS:.0f} s" if asked else ""
    return ConnectError(
        f'topic "{name}" does not exist on {servers}{waited}; '
        'check its name, or have it made: create_topic={"partitions": …, "replication_factor": …, "config": {…}}',
        code=code,
    )


def topic_refused(servers: str, name: str, code: str, text: str) -> ConnectError:
    """Return the error for a topic that the broker does not let us have."""
    if code == "TOPIC_AUTHORIZATION_FAILED":
        text = "the broker does not let this login see the topic, if it exists; ask for an ACL that allows WRITE"
    return ConnectError(f'topic "{name}" on {servers}: {text} ({code})', code=code)


def no_answer(config: Config, said: str, code: str, advice: str = _ADVICE) -> ConnectError:
    """Return the error for brokers of which none answered in time, with advice where `said` has none of its own."""
    return ConnectError(
        f"no broker answered at {config.kafka['bootstrap.servers']} within {config.initialization_timeout_secs} s "
        f'(initialization_timeout_secs) for topic "{config.topic}": {said}{advice}',
        code=code,
        retriable=True,
    )
