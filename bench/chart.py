"""Bar charts as SVG and as PNG from one list of drawing steps, so that both show the same.

SVG is written by hand; PNG needs Pillow (dependency group `bench`) and is left out, with a note, where that is missing.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WIDTH, ROW, TOP, LEFT, RIGHT = 900, 30, 80, 270, 150
SCALE = 2  # pixels of the PNG per unit: sharp on dense screens
COLOURS = {"naive": "#9aa0a6", "ours": "#1a6fb5", "floor": "#d9b36c"}
INK, PALE = "#202124", "#5f6368"


@dataclass(frozen=True)
class Bar:
    """One bar: its median, its range as a whisker, and what is written after it."""

    label: str
    kind: str
    value: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class Box:
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float
    colour: str


@dataclass(frozen=True)
class Text:
    """A line of text; `y` is its middle, `anchor` the end that `x` means."""

    x: float
    y: float
    text: str
    size: int
    colour: str
    anchor: str = "start"


def steps(title: str, note: str, bars: Sequence[Bar]) -> tuple[int, list[Box | Text]]:
    """Height of the chart and what to draw, in order."""
    height = TOP + ROW * len(bars) + 24
    widest = max(bar.high for bar in bars)
    unit = (WIDTH - LEFT - RIGHT) / widest
    drawn: list[Box | Text] = [
        Box(0, 0, WIDTH, height, "#ffffff"),
        Text(16, 22, title, 17, INK),
        *(Text(16, 44 + 15 * at, line, 11, PALE) for at, line in enumerate(textwrap.wrap(note, 130))),
    ]
    for number, bar in enumerate(bars):
        middle = TOP + ROW * number + ROW / 2
        drawn += [
            Text(LEFT - 10, middle, bar.label, 13, INK, "end"),
            Box(LEFT, middle - 9, bar.value * unit, 18, COLOURS[bar.kind]),
            Box(LEFT + bar.low * unit, middle - 1, (bar.high - bar.low) * unit, 2, INK),
            Box(LEFT + bar.low * unit, middle - 4, 1.5, 8, INK),
            Box(LEFT + bar.high * unit, middle - 4, 1.5, 8, INK),
            Text(LEFT + bar.high * unit + 10, middle, bar.text, 13, INK),
        ]
    return height, drawn


def svg(height: int, drawn: Sequence[Box | Text]) -> str:
    """Return the steps as one SVG document."""
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="system-ui, sans-serif">']
    for one in drawn:
        if isinstance(one, Box):
            parts.append(
                f'<rect x="{one.x:.1f}" y="{one.y:.1f}" width="{one.width:.1f}" height="{one.height:.1f}" '
                f'fill="{one.colour}"/>'
            )
        else:
            parts.append(
                f'<text x="{one.x:.1f}" y="{one.y:.1f}" font-size="{one.size}" fill="{one.colour}" '
                f'text-anchor="{one.anchor}" dominant-baseline="central">{escape(one.text)}</text>'
            )
    return "\n".join([*parts, "</svg>", ""])


def png(height: int, drawn: Sequence[Box | Text], path: Path) -> bool:
    """Write the steps as a PNG file; False, and no file, without Pillow."""
    try:
        from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415 - the one part that may be missing
    except ModuleNotFoundError:
        return False
    image = Image.new("RGB", (WIDTH * SCALE, height * SCALE))
    canvas = ImageDraw.Draw(image)
    for one in drawn:
        if isinstance(one, Box):
            left, top = one.x * SCALE, one.y * SCALE
            canvas.rectangle((left, top, left + one.width * SCALE, top + one.height * SCALE), fill=one.colour)
        else:
            font = ImageFont.load_default(one.size * SCALE)
            anchor = "lm" if one.anchor == "start" else "rm"
            canvas.text((one.x * SCALE, one.y * SCALE), one.text, one.colour, font, anchor)
    image.save(path, optimize=True)
    return True


def write(path: Path, title: str, note: str, bars: Sequence[Bar]) -> list[Path]:
    """Write `path`.svg and, with Pillow, `path`.png; returns what was written."""
    height, drawn = steps(title, note, bars)
    written = [path.with_suffix(".svg")]
    written[0].write_text(svg(height, drawn), encoding="utf-8")
    if png(height, drawn, path.with_suffix(".png")):
        written.append(path.with_suffix(".png"))
    return written
