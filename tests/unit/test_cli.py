"""The command line: flags, exit codes, and what goes to which stream. What writes and previews is faked here."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
import types

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock import cli, errors
from penstock.cli import flags
from penstock.cli.commands import Terminated, main
from penstock.config import KAFKA_DEFAULTS, SETTINGS
from penstock.report import PartitionReport, Report

REPORT = Report(
    topic="orders", rows=3, messages=1, bytes=90, seconds=0.5, partitions=(PartitionReport("orders", 0, 1, 3, 7, 7),)
)


@pytest.fixture(autouse=True)
def _own_log():
    """Each test starts without the log that an earlier main() has set up."""
    log = logging.getLogger("penstock")
    before = log.handlers[:], log.level, log.propagate
    log.handlers.clear()
    yield
    log.handlers[:], log.level, log.propagate = before


@pytest.fixture
def parquet(tmp_path):
    path = tmp_path / "orders.parquet"
    pq.write_table(pa.table({"id": [1, 2, 3]}), path)
    return str(path)


@pytest.fixture
def writes(monkeypatch):
    """Replace what writes: calls are kept, and what is set in `result` is returned or raised."""
    fake = types.ModuleType("penstock.writer")
    fake.calls = []
    fake.result = REPORT

    def write_source(source, config, on_progress):
        fake.calls.append(types.SimpleNamespace(rows=source.rows, schema=source.schema, config=config))
        on_progress(types.SimpleNamespace(rows_taken=3, rows_acked=3, messages_acked=1, bytes_acked=90))
        if isinstance(fake.result, BaseException):
            raise fake.result
        return fake.result

    fake.write_source = write_source
    monkeypatch.setitem(sys.modules, "penstock.writer", fake)
    return fake


@pytest.fixture
def previews(monkeypatch):
    """Replace what previews by a list of messages."""
    fake = types.ModuleType("penstock.messages")
    fake.calls = []
    fake.messages = []

    def preview(source, **keywords):
        fake.calls.append((source, keywords))
        return iter(fake.messages)

    fake.preview = preview
    monkeypatch.setitem(sys.modules, "penstock.messages", fake)
    return fake


def message(value, key=None, headers=(), partition=None, batch=0, timestamp=None):
    return types.SimpleNamespace(
        batch=batch, topic="orders", partition=partition, key=key, value=value, headers=headers, timestamp=timestamp
    )


def write(*arguments, source="SOURCE"):
    return main(["write", source, "--topic", "orders", *arguments])


# Help, version, settings.


@pytest.mark.parametrize("words", [["--help"], ["-h"], *([name, "--help"] for name in ("write", "preview", "demo"))])
def test_help_fits_eighty_columns(monkeypatch, capsys, words):
    """Every help text goes to standard output, exits 0 and stays within 80 columns."""
    monkeypatch.setenv("COLUMNS", "200")
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert out.startswith("usage: penstock")
    assert max(map(len, out.splitlines())) <= 80
    assert err == ""


def test_help_names_every_setting_that_has_a_flag(capsys):
    """The flags of write and preview are the settings, no more and no fewer."""
    own = {"--help", "--json", "--input-format", "--config", "--connector"}
    for command, extra in (("write", set()), ("preview", {"--limit", "--partitions"})):
        assert main([command, "--help"]) == 0
        flags = set(re.findall(r"^  (?:-h, )?(--[a-z0-9-]+)", capsys.readouterr().out, re.MULTILINE))
        assert flags == own | extra | {row.flag for row in SETTINGS if row.flag is not None}


@pytest.mark.parametrize("words", [["--help"], ["write", "--help"], ["config"], ["write", "--wrong"]])
def test_what_needs_no_rows_loads_no_arrow(words):
    """Help, the table of settings and a wrong flag are answered without loading pyarrow, librdkafka or rich."""
    code = (
        "import sys; from penstock.cli import main; main(sys.argv[1:]);"
        "sys.exit([n for n in ('pyarrow', 'confluent_kafka', 'penstock._core', 'rich') if n in sys.modules] or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_config_lists_every_setting_with_its_default(capsys):
    """`penstock config` shows each setting and each changed default of librdkafka, with the reason."""
    assert main(["config"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    for row in SETTINGS:
        assert f"\n{row.name}{' = ' + row.default if row.default else ''}\n" in text
    folded = " ".join(text.split())
    for option in KAFKA_DEFAULTS:
        assert f"{option.option} = {option.value} why: {option.reason}" in folded


def test_config_as_markdown_is_two_tables(capsys):
    """`penstock config --markdown` gives tables whose rows all have as many cells as their head."""
    assert main(["config", "--markdown"]) == 0
    first, second = capsys.readouterr().out.strip().split("\n\n")
    for table, rows, cells in ((first, len(SETTINGS), 5), (second, len(KAFKA_DEFAULTS), 3)):
        lines = table.splitlines()
        assert len(lines) == rows + 2
        assert {len(re.split(r"(?<!\\)\|", line)) for line in lines} == {cells + 2}


# Wrong names and values: exit 2, one line, the nearest right name.


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no command given"),
        (["wriet"], 'did you mean "write"?'),
        (["write", "a", "--topik", "t"], 'there is no flag "--topik"; did you mean "--topic"'),
        (["write", "a", "--partition_by", "t"], 'did you mean "--partition-by"'),
        (
            ["write", "a", "--topi", "t"],
            'there is no flag "--topi"',
        ),  # no abbreviations: they break when flags are added
        (["write", "a", "--topic"], "--topic: expected one argument"),
        (["write", "a", "--topic", "t", "--workers", "many"], 'found "many"'),
        (["write", "a", "--topic", "t", "--workers", "-1"], "-1"),
        (["write", "a", "--topic", "t", "--key", "a", "--partition-by", "b"], "exclude each other"),
        (["write", "a", "--topic", "t", "-X", "linger.ms"], "found no KEY=VALUE"),
        (["write", "a", "--topic", "t", "-X", "linger.ms=1", "-X", "linger.ms=2"], "given twice"),
        (["write", "a", "--topic", "t", "--input-format", "xml"], 'found "xml", allowed: parquet, '),
        (["write", "a", "--topic", "t", "--input-format", "parqet"], 'did you mean "parquet"?'),
        (["write", "a", "--worker", "3"], 'did you mean "--workers"?'),  # and not "--key", for its dashes
        (["write", "a", "--topic", "no/such"], "not a topic name"),
        (["write", "--topic", "t"], "no source given"),
        (["write", "a"], "topic is missing"),
        (["preview", "a", "--limit", "few"], '--limit: found "few"'),
        (["preview", "a", "--partitions", "0"], '--partitions: found "0"'),
        (["preview"], "no source given"),
        (["demo", "--rows", "0"], "--rows"),
        (["demo", "a"], 'there is no argument "a"'),
        (["config", "--json"], 'there is no flag "--json"'),
    ],
)
def test_wrong_words_are_one_line_and_exit_2(capsys, words, said):
    """What is wrong with the flags is said in one line on standard error; nothing is printed, nothing is opened."""
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("penstock: error: ")
    assert err.count("\n") == 1
    assert said in err


def test_configuration_is_checked_before_sources(capsys, writes):
    """With a wrong setting and a missing file the setting is what is reported, and nothing was written."""
    assert write("--workers", "many", source="/no/such/file.parquet") == 2
    assert "many" in capsys.readouterr().err
    assert writes.calls == []


def test_sources_are_checked_before_anything_is_written(capsys, writes):
    """A missing file ends the command with 3 and its name, before a broker is looked for."""
    assert write(source="/no/such/file.parquet") == 3
    err = capsys.readouterr().err
    assert "/no/such/file.parquet" in err
    assert err.count("\n") == 1
    assert writes.calls == []


# What flags mean.


def test_one_of_several_connectors_is_named(parquet, writes, tmp_path, capsys):
    """--connector chooses from the file; without it the error lists the names. Notes are shown at level debug only."""
    config = tmp_path / "jobs.json"
    config.write_text('[{"name": "a"}, {"name": "b", "paused": true, "transport": {"config": {"topic": "other"}}}]')
    command = ["write", str(parquet), "--config", str(config)]
    assert main(command) == 2
    assert 'jobs.json: there are 2 connectors, "a", "b"; choose one' in capsys.readouterr().err
    assert main([*command, "--connector", "b"]) == 0
    assert "paused" not in capsys.readouterr().err
    assert main([*command, "--connector", "b", "--log-level", "debug"]) == 0
    assert "jobs.json: paused has no meaning here" in capsys.readouterr().err
    assert [call.config.topic for call in writes.calls] == ["other", "other"]
    assert main(["preview", *command[1:], "--connector", "a", "--limit", "0"]) == 0


def test_flags_reach_the_configuration(parquet, writes, tmp_path):
    """Flags are settings under the same names; they win over the file, the file over the defaults."""
    config = tmp_path / "job.json"
    config.write_text(
        json.dumps({
            "transport": {"name": "kafka_output", "config": {"topic": "other", "bootstrap.servers": "elsewhere:1"}},
            "format": {"name": "json", "config": {"array": True}},
            "writer": {"workers": 7, "key": ["id"], "shutdown_timeout_secs": 3},
        })
    )  # fmt: skip
    flags = ["--config", str(config), "--bootstrap-servers", "here:1", "--workers", "0", "--memory-bytes", "64 MiB"]
    assert write(*flags, source=parquet) == 0
    (call,) = writes.calls
    assert call.rows == 3
    assert call.schema.names == ["id"]
    assert call.config.topic == "orders"
    assert call.config.kafka["bootstrap.servers"] == "here:1"
    assert call.config.format.array is True
    assert call.config.writer.workers == 0
    assert call.config.writer.memory_bytes == 64 << 20
    assert call.config.writer.key == ("id",)
    assert call.config.writer.shutdown_timeout_secs == 3


def test_column_lists_may_be_joined_or_repeated(parquet, writes):
    """--key a,b and --key a --key b mean the same; no column given is lost."""
    assert write("--key", "id,b", source=parquet) == 0
    assert write("--key", "id", "--key", "b", source=parquet) == 0
    assert [call.config.writer.key for call in writes.calls] == [("id", "b")] * 2


def test_sources_may_stand_anywhere_and_twice(parquet, writes):
    """A source named twice is written twice, wherever among the flags it stands."""
    assert main(["write", parquet, "--topic", "orders", parquet, "--workers", "0", "--", parquet]) == 0
    assert writes.calls[0].rows == 9


# Results and failures.


def test_write_prints_the_receipt_and_nothing_else(parquet, writes, capsys):
    """The receipt is on standard output, for people or, with --json, alone as one line of JSON."""
    assert write(source=parquet) == 0
    assert capsys.readouterr() == (f"{REPORT}\n", "")
    assert write("--json", source=parquet) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == REPORT.to_dict()
    assert (out.count("\n"), err) == (1, "")
    assert len(writes.calls) == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("column"), 2),
        (errors.SourceError("page"), 3),
        (errors.SchemaError("changed"), 3),
        (errors.EncodeError("row 7"), 3),
        (errors.ConnectError("no broker"), 4),
        (errors.DeliveryError("timed out"), 4),
        (errors.WorkerDied("killed"), 4),
        (errors.Fenced("fenced"), 4),
        (errors.WriteTimeout("no room"), 4),
        (errors.NotVerified("differs"), 5),
        (errors.WriterClosed("closed"), 1),
        (errors.InternalError("bug"), 1),
        (KeyboardInterrupt(), 130),
        (Terminated(), 143),
    ],
)
def test_each_error_has_its_exit_code(parquet, writes, capsys, error, code):
    """Each class of error ends the command with its own code and one line."""
    writes.result = error
    assert write(source=parquet) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("penstock: error: ")
    assert err.count("\n") == 1
    assert str(error) in err


def test_every_class_of_error_is_in_the_table_above():
    """A new class of error must be given an exit code by somebody who thought about it."""
    (mark,) = test_each_error_has_its_exit_code.pytestmark
    tested = {type(error).__name__ for error, _ in mark.args[1]} - {"KeyboardInterrupt", "Terminated"}
    assert tested == set(errors.__all__) - {"PenstockError"}


@pytest.mark.parametrize("make", [lambda: errors.DeliveryError("a\nb", report=REPORT), KeyboardInterrupt, Terminated])
def test_counts_so_far_follow_the_error(parquet, writes, capsys, make):
    """An error with counts is one line, then the counts on standard error; with --json they go to standard output."""
    error = writes.result = make()
    error.report = REPORT
    write(source=parquet)
    out, err = capsys.readouterr()
    assert out == ""
    line, _, rest = err.partition("\n")
    assert line.startswith("penstock: error: ")
    assert rest == f"{REPORT}\n"
    write("--json", source=parquet)
    out, err = capsys.readouterr()
    assert json.loads(out) == REPORT.to_dict()
    assert err == f"{line}\n"


def test_a_bug_shows_its_traceback_and_exits_1(parquet, writes, capsys):
    """What nobody foresaw is called a bug, with all that is needed to report it."""
    writes.result = TypeError("no\nway")
    assert write(source=parquet) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Traceback (most recent call last):\n")
    assert err.endswith(
        "penstock: error: a bug of penstock: TypeError: no way; please report it with the lines above\n"
    )


def test_a_core_that_is_missing_is_one_line(parquet, writes, capsys):
    """An import that fails says what was tried, without a traceback."""
    writes.result = ImportError("penstock._core is not built; tried /here and /there")
    assert write(source=parquet) == 1
    assert capsys.readouterr().err == "penstock: error: penstock._core is not built; tried /here and /there\n"


def test_warnings_and_log_go_to_standard_error(parquet, writes, capsys, monkeypatch):
    """What configuration warns of and what librdkafka logs is seen, and keeps out of the results."""
    original = writes.write_source

    def write_source(*arguments):
        logging.getLogger("penstock.librdkafka").warning("broker 1: %s", "gone")
        return original(*arguments)

    monkeypatch.setattr(writes, "write_source", write_source)
    assert write("--partition-column", "id", "--partitioner", "random", "--json", source=parquet) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["rows"] == 3
    first, second = err.splitlines()
    assert first.startswith("penstock: warning: partitioner=random has no effect")
    assert second == "penstock: librdkafka: warning: broker 1: gone"


def test_a_start_that_takes_long_is_explained(parquet, writes, monkeypatch, capsys):
    """Brokers that do not answer are waited for up to a minute: nobody should have to guess what for."""
    monkeypatch.setattr("penstock.cli.commands._PATIENCE_SECS", 0.05)
    before = signal.getsignal(signal.SIGALRM)

    def slow(_source, _config, on_progress):
        time.sleep(0.2)
        on_progress(types.SimpleNamespace(rows_taken=3, rows_acked=3, messages_acked=1, bytes_acked=90))
        return REPORT

    writes.write_source = slow
    assert main(["write", parquet, "--topic", "t", "--bootstrap-servers", "b:1"]) == 0
    err = capsys.readouterr().err
    assert err == "penstock: t: nothing written yet; a broker at b:1 or the topic may take up to 60 s to answer\n"
    assert signal.getsignal(signal.SIGALRM) is before


def test_ctrl_c_while_loading_is_quiet(monkeypatch):
    """The first tens of milliseconds are imports; no traceback then either."""

    class Interrupts:
        def find_spec(self, name, *_):
            if name == "penstock.cli.commands":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "penstock.cli.commands")
    monkeypatch.delattr("penstock.cli.commands")
    monkeypatch.setattr(sys, "meta_path", [Interrupts(), *sys.meta_path])
    assert cli.main(["--version"]) == 130


# Preview.


def test_preview_passes_its_flags_on(previews):
    """Sources, limit, partitions and settings reach preview() as they were given."""
    assert main(["preview", "a", "b", "--limit", "5", "--partitions", "3", "--key", "id", "--input-format", "csv"]) == 0
    (source, keywords), *_ = previews.calls
    assert source == ["a", "b"]
    given = {name: value for name, value in keywords.items() if value is not None}
    assert given == {"limit": 5, "partitions": 3, "key": "id", "input_format": "csv"}


def test_preview_for_programs_is_one_object_a_message(previews, capsys):
    """Text is text, other bytes are hex, null is null, and headers keep their order and repeats."""
    previews.messages = [
        message('{"insert":{"a":"é"}}\n'.encode(), key=b"k", partition=2, batch=4),
        message(b"\xff\x00", key=b"\xfe", headers=(("h", b"1"), ("h", None), ("i", b"\xff"))),
        message(None, timestamp=1700000000123),
    ]
    assert main(["preview", "a", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    base = {"batch": 0, "topic": "orders", "partition": None}
    assert [json.loads(line) for line in out.splitlines()] == [
        base | {"batch": 4, "partition": 2, "key": "k", "value": '{"insert":{"a":"é"}}\n', "headers": []},
        base
        | {
            "key_hex": "fe",
            "value_hex": "ff00",
            "headers": [{"key": "h", "value": "1"}, {"key": "h", "value": None}, {"key": "i", "value_hex": "ff"}],
        },
        base | {"key": None, "value": None, "headers": [], "timestamp": 1700000000123},
    ]


def test_preview_for_people_shows_facts_and_value(previews, capsys):
    """Each message is a line of facts and its value as it is; how many there were goes to standard error."""
    previews.messages = [
        message(b'{"insert":1}\n{"insert":2}\n', key=b"k", partition=1, headers=(("h", b"v"), ("n", None))),
        message(b"[1]"),
        message(None, key=b"\xff", timestamp=5),
    ]
    assert main(["preview", "a"]) == 0
    assert capsys.readouterr() == (
        (
            "--- message 1: batch 0, topic orders, partition 1, key k, header h=v, header n=null, 26 bytes\n"
            '{"insert":1}\n{"insert":2}\n'
            "--- message 2: batch 0, topic orders, 3 bytes\n[1]\n"
            "--- message 3: batch 0, topic orders, key 0xff, timestamp 5 ms, value null\n"
        ),
        "penstock: 3 messages\n",
    )


# Streams and signals, in processes of their own.


def in_process(code, *words, **streams):
    """Start main() in an interpreter of its own, after `code`; -X dev shows every complaint at shutdown."""
    code = f"import sys\n{code}\nfrom penstock.cli import main\nsys.exit(main(sys.argv[1:]))"
    return subprocess.Popen([sys.executable, "-X", "dev", "-c", code, *words], text=True, **streams)


ENDLESS = """
import types
fake = types.ModuleType("penstock.messages")
def preview(source, **keywords):
    while True:
        yield types.SimpleNamespace(
            batch=0, topic="t", partition=None, key=None, value=b"x" * 1000, headers=(), timestamp=None
        )
