#!/usr/bin/env python3
"""What is said about broken configurations, from the data of their tests: a Markdown table for README.md.

tools/troubleshooting_table.py            print the table
tools/troubleshooting_table.py --write    put it between the markers in README.md
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Final

import readme_table

DATA: Final = Path(__file__).parent.parent / "tests" / "broken_configurations.py"


def table() -> str:
    """Return the table."""
    lines = ["| what is wrong | what is said | exit code |", "| --- | --- | --- |"]
    for broken in runpy.run_path(str(DATA))["BROKEN"]:
        said = broken.example.replace("|", "\\|").replace("<", "&lt;")
        lines.append(f"| {broken.what} | {said} | {broken.exit_code} |")
    return "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    readme_table.main("troubleshooting", table())
