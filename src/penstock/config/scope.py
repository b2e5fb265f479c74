"""Which of our settings belong to which format: one that could have no effect is refused, not ignored."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from penstock.config.settings import WriterConfig
from penstock.errors import ConfigError

__all__ = ["check_scope"]

_BY_ROW = ("json", "csv", "avro", "protobuf")
_NOT_PYTHON = ("json", "csv", "avro", "protobuf", "parquet", "arrow")
_JSON, _DEBEZIUM, _CSV, _AVRO, _REGISTRY = ("json",), ("json", "avro"), ("csv",), ("avro",), ("avro", "protobuf")
_FORMATS: Final = {
    "binary_base64": _JSON,
    "keep_decimal_scale": _JSON,
    "iso_timestamps": _JSON,
    "non_finite": _JSON,
    "omit_nulls": _JSON,
    "schemas": _JSON,
    "before_column": _DEBEZIUM,
    "after_column": _DEBEZIUM,
    "tombstones": _DEBEZIUM,
    "debezium_source": _DEBEZIUM,
    "csv_header": _CSV,
    "csv_weight": _CSV,
    "csv_quote": _CSV,
    "csv_null": _CSV,
    "csv_nested_json": _CSV,
    "avro_minimal_decimals": _AVRO,
    "avro_uuid": _AVRO,
    "avro_defaults": _AVRO,
    "on_bad_row": _NOT_PYTHON,
    "on_oversize": _NOT_PYTHON,
    "truncate_columns": _BY_ROW,
    "auto_register": _REGISTRY,
    "check_compatibility": _REGISTRY,
}


def check_scope(form: Any, writer: WriterConfig) -> None:  # noqa: ANN401 - any format
    """Refuse settings that the configured format does not look at; setting and format are named."""
    name = str(form.__struct_config__.tag)
    defaults = {field.name: field.default for field in msgspec.structs.fields(WriterConfig)}
    for setting, formats in _FORMATS.items():
        if name not in formats and getattr(writer, setting) != defaults[setting]:
            raise ConfigError(
                f"{setting} belongs to format {' and '.join(formats)}, found format {name}; leave {setting} out, or "
                "choose another format"
            )
