"""Runs into figures, figures into tables: text for a terminal, Markdown for a README."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contenders import BASELINE, CONTENDERS, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

COLUMNS = ("", "rows/s", "messages/s", "MB/s", "CPU s per M rows", "peak MB", "÷ naive json", "÷ floor")


@dataclass(frozen=True)
class Spread:
    """Median and range over repeats."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """None when there is nothing to take a median of."""
        return cls(statistics.median(values), min(values), max(values), len(values)) if values else None


@dataclass(frozen=True)
class Line:
    """One contender's figures. The ratios compare rows/s of the same cycle, so that both saw the same machine."""

    name: str
    label: str
    rows_per_second: Spread
    messages_per_second: Spread
    megabytes_per_second: Spread
    cpu_seconds_per_million_rows: Spread
    peak_megabytes: Spread
    naive_ratio: Spread | None
    floor_ratio: Spread | None


def _rate(run: Run) -> float:
    return run.rows / run.seconds


def _spread(runs: Sequence[Run], of: Callable[[Run], float]) -> Spread:
    found = Spread.of([of(run) for run in runs])
    assert found is not None  # noqa: S101 - a line is made only of runs
    return found


def lines(runs: Iterable[Run]) -> list[Line]:
    """One line for each contender that ran, in the order of CONTENDERS."""
    by_name: dict[str, dict[int, Run]] = defaultdict(dict)
    for run in runs:
        by_name[run.contender][run.cycle] = run

    def ratio(name: str, other: str) -> Spread | None:
        mine, theirs = by_name[name], by_name.get(other, {})
        return Spread.of([_rate(mine[cycle]) / _rate(theirs[cycle]) for cycle in mine if cycle in theirs])

    return [
        Line(
            name=one.name,
            label=one.label,
            rows_per_second=_spread(mine, _rate),
            messages_per_second=_spread(mine, lambda run: run.messages / run.seconds),
            megabytes_per_second=_spread(mine, lambda run: run.bytes / run.seconds / 1e6),
            cpu_seconds_per_million_rows=_spread(mine, lambda run: run.cpu_seconds / run.rows * 1e6),
            peak_megabytes=_spread(mine, lambda run: run.peak_memory_bytes / 1e6),
            naive_ratio=ratio(one.name, BASELINE),
            floor_ratio=ratio(one.name, one.floor),
        )
        for one in CONTENDERS
        if (mine := list(by_name.get(one.name, {}).values()))
    ]


def number(value: float) -> str:
    """Three figures: 2.31 M, 231 k, 12.3, 0.58."""
    for size, unit in ((1e6, " M"), (1e4, " k")):
        if value >= size:
            return f"{number(value / size * (1 if size == 1e6 else 10))}{unit}"  # noqa: PLR2004 - mega against kilo
    if value >= 100:  # noqa: PLR2004 - three figures
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"  # noqa: PLR2004


def cell(spread: Spread | None) -> str:
    """`2.31 M (2.20-2.44)`; empty where there is nothing to compare with."""
    if spread is None:
        return ""
    if spread.n == 1:
        return number(spread.median)
    return f"{number(spread.median)} ({number(spread.low)}-{number(spread.high)})".replace(" k-", "-").replace(
        " M-", "-"
    )


def _cells(line: Line) -> list[str]:
    return [
        line.label,
        cell(line.rows_per_second),
        cell(line.messages_per_second),
        cell(line.megabytes_per_second),
        cell(line.cpu_seconds_per_million_rows),
        cell(line.peak_megabytes),
        cell(line.naive_ratio),
        cell(line.floor_ratio),
    ]


def text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns padded to their widest cell; the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        return "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])

    return "\n".join([line(header), "  ".join("-" * width for width in widths), *map(line, rows)])


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the same as a Markdown table."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows))


def contenders_table(found: Sequence[Line]) -> tuple[tuple[str, ...], list[list[str]]]:
    """Header and rows of the main table."""
    return COLUMNS, [_cells(line) for line in found]


def sentence(facts: dict[str, Any]) -> str:
    """Name the machine in one line, to stand under every table."""
    packages = facts["packages"]
    return (
        f"{facts['cores']} cores ({facts['cpu']}), shared with the broker; {facts['memory_gib']} GiB; "
        f"Linux {facts['kernel']}; Python {facts['python']}; confluent-kafka {packages['confluent-kafka']}; "
        f"pyarrow {packages['pyarrow']}; penstock {packages['penstock']}, commit {facts['commit'][:10] or 'none'}"
    )
