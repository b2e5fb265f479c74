"""A table of README.md that a tool makes: printed, or put between its markers `<!-- NAME -->`, `<!-- /NAME -->`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

README: Final = Path(__file__).parent.parent / "README.md"


def split(name: str) -> tuple[str, str, str]:
    """Return what stands before, between and behind the markers, they themselves with what is outside."""
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, _, rest = README.read_text(encoding="utf-8").partition(start)
    between, _, after = rest.partition(end)
    return before + start, between, end + after


def main(name: str, table: str) -> None:
    """Print the table, or with --write put it into README.md."""
    if sys.argv[1:] != ["--write"]:
        print(table, end="")
        return
    before, _, after = split(name)
    README.write_text(before + table + after, encoding="utf-8")
