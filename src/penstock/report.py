"""The receipt: what the broker has acknowledged, partition by partition, as frozen facts.

Text, JSON and HTML are three views of the same fields. Imports neither pyarrow nor the Kafka client.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from penstock.config.settings import Delivery  # noqa: TC001 - msgspec reads the annotation

if TYPE_CHECKING:
    from penstock.acks import Ledger

__all__ = ["ErrorReport", "JobReport", "PartitionReport", "Report", "human_bytes", "receipt"]

# A topic can have thousands of partitions and a terminal a few dozen lines; to_dict() and to_json() have them all.
_PARTITIONS_SHOWN = 16
_ERRORS_SHOWN = 8
_WIDTH = 80
_NAME_WIDTH = 24


Sum = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]


class PartitionReport(msgspec.Struct, frozen=True):
    """What one partition acknowledged in this run.

    rows          input rows, each counted once however many messages it needed
    first_offset  lowest and highest offset that a delivery report named; None where the broker named none (acks=0).
    last_offset   Other producers may have written between the two
    runs          with audit: the acknowledged offsets, each run as (first, last, count, sum), without a gap but for the
                  marks of our transactions; the sum is
                  that of the XXH64 of key and value, modulo 2^64, as 16 hexadecimal digits. None without audit
    """

    topic: str
    partition: int
    messages: int
    rows: int
    first_offset: int | None = None
    last_offset: int | None = None
    runs: tuple[tuple[int, int, int, Sum], ...] | None = None


class ErrorReport(msgspec.Struct, frozen=True):
    """Rows that one kind of error kept out of the topic.

    code     librdkafka's or the broker's number (negative: raised inside librdkafka)
    name     its name, such as "_MSG_TIMED_OUT"
    rows     how many rows ended this way
    example  the text of the first one, at most 200 bytes
    """

    code: int
    name: str
    rows: int
    example: str


class JobPartition(msgspec.Struct, frozen=True):
    """What one partition has of a job, all of its runs taken together; runs as in PartitionReport."""

    topic: str
    partition: int
    messages: int
    runs: tuple[tuple[int, int, int, Sum], ...]


class JobReport(msgspec.Struct, frozen=True):
    """What is known of a job, all of its runs taken together.

    lanes             whose progress is recorded; of exactly_once its transactional producers
    total_rows        rows of the source that this and earlier runs have delivered
    resumed_from      rows of the source before which this run had nothing left to do; 0: it began at the beginning
    finished          all of the source is delivered, and the job run again does nothing
    possible_repeats  at_least_once: messages that were already in the topic behind the last recorded position when this
                      run began, and may have been sent again
    partitions        exactly_once with audit: all that the job has committed, in all its runs, for `penstock verify`;
                      None where some of it was written without audit, or the runs are too many to be recorded
    """

    name: str
    lanes: int = 1
    total_rows: int = 0
    resumed_from: int = 0
    finished: bool = False
    possible_repeats: int = 0
    partitions: tuple[JobPartition, ...] | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of one run; `rows + failed_rows + unknown_rows + skipped_rows + bad_rows + oversize_rows +
    resumed_rows` is every row that was taken.

    rows               input rows acknowledged, each once
    messages           messages acknowledged
    bytes              key and value of those messages, before compression
    failed_rows        rows that the broker does not have; `errors` says why
    unknown_rows       rows that may or may not be in the log: a worker died with them, or the answer was lost
    skipped_rows       rows that send nothing by their meaning: a weight of 0, or changes that an index or the
                       output buffer has merged with others
    bad_rows           rows left out because they cannot be encoded, or because the broker refuses their message, as
                       on_bad_row says; oversize_rows because they are too large, as on_oversize says
    shortened_rows     rows sent without a value, or cut, because they are too large (on_oversize key_only, truncate)
    resent_rows        rows sent once more, because a worker died with them; each counts once in `rows`, and some may be
                       in the topic twice
    resumed_rows       rows passed over, because an earlier run of the job had delivered them
    restarts           workers that were replaced
    null_keys          rows sent without a key, because their key column was null
    startup_seconds    from the call to the first batch taken: sources checked, workers up, topic known
    seconds            from the first batch taken to the last acknowledgement
    partitions         one PartitionReport for each partition that acknowledged something, by topic and number
    errors             one ErrorReport for each code, most rows first
    unknown_offsets    messages acknowledged without an offset (always with acks=0)
    peak_memory_bytes  highest sum of PSS over the caller and all workers
    topic, workers     where to, where no column says, and by how many processes (0: inside the calling one)
    delivery           at_least_once, or exactly_once: readers that read committed see each row once
    job                one JobReport where the job has a name, else None
    """

    topic: str = ""
    workers: int = 0
    rows: int = 0
    messages: int = 0
    bytes: int = 0
    failed_rows: int = 0
    unknown_rows: int = 0
    skipped_rows: int = 0
    bad_rows: int = 0
    oversize_rows: int = 0
    shortened_rows: int = 0
    resent_rows: int = 0
    resumed_rows: int = 0
    restarts: int = 0
    null_keys: int = 0
    startup_seconds: float = 0.0
    seconds: float = 0.0
    partitions: tuple[PartitionReport, ...] = ()
    errors: tuple[ErrorReport, ...] = ()
    unknown_offsets: int = 0
    peak_memory_bytes: int = 0
    delivery: Delivery = "at_least_once"
    job: JobReport | None = None

    @property
    def rows_per_second(self) -> float:
        """Rows acknowledged per second of `seconds`; 0.0 when no time was measured."""
        return self.rows / self.seconds if self.seconds > 0 else 0.0

    @property
    def messages_per_second(self) -> float:
        """Messages acknowledged per second of `seconds`; 0.0 when no time was measured."""
        return self.messages / self.seconds if self.seconds > 0 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain dicts, lists, numbers and strings, in the order of the JSON text."""
        plain: dict[str, Any] = msgspec.json.decode(self.to_json())
        return plain

    def to_json(self) -> str:
        """Return the fields as one line of JSON text without a line end."""
        return msgspec.json.encode(self).decode()

    def __str__(self) -> str:
        lines = [self._headline(), *(f"  {line}" for line in self._remarks())]
        if self.partitions:
            lines += ["", *_partition_table(self.partitions)]
        for error in self.errors[:_ERRORS_SHOWN]:
            head = f"  {error.rows:,} {_rows(error.rows)}: {error.name}: "
            lines.append(head + _cut(error.example, max(_WIDTH - len(head), 20)))
        if len(self.errors) > _ERRORS_SHOWN:
            lines.append(f"  … and {len(self.errors) - _ERRORS_SHOWN} more kinds of error")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Show the report as a small table in a notebook."""
        head = escape(self._headline())
        remarks = "".join(f"<div>{escape(line)}</div>" for line in self._remarks())
        columns = "".join(f"<th>{name}</th>" for name in ("partition", "rows", "messages", "offsets"))
        body = "".join(
            f"<tr><td>{escape(_place(p, self.partitions))}</td><td>{p.rows:,}</td><td>{p.messages:,}</td>"
            f"<td>{_offsets(p)}</td></tr>"
            for p in self.partitions[:_PARTITIONS_SHOWN]
        )
        hidden = len(self.partitions) - _PARTITIONS_SHOWN
        more = f"<div>… and {hidden} more partitions</div>" if hidden > 0 else ""
        table = f"<table><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table>" if body else ""
        errors = "".join(
            f"<li>{e.rows:,} {_rows(e.rows)}: {escape(e.name)}: {escape(e.example)}</li>"
            for e in self.errors[:_ERRORS_SHOWN]
        )
        listed = f"<ul>{errors}</ul>" if errors else ""
        return f"<div><strong>{head}</strong>{remarks}{table}{more}{listed}</div>"

    def _headline(self) -> str:
        messages = "message" if self.messages == 1 else "messages"
        topics = len({part.topic for part in self.partitions})
        where = f"{topics} topics" if topics > 1 else self.topic
        return (
            f"{where}: {self.rows:,} {_rows(self.rows)} acknowledged in {self.messages:,} {messages}, "
            f"{human_bytes(self.bytes)}"
        )

    def _remarks(self) -> list[str]:
        where = "in this process" if self.workers == 0 else f"{self.workers} worker{'' if self.workers == 1 else 's'}"
        lines = [f"{self.seconds:.2f} s after {self.startup_seconds:.2f} s of start-up, {where}"]
        if self.seconds > 0 and self.rows:
            lines.append(
                f"{self.rows_per_second:,.0f} rows/s, {self.messages_per_second:,.0f} messages/s, "
                f"{human_bytes(self.bytes / self.seconds)}/s"
            )
        if self.peak_memory_bytes:
            lines.append(f"peak memory {human_bytes(self.peak_memory_bytes)} over all processes")
        if self.job is not None:
            lines += _job_remarks(self.job)
        if self.delivery == "exactly_once":
            lines.append("exactly once, for consumers that read committed")
        told = (
            (self.resumed_rows, "passed over: {} that an earlier run delivered"),
            (self.failed_rows, "NOT acknowledged: {}"),
            (self.unknown_rows, "UNKNOWN: {} may or may not be in the topic"),
            (self.skipped_rows, "skipped: {} of weight 0 or merged away"),
            (self.bad_rows, "LEFT OUT: {} that cannot be encoded, or that the broker refuses"),
            (self.oversize_rows, "LEFT OUT: {} too large for a message"),
            (self.shortened_rows, "SHORTENED: {} too large for a message"),
        )
        lines += [text.format(f"{count:,} {_rows(count)}") for count, text in told if count]
        if self.restarts:
            again = f"; {self.resent_rows:,} {_rows(self.resent_rows)} sent again, some may be there twice"
            what = "1 worker" if self.restarts == 1 else f"{self.restarts} workers"
            lines.append(f"REPLACED: {what}{again if self.resent_rows else ''}")
        if self.null_keys:
            lines.append(f"null keys: {self.null_keys:,} {_rows(self.null_keys)}")
        if self.unknown_offsets:
            lines.append(f"acknowledged without an offset: {self.unknown_offsets:,} messages")
        return lines


