"""The README's table of types is what the formats write."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_types_are_what_is_written():
    spec = importlib.util.spec_from_file_location("format_table", ROOT / "tools" / "format_table.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    between = tool.README.read_text(encoding="utf-8").partition(tool.START)[2].partition(tool.END)[0]
    assert between == tool.table(), "the README is old: run tools/format_table.py --write"
