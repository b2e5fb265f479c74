"""The error tree: one class for each decision a caller can take.

    PenstockError
    ├── ConfigError      a wrong name or value in settings, flags or configuration     exit 2
    ├── SourceError      a source that cannot be opened or read                        exit 3
    ├── SchemaError      columns that cannot be written, or that change on the way     exit 3
    ├── EncodeError      a row that has no form in the chosen format                   exit 3
    ├── ConnectError     no broker, no topic, refused before the first row             exit 4
    ├── DeliveryError    the broker did not acknowledge every message                  exit 4
    │   ├── WorkerDied   worker processes ended early, more of them than are replaced
    │   └── Fenced       another producer took over
    ├── WriteTimeout     no room in the arena within the time given                    exit 4
    ├── NotVerified      a topic does not hold what a receipt says, or cannot tell     exit 5
    ├── WriterClosed     the writer was closed, by you or by an earlier error          exit 1
    └── InternalError    a bug of ours; please report it                               exit 1

Each message is one sentence: what failed, where, found against allowed, what to try. The facts are attributes too.
All of them survive pickling. `report`, where it is set, counts what was acknowledged before the failure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from penstock.report import Report

__all__ = [
    "ConfigError",
    "ConnectError",
    "DeliveryError",
    "EncodeError",
    "Fenced",
    "InternalError",
    "NotVerified",
    "PenstockError",
    "SchemaError",
    "SourceError",
    "WorkerDied",
    "WriteTimeout",
    "WriterClosed",
]


def _rebuild(cls: type[PenstockError], message: str, facts: dict[str, Any]) -> PenstockError:
    return cls(message, **facts)


class PenstockError(Exception):
    """Base of every error that penstock raises.

    code       librdkafka's or the broker's name of the error, such as "_MSG_TIMED_OUT", else None
    retriable  the same call may succeed later, without any change
    fatal      the writer cannot go on
    report     what was acknowledged before the failure, where anything was sent, else None
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        retriable: bool = False,
        fatal: bool = True,
        report: Report | None = None,
        **facts: Any,  # noqa: ANN401 - each subclass names its own
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.retriable = retriable
        self.fatal = fatal
        self.report = report
        for name, value in facts.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        facts = {name: value for name, value in vars(self).items() if name not in {"message", "__notes__"}}
        return _rebuild, (type(self), self.message, facts)


class ConfigError(PenstockError):
    """A setting, flag or option has a wrong name or value; nothing was opened or sent."""

    exit_code = 2


class SourceError(PenstockError):
    """A source cannot be opened or read."""

    exit_code = 3


class SchemaError(PenstockError):
    """The columns cannot be written, or differ from those that came before; nothing of this batch was sent."""

    exit_code = 3


class EncodeError(PenstockError):
    """A row has no form in the chosen format. `row`, `column` and `source` say which one."""

    exit_code = 3
    row: int | None = None
    column: str | None = None
    source: str | None = None


class ConnectError(PenstockError):
    """No broker, no topic, or the broker refused us; no row was sent."""

    exit_code = 4


class DeliveryError(PenstockError):
    """Not every message was acknowledged. `report` has the exact counts; `acknowledged_rows`, `failed_rows` too.

    source, row  the first row of the first message that the broker refused for good, else None
    """

    exit_code = 4
    source: str | None = None
    row: int | None = None
    acknowledged_rows: int = 0
    failed_rows: int = 0
    unknown_rows: int = 0


class WorkerDied(DeliveryError):  # noqa: N818 - the name is what happened
    """A worker process ended early, and none was to take its place.

    acknowledged_rows  the broker has them
    failed_rows        the broker does not have them
    unknown_rows       handed to the dead worker: they may or may not be in the log
    """


class Fenced(DeliveryError):  # noqa: N818 - Kafka's word
    """Another producer with the same identity took over."""


class WriteTimeout(PenstockError):  # noqa: N818 - the name is what happened
    """No room in the arena within the time given; the rows that found room are sent, the writer stays open."""

    exit_code = 4


class NotVerified(PenstockError):  # noqa: N818 - the name is what happened
    """A topic does not hold what a receipt says was acknowledged, or it cannot be told any more."""

    exit_code = 5


class WriterClosed(PenstockError):  # noqa: N818 - the name is what happened
    """The writer was closed, by its owner or by an earlier error."""


class InternalError(PenstockError):
    """A bug of penstock; please report it with the text of this error."""
