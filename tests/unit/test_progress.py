"""What is shown while rows are written."""

import io
from types import SimpleNamespace

import pytest

from penstock.cli.progress import Progress, human_count


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def counts(taken, acked, size):
    return SimpleNamespace(rows_taken=taken, rows_acked=acked, messages_acked=acked, bytes_acked=size)


def test_without_a_terminal_a_plain_line_comes_every_five_seconds():
    """A log file gets whole lines, one in five seconds, with counts, rates and the time left."""
    clock, stream = Clock(), io.StringIO()
    with Progress("orders", 4_000_000, stream=stream, clock=clock) as progress:
        for step in range(1, 101):
            clock.now = 100.0 + step / 10
            progress(counts(step * 11_000, step * 10_000, step * 1_500_000))
    assert stream.getvalue() == (
        "penstock: orders: 550k of 4.00M rows, 100k rows/s, 500k acked, 15.0 MB/s, 0:35 left\n"
        "penstock: orders: 1.10M of 4.00M rows, 100k rows/s, 1.00M acked, 15.0 MB/s, 0:30 left\n"
    )


def test_rates_are_of_the_last_seconds():
    """A stall shows as a falling rate, not as a fine average since the start."""
    clock, stream = Clock(), io.StringIO()
    with Progress("t", None, stream=stream, clock=clock) as progress:
        for second in range(1, 11):
            clock.now = 100.0 + second
            progress(counts(0, min(second, 5) * 1000, 0))
    first, second = stream.getvalue().splitlines()
    assert "1.00k rows/s" in first
    assert " 0 rows/s" in second


def test_without_a_total_no_time_left_is_claimed():
    """A stream of unknown length has counts and rates, and no guess at its end."""
    clock, stream = Clock(), io.StringIO()
    with Progress("t", None, stream=stream, clock=clock) as progress:
        progress(counts(0, 0, 0))
        clock.now += 6
        progress(counts(600, 600, 6000))
    assert stream.getvalue() == "penstock: t: 600 rows, 100 rows/s, 600 acked, 1.0 kB/s\n"


def test_a_short_job_prints_no_line():
    """What is over in less than five seconds leaves nothing in a log but its receipt."""
    stream = io.StringIO()
    with Progress("t", 10, stream=stream) as progress:
        progress(counts(10, 10, 100))
    assert stream.getvalue() == ""


@pytest.mark.parametrize("total", [1000, None])
def test_on_a_terminal_the_bar_is_drawn_and_taken_away(monkeypatch, total):
    """A terminal shows the counts in one line, and gets its cursor and a clean line back, after an error too."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    clock, stream = Clock(), Terminal()

    def interrupted():
        with Progress("orders", total, stream=stream, clock=clock) as progress:
            clock.now += 1
            progress(counts(500, 400, 40_000))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    drawn = stream.getvalue()
    assert "400 acked" in drawn
    assert drawn.index("\x1b[?25l") < drawn.index("400 acked") < drawn.index("\x1b[?25h")
    assert drawn.rstrip().endswith("\x1b[2K")  # the bar's line is erased last


def test_a_dumb_terminal_gets_plain_lines(monkeypatch):
    """Where the cursor cannot be moved no bar is drawn."""
    monkeypatch.setenv("TERM", "dumb")
    clock, stream = Clock(), Terminal()
    with Progress("t", 10, stream=stream, clock=clock) as progress:
        progress(counts(0, 0, 0))
        clock.now += 6
        progress(counts(5, 5, 50))
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().endswith("0:06 left\n")


def test_the_line_fits_a_terminal():
    """With counts of any size the text leaves room for a bar in 80 columns."""
    clock = Clock()
    progress = Progress("t", 10**12, stream=io.StringIO(), clock=clock)
    progress(counts(0, 0, 0))
    clock.now += 1
    progress(counts(999_499_999, 10_000_000, 9_999_000_000))
    assert len(progress.describe(counts(999_499_999, 10_000_000, 9_999_000_000))) <= 76


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (812.4, "812"), (999.6, "1.00k"), (48_100, "48.1k"), (999_499, "999k"), (999_500, "1.00M"),
     (1_150_000, "1.15M"), (3.2e9, "3.20G"), (2.5e12, "2.50T")],
)  # fmt: skip
def test_counts_for_people(count, text):
    """Counts are written with three digits, and never as 1000 of the smaller unit."""
    assert human_count(count) == text


def test_start_up_does_not_count_as_slow_writing():
    """Rates begin with the first counts, however long it took until then."""
    clock, stream = Clock(), io.StringIO()
    with Progress("t", None, stream=stream, clock=clock) as progress:
        clock.now += 4
        progress(counts(0, 0, 0))
        clock.now += 1
        progress(counts(500, 500, 5000))
    assert "500 rows/s" in stream.getvalue()
