"""Something happens at a chosen moment of a job: at the n-th message of a kind that passes between it and its workers.

    strike(monkeypatch.setattr, "Commit", 3, kill_worker)         before the third Commit is sent
    strike(monkeypatch.setattr, "Committed", 1, kill_worker)      before the first Committed is heard

So every stage is met, and the same one each time, however slow the machine is.
"""

# ruff: noqa: ARG001 - what strikes is told all that there is

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

from penstock.crew import LocalCrew, ProcessCrew

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    # crew, worker, and the message; returns whether it is to be lost
    What = Callable[[Any, int, Any], bool | None]


class Strike:
    """How often the kind of message passed, and whether it struck."""

    def __init__(self, kind: str, at: int, what: What, *, behind: bool, times: int) -> None:
        self.kind, self.at, self.what, self.behind = kind, at, what, behind
        self.left = times
        self.seen = 0

    def met(self, message: object) -> bool:
        if self.kind not in {"", type(message).__name__}:
            return False
        self.seen += 1
        if self.seen < self.at or not self.left:
            return False
        self.left -= 1
        return True


def strike(
    setattr_: Callable[[Any, str, Any], None], kind: str, at: int, what: What, *, behind: bool = False, times: int = 1
) -> Strike:
    """Have `what` happen at the at-th message of a kind ("" is any), and at the ones behind it, `times` in all.

    behind  after the message was sent, not before
    """
    found = Strike(kind, at, what, behind=behind, times=times)
    for crew in (ProcessCrew, LocalCrew):
        setattr_(crew, "send", _send(crew.send, found))
        setattr_(crew, "receive", _receive(crew.receive, found))
    return found


def _send(send: Any, found: Strike) -> Any:
    def patched(self: Any, worker: int, message: Any) -> bool:
        met = found.met(message)
        if met and not found.behind and found.what(self, worker, message):
            return True
        sent = bool(send(self, worker, message))
        if met and found.behind:
            found.what(self, worker, message)
        return sent

    return patched


def _receive(receive: Any, found: Strike) -> Any:
    def patched(self: Any, timeout: float) -> Iterator[tuple[int, Any]]:
        for worker, message in receive(self, timeout):
            if found.met(message) and found.what(self, worker, message):
                continue
            yield worker, message

    return patched


def kill_me(crew: Any, worker: int, message: Any) -> None:
    """End this process as kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)


def kill_worker(crew: Any, worker: int, message: Any) -> None:
    """End the worker that the message is for, or of."""
    crew._processes[worker].kill()


def kill_worker_soon(seconds: float) -> What:
    """End it so much later; the message passes by then."""

    def what(crew: Any, worker: int, message: Any) -> None:
        time.sleep(seconds)
        crew._processes[worker].kill()

    return what


def stop_worker(crew: Any, worker: int, message: Any) -> None:
    """Have it stand still."""
    os.kill(crew._processes[worker].pid, signal.SIGSTOP)


def kill_worker_unheard(crew: Any, worker: int, message: Any) -> bool:
    """End the worker, and lose what it has said."""
    crew._processes[worker].kill()
    return True
