"""logs: what librdkafka logs, handed on to Python's logger `penstock.librdkafka`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["tell_log"]

_log = logging.getLogger("penstock.librdkafka")
_LEVELS: Final = {0: 50, 1: 50, 2: 50, 3: 40, 4: 30, 5: 20, 6: 20, 7: 10}  # syslog's to Python's


def tell_log(lines: Iterable[tuple[int, str, str]], who: str) -> None:
    """Log lines of librdkafka, each (syslog level, facility, text); who: whose client said them."""
    for level, facility, text in lines:
        _log.log(_LEVELS.get(level, 20), "%s: %s: %s", who, facility, text)
