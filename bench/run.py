"""Measure penstock beside the loop that everyone writes and beside the floor; see bench/README.md.

    python bench/run.py                      everything, about half an hour on 2 cores
    python bench/run.py --quick              the same with fewer rows and repeats: a look, not a result
    python bench/run.py --only packed,naive  contenders whose name holds one of the words; also:
                                             stages, encoders, memory, small

Prints tables, and writes them with every single run to bench/results/ as JSON, Markdown, SVG and PNG.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import chart
import data
import encoders
import machine
import memory
import stages
import tables
from contenders import BASELINE, CONTENDERS, Contender, Lab, Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RESULTS = Path(__file__).resolve().parent / "results"
HEAP = "1g"


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; `--quick` only moves the defaults."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1 million rows, 3 repeats, no memory run")
    parser.add_argument("--bootstrap-servers", help="a broker that runs already; without it one is started and stopped")
    parser.add_argument("--rows", type=int, help="rows for penstock and the floor (default 5 million)")
    parser.add_argument("--naive-rows", type=int, help="rows for the naive loops (default 500 thousand)")
    parser.add_argument("--repeats", type=int, help="cycles through all contenders (default 7)")
    parser.add_argument(
        "--workers", type=int, help="of penstock, and producers of the floor (default: as penstock does)"
    )
    parser.add_argument("--memory-bytes", type=int, help="of penstock (default: its own)")
    parser.add_argument("--only", default="", help="words, separated by commas")
    parser.add_argument("--shape", choices=data.SHAPES, default=data.HEADLINE, help="kind of prices in the whole job")
    parser.add_argument("--output", type=Path, help="name of the result files, without ending")
    options = parser.parse_args(argv)
    options.rows = options.rows or (1_000_000 if options.quick else 5_000_000)
    options.naive_rows = min(options.naive_rows or (100_000 if options.quick else 500_000), options.rows)
    options.repeats = options.repeats or (3 if options.quick else 7)
    options.words = [word for word in options.only.split(",") if word]
    return options


def wanted(options: argparse.Namespace, name: str) -> bool:
    """Whether `--only` leaves this part in."""
    return not options.words or any(word in name for word in options.words)


@contextlib.contextmanager
def broker(address: str | None) -> Iterator[tuple[str, int | None]]:
    """Yield the address given, or address and process of a broker of our own, for as long as the block lasts."""
    if address:
        yield address, None
        return
    sys.path.insert(0, str(machine.ROOT / "tools"))
    module = import_module("broker")
    with module.Broker(heap=HEAP, full_jit=True) as own:
        yield own.bootstrap_servers, own.pid


def whole_job(lab: Lab, options: argparse.Namespace, chosen: Sequence[Contender]) -> list[Run]:
    """Every contender once per cycle, there and back: what drifts meets all of them alike."""
    prepared = data.prepare(options.shape, options.rows)
    for one in chosen:
        if one.kind == "ours":
            lab.prepare_startup(one)
    warm = data.prepare(options.shape, max(options.rows // 5, 1))
    for one in chosen:  # the broker's compiler, the page cache: a run that counts is never the first
        lab.run(one, warm, min(options.naive_rows // 5 + 1, warm.rows), -1)
    runs: list[Run] = []
    for cycle in range(options.repeats):
        for one in chosen if cycle % 2 == 0 else reversed(chosen):
            run = lab.run(one, prepared, options.naive_rows, cycle)
            runs.append(run)
            print(
                f"  cycle {cycle + 1}/{options.repeats}  {one.name:18} "
                f"{tables.number(run.rows / run.seconds):>8} rows/s  "
                f"CPU {run.cpu_seconds / run.rows * 1e6:.3f} µs/row, broker {run.broker_cpu / run.rows * 1e6:.3f}  "
                f"others {run.other_cpu:.1f} s, stolen {run.stolen_cpu:.1f} s",
                file=sys.stderr,
            )
    return runs


def small_file(lab: Lab, repeats: int) -> list[float]:
    """Seconds of `penstock write` for one row, from shell to shell."""
    one = data.prepare(data.HEADLINE, 1)
    found = []
    for _ in range(repeats):
        topic = lab.create_topic()
        command = [sys.executable, "-m", "penstock", "write", str(one.parquet), "--topic", topic]
        started = time.perf_counter()
        subprocess.run([*command, "--bootstrap-servers", lab.bootstrap_servers], check=True, capture_output=True)
        found.append(time.perf_counter() - started)
        if lab.end_offsets(topic) != 1:
            raise SystemExit("penstock write of one row left no message")
        lab.delete_topic(topic)
    return found


def bars(lines: Sequence[tables.Line]) -> list[chart.Bar]:
    """Rows/s of every contender, with the ratio to the naive loop."""
    kinds = {one.name: one.kind for one in CONTENDERS}
    drawn = []
    for line in lines:
        rate = line.rows_per_second
        told = f"{tables.number(rate.median)}/s"
        if line.naive_ratio is not None and line.name != BASELINE:
            told += f"   {tables.number(line.naive_ratio.median)} x naive"
        drawn.append(chart.Bar(line.label, kinds[line.name], rate.median, rate.low, rate.high, told))
    return drawn


def measure(options: argparse.Namespace, address: str, broker_pid: int | None) -> tuple[dict[str, Any], list[str]]:
    """All parts that are wanted: what goes into the JSON file, and the sections of the Markdown file."""
    result: dict[str, Any] = {"facts": machine.facts(), "started": datetime.now(timezone.utc).isoformat()}
    result |= {"rows": options.rows, "naive_rows": options.naive_rows, "shape": options.shape}
    sections: list[str] = []

    def show(title: str, table: tuple[Sequence[str], Sequence[Sequence[str]]]) -> None:
        print(f"\n{title}\n\n{tables.text(*table)}", flush=True)
        sections.append(f"## {title}\n\n{tables.markdown(*table)}\n")

    lab = Lab(address, broker_pid, options.workers, options.memory_bytes)
    chosen = [one for one in CONTENDERS if wanted(options, one.name)]
    if chosen:
        runs = whole_job(lab, options, chosen)
        lines = tables.lines(runs)
        result["workers"] = lab.workers
        result["startup_cpu_seconds"] = lab.startup_cpu
        result["runs"] = [asdict(run) for run in runs]
        result["contenders"] = [asdict(line) for line in lines]
        show(
            f"Whole job: {options.rows:,} rows of 8 columns from Parquet into Kafka, {options.repeats} cycles, "
            f"median (range)",
            tables.contenders_table(lines),
        )
    if wanted(options, "stages"):
        found = stages.measure(lab, options.repeats, quick=options.quick)
        result["stages"] = [asdict(one) for one in found]
        show("Stages, one at a time", stages.table(found))
    if wanted(options, "encoders"):
        encoded = encoders.measure(options.repeats, quick=options.quick)
        result["encoders"] = [asdict(one) for one in encoded]
        show("Encoders of each format, one core", encoders.table(encoded))
        show("penstock: columns of 16-byte strings, dictionary-encoded", encoders.dictionary_table(encoded))
        left_out = encoders.notes(encoded)
        print("\n".join(["", *left_out]))
        sections.append("\n".join([*(f"- {note}" for note in left_out), ""]))
    if wanted(options, "small"):
        seconds = small_file(lab, options.repeats)
        result["small_file_seconds"] = seconds
        cells = [f"{value:.2f}" for value in (statistics.median(seconds), min(seconds), max(seconds))]
        show("`penstock write` of one row, shell to shell", (("", "median s", "min s", "max s"), [["write", *cells]]))
    if wanted(options, "memory") and not options.quick:
        peaks = memory.small_and_large(lab, [one for one in CONTENDERS if one.name in {"packed-lz4", "rows-lz4"}])
        result["memory"] = [asdict(one) for one in peaks]
        show("Memory: peak sum of PSS", memory.table(peaks))
    return result, sections


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write the result files."""
    options = arguments(sys.argv[1:] if argv is None else argv)
    with broker(options.bootstrap_servers) as (address, pid):
        result, sections = measure(options, address, pid)
    note = tables.sentence(result["facts"])
    print(f"\n{note}")
    path = options.output or RESULTS / datetime.now(timezone.utc).strftime("%Y-%m-%d-%H%M%S")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text("\n".join([*sections, note, ""]), encoding="utf-8")
    written = [path.with_suffix(".json"), path.with_suffix(".md")]
    lines = tables.lines(Run(**run) for run in result.get("runs", []))
    if lines:
        drawn = chart.write(path, "Rows per second, Parquet to Kafka", note, bars(lines))
        written += drawn
        if path.with_suffix(".png") not in drawn:
            print("no PNG: Pillow is not installed (dependency group `bench`)", file=sys.stderr)
    print("written:", *written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
