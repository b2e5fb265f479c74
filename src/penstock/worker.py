"""worker: take a chunk, encode it, produce it, and send back a plain ack. No policy here.

Run as a process of its own (`main`), or inside the calling process with workers=0 (`Work` alone). As a process it
imports the core and the control messages and nothing heavier: it is ready about 50 ms after it was started. Only the
formats that pyarrow or a plug-in writes bring more, with their first chunk (batches.py).
"""

from __future__ import annotations

import contextlib
import itertools
import math
import mmap
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from penstock import _core, control
from penstock.layout import ColumnarLayout, Layout, make_packer
from penstock.produce import begin_transactions, connect, make_producer, set_token, transaction_secs
from penstock.vitals import BEAT_AT, show_encoding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from penstock.batches import BatchEncoder

__all__ = ["Work", "main"]

# An ack stays below the 200 kB that a packet may hold everywhere: most bytes of its partitions, and what one of them
# takes at most, with a topic's name, and one run.
_PACKET_BYTES = 160_000
_PARTITION_BYTES = 320
_RUN_BYTES = 40
_RUNS_PER_PIECE = 1000
# So does a log of this many lines, which librdkafka cuts at 2048 bytes each.
_LINES_PER_PACKET = 64
# And so many rows that were left out, cut to as many characters of at most 4 bytes.
_LEFT_OUT_PER_PACKET = 64
_COLUMN_SHOWN, _TEXT_SHOWN = 100, 500
_IDLE_SECS = 1.0
_ABORT_MS = 3000  # less than a worker may take to end
_OVERDUE = 0.8  # of transaction.timeout.ms: after as much a transaction may have been ended
_WARNING = 4  # syslog's


