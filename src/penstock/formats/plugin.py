"""plugin: format `python`, a function of the user's that makes messages from RecordBatches in the workers.

    def encode(batch: pyarrow.RecordBatch) -> Iterable[bytes]: ...
    def encode(batch, changes): ...

batch     rows of one partition in the order of sending, at most 65,536; columns in plain layout (dictionaries, run ends
          and views as their values), without those that say what a row does or where it goes. A row of weight n is
          there n times. Good during the call alone: what is kept must be copied
changes   where the function takes it: "insert", "delete" or "update" for each row, a pyarrow dictionary array. Where
          it does not, a delete is refused as a row that cannot be encoded
returns   an iterable of messages, each bytes (a value), (key, value) or (key, value, headers): key and value bytes or
          None, headers (name, bytes or None) pairs. n messages for n rows: one each, in order. Any other number, but
          not none: equal shares of the rows, in order; a row counts as sent when all messages of its share are. A
          message goes to the partition of its rows, whatever its key: for equal keys to meet, name the columns that
          they are made of in partition_by

The function is found before any process starts, and found again, once, in each worker. What it raises ends the job as
an EncodeError at the first row of its batch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from penstock.config import PythonFormat
from penstock.errors import ConfigError
from penstock.formats import Form
from penstock.formats.columnar import plain_fields, refuse_fields
from penstock.functions import import_function
from penstock.layout import ColumnarLayout, Packing

if TYPE_CHECKING:
    from penstock.config import Config
    from penstock.formats import Context

__all__ = ["ROWS_PER_CALL", "check", "plan"]

ROWS_PER_CALL: Final = 65536
Encoder = Callable[..., Iterable[Any]]


def check(config: Config) -> None:
    """Refuse an encoder that cannot be found, and settings that would do its work."""
    assert isinstance(config.format, PythonFormat)  # noqa: S101
    refuse_fields(config, "python", "the encoder makes whole messages, their keys and headers too")
    _find(config.format.encoder)


def plan(context: Context) -> Form:
    """Plan the format; ConfigError as check, SchemaError for a column that the core does not know."""
    form = context.config.format
    assert isinstance(form, PythonFormat)  # noqa: S101
    check(context.config)
    fields = plain_fields(context, "Arrow", table=False).serialize().to_pybytes()
    takes_changes = _takes_changes(_find(form.encoder))
    layout = ColumnarLayout(
        form="python",
        columns=context.columns,
        exported=fields,
        written=fields,
        table=False,
        records=ROWS_PER_CALL,
        encoder=form.encoder,
        takes_changes=takes_changes,
    )
    no_deletes = f"encoder {form.encoder} takes rows alone and would take a delete for one; give it a second argument"
    return Form(layout, Packing("bare", ROWS_PER_CALL), no_deletes="" if takes_changes else no_deletes)


def _find(name: str) -> Encoder:
    where = f'format.config.encoder "{name}"'
    if name.startswith("__main__:"):
        raise ConfigError(f"{where}: workers are processes of their own and have another __main__; give it a module")
    return import_function(name, where)


def _takes_changes(encoder: Encoder) -> bool:
    try:
        inspect.signature(encoder).bind(None, None)
    except (TypeError, ValueError):  # one argument, or a compiled function that does not tell
        return False
    return True
