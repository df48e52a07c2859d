"""The picture: a bar for each step and contender, on a logarithmic scale of seconds, as one SVG file.

It is written here in some lines. A library would bring more than the picture is worth: matplotlib comes with numpy, and
what pygal writes asks for a script and fonts of other sites, which no page of Markdown lets it have.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from xml.sax.saxutils import escape

from tests.bench.report import OURS, Figure, Result, results

COLOURS = {OURS: "#1b7f5c", "rclone": "#b9862e", "rclone uncached": "#dcc08a", "sshfs": "#6f7f98"}
LEFT, WIDTH, RIGHT = 210, 560, 80  # pixels: names of steps, bars, room for the last number
BAR, GAP, TOP = 9, 12, 64
DECADES = (-2, 3)  # powers of ten, in seconds


def picture(figures: list[Figure], delay: float) -> str:
    """All steps at this delay."""
    shown = [result for result in results(figures, delay) if result.seconds(OURS) is not None]
    names = [name for name in COLOURS if any(result.seconds(name) is not None for result in shown)]
    height = TOP + sum(_height(result, names) for result in shown) + 16
    width = LEFT + WIDTH + RIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' font-family="system-ui, sans-serif" font-size="11" fill="#222">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="8" y="20" font-size="14">Seconds, cold, {delay:g} ms round trip: shorter is better</text>',
        *_legend(names),
        *_grid(height),
    ]
    y = TOP
    for result in shown:
        parts += _group(result, names, y)
        y += _height(result, names)
    return "\n".join([*parts, "</svg>", ""])


def _x(seconds: float) -> float:
    low, high = DECADES
    return LEFT + WIDTH * (min(max(math.log10(seconds), low), high) - low) / (high - low)


def _bars(result: Result, names: list[str]) -> list[str]:
    return [name for name in names if result.seconds(name) is not None]


def _height(result: Result, names: list[str]) -> int:
    return len(_bars(result, names)) * BAR + GAP


def _legend(names: list[str]) -> Iterator[str]:
    x = LEFT
    for name in names:
        yield f'<rect x="{x}" y="30" width="10" height="10" fill="{COLOURS[name]}"/>'
        yield f'<text x="{x + 14}" y="39">{escape(name)}</text>'
        x += 40 + 7 * len(name)


def _grid(height: int) -> Iterator[str]:
    for power in range(DECADES[0], DECADES[1] + 1):
        x = _x(10.0**power)
        yield f'<line x1="{x:.0f}" y1="{TOP - 6}" x2="{x:.0f}" y2="{height - 12}" stroke="#ddd"/>'
        yield f'<text x="{x:.0f}" y="{TOP - 10}" text-anchor="middle" fill="#777">{10.0**power:g} s</text>'


def _group(result: Result, names: list[str], y: int) -> Iterator[str]:
    bars = _bars(result, names)
    middle = y + len(bars) * BAR / 2 + 4
    yield f'<text x="{LEFT - 8}" y="{middle:.0f}" text-anchor="end">{escape(result.step.title)}</text>'
    for name in bars:
        seconds = result.seconds(name) or 0.0
        end = _x(seconds)
        yield f'<rect x="{LEFT}" y="{y}" width="{end - LEFT:.1f}" height="{BAR - 1}" fill="{COLOURS[name]}"/>'
        yield f'<text x="{end + 4:.1f}" y="{y + BAR - 1.5}" font-size="9">{escape(result.cell(name))}</text>'
        y += BAR
