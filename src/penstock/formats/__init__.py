"""formats: what each format makes of a schema; one module each, the bytes themselves are made in src/core.

A plan is made once for each schema, before the first row: it refuses columns that have no form in the format.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, NamedTuple

from penstock.config import ArrowFormat, AvroFormat, CsvFormat, JsonFormat, ParquetFormat, ProtobufFormat, PythonFormat
from penstock.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

    from penstock import _core
    from penstock.changes import Changes
    from penstock.config import Config
    from penstock.layout import FormatLayout, KeyLayout, Packing
    from penstock.registry import Registry

__all__ = ["Context", "Form", "check_format", "plan_form"]


class Context(NamedTuple):
    """What a format may look at.

    core       the schema as the core reads it
    columns    numbers of the columns that are written, in order
    stream_id  drawn once for the writer: snowflake's __stream_id
    registry   where schemas get their ids; None: nowhere, and ids are 0
    """

    schema: pa.Schema
    core: _core.Schema
    config: Config
    columns: tuple[int, ...]
    changes: Changes
    stream_id: int
    registry: Registry | None = None


class Form(NamedTuple):
    """What a format makes of a schema.

    pairs       it has an event for an update: a -U and its +U become one
    key         the key that the format itself prescribes, None: the settings' own
    no_deletes  why the format cannot hold a delete, as the error at the row says it; empty: it can
    """

    layout: FormatLayout
    packing: Packing
    key: KeyLayout | None = None
    pairs: bool = False
    no_deletes: str = ""


def plan_form(context: Context) -> Form:
    """Return the plan of the configured format; SchemaError or ConfigError for what it cannot write."""
    form = context.config.format
    module = _MODULES.get(type(form))
    if module is None:
        raise ConfigError(f'format "{type(form).__name__}" is not written by this version')
    made: Form = import_module(f"penstock.formats.{module}").plan(context)
    return made


def check_format(config: Config) -> None:
    """Refuse, before any process and without a schema, what the configured format cannot do: ConfigError."""
    if type(config.format) in _CHECKED:
        with config.redactor.errors():
            import_module(f"penstock.formats.{_MODULES[type(config.format)]}").check(config)


# Each module has plan(context) -> Form; imported when its format is first asked for.
_MODULES: Final[dict[type, str]] = {
    JsonFormat: "json",
    CsvFormat: "csv",
    AvroFormat: "avro",
    ParquetFormat: "columnar",
    ArrowFormat: "columnar",
    PythonFormat: "plugin",
    ProtobufFormat: "protobuf",
}
# Those that have check(config) too.
_CHECKED: Final = {ParquetFormat, ArrowFormat, PythonFormat}
