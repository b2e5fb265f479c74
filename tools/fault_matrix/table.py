"""What the matrix came to: kept as JSON beside this file, shown as Markdown in the README."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from fault_matrix.cluster import BROKERS, HEAP, SESSION_SECS
from fault_matrix.matrix import ALL_LINES, Result
from fault_matrix.round import AT_LEAST_ONCE, Outcome
from kafka_jars import KAFKA

if TYPE_CHECKING:
    from collections.abc import Sequence

FILE: Final = Path(__file__).with_name("results.json")
_HEAD: Final = (
    "| fault | delivery | rounds | acknowledged rows missing | repeats | order per key | recovered after | end |"
)
_MODES: Final = {"at_least_once": "at least once", "exactly_once": "exactly once"}


def load() -> dict[str, Any]:
    """Return what was kept: {"machine": …, "results": [Result]}."""
    if not FILE.exists():
        return {"machine": "", "results": []}
    kept: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    kept["results"] = [
        Result(**{**one, "rounds": [Outcome(**outcome) for outcome in one["rounds"]]}) for one in kept["results"]
    ]
    return kept


def keep(results: Sequence[Result]) -> None:
    """Put results in the place of earlier ones of the same line and delivery."""
    found = {(one.name, one.delivery): one for one in [*load()["results"], *results]}
    order = {(line.name, delivery): None for line in ALL_LINES for delivery in line.deliveries}
    kept = [asdict(found[key]) for key in order if key in found]
    lines = ",\n".join(json.dumps(one, ensure_ascii=False) for one in kept)
    text = f'{{"machine": {json.dumps(machine(), ensure_ascii=False)}, "results": [\n{lines}\n]}}\n'
    FILE.write_text(text, encoding="utf-8")


def machine() -> str:
    """Say on what this runs, in one sentence."""
    from penstock import _core  # noqa: PLC0415 - once librdkafka is loaded
    from penstock.config.kafka.options import load_librdkafka  # noqa: PLC0415

    load_librdkafka()
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    cpu = names[0].partition(":")[2].strip() if names else platform.machine()
    return (
        f"{platform.system()} on {cpu}, {len(os.sched_getaffinity(0))} cores for everything, Python "
        f"{platform.python_version()}, librdkafka {_core.librdkafka_version()}, Apache Kafka {KAFKA}: "
        f"{BROKERS} brokers (heap {HEAP}, broker.session.timeout.ms {SESSION_SECS * 1000}) and a controller."
    )


def markdown(kept: dict[str, Any]) -> str:
    """Return both tables, with what they were measured on."""
    results: list[Result] = kept["results"]
    faults = [one for one in results if not one.name.startswith("error-")]
    errors = [one for one in results if one.name.startswith("error-")]
    lines = [kept["machine"], "", _HEAD, "| --- | --- | ---: | ---: | --- | --- | --- | --- |", *map(_row, faults)]
    if errors:
        lines += [
            "",
            "A produce request answered with an error code (librdkafka's mock cluster, at least once):",
            "",
            "| code | rounds | acknowledged rows missing | order per key | end |",
            "| --- | ---: | ---: | --- | --- |",
        ]
        for one in errors:
            lines.append(f"| {one.what} | {len(one.rounds)} | {_missing(one)} | {_order(one)} | {_end(one)} |")
    return "".join(f"{line}\n" for line in lines)


def _row(one: Result) -> str:
    mode = _MODES[one.delivery]
    if one.why_not:
        return f"| {one.what} | {mode} | 0 | | | | | not run: {one.why_not} |"
    if all(outcome.end == "no verdict" for outcome in one.rounds):
        return f"| {one.what} | {mode} | {len(one.rounds)} | | | | | **no verdict** |"
    cells = (one.what, mode, len(one.rounds), _missing(one), _repeats(one), _order(one), _recovered(one), _end(one))
    return f"| {' | '.join(map(str, cells))} |"


def _missing(one: Result) -> str:
    if _is_gone(one):
        return "gone with the topic"
    return str(sum(outcome.missing for outcome in one.rounds))


def _repeats(one: Result) -> str:
    if _is_gone(one):
        return ""
    most = max(outcome.repeats for outcome in one.rounds)
    return "0" if most == 0 else f"up to {most:,}" + (" (they may)" if one.delivery == AT_LEAST_ONCE else "")


def _order(one: Result) -> str:
    if _is_gone(one):
        return ""
    wrong = sum(outcome.disordered for outcome in one.rounds)
    return "kept" if wrong == 0 else f"**{wrong:,} rows late**"


def _recovered(one: Result) -> str:
    times = [outcome.recovered for outcome in one.rounds if outcome.recovered is not None]
    return f"{median(times):.1f} s, at most {max(times):.1f} s" if times else ""


def _end(one: Result) -> str:
    ends = Counter(_named(outcome) for outcome in one.rounds)
    told = ", ".join(end if len(ends) == 1 else f"{count} {end}" for end, count in ends.most_common())
    return f"**{told}**" if one.wrong else told


def _named(outcome: Outcome) -> str:
    return f"{outcome.end} ({outcome.code})" if outcome.code else outcome.end


def _is_gone(one: Result) -> bool:
    return any(line.gone for line in ALL_LINES if line.name == one.name)
