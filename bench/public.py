"""The best public encoders of each format, each on one core and with the rows in the form that suits it.

An encoder is made of the batches: what turns them into a DataFrame, a table of DuckDB or a schema happens then. What
it returns encodes the batch of that number, and tells how many bytes came of it, or 0 where that cannot be known.
Objects of Python are made on the stopwatch where an encoder takes nothing else.
"""

from __future__ import annotations

import io
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class UnavailableError(Exception):
    """This encoder cannot take part here: the sentence says why."""


def need(module: str) -> Any:  # noqa: ANN401 - a module without types
    """Import a module; UnavailableError where it is not installed."""
    try:
        return import_module(module)
    except ImportError:
        raise UnavailableError(f"{module} is not installed (dependency group bench)") from None


# ---- JSON -----------------------------------------------------------------------------------------------------------


def orjson_rows(batches: Sequence[pa.RecordBatch]) -> Callable[[int], int]:
    """to_pylist, and orjson.dumps of each row; decimals, which it does not know, as text."""
    orjson = need("orjson")

    def encode(at: int) -> int:
        rows = batches[at].to_pylist()
        return len(b"".join([orjson.dumps(row, default=str, option=orjson.OPT_APPEND_NEWLINE) for row in rows]))

    return encode


def polars_ndjson(batches: Sequence[pa.RecordBatch]) -> Callable[[int], int]:
    """DataFrame.write_ndjson into memory."""
    return _written(_frames(batches), lambda frame, sink: frame.write_ndjson(sink))


def polars_rows(batches: Sequence[pa.RecordBatch]) -> Callable[[int], int]:
    """One JSON text for each row, as a column."""
    pl = need("polars")
    frames = _frames(batches)

    def encode(at: int) -> int:
        texts = frames[at].select(pl.struct(pl.all()).struct.json_encode().alias("json"))["json"]
        return int(texts.str.len_bytes().sum())

    return encode


def duckdb_rows(batches: Sequence[pa.RecordBatch]) -> Callable[[int], int]:
    """to_json of each row of a table of DuckDB, as a column of Arrow."""
    connection = _tables(batches)

    def encode(at: int) -> int:
        found = connection.sql(f"SELECT to_json(t) AS json FROM rows{at} AS t").to_arrow_table()  # noqa: S608
        size: int = found["json"].nbytes - 4 * found.num_rows  # less the offsets
        return size

    return encode


def duckdb_copy(form: str) -> Callable[[Sequence[pa.RecordBatch]], Callable[[int], int]]:
    """COPY of a table of DuckDB, to /dev/null."""

    def make(batches: Sequence[pa.RecordBatch]) -> Callable[[int], int]:
        connection = _tables(batches)

        def encode(at: int) -> int:
            connection.execute(f"COPY rows{at} TO '/dev/null' ({form})")
            return 0

        return encode

    return make


def arrow_rs(function: str, **options: object) -> Callable[[Sequence[pa.RecordBatch]], Callable[[int], int]]:
    """One of arrow-rs' writers, by way of the wheel arro3-io, into memory."""

    def make(batches: Sequence[pa.RecordBatch]) -> Callable[[int], int]:
        write = getattr(need("arro3.io"), function)
        return _written(batches, lambda batch, sink: write(batch, sink, **options))

    return make


# ---- CSV ------------------------------------------------------------------------------------------------------------


def pyarrow_csv(batches: Sequence[pa.RecordBatch]) -> Callable[[int], int]:
    """pyarrow.csv.write_csv into memory; string views, which it does not take, are strings already."""
    csv = need("pyarrow.csv")
    options = csv.WriteOptions(include_header=False)
    return _written(
        [_without_views(batch) for batch in batches], lambda batch, sink: csv.write_csv(batch, sink, options)
    )


def polars_csv(batches: Sequence[pa.RecordBatch]) -> Callable[[int], int]:
    """DataFrame.write_csv into memory."""
    return _written(_frames(batches), lambda frame, sink: frame.write_csv(sink, include_header=False))


# ---- Avro -----------------------------------------------------------------------------------------------------------


