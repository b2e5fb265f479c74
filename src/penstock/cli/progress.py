"""What a person at a terminal sees while rows are written: a bar on a terminal, a plain line now and then elsewhere.

Called from the writing thread, at most about ten times a second; it starts no thread of its own, so that a signal or a
forgotten refresh can never leave a half-drawn line behind.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from penstock.report import human_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import TextIO

    import rich.progress
    from typing_extensions import Self  # only for the type checker, which brings it

__all__ = ["Progress", "human_count"]

_LINE_SECS = 5.0  # between plain lines: a log of an hour's export stays readable
_REDRAW_SECS = 0.2  # a redraw costs 1-2 ms of the writing thread
_WINDOW_SECS = 5.0  # rates are of the last seconds, so that a stall is seen


class _Counts(Protocol):
    """The part of statistics.Statistics that is shown."""

    @property
    def rows_taken(self) -> int: ...
    @property
    def rows_acked(self) -> int: ...
    @property
    def bytes_acked(self) -> int: ...


class Progress:
    """Show counts on `stream` until the block is left.

    label       what is being written, usually the topic
    total_rows  rows of the source where that is known, for the share done and the time left; else None
    stream      standard error unless given; a bar is drawn only if it is a terminal that can move its cursor
    """

    def __init__(
        self,
        label: str,
        total_rows: int | None,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._label = label
        self._total_rows = total_rows
        self._stream: TextIO | None = sys.stderr if stream is None else stream  # None: closed by the caller with 2>&-
        self._clock = clock
        self._samples: deque[tuple[float, int, int]] = deque()  # from the first count on: start-up is not slow writing
        self._shown_at = clock()
        self._bar: rich.progress.Progress | None = None
        self._task: rich.progress.TaskID | None = None

    def __enter__(self) -> Self:
        if self._stream is not None and self._stream.isatty() and os.environ.get("TERM") != "dumb":
            self._draw_bar()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()  # takes the bar away: the receipt or the error is what stays on the screen
            self._bar = None

    def __call__(self, counts: _Counts) -> None:
        """Show these counts, if it is time to; otherwise only remember them for the rates."""
        now = self._clock()
        self._samples.append((now, counts.rows_acked, counts.bytes_acked))
        while len(self._samples) > 2 and now - self._samples[1][0] >= _WINDOW_SECS:  # noqa: PLR2004 - a rate needs two
            self._samples.popleft()
        if now - self._shown_at < (_LINE_SECS if self._bar is None else _REDRAW_SECS):
            return
        self._shown_at = now
        if self._bar is None or self._task is None:
            with contextlib.suppress(OSError):  # a log that takes no more is no reason to stop writing rows
                print(f"penstock: {self._label}: {self.describe(counts)}", file=self._stream, flush=True)
        else:
            self._bar.update(self._task, completed=counts.rows_acked, text=self.describe(counts))
            self._bar.refresh()

    def describe(self, counts: _Counts) -> str:
        """Put counts, rates and the time left into one line of at most about 70 characters."""
        none = (0.0, 0, 0)
        then, rows_then, bytes_then = self._samples[0] if self._samples else none
        now, rows_now, bytes_now = self._samples[-1] if self._samples else none
        seconds = now - then
        rows_rate = (rows_now - rows_then) / seconds if seconds > 0 else 0.0
        bytes_rate = (bytes_now - bytes_then) / seconds if seconds > 0 else 0.0
        of_total = "" if self._total_rows is None else f" of {human_count(self._total_rows)}"
        parts = [
            f"{human_count(counts.rows_taken)}{of_total} rows",
            f"{human_count(rows_rate)} rows/s",
            f"{human_count(counts.rows_acked)} acked",
            f"{human_bytes(bytes_rate)}/s",
        ]
        if self._total_rows is not None and rows_rate > 0:
            parts.append(f"{_clock_text((self._total_rows - counts.rows_acked) / rows_rate)} left")
        return ", ".join(parts)

    def _draw_bar(self) -> None:
        import rich.console  # noqa: PLC0415 - 50 ms that only a terminal pays
        import rich.progress  # noqa: PLC0415

        text = rich.progress.TextColumn("{task.fields[text]}", markup=False)
        columns: tuple[rich.progress.ProgressColumn, ...] = (text,)
        if self._total_rows is not None:
            columns = (rich.progress.BarColumn(bar_width=None), text)
        self._bar = rich.progress.Progress(
            *columns,
            console=rich.console.Console(file=self._stream),
            auto_refresh=False,  # no thread: see the module's first lines
            transient=True,
            redirect_stdout=False,
            expand=True,
        )
        self._task = self._bar.add_task(self._label, total=self._total_rows, text=f"{self._label}: starting")
        self._bar.start()
        self._bar.refresh()


def human_count(count: float) -> str:
    """Write a count in at most five characters for people: 812, 48.1k, 1.15M, 3.20G."""
    if count < 999.5:  # noqa: PLR2004 - what would print as 1000
        return f"{count:.0f}"
    for unit in ("k", "M", "G"):
        count /= 1000
        if count < 999.5:  # noqa: PLR2004
            return f"{count:.{2 if count < 9.995 else 1 if count < 99.95 else 0}f}{unit}"  # noqa: PLR2004 - three digits
    return f"{count / 1000:.2f}T"


def _clock_text(seconds: float) -> str:
    whole = max(round(seconds), 0)
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{secs:02}" if hours else f"{minutes}:{secs:02}"
