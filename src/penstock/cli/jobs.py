"""The commands about jobs: `penstock jobs`, `penstock transactions list` and `penstock transactions abort`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from penstock import config
from penstock.cli import flags as flag_reader
from penstock.cli.output import columns, put, say, width
from penstock.cluster import Cluster
from penstock.errors import ConfigError
from penstock.progress import read_progress, sum_up, transactional_ids
from penstock.tokens import open_tokens
from penstock.transactions import abort_lanes, find_job, partition_ends

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from penstock.config import Config
    from penstock.progress import Job, Progress
    from penstock.tokens import Tokens
    from penstock.transactions import PartitionEnds

__all__ = ["abort_transactions", "list_jobs", "list_transactions"]

_SOME: Final = "some"  # a name where the configuration wants one and none is asked for
_AGES: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def list_jobs(flags: argparse.Namespace) -> None:
    """Print the jobs of the progress topic."""
    loaded, tokens = _reach(flags, topic=False)
    jobs = [sum_up(lanes) for lanes in read_progress(loaded, tokens, wait=False).values()]
    if flags.json:
        put(_json({"jobs": jobs}))
    elif jobs:
        head = ["job", "topic", "delivery", "rows", "recorded", "goes on at"]
        now = time.time()
        put(columns([head, *(_job_line(job, now) for job in jobs)], width(), right={3}, cut={0, 1, 5}))
    else:
        say(f'no job has recorded anything in the topic "{loaded.writer.progress_topic}"')


def list_transactions(flags: argparse.Namespace) -> None:
    """Print where the partitions of a topic end, and the lanes of a job."""
    loaded, tokens = _reach(flags, topic=flags.topic is not None or flags.job is None)
    progress_topic = loaded.writer.progress_topic
    everything = read_progress(loaded, tokens, isolation="read_uncommitted")  # a job that never came to a commit too
    topics, job = [loaded.topic], None
    if flags.job is not None:
        job = sum_up(find_job(everything, flags.job, progress_topic))
        topics = topics if flags.topic is not None else [job.topic]
    if everything:
        topics.append(progress_topic)
    ends = partition_ends(loaded, tokens, dict.fromkeys(topics))
    lanes = []
    if job is not None and job.delivery == "exactly_once":
        committed = read_progress(loaded, tokens, job.name, wait=False).get(job.name, {})
        lanes = _lanes(job, committed)
    if flags.json:
        put(_json({"partitions": ends, "lanes": lanes}))
        return
    for one in ends:
        put(_ends_line(one))
    if job is not None and job.delivery != "exactly_once":
        put(f"job {job.name} is delivered {_words(job.delivery)}: it has no transactions\n")
    for lane in lanes:
        put(f"{lane['transactional_id']}: {lane['text']}\n")


def abort_transactions(flags: argparse.Namespace) -> None:
    """Take over the transactional ids of a job."""
    loaded, tokens = _reach(flags, topic=False)
    topic = loaded.writer.progress_topic
    everything = read_progress(loaded, tokens, isolation="read_uncommitted")  # what is open holds back nothing of it
    job = sum_up(find_job(everything, flags.job, topic))
    if job.delivery != "exactly_once":
        raise ConfigError(f"job {job.name} is delivered {_words(job.delivery)}: it has no transactions to abort")
    ids = transactional_ids(job.name, job.lanes[0].lanes)
    for one in ids:
        abort_lanes(loaded, tokens, [one])
        if not flags.json:
            put(f"{one}: taken over; what it had open is aborted, and a run that still uses it is fenced\n")
    if flags.json:
        put(_json({"job": job.name, "transactional_ids": ids}))


def _reach(flags: argparse.Namespace, *, topic: bool) -> tuple[Config, Tokens | None]:
    """Return the configuration of a client that has been let in.

    topic: of that which the flags or the configuration name, not of the progress topic alone
    """
    given = {"job": _SOME, **flag_reader.settings_of(flags)}
    loaded = config.load(flags.config, **{**given, "topic": flags.topic if topic else _SOME})
    if not topic:
        loaded = msgspec.structs.replace(loaded, topic=loaded.writer.progress_topic)
    tokens = open_tokens(loaded)
    with Cluster(loaded, None if tokens is None else tokens.first()) as cluster:
        cluster.connect()  # a refused login is explained here
    return loaded, tokens


def _json(value: object) -> str:
    return f"{msgspec.json.encode(value).decode()}\n"


def _job_line(job: Job, now: float) -> list[str]:
    where = "finished" if job.finished else "the beginning" if job.position is None else _short(job.position)
    age = max(0, int(now - job.updated_ms / 1000))
    size, unit = next(((size, unit) for size, unit in _AGES if age >= size), _AGES[-1])
    return [job.name, job.topic, _words(job.delivery), f"{job.rows:,}", f"{age // size} {unit} ago", where]


def _short(position: Any) -> str:  # noqa: ANN401 - whatever the source made of it
    return position if isinstance(position, str) else msgspec.json.encode(position).decode()


def _words(delivery: str) -> str:
    return delivery.replace("_", " ")


def _ends_line(ends: PartitionEnds) -> str:
    where = f"{ends.topic}[{ends.partition}]"
    if not ends.open:
        return f"✓ {where} nothing open: stable up to its end at {ends.high_watermark}\n"
    return f"✗ {where} OPEN: last stable offset {ends.last_stable_offset}, high watermark {ends.high_watermark}\n"


def _lanes(job: Job, records: Mapping[int, Progress]) -> list[dict[str, Any]]:
    """Return the lanes of a job with transactions, those without a committed record too."""
    lanes: list[dict[str, Any]] = []
    for lane, transactional_id in enumerate(transactional_ids(job.name, job.lanes[0].lanes)):
        record = records.get(lane)
        text = "nothing recorded yet"
        if record is not None:
            where = "finished" if record.finished else f"goes on at {_short(record.position)}"
            text = f"epoch {record.epoch:,}, row {record.rows:,}, {where}"
        lanes.append({"transactional_id": transactional_id, "lane": lane, "record": record, "text": text})
    return lanes
