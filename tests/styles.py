"""What differs between flavors of JSON, and our own options on top, written from the specification (section 5.5).

Style.of("snowflake", omit_nulls=True) spells single values; oracles.py makes rows of them. Nothing here is shared with
the core.
"""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from scalars import SECONDS_PER_DAY, TICKS, NoForm, date_text, decimal_text, float_text, quoted, time_text, variant_text

FLAVORS: Final = (
    "default", "snowflake", "kafka_connect_json_converter", "debezium_mysql", "debezium_postgres", "pandas", "datagen",
    "postgres", "c_hex", "blockchain", "ClockInput",
)  # fmt: skip
_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_MS: Final = {"timestamp": "ms", "zoned": "ms"}
_TEXTS: Final = {"decimal_text": True, "variant_text": True}
_FLAVORS: Final[dict[str, dict[str, Any]]] = {
    "default": {},
    "snowflake": {**_TEXTS, "timestamp": "T+00:00", "zoned": "T+00:00"},
    "kafka_connect_json_converter": {**_TEXTS, **_MS, "date": "days", "time": "ms"},
    "debezium_mysql": {**_TEXTS, "date": "days", "time": "us", "timestamp": "TUTC", "zoned": "TUTC"},
    "debezium_postgres": {**_TEXTS, **_MS, "date": "days", "time": "us"},
    "pandas": {**_TEXTS, **_MS},
    "datagen": {"timestamp": "T+00:00"},
    "postgres": {"decimal_text": True, "binary": "\\x"},
    "c_hex": {"variant_text": True, "binary": "0x"},
    "blockchain": {"variant_text": True, "binary": "base58"},
    "ClockInput": {"variant_text": True, "timestamp": "ms"},
}


@dataclass(frozen=True)
class Style:
    """How single values are spelled.

    date               text, days
    time               text, ms, us
    timestamp, zoned   ms, or what stands between day and time and what behind them
    binary             list, \\x, 0x, base58, base64
    """

    date: str = "text"
    time: str = "text"
    timestamp: str = " "
    zoned: str = " +00:00"
    binary: str = "list"
    decimal_text: bool = False
    variant_text: bool = False
    keep_scale: bool = False
    non_finite: str = "null"
    omit_nulls: bool = False

    @staticmethod
    def of(
        flavor: str = "default",
        *,
        binary_base64: bool = False,
        keep_decimal_scale: bool = False,
        iso_timestamps: bool = False,
        non_finite: str = "null",
        omit_nulls: bool = False,
    ) -> Style:
        """Return a flavor's style with our own options, by the names of the settings."""
        style = Style(**_FLAVORS[flavor], keep_scale=keep_decimal_scale, non_finite=non_finite, omit_nulls=omit_nulls)
        if binary_base64:
            style = replace(style, binary="base64")
        return replace(style, timestamp="T", zoned="T+00:00") if iso_timestamps else style

    def of_key(self) -> Style:
        """Return the style of a map's keys, which cannot be NaN however it is spelled."""
        return replace(self, non_finite="null")

    def float_value(self, value: float | None, width: int) -> str:
        if value is None:  # a null, of which nothing is written
            return "null"
        if math.isfinite(value) or self.non_finite == "null":
            return float_text(value, width)
        if self.non_finite == "error":
            raise NoForm(f"{value} is refused")
        return '"NaN"' if math.isnan(value) else '"Infinity"' if value > 0 else '"-Infinity"'

    def decimal_value(self, unscaled: int, scale: int) -> str:
        text = decimal_text(unscaled, scale)
        if self.keep_scale and scale > 0:
            whole, _, fraction = text.partition(".")
            text = f"{whole}.{fraction.ljust(scale, '0')}"
        return f'"{text}"' if self.decimal_text else text

    def date_value(self, days: int) -> str:
        return str(days) if self.date == "days" else quoted(date_text(days))

    def time_value(self, ticks: int, unit: str) -> str:
        return quoted(time_text(ticks, unit)) if self.time == "text" else _convert(ticks, unit, self.time)

    def timestamp_value(self, ticks: int, unit: str, *, zoned: bool) -> str:
        form = self.zoned if zoned else self.timestamp
        if form == "ms":
            return _convert(ticks, unit, "ms")
        days, rest = divmod(ticks, SECONDS_PER_DAY * TICKS[unit])
        return quoted(f"{date_text(days)}{form[0]}{time_text(rest, unit)}{form[1:]}")

    def bytes_value(self, raw: bytes) -> str:
        if self.binary == "list":
            return "[" + ",".join(map(str, raw)) + "]"
        if self.binary == "base64":
            return quoted(base64.b64encode(raw).decode())
        if self.binary == "base58":
            number, digits = int.from_bytes(raw, "big"), ""
            while number:
                number, digit = divmod(number, 58)
                digits = _BASE58[digit] + digits
            return quoted("1" * (len(raw) - len(raw.lstrip(b"\0"))) + digits)
        return quoted(self.binary + raw.hex())

    def variant_value(self, text: str) -> str:
        if self.variant_text:
            return quoted(variant_text(text))
        if not self.decimal_text:
            return variant_text(text)
        return _decimals_as_text(text)


def _convert(ticks: int, unit: str, to: str) -> str:
    """Return ticks in another unit, what is finer cut off toward zero."""
    whole = abs(ticks) * TICKS[to] // TICKS[unit]
    return str(-whole if ticks < 0 else whole)


def _decimals_as_text(text: str) -> str:
    """Return VARIANT text in which every number but an integer is a string."""

    def mark(value: Any) -> Any:
        if isinstance(value, Decimal):
            return variant_text(str(value))
        if isinstance(value, list):
            return [mark(item) for item in value]
        return {name: mark(item) for name, item in value.items()} if isinstance(value, dict) else value

    variant_text(text)  # refuses what is not JSON
    return variant_text(json.dumps(mark(json.loads(text, parse_float=Decimal))))
