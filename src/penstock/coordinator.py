"""coordinator: all the I/O that the ledger does not do: workers, arena, packets, time.

It runs in the thread that writes. Chunks go to a worker as soon as they lie in the arena (partition p to worker
p % workers; runs without a key to whoever has least); answers are taken whenever the writer waits or hands over a
chunk. The first failure is kept, everything that was dealt is answered or given up, and then it is raised.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock import _core, control
from penstock.acks import Ledger
from penstock.arena import Arena
from penstock.cluster import before_first_row
from penstock.commits import Commits
from penstock.errors import DeliveryError, EncodeError, Fenced, PenstockError, WorkerDied, WriteTimeout
from penstock.leftout import LeftOut
from penstock.logs import tell_log
from penstock.rejected import is_for_good, not_taken
from penstock.report import receipt
from penstock.restarts import Restarts
from penstock.source.batch import row_error, row_name
from penstock.tokens import open_tokens
from penstock.workers import Workers, refused, vitals_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from penstock.config import Config
    from penstock.job import Job
    from penstock.layout import Layout
    from penstock.progress import Progress
    from penstock.report import Report
    from penstock.source.batch import Origins
    from penstock.tokens import Tokens

__all__ = ["Chunk", "Coordinator"]

_log = logging.getLogger("penstock")
_WAIT_SECS = 0.2
_LEAST_CONNECT_SECS = 5.0  # for the workers, however long the brokers were waited for before
_MEMORY_EVERY_SECS = 0.5
_FENCED = {"_FENCED", "INVALID_PRODUCER_EPOCH", "PRODUCER_FENCED"}


@dataclass
class Chunk:
    """A chunk that lies in the arena.

    lane     whose producer has its partitions; None: any
    holds    places in the arena that are let go of when it is acknowledged
    origin, first_row   what an error calls row 0 of its piece
    block_rows          of the piece: first and end
    resend              its messages may be sent again where the broker refuses one of them
    """

    layout: int
    place: control.Place
    lane: int | None
    rows: int
    holds: tuple[int, ...]
    origin: str | Origins
    first_row: int
    block_rows: tuple[int, int]
    resend: bool


class Coordinator:
    """One writer's workers, arena and ledger.

    config          as the topics allow it: see cluster.before_first_row
    commits         of a named job; None where there is none
    failure         the first thing that went wrong, None while all is well
    left_out        rows that cannot go
    tokens          who makes those that the job logs in with, closed by close(); None: opened here, where one is needed
    """

    def __init__(self, config: Config, tokens: Tokens | None = None) -> None:
        self.config = config
        self.left_out = LeftOut(config)
        self._tokens = open_tokens(config) if tokens is None else tokens
        self._opened = time.monotonic()
        self.ledger = Ledger()
        self.failure: PenstockError | None = None
        self.startup_seconds = 0.0
        self._first_batch: float | None = None
        self._last_ack: float | None = None
        self._numbers = 0
        self._chunks: dict[int, Chunk] = {}
        self._waiting: list[deque[int]] = []  # by lane
        self._layouts: dict[int, control.LayoutPlace] = {}
        self._known: set[tuple[int, int]] = set()  # (worker, layout)
        self._restarts = Restarts(config.writer.max_restarts_per_min)
        self.commits: Commits | None = None
        self._starting: set[int] = set()  # workers in the place of others whose transactions are to be looked at
        self._peak_memory = 0
        self._memory_looked = 0.0
        self._closed = False
        self.arena = Arena(config.shares.arena_bytes, vitals_bytes(config.worker_count))
        self.address = _core.address_of(self.arena.memory)
        self._workers = Workers(config, self.arena, self.address, self._tokens)
        try:
            self._start()
        except BaseException:
            self.close(kill=True)
            raise
        self.startup_seconds = time.monotonic() - self._opened

    def _start(self) -> None:
        self._workers.spawn()  # they come up while the brokers are asked
        deadline = self._opened + self.config.initialization_timeout_secs
        self.config, partitions = before_first_row(self.config, None if self._tokens is None else self._tokens.first())
        lanes = self._workers.count
        found: Mapping[int, Progress] = {}
        if self.config.writer.job is not None:
            self.commits = Commits(self.config, self._tokens)
            if self.commits.exactly_once:
                lanes = self.commits.count_lanes(partitions)
            else:
                found = self.commits.find()
        self._waiting = [deque() for _ in range(lanes)]
        left = max(deadline - time.monotonic(), _LEAST_CONNECT_SECS)
        for worker, message in self._workers.start(self.config, lanes, left):
            self._handle(worker, message)
        if self.commits is not None:
            if self.commits.exactly_once:  # the lanes are fenced by now: nobody else adds to it
                found = self.commits.find()
            self.commits.begin(self.partitions, lanes, self.arena.size, found)
            self._commit()

    @property
    def partitions(self) -> int:
        """Partitions of the topic, read when the workers connected."""
        return self._workers.partitions

    @property
    def workers(self) -> int:
        """Worker processes; 0: all is done in the calling one."""
        return self._workers.processes

    @property
    def lanes(self) -> int:
        """Producers; see Workers."""
        return self._workers.lanes

    @property
    def job(self) -> Job | None:
        """Where a named job stands; None where there is none."""
        return None if self.commits is None else self.commits.job

    @property
    def _exactly_once(self) -> bool:
        return self.commits is not None and self.commits.exactly_once

    # --- writing ---

    def allocate(self, size: int, deadline: float | None) -> int:
        """Return a place of `size` bytes in the arena, waiting for chunks to be acknowledged until the deadline.

        Raises WriteTimeout at the deadline, and what the workers reported.
        """
        while True:
            place = self.arena.allocate(size)
            if place is not None:
                if self.job is not None:
                    self.job.add_bytes(size)
                return place
            self.raise_failure()
            if self.ledger.idle:
                raise EncodeError(
                    f"a dictionary or a row needs {size} bytes of shared memory, memory_bytes leaves {self.arena.size} "
                    f"of which other dictionaries take {self.arena.used}; give more memory_bytes"
                )
            if self.commits is not None and not self.commits.make_room():
                raise EncodeError(
                    f"the rows of one batch take all of the {self.arena.size} bytes of shared memory, and are "
                    "committed together; give more memory_bytes, or smaller batches"
                )
            self._commit()
            if deadline is not None and time.monotonic() >= deadline:
                raise WriteTimeout(
                    f"no room for {size} bytes in the arena of {self.arena.size}, all of it waits for the broker; "
                    "try again later, or give more memory_bytes",
                    retriable=True,
                    fatal=False,
                )
            self.poll(_WAIT_SECS if deadline is None else min(_WAIT_SECS, deadline - time.monotonic()))

    def add_layout(self, number: int, layout: Layout) -> None:
        """Put a layout into the arena, for good; workers hear of it before their first chunk that needs it."""
        encoded = control.encode(layout)
        position = self.allocate(len(encoded), None)
        self.arena.memory[position : position + len(encoded)] = encoded
        self._layouts[number] = control.LayoutPlace(number, position, len(encoded))

    def has_layout(self, number: int) -> bool:
        """Tell whether add_layout was called for it."""
        return number in self._layouts

    def took_batch(self) -> None:
        """Start the clock of `seconds` with the first batch."""
        if self._first_batch is None:
            self._first_batch = time.monotonic()

    def deal(self, chunk: Chunk) -> None:
        """Hand a chunk over; it waits here when its worker has enough to do."""
        number = self._numbers
        self._numbers += 1
        if chunk.lane is None:
            chunk.lane = min(range(self._workers.count), key=lambda w: self.ledger.dealt_rows.get(w, 0))
        self._chunks[number] = chunk
        self.ledger.add(number, self._workers.worker_of(chunk.lane), chunk.rows)
        if self.commits is not None:
            self.commits.enter(number, chunk.lane, time.monotonic())
        self._waiting[chunk.lane].append(number)
        self._push(chunk.lane)
        self.poll(0)

    def reached(self, rows: int, locate: Callable[[], Any] | None = None) -> None:
        """Note that so many rows of the source are handed over, and that an epoch of the job may end here."""
        if self.commits is not None:
            self.commits.reached(rows, locate, time.monotonic())
            self._commit()

    def end_epoch(self, *, finished: bool = False) -> None:
        """Have all that was handed over be recorded, as soon as it is acknowledged."""
        if self.commits is not None:
            self.commits.end_epoch(finished=finished)
            self._commit()

    def _commit(self) -> None:
        """Tell the lanes that can commit to do so."""
        if self.commits is None or self.failure is not None:
            return
        for commit in self.commits.due(lambda lane: self._workers.worker_of(lane) not in self._starting):
            if not self._workers.send(self._workers.worker_of(commit.lane), commit):
                self.commits.unsent(commit.lane)

    def _push(self, lane: int) -> None:
        worker, waiting = self._workers.worker_of(lane), self._waiting[lane]
        if worker in self._starting:
            return
        while waiting and self.failure is None and not self._must_wait(worker, waiting[0]):
            number = waiting[0]
            chunk = self._chunks[number]
            if self.commits is not None and not self.commits.may_go(number):
                return
            if (worker, chunk.layout) not in self._known:
                if not self._workers.send(worker, self._layouts[chunk.layout]):
                    return
                self._known.add((worker, chunk.layout))
            # In this order: were we interrupted in between, the chunk would rather count as unknown than as never sent.
            self.ledger.deal(number)
            if not self._workers.send(worker, control.Deal(number, chunk.layout, chunk.place, lane)):
                self.ledger.undeal(number)
                return
            waiting.popleft()

    def _push_all(self, worker: int) -> None:
        for lane in self._workers.lanes_of(worker):
            self._push(lane)

    def _must_wait(self, worker: int, number: int) -> bool:
        """Tell whether a suspect is in the way: it is sent to a worker that has nothing else, and nothing beside it."""
        if not self._restarts.suspecting:
            return False
        dealt = self.ledger.dealt(worker)
        return bool(dealt) and any(map(self._restarts.alone, (number, *dealt)))

    def poll(self, timeout: float) -> None:
        """Take the workers' answers, waiting up to timeout seconds for the first; keep the first failure."""
        for worker, message in self._workers.receive(timeout):
            self._handle(worker, message)
        for worker, how in self._workers.dead():
            for late_worker, message in self._workers.receive(0):  # what it had said before it ended
                self._handle(late_worker, message)
            self._died(worker, how, self._workers.suspect(worker))
        now = time.monotonic()
        self._workers.end_frozen(now)
        if self.commits is not None and self.failure is None:
            self.commits.tick(now)
            self._commit()
        if now - self._memory_looked >= _MEMORY_EVERY_SECS:
            self.look_at_memory()

    def _handle(self, worker: int, message: control.FromWorker) -> None:
        if isinstance(message, control.Ack):
            self._answered(worker, message)
            self._push_all(worker)
        elif isinstance(message, control.Committed):
            self._committed(worker, message)
        elif isinstance(message, control.LeftOut):
            self.left_out.hear(message.chunk, message.rows)
        elif isinstance(message, control.PartialAck):
            self.ledger.acknowledge_part(message.chunk, message.partitions)
            if self.commits is not None:
                self.commits.part(message)
        elif isinstance(message, control.Log):
            self._log_lines(worker, message)
        else:
            self._stands(worker, message)

    def _stands(self, worker: int, message: control.Ready | control.Refused | control.Failing) -> None:
        """Hear how a worker's producers do: of one in another's place, or that they cannot go on."""
        if isinstance(message, control.Failing):
            what = f"librdkafka cannot go on: {message.text} ({message.code})"
            another = None
            if self.commits is not None and self.commits.exactly_once and message.code == "_TIMED_OUT":
                another = self.commits.taken_over(what)
            if another is not None:
                self._fail(another)
            elif message.code in _FENCED and self.commits is not None and self.commits.exactly_once:
                self._fail(self.commits.fenced(what, message.code))
            elif message.code in _FENCED:
                self._fail(Fenced(f"{self.config.topic}: {what}", code=message.code))
            else:
                self._died(worker, f"had to give up its producer, {what}", None)
        elif isinstance(message, control.Ready):
            if worker in self._starting:
                self._go_on(worker)
        elif message.kind != "broker":
            self._fail(refused(message, self.config))

    def _log_lines(self, worker: int, message: control.Log) -> None:
        tell_log(message.lines, f"worker {worker}" if self.workers else "", message.dropped)

    def _answered(self, worker: int, ack: control.Ack) -> None:
        """Take a chunk's answer; exactly once it counts when its epoch is committed."""
        self._keep_left_out(ack.chunk)
        if not self._exactly_once or not (ack.failure or ack.errors):
            if self.commits is None or self.commits.answer(ack):
                self._acknowledge(ack)
        elif ack.failure is not None:
            self._tell_failure(ack)
        else:
            _, name, _, _, example = max(ack.errors, key=lambda error: error[2])
            if not is_for_good(ack):
                self._aborted(worker, f"could not deliver all of an epoch: {example} ({name})")
            else:
                self._tell_failure(ack)
                self.ledger.acknowledge(ack.chunk, [], ack.errors, 0)
                self._let_go(ack.chunk)
        self._commit()

    def _keep_left_out(self, number: int) -> None:
        try:
            self.left_out.keep(number, self._chunks[number], self.address)
        except EncodeError as error:  # the rows count as failed
            self._fail(error)

    def _committed(self, worker: int, message: control.Committed) -> None:
        """Count what a lane has committed, and let it go on with its next epoch."""
        assert self.commits is not None  # noqa: S101 - nobody else is told to
        if message.code and self._exactly_once:
            self._aborted(worker, f"could not commit: {message.text} ({message.code})")
        elif message.code:
            self.commits.undo(message.lane)
            self._fail(
                DeliveryError(
                    f'{self.config.writer.progress_topic}: how far job "{self.config.writer.job}" has come cannot be '
                    f"recorded: {message.text} ({message.code})",
                    code=message.code,
                )
            )
        else:
            self.commits.succeeds(worker)
            self._count(self.commits.committed(message.lane))
            self._push(message.lane)
            self._commit()

    def _count(self, acks: list[control.Ack]) -> None:
        """Count what a lane has committed with one transaction."""
        for ack in acks:
            self._acknowledge(ack)
        if acks:
            self.ledger.committed()

    def _aborted(self, worker: int, what: str) -> None:
        """Have the transactions of a worker begun anew by another one, for as long as a message may be on its way."""
        if worker in self._starting or self.commits is None:
            return
        limit = self.config.writer.delivery_timeout_secs
        if self.commits.keeps_failing(worker, limit, time.monotonic()):
            what = f"{self._workers.name(worker)} {what}, for {limit:g} s (delivery_timeout_secs)"
            self._fail(DeliveryError(what, retriable=True))
        else:
            self._died(worker, what, None)

    def _acknowledge(self, ack: control.Ack) -> None:
        bad, oversize = self.left_out.count(ack.chunk)
        # The ledger first: a Ctrl-C in between then costs nothing but a place in an arena that is about to go.
        self.ledger.acknowledge(
            ack.chunk,
            ack.partitions,
            ack.errors,
            ack.null_keys,
            ack.unknown_rows,
            bad=bad,
            oversize=oversize,
            shortened=ack.shortened_rows,
        )
        self._last_ack = time.monotonic()
        self._tell_failure(ack)
        self._let_go(ack.chunk)
        self._restarts.done(ack.chunk)

    def _tell_failure(self, ack: control.Ack) -> None:
        """Keep what went wrong with a chunk's rows, if anything did."""
        chunk = self._chunks[ack.chunk]
        if ack.failure is not None:
            row, column, text = ack.failure
            self._fail(row_error(chunk.origin, chunk.first_row + row, column, text))
        elif ack.errors:
            self._fail(not_taken(ack, chunk, self.config))

    def _let_go(self, number: int) -> None:
        self.left_out.forget(number)
        chunk = self._chunks.pop(number, None)
        for place in chunk.holds if chunk is not None else ():
            self.arena.release(place)

    def _died(self, worker: int, how: str, suspect: int | None) -> None:
        """Have another worker take the place of one that is gone, or end the job where that is not to be.

        suspect: the chunk it was encoding, if that may have been the cause.
        """
        accused = None if suspect is None else self._chunks.get(suspect)
        kills = suspect is not None and accused is not None and self._restarts.blame(suspect)
        what = f"{self._workers.name(worker)} {how}"
        if self.failure is None and not kills and self._restarts.allowed(time.monotonic()):
            return self._replace(worker, what)
        self._leave(self._workers.lanes_of(worker))
        if kills and accused is not None:
            first, end = (row_name(accused.origin, accused.first_row + row) for row in accused.block_rows)
            what += f", as two before it did; each was encoding the rows from {first} to before {end}"
        elif self.failure is None and self.config.writer.max_restarts_per_min:
            what += f"; {self.config.writer.max_restarts_per_min} were replaced within a minute (max_restarts_per_min)"
        for number in self.ledger.died(worker):
            self._let_go(number)
        for lane in self._workers.lanes_of(worker):
            self._waiting[lane].clear()
            if self.commits is not None and self._exactly_once:
                self.commits.undo(lane)
        self._fail(WorkerDied(what))
        return None

    def _replace(self, worker: int, what: str) -> None:
        """Start another worker; it sends, in their order, all that the one before it had no answer for."""
        self._known = {known for known in self._known if known[0] != worker}
        if self._exactly_once:
            self._starting.add(worker)  # what it sends again, its transactions decide
            for lane in self._workers.lanes_of(worker):
                if not self._in_doubt(lane):
                    self.commits.undo(lane)  # type: ignore[union-attr] # of a job that is exactly once
            _log.warning("%s; another one takes its place", what)
        else:
            _log.warning("%s; another one takes its place, and sends %d rows again", what, self._requeue(worker))
        # Brokers may be away just now: they are waited for as long as a message may be on its way.
        limit = max(self.config.initialization_timeout_secs, self.config.writer.delivery_timeout_secs)
        self._workers.replace(worker, limit)
        self._push_all(worker)
        self._commit()

    def _requeue(self, worker: int) -> int:
        """Have all that a worker has no answer for wait to be sent by it again; returns how many rows were sent."""
        resent = self.ledger.resent
        if self.commits is not None and not self._exactly_once and worker == 0:
            self.commits.unsent(0)  # what it was to record, it is told again
        for lane in self._workers.lanes_of(worker):
            self._waiting[lane].clear()
        for number in self.ledger.requeue(worker):
            self.left_out.sent_again(number)
            if self.commits is not None:
                self.commits.sent_again(number)
            self._waiting[self._chunks[number].lane or 0].append(number)
        return self.ledger.resent - resent

    def _go_on(self, worker: int) -> None:
        """Go on with a worker in the place of another, once its lanes are fenced: what they had committed counts."""
        assert self.commits is not None  # noqa: S101 - only with transactions
        try:
            counts = self.commits.resolve(self._workers.lanes_of(worker))
        except PenstockError as error:
            self._fail(error)
            return
        self._starting.discard(worker)
        for acks in counts.values():
            self._count(acks)
        resent = self._requeue(worker)
        _log.warning("worker %d goes on, and sends %d rows again, in new transactions", worker, resent)
        self._push_all(worker)
        self._commit()

    def _fail(self, error: PenstockError) -> None:
        if self.failure is not None:
            return
        self.failure = error
        failure = None if self._tokens is None else self._tokens.last_failure
        if failure is not None and isinstance(error, DeliveryError):
            error.message += f"; there is no new token to log in with: {failure}"

    def raise_failure(self) -> None:
        """Raise the first failure, if there is one."""
        if self.failure is not None:
            raise self.failure

    # --- end ---

    def drain(self, deadline: float | None = None) -> None:
        """Wait until everything is answered or, after a failure, everything that was dealt; stop at the deadline."""
        while not self._nothing_to_wait_for():
            wait = _WAIT_SECS
            if deadline is not None:
                wait = min(wait, deadline - time.monotonic())
                if wait <= 0:
                    return
            self.poll(wait)

    @property
    def idle(self) -> bool:
        """Everything is acknowledged and, of a job, recorded."""
        return self.ledger.idle and (self.commits is None or self.commits.idle)

    def _nothing_to_wait_for(self) -> bool:
        if self.failure is None:
            return self.idle
        if self._exactly_once and self.commits is not None:  # what is not being committed never will be
            return not self.commits.telling
        return self.ledger.dealt_chunks == 0

    def _leave(self, lanes: Iterable[int]) -> None:
        """Count what was dealt to these lanes as never sent, where its transaction is not being committed."""
        lost = {lane for lane in lanes if not self._in_doubt(lane)}
        for number, chunk in self._chunks.items():
            if chunk.lane in lost:
                self.ledger.undeal(number)

    def _in_doubt(self, lane: int) -> bool:
        return not self._exactly_once or self.commits is None or self.commits.in_doubt(lane)

    def give_up(self) -> None:
        """Count what is left as unknown (dealt) or failed (never dealt); nothing more is waited for."""
        self._leave(range(self.lanes))
        for number in self.ledger.give_up():
            self._let_go(number)
        for waiting in self._waiting:
            waiting.clear()

    def look_at_memory(self) -> None:
        """Note the sum of PSS when it is a new peak."""
        self._memory_looked = time.monotonic()
        self._peak_memory = max(self._peak_memory, self._workers.pss_bytes())

    def report(self) -> Report:
        """Return the counts so far."""
        self.look_at_memory()
        seconds = 0.0
        if self._first_batch is not None:
            seconds = (self._last_ack or time.monotonic()) - self._first_batch
        return receipt(
            self.ledger,
            topic=self.config.topic,
            workers=self.workers,
            restarts=self._restarts.total + self._workers.replaced_early,
            audit=self.config.writer.audit,
            resumed_rows=self.ledger.resumed,
            delivery=self.config.writer.delivery,
            job=None if self.job is None else self.job.report(),
            startup_seconds=self.startup_seconds,
            seconds=max(seconds, 0.0),
            peak_memory_bytes=self._peak_memory,
        )

    def close(self, *, kill: bool = False) -> None:
        """End the workers and give the memory back; may be called twice."""
        if self._closed:
            return
        self._closed = True
        try:
            self.left_out.close()
            if self._tokens is not None:
                self._tokens.close()
            if self.commits is not None:
                self.commits.close()
            self._workers.close(kill=kill and not self._exactly_once)  # transactions that are open are given up
        finally:
            self.arena.close()