class Work:
    """What a worker does, without saying how it hears of it.

    arena          address of the arena in this process
    check_signals  true in the caller's process: a wait for the broker can be interrupted
    """

    def __init__(self, start: control.Start, arena: int, *, check_signals: bool) -> None:
        self._start = start
        self._arena = arena
        self._packers: dict[int, _core.Packer] = {}
        self._batch_encoders: dict[int, BatchEncoder] = {}
        self._producers: dict[int, _core.Producer] = {}  # by lane
        self._transactions: dict[int, float] = {}  # lanes that have one open, and since when
        self._overdue_secs = _OVERDUE * transaction_secs(dict(start.configuration))
        self._recording: deque[control.Commit] = deque()  # without transactions: records that are on their way
        self._committing: dict[int, control.Commit] = {}  # by lane: what its transaction is being committed with
        self._said: list[control.FromWorker] = []
        self._check_signals = check_signals
        self._failing = False
        self.dropped = 0  # lines of the log that nobody has read

    def begin(self, made: Callable[[], None] | None = None) -> Iterator[control.FromWorker]:
        """Create the producers and connect them; `made` is called in between.

        What was logged comes first, then Ready or Refused.
        """
        for lane in self._start.lanes:
            producer = make_producer(self._start, lane, check_signals=self._check_signals)
            if isinstance(producer, control.Refused):
                yield producer
                return
            self._producers[lane] = producer
        if made is not None:
            made()
        answer = self._connect()
        yield from self._log()
        yield answer

    def _connect(self) -> control.Ready | control.Refused:
        answer: control.Ready | control.Refused = control.Ready(0)
        for producer in self._producers.values():
            answer = connect(producer, self._start)
            if isinstance(answer, control.Refused):
                return answer
        refused = begin_transactions(self._producers, self._start) if self._start.job else None
        return answer if refused is None else refused

    @property
    def event_fds(self) -> list[int]:
        """Each becomes readable when there may be results; read 8 bytes from it, then ask for them."""
        return [producer.event_fd for producer in self._producers.values()]

    @property
    def outstanding(self) -> int:
        """Messages without a report."""
        return sum(producer.outstanding for producer in self._producers.values())

    def busy(self, lane: int) -> bool:
        """Tell whether a chunk for this lane may have to wait for the broker."""
        return self._producers[lane].busy

    def renew(self, token: control.Token) -> list[control.Log]:
        """Log in with this token from now on, in any thread; returns what there is to say where it is refused."""
        refused = [set_token(producer, token) for producer in list(self._producers.values())]
        return [control.Log([(_WARNING, "TOKEN", why)]) for why in refused if why is not None]

    def take(self, message: control.ToWorker) -> None:
        """Do what the message says; returns when the last message of a chunk is in librdkafka's queue."""
        if isinstance(message, control.LayoutPlace):
            encoded = _core.read_bytes(self._arena, message.position, message.size)
            layout = msgspec.msgpack.decode(encoded, type=Layout)
            if isinstance(layout.format, ColumnarLayout):
                from penstock.batches import BatchEncoder  # noqa: PLC0415 - brings pyarrow, which no other format needs

                self._batch_encoders[message.layout] = BatchEncoder(layout, layout.format)
            else:
                self._packers[message.layout] = make_packer(layout)
        elif isinstance(message, control.Deal):
            producer = self._opened(message.lane)
            if message.layout in self._batch_encoders:
                encoder = self._batch_encoders[message.layout]
                made = encoder.messages(self._arena, message.place)
                producer.produce_messages(message.chunk, self._arena, message.place, made, encoder.layout)
            else:
                producer.produce(message.chunk, self._packers[message.layout], self._arena, message.place)
        elif isinstance(message, control.Commit):
            self._commit(message)

    def _opened(self, lane: int) -> _core.Producer:
        """Return a lane's producer, in a transaction where it has such."""
        producer = self._producers[lane]
        if self._start.job and lane not in self._transactions:
            error = producer.begin_transaction()
            if error is not None:  # then what is sent fails as well, with less of a reason
                self._said.append(
                    control.Log([(_WARNING, "TXN", f"lane {lane} cannot begin a transaction: {error[1]}")])
                )
            self._transactions[lane] = time.monotonic()
        return producer

    def _commit(self, message: control.Commit) -> None:
        """Record and, with transactions, begin to commit; the answer is among the next results."""
        code = self._opened(message.lane).record(message.topic, message.key, message.value)
        if code:
            self._said.append(_committed(message, code, _core.error_text(code)))
        elif self._start.job:
            self._committing[message.lane] = message
            self._producers[message.lane].begin_commit(max(1, int(self._left_secs(message.lane) * 1000)))
        else:
            self._recording.append(message)

    def _end_commits(self) -> Iterator[control.Committed]:
        """Tell of the commits that are over."""
        for lane, message in list(self._committing.items()):
            producer = self._producers[lane]
            if producer.committing:
                continue
            del self._committing[lane]
            error = producer.end_commit()
            if error is None:
                del self._transactions[lane]
                producer.recorded()
                yield _committed(message)
            elif producer.fatal() is None:  # that is told by itself
                yield _committed(message, *error[:2])

    def _left_secs(self, lane: int) -> float:
        """Return how long a lane's transaction may still last before its broker may end it."""
        return self._transactions.get(lane, math.inf) + self._overdue_secs - time.monotonic()

    def results(self, timeout_ms: int) -> Iterator[control.FromWorker]:
        """Serve delivery reports for up to timeout_ms, then tell what there is to tell.

        What fails because the producer cannot go on is not told, but that it cannot: the next one sends it again.
        """
        if timeout_ms and (len(self._producers) > 1 or self._committing):
            self._wait(timeout_ms)
            timeout_ms = 0
        for lane, producer in self._producers.items():
            found = producer.poll(timeout_ms)
            fatal = producer.fatal()
            yield from self._chunks(found, failing=fatal is not None)
            if fatal is not None and not self._failing:
                self._failing = True
                yield self._fails(lane, *fatal)
        yield from self._log()
        said, self._said = self._said, []
        yield from said
        yield from self._end_commits()
        while self._recording and (code := self._producers[self._recording[0].lane].recorded()) is not None:
            yield _committed(self._recording.popleft(), code, _core.error_text(code))

    def _wait(self, timeout_ms: int) -> None:
        """Wait until one of several producers has something to tell."""
        poll = select.poll()
        for fd in self.event_fds:
            poll.register(fd, select.POLLIN)
        for fd, _ in poll.poll(timeout_ms):
            os.read(fd, 8)

    def _chunks(self, found: list[_core.ChunkResult], *, failing: bool) -> Iterator[control.FromWorker]:
        for chunk, partitions, errors, unknown_rows, null_keys, failure, left_out, shortened, refused in found:
            if failing and errors:
                continue
            shown = [
                (row, rows, at[:_COLUMN_SHOWN], why[:_TEXT_SHOWN], large) for row, rows, at, why, large in left_out
            ]
            for first in range(0, len(shown), _LEFT_OUT_PER_PACKET):
                yield control.LeftOut(chunk, shown[first : first + _LEFT_OUT_PER_PACKET])
            *parts, rest = _packets(partitions)
            for part in parts:
                yield control.PartialAck(chunk, part)
            yield control.Ack(chunk, rest, errors, unknown_rows, null_keys, failure, shortened, refused)

    def _fails(self, lane: int, code: int, text: str) -> control.Failing:
        """Say why a producer cannot go on.

        A broker that has ended a transaction which lasted too long says the same as to one that was fenced.
        """
        if self._left_secs(lane) < 0:
            return control.Failing(
                "_TIMED_OUT",
                f"a transaction was ended by its broker: it lasted longer than transaction.timeout.ms: {text}",
            )
        return control.Failing(_core.error_name(code), text)

    def _log(self) -> Iterator[control.Log]:
        lines = [line for producer in self._producers.values() for line in producer.log()]
        for first in range(0, max(len(lines), min(self.dropped, 1)), _LINES_PER_PACKET):
            dropped, self.dropped = self.dropped, 0
            yield control.Log(lines[first : first + _LINES_PER_PACKET], dropped)

    def abandon(self) -> None:
        """Give up the transactions that are open, so that nobody who reads committed has to wait for them.

        One that is being committed is decided by the broker.
        """
        for lane in self._transactions.keys() - self._committing.keys():
            self._producers[lane].abort_transaction(_ABORT_MS)
            del self._transactions[lane]

    def close(self) -> None:
        """Let the producers go; what they still had is given up."""
        self.abandon()
        for producer in self._producers.values():
            producer.close()
        self._producers.clear()


