"""The writer against librdkafka's mock cluster: every row once, in order per key, and counted exactly."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from confluent_kafka import Consumer, TopicPartition

import oracles
import penstock
from fix_leftovers import children, descriptors
from fix_mock import PRODUCE
from penstock import _core
from readback import Log, by_key, read_topic, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock import Report, Writer

MIB = 1 << 20
NOT_LEADER, TOO_LARGE = 6, 10
SLOW_MS = 1500


@pytest.fixture(autouse=True)
def _nothing_stays():
    """No process, no shared memory and no channel of a writer may outlive its test."""
    before = children(), descriptors()
    yield
    deadline = time.monotonic() + 5
    while children() - before[0] or descriptors() - before[1]:
        assert time.monotonic() < deadline, (children() - before[0], descriptors() - before[1])
        time.sleep(0.02)


def opened(mock: _core.MockCluster, **settings: Any) -> Writer:
    return penstock.open(**{"topic": "orders", "bootstrap_servers": mock.bootstrap_servers, "workers": 1, **settings})


def orders(count: int, first: int = 0, *, keys: int = 10) -> pa.RecordBatch:
    return pa.record_batch(
        {
            "user": pa.array([f"u{n % keys}" for n in range(first, first + count)], pa.string()),
            "i": pa.array(range(first, first + count), pa.int64()),
        }
    )


def lines(*batches: pa.RecordBatch) -> Counter[bytes]:
    return Counter(f'{{"insert":{text}}}'.encode() for batch in batches for text in oracles.rows(batch))


def events(log: Log) -> Counter[bytes]:
    return Counter(line for message in log.messages for line in message.value.split(b"\n")[:-1])


def read(mock: _core.MockCluster, topic: str = "orders") -> Log:
    return read_topic(mock.bootstrap_servers, topic)


def agrees(report: Report, log: Log) -> None:
    """Assert that the receipt says what a consumer finds, partition by partition."""
    found: dict[int, list[int]] = defaultdict(list)
    for message in log.messages:
        found[message.partition].append(message.offset)
    assert {p.partition: (p.messages, p.first_offset, p.last_offset) for p in report.partitions if p.messages} == {
        partition: (len(offsets), min(offsets), max(offsets)) for partition, offsets in found.items()
    }
    assert report.messages == len(log.messages)
    assert report.bytes == sum(len(m.value or b"") + len(m.key or b"") for m in log.messages)
    assert report.rows == sum(p.rows for p in report.partitions)


# ---- the way through ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("key", [None, ["user"]])
def test_every_row_arrives(mock, workers, key):
    """All rows are in the topic once, equal keys in order, and the receipt agrees with the topic."""
    batches = [orders(size, first) for size, first in [(1, 0), (700, 1), (0, 0), (3000, 701), (5, 3701)]]
    settings = {"key": key} if key else {}
    with opened(mock, workers=workers, **settings) as writer:
        for batch in batches:
            writer.write(batch)
        report = writer.flush()
        assert report.workers == workers
        assert (report.rows, report.failed_rows, report.unknown_rows) == (3706, 0, 0)
        assert writer.statistics().rows_acked == writer.statistics().rows_taken == 3706
    log = read(mock)
    assert events(log) == lines(*batches)
    agrees(report, log)
    if key:
        rows = [row for message in log.messages for row in rows_of(message)]
        assert all(
            [row[1] for row in of_key] == sorted(row[1] for row in of_key) for of_key in by_key(rows, [0]).values()
        )
        for message in log.messages:
            expected = b'{"user":"' + rows_of(message)[0][0].encode() + b'"}'
            assert message.key == expected
            assert message.partition == oracles.partition("murmur2_random", expected, 4)


def test_write_takes_what_arrow_gives(mock):
    """A batch, a table, a reader, a list of batches and a generator are written alike."""
    batch = orders(50)
    with opened(mock, workers=0) as writer:
        writer.write(batch)
        writer.write(pa.Table.from_batches([batch, batch]))
        writer.write(pa.RecordBatchReader.from_batches(batch.schema, [batch]))
        writer.write([batch, batch])
        writer.write(batch for _ in range(2))
    assert events(read(mock)) == Counter(dict.fromkeys(lines(batch), 8))


def test_one_call(mock):
    """penstock.write opens, writes, flushes and closes."""
    report = penstock.write(orders(123), topic="orders", bootstrap_servers=mock.bootstrap_servers, workers=2)
    assert report.rows == 123
    agrees(report, read(mock))


def test_flush_again(mock):
    """A receipt counts from the opening on; flushing with nothing new changes no count."""
    with opened(mock) as writer:
        assert writer.flush().rows == 0
        writer.write(orders(10))
        first = writer.flush()
        second = writer.flush()
        assert (first.rows, first.partitions) == (second.rows, second.partitions) == (10, first.partitions)
        writer.write(orders(10))
        assert writer.flush().rows == 20


def test_after_close(mock):
    """A closed writer says so; closing it again does nothing."""
    writer = opened(mock)
    writer.write(orders(10))
    writer.close()
    writer.close()
    for call in (lambda: writer.write(orders(1)), lambda: writer.try_write(orders(1)), writer.flush):
        with pytest.raises(penstock.WriterClosed):
            call()
    assert sum(events(read(mock)).values()) == 10


def test_close_delivers_what_was_written(mock):
    """Leaving the with block without a flush waits for every row all the same."""
    with opened(mock, workers=3) as writer:
        writer.write(orders(20_000))
    assert events(read(mock)) == lines(orders(20_000))


def test_an_error_inside_the_block(mock):
    """The caller's own error comes out unchanged, and the writer is gone."""
    with pytest.raises(ZeroDivisionError), opened(mock, workers=2) as writer:
        writer.write(orders(10))
        raise ZeroDivisionError
    with pytest.raises(penstock.WriterClosed):
        writer.write(orders(1))


