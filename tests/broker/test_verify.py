"""`penstock verify` against a real Kafka: what was written agrees, and what happened to it since is told apart."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pytest
import xxhash
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType

import penstock
from fix_secure import ways_in
from penstock.cli import main
from penstock.config import load
from penstock.verify import read_receipt
from penstock.verify import verify as verify_
from readback import read_topic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fix_broker import Kafka
    from penstock import Report
    from secure_broker import SecureBroker

ROWS = pa.table(
    {
        "id": pa.array(range(3000)),
        "text": [f"row {row}" for row in range(3000)],
        "name": [None if row % 50 == 7 else f"name {row}" for row in range(3000)],
        "gone": pa.array([None if row % 10 == 3 else row for row in range(3000)]),
    }
)
SHAPES: dict[str, dict[str, Any]] = {
    "packed": {"workers": 2},
    "keyed, null keys and values, headers": {
        "key": "name", "key_format": "string", "tombstone_column": "gone", "header_columns": "text", "workers": 2,
    },
    "pyarrow's": {"format": "arrow", "workers": 0},
}  # fmt: skip


def hashed(key: bytes | None, value: bytes | None) -> int:
    """The hash as it is documented, by somebody else's XXH64."""
    parts = [
        (-1 if part is None else len(part)).to_bytes(4, "little", signed=True) + (part or b"") for part in (key, value)
    ]
    return xxhash.xxh64_intdigest(b"".join(parts))


