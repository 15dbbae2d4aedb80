"""The benchmarks' own arithmetic: verdicts, turns, the counter of allocations, and the page that is made of results."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "benchmarks"
sys.path.append(str(FOLDER))  # its files are programs, which import one another by their names

import _document  # noqa: E402
import _lecture  # noqa: E402
import _plot  # noqa: E402
import _rounds  # noqa: E402
import run_all  # noqa: E402
from _goal import Goal, compared, line, read, write  # noqa: E402


def row(*judged: float, **bounds: Any) -> Goal:
    return Goal("C1", "this", "that", "CPU-ms", 1.0, 2.0, judged, **bounds)


@pytest.mark.parametrize(
    ("goal", "verdict"),
    [
        (row(0.30, target=0.33, stretch=0.25), "pass"),
        (row(0.25, target=0.33, stretch=0.25), "stretch"),
        (row(0.34, target=0.33, stretch=0.25), "FAIL"),
        (row(0.9, 0.1, 0.2, target=0.33), "pass"),  # the median counts, not a bad turn
        (row(0.94, target=0.95, at_least=True), "FAIL"),
        (row(0.96, target=0.95, at_least=True), "pass"),
        (row(3.0, stretch=1.0), "not reached"),
        (row(3.0), ""),
        (row(target=0.33), "not measured"),
    ],
)
def test_a_verdict_follows_from_the_median_and_the_bounds(goal: Goal, verdict: str) -> None:
    assert goal.verdict == verdict


def test_a_row_judges_each_repeat() -> None:
    ours, theirs = [2.0, 3.0, 9.0], [4.0, 4.0, 3.0]
    assert compared("C1", "x", "y", ours, theirs).judged == (0.5, 0.75, 3.0)
    assert compared("C2", "x", "y", ours, theirs, form="excess").judged == (-2.0, -1.0, 6.0)
    assert compared("C11", "x", "y", ours, form="figure").judged == (2.0, 3.0, 9.0)


def test_a_peer_that_is_absent_gives_no_figure() -> None:
    absent = compared("C1", "x", "Ultralytics", [2.0, 3.0], [], target=0.33, note="peer not installed")
    assert (absent.theirs, absent.value, absent.verdict) == (None, None, "not measured")
    assert "not measured" in line(absent)


def test_rows_come_back_from_their_file(tmp_path: Path) -> None:
    rows = [row(0.5, 0.25, target=0.33, note="so"), row()]
    write("one", "why", rows, tmp_path / "one.json", more=3)
    assert read(tmp_path / "one.json") == rows
    kept = json.loads((tmp_path / "one.json").read_text())
    assert kept["more"] == 3
    assert {"date", "python", "versions", "cpus"} <= kept["stamp"].keys()


def test_a_file_without_rows_has_none(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text('{"cpu_ms": {}}')
    assert read(tmp_path / "old.json") == []


def stepping() -> tuple[Callable[[], int], list[int]]:
    """A clock that candidates move by hand, in nanoseconds."""
    now = [0]
    return (lambda: now[0]), now


def test_candidates_take_turns_and_their_medians_are_told() -> None:
    clock, now = stepping()
    order: list[str] = []
    lengths = {"a": iter([9, 9, 1, 2, 9]), "b": iter([9, 9, 5, 6, 7])}

    def candidate(name: str) -> Callable[[], None]:
        def work() -> None:
            order.append(name)
            now[0] += next(lengths[name]) * 1_000_000

        return work

    found = _rounds.rotated({name: candidate(name) for name in "ab"}, rounds=3, warm=2, clock=clock)
    assert found == {"a": 2.0, "b": 6.0}
    assert all(set(order[start : start + 2]) == {"a", "b"} for start in range(0, 10, 2))


def test_no_candidate_always_follows_the_same_one() -> None:
    order: list[str] = []
    works = {name: partial(order.append, name) for name in "abc"}
    _rounds.rotated(works, rounds=30, warm=0)
    before_a = {order[index - 1] for index, name in enumerate(order) if name == "a" and index}
    assert {"b", "c"} <= before_a


def test_time_inside_is_taken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, now = stepping()
    monkeypatch.setattr(time, "thread_time_ns", clock)
    spent = _rounds.Spent()

    def inner() -> None:
        now[0] += 7_000_000

    counted = spent.of(inner)

    def work() -> None:
        now[0] += 2_000_000
        counted()

    assert _rounds.rotated({"work": work}, rounds=3, inside=spent, clock=clock) == {"work": 2.0}


def test_what_fails_inside_is_counted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, now = stepping()
    monkeypatch.setattr(time, "thread_time_ns", clock)
    spent = _rounds.Spent()

    def fails() -> None:
        now[0] += 5
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011  (any)
        spent.of(fails)()
    assert spent.ns == 5


def test_the_scanning_detector_is_arithmetic() -> None:
    only = _lecture.rows()[0]
    assert only.theirs == 1.2  # 1920 * 1080 positions * 5 * 10 * 1 ms = 103 680 s
    assert "103,680 s" in only.note


def test_the_table_begins_with_the_lecture_and_the_method() -> None:
    rows = [row(), Goal("", "beside", "p", "u", 1.0, None), Goal("A/A", "it", "it", "u", 1.0, 1.0, (1.0,))]
    rows += [Goal("C10", "x", "y", "u", 1.0, 1.0, (1.0,)), *_lecture.rows()]
    assert [one.goal for one in sorted(rows, key=run_all._order)] == ["lecture", "A/A", "C1", "C10", ""]


def test_the_summary_counts_goals_only() -> None:
    rows = [row(0.2, target=0.33, stretch=0.25), row(0.3, target=0.33), row(9.0, target=0.33), row()]
    rows.append(Goal("", "beside", "p", "u", 1.0, 1.0, (9.0,), target=1.0))
    assert run_all.summary(rows) == "2 hold (1 by their stretch), 1 fail, 1 not judged"


# ---- the page ----


def test_the_page_is_what_its_program_makes_of_the_results(tmp_path: Path) -> None:
    _document.write(page=tmp_path / "page.md", pictures=tmp_path)
    assert (tmp_path / "page.md").read_text() == _document.PAGE.read_text()
    for made in tmp_path.glob("*.svg"):
        assert made.read_text() == (_document.PICTURES / made.name).read_text()


@pytest.fixture
def invented(tmp_path: Path) -> str:
    """The page of a machine with one program's results."""
    rows = [
        row(0.5, 0.6, 0.4, target=0.33, stretch=0.25),
        compared("C9", "start", "Ultralytics", [2.0], [], target=1.15, note="peer not installed"),
        Goal("A/A", "itself", "itself", "CPU-ms", 1.0, 1.0, (1.0, 1.02)),
    ]
    write("pipeline", "why", rows, tmp_path / "results" / "box" / "pipeline.json")
    _document.write(tmp_path / "results", tmp_path / "page.md", tmp_path / "pictures")
    return (tmp_path / "page.md").read_text()


