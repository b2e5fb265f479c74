"""memory: sizes as people write them, and shares that never exceed the whole."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.config import memory_shares, parse_bytes
from penstock.errors import ConfigError

MIB = 1 << 20


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1048576", MIB), ("256MiB", 256 * MIB), ("256 mib", 256 * MIB), ("256Mi", 256 * MIB), ("1 GB", 10**9),
        ("1g", 10**9), ("64 kB", 64000), ("64KiB", 65536), ("1.5 GiB", 3 << 29), ("2TiB", 2 << 40), (" 5 B ", 5),
        ("0.1 GB", 10**8),
    ],
)  # fmt: skip
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    """KiB, MiB and the like count in 1024s, kB, MB in 1000s, exactly, in any case."""
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "5 iB", "5 MiBs", "-5", "1e9", "5 5", "5,5 MB", "0x10", "1_000"])
def test_what_is_no_size_is_refused(text: str) -> None:
    """A text that is not a number with a unit gives no number."""
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        parse_bytes(text)


@given(workers=st.integers(0, 1024), spare=st.integers(0, 1 << 40))
def test_shares_stay_within_the_whole_and_hold_a_message(workers: int, spare: int) -> None:
    """Arena, all encode buffers and 256 bytes per message in flight add up to no more than memory_bytes."""
    parts = max(1, workers)
    whole = parts * 8 * MIB + spare
    shares = memory_shares(whole, workers)
    kept = shares.queue_messages * 256 * parts
    assert shares.arena_bytes + shares.encode_buffer_bytes * parts + kept <= whole
    assert whole - shares.arena_bytes - shares.encode_buffer_bytes * parts <= whole // 8 + parts
    assert shares.encode_buffer_bytes >= 3 * 1_000_000
    assert 4096 <= shares.queue_messages <= 65536
    assert shares.queue_kbytes == min(-(-shares.encode_buffer_bytes // 1024), 2**31 - 1)


@given(workers=st.integers(0, 1024), less=st.integers(1, 1 << 40))
def test_less_than_the_least_is_refused_with_the_least(workers: int, less: int) -> None:
    """Below 8 MiB per worker the error names a size, and that size is taken."""
    least = max(1, workers) * 8 * MIB
    with pytest.raises(ConfigError, match=f"at least {least} "):
        memory_shares(least - less, workers)
    assert memory_shares(least, workers).queue_messages == 4096
