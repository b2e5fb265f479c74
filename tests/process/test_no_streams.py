"""A caller without standard streams, as a daemon is: its low descriptors are not taken for a worker's."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock._core import MockCluster

SCRIPT = """
import os, sys
import pyarrow, penstock
out = os.dup(1)
os.close(0)
os.close(1)
report = penstock.write(pyarrow.table({"a": [1, 2, 3]}), topic="orders", bootstrap_servers=sys.argv[1], workers=2)
os.write(out, b"%d rows" % report.rows)
"""


def test_closed_standard_streams_do_not_harm_the_workers(mock: MockCluster) -> None:
    """With 0 and 1 closed, rows are written as ever."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, mock.bootstrap_servers], capture_output=True, timeout=60, check=False
    )

    assert done.stdout == b"3 rows", done.stderr.decode()
