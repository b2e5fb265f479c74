"""verify: a receipt with audit held against the topic, read back by an ordinary consumer.

    the receipt ──Receipt──▶ runs of acknowledged offsets, by topic and partition
    the topic ──confluent_kafka.Consumer──▶ offset and hash of each message
                    inside a run  ▶ count and sum must be the run's
                    outside       ▶ a repeat where its hash is also inside a run, foreign where it is not

What was delivered exactly once is read as a consumer does that reads committed, and there a repeat is a difference.

Nothing of the producer's side takes part, but for the hash of a message (src/core/xxhash.cpp), of which headers and
timestamp are no part.

Memory: 8 bytes for each message inside runs, 17 for each outside, beside the consumer's own buffers (64 MB by default).
"""

from __future__ import annotations

import contextlib
import time
from array import array
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from penstock import _core
from penstock.cluster import Cluster
from penstock.config.settings import Delivery  # noqa: TC001 - msgspec reads the annotation
from penstock.errors import ConfigError, ConnectError, SourceError
from penstock.reader import Reader
from penstock.report import JobPartition, JobReport, PartitionReport  # noqa: TC001 - msgspec reads the annotation
from penstock.tokens import open_tokens

if TYPE_CHECKING:
    from penstock.config import Config
    from penstock.reader import Isolation, Place
    from penstock.runs import Run

__all__ = ["PartitionFinding", "Receipt", "Verdict", "Verification", "read_receipt", "verify"]

Verdict = Literal["agrees", "cannot tell", "differs"]
_WORSE: Final[tuple[Verdict, ...]] = ("agrees", "cannot tell", "differs")

_ISOLATION: Final[dict[Delivery, Isolation]] = {
    "at_least_once": "read_uncommitted",
    "exactly_once": "read_committed",
}
_ENDS: Final[dict[Isolation, str]] = {
    "read_uncommitted": "the log ends before {}: it was cut, or the topic made anew",
    "read_committed": "what is committed ends before {}: a transaction is open (`penstock transactions list`), or the "
    "log was cut, or the topic made anew",
}
_TWICE: Final = "consumers that read committed see messages twice, which exactly once rules out"
_ALL: Final = 2**64


class Receipt(msgspec.Struct, frozen=True):
    """What is needed of a report, as `penstock write --json` prints it; other members are not looked at.

    job       where it has partitions, these are looked at: all that the job has committed, not in this run alone
    delivery  exactly_once: the topic is read as consumers do that read committed, and a repeat is a difference
    """

    topic: str
    messages: int
    unknown_offsets: int
    partitions: tuple[PartitionReport, ...]
    delivery: Delivery = "at_least_once"
    job: JobReport | None = None

    @property
    def places(self) -> tuple[PartitionReport | JobPartition, ...]:
        """What is to be verified."""
        return self.partitions if self.job is None or self.job.partitions is None else self.job.partitions


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
    topics = sorted({part.topic for part in receipt.places})
    with Cluster(config, None if tokens is None else tokens.first()) as cluster:
        cluster.connect()  # a refused login is explained here
        policies = {topic: cluster.settings(topic)[0].get("cleanup.policy", "") for topic in topics}
    inside = array("Q")
    isolation = _ISOLATION[receipt.delivery]
    with contextlib.closing(Reader(config, tokens, isolation)) as reader:
        parts = _partitions(reader, receipt, topics, whole=whole)
        _read(reader, parts, inside)
        for part in parts:
            if part.short:  # what was deleted while it was read is not missing
                part.low, _ = reader.ends(part.topic, part.number)
    _core.sort_hashes(inside)
    findings = tuple(part.finding(inside, policies[part.topic], isolation) for part in parts)
    verdicts: set[Verdict] = {finding.verdict for finding in findings}
    text = ""
    if receipt.unknown_offsets:
        text = f"{receipt.unknown_offsets} messages were acknowledged without an offset, and cannot be looked for"
        verdicts.add("cannot tell")
    return Verification(max(verdicts, key=_WORSE.index, default="agrees"), findings, text)