def test_ctrl_c_inside_the_block(mock):
    """A KeyboardInterrupt keeps its type and carries the counts so far."""
    with pytest.raises(KeyboardInterrupt) as caught, opened(mock, workers=2) as writer:
        writer.write(orders(100))
        writer.flush()
        raise KeyboardInterrupt
    assert caught.value.report.rows == 100


@contextlib.contextmanager
def alarm(error: type[BaseException], seconds: float) -> Iterator[None]:
    """Let a signal handler raise the error after so long."""

    def ring(*_: object) -> None:
        raise error

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_alarm_that_raises(mock, workers):
    """An ordinary exception out of a signal handler, amid a chunk, ends the writer: the chunk is never sent again."""
    writer = opened(mock, workers=workers, key="i", shutdown_timeout_secs=1, memory_bytes=8 * MIB)
    mock.set_rtt(SLOW_MS)
    batches = [orders(65536, first) for first in range(0, 20 * 65536, 65536)]  # more than there is room for
    with pytest.raises(TimeoutError), alarm(TimeoutError, 0.3):
        for batch in batches:
            writer.write(batch)
    mock.set_rtt(0)
    with pytest.raises(penstock.WriterClosed):
        writer.flush()
    assert max(Counter(message.value for message in read(mock).messages).values(), default=1) == 1


def test_ctrl_c_while_reports_come_in(mock):
    """With workers=0 reports that arrive together with a Ctrl-C are counted, not lost."""
    writer = opened(mock, workers=0, shutdown_timeout_secs=2)
    writer.write(orders(10))
    writer.flush()
    mock.set_rtt(60)
    writer.write(orders(10))
    with pytest.raises(KeyboardInterrupt) as caught, alarm(KeyboardInterrupt, 0.02):
        writer.flush()
    assert caught.value.report.rows == 20


def test_a_talkative_librdkafka(mock):
    """A thousand long log lines between two looks are no packet too large for a worker's socket."""
    topic = "o" * 240
    mock.create_topic(topic, 4)
    with opened(mock, topic=topic, key="i", kafka_options={"debug": "all"}) as writer:
        for first in range(0, 300_000, 50_000):
            writer.write(orders(50_000, first))
        assert writer.flush().rows == 300_000


def test_a_dropped_writer(mock):
    """A writer that is neither closed nor kept leaves nothing behind."""
    writer = opened(mock, workers=2)
    writer.write(orders(10))
    del writer


@pytest.mark.parametrize("workers", [0, 2])
def test_many_tiny_batches(mock, workers):
    """Five thousand writes of one row are five thousand rows, in order per key."""
    whole = orders(5000)
    with opened(mock, workers=workers, key=["user"], key_format="string") as writer:
        for n in range(5000):
            writer.write(whole.slice(n, 1))
        report = writer.flush()
    assert report.rows == report.messages == 5000
    log = read(mock)
    agrees(report, log)
    rows = by_key([row for message in log.messages for row in rows_of(message)], [0])
    assert all([row[1] for row in of_key] == sorted(row[1] for row in of_key) for of_key in rows.values())
    assert sum(map(len, rows.values())) == 5000


