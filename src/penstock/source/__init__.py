"""source: anything Arrow-shaped, or any file, becomes an iterator of Batch. Knows nothing of Kafka.

    anything.py  open_source: Arrow objects, iterables of them, paths
    places.py    paths, globs, directories and URLs
    files.py     several files as one source, checked against each other
    position.py  where in them a row is, and whether they are still what they were
    decode.py    one file: Parquet, Arrow IPC, CSV, JSON lines
    batch.py     batches, pieces of bounded size, and when two schemas are the same

Imports pyarrow (0.35 s): import it only where a source is opened.
"""

from penstock.source.anything import Source, open_source
from penstock.source.batch import ROWS_PER_PIECE, Batch, check_same_columns

__all__ = ["ROWS_PER_PIECE", "Batch", "Source", "check_same_columns", "open_source"]
