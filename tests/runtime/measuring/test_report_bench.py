"""The report of a benchmark: all that was measured, in one file that asks for nothing from anywhere."""

from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from speeds import block, blocks, record

pytest.importorskip("matplotlib")

from vedette.runtime.measuring import charts
from vedette.runtime.measuring.comparison import compare
from vedette.runtime.measuring.gauges import GpuSpell
from vedette.runtime.measuring.record import Record
from vedette.runtime.measuring.report import write
from vedette.runtime.measuring.rules import rules_of
from vedette.runtime.measuring.sketch import sketch_of
from vedette.runtime.measuring.warmup import WarmUp


class Page(HTMLParser):
    """What a reader sees, which elements there are, and what they point to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.open += [] if tag in {"meta", "link", "img"} else [tag]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "xlink:href"}]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture
def made() -> Record:
    both = [*blocks(10, seed=1), *blocks(20, seed=2, condition="contended"), block([50], condition="warming")]
    return record([replace(one, gpu=GpuSpell(1, 5.0, 61, 1400, 1, 50)) for one in both])


def page(made: Record, folder: Path, **options: object) -> Page:
    return Page(write(made, folder, **options).read_text())  # type: ignore[arg-type]


def test_every_row_and_condition_is_on_one_page_that_runs_nothing(made: Record, tmp_path: Path) -> None:
    two = replace(
        made, rows=(*made.rows, replace(made.rows[0], streams=4, warm_ups=(WarmUp(0.1, 5, steady=False),)))
    )
    shown = page(two, tmp_path / "new" / "folder")
    assert not shown.open
    assert not {"script", "iframe", "object", "form"} & shown.tags.keys()
    assert all(link.startswith(("#", "data:")) for link in shown.links)
    assert len(shown.ids) == len(set(shown.ids))
    assert shown.tags["svg"] == 4
    for words in (
        "warm",
        "contended",
        "warming",
        "streams 4",
        "no steady state was reached",
        "ab" * 32,
        "a processor",
    ):
        assert words in shown.words


def test_a_comparison_is_told_first(made: Record, tmp_path: Path) -> None:
    found = compare(record(blocks(5, seed=3)), record(blocks(10, seed=4)), rules_of(["p50+10%"]))
    shown = page(made, tmp_path, comparison=found)
    assert shown.words.index("Compared with the base") < shown.words.index("All rows")
    assert "regression" in shown.words


def test_names_from_a_record_are_text(made: Record, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    shown = page(replace(made, model=replace(made.model, name=evil), command=evil), tmp_path)
    assert not shown.tags["script"]
    assert evil in shown.words


def test_shares_of_a_distribution_are_of_all_its_frames() -> None:
    edges = np.array([0.0, 15.0, 25.0])
    assert charts.shares(sketch_of([10, 10, 20, 99]), edges).tolist() == [50, 25]


def test_rounds_stand_one_after_the_other() -> None:
    found = charts.begins([block([100]), block([50]), block([20], number=1)])
    assert found.tolist() == pytest.approx([0, 0.1, 0.15])


def test_a_row_that_never_was_steady_has_its_plots_too(tmp_path: Path) -> None:
    shown = page(record([block([10, 11], condition="warming")]), tmp_path)
    assert shown.tags["svg"] == 2
