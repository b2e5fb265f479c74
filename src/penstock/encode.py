"""encode: a schema and a format become a plan, made once and reused for every piece with that schema.

A Plan holds what the coordinator needs (to import, select and copy rows) and the Layout that a worker needs to encode
them. Schemas that differ only in how Arrow stores the same values (a string here, a dictionary of strings there) give
different plans for the same output.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from penstock import _core
from penstock.changes import Changes, find_changes, find_identity, find_index_columns
from penstock.columns import find_column, find_connector_columns, find_text
from penstock.config import AvroFormat, JsonFormat
from penstock.errors import ConfigError
from penstock.fields import AllowedTopics, columns_left_out, find_fields
from penstock.formats import Context, plan_form
from penstock.keys import find_key, key_columns
from penstock.layout import JsonKey, Layout
from penstock.partition import Placement, find_placement

if TYPE_CHECKING:
    import pyarrow as pa

    from penstock.config import Config
    from penstock.registry import Registry

__all__ = ["Plan", "Planner"]

_MOST_COPIES = 2**63 - 1


class Plan:
    """What is done with the rows of one schema.

    number     counts from 0 within one writer; workers know the layout by it
    pairs      a -U and its +U are one event, so they must not be parted
    snapshot   all rows are inserts
    schema     of the rows
    """

    def __init__(
        self,
        number: int,
        schema: pa.Schema,
        config: Config,
        partitions: int,
        workers: int,
        *,
        stream_id: int = 0,
        snapshot: bool = False,
        registry: Registry | None = None,
    ) -> None:
        self.number = number
        self.snapshot = snapshot
        self.schema, self._config = schema, config
        writer = config.writer
        spec = _core.schema_spec(schema.__arrow_c_schema__())
        self.core = _core.Schema(spec)
        self.changes: Changes = find_changes(schema, writer, snapshot=snapshot)
        self.index = find_index_columns(schema, config)
        self._refuse_index()
        if self.changes.mode == "images" and not isinstance(config.format, (AvroFormat, JsonFormat)):
            raise ConfigError("before_column and after_column go with update_format debezium of json and avro")
        self.placement: Placement = find_placement(schema, self.core, writer)
        key = find_key(schema, self.core, writer)
        fields = find_fields(schema, self.core, writer, self.placement.partition_column)
        self._fields = columns_left_out(fields)
        left_out = {self.placement.partition_column, *self._fields}
        if self.changes.mode != "images":
            left_out.add(self.changes.column)
        if not writer.key_in_value:
            left_out.update(key_columns(schema, writer))
        self._columns = columns = tuple(at for at in range(len(schema)) if at not in left_out)
        form = plan_form(Context(schema, self.core, config, columns, self.changes, stream_id, registry))
        if form.key is not None and writer.partition_by:
            raise ConfigError(
                f"partition_by={','.join(writer.partition_by)} and the message key that format "
                f"{config.format.__struct_config__.tag} makes exclude each other: a keyed row goes where its key says; "
                "leave partition_by out, or take partition_column"
            )
        key = form.key or key
        if key is None and writer.tombstone_column is not None:
            raise ConfigError(
                f'tombstone_column="{writer.tombstone_column}" needs a key: a null value without one deletes nothing; '
                "give key, or leave it out"
            )
        if writer.on_oversize == "key_only" and key is None:
            raise ConfigError(
                "on_oversize=key_only needs a key: a message without key and value says nothing; give key"
            )
        self._refuse_key_beyond_index()
        # With an index the changes of one key go to one partition, in the order of their batches, key or no key.
        self.hashed = key or self.placement.hashed or (JsonKey(self.index) if self.index else None)
        skip_bad = writer.on_bad_row != "fail"
        self.layout = Layout(
            spec,
            form.layout,
            key,
            form.packing,
            config.max_payload_bytes,
            fields,
            skip_bad=skip_bad,
            skip_oversize=writer.on_oversize in {"skip", "dead_letter"},
            key_only=writer.on_oversize == "key_only",
            truncate_columns=tuple(find_text(schema, column, "truncate_columns") for column in writer.truncate_columns),
            # A transaction with a message that was refused is aborted, and nothing of it is sent again by itself.
            resend=writer.delivery == "at_least_once" and (writer.reorder_on_reject or not self.affine),
        )
        # An update takes the place of the old row only where that was: in the same topic.
        self.pairs = form.pairs and self.changes.mode == "op" and writer.topic_column is None
        weighted = form.packing.weighted or not writer.max_weight
        self.selector = _core.Selector(
            self.core,
            change=self.changes.mode,
            change_column=self.changes.column,
            key=self.hashed,
            partition_column=self.placement.partition_column,
            topic_column=-1 if fields is None else fields.topic_column,
            topics=AllowedTopics(writer.topics).refusal if writer.topics else None,
            partitioner=self.placement.partitioner,
            partitions=partitions,
            workers=workers,
            after_column=self.changes.after,
            pair_updates=self.pairs,
            most_copies=_MOST_COPIES if weighted else config.writer.max_weight,
            no_deletes=form.no_deletes,
            skip_bad=skip_bad,
        )
        self.reader = self._make_reader() if self.index or config.enable_output_buffer else None

    def _refuse_index(self) -> None:
        for at in self.index:
            field, why = self.schema.field(at), self.core.refusal(at)
            if at == self.changes.column:
                why = "says what a row does"
            if why:
                raise ConfigError(f'index: column "{field.name}" {why}; it cannot be part of a key', column=field.name)

    def _refuse_key_beyond_index(self) -> None:
        """Refuse a message key that an update can change, which would leave the message of the old one behind."""
        if not self.index:
            return
        fields = getattr(self._config.format, "key_fields", None) or ()
        keys = {name: find_column(self.schema, name, "key") for name in self._config.writer.key}
        keys |= dict(zip(fields, find_connector_columns(self.schema, fields, "key_fields"), strict=True))
        for name, at in keys.items():
            if at not in self.index:
                raise ConfigError(
                    f'the message key has column "{name}", which index "{self._config.index}" has not: an update that '
                    "changes it would leave the message of its old key behind; make the key of columns of the index, "
                    "or add the column to the index",
                    column=name,
                )

    def _make_reader(self) -> _core.ChangeReader:
        writer = self._config.writer
        keys = {find_column(self.schema, name, "key") for name in (*writer.key, *writer.partition_by)}
        return _core.ChangeReader(
            self.core,
            change=self.changes.mode,
            change_column=self.changes.column,
            row_columns=find_identity(
                self.schema, self.core, self._config, {*self._columns, *(self._fields - {-1}), *keys, *self.index}
            ),
            key_columns=self.index,
            pairs=self.pairs,
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

    def __init__(
        self,
        config: Config,
        partitions: int,
        workers: int,
        registry: Registry | None = None,
        *,
        stream_id: int | None = None,
    ) -> None:
        """Plan for a topic with so many partitions, divided among so many workers. stream_id: None: a new one."""
        self._config = config
        self._registry = registry
        self._partitions = partitions
        self._workers = workers
        self._stream_id = (
            secrets.randbelow(2**63 - 1) if stream_id is None else stream_id
        )  # one for all schemas, and so for all workers
        self._plans: list[tuple[pa.Schema, Plan]] = []
        self._redactor = config.redactor

    def plan(self, schema: pa.Schema, *, snapshot: bool = False) -> Plan:
        """Return the plan for this schema, the same one for an equal schema.

        snapshot    all rows are inserts, whatever their change column says, and that may be missing
        Raises ConfigError for a column that a setting names in vain, SchemaError for one that the format cannot write.
        """
        schema = schema.remove_metadata()  # of the schema as a whole: it changes nothing; that of fields stays
        for known, plan in self._plans:
            if plan.snapshot is snapshot and (known is schema or known.equals(schema, check_metadata=True)):
                return plan
        with self._redactor.errors():
            plan = Plan(
                len(self._plans),
                schema,
                self._config,
                self._partitions,
                self._workers,
                stream_id=self._stream_id,
                snapshot=snapshot,
                registry=self._registry,
            )
        self._plans.insert(0, (schema, plan))
        return plan
