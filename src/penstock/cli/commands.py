"""The command line: one function per command, results on stdout, the rest on stderr, one exit code per error class.

    penstock write SOURCE…     rows into a topic, a receipt on stdout
    penstock preview SOURCE…   the exact messages on stdout, no broker
    penstock check             what write needs before its first row, step by step
    penstock verify RECEIPT    the topic held against a receipt with audit
    penstock jobs              how far each job has come
    penstock transactions      what holds back consumers that read committed, and an end to it
    penstock demo              a million rows into a mock cluster, some read back
    penstock config            the table of settings

Flags are read by flags.py, texts are laid out by output.py. Everything heavier than argparse is imported inside the
command that needs it, so that --help and --version answer at once and a wrong flag costs nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from penstock.cli import flags as flag_reader
from penstock.cli.output import (
    CannotPrint,
    ReaderLeft,
    fill_closed_streams,
    finding_text,
    findings_json,
    flush,
    folded,
    indented,
    markdown,
    message_json,
    message_text,
    partition_text,
    put,
    say,
    use_utf8,
)
from penstock.errors import ConnectError, NotVerified, PenstockError, SourceError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    from penstock.cli.progress import Progress
    from penstock.report import Report
    from penstock.writer import Statistics

__all__ = ["Terminated", "main"]

_EXIT_BUG: Final = 1
_WRONG_SHOWN: Final = 4
_SAME_SIGNAL_SECS: Final = 0.2
_PATIENCE_SECS: Final = 5.0  # longer than any start that goes well


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived. Raised in the main thread, wherever it stands, so that it is cleaned up after like Ctrl-C."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; whatever goes wrong is said on standard error, nothing is raised.

    argv  the words after `penstock`; None takes them from the process
    """
    fill_closed_streams()
    use_utf8()
    with _signals_as_exceptions():
        try:
            return _run(list(sys.argv[1:] if argv is None else argv))
        except KeyboardInterrupt as error:  # came while an error was being reported
            return _fail(error, as_json=False)


def _run(arguments: list[str]) -> int:
    as_json = False
    try:
        name, flags = flag_reader.parse(arguments)
        as_json = bool(getattr(flags, "json", False))
        _COMMANDS[name](flags)
        flush()
    except ReaderLeft:
        return 0
    except (PenstockError, KeyboardInterrupt) as error:
        return _fail(error, as_json=as_json)
    except (CannotPrint, ImportError) as error:  # a full disk; a core that was not built
        say(f"error: {error}")
        return _EXIT_BUG
    except Exception as error:  # noqa: BLE001 - whatever is left is a bug, and its traceback is the report
        import traceback  # noqa: PLC0415 - hardly ever needed

        traceback.print_exc()
        say(f"error: a bug of penstock: {type(error).__name__}: {error}; please report it with the lines above")
        return _EXIT_BUG
    return 0


# Commands. Order of checks: configuration, sources, columns, broker.


def _write(flags: argparse.Namespace) -> None:
    from penstock import config  # noqa: PLC0415 - reads no Arrow: a wrong setting is answered before pyarrow is loaded

    loaded = config.load(flags.config, **flag_reader.settings_of(flags))
    sources = flag_reader.sources_of(flags)
    _show_log(debug=loaded.log_level == "debug")
    flag_reader.warn_of_visible_secrets(flags)
    config.log_warnings(loaded)

    from penstock.deadletters import open_rows  # noqa: PLC0415 - 0.35 s for pyarrow
    from penstock.writer import write_source  # noqa: PLC0415

    with (
        open_rows(sources, dead_letter=loaded.writer.dead_letter, input_format=flags.input_format) as source,
        _progress(loaded.topic, source.rows) as progress,
        _patience(loaded.topic, loaded.kafka["bootstrap.servers"], loaded.initialization_timeout_secs) as started,
    ):

        def show(counts: Statistics) -> None:
            started()
            progress(counts)

        report = write_source(source, loaded, show)
    _put_report(report, as_json=flags.json)


def _preview(flags: argparse.Namespace) -> None:
    settings = flag_reader.settings_of(flags)
    limit = flag_reader.whole_number(flags.limit, "--limit", least=0)
    partitions = flag_reader.whole_number(flags.partitions, "--partitions", least=1)
    sources = flag_reader.sources_of(flags)

    from penstock.messages import preview  # noqa: PLC0415 - 0.35 s for pyarrow

    _show_log(debug=flags.log_level == "debug")
    flag_reader.warn_of_visible_secrets(flags)
    messages = preview(
        sources,
        config=flags.config,
        input_format=flags.input_format,
        limit=limit,
        partitions=partitions,
        **settings,
    )
    shown = 0
    for shown, message in enumerate(messages, start=1):
        put(message_json(message) if flags.json else message_text(message, shown))
    if not flags.json:
        say(f"{shown:,} message{'' if shown == 1 else 's'}")


