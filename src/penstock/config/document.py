"""The document that holds a connector: JSON, an SQL text with the array in it, TOML or a .properties file.

All of them become one tree, the connector's object or an array of such, which connector.py takes apart. What is
lenient here says so in a warning, and errors name the line of the text as it was given.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from penstock.errors import ConfigError
from penstock.names import shown

__all__ = ["ConfigSource", "Document", "parse_json", "read_document"]

ConfigSource = Mapping[str, Any] | list[Any] | str | bytes | os.PathLike[str]


class Document(NamedTuple):
    """The tree, the name that errors call it by, and what the user should know of its form.

    flat  it was a .properties file: all values are texts, and names have no path
    """

    tree: Any
    origin: str
    warnings: tuple[str, ...] = ()
    flat: bool = False


_LONGEST_PATH: Final = 100  # an ample path; a longer text may be a document with its secrets
_TOO_DEEP: Final = "nested too deeply for a configuration"
_LONG_NUMBER: Final = "a number in it has thousands of digits"
_SUFFIXES: Final = (".json", ".sql", ".toml", ".properties")
# A string is taken whole, so a comma in it is none of ours; after an opening bracket or a comma nothing ends.
_COMMAS: Final = re.compile(r'"(?:[^"\\]+|\\.)*"?|[\[{,]\s*,|(?P<comma>,)(?=\s*(?P<end>[}\]]))', re.DOTALL)
_CONNECTORS: Final = r"'connectors'\s*=\s*"
_LOOKS_LIKE_SQL: Final = re.compile(rf"\s*(?:create\s|with\s*\()|.*?{_CONNECTORS}", re.IGNORECASE | re.DOTALL)
# Comments and other strings are taken whole, so that what is commented out or quoted is not found.
_SQL: Final = re.compile(
    rf"""--[^\n]*|/\*.*?\*/|{_CONNECTORS}'(?P<array>(?:[^']|'')*)'|'(?:[^']|'')*'|"[^"]*\"""", re.IGNORECASE | re.DOTALL
)


def read_document(config: ConfigSource) -> Document:
    """Return the tree of a connector from a mapping, a text or a file.

    config  a path object, a text that ends like a file or names an existing one: that file, by its ending TOML,
            properties or SQL; any other text: JSON, or SQL that holds 'connectors' = '[…]'

    Raises ConfigError naming file, line and column of what cannot be read, and showing nothing of a long text.
    """
    if isinstance(config, (Mapping, list)):
        return Document(config, "config")
    if isinstance(config, bytes):
        return _read_text(_decode(config, "config"), "config")
    if not isinstance(config, (str, os.PathLike)):
        raise ConfigError(f"config must be an object, a text or a file, found {type(config).__name__}")
    text = os.fspath(config).removeprefix("\ufeff")
    if isinstance(config, os.PathLike) or _names_file(text):
        return _read_file(text)
    if not _looks_like_json(text) and not _LOOKS_LIKE_SQL.match(text):
        # A path that does not exist, most likely; a text may hold secrets, so only a short one is repeated.
        found = shown(text) if len(text) < _LONGEST_PATH and not {"\n", "="} & set(text) else "a text"
        raise ConfigError(f"config: {found} is neither an existing file nor a connector as JSON or SQL")
    return _read_text(text, "config")


def parse_json(text: str, origin: str) -> Any:  # noqa: ANN401 - it is JSON
    """Parse JSON text; raise ConfigError naming the line and column where it is broken, or the name given twice."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigError(f'{origin}: "{twice}" is given twice in one object; leave one of them out')
        return found

    def constant(name: str) -> float:
        raise ConfigError(f"{origin}: {name} is not JSON; give a number")

    try:
        return json.loads(text, object_pairs_hook=members, parse_constant=constant)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ConfigError(f"{origin}, {place}: not JSON: {error.msg[:1].lower()}{error.msg[1:]}") from None
    except ValueError:
        raise ConfigError(f"{origin}: {_LONG_NUMBER}") from None
    except RecursionError:
        raise ConfigError(f"{origin}: {_TOO_DEEP}") from None


def _names_file(text: str) -> bool:
    if _looks_like_json(text) or "\n" in text:  # a document, even where it ends in a string such as "x.json"
        return False
    if text.lower().endswith(_SUFFIXES):
        return True
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a path, or a zero byte
        return False


def _looks_like_json(text: str) -> bool:
    return text.lstrip()[:1] in {"{", "["}


def _read_file(name: str) -> Document:
    path = Path(name)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"config file {name}: {error.strerror or error}; check the path") from None
    text, kind = _decode(content, name), path.suffix.lower()
    if kind == ".toml":
        return Document(_read_toml(text, name), name)
    if kind == ".properties":
        from penstock.config.properties import read_properties  # noqa: PLC0415 - hardly ever needed

        tree, warnings = read_properties(text, name)
        return Document(tree, name, warnings, flat=True)
    return _read_text(text, name, sql=kind == ".sql")


