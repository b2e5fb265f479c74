"""What a message carries from columns beside key and value: headers, timestamp, topic, a missing value."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import signal
import uuid
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, Consumer, TopicPartition
from hypothesis import given

import oracles
import penstock
import strategies
from compare import stream
from oracles import NoForm
from penstock import _core

if TYPE_CHECKING:
    from collections.abc import Iterator

MS = 1_700_000_000_000  # 2023-11-14


def settings(**more: Any) -> dict[str, Any]:
    return {"topic": "t", **more}


def previewed(batch: pa.RecordBatch, **more: Any) -> list[penstock.Message]:
    return list(penstock.preview(batch, **settings(**more)))


def headers_of(batch: pa.RecordBatch, **more: Any) -> list[tuple[tuple[str, bytes | None], ...]]:
    return [message.headers for message in previewed(batch, **more)]


# ---- headers --------------------------------------------------------------------------------------------------------

PAIRS: list[Any] = [[("a", b"x"), ("a", None), ("", b"")], [], None, [("é", b"\xff\x00")]]


@pytest.mark.parametrize("value", [pa.binary(), pa.large_binary(), pa.binary_view()])
@pytest.mark.parametrize("name", ["key", "name"])
@pytest.mark.parametrize("form", [pa.list_, pa.large_list, pa.list_view, pa.large_list_view])
def test_headers_from_lists_of_structs(form, name, value):
    """Each row has its list's headers in their order: repeated names, null and empty values, no list at all."""
    entry = pa.struct([pa.field(name, pa.string()), pa.field("value", value)])
    rows = [None if row is None else [{name: key, "value": one} for key, one in row] for row in PAIRS]
    batch = pa.record_batch({"i": range(4), "h": pa.array(rows, form(entry))})
    for lead in range(4):
        made = previewed(batch.slice(lead), headers_column="h")
        assert [list(m.headers) for m in made] == [row or [] for row in PAIRS[lead:]]
        assert [json.loads(m.value) for m in made] == [{"insert": {"i": i}} for i in range(lead, 4)]


@pytest.mark.parametrize(("key", "value"), [(pa.string(), pa.string()), (pa.large_string(), pa.binary())])
def test_headers_from_maps(key, value):
    """A map is a list of headers; a dictionary of names and a slice with an offset change nothing."""
    rows = [[("a", "x"), ("b", None)], [], None, [("c", "é"), ("c", "")]]
    expected = [[(k, None if v is None else v.encode()) for k, v in row or []] for row in rows]
    typed = [
        None if row is None else [(k, v if v is None or value == pa.string() else v.encode()) for k, v in row]
        for row in rows
    ]
    batch = pa.record_batch({"i": range(4), "h": pa.array(typed, pa.map_(key, value))})
    for lead in range(4):
        assert [list(h) for h in headers_of(batch.slice(lead), headers_column="h")] == expected[lead:]


def test_headers_with_encoded_parts():
    """Names from a dictionary, values as runs and a list of a fixed length give the same headers."""
    names = pa.DictionaryArray.from_arrays(pa.array([1, 0, 0, 1], pa.int8()), pa.array(["x", "y"]))
    values = pa.RunEndEncodedArray.from_arrays(pa.array([3, 4], pa.int32()), pa.array([b"1", None], pa.binary()))
    entries = pa.StructArray.from_arrays([names, values], names=["name", "value"])
    batch = pa.record_batch({"i": range(2), "h": pa.FixedSizeListArray.from_arrays(entries, 2)})
    assert headers_of(batch, headers_column="h") == [
        (("y", b"1"), ("x", b"1")),
        (("x", b"1"), ("y", None)),
    ]
    assert headers_of(batch.slice(1), headers_column="h") == [(("x", b"1"), ("y", None))]


@pytest.mark.parametrize(
    ("entries", "why"),
    [([{"key": None, "value": b""}], "name of a header is null"), ([None], "a header is null")],
)
def test_headers_that_are_none(entries, why):
    """A null name and a null entry are refused with row and column; what came before is sent."""
    kind = pa.list_(pa.struct({"key": pa.string(), "value": pa.binary()}))
    batch = pa.record_batch({"i": [0, 1], "h": pa.array([[], entries], kind)})
    made = []
    with pytest.raises(penstock.EncodeError, match=why) as caught:
        made.extend(penstock.preview(batch, headers_column="h", **settings()))
    assert (caught.value.row, caught.value.column) == (1, "h")


