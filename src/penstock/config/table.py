"""The one table of settings that people read: argparse's flags, `penstock config` and the README are made from it."""

from __future__ import annotations

from typing import Final

import msgspec

from penstock.config.memory import IN_FLIGHT_MESSAGES
from penstock.config.settings import MAX_DEFAULT_WORKERS

__all__ = ["SETTINGS", "THEMES", "Setting"]


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table of settings.

    name     the keyword of open, write and preview, and the member of `writer` where it is one of ours
    flag     its command-line flag; None where it is given in the configuration only
    type     what it takes, for people
    default  its default as text; '' where there is none
    """

    name: str
    flag: str | None
    type: str
    default: str
    meaning: str
    reason: str


def _setting(name: str, kind: str, default: str, meaning: str, reason: str, *, flag: bool = True) -> Setting:
    spelt = f"--{name.replace('_', '-')}" if flag else None
    return Setting(name=name, flag=spelt, type=kind, default=default, meaning=meaning, reason=reason)


_COLUMN, _COLUMNS = "column", "columns, with commas between"
SETTINGS: Final = (
    _setting("topic", "text", "", "topic that the rows are written to; may be left out where `topics` is a list",
             "there is no sensible default"),
    _setting(
        "bootstrap_servers", "host:port, with commas between", "$REDPANDA_BROKERS, else localhost",
        "brokers to start from; librdkafka's bootstrap.servers", "as the original connector; the port defaults to 9092",
    ),
    _setting("format", "name or JSON object", "json", "form of the messages", "the connector's most common format"),
    _setting(
        "format.update_format", "insert_delete, snowflake, debezium, redis, weighted, raw or upsert", "insert_delete",
        "json: the form of an event; avro: raw, confluent_jdbc or debezium, and raw by default",
        "the connector's default", flag=False,
    ),
    _setting(
        "format.json_flavor",
        "default, snowflake, kafka_connect_json_converter, debezium_mysql, debezium_postgres, pandas, datagen, "
        "postgres, c_hex, blockchain or ClockInput",
        "", "json: how each Arrow type is written", "that of the update format, as in the connector", flag=False,
    ),
    _setting(
        "format.buffer_size_records", "whole number", "10000", "most events in one message",
        "the connector's default; at the usual row sizes message.max.bytes is reached first", flag=False,
    ),
    _setting(
        "format.array", "true or false", "false",
        "a message is one JSON array instead of one event per line", "the connector's default", flag=False,
    ),
    _setting(
        "format.key_fields", _COLUMNS, "", "json with debezium, redis or upsert: columns of the message key",
        "debezium: the whole row, as in the connector", flag=False,
    ),
    _setting(
        "format.delimiter", "one character", ",", "csv: what stands between columns", "the connector's default",
        flag=False,
    ),
    _setting("format.schema", "Avro schema as JSON text", "", "avro: the schema of the value",
             "made from the columns", flag=False),
    _setting("format.key_mode", "none or key_fields", "", "avro raw: whether messages have the index's key",
             "key_fields with an index, as in the connector", flag=False),
    _setting("format.cdc_field", "name", "", "avro raw with an index: a last field that says I, U or D",
             "the connector's default", flag=False),
    _setting("format.namespace", "name", "", "avro: namespace of the schemas that are made", "the connector's default",
             flag=False),
    _setting("format.threads", "whole number, 1 or more", "4",
             "avro: accepted, without effect: `workers` is what counts", "the connector's default", flag=False),
    _setting("format.subject_name_strategy", "topic_name, record_name or topic_record_name", "",
             "avro, protobuf: subjects in the schema registry",
             "record_name for avro raw, else topic_name, as in the connector", flag=False),
    _setting("format.skip_schema_id", "true or false", "false",
             "avro, protobuf: the bare datum, without the 5 bytes that name its schema", "the connector's default",
             flag=False),
    _setting("format.registry_urls", "list of URLs", "", "avro, protobuf: schema registries, tried in order",
             "without one the id of Avro is 0, as in the connector, and Protobuf has no framing", flag=False),
    _setting("format.registry_headers", "object", "", "headers for the registry", "none are needed", flag=False),
    _setting("format.registry_proxy", "URL", "", "proxy to the registry", "the connector's default", flag=False),
    _setting("format.registry_timeout_secs", "whole number", "", "how long one request to the registry may take",
             "30 s: a job must not hang before its first row", flag=False),
    _setting("format.registry_username", "text", "", "basic authentication", "the connector's default", flag=False),
    _setting("format.registry_password", "text", "", "basic authentication", "the connector's default", flag=False),
    _setting("format.registry_authorization_token", "text", "", "bearer token", "the connector's default", flag=False),
    _setting("format.encoder", "module:function", "", "python: what makes the messages, in the workers",
             "there is no sensible default", flag=False),
    _setting("format.message", "name", "", "protobuf: the message that a row becomes",
             "the relation's name, or the only message of descriptor_set", flag=False),
    _setting("format.package", "name", "", "protobuf: package of the schema made", "none is needed", flag=False),
    _setting("format.descriptor_set", "path", "", "protobuf: a compiled FileDescriptorSet to use",
             "the schema is made from the columns", flag=False),
    _setting("index", "name", "", "an index of relation.indexes: changes of a batch are grouped by its key",
             "each change is sent as it comes", flag=False),
    _setting("enable_output_buffer", "true or false", "false",
             "hold batches and merge their changes: an insert and a later delete of the same row vanish",
             "the connector's default", flag=False),
    _setting("max_output_buffer_time_millis", "whole number", "",
             "send the output buffer when its oldest change is older", "the connector's default: no limit", flag=False),
    _setting("max_output_buffer_size_records", "whole number", "10000000",
             "send the output buffer when it holds so many rows", "the connector's default", flag=False),
    _setting(
        "headers", "list of key and value", "", "headers of every message, in the order given",
        "a header costs about as much CPU time as a small row, so there are none unless asked for", flag=False,
    ),
    _setting(
        "key", _COLUMNS, "", "columns of the message key; each row is then its own message",
        "packed messages are several times faster, and have no key",
    ),
    _setting(
        "key_format", "json, string, bytes, avro or big_endian", "json",
        "the key as a compact JSON object, the raw bytes of one string or binary column, an Avro datum, or integers "
        "and UUIDs as big-endian bytes",
        "any columns have a JSON form",
    ),
    _setting(
        "partition_by", _COLUMNS, "", "columns whose rows stay together and in order in one partition, packed",
        "rows without it go to whichever partition is next, which packs best",
    ),
    _setting(
        "partition_column", _COLUMN, "", "integer column with the number of the row's partition; it is not written",
        "the partitioner decides",
    ),
    _setting(
        "partitioner", "consistent, consistent_random, murmur2, murmur2_random, fnv1a, fnv1a_random or random",
        "murmur2_random", "hash that turns key or partition_by into a partition; librdkafka's option of that name",
        "the partition that a Java producer chooses for the same key",
    ),
    _setting(
        "op_column", _COLUMN, "", "column that says insert, delete or upsert; it is not written",
        "without it every row is an insert",
    ),
    _setting(
        "weight_column", _COLUMN, "",
        "integer column: n writes the row n times, -n as deletes, 0 not at all; it is not written",
        "without it every row counts once",
    ),
    _setting("relation", "object", "", 'what the rows are rows of: {"name": …, "indexes": {name: [columns]}}',
             "the name is the topic's", flag=False),
    _setting("max_weight", "whole number", "1000000", "largest weight of a row that is sent once for each copy; 0: any",
             "the connector's own limit"),
    _setting("key_in_value", "true or false", "true", "whether the value holds the key columns too",
             "a row is written whole"),
    _setting("headers_column", _COLUMN, "", "column of each row's headers, a map or a list of struct<key, value>; "
             "each row is then its own message; it is not written",
             "messages have the static headers, and a header costs more CPU time than a small row"),
    _setting("header_columns", _COLUMNS, "", "columns that become a header each, of their own name; each row is then "
             "its own message; they are not written", "messages have the static headers"),
    _setting("timestamp_column", _COLUMN, "",
             "column of the message's timestamp: timestamps, dates, int64 milliseconds; null is the time of sending; "
             "each row is then its own message; it is not written", "the time of sending"),
    _setting("topic_column", _COLUMN, "", "string column of the message's topic, one of `topics`; rows of a topic with "
             "equal keys keep their order; it is not written", "all rows go to `topic`"),
    _setting("topics", "topics, with commas between, or ^pattern", "",
             "topics that topic_column may name: those of a list must be there when the writer opens, a ^pattern must "
             "match the whole name",
             "a typing error in the data must not choose a topic"),
    _setting("tombstone_column", _COLUMN, "", "column that makes the message's value null where it is null; needs a "
             "key; the column itself is written as any other", "values are never null but for deletes"),
    _setting("before_column", _COLUMN, "", "json, avro debezium: struct column of the row before the change",
             "a row is its own image"),
    _setting("after_column", _COLUMN, "", "json, avro debezium: struct column of the row after the change",
             "a row is its own image"),
    _setting("schemas", "true or false", "true", "json debezium: whether messages carry their schemas",
             "the connector's way"),
    _setting("tombstones", "true or false", "false",
             "debezium: a message with a null value after that of each delete", "the connector sends none"),
    _setting("debezium_source", "true or false", "false",
             "debezium: source and ts_ms; json also has both images always, and a schema that is true to the payload",
             "the connector sends none"),
    _setting("binary_base64", "true or false", "false", "json: bytes as base64 text", "the flavor decides"),
    _setting("keep_decimal_scale", "true or false", "false", "json: decimals with all digits of their scale",
             "the connector drops trailing zeros"),
    _setting("iso_timestamps", "true or false", "false", "json: timestamps as ISO 8601 texts",
             "the flavor decides"),
    _setting("non_finite", "null, error or string", "null", "json: what NaN and infinities become",
             "the connector's way"),
    _setting("omit_nulls", "true or false", "false", "json: leave out columns and struct fields that are null",
             "the connector writes them"),
    _setting("csv_header", "true or false", "false", "csv: begin each message with the names of the columns",
             "the connector has none"),
    _setting("csv_weight", "true or false", "true", "csv: the weight as last column", "the connector's way"),
    _setting("csv_quote", "necessary, always or strings", "necessary", "csv: which fields are quoted",
             "the connector's way"),
    _setting("csv_null", "text", "", "csv: what null becomes", "the connector's way"),
    _setting("csv_nested_json", "true or false", "false", "csv: lists, structs and maps as JSON text",
             "the connector writes one column for each element"),
    _setting("avro_minimal_decimals", "true or false", "false", "avro: decimals in as few bytes as they need",
             "the connector's 16 bytes"),
    _setting("avro_uuid", "true or false", "false", "avro: UUIDs with the logical type uuid", "the connector's string"),
    _setting("avro_defaults", "true or false", "false", "avro: null as default of nullable fields",
             "the connector gives none"),
    _setting("auto_register", "true or false", "true", "register schemas; false only looks them up",
             "the connector registers"),
    _setting("check_compatibility", "true or false", "false", "ask the registry first whether a schema is compatible",
             "the connector does not"),
    _setting("job", "text", "",
             "name under which the job's progress is kept: started again, it goes on where it stopped",
             "without a name nothing is kept"),
    _setting("delivery", "at_least_once or exactly_once", "at_least_once",
             "exactly_once: rows go in transactions that also record the job's progress; needs job",
             "as in the connector; transactions cost some percent, and their readers must read committed"),
    _setting("lanes", "whole number, 1 to 1024", "4, or the partitions where they are fewer",
             "exactly_once: transactional producers, among which the partitions are divided for the life of the job",
             "one commits while others send; with 1 an epoch is visible as a whole"),
    _setting("epoch_rows", "whole number", "", "progress is recorded after so many rows", "epoch_secs comes first"),
    _setting("epoch_bytes", 'bytes, or a text such as "64 MiB"', "",
             "progress is recorded after so many bytes of Arrow data, at the latest a third of the shared memory",
             "epoch_secs comes first"),
    _setting("epoch_secs", "number, 0.01 to 3600", "1", "progress is recorded after so many seconds",
             "how late a reader of committed messages sees a row, and how much is sent again after a crash"),
    _setting("progress_topic", "text", "penstock-progress",
             "compacted topic that the progress of jobs is kept in; made where it is missing",
             "one for all jobs of a cluster"),
    _setting("restart", "true or false", "false", "forget what is recorded of the job, and start over",
             "what was delivered is delivered again"),
    _setting("on_bad_row", "fail, skip or dead_letter", "fail",
             "what becomes of a row that cannot be encoded: it ends the job, is left out, or is kept in dead_letter",
             "as in the connector; what is left out is missing"),
    _setting("on_oversize", "fail, skip, dead_letter, key_only or truncate", "fail",
             "the same for a row whose message is larger than message.max.bytes allows; or its key is sent without a "
             "value, or columns are cut", "as for on_bad_row"),
    _setting("truncate_columns", _COLUMNS, "",
             "text and binary columns that on_oversize=truncate cuts, all to one length, until the row fits",
             "what may be cut, only you know"),
    _setting("dead_letter", "path", "", "file that rows are kept in, an Arrow stream that `penstock write` takes again",
             "none is needed unless on_bad_row or on_oversize is dead_letter"),
    _setting("reorder_on_reject", "true or false", "false",
             "rows whose order counts (key, partition, index) are sent again, too, where the broker refuses one that "
             "went with them, and may then come behind later ones", "order per key is what keys are for: the job ends"),
    _setting("create_topic", "JSON object", "",
             'make a topic that is missing: {"partitions": …, "replication_factor": …, "config": {…}}, each optional',
             "a typing error in a name must not make a topic"),
    _setting("region", "AWS region", "$AWS_REGION, $AWS_DEFAULT_REGION, else the profile's",
             "AWS MSK: the region of the cluster", "as in the connector, but what is named here comes before the "
             "environment"),
    _setting("aws_iam", "true or false", "",
             "whether OAUTHBEARER means AWS MSK IAM; false for other servers whose tokens come otherwise",
             "it does, as in the connector, unless another source of tokens is named"),
    _setting("aws_role_arn", "ARN", "", "AWS MSK IAM: the role to assume", "the credentials are used as they are"),
    _setting("oauth_cb", "module:function", "",
             "OAUTHBEARER: function that makes tokens; takes sasl.oauthbearer.config, returns the token, when it "
             "expires (seconds since 1970), and, if wanted, principal and extensions", "AWS MSK IAM, as in the "
             "connector"),
    _setting(
        "workers", "whole number, 0 to 1024", f"usable cores, at most {MAX_DEFAULT_WORKERS}",
        "processes that encode and send; 0 does it inside the calling process",
        "affinity and CPU quota are respected; the caller cannot feed more, and small memory_bytes allows fewer",
    ),
    _setting(
        "memory_bytes", 'bytes, or a text such as "512 MiB"', "256 MiB",
        "arena, encode buffers and librdkafka's queues of all workers together",
        f"keeps the full window of {IN_FLIGHT_MESSAGES} messages for 2 workers; the least is 8 MiB per worker",
    ),
    _setting(
        "initialization_timeout_secs", "whole number, 1 or more", "60",
        "how long opening may take to reach the broker and the topic", "the connector's default",
    ),
    _setting(
        "shutdown_timeout_secs", "number", "10", "how long a closing worker may take before it is ended",
        "flushing is done by then; what is left is a worker that does not answer",
    ),
    _setting(
        "delivery_timeout_secs", "number", "300",
        "how long a message may be on its way before the job fails; librdkafka's message.timeout.ms; 0: without limit",
        "librdkafka's default: brokers may be away for less",
    ),
    _setting(
        "worker_timeout_secs", "number, 1 or more", "10",
        "a worker that stands still for so long is ended, and another one takes its place",
        "longer than any pause of a machine in good health",
    ),
    _setting(
        "max_restarts_per_min", "whole number", "20",
        "workers that are replaced within a minute; one more death ends the job",
        "what kills worker after worker is no accident; 0: the first death ends the job",
    ),
    _setting(
        "log_level", "emerg, alert, critical, error, warning, notice, info or debug", "",
        "what librdkafka logs", "librdkafka's own choice, info",
    ),
    _setting(
        "audit", "true or false", "false",
        "the receipt also has the acknowledged offsets with the hashes of their messages, for `penstock verify`",
        "it costs a few percent, and a longer receipt where others write to the topic too",
    ),
)  # fmt: skip
# What the settings are about, by the first of each theme: headings of `--help` and `penstock config`.
THEMES: Final = {
    "topic": "topic and format",
    "index": "changes across rows and batches",
    "headers": "key and partition",
    "op_column": "what a row does",
    "key_in_value": "fields of a message, from columns",
    "before_column": "update_format debezium (json, avro)",
    "binary_base64": "format json",
    "csv_header": "format csv",
    "avro_minimal_decimals": "format avro",
    "auto_register": "schema registry (avro, protobuf)",
    "job": "jobs that go on where they stopped",
    "on_bad_row": "rows that cannot go",
    "create_topic": "topics and logins",
    "workers": "processes, memory, time",
    "audit": "the receipt",
}