def _check(flags: argparse.Namespace) -> None:
    from penstock import config  # noqa: PLC0415 - as in _write
    from penstock.check import Finding, check  # noqa: PLC0415 - as above

    _show_log(debug=flags.log_level == "debug")
    flag_reader.warn_of_visible_secrets(flags)
    findings: list[Finding] = []

    def show(finding: Finding) -> None:
        findings.append(finding)
        if not flags.json:
            put(finding_text(finding))
            flush()

    failed: type[PenstockError] = ConnectError
    try:
        loaded = config.load(flags.config, **flag_reader.settings_of(flags))
    except PenstockError as error:
        failed = type(error)
        show(Finding("configuration", "", ok=False, text=str(error)))
    else:
        _show_log(debug=loaded.log_level == "debug")
        config.log_warnings(loaded)
        show(Finding("configuration", "", ok=True, text=f"of topic {loaded.topic}"))
        for finding in check(loaded):
            show(finding)
    if flags.json:
        put(findings_json(findings))
    wrong = [f"{finding.step} {finding.about}".strip() for finding in findings if finding.ok is False]
    if wrong:
        raise failed(f"not as it should be: {', '.join(wrong)}")


def _verify(flags: argparse.Namespace) -> None:
    from penstock import config  # noqa: PLC0415 - as in _write

    name = flag_reader.receipt_of(flags)
    settings = flag_reader.settings_of(flags)
    _show_log()
    flag_reader.warn_of_visible_secrets(flags)

    from penstock.verify import read_receipt, verify  # noqa: PLC0415 - a wrong flag needs none of it

    receipt = read_receipt(_read_file(name), name)
    loaded = config.load(flags.config, **{"topic": receipt.topic, **settings})
    found = verify(receipt, loaded, whole=flags.whole)
    if flags.json:
        put(f"{msgspec.json.encode(found).decode()}\n")
    else:
        for finding in found.partitions:
            put(partition_text(finding))
        put(f"{found.verdict}{f': {found.text}' if found.text else ''}\n")
    if found.verdict == "agrees":
        return
    wrong = [f"{part.topic}[{part.partition}] {part.verdict}" for part in found.partitions if part.verdict != "agrees"]
    more = f" and {len(wrong) - _WRONG_SHOWN} more" if len(wrong) > _WRONG_SHOWN else ""
    raise NotVerified(
        f"{name} is not what the topic holds, or it cannot be told: "
        f"{', '.join(wrong[:_WRONG_SHOWN]) or found.text}{more}"
    )


def _jobs(flags: argparse.Namespace) -> None:
    from penstock.cli.jobs import list_jobs  # noqa: PLC0415 - as in _write

    _show_log()
    flag_reader.warn_of_visible_secrets(flags)
    list_jobs(flags)


def _transactions(flags: argparse.Namespace) -> None:
    from penstock.cli.jobs import abort_transactions, list_transactions  # noqa: PLC0415 - as in _write

    act = {"list": list_transactions, "abort": abort_transactions}[flag_reader.action_of(flags)]
    _show_log()
    flag_reader.warn_of_visible_secrets(flags)
    act(flags)


def _read_file(name: str) -> bytes:
    """Return the bytes of a file, or of standard input for -."""
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise SourceError(f"{name} cannot be read: {error.strerror or error}") from None


def _demo(flags: argparse.Namespace) -> None:
    rows = flag_reader.whole_number(flags.rows, "--rows", least=1) or 0
    workers = flag_reader.whole_number(flags.workers, "--workers", least=0)
    _show_log()

    from penstock.cli.demo import PARTITIONS, TOPIC, Demo  # noqa: PLC0415 - needs librdkafka

    with Demo(workers) as demo:
        if not flags.json:
            put(
                f"librdkafka's mock cluster at {demo.bootstrap_servers}, topic {TOPIC}, {PARTITIONS} partitions.\n"
                f"Writing {rows:,} generated order changes, one message each, keyed by order …\n\n"
            )
            flush()
        report = demo.write(rows, lambda total: _progress(TOPIC, total))
        _put_report(report, as_json=flags.json)
        flush()
        samples = list(demo.read_back(report))
    if flags.json:
        return
    put("\nThe newest message of each partition, read back by confluent_kafka.Consumer:\n")
    for sample in samples:
        put(f"  {TOPIC}[{sample.partition}] offset {sample.offset}, key {sample.key.decode()}\n")
        put(folded(sample.value.decode()))
    oldest = ", ".join(str(sample.oldest_offset) for sample in samples)
    put(
        "\nThe mock cluster keeps only the last 5 MB of each partition (the oldest offsets\n"
        f"left are {oldest}); a real Kafka keeps what you tell it to.\n\n"
        "Next, with a Kafka and a file of yours:\n"
        f"  penstock write FILE.parquet --topic {TOPIC} --bootstrap-servers localhost:9092\n"
    )