def scalar_headers(batch: pa.RecordBatch) -> list[list[tuple[str, bytes | None]]]:
    """Return each row's header for each column: bytes as they are, the rest as their JSON text without its quotes."""
    columns = []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        kind = field.type
        while pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
            kind = kind.value_type
        plain = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
        is_uuid = kind == pa.uuid() or (plain == pa.binary(16) and (field.metadata or {}).get(b"sql_type") == b"UUID")
        if not is_uuid and (strategies.is_string(plain) or oracles._is_binary(plain)):
            values = (column.storage if isinstance(column, pa.ExtensionArray) else column).to_pylist()
            columns.append([value.encode() if isinstance(value, str) else value for value in values])
        else:
            texts = oracles.cells(column, field)
            columns.append([None if text == "null" else text.strip('"').encode() for text in texts])
    return [[(name, cell[row]) for name, cell in zip(batch.schema.names, columns, strict=True)]
            for row in range(batch.num_rows)]  # fmt: skip


def flat(kind: pa.DataType) -> bool:
    return not pa.types.is_nested(kind) or pa.types.is_run_end_encoded(kind)


@given(batches=strategies.batches(strategies.types(1).filter(flat)))
def test_headers_of_any_column(batches):
    """A column is a header of its name: strings and bytes as they are, other values as in JSON, null without one."""
    names = batches[0].schema.names
    if "" in names:
        return
    try:
        expected = [row for batch in batches for row in scalar_headers(batch)]
    except NoForm:
        with pytest.raises(penstock.EncodeError):
            list(penstock.preview(stream(batches), header_columns=names, **settings()))
        return
    made = list(penstock.preview(stream(batches), header_columns=names, **settings()))
    assert [list(m.headers) for m in made] == expected
    assert all(m.value == b'{"insert":{}}\n' for m in made)


def test_order_of_headers():
    """Static headers come first, then those of headers_column, then those of header_columns as they were named."""
    kind = pa.map_(pa.string(), pa.string())
    batch = pa.record_batch({"a": [1], "b": ["x"], "h": pa.array([[("m", "y")]], kind)})
    (made,) = headers_of(batch, headers=[("s", "z"), ("s", None)], header_columns="b,a", headers_column="h")
    assert made == (("s", b"z"), ("s", None), ("m", b"y"), ("b", b"x"), ("a", b"1"))


# ---- timestamps -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.timestamp("s"), [MS // 1000]),
        (pa.timestamp("ms", "UTC"), [MS]),
        (pa.timestamp("us"), [MS * 1000 + 999]),
        (pa.timestamp("ns", "Europe/Prague"), [MS * 10**6 + 999_999]),
        (pa.int64(), [MS]),
        (pa.uint64(), [MS]),
    ],
)
def test_timestamps(kind, values):
    """Every unit becomes whole milliseconds, rounded down; null is the time of sending; the column is not written."""
    column = pa.array([*values, None], pa.int64() if pa.types.is_timestamp(kind) else kind).cast(kind)
    batch = pa.record_batch({"i": [0, 1], "ts": column})
    for encoded in (column, column.dictionary_encode(), pa.compute.run_end_encode(column)):
        made = previewed(batch.set_column(1, "ts", encoded), timestamp_column="ts")
        assert [m.timestamp for m in made] == [MS, None]
        assert json.loads(made[0].value) == {"insert": {"i": 0}}


