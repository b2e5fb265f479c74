"""One stage at a time, each in a process of its own: where the time of the whole job goes.

    read             Parquet into RecordBatches of at most 64 Ki rows, as penstock does (pyarrow uses its own threads)
    partition        row numbers grouped by partition: without a key, and by the murmur2 of a key column
    arena            RecordBatches copied into shared memory, reused as penstock reuses it
    encode           rows in the arena into messages, thrown away: one core; also parquet and arrow by pyarrow, and both
                     encoders of examples/
    send             encoded messages into librdkafka's mock cluster and into the real broker: floor.cpp, one producer
    encode and send  rows in the arena encoded and sent by one producer in one process, as one worker does

A stage makes one pass that does not count, then passes for a second. Bytes are those of the JSON, but for `arena`:
there, those of the Arrow buffers; and for stages that pyarrow or an example encodes: those of their messages.
"""

from __future__ import annotations

import itertools
import json
import mmap
import resource
import statistics
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

import data
import tables
from contenders import CONTENDERS, PARTITIONS, Contender, Lab, WrongResultError, librdkafka, output
from penstock import _core, config
from penstock.batches import BatchEncoder
from penstock.encode import Planner
from penstock.layout import ColumnarLayout, JsonKey, JsonLayout, Layout, Packing
from penstock.source import open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROWS = data.GROUP_ROWS
ARENA_BYTES = 512 << 20  # room for every block of one data set, so that only the stage itself is on the stopwatch
ARENA_RING = 64 << 20  # what the arena stage writes round and round: about what a job's arena has in use
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
ALL_COLUMNS = range(len(data.SCHEMA))


@dataclass(frozen=True)
class Stage:
    """One line of the table, over repeats in fresh processes."""

    name: str
    shape: str
    rows_per_second: tables.Spread
    megabytes_per_second: tables.Spread
    cpu_nanoseconds_per_row: tables.Spread


@dataclass(frozen=True)
class Pass:
    """What one pass over the data did."""

    rows: int
    bytes: int


class Loaded:
    """A data set in memory as the core sees it, and one arena with all of its blocks."""

    def __init__(self, shape: data.Shape) -> None:
        self.prepared = data.prepare(shape, ROWS)
        batches = pq.ParquetFile(self.prepared.parquet).iter_batches(batch_size=data.PIECE_ROWS)
        self.schema = _core.Schema(_core.schema_spec(data.SCHEMA.__arrow_c_schema__()))
        self.pieces = [_core.Piece(self.schema, batch.__arrow_c_array__()[1]) for batch in batches]
        self.memory = mmap.mmap(-1, ARENA_BYTES)
        self.arena = _core.address_of(memoryview(self.memory))

    def selector(self, key: str) -> _core.Selector:
        """Rows for 4 partitions and one worker, all inserts; `key` is none or json (the column `id`)."""
        return _core.Selector(
            self.schema,
            change="inserts",
            change_column=-1,
            key=None if key == "none" else JsonKey((0,)),
            partition_column=-1,
            partitioner="murmur2_random",
            partitions=PARTITIONS,
            workers=1,
        )

    def packer(self, records: int) -> _core.Packer:
        """All columns, `records` rows a message at most."""
        largest = config.load(topic="bench").max_payload_bytes
        layout = Layout(self.schema.spec, JsonLayout(tuple(ALL_COLUMNS)), None, Packing(records=records), largest)
        return _core.Packer(self.schema, layout)

    def places(self) -> list[tuple[int, int, int, int, int, int, int]]:
        """Copy every piece and its selection into the arena; where each lies."""
        selector = self.selector("none")
        at = 0
        found = []
        for number, piece in enumerate(self.pieces):
            block = at
            at = _aligned(at + piece.copy(0, piece.rows, self.arena, at, []))
            selection = selector.select(piece, 0, piece.rows, "both", number % PARTITIONS)
            entries, repeats, groups = selection.copy(self.arena, at)
            at = _aligned(at + selection.nbytes)
            found.append((block, 0, entries, repeats, groups, sum(share[2] for share in selection.shares()), 0))
        return found


def _aligned(position: int) -> int:
    return (position + 15) & ~15


def read(shape: data.Shape) -> Callable[[], Pass]:
    """Read a Parquet file into RecordBatches."""
    path = data.prepare(shape, ROWS).parquet
    size = data.prepare(shape, ROWS).encoded.stat().st_size

    def run() -> Pass:
        with open_source(str(path)) as source:
            return Pass(sum(piece.num_rows for batch in source.batches() for piece in batch.pieces()), size)

    return run