def test_schemas_in_turn(mock):
    """One writer takes the same columns as string, large_string, string_view and dictionary."""
    kinds = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
    batches = []
    for turn in range(12):
        plain = orders(100, turn * 100)
        kind = kinds[turn % 4]
        user = plain["user"].dictionary_encode() if pa.types.is_dictionary(kind) else plain["user"].cast(kind)
        batches.append(pa.record_batch({"user": user, "i": plain["i"]}))
    with opened(mock, workers=2, key=["user"]) as writer:
        for batch in batches:
            writer.write(batch)
    assert events(read(mock)) == lines(*batches)


def test_other_columns_are_refused(mock):
    """A batch that lacks a column is a SchemaError that names it; the rows before it are acknowledged."""
    with pytest.raises(penstock.SchemaError, match="user") as caught, opened(mock) as writer:
        writer.write(orders(10))
        writer.write(pa.record_batch({"other": [1]}))
    assert caught.value.report.rows == 10


def test_headers(mock):
    """Every message carries the headers of the configuration, a null one included."""
    headers = [{"key": "source", "value": "test"}, {"key": "nothing", "value": None}]
    config = {"transport": {"name": "kafka_output", "config": {"topic": "orders", "headers": headers}}}
    report = penstock.write(
        [orders(100)] * 30, config=config, bootstrap_servers=mock.bootstrap_servers, workers=1, key=["user"]
    )
    assert report.rows == report.messages == 3000
    consumer = Consumer({"bootstrap.servers": mock.bootstrap_servers, "group.id": "g", "log_level": 0})
    consumer.assign([TopicPartition("orders", p.partition, 0) for p in report.partitions])
    found = []
    deadline = time.monotonic() + 20
    while len(found) < 3000 and time.monotonic() < deadline:
        found += [message.headers() for message in consumer.consume(1000, timeout=0.5)]
    consumer.close()
    assert found == [[("source", b"test"), ("nothing", None)]] * 3000


@pytest.mark.parametrize("workers", [0, 2])
def test_acks_0(mock, workers):
    """With acks=0 every row counts as acknowledged once sent, and the missing offsets are counted."""
    with opened(mock, workers=workers, kafka_options={"acks": 0, "enable.idempotence": False}, key=["user"]) as writer:
        writer.write(orders(500))
        report = writer.flush()
    assert (report.rows, report.messages) == (500, 500)
    assert report.unknown_offsets == 500 - sum(p.last_offset is not None for p in report.partitions)
    assert sum(events(read(mock)).values()) == 500


# ---- null keys, weights, large batches ------------------------------------------------------------------------------


def test_null_keys_are_counted(mock):
    """Rows whose key is null are sent without one and counted; a writer without a key counts none."""
    batch = pa.record_batch({"k": ["a", None, "b", None, None], "i": range(5)})
    for settings, count in [({"key": ["k"], "key_format": "string"}, 3), ({}, 0), ({"partition_by": ["k"]}, 0)]:
        with opened(mock, workers=0, **settings) as writer:
            writer.write(batch)
            assert writer.flush().null_keys == count
    form = {"name": "json", "config": {"buffer_size_records": 1}}
    with opened(mock, workers=0, format=form) as writer:
        writer.write(batch)
        assert writer.flush().null_keys == 0


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("count", "memory"), [(150_000, 256 * MIB), (60_000, 16 * MIB)])
def test_weights_of_a_large_batch(mock, workers, count, memory):
    """In a batch of several pieces or blocks all deletes come before the first insert; weight 0 is skipped."""
    rng = np.random.default_rng(1)
    weights = rng.integers(-1, 2, count)
    places = rng.integers(0, 4, count)
    batch = pa.record_batch({"p": places, "w": weights, "i": range(count)})
    with opened(mock, workers=workers, memory_bytes=memory, partition_column="p", weight_column="w") as writer:
        writer.write(batch)
        report = writer.flush()
    assert report.skipped_rows == int((weights == 0).sum())
    assert report.rows == count - report.skipped_rows
    assert {p.partition: p.rows for p in report.partitions} == {
        p: int(((places == p) & (weights != 0)).sum()) for p in range(4)
    }
    log = read(mock)
    agrees(report, log)
    order: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for message in log.messages:
        for line in message.value.splitlines():
            ((verb, row),) = json.loads(line).items()
            order[message.partition].append((verb, row["i"]))
    for place, found in order.items():
        mine = [n for n in range(count) if places[n] == place]
        deletes = [("delete", n) for n in mine if weights[n] < 0]
        assert found == deletes + [("insert", n) for n in mine if weights[n] > 0]


