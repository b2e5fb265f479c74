"""Protobuf with a schema registry: what is registered under which subject, and what stands before each message."""

from __future__ import annotations

import base64

import pyarrow as pa
import pytest
from google.protobuf import descriptor_pb2, message_factory

import penstock
from penstock.config import load
from penstock.encode import Planner
from penstock.formats.protobuf import framing
from penstock.registry import open_registry
from protobuf_oracle import compiled
from registry_server import RegistryServer

TABLE = pa.table({"id": pa.array([7, 300], pa.int64()), "at": pa.array([0, None], pa.timestamp("s"))})
TEXT = """\
syntax = "proto3";

package shop;

import "google/protobuf/timestamp.proto";

message Order {
  optional int64 id = 1;
  google.protobuf.Timestamp at = 2;
}
"""
NESTED = """
syntax = "proto3";
package shop;
message First {}
message Outer { message A {} message B { message C {} message D { int64 id = 1; } } }
"""


def prefix(server, **members):
    """Return the prefix of messages as a writer plans them: the schema is registered."""
    form = {"name": "protobuf", "config": {"registry_urls": [server.url], **members}}
    config = load(for_preview=True, topic="t", format=form)
    schema = TABLE.schema if members.get("descriptor_set") is None else TABLE.select(["id"]).schema
    return Planner(config, 0, 1, open_registry(config)).plan(schema).layout.format.prefix


def test_the_text_is_registered():
    """The .proto text that was made goes to the subject of the topic, with schemaType PROTOBUF."""
    with RegistryServer(register=lambda *_: 0x01020304) as server:
        assert prefix(server, message="Order", package="shop") == b"\0\1\2\3\4\0"
        assert server.paths == ["/subjects/t-value/versions"]
        assert server.requests[0][3] == {"schema": TEXT, "schemaType": "PROTOBUF"}
        assert prefix(server, message="Order", package="shop", skip_schema_id=True) == b""


@pytest.mark.parametrize(
    ("strategy", "subject"),
    [("topic_name", "t-value"), ("record_name", "shop.Order"), ("topic_record_name", "t-shop.Order")],
)
def test_subjects(strategy, subject):
    with RegistryServer() as server:
        prefix(server, message="shop.Order", subject_name_strategy=strategy)
        assert server.paths == [f"/subjects/{subject}/versions"]


def test_a_preview_only_looks_up():
    """Nothing is registered by looking: without the schema the id is 0."""
    with RegistryServer() as server:
        form = {"name": "protobuf", "config": {"registry_urls": [server.url], "message": "shop.Order"}}
        values = [m.value for m in penstock.preview(TABLE, topic="t", format=form)]
        assert values == [b"\0\0\0\0\0\0\x08\x07\x12\x00", b"\0\0\0\0\0\0\x08\xac\x02"]
        assert server.paths == ["/subjects/t-value"]


def test_a_given_message_is_found_by_its_indexes(tmp_path):
    """A descriptor is registered in base64, as Confluent's clients do; indexes say which of its messages is meant."""
    path = tmp_path / "set"
    path.write_bytes(compiled(NESTED))
    with RegistryServer(register=lambda *_: 5) as server:
        found = prefix(server, descriptor_set=str(path), message="shop.Outer.B.D")
        assert found == b"\0\0\0\0\5" + bytes([6, 2, 2, 2])  # three numbers: 1, 1 and 1, as zigzag varints
        body = server.requests[0][3]
        file = descriptor_pb2.FileDescriptorProto.FromString(base64.b64decode(body["schema"]))
        assert [message.name for message in file.message_type] == ["First", "Outer"]
        assert body["schemaType"] == "PROTOBUF"


def test_other_imports_need_references(tmp_path):
    files = [
        descriptor_pb2.FileDescriptorProto(name="other.proto", syntax="proto3"),
        descriptor_pb2.FileDescriptorProto(name="t.proto", syntax="proto3", dependency=["other.proto"]),
    ]
    files[1].message_type.add(name="M").field.add(name="id", number=1, type=3, label=1)
    path = tmp_path / "set"
    path.write_bytes(descriptor_pb2.FileDescriptorSet(file=files).SerializeToString())
    with RegistryServer() as server, pytest.raises(penstock.ConfigError, match=r"imports other\.proto"):
        prefix(server, descriptor_set=str(path))


@pytest.mark.parametrize(
    ("indexes", "expected"),
    [((0,), "00"), ((1,), "0202"), ((0, 0), "040000"), ((1, 64), "04028001"), ((300,), "02d804")],
)
def test_framing(indexes, expected):
    """Confluent's wire format: how many numbers and the numbers, zigzag varints; one 00 for the first message."""
    assert framing(0xFFFFFFFE, indexes) == bytes.fromhex("00fffffffe" + expected)


@pytest.mark.parametrize("name", ["shop.First", "shop.Outer", "shop.Outer.A", "shop.Outer.B.D"])
def test_confluents_own_reader(name, tmp_path):
    """confluent-kafka's ProtobufDeserializer reads the messages, where its extra is installed."""
    confluent = pytest.importorskip("confluent_kafka.schema_registry.protobuf", exc_type=ImportError)
    from confluent_kafka.serialization import MessageField, SerializationContext
    from google.protobuf import descriptor_pool

    text = NESTED.replace("{}", "{ int64 id = 1; }").replace("message Outer {", "message Outer { int64 id = 1;")
    path = tmp_path / "set"
    path.write_bytes(compiled(text))
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file[0].SerializeToString())
    cls = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
    deserialize = confluent.ProtobufDeserializer(cls, {"use.deprecated.format": False})
    with RegistryServer() as server:
        config = {"registry_urls": [server.url], "descriptor_set": str(path), "message": name}
        messages = list(
            penstock.preview(TABLE.select(["id"]), topic="t", format={"name": "protobuf", "config": config})
        )
    context = SerializationContext("t", MessageField.VALUE)
    assert [deserialize(m.value, context).id for m in messages] == [7, 300]
