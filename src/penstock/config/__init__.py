"""config: everything a job is told, in one frozen tree that is checked as a whole before any process or socket.

    merge.py          precedence, columns that exclude each other, the Config
    settings.py       the settings that are ours, by name
    formats.py        the formats and their members, by the connector's names
    message.py        which settings of key, headers, timestamp and topic go together; topics.py names and patterns
    scope.py          which of our settings belong to which format
    table.py          the one table that flags, `penstock config` and the README are made from
    document.py       JSON, SQL, TOML (properties.py: .properties): what holds a connector, as one tree
    connector.py      the object of Feldera's connector, taken apart
    values.py         what was given, turned into typed values
    references.py     values that stand in the environment or in files
    secrets.py        which options are secret; taking secrets out of texts
    kafka_options.py  librdkafka's options: names, defaults with their reasons
    java_options.py   the spellings of Java's clients among them, translated; jaas.py: the text of sasl.jaas.config
    kafka_rules.py    which of them exclude each other
    tls.py            certificates and keys, put right and checked: pem.py their text, certificates.py their content
    login.py          what the SASL options mean together, and where tokens come from
    memory.py         memory_bytes and how it is shared out
    cores.py          how many cores there are to use

Imports neither pyarrow nor the Kafka client.
"""

from penstock.config.cores import usable_cores
from penstock.config.formats import (
    FORMATS,
    ArrowFormat,
    AvroFormat,
    CsvFormat,
    Format,
    JsonFormat,
    ParquetFormat,
    ProtobufFormat,
    PythonFormat,
)
from penstock.config.job import FRAMING_BYTES, Config
from penstock.config.kafka_options import KAFKA_DEFAULTS, KafkaDefault
from penstock.config.memory import MemoryShares, memory_shares, parse_bytes
from penstock.config.merge import load, log_warnings
from penstock.config.settings import Relation, WriterConfig
from penstock.config.table import SETTINGS, THEMES, Setting

__all__ = [
    "FORMATS",
    "FRAMING_BYTES",
    "KAFKA_DEFAULTS",
    "SETTINGS",
    "THEMES",
    "ArrowFormat",
    "AvroFormat",
    "Config",
    "CsvFormat",
    "Format",
    "JsonFormat",
    "KafkaDefault",
    "MemoryShares",
    "ParquetFormat",
    "ProtobufFormat",
    "PythonFormat",
    "Relation",
    "Setting",
    "WriterConfig",
    "load",
    "log_warnings",
    "memory_shares",
    "parse_bytes",
    "usable_cores",
]