@pytest.mark.parametrize("settings", [{}, {"key": ["i"]}, {"format": {"config": {"buffer_size_records": 3}}}])
def test_repeated_rows_count_once(mock, settings):
    """A row of weight 5 is five events and one row of the receipt, in however many messages its copies lie."""
    if "format" in settings:
        settings["format"]["name"] = "json"
    weights = [5, -7, 0, 1, 12, -1]
    batch = pa.record_batch({"w": weights, "i": range(6)})
    with opened(mock, workers=1, weight_column="w", **settings) as writer:
        writer.write(batch)
        report = writer.flush()
    assert (report.rows, report.skipped_rows, report.failed_rows) == (5, 1, 0)
    log = read(mock)
    agrees(report, log)
    assert sum(events(log).values()) == sum(map(abs, weights))


def test_thousands_of_partitions(mock):
    """An answer for more partitions than fit a packet is counted in full."""
    mock.create_topic("wide", 3000)
    batch = pa.record_batch({"k": [f"key {n}" for n in range(40_000)]})
    with opened(mock, topic="wide", workers=1, partition_by=["k"]) as writer:
        writer.write(batch)
        report = writer.flush()
    places = Counter(oracles.partition("murmur2_random", b'{"k":"key %d"}' % n, 3000) for n in range(40_000))
    assert {p.partition: p.rows for p in report.partitions} == places
    assert len(places) > 2000
    assert report.rows == 40_000


# ---- memory, and a slow broker --------------------------------------------------------------------------------------


