"""formats: what each format makes of a schema; one module each, the bytes themselves are made in src/core.

A plan is made once for each schema, before the first row: it refuses columns that have no form in the format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from penstock.config import JsonFormat, ProtobufFormat
from penstock.errors import ConfigError, SchemaError
from penstock.layout import JsonLayout, Packing

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from penstock import _core
    from penstock.changes import Changes
    from penstock.config import Config
    from penstock.layout import FormatLayout, KeyLayout

__all__ = ["Context", "Form", "plan_form"]


class Context(NamedTuple):
    """What a format may look at.

    core     the schema as the core reads it
    columns  numbers of the columns that are written, in order
    """

    schema: pa.Schema
    core: _core.Schema
    config: Config
    columns: tuple[int, ...]
    changes: Changes


class Form(NamedTuple):
    """What a format makes of a schema. key: the key that the format itself prescribes, None: the settings' own."""

    layout: FormatLayout
    packing: Packing
    key: KeyLayout | None = None


def plan_form(context: Context) -> Form:
    """Return the plan of the configured format; SchemaError or ConfigError for what it cannot write."""
    form = context.config.format
    planner = _PLANNERS.get(type(form))
    if planner is None:
        raise ConfigError(f'format "{type(form).__name__}" is not written by this version')
    return planner(context)


def _plan_json(context: Context) -> Form:
    form = context.config.format
    assert isinstance(form, JsonFormat)  # noqa: S101
    _refuse(context, set(context.columns))
    return Form(JsonLayout(context.columns), Packing("array" if form.array else "lines", form.buffer_size_records))


def _plan_protobuf(context: Context) -> Form:
    from penstock.formats.protobuf import plan  # noqa: PLC0415 - only what is configured is loaded

    return plan(context)


_PLANNERS: Final[dict[type, Callable[[Context], Form]]] = {JsonFormat: _plan_json, ProtobufFormat: _plan_protobuf}


def _refuse(context: Context, columns: set[int]) -> None:
    seen: set[str] = set()
    for at, field in enumerate(context.schema):
        if at not in columns:
            continue
        why = context.core.refusal(at)
        if why:
            raise SchemaError(
                f'column "{field.name}" {why} ({str(field.type)[:200]}), which has no form in JSON; cast it, or '
                "leave it out",
                column=field.name,
            )
        if field.name in seen:
            raise SchemaError(
                f'two columns are called "{field.name}"; a JSON object needs one of each name, so rename or drop one',
                column=field.name,
            )
        seen.add(field.name)
