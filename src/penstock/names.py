"""Names and values as errors show them, and the names that an unknown one may have meant."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["did_you_mean", "function_name", "is_unicode", "nearest", "shown"]

# Below 0.6 difflib pairs names that share only a suffix such as ".ms", which sends people the wrong way.
_LIKENESS = 0.6
_LONGEST_SHOWN = 200


def nearest(name: str, known: Iterable[str], *, limit: int = 3) -> list[str]:
    """Return up to `limit` of the `known` names that `name` may have meant, the best first; case does not count.

    Nor do the dashes of flags, which make any two of them alike.
    """
    by_lower: dict[str, str] = {}
    for candidate in known:
        by_lower.setdefault(candidate.lower().lstrip("-"), candidate)
    found = difflib.get_close_matches(name.lower().lstrip("-"), by_lower, n=limit, cutoff=_LIKENESS)
    return [by_lower[candidate] for candidate in found]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of an error sentence, '; did you mean "batch.size"?', or '' where nothing is near."""
    names = [f'"{candidate}"' for candidate in nearest(name, known)]
    if not names:
        return ""
    if len(names) == 1:
        return f"; did you mean {names[0]}?"
    return f"; did you mean {', '.join(names[:-1])} or {names[-1]}?"


def shown(value: object) -> str:
    """Return a value as an error shows it, cut to 200 characters. Never call it with a secret."""
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."


def function_name(function: object) -> str:
    """Return a function as messages call it: "module:function" as given, or its own name.

    Never its repr, which for a method or a partial shows what it is bound to: a password, perhaps.
    """
    if isinstance(function, str):
        return function
    return str(getattr(function, "__qualname__", type(function).__name__))


def is_unicode(text: str) -> bool:
    """Tell whether a text can be written as UTF-8: what a command line holds in another encoding cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