def _committed(message: control.Commit, code: int = 0, text: str = "") -> control.Committed:
    if code == 0:
        return control.Committed(message.lane, message.epoch)
    return control.Committed(message.lane, message.epoch, _core.error_name(code), text)


def _packets(partitions: list[control.PartitionAck]) -> list[list[control.PartitionAck]]:
    """Share an answer out to packets."""
    packets: list[list[control.PartitionAck]] = [[]]
    size = 0
    for one in itertools.chain.from_iterable(map(_pieces, partitions)):
        need = _PARTITION_BYTES + _RUN_BYTES * len(one[-1])
        if size + need > _PACKET_BYTES:
            packets.append([])
            size = 0
        packets[-1].append(one)
        size += need
    return packets


def _pieces(partition: control.PartitionAck) -> Iterator[control.PartitionAck]:
    """Cut a partition of many runs: its counts go with the first of them."""
    topic, number, messages, rows, size, first, last, unknown, runs = partition
    yield topic, number, messages, rows, size, first, last, unknown, runs[:_RUNS_PER_PIECE]
    for at in range(_RUNS_PER_PIECE, len(runs), _RUNS_PER_PIECE):
        yield topic, number, 0, 0, 0, -1, -1, 0, runs[at : at + _RUNS_PER_PIECE]