def test_dates_as_timestamps():
    """A date is its midnight in UTC."""
    day = dt.date(2023, 11, 14)
    midnight = int(dt.datetime(2023, 11, 14, tzinfo=dt.timezone.utc).timestamp() * 1000)
    for kind in (pa.date32(), pa.date64()):
        batch = pa.record_batch({"d": pa.array([day, None], kind)})
        assert [m.timestamp for m in previewed(batch, timestamp_column="d")] == [midnight, None]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.timestamp("us"), -1),
        (pa.timestamp("us"), 999),
        (pa.timestamp("s"), 2**62),
        (pa.int64(), 0),
        (pa.uint64(), 2**63),
        (pa.timestamp("ns"), -(2**63)),
    ],
)
def test_timestamps_that_kafka_cannot_hold(kind, value):
    """Before 1970, in its first millisecond (0 means "now" to librdkafka) and beyond 64 bits: refused by row."""
    column = pa.array([value], kind if kind == pa.uint64() else pa.int64()).view(kind)
    with pytest.raises(penstock.EncodeError, match="1970-01-01") as caught:
        previewed(pa.record_batch({"ts": column}), timestamp_column="ts")
    assert (caught.value.row, caught.value.column) == (0, "ts")


# ---- topics ---------------------------------------------------------------------------------------------------------


def test_topics_of_rows():
    """Each row goes to the topic that it names, and the name is not in the value."""
    column = pa.array(["a", "b", "a"])
    for topics in (
        column,
        column.dictionary_encode(),
        pa.compute.run_end_encode(column),
        column.cast(pa.string_view()),
    ):
        batch = pa.record_batch({"to": topics, "i": range(3)})
        made = list(penstock.preview(batch, topic_column="to", topics=["a", "b"]))
        assert [(m.topic, json.loads(m.value)["insert"]) for m in made] == [
            ("a", {"i": 0}), ("b", {"i": 1}), ("a", {"i": 2}),
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("topics", "name", "parts"),
    [
        ("a,b", "c", ['"c"', "topics=a, b"]),
        ("^orders-.*", "payments", ['"payments"', "does not match topics=^orders-.*"]),
        ("^orders-.*", "orders-ü", ["orders-ü", "not a topic name"]),
        ("^.*", "", ["not a topic name"]),
        ("a,b", None, ["topic is null"]),
    ],
)
def test_topics_that_are_not_allowed(topics, name, parts):
    """A topic outside of `topics`, or none at all, is refused before anything is sent: row, column, what is allowed."""
    batch = pa.record_batch({"to": pa.array(["orders-1" if topics[0] == "^" else "a", name], pa.string())})
    made = []
    with pytest.raises(penstock.EncodeError) as caught:
        made.extend(penstock.preview(batch, topic_column="to", topics=topics, **settings(topic=None)))
    assert made == []
    assert (caught.value.row, caught.value.column) == (1, "to")
    for part in parts:
        assert part in str(caught.value)


def test_partitions_of_rows_with_topics():
    """With topic_column the partitioner chooses, unless a column names the partition."""
    batch = pa.record_batch({"to": ["a", "b"], "p": [3, 0], "i": [0, 1]})
    more = {"topic_column": "to", "topics": "a,b", "partitions": 2}
    assert [m.partition for m in penstock.preview(batch, **more)] == [None, None]
    assert [m.partition for m in penstock.preview(batch, partition_column="p", **more)] == [3, 0]
    with pytest.raises(penstock.EncodeError, match="no partition -1"):
        list(penstock.preview(batch.set_column(1, "p", pa.array([1, -1])), partition_column="p", **more))


# ---- tombstones -----------------------------------------------------------------------------------------------------


def test_tombstones():
    """A null in tombstone_column is a null value under the row's key; the column itself is part of the row."""
    batch = pa.record_batch({"k": ["a", "b"], "v": pa.array(["x", None]).dictionary_encode()})
    made = previewed(batch, key="k", key_format="string", tombstone_column="v")
    assert [(m.key, m.value) for m in made] == [(b"a", b'{"insert":{"k":"a","v":"x"}}\n'), (b"b", None)]


# ---- sizes ----------------------------------------------------------------------------------------------------------