def wide(count: int, size: int, first: int = 0) -> pa.RecordBatch:
    rng = random.Random(first)
    return pa.record_batch(
        {"i": range(first, first + count), "text": [rng.randbytes(size // 2).hex() for _ in range(count)]}
    )


@pytest.mark.parametrize("workers", [0, 1])
def test_timeout_and_on(mock, workers):
    """A write that finds no room in time is a WriteTimeout; what was taken arrives, and the writer goes on."""
    with opened(mock, workers=workers, memory_bytes=8 * MIB, key=["i"]) as writer:
        mock.set_rtt(SLOW_MS)
        taken = []
        with pytest.raises(penstock.WriteTimeout) as caught:
            for n in range(100):
                writer.write(wide(200, 2000, n * 200), timeout_secs=0.05)
                taken.append(n)
        assert caught.value.retriable
        rows = writer.statistics().rows_taken
        assert len(taken) * 200 <= rows < (len(taken) + 1) * 200
        mock.set_rtt(0)
        writer.write(wide(200, 200, 1_000_000))
        report = writer.flush()
        assert report.rows == rows + 200
        assert (report.failed_rows, report.unknown_rows) == (0, 0)
        assert writer.statistics().arena_peak_bytes <= writer.statistics().arena_size


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("rows", [50, 250])
def test_try_write(mock, workers, rows):
    """try_write takes all of a batch or nothing of it, for as long as the broker is slow, and goes on afterwards."""
    with opened(mock, workers=workers, memory_bytes=16 * MIB, key=["i"]) as writer:
        assert writer.try_write(wide(1, 2000))
        writer.flush()
        mock.set_rtt(SLOW_MS)
        taken = 1
        refused = 0
        for n in range(150):
            took = writer.try_write(wide(rows, 2000, n * rows))
            taken += rows * took
            assert writer.statistics().rows_taken == taken
            refused += not took
            if refused == 3:
                break
        assert refused == 3
        mock.set_rtt(0)
        assert writer.flush().rows == taken
        assert writer.try_write(wide(rows, 2000))


def test_try_write_is_for_one_piece(mock):
    """A source of several batches is refused, and so is a batch that could never fit."""
    with opened(mock, workers=0, memory_bytes=8 * MIB) as writer:
        with pytest.raises(ValueError, match="use write"):
            writer.try_write([orders(1), orders(1)])
        with pytest.raises(ValueError, match="use write"):
            writer.try_write(wide(3000, 2000))
        assert writer.statistics().rows_taken == 0
        writer.write(wide(3000, 2000))
        assert writer.flush().rows == 3000


@pytest.mark.parametrize("workers", [0, 2])
def test_huge_rows(mock, workers):
    """Rows of which only a few fit the memory are all written, and the arena stays within its share."""
    with opened(mock, workers=workers, memory_bytes=16 * MIB, key=["i"]) as writer:
        for n in range(10):
            writer.write(wide(5, 600_000, n * 5))
        report = writer.flush()
        assert report.rows == report.messages == 50
        assert writer.statistics().arena_peak_bytes <= writer.statistics().arena_size < 8 * MIB


@pytest.mark.parametrize("workers", [0, 1])
def test_a_row_too_large_for_a_message(mock, workers):
    """A row above message.max.bytes is an EncodeError that names it; every row is acknowledged or failed."""
    batch = pa.record_batch({"i": range(100), "t": ["x" * (2000 if n == 60 else 10) for n in range(100)]})
    with (
        pytest.raises(penstock.EncodeError, match=r"message\.max\.bytes") as caught,
        opened(mock, workers=workers, key=["i"], kafka_options={"message.max.bytes": 1500}) as writer,
    ):
        writer.write(batch)
        writer.flush()
    assert caught.value.row == 60
    report = caught.value.report
    assert report.rows + report.failed_rows == 100
    log = read(mock)
    agrees(report, log)
    assert set(events(log)) <= set(lines(batch))


def test_a_row_too_large_for_the_memory(mock):
    """A row that the arena can never hold is an EncodeError naming memory_bytes, not a wait without end."""
    with (
        pytest.raises(penstock.EncodeError, match="memory_bytes") as caught,
        opened(mock, memory_bytes=8 * MIB) as writer,
    ):
        writer.write(wide(3, 100))
        writer.write(wide(1, 3_000_000))
    assert caught.value.report.rows == 3


def test_dictionaries_that_do_not_fit_twice(mock):
    """A large dictionary makes room for the next one, and one that can never fit is an error that says what to do."""

    def coded(seed: int, size: int) -> pa.RecordBatch:
        values = pa.array(wide(10, size // 10, seed)["text"])
        return pa.record_batch({"d": pa.DictionaryArray.from_arrays(pa.array(range(10), pa.int8()), values)})

    batches = [coded(seed, 2_000_000) for seed in range(3)]
    with opened(mock, workers=1, memory_bytes=8 * MIB) as writer:
        for batch in batches:
            writer.write(batch)
        assert writer.flush().rows == 30
    with (
        pytest.raises(penstock.PenstockError, match="memory_bytes") as caught,
        opened(mock, memory_bytes=8 * MIB) as writer,
    ):
        writer.write(coded(1, 6_000_000))
    assert not isinstance(caught.value, penstock.InternalError)


def test_rows_beside_a_large_dictionary(mock):
    """Where a dictionary takes most of the arena the rows go through what is left of it."""
    values = pa.concat_arrays([wide(10, 300_000)["text"], pa.array(["short"])])
    rows = 20_000
    columns = {f"c{n}": np.arange(rows) for n in range(20)}
    columns["d"] = pa.DictionaryArray.from_arrays(pa.array([10] * rows, pa.int16()), values)
    batch = pa.record_batch(columns)
    with opened(mock, workers=2, memory_bytes=16 * MIB, kafka_options={"linger.ms": 0}) as writer:
        assert values.nbytes > 0.4 * writer.statistics().arena_size
        for _ in range(3):
            writer.write(batch)
        assert writer.flush().rows == 3 * rows


# ---- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_a_row_without_a_form(mock, workers):
    """Invalid UTF-8 is an EncodeError with row and column; every row is acknowledged or failed, and none twice."""
    good = [b"fine"] * 1000
    bad = [*good[:700], b"\xff\xfe", *good[701:]]
    batches = [pa.record_batch({"t": pa.array(raw).view(pa.string()), "i": range(1000)}) for raw in (good, bad)]
    with pytest.raises(penstock.EncodeError, match="UTF-8") as caught, opened(mock, workers=workers) as writer:
        writer.write(batches[0])
        writer.write(batches[1])
        writer.flush()
    assert (caught.value.row, caught.value.column) == (700, "t")
    report = caught.value.report
    assert report.rows + report.failed_rows == 2000
    assert report.rows >= 1000
    log = read(mock)
    assert sum(events(log).values()) == report.rows


@pytest.mark.parametrize("call", ["write", "try_write"])
def test_an_unknown_operation(mock, call):
    """An error found before a worker sees the row closes the writer too, with the counts."""
    batch = pa.record_batch({"op": ["I", "D", "nonsense"], "i": range(3)})
    with opened(mock, workers=1, op_column="op") as writer:
        writer.write(batch.slice(0, 2))
        with pytest.raises(penstock.EncodeError, match="nonsense") as caught:
            getattr(writer, call)(batch)
        assert caught.value.report.rows == 2
        assert caught.value.report.failed_rows >= 1
        with pytest.raises(penstock.WriterClosed):
            writer.flush()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("idempotence", [True, False])
def test_errors_that_pass(mock, workers, idempotence):
    """What the broker refuses for a moment is sent again and counted once."""
    with opened(
        mock, workers=workers, key=["user"], kafka_options={"enable.idempotence": idempotence, "retry.backoff.ms": 10}
    ) as writer:
        mock.push_request_errors(PRODUCE, [NOT_LEADER] * 4)
        writer.write(orders(1000))
        report = writer.flush()
    assert (report.rows, report.failed_rows, report.unknown_rows) == (1000, 0, 0)
    log = read(mock)
    agrees(report, log)
    assert events(log) == lines(orders(1000))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("settings", [{"key": ["user"]}, {"partition_by": ["user"]}])
def test_errors_that_stay(mock, workers, settings):
    """What the broker refuses for good is a DeliveryError whose counts are those of the topic."""
    options = {"enable.idempotence": False, "linger.ms": 0}
    with (
        pytest.raises(penstock.DeliveryError, match="MSG_SIZE_TOO_LARGE") as caught,
        opened(mock, workers=workers, kafka_options=options, **settings) as writer,
    ):
        mock.push_request_errors(PRODUCE, [TOO_LARGE] * 2)
        for n in range(20):
            writer.write(orders(1000, n * 1000))
        writer.flush()
    error, report = caught.value, caught.value.report
    assert not isinstance(error, penstock.WorkerDied)
    assert (error.acknowledged_rows, error.failed_rows) == (report.rows, report.failed_rows)
    assert report.failed_rows > 0
    (of_broker,) = report.errors
    assert (of_broker.code, of_broker.name) == (TOO_LARGE, "MSG_SIZE_TOO_LARGE")
    assert 0 < of_broker.rows <= report.failed_rows
    assert report.unknown_rows == 0
    log = read(mock)
    agrees(report, log)
    assert sum(events(log).values()) == report.rows
    assert max(events(log).values(), default=1) == 1


def test_a_repeated_row_that_is_lost_in_part(mock):
    """A row of which one copy was refused has failed, whatever became of the others."""
    options = {"enable.idempotence": False, "linger.ms": 0, "batch.num.messages": 1, "max.in.flight": 1, "retries": 0}
    batch = pa.record_batch({"w": [1, 6, 1], "i": range(3), "p": [0, 0, 0]})
    with (
        pytest.raises(penstock.DeliveryError) as caught,
        opened(
            mock,
            workers=0,
            weight_column="w",
            partition_column="p",
            kafka_options=options,
            format={"name": "json", "config": {"buffer_size_records": 2}},
        ) as writer,
    ):
        mock.push_request_errors(PRODUCE, [0, 0, TOO_LARGE])  # the third of four messages, all of it row 1
        writer.write(batch)
        writer.flush()
    report = caught.value.report
    assert (report.messages, report.rows, report.failed_rows) == (3, 2, 1)
    assert [error.rows for error in report.errors] == [1]


def test_nothing_is_lost_while_the_broker_is_away(mock):
    """A broker that goes down in the middle and comes back gets every row once."""
    with opened(mock, workers=2, key=["user"], kafka_options={"reconnect.backoff.max.ms": 100}) as writer:
        writer.write(orders(2000))
        mock.set_down()
        writer.write(orders(2000, 2000))
        time.sleep(0.3)
        mock.set_up()
        report = writer.flush()
    assert report.rows == 4000
    log = read(mock)
    agrees(report, log)
    assert events(log) == lines(orders(4000))