def receipt(
    ledger: Ledger,
    *,
    topic: str,
    workers: int,
    restarts: int,
    audit: bool,
    startup_seconds: float,
    seconds: float,
    peak_memory_bytes: int,
    resumed_rows: int = 0,
    delivery: Delivery = "at_least_once",
    job: JobReport | None = None,
) -> Report:
    """Return the receipt of what a ledger has counted; the rest is as in Report."""
    return Report(
        topic=topic,
        workers=workers,
        rows=ledger.acknowledged,
        messages=ledger.messages,
        bytes=ledger.bytes,
        failed_rows=ledger.failed,
        unknown_rows=ledger.unknown,
        skipped_rows=ledger.skipped,
        bad_rows=ledger.bad,
        oversize_rows=ledger.oversize,
        shortened_rows=ledger.shortened,
        resent_rows=ledger.resent,
        resumed_rows=resumed_rows,
        restarts=restarts,
        null_keys=ledger.null_keys,
        startup_seconds=round(startup_seconds, 6),
        seconds=round(seconds, 6),
        partitions=tuple(
            PartitionReport(
                name or topic,
                partition,
                total.messages,
                total.rows,
                total.first_offset if total.first_offset >= 0 else None,
                total.last_offset if total.last_offset >= 0 else None,
                total.runs.told() if audit else None,
            )
            for (name, partition), total in sorted(ledger.partitions.items())
        ),
        errors=tuple(
            ErrorReport(code, error.name, error.rows, error.example)
            for code, error in sorted(ledger.errors.items(), key=lambda item: -item[1].rows)
        ),
        unknown_offsets=ledger.unknown_offsets,
        peak_memory_bytes=peak_memory_bytes,
        delivery=delivery,
        job=job,
    )


