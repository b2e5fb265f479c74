"""The flags: argparse over config.SETTINGS and no more, each setting's name with dashes, each text read by config.load.

argparse is given one command at a time, so that a wrong flag is answered at once and `--help` shows what belongs to it.
"""

from __future__ import annotations

import argparse
import json
import re
import textwrap
from typing import TYPE_CHECKING, Any, Final, NoReturn

from penstock.cli.output import say, width
from penstock.errors import ConfigError
from penstock.names import did_you_mean, shown

if TYPE_CHECKING:
    from penstock.config import Setting

__all__ = [
    "COMMANDS",
    "action_of",
    "parse",
    "receipt_of",
    "settings_of",
    "sources_of",
    "warn_of_visible_secrets",
    "whole_number",
]

_TOP_HELP: Final = """\
usage: penstock COMMAND [flags]

Write Arrow data into Kafka: fast, many processes, one receipt.

commands:
  write         write Parquet, Arrow, CSV or JSON lines into a topic
  preview       show the exact messages that write would send, without a broker
  check         go through what write needs: brokers, login, topic, registry
  verify        hold a topic against a receipt that was written with audit
  jobs          list jobs, and how far each has come
  transactions  list or abort what a dead job has left open
  demo          try it without a Kafka: a million rows into a mock cluster
  config        list every setting: type, default, meaning

flags:
  -h, --help   this text; after a command, that command's flags
  --version    name penstock, librdkafka and the build of the core

for example:
  penstock write day.parquet --topic orders --bootstrap-servers localhost:9092
  penstock preview day.parquet --key id --limit 2

exit codes:
  0  every row acknowledged         3  a source or a row that cannot be read
  1  a bug of penstock              4  broker, topic, delivery, a dead worker
  2  a wrong flag, setting, column  5  a topic that is not what a receipt says
                                    130, 143  ended by Ctrl-C, by SIGTERM
"""

_INPUT_FORMATS: Final = ("parquet", "arrow", "csv", "jsonl")

_WRITE_ABOUT: Final = """\
Write the rows of every SOURCE, in the order given, into one Kafka topic and print a receipt once all of them are
acknowledged. A SOURCE is a Parquet, Arrow IPC, CSV or JSON lines file, a directory, a glob, a pyarrow.fs URL such as
s3://bucket/path, or - for an Arrow stream on standard input."""

_PREVIEW_ABOUT: Final = """\
Print the messages that `penstock write` would send, byte for byte and in send order, without a broker. The sources and
settings are those of write."""

_CHECK_ABOUT: Final = """\
Go through all that `penstock write` needs before its first row, with the same flags and configuration, and print what
each step finds: every address of a broker, the login, the topic and what we may do with it, the schema registry.
Nothing is written, and no topic is made."""

_VERIFY_ABOUT: Final = """\
Read back what a receipt says was acknowledged, and compare: the offsets of each partition in runs, their count, and the
sum of the hashes of key and value. RECEIPT is what `penstock write --audit true --json` printed, or - for standard
input. Messages outside of the runs are told as repeats of ours, or foreign; they are nobody's mistake, but for repeats
of what was delivered exactly once, which is read committed. What has been deleted, compacted or cut off cannot be told.
Takes 8 bytes of memory for each message."""

_JOBS_ABOUT: Final = """\
List the jobs whose progress is recorded, one in a line: topic, delivery, the rows of the source that are delivered by
all lanes, when that was recorded last, and at which position of the source the job goes on."""

_TRANSACTIONS_ABOUT: Final = """\
list: print for each partition of the topic, or of a job's topic, whether an open transaction holds back consumers that
read committed (the last stable offset is behind the high watermark), and the job's lanes with their transactional ids
and positions. abort: take over the transactional id of each lane of the job. That aborts what a dead job left open; a
job that still runs is fenced and ends with an error."""

_DEMO_ABOUT: Final = """\
Start librdkafka's mock cluster inside this process, write generated order changes to it through all workers, read some
of them back with an ordinary consumer and print the receipt. Needs no Kafka and leaves nothing behind."""

_CONFIG_ABOUT: Final = "List every setting with its type, its default, its meaning and why the default is what it is."

