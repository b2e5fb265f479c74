"""protobuf_given: a message out of a FileDescriptorSet that protoc or another tool made.

Needs Google's package (penstock[protobuf]), which knows what presence, packing and closed enums mean in each edition.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from penstock.errors import ConfigError
from penstock.names import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Given", "load_message", "message_indexes"]


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
        from google.protobuf import descriptor_pb2, message  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(
            'descriptor_set: the package protobuf is not installed; pip install "penstock[protobuf]", or leave it out '
            "to have the schema made from the columns"
        ) from error
    try:
        files = descriptor_pb2.FileDescriptorSet.FromString(Path(path).read_bytes()).file
    except OSError as error:
        raise ConfigError(f"descriptor_set={path}: {error.strerror or error}; give a file made by protoc") from error
    except message.DecodeError as error:
        raise ConfigError(
            f"descriptor_set={path}: this is no FileDescriptorSet; make one with protoc --include_imports "
            "--descriptor_set_out"
        ) from error
    pool = _pool(path, files)
    chosen = _choose(path, name, files)
    try:
        found = pool.FindMessageTypeByName(chosen)
    except KeyError:
        known = _all_messages(files)
        hint = did_you_mean(chosen, known) or f"; it has {', '.join(known[:8]) or 'none'}"
        raise ConfigError(f'descriptor_set={path}: there is no message "{chosen}"{hint}') from None
    source = descriptor_pb2.FileDescriptorProto.FromString(found.file.serialized_pb)
    return Given(found, found.file.serialized_pb, tuple(source.dependency))


def message_indexes(descriptor: Any) -> tuple[int, ...]:  # noqa: ANN401 - without types
    """Return where the message stands in its file: its number at the top, then its number in each message."""
    path: list[int] = []
    while descriptor.containing_type is not None:
        outer = descriptor.containing_type
        path.append([inner.full_name for inner in outer.nested_types].index(descriptor.full_name))
        descriptor = outer
    path.append(list(descriptor.file.message_types_by_name).index(descriptor.name))
    return tuple(reversed(path))


def _pool(path: str, files: Iterable[Any]) -> Any:  # noqa: ANN401 - without types
    """Return a pool with these files and what they import, which tools may give in any order."""
    from google.protobuf import descriptor_pool  # noqa: PLC0415 - an extra

    by_name = {file.name: file for file in files}
    pool = descriptor_pool.DescriptorPool()
    added: set[str] = set()

    def add(name: str, importer: str) -> None:
        if name in added:
            return
        added.add(name)
        file = by_name.get(name) or _well_known(name)
        if file is None:
            raise ConfigError(
                f"descriptor_set={path}: {importer} imports {name}, which is not in it; make it with protoc "
                "--include_imports"
            )
        for imported in file.dependency:
            add(imported, name)
        try:
            pool.AddSerializedFile(file.SerializeToString())
        except TypeError as error:  # what the library says to a descriptor that contradicts itself
            raise ConfigError(f"descriptor_set={path}: {name} is not valid: {error}; make it with protoc") from error

    for file in by_name:
        add(file, path)
    return pool


def _well_known(name: str) -> Any:  # noqa: ANN401 - without types
    """Return one of the files that come with Protobuf, which sets made without imports lack."""
    from google.protobuf import descriptor_pb2  # noqa: PLC0415 - an extra

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
            full = f"{prefix}.{one.name}".removeprefix(".")
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
    raise ConfigError(f"descriptor_set={path}: name the message, in format.config.message; the last file has {shown}")
