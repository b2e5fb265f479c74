"""cli: the command line, `penstock` and `python -m penstock`.

commands.py  one function per command, exit codes, signals
flags.py     argparse over the table of settings
output.py    what goes to standard output and standard error
progress.py  the bar, or a line now and then
demo.py      a million rows into a mock cluster, some read back
"""

from penstock.cli.commands import main

__all__ = ["main"]
