"""statistics: how a writer stands, as one moment's numbers, and telling them now and then."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.coordinator import Coordinator

__all__ = ["TICK_SECS", "Statistics", "Ticker", "statistics"]

TICK_SECS: Final = 0.1


class Statistics(msgspec.Struct, frozen=True):
    """How a writer stands, as one moment's numbers.

    rows_taken         given to `write` so far
    rows_held          of those the ones that wait in the output buffer
    rows_acked         acknowledged by the broker; messages_acked, bytes_acked (keys and values) likewise
    arena_bytes        of shared memory in use now; arena_peak_bytes the most so far, of arena_size
    partitions         of the topic
    workers            processes; 0: none but the caller's
    """

    rows_taken: int
    rows_held: int
    rows_acked: int
    messages_acked: int
    bytes_acked: int
    arena_bytes: int
    arena_peak_bytes: int
    arena_size: int
    partitions: int
    workers: int


def statistics(coordinator: Coordinator) -> Statistics:
    """Return how things stand, peaks as well as levels."""
    ledger = coordinator.ledger
    return Statistics(
        rows_taken=ledger.taken,
        rows_held=ledger.held,
        rows_acked=ledger.acknowledged,
        messages_acked=ledger.messages,
        bytes_acked=ledger.bytes,
        arena_bytes=coordinator.arena.used,
        arena_peak_bytes=coordinator.arena.peak,
        arena_size=coordinator.arena.size,
        partitions=coordinator.partitions,
        workers=coordinator.workers,
    )


class Ticker:
    """Tells somebody how things stand, about ten times a second while tick() is called.

    told  who is told; None: nobody
    """

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        self._ticked = 0.0
        self.told: Callable[[Statistics], None] | None = None

    def tick(self) -> None:
        """Tell, if it is time for that."""
        if self.told is not None and time.monotonic() - self._ticked >= TICK_SECS:
            self._ticked = time.monotonic()
            self.told(statistics(self._coordinator))
