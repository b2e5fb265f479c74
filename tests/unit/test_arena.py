"""The arena against a model that knows nothing of free lists: places, users, what is written there, descriptors."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import penstock
from penstock import arena as arena_module
from penstock.arena import Arena, available_memory

MIB = 1 << 20


def descriptors() -> list[str]:
    """Return the shared memory that is open, by descriptor."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # that of the listing itself
            found.append(str(entry.readlink()))
    return [target for target in found if "memfd:penstock" in target]


@dataclass
class Place:
    size: int
    users: int
    pattern: bytes


class ArenaMachine(RuleBasedStateMachine):
    """Places hold a pattern of their own, so that two that overlap would spoil each other."""

    @initialize(size=st.sampled_from([1024, 4096 + 100, 65536]))
    def begin(self, size):
        self.arena = Arena(size)
        self.places: dict[int, Place] = {}
        self.peak = 0
        self.pattern = 0

    def teardown(self):
        if not hasattr(self, "arena"):
            return
        for position, place in list(self.places.items()):
            for _ in range(place.users):
                self.arena.release(position)
        self.places.clear()
        whole = self.arena.size // 64 * 64
        assert self.arena.used == 0
        assert self.arena.allocations == 0
        assert self.arena.allocate(whole) == 0, "what was freed has not grown together again"
        self.arena.close()

    def gaps(self) -> list[tuple[int, int]]:
        """Return (position, size) of what no place covers."""
        free, at = [], 0
        for position in sorted(self.places):
            if position > at:
                free.append((at, position - at))
            at = position + self.places[position].size
        return [*free, (at, self.arena.size - at)] if at < self.arena.size else free

    @rule(size=st.one_of(st.integers(1, 600), st.integers(1, 70000)))
    def allocate(self, size):
        rounded = -(-size // 64) * 64
        fits = [position for position, room in self.gaps() if room >= rounded]
        position = self.arena.allocate(size)
        if not fits:
            assert position is None
            return
        assert position == fits[0], "the lowest place that is large enough comes first"
        assert position % 64 == 0
        self.pattern += 1
        pattern = self.pattern.to_bytes(4, "little") * (rounded // 4)
        self.arena.memory[position : position + rounded] = pattern
        self.places[position] = Place(rounded, 1, pattern)
        self.peak = max(self.peak, sum(place.size for place in self.places.values()))

    @precondition(lambda self: self.places)
    @rule(data=st.data())
    def share(self, data):
        position = data.draw(st.sampled_from(sorted(self.places)))
        self.places[position].users += 1
        self.arena.share(position)

    @precondition(lambda self: self.places)
    @rule(data=st.data())
    def release(self, data):
        position = data.draw(st.sampled_from(sorted(self.places)))
        place = self.places[position]
        assert self.arena.memory[position : position + place.size] == place.pattern
        place.users -= 1
        if place.users == 0:
            del self.places[position]
        self.arena.release(position)

    @invariant()
    def counts_agree(self):
        assert self.arena.used == sum(place.size for place in self.places.values())
        assert self.arena.peak == self.peak
        assert self.arena.allocations == len(self.places)

    @invariant()
    def nothing_overlaps(self):
        at = 0
        for position in sorted(self.places):
            assert position >= at
            at = position + self.places[position].size
        assert at <= self.arena.size


ArenaMachine.TestCase.settings = settings(
    max_examples=80, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestArena = ArenaMachine.TestCase


def test_a_freed_place_cannot_be_freed_again():
    """Releasing or sharing a place that nobody uses is a KeyError, and not somebody else's memory."""
    arena = Arena(MIB)
    position = arena.allocate(100)
    arena.share(position)
    arena.release(position)
    arena.release(position)
    with pytest.raises(KeyError):
        arena.release(position)
    with pytest.raises(KeyError):
        arena.share(position)
    assert arena.used == 0
    arena.close()


def test_sealed():
    """Nobody who has the descriptor can shrink or grow the arena, so no worker meets SIGBUS or a smaller map."""
    arena = Arena(MIB)
    for size in (0, 2 * MIB):
        with pytest.raises(PermissionError):
            os.ftruncate(arena.fd, size)
    arena.close()


def test_two_maps_see_the_same_bytes():
    """What is written through one map of the descriptor is read through another."""
    arena = Arena(MIB)
    position = arena.allocate(64)
    with mmap.mmap(arena.fd, arena.size) as other:
        arena.memory[position : position + 5] = b"plant"
        assert other[position : position + 5] == b"plant"
    arena.close()


def test_close_leaves_no_descriptor():
    """close, also called twice, gives back the descriptor and the map; the arena is not inherited by other programs."""
    before = descriptors()
    arena = Arena(MIB)
    assert len(descriptors()) > len(before)
    assert not os.get_inheritable(arena.fd)
    arena.allocate(1000)
    arena.close()
    arena.close()
    assert descriptors() == before


def test_nothing_is_reserved_before_it_is_used():
    """A large arena costs no memory until something lies in it, and then about what was asked for."""
    arena = Arena(min(1 << 30, available_memory() // 2))

    def held() -> int:
        return os.fstat(arena.fd).st_blocks * 512

    assert held() == 0
    arena.allocate(1000)
    assert 1000 <= held() <= 16 * MIB
    arena.close()


def no_more_than(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the machine give `limit` bytes of shared memory and no more."""
    real = os.posix_fallocate

    def fallocate(fd: int, offset: int, size: int) -> None:
        if offset + size > limit:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(fd, offset, size)

    monkeypatch.setattr(os, "posix_fallocate", fallocate)


def test_machine_out_of_memory(monkeypatch):
    """Where the machine has no more shared memory, what is there is reused; with nothing to wait for it is an error."""
    monkeypatch.setattr(arena_module, "_SLICE_BYTES", MIB)
    no_more_than(2 * MIB, monkeypatch)
    arena = Arena(16 * MIB)
    first = arena.allocate(MIB)
    second = arena.allocate(MIB)
    assert (first, second) == (0, MIB)
    assert arena.allocate(64) is None
    arena.release(first)
    assert arena.allocate(MIB) == first
    arena.release(first)
    arena.release(second)
    with pytest.raises(penstock.ConfigError, match="memory_bytes"):
        arena.allocate(3 * MIB)
    assert arena.allocate(2 * MIB) == 0, "a refusal leaves the arena as it was"
    arena.close()


def test_larger_than_the_address_space(monkeypatch):
    """A size that cannot be mapped is a ConfigError naming memory_bytes, and leaves no descriptor behind."""
    monkeypatch.setattr(arena_module, "available_memory", lambda: 1 << 62)
    before = descriptors()
    with pytest.raises(penstock.ConfigError, match="memory_bytes"):
        Arena(1 << 60)
    assert descriptors() == before


def test_no_more_than_half_of_what_is_free(monkeypatch):
    """An arena never takes more than half of the memory that the machine has left."""
    monkeypatch.setattr(arena_module, "available_memory", lambda: 100 * MIB)
    arena = Arena(1 << 40)
    assert arena.size == 50 * MIB
    arena.close()
