"""messages: the exact messages that a source would become, without any broker.

The same way as `write`, up to librdkafka: source, changes, partition, block, encode. Each batch is one chunk.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from penstock import _core
from penstock import config as configuration
from penstock.batches import BatchEncoder
from penstock.consolidate import Consolidation, Rows, paired
from penstock.deadletters import open_rows
from penstock.encode import Plan, Planner
from penstock.errors import ConfigError
from penstock.layout import ColumnarLayout, make_packer
from penstock.registry import open_registry
from penstock.source.batch import row_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from typing_extensions import Unpack

    from penstock.config import Config
    from penstock.config.document import ConfigSource
    from penstock.config.keywords import Settings
    from penstock.layout import Layout
    from penstock.source import Source
    from penstock.source.batch import Batch

__all__ = ["Message", "preview"]

_log = logging.getLogger("penstock")


class Message(msgspec.Struct, frozen=True):
    """One message as Kafka would get it.

    batch      counts from 0
    partition  None unless partitions were asked for, and where librdkafka will choose it (topic_column)
    timestamp  milliseconds since 1970, where a column gives it; None: the time of sending
    """

    batch: int
    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp: int | None = None


def preview(
    source: object,
    *,
    config: ConfigSource | None = None,
    connector: str | None = None,
    input_format: str | None = None,
    limit: int | None = None,
    partitions: int | None = None,
    topic: str | None = None,
    bootstrap_servers: str | None = None,
    kafka_options: Mapping[str, object] | None = None,
    format: str | Mapping[str, Any] | None = None,  # noqa: A002 - the connector's word
    **settings: Unpack[Settings],
) -> Iterator[Message]:
    """Return an iterator of the messages that `write` would send, in order, with the same configuration.

    limit       at most so many messages; None: all
    partitions  as if the topic had so many; None: one, and no partition is named
    others      as for open; the topic may be left out. A schema registry is only asked, never given anything
    Memory      one batch and its messages at a time
    Left out    what on_bad_row and on_oversize leave out; how many rows that were is logged at the end
    Raises      as write does before its first row, now; EncodeError at the row, after the messages before it
    """
    for name, value, least in (("limit", limit, 0), ("partitions", partitions, 1)):
        if value is not None and value < least:
            raise ConfigError(f"{name}={value}: it must be at least {least}")
    loaded = configuration.load(
        config,
        connector=connector,
        kafka_options=kafka_options,
        format=format,
        for_preview=True,
        topic=topic,
        bootstrap_servers=bootstrap_servers,
        **settings,
    )
    configuration.log_warnings(loaded)
    opened = open_rows(source, input_format=input_format)
    try:
        planner = Planner(loaded, partitions or 0, 1, open_registry(loaded, register=False))
        planner.plan(opened.schema)
    except BaseException:
        opened.close()
        raise
    return itertools.islice(_preview(opened, planner, loaded, partitions or 1), limit)


def _preview(source: Source, planner: Planner, config: Config, partitions: int) -> Iterator[Message]:
    left_out: list[_core.RowLeftOut] = []
    with source, _telling(left_out):
        sequence = [0]
        for number, parts in enumerate(_batches(source, planner, config)):
            for plan, rows in parts:
                for partition, key, value, headers, timestamp, topic in _messages(
                    plan, rows, number % partitions, sequence, left_out
                ):
                    yield Message(
                        number,
                        topic or config.topic,
                        None if partition < 0 else partition,
                        key,
                        value,
                        (*config.headers, *headers),
                        timestamp or None,
                    )


@contextlib.contextmanager
def _telling(left_out: list[_core.RowLeftOut]) -> Iterator[None]:
    """Say in the end how many rows were left out."""
    try:
        yield
    finally:
        for large, one, many in (
            (False, "row that cannot be encoded (on_bad_row)", "rows that cannot be encoded (on_bad_row)"),
            (True, "row that is too large (on_oversize)", "rows that are too large (on_oversize)"),
        ):
            count = sum(rows for _, rows, _, _, oversize in left_out if oversize is large)
            if count:
                _log.warning("left out: %d %s", count, one if count == 1 else many)


def _batches(source: Source, planner: Planner, config: Config) -> Iterator[Iterable[tuple[Plan, Rows]]]:
    """Give the rows of one batch after the other, as the writer would send them."""
    held = Consolidation(config, planner)
    for batch in source.batches():
        plan = planner.plan(batch.schema)
        if plan.reader is None:
            yield _pieces(plan, batch)
            continue
        for _ in held.add(plan, batch):
            pass
        if held.full():
            yield held.finish()
    yield held.finish()


def _pieces(plan: Plan, batch: Batch) -> Iterator[tuple[Plan, Rows]]:
    whole = pa.Table.from_batches(batch.pieces(), batch.schema).combine_chunks().to_batches()
    first_row = batch.first_row
    for piece in paired(plan, iter(whole)):  # one, unless its strings are too long for 32-bit offsets
        yield plan, Rows(piece, batch.origin, first_row, "both")
        first_row += piece.num_rows


def _messages(
    plan: Plan, rows: Rows, sticky: int, sequence: list[int], left_out: list[_core.RowLeftOut]
) -> Iterator[_core.Message]:
    read = plan.read(rows.piece)
    count = read.dictionaries
    # Beside one another in a buffer of our own: what the arena is to the workers.
    sizes = [read.measure_dictionary(at) for at in range(count)]
    size = read.measure(0, read.rows)
    read.set_dictionary_ids([0] * count)
    try:
        selection = plan.selector.select(read, 0, read.rows, rows.which, sticky, rows.verdicts)
    except _core.RowError as error:
        row, column, text = error.args
        raise row_error(rows.origin, rows.first_row + row, column, text) from None
    left_out += selection.left_out
    memory = bytearray(sum(sizes) + size + selection.nbytes + 64 * (count + 3))
    arena = _core.address_of(memory)
    position = -arena % 64
    dictionaries = []
    for at, need in enumerate(sizes):
        read.copy_dictionary(at, arena, position)
        dictionaries.append((position, 0))
        position += (need + 63) // 64 * 64
    read.copy(0, read.rows, arena, position, dictionaries)
    entries, repeats, groups = selection.copy(arena, position + (size + 63) // 64 * 64)
    shares = selection.shares()
    place = (position, 0, entries, repeats, groups, sum(share[2] for share in shares), sequence[0])
    sequence[0] += sum(share[3] if plan.layout.packing.weighted else share[4] for share in shares)
    try:
        yield from _encoder(plan.layout).collect(arena, place, left_out)
    except _core.RowError as error:
        yield from getattr(error, "messages", ())  # a BatchEncoder has yielded them already
        row, column, text = error.args
        raise row_error(rows.origin, rows.first_row + row, column, text) from error.__cause__


def _encoder(layout: Layout) -> _core.Packer | BatchEncoder:
    return BatchEncoder(layout, layout.format) if isinstance(layout.format, ColumnarLayout) else make_packer(layout)
