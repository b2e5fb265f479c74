"""memory_bytes, the one memory setting: how it is written, and how it is shared out."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from penstock.errors import ConfigError

__all__ = [
    "IN_FLIGHT_MESSAGES",
    "MIB",
    "MIN_WORKER_BYTES",
    "MemoryShares",
    "memory_shares",
    "parse_bytes",
    "workers_text",
]

MIB: Final = 1 << 20
MIN_WORKER_BYTES: Final = 8 * MIB  # an arena share of 3.5 MiB, three messages of 1 MB, 4096 messages in flight
IN_FLIGHT_MESSAGES: Final = 65536
IN_FLIGHT_MESSAGE_BYTES: Final = 256  # what librdkafka keeps per message beside its payload


class MemoryShares(msgspec.Struct, frozen=True):
    """How memory_bytes is shared out; see memory_shares."""

    arena_bytes: int
    encode_buffer_bytes: int
    queue_kbytes: int
    queue_messages: int


def memory_shares(memory_bytes: int, workers: int) -> MemoryShares:
    """Share out memory_bytes; what is returned adds up to no more than it.

        1/8    librdkafka's bookkeeping: 256 bytes per message in flight, so many messages per worker, at most 65536
        7/16   arena_bytes, one for all workers: rows until they are acknowledged
        7/16   encode_buffer_bytes, for each worker its part: payloads, sent without a copy until they are acknowledged

    workers  0 counts as one, inside the calling process

    queue_kbytes and queue_messages are librdkafka's limits in one worker. Raises ConfigError under 8 MiB per worker.
    Source: of 64, 128 and 256 Ki messages in flight 64 Ki took the least CPU time, and fewer wait on linger.ms;
    librdkafka 2.16 was measured to keep 190 bytes per message, 208 with a key of 12 bytes.
    """
    parts = max(1, workers)
    if memory_bytes < parts * MIN_WORKER_BYTES:
        fewer = ", or fewer workers" if parts > 1 else ""
        raise ConfigError(
            f"memory_bytes={memory_bytes} is too little for {workers_text(workers)}: each needs "
            f"{MIN_WORKER_BYTES // MIB} MiB; give at least {parts * MIN_WORKER_BYTES} ({parts * 8} MiB){fewer}"
        )
    kept = memory_bytes // 8
    arena = (memory_bytes - kept) // 2
    buffer = (memory_bytes - kept - arena) // parts
    return MemoryShares(
        arena_bytes=arena,
        encode_buffer_bytes=buffer,
        queue_kbytes=min(-(-buffer // 1024), 2**31 - 1),
        queue_messages=min(IN_FLIGHT_MESSAGES, kept // parts // IN_FLIGHT_MESSAGE_BYTES),
    )


_SIZE: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)


def parse_bytes(text: str) -> int:
    """Return the number of bytes in a text such as "256MiB", "1 GB" or "1048576"; ValueError where there is none.

    Ki, Mi, Gi, Ti count in 1024s, k, M, G, T in 1000s; the B and the case do not matter.
    """
    found = _SIZE.fullmatch(text)
    if found is None or (found[3] and not found[2]):
        raise ValueError(text)
    power = " kmgt".index(found[2].lower() or " ")
    whole, _, fraction = found[1].partition(".")
    unit: int = (1024 if found[3] else 1000) ** power
    return int(whole + fraction) * unit // int("1" + "0" * len(fraction))


def workers_text(workers: int) -> str:
    """Return the number of workers as a sentence names it."""
    return "workers=0" if workers == 0 else "1 worker" if workers == 1 else f"{workers} workers"
