"""Write Arrow data into Kafka: fast, many processes, one receipt.

    import penstock

    report = penstock.write("orders.parquet", topic="orders", bootstrap_servers="localhost:9092")

    with penstock.open(topic="orders", bootstrap_servers="localhost:9092", schema=schema) as writer:
        for batch in batches:
            writer.write(batch)
        report = writer.flush()

Names are loaded when they are first used: a worker process, and `penstock --help`, do without pyarrow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.errors import (
        ConfigError,
        ConnectError,
        DeliveryError,
        EncodeError,
        Fenced,
        InternalError,
        NotVerified,
        PenstockError,
        SchemaError,
        SourceError,
        WorkerDied,
        WriterClosed,
        WriteTimeout,
    )
    from penstock.messages import Message, preview
    from penstock.report import ErrorReport, JobReport, PartitionReport, Report
    from penstock.writer import Statistics, Writer, open, write  # noqa: A004 - penstock.open, as in gzip.open

__version__ = "0.1.0"

__all__ = [
    "ConfigError",
    "ConnectError",
    "DeliveryError",
    "EncodeError",
    "ErrorReport",
    "Fenced",
    "InternalError",
    "JobReport",
    "Message",
    "NotVerified",
    "PartitionReport",
    "PenstockError",
    "Report",
    "SchemaError",
    "SourceError",
    "Statistics",
    "WorkerDied",
    "WriteTimeout",
    "Writer",
    "WriterClosed",
    "open",
    "preview",
    "write",
]

_MODULES = {
    "writer": ("Statistics", "Writer", "open", "write"),
    "report": ("ErrorReport", "JobReport", "PartitionReport", "Report"),
    "messages": ("Message", "preview"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


if not TYPE_CHECKING:  # a type checker that saw it would let any misspelt name pass

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module 'penstock' has no attribute {name!r}")
        module = importlib.import_module(f"penstock.{_HOMES.get(name, 'errors')}")
        value = getattr(module, name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
