"""A job as a program of its own, so that it can be killed; and its data, which are the same in every life.

    job_program.py '{"data": {"shape": "keyed", "rows": 30000}, "settings": {…}, "die": ["Commit", 3, false]}'

data: what batches() takes, paths of files, or with "every": n a stream, whose position is told after n batches.

stdout: the receipt, or the error's class, sentence and receipt, as one line of JSON. `die` is what deaths.strike takes:
the kind of message, the how manieth, and whether behind it.
"""

from __future__ import annotations

import json
import random
import sys
from typing import TYPE_CHECKING, Any

import pyarrow as pa

import penstock
from deaths import kill_me, strike

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

KEYS = 101


def table(shape: str, rows: int, topics: Sequence[str] = ()) -> pa.Table:
    """Rows whose ids count up; keys repeat, and what else a shape needs, by a seed of its own."""
    rng = random.Random(rows)
    keys = [rng.randrange(KEYS) for _ in range(rows)]
    columns: dict[str, Any] = {"id": pa.array(range(rows), pa.int64()), "key": pa.array(keys, pa.int64())}
    if shape == "ops":
        columns["op"] = [rng.choice(["I", "U", "D", "+I", "-D"]) for _ in keys]
    elif shape == "weights":
        columns["weight"] = pa.array([rng.choice([1, 1, 1, 2, -1, -2, 0]) for _ in keys], pa.int64())
    elif shape == "index":  # each key's row is inserted, and deleted before another takes its place
        living: dict[int, int] = {}
        ids, weights = [], []
        for row, key in enumerate(keys):
            weights.append(-1 if key in living else 1)
            ids.append(living.pop(key) if key in living else living.setdefault(key, row))
        columns |= {"id": pa.array(ids, pa.int64()), "weight": pa.array(weights, pa.int64())}
        columns["text"] = [f"row {id_}" for id_ in ids]
    elif shape == "topics":
        columns["to"] = rng.choices(topics, k=rows)
    elif shape == "partitions":
        columns["where"] = pa.array([key % 3 for key in keys], pa.int32())
    elif shape == "bad":
        good = pa.array([b"\xff" if row % 97 == 5 else b"good" for row in range(rows)], pa.binary())
        columns["text"] = good.view(pa.string())
    if "text" not in columns:
        columns["text"] = [f"row {row}" for row in range(rows)]
    return pa.table(columns)


def batches(
    shape: str, rows: int, *, cut: int = 1, largest: int = 3000, topics: Sequence[str] = ()
) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of uneven size; cut: another seed, another size of each."""
    rng = random.Random(cut)
    whole = table(shape, rows, topics).combine_chunks()
    (batch,) = whole.to_batches()
    start = 0
    while start < rows:
        size = rng.randint(1, largest)
        yield batch.slice(start, size)
        start += size


def run(data: Any, settings: dict[str, Any]) -> penstock.Report:
    """Write all of it, from where the job stands."""
    if isinstance(data, (str, list)):
        return penstock.write(data, **settings)
    data = dict(data)
    every = data.pop("every", None)
    if every is None:
        return penstock.write(batches(**data), **settings)
    with penstock.open(**settings) as writer:
        begin = writer.position() or 0
        for number, batch in enumerate(batches(**data), 1):
            if number > begin:
                writer.write(batch)
                if number % every == 0:
                    writer.commit(number)
        return writer.flush()


def main() -> None:
    told = json.loads(sys.argv[1])
    if told.get("die"):
        kind, at, behind = told["die"]
        strike(setattr, kind, at, kill_me, behind=behind)
    try:
        answer = json.loads(run(told["data"], told["settings"]).to_json())
    except penstock.errors.PenstockError as error:
        report = None if error.report is None else error.report.to_dict()
        answer = {"error": type(error).__name__, "message": str(error), "report": report}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
