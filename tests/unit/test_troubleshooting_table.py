"""The README's table of troubles is what the tests of broken configurations find."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_table_is_the_data_of_the_tests():
    spec = importlib.util.spec_from_file_location("troubleshooting_table", ROOT / "tools" / "troubleshooting_table.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    between = tool.README.read_text(encoding="utf-8").partition(tool.START)[2].partition(tool.END)[0]
    assert between == tool.table(), "the README is old: run tools/troubleshooting_table.py --write"
