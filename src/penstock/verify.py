"""verify: a receipt with audit held against the topic, read back by an ordinary consumer.

    the receipt ──Receipt──▶ runs of acknowledged offsets, by topic and partition
    the topic ──confluent_kafka.Consumer──▶ offset and hash of each message
                    inside a run  ▶ count and sum must be the run's
                    outside       ▶ a repeat where its hash is also inside a run, foreign where it is not

Nothing of the producer's side takes part, but for the hash of a message (src/core/xxhash.cpp), of which headers and
timestamp are no part.

Memory: 8 bytes for each message inside runs, 17 for each outside, beside the consumer's own buffers (64 MB by default).
"""

from __future__ import annotations

import contextlib
import time
from array import array
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from penstock import _core
from penstock.cluster import Cluster
from penstock.config.kafka.options import property_table
from penstock.errors import ConfigError, ConnectError, SourceError
from penstock.report import PartitionReport  # noqa: TC001 - msgspec reads the annotation
from penstock.tokens import open_tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.config import Config
    from penstock.runs import Run
    from penstock.tokens import Tokens

__all__ = ["PartitionFinding", "Receipt", "Verdict", "Verification", "read_receipt", "verify"]

Verdict = Literal["agrees", "cannot tell", "differs"]
_WORSE: Final[tuple[Verdict, ...]] = ("agrees", "cannot tell", "differs")

# What a job that is not transactional wrote; a transactional one's is read with read_committed.
_ISOLATION: Final = "read_uncommitted"
# (topic and partition, offset, key, value)
_Read = tuple[tuple[str, int], int, "bytes | None", "bytes | None"]
_BATCH: Final = 10_000
_STEP_SECS: Final = 0.1  # how long a batch may take to fill
_ALL: Final = 2**64


class Receipt(msgspec.Struct, frozen=True):
    """What is needed of a report, as `penstock write --json` prints it; other members are not looked at."""

    topic: str
    messages: int
    unknown_offsets: int
    partitions: tuple[PartitionReport, ...]


class PartitionFinding(msgspec.Struct, frozen=True):
    """What was found in one partition.

    messages       inside the runs, as far as they were there
    repeats        messages outside of the runs that are also inside, of this or another partition
    foreign        other messages outside of them
    first_repeat, first_foreign   their lowest offsets, None where there are none
    text           what is wrong, of the first run where something is; empty where all agrees
    """

    topic: str
    partition: int
    verdict: Verdict
    runs: int
    messages: int
    repeats: int
    foreign: int
    first_repeat: int | None
    first_foreign: int | None
    text: str


class Verification(msgspec.Struct, frozen=True):
    """What was found in all of them. text: what is wrong beside the partitions' own."""

    verdict: Verdict
    partitions: tuple[PartitionFinding, ...]
    text: str = ""


def read_receipt(text: bytes, name: str) -> Receipt:
    """Read the JSON of a report; name: what errors call it.

    Raises SourceError where it is none, ConfigError where it was written without audit.
    """
    try:
        receipt = msgspec.json.decode(text, type=Receipt)
    except msgspec.DecodeError as error:
        raise SourceError(f"{name} is not a receipt as `penstock write --json` prints it: {error}") from None
    if any(part.runs is None for part in receipt.partitions):
        raise ConfigError(
            f"{name} has no runs of offsets to verify; write with audit=true (--audit true), which puts them into the "
            "receipt"
        )
    told = receipt.unknown_offsets + sum(run[2] for part in receipt.partitions for run in part.runs or ())
    if told != receipt.messages:
        raise SourceError(
            f"{name} contradicts itself: it counts {receipt.messages} messages, and its runs and unknown offsets "
            f"{told}; give it as it was printed"
        )
    return receipt


def verify(receipt: Receipt, config: Config, *, whole: bool = False) -> Verification:
    """Read the topics of a receipt and compare.

    config   how to reach the brokers; nothing else of it counts
    whole    read all partitions of the topics from their beginnings; else each of the receipt's from its first run on
    Raises   ConnectError when a broker or topic cannot be reached, or does not answer for initialization_timeout_secs
    """
    tokens = open_tokens(config)
    topics = sorted({part.topic for part in receipt.partitions})
    with Cluster(config, None if tokens is None else tokens.first()) as cluster:
        cluster.connect()  # a refused login is explained here
        policies = {topic: cluster.settings(topic)[0].get("cleanup.policy", "") for topic in topics}
    inside = array("Q")
    with contextlib.closing(_Reader(config, tokens)) as reader:
        parts = reader.partitions(receipt, topics, whole=whole)
        reader.read(parts, inside)
        for part in parts:
            if part.short:  # what was deleted while it was read is not missing
                part.low, _ = reader.ends(part.topic, part.number)
    _core.sort_hashes(inside)
    findings = tuple(part.finding(inside, policies[part.topic]) for part in parts)
    verdicts: set[Verdict] = {finding.verdict for finding in findings}
    text = ""
    if receipt.unknown_offsets:
        text = f"{receipt.unknown_offsets} messages were acknowledged without an offset, and cannot be looked for"
        verdicts.add("cannot tell")
    return Verification(max(verdicts, key=_WORSE.index, default="agrees"), findings, text)


