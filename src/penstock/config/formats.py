"""The formats and their members, by the connector's own names, and how a `format` object is read.

What is penstock's own about a format is a setting of `writer` (settings.py), so that a connector's object stays one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args
from urllib.parse import unquote

import msgspec

from penstock.config.connector import Given
from penstock.config.document import parse_json
from penstock.config.settings import Count, WriterConfig
from penstock.config.values import choices, read_columns, read_value
from penstock.errors import ConfigError
from penstock.names import did_you_mean, shown

if TYPE_CHECKING:
    from penstock.config.references import References

__all__ = [
    "FORMATS",
    "ArrowFormat",
    "AvroFormat",
    "CsvFormat",
    "Format",
    "JsonFormat",
    "ParquetFormat",
    "ProtobufFormat",
    "PythonFormat",
    "RegistryFormat",
    "read_format",
]

JsonUpdateFormat = Literal["insert_delete", "snowflake", "debezium", "redis", "weighted", "raw", "upsert"]
AvroUpdateFormat = Literal["raw", "confluent_jdbc", "debezium"]
JsonFlavor = Literal[
    "default", "snowflake", "kafka_connect_json_converter", "debezium_mysql", "debezium_postgres", "pandas", "datagen",
    "postgres", "c_hex", "blockchain", "ClockInput",
]  # fmt: skip
SubjectNameStrategy = Literal["topic_name", "record_name", "topic_record_name"]


class _Members(msgspec.Struct, frozen=True, kw_only=True):
    """What all formats have. referenced: names of the members that came from references, which no repr shows."""

    referenced: tuple[str, ...] = ()

    def __repr__(self) -> str:
        parts = []
        for field in msgspec.structs.fields(self):
            value = getattr(self, field.name)
            secret = field.name in self.referenced or (field.name in _SECRET_MEMBERS and value)
            if field.name != "referenced":
                parts.append(f"{field.name}={'<not shown>' if secret else repr(value)}")
        return f"{type(self).__name__}({', '.join(parts)})"


class JsonFormat(_Members, frozen=True, tag_field="name", tag="json"):
    """JSON events, packed many to a message unless a key is given."""

    update_format: JsonUpdateFormat = "insert_delete"
    json_flavor: JsonFlavor | None = None
    buffer_size_records: Count = 10000
    array: bool = False
    key_fields: tuple[str, ...] | None = None


class CsvFormat(_Members, frozen=True, tag_field="name", tag="csv"):
    """Lines of CSV, packed many to a message; the last column is the weight."""

    delimiter: str = ","
    buffer_size_records: Count = 10000


class RegistryFormat(_Members, frozen=True, kw_only=True):
    """What formats with a schema registry have in common."""

    subject_name_strategy: SubjectNameStrategy | None = None
    skip_schema_id: bool = False
    registry_urls: tuple[str, ...] = ()
    registry_headers: dict[str, str] = {}
    registry_proxy: str | None = None
    registry_timeout_secs: Count | None = None
    registry_username: str | None = None
    registry_password: str | None = None
    registry_authorization_token: str | None = None

    def secrets(self) -> list[str]:
        """Return what must not be shown: the password and the token, headers' values, users of addresses."""
        found = [self.registry_password, self.registry_authorization_token, *self.registry_headers.values()]
        for address in (*self.registry_urls, self.registry_proxy or ""):
            user, at, _ = address.rpartition("@")
            if at:
                password = user.rpartition("//")[2].partition(":")[2]
                found += [address, password, unquote(password)]
        return [one for one in found if one]


_SECRET_MEMBERS: Final = {"registry_headers", "registry_proxy", "registry_password", "registry_authorization_token",
                          "registry_urls"}  # fmt: skip


class AvroFormat(RegistryFormat, frozen=True, kw_only=True, tag_field="name", tag="avro"):
    """Avro binary data, one row a message."""

    update_format: AvroUpdateFormat = "raw"
    schema: str | None = None
    key_mode: Literal["none", "key_fields"] | None = None
    cdc_field: str | None = None
    namespace: str | None = None
    threads: Annotated[int, msgspec.Meta(ge=1)] = 4


class ParquetFormat(_Members, frozen=True, tag_field="name", tag="parquet"):
    """One whole Parquet file a message."""

    buffer_size_records: Count = 100000


class ArrowFormat(_Members, frozen=True, tag_field="name", tag="arrow"):
    """One Arrow IPC stream a message."""

    buffer_size_records: Count = 100000


class PythonFormat(_Members, frozen=True, tag_field="name", tag="python"):
    """Messages made by a function of the user's, called in the workers: "module:function"."""

    encoder: str


class ProtobufFormat(RegistryFormat, frozen=True, kw_only=True, tag_field="name", tag="protobuf"):
    """Protocol Buffers, one row a message."""

    message: str | None = None
    package: str | None = None
    descriptor_set: str | None = None


