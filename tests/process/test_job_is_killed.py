"""kill -9 of a job at seeded moments, again and again, each life with other settings: each row is there once."""

from __future__ import annotations

import json
import os
import random
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

import penstock
from fix_jobs import by_key, events, places
from job_program import batches, table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fix_jobs import Lives

ROWS = 20_000
JSON_KEY: dict[str, Any] = {"key": "key", "key_format": "json"}
INDEX = {"index": "by_key", "relation": {"indexes": {"by_key": ["key"]}}, "weight_column": "weight", **JSON_KEY}
BUFFER = {
    "enable_output_buffer": True, "max_output_buffer_size_records": 4000, "max_output_buffer_time_millis": 60_000,
    "weight_column": "weight", **JSON_KEY,
}  # fmt: skip
# the data, and how they are written; in the first two the batches may be others in each life
SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "keyless": ({"shape": "plain", "rows": ROWS}, {}),
    "keyed": ({"shape": "plain", "rows": ROWS}, JSON_KEY),
    "ops": ({"shape": "ops", "rows": ROWS}, {"op_column": "op", **JSON_KEY}),
    "weights": ({"shape": "weights", "rows": ROWS}, {"weight_column": "weight", **JSON_KEY}),
    "weights without a key": ({"shape": "weights", "rows": ROWS}, {"weight_column": "weight"}),
    "weights of several pieces": (
        {"shape": "weights", "rows": 180_000, "largest": 160_000, "cut": 3}, {"weight_column": "weight"},
    ),
    "index": ({"shape": "index", "rows": ROWS}, INDEX),
    "partition column": ({"shape": "partitions", "rows": ROWS}, {"partition_column": "where", **JSON_KEY}),
}  # fmt: skip
SEEDS = int(os.environ.get("PENSTOCK_TEST_SEEDS", "1"))  # more of them find more, and take 5 s each
ANYWHERE = ("Deal", "Commit", "Committed", "Ack", "")


def moment(rng: random.Random) -> tuple[str, int, bool]:
    """When to die: kind of message, the how manieth, and whether behind it."""
    kind = rng.choice(ANYWHERE)
    return kind, rng.randint(1, 12 if kind.startswith("Commit") else 40), rng.random() < 0.5


def other_settings(rng: random.Random) -> dict[str, Any]:
    """What may change from life to life."""
    epoch: dict[str, Any] = rng.choice(
        [{"epoch_secs": 0.05}, {"epoch_rows": rng.randint(1, 4000)}, {"epoch_bytes": 200_000}, {"epoch_secs": 10}]
    )
    return {"workers": rng.choice([0, 1, 2, 3]), "memory_bytes": rng.choice([24, 64, 128]) << 20, **epoch}


def live(job: Lives, data: Any, settings: dict[str, Any], rng: random.Random, *, recut: bool) -> dict[str, Any]:
    """Two lives that are killed, and one to the end; returns its receipt."""
    for _ in range(2):
        cut = {"cut": rng.randint(1, 99)} if recut else {}
        data = {**data, **cut} if isinstance(data, dict) else data
        answer = job.life(data, die=moment(rng), **{**other_settings(rng), **settings})
        assert answer is None or "error" not in answer, answer
    answer = job.life(data, **{**other_settings(rng), **settings})
    assert answer is not None
    assert "error" not in answer, answer
    assert answer["job"]["finished"]
    return answer


def undisturbed(job: Lives, topic: str, source: object, settings: dict[str, Any]) -> None:
    """The same rows, by a writer that nothing happens to."""
    penstock.write(source, topic=topic, bootstrap_servers=job.kafka.bootstrap_servers, workers=1, **settings)


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("shape", SHAPES)
def test_each_row_once(shape: str, seed: int, lives: Callable[..., Lives], new_topic: Callable[..., str]) -> None:
    """Readers that read committed see what one life without a death would have written, key by key in its order."""
    rng = random.Random(f"{shape} {seed}")
    job, (data, settings) = lives(), SHAPES[shape]
    answer = live(job, data, settings, rng, recut=shape in {"keyless", "keyed"})
    assert answer["job"]["total_rows"] == data["rows"]
    other = new_topic()
    undisturbed(job, other, batches(**data), settings)
    found, expected = job.messages(), job.messages(other)
    assert by_key(found) == by_key(expected)
    if "key" in settings or "partition_column" in settings:
        assert places(found) == places(expected)
    assert job.kills >= 1


