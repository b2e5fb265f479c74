"""Calls as a user writes them: checked by strict mypy, never run.

A line that mypy must refuse carries `# type: ignore[...]`; strict mypy refuses a comment that it does not need, so a
type that became too loose fails the check as surely as one that became too narrow.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from typing_extensions import assert_type

import penstock


class ArrowStream(Protocol):
    """What polars, pandas, DuckDB and pyarrow have in common."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


# --- write ---


def write_what_there_is(frame: ArrowStream, frames: list[ArrowStream], places: list[Path]) -> None:
    """Every kind of source, with nothing but a topic."""
    assert_type(penstock.write(frame, topic="orders"), penstock.Report)
    penstock.write(frames, topic="orders")
    penstock.write((frame for frame in frames), topic="orders")
    penstock.write("orders.parquet", topic="orders", bootstrap_servers="localhost:9092")
    penstock.write(places, topic="orders", input_format="csv")


def write_with_settings(path: os.PathLike[str], job: Mapping[str, Any]) -> None:
    """Settings, librdkafka's options, and the connector's object in each of its forms."""
    penstock.write(path, topic="orders", workers=4, memory_bytes="256MiB", key=["id"], partitioner="murmur2")
    penstock.write(path, topic="orders", kafka_options={"linger.ms": 20, "acks": "all", "enable.idempotence": True})
    penstock.write(path, topic="orders", format="json")
    penstock.write(path, topic="orders", format={"name": "json", "array": True})
    penstock.write(path, config=job)
    penstock.write(path, config='{"transport": {}}')
    penstock.write(path, config=path)
    penstock.write(path, config=[job, job], connector="orders")
    penstock.open(config="orders.sql", connector="orders")
    penstock.preview(path, config=path, connector=None)


def write_every_form(frame: ArrowStream) -> None:
    """Formats by name or as the connector's object; what is ours about them as settings."""
    debezium = {"name": "json", "config": {"update_format": "debezium", "key_fields": ["id"]}}
    penstock.write(frame, topic="orders", format=debezium, op_column="op", tombstones=True, schemas=False)
    penstock.write(frame, topic="orders", format="csv", csv_header=True, csv_quote="always", csv_null="NULL")
    penstock.write(frame, topic="orders", format="avro", key="id", key_format="avro", avro_uuid=True)
    penstock.write(frame, topic="orders", non_finite="error", omit_nulls=True, iso_timestamps=None)
    penstock.write(frame, topic="orders", headers={"origin": b"x"}, header_columns=["trace"], timestamp_column="at")
    penstock.write(frame, topic_column="to", topics=("a", "b"), key=("id",), tombstone_column="gone")


def write_changes(frame: ArrowStream, table: ArrowStream) -> None:
    """An index, the output buffer, a snapshot before the changes."""
    relation = {"name": "orders", "indexes": {"by_id": ["id"]}}
    with penstock.open(topic="orders", index="by_id", relation=relation, weight_column="w", max_weight=0) as writer:
        writer.snapshot(table, timeout_secs=5)
        writer.write(frame)
    with penstock.open(topic="orders", enable_output_buffer=True, max_output_buffer_time_millis=500) as writer:
        writer.write(frame)
        writer.poll()
        held: int = writer.statistics().rows_held
    writer.snapshot()  # type: ignore[call-arg]
    del held


def write_settings_wrongly(frame: ArrowStream) -> None:
    """Settings have names and types; members of a format stand in its object."""
    penstock.write(frame, topic="orders", wokers=4)  # type: ignore[call-arg]
    penstock.write(frame, topic="orders", update_format="debezium")  # type: ignore[call-arg]
    penstock.write(frame, topic="orders", csv_quote="all")  # type: ignore[arg-type]
    penstock.write(frame, topic="orders", csv_header="yes")  # type: ignore[arg-type]
    penstock.open(topic="orders", relation="orders")  # type: ignore[arg-type]
    penstock.preview(frame, partitioner="java")  # type: ignore[arg-type]


