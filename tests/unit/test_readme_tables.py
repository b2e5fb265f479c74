"""The README's tables are what their tools make: of what formats write, of what broken configurations are told."""

import importlib
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.mark.parametrize(("name", "tool"), [("types", "format_table"), ("troubleshooting", "troubleshooting_table")])
def test_a_table_is_up_to_date(name, tool, monkeypatch):
    """What stands between the markers is what the tool prints."""
    monkeypatch.setattr(sys, "path", [str(TOOLS), *sys.path])
    _, between, _ = importlib.import_module("readme_table").split(name)
    assert between == importlib.import_module(tool).table(), f"the README is old: run tools/{tool}.py --write"


def test_the_table_of_faults_is_what_was_kept(monkeypatch):
    """What stands between the markers is made of the results that tools/faults.py --write kept."""
    monkeypatch.setattr(sys, "path", [str(TOOLS), *sys.path])
    _, between, _ = importlib.import_module("readme_table").split("faults")
    table = importlib.import_module("fault_matrix.table")
    assert between == table.markdown(table.load()), "the README is old: run tools/faults.py --write"
