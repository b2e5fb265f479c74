"""A program that writes to `orders` and says where it is; the tests end it there.

    caller.py BROKERS WORKERS ROWS_PER_BATCH MEMORY_BYTES STAGE

stdout: one word per stage: imported, opened, writing (eight times), written, flushing, flushed, closed. Where the
batches do not fit into memory it stands inside write(), and the last word is `writing`. At STAGE it stays where it is.
"""

import sys
import time

import pyarrow as pa

import penstock

brokers, workers, rows, memory = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])


def say(stage: str) -> None:
    sys.stdout.write(stage + "\n")
    sys.stdout.flush()
    if stage == sys.argv[5]:
        time.sleep(60)


say("imported")
batch = pa.record_batch({"id": pa.array(range(rows), pa.int64()), "text": pa.array(["some text"] * rows)})
options = {"compression.type": "none"}
with penstock.open(
    topic="orders",
    bootstrap_servers=brokers,
    schema=batch.schema,
    workers=workers,
    memory_bytes=memory,
    kafka_options=options,
) as writer:
    say("opened")
    for _ in range(8):
        say("writing")
        writer.write(batch)
    say("written")
    writer.write(batch)
    say("flushing")
    writer.flush()
    say("flushed")
say("closed")