class _Partition:
    """One partition while it is read: offsets come in ascending order."""

    def __init__(self, place: tuple[str, int], runs: list[Run], ends: tuple[int, int], *, whole: bool) -> None:
        self.topic, self.number = place
        self.runs = runs
        self.low, self.high = ends
        self.next = max(self.low, runs[0][0] if runs and not whole else 0)
        self._at = 0  # the run that the next offset is in, or before
        self._seen = [0] * len(runs)
        self._sums = [0] * len(runs)
        self._outside = array("Q")
        self._outside_offsets = array("q")

    def take(self, offset: int, hashed: int, inside: array[int]) -> None:
        """Count a message where it belongs; one that was read before, after the log was cut, is passed over."""
        if not self.next <= offset < self.high:
            return
        self.next = offset + 1
        while self._at < len(self.runs) and self.runs[self._at][1] < offset:
            self._at += 1
        if self._at < len(self.runs) and self.runs[self._at][0] <= offset:
            self._seen[self._at] += 1
            self._sums[self._at] += hashed
            inside.append(hashed)
        else:
            self._outside.append(hashed)
            self._outside_offsets.append(offset)

    @property
    def short(self) -> bool:
        """A run lacks messages."""
        return any(seen < run[2] for seen, run in zip(self._seen, self.runs, strict=True))

    def finding(self, inside: array[int], policy: str) -> PartitionFinding:
        """Judge all that was read. inside: the hashes in all runs, sorted; policy: the topic's cleanup.policy."""
        judged = [
            self._judge(run, seen, total, policy)
            for run, seen, total in zip(self.runs, self._seen, self._sums, strict=True)
        ]
        # the first of the worst
        verdict, text = max(judged, key=lambda one: _WORSE.index(one[0]), default=("agrees", ""))
        ours = _core.find_sorted(inside, self._outside)
        repeat, foreign = ours.find(1), ours.find(0)
        return PartitionFinding(
            topic=self.topic,
            partition=self.number,
            verdict=verdict,
            runs=len(self.runs),
            messages=sum(self._seen),
            repeats=ours.count(1),
            foreign=ours.count(0),
            first_repeat=self._outside_offsets[repeat] if repeat >= 0 else None,
            first_foreign=self._outside_offsets[foreign] if foreign >= 0 else None,
            text=text,
        )

    def _judge(self, run: Run, seen: int, total: int, policy: str) -> tuple[Verdict, str]:
        first, last, count, wanted = run
        where = f"offset {first}" if first == last else f"offsets {first} to {last}"
        if seen == count:
            same = total % _ALL == wanted
            return ("agrees", "") if same else ("differs", f"{where}: not the messages that were acknowledged")
        if first < self.low:
            return "cannot tell", f"{where}: deleted, the log begins at {self.low}"
        if last >= self.high:
            return "cannot tell", f"{where}: the log ends before {self.high}: it was cut, or the topic made anew"
        missing = f"{where}: {count - seen} of {count} messages are not there"
        if "compact" in policy:
            return "cannot tell", f"{missing}; the topic is compacted"
        if not policy:
            return "cannot tell", f"{missing}; whether the topic is compacted is not told"
        return "differs", missing