class Verifier:
    """Runs `penstock verify` on a receipt in a file."""

    def __init__(self, kafka: Kafka, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.servers = kafka.bootstrap_servers
        self.path = path
        self.capsys = capsys

    def __call__(self, receipt: Report | str, *flags: str) -> tuple[int, str, str]:
        self.path.write_text(receipt if isinstance(receipt, str) else receipt.to_json())
        self.capsys.readouterr()
        code = main(["verify", str(self.path), "--bootstrap-servers", self.servers, *flags])
        out, err = self.capsys.readouterr()
        return code, out, err

    def parts(self, receipt: Report | str, *flags: str, code: int) -> list[dict[str, Any]]:
        """The partitions of the JSON, once the exit code is as told."""
        found, out, err = self(receipt, "--json", *flags)
        assert found == code, err
        answer = json.loads(out)
        assert (answer["verdict"] == "agrees") == (code == 0)
        return list(answer["partitions"])


@pytest.fixture
def verify(kafka: Kafka, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Verifier:
    return Verifier(kafka, tmp_path / "receipt.json", capsys)


@pytest.fixture
def produce(kafka: Kafka) -> Callable[..., None]:
    """Add messages to a partition, as somebody else does."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})

    def add(topic: str, *messages: tuple[bytes | None, bytes | None], partition: int = 0) -> None:
        for key, value in messages:
            producer.produce(topic, key=key, value=value, partition=partition)
        assert producer.flush(20) == 0

    return add


@pytest.fixture
def written(kafka: Kafka, new_topic: Callable[..., str], produce: Callable[..., None]) -> Report:
    """One run of offsets 1 to 10, in the only partition of a topic where something of somebody else's is first."""
    topic = new_topic(1)
    produce(topic, (b"other", b"first"))
    servers = kafka.bootstrap_servers
    report = penstock.write(
        ROWS.slice(0, 10), topic=topic, bootstrap_servers=servers, key="text", audit=True, workers=0
    )
    assert report.partitions[0].runs == ((1, 10, 10, report.partitions[0].runs[0][3]),)
    return report


@pytest.mark.parametrize("shape", SHAPES)
def test_what_was_written_agrees(kafka: Kafka, new_topic: Callable[..., str], verify: Verifier, shape: str) -> None:
    """Runs, counts and sums are those of the log, by another XXH64, and verify finds nothing else."""
    topic = new_topic(3)
    report = penstock.write(ROWS, topic=topic, bootstrap_servers=kafka.bootstrap_servers, audit=True, **SHAPES[shape])
    log = read_topic(kafka.bootstrap_servers, topic)
    for part in report.partitions:
        mine = [message for message in log.messages if message.partition == part.partition]
        total = sum(hashed(message.key, message.value) for message in mine) % 2**64
        assert part.runs == ((0, len(mine) - 1, part.messages, f"{total:016x}"),)
    if "null" in shape:
        assert {message.key is None for message in log.messages} == {True, False}
        assert {message.value is None for message in log.messages} == {True, False}
    found = verify.parts(report, "--whole", code=0)
    assert sum(part["messages"] for part in found) == report.messages == len(log.messages)
    assert not any(part["repeats"] or part["foreign"] or part["text"] for part in found)


def test_rows_of_several_topics_agree(kafka: Kafka, new_topic: Callable[..., str], verify: Verifier) -> None:
    """Each topic that rows name has its own runs."""
    topics = [new_topic(2) for _ in range(3)]
    rows = ROWS.append_column("to", pa.array([topics[row % 3] for row in range(ROWS.num_rows)]))
    servers = kafka.bootstrap_servers
    report = penstock.write(rows, topics=topics, topic_column="to", bootstrap_servers=servers, audit=True, workers=2)
    found = verify.parts(report, code=0)
    assert {part["topic"] for part in found} == set(topics)
    assert sum(part["messages"] for part in found) == report.messages


def test_repeats_and_foreign_messages(
    verify: Verifier, produce: Callable[..., None], kafka: Kafka, written: Report
) -> None:
    """Outside of the runs, what is ours once more is a repeat, the rest foreign; both are told and do no harm."""
    ours = [(m.key, m.value) for m in read_topic(kafka.bootstrap_servers, written.topic).messages]
    produce(written.topic, ours[4], (ours[4][0], None), ours[7], (None, b""))
    (found,) = verify.parts(written, code=0)
    assert (found["messages"], found["repeats"], found["first_repeat"]) == (10, 2, 11)
    assert (found["foreign"], found["first_foreign"]) == (2, 12)
    (found,) = verify.parts(written, "--whole", code=0)
    assert (found["repeats"], found["foreign"], found["first_foreign"]) == (2, 3, 0)
    beside = "2 repeats from offset 11; 2 foreign from offset 12"
    assert verify(written)[1] == f"✓ {written.topic}[0] agrees: 10 messages in 1 run; {beside}\nagrees\n"
    code, out, _ = verify(msgspec.structs.replace(written, messages=13, unknown_offsets=3))
    assert (code, out.splitlines()[-1].partition(":")[::2]) == (
        5, ("cannot tell", " 3 messages were acknowledged without an offset, and cannot be looked for"),
    )  # fmt: skip


def test_an_altered_message_differs(
    verify: Verifier, produce: Callable[..., None], kafka: Kafka, new_topic: Callable[..., str], written: Report
) -> None:
    """The same messages in another order agree; with one byte of one key changed they do not."""
    messages = [(m.key, m.value) for m in read_topic(kafka.bootstrap_servers, written.topic).messages]
    changed = [*messages[:5], (messages[5][0].upper(), messages[5][1]), *messages[6:]]
    for log, code in ((messages[:1] + messages[:0:-1], 0), (changed, 5)):
        topic = new_topic(1)
        produce(topic, *log)
        moved = msgspec.structs.replace(written.partitions[0], topic=topic)
        receipt = msgspec.structs.replace(written, topic=topic, partitions=(moved,))
        (found,) = verify.parts(receipt, code=code)
        assert found["text"] == ("" if code == 0 else "offsets 1 to 10: not the messages that were acknowledged")
    code, out, err = verify(receipt)
    assert (code, out.splitlines()[-1]) == (5, "differs")
    assert err == (
        f"penstock: error: {verify.path} is not what the topic holds, or it cannot be told: {topic}[0] differs\n"
    )


def test_deleted_and_cut_off_ranges_cannot_be_told(verify: Verifier, kafka: Kafka, written: Report) -> None:
    """Where the log begins later, or ends earlier, than a run, nothing is claimed."""
    for future in kafka.admin.delete_records([TopicPartition(written.topic, 0, 5)]).values():
        future.result(20)
    (found,) = verify.parts(written, code=5)
    assert (found["verdict"], found["messages"]) == ("cannot tell", 6)
    assert found["text"] == "offsets 1 to 10: deleted, the log begins at 5"
    moved = msgspec.structs.replace(written.partitions[0], runs=((8, 17, 10, "0" * 16),))
    (found,) = verify.parts(msgspec.structs.replace(written, partitions=(moved,)), code=5)
    assert found["verdict"] == "cannot tell"
    assert found["text"] == "offsets 8 to 17: the log ends before 11: it was cut, or the topic made anew"


def test_gaps_differ_unless_the_topic_is_compacted(
    verify: Verifier, kafka: Kafka, new_topic: Callable[..., str]
) -> None:
    """A message missing amid a run is one that was lost, but where compaction may have taken it."""
    topic = new_topic(1)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": topic})
    producer.init_transactions(20)
    for number in range(2):  # the end of a transaction takes an offset where no reader finds a message
        producer.begin_transaction()
        producer.produce(topic, key=b"k", value=b"%d" % number, partition=0)
        producer.commit_transaction(20)
    part = penstock.PartitionReport(topic, 0, 3, 3, 0, 2, ((0, 2, 3, "0" * 16),))
    receipt = penstock.Report(topic=topic, rows=3, messages=3, partitions=(part,))
    (found,) = verify.parts(receipt, code=5)
    assert (found["verdict"], found["text"]) == ("differs", "offsets 0 to 2: 1 of 3 messages are not there")
    kafka.alter_topic(topic, cleanup__policy="compact")
    (found,) = verify.parts(receipt, code=5)
    assert found["verdict"] == "cannot tell"
    assert found["text"] == "offsets 0 to 2: 1 of 3 messages are not there; the topic is compacted"


@pytest.fixture
def committed(kafka: Kafka, new_topic: Callable[..., str]) -> tuple[Producer, Report]:
    """Messages 0 and 1 aborted, then 4 to 6 of one committed transaction, and the receipt of these."""
    topic = new_topic(1)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": topic})
    producer.init_transactions(20)
    transaction(producer, topic, 0, 1, commit=False)
    transaction(producer, topic, 0, 1, 2)
    total = sum(hashed(b"k", b"%d" % number) for number in range(3)) % 2**64
    part = penstock.PartitionReport(topic, 0, 3, 3, 3, 5, ((3, 5, 3, f"{total:016x}"),))
    return producer, penstock.Report(topic=topic, rows=3, messages=3, partitions=(part,), delivery="exactly_once")


def transaction(producer: Producer, topic: str, *numbers: int, commit: bool = True) -> None:
    producer.begin_transaction()
    for number in numbers:
        producer.produce(topic, key=b"k", value=b"%d" % number, partition=0)
    assert producer.flush(20) == 0
    producer.commit_transaction(20) if commit else producer.abort_transaction(20)


def test_what_was_aborted_is_no_repeat(verify: Verifier, committed: tuple[Producer, Report]) -> None:
    """Attempts that were aborted, before and after, are not seen where the delivery was exactly once."""
    producer, receipt = committed
    transaction(producer, receipt.topic, 2, 1, commit=False)
    for flags in ((), ("--whole",)):
        (found,) = verify.parts(receipt, *flags, code=0)
        assert (found["messages"], found["repeats"], found["foreign"], found["text"]) == (3, 0, 0, "")
    (found,) = verify.parts(msgspec.structs.replace(receipt, delivery="at_least_once"), "--whole", code=0)
    assert (found["repeats"], found["first_repeat"]) == (4, 0)


def test_a_committed_repeat_differs(verify: Verifier, committed: tuple[Producer, Report]) -> None:
    """A repeat that consumers of committed messages see is what exactly once promises not to be there."""
    producer, receipt = committed
    transaction(producer, receipt.topic, 7)
    assert verify.parts(receipt, code=0)[0]["foreign"] == 1
    transaction(producer, receipt.topic, 2)
    (found,) = verify.parts(receipt, code=5)
    assert (found["verdict"], found["repeats"], found["first_repeat"]) == ("differs", 1, 9)
    assert found["text"] == "consumers that read committed see messages twice, which exactly once rules out"
    assert verify.parts(msgspec.structs.replace(receipt, delivery="at_least_once"), code=0)[0]["repeats"] == 1


def test_a_repeat_before_the_receipt_differs_where_all_is_read(
    verify: Verifier, committed: tuple[Producer, Report]
) -> None:
    """Repeats before the first run are found with --whole."""
    producer, receipt = committed
    transaction(producer, receipt.topic, 2)
    part = msgspec.structs.replace(receipt.partitions[0], runs=((7, 7, 1, f"{hashed(b'k', b'2'):016x}"),))
    later = msgspec.structs.replace(receipt, messages=1, partitions=(part,))
    assert verify.parts(later, code=0)[0]["repeats"] == 0
    (found,) = verify.parts(later, "--whole", code=5)
    assert (found["verdict"], found["repeats"], found["first_repeat"]) == ("differs", 1, 5)


def test_what_an_open_transaction_hides_cannot_be_told(
    verify: Verifier, kafka: Kafka, committed: tuple[Producer, Report]
) -> None:
    """Behind a transaction of somebody else's that is open nothing can be read committed."""
    producer, receipt = committed
    other = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": f"{receipt.topic}.other"})
    other.init_transactions(20)
    other.begin_transaction()
    other.produce(receipt.topic, b"x", partition=0)
    assert other.flush(20) == 0
    transaction(producer, receipt.topic, 8)
    part = msgspec.structs.replace(receipt.partitions[0], runs=((8, 8, 1, f"{hashed(b'k', b'8'):016x}"),))
    later = msgspec.structs.replace(receipt, messages=1, partitions=(part,))
    (found,) = verify.parts(later, code=5)
    assert found["verdict"] == "cannot tell"
    assert found["text"].startswith("offset 8: what is committed ends before 7: a transaction is open (")
    assert verify.parts(receipt, code=0)[0]["messages"] == 3
    other.abort_transaction(20)
    assert verify.parts(later, code=0)[0]["messages"] == 1


def test_a_topic_that_is_gone(verify: Verifier, kafka: Kafka, written: Report) -> None:
    """No topic, or fewer partitions: more likely another broker than an answer."""
    moved = msgspec.structs.replace(written.partitions[0], partition=7)
    code, out, err = verify(msgspec.structs.replace(written, partitions=(moved,)))
    assert (code, out) == (4, "")
    assert f'topic "{written.topic}" on {kafka.bootstrap_servers} has no partition 7' in err
    kafka.delete_topic(written.topic)
    code, out, err = verify(written)
    assert (code, out) == (4, "")
    assert f'topic "{written.topic}" on {kafka.bootstrap_servers} cannot be read: ' in err


def test_the_ways_in(secure: SecureBroker, secure_topic: Callable[..., str], secure_kafka: Kafka) -> None:
    """Passwords over TLS and tokens of ours read too; who may not is told at once, and READ on the topic is enough."""
    topic, ways = secure_topic(), ways_in(secure, "admin")
    for way in ways:
        report = penstock.write(ROWS.slice(0, 3), topic=topic, key="id", audit=True, workers=0, **way)
        receipt = read_receipt(report.to_json().encode(), "receipt")
        found = verify_(receipt, load(topic=topic, **way))
        assert (found.verdict, found.partitions[0].messages) == ("agrees", 3)
    began = time.monotonic()
    alice = load(topic=topic, kafka_options=secure.options("SASL_SSL", "alice"))
    with pytest.raises(penstock.ConnectError, match=f'topic "{topic}" on .* cannot be read: ') as refused:
        verify_(receipt, alice)
    assert refused.value.code == "TOPIC_AUTHORIZATION_FAILED"
    assert time.monotonic() - began < 10
    may_read = AclBinding(
        ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, "User:alice", "*", AclOperation.READ,
        AclPermissionType.ALLOW,
    )  # fmt: skip
    secure_kafka.admin.create_acls([may_read])[may_read].result(20)
    assert verify_(receipt, alice).verdict == "agrees"
