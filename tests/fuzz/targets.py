"""What is fuzzed: each target is settings to draw, and a reader that nobody here wrote for what comes out.

A reader gets the case as it was accepted and the messages made of it, and raises when it cannot read one or finds
another number of rows. A format is added by one line of TARGETS.
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fuzz.cases import Case
    from penstock import Message

# columns that say what a row is, with their values; their names are no identifiers
CHANGES = {
    "#weight": (pa.int64(), st.integers(-2, 3)),
    "#op": (pa.string(), st.sampled_from(["I", "D", "+U", "insert", "delete"])),
}
FLAVORS = [
    None, "default", "snowflake", "kafka_connect_json_converter", "debezium_mysql", "debezium_postgres", "pandas",
    "datagen", "postgres", "c_hex", "blockchain", "ClockInput",
]  # fmt: skip


class Target(NamedTuple):
    """One way to write rows.

    settings     what preview is given; `format` is a name or an object
    read         raises for a message that is not one, with the number of rows it should hold, or None: unknown
    identifiers  columns are named by letters, digits and underscores, as the format wants them
    changes      rows may be deletes, and be there several times
    fields       keys, headers, timestamps and null values may come from columns
    """

    settings: st.SearchStrategy[dict[str, Any]]
    read: Callable[[Case, Sequence[Message], int | None], None]
    identifiers: bool = False
    changes: bool = True
    fields: bool = False


def settings_of(name: str, config: dict[str, Any], **writer: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw settings for a format: the values of `config` that are strategies are drawn, too."""
    members = {key: value if isinstance(value, st.SearchStrategy) else st.just(value) for key, value in config.items()}
    form = st.fixed_dictionaries({"name": st.just(name), "config": st.fixed_dictionaries(members)})
    return st.fixed_dictionaries({"format": form}, optional=writer)


def _json(**config: Any) -> st.SearchStrategy[Any]:
    shared = {"json_flavor": st.sampled_from(FLAVORS), "array": st.booleans()}
    return settings_of(
        "json",
        {**shared, **config},
        binary_base64=st.booleans(),
        keep_decimal_scale=st.booleans(),
        iso_timestamps=st.booleans(),
        non_finite=st.sampled_from(["null", "error", "string"]),
        omit_nulls=st.booleans(),
    )


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def loads(text: bytes) -> Any:
    """Return the value of JSON text, which may not hold NaN or Infinity."""
    return json.loads(text.decode("utf-8"), parse_constant=_no_constant)


def json_events(case: Case, messages: Sequence[Message]) -> list[Any]:
    """Return the events of all messages, one JSON value each."""
    events = []
    for message in messages:
        if message.value is None:
            continue
        if case.settings["format"]["config"].get("array"):
            found = loads(message.value)
            assert isinstance(found, list)
            events += found
        else:
            assert message.value.endswith(b"\n")
            events += map(loads, message.value[:-1].split(b"\n"))
    return events


def read_rows(case: Case, messages: Sequence[Message], rows: int | None) -> None:
    """Read {"insert": ROW} and {"delete": ROW}."""
    events = json_events(case, messages)
    assert rows is None or len(events) == rows
    names = columns_of(case).names
    for event in events:
        ((what, row),) = event.items()
        assert what in {"insert", "delete"}
        assert list(row) == names or (case.settings.get("omit_nulls") and set(row) <= set(names))


def read_fields(case: Case, messages: Sequence[Message], rows: int | None) -> None:
    """Read rows of which some columns may be elsewhere, and whose value may be null."""
    events = json_events(case, messages)
    nulls = sum(message.value is None for message in messages)
    assert rows is None or len(events) + nulls == rows
    assert all(set(row) <= set(case.schema.names) for event in events for row in event.values())
    if case.settings.get("key") and case.settings.get("key_format", "json") == "json":
        assert all(list(loads(message.key or b"")) == case.settings["key"] for message in messages)


def read_weighted(case: Case, messages: Sequence[Message], rows: int | None) -> None:
    """Read {"weight": n, "data": ROW}; one event carries all copies of a row."""
    events = json_events(case, messages)
    assert all(list(event) == ["weight", "data"] for event in events)
    assert rows is None or sum(abs(event["weight"]) for event in events) == rows


def read_raw(case: Case, messages: Sequence[Message], rows: int | None) -> None:
    """Read rows as they are."""
    events = json_events(case, messages)
    assert rows is None or len(events) == rows
    for event in events:
        assert list(event) == case.schema.names or case.settings.get("omit_nulls")


def read_snowflake(case: Case, messages: Sequence[Message], rows: int | None) -> None:
    """Read rows with what Snowflake's stream needs, numbered without a gap."""
    events = json_events(case, messages)
    assert rows is None or len(events) == rows
    assert [event["__seq_number"] for event in events] == list(range(len(events)))
    assert len({event["__stream_id"] for event in events}) <= 1


def read_debezium(case: Case, messages: Sequence[Message], rows: int | None) -> None:
    """Read envelopes with their keys, and a null value after each delete where that is asked for."""
    events = json_events(case, messages)
    assert rows is None or len(events) == rows
    assert all(event["payload"]["op"] in {"c", "d", "u"} for event in events)
    assert all(message.key is not None and "payload" in loads(message.key) for message in messages)
    nulls = [message for message in messages if message.value is None]
    deletes = [event for event in events if event["payload"]["op"] == "d"]
    assert rows is None or len(nulls) == (len(deletes) if case.settings.get("tombstones") else 0)