def fastavro_rows(batches: Sequence[pa.RecordBatch]) -> Callable[[int], int]:
    """to_pylist, and fastavro.schemaless_writer of each row, with the schema that penstock makes."""
    fastavro = need("fastavro")
    made = need("penstock.formats.avro_schema")
    schema = fastavro.parse_schema(made.generate(list(batches[0].schema), made.Name("rows", ""), made.Style()))

    def encode(at: int) -> int:
        size = 0
        for row in batches[at].to_pylist():
            sink = io.BytesIO()
            fastavro.schemaless_writer(sink, schema, row)
            size += len(sink.getvalue())
        return size

    return encode


def polars_avro(batches: Sequence[pa.RecordBatch]) -> Callable[[int], int]:
    """DataFrame.write_avro into memory: one container file, not a datum for each row."""
    return _written(_frames(batches), lambda frame, sink: frame.write_avro(sink))


# ---- columns --------------------------------------------------------------------------------------------------------


def pyarrow_parquet(batches: Sequence[pa.RecordBatch]) -> Callable[[int], int]:
    """pyarrow.parquet.write_table into memory, with its defaults."""
    parquet = need("pyarrow.parquet")
    tables = [pa.Table.from_batches([batch]) for batch in batches]
    return _written(tables, parquet.write_table)


def pyarrow_ipc(batches: Sequence[pa.RecordBatch]) -> Callable[[int], int]:
    """One IPC stream into memory."""

    def write(batch: pa.RecordBatch, sink: io.BytesIO) -> None:
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)

    return _written(batches, write)


# ---- Protobuf -------------------------------------------------------------------------------------------------------


def google_protobuf(batches: Sequence[pa.RecordBatch]) -> Callable[[int], int]:
    """to_pylist, and SerializeToString of each row as a message, with the descriptor that penstock makes.

    Decimals are texts and dates numbers already, as that descriptor has them.
    """
    pool = need("google.protobuf.descriptor_pool").DescriptorPool()
    pool.AddSerializedFile(need("google.protobuf.timestamp_pb2").DESCRIPTOR.serialized_pb)
    schema = batches[0].schema
    made = need("penstock.formats.protobuf_schema").generate(schema, range(len(schema)), "", "Rows")
    for file in need("google.protobuf.descriptor_pb2").FileDescriptorSet.FromString(made.file.descriptor_set()).file:
        if not file.name.startswith("google/"):
            pool.Add(file)
    message = need("google.protobuf.message_factory").GetMessageClass(pool.FindMessageTypeByName("Rows"))
    kinds = {True: pa.string(), False: pa.int32()}
    fields = [
        field.with_type(kinds[pa.types.is_decimal(field.type)])
        if pa.types.is_decimal(field.type) or pa.types.is_date32(field.type)
        else field
        for field in schema
    ]
    plain = [batch.cast(pa.schema(fields)) for batch in batches]
    return lambda at: sum([len(message(**row).SerializeToString()) for row in plain[at].to_pylist()])


# ---- shared ---------------------------------------------------------------------------------------------------------


def _written(sources: Sequence[Any], write: Callable[[Any, io.BytesIO], object]) -> Callable[[int], int]:
    def encode(at: int) -> int:
        sink = io.BytesIO()
        write(sources[at], sink)
        return sink.tell()

    return encode


def _frames(batches: Sequence[pa.RecordBatch]) -> list[Any]:
    pl = need("polars")
    return [pl.from_arrow(batch) for batch in batches]


def _tables(batches: Sequence[pa.RecordBatch]) -> Any:  # noqa: ANN401 - DuckDB has no types here
    connection = need("duckdb").connect()
    connection.execute("SET threads = 1")
    for at, batch in enumerate(batches):
        connection.register("source", pa.Table.from_batches([batch]))
        connection.execute(f"CREATE TABLE rows{at} AS SELECT * FROM source")  # noqa: S608
        connection.unregister("source")
    return connection


def _without_views(batch: pa.RecordBatch) -> pa.RecordBatch:
    fields = [f.with_type(pa.string()) if pa.types.is_string_view(f.type) else f for f in batch.schema]
    return batch.cast(pa.schema(fields))
