"""The receipt: three views of the same counts."""

import json
import pickle
from html.parser import HTMLParser

import pytest

from penstock.report import ErrorReport, JobReport, PartitionReport, Report, human_bytes

RUNS = ((10, 1013, 1004, f"{255:016x}"),)
FULL = Report(
    topic="orders",
    workers=2,
    rows=3_000_000,
    messages=3_012,
    bytes=512_400_000,
    failed_rows=12,
    unknown_rows=7,
    skipped_rows=5,
    null_keys=1,
    startup_seconds=0.09,
    seconds=2.0,
    partitions=tuple(PartitionReport("orders", n, 1004, 1_000_000, 10, 1013, RUNS) for n in range(3)),
    errors=(ErrorReport(-192, "_MSG_TIMED_OUT", 12, "Local: Message timed out"),),
    unknown_offsets=4,
    peak_memory_bytes=412_000_000,
    resumed_rows=70,
    job=JobReport("nightly", 2, 3_600_000, 600_000, True, 31),
)


def test_json_dict_and_struct_say_the_same():
    """The JSON text, the dict and the attributes hold equal values under equal names."""
    decoded = json.loads(FULL.to_json())
    assert decoded == FULL.to_dict()
    assert list(decoded) == list(FULL.__struct_fields__)
    for name in FULL.__struct_fields__:
        if name not in {"partitions", "errors", "job"}:
            assert decoded[name] == getattr(FULL, name)
    assert decoded["partitions"][1] == {
        "topic": "orders",
        "partition": 1,
        "messages": 1004,
        "rows": 1_000_000,
        "first_offset": 10,
        "last_offset": 1013,
        "runs": [[10, 1013, 1004, "00000000000000ff"]],
    }
    assert decoded["job"] == {
        "name": "nightly", "lanes": 2, "total_rows": 3_600_000, "resumed_from": 600_000, "finished": True,
        "possible_repeats": 31, "partitions": None,
    }  # fmt: skip
    assert decoded["errors"] == [
        {"code": -192, "name": "_MSG_TIMED_OUT", "rows": 12, "example": "Local: Message timed out"}
    ]


def test_json_has_every_promised_member():
    """A script can rely on the members that the documentation promises, also in an empty report."""
    promised = {
        "rows", "messages", "bytes", "failed_rows", "skipped_rows", "startup_seconds", "seconds", "partitions",
        "errors", "unknown_offsets", "peak_memory_bytes", "delivery", "job",
    }  # fmt: skip
    assert promised <= set(json.loads(Report().to_json()))
    assert "\n" not in FULL.to_json()


def test_dict_holds_only_plain_types():
    """to_dict returns lists, dicts, numbers, text and None, so that any JSON library can write it."""

    def check(value):
        assert type(value) in {dict, list, int, float, bool, str, type(None)}
        children = value.values() if type(value) is dict else value if type(value) is list else ()
        for child in children:
            check(child)

    check(FULL.to_dict())


def test_report_is_frozen_and_survives_pickling():
    """A receipt cannot be changed, and an error that carries one can be sent to another process."""
    with pytest.raises(AttributeError):
        FULL.rows = 1
    assert pickle.loads(pickle.dumps(FULL)) == FULL  # noqa: S301 - our own bytes


def test_text_names_every_count_that_is_not_zero():
    """A person sees each count that matters, and the words for what did not arrive cannot be overlooked."""
    text = str(FULL)
    assert text.splitlines()[0] == "orders: 3,000,000 rows acknowledged in 3,012 messages, 512.4 MB"
    for part in (
        "2.00 s after 0.09 s of start-up, 2 workers",
        "1,500,000 rows/s, 1,506 messages/s, 256.2 MB/s",
        "peak memory 412.0 MB",
        "NOT acknowledged: 12 rows",
        "UNKNOWN: 7 rows",
        "skipped: 5 rows of weight 0 or merged away",
        "null keys: 1 row",
        "job nightly: resumed at row 600,000, 3,600,000 rows in all, finished",
        "SENT AGAIN, perhaps: 31 messages that an earlier run did not record",
        "passed over: 70 rows that an earlier run delivered",
        "acknowledged without an offset: 4 messages",
        "10 to 1013",
        "12 rows: _MSG_TIMED_OUT: Local: Message timed out",
    ):
        assert part in text