_KEY: Final = re.compile(r"[A-Za-z0-9._-]+")
_COLUMN_LISTS: Final = frozenset({"key", "partition_by", "header_columns", "topics", "truncate_columns"})
_CONNECTION: Final = frozenset(
    {"bootstrap_servers", "region", "aws_iam", "aws_role_arn", "oauth_cb", "initialization_timeout_secs"}
)
# Of commands that do not take all of them.
_SETTINGS: Final = {
    "verify": _CONNECTION,
    "jobs": _CONNECTION | {"progress_topic"},
    "transactions": _CONNECTION | {"progress_topic", "job", "topic"},
}
_METAVARS: Final = {
    "topic": "T",
    "bootstrap_servers": "B",
    "format": "F",
    "workers": "N",
    "memory_bytes": "BYTES",
    "epoch_bytes": "BYTES",
    "lanes": "N",
    "job": "NAME",
    "progress_topic": "T",
    "initialization_timeout_secs": "SECS",
    "shutdown_timeout_secs": "SECS",
    "log_level": "LEVEL",
    "partitioner": "NAME",
    "key_format": "NAME",
    "max_weight": "N",
    "csv_null": "TEXT",
}
_ABOUT: Final = {
    "write": (_WRITE_ABOUT, "SOURCE… --topic T [--bootstrap-servers B] [flags]"),
    "preview": (_PREVIEW_ABOUT, "SOURCE… [--limit N] [--partitions P] [flags]"),
    "check": (_CHECK_ABOUT, "--topic T [--bootstrap-servers B] [--config FILE] [flags]"),
    "verify": (_VERIFY_ABOUT, "RECEIPT [--whole] [--bootstrap-servers B] [--config FILE] [flags]"),
    "jobs": (_JOBS_ABOUT, "[--bootstrap-servers B] [--progress-topic T] [--config FILE] [--json]"),
    "transactions": (_TRANSACTIONS_ABOUT, "list|abort [--job NAME] [--topic T] [--bootstrap-servers B] [flags]"),
    "demo": (_DEMO_ABOUT, "[--rows N] [--workers N] [--json]"),
    "config": (_CONFIG_ABOUT, "[--markdown]"),
}
COMMANDS: Final = tuple(_ABOUT)


class _Parser(argparse.ArgumentParser):
    """argparse with errors of one sentence; they are raised, not printed, so that all errors leave by one door."""

    def error(self, message: str) -> NoReturn:
        command = self.prog.partition(" ")[2]
        raise ConfigError(f"{command}: {message}; `{self.prog} --help` lists the flags")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=width())


def _parser(name: str) -> _Parser:
    """Make the parser of one command; only this one, since most of a parser's cost is its flags."""
    about, usage = _ABOUT[name]
    parser = _Parser(
        prog=f"penstock {name}",
        usage=f"penstock {name} {usage}",
        description=textwrap.fill(about, width()),
        formatter_class=_Formatter,
        allow_abbrev=False,
        add_help=False,  # its own would print and exit from inside the parser
    )
    parser.add_argument("-h", "--help", action="store_true", help="this text")
    if name == "preview":
        parser.add_argument("--limit", metavar="N", help="stop after N messages")
        parser.add_argument(
            "--partitions", metavar="P", help="as if the topic had P partitions (default: 1, its number not shown)"
        )
    if name == "verify":
        parser.add_argument("receipt", metavar="RECEIPT", nargs="?", help=argparse.SUPPRESS)
        parser.add_argument(
            "--whole",
            action="store_true",
            help="read all partitions of the topic from their beginnings, to find every repeat (default: those of the "
            "receipt, from its first offset in each)",
        )
    if name == "transactions":
        parser.add_argument("action", metavar="list|abort", nargs="?", help=argparse.SUPPRESS)
    if name == "demo":
        parser.add_argument("--rows", metavar="N", default="1000000", help="how many (default: 1000000)")
        parser.add_argument("--workers", metavar="N", help="processes that encode and send (default: from the cores)")
    if name == "config":
        parser.add_argument("--markdown", action="store_true", help="as two Markdown tables")
    else:
        parser.add_argument("--json", action="store_true", help="print JSON and nothing else on standard output")
    if name in {"write", "preview"}:
        parser.add_argument("sources", metavar="SOURCE", nargs="*", help=argparse.SUPPRESS)
        parser.add_argument(
            "--input-format",
            metavar="NAME",
            help=f"of all sources, whatever their names end in: {', '.join(_INPUT_FORMATS)}",
        )
    if name in {"write", "preview", "check", *_SETTINGS}:
        _add_settings(parser, _SETTINGS.get(name))
    return parser


