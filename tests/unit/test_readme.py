"""What the documents say, held against the code: the example runs, the tables and paths are true."""

import json
import re
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import penstock
from penstock import config
from penstock.cli import main
from pki import issue

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "src" / "penstock"
DOCUMENTS = {  # and where, beside the root, a relative path in each may start from
    "README.md": [],
    "DIFFERENCES.md": [],
    "src/penstock/DESIGN.md": [
        ROOT / "src" / "core",
        PACKAGE,
        *(PACKAGE / d for d in ("cli", "config", "config/kafka", "source")),
    ],
    "bench/README.md": [ROOT / "bench"],
    "examples/README.md": [ROOT / "examples"],
    "tests/README.md": [ROOT / "tests"],
}
# An inline `a/b.c` or `a/`, or a bare file name of ours; not options, URLs, globs, absolute paths or words with a dot.
PATH = re.compile(r"(?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:py|md|hpp|cpp|pyx|pxd|toml)")


def block(language, number=0):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)[number]


def test_every_example_is_run_here():
    """Each block has its test here, the third and fourth of Python in tests/broker/test_readme_examples.py."""
    fences = re.findall(r"^```(\w+)\n", README, re.MULTILINE)
    assert {name: fences.count(name) for name in fences} == {"python": 4, "console": 3, "json": 2, "text": 1}


def test_the_encoder_runs(tmp_path, monkeypatch, capsys):
    """As printed and called as the command line says it, but for a preview instead of a broker."""
    (tmp_path / "encoder.py").write_text(block("python", 1), encoding="utf-8")
    table = pa.table({"id": [1, 2], "price": [0.5, 1.5], "op": ["insert", "delete"]})
    pq.write_table(table, tmp_path / "orders.parquet")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    words = shlex.split(block("console", 1).removeprefix("$ penstock write "))
    assert main(["preview", *words, "--op-column", "op", "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["key"], first["value"]) == ("1", '{"id": 1, "price": 0.5}')
    assert (second["key"], second["value"]) == ("2", None)


def test_the_commands_of_the_examples_run(tmp_path, monkeypatch, capsys):
    """As printed, on a file of two rows; PYTHONPATH is the folder of the examples."""
    text = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^\$ penstock (.*)$", text, re.MULTILINE)
    pq.write_table(pa.table({"id": [1, 2], "price": [0.5, 1.5]}), tmp_path / "orders.parquet")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    made = []
    for command in commands:
        assert main([*shlex.split(command), "--json"]) == 0
        made.append([json.loads(line) for line in capsys.readouterr().out.splitlines()])
    assert [(message["key"], message["value"]) for message in made[0]] == [
        ("1", '{"id":1,"price":0.5}'),
        ("2", '{"id":2,"price":1.5}'),
    ]
    (message,) = made[1]
    assert message["value"] == '{"id":1,"price":0.5}\n{"id":2,"price":1.5}\n'


def test_the_index_groups_changes():
    """With the members that are printed, an upsert is one message under the index's key."""
    job = json.loads(block("json")) | {"format": {"name": "json", "config": {"update_format": "upsert"}}}
    rows = pa.table({"id": [1, 1, 2], "price": [1.5, 2.5, 3.5], "op": ["D", "I", "D"]})
    made = [(message.key, message.value) for message in penstock.preview(rows, config=job)]
    assert sorted(made) == [(b'{"id":1}', b'{"id":1,"price":2.5}\n'), (b'{"id":2}', None)]


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


@pytest.fixture
def kafka_secrets(tmp_path, monkeypatch):
    """What the references of the configuration name: a variable, and a file with a certificate."""
    file = tmp_path / "kubernetes" / "kafka" / "ca"
    file.parent.mkdir(parents=True)
    file.write_text(issue("root").pem, encoding="utf-8")
    monkeypatch.setenv("PENSTOCK_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("KAFKA_PASSWORD", "a-password")


@pytest.mark.usefixtures("kafka_secrets")
def test_the_configuration_loads():
    loaded = config.load(block("json", 1))
    assert loaded.topic == "orders"
    assert loaded.kafka["sasl.password"] == "a-password"
    assert loaded.writer.workers == 4
    assert loaded.writer.key == ("id",)
    assert not loaded.warnings


@pytest.mark.usefixtures("kafka_secrets")
def test_the_check_takes_the_steps_that_are_shown(mock, tmp_path, monkeypatch, capsys):
    """As printed, but at a mock cluster, which has neither TLS nor logins and tells less in each step."""
    (tmp_path / "orders.json").write_text(block("json", 1), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    command, *said = block("console", 2).splitlines()
    there = ["--bootstrap-servers", mock.bootstrap_servers, "-X", "security.protocol=PLAINTEXT"]
    assert main([*shlex.split(command.removeprefix("$ penstock ")), *there]) == 0
    shown = capsys.readouterr().out.splitlines()
    steps = [list(dict.fromkeys(line[2:15].strip() for line in lines if line[0] != " ")) for lines in (shown, said)]
    assert steps[0] == steps[1]


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
