"""Rows of Arrow into the bytes of each format, on one core: penstock's encoder beside the best public ones.

    penstock    rows in an arena into messages, as a worker does it; the messages are dropped
    the others  public.py, into memory

Every one is a process of its own, held to one core, that encodes batches of 65,536 rows for half a second after a pass
that does not count. They take turns, there and back; a ratio compares the CPU time of a row in two runs of the same
cycle, which does not care who else is on that core.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import machine
import public
import samples
import tables
from contenders import WrongResultError
from penstock import ConfigError, SchemaError, _core, config
from penstock.batches import BatchEncoder
from penstock.encode import Planner
from penstock.layout import ColumnarLayout, make_packer
from public import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

ARENA_BYTES = 256 << 20


def ours(settings: dict[str, Any], batches: Sequence[pa.RecordBatch]) -> Callable[[int], int]:
    """Encode as a worker does."""
    try:
        plan = Planner(config.load(topic="bench", for_preview=True, **settings), 0, 1).plan(batches[0].schema)
    except (ConfigError, SchemaError) as error:
        raise UnavailableError(str(error)) from None
    memory = mmap.mmap(-1, ARENA_BYTES)
    arena = _core.address_of(memoryview(memory))
    places = []
    position = 0
    for number, batch in enumerate(batches):
        piece = plan.read(batch)
        dictionaries = []
        piece.set_dictionary_ids([number + 1] * piece.dictionaries)
        for at in range(piece.dictionaries):
            piece.copy_dictionary(at, arena, position)
            dictionaries.append((position, at + 1))
            position = _aligned(position + piece.measure_dictionary(at))
        block = position
        position = _aligned(position + piece.copy(0, piece.rows, arena, position, dictionaries))
        selection = plan.selector.select(piece, 0, piece.rows, "both", 0)
        entries, repeats, groups = selection.copy(arena, position)
        places.append((block, 0, entries, repeats, groups, sum(share[2] for share in selection.shares()), 0))
        position = _aligned(position + selection.nbytes)
    layout = plan.layout
    if isinstance(layout.format, ColumnarLayout):
        encoder = BatchEncoder(layout, layout.format)
        return lambda at: sum(
            len(message[2] or b"") for message in encoder.messages(_lasting(memory, arena), places[at])
        )
    packer = make_packer(layout)
    return lambda at: packer.measure(_lasting(memory, arena), places[at])[2]


def _lasting(memory: mmap.mmap, arena: int) -> int:
    """Return the address of memory, which whoever calls this keeps from being let go."""
    if memory.closed:
        raise WrongResultError("the arena is gone")
    return arena


def _aligned(position: int) -> int:
    return (position + 63) & ~63


def _json(update_format: str) -> dict[str, Any]:
    return {"format": {"name": "json", "config": {"update_format": update_format}}}


def _plugin(name: str) -> dict[str, Any]:
    return {"format": {"name": "python", "config": {"encoder": f"encode_{name}:encode"}}}


CSV = {"format": "csv", "csv_weight": False}
AVRO = {"format": {"name": "avro", "config": {"skip_schema_id": True}}}
PROTOBUF = {"format": {"name": "protobuf", "config": {"skip_schema_id": True}}}
LARGE_MESSAGES = {"kafka_options": {"message.max.bytes": 64 << 20}}  # 65,536 rows in one, as the others write them
# by format, the first is the one that the others are compared with
ENCODERS: dict[str, dict[str, Callable[[Sequence[pa.RecordBatch]], Callable[[int], int]]]] = {
    "json": {
        "penstock": partial(ours, _json("raw")),
        "penstock, insert_delete": partial(ours, _json("insert_delete")),
        "polars json_encode": public.polars_rows,
        "polars write_ndjson": public.polars_ndjson,
        "DuckDB to_json": public.duckdb_rows,
        "DuckDB COPY": public.duckdb_copy("FORMAT json"),
        "arrow-rs": public.arrow_rs("write_ndjson"),
        "orjson": public.orjson_rows,
        "penstock, plug-in with orjson": partial(ours, _plugin("orjson")),
        "penstock, plug-in with msgspec": partial(ours, _plugin("msgspec")),
    },
    "csv": {
        "penstock": partial(ours, CSV),
        "pyarrow": public.pyarrow_csv,
        "polars": public.polars_csv,
        "DuckDB COPY": public.duckdb_copy("FORMAT csv, HEADER false"),
        "arrow-rs": public.arrow_rs("write_csv", header=False),
    },
    "avro": {
        "penstock": partial(ours, AVRO),
        "fastavro": public.fastavro_rows,
        "polars, one container": public.polars_avro,
    },
    "protobuf": {"penstock": partial(ours, PROTOBUF), "google.protobuf": public.google_protobuf},
    "parquet": {
        "penstock": partial(ours, {"format": "parquet", **LARGE_MESSAGES}),
        "penstock, files below 1 MB": partial(ours, {"format": "parquet"}),
        "pyarrow": public.pyarrow_parquet,
    },
    "arrow": {
        "penstock": partial(ours, {"format": "arrow", **LARGE_MESSAGES}),
        "penstock, streams below 1 MB": partial(ours, {"format": "arrow"}),
        "pyarrow": public.pyarrow_ipc,
    },
}
WHOLE: tuple[samples.Sample, ...] = ("orders", "lineitem")
TEXTS: tuple[samples.Sample, ...] = ("plain", "dictionary")
ROWWISE = ("json", "csv", "avro", "protobuf")  # whose encoder meets each value of a dictionary once for each row


@dataclass(frozen=True)
class Encoded:
    """One run: rows and bytes of whole batches in that many seconds; `why` where there was none."""

    form: str
    sample: str
    encoder: str
    cycle: int
    rows: int = 0
    bytes: int = 0
    seconds: float = 0
    cpu_seconds: float = 0
    why: str = ""


def child(form: str, sample: samples.Sample, encoder: str, seconds: float) -> dict[str, Any]:
    """Run one encoder in this process for about `seconds`, on the last core that we may use."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    batches = samples.batches(sample)
    try:
        encode = ENCODERS[form][encoder](batches)
        sizes = [encode(at) for at in range(len(batches))]
    except UnavailableError as error:
        return {"why": str(error)}
    except Exception as error:
        if encoder.startswith("penstock"):
            raise
        return {"why": f"{type(error).__name__}: {error}".splitlines()[0][:160]}
    rows = size = at = 0
    cpu, started = _cpu(), time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        encode(at)
        rows += batches[at].num_rows
        size += sizes[at]
        at = (at + 1) % len(batches)
    return {"rows": rows, "bytes": size, "seconds": elapsed, "cpu_seconds": _cpu() - cpu}


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(repeats: int, *, quick: bool) -> list[Encoded]:
    """Run every encoder of every format once per cycle, there and back; one that cannot take part, once."""
    seconds = 0.2 if quick else 0.5
    jobs = [(form, sample, encoder) for form, encoders in ENCODERS.items() for sample in WHOLE for encoder in encoders]
    jobs += [(form, sample, "penstock") for form in ROWWISE for sample in TEXTS]
    found: list[Encoded] = []
    left_out: set[tuple[str, str, str]] = set()
    for cycle in range(repeats):
        for job in jobs if cycle % 2 == 0 else reversed(jobs):
            if job in left_out:
                continue
            one = Encoded(*job, cycle, **_own(*job, seconds))
            found.append(one)
            if one.why:
                left_out.add(job)
        print(f"  encoders, cycle {cycle + 1}/{repeats}", file=sys.stderr)
    return found


