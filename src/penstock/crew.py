"""crew: the workers as the coordinator sees them, in processes of their own or, with workers=0, in the caller's.

    send(worker, packet)      never blocks; False when the worker takes no more for now
    receive(timeout)          what the workers said since
    renew(token)              tells all workers of a new token, in any thread
    dead()                    workers that have ended although nobody told them to

A worker process is started with `subprocess`, so that no `if __name__ == "__main__"` is asked of anybody; its
configuration goes through its standard input, where no other process can read it.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from penstock import control
from penstock.arena import above_standard
from penstock.worker import Work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.arena import Arena

__all__ = ["Crew", "LocalCrew", "ProcessCrew"]

_MOST_PACKETS = 64  # told to one worker and not answered; a socket buffer holds 167 and more
_ENDING_SECS = 5.0
# The module path is the parent's own, so a worker finds what its parent found, and nothing of the current directory.
_BOOT = (
    "import sys; sys.path[:] = sys.argv[1].split(chr(0x1F)); "
    "from penstock.worker import main; main(*map(int, sys.argv[2:]))"
)


class Crew(Protocol):
    """What the coordinator asks of its workers."""

    size: int

    def spawn(self, *, tokens: bool) -> None:
        """Let the workers come up; they do nothing before start. tokens: they will need new ones in time."""

    def start(self, starts: list[control.Start]) -> None:
        """Tell each worker all that it must know; its Ready or Refused comes through receive."""

    def replace(self, worker: int, start: control.Start) -> None:
        """End what is left of a worker, and start another in its place."""

    def send(self, worker: int, message: control.ToWorker) -> bool:
        """Tell a worker; False when it has enough to do for now."""

    def receive(self, timeout: float) -> Iterator[tuple[int, control.FromWorker]]:
        """Wait up to timeout seconds for the first message, then give all there are."""

    def renew(self, token: control.Token) -> None:
        """Have all workers log in with this token from now on; in any thread, never blocks, never raises."""

    def dead(self) -> list[tuple[int, str]]:
        """Workers that ended unasked since the last call, each with how it ended."""

    def pids(self) -> list[int]:
        """Process ids of the workers that live."""

    def kill(self, worker: int) -> None:
        """End a worker that does not run any more; dead() tells of it."""

    def close(self, *, kill: bool) -> None:
        """End all workers; they have answered for everything, or are given up with `kill`. Leaves nothing behind."""


class ProcessCrew:
    """Workers in processes of their own."""

    def __init__(self, size: int, arena: Arena) -> None:
        self.size = size
        self._arena = arena
        self._processes: list[subprocess.Popen[bytes]] = []
        self._channels: list[socket.socket] = []
        self._token_channels: list[socket.socket] = []  # none where no tokens are needed
        self._open: dict[int, int] = {}  # file descriptor of a channel: worker
        self._unanswered = [0] * size
        self._gone: set[int] = set()
        self._poll = select.poll()

    def spawn(self, *, tokens: bool) -> None:
        """Start the processes, all at once; each then waits for its configuration."""
        for worker in range(self.size):
            self._spawn(worker, tokens=tokens)

    def start(self, starts: list[control.Start]) -> None:
        """Hand each process its configuration, through a pipe that nobody else can read."""
        for process, start in zip(self._processes, starts, strict=True):
            _configure(process, start)

    def replace(self, worker: int, start: control.Start) -> None:
        """End what is left of a worker and start another in its place; nothing that the old one said is left."""
        self._processes[worker].kill()
        self._processes[worker].wait()
        self._close(worker)
        self._gone.discard(worker)
        self._unanswered[worker] = 0
        self._spawn(worker, tokens=start.token is not None)
        _configure(self._processes[worker], start)

    def _spawn(self, worker: int, *, tokens: bool) -> None:
        with contextlib.ExitStack() as theirs:
            ours, channel = _channel(theirs)
            passed = [channel, self._arena.fd]
            _put(self._channels, worker, ours)
            if tokens:
                token_channel, channel = _channel(theirs)
                _put(self._token_channels, worker, token_channel)
                passed.append(channel)
            process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, "\x1f".join(sys.path), str(os.getpid()), *map(str, passed)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,  # standard output belongs to the caller's results
                pass_fds=passed,
                start_new_session=True,  # Ctrl-C on the terminal is the caller's to answer
            )
            _put(self._processes, worker, process)
        self._open[ours.fileno()] = worker
        self._poll.register(ours, select.POLLIN)

    def _close(self, worker: int) -> None:
        """Close all that belongs to a worker that has ended."""
        channel, stdin = self._channels[worker], self._processes[worker].stdin
        self._forget(channel)
        channel.close()
        if self._token_channels:
            self._token_channels[worker].close()
        if stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                stdin.close()

    def send(self, worker: int, message: control.ToWorker) -> bool:
        """Tell a worker; False when it has enough to do for now."""
        if worker in self._gone:
            return False
        deal = isinstance(message, control.Deal)
        if deal and self._unanswered[worker] >= _MOST_PACKETS:
            return False
        try:
            self._channels[worker].send(control.encode(message))
        except BlockingIOError:
            return False
        except ConnectionError:  # it died: dead() tells
            return False
        self._unanswered[worker] += deal
        return True

    def receive(self, timeout: float) -> Iterator[tuple[int, control.FromWorker]]:
        """Wait up to timeout seconds for the first message, then give all there are."""
        for fd, _ in self._poll.poll(max(0.0, timeout) * 1000):
            worker = self._open.get(fd)
            if worker is None:  # replaced since
                continue
            while True:
                try:
                    packet = self._channels[worker].recv(1 << 20)
                except BlockingIOError:
                    break
                except ConnectionError:
                    packet = b""
                if not packet:
                    self._lost(worker)
                    break
                message = control.decode_from_worker(packet)
                if isinstance(message, control.Ack):
                    self._unanswered[worker] -= 1
                yield worker, message

    def renew(self, token: control.Token) -> None:
        """Have all workers log in with this token from now on; in any thread, never blocks, never raises."""
        packet = control.encode(token)
        for channel in self._token_channels:
            with contextlib.suppress(OSError):  # it died: dead() tells
                channel.send(packet)

    def dead(self) -> list[tuple[int, str]]:
        """Workers that ended unasked since the last call, each with how it ended."""
        found = []
        for worker, process in enumerate(self._processes):
            if worker in self._gone:
                continue
            code = process.poll()
            if code is not None:
                # What it said before it ended is still to be read: receive() comes to its end of file by itself.
                self._gone.add(worker)
                found.append((worker, _how(code)))
        return found

    def pids(self) -> list[int]:
        """Process ids of the workers that live."""
        return [process.pid for worker, process in enumerate(self._processes) if worker not in self._gone]

    def kill(self, worker: int) -> None:
        """End a worker that does not run any more; dead() tells of it."""
        self._processes[worker].kill()

    def close(self, *, kill: bool) -> None:
        """Tell all to stop, wait, and kill what does not; leaves no process, descriptor or zombie."""
        for worker in range(len(self._processes)):
            if kill:
                self._processes[worker].kill()
            else:
                self.send(worker, control.Stop())
        deadline = time.monotonic() + _ENDING_SECS
        try:
            for process in self._processes:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline - time.monotonic()))
        finally:  # a Ctrl-C while waiting included
            for worker, process in enumerate(self._processes):
                process.kill()
                process.wait()
                self._close(worker)
            self._processes.clear()
            self._channels.clear()
            self._token_channels.clear()
            self._open.clear()

    def _forget(self, channel: socket.socket) -> None:
        if channel.fileno() in self._open:
            self._poll.unregister(channel)
            del self._open[channel.fileno()]

    def _lost(self, worker: int) -> None:
        """Its end of the channel is closed: it ended, or is about to."""
        self._forget(self._channels[worker])
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._processes[worker].wait(_ENDING_SECS)


class LocalCrew:
    """workers=0: the same work inside the calling process, a chunk at a time."""

    def __init__(self, arena_address: int) -> None:
        self.size = 0
        self._address = arena_address
        self._work: Work | None = None
        self._unanswered = 0
        self._said: deque[control.FromWorker] = deque()

    def spawn(self, *, tokens: bool) -> None:
        """Nothing comes up but with start."""

    def start(self, starts: list[control.Start]) -> None:
        """Connect; returns when the topic is known or refused."""
        self._work = Work(starts[0], self._address, check_signals=True)
        self._said.extend(self._work.begin())

    def replace(self, worker: int, start: control.Start) -> None:  # noqa: ARG002 - there is only one
        """Let the producer go, and make another."""
        self.close(kill=True)
        self._unanswered = 0
        self._said.clear()
        self.start([start])

    def send(self, worker: int, message: control.ToWorker) -> bool:  # noqa: ARG002 - there is only one
        """Do it at once; False where that might mean to wait for the broker: the caller's time is not ours to spend."""
        if self._work is not None:
            if isinstance(message, control.Deal):
                if self._unanswered and self._work.busy(message.lane):
                    return False
                self._unanswered += 1
            self._work.take(message)
        return True

    def receive(self, timeout: float) -> Iterator[tuple[int, control.FromWorker]]:
        """Serve delivery reports, in steps that let signals in."""
        while self._said:
            yield 0, self._said.popleft()
        if self._work is None:
            return
        deadline = time.monotonic() + timeout
        while True:
            step = min(deadline - time.monotonic(), 0.1)
            found = list(self._work.results(max(0, int(step * 1000))))
            for message in found:
                self._unanswered -= isinstance(message, control.Ack)
                yield 0, message
            if found or time.monotonic() >= deadline:
                return

    def renew(self, token: control.Token) -> None:
        """Have the producer log in with this token from now on; in any thread, never blocks, never raises."""
        if self._work is not None:
            self._said.extend(self._work.renew(token))

    def dead(self) -> list[tuple[int, str]]:
        """Nobody can die here without the caller."""
        return []

    def pids(self) -> list[int]:
        """No processes."""
        return []

    def kill(self, worker: int) -> None:
        """Nobody stands still here without the caller."""

    def close(self, *, kill: bool) -> None:  # noqa: ARG002 - letting the producer go is all there is
        """Let the producer go."""
        if self._work is not None:
            self._work.close()
            self._work = None


