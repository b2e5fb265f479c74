#!/usr/bin/env python3
"""The fault matrix: real faults at random moments, and what is in Kafka afterwards. Tables for README.md.

tools/faults.py                      run every line and print the tables
tools/faults.py --line cut --rounds 20 --seed 7
tools/faults.py --write              keep the results and put the tables between the markers in README.md
tools/faults.py --list               the lines by name

Needs what tools/broker.py needs (Java 17, Maven the first time), Go the first time (toxiproxy), libfaketime for the
lines of clocks, and root for the line of the full disk. Exit status 1 when a line contradicts what is promised.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys

import readme_table
from fault_matrix import proxy, table
from fault_matrix.matrix import ALL_LINES, run
from fault_matrix.round import AT_LEAST_ONCE, EXACTLY_ONCE
from kafka_jars import BrokerError, missing


def main() -> int:
    """Run what was asked for; return the exit status."""
    parser = argparse.ArgumentParser(description="real faults at random moments, and what is in Kafka afterwards")
    names = [line.name for line in ALL_LINES]
    parser.add_argument("--line", action="append", choices=names, metavar="NAME", help="only this one; may be repeated")
    parser.add_argument("--delivery", choices=(AT_LEAST_ONCE, EXACTLY_ONCE), help="only in this mode")
    parser.add_argument("--rounds", type=int, default=5, help="random moments for each line (default 5)")
    parser.add_argument("--seed", type=int, help="of the first round; the others count up from it")
    parser.add_argument("--list", action="store_true", help="print the lines by name")
    parser.add_argument("--write", action="store_true", help="keep the results, and put the tables into README.md")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{line.name:40} {line.what}" for line in ALL_LINES))
        return 0
    why = missing() or proxy.missing()
    if why is not None:
        print(f"faults.py: {why}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything that was started ends
    seed = options.seed if options.seed is not None else random.randrange(1_000_000)  # noqa: S311 - to be had again
    print(f"seed {seed}", file=sys.stderr)
    lines = [line for line in ALL_LINES if options.line is None or line.name in options.line]
    results = []
    try:
        for result in run(
            lines, [options.delivery] if options.delivery else [AT_LEAST_ONCE, EXACTLY_ONCE], options.rounds, seed
        ):
            results.append(result)
            if options.write:
                table.keep([result])
    except KeyboardInterrupt:
        return 130
    except BrokerError as error:
        print(f"faults.py: {error}", file=sys.stderr)
        return 1
    if options.write:
        before, _, after = readme_table.split("faults")
        readme_table.README.write_text(before + table.markdown(table.load()) + after, encoding="utf-8")
    print(table.markdown({"machine": table.machine(), "results": results}), end="")
    return int(any(result.wrong for result in results))


if __name__ == "__main__":
    sys.exit(main())