def _own(form: str, sample: str, encoder: str, seconds: float) -> dict[str, Any]:
    command = [sys.executable, __file__, form, sample, encoder, str(seconds)]
    one_thread = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "ARROW_IO_THREADS": "1"}
    environment = {**os.environ, **one_thread}
    said = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if said.returncode != 0:
        raise SystemExit(f"{' '.join(command[1:])} failed:\n{said.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(said.stdout)
    return answer


Runs = dict[int, Encoded]


def _runs(found: Sequence[Encoded]) -> dict[tuple[str, str, str], Runs]:
    runs: dict[tuple[str, str, str], Runs] = defaultdict(dict)
    for one in found:
        if not one.why:
            runs[one.form, one.sample, one.encoder][one.cycle] = one
    return runs


def _spread(runs: Runs, of: Callable[[Encoded], float]) -> tables.Spread | None:
    return tables.Spread.of([of(run) for run in runs.values()])


def _ratio(mine: Runs, theirs: Runs) -> tables.Spread | None:
    """How many times the CPU time of `mine` the other takes for a row."""
    return tables.Spread.of([_cost(theirs[cycle]) / _cost(mine[cycle]) for cycle in mine if cycle in theirs])


def _cost(run: Encoded) -> float:
    return run.cpu_seconds / run.rows * 1e9


def table(found: Sequence[Encoded]) -> tuple[tuple[str, ...], list[list[str]]]:
    """Header and rows: each encoder, and how many times as fast penstock is."""
    header = ("format", "rows", "encoder", "rows/s", "MB/s", "CPU ns per row", "penstock ÷ it")
    runs = _runs(found)
    rows = []
    for (form, sample, encoder), mine in sorted(runs.items(), key=lambda item: _place(item[0])):
        if sample in TEXTS:
            continue
        known = all(run.bytes for run in mine.values())
        cells = [
            _spread(mine, lambda run: run.rows / run.seconds),
            _spread(mine, lambda run: run.bytes / run.seconds / 1e6) if known else None,
            _spread(mine, _cost),
            None if encoder == "penstock" else _ratio(runs.get((form, sample, "penstock"), {}), mine),
        ]
        rows.append([form, sample, encoder, *map(tables.cell, cells)])
    return header, rows


def _place(key: tuple[str, str, str]) -> tuple[int, int, int]:
    form, sample, encoder = key
    return list(ENCODERS).index(form), [*WHOLE, *TEXTS].index(sample), list(ENCODERS[form]).index(encoder)  # type: ignore[arg-type]


def dictionary_table(found: Sequence[Encoded]) -> tuple[tuple[str, ...], list[list[str]]]:
    """Header and rows: columns of 16-byte strings, plain and dictionary-encoded."""
    runs = _runs(found)
    rows = []
    for form in ROWWISE:
        plain, encoded = (runs.get((form, sample, "penstock"), {}) for sample in TEXTS)
        if plain and encoded:
            rates = [_spread(one, lambda run: run.rows / run.seconds) for one in (plain, encoded)]
            rows.append([form, *map(tables.cell, [*rates, _ratio(encoded, plain)])])
    return ("format", "plain, rows/s", "dictionary, rows/s", "dictionary ÷ plain"), rows


def notes(found: Sequence[Encoded]) -> list[str]:
    """Say who could not take part, one sentence each."""
    return [f"{one.form}, {one.sample}: {one.encoder} left out: {one.why}" for one in found if one.why]


def main() -> None:
    """Run one encoder; print one JSON object."""
    form, sample, encoder, seconds = sys.argv[1:]
    sys.path.insert(0, str(machine.ROOT / "examples"))
    print(json.dumps(child(form, sample, encoder, float(seconds))))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
