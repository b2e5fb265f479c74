"""Many rounds: each line in each mode of delivery, at as many random moments as asked for."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fault_matrix.cluster import Cluster
from fault_matrix.lines import LINES
from fault_matrix.produce_errors import PRODUCE_ERRORS, MockWorld
from fault_matrix.round import Missed, Outcome, Round

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fault_matrix.round import Line, World

ALL_LINES: Final = LINES + PRODUCE_ERRORS
_TRIES: Final = 4  # for a round whose fault was never to be seen


@dataclass
class Result:
    """What a line came to in one mode of delivery; why_not: why it was not run."""

    name: str
    what: str
    delivery: str
    rounds: list[Outcome] = field(default_factory=list)
    why_not: str = ""

    @property
    def wrong(self) -> list[str]:
        """All that contradicts the promise."""
        return [f"seed {one.seed}: {what}" for one in self.rounds for what in one.wrong]


def run(lines: Sequence[Line], deliveries: Sequence[str], rounds: int, seed: int) -> Iterator[Result]:
    """Run lines; a result is given as soon as its rounds are through."""
    with contextlib.ExitStack() as ends:
        worlds: dict[str, World] = {}
        for line in lines:
            if line.world not in worlds:
                worlds[line.world] = MockWorld() if line.world == "mock" else ends.enter_context(Cluster())
            for delivery in line.deliveries:
                if delivery in deliveries:
                    yield _run_line(line, delivery, worlds[line.world], rounds, seed)


def _run_line(line: Line, delivery: str, world: World, rounds: int, seed: int) -> Result:
    result = Result(line.name, line.what, delivery, why_not=line.why_not(world))
    if result.why_not:
        return result
    missed = 0
    while len(result.rounds) < rounds:
        number = seed + len(result.rounds) + rounds * missed  # another moment, should this one never come
        try:
            outcome = Round(line, delivery, number, world).play()
        except Missed as why:
            missed += 1
            print(f"{line.name} {delivery} seed {number}: missed, {why}", file=sys.stderr, flush=True)
            if missed > _TRIES:
                result.why_not = f"the moment was not seen: {why}"
                return result
            continue
        except Exception as error:  # noqa: BLE001 - one round must not end all others
            outcome = Outcome(number, "no verdict", 0, 0, 0, None, [f"{type(error).__name__}: {error}"])
        result.rounds.append(outcome)
        print(f"{line.name} {delivery} seed {number}: {_told(outcome)}", file=sys.stderr, flush=True)
    return result


def _told(outcome: Outcome) -> str:
    recovered = "never" if outcome.recovered is None else f"{outcome.recovered:.2f} s"
    counts = f"missing {outcome.missing}, repeats {outcome.repeats}, out of order {outcome.disordered}"
    wrong = "".join(f"\n    WRONG: {what}" for what in outcome.wrong)
    return f"{outcome.end}, {counts}, recovered {recovered}{wrong}"