Format = JsonFormat | CsvFormat | AvroFormat | ParquetFormat | ArrowFormat | PythonFormat | ProtobufFormat
FORMATS: Final[dict[str, Any]] = {
    "json": JsonFormat,
    "csv": CsvFormat,
    "avro": AvroFormat,
    "parquet": ParquetFormat,
    "arrow": ArrowFormat,
    "python": PythonFormat,
    "protobuf": ProtobufFormat,
}
# Members that the connector's formats have for its inputs; it ignores them here too.
_FOR_INPUT: Final = {
    "csv": ("quote", "escape", "double_quote", "quoting", "headers", "trim", "flexible", "terminator", "comment"),
    "json": ("lines",),
}


def read_format(keyword: object, lower: Given | None, references: References) -> Format:
    """Return the format: the keyword's or, without one, the connector's, else JSON as it is by default.

    keyword  None, a name, the format object (mapping or JSON text), or one of the structs
    lower    the connector's `format` member; a bare name in `keyword` that is the same keeps its members
    references  read those among the members

    Raises ConfigError for a format or a member that does not exist, or whose value it cannot have.
    """
    if isinstance(keyword, Format):
        return _plain(keyword)
    name, members, where = ("json", {}, "format") if lower is None else _split(lower)
    from_json = lower is None or lower.from_json
    if keyword is not None:
        given = Given(keyword, "format")
        if isinstance(keyword, str) and keyword.lstrip().startswith("{"):
            given = Given(parse_json(keyword, "format"), "format", from_json=True)
        if given.value != name:
            name, members, where = _split(given)
            from_json = True
    if name not in FORMATS:
        hint = _owner(name) or did_you_mean(name, FORMATS) or f"; the formats are {', '.join(FORMATS)}"
        raise ConfigError(f"{where}: there is no format {shown(name)}{hint}")
    return _plain(FORMATS[name](**_members(name, members, where, references, from_json=from_json)))


def _members(
    name: str, members: Mapping[str, Any], where: str, references: References, *, from_json: bool
) -> dict[str, Any]:
    kind = FORMATS[name]
    fields = {field.name: field for field in msgspec.structs.fields(kind) if field.name != "referenced"}
    values: dict[str, Any] = {}
    referenced = []
    for member, value in members.items():
        if member in _FOR_INPUT.get(name, ()):
            continue
        given = Given(value, f"{where}.config.{member}", from_json=from_json)
        if member not in fields:
            raise ConfigError(f"{given.where}: {name} has no such member{_instead(member, fields)}")
        if value is not None:
            secret = member in _SECRET_MEMBERS
            kind_of = fields[member].type
            read = references.read(value, given.where, public=bool(choices(kind_of)))
            if read != value:
                referenced.append(member)
                given = Given(read, given.where, from_json=from_json)
            if member == "registry_urls" and isinstance(read, str) and not from_json:
                given = Given([url.strip() for url in read.split(",")], given.where)
            values[member] = (
                read_columns(given) if member == "key_fields" else read_value(given, kind_of, secret=secret)
            )
    for field in fields.values():
        if field.required and field.name not in values:
            raise ConfigError(f"{where}.config.{field.name} is missing; format {name} needs it")
    return {**values, "referenced": tuple(referenced)}


def _owner(name: str) -> str:
    """Return which format has an update format of this name, as the end of a sentence; '' where none has."""
    for owner, updates in (("json", get_args(JsonUpdateFormat)), ("avro", get_args(AvroUpdateFormat))):
        if name in updates:
            return f'; {name} is an update_format: {{"name": "{owner}", "config": {{"update_format": "{name}"}}}}'
    return ""


def _instead(member: str, fields: Mapping[str, Any]) -> str:
    """Return what to give in place of a member that is not there, as the end of a sentence."""
    if member in WriterConfig.__struct_fields__:
        return "; it is a setting of penstock's own, so give it in writer, as a keyword or as a flag"
    return did_you_mean(member, fields) or f"; its members are {', '.join(fields)}"


def _split(given: Given) -> tuple[str, Mapping[str, Any], str]:
    if isinstance(given.value, str):
        return given.value, {}, given.where
    if not isinstance(given.value, Mapping):
        raise ConfigError(f'{given.where} must be a name or an object such as {{"name": "json", "config": {{}}}}')
    for member in given.value:
        if member not in {"name", "config"}:
            hint = did_you_mean(str(member), ("name", "config")) or "; give it inside config"
            raise ConfigError(f'{given.where}: a format has no member "{member}"{hint}')
    name = read_value(Given(given.value.get("name"), f"{given.where}.name"), str)
    members = given.value.get("config")
    if members is None:
        members = {}
    if not isinstance(members, Mapping):
        raise ConfigError(f"{given.where}.config must be an object")
    return name, members, given.where


def _plain(form: Format) -> Format:
    if isinstance(form, JsonFormat) and form.key_fields is not None:
        if form.update_format not in {"debezium", "redis", "upsert"}:
            raise ConfigError(
                f"format.config.key_fields goes with debezium, redis or upsert, found {form.update_format}; "
                "leave it out, or name the columns in writer.key"
            )
        if not form.key_fields:
            raise ConfigError("format.config.key_fields is empty; name at least one column, or leave it out")
    # 0 behaves like 1 in the original.
    if hasattr(form, "buffer_size_records"):
        return msgspec.structs.replace(form, buffer_size_records=max(1, form.buffer_size_records))
    return form
