"""The records of a job's progress, what those of all lanes come to, and the commands about them without a broker."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.cli import main
from penstock.cli.output import columns
from penstock.errors import ConfigError
from penstock.progress import Progress, decode_progress, sum_up, transactional_ids
from penstock.transactions import find_job


def record(job: str = "nightly", lane: int = 0, **members: Any) -> Progress:
    usual: dict[str, Any] = {
        "lanes": 2, "topic": "orders", "partitions": 4, "delivery": "exactly_once", "plan": "p", "began_ms": 1000,
        "epoch": 1, "rows": 10, "updated_ms": 2000,
    }  # fmt: skip
    return Progress(job=job, lane=lane, **{**usual, **members})


FULL = record(
    lane=3,
    lanes=4,
    rows=2**53 + 1,
    position={"file": "ö.parquet", "row_group": 2, "fingerprint": [1, 2.5, None, True]},
    position_rows=7,
    finished=True,
    stream_id=9,
    offsets={"orders": {"0": 2**62, "3": 17}},
    runs={"orders/0": ((0, 9, 10, "ffffffffffffffff"), (12, 12, 1, "0000000000000001"))},
)


def test_a_record_comes_back_as_it_was() -> None:
    """Key and value are text; a reader with other numbers than ours still has sums exactly."""
    assert FULL.key() == b"nightly/3"
    assert decode_progress(FULL.key(), FULL.value()) == FULL
    plain = json.loads(FULL.value())
    assert plain["runs"] == {"orders/0": [[0, 9, 10, "ffffffffffffffff"], [12, 12, 1, "0000000000000001"]]}
    assert (plain["job"], plain["position"]["file"]) == ("nightly", "ö.parquet")


def test_a_record_of_a_later_version_is_read() -> None:
    """Members that are not known are passed over; those that may be left out are."""
    plain = json.loads(record().value()) | {"later": 1}
    for name in ("position", "position_rows", "finished", "stream_id", "offsets", "runs"):
        del plain[name]
    assert decode_progress(b"nightly/0", json.dumps(plain).encode()) == record()


@pytest.mark.parametrize(
    ("key", "change", "words"),
    [
        (b"nightly/1", {}, "another job or lane"),
        (None, {}, "another job or lane"),
        (b"nightly/0", {"rows": -1}, "`$.rows`"),
        (b"nightly/0", {"runs": {"t/0": [[0, 1, 2, 3]]}}, "`$.runs"),
        (b"nightly/0", {"runs": {"t/0": [[0, 1, 2, "xyz"]]}}, "`$.runs"),
        (b"nightly/0", {"lane": "0"}, "`$.lane`"),
    ],
)
def test_what_is_no_record(key: bytes | None, change: dict[str, Any], words: str) -> None:
    """A damaged record says what is wrong with it."""
    with pytest.raises(ValueError, match=words.replace("$", r"\$")):
        decode_progress(key, json.dumps(json.loads(record().value()) | change).encode())


def test_what_is_no_json() -> None:
    """Other people's messages are none of ours."""
    for value in (None, b"", b"\x00\x01", b"\xff", b"[]", b"null", b'{"insert":{"id":1}}'):
        with pytest.raises(ValueError, match=r"."):
            decode_progress(b"nightly/0", value)


def test_the_lane_that_is_least_far_counts() -> None:
    """A lane without a record is at the beginning; finished is the job whose lanes all are."""
    lanes = {1: record(lane=1, rows=5, position="b", updated_ms=7), 0: record(rows=9, position="a", finished=True)}
    found = sum_up(lanes)
    assert (found.name, found.topic, found.rows, found.position, found.finished) == ("nightly", "orders", 5, "b", False)
    assert (found.updated_ms, [one.lane for one in found.lanes]) == (2000, [0, 1])
    assert sum_up({0: lanes[0], 1: record(lane=1, finished=True)}).finished
    alone = sum_up({0: lanes[0]})
    assert (alone.rows, alone.position, alone.finished) == (0, None, False)
    assert transactional_ids("nightly", 2) == ["nightly-0", "nightly-1"]


def test_a_job_that_nobody_knows() -> None:
    """The nearest names, or that there are others, or none."""
    jobs = {"nightly": {0: record()}, "hourly": {0: record("hourly")}}
    assert find_job(jobs, "hourly", "t") == jobs["hourly"]
    for name, known, end in (
        ("nightli", jobs, '; did you mean "nightly"?'),
        ("x", jobs, "; `penstock jobs` lists those that it has"),
        ("x", {}, ", nor any other"),
    ):
        with pytest.raises(ConfigError) as refused:
            find_job(known, name, "t")
        assert str(refused.value) == f'the progress topic "t" has no job "{name}"{end}'


# --- the commands ---


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["transactions"], "transactions: nothing given; give list or abort, and --job NAME"),
        (["transactions", "end"], 'transactions: found "end"; give list or abort, and --job NAME'),
        (["transactions", "abort"], "transactions abort: give the job whose transactions are to end: --job NAME"),
        (["transactions", "list"], "topic is missing; give topic=..., --topic or transport.config.topic"),
        (["transactions", "list", "x", "--topic", "t"], "transactions: there is no argument "),
        (["transactions", "list", "--job", "a/b"], 'job: "a/b" is no name for a job; '),
        (["jobs", "--progress-topic", "a b"], 'progress_topic: "a b" is not a topic name'),
        (["jobs", "--job", "x"], 'jobs: there is no flag "--job"'),
        (["jobs", "-X", "linger.sm=1"], 'kafka_options or -X: librdkafka has no option "linger.sm"'),
    ],
)
def test_wrong_flags(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is one sentence and exit code 2, before anything connects."""
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert (out, err.startswith(f"penstock: error: {sentence}")) == ("", True), err


def test_nobody_answers(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a broker the commands end as others do, and name the topic that they are about."""
    for words, topic in (
        (["jobs"], "penstock-progress"),
        (["jobs", "--progress-topic", "p"], "p"),
        (["transactions", "list", "--topic", "t"], "t"),
        (["transactions", "list", "--job", "j"], "penstock-progress"),
        (["transactions", "abort", "--job", "j"], "penstock-progress"),
    ):
        code = main([*words, "--bootstrap-servers", "127.0.0.1:1", "--initialization-timeout-secs", "1"])
        out, err = capsys.readouterr()
        assert (code, out) == (4, "")
        assert f'127.0.0.1:1 within 1 s (initialization_timeout_secs) for topic "{topic}": ' in err


def test_a_table_that_is_too_wide() -> None:
    """The widest cells are cut, those that may be, and not below 8 letters; numbers stand to the right."""
    rows = [["name", "count", "rest"], ["a" * 30, "5", "b" * 20], ["c", "1,000", ""]]
    assert columns(rows, 30, right={1}, cut={0, 2}).splitlines() == [
        "name        count  rest",
        "aaaaaaaaa…      5  bbbbbbbbbb…",
        "c           1,000",
    ]
    assert columns(rows, 5, right={1}, cut={0, 2}).splitlines()[1] == f"{'a' * 7}…      5  {'b' * 7}…"
