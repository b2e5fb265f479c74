"""What goes to standard output and standard error, and how it is laid out for people and for programs.

Results go to standard output and nowhere else; `say` is for all that is not a result.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import textwrap
import unicodedata
from typing import TYPE_CHECKING, Any

import msgspec

from penstock.names import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container
    from typing import TextIO

    from penstock.check import Finding
    from penstock.messages import Message
    from penstock.verify import PartitionFinding

__all__ = [
    "CannotPrint",
    "ReaderLeft",
    "columns",
    "fill_closed_streams",
    "finding_text",
    "findings_json",
    "flush",
    "folded",
    "indented",
    "markdown",
    "message_json",
    "message_text",
    "partition_text",
    "put",
    "say",
    "use_utf8",
    "width",
]


_GAP = "  "
_LEAST_CELL = 8
_LAYOUT = dict.fromkeys(map(ord, "\t\n\r"))  # control characters that lay a text out


class CannotPrint(Exception):  # noqa: N818 - the name is what happened
    """Standard output takes no more, for instance because its disk is full."""


class ReaderLeft(Exception):  # noqa: N818 - the name is what happened
    """Nobody reads standard output any more, as with `penstock preview … | head`."""


def fill_closed_streams() -> None:
    """Open on /dev/null what was closed with <&- or >&-: the arena would else take that number.

    A worker's own standard streams would then be laid over it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # the lowest free number is this one
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def use_utf8() -> None:
    """Let standard output write UTF-8 whatever the locale: messages and JSON are shown as their bytes are."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")


def put(text: str) -> None:
    """Write a result to standard output.

    Raises ReaderLeft when nobody reads it any more, CannotPrint when it takes no more.
    """
    _to_stdout(lambda stream: stream.write(text))


def flush() -> None:
    """Hand what was put to whoever reads it; errors as put."""
    _to_stdout(lambda stream: stream.flush())


def _to_stdout(act: Callable[[TextIO], object]) -> None:
    if sys.stdout is None:  # closed by the caller with >&-: nobody wants the result
        return
    try:
        act(sys.stdout)
    except OSError as error:
        # What is still buffered must not be tried again, and complained about, when the interpreter ends.
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
        if isinstance(error, BrokenPipeError):
            raise ReaderLeft from None
        raise CannotPrint(f"cannot write to standard output: {error.strerror or error}") from None


def say(text: str, *, as_it_is: bool = False) -> None:
    """Write one line for people to standard error, whatever line ends the text has; `as_it_is` keeps its lines."""
    line = text if as_it_is else f"penstock: {' '.join(text.split())}"
    with contextlib.suppress(OSError, ValueError):  # nobody left to tell
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - the one place that does


def message_text(message: Message, number: int) -> str:
    """Lay out a message for people: a line of facts, then its value."""
    facts = [f"batch {message.batch}", f"topic {message.topic}"]
    if message.partition is not None:
        facts.append(f"partition {message.partition}")
    if message.key is not None:
        facts.append(f"key {_readable(message.key)}")
    facts += [f"header {name}={'null' if value is None else _readable(value)}" for name, value in message.headers]
    if message.timestamp is not None:
        facts.append(f"timestamp {message.timestamp} ms")
    facts.append("value null" if message.value is None else f"{len(message.value):,} bytes")
    value = "" if message.value is None else _readable(message.value)
    return (
        f"--- message {number:,}: {', '.join(facts)}\n{value}{'' if not value or value.endswith(chr(10)) else chr(10)}"
    )


def message_json(message: Message) -> str:
    """Lay out a message as one line of JSON; bytes that are not UTF-8 become hex in `key_hex` and `value_hex`."""
    line: dict[str, Any] = {"batch": message.batch, "topic": message.topic, "partition": message.partition}
    line |= _text_or_hex("key", message.key) | _text_or_hex("value", message.value)
    line["headers"] = [{"key": name} | _text_or_hex("value", value) for name, value in message.headers]
    if message.timestamp is not None:
        line["timestamp"] = message.timestamp
    return msgspec.json.encode(line).decode() + "\n"


def _text_or_hex(name: str, value: bytes | None) -> dict[str, str | None]:
    if value is None:
        return {name: None}
    try:
        return {name: value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_hex": value.hex()}


def _readable(value: bytes) -> str:
    """Return text as it is; hex for what is none, and for what a terminal would obey instead of show."""
    with contextlib.suppress(UnicodeDecodeError):
        text = value.decode()
        if not any(unicodedata.category(letter) == "Cc" for letter in text.translate(_LAYOUT)):
            return text
    return f"0x{value.hex()}"


def finding_text(finding: Finding) -> str:
    """Lay out one step of a check: a sign, what it is about, and what was found, folded to the terminal's width."""
    sign = {True: "✓", False: "✗", None: "·"}[finding.ok]
    head = f"{sign} {finding.step:<13} "
    about = f"{finding.about}: " if finding.about and shown(finding.about) not in finding.text else ""
    return textwrap.fill(
        f"{about}{finding.text}", width(), initial_indent=head, subsequent_indent=" " * len(head),
        break_long_words=False, break_on_hyphens=False,
    ) + "\n"  # fmt: skip