def _add_settings(parser: _Parser, names: frozenset[str] | None) -> None:
    """Add what every command with a configuration takes, and the settings of these names; None: all of them."""
    from penstock.config import SETTINGS, THEMES  # noqa: PLC0415 - --version and the first help do without

    parser.add_argument(
        "--config",
        metavar="FILE",
        help="the connector: its JSON, the SQL that holds it, TOML or .properties; flags win over it",
    )
    parser.add_argument("--connector", metavar="NAME", help="which connector of --config, where it has several")
    parser.add_argument(
        "-X",
        dest="kafka_options",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="an option of librdkafka, its value perhaps a reference such as ${env:NAME}; give -X once for each",
    )
    theme, group = "", parser.add_argument_group()
    for row in SETTINGS:
        theme = THEMES.get(row.name, theme)
        if row.flag is None or (names is not None and row.name not in names):
            continue
        if group.title != theme:
            group = parser.add_argument_group(theme)
        default = f" (default: {row.default})" if row.default else ""
        # --restart is --restart true
        bare: dict[str, Any] = {"nargs": "?", "const": "true"} if row.type == "true or false" else {}
        group.add_argument(
            row.flag,
            dest=row.name,
            metavar=_metavar(row),
            **bare,
            action="append" if row.name in _COLUMN_LISTS else "store",
            help=f"{row.meaning}{default}".replace("%", "%%"),
        )


def _metavar(row: Setting) -> str:
    """Return what stands for a flag's value: the words that it takes, where they are few."""
    if row.name in _METAVARS:
        return _METAVARS[row.name]
    if row.name in _COLUMN_LISTS:
        return "C,…"
    if row.name.endswith("_column"):
        return "C"
    return row.type.replace(" or ", "|").replace(", ", "|")


def parse(arguments: list[str]) -> tuple[str, argparse.Namespace]:
    """Return the command and its flags; ConfigError names what is wrong and the nearest that is right.

    A wish for help is the command "help", whose flag `text` is what to print; --version is the command "version".
    """
    name = arguments[0] if arguments else ""
    if not name:
        raise ConfigError(f"no command given; try one of {', '.join(COMMANDS)}, or `penstock --help`")
    if name in {"-h", "--help"}:
        return "help", argparse.Namespace(text=_TOP_HELP)
    if name == "--version":
        return "version", argparse.Namespace()
    if name not in COMMANDS:
        hint = did_you_mean(name, [*COMMANDS, "--help", "--version"]) or f"; try one of {', '.join(COMMANDS)}"
        raise ConfigError(f"there is no command {shown(name)}{hint}")
    parser = _parser(name)
    flags, unknown = parser.parse_known_intermixed_args(arguments[1:])
    if flags.help:
        return "help", argparse.Namespace(text=parser.format_help())
    if unknown:
        wrong = unknown[0].partition("=")[0]
        known = [option for action in parser._actions for option in action.option_strings]  # noqa: SLF001 - no other way
        what = "flag" if wrong.startswith("-") else "argument"
        hint = _without_flag(wrong) or did_you_mean(wrong, known) or f"; `{parser.prog} --help` lists the flags"
        raise ConfigError(f"{name}: there is no {what} {shown(wrong)}{hint}")
    wanted = getattr(flags, "input_format", None)
    if wanted is not None and wanted not in _INPUT_FORMATS:  # not by argparse, which does not know the nearest
        hint = did_you_mean(wanted, _INPUT_FORMATS)
        raise ConfigError(f"--input-format: found {shown(wanted)}, allowed: {', '.join(_INPUT_FORMATS)}{hint}")
    return name, flags


