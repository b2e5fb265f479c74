"""The proof without a broker: XXH64, how a message is hashed, runs of offsets, what is found beside them."""

from __future__ import annotations

import json
from array import array

import pytest
import xxhash
from hypothesis import example, given
from hypothesis import strategies as st

from penstock import _core, control, worker
from penstock.acks import Ledger
from penstock.cli import main
from penstock.config import load
from penstock.errors import ConfigError, SourceError
from penstock.report import PartitionReport, Report
from penstock.runs import Runs
from penstock.verify import _Partition, read_receipt

PARTS = st.none() | st.binary(max_size=100)
HASHES = st.integers(0, 2**64 - 1)


@given(st.binary(max_size=300), st.sampled_from([0, 1, 2**64 - 1]))
def test_xxh64_is_everybody_elses(text, seed):
    """Our XXH64 gives what the package xxhash gives."""
    assert _core.xxh64(text, seed) == xxhash.xxh64_intdigest(text, seed)


@given(st.lists(st.tuples(PARTS, PARTS), max_size=5))
def test_a_message_is_hashed_as_documented(messages):
    """Each part has its length before it, 4 bytes, -1 for null."""

    def framed(part):
        return (-1 if part is None else len(part)).to_bytes(4, "little", signed=True) + (part or b"")

    wanted = [xxhash.xxh64_intdigest(framed(key) + framed(value)) for key, value in messages]
    assert list(memoryview(_core.message_hashes(messages)).cast("Q")) == wanted


@given(st.lists(HASHES), st.lists(HASHES), st.lists(HASHES))
def test_hashes_are_found(mine, shared, others):
    """Each number is found that is among the sorted ones, and no other."""
    known = array("Q", mine + shared)
    _core.sort_hashes(known)
    assert list(known) == sorted(mine + shared)
    asked = shared + others
    assert list(_core.find_sorted(known, array("Q", asked))) == [one in known for one in asked]


@given(st.dictionaries(st.integers(0, 60), HASHES), st.randoms(use_true_random=False))
def test_runs_in_any_order_become_as_few_as_there_are(hashes, random):
    """Whatever order chunks and their runs come in, a run is from gap to gap, with count and sum of what is in it."""
    runs = Runs()
    offsets = list(hashes)
    random.shuffle(offsets)
    while offsets:
        first = last = offsets.pop()
        while last + 1 in offsets and random.random() < 0.7:  # a worker joins some of them
            last += 1
            offsets.remove(last)
        runs.add((first, last, last - first + 1, sum(hashes[at] for at in range(first, last + 1)) % 2**64))
    wanted = []
    for at in sorted(hashes):
        if not wanted or at != wanted[-1][1] + 1:
            wanted.append([at, at, 0, 0])
        wanted[-1][1:] = [at, wanted[-1][2] + 1, (wanted[-1][3] + hashes[at]) % 2**64]
    assert runs.told() == tuple((*run, f"{total:016x}") for *run, total in wanted)


@example([4000] * 3 + [0] * 600 + [999, 1000, 1001] * 50)
@given(st.lists(st.integers(0, 4000), max_size=20))
def test_a_long_answer_fits_packets_and_is_the_same(lengths):
    """However many partitions and runs, no packet is near 200 kB, and the ledger counts what was sent."""
    answer = []
    for number, length in enumerate(lengths):
        runs = [(2**40 + 2 * at, 2**40 + 2 * at, 1, 2**64 - 1) for at in range(length)]
        answer.append(("t" * 249, number, length + 1, 1, 2**40, 2**40, 2**40 + 2 * length, 1, runs))
    packets = worker._packets(answer)
    assert all(len(control.encode(control.PartialAck(0, packet))) < 180_000 for packet in packets)
    ledger = Ledger()
    ledger.add(0, 0, len(lengths))
    ledger.deal(0)
    for packet in packets[:-1]:
        ledger.acknowledge_part(0, packet)
    ledger.acknowledge(0, packets[-1], [], 0)
    assert (ledger.messages, ledger.unknown_offsets) == (sum(lengths) + len(lengths), len(lengths))
    assert [len(total.runs.told()) for _, total in sorted(ledger.partitions.items())] == lengths