class _Partition:
    """One partition while it is read: offsets come in ascending order."""

    def __init__(self, place: Place, runs: list[Run], ends: tuple[int, int], *, whole: bool) -> None:
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

    def finding(self, inside: array[int], policy: str, isolation: Isolation) -> PartitionFinding:
        """Judge all that was read, with this isolation.

        inside  the hashes in all runs, sorted
        policy  the topic's cleanup.policy
        """
        judged = [
            self._judge(run, seen, total, policy, isolation)
            for run, seen, total in zip(self.runs, self._seen, self._sums, strict=True)
        ]
        # the first of the worst
        verdict, text = max(judged, key=lambda one: _WORSE.index(one[0]), default=("agrees", ""))
        ours = _core.find_sorted(inside, self._outside)
        repeat, foreign = ours.find(1), ours.find(0)
        if repeat >= 0 and isolation == "read_committed":
            verdict, text = "differs", f"{text}; {_TWICE}" if text else _TWICE
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

    def _judge(self, run: Run, seen: int, total: int, policy: str, isolation: Isolation) -> tuple[Verdict, str]:
        first, last, count, wanted = run
        where = f"offset {first}" if first == last else f"offsets {first} to {last}"
        if seen == count:
            same = total % _ALL == wanted
            return ("agrees", "") if same else ("differs", f"{where}: not the messages that were acknowledged")
        if first < self.low:
            return "cannot tell", f"{where}: deleted, the log begins at {self.low}"
        if last >= self.high:
            return "cannot tell", f"{where}: {_ENDS[isolation].format(self.high)}"
        missing = f"{where}: {count - seen} of {count} messages are not there"
        if "compact" in policy:
            return "cannot tell", f"{missing}; the topic is compacted"
        if not policy:
            return "cannot tell", f"{missing}; whether the topic is compacted is not told"
        return "differs", missing


def _partitions(reader: Reader, receipt: Receipt, topics: list[str], *, whole: bool) -> list[_Partition]:
    """Return what is to be read; ConnectError for a topic or partition that is not there."""
    told = {
        (part.topic, part.partition): sorted(
            (first, last, count, int(total, 16)) for first, last, count, total in part.runs or ()
        )
        for part in receipt.places
    }
    there: set[Place] = set()
    for topic in topics:
        numbers = reader.partitions(topic)
        if numbers is None:
            raise reader.missing(topic)
        there |= {(topic, number) for number in numbers}
    for topic, number in sorted(set(told) - there):
        raise ConnectError(
            f'topic "{topic}" on {reader.servers} has no partition {number}, which the receipt names; give the '
            "brokers that it was written to"
        )
    return [
        _Partition(place, told.get(place, []), reader.ends(*place), whole=whole)
        for place in sorted(there if whole else told)
    ]


def _read(reader: Reader, parts: list[_Partition], inside: array[int]) -> None:
    """Read each partition up to the end that it had when we asked; inside: gets the hashes in all runs."""
    left = {(part.topic, part.number): part for part in parts if part.next < part.high}
    reader.begin({place: part.next for place, part in left.items()})
    heard = time.monotonic()
    while left:
        messages, ended = reader.some()
        hashes = memoryview(_core.message_hashes([(one.key, one.value) for one in messages])).cast("Q")
        done = list(ended)
        for one, hashed in zip(messages, hashes, strict=True):
            part = left.get(one.place)
            if part is None:
                continue
            part.take(one.offset, hashed, inside)
            if one.offset + 1 >= part.high:
                done.append(one.place)
        for place in done:
            if left.pop(place, None) is not None:
                reader.leave(place)
        if messages or ended:
            heard = time.monotonic()
        elif time.monotonic() - heard > reader.timeout_secs:
            raise reader.nothing_came(next(iter(left))[0])
