"""Rows larger than a topic takes, at its own limit: kept and sent elsewhere, cut, or their keys alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

import penstock
from readback import read_topic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fix_broker import Kafka

LIMIT = 20_000  # of a topic, in bytes
SIZES = [10, LIMIT, 500, LIMIT - 500, 2 * LIMIT, 20]
ROWS = pa.table({"k": list(range(len(SIZES))), "v": ["x" * size for size in SIZES]})


def found(kafka: Kafka, topic: str) -> dict[int, int | None]:
    """Return how long the value of each key is."""
    return {
        json.loads(m.key or b"")["k"]: None if m.value is None else len(json.loads(m.value)["insert"]["v"])
        for m in read_topic(kafka.bootstrap_servers, topic).messages
    }


def test_at_the_topics_limit(kafka: Kafka, new_topic: Callable[..., str], tmp_path: Path) -> None:
    """What the topic takes is there, and only that; the rest is as on_oversize says, and goes where there is room."""
    dead = str(tmp_path / "dead.arrows")

    def write(source: object, topic: str, **settings: Any) -> penstock.Report:
        return penstock.write(
            source, topic=topic, bootstrap_servers=kafka.bootstrap_servers, key="k", workers=1,
            kafka_options={"compression.type": "none"}, **settings,
        )  # fmt: skip

    small = {at: size for at, size in enumerate(SIZES) if size < LIMIT}
    topic = new_topic(max__message__bytes=str(LIMIT))
    report = write(ROWS, topic, on_oversize="dead_letter", dead_letter=dead)
    assert (report.rows, report.oversize_rows, report.failed_rows) == (4, 2, 0)
    assert found(kafka, topic) == small
    wide = new_topic()
    assert write(dead, wide).rows == 2
    assert found(kafka, wide) == {at: size for at, size in enumerate(SIZES) if size >= LIMIT}

    topic = new_topic(max__message__bytes=str(LIMIT))
    report = write(ROWS, topic, on_oversize="key_only")
    assert (report.rows, report.shortened_rows) == (6, 2)
    assert found(kafka, topic) == {1: None, 4: None, **small}

    topic = new_topic(max__message__bytes=str(LIMIT))
    report = write(ROWS, topic, on_oversize="truncate", truncate_columns="v")
    assert (report.rows, report.shortened_rows) == (6, 2)
    cut = found(kafka, topic)
    assert LIMIT - 300 < (cut[1] or 0) == cut[4] < LIMIT
    assert {at: cut[at] for at in small} == small
