"""The core's Protobuf, read back by google.protobuf with classes that protoc made of our own .proto text."""

from __future__ import annotations

from unittest import mock

import pyarrow as pa
import pytest
from google.protobuf import descriptor_pb2
from hypothesis import assume, given
from hypothesis import strategies as st

import penstock
import protobuf_oracle
import strategies
from oracles import NoForm
from penstock.formats.protobuf_schema import generate, title
from protobuf_oracle import agree, compiled, message_class

# ---- any schema, any slicing ----------------------------------------------------------------------------------------

WORDS = "a b A B a_b aB _ _x x9 X_ items entries key value google message string map_ tags TagsEntry A2 Pos pos _pos"
NAMES = st.one_of(st.sampled_from(WORDS.split()), st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True))
KEYS = st.one_of(
    strategies.STRINGS,
    strategies.INTEGERS,
    strategies.decimals(),
    st.sampled_from([pa.bool_(), pa.uuid(), pa.date32(), pa.time32("s"), pa.time64("ns")]),
)
LEAVES = st.one_of(
    st.sampled_from([pa.bool_(), pa.float16(), pa.float32(), pa.float64()]),
    strategies.INTEGERS,
    strategies.decimals(),
    strategies.STRINGS,
    strategies.BINARY,
    strategies.TIMES,
    strategies.EXTENSIONS,
)
AS_TOLD = ("Protobuf's JSON form", "entries Protobuf calls")


@st.composite
def batches(draw):
    """Return batches whose names and types have a form, though their values may have none."""
    with mock.patch.multiple(strategies, NAMES=NAMES, KEYS=KEYS):
        return draw(strategies.batches(strategies.types(leaves=LEAVES)))


def stream(batches):
    return pa.RecordBatchReader.from_batches(batches[0].schema, batches)


def sent(source, **config):
    messages = list(penstock.preview(source, topic="t", format={"name": "protobuf", "config": config}))
    assert all(m.key is None for m in messages)
    return messages


def made(schema):
    """Return the message made from a schema, with its class by protoc."""
    ours = generate(schema, range(len(schema)), "", "T")
    theirs = compiled(ours.file.text(), ours.file.name)
    return ours, message_class(theirs, "T")


@given(batches=batches())
def test_any_schema(batches):
    """Whatever the types, nulls, offsets and nesting, Google's reader finds the values, and would write the same bytes."""
    try:
        ours, cls = made(batches[0].schema)
    except penstock.SchemaError as error:
        assume(not any(words in str(error) for words in AS_TOLD))
        raise
    try:
        expected = [row for batch in batches for row in protobuf_oracle.rows(batch)]
    except NoForm:
        with pytest.raises(penstock.EncodeError):
            sent(stream(batches))
        return
    messages = sent(stream(batches))
    assert len(messages) == len(expected)
    for message, row in zip(messages, expected, strict=True):
        read = cls.FromString(message.value)
        agree(read, row)
        if "map<" not in ours.file.text():  # their order is anybody's
            assert read.SerializeToString() == message.value
        assert message.headers == (("op", b"insert"),)


@given(batches=batches())
def test_text_and_descriptor_say_the_same(batches):
    """protoc makes of our .proto text the descriptor that we put together by hand."""
    try:
        ours = generate(batches[0].schema, range(len(batches[0].schema)), "p.q", "T")
    except penstock.SchemaError:
        assume(False)
    theirs = compiled(ours.file.text(), ours.file.name, imports=False)
    parse = descriptor_pb2.FileDescriptorSet.FromString
    assert parse(ours.file.descriptor_set()) == parse(theirs)