def test_files(lives: Callable[..., Lives], tmp_path: Path) -> None:
    """A folder of Parquet files with small row groups goes on in the middle of one."""
    rng = random.Random(5)
    job = lives()
    for number, start in enumerate(range(0, ROWS, ROWS // 4)):
        part = table("plain", ROWS).slice(start, ROWS // 4)
        pq.write_table(part, tmp_path / f"{number}.parquet", row_group_size=1700)
    answer = live(job, str(tmp_path), {"epoch_rows": 900, **JSON_KEY}, rng, recut=False)
    assert (answer["job"]["total_rows"], job.kills >= 1) == (ROWS, True)
    assert job.ids() == list(range(ROWS))


@pytest.mark.parametrize("seed", [1, 2])
def test_streams(seed: int, lives: Callable[..., Lives]) -> None:
    """The caller replays from writer.position(), with epochs between his commits: each row once, of a key in order."""
    rng = random.Random(seed)
    job = lives()
    data = {"shape": "plain", "rows": ROWS, "largest": 400, "every": 4}
    for _ in range(3):
        job.life(data, die=moment(rng), epoch_rows=rng.choice([300, 5000]), workers=rng.choice([0, 2]), **JSON_KEY)
    answer = job.life(data, **JSON_KEY)
    assert answer is not None
    assert "error" not in answer, answer
    assert job.kills >= 1
    assert job.ids() == list(range(ROWS))
    seen: dict[int, list[int]] = defaultdict(list)
    for _, row in job.rows():
        seen[row["key"]].append(row["id"])
    assert all(ids == sorted(ids) for ids in seen.values())


def test_topics_of_rows(lives: Callable[..., Lives], new_topic: Callable[..., str]) -> None:
    """Rows that name their topics: what is in each of them is what the rows say, once."""
    rng = random.Random(8)
    job, topics = lives(), [new_topic(3), new_topic(2)]
    data = {"shape": "topics", "rows": ROWS, "topics": topics}
    live(job, data, {"topic_column": "to", "topics": topics, "topic": None, **JSON_KEY}, rng, recut=False)
    assert job.kills >= 1
    rows = table("topics", ROWS, topics).to_pylist()
    for topic in topics:
        found = sorted(row["id"] for message in job.messages(topic) for _, row in events(message))
        assert found == [row["id"] for row in rows if row["to"] == topic]


def test_an_output_buffer(lives: Callable[..., Lives]) -> None:
    """However it was cut by the deaths, what its deletes and inserts come to is what the rows come to."""
    rng = random.Random(11)
    job = lives()
    data = {"shape": "weights", "rows": ROWS}
    live(job, data, {**BUFFER, "epoch_rows": 3000}, rng, recut=False)
    assert job.kills >= 1
    found: Counter[int] = Counter()
    for change, row in job.rows():
        found[row["id"]] += 1 if change == "insert" else -1
    expected = {row["id"]: row["weight"] for row in table("weights", ROWS).to_pylist() if row["weight"]}
    assert found == expected


def test_numbers_of_events(lives: Callable[..., Lives]) -> None:
    """One stream for all lives, in which no number comes twice, and those of a key only grow."""
    job = lives()
    form = {"name": "json", "config": {"update_format": "snowflake"}}
    for at in (12, 14, None):
        die = None if at is None else ("Commit", at, False)
        job.life({"shape": "plain", "rows": ROWS}, die=die, format=form, epoch_rows=1000, epoch_secs=5, **JSON_KEY)
        assert job.messages(isolation="read_uncommitted")
    assert job.kills == 2
    rows = [json.loads(line) for message in job.messages() for line in (message.value or b"").splitlines()]
    assert sorted(row["id"] for row in rows) == list(range(ROWS))
    assert len({row["__stream_id"] for row in rows}) == 1
    assert len({row["__seq_number"] for row in rows}) == ROWS
    seen: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for row in rows:
        seen[row["key"]].append((row["id"], row["__seq_number"]))
    for pairs in seen.values():
        assert [number for _, number in pairs] == sorted(number for _, number in pairs)
        assert pairs == sorted(pairs)
