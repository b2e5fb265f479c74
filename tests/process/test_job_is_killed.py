"""kill -9 of a job at seeded moments, again and again, each life with other settings: each row is there exactly once."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import penstock
from fix_jobs import by_key, places
from job_program import batches

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
    "partition column": ({"shape": "partitions", "rows": ROWS}, {"partition_column": "where"}),
}  # fmt: skip
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
    """Three lives that are killed, and one to the end; returns its receipt."""
    for _ in range(3):
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


@pytest.mark.parametrize("seed", range(2))
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
    if settings:
        assert "key" not in settings or places(found) == places(expected)
    assert job.kills >= 1
