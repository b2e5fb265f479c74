"""config: everything a job is told, in one frozen tree that is checked as a whole before any process or socket.

In the order in which a configuration is read:

    document.py       JSON, SQL, TOML (properties.py: .properties): what holds a connector, as one tree
    connector.py      the object of Feldera's connector, taken apart
    places.py         what was given in several places, the higher one winning
    references.py     values that stand in the environment or in files
    secrets.py        which options are secret; taking secrets out of texts
    kafka/            librdkafka's options
    settings.py       the settings that are ours, by name; values.py: what was given, turned into their types
    formats.py        the formats and their members, by the connector's names
    scope.py          which of our settings belong to which format
    message.py        which settings of key, headers, timestamp and topic go together; topics.py names and patterns
    memory.py         memory_bytes and how it is shared out; cores.py: how many cores there are to use
    merge.py          all of it put together and checked: `load`
    job.py            the Config that comes of it
    table.py          the one table that flags, `penstock config` and the README are made from; keywords.py: for editors

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
from penstock.config.kafka.options import KAFKA_DEFAULTS, KafkaDefault
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
