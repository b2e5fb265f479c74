"""encode: a schema and a format become a plan, made once and reused for every piece with that schema.

A Plan holds what the coordinator needs (to import, select and copy rows) and the Layout that a worker needs to encode
them. Schemas that differ only in how Arrow stores the same values (a string here, a dictionary of strings there) give
different plans for the same output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock import _core
from penstock.changes import Changes, find_changes
from penstock.control import Layout
from penstock.errors import SchemaError
from penstock.partition import Placement, find_placement

if TYPE_CHECKING:
    import pyarrow as pa

    from penstock.config import Config

__all__ = ["Plan", "Planner"]


class Plan:
    """What is done with the rows of one schema.

    number     counts from 0 within one writer; workers know the layout by it
    """

    def __init__(self, number: int, schema: pa.Schema, config: Config, partitions: int, workers: int) -> None:
        self.number = number
        self.changes: Changes = find_changes(schema, config.writer)
        self.placement: Placement = find_placement(schema, config.writer)
        left_out = {self.changes.column, self.placement.partition_column}
        row_columns = tuple(at for at in range(len(schema)) if at not in left_out)
        spec = _core.schema_spec(schema.__arrow_c_schema__())
        self.core = _core.Schema(spec)
        _refuse(schema, self.core, {*row_columns, *self.placement.key_columns})
        self.layout = Layout(
            spec=spec,
            row_columns=row_columns,
            key=self.placement.message_key,
            key_columns=self.placement.key_columns,
            array=config.format.array,
            buffer_size_records=config.format.buffer_size_records,
            max_payload=config.max_payload_bytes,
        )
        self.selector = _core.Selector(
            self.core,
            change=self.changes.mode,
            change_column=self.changes.column,
            key=self.placement.key,
            key_columns=self.placement.key_columns,
            partition_column=self.placement.partition_column,
            partitioner=self.placement.partitioner,
            partitions=partitions,
            workers=workers,
        )

    def read(self, piece: pa.RecordBatch) -> _core.Piece:
        """Import a RecordBatch of this schema: pointers only, nothing is copied. It must outlive the result."""
        return _core.Piece(self.core, piece.__arrow_c_array__()[1])


class Planner:
    """Plans by schema, made as they are met."""

    def __init__(self, config: Config, partitions: int, workers: int) -> None:
        self._config = config
        self._partitions = partitions
        self._workers = workers
        self._plans: list[tuple[pa.Schema, Plan]] = []

    def plan(self, schema: pa.Schema) -> Plan:
        """Return the plan for this schema, the same one for an equal schema.

        Raises ConfigError for a column that a setting names in vain, SchemaError for one that has no form in JSON.
        """
        schema = schema.remove_metadata()  # of the schema as a whole: it changes nothing; that of fields stays
        for known, plan in self._plans:
            if known is schema or known.equals(schema, check_metadata=True):
                return plan
        plan = Plan(len(self._plans), schema, self._config, self._partitions, self._workers)
        self._plans.insert(0, (schema, plan))
        return plan


def make_packer(layout: Layout) -> _core.Packer:
    """Compile a layout."""
    return _core.Packer(
        _core.Schema(layout.spec),
        row_columns=layout.row_columns,
        key=layout.key,
        key_columns=layout.key_columns,
        array=layout.array,
        buffer_size_records=layout.buffer_size_records,
        max_payload=layout.max_payload,
    )


def _refuse(schema: pa.Schema, core: _core.Schema, columns: set[int]) -> None:
    seen: set[str] = set()
    for at, field in enumerate(schema):
        if at not in columns:
            continue
        why = core.refusal(at)
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
