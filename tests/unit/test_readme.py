"""What the documents say, held against the code: the example runs, the tables and paths are true."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import penstock
from penstock import config
from penstock.cli import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "src" / "penstock"
DOCUMENTS = {  # and where, beside the root, a relative path in each may start from
    "README.md": [],
    "DIFFERENCES.md": [],
    "src/penstock/DESIGN.md": [ROOT / "src" / "core", PACKAGE, *(PACKAGE / d for d in ("cli", "config", "source"))],
    "bench/README.md": [ROOT / "bench"],
    "tests/README.md": [ROOT / "tests"],
}
# An inline `a/b.c` or `a/`, or a bare file name of ours; not options, URLs, globs, absolute paths or words with a dot.
PATH = re.compile(r"(?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:py|md|hpp|cpp|pyx|pxd|toml)")


def block(language):
    found = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return found[0]


def test_the_python_example_runs(mock, tmp_path, monkeypatch, capsys):
    """As printed, but for the broker's address, and on a file of a thousand rows."""
    pq.write_table(pa.table({"id": range(1000), "price": [0.5] * 1000}), tmp_path / "orders.parquet")
    monkeypatch.chdir(tmp_path)
    code = block("python")
    assert "localhost:9092" in code
    names = {}
    exec(compile(code.replace("localhost:9092", mock.bootstrap_servers), "README.md", "exec"), names)  # noqa: S102 - the point
    assert isinstance(names["report"], penstock.Report)
    assert names["report"].rows == names["report"].messages == 1000
    shown = capsys.readouterr().out.splitlines()
    said = block("text").splitlines()
    assert shown[0].startswith("orders: 1,000 rows acknowledged in 1,000 messages, ")
    wordings = [[re.sub(r"[\d,.]+", "0", " ".join(line.split())) for line in lines[4:]] for lines in (shown, said)]
    assert wordings[0] == wordings[1]  # the same table; times and sizes of the lines before it differ


def test_the_first_screen_stays_small():
    """Eight lines of Python, and the same command line that the shell example shows."""
    assert len([line for line in block("python").splitlines() if line.strip()]) == 8
    assert block("console").startswith("$ penstock write orders.parquet --topic orders --bootstrap-servers ")


def test_the_settings_are_what_the_code_prints(capsys):
    assert main(["config", "--markdown"]) == 0
    printed = capsys.readouterr().out
    between = README.partition("<!-- settings -->\n")[2].partition("<!-- /settings -->")[0]
    assert between == printed, "replace what is between the markers by what `penstock config --markdown` prints"


def test_the_configuration_loads():
    loaded = config.load(block("json"))
    assert loaded.topic == "orders"
    assert loaded.writer.workers == 4
    assert loaded.writer.key == ("id",)
    assert not loaded.warnings


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_that_are_named_exist(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    words = [word for span in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text) for word in span.split()]
    blocks = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    words += [word for lines in blocks for word in lines.split() if word.startswith(("tools/", "tests/", "bench/"))]
    paths = {word for word in words if PATH.fullmatch(word)}
    assert paths, "no path found: has the way they are written changed?"
    missing = sorted(path for path in paths if not any(exists(base / path) for base in (ROOT, *DOCUMENTS[document])))
    assert missing == []


def exists(path):
    """`src/core/arrow` stands for arrow.cpp and arrow.hpp."""
    return path.exists() or (path.parent.is_dir() and any(path.parent.glob(f"{path.name}.*")))