def _config(flags: argparse.Namespace) -> None:
    from penstock.config import KAFKA_DEFAULTS, SETTINGS, THEMES  # noqa: PLC0415 - --version does without

    if flags.markdown:
        settings = [[f"`{row.name}`", row.type, row.default, row.meaning, row.reason] for row in SETTINGS]
        options = [[f"`{row.option}`", row.value, row.reason] for row in KAFKA_DEFAULTS]
        put(markdown(["setting", "type", "default", "meaning", "why"], settings))
        put("\n" + markdown(["librdkafka option", "default here", "why"], options))
        return
    put("Settings: flags, keywords in Python, members of the object in a --config file.\n")
    for row in SETTINGS:
        if row.name in THEMES:
            put(f"\n--- {THEMES[row.name]} ---\n")
        put(f"\n{row.name}{f' = {row.default}' if row.default else ''}\n")
        put(indented(row.meaning) + indented(f"takes: {row.type}") + indented(f"why: {row.reason}"))
    put("\n--- librdkafka ---\n\nDefaults of ours for librdkafka; -X OPTION=VALUE sets these and all others.\n")
    for option in KAFKA_DEFAULTS:
        put(f"\n{option.option} = {option.value}\n" + indented(f"why: {option.reason}"))


def _version(_: argparse.Namespace) -> None:
    from penstock import __version__, _core  # noqa: PLC0415 - the core is not needed for a wrong flag
    from penstock.config.kafka.options import load_librdkafka  # noqa: PLC0415 - as above

    load_librdkafka()
    put(f"penstock {__version__}\nlibrdkafka {_core.librdkafka_version()}\ncore {_core.build()}\n")


def _help(flags: argparse.Namespace) -> None:
    put(flags.text)


_COMMANDS: Final[dict[str, Callable[[argparse.Namespace], None]]] = {
    "write": _write,
    "preview": _preview,
    "check": _check,
    "verify": _verify,
    "jobs": _jobs,
    "transactions": _transactions,
    "demo": _demo,
    "config": _config,
    "version": _version,
    "help": _help,
}


# What they share.


def _put_report(report: Report, *, as_json: bool) -> None:
    put(f"{report.to_json() if as_json else report}\n")


def _fail(error: PenstockError | KeyboardInterrupt, *, as_json: bool) -> int:
    """Say what happened in one line, then the counts so far, and return the exit code."""
    if isinstance(error, PenstockError):
        code, line = error.exit_code, str(error)
    elif isinstance(error, Terminated):
        code, line = 128 + signal.SIGTERM, "ended by SIGTERM"
    else:
        code, line = 128 + signal.SIGINT, "interrupted by Ctrl-C"
    say(f"error: {line}")
    report: Report | None = getattr(error, "report", None)
    if report is None:
        return code
    if as_json:
        with contextlib.suppress(ReaderLeft, CannotPrint):
            _put_report(report, as_json=True)
            flush()
    else:
        say(str(report), as_it_is=True)
    return code


def _progress(topic: str, total_rows: int | None) -> Progress:
    from penstock.cli.progress import Progress  # noqa: PLC0415 - only when rows are written

    return Progress(topic, total_rows)


@contextlib.contextmanager
def _patience(topic: str, brokers: str, limit: int) -> Iterator[Callable[[], None]]:
    """Say once, after some seconds without a row written, what is waited for; yields what to call when rows flow.

    By an alarm signal: a thread of ours in this process would be one more thing to end (DESIGN.md).
    """

    def remind(_: int, __: FrameType | None) -> None:
        say(f"{topic}: nothing written yet; a broker at {brokers} or the topic may take up to {limit} s to answer")

    def stop() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = signal.signal(signal.SIGALRM, remind)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE_SECS)
    try:
        yield stop
    finally:
        stop()
        signal.signal(signal.SIGALRM, before)


def _show_log(*, debug: bool = False) -> None:
    """Send what penstock and librdkafka log to standard error; librdkafka's own level has already chosen its part."""
    import logging  # noqa: PLC0415 - only when something can be logged

    class ToStderr(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            # say looks up sys.stderr anew each time: while a bar is drawn it is rich's, which writes above the bar
            origin = f"{record.name.rpartition('.')[2]}: " if "." in record.name else ""
            say(f"{origin}{record.levelname.lower()}: {record.getMessage()}")

    log = logging.getLogger("penstock")
    if not any(handler.name == __name__ for handler in log.handlers):  # once, however often main is called
        handler = ToStderr()
        handler.name = __name__
        log.addHandler(handler)
    log.setLevel(logging.DEBUG if debug else logging.INFO)
    logging.getLogger("penstock.librdkafka").setLevel(logging.DEBUG)
    log.propagate = False


@contextlib.contextmanager
def _signals_as_exceptions() -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into exceptions of the main thread for as long as the block lasts.

    A second signal right after the first belongs to it (`timeout` and shells signal a process and then its group).
    A later one ends the process at once: the workers notice and end themselves, and the arena has no name to leave.
    """
    first: float | None = None

    def interrupt(number: int, _: FrameType | None) -> None:
        nonlocal first
        if first is None:
            first = time.monotonic()
            raise Terminated if number == signal.SIGTERM else KeyboardInterrupt
        if time.monotonic() - first > _SAME_SIGNAL_SECS:
            if sys.stderr is not None and sys.stderr.isatty():
                os.write(sys.stderr.fileno(), b"\x1b[?25h\n")  # the cursor, which the bar may have hidden
            os._exit(128 + number)

    before = {}
    if threading.current_thread() is threading.main_thread():  # elsewhere signals are somebody else's
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, or `… &` in a script: not ours to undo
                before[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)
