"""workers: all of one writer's workers: told what they must know, heard, watched, and replaced.

    Workers ──▶ crew.py: processes, or with workers=0 the calling one ──▶ worker.py
            ──▶ vitals.py: who stands still        ──▶ tokens.py: what they log in with

A lane is one producer. There is one for each worker, or with delivery=exactly_once as many as the job has: then worker
w runs the lanes l where l % workers == w.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from penstock import control
from penstock.cluster import missing_topic, no_answer, topic_refused
from penstock.config.kafka.options import librdkafka_path
from penstock.crew import Crew, LocalCrew, ProcessCrew, pss_bytes
from penstock.errors import ConfigError, ConnectError, InternalError, PenstockError, WorkerDied
from penstock.vitals import LINE_BYTES, Vitals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.arena import Arena
    from penstock.config import Config
    from penstock.tokens import Tokens

__all__ = ["Workers", "refused", "vitals_bytes"]

_log = logging.getLogger("penstock")

_WAIT_SECS: Final = 0.2
_PATIENCE_SECS: Final = 10.0  # for a worker that does not even start
_MOST_EARLY_DEATHS: Final = 3  # before all are ready: whoever dies at once, time after time, lacks something
_UNKNOWN_TOPIC: Final = {"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "LEADER_NOT_AVAILABLE"}


def vitals_bytes(workers: int) -> int:
    """Return how much of the arena the lines of all workers take."""
    return LINE_BYTES * max(workers, 1)


class Workers:
    """The workers of one writer.

    processes  how many; 0: all is done in the calling one
    count      the same, but 1 where there is none
    lanes      producers, settled by start()
    replaced_early   how many were replaced before all were ready
    """

    def __init__(self, config: Config, arena: Arena, address: int, tokens: Tokens | None) -> None:
        self.processes = config.worker_count
        self.count = self.lanes = max(self.processes, 1)
        self.partitions = 0
        self.replaced_early = 0
        self._config = config
        self._arena = arena
        self._tokens = tokens
        self._vitals = Vitals(arena.memory, 0, self.count, config.writer.worker_timeout_secs)
        self._crew: Crew = ProcessCrew(self.processes, arena) if self.processes else LocalCrew(address)

    def spawn(self) -> None:
        """Let them come up; they do nothing before start()."""
        self._crew.spawn(tokens=self._tokens is not None)

    def start(self, config: Config, lanes: int, timeout_secs: float) -> Iterator[tuple[int, control.FromWorker]]:
        """Tell all what they must know, and wait until they are connected; gives what else they say meanwhile.

        config        as the topics allow it
        timeout_secs  how long they may take to reach the topics, and to fence whoever had their transactions
        Raises        what refused() says; WorkerDied when some die time after time; InternalError
        """
        self._config, self.lanes = config, lanes
        if self._tokens is not None:
            self._tokens.first()  # another one, if the brokers were waited for for long
            self._tokens.keep(self._crew.renew)  # before they connect, which may take longer than a token lives
        self._crew.start([self._start_of(worker, timeout_secs) for worker in range(self.count)])
        self._renew()
        waiting = set(range(self.count))
        most = min(_MOST_EARLY_DEATHS, config.writer.max_restarts_per_min)
        deadline = time.monotonic() + timeout_secs + _PATIENCE_SECS
        while waiting:
            # Who has died is asked before he is heard: what he had said before is why he was refused.
            dead = self._crew.dead()
            for worker, message in self.receive(0 if dead else _WAIT_SECS):
                if isinstance(message, control.Ready):
                    waiting.discard(worker)
                    self.partitions = max(self.partitions, message.partitions)  # one without lanes has not asked
                elif isinstance(message, control.Refused):
                    raise refused(message, config)
                else:
                    yield worker, message
            for worker, how in dead:
                if self.replaced_early == most or time.monotonic() > deadline:
                    raise WorkerDied(f"{self.name(worker)} {how} before it was ready; what it printed stands above")
                _log.warning("%s %s before it was ready; another one takes its place", self.name(worker), how)
                waiting.add(worker)
                self.replaced_early += 1
                self.replace(worker, timeout_secs)
            if time.monotonic() > deadline:
                raise InternalError(f"the workers were not ready after {timeout_secs + _PATIENCE_SECS:.0f} s")

    def _start_of(self, worker: int, timeout_secs: float) -> control.Start:
        config = self._config
        exactly_once = config.writer.delivery == "exactly_once"
        return control.Start(
            worker=worker,
            librdkafka=librdkafka_path(),
            configuration=list(config.kafka.items()),
            topics=config.topics_needed,
            headers=list(config.headers),
            window_messages=int(config.kafka["queue.buffering.max.messages"]),
            queue_bytes=int(config.kafka["queue.buffering.max.kbytes"]) * 1024,
            slab_bytes=config.shares.encode_buffer_bytes,
            arena_bytes=self._arena.size,
            initialization_timeout_secs=timeout_secs,
            lanes=list(self.lanes_of(worker)),
            job=(config.writer.job or "") if exactly_once else "",
            vitals=self._vitals.position(worker),
            token=None if self._tokens is None else self._tokens.current,
            audit=config.writer.audit,
        )

    def _renew(self) -> None:
        """Give the newest token to all: a renewal may have come while a worker was on its way."""
        if self._tokens is not None and self._tokens.current is not None:
            self._crew.renew(self._tokens.current)

    def name(self, worker: int) -> str:
        """Return what a worker is called in texts."""
        return f"worker {worker} of {self.processes}"

    def lanes_of(self, worker: int) -> range:
        """Return the lanes that a worker runs."""
        return range(worker, self.lanes, self.count)

    def worker_of(self, lane: int) -> int:
        """Return the worker that runs a lane."""
        return lane % self.count

    def send(self, worker: int, message: control.ToWorker) -> bool:
        """Tell a worker; False when it has enough to do for now."""
        return self._crew.send(worker, message)

    def receive(self, timeout: float) -> Iterator[tuple[int, control.FromWorker]]:
        """Give what they said, waiting for the first; the secrets are taken out of what librdkafka said to them."""
        redact = self._config.redactor.redact
        for worker, message in self._crew.receive(timeout):
            yield worker, control.redacted(message, redact)

    def dead(self) -> list[tuple[int, str]]:
        """Return the workers that ended unasked since the last call, each with how."""
        return self._crew.dead()

    def suspect(self, worker: int) -> int | None:
        """Return the chunk that a worker was encoding last."""
        return self._vitals.suspect(worker)

    def end_frozen(self, now: float) -> None:
        """End the workers that stand still; dead() tells of them."""
        for worker in self._vitals.frozen(now):
            _log.warning("worker %d stands still and is ended", worker)
            self._crew.kill(worker)

    def replace(self, worker: int, timeout_secs: float) -> None:
        """End what is left of a worker, and start another in its place; its Ready or Refused comes by receive()."""
        self._vitals.clear(worker)
        self._crew.replace(worker, self._start_of(worker, timeout_secs))
        self._renew()

    def pss_bytes(self) -> int:
        """Sum the memory of the caller and all workers."""
        return pss_bytes(self._crew.pids())

    def close(self, *, kill: bool) -> None:
        """End them all; they have answered for everything, or are given up with `kill`."""
        self._crew.close(kill=kill)


def refused(message: control.Refused, config: Config) -> PenstockError:
    """Return the error for a worker that is not let in where cluster.py was, a moment before."""
    servers, code = config.kafka["bootstrap.servers"], message.code
    if message.kind == "config":
        return ConfigError(message.text, code=code)
    if message.kind == "token":
        return ConnectError(message.text, code=code)
    if message.kind == "transaction":
        return _no_transactions(message, servers)
    if message.kind == "topic" and code in _UNKNOWN_TOPIC:
        return missing_topic(servers, message.topic, code)
    if message.kind == "topic":
        return topic_refused(servers, message.topic, code, message.text)
    return no_answer(config, message.text, code)


def _no_transactions(message: control.Refused, servers: str) -> PenstockError:
    what, code, text = f'transactional id "{message.topic}" on {servers}', message.code, message.text
    if code == "INVALID_TRANSACTION_TIMEOUT":
        return ConfigError(
            f"{what}: {text}; give a transaction.timeout.ms of at most the broker's transaction.max.timeout.ms",
            code=code,
        )
    if code == "TRANSACTIONAL_ID_AUTHORIZATION_FAILED":
        text = "the broker does not let this login use it; ask for ACLs that allow WRITE and DESCRIBE on the id"
    return ConnectError(f"{what}: {text} ({code})", code=code, retriable=code == "_TIMED_OUT")