def _channel(theirs: contextlib.ExitStack) -> tuple[socket.socket, int]:
    """Return our end of a channel of packets, which never blocks, and the descriptor of the worker's end."""
    ours, low = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    return ours, theirs.enter_context(socket.socket(fileno=above_standard(low.detach()))).fileno()


def _put(items: list[Any], at: int, item: object) -> None:
    """Set an item of a list that may still be one shorter."""
    items[at : at + 1] = [item]


def _configure(process: subprocess.Popen[bytes], start: control.Start) -> None:
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError), process.stdin:  # it died: dead() tells
            packet = control.encode(start)
            process.stdin.write(len(packet).to_bytes(control.SIZE_BYTES, "little") + packet)


def _how(code: int) -> str:
    if code < 0:
        import signal  # noqa: PLC0415 - only for its name

        name = signal.Signals(-code).name
        return f"was killed by {name}" + (" (possibly for want of memory)" if name == "SIGKILL" else "")
    return f"ended with exit code {code}"


def pss_bytes(pids: list[int]) -> int:
    """Sum the PSS of this process and those: shared pages count once, in parts. 0 where the kernel does not tell."""
    total = 0
    for pid in [os.getpid(), *pids]:
        try:
            with open(f"/proc/{pid}/smaps_rollup", "rb") as file:  # noqa: PTH123 - called often
                for line in file:
                    if line.startswith(b"Pss:"):
                        total += int(line.split()[1]) * 1024
                        break
        except OSError:  # it ended, or this kernel has no such file
            continue
    return total
