"""Whole runs of the command against a mock cluster: what each outcome prints, and where, and its exit code."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fix_leftovers import MARK, marked
from readback import read_topic, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from penstock._core import MockCluster

ORDERS = pa.table({"order_id": [3, 1, 2], "item": ["rope", None, "tar"], "price": [1.5, 2.0, None]})
PRODUCE = 0
TOPIC_AUTHORIZATION_FAILED = 29


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    path = tmp_path / "orders.parquet"
    pq.write_table(ORDERS, path)
    return path


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as held:  # bound and never listening: nobody answers, nobody else can take it
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


class Command:
    """`penstock write` to the mock cluster's topic `orders`, with two workers."""

    def __init__(self, command: str, mock: MockCluster) -> None:
        self.command = command
        self.mock = mock
        self.brokers = mock.bootstrap_servers

    def run(self, *words: object, **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.command, *map(str, words)], capture_output=True, timeout=60, check=False, text=True, **more
        )

    def write(self, *words: object, **more: Any) -> subprocess.CompletedProcess[str]:
        return self.run(
            "write", *words, "--topic", "orders", "--bootstrap-servers", self.brokers, "--workers", 2, **more
        )


@pytest.fixture
def penstock(penstock_command: str, mock: MockCluster) -> Command:
    return Command(penstock_command, mock)


def error_line(done: subprocess.CompletedProcess[str], code: int) -> str:
    """Return the one line that says what went wrong, once its form and the exit code are as promised."""
    assert done.returncode == code, done.stderr
    first, *_ = lines = done.stderr.splitlines()
    assert first.startswith("penstock: error: ")
    assert sum("error:" in line for line in lines) == 1
    return first


def test_written_is_0_and_the_receipt_is_true(penstock: Command, orders: Path, mock: MockCluster) -> None:
    """Exit code 0 means that a consumer finds every row; the receipt counts what the consumer counts."""
    done = penstock.write(orders, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    log = read_topic(mock.bootstrap_servers, "orders")
    assert sorted(row[0] for message in log.messages for row in rows_of(message)) == [1, 2, 3]
    assert (report["rows"], report["failed_rows"], report["skipped_rows"]) == (3, 0, 0)
    assert report["messages"] == len(log.messages)
    assert sum(part["messages"] for part in report["partitions"]) == len(log.messages)


def test_receipt_for_people(penstock: Command, orders: Path) -> None:
    """Without --json the receipt is text on standard output, and standard error stays empty."""
    done = penstock.write(orders, orders)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("orders: 6 rows acknowledged in ")


def test_arrow_stream_on_standard_input(penstock: Command, mock: MockCluster) -> None:
    """`-` reads an Arrow stream from a pipe."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, ORDERS.schema) as stream:
        stream.write_table(ORDERS)
    command = [penstock.command, "write", "-", "--topic", "orders", "--bootstrap-servers", penstock.brokers]
    done = subprocess.run(command, input=sink.getvalue().to_pybytes(), capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    log = read_topic(mock.bootstrap_servers, "orders")
    assert sum(len(rows_of(message)) for message in log.messages) == 3


def test_module_and_command_are_one_program(penstock: Command) -> None:
    """`python -m penstock` is `penstock`; --version names penstock, librdkafka and the core's build."""
    done = penstock.run("--version")
    module = subprocess.run([sys.executable, "-m", "penstock", "--version"], capture_output=True, text=True, check=True)
    assert (done.returncode, done.stdout) == (0, module.stdout)
    names = [line.partition(" ")[0] for line in done.stdout.splitlines()]
    assert names == ["penstock", "librdkafka", "core"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--key", "order_di"], "order_id"),
        (["--partition-by", "itme"], "item"),
        (["--op-column", "opp"], "opp"),
        (["--weight-column", "weight"], "weight"),
        (["--partition-column", "prices"], "price"),
        (["-X", "linger.mss=5"], "linger.ms"),
        (["-X", "acks=1", "-X", "enable.idempotence=true"], "acks"),
        (["-X", "dr_cb=1"], "dr_cb"),
        (["-X", "linger.ms=soon"], "linger.ms"),
        (["--partitioner", "murmur3"], "murmur2"),
    ],
)
def test_wrong_names_and_values_are_2(penstock: Command, orders: Path, words: list[str], said: str) -> None:
    """A wrong column, option or value ends with 2 and the nearest right name; nothing is printed."""
    done = penstock.write(orders, *words)
    assert said in error_line(done, 2)
    assert done.stdout == ""