def partition(shape: data.Shape, key: str) -> Callable[[], Pass]:
    """Make selection vectors."""
    loaded = Loaded(shape)
    selector = loaded.selector(key)
    size = loaded.prepared.encoded.stat().st_size

    def run() -> Pass:
        rows = 0
        for number, piece in enumerate(loaded.pieces):
            rows += selector.select(piece, 0, piece.rows, "both", number % PARTITIONS).rows
        return Pass(rows, size)

    return run


def arena(shape: data.Shape) -> Callable[[], Pass]:
    """Copy into shared memory."""
    loaded = Loaded(shape)

    def run() -> Pass:
        at = rows = copied = 0
        for piece in loaded.pieces:
            size = piece.measure(0, piece.rows)
            at = 0 if at + size > ARENA_RING else at
            piece.copy(0, piece.rows, loaded.arena, at, [])
            at = _aligned(at + size)
            rows += piece.rows
            copied += size
        return Pass(rows, copied)

    return run


def encode(shape: data.Shape, records: int) -> Callable[[], Pass]:
    """Make messages and drop them; their bytes must be those of the expected file."""
    loaded = Loaded(shape)
    places = loaded.places()
    packer = loaded.packer(records)
    expected = loaded.prepared.encoded.stat().st_size

    def run() -> Pass:
        done = [packer.measure(loaded.arena, place) for place in places]
        size = sum(one[2] for one in done)
        if size != expected:
            raise WrongResultError(f"encode made {size} bytes, expected {expected}")
        return Pass(sum(one[1] for one in done), size)

    return run


def encode_batches(shape: data.Shape, form: str | dict[str, Any]) -> Callable[[], Pass]:
    """Make messages of whole batches, with pyarrow or in Python, and drop them."""
    sys.path.append(str(EXAMPLES))
    loaded = Loaded(shape)
    places = loaded.places()
    planned = Planner(config.load(for_preview=True, format=form), PARTITIONS, 1).plan(data.SCHEMA).layout
    if not isinstance(planned.format, ColumnarLayout):
        raise TypeError(f"{form} is made row by row")
    encoder = BatchEncoder(planned, planned.format)

    def run() -> Pass:
        rows = size = 0
        for place in places:
            for _, key, value, _, ended, _ in encoder.messages(loaded.arena, place):
                rows += ended
                size += len(key or b"") + len(value or b"")
        if rows != ROWS:
            raise WrongResultError(f"{form} made messages of {rows} rows, expected {ROWS}")
        return Pass(rows, size)

    return run


def encode_and_send(shape: data.Shape, records: int, settings: dict[str, Any]) -> Callable[[], Pass]:
    """One producer in this process: what one worker does."""
    loaded = Loaded(shape)
    places = loaded.places()
    packer = loaded.packer(records)
    chosen = config.load(**settings)
    shares = chosen.shares
    producer = _core.Producer(
        configuration=list(chosen.kafka.items()),
        topic=chosen.topic,
        headers=[],
        window_messages=shares.queue_messages,
        queue_bytes=shares.queue_kbytes << 10,
        slab_bytes=shares.encode_buffer_bytes,
        audit=False,
        check_signals=False,
    )
    producer.partitions(
        chosen.topic, 10000
    )  # only the second answer brings the producer id, see penstock.produce.connect
    found, code = producer.partitions(chosen.topic, 10000)
    if found != PARTITIONS:
        raise WrongResultError(f"{found} partitions, error {code}")

    def run() -> Pass:
        acked = size = 0

        def count(results: Sequence[Any]) -> None:
            nonlocal acked, size
            for _, partitions, errors, _, _, failure in results:
                if errors or failure:
                    raise WrongResultError(f"{errors} {failure}")
                acked += sum(ack[2] for ack in partitions)
                size += sum(ack[3] for ack in partitions)

        for number, place in enumerate(places):
            producer.produce(number, packer, loaded.arena, place)
            count(producer.poll(0))
        while acked < ROWS:
            count(producer.poll(100))
        return Pass(acked, size)

    return run


def _example(encoder: str) -> dict[str, Any]:
    return {"name": "python", "config": {"encoder": encoder}}


STAGES: dict[str, Callable[..., Callable[[], Pass]]] = {
    "read": read,
    "partition, murmur2 of a key": lambda shape: partition(shape, "json"),
    "arena": arena,
    "encode, packed": lambda shape: encode(shape, 10000),
    "encode, row per message": lambda shape: encode(shape, 1),
    "encode, parquet": lambda shape: encode_batches(shape, "parquet"),
    "encode, arrow": lambda shape: encode_batches(shape, "arrow"),
    "encode, orjson in Python": lambda shape: encode_batches(shape, _example("encode_orjson:encode")),
    "encode, msgspec in Python": lambda shape: encode_batches(shape, _example("encode_msgspec:encode")),
}
ALONE, WITH_ENCODING = "send", "encode and send"
BOTH_SHAPES = ("read", "encode, packed", "encode, row per message")


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def child(name: str, shape: data.Shape, seconds: float, settings: dict[str, Any]) -> dict[str, float]:
    """Run one stage in this process for about `seconds`; its figures."""
    if name.startswith(WITH_ENCODING):
        _core.load_librdkafka(librdkafka())
        run = encode_and_send(shape, settings["format"]["config"]["buffer_size_records"], settings)
    else:
        run = STAGES[name](shape)
    run()
    rows = size = 0
    cpu, started = _cpu(), time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        done = run()
        rows += done.rows
        size += done.bytes
    return {"rows": rows, "bytes": size, "seconds": elapsed, "cpu_seconds": _cpu() - cpu}


