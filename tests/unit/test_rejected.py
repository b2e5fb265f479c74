"""What the broker refuses for good: the rest of its request is sent again, and the policies have the refused alone."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from confluent_kafka import Consumer, TopicPartition

import penstock
from fix_mock import PRODUCE
from penstock import _core
from penstock.layout import JsonLayout, Layout, Packing
from readback import read_topic

if TYPE_CHECKING:
    from pathlib import Path

CORRUPT, TOO_LARGE, LIST_TOO_LARGE, INVALID_TIMESTAMP, INVALID_RECORD = 2, 10, 18, 32, 87
REFUSALS = [TOO_LARGE, LIST_TOO_LARGE, INVALID_TIMESTAMP, INVALID_RECORD]
ROWS = pa.record_batch({"i": range(12)})
PACKED = {"name": "json", "config": {"buffer_size_records": 3}}  # four messages of three rows


def settings(mock: _core.MockCluster, **more: Any) -> dict[str, Any]:
    options = {"linger.ms": 150, **more.pop("kafka_options", {})}  # what is handed over together travels together
    common = {"topic": "orders", "bootstrap_servers": mock.bootstrap_servers, "workers": 0, "format": PACKED}
    return {**common, "kafka_options": options, **more}


def found(mock: _core.MockCluster) -> list[int]:
    """Return column i of all rows, in the order of the topic."""
    messages = read_topic(mock.bootstrap_servers, "orders").messages
    return [json.loads(line)["insert"]["i"] for one in messages for line in (one.value or b"").splitlines()]


def kept(path: Path) -> list[int]:
    return pa.ipc.open_stream(path).read_all()["i"].to_pylist()


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(("code", "times"), [*((code, 1) for code in REFUSALS), (TOO_LARGE, 4)])
def test_what_was_refused_together_is_sent_again(mock: _core.MockCluster, workers: int, code: int, times: int) -> None:
    """A request that is refused once or a few times arrives in parts: every row once, in the order given."""
    mock.push_request_errors(PRODUCE, [code] * times)
    many = {"name": "json", "config": {"buffer_size_records": 1}}
    batch = pa.record_batch({"i": range(500)})
    report = penstock.write(batch, **settings(mock, workers=workers, format=many))
    assert (report.rows, report.messages, report.errors) == (500, 500, ())
    assert found(mock) == list(range(500))


def test_each_part_may_be_refused_again(mock: _core.MockCluster) -> None:
    """Down to single messages, of which those arrive that are taken then."""
    # Four; the first two; the first; the second; the third of four, then of three and so on.
    mock.push_request_errors(PRODUCE, [INVALID_RECORD, INVALID_RECORD, 0, 0, INVALID_RECORD, 0, INVALID_RECORD])
    with pytest.raises(penstock.DeliveryError) as caught:
        penstock.write(ROWS, **settings(mock, kafka_options={"enable.idempotence": False}))
    report = caught.value.report
    assert report is not None
    assert (report.rows, report.failed_rows) == (9, 3)
    assert len(found(mock)) == 9


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("code", "policy", "counts", "name"),
    [
        (INVALID_RECORD, "on_bad_row", (3, 0), "bad_row"),
        (INVALID_TIMESTAMP, "on_bad_row", (3, 0), "bad_row"),
        (TOO_LARGE, "on_oversize", (0, 3), "oversize"),
        (LIST_TOO_LARGE, "on_oversize", (0, 3), "oversize"),
    ],
)
def test_a_packed_message_is_left_out_with_all_its_rows(
    mock: _core.MockCluster, tmp_path: Path, workers: int, code: int, policy: str, counts: Any, name: str
) -> None:
    """They are kept as they were given, counted once, and nothing else is missing."""
    path = tmp_path / "dead.arrows"
    mock.push_request_errors(PRODUCE, [code] * 3)  # all four, the first two, the first
    policies = {policy: "dead_letter", "dead_letter": str(path)}
    report = penstock.write(ROWS, **settings(mock, workers=workers, **policies))
    assert (report.rows, report.bad_rows, report.oversize_rows, report.failed_rows) == (9, *counts, 0)
    assert report.errors == ()
    assert found(mock) == list(range(3, 12))
    letters = pa.ipc.open_stream(path).read_all()
    assert letters["i"].to_pylist() == letters["penstock_row"].to_pylist() == [0, 1, 2]
    assert set(letters["penstock_code"].to_pylist()) == {name}
    (why,) = set(letters["penstock_error"].to_pylist())
    assert "the broker refuses the message of 3 rows that it is in: Broker: " in why


@pytest.mark.parametrize("form", ["parquet", "arrow", PACKED])
def test_rows_that_were_left_out_before_stay_apart(mock: _core.MockCluster, tmp_path: Path, form: Any) -> None:
    """A row that could not be encoded is no row of the message around it: each is kept once, with its own reason."""
    path = tmp_path / "dead.arrows"
    values = pa.array(["a", "b", "c", "d"]).view(pa.binary()).to_pylist()
    values[1] = b"\xff"
    text = pa.Array.from_buffers(pa.string(), 4, pa.array(values, pa.binary()).buffers())
    batch = pa.record_batch({"i": range(4), "s": text})
    mock.push_request_errors(PRODUCE, [INVALID_RECORD] * 9)
    report = penstock.write(batch, **settings(mock, format=form, on_bad_row="dead_letter", dead_letter=str(path)))
    assert (report.rows, report.bad_rows, report.messages) == (0, 4, 0)
    assert sorted(kept(path)) == [0, 1, 2, 3]
    letters = pa.ipc.open_stream(path).read_all().sort_by("i")
    assert ["UTF-8" in why for why in letters["penstock_error"].to_pylist()] == [False, True, False, False]


def test_one_row_a_message_is_found_among_many(mock: _core.MockCluster, tmp_path: Path) -> None:
    """The row is the refused one, wherever it stands among entries that are no rows in order."""
    path = tmp_path / "dead.arrows"
    ops = ["I", "I", "D", "I", "I", "D", "I", "I"]
    batch = pa.record_batch({"i": range(8), "op": ops, "h": ["h"] * 8})
    mock.push_request_errors(PRODUCE, [INVALID_RECORD, 0, INVALID_RECORD, INVALID_RECORD, INVALID_RECORD])
    chosen = settings(
        mock, op_column="op", header_columns="h", on_bad_row="dead_letter", dead_letter=str(path),
        kafka_options={"enable.idempotence": False},
    )  # fmt: skip
    report = penstock.write(batch, **chosen)
    # Refused: all eight; then, the first four having arrived, the other four, their first two, their first.
    assert (report.rows, report.bad_rows) == (7, 1)
    assert kept(path) == [4]
    messages = read_topic(mock.bootstrap_servers, "orders").messages
    sent = [next(iter(json.loads(one.value or b"").values()))["i"] for one in messages]
    assert sent == [0, 1, 2, 3, 5, 6, 7]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    "order", [{"key": "i"}, {"partition_by": "i"}, {"partition_column": "p"}, {"key": "i", "on_bad_row": "skip"}]
)
def test_rows_with_an_order_end_the_job(mock: _core.MockCluster, workers: int, order: dict[str, Any]) -> None:
    """Nothing is sent again that could come behind later rows; the error says what would allow it."""
    batch = pa.record_batch({"i": [5] * 4, "p": pa.array([1] * 4, pa.int32())})
    mock.push_request_errors(PRODUCE, [INVALID_RECORD])
    with pytest.raises(penstock.DeliveryError, match="reorder_on_reject=true sends the others") as caught:
        penstock.write(batch, **settings(mock, workers=workers, **order))
    assert caught.value.code == "INVALID_RECORD"
    assert "row 0" in str(caught.value)
    report = caught.value.report
    assert report is not None
    assert (report.rows, report.failed_rows, report.bad_rows) == (0, 4, 0)
    assert found(mock) == []


def test_an_order_may_be_given_up(mock: _core.MockCluster) -> None:
    """reorder_on_reject: they are sent again like any other."""
    batch = pa.record_batch({"i": range(4), "k": ["a"] * 4})
    mock.push_request_errors(PRODUCE, [INVALID_RECORD])
    report = penstock.write(batch, **settings(mock, key="k", reorder_on_reject=True))
    assert (report.rows, report.failed_rows) == (4, 0)
    assert found(mock) == [0, 1, 2, 3]


@pytest.mark.parametrize("policy", ["fail", "key_only", "truncate"])
def test_what_may_not_be_left_out_ends_the_job(mock: _core.MockCluster, policy: str) -> None:
    """The error names the rows of the refused message alone; the others have arrived."""
    more: dict[str, Any] = {"on_oversize": policy}
    if policy == "key_only":
        more |= {"key": "s", "reorder_on_reject": True}
    if policy == "truncate":
        more |= {"truncate_columns": "s"}
    batch = pa.record_batch({"i": range(2), "s": ["k", "k"]})
    mock.push_request_errors(PRODUCE, [TOO_LARGE] * 2)
    with pytest.raises(penstock.DeliveryError) as caught:
        penstock.write(batch, **settings(mock, **more, format={"name": "json", "config": {"buffer_size_records": 1}}))
    (partition,) = caught.value.report.partitions
    assert str(caught.value).startswith(
        f"orders[{partition.partition}]: Broker: Message size too large: the broker did not take 1 row of one chunk "
        "(MSG_SIZE_TOO_LARGE); batch: row 0 is in a message that it refuses; on_oversize=skip or "
        "dead_letter leaves such rows out; "
    )
    assert found(mock) == [1]


def test_copies_in_several_messages_are_not_left_out(mock: _core.MockCluster) -> None:
    """A row of which other copies have arrived has failed: it is in the topic, but not as often as it should."""
    batch = pa.record_batch({"i": range(2), "w": [5, 1]})
    chosen = settings(
        mock, weight_column="w", on_bad_row="skip", format={"name": "json", "config": {"buffer_size_records": 2}}
    )
    mock.push_request_errors(PRODUCE, [INVALID_RECORD] * 3)  # of three messages, of which the third has both rows
    with pytest.raises(penstock.DeliveryError, match="copies of its rows are in other messages too") as caught:
        penstock.write(batch, **chosen)
    report = caught.value.report
    assert report is not None
    assert (report.rows, report.failed_rows, report.bad_rows) == (1, 1, 0)


def test_what_a_message_has_beside_its_value_goes_again(mock: _core.MockCluster) -> None:
    """Key, headers and timestamp are those of the first time, and a null value stays one."""
    batch = pa.record_batch(
        {
            "i": range(6),
            "k": [str(n) for n in range(6)],
            "h": [f"h{n}" for n in range(6)],
            "at": pa.array([1_700_000_000_000 + n for n in range(6)], pa.timestamp("ms")),
            "gone": [None if n == 3 else n for n in range(6)],
        }
    )
    mock.push_request_errors(PRODUCE, [INVALID_RECORD] * 2)
    chosen = settings(
        mock, key="k", key_format="string", header_columns="h", timestamp_column="at", tombstone_column="gone",
        reorder_on_reject=True, format="json", headers={"from": "test"},
    )  # fmt: skip
    assert penstock.write(batch, **chosen).rows == 6
    consumer = Consumer(
        {"bootstrap.servers": mock.bootstrap_servers, "group.id": "g", "auto.offset.reset": "earliest", "log_level": 0}
    )
    try:
        consumer.assign([TopicPartition("orders", partition, 0) for partition in range(4)])
        messages = []
        while len(messages) < 6:
            messages += consumer.consume(6 - len(messages), timeout=10)
    finally:
        consumer.close()
    for message in messages:
        n = int(message.key())
        assert message.timestamp()[1] == 1_700_000_000_000 + n
        assert message.headers() == [("from", b"test"), ("h", f"h{n}".encode())]
        assert (message.value() is None) == (n == 3)
    assert sorted(message.key() for message in messages) == [b"%d" % n for n in range(6)]


@pytest.mark.parametrize("workers", [0, 2])
def test_topics_of_rows(mock: _core.MockCluster, workers: int) -> None:
    """Rows that name their topics go again to the same topic and partition."""
    mock.create_topic("other", 2)
    batch = pa.record_batch({"i": range(200), "t": ["orders", "other"] * 100})
    mock.push_request_errors(PRODUCE, [INVALID_RECORD] * 3)
    chosen = settings(mock, workers=workers, topic_column="t", topics=["orders", "other"], format="json")
    report = penstock.write(batch, **chosen)
    assert report.rows == 200
    logs = [read_topic(mock.bootstrap_servers, topic).messages for topic in ("orders", "other")]
    rows = [[json.loads(one.value or b"")["insert"]["i"] for one in log] for log in logs]
    assert [sorted(of) for of in rows] == [list(range(0, 200, 2)), list(range(1, 200, 2))]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("idempotence", [True, False])
def test_what_comes_behind_waits_its_turn(
    mock: _core.MockCluster, tmp_path: Path, workers: int, *, idempotence: bool
) -> None:
    """However many refusals, and however much is behind them: every row arrives or is kept, and none twice."""
    path = tmp_path / "dead.arrows"
    options = {"linger.ms": 1, "enable.idempotence": idempotence}
    policies = {"on_bad_row": "dead_letter", "dead_letter": str(path)}
    form = {"name": "json", "config": {"buffer_size_records": 10}}
    chosen = settings(mock, workers=workers, kafka_options=options, format=form, memory_bytes="16 MiB", **policies)
    with penstock.open(**chosen) as writer:
        for n in range(40):
            mock.push_request_errors(PRODUCE, [INVALID_RECORD] * 5 + [0, 0])
            writer.write(pa.record_batch({"i": range(n * 1000, n * 1000 + 1000), "s": ["x" * 50] * 1000}))
        report = writer.flush()
    arrived = found(mock)
    assert (report.rows, report.failed_rows) == (len(arrived), 0)
    assert report.bad_rows == 40_000 - len(arrived)
    left = kept(path) if path.exists() else []
    assert sorted(arrived + left) == list(range(40_000))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_end_in_the_middle(mock: _core.MockCluster, workers: int) -> None:
    """What waits to be sent again when the writer is given up counts like everything else that was under way."""
    with pytest.raises(ZeroDivisionError), penstock.open(**settings(mock, workers=workers)) as writer:
        mock.set_rtt(300)
        mock.push_request_errors(PRODUCE, [INVALID_RECORD] * 2)
        writer.write(ROWS)
        time.sleep(0.5)
        raise ZeroDivisionError
    report = writer.statistics()
    assert report.rows_taken == 12
    mock.set_rtt(0)
    rows = found(mock)
    assert len(rows) == len(set(rows))


def test_a_producer_that_is_purged_sends_nothing_again(mock: _core.MockCluster) -> None:
    """Each message that came back has a report, and so has its chunk."""
    batch = pa.record_batch({"i": range(6)})
    spec = _core.schema_spec(batch.schema.__arrow_c_schema__())
    schema = _core.Schema(spec)
    piece = _core.Piece(schema, batch.__arrow_c_array__()[1])
    chosen = {"change": "inserts", "change_column": -1, "key": None, "partition_column": -1}
    selector = _core.Selector(schema, **chosen, partitioner="random", partitions=4, workers=1)
    selection = selector.select(piece, 0, 6, "both", 0)
    memory = bytearray(piece.measure(0, 6) + selection.nbytes + 256)
    arena = _core.address_of(memory)
    at = -arena % 64
    size = piece.copy(0, 6, arena, at, [])
    entries, repeats, groups = selection.copy(arena, at + (size + 63) // 64 * 64)
    layout = Layout(spec, JsonLayout((0,)), None, Packing(records=2), 1000, resend=True)
    # Three messages are a full batch and go at once; fewer, as they are sent again, wait longer than the test lasts.
    options = {"bootstrap.servers": mock.bootstrap_servers, "batch.num.messages": "3", "linger.ms": "60000"}
    producer = _core.Producer(
        configuration=list(options.items()), topic="orders", headers=[],
        window_messages=100, queue_bytes=1 << 20, slab_bytes=1 << 22, audit=False, check_signals=False,
    )  # fmt: skip
    try:
        assert producer.partitions("orders", 10_000) == (4, 0)
        mock.push_request_errors(PRODUCE, [INVALID_RECORD] * 10)
        producer.produce(1, _core.Packer(schema, layout), arena, (at, 0, entries, repeats, groups, 1, 0))
        while not producer.busy:  # until they have come back
            assert producer.poll(50) == []
        assert producer.outstanding == 3
        producer.purge()
        results = []
        while not results:
            results = producer.poll(100)
        assert producer.outstanding == 0
    finally:
        producer.close()
    ((_, _, errors, unknown, _, failure, left_out, _, _),) = results
    assert sum(rows for _, _, rows, _, _ in errors) == 6
    assert (unknown, failure, left_out) == (0, None, [])
    assert memory


def test_damage_on_the_way_is_no_refusal(mock: _core.MockCluster) -> None:
    """INVALID_MSG, which Kafka calls CORRUPT_MESSAGE, is sent again by librdkafka, keys or no keys."""
    mock.push_request_errors(PRODUCE, [CORRUPT])
    report = penstock.write(ROWS, **settings(mock, key="i", kafka_options={"retry.backoff.ms": 10}))
    assert (report.rows, report.failed_rows) == (12, 0)
