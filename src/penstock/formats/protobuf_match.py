"""protobuf_match: a message of a given descriptor set, held against the columns before the first row.

Needs Google's package (penstock[protobuf]), which knows what presence, packing and closed enums each edition means.
Columns go by name: each needs a field, a field without a column stays unset. What fits what:

    bool                     bool                    binary                  bytes
    integers                 any integer, enum       decimal                 string
    float16, float32         float, double           date, time              integers (days, ticks), string
    float64                  double                  timestamp               google.protobuf.Timestamp, string, integers
    string                   string, bytes, enum     struct, list, map       message, repeated, map
    UUID                     string, bytes           any of these            the google.protobuf wrapper of its field

An integer that may not fit is checked row by row; a float64 does not go into a float.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from penstock.errors import ConfigError, SchemaError
from penstock.formats.protobuf_columns import Column, Proto, column_of, refuse
from penstock.layout import ProtobufField
from penstock.names import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa

__all__ = ["Given", "load_message", "match", "message_indexes"]

_INTEGERS = frozenset(
    {
        Proto.INT32, Proto.INT64, Proto.UINT32, Proto.UINT64, Proto.SINT32, Proto.SINT64,
        Proto.FIXED32, Proto.FIXED64, Proto.SFIXED32, Proto.SFIXED64,
    }
)  # fmt: skip
_FITS = {
    "bool": {Proto.BOOL},
    "int": {*_INTEGERS, Proto.ENUM},
    "uint": {*_INTEGERS, Proto.ENUM},
    "float": {Proto.FLOAT, Proto.DOUBLE},
    "text": {Proto.STRING, Proto.BYTES, Proto.ENUM},
    "uuid": {Proto.STRING, Proto.BYTES},
    "variant": {Proto.STRING, Proto.BYTES},
    "binary": {Proto.BYTES},
    "decimal": {Proto.STRING},
    "date": {*_INTEGERS, Proto.STRING},
    "time": {*_INTEGERS, Proto.STRING},
    "timestamp": {*_INTEGERS, Proto.STRING},
}
_ADVICE = {
    "float": "cast it to float32",
    "decimal": "cast it, or make the field a string",
    "binary": "cast it to string, or make the field bytes",
    "text": "cast it, or make the field a string",
}
_MOST_ONEOFS = 64


class Given(NamedTuple):
    """A message of a descriptor set. file: its FileDescriptorProto, serialized; imports: what that file imports."""

    descriptor: Any
    file: bytes
    imports: tuple[str, ...]


def load_message(path: str, name: str | None) -> Given:
    """Read a FileDescriptorSet; return the message `name`, or the only one at the top of its last file.

    Raises ConfigError when there is no such file or message, or an import is missing.
    """
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(
            "descriptor_set needs the package protobuf; install penstock[protobuf], or leave descriptor_set out to "
            "have the schema made from the columns"
        ) from error
    try:
        files = descriptor_pb2.FileDescriptorSet.FromString(Path(path).read_bytes()).file
    except OSError as error:
        raise ConfigError(f"descriptor_set={path}: {error.strerror or error}; give a file made by protoc") from error
    except message.DecodeError as error:
        raise ConfigError(
            f"descriptor_set={path}: this is no FileDescriptorSet; make one with protoc --include_imports "
            f"--descriptor_set_out={path}"
        ) from error
    by_name = {file.name: file for file in files}
    pool = descriptor_pool.DescriptorPool()
    added: set[str] = set()

    def add(file_name: str, importer: str) -> None:
        if file_name in added:
            return
        added.add(file_name)
        file = by_name.get(file_name) or _well_known(file_name)
        if file is None:
            raise ConfigError(
                f"descriptor_set={path}: {importer} imports {file_name}, which is not in it; make it with protoc "
                "--include_imports"
            )
        for imported in file.dependency:
            add(imported, file_name)
        try:
            pool.AddSerializedFile(file.SerializeToString())
        except TypeError as error:  # what the C library says to a descriptor that contradicts itself
            raise ConfigError(f"descriptor_set={path}: {file_name} is not valid: {error}") from error

    for file in files:
        add(file.name, path)
    chosen = _choose(path, name, files)
    try:
        found = pool.FindMessageTypeByName(chosen)
    except KeyError:
        hint = did_you_mean(chosen, _all_messages(files)) or f"; it has {', '.join(_all_messages(files)[:8]) or 'none'}"
        raise ConfigError(f'descriptor_set={path}: there is no message "{chosen}"{hint}') from None
    source = by_name[found.file.name] if found.file.name in by_name else _well_known(found.file.name)
    return Given(found, source.SerializeToString(), tuple(source.dependency))


def match(descriptor: Any, schema: pa.Schema, columns: Sequence[int]) -> tuple[ProtobufField, ...]:  # noqa: ANN401
    """Return how these columns fill the message; SchemaError where one does not fit."""
    named = [(at, schema.field(at).name, column_of(schema.field(at), schema.field(at).name)) for at in columns]
    return _fill(descriptor, named, "")


def message_indexes(descriptor: Any) -> tuple[int, ...]:  # noqa: ANN401
    """Return where the message stands in its file: its number at the top, then its number in each message."""
    path: list[int] = []
    while descriptor.containing_type is not None:
        outer = descriptor.containing_type
        path.append(next(at for at, inner in enumerate(outer.nested_types) if inner.full_name == descriptor.full_name))
        descriptor = outer
    path.append(list(descriptor.file.message_types_by_name).index(descriptor.name))
    return tuple(reversed(path))


# ---- the descriptor set ---------------------------------------------------------------------------------------------


def _well_known(name: str) -> Any:  # noqa: ANN401
    """Return one of the files that come with Protobuf, which sets made without imports lack."""
    import importlib  # noqa: PLC0415
    from google.protobuf import descriptor_pb2  # noqa: PLC0415

    if not name.startswith("google/protobuf/") or not name.endswith(".proto"):
        return None
    try:
        module = importlib.import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")
    except ImportError:
        return None
    return descriptor_pb2.FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)


def _all_messages(files: Iterable[Any]) -> list[str]:
    def below(prefix: str, messages: Iterable[Any]) -> list[str]:
        found = []
        for one in messages:
            full = f"{prefix}.{one.name}" if prefix else one.name
            found += [full, *below(full, [inner for inner in one.nested_type if not inner.options.map_entry])]
        return found

    return [name for file in files for name in below(file.package, file.message_type)]


def _choose(path: str, name: str | None, files: Sequence[Any]) -> str:
    if name is not None:
        return name.removeprefix(".")
    tops = [f"{files[-1].package}.{one.name}".removeprefix(".") for one in files[-1].message_type] if files else []
    if len(tops) == 1:
        return tops[0]
    shown = ", ".join(tops[:8]) or "none"
    raise ConfigError(f"descriptor_set={path}: name the message, as format.message; the last file has {shown}")


# ---- columns against fields -----------------------------------------------------------------------------------------


def _fill(descriptor: Any, members: Iterable[tuple[int, str, Column]], where: str) -> tuple[ProtobufField, ...]:  # noqa: ANN401
    fields = descriptor.fields_by_name
    found: list[ProtobufField] = []
    matched: dict[str, Column] = {}
    exclusive: dict[int, list[str]] = {}
    for at, name, column in members:
        if name not in fields:
            hint = did_you_mean(name, fields) or "; leave the column out, or take a message that has the field"
            raise SchemaError(
                f'column "{column.path}": message {descriptor.full_name} has no field "{name}"{hint}',
                column=column.path,
            )
        if name in matched:
            raise SchemaError(f'two columns are called "{column.path}"; rename or drop one', column=column.path)
        matched[name] = column
        if fields[name].containing_oneof is not None:
            exclusive.setdefault(fields[name].containing_oneof.index, []).append(name)
    rivals = [names for names in exclusive.values() if len(names) > 1]
    if len(rivals) > _MOST_ONEOFS:
        raise SchemaError(
            f"message {descriptor.full_name} has {len(rivals)} oneofs with several columns; at most {_MOST_ONEOFS} work"
        )
    oneofs = {name: number for number, names in enumerate(rivals) for name in names}
    for at, name, column in members:
        found.append(_fit(fields[name], at, column, oneofs.get(name, -1)))
    for field in descriptor.fields:
        if field.is_required and field.name not in matched:
            path = f"{where}.{field.name}" if where else field.name
            raise SchemaError(
                f'message {descriptor.full_name} requires "{field.name}", and there is no column "{path}"; add it',
                column=path,
            )
    return tuple(sorted(found, key=lambda one: one.number))


def _fit(field: Any, at: int, column: Column, oneof: int = -1) -> ProtobufField:  # noqa: ANN401
    if column.kind == "none":
        refuse(column, column.why)
    presence = "required" if field.is_required else "explicit" if field.has_presence else "implicit"
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        if column.kind != "map":
            _misfit(field, column, "a map", "which a column of maps fills")
        of_key, of_value = field.message_type.fields_by_number[1], field.message_type.fields_by_number[2]
        key, item = column.entry()
        pair = (_value(of_key, 0, key), _value(of_value, 1, item))  # written even when they are defaults
        return ProtobufField(field.number, at, int(Proto.MESSAGE), shape="map", fields=pair)
    if field.is_repeated:
        if column.kind != "list":
            _misfit(field, column, "repeated", "which a column of lists fills")
        item = _value(field, at, column.item())
        shape = "packed" if field.is_packed else "repeated"
        return ProtobufField(field.number, at, item.type, shape, "explicit", -1, item.names, item.numbers, item.fields)
    one = _value(field, at, column)
    return ProtobufField(one.number, at, one.type, "single", presence, oneof, one.names, one.numbers, one.fields)  # type: ignore[arg-type]


def _value(field: Any, at: int, column: Column) -> ProtobufField:  # noqa: ANN401
    """Return how one value of the column fills the field, repeated or not."""
    if column.kind == "none":
        refuse(column, column.why)
    kind = Proto(field.type)
    if kind is Proto.GROUP:
        _misfit(field, column, "a group", "which is not written; make it a message")
    if kind is Proto.MESSAGE:
        return _message(field, at, column)
    if kind not in _FITS.get(column.kind, ()) or (kind is Proto.FLOAT and column.type.bit_width == 64):  # noqa: PLR2004
        _misfit(field, column, f"of type {kind.name.lower()}", _ADVICE.get(column.kind, "cast it, or change the field"))
    if kind is not Proto.ENUM:
        return ProtobufField(field.number, at, int(kind))
    values = [(value.name, value.number) for value in field.enum_type.values]
    if column.kind == "text":
        return ProtobufField(field.number, at, int(kind), names=tuple(values))
    numbers = tuple(sorted({number for _, number in values})) if field.enum_type.is_closed else ()
    return ProtobufField(field.number, at, int(kind), numbers=numbers)


def _message(field: Any, at: int, column: Column) -> ProtobufField:  # noqa: ANN401
    inner = field.message_type
    if column.kind == "struct":
        members = [(number, name, member) for number, (name, member) in enumerate(column.members())]
        fields = _fill(inner, members, column.path)
        return ProtobufField(field.number, at, int(Proto.MESSAGE), fields=fields)
    if inner.full_name == "google.protobuf.Timestamp" and column.kind == "timestamp":
        return ProtobufField(field.number, at, int(Proto.TIMESTAMP))
    alone = inner.fields[0] if len(inner.fields) == 1 else None
    wrapper = inner.file.name == "google/protobuf/wrappers.proto"
    if alone is not None and (wrapper or (column.kind in {"list", "map"} and alone.is_repeated)):
        return ProtobufField(field.number, at, int(Proto.MESSAGE), fields=(_fit(alone, -1, column),))
    return _misfit(field, column, f"the message {inner.full_name}", "which a column of structs fills")


def _misfit(field: Any, column: Column, found: str, way_out: str) -> Any:  # noqa: ANN401
    raise SchemaError(
        f'column "{column.path}" ({column.shown}) does not fit the field {field.full_name}, which is {found}; {way_out}'
        if not way_out.startswith("which")
        else f'column "{column.path}" ({column.shown}) does not fit the field {field.full_name}: it is {found}, {way_out}',
        column=column.path,
    )