def _decode(content: bytes, origin: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{origin}, line {line}: not UTF-8 text; save the file as UTF-8") from None


def _read_text(text: str, origin: str, *, sql: bool = False) -> Document:
    if sql or (not _looks_like_json(text) and _LOOKS_LIKE_SQL.match(text)):
        text = _array_of(text, origin)
    text, commas = _without_last_commas(text)
    tree = parse_json(text, origin)
    warnings = [
        f"{origin}, line {line}: a comma before the closing {end} is taken as if it were not there"
        for line, end in commas
    ]
    return Document(tree, origin, tuple(warnings))


def _array_of(text: str, origin: str) -> str:
    """Return the array in an SQL text, at its place: what stands before it becomes blanks, so lines stay theirs."""
    found = [match for match in _SQL.finditer(text) if match["array"] is not None]
    if not found:
        raise ConfigError(
            f"{origin}: looked in this SQL text for 'connectors' = '[ … ]' and found none; "
            "paste the WITH (…) of the view whole"
        )
    if len(found) > 1:
        lines = ", ".join(str(text.count("\n", 0, match.start()) + 1) for match in found)
        raise ConfigError(
            f"{origin}: this SQL text has {len(found)} times 'connectors' = '[ … ]', in lines {lines}; "
            "give the view that is to be written alone"
        )
    (match,) = found
    return re.sub(r"[^\n]", " ", text[: match.start("array")]) + match["array"].replace("''", "'")


def _without_last_commas(text: str) -> tuple[str, list[tuple[int, str]]]:
    """Return the text with a blank for each comma before a closing brace or bracket, and their lines and ends."""
    commas: list[tuple[int, str]] = []

    def blank(match: re.Match[str]) -> str:
        if match["comma"] is None:
            return match[0]
        end = "brace" if match["end"] == "}" else "bracket"
        commas.append((text.count("\n", 0, match.start()) + 1, end))
        return " "

    return _COMMAS.sub(blank, text), commas


def _read_toml(text: str, origin: str) -> Any:  # noqa: ANN401 - it is TOML
    if sys.version_info >= (3, 11):
        import tomllib  # noqa: PLC0415 - hardly ever needed
    else:
        import tomli as tomllib  # noqa: PLC0415 - as above
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said, _, place = str(error).rstrip(")").partition(" (at ")
        raise ConfigError(f"{origin}, {place}: not TOML: {said[:1].lower()}{said[1:]}") from None
    except ValueError:
        raise ConfigError(f"{origin}: {_LONG_NUMBER}") from None
    except RecursionError:
        raise ConfigError(f"{origin}: {_TOO_DEEP}") from None
    for connector in tree["connectors"] if isinstance(tree.get("connectors"), list) else [tree]:
        transport = connector.get("transport") if isinstance(connector, dict) else None
        if isinstance(transport, dict) and isinstance(transport.get("config"), dict):
            transport["config"] = config = _dotted(transport["config"], f"{origin}: transport.config")
            tolerance = config.get("fault_tolerance")
            for name, options in tolerance.items() if isinstance(tolerance, dict) else ():
                if isinstance(options, dict):
                    where = f"{origin}: transport.config.fault_tolerance.{name}"
                    config["fault_tolerance"] = {**config["fault_tolerance"], name: _dotted(options, where)}
    return tree


def _dotted(table: Mapping[str, Any], where: str, above: str = "") -> dict[str, Any]:
    """Return librdkafka's options by their whole names: TOML makes tables of `security.protocol = "SSL"`."""
    options: dict[str, Any] = {}
    for name, value in table.items():
        inner = {above + name: value}
        if isinstance(value, dict) and above + name != "fault_tolerance":  # the one that is an object itself
            inner = _dotted(value, where, f"{above}{name}.")
        for option, one in inner.items():
            if option in options:
                raise ConfigError(f"{where}: {option} is given twice, with and without quotation marks; leave one out")
            options[option] = one
    return options