def _without_flag(wrong: str) -> str:
    """Return where a setting is given that has no flag, as the end of a sentence; '' for any other word."""
    from penstock.config import SETTINGS  # noqa: PLC0415 - as above

    name = wrong.lstrip("-").replace("-", "_")
    names = {row.name for row in SETTINGS if row.flag is None}
    if f"format.{name}" in names:
        return f'; {name} is a member of format: --format \'{{"name": …, "config": {{"{name}": …}}}}\''
    if name in names:
        return f"; {name} is given in the object of a --config file"
    return ""


def settings_of(flags: argparse.Namespace) -> dict[str, Any]:
    """Return the flags that were given as keywords of config.load; that reads their text and checks it."""
    from penstock.config import SETTINGS  # noqa: PLC0415 - as above

    given: dict[str, Any] = {}
    for row in SETTINGS:
        value = getattr(flags, row.name, None)
        if value is not None:
            given[row.name] = ",".join(value) if row.name in _COLUMN_LISTS else value
    options: dict[str, str] = {}
    for number, pair in enumerate(flags.kafka_options, start=1):
        key, equals, value = pair.partition("=")
        if not equals or not _KEY.fullmatch(key):  # not repeated: `-X sasl.password:…`, the value perhaps ending in =
            which = f"-X number {number}" if len(flags.kafka_options) > 1 else "-X"
            raise ConfigError(f"{which}: found no KEY=VALUE in it; write for example -X linger.ms=20")
        if options.setdefault(key, value) != value:
            raise ConfigError(f"-X {key} is given twice, with two values; leave one of them out")
    given["kafka_options"] = options or None
    given["connector"] = flags.connector
    return given


def warn_of_visible_secrets(flags: argparse.Namespace) -> None:
    """Say which secrets -X and --format give as they are: every user of the machine sees them."""
    from penstock.config.references import is_reference  # noqa: PLC0415 - as above
    from penstock.config.secrets import is_secret  # noqa: PLC0415 - as above

    pairs = [pair.partition("=")[::2] for pair in flags.kafka_options]
    given = [(f"-X {name}", value) for name, value in pairs if _KEY.fullmatch(name) and is_secret(name)]
    members = _members(getattr(flags, "format", None))
    given += [(f"--format {name}", value) for name, value in members if is_secret(name)]
    names = dict.fromkeys(name for name, value in given if not is_reference(value))
    if names:
        say(
            f"warning: {', '.join(names)}: what a command line holds is shown to everybody on this machine (ps); give "
            "a reference, '${env:NAME}', as its value, or put it into the file of --config"
        )


def _members(form: str | None) -> list[tuple[str, object]]:
    """Return the members in the text of --format; none where it is a name or wrong, which config.load says."""
    try:
        members = json.loads(form or "")["config"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return []
    return list(members.items()) if isinstance(members, dict) else []


def sources_of(flags: argparse.Namespace) -> list[str]:
    """Return the sources as they were named; ConfigError when there is none."""
    if not flags.sources:
        raise ConfigError("no source given; name a file, a directory, a glob, a URL, or - for standard input")
    return list(flags.sources)


def receipt_of(flags: argparse.Namespace) -> str:
    """Return the receipt's name; ConfigError when there is none."""
    if not flags.receipt:
        raise ConfigError(
            "no receipt given; name the file with what `penstock write --audit true --json` printed, or -"
        )
    return str(flags.receipt)


def action_of(flags: argparse.Namespace) -> str:
    """Return what is to be done about transactions: list or abort; ConfigError when it is neither."""
    action = str(flags.action or "")
    if action not in {"list", "abort"}:
        found = f"found {shown(action)}" if action else "nothing given"
        raise ConfigError(f"transactions: {found}; give list or abort, and --job NAME")
    if action == "abort" and flags.job is None:
        raise ConfigError("transactions abort: give the job whose transactions are to end: --job NAME")
    return action


def whole_number(text: str | None, flag: str, *, least: int) -> int | None:
    """Return a flag's text as a number, None when it was not given; ConfigError under `least` or when it is none."""
    if text is None:
        return None
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise ConfigError(f"{flag}: found {shown(text)}, allowed: a whole number, {least} or more")
    return value