def test_text_of_a_clean_run_has_no_alarming_words():
    """Counts of 0 are left out of the text."""
    text = str(Report(topic="t", rows=1, messages=1, bytes=10, seconds=0.5))
    assert text.startswith("t: 1 row acknowledged in 1 message, 10 B\n")
    assert "in this process" in text
    for word in ("NOT", "UNKNOWN", "skipped", "null keys", "offset"):
        assert word not in text


def test_a_job_in_one_line():
    """A job from its beginning says no more than its rows, a delivery that is exactly once how it is to be read."""
    report = Report(topic="t", rows=1, delivery="exactly_once", job=JobReport("j" * 200, 4, 1))
    assert str(report).splitlines()[2:] == [
        f"  job {'j' * 23}…: 1 row in all",
        "  exactly once, for consumers that read committed",
    ]
    assert json.loads(report.to_json())["delivery"] == "exactly_once"
    assert json.loads(Report(topic="t").to_json())["job"] is None
    for line in str(report).splitlines():
        assert line.strip() in report._repr_html_()


def test_text_fits_eighty_columns_and_one_screen():
    """However many partitions and however long an error, the text stays within 80 columns and about 30 lines."""
    many = Report(
        topic="orders",
        rows=10**10,
        messages=10**10,
        bytes=10**15,
        seconds=86_400.0,
        peak_memory_bytes=10**11,
        partitions=tuple(PartitionReport("orders", n, 10**9, 10**9, 10**12, 10**12 + 10**9) for n in range(5000)),
        errors=tuple(ErrorReport(-n, f"ERROR_{n}", n, "why\n" * 90) for n in range(20)),
    )
    lines = str(many).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) < 35
    assert "  … and 4984 more partitions" in lines
    assert "  … and 12 more kinds of error" in lines


def test_offsets_that_were_not_told_are_not_made_up():
    """A partition without known offsets says so instead of showing a number."""
    report = Report(topic="t", rows=2, messages=2, partitions=(PartitionReport("t", 0, 2, 2),))
    assert "not told" in str(report)
    assert json.loads(report.to_json())["partitions"][0]["first_offset"] is None


def test_rates_without_time_are_zero():
    """A run in which nothing was timed divides by nothing."""
    assert Report(rows=5, messages=5).rows_per_second == 0.0
    assert Report().messages_per_second == 0.0
    assert FULL.rows_per_second == 1_500_000.0
    assert FULL.messages_per_second == 1_506.0


class _Balance(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open = []
        self.words = []

    def handle_starttag(self, tag, _):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_html_is_balanced_and_escaped():
    """A notebook shows the text of a hostile error or topic, and never runs it."""
    bad = Report(
        topic="<script>x</script>",
        rows=1,
        seconds=1.0,
        partitions=(PartitionReport("t", 0, 1, 1, 0, 0),),
        errors=(ErrorReport(1, "<b>", 1, "<img src=x>"),),
    )
    parser = _Balance()
    parser.feed(bad._repr_html_())
    assert parser.open == []
    assert "<script" not in bad._repr_html_()
    assert "<img" not in bad._repr_html_()
    assert "<script>x</script>: 1 row acknowledged in 0 messages, 0 B" in parser.words


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (36_600_000, "36.6 MB"),
        (1.5e9, "1.5 GB"),
        (2.5e15, "2,500.0 TB"),
    ],
)
def test_bytes_for_people(count, text):
    """Sizes are written in powers of 1000 with one digit, and never as 1000 of the smaller unit."""
    assert human_bytes(count) == text