@given(st.lists(st.sampled_from(["run", "outside", "hole"]), max_size=30), st.integers(0, 5), st.booleans(), st.data())
def test_each_offset_is_counted_where_it_belongs(log, low, whole, data):
    """Inside a run or outside, from the first run or from the beginning, with holes that no reader sees."""
    hashes = dict(enumerate(data.draw(st.lists(HASHES, min_size=len(log), max_size=len(log), unique=True))))
    runs = Runs()
    for at, what in enumerate(log):
        if what == "run":
            runs.add((at, at, 1, hashes[at]))
    told = [(first, last, count, int(total, 16)) for first, last, count, total in runs.told()]
    part = _Partition(("t", 0), told, (low, len(log)), whole=whole)
    inside = array("Q")
    for at, what in enumerate(log):
        if what != "hole" and at >= part.next:
            part.take(at, hashes[at], inside)
    _core.sort_hashes(inside)
    begin = max(low, 0 if whole or not told else told[0][0])
    finding = part.finding(inside, "delete", "read_uncommitted")
    assert finding == part.finding(inside, "delete", "read_committed")
    assert finding.messages == sum(what == "run" for what in log[begin:])
    assert finding.foreign == sum(what == "outside" for what in log[begin:])
    assert finding.repeats == 0
    assert finding.verdict == ("cannot tell" if told and told[0][0] < low else "agrees")


def receipt(**changes):
    parts = (PartitionReport("t", 0, 2, 2, 0, 1, ((0, 1, 2, "0" * 16),)),)
    return Report(**{"topic": "t", "rows": 2, "messages": 2, "partitions": parts, **changes}).to_json().encode()


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        (b"{", SourceError, "r.json is not a receipt"),
        (b"{}", SourceError, "r.json is not a receipt as `penstock write --json` prints it: Object missing"),
        (receipt().replace(b"0" * 16, b"0x0"), SourceError, "Expected `str` matching regex"),
        (receipt(messages=3), SourceError, "it counts 3 messages, and its runs and unknown offsets 2;"),
        (receipt(partitions=(PartitionReport("t", 0, 2, 2, 0, 1),)), ConfigError, "write with audit=true "),
    ],
)  # fmt: skip
def test_what_is_no_receipt_with_audit_is_refused(text, error, said):
    """Other JSON, a receipt without audit, one that somebody changed: each says so, none agrees by chance."""
    with pytest.raises(error, match=said):
        read_receipt(text, "r.json")


def test_a_receipt_survives_json():
    """What is read back is what was told; offsets that nobody named are counted."""
    read = read_receipt(receipt(messages=5, unknown_offsets=3), "r.json")
    assert read.partitions[0].runs == ((0, 1, 2, "0" * 16),)
    assert json.loads(receipt())["partitions"][0]["runs"] == [[0, 1, 2, "0" * 16]]


def test_audit_needs_offsets():
    """With acks=0 there are none: ConfigError naming both."""
    with pytest.raises(ConfigError, match=r"audit and acks=0 \(kafka_options or -X\) exclude each other"):
        load(topic="t", audit=True, kafka_options={"acks": 0, "enable.idempotence": False})
    assert load(topic="t", audit="true").writer.audit


def test_the_command_says_what_is_missing(tmp_path, capsys):
    """No receipt named, none there, or none in the file: exit codes 2 and 3, and one line."""
    (tmp_path / "r.json").write_text("[]")
    for words, code, said in (
        ((), 2, "no receipt given"),
        ((str(tmp_path / "none"),), 3, "none cannot be read: No such file or directory"),
        ((str(tmp_path / "r.json"),), 3, "r.json is not a receipt"),
        (("r.json", "--key", "a"), 2, 'there is no flag "--key"'),
    ):
        assert main(["verify", *words]) == code
        out, err = capsys.readouterr()
        assert out == ""
        assert said in err
        assert err.count("\n") == 1
