#!/usr/bin/env python3
"""What is said about broken configurations, from the data of their tests: a Markdown table for README.md.

tools/troubleshooting_table.py            print the table
tools/troubleshooting_table.py --write    put it between the markers in README.md
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
README: Final = ROOT / "README.md"
DATA: Final = ROOT / "tests" / "broken_configurations.py"
START: Final = "<!-- troubleshooting -->\n"
END: Final = "<!-- /troubleshooting -->"


def table() -> str:
    """Return the table."""
    lines = ["| what is wrong | what is said | exit code |", "| --- | --- | --- |"]
    for broken in runpy.run_path(str(DATA))["BROKEN"]:
        said = broken.example.replace("|", "\\|").replace("<", "&lt;")
        lines.append(f"| {broken.what} | {said} | {broken.exit_code} |")
    return "".join(f"{line}\n" for line in lines)


def main() -> None:
    """Print the table or write it."""
    made = table()
    if sys.argv[1:] != ["--write"]:
        print(made, end="")
        return
    before, _, rest = README.read_text(encoding="utf-8").partition(START)
    _, _, after = rest.partition(END)
    README.write_text(before + START + made + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
