"""confluent-kafka's AvroDeserializer reads what was written: ids from a real registry, and from confluent's mock://."""

from __future__ import annotations

import datetime as dt
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

import penstock
from fix_broker import leave_out
from readback import read_topic
from registry_server import RegistryServer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "tools"))
import registry as registry_tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fix_broker import Kafka

UTC = dt.timezone.utc
ROWS: list[dict[str, Any]] = [
    {
        "id": number,
        "name": None if number % 7 == 0 else f"customer {number}",
        "total": Decimal(number).scaleb(-2),
        "at": dt.datetime(2024, 2, 29, 12, 0, 0, number, tzinfo=UTC),
        "tags": ["a", None][: number % 3],
        "address": {"street": "Wasserstraße", "zip": number} if number % 2 else None,
        "scores": {"a": number, "b": None},
    }
    for number in range(500)
]
SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("name", pa.dictionary(pa.int32(), pa.string())),
        pa.field("total", pa.decimal128(12, 2)),
        pa.field("at", pa.timestamp("us", "UTC")),
        pa.field("tags", pa.list_(pa.string_view())),
        pa.field("address", pa.struct([("street", pa.string()), ("zip", pa.int32())])),
        pa.field("scores", pa.map_(pa.string(), pa.int64())),
    ]
)
TABLE = pa.Table.from_pylist(ROWS, schema=SCHEMA)


@pytest.fixture(scope="module")
def _registry() -> Iterator[str]:
    with registry_tool.Registry() as registry:
        yield registry.url


@pytest.fixture
def registry_url(request: pytest.FixtureRequest) -> str:
    """The address of a real schema registry; the test is left out where there is none."""
    why = registry_tool.missing()
    if why is not None:
        leave_out(request, why)
    url: str = request.getfixturevalue("_registry")
    return url


def settings(url: str, **members: Any) -> dict[str, Any]:
    return {
        "format": {"name": "avro", "config": {"registry_urls": [url], **members}},
        "relation": {"name": "shop.orders"},
        "avro_defaults": True,
    }


def test_a_real_registry(kafka: Kafka, new_topic: Callable[..., str], registry_url: str) -> None:
    """Rows written with workers are read back by ids that the registry gave; a second writer gets the same ids."""
    topic = new_topic(partitions=3)
    written = settings(registry_url, update_format="confluent_jdbc")
    for workers in (2, 0):
        report = penstock.write(
            TABLE, topic=topic, bootstrap_servers=kafka.bootstrap_servers, workers=workers, **written
        )
        assert report.rows == len(ROWS)
    log = read_topic(kafka.bootstrap_servers, topic)
    with SchemaRegistryClient({"url": registry_url}) as client:
        assert set(client.get_subjects()) >= {f"{topic}-value", f"{topic}-key"}
        decode = AvroDeserializer(client)
        values = [decode(message.value, SerializationContext(topic, MessageField.VALUE)) for message in log.messages]
        keys = [decode(message.key, SerializationContext(topic, MessageField.KEY)) for message in log.messages]
    assert keys == values
    assert sorted(values, key=lambda row: row["id"]) == [row for row in ROWS for _ in range(2)]

    (message, *_) = penstock.preview(TABLE, topic=topic, **written)
    assert message.value in {message.value for message in log.messages}  # the id is looked up


def test_a_real_registry_refuses(kafka: Kafka, new_topic: Callable[..., str], registry_url: str) -> None:
    """What the registry finds incompatible, or does not know, is refused before any row is sent."""
    topic = new_topic(partitions=1)
    common = {"topic": topic, "bootstrap_servers": kafka.bootstrap_servers, "workers": 1}
    written = settings(registry_url, subject_name_strategy="topic_name")
    first = pa.table({"a": [1]}, schema=pa.schema([pa.field("a", pa.int64(), nullable=False)]))
    other = pa.table({"b": ["x"]}, schema=pa.schema([pa.field("b", pa.string(), nullable=False)]))
    with pytest.raises(penstock.SchemaError, match="auto_register is false"):
        penstock.write(first, **common, **written, auto_register=False)
    penstock.write(first, **common, **written, check_compatibility=True)
    with SchemaRegistryClient({"url": registry_url}) as client:
        client.set_compatibility(topic, "BACKWARD")
    with pytest.raises(penstock.SchemaError, match="not compatible"):
        penstock.write(other, **common, **written, check_compatibility=True)
    with pytest.raises(penstock.SchemaError, match="409"):
        penstock.write(other, **common, **written)
    penstock.write(first, **common, **written, auto_register=False)
    assert len(read_topic(kafka.bootstrap_servers, topic).messages) == 2


def test_confluents_mock_registry(request: pytest.FixtureRequest, kafka: Kafka, new_topic: Callable[..., str]) -> None:
    """With ids of confluent-kafka's own mock:// registry its deserializer reads keys, rows and envelopes."""
    topic = new_topic(partitions=1)
    mock = SchemaRegistryClient.new_client({"url": "mock://penstock"})
    request.addfinalizer(mock.close)

    def register(subject: str, schema: str) -> int:
        return int(mock.register_schema(subject, Schema(schema, "AVRO")))

    with RegistryServer(register=register) as server:
        penstock.write(
            TABLE,
            topic=topic,
            bootstrap_servers=kafka.bootstrap_servers,
            workers=1,
            debezium_source=True,
            **settings(server.url, update_format="debezium", subject_name_strategy="topic_name"),
        )
    decode = AvroDeserializer(mock)
    log = read_topic(kafka.bootstrap_servers, topic)
    envelopes = [decode(message.value, SerializationContext(topic, MessageField.VALUE)) for message in log.messages]
    assert [envelope["after"] for envelope in envelopes] == ROWS
    assert {(envelope["op"], envelope["before"], envelope["source"]["table"]) for envelope in envelopes} == {
        ("c", None, "shop.orders")
    }
    (text,) = server.ids
    assert json.loads(text)["name"] == "Envelope"
