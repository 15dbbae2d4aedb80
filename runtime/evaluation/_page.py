"""HTML, made of parts that escape whatever is not HTML already; and the page around them.

In: text and Html.  Out: Html.  Next: report.py, which says what stands where; _page_style.py.
"""

import re
from collections.abc import Iterable, Sequence
from html import escape

from vedette.runtime.evaluation._page_style import STYLE

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
VOID = {"img", "meta", "link"}
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Html(str):
    """Text that is HTML already. Any other text is escaped where it is put in."""

    __slots__ = ()


def text(value: str) -> Html:
    """Escaped; letters that cannot be shown, or turn the direction of what follows, are replaced."""
    return (
        value if isinstance(value, Html) else Html(escape(_CONTROLS.sub("\N{REPLACEMENT CHARACTER}", value)))
    )


def join(parts: Iterable[str]) -> Html:
    """One after another."""
    return Html("".join(text(part) for part in parts))


def tag(name: str, /, *inside: str, **attributes: str) -> Html:
    """An element; class_ and the like lose their underscore."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"' for key, value in attributes.items()
    )
    return Html(f"<{name}{told}>" if name in VOID else f"<{name}{told}>{join(inside)}</{name}>")


def section(title: str, *inside: str, legend: str = "", class_: str = "card") -> Html:
    """A titled card, with one sentence that says how to read it."""
    told = [tag("p", legend, class_="legend")] if legend else []
    return tag("section", tag("h2", title), *told, *inside, class_=class_)


def tile(label: str, value: str, note: str = "") -> Html:
    """A number to be seen first."""
    parts = [
        tag("div", label, class_="label"),
        tag("div", value, class_="value"),
        tag("div", note, class_="note"),
    ]
    return tag("div", *parts, class_="tile")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, class_: str = "") -> Html:
    """The first column is text, the others are numbers."""
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in columns)))
    body = (tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows)
    return tag("div", tag("table", head, tag("tbody", *body), class_=class_), class_="wide")


def bar(share: float, *, class_: str = "") -> Html:
    """A bar of 0 to 1 of the room there is."""
    width = f"width:{100 * min(max(share, 0.0), 1.0):.1f}%"
    return tag(
        "span", tag("span", style=width, class_=f"fill {class_}".strip()), class_="bar", aria_hidden="true"
    )


def key(entries: Iterable[tuple[str, str]]) -> Html:
    """What each line of a plot is: (class of its colour, words)."""
    items = (tag("li", tag("span", class_=f"swatch {name}"), words) for name, words in entries)
    return tag("ul", *items, class_="key")


def page(title: str, *sections: str) -> str:
    """The whole document, which asks for nothing from anywhere."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("link", rel="icon", href="data:,"),
        tag("style", Html(STYLE)),
    )
    return "<!DOCTYPE html>\n" + tag("html", head, tag("body", tag("main", *sections)), lang="en") + "\n"
