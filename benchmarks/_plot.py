"""A picture of ratios, as SVG text: ours as a share of each peer's, on a logarithmic scale; peers end at 1.

In: rows of any programs.  Out: the picture, the same for the same rows.
"""

import math
from collections.abc import Sequence
from html import escape

from _goal import Goal

WIDTH, LEFT, LINE, TOP = 960, 560, 18, 30
LOWEST, HIGHEST = 0.01, 4.0
COLOURS = {"stretch": "#2a7f4f", "pass": "#2a7f4f", "FAIL": "#b5342a"}


def bars(rows: Sequence[tuple[str, Goal]]) -> str:
    """A bar for every row that has a ratio, the goals first."""
    shown = [row for _, row in rows if row.form == "ratio" and row.judged and row.goal != "A/A"]
    shown.sort(key=lambda row: (not row.goal, int(row.goal[1:]) if row.goal else 0))
    height = TOP + LINE * len(shown) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for tick in (0.01, 0.1, 1.0):
        x = _x(tick)
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{height}" stroke="#bbbbbb"/>'
            f'<text x="{x:.1f}" y="{TOP - 12}" text-anchor="middle" fill="#555555">{tick:g} x</text>'
        )
    parts += [_bar(row, TOP + LINE * index) for index, row in enumerate(shown)]
    return "\n".join([*parts, "</svg>", ""])


def _bar(row: Goal, y: int) -> str:
    assert row.value is not None
    low, end = _x(LOWEST), _x(row.value)
    colour = COLOURS.get(row.verdict, "#7a8a99")
    words = escape(f"{row.goal} {row.what} / {row.peer}".strip()[:96])
    drawn = (
        f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end" fill="#222222">{words}</text>'
        f'<rect x="{low:.1f}" y="{y + 3}" width="{max(1.0, end - low):.1f}" height="{LINE - 6}" fill="{colour}"/>'
        f'<text x="{end + 4:.1f}" y="{y + 12}" fill="#222222">{row.value:.3g}</text>'
    )
    if row.target is not None:
        x = _x(row.target)
        drawn += f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y + 1}" y2="{y + LINE - 1}" stroke="#000000"/>'
    return drawn


def _x(ratio: float) -> float:
    """Pixels from the left."""
    inside = min(max(ratio, LOWEST), HIGHEST)
    share = math.log(inside / LOWEST) / math.log(HIGHEST / LOWEST)
    return LEFT + share * (WIDTH - LEFT - 50)