def test_wrong_column_is_found_before_a_missing_broker(penstock_command: str, orders: Path, closed_port: int) -> None:
    """Columns are checked before the broker is looked for, so the answer comes at once."""
    words = [penstock_command, "write", orders, "--topic", "t", "--bootstrap-servers", f"127.0.0.1:{closed_port}"]
    began = time.monotonic()
    done = subprocess.run([*words, "--key", "nope"], capture_output=True, text=True, timeout=60, check=False)
    assert "nope" in error_line(done, 2)
    assert time.monotonic() - began < 10


def broken_text() -> pa.Array:
    offsets = pa.py_buffer(pa.array([0, 1, 2, 3], pa.int32()).buffers()[1])
    return pa.Array.from_buffers(pa.string(), 3, [None, offsets, pa.py_buffer(b"a\xffc")])


@pytest.mark.parametrize(
    ("table", "words", "said"),
    [
        (pa.table({"text": broken_text()}), [], 'column "text"'),
        (pa.table({"text": ["a", "b" * 2_000_000, "c"]}), [], "message.max.bytes"),
        (pa.table({"op": ["insert", None], "a": [1, 2]}), ["--op-column", "op"], "op"),
        (pa.table({"w": [1, None], "a": [1, 2]}), ["--weight-column", "w"], "w"),
        (pa.table({"took": pa.array([1, 2], pa.duration("s"))}), [], "took"),
    ],
    ids=["not UTF-8", "too large", "null op", "null weight", "duration"],
)
def test_rows_that_have_no_form_are_3(
    penstock: Command, tmp_path: Path, table: pa.Table, words: list[str], said: str
) -> None:
    """A row that cannot be encoded, or a column that has no form, ends with 3 and is named."""
    path = tmp_path / "rows.arrow"
    with pa.ipc.new_file(path, table.schema) as file:
        file.write_table(table)
    done = penstock.write(path, *words)
    assert said in error_line(done, 3)
    assert done.stdout == ""


def test_sources_that_cannot_be_read_are_3(penstock: Command, orders: Path, tmp_path: Path) -> None:
    """A missing file, a file that is not Parquet and a file with other columns end with 3 and their name."""
    wrong, other = tmp_path / "wrong.parquet", tmp_path / "other.parquet"
    wrong.write_bytes(b"PAR1 this is no Parquet PAR1")
    pq.write_table(pa.table({"order_id": ["text"]}), other)
    for sources, named in (
        (["/no/such.parquet"], "/no/such.parquet"),
        ([orders, wrong], str(wrong)),
        ([orders, other], str(other)),
    ):
        done = penstock.write(*sources)
        assert named in error_line(done, 3)
        assert done.stdout == ""


def test_broken_page_in_the_middle_is_3_with_the_counts(penstock: Command, tmp_path: Path, mock: MockCluster) -> None:
    """Rows before a broken page are written and counted; what was acknowledged is what a consumer finds."""
    path = tmp_path / "broken.parquet"
    table = pa.table({"order_id": pa.array(range(3000), pa.int64())})
    pq.write_table(table, path, row_group_size=1000, compression="none", use_dictionary=False)
    chunk = pq.read_metadata(path).row_group(1).column(0)
    content = bytearray(path.read_bytes())
    start, end = chunk.data_page_offset, chunk.data_page_offset + 40
    content[start:end] = b"\xff" * (end - start)
    path.write_bytes(content)
    done = penstock.write(path, "--json")
    line = error_line(done, 3)
    assert str(path) in line
    assert "row group 1" in line
    report = json.loads(done.stdout)
    log = read_topic(mock.bootstrap_servers, "orders")
    found = sum(len(rows_of(message)) for message in log.messages)
    assert report["rows"] == found <= 1000