def read_csv(case: Case, messages: Sequence[Message], rows: int | None) -> None:
    """Read lines that all have one number of fields."""
    delimiter = case.settings["format"]["config"].get("delimiter", ",")
    found = []
    for message in messages:
        assert message.value is not None
        text = io.StringIO(message.value.decode("utf-8"), newline="")
        lines = list(csv.reader(text, delimiter=delimiter, strict=True))
        found += lines[bool(case.settings.get("csv_header")) :]
    assert len({len(line) for line in found}) <= 1
    assert rows is None or len(found) <= rows  # one line carries all copies of a row


DEBEZIUM = st.builds(
    lambda shared, more: {**shared, **more},
    _json(update_format="debezium"),
    st.fixed_dictionaries({}, optional={name: st.booleans() for name in ("schemas", "tombstones", "debezium_source")}),
)
CSV = settings_of(
    "csv",
    {"delimiter": st.sampled_from([",", ";", "\t", "|"]), "buffer_size_records": st.sampled_from([1, 2, 10000])},
    csv_header=st.booleans(),
    csv_quote=st.sampled_from(["necessary", "always", "strings"]),
    csv_null=st.sampled_from(["", "NULL", "\\N"]),
    csv_nested_json=st.just(True),
)


def without_logical_types(schema: Any) -> Any:
    """Return a schema by which fastavro reads numbers and bytes: no value of ours is out of reach of a Python type."""
    if isinstance(schema, dict):
        return {
            name: without_logical_types(value)
            for name, value in schema.items()
            if name not in {"logicalType", "precision", "scale", "default"}
        }
    return [without_logical_types(one) for one in schema] if isinstance(schema, list) else schema


def columns_of(case: Case) -> pa.Schema:
    """Return the columns that are written."""
    return pa.schema([field for field in case.schema if field.name not in CHANGES])


def read_avro(case: Case, messages: Sequence[Message], rows: int | None) -> None:
    """Read datums with fastavro, each to its last byte; a null value is a delete of confluent_jdbc."""
    from penstock.formats.avro_schema import Name, Style, generate

    style = Style(case.settings.get("avro_uuid", False), case.settings.get("avro_defaults", False))
    made = generate(list(columns_of(case)), Name("t", ""), style)
    fastavro.parse_schema(json.loads(json.dumps(made)))
    schema = fastavro.parse_schema(without_logical_types(made))
    assert rows is None or len(messages) == rows
    for message in messages:
        if message.value is None:
            assert case.settings["format"]["config"]["update_format"] == "confluent_jdbc"
            continue
        datum = io.BytesIO(message.value)
        row = fastavro.schemaless_reader(datum, schema)
        assert list(row) == columns_of(case).names
        assert datum.read() == b""


def read_protobuf(case: Case, messages: Sequence[Message], rows: int | None) -> None:
    """Read messages with google.protobuf, by the descriptor that the schema gives."""
    from penstock.formats.protobuf_schema import generate

    made = generate(columns_of(case), range(len(columns_of(case))), "", "T")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    for file in descriptor_pb2.FileDescriptorSet.FromString(made.file.descriptor_set()).file:
        if not file.name.startswith("google/"):
            pool.Add(file)
    form = message_factory.GetMessageClass(pool.FindMessageTypeByName("T"))
    assert rows is None or len(messages) == rows
    for message in messages:
        form.FromString(message.value)


def read_parquet(case: Case, messages: Sequence[Message], rows: int | None) -> None:
    """Read one file a message with pyarrow."""
    tables = [pq.read_table(pa.BufferReader(message.value)) for message in messages]
    _check_tables(case, tables, rows)


def read_arrow(case: Case, messages: Sequence[Message], rows: int | None) -> None:
    """Read one IPC stream a message with pyarrow."""
    tables = [pa.ipc.open_stream(message.value).read_all() for message in messages]
    _check_tables(case, tables, rows)


def _check_tables(case: Case, tables: list[pa.Table], rows: int | None) -> None:
    for table in tables:
        table.validate(full=True)
        assert table.column_names == columns_of(case).names
    assert rows is None or sum(table.num_rows for table in tables) == rows


AVRO = settings_of(
    "avro",
    {"skip_schema_id": True, "update_format": st.sampled_from(["raw", "confluent_jdbc"])},
    avro_minimal_decimals=st.booleans(),
    avro_uuid=st.booleans(),
    avro_defaults=st.booleans(),
)
FEW = st.sampled_from([1, 3, 100000])

TARGETS = {
    "json insert_delete": Target(_json(), read_rows),
    "json fields": Target(_json(array=False), read_fields, fields=True),
    "json weighted": Target(_json(update_format="weighted"), read_weighted),
    "json raw": Target(_json(update_format="raw"), read_raw, changes=False),
    "json snowflake": Target(_json(update_format="snowflake"), read_snowflake),
    "json debezium": Target(DEBEZIUM, read_debezium),
    "csv": Target(CSV, read_csv),
    "avro": Target(AVRO, read_avro, identifiers=True),
    "protobuf": Target(settings_of("protobuf", {"skip_schema_id": True}), read_protobuf, identifiers=True),
    "parquet": Target(settings_of("parquet", {"buffer_size_records": FEW}), read_parquet, changes=False),
    "arrow": Target(settings_of("arrow", {"buffer_size_records": FEW}), read_arrow, changes=False),
}