def main(parent_pid: int, socket_fd: int, arena_fd: int, tokens_fd: int | None = None) -> None:
    """Run one worker process until it is told to stop, or until its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's to answer
    parent = _parent(parent_pid)
    start = _hear_start(parent)
    channel = socket.socket(fileno=socket_fd)
    memory = mmap.mmap(arena_fd, start.arena_bytes)
    _core.watch_parent(parent, socket_fd, _core.address_of(memory) + start.vitals + BEAT_AT)
    work = Work(start, _core.address_of(memory), check_signals=False)
    made = None if tokens_fd is None else lambda: _take_tokens(work, tokens_fd, channel)
    with contextlib.suppress(ConnectionError):  # the coordinator let go of us
        for message in work.begin(made):
            _send(work, channel, message)
            if isinstance(message, control.Ready):
                _serve(work, channel, memory, start.vitals)
    # librdkafka is given up with its threads: whatever it still had was given up before, or is nobody's any more.
    os._exit(0)


def _parent(parent_pid: int) -> int:
    """Return a descriptor that becomes readable when the parent ends."""
    try:
        parent = os.pidfd_open(parent_pid)
    except ProcessLookupError:
        os._exit(3)
    if os.getppid() != parent_pid:  # it died before we looked, and the number may be another's
        os._exit(3)
    return parent


def _hear_start(parent: int) -> control.Start:
    """Wait for what is to be done, perhaps for minutes: the brokers are asked first.

    The end of our standard input tells nothing: a process that the caller forked meanwhile holds it open as well.
    """
    said = sys.stdin.buffer
    poll = select.poll()
    poll.register(parent, select.POLLIN)
    poll.register(said, select.POLLIN)
    if said.fileno() in {fd for fd, _ in poll.poll()}:
        size = int.from_bytes(said.read(control.SIZE_BYTES), "little")
        with contextlib.suppress(msgspec.DecodeError):  # the caller was killed before it had said all of it
            return msgspec.msgpack.decode(said.read(size), type=control.Start)
    os._exit(3)


def _take_tokens(work: Work, tokens_fd: int, channel: socket.socket) -> None:
    """Start the thread that takes new tokens, at all times: this one may wait for the broker for minutes."""
    import threading  # noqa: PLC0415 - 5 ms that only workers with tokens need

    def take() -> None:
        with socket.socket(fileno=tokens_fd) as tokens, contextlib.suppress(ConnectionError):
            while packet := tokens.recv(1 << 20):
                for message in work.renew(control.decode_token(packet)):
                    with contextlib.suppress(BlockingIOError):  # as for any log
                        channel.send(control.encode(message), socket.MSG_DONTWAIT)

    threading.Thread(target=take, name="penstock-tokens", daemon=True).start()


def _serve(work: Work, channel: socket.socket, memory: mmap.mmap, vitals: int) -> None:
    events = work.event_fds
    poll = select.poll()
    for fd in (channel.fileno(), *events):
        poll.register(fd, select.POLLIN)
    stopping = False
    while not (stopping and work.outstanding == 0):
        ready = {fd for fd, _ in poll.poll(_IDLE_SECS * 1000)}
        for fd in ready.intersection(events):
            os.read(fd, 8)
        # Reports before the next chunk: what they free may be what the coordinator waits for.
        _send_results(work, channel)
        if channel.fileno() in ready:
            packet = channel.recv(1 << 20)
            if not packet:
                return
            message = control.decode_to_worker(packet)
            if isinstance(message, control.Stop):
                stopping = True
                work.abandon()
            if isinstance(message, control.Deal):
                show_encoding(memory, vitals, message.chunk)
            work.take(message)
            show_encoding(memory, vitals, None)
            _send_results(work, channel)
    _send_results(work, channel)


def _send_results(work: Work, channel: socket.socket) -> None:
    for message in work.results(0):
        _send(work, channel, message)


def _send(work: Work, channel: socket.socket, message: control.FromWorker) -> None:
    if not isinstance(message, control.Log):
        channel.send(control.encode(message))
        return
    try:
        channel.send(control.encode(message), socket.MSG_DONTWAIT)
    except BlockingIOError:  # a log that nobody reads must not stop the deliveries; the next one tells of it
        work.dropped += message.dropped + len(message.lines)