def test_the_page_tells_failures_spreads_and_gaps(invented: str) -> None:
    assert (
        "| C1 | this | that | 1.000 | 2.000 | CPU-ms | 0.500 x | ≤ 0.33 | ≤ 0.25 | FAIL | 0.400 to 0.600 |"
        in invented
    )
    assert "| C9 | start (1) | Ultralytics | 2.000 | - |" in invented
    assert "1. peer not installed" in invented
    assert "Not measured on this machine: C2, C3, C4, C5, C6, C7, C8, C10, C11, C12." in invented
    assert "G1 to G11" in invented


def test_a_bar_ends_at_its_ratio() -> None:
    tenth, one = _plot._x(0.1), _plot._x(1.0)
    assert tenth - _plot._x(0.01) == pytest.approx(one - tenth)  # a decade is a decade
    drawn = _plot.bars([("kernels", row(1.0, target=1.0))])
    assert f'width="{one - _plot._x(0.01):.1f}"' in drawn
    assert _plot.bars([("kernels", Goal("A/A", "x", "x", "u", 1.0, 1.0, (1.0,)))]).count("<rect") == 1


# ---- the counter of allocations ----

COUNTING = """
import ctypes, os
counter = ctypes.CDLL(os.environ["LD_PRELOAD"])
for name in ("copied", "size_of", "count_of"):
    getattr(counter, name).restype = ctypes.c_uint64
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
target = ctypes.create_string_buffer(70000)
source = ctypes.create_string_buffer(bytes(range(250)) * 280)
counter.forget()
libc.free(ctypes.c_void_p(libc.malloc(50_000)))  # not watched
counter.watch(1)
for size in (50_000, 50_000, 16_383, 60_000):
    libc.free(ctypes.c_void_p(libc.malloc(size)))
libc.memcpy(target, source, 70000)
counter.watch(0)
found = {counter.size_of(kind): counter.count_of(kind) for kind in range(counter.kinds())}
assert target.raw[:70000] == source.raw[:70000]
libc.memmove(ctypes.byref(target, 3), target, 1000)
assert target.raw[3:1003] == source.raw[:1000]
print(found[50_000], found[60_000], found.get(16_383, 0), counter.copied())
"""


def test_large_allocations_and_copies_are_counted(tmp_path: Path) -> None:
    library = tmp_path / "allocations.so"
    flags = ["-O2", "-shared", "-fPIC", "-fno-builtin", "-fno-tree-loop-distribute-patterns"]
    subprocess.run(["cc", *flags, str(FOLDER / "_allocations.c"), "-o", str(library)], check=True)
    done = subprocess.run(
        [sys.executable, "-c", COUNTING],
        env={"LD_PRELOAD": str(library)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    twice, once, small, copied = map(int, done.stdout.split())
    assert (twice, once, small) == (2, 1, 0)
    assert 70_000 <= copied < 75_000


# ---- the peers find what we find ----


def test_the_loops_of_others_find_the_same_boxes() -> None:
    pytest.importorskip("cv2")
    pytest.importorskip("onnxruntime")
    import numpy as np
    from _peers import candidates, letterboxed, suppressed_by_cv2

    image = np.zeros((300, 600, 3), np.uint8)
    raw = np.zeros((6, 5), np.float32)
    raw[:4, :3] = np.array([[320, 320, 64, 64], [322, 320, 64, 64], [100, 300, 32, 32]]).T
    raw[4, :3] = 0.9, 0.8, 0.7
    boxes, scores, class_ids = candidates(raw, image)
    assert scores.tolist() == pytest.approx([0.9, 0.8, 0.7])
    assert class_ids.tolist() == [0, 0, 0]
    # 640 / 600 of the picture, which lies 160 below the top
    assert boxes[0].tolist() == pytest.approx([288 * 0.9375, 128 * 0.9375, 352 * 0.9375, 192 * 0.9375])
    kept = suppressed_by_cv2(raw, image)
    assert len(kept) == 2  # the second overlaps the first
    square = letterboxed(np.full((300, 600, 3), 255, np.uint8))
    assert square.shape == (1, 3, 640, 640)
    assert square[0, :, 320, 320].tolist() == [1.0] * 3
    assert square[0, 0, 0, 0] == pytest.approx(114 / 255)
