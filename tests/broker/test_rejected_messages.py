"""What a real broker refuses for good, and what becomes of the rows beside it."""

from __future__ import annotations

import json
import random
import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import penstock
from readback import read_topic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fix_broker import Kafka

COUNT = 3000
NULLS = [7, 8, 500, 1999, 2999]
KEYED = pa.table({"i": range(COUNT), "k": [None if n in NULLS else f"k{n}" for n in range(COUNT)]})


def write(kafka: Kafka, rows: Any, topic: str, **settings: Any) -> penstock.Report:
    return penstock.write(rows, topic=topic, bootstrap_servers=kafka.bootstrap_servers, **settings)


def found(kafka: Kafka, topic: str) -> list[int]:
    messages = read_topic(kafka.bootstrap_servers, topic).messages
    return [json.loads(line)["insert"]["i"] for one in messages for line in (one.value or b"").splitlines()]


def kept(path: Path) -> pa.Table:
    return pa.ipc.open_stream(path).read_all().sort_by("i")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("idempotence", [True, False])
def test_null_keys_in_a_compacted_topic(
    kafka: Kafka, new_topic: Callable[..., str], tmp_path: Path, workers: int, *, idempotence: bool
) -> None:
    """Only these rows are kept; each other row is there once."""
    topic, path = new_topic(cleanup__policy="compact"), tmp_path / "dead.arrows"
    report = write(
        kafka, KEYED, topic, workers=workers, key="k", key_format="string", reorder_on_reject=True,
        on_bad_row="dead_letter", dead_letter=str(path), kafka_options={"enable.idempotence": idempotence},
    )  # fmt: skip
    assert (report.rows, report.bad_rows, report.failed_rows) == (COUNT - len(NULLS), len(NULLS), 0)
    assert sorted(found(kafka, topic)) == [n for n in range(COUNT) if n not in NULLS]
    assert kept(path)["i"].to_pylist() == kept(path)["penstock_row"].to_pylist() == NULLS


def test_the_order_of_keys_is_kept_by_ending(kafka: Kafka, new_topic: Callable[..., str]) -> None:
    """Without reorder_on_reject the job ends; the error names the first row that was refused."""
    topic = new_topic(partitions=1, cleanup__policy="compact")
    with pytest.raises(
        penstock.DeliveryError, match=r"row 7 is among what it refuses; .*reorder_on_reject=true"
    ) as caught:
        write(kafka, KEYED, topic, workers=0, key="k", key_format="string", on_bad_row="skip")
    report = caught.value.report
    assert report is not None
    assert caught.value.code == "INVALID_RECORD"
    assert report.rows + report.failed_rows == COUNT
    assert len(found(kafka, topic)) == report.rows


@pytest.mark.parametrize("idempotence", [True, False])
def test_one_message_that_comes_too_early(
    kafka: Kafka, new_topic: Callable[..., str], tmp_path: Path, *, idempotence: bool
) -> None:
    """A timestamp that the topic does not take concerns its own row, and the order of the others stays."""
    topic, path = new_topic(partitions=1, message__timestamp__after__max__ms="60000"), tmp_path / "dead.arrows"
    now = int(time.time() * 1000)
    at = [now + (10**9 if n % 100 == 50 else 0) for n in range(2000)]
    rows = pa.table({"i": range(2000), "at": pa.array(at, pa.timestamp("ms"))})
    report = write(
        kafka, rows, topic, workers=0, timestamp_column="at", on_bad_row="dead_letter", dead_letter=str(path),
        kafka_options={"enable.idempotence": idempotence, "linger.ms": 20},
    )  # fmt: skip
    assert (report.rows, report.bad_rows) == (1980, 20)
    assert kept(path)["i"].to_pylist() == list(range(50, 2000, 100))
    assert kept(path)["at"].to_pylist() == rows["at"].take(list(range(50, 2000, 100))).to_pylist()
    assert sorted(found(kafka, topic)) == [n for n in range(2000) if n % 100 != 50]


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_packed_messages_in_a_compacted_topic(
    kafka: Kafka, new_topic: Callable[..., str], tmp_path: Path, form: str
) -> None:
    """None of them has a key: all rows are kept."""
    topic, path = new_topic(cleanup__policy="compact"), tmp_path / "dead.arrows"
    packed = form if form == "parquet" else {"name": form, "config": {"buffer_size_records": 100}}
    report = write(kafka, KEYED, topic, workers=1, format=packed, on_bad_row="dead_letter", dead_letter=str(path))
    assert (report.rows, report.bad_rows, report.messages) == (0, COUNT, 0)
    assert kept(path)["i"].to_pylist() == list(range(COUNT))
    assert kept(path)["k"].to_pylist() == KEYED["k"].to_pylist()


@pytest.mark.parametrize("idempotence", [True, False])
def test_a_topic_that_takes_less_than_before(
    kafka: Kafka, new_topic: Callable[..., str], tmp_path: Path, *, idempotence: bool
) -> None:
    """Lowered after the start, the limit stops no message that fits it; one that does not is kept with all its rows."""
    topic, path = new_topic(partitions=1, max__message__bytes="1000000"), tmp_path / "dead.arrows"
    form = {"name": "json", "config": {"buffer_size_records": 10}}
    size = [3000 if 100 <= n < 105 else 100 for n in range(2000)]
    rows = pa.record_batch(
        {"i": range(2000), "s": [random.Random(n).randbytes(one // 2).hex() for n, one in enumerate(size)]}
    )
    with penstock.open(
        topic=topic, bootstrap_servers=kafka.bootstrap_servers, workers=0, format=form,
        on_oversize="dead_letter", dead_letter=str(path),
        kafka_options={"linger.ms": 20, "enable.idempotence": idempotence, "compression.codec": "none"},
    ) as writer:  # fmt: skip
        kafka.alter_topic(topic, max__message__bytes="10000")
        writer.write(rows)
        report = writer.flush()
    assert (report.rows, report.oversize_rows, report.failed_rows) == (1990, 10, 0)
    assert kept(path)["i"].to_pylist() == list(range(100, 110))
    assert found(kafka, topic) == [n for n in range(2000) if not 100 <= n < 110]
