"""delivery=exactly_once on a real Kafka: readers that read committed see each row once, however the job is run."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import fastavro
import pytest

from job_program import batches

if TYPE_CHECKING:
    from collections.abc import Callable

    from fix_jobs import Lives
    from readback import Received

ROWS = 20_000


def of_json(value: bytes) -> list[tuple[int, int]]:
    rows = [json.loads(line)["insert"] for line in value.splitlines()]
    return [(row["id"], row["key"]) for row in rows]


def of_csv(value: bytes) -> list[tuple[int, int]]:
    return [(int(row[0]), int(row[1])) for row in csv.reader(io.StringIO(value.decode()))]


SCHEMA = {
    "type": "record", "name": "row",
    "fields": [{"name": "id", "type": "long"}, {"name": "key", "type": "long"}, {"name": "text", "type": "string"}],
}  # fmt: skip


def of_avro(value: bytes) -> list[tuple[int, int]]:
    row: Any = fastavro.schemaless_reader(io.BytesIO(value[5:]), SCHEMA, None)
    return [(row["id"], row["key"])]


READ: dict[str, tuple[Any, Callable[[bytes], list[tuple[int, int]]]]] = {
    "json": ("json", of_json),
    "csv": ("csv", of_csv),
    "avro": ({"name": "avro", "config": {"schema": json.dumps(SCHEMA)}}, of_avro),
}


def check_order(messages: list[Received], read: Callable[[bytes], list[tuple[int, int]]], rows: int) -> None:
    """Each id once; and the ids of each key in their order, in one partition, where messages have one."""
    assert all(message.value is not None for message in messages)
    found = [(row, message) for message in messages for row in read(message.value or b"")]
    counts = Counter(id_ for (id_, _), _ in found)
    assert sorted(counts) == list(range(rows)), f"{rows - len(counts)} of {rows} rows are missing"
    assert set(counts.values()) == {1}, f"repeated: {[one for one, count in counts.items() if count > 1][:20]}"
    seen: dict[int, list[int]] = defaultdict(list)
    homes: dict[int, set[int]] = defaultdict(set)
    for (id_, key), message in found:
        if message.key is not None:
            seen[key].append(id_)
            homes[key].add(message.partition)
    assert all(ids == sorted(ids) for ids in seen.values())
    assert all(len(partitions) == 1 for partitions in homes.values())


@pytest.mark.parametrize(
    ("form", "key", "workers", "lanes", "partitions"),
    [
        ("json", None, 0, 1, 1), ("json", None, 1, 4, 4), ("json", "key", 0, 3, 4), ("json", "key", 3, 2, 5),
        ("csv", None, 3, 5, 5), ("csv", "key", 1, 5, 3), ("csv", None, 0, 3, 2),
        ("avro", None, 1, 2, 3), ("avro", "key", 3, 4, 4), ("avro", "key", 0, None, 5),
    ],
)  # fmt: skip
def test_every_row_once(
    form: str, key: str | None, workers: int, lanes: int | None, partitions: int, lives: Callable[..., Lives]
) -> None:
    """Packed or keyed, with fewer or more lanes than workers or partitions; nothing was aborted on the way either."""
    job = lives(partitions)
    given, read = READ[form]
    report = job.write(
        batches("plain", ROWS), format=given, key=key, key_format="json" if key else None, workers=workers, lanes=lanes
    )
    assert (report.rows, report.failed_rows, report.unknown_rows, report.resent_rows) == (ROWS, 0, 0, 0)
    assert report.job is not None
    assert (report.job.total_rows, report.job.finished, report.job.resumed_from) == (ROWS, True, 0)
    assert report.job.lanes == (lanes or min(4, partitions))
    messages = job.messages()
    check_order(messages, read, ROWS)
    assert len(messages) == report.messages
    assert len(job.messages(isolation="read_uncommitted")) == report.messages


def test_a_finished_job_does_nothing(lives: Callable[..., Lives]) -> None:
    """Run again it delivers no row, and says that all are there."""
    job = lives()
    job.write(batches("plain", ROWS), key="key")
    again = job.write(batches("plain", ROWS), key="key", workers=2)
    assert (again.rows, again.messages, again.resumed_rows) == (0, 0, ROWS)
    assert again.job is not None
    assert (again.job.total_rows, again.job.resumed_from, again.job.finished) == (ROWS, ROWS, True)
    check_order(job.messages(), of_json, ROWS)