def test_headers_count_towards_the_size_of_a_message():
    """A row whose key, value and headers exceed message.max.bytes - 64 is refused; one byte less is sent."""
    for extra, fits in ((0, True), (1, False)):
        batch = pa.record_batch({"k": ["kkkk"], "h": ["x" * (836 - 64 - 4 - 28 - 11 + extra)]})
        more = settings(key="k", key_format="string", header_columns="h", kafka_options={"message.max.bytes": 836})
        value = b'{"insert":{"k":"kkkk"}}\n'
        batch = batch.set_column(1, "h", pa.array(["x" * (836 - 64 - 4 - len(value) - 11 + extra)]))
        if fits:
            assert [m.value for m in penstock.preview(batch, **more)] == [value]
        else:
            with pytest.raises(penstock.EncodeError, match=r"needs 773 bytes, message\.max\.bytes - 64 allows 772"):
                list(penstock.preview(batch, **more))


# ---- formats --------------------------------------------------------------------------------------------------------

FORMATS: list[tuple[str, dict[str, Any]]] = [
    ("json", {}),
    ("json", {"array": True}),
    ("json", {"update_format": "debezium"}),
    ("json", {"update_format": "debezium", "key_fields": ["id"]}),
    ("json", {"update_format": "redis", "key_fields": ["id"]}),
    ("json", {"update_format": "upsert", "key_fields": ["id"]}),
    ("json", {"update_format": "weighted"}),
    ("json", {"update_format": "raw"}),
    ("csv", {}),
]


@pytest.mark.parametrize(("name", "config"), FORMATS)
def test_fields_beside_every_format(name, config):
    """Each row is its own message, with the key and the value that it has without any fields of its own."""
    rows = pa.record_batch({"id": [1, 2], "v": ["a", None]})
    batch = rows.append_column("h", pa.array(["x", None])).append_column("to", pa.array(["a", "b"]))
    batch = batch.append_column("at", pa.array([MS, None], pa.timestamp("ms")))
    plain = {"name": name, "config": {**config, "buffer_size_records": 1}}
    expected = list(penstock.preview(rows, format=plain))
    made = list(
        penstock.preview(
            batch, format={"name": name, "config": config}, header_columns="h", timestamp_column="at",
            topic_column="to", topics="a,b",
        )
    )  # fmt: skip
    assert [(m.key, m.value) for m in made] == [(m.key, m.value) for m in expected]
    assert [m.headers[:1] for m in made] == [(("h", b"x"),), (("h", None),)]
    assert [(m.topic, m.timestamp) for m in made] == [("a", MS), ("b", None)]


# ---- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        ({"headers_column": "h", "format": "parquet"}, ["headers_column", "format parquet"]),
        ({"timestamp_column": "t", "format": "arrow"}, ["timestamp_column", "format arrow"]),
        ({"header_columns": "t", "format": {"name": "python", "config": {"encoder": "m:f"}}},
         ["header_columns", "format python"]),
        ({"topic_column": "t"}, ["topic_column", "needs topics"]),
        ({"topics": "a"}, ["topics", "needs topic_column"]),
        ({"topic_column": "s", "topics": "a", "topic": "b"}, ["topic", '"b"', "topics"]),
        ({"topic_column": "s", "topics": "^t", "partition_by": "s"}, ["topic_column", "partition_by"]),
        ({"topic_column": "s", "topics": "^("}, ["topics", "^(", "regular expression"]),
        ({"topic_column": "s", "topics": ["a", "^b"]}, ["topics", "^b", "alone"]),
        ({"topic_column": "s", "topics": "a b"}, ["topics", "a b", "topic name"]),
        ({"tombstone_column": "s"}, ["tombstone_column", "needs a key"]),
        ({"headers_column": "s"}, ['headers_column: column "s" is string', "lists of struct"]),
        ({"header_columns": "h"}, ['header_columns: column "h" is map', "strings, bytes, numbers"]),
        ({"timestamp_column": "s"}, ['timestamp_column: column "s" is string', "timestamps"]),
        ({"topic_column": "i", "topics": "t"}, ['topic_column: column "i" is int64', "strings"]),
        ({"timestamp_column": "tt"}, ['timestamp_column: there is no column "tt"']),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense(more, parts):
    """What does not go together, and a column that cannot play its part, is refused at open; both sides are named."""
    batch = pa.record_batch(
        {
            "s": ["a"],
            "i": [1],
            "t": pa.array([MS], pa.timestamp("ms")),
            "h": pa.array([[]], pa.map_("string", "binary")),
        }
    )
    with pytest.raises(penstock.ConfigError) as caught:
        penstock.preview(batch, **settings(**more))
    for part in parts:
        assert part in str(caught.value)


