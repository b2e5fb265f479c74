"""The connector's own cases, through the front door; what differs on purpose is asserted the other way round."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

import oracles
import penstock
from golden_cases import (
    DIFFERENCES,
    GOLDEN,
    arrow_type,
    by_batch,
    check_messages,
    connector,
    load,
    physical,
    schema_of,
    weighted,
)

PACKING = load("json_insert_delete.json")
SNOWFLAKE = load("json_snowflake.json")
DEBEZIUM = load("json_debezium.json")
REDIS = load("json_redis.json")
ENCODINGS = load("json_encodings.json")
TRANSPORT = load("transport.json")
# Rows and values of any flavor, wherever they stand.
VALUES = {name: case for cases in (ENCODINGS, SNOWFLAKE) for name, case in cases.items() if "batches" not in case}


def only_value(column: pa.Array, field: pa.Field | None = None, flavor: str = "default") -> str:
    """Return the text of the only value of the only row of one column, as it stands in the message."""
    field = field or pa.field("v", column.type)
    form = {"name": "json", "config": {"json_flavor": flavor}}
    (message,) = penstock.preview(pa.record_batch([column], schema=pa.schema([field])), topic="golden", format=form)
    prefix, suffix = b'{"insert":{"v":', b"}}\n"
    assert message.value.startswith(prefix)
    assert message.value.endswith(suffix)
    return message.value[len(prefix) : -len(suffix)].decode()


@pytest.mark.parametrize("name", [name for name, case in PACKING.items() if "error" not in case["expected"]])
def test_packing(name):
    """Message by message the bytes are the connector's, but for those listed in differences.json."""
    case = PACKING[name]
    made = by_batch(weighted(case), connector(case))
    check_messages(case, made)
    assert all(message.key is None for batch in made for message in batch)


def test_snowflake():
    """Each event is a message with the writer's own stream and its number in it, counted across batches."""
    case = SNOWFLAKE["test_arrayjson_snowflake"]
    made = by_batch(weighted(case), connector(case))
    stream = json.loads(made[0][0].value)[0]["__stream_id"]
    assert 0 <= stream < 2**63 - 1
    check_messages(case, made, STREAM_ID=str(stream))
    (again, *_) = penstock.preview(weighted(case), config=connector(case))
    assert json.loads(again.value)[0]["__stream_id"] != stream


def test_debezium():
    """Key and value carry the row and the schema that the connector gives them."""
    case = DEBEZIUM["test_debezium"]
    check_messages(case, by_batch(weighted(case), connector(case)))


def test_debezium_schema():
    """Every SQL type is declared as the connector declares it."""
    case = DEBEZIUM["test_schema_encoder"]
    schema = schema_of(case)
    config = {
        "transport": {"name": "kafka_output", "config": {"topic": "golden"}},
        "format": {"name": "json", "config": {"update_format": "debezium", "key_fields": ["id"]}},
    }
    required = {"id": 1, "f11": {"f11_0": True, "f11_1": {"f11_1_0": True}}, "f12": []}
    row = pa.RecordBatch.from_pylist([{name: required.get(name) for name in schema.names}], schema=schema)
    (message,) = penstock.preview(row, config=config)
    assert message.value.startswith(b'{"schema":%b,"payload":{' % case["expected"]["value_schema"].encode())
    assert message.key == (
        b'{"schema":{"type":"struct","fields":[{"field":"id","type":"int64","optional":false}],"name":"Key"},'
        b'"payload":{"id":1}}'
    )


@pytest.mark.parametrize("name", REDIS)
def test_redis(name):
    """The key is the listed values with colons between them, the value the row, or null for a delete."""
    case = REDIS[name]
    if name == "redis_doc_example":  # over Kafka nothing implies it, says the case
        assert "update_format" not in case["format_config"]["config"]
        case["format_config"]["config"]["update_format"] = "redis"
    check_messages(case, by_batch(weighted(case), connector(case)))


def test_long_record_error():
    """The first record in the order of sending is refused by name, and nothing of its batch comes before it."""
    case = PACKING["test_long_record_error"]
    made = []
    with pytest.raises(penstock.EncodeError) as caught:
        made.extend(penstock.preview(weighted(case), config=connector(case)))
    assert made == []
    assert caught.value.row == 1
    assert "32" in str(caught.value)
    assert "47" in str(caught.value)
    event = b'{"delete":{"id":1,"b":false,"i":10,"s":"bar"}}'
    assert "46 bytes" in case["expected"]["error"]
    assert len(event) == 46  # and one more for the newline, which the connector does not count
    case = {**case, "max_payload_bytes": 46}
    with pytest.raises(penstock.EncodeError):
        list(penstock.preview(weighted(case), config=connector(case)))
    case = {**case, "max_payload_bytes": 47, "batches": [[case["batches"][0][1]]]}
    (message,) = penstock.preview(weighted(case), config=connector(case))
    assert message.value == event + b"\n"