def write_wrongly(frame: ArrowStream, schema: object) -> None:
    """The topic is named; options are a mapping; words are words."""
    penstock.write(frame, "orders")  # type: ignore[call-arg]
    penstock.write()  # type: ignore[call-arg]
    penstock.write(frame, topic=b"orders")  # type: ignore[arg-type]
    penstock.write(frame, topic="orders", bootstrap_servers=["one:9092", "two:9092"])  # type: ignore[arg-type]
    penstock.write(frame, topic="orders", kafka_options=[("linger.ms", 20)])  # type: ignore[arg-type]
    penstock.write(frame, topic="orders", config=7)  # type: ignore[arg-type]
    penstock.write(frame, topic="orders", connector=0)  # type: ignore[arg-type]
    penstock.write(frame, topic="orders", format=7)  # type: ignore[arg-type]
    penstock.write(frame, topic="orders", input_format=Path("csv"))  # type: ignore[arg-type]
    with penstock.write(frame, topic="orders"):  # type: ignore[attr-defined]
        pass
    report: dict[str, Any] = penstock.write(frame, topic="orders")  # type: ignore[assignment]
    del report, schema


# --- a writer ---


def write_as_it_comes(frames: Iterator[ArrowStream], schema: Any) -> penstock.Report:
    """Open, write, look, flush; the block closes it."""
    with penstock.open(topic="orders", bootstrap_servers="localhost:9092", schema=schema, workers=2) as writer:
        assert_type(writer, penstock.Writer)
        for frame in frames:
            writer.write(frame, timeout_secs=2.5)
            if not assert_type(writer.try_write(frame), bool):
                writer.write(frame, timeout_secs=None)
        counts = assert_type(writer.statistics(), penstock.Statistics)
        behind: int = counts.rows_taken - counts.rows_acked
        report = assert_type(writer.flush(), penstock.Report)
    writer.close()
    return report if behind else writer.flush()


def use_a_writer_wrongly(writer: penstock.Writer, frame: ArrowStream) -> None:
    """A write has no result, statistics are a call and their fields are fixed."""
    taken = writer.write(frame)  # type: ignore[func-returns-value]
    writer.write(frame, 2.5)  # type: ignore[call-arg]
    writer.write(frame, timeout_secs="2.5")  # type: ignore[arg-type]
    writer.write(frame, timeout=2.5)  # type: ignore[call-arg]
    writer.try_write(frame, timeout_secs=1)  # type: ignore[call-arg]
    writer.send(frame)  # type: ignore[attr-defined]
    writer.flush(timeout_secs=1)  # type: ignore[call-arg]
    writer.statistics().rows_acked = 0  # type: ignore[misc]
    print(writer.statistics.rows_acked)  # type: ignore[attr-defined]
    penstock.open("orders")  # type: ignore[call-arg]
    del taken


async def no_writer_is_asynchronous(writer: penstock.Writer, frame: ArrowStream) -> None:
    """Nothing here is awaited."""
    await writer.write(frame)  # type: ignore[func-returns-value, misc]
    async with writer:  # type: ignore[attr-defined]
        pass


# --- what it would send ---


def look_first(frame: ArrowStream) -> list[bytes]:
    """Messages one at a time; what may be missing must be asked for."""
    values = []
    for message in penstock.preview(frame, key=["id"], limit=10, partitions=4):
        assert_type(message, penstock.Message)
        assert_type(message.partition, int | None)
        assert_type(message.headers, tuple[tuple[str, bytes | None], ...])
        print(message.batch + 1, message.topic.upper(), (message.key or b"").hex())
        if message.value is not None:
            values.append(message.value)
    return values


