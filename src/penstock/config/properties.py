"""A .properties file, as Kafka's own tools and librdkafka's examples have it, turned into the connector's tree.

    bootstrap.servers=broker:9092      transport.config, librdkafka's options and Java's alike
    topic=orders                       transport.config too: topic, log_level, initialization_timeout_secs, region …
    writer.key=id                      what is ours
    enable_output_buffer=true          what the connector has at its top
    format=json                        the format's name; format.config.array=true a member of it

Lines are read as java.util.Properties reads them: `=`, `:` or white space ends the key, `#` and `!` begin a comment, a
backslash at its end continues a line. Every value is a text, so the types of settings are read from it as from a flag.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from penstock.config.secrets import is_secret
from penstock.errors import ConfigError
from penstock.names import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["read_properties"]

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_WHITE: Final = " \t\f"
_PAIR: Final = re.compile(r"((?:[^\\=: \t\f]|\\.)*)[ \t\f]*[=:]?[ \t\f]*((?:[^\\]|\\.)*?)([ \t\f]*)", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED: Final = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


def read_properties(text: str, origin: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the connector's tree with texts for values, and warnings about what is easily meant otherwise.

    White space that ends a line is dropped, but for secrets: Java keeps it, and nobody sees it. Raises ConfigError
    naming the line for a key given twice with different values, for an escape that Java refuses, and for PEM that is
    cut by the end of its line: what follows would be taken for names.
    """
    tree: dict[str, Any] = {}
    places: dict[str, tuple[int, str]] = {}
    warnings: list[str] = []
    for line, logical in _logical_lines(text):
        where = f"{origin}, line {line}"
        pair = _PAIR.fullmatch(logical)
        assert pair is not None, "every line has a key and a value, both perhaps empty"  # noqa: S101
        name, value = _unescaped(pair[1], where, warnings), _unescaped(pair[2], where, warnings)
        if value.startswith("-----BEGIN") and "-----END" not in value:
            raise ConfigError(
                f"{where}: the value of {shown(name)} ends with its line; write PEM in one line, with \\n\\ at the end "
                "of each of its own, or give the path of its file as the .location of the same name"
            )
        if pair[3] and is_secret(name):
            value += pair[3]
            warnings.append(f"{where}: the value of {name} ends in white space, which is taken as part of it")
        earlier = places.setdefault(name, (line, value))
        if earlier[1] != value:
            raise ConfigError(
                f"{where}: {shown(name)} is given again, with another value than in line {earlier[0]}; "
                "leave one of them out"
            )
        _place(tree, name, value)
    return tree, tuple(warnings)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield lines joined where a backslash continues them, with the number of their first; no comments, none empty."""
    lines = enumerate(_LINE_END.split(text), start=1)
    for first, natural in lines:
        line = natural.lstrip(_WHITE)
        if line[:1] in {"#", "!"}:
            continue
        while (len(line) - len(line.rstrip("\\"))) % 2:
            line = line[:-1] + next(lines, (0, ""))[1].lstrip(_WHITE)
        if line:
            yield first, line


def _unescaped(text: str, where: str, warnings: list[str]) -> str:
    def one(match: re.Match[str]) -> str:
        code = match[1]
        if len(code) > 1:
            return chr(int(code[1:], 16))
        if code == "u":
            raise ConfigError(f"{where}: \\u must be followed by four hexadecimal digits; write \\\\ for a backslash")
        if code.isalnum() and code not in _ESCAPED:  # \: and the like are written by Java itself
            warnings.append(f"{where}: a backslash is dropped, as Java does; write \\\\ for a backslash")
        return _ESCAPED.get(code, code)

    plain = _ESCAPE.sub(one, text)
    try:
        return plain.encode("utf-16", "surrogatepass").decode("utf-16")  # two \u may be one character
    except UnicodeDecodeError:
        raise ConfigError(f"{where}: \\u names half a character; give both halves of the pair") from None


def _place(tree: dict[str, Any], name: str, value: str) -> None:
    head, _, rest = name.partition(".")
    if head == "writer" and rest:
        tree.setdefault("writer", {})[rest] = value
    elif name.startswith("format.config."):
        tree.setdefault("format", {}).setdefault("config", {})[name.removeprefix("format.config.")] = value
    elif name in {"format", "format.name"}:
        tree.setdefault("format", {})["name"] = value
    else:
        tree.setdefault("transport", {}).setdefault("config", {})[name] = value
