"""A slowed build is caught and an unchanged one is not.

All of them are measured in turn, in one process, so that whatever else this machine does meets all alike; a comparison of two
records has to live with less. Only ratios are judged, never a speed.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import toy
from speeds import MACHINE, SETTINGS

from vedette.runtime.measuring.comparison import Comparison, compare
from vedette.runtime.measuring.measure import Ran, Round, Spec, measure
from vedette.runtime.measuring.record import Record, Row
from vedette.runtime.measuring.rounds import measured
from vedette.runtime.measuring.rules import rules_of
from vedette.runtime.runner import Recipe

SLEEP_S = 0.003
PLAIN_FINISH, PLAIN_FILLED = Recipe.finish, Recipe.filled


@contextlib.contextmanager
def unchanged() -> Iterator[None]:
    yield


@contextlib.contextmanager
def patched(name: str, method: Callable[..., Any]) -> Iterator[None]:
    before = getattr(Recipe, name)
    setattr(Recipe, name, method)
    try:
        yield
    finally:
        setattr(Recipe, name, before)


def slept() -> Any:
    """A sleep in post-process."""

    def finish(self: Recipe, *arguments: Any) -> Any:
        time.sleep(SLEEP_S)
        return PLAIN_FINISH(self, *arguments)

    return patched("finish", finish)


def copied() -> Any:
    """An extra copy of the frame, 6 MB, where it goes into the input."""

    def filled(self: Recipe, engine: Any, frames: Sequence[Any], placements: Any) -> Any:
        for frame in frames:
            frame.bgr().copy()
        return PLAIN_FILLED(self, engine, frames, placements)

    return patched("filled", filled)


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """A lock that another thread holds most of the time."""
    lock, over = threading.Lock(), threading.Event()

    def hold() -> None:
        while not over.is_set():
            with lock:
                time.sleep(SLEEP_S)
            time.sleep(SLEEP_S / 10)

    def finish(self: Recipe, *arguments: Any) -> Any:
        with lock:
            return PLAIN_FINISH(self, *arguments)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        with patched("finish", finish):
            yield
    finally:
        over.set()
        thread.join()


BUILDS = {"base": unchanged, "again": unchanged, "sleep": slept, "copy": copied, "lock": locked}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Row]:
    """A row of each build; its place in the sweep says which one is meant."""
    model = str(toy.recording(tmp_path_factory.mktemp("toy")))
    specs = [
        Spec(model, "synthetic:1920x1080@30", 2.0, sinks=(), conf=0.1 + 0.01 * i) for i in range(len(BUILDS))
    ]

    def run(spec: Spec) -> Round:
        assert spec.conf is not None
        build = list(BUILDS.values())[round(100 * spec.conf) - 10]
        with build():
            return measure(spec, block_s=0.05)

    found, _ = measured(specs, rounds=4, run=run)
    return dict(zip(BUILDS, found, strict=True))


def compared(rows: dict[str, Row], build: str, *rules: str) -> Comparison:
    base, new = (
        Record(Ran("toy", "detection", "fp32", {}), MACHINE, SETTINGS, (rows[name],), {})
        for name in ("base", build)
    )
    return compare(base, new, rules_of(rules))


@pytest.mark.slow
def test_a_against_a_is_no_regression(rows: dict[str, Row]) -> None:
    found = compared(
        rows, "again", "p50+30%,work.p50+30%,postprocess.p50+30%,preprocess.p50+30%", "fps-30%", "cpu_ms+30%"
    )
    assert not found.regressions


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "rule"),
    [
        ("sleep", "postprocess.p50+30%"),
        ("sleep", "work.p50+30%"),
        ("copy", "cpu_ms+30%"),
        ("lock", "postprocess.mean+30%"),
    ],
)
def test_a_slowed_build_is_caught(rows: dict[str, Row], build: str, rule: str) -> None:
    [verdict] = compared(rows, build, rule).verdicts
    assert verdict.word == "regression", verdict
