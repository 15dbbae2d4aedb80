"""matplotlib's figures as SVG that stands in a page: its colours are the page's, and no identifier occurs twice."""

import io
import re
from importlib import import_module
from typing import Any

from vedette.runtime.errors import UsageError
from vedette.runtime.evaluation._page import Html, tag, text

# Stand-ins, of which matplotlib knows nothing but that they are colours; the page has one of its own for each scheme.
INK, LINE, FIRST, SECOND, THIRD, FAINT, WASH = (f"#01020{digit}" for digit in range(3, 10))
_NAMES = {
    INK: "soft",
    LINE: "line",
    FIRST: "first",
    SECOND: "second",
    THIRD: "third",
    FAINT: "faint",
    WASH: "wash",
}
_WIDTH = 5.2  # inches
_SETTINGS = {
    "svg.fonttype": "none", "svg.hashsalt": "vedette", "figure.facecolor": "none", "axes.facecolor": "none",
    "font.size": 10.0, "font.family": "DejaVu Sans", "text.usetex": False,
    "axes.unicode_minus": False, "path.simplify": True, "text.color": INK, "axes.labelcolor": INK,
    "axes.edgecolor": LINE, "xtick.color": INK, "ytick.color": INK, "grid.color": LINE, "grid.linewidth": 0.7,
    "xtick.major.size": 0, "ytick.major.size": 0, "xtick.minor.size": 0, "ytick.minor.size": 0,
}  # fmt: skip


def figure(x: str, y: str, *, height: float) -> tuple[Any, Any]:
    """A figure with one pair of axes from 0 to 1.

    Args:
        x: what is along.
        y: what is up.
        height: in inches.

    Raises:
        UsageError: matplotlib is not installed.
    """
    with _settings():
        made = library("matplotlib.figure").Figure(figsize=(_WIDTH, height), layout="constrained")
        axes = made.add_subplot()
        axes.set(xlabel=x, ylabel=y, xlim=(0, 1), ylim=(0, 1.01))
        axes.grid(visible=True)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    return made, axes


def html_of(made: Any, title: str) -> Html:
    """The figure as an SVG element, with its title for who cannot see it."""
    written = io.StringIO()
    canvas = library("matplotlib.backends.backend_svg").FigureCanvasSVG(made)
    with _settings():
        canvas.print_svg(written, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return tag("div", _cleaned(written.getvalue(), title, re.sub(r"\W+", "-", title.lower())), class_="plot")


def _settings() -> Any:
    """A context with matplotlib's own settings and these, whatever the user's are.

    The backend is left as it is: no context restores it.
    """
    matplotlib = library("matplotlib")
    own = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}
    return matplotlib.rc_context({**own, **_SETTINGS})


def library(name: str) -> Any:
    """Of matplotlib's modules, imported here alone.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError:
        raise UsageError(
            "a report needs matplotlib", why="it is not installed", cure="pip install 'vedette[eval]'"
        ) from None


def _cleaned(svg: str, title: str, name: str) -> Html:
    """Without what is only for files, and with the page's colours."""
    body = svg[svg.index("<svg") :]
    view = re.search(r'viewBox="([^"]*)"', body)
    assert view is not None
    body = body[body.index(">") + 1 : body.rindex("</svg>")]
    body = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", body, flags=re.DOTALL)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', body))
    body = re.sub(r' id="([^"]*)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", body)
    body = re.sub(r'(?:xlink:)?href="#', f'href="#{name}-', body).replace("url(#", f"url(#{name}-")
    for colour, variable in _NAMES.items():
        body = body.replace(colour, f"var(--{variable})")
    shown = f'<svg viewBox="{view[1]}" role="img"><title>{text(title)}</title>{body}</svg>'
    return Html(re.sub(r">\s+<", "><", shown))