def look_wrongly(frame: ArrowStream) -> None:
    """A value may be None, a message cannot be changed, a preview is no list."""
    messages = penstock.preview(frame, topic="orders")
    messages[0]  # type: ignore[index]
    for message in messages:
        message.value.decode()  # type: ignore[union-attr]
        message.partition + 1  # type: ignore[operator]
        message.topic = "other"  # type: ignore[misc]
    penstock.preview(frame, limit="10")  # type: ignore[arg-type]
    penstock.preview(frame, partitions=[0, 1])  # type: ignore[arg-type]


# --- the receipt ---


def read_a_receipt(report: penstock.Report) -> dict[str, Any]:
    """Every count is an int, times are floats, the rest are tuples of facts."""
    everything: int = report.rows + report.failed_rows + report.unknown_rows + report.skipped_rows
    counts: tuple[int, ...] = (report.messages, report.bytes, report.null_keys, report.unknown_offsets, report.workers)
    pace: float = report.rows_per_second + report.messages_per_second + report.startup_seconds + report.seconds
    assert_type(report.partitions, tuple[penstock.PartitionReport, ...])
    assert_type(report.errors, tuple[penstock.ErrorReport, ...])
    for partition in report.partitions:
        assert_type(partition.first_offset, int | None)
        print(partition.topic, partition.partition, partition.rows, partition.messages)
    for error in report.errors:
        print(error.code, error.name.lower(), error.rows, error.example)
    print(report, everything, counts, pace, report.peak_memory_bytes, report.topic)
    text: str = report.to_json()
    return report.to_dict() if text else {}


def read_a_receipt_wrongly(report: penstock.Report) -> None:
    """It is frozen, it is no mapping, and an offset may be unknown."""
    report.rows = 0  # type: ignore[misc]
    report["rows"]  # type: ignore[index]
    report.partitions.append(report.partitions[0])  # type: ignore[attr-defined]
    report.rows_per_second()  # type: ignore[operator]
    report.partitions[0].first_offset + 1  # type: ignore[operator]
    text: bytes = report.to_json()  # type: ignore[assignment]
    print(report.acknowledged, text)  # type: ignore[attr-defined]


# --- what can go wrong ---


def answer_each_failure(frame: ArrowStream) -> int:
    """One branch for each decision, with the facts that belong to it."""
    try:
        penstock.write(frame, topic="orders")
    except penstock.WorkerDied as error:
        return error.unknown_rows + error.acknowledged_rows + error.failed_rows
    except (penstock.Fenced, penstock.DeliveryError) as error:
        return error.failed_rows if error.report is None else error.report.failed_rows
    except penstock.EncodeError as error:
        print(error.row, error.column, error.source)
    except (penstock.ConfigError, penstock.SourceError, penstock.SchemaError, penstock.ConnectError) as error:
        print(error.message)
    except (penstock.WriteTimeout, penstock.WriterClosed, penstock.InternalError) as error:
        assert_type(error.retriable, bool)
        assert_type(error.fatal, bool)
    except penstock.PenstockError as error:
        assert_type(error.code, str | None)
        assert_type(error.report, penstock.Report | None)
        return error.exit_code
    return 0


def answer_wrongly(error: penstock.PenstockError, encode: penstock.EncodeError) -> None:
    """What may be missing must be asked for; only some errors count rows."""
    print(error.report.rows)  # type: ignore[union-attr]
    print(error.unknown_rows)  # type: ignore[attr-defined]
    encode.row + 1  # type: ignore[operator]
    raise penstock.ConfigError  # type: ignore[call-arg]


def raise_wrongly() -> None:
    """An error is one sentence; its facts are named."""
    penstock.ConfigError()  # type: ignore[call-arg]
    penstock.ConfigError("no topic", "_CODE")  # type: ignore[call-arg]


# --- what the package is ---


def name_what_is_not_there() -> None:
    """A misspelt name is refused, and so is a module's own import."""
    penstock.wrote  # type: ignore[attr-defined]
    penstock.importlib  # type: ignore[attr-defined]
    version: str = penstock.__version__
    del version