# ---- through a broker -----------------------------------------------------------------------------------------------


def read_all(bootstrap_servers: str, topics: dict[str, int], count: int) -> list[Any]:
    """Read `count` messages from the beginning of all partitions."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": uuid.uuid4().hex, "log_level": 0})
    try:
        consumer.assign([TopicPartition(topic, p, 0) for topic, size in topics.items() for p in range(size)])
        found: list[Any] = []
        for _ in range(100):
            found += consumer.consume(count - len(found), timeout=0.2)
            if len(found) >= count:
                return found
        raise AssertionError(f"{len(found)} of {count} messages arrived")
    finally:
        consumer.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_everything_arrives(mock, workers):
    """A consumer gets each row's key, value, headers, timestamp and topic, and the receipt says where rows came to."""
    topics = {"first": 3, "second": 5}
    for name, size in topics.items():
        mock.create_topic(name, size)
    rows = 600
    batch = pa.record_batch(
        {
            "id": pa.array([None if n % 50 == 49 else n % 40 for n in range(rows)], pa.int64()),
            "to": pa.array([list(topics)[n % 3 % 2] for n in range(rows)]).dictionary_encode(),
            "at": pa.array([None if n % 7 == 0 else MS + n for n in range(rows)], pa.timestamp("ms")),
            "h": pa.array([[("n", str(n))] * (n % 3) for n in range(rows)], pa.map_(pa.string(), pa.string())),
            "alive": pa.array([None if n % 11 == 0 else True for n in range(rows)]),
            "n": range(rows),
        }
    )
    more = {
        "key": "id", "key_format": "big_endian", "topic_column": "to", "topics": list(topics), "timestamp_column": "at",
        "headers_column": "h", "header_columns": "n", "tombstone_column": "alive", "headers": {"static": b"\x00"},
    }  # fmt: skip
    expected = list(penstock.preview(batch, **more))
    report = penstock.write(
        [batch.slice(0, 400), batch.slice(400)], bootstrap_servers=mock.bootstrap_servers, workers=workers, **more
    )
    got = read_all(mock.bootstrap_servers, topics, rows)

    def row_of(headers: Any) -> int:
        return int(headers[-1][1])

    by_row = {row_of(m.headers()): m for m in got}
    assert len(by_row) == rows
    for message in expected:
        received = by_row[row_of(message.headers)]
        assert received.topic() == message.topic
        assert (received.key(), received.value()) == (message.key, message.value)
        assert tuple(received.headers()) == message.headers
        kind, timestamp = received.timestamp()
        assert kind == TIMESTAMP_CREATE_TIME
        if message.timestamp is None:
            assert timestamp > MS + 10**9
        else:
            assert timestamp == message.timestamp
        if message.key is not None:
            assert received.partition() == _core.librdkafka_partition_of("murmur2", message.key, topics[message.topic])

    orders: dict[tuple[str, bytes], list[tuple[int, int]]] = defaultdict(list)
    for n, received in by_row.items():
        if received.key() is not None:
            orders[received.topic(), received.key()].append((received.offset(), n))
    for numbered in orders.values():
        assert [n for _, n in sorted(numbered)] == sorted(n for _, n in numbered)

    assert (report.rows, report.messages, report.null_keys) == (rows, rows, sum(m.key is None for m in expected))
    counted: dict[tuple[str, int], list[int]] = defaultdict(list)
    for received in got:
        counted[received.topic(), received.partition()].append(received.offset())
    assert [(p.topic, p.partition) for p in report.partitions] == sorted(counted)
    for part in report.partitions:
        offsets = counted[part.topic, part.partition]
        assert (part.rows, part.messages) == (len(offsets), len(offsets))
        assert (part.first_offset, part.last_offset) == (min(offsets), max(offsets))
    assert str(report).startswith("2 topics: 600 rows acknowledged")
    assert "second[0]" in str(report)