def findings_json(findings: list[Finding]) -> str:
    """Lay out a check as one line of JSON."""
    good = all(finding.ok is not False for finding in findings)
    return msgspec.json.encode({"ok": good, "steps": findings}).decode() + "\n"


def partition_text(finding: PartitionFinding) -> str:
    """Lay out what was found in a partition, in one line."""
    sign = {"agrees": "✓", "differs": "✗", "cannot tell": "?"}[finding.verdict]
    runs = "1 run" if finding.runs == 1 else f"{finding.runs:,} runs"
    facts = [finding.text, f"{finding.messages:,} message{'' if finding.messages == 1 else 's'} in {runs}"]
    if finding.repeats:
        facts.append(
            f"{finding.repeats:,} repeat{'' if finding.repeats == 1 else 's'} from offset {finding.first_repeat}"
        )
    if finding.foreign:
        facts.append(f"{finding.foreign:,} foreign from offset {finding.first_foreign}")
    where = f"{finding.topic}[{finding.partition}]"
    return f"{sign} {where} {finding.verdict}: {'; '.join(filter(None, facts))}\n"


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """Lay out a table in Markdown."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def columns(rows: list[list[str]], most: int, *, right: Container[int], cut: Collection[int]) -> str:
    """Lay out a table of at most `most` columns of text, for people.

    right  columns of numbers
    cut    columns whose cells are shortened, the widest first, where the table is too wide
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    while sum(widths) + len(_GAP) * (len(widths) - 1) > most and max(widths[at] for at in cut) > _LEAST_CELL:
        widths[max(cut, key=lambda at: widths[at])] -= 1
    return "".join(
        _GAP.join(_cell(text, widths[at], right=at in right) for at, text in enumerate(row)).rstrip() + "\n"
        for row in rows
    )


def _cell(text: str, size: int, *, right: bool) -> str:
    line = text if len(text) <= size else f"{text[: size - 1]}…"
    return line.rjust(size) if right else line.ljust(size)


def indented(text: str) -> str:
    """Fold a paragraph to the width of the terminal, four spaces in; ends with a line end."""
    return textwrap.fill(text, width(), initial_indent="    ", subsequent_indent="    ", break_long_words=False) + "\n"


def folded(text: str) -> str:
    """Fold a line of JSON after commas to the width of the terminal, four spaces in; ends with a line end."""
    lines = [""]
    for part in text.rstrip().replace(",", ",\0").split("\0"):
        if lines[-1] and len(lines[-1]) + len(part) > width() - 4:
            lines.append("")
        lines[-1] += part
    return "".join(f"    {line}\n" for line in lines)


def width() -> int:
    """Return the columns that help texts may use: those of the terminal, at most 80."""
    return min(shutil.get_terminal_size().columns, 80)