def test_no_blank_line_after_a_flush_by_size():
    """A message ended by size has no second newline, and one that fits to the byte is exactly as long as the limit."""
    case = PACKING["test_ndjson_insdel"]
    batch = case["batches"][2]
    delete, insert = (
        b'{"delete":{"id":4,"b":true,"i":15,"s":"buzz"}}\n',
        b'{"insert":{"id":5,"b":false,"i":null,"s":""}}\n',
    )
    for limit, expected in (
        (len(delete + insert), [delete + insert, insert * 2]),
        (len(delete + insert) - 1, [delete, insert * 2, insert]),  # the connector would send one byte too many
        (len(delete + insert) + 1, [delete + insert, insert * 2]),
    ):
        sized = {**case, "batches": [batch], "max_payload_bytes": limit}
        (made,) = by_batch(weighted(sized), connector(sized))
        assert [message.value for message in made] == expected
        assert max(len(message.value) for message in made) <= limit


@pytest.mark.parametrize("name", [name for name, case in VALUES.items() if "row_json" in case["expected"]])
def test_row(name):
    """A row has the connector's bytes."""
    case = VALUES[name]
    form = {"name": "json", "config": {"json_flavor": case["json_flavor"]}}
    schema = schema_of(case)
    batch = physical(case) if "row_physical" in case else pa.RecordBatch.from_pylist([case["row"]], schema=schema)
    (message,) = penstock.preview(batch, topic="golden", format=form)
    assert message.value.decode() == f'{{"insert":{case["expected"]["row_json"]}}}\n'
    assert oracles.rows(batch, style=oracles.Style.of(case["json_flavor"])) == [case["expected"]["row_json"]]
    if "value_with_newline" in case["expected"]:
        assert case["expected"]["value_with_newline"] == case["expected"]["row_json"] + "\n"


def decimal_of(value: str) -> Decimal:
    """Return the number of a decimal case: "1.23", or "Fixed<11,1>: 435 * 10^-1"."""
    if ": " not in value:
        return Decimal(value)
    digits, power = value.split(": ")[1].split(" * 10^")
    return Decimal(digits).scaleb(int(power))


@pytest.mark.parametrize(
    "name", [name for name, case in ENCODINGS.items() if case.get("sql_type", "").startswith("DECIMAL")]
)
def test_decimal(name):
    """A decimal is a bare number without trailing zeros."""
    case = ENCODINGS[name]
    expected = case["expected"].get("json", case["expected"].get("digits"))
    assert only_value(pa.array([decimal_of(case["value"])], arrow_type(case["arrow_type"]))) == expected


def test_base58():
    """Binary values of the blockchain flavor are Base58 in Bitcoin's alphabet."""
    case = ENCODINGS["base58"]
    value = pa.array([case["value_utf8"].encode()], arrow_type(case["arrow_type"]))
    assert only_value(value, flavor=case["json_flavor"]) == case["expected"]["json"]


def variant_json(value: Any) -> str:
    """Return the JSON text in which a producer would hand over the case's typed VARIANT value."""
    match value:
        case {"decimal": [digits, scale]}:
            return str(Decimal(digits).scaleb(-scale))
        case {"f64": number}:
            return repr(number)
        case {"binary_utf8": text}:
            return json.dumps(list(text.encode()))
        case {"timestamp": text}:
            return json.dumps(text.replace("T", " ").removesuffix("Z"))
        case {"date": text} | {"time": text}:
            return json.dumps(text)
        case dict():
            return "{ " + " , ".join(f"{json.dumps(name)} : {variant_json(item)}" for name, item in value.items()) + "}"
        case list():
            return "[ " + ",\n".join(map(variant_json, value)) + "]"
    return json.dumps(value)


@pytest.mark.parametrize("name", [name for name, case in ENCODINGS.items() if case.get("sql_type") == "VARIANT"])
@pytest.mark.parametrize("form", ["sql_type", "arrow.json"])
def test_variant(name, form):
    """JSON text in a column is written inline: no white space, keys sorted, numbers without an exponent."""
    case = ENCODINGS[name]
    text = pa.array([variant_json(case["value"])])
    if form == "sql_type":
        made = only_value(text, pa.field("v", pa.string(), metadata={"sql_type": "VARIANT"}))
    else:
        made = only_value(pa.ExtensionArray.from_storage(pa.json_(), text))
    expected = case["expected"].get("bytes", case["expected"].get("json"))
    if different := next((d for d in DIFFERENCES if d["case"] == name), None):
        assert expected == different["connector"]
        expected = different["penstock"]
        assert Decimal(expected) == Decimal(different["connector"])
    assert made == expected
    if parsed := case["expected"].get("parsed_json"):
        assert json.loads(made) == parsed