def _stage(name: str, shape: str, runs: Sequence[dict[str, float]]) -> Stage:
    def spread(values: list[float]) -> tables.Spread:
        return tables.Spread(statistics.median(values), min(values), max(values), len(values))

    return Stage(
        name=name,
        shape=shape,
        rows_per_second=spread([run["rows"] / run["seconds"] for run in runs]),
        megabytes_per_second=spread([run["bytes"] / run["seconds"] / 1e6 for run in runs]),
        cpu_nanoseconds_per_row=spread([run["cpu_seconds"] / run["rows"] * 1e9 for run in runs]),
    )


def measure(lab: Lab, repeats: int, *, quick: bool) -> list[Stage]:
    """Every stage `repeats` times, all of them once before any is run again."""
    seconds = 0.3 if quick else 1.0
    jobs: dict[tuple[str, str], Callable[[], dict[str, Any]]] = {}
    for shape in data.SHAPES:
        data.prepare(shape, ROWS)
        for name in STAGES:
            if shape == data.HEADLINE or name in BOTH_SHAPES:
                jobs[name, shape] = partial(_own, name, shape, seconds)
    _core.load_librdkafka(librdkafka())
    with _core.MockCluster() as mock:
        jobs |= _sending(lab, mock, seconds)
        return _repeat(jobs, repeats)


def _own(name: str, shape: str, seconds: float, settings: dict[str, Any] | None = None) -> dict[str, Any]:
    return output([sys.executable, __file__, name, shape, str(seconds), json.dumps(settings or {})])


def _sending(lab: Lab, mock: _core.MockCluster, seconds: float) -> dict[tuple[str, str], Callable[[], dict[str, Any]]]:
    """List the stages that need a broker, each with a topic of its own."""
    encoded = data.prepare(data.HEADLINE, ROWS).encoded
    numbers = itertools.count()

    def to_mock(one: Contender, name: str) -> dict[str, Any]:
        topic = f"bench-{next(numbers)}"
        mock.create_topic(topic, PARTITIONS)
        settings = lab.settings(one, topic, mock.bootstrap_servers)
        if name.startswith(WITH_ENCODING):
            return _own(name, data.HEADLINE, seconds, settings)
        return output(lab.floor(settings, encoded, 1))

    def to_kafka(one: Contender) -> dict[str, Any]:
        topic = lab.create_topic(keep_all=False)
        said = output(lab.floor(lab.settings(one, topic), encoded, 1))
        lab.delete_topic(topic)
        return said

    jobs: dict[tuple[str, str], Callable[[], dict[str, Any]]] = {}
    for one in CONTENDERS:
        if one.kind == "floor":
            what = one.label.removeprefix("floor, ")
            for name in (f"{ALONE} to mock, {what}", f"{WITH_ENCODING} to mock, {what}"):
                jobs[name, data.HEADLINE] = partial(to_mock, one, name)
            jobs[f"{ALONE} to Kafka, {what}", data.HEADLINE] = partial(to_kafka, one)
    return jobs


def _repeat(jobs: dict[tuple[str, str], Callable[[], dict[str, Any]]], repeats: int) -> list[Stage]:
    found: dict[tuple[str, str], list[dict[str, Any]]] = {key: [] for key in jobs}
    for _ in range(repeats):
        for key, job in jobs.items():
            found[key].append(job())
    return [_stage(name, shape, runs) for (name, shape), runs in found.items()]


def table(found: Sequence[Stage]) -> tuple[tuple[str, ...], list[list[str]]]:
    """Header and rows."""
    header = ("stage", "prices", "rows/s", "MB/s", "CPU ns per row")
    rows = [
        [
            one.name,
            one.shape,
            tables.cell(one.rows_per_second),
            tables.cell(one.megabytes_per_second),
            tables.cell(one.cpu_nanoseconds_per_row),
        ]
        for one in found
    ]
    return header, rows


def main() -> None:
    """Run one stage; print one JSON object."""
    name, shape, seconds, settings = sys.argv[1:]
    print(json.dumps(child(name, "cents" if shape == "cents" else "random", float(seconds), json.loads(settings))))


if __name__ == "__main__":
    main()
