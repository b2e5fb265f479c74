"""cli: the command line, `penstock` and `python -m penstock`.

commands.py  one function per command, exit codes, signals
jobs.py      the commands jobs and transactions
flags.py     argparse over the table of settings
output.py    what goes to standard output and standard error
progress.py  the bar, or a line now and then
demo.py      a million rows into a mock cluster, some read back
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; commands.main does it, loaded here so that Ctrl-C meanwhile is quiet.

    argv  the words after `penstock`; None takes them from the process
    """
    try:
        from penstock.cli import commands  # noqa: PLC0415 - 30 ms in which nobody would catch a Ctrl-C
    except KeyboardInterrupt:
        return 130
    return commands.main(argv)
