"""Names of topics, and the patterns that stand for many of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from penstock.config.connector import json_kind
from penstock.errors import ConfigError
from penstock.names import shown

if TYPE_CHECKING:
    from penstock.config.connector import Given

__all__ = ["is_pattern", "is_topic", "read_topics"]

_TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")


def is_topic(name: str) -> bool:
    """Tell whether Kafka takes the name."""
    return _TOPIC.fullmatch(name) is not None and name not in {".", ".."}


def is_pattern(topics: tuple[str, ...]) -> bool:
    """Tell whether these topics are one pattern."""
    return len(topics) == 1 and topics[0].startswith("^")


def read_topics(given: Given) -> tuple[str, ...]:
    """Return names from a list, or from a text with commas between them; a text that begins with ^ is a pattern."""
    value = given.value
    if isinstance(value, str):
        value = [value] if value.startswith("^") else [name.strip() for name in value.split(",") if name.strip()]
    if not isinstance(value, (list, tuple)) or not all(isinstance(name, str) for name in value):
        raise ConfigError(
            f'{given.where} must be a list of topics, or a text such as "a,b" or "^orders-.*"; found {json_kind(value)}'
        )
    topics = tuple(value)
    if is_pattern(topics):
        try:
            re.compile(topics[0])
        except re.error as error:
            raise ConfigError(f"{given.where}: {shown(topics[0])} is not a regular expression: {error}") from None
        return topics
    for name in topics:
        if name.startswith("^"):
            raise ConfigError(
                f"{given.where}: the pattern {shown(name)} stands alone; give it as a text, without others"
            )
        if not is_topic(name):
            raise ConfigError(
                f"{given.where}: {shown(name)} is not a topic name; Kafka takes 1 to 249 of letters, digits, '.', "
                "'_', '-'"
            )
    return topics