def with_headers(headers: str) -> str:
    return f'{{"transport":{{"name":"kafka_output","config":{{"topic":"golden","headers":{headers}}}}}}}'


def hex_headers(message: penstock.Message) -> list[list[str | None]]:
    return [[name, None if value is None else value.hex()] for name, value in message.headers]


def test_static_headers():
    """Every message carries the configured headers in their order."""
    case = TRANSPORT["static_headers"]
    config = {
        "transport": {"name": "kafka_output", "config": case["transport_config"]},
        "format": {"name": "json", "config": {"buffer_size_records": 1}},
    }
    made = list(penstock.preview(pa.record_batch({"i": [1, 2, 3]}), config=config))
    assert len(made) == 3
    for message in made:
        assert message.topic == case["transport_config"]["topic"]
        assert hex_headers(message) == case["expected"]["every_message_headers_hex"]


def test_header_values():
    """A header value is text, a list of bytes, or nothing; anything else is a ConfigError."""
    documented = TRANSPORT["doc_header_examples"]
    batch = pa.record_batch({"i": [1]})
    (message,) = penstock.preview(batch, config=with_headers(json.dumps(documented["headers"])))
    assert hex_headers(message) == documented["expected"]["headers_hex"]
    numbers = TRANSPORT["header_value_[1,2,3,4,5]"]
    (message,) = penstock.preview(batch, config=with_headers(f'[{{"key":"k","value":{numbers["json"]}}}]'))
    assert hex_headers(message) == [["k", numbers["expected"]["bytes_hex"]]]
    wrong = TRANSPORT['header_value_{{"foo": "bar"}}']
    assert wrong["expected"] == {"error": True}
    for value in (wrong["json"], '{"foo": "bar"}', "[256]", "[-1]", "1", "true", "[1.5]"):
        with pytest.raises(penstock.ConfigError):
            list(penstock.preview(batch, config=with_headers(f'[{{"key":"k","value":{value}}}]')))


def test_unreachable_broker():
    """A broker that is not there ends the job at once by name, within the time configured, and nothing is sent."""
    case = TRANSPORT["unreachable_broker"]
    assert case["expected"] == {"start_fails": True}
    config = {"transport": {"name": "kafka_output", "config": {**case["transport_config"]}}}
    begun = time.monotonic()
    with pytest.raises(penstock.ConnectError) as caught:
        penstock.write(pa.record_batch({"i": [1]}), config=config, initialization_timeout_secs=1, workers=0)
    assert time.monotonic() - begun < 10
    assert case["transport_config"]["bootstrap.servers"] in str(caught.value)
    assert case["transport_config"]["topic"] in str(caught.value)


def test_every_case_is_run():
    """No case of a golden file is left out, and every difference is explained in the README."""
    tested = {
        "default_json", "struct2_null", "struct2_value", "unicode_column_names", "redis_doc_row",
        "snowflake_json_scalars",
    }  # fmt: skip
    for name, case in VALUES.items():
        assert (
            name == "base58"
            or "row_json" in case["expected"]
            or case["sql_type"].split("(")[0]
            in {
                "DECIMAL",
                "VARIANT",
            }
        ), name
    assert {name for name, case in VALUES.items() if "row_json" in case["expected"]} == tested
    assert set(PACKING) == {"test_ndjson_insdel", "test_long_record_error", "size_packing_array"}
    assert set(SNOWFLAKE) == {"test_arrayjson_snowflake", "snowflake_json_scalars"}
    assert set(DEBEZIUM) == {"test_debezium", "test_schema_encoder"}
    assert set(REDIS) == {"test_redis", "redis_doc_example"}
    assert set(TRANSPORT) == {
        "static_headers",
        "header_value_[1,2,3,4,5]",
        'header_value_{{"foo": "bar"}}',
        "doc_header_examples",
        "unreachable_broker",
        "output_buffer_groups",  # in test_output_buffer.py
    }
    text = (GOLDEN.parent.parent / "DIFFERENCES.md").read_text(encoding="utf-8")
    for different in DIFFERENCES:
        assert f"`{different['case']}`" in text
        assert different["connector"] != different["penstock"]
