"""Format python: a user's function makes the messages, in the workers; what goes wrong in it is told at its rows."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from confluent_kafka import Consumer, TopicPartition
from hypothesis import assume, given
from hypothesis import strategies as st

import penstock
import physical
import strategies
from penstock import _core
from penstock.batches import BatchEncoder
from penstock.config import load
from penstock.encode import Planner
from readback import read_topic

EXAMPLES = Path(__file__).parents[2] / "examples"
names = itertools.count()
seen: list[tuple[pa.Schema, list[Any], list[str] | None]] = []


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module that this process and its workers can import; returns the format object for its `encode`."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(text: str, function: str = "encode") -> dict[str, Any]:
        name = f"encoder_of_a_test_{next(names)}"
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        return {"name": "python", "config": {"encoder": f"{name}:{function}"}}

    return write


def rows(count: int) -> pa.RecordBatch:
    return pa.record_batch({"n": range(count), "text": [f"row {n}" for n in range(count)]})


def values(source: Any, **settings: Any) -> list[bytes | None]:
    return [message.value for message in penstock.preview(source, **settings)]


# ---- what it is called with -----------------------------------------------------------------------------------------


def remember(batch: pa.RecordBatch, changes: pa.Array) -> list[bytes]:
    """An encoder that keeps what it saw: through preview it runs in this process."""
    batch.validate(full=True)
    seen.append((batch.schema, physical.rows(batch), changes.to_pylist()))
    return [b""] * batch.num_rows


HERE = {"name": "python", "config": {"encoder": f"{__name__}:remember"}}


@given(batches=strategies.batches())
def test_any_batch(batches):
    """It gets every row of any batch, in order, with the values and names that were given."""
    seen.clear()
    made = list(penstock.preview(batches, format=HERE))
    given_rows = [row for batch in batches for row in physical.rows(batch)]
    assert [row for _, found, _ in seen for row in found] == given_rows
    assert len(made) == len(given_rows)
    assert all(schema.names == batches[0].schema.names for schema, _, _ in seen)
    assert {change for _, _, changes in seen for change in changes} <= {"insert"}


def test_changes():
    """Rows come in the order of sending, as often as their weight says, each with what is done with it."""
    batch = pa.record_batch({"n": [1, 2, 3], "w": [2, -1, 1]})
    seen.clear()
    list(penstock.preview(batch, format=HERE, weight_column="w"))
    ((_, found, changes),) = seen
    assert [n for (n,) in found] == [physical.values(pa.array([n]))[0] for n in (2, 1, 1, 3)]
    assert changes == ["delete", "insert", "insert", "insert"]
    seen.clear()
    log = pa.record_batch({"n": [1, 2, 3], "op": ["c", "u", "d"]})
    list(penstock.preview(log, format=HERE, op_column="op"))
    assert seen[0][2] == ["insert", "update", "delete"]
    assert seen[0][0].names == ["n"]


def test_a_delete_needs_the_second_argument(module):
    """An encoder that takes rows alone would send a delete as if it were a row: it is refused there."""
    form = module("def encode(batch):\n    return [b'x'] * batch.num_rows\n")
    batch = pa.record_batch({"n": [1, 2], "op": ["c", "d"]})
    with pytest.raises(penstock.EncodeError, match="takes rows alone and would take a delete for one") as caught:
        values(batch, format=form, op_column="op")
    assert caught.value.row == 1


# ---- what it returns ------------------------------------------------------------------------------------------------


def test_messages(module):
    """Bytes are a value, pairs a key and a value, triples headers too; None is null."""
    form = module(
        "def encode(batch):\n"
        "    yield b'value'\n"
        "    yield b'key', b'value'\n"
        "    yield None, bytearray(b'value')\n"
        "    yield b'key', None\n"
        "    yield b'key', b'value', [('name', b'header'), ('null', None)]\n"
    )
    made = list(penstock.preview(rows(5), format=form))
    assert [(m.key, m.value, m.headers) for m in made] == [
        (None, b"value", ()),
        (b"key", b"value", ()),
        (None, b"value", ()),
        (b"key", None, ()),
        (b"key", b"value", (("name", b"header"), ("null", None))),
    ]


@pytest.mark.parametrize(
    "message", ["None", "1", "'text'", "('a',)", "(b'k', 'v')", "(1, b'v')", "(b'k', b'v', [(b'n', b'v')])", "{}",
                "(b'k', b'v', 3)", "(b'k', b'v', [('n',)])"],
)  # fmt: skip
def test_no_message(module, message):
    """Anything else is an error that shows it, after the messages before it."""
    form = module(f"def encode(batch):\n    yield b'fine'\n    yield {message}\n")
    made = []
    with pytest.raises(penstock.EncodeError, match="a message is bytes") as caught:
        made.extend(penstock.preview(rows(2), format=form))
    assert len(made) == 1
    assert "as message 1" in str(caught.value)


def test_no_messages_at_all(module):
    """Rows cannot vanish uncounted."""
    form = module("def encode(batch):\n    return []\n")
    with pytest.raises(penstock.EncodeError, match="returned no message") as caught:
        values(rows(3), format=form)
    assert caught.value.row == 0


def test_a_message_above_the_limit(module):
    """It is refused at the first of its rows."""
    form = module("def encode(batch):\n    return [b'x' * (10 * n) for n in range(batch.num_rows)]\n")
    made = []
    with pytest.raises(penstock.EncodeError, match="needs 1010 bytes") as caught:
        made.extend(penstock.preview(rows(200), format=form, kafka_options={"message.max.bytes": 1064}))
    assert len(made) == 101 == caught.value.row


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("count", [1, 3, 7, 20, 45])
def test_any_number_of_messages_counts_every_row(mock, module, workers, count):
    """Fewer messages than rows, or more: the receipt has each row once."""
    form = module(f"def encode(batch):\n    return [b'%d' % n for n in range({count})]\n")
    report = penstock.write(
        rows(20), topic="orders", bootstrap_servers=mock.bootstrap_servers, workers=workers, format=form
    )
    assert (report.rows, report.failed_rows, report.messages) == (20, 0, count)


@given(st.integers(1, 30), st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_shares(count, weights):
    """Whatever the number of messages and the weights, the shares add up to the rows and the last one ends them."""
    assume(any(weights))
    form = {"name": "python", "config": {"encoder": f"{__name__}:{several.__name__}"}}
    config = load(for_preview=True, topic="t", weight_column="w", format=form)
    several.count = count
    batch = pa.record_batch({"n": range(len(weights)), "w": weights})
    plan = Planner(config, 0, 1).plan(batch.schema)
    read = plan.read(batch)
    selection = plan.selector.select(read, 0, read.rows, "both", 0)
    memory = bytearray(read.measure(0, read.rows) + selection.nbytes + 256)
    address = _core.address_of(memory)
    position = -address % 64
    behind = (position + read.copy(0, read.rows, address, position, []) + 63) // 64 * 64
    entries, repeats, groups = selection.copy(address, behind)
    encoder = BatchEncoder(plan.layout, plan.layout.format)
    made = list(encoder.messages(address, (position, 0, entries, repeats, groups, 1, 0)))
    assert len(made) == count
    assert sum(ended for *_, ended, _ in made) == sum(weight > 0 for weight in weights)
    assert not made[-1][-1]


def several(_: pa.RecordBatch) -> list[bytes]:
    return [b"x"] * several.count


# ---- what goes wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1])
def test_what_it_raises(mock, module, workers):
    """The error names the function, the exception, where it was raised and the rows; what was sent is counted."""
    form = module(
        "def encode(batch):\n"
        "    if batch['n'][0].as_py() >= 100:\n"
        "        raise KeyError('not here')\n"
        "    return [b'x'] * batch.num_rows\n"
    )
    batch = rows(200)
    with (
        pytest.raises(penstock.EncodeError) as caught,
        penstock.open(topic="orders", bootstrap_servers=mock.bootstrap_servers, workers=workers, format=form) as writer,
    ):
        writer.write(batch.slice(0, 100))
        writer.write(batch.slice(100, 100))
    text = str(caught.value)
    assert f"encoder {form['config']['encoder']} raised KeyError: 'not here'" in text
    assert ".py:3)" in text
    assert "a batch of 100 rows that begins with this one" in text
    assert caught.value.row == 0
    assert (caught.value.report.rows, caught.value.report.failed_rows) == (100, 100)


def test_the_exception_is_the_cause(module):
    """In preview the user's own exception, with its traceback, is the cause of ours."""
    form = module("def encode(batch):\n    return 1 / 0\n")
    with pytest.raises(penstock.EncodeError, match="ZeroDivisionError") as caught:
        values(rows(1), format=form)
    assert isinstance(caught.value.__cause__.__cause__ or caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("death", ["os._exit(7)", "os.kill(os.getpid(), 9)", "raise SystemExit(3)"])
def test_it_ends_its_process(mock, module, death):
    """A worker that the encoder ends is reported as such, and its rows as unknown."""
    form = module(f"import os\ndef encode(batch):\n    {death}\n")
    with pytest.raises(penstock.WorkerDied) as caught:
        penstock.write(rows(50), topic="orders", bootstrap_servers=mock.bootstrap_servers, workers=1, format=form)
    report = caught.value.report
    assert (report.rows, report.unknown_rows) == (0, 50)


@pytest.mark.parametrize(
    ("encoder", "text"),
    [
        ("no colon", 'give it as "module:function"'),
        (":f", 'give it as "module:function"'),
        ("m:", 'give it as "module:function"'),
        ("no_such_module_anywhere:f", "No module named"),
        ("json:dumbs", 'did you mean "dumps"'),
        ("json:__doc__", "not a function"),
        ("json:decoder.nothing", 'has no "decoder.nothing"'),
        ("__main__:f", "another __main__"),
    ],
)
def test_an_encoder_that_is_not_there(encoder, text):
    """A ConfigError before any process is started or any broker asked."""
    form = {"name": "python", "config": {"encoder": encoder}}
    with pytest.raises(penstock.ConfigError) as caught:
        penstock.open(topic="orders", bootstrap_servers="127.0.0.1:1", format=form)
    assert text in str(caught.value)
    with pytest.raises(penstock.ConfigError):
        penstock.preview(rows(1), format=form)


def test_a_module_that_fails_to_import(module):
    """What it raises is told, as a ConfigError."""
    form = module("raise ValueError('not today')\n")
    with pytest.raises(penstock.ConfigError, match="raised ValueError: not today"):
        penstock.preview(rows(1), format=form)


@pytest.mark.parametrize("setting", ["key", "header_columns", "timestamp_column"])
def test_settings_that_would_do_its_work(setting):
    """They are refused by name."""
    given_value = ["n"] if setting != "timestamp_column" else "n"
    with pytest.raises(penstock.ConfigError, match=f"{setting} and format python exclude each other"):
        penstock.preview(rows(1), format=HERE, **{setting: given_value})


# ---- the examples, through workers ----------------------------------------------------------------------------------


def messages_of(mock: Any) -> list[Any]:
    return read_topic(mock.bootstrap_servers, "orders").messages


def test_example_orjson(mock, monkeypatch):
    """One keyed message a row, a null value for a delete, in the order of the changes of each key."""
    monkeypatch.syspath_prepend(EXAMPLES)
    day = dt.date(2026, 11, 23)
    batch = pa.record_batch(
        {
            "id": [1, 2, 1, 3],
            "total": pa.array([Decimal("1.50"), Decimal(2), None, Decimal(4)], pa.decimal128(9, 2)),
            "day": [day] * 4,
            "op": ["insert", "insert", "delete", "insert"],
        }
    )
    report = penstock.write(
        batch,
        topic="orders",
        bootstrap_servers=mock.bootstrap_servers,
        workers=2,
        partition_by=["id"],
        op_column="op",
        format={"name": "python", "config": {"encoder": "encode_orjson:encode"}},
    )
    assert (report.rows, report.messages) == (4, 4)
    state: dict[bytes, list[bytes | None]] = {}
    for message in messages_of(mock):
        state.setdefault(message.key, []).append(message.value)
    assert state == {
        b"1": [b'{"id":1,"total":"1.50","day":"2026-11-23"}', None],
        b"2": [b'{"id":2,"total":"2.00","day":"2026-11-23"}'],
        b"3": [b'{"id":3,"total":"4.00","day":"2026-11-23"}'],
    }


def test_example_msgspec(mock, monkeypatch):
    """Many rows a message: every row arrives once, shared out evenly."""
    monkeypatch.syspath_prepend(EXAMPLES)
    report = penstock.write(
        rows(5000),
        topic="orders",
        bootstrap_servers=mock.bootstrap_servers,
        workers=2,
        format={"name": "python", "config": {"encoder": "encode_msgspec:encode"}},
    )
    assert (report.rows, report.messages) == (5000, 10)
    found = [json.loads(line) for message in messages_of(mock) for line in message.value.splitlines()]
    assert Counter(row["n"] for row in found) == Counter(range(5000))


def test_headers_through_a_worker(mock, module):
    """Headers of a message reach the broker, after the static ones."""
    form = module("def encode(batch):\n    return [(b'k', b'v', [('own', b'h'), ('null', None)])]\n")
    penstock.write(
        rows(3),
        config={
            "transport": {
                "name": "kafka_output",
                "config": {
                    "topic": "orders",
                    "bootstrap.servers": mock.bootstrap_servers,
                    "headers": [{"key": "static", "value": "s"}],
                },
            }
        },
        workers=1,
        format=form,
    )
    consumer = Consumer({"bootstrap.servers": mock.bootstrap_servers, "group.id": "g", "log_level": 0})
    try:
        consumer.assign([TopicPartition("orders", partition, 0) for partition in range(4)])
        message = consumer.poll(20)
        assert message.headers() == [("static", b"s"), ("own", b"h"), ("null", None)]
    finally:
        consumer.close()
