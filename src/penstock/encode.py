"""encode: a schema and a format become a plan, made once and reused for every piece with that schema.

A Plan holds what the coordinator needs (to import, select and copy rows) and the Layout that a worker needs to encode
them. Schemas that differ only in how Arrow stores the same values (a string here, a dictionary of strings there) give
different plans for the same output.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from penstock import _core
from penstock.changes import Changes, find_changes
from penstock.formats import Context, plan_form
from penstock.layout import Layout
from penstock.partition import Placement, find_key, find_placement

if TYPE_CHECKING:
    import pyarrow as pa

    from penstock.config import Config

__all__ = ["Plan", "Planner"]


class Plan:
    """What is done with the rows of one schema.

    number     counts from 0 within one writer; workers know the layout by it
    """

    def __init__(
        self, number: int, schema: pa.Schema, config: Config, partitions: int, workers: int, *, stream_id: int
    ) -> None:
        self.number = number
        self.changes: Changes = find_changes(schema, config.writer)
        key = find_key(schema, config.writer)
        self.placement: Placement = find_placement(schema, config.writer)
        left_out = {self.changes.column, self.placement.partition_column}
        columns = tuple(at for at in range(len(schema)) if at not in left_out)
        spec = _core.schema_spec(schema.__arrow_c_schema__())
        self.core = _core.Schema(spec)
        form = plan_form(Context(schema, self.core, config, columns, self.changes, stream_id))
        key = form.key or key
        self.layout = Layout(spec, form.layout, key, form.packing, config.max_payload_bytes)
        self.hashed = key or self.placement.hashed
        self.selector = _core.Selector(
            self.core,
            change=self.changes.mode,
            change_column=self.changes.column,
            key=self.hashed,
            partition_column=self.placement.partition_column,
            partitioner=self.placement.partitioner,
            partitions=partitions,
            workers=workers,
        )

    @property
    def affine(self) -> bool:
        """True when each partition belongs to one worker; False when runs may go to any."""
        return self.hashed is not None or self.placement.partition_column >= 0

    def read(self, piece: pa.RecordBatch) -> _core.Piece:
        """Import a RecordBatch of this schema: pointers only, nothing is copied. It must outlive the result."""
        return _core.Piece(self.core, piece.__arrow_c_array__()[1])


class Planner:
    """Plans by schema, made as they are met."""

    def __init__(self, config: Config, partitions: int, workers: int) -> None:
        self._config = config
        self._partitions = partitions
        self._workers = workers
        self._stream_id = secrets.randbelow(2**63 - 1)  # one for all schemas, and so for all workers
        self._plans: list[tuple[pa.Schema, Plan]] = []

    def plan(self, schema: pa.Schema) -> Plan:
        """Return the plan for this schema, the same one for an equal schema.

        Raises ConfigError for a column that a setting names in vain, SchemaError for one that the format cannot write.
        """
        schema = schema.remove_metadata()  # of the schema as a whole: it changes nothing; that of fields stays
        for known, plan in self._plans:
            if known is schema or known.equals(schema, check_metadata=True):
                return plan
        plan = Plan(len(self._plans), schema, self._config, self._partitions, self._workers, stream_id=self._stream_id)
        self._plans.insert(0, (schema, plan))
        return plan