def test_broker_that_is_not_there_is_4(penstock_command: str, orders: Path, closed_port: int) -> None:
    """Without a broker the command ends within its timeout, with 4, naming broker and topic."""
    address = f"127.0.0.1:{closed_port}"
    began = time.monotonic()
    done = subprocess.run(
        [penstock_command, "write", orders, "--topic", "orders", "--bootstrap-servers", address,
         "--initialization-timeout-secs", "2"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert time.monotonic() - began < 6
    assert done.returncode == 4
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("penstock: error: ")]
    assert address in line
    assert "orders" in line


def test_refused_delivery_is_4_with_the_counts(penstock: Command, orders: Path, mock: MockCluster) -> None:
    """What the broker refuses is counted as failed, by code, in the partial report."""
    mock.push_request_errors(PRODUCE, [TOPIC_AUTHORIZATION_FAILED] * 50)
    done = penstock.write(orders, "--json")
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    report = json.loads(done.stdout)
    assert (report["rows"], report["failed_rows"]) == (0, 3)
    assert [(error["code"], error["name"], error["rows"]) for error in report["errors"]] == [
        (TOPIC_AUTHORIZATION_FAILED, "TOPIC_AUTHORIZATION_FAILED", 3)
    ]
    mock.push_request_errors(PRODUCE, [TOPIC_AUTHORIZATION_FAILED] * 50)
    done = penstock.write(orders)
    assert done.returncode == 4
    assert "NOT acknowledged: 3 rows" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("after_secs", [0.0, 2.0])
def test_dead_worker_is_4_with_the_counts(
    penstock: Command, tmp_path: Path, mark: str, wait_until: Callable[..., None], after_secs: float
) -> None:
    """When a worker that is not replaced is killed, starting or writing: exit code 4, and every row counted once."""
    path = tmp_path / "many.parquet"
    table = pa.table({"id": pa.array(range(1_000_000), pa.int64()), "text": pa.array(["0123456789" * 5] * 1_000_000)})
    pq.write_table(table, path, row_group_size=100_000)
    penstock.mock.set_rtt(100)  # so that rows are on their way for some seconds
    words = ["--workers", "2", "--memory-bytes", str(32 << 20), "-X", "compression.type=none", "--json"]
    words += ["--max-restarts-per-min", "0"]
    running = subprocess.Popen(
        [penstock.command, "write", path, "--topic", "orders", "--bootstrap-servers", penstock.brokers, *words],
        env={**os.environ, MARK: mark}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until(lambda: len(marked(mark)) == 3, "two workers run", timeout_secs=10)
    time.sleep(after_secs)
    assert running.poll() is None, "it was done before the worker was killed: this test tested nothing"
    os.kill(max(marked(mark) - {running.pid}), signal.SIGKILL)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 4, err
    assert sum(line.startswith("penstock: error: ") for line in err.splitlines()) == 1
    assert "Traceback" not in err
    if after_secs:
        report = json.loads(out)
        assert 0 < report["rows"] < report["rows"] + report["failed_rows"] + report["unknown_rows"] <= 1_000_000
        assert report["rows"] == sum(part["rows"] for part in report["partitions"])


def test_preview_needs_no_broker_and_shows_what_is_written(penstock: Command, orders: Path, mock: MockCluster) -> None:
    """The messages of preview are the messages that arrive, keys and values to the byte."""
    settings = ["--key", "order_id", "--topic", "orders"]
    previewed = penstock.run("preview", orders, *settings, "--partitions", 4, "--json")
    assert (previewed.returncode, previewed.stderr) == (0, "")
    shown = [json.loads(line) for line in previewed.stdout.splitlines()]
    assert penstock.write(orders, "--key", "order_id").returncode == 0
    log = read_topic(mock.bootstrap_servers, "orders")
    written = [(m.partition, m.key, m.value) for m in log.messages]
    assert sorted((m["partition"], m["key"].encode(), m["value"].encode()) for m in shown) == sorted(written)
    for_people = penstock.run("preview", orders, *settings, "--limit", 2)
    assert for_people.stdout.count("--- message") == 2
    assert for_people.stderr == "penstock: 2 messages\n"


def test_demo_runs_without_a_kafka(penstock_command: str) -> None:
    """The demo writes, reads back and says what to do next; with --json it prints its receipt and nothing else."""
    done = subprocess.run([penstock_command, "demo", "--rows", "50000"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for part in (
        "orders: 50,000 rows acknowledged in 50,000 messages", "rows/s", "messages/s", "orders[0] offset",
        "last 5 MB", "penstock write FILE.parquet",
    ):  # fmt: skip
        assert part in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    done = subprocess.run(
        [penstock_command, "demo", "--rows", "1000", "--workers", "0", "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    report = json.loads(done.stdout)
    assert (report["rows"], report["messages"], report["workers"]) == (1000, 1000, 0)


def test_closed_standard_streams_are_nobody_elses(penstock_command: str, orders: Path, mock: MockCluster) -> None:
    """With >&- and the like the arena would take descriptor 1, and a worker's own standard output would lie over it."""
    for number, closed in enumerate(("<&-", ">&-", "2>&-", "<&- >&- 2>&-"), 1):
        words = f'"$0" write "{orders}" --topic orders --bootstrap-servers {mock.bootstrap_servers} {closed}'
        done = subprocess.run(["/bin/sh", "-c", words, penstock_command], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), closed
        received = read_topic(mock.bootstrap_servers, "orders").messages
        assert sum(len(rows_of(message)) for message in received) == 3 * number
