"""`penstock demo`: a million order changes into librdkafka's mock cluster, and some of them read back.

Nothing outside the machine is needed. The reader is an ordinary confluent-kafka Consumer, so what it shows is what any
client would get; the rows come from pyarrow's seeded generator, so every run writes the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from penstock.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa
    from typing_extensions import Self  # only for the type checker, which brings it

    from penstock.cli.progress import Progress
    from penstock.report import Report

__all__ = ["Demo", "Sample", "generate_orders"]

TOPIC: Final = "orders"
PARTITIONS: Final = 4
KEY: Final = "order_id"
BATCH_ROWS: Final = 65_536

_READ_SECS = 15.0  # for one message of each partition; the mock answers in milliseconds
_SEED = 20_260_101
_FIRST_ORDER_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z

# Ten rows of the log: six new orders, the first of them is paid, the second is withdrawn, one more comes in.
#          row   0  1  2  3  4  5  6  7  8  9
_OPS = ("+I",) * 6 + ("-U", "+U", "-D", "+I")
_ORDER_IN_CYCLE = (0, 1, 2, 3, 4, 5, 0, 0, 1, 6)
_PAID = (False,) * 7 + (True, False, False)
_ORDERS_PER_CYCLE = 7
_ITEMS = ("rope", "anchor", "lantern", "sail cloth", "compass", "tar", "oak plank", "brass bell")


class Sample(msgspec.Struct, frozen=True):
    """One message as the consumer got it, and the oldest offset its partition still holds."""

    partition: int
    offset: int
    oldest_offset: int
    key: bytes
    value: bytes


def generate_orders(rows: int) -> pa.Table:
    """Make a log of `rows` changes to orders: the column op and eight columns of the order.

    Order   what deletes a row comes after it and repeats it: a history that adds up
    Memory  about 90 bytes a row; no Python object per row; the same rows for the same count, every time
    """
    import pyarrow as pa  # noqa: PLC0415 - 0.35 s that only a running demo pays
    import pyarrow.compute as pc  # noqa: PLC0415

    cycle_rows = len(_OPS)
    orders = (rows // cycle_rows + 1) * _ORDERS_PER_CYCLE
    row = pc.subtract(pc.cumulative_sum(pa.repeat(pa.scalar(1, pa.int64()), rows)), 1)
    cycle = pc.divide(row, cycle_rows)
    step = pc.subtract(row, pc.multiply(cycle, cycle_rows))
    order = pc.add(pc.multiply(cycle, _ORDERS_PER_CYCLE), pc.take(pa.array(_ORDER_IN_CYCLE, pa.int64()), step))

    def of_order(seed: int, low: int, high: int, kind: pa.DataType) -> pa.Array:
        """Draw one whole number in [low, high) for each order and give it to each of the order's rows."""
        drawn = pc.add(pc.multiply(pc.random(orders, initializer=_SEED + seed), high - low), low)
        return pc.take(pc.cast(pc.floor(drawn), kind), order)

    def of_words(codes: pa.Array, words: tuple[str, ...]) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pc.cast(codes, pa.int8()), pa.array(words))

    price = pc.cast(pc.round(pc.divide(of_order(4, 100, 100_000, pa.float64()), 100.0), 2), pa.decimal128(9, 2))
    when = pc.cast(pc.add(pc.multiply(order, 10), _FIRST_ORDER_MS), pa.timestamp("ms", tz="UTC"))
    return pa.table(
        {
            "op": of_words(step, _OPS),
            KEY: pc.add(order, 1),
            "customer_id": of_order(1, 1, 50_000, pa.int64()),
            "item": of_words(of_order(2, 0, len(_ITEMS), pa.int64()), _ITEMS),
            "quantity": of_order(3, 1, 13, pa.int32()),
            "price": price,
            "express": pc.equal(of_order(5, 0, 8, pa.int64()), 0),
            "paid": pc.take(pa.array(_PAID), step),
            "ordered_at": when,
        }
    )


class Demo:
    """A mock cluster with one topic, for as long as the block lasts.

    workers   worker processes; None decides from the cores, 0 writes inside this process
    """

    def __init__(self, workers: int | None = None) -> None:
        from penstock import _core, config  # noqa: PLC0415 - only a running demo needs the core
        from penstock.config.kafka.options import load_librdkafka  # noqa: PLC0415 - as above

        load_librdkafka()
        self._cluster = _core.MockCluster(brokers=1)
        self._cluster.create_topic(TOPIC, PARTITIONS)
        self.bootstrap_servers: str = self._cluster.bootstrap_servers
        settings: dict[str, Any] = {} if workers is None else {"workers": workers}
        self.config = config.load(
            topic=TOPIC, bootstrap_servers=self.bootstrap_servers, key=(KEY,), op_column="op", **settings
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._cluster.close()

    def write(self, rows: int, progress: Callable[[int], Progress]) -> Report:
        """Write `rows` generated changes and return the receipt; `progress` is shown the total and then the counts."""
        from penstock.source import open_source  # noqa: PLC0415 - as above
        from penstock.writer import write_source  # noqa: PLC0415

        table = generate_orders(rows)
        with open_source(table.to_batches(max_chunksize=BATCH_ROWS)) as source, progress(rows) as shown:
            return write_source(source, self.config, shown)

    def read_back(self, report: Report) -> Iterator[Sample]:
        """Read the newest message of each partition with confluent_kafka.Consumer, in order of partition.

        Raises  InternalError when a message does not come, or when its key is not that of its row
        """
        from confluent_kafka import Consumer, KafkaException, TopicPartition  # noqa: PLC0415 - 0.15 s

        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "group.id": "penstock-demo",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
            }
        )
        try:
            for part in report.partitions:
                if part.last_offset is None:
                    continue
                where = TopicPartition(TOPIC, part.partition, part.last_offset)
                oldest, _ = consumer.get_watermark_offsets(where, timeout=_READ_SECS)
                consumer.assign([where])
                message = consumer.poll(_READ_SECS)
                if message is None or message.error() is not None:
                    why = "nothing came" if message is None else str(message.error())
                    raise InternalError(
                        f"{TOPIC}[{part.partition}]: offset {part.last_offset} was acknowledged and cannot be read "
                        f"back within {_READ_SECS:.0f} s: {why}; please report it"
                    )
                sample = Sample(part.partition, part.last_offset, oldest, message.key(), message.value())
                _check(sample)
                yield sample
        except KafkaException as error:
            raise InternalError(f"the mock cluster refused the consumer: {error}; please report it") from error
        finally:
            consumer.close()


def _check(sample: Sample) -> None:
    """Raise InternalError unless the message is one change whose row has the message's key."""
    (change,) = msgspec.json.decode(sample.value, type=dict[str, dict[str, Any]]).values()
    key = msgspec.json.decode(sample.key, type=dict[str, Any])
    if key != {KEY: change[KEY]}:
        raise InternalError(
            f"{TOPIC}[{sample.partition}]: the message at offset {sample.offset} has key {sample.key!r}, "
            f"its row has {KEY} {change[KEY]!r}; please report it"
        )
