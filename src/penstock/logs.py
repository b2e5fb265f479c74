"""logs: what librdkafka logs, handed on to Python's logger `penstock.librdkafka`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["tell_log"]

_log = logging.getLogger("penstock.librdkafka")
_LEVELS: Final = {0: 40, 1: 40, 2: 40, 3: 40, 4: 30, 5: 20, 6: 20, 7: 10}  # syslog's to Python's, as in the connector


def tell_log(lines: Iterable[tuple[int, str, str]], who: str, dropped: int = 0) -> None:
    """Log lines of librdkafka, without secrets already.

    lines    (syslog level, facility, text)
    who      whose client said them; empty for the caller's own
    dropped  how many more there were
    """
    origin = f"{who}: " if who else ""
    for level, facility, text in lines:
        _log.log(_LEVELS.get(level, 20), "%s%s: %s", origin, facility, text)
    if dropped:
        _log.warning("%s%d lines were dropped, since more were logged than this process could take", origin, dropped)