class _Reader:
    """An ordinary consumer, and what may go wrong with it as errors of ours."""

    def __init__(self, config: Config, tokens: Tokens | None) -> None:
        from confluent_kafka import Consumer  # noqa: PLC0415 - 0.15 s that a wrong receipt need not wait for

        def token(_: str) -> tuple[str, float, str, dict[str, str]]:
            made = tokens.first()  # type: ignore[union-attr] # asked for only where there are some
            return made.text, made.expires_ms / 1000, made.principal, dict(made.extensions)

        table = property_table()
        options: dict[str, Any] = {
            name: value for name, value in config.kafka.items() if name in table and table[name].scope != "P"
        }
        options |= {
            "group.id": "penstock-verify",  # never joined, and nothing is committed for it
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",  # where what was to be read next is deleted meanwhile
            "isolation.level": _ISOLATION,
            "log_level": 0,  # what is wrong is an error of ours
        }
        self._consumer = Consumer(options if tokens is None else {**options, "oauth_cb": token})
        self._config = config
        self._servers = config.kafka["bootstrap.servers"]
        self._timeout = float(config.initialization_timeout_secs)
        self._complaint: Any = None

    def close(self) -> None:
        """End the consumer."""
        self._consumer.close()

    def partitions(self, receipt: Receipt, topics: list[str], *, whole: bool) -> list[_Partition]:
        """Return what is to be read; ConnectError for a topic or partition that is not there."""
        told = {
            (part.topic, part.partition): sorted(
                (first, last, count, int(total, 16)) for first, last, count, total in part.runs or ()
            )
            for part in receipt.partitions
        }
        there: set[tuple[str, int]] = set()
        for topic in topics:
            found = self._asked(topic, self._consumer.list_topics, topic)
            if found.topics[topic].error is not None:
                raise self._refused(topic, found.topics[topic].error)
            there |= {(topic, number) for number in found.topics[topic].partitions}
        for topic, number in sorted(set(told) - there):
            raise ConnectError(
                f'topic "{topic}" on {self._servers} has no partition {number}, which the receipt names; give the '
                "brokers that it was written to"
            )
        return [
            _Partition(place, told.get(place, []), self.ends(*place), whole=whole)
            for place in sorted(there if whole else told)
        ]

    def ends(self, topic: str, number: int) -> tuple[int, int]:
        """Ask for the first offset of a partition, and the one behind its last."""
        from confluent_kafka import TopicPartition  # noqa: PLC0415 - as above

        low, high = self._asked(topic, self._consumer.get_watermark_offsets, TopicPartition(topic, number))
        return low, high

    def read(self, parts: list[_Partition], inside: array[int]) -> None:
        """Read each partition up to the end that it had when we asked; inside: gets the hashes in all runs."""
        from confluent_kafka import TopicPartition  # noqa: PLC0415 - as above

        left = {(part.topic, part.number): part for part in parts if part.next < part.high}
        self._consumer.assign([TopicPartition(*place, part.next) for place, part in left.items()])
        heard = time.monotonic()
        while left:
            messages, ended = self._some()
            hashes = memoryview(_core.message_hashes([(key, value) for _, _, key, value in messages])).cast("Q")
            for (place, offset, _, _), hashed in zip(messages, hashes, strict=True):
                part = left.get(place)
                if part is None:
                    continue
                part.take(offset, hashed, inside)
                if offset + 1 >= part.high:
                    ended.append(place)
            for place in ended:
                if left.pop(place, None) is not None:
                    self._consumer.incremental_unassign([TopicPartition(*place)])
            if messages or ended:
                heard = time.monotonic()
            elif time.monotonic() - heard > self._timeout:
                raise self._nothing_came(next(iter(left))[0])

    def _some(self) -> tuple[list[_Read], list[tuple[str, int]]]:
        """Return the next messages, and the partitions that are at their ends."""
        from confluent_kafka import KafkaError  # noqa: PLC0415 - as above

        messages, ended = [], []
        for message in self._consumer.consume(_BATCH, timeout=_STEP_SECS):
            error = message.error()
            place = (message.topic(), message.partition())
            if error is None:
                messages.append((place, message.offset(), message.key(), message.value()))
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its name
                ended.append(place)
            elif error.code() in {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.UNKNOWN_TOPIC_OR_PART}:
                raise self._refused(place[0], error)
            else:
                self._complaint = error
        return messages, ended

    def _asked(self, topic: str, ask: Callable[..., Any], about: object) -> Any:  # noqa: ANN401 - it has no types
        from confluent_kafka import KafkaException  # noqa: PLC0415 - as above

        try:
            return ask(about, timeout=self._timeout)
        except KafkaException as error:
            raise self._refused(topic, error.args[0]) from None

    def _nothing_came(self, topic: str) -> ConnectError:
        if self._complaint is not None:
            return self._refused(topic, self._complaint)
        return ConnectError(
            f'topic "{topic}" on {self._servers}: nothing came for {self._timeout:.0f} s; try again later, or give '
            "more initialization_timeout_secs"
        )

    def _refused(self, topic: str, error: Any) -> ConnectError:  # noqa: ANN401 - as above
        text = self._config.redactor.redact(error.str())
        return ConnectError(
            f'topic "{topic}" on {self._servers} cannot be read: {text} ({error.name()})', code=error.name()
        )
