"""Single values as JSON, written from the specification (section 5.5 of the connector's) with exact arithmetic.

The slow encoder in oracles.py is made of these. Nothing here is shared with the core.
"""

from __future__ import annotations

import json
import math
import struct
from decimal import Decimal
from fractions import Fraction
from typing import Any

SECONDS_PER_DAY = 86400
TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class NoForm(ValueError):  # noqa: N818 - what it says about a value
    """The value has no JSON form: NaN as a map key, VARIANT text that is not JSON, an event above the limit."""


def quoted(text: str) -> str:
    """Return `text` as a JSON string: seven short escapes, \\u00xx below a space, everything else as it is."""
    return '"' + "".join(ESCAPES.get(c, c if c >= " " else f"\\u{ord(c):04x}") for c in text) + '"'


def _neighbours(value: float, width: int) -> tuple[Fraction, Fraction, bool]:
    """Return the reals that round to the positive finite `value` (bounds, and whether they belong to it)."""
    form, bits = {32: ("<f", "<I"), 64: ("<d", "<Q")}[width]
    (pattern,) = struct.unpack(bits, struct.pack(form, value))
    below = Fraction(struct.unpack(form, struct.pack(bits, pattern - 1))[0])
    above = struct.unpack(form, struct.pack(bits, pattern + 1))[0]
    exact = Fraction(value)
    # past the largest finite number the spacing is that of the numbers just below it
    up = Fraction(above) - exact if math.isfinite(above) else exact - below
    return exact - (exact - below) / 2, exact + up / 2, pattern % 2 == 0


def shortest(value: float, width: int) -> tuple[int, int]:
    """Return (digits, exponent): the shortest decimal that reads back as `value`, nearest to it, ties to even."""
    exact = Fraction(value)
    low, high, inclusive = _neighbours(value, width)
    exponent = math.floor(math.log10(value)) + 2
    while True:
        step = Fraction(10) ** exponent
        floor = exact // step
        found = [
            digits
            for digits in (floor, floor + 1)
            if digits > 0 and (low < digits * step < high or (inclusive and digits * step in (low, high)))
        ]
        if found:
            best = min(found, key=lambda digits: (abs(digits * step - exact), digits % 2))
            while best % 10 == 0:
                best, exponent = best // 10, exponent + 1
            return int(best), exponent
        exponent -= 1


def float_text(value: float, width: int) -> str:
    """Return a float of 32 or 64 bits as a JSON number, or null for NaN and the infinities (section 5.5)."""
    if not math.isfinite(value):
        return "null"
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    if value == 0:
        return sign + "0.0"
    number, exponent = shortest(abs(value), width)
    digits = str(number)
    point = len(digits) + exponent  # value = 0.DIGITS * 10**point
    smallest, largest = {32: (-6, 13), 64: (-5, 16)}[width]
    if smallest < point <= largest:
        if point <= 0:
            return f"{sign}0.{'0' * -point}{digits}"
        whole = digits[:point].ljust(point, "0")
        return f"{sign}{whole}.{digits[point:] or '0'}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{fraction}e{point - 1}"


def decimal_text(unscaled: int, scale: int) -> str:
    """Return unscaled * 10**-scale without an exponent and without trailing zeros in the fraction."""
    sign = "-" if unscaled < 0 else ""
    digits = str(abs(unscaled))
    if scale <= 0:
        return sign + (digits + "0" * -scale if unscaled else "0")
    digits = digits.rjust(scale + 1, "0")
    whole, fraction = digits[:-scale], digits[-scale:].rstrip("0")
    return f"{sign}{whole}.{fraction}" if fraction else sign + whole


def date_text(days: int) -> str:
    """Return days since 1970-01-01 as a date of the proleptic Gregorian calendar, of any year."""
    year400, day = divmod(days + 719468, 146097)  # days since 0000-03-01
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= year * 365 + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day = day - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    year += year400 * 400 + (month <= 2)
    if 0 <= year <= 9999:
        return f"{year:04}-{month:02}-{day:02}"
    return f"{'-' if year < 0 else '+'}{abs(year):04}-{month:02}-{day:02}"


def time_text(ticks: int, unit: str) -> str:
    """Return ticks since midnight as hh:mm:ss, with 3, 6 or 9 digits of fraction where there is one."""
    seconds, rest = divmod(ticks, TICKS[unit])
    nanoseconds = rest * (10**9 // TICKS[unit])
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    for width, size in ((3, 10**6), (6, 10**3), (9, 1)):
        if nanoseconds and nanoseconds % size == 0:
            return f"{text}.{nanoseconds // size:0{width}}"
    return text


def timestamp_text(ticks: int, unit: str, *, zoned: bool) -> str:
    """Return ticks since 1970-01-01 as date, space, time, and +00:00 where the type has a zone."""
    days, rest = divmod(ticks, SECONDS_PER_DAY * TICKS[unit])
    return f"{date_text(days)} {time_text(rest, unit)}{'+00:00' if zoned else ''}"


def _refused(text: str) -> Any:
    raise NoForm(f"{text} is not JSON")


def variant_text(text: str) -> str:
    """Return JSON text rewritten: no white space, keys sorted by their UTF-8 bytes, numbers without an exponent."""

    def write(value: Any) -> str:
        if value is None or isinstance(value, bool):
            return {None: "null", True: "true", False: "false"}[value]
        if isinstance(value, str):
            value.encode()  # a lone surrogate has no UTF-8 form
            return quoted(value)
        if isinstance(value, int):
            return str(value)
        if isinstance(value, Decimal):
            sign, digits, exponent = value.as_tuple()
            number = int("".join(map(str, digits)))
            return decimal_text(-number if sign else number, -int(exponent))
        if isinstance(value, list):
            return "[" + ",".join(map(write, value)) + "]"
        return "{" + ",".join(f"{quoted(name)}:{write(value[name])}" for name in sorted(value, key=str.encode)) + "}"

    try:
        return write(json.loads(text, parse_float=Decimal, parse_constant=_refused))
    except (ValueError, RecursionError) as error:
        raise NoForm(f"not JSON: {error}") from error
