"""The text of Java's `sasl.jaas.config`: a login module and its options. It holds passwords: no error shows any of it.

org.apache.kafka.common.security.plain.PlainLoginModule required username="alice" password="…";
"""

from __future__ import annotations

import re
from typing import Final

from penstock.errors import ConfigError

__all__ = ["parse_jaas"]

_GAP: Final = r"(?:\s|//[^\n]*|/\*.*?\*/)*"
_WORD: Final = r"""[^\s"'=;]+"""
_HEAD: Final = re.compile(
    rf"{_GAP}(?P<module>{_WORD}){_GAP}(?:required|requisite|sufficient|optional)(?=[\s;/])", re.IGNORECASE | re.DOTALL
)
_OPTION: Final = re.compile(
    rf"""{_GAP}(?P<name>{_WORD}){_GAP}={_GAP}"""
    rf"""(?:"(?P<double>(?:[^"\\\n]|\\.)*)"|'(?P<single>(?:[^'\\\n]|\\.)*)'|(?P<bare>{_WORD}))""",
    re.DOTALL,
)
_END: Final = re.compile(rf"{_GAP};{_GAP}", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\([0-3]?[0-7]{1,2}|.)", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "b": "\b", "a": "\a", "v": "\v"}


def parse_jaas(text: str, where: str) -> tuple[str, dict[str, str]]:
    """Return the login module's class and its options, or raise ConfigError that shows nothing of the text.

    where  the place, as the error names it
    """
    head = _HEAD.match(text)
    if head is None:
        raise ConfigError(
            f"{where}: it must begin with the class of a login module and the word required; its text is not shown"
        )
    options: dict[str, str] = {}
    position = head.end()
    while (option := _OPTION.match(text, position)) is not None:
        quoted = option["single"] if option["double"] is None else option["double"]
        options[option["name"]] = option["bare"] if quoted is None else _ESCAPE.sub(_plain, quoted)
        position = option.end()
    if _END.fullmatch(text, position) is None:
        raise ConfigError(
            f'{where}: after {len(options)} options it cannot be read; give one login module, options as name="value", '
            "and a semicolon at the end; its text is not shown"
        )
    return head["module"], options


def _plain(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code, 8)) if code[0] in "01234567" else _ESCAPED.get(code, code)