def human_bytes(count: float) -> str:
    """Write a count of bytes for people, in powers of 1000: 512 B, 1.5 kB, 36.6 MB."""
    if count < 1000:  # noqa: PLR2004 - the step between units
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.95:  # noqa: PLR2004 - what would print as 1000.0
            return f"{count:.1f} {unit}"
    return f"{count / 1000:,.1f} TB"


def _job_remarks(job: JobReport) -> list[str]:
    facts = [f"resumed at row {job.resumed_from:,}"] if job.resumed_from else []
    facts.append(f"{job.total_rows:,} {_rows(job.total_rows)} in all")
    if job.finished:
        facts.append("finished")
    lines = [f"job {_cut(job.name, _NAME_WIDTH)}: {', '.join(facts)}"]
    if job.possible_repeats:
        messages = "1 message" if job.possible_repeats == 1 else f"{job.possible_repeats:,} messages"
        lines.append(f"SENT AGAIN, perhaps: {messages} that an earlier run did not record")
    return lines


def _rows(count: int) -> str:
    return "row" if count == 1 else "rows"


def _cut(text: str, width: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def _offsets(partition: PartitionReport) -> str:
    if partition.first_offset is None or partition.last_offset is None:
        return "not told"
    if partition.first_offset == partition.last_offset:
        return str(partition.first_offset)
    return f"{partition.first_offset} to {partition.last_offset}"


def _place(partition: PartitionReport, among: tuple[PartitionReport, ...]) -> str:
    """Name the partition, with its topic where there are several."""
    several = any(other.topic != partition.topic for other in among)
    return f"{partition.topic}[{partition.partition}]" if several else str(partition.partition)


def _partition_table(partitions: tuple[PartitionReport, ...]) -> list[str]:
    """Lay out the first partitions in columns; the last line says how many are left out."""
    shown = partitions[:_PARTITIONS_SHOWN]
    rows = [("partition", "rows", "messages", "offsets")]
    rows += [(_place(p, partitions), f"{p.rows:,}", f"{p.messages:,}", _offsets(p)) for p in shown]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  " + "   ".join([*(cell.rjust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    ]
    if len(partitions) > len(shown):
        lines.append(f"  … and {len(partitions) - len(shown)} more partitions")
    return lines
