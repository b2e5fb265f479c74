"""control: what the coordinator and its workers say to each other, as msgspec structs.

    coordinator ──Start (stdin of the worker: any size, seen by nobody else)──▶ worker
    coordinator ◀─Ready | Refused──────────────────────────────────────────────
                ──LayoutPlace, Deal, Commit, Stop (SOCK_SEQPACKET: one packet, one message)─▶
                ◀─LeftOut, PartialAck, Ack, Committed, Log, Failing─────────────
    tokens      ──Token (a channel of its own: a worker may be busy for minutes)───▶ worker's other thread

A packet holds at most about 200 kB, so what may be larger (layouts, blocks, selections) lies in the arena and only its
position is sent, and a long Ack is cut into parts. Workers send facts and never exceptions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "SIZE_BYTES",
    "Ack",
    "Commit",
    "Committed",
    "Deal",
    "Failing",
    "FromWorker",
    "LayoutPlace",
    "LeftOut",
    "Log",
    "PartialAck",
    "Ready",
    "Refused",
    "Start",
    "Stop",
    "ToWorker",
    "Token",
    "decode_from_worker",
    "decode_to_worker",
    "decode_token",
    "encode",
    "redacted",
]

SIZE_BYTES: Final = 8  # of a Start, little-endian, in front of it
# (first offset, last, count, sum of hashes): acknowledged offsets without a gap, see runs.py
Run = tuple[int, int, int, int]
# (topic, or "" for the writer's own, partition, messages, rows, bytes, first offset, last offset, unknown offsets,
# runs)
PartitionAck = tuple[str, int, int, int, int, int, int, int, list[Run]]
# (librdkafka's code, its name, rows, messages, example)
ErrorCount = tuple[int, str, int, int, str]
# (row, column, text): where a row could not be encoded, and why
RowFailure = tuple[int, str, str]
# (row, how many rows end with it, column, why, whether it is only too large): rows that are not sent
RowLeftOut = tuple[int, int, str, str, bool]
# positions of block, entries, repeats and groups in the arena, -1 where there is none; see _core.pyi
Place = tuple[int, int, int, int, int, int, int]


class Token(msgspec.Struct, array_like=True):
    """A login token for OAUTHBEARER. expires_ms: milliseconds since 1970; extensions: names and values of SASL."""

    text: str
    expires_ms: int
    principal: str = ""
    extensions: list[tuple[str, str]] = []

    def __repr__(self) -> str:
        return f"<Token of {self.principal or 'nobody named'}, expires at {self.expires_ms} ms>"


class Start(msgspec.Struct, array_like=True):
    """Everything a worker must know before its first row.

    Secrets are in it, so its repr shows neither options nor headers.

    topics  those that must be there, `topic` first
    lanes   the numbers of the producers that it runs
    job     exactly once: the name that their transactional ids begin with; "" without transactions
    vitals  where the worker's line of vitals.py lies in the arena; -1: inside the calling process there is none
    token   to log in with, until the next one comes; None: librdkafka needs none of ours
    audit   tell the runs of acknowledged offsets
    """

    worker: int
    librdkafka: str
    configuration: list[tuple[str, str]]
    topics: list[str]
    headers: list[tuple[str, bytes | None]]
    window_messages: int
    queue_bytes: int
    slab_bytes: int
    arena_bytes: int
    initialization_timeout_secs: float
    lanes: list[int]
    job: str = ""
    vitals: int = -1
    token: Token | None = None
    audit: bool = False

    def __repr__(self) -> str:
        return f"<Start of worker {self.worker} for {', '.join(self.topics)}>"


class LayoutPlace(msgspec.Struct, array_like=True, tag=1):
    """Where a Layout (layout.py) lies. Sent before the first chunk that needs it."""

    layout: int
    position: int
    size: int


class Deal(msgspec.Struct, array_like=True, tag=2):
    """A chunk to do, by this lane's producer."""

    chunk: int
    layout: int
    place: Place
    lane: int = 0


class Stop(msgspec.Struct, array_like=True, tag=3):
    """Answer for everything that was dealt, then end; of a transaction that is open give up what was sent."""


class Commit(msgspec.Struct, array_like=True, tag=4):
    """Record how far the job has come; exactly once also commit the lane's transaction, of which the record is part.

    All chunks of the epoch have been answered for. epoch: what Committed repeats
    """

    lane: int
    epoch: int
    topic: str
    key: bytes
    value: bytes


class Ready(msgspec.Struct, array_like=True, tag=1):
    """Connected, and all topics are there; the first one has so many partitions."""

    partitions: int


class Refused(msgspec.Struct, array_like=True, tag=2):
    """The worker cannot start. kind: config, token, transaction, broker or topic; then `topic` is the one."""

    kind: str
    code: str
    text: str
    topic: str = ""


class PartialAck(msgspec.Struct, array_like=True, tag=3):
    """The first of an Ack's partitions, when they are too many for one packet.

    One of many runs is told in pieces: its counts with the first, only runs in those behind.
    """

    chunk: int
    partitions: list[PartitionAck]


class Ack(msgspec.Struct, array_like=True, tag=4):
    """The broker has answered for every message of the chunk that was sent.

    unknown_rows    of the rows in errors those that may be in the log all the same: their answer was lost
    shortened_rows  of the rows that were sent those without a value, or cut
    refused         first and last row of the first message that the broker refused for good, and that was not left out
    """

    chunk: int
    partitions: list[PartitionAck]
    errors: list[ErrorCount]
    unknown_rows: int
    null_keys: int
    failure: RowFailure | None
    shortened_rows: int = 0
    refused: tuple[int, int] | None = None


class Log(msgspec.Struct, array_like=True, tag=5):
    """Lines that librdkafka logged: (syslog level, facility, text). dropped: how many more there were."""

    lines: list[tuple[int, str, str]]
    dropped: int = 0


class Failing(msgspec.Struct, array_like=True, tag=6):
    """librdkafka cannot go on with this producer."""

    code: str
    text: str


class LeftOut(msgspec.Struct, array_like=True, tag=7):
    """Rows of a chunk that are not sent, all or some of them; before its Ack."""

    chunk: int
    rows: list[RowLeftOut]


class Committed(msgspec.Struct, array_like=True, tag=8):
    """What was to be recorded is recorded, and the transaction committed.

    code, text  why not, where it is not, though the producer can go on; "" where it is
    """

    lane: int
    epoch: int
    code: str = ""
    text: str = ""


ToWorker = LayoutPlace | Deal | Stop | Commit
FromWorker = Ready | Refused | PartialAck | Ack | Log | Failing | LeftOut | Committed

_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode
decode_to_worker = msgspec.msgpack.Decoder(ToWorker).decode
decode_from_worker = msgspec.msgpack.Decoder(FromWorker).decode
decode_token = msgspec.msgpack.Decoder(Token).decode


def redacted(message: FromWorker, redact: Callable[[str], str]) -> FromWorker:
    """Return what a worker said with every text of librdkafka's, and of an encoder's, passed through `redact`."""
    if isinstance(message, Log):
        message.lines = [(level, facility, redact(text)) for level, facility, text in message.lines]
    elif isinstance(message, (Refused, Failing, Committed)):
        message.text = redact(message.text)
    elif isinstance(message, Ack):
        message.errors = [
            (code, name, rows, sent, redact(example)) for code, name, rows, sent, example in message.errors
        ]
        if message.failure is not None:
            row, column, text = message.failure
            message.failure = (row, column, redact(text))
    elif isinstance(message, LeftOut):
        message.rows = [(row, rows, column, redact(text), large) for row, rows, column, text, large in message.rows]
    return message