@pytest.mark.parametrize("workers", [0, 2])
def test_rows_of_one_topic_by_weight(mock, workers):
    """A row of several copies counts once, and only when all of them arrived, also with headers and topics."""
    mock.create_topic("first", 1)
    mock.create_topic("second", 1)
    batch = pa.record_batch({"to": ["first", "second", "first"], "w": [3, 1, -2], "h": ["x", None, "z"]})
    more = {"topic_column": "to", "topics": "first,second", "weight_column": "w", "header_columns": "h"}
    report = penstock.write(batch, bootstrap_servers=mock.bootstrap_servers, workers=workers, **more)
    assert (report.rows, report.messages) == (3, 6)
    assert [(p.topic, p.rows, p.messages) for p in report.partitions] == [("first", 2, 5), ("second", 1, 1)]


@pytest.mark.parametrize("workers", [0, 1])
def test_partition_column_with_topics(mock, workers):
    """Each row comes to the partition of its topic that it names."""
    topics = {"first": 2, "second": 4}
    for name, size in topics.items():
        mock.create_topic(name, size)
    batch = pa.record_batch({"to": ["first", "second"] * 20, "p": pa.array([1, 3] * 20, pa.int8()), "i": range(40)})
    report = penstock.write(
        batch, bootstrap_servers=mock.bootstrap_servers, workers=workers, topic_column="to", topics=list(topics),
        partition_column="p",
    )  # fmt: skip
    assert [(p.topic, p.partition, p.rows) for p in report.partitions] == [("first", 1, 20), ("second", 3, 20)]


def test_some_rows_with_headers_some_without(mock):
    """Rows without headers between rows with some keep their place in their partition."""
    rows = 5000
    headers = pa.array([[("n", str(n))] if n % 17 == 0 else [] for n in range(rows)], pa.map_("string", "string"))
    batch = pa.record_batch({"k": ["one"] * rows, "n": range(rows), "h": headers})
    penstock.write(
        batch, topic="orders", bootstrap_servers=mock.bootstrap_servers, workers=1, key="k", headers_column="h"
    )
    got = read_all(mock.bootstrap_servers, {"orders": 4}, rows)
    assert len({m.partition() for m in got}) == 1
    in_order = sorted(got, key=lambda m: m.offset())
    assert [json.loads(m.value())["insert"]["n"] for m in in_order] == list(range(rows))
    assert [m.headers() for m in in_order] == [[("n", b"%d" % n)] if n % 17 == 0 else None for n in range(rows)]


@contextlib.contextmanager
def ctrl_c(seconds: float) -> Iterator[None]:
    """Raise KeyboardInterrupt in the main thread after so long."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("workers", [0, 1])
def test_ctrl_c_amid_messages_with_headers(mock, workers):
    """Every row that was taken is acknowledged, failed or unknown; the message under way is counted once."""
    batch = pa.record_batch({"i": range(65536), "h": ["x" * 20] * 65536})
    writer = penstock.open(
        topic="orders", bootstrap_servers=mock.bootstrap_servers, workers=workers, header_columns="h", key="i",
        memory_bytes=8 << 20, shutdown_timeout_secs=0.5,
    )  # fmt: skip
    mock.set_rtt(3000)
    with pytest.raises(KeyboardInterrupt) as caught, ctrl_c(0.5):
        for _ in range(1000):
            writer.write(batch)
    mock.set_rtt(0)
    report = caught.value.report
    taken = writer.statistics().rows_taken
    assert taken > 0
    assert report.rows + report.failed_rows + report.unknown_rows == taken


def test_a_broker_that_refuses_rows_with_headers(mock):
    """Messages that were sent one by one fail with the broker's code and count as failed."""
    mock.push_request_errors(0, [29] * 50)
    batch = pa.record_batch({"i": range(10), "h": ["x"] * 10})
    with pytest.raises(penstock.DeliveryError) as caught:
        penstock.write(
            batch, topic="orders", bootstrap_servers=mock.bootstrap_servers, workers=1, header_columns="h",
            kafka_options={"retries": "0", "enable.idempotence": "false"},
        )  # fmt: skip
    assert caught.value.failed_rows == 10
    assert caught.value.code == "TOPIC_AUTHORIZATION_FAILED"