fake.preview = preview
sys.modules["penstock.messages"] = fake
"""

WAITING = """
import types, time
fake = types.ModuleType("penstock.messages")
def preview(source, **keywords):
    try:
        print("ready", file=sys.stderr, flush=True)
        time.sleep(60)
    finally:
        time.sleep(float(source[0]))
        print("cleaned up", file=sys.stderr, flush=True)
    yield
fake.preview = preview
sys.modules["penstock.messages"] = fake
"""


def test_a_reader_that_leaves_is_not_an_error():
    """`penstock preview … | head` ends quietly once head has what it wants."""
    with in_process(ENDLESS, "preview", "a", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline().startswith('{"batch":0')
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(30) == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")  # noqa: PTH110
def test_a_full_disk_is_said():
    """A result that cannot be written is an error with one line, never silence."""
    with open("/dev/full", "w") as full:  # noqa: PTH123
        process = in_process("", "config", stdout=full, stderr=subprocess.PIPE)
        assert process.communicate(timeout=30)[1] == (
            "penstock: error: cannot write to standard output: No space left on device\n"
        )
    assert process.returncode == 1


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGINT, 130, "interrupted by Ctrl-C"), (signal.SIGTERM, 143, "ended by SIGTERM")],
)
def test_signals_clean_up_and_have_their_codes(number, code, said):
    """Ctrl-C and SIGTERM unwind the command: its cleaning up runs, then one line, then 130 or 143."""
    with in_process(WAITING, "preview", "0", stderr=subprocess.PIPE) as process:
        assert process.stderr.readline() == "ready\n"
        process.send_signal(number)
        process.send_signal(number)  # as `timeout` does: to the process, then to its group
        assert process.stderr.read() == f"cleaned up\npenstock: error: {said}\n"
        assert process.wait(30) == code


def test_a_second_signal_ends_what_does_not_end():
    """Whoever presses Ctrl-C again while cleaning up hangs is not kept waiting."""
    with in_process(WAITING, "preview", "50", stderr=subprocess.PIPE) as process:
        assert process.stderr.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130


def test_an_ignored_ctrl_c_stays_ignored():
    """What was started with Ctrl-C ignored, as by nohup, does not end by it."""
    code = f"import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n{WAITING}"
    with in_process(code, "preview", "0", stderr=subprocess.PIPE) as process:
        assert process.stderr.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.terminate()
        assert process.wait(30) == 143


def test_closed_output_does_not_fail():
    """With standard output closed the command still runs to its end."""
    done = subprocess.run(
        ["/bin/sh", "-c", '"$0" -m penstock config >&-', sys.executable], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_output_is_utf8_in_any_locale(monkeypatch):
    """Messages are UTF-8; a locale that is not does not change their bytes or fail."""
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = subprocess.run([sys.executable, "-m", "penstock", "write", "--help"], capture_output=True, check=True)
    assert "SOURCE…".encode() in done.stdout


def test_signal_dispositions_are_given_back():
    """A program that calls main() keeps its own reaction to signals."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert main(["--help"]) == 0
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize(
    ("words", "restart"),
    [(["--restart"], "true"), (["--restart", "true"], "true"), (["--restart=false"], "false"), ([], None)],
)
def test_a_flag_of_true_or_false_may_stand_alone(words, restart):
    """It means true; what follows it is its value all the same, and refused where it is none."""
    _, given = flags.parse(["write", "orders.parquet", "--job", "j", *words])
    assert flags.settings_of(given).get("restart") == restart
    assert given.sources == ["orders.parquet"]
