"""The program that a fault befalls: it writes rows to a topic at a steady pace and says how it stands.

    writer.py ORDER     ORDER: JSON of Order's fields

stdout, a line of JSON each: {"opened": …}, {"taken": rows, "acked": rows} whenever they change, {"flushed": rows},
{"resumed": rows}, and at the end {"end": "delivered" or the error's class, "report": …, "message": …, "code": …}.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":  # run as a program, its own folder is what Python looks in
    sys.path[0] = str(Path(__file__).parent.parent)

import penstock
from fault_matrix.rows import SCHEMA, batch

if TYPE_CHECKING:
    from penstock.writer import Writer


@dataclass(frozen=True)
class Order:
    """What to write.

    secs         over how long the rows are spread
    flush_every  rows after which the writer waits for all acknowledgements; 0: only at the end
    rest_secs    how long it does nothing then
    commit_every rows after which a job is given its position, which it is asked for at the start; 0: it is no job
    """

    topic: str
    bootstrap: str
    rows: int
    batch_rows: int
    secs: float
    flush_every: int = 0
    rest_secs: float = 0.0
    commit_every: int = 0
    settings: dict[str, Any] = field(default_factory=dict)


def say(**what: object) -> None:
    """Print one line; whole, whichever thread says it."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def watch(writer: Writer, done: threading.Event) -> None:
    """Say how the writer stands whenever that changes. Counters are only read: it stays the main thread's."""
    told, last = None, False
    while not last:
        last = done.wait(0.005)
        now = writer.statistics()
        if (now.rows_taken, now.rows_acked) != told:
            told = (now.rows_taken, now.rows_acked)
            say(taken=told[0], acked=told[1])


def write(order: Order, writer: Writer) -> None:
    """Write all rows, from where the job stands."""
    first = 0
    if order.commit_every:
        position = writer.position()
        first = 0 if position is None else int(position)
        say(resumed=first)
    began = time.monotonic() - order.secs * first / order.rows
    flushed = first
    while first < order.rows:
        rows = min(order.batch_rows, order.rows - first)
        writer.write(batch(first, rows))
        first += rows
        if order.commit_every and first % order.commit_every == 0:
            writer.commit(first)
        if order.flush_every and first - flushed >= order.flush_every:
            writer.flush()
            flushed = first
            say(flushed=first)
            time.sleep(order.rest_secs)
        time.sleep(max(0.0, began + order.secs * first / order.rows - time.monotonic()))


def main() -> None:
    """Do as ordered; the last line says how it ended."""
    order = Order(**json.loads(sys.argv[1]))
    done = threading.Event()
    watching = None
    try:
        settings = {"schema": SCHEMA, "key": ["key"], "workers": 2, "audit": True, **order.settings}
        with penstock.open(topic=order.topic, bootstrap_servers=order.bootstrap, **settings) as writer:
            say(opened=writer.statistics().partitions)
            watching = threading.Thread(target=watch, args=(writer, done))
            watching.start()
            write(order, writer)
            report = writer.flush()
        ended: dict[str, object] = {"end": "delivered", "report": report.to_dict()}
    except penstock.PenstockError as error:
        counts = None if error.report is None else error.report.to_dict()
        ended = {"end": type(error).__name__, "message": str(error), "code": error.code, "report": counts}
    except Exception:  # noqa: BLE001 - a bug of ours, for the table
        ended = {"end": "a bug", "message": traceback.format_exc(), "code": None, "report": None}
    done.set()
    if watching is not None:
        watching.join()
    say(**ended)


if __name__ == "__main__":
    main()
