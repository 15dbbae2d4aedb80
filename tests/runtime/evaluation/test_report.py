"""The HTML report: read by html.parser, its curves against scikit-learn and pycocotools, its crops pixel by pixel."""

import base64
import contextlib
import io
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vedette.__main__ import _dispatch
from vedette.runtime.errors import DiskError, UsageError
from vedette.runtime.evaluation import classification
from vedette.runtime.evaluation._gallery import largest_missed, rows_of, worst_wrong
from vedette.runtime.evaluation._gallery_crops import FOUND, TRUTH, window_of
from vedette.runtime.evaluation._gallery_maps import WorstMaps, picture_iou, worst_of_folders
from vedette.runtime.evaluation._plots import interpolated, mean_precision, pooled, series_of, thin
from vedette.runtime.evaluation.average_precision import Curve
from vedette.runtime.evaluation.data import Found, Kind, Picture, Truth
from vedette.runtime.evaluation.detection import METRICS, Options, evaluate
from vedette.runtime.evaluation.evaluation import Evaluation
from vedette.runtime.evaluation.report import prepare, write
from vedette.runtime.evaluation.segmentation import Tally
from vedette.runtime.frame import Array
from vedette.runtime.rle import encode

pytest.importorskip("faster_coco_eval")
matplotlib = pytest.importorskip("matplotlib")

VOID = {"img", "meta", "link"}
EVIL = "<script>alert('x')</script>"
EVIL_FILE = '"><img src=x onerror=alert(1)>&amp;.png'
Box = tuple[int, str, tuple[float, float, float, float]]  # picture, class, xywh


class Page(HTMLParser):
    """What a page holds; fails where a tag is left open or closed twice."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.sections: dict[str, list[str]] = {}
        self.feed(path.read_bytes().decode())
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        assert len(dict(attrs)) == len(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.texts.append(data)
        if "h2" in self.open:
            self.sections[data] = []
        elif self.sections:
            self.sections[list(self.sections)[-1]].append(data)

    def of(self, name: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.elements if tag == name]

    def check_closed(self) -> None:
        """Nothing is run, nothing is asked for, no identifier is there twice."""
        for tag, attributes in self.elements:
            assert tag not in {"script", "iframe", "object", "embed", "form", "base", "image"}
            assert not [key for key in attributes if key.startswith("on")]
            for key in ("src", "href", "xlink:href", "data", "action", "srcset", "poster"):
                assert attributes.get(key, "#").startswith(("#", "data:"))
            assert "//" not in attributes.get("style", "")
        identifiers = [attributes["id"] for _, attributes in self.elements if "id" in attributes]
        assert len(identifiers) == len(set(identifiers))
        policy = [meta["content"] for meta in self.of("meta") if "http-equiv" in meta]
        assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def opened(path: Path) -> Page:
    raw = path.read_text()
    assert not re.search(r"https?:|@import|<!ENTITY|file:", raw)
    assert all(target.startswith("#") for target in re.findall(r"url\(['\"]?(.)", raw))
    page = Page(path)
    page.check_closed()
    return page


def truth_of(boxes: Sequence[Box], names: tuple[str, ...], pictures: tuple[Picture, ...]) -> Truth:
    xywh = np.array([box for *_, box in boxes], np.float64).reshape(-1, 4)
    none = np.zeros(len(boxes), bool)
    return Truth(
        "by hand", pictures, names, tuple(range(1, len(names) + 1)),
        np.array([image for image, *_ in boxes], np.int64),
        np.array([names.index(name) for _, name, _ in boxes], np.int64),
        xywh, xywh[:, 2] * xywh[:, 3], none, none.copy(),
    )  # fmt: skip


def found_of(boxes: Sequence[Box], scores: Sequence[float], names: tuple[str, ...]) -> Found:
    made = truth_of(boxes, names, ())
    return Found(made.image, made.category, made.boxes_xywh, np.array(scores, np.float64), made.areas)


NAMES = ("dog", EVIL, "cat")


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[Picture, ...]:
    """Two grey pictures, one of them named to do harm."""
    made = []
    for index, name in enumerate(("plain.png", EVIL_FILE)):
        path = tmp_path / f"{index}.png"
        cv2.imwrite(str(path), np.full((300, 400, 3), 128, np.uint8))
        made.append(Picture(index, name, path, (400, 300)))
    return tuple(made)


@pytest.fixture
def known(pictures: tuple[Picture, ...]) -> Evaluation:
    """One error of each kind, and two misses."""
    dog, cat = (20.0, 20.0, 100.0, 100.0), (200.0, 100.0, 80.0, 60.0)
    evil = (10.0, 10.0, 200.0, 200.0)
    truth = [(0, "dog", dog), (0, "cat", cat), (1, EVIL, evil), (1, "dog", (300.0, 200.0, 40.0, 30.0))]
    found = [
        (0, "dog", dog), (0, "dog", (22.0, 20.0, 100.0, 100.0)), (0, "dog", cat), (0, "cat", (230.0, 130.0, 80.0, 60.0)),
        (1, EVIL, (330.0, 10.0, 50.0, 50.0)), (1, "cat", (5.0, 250.0, 30.0, 30.0)),
    ]  # fmt: skip
    scores = [0.9, 0.6, 0.7, 0.5, 0.8, 0.1]
    return evaluate(truth_of(truth, NAMES, pictures), found_of(found, scores, NAMES))


def test_what_comes_of_known_errors_is_all_in_the_page(known: Evaluation, tmp_path: Path) -> None:
    facts = {"model": f"m {EVIL}", "data": "d"}
    page = opened(write(known, tmp_path / "new" / "folder", title=EVIL, facts=facts))
    words = " ".join(page.texts)
    for name in (*NAMES, EVIL_FILE, f"m {EVIL}"):
        assert name in words
    for name, value in known.numbers.items():
        row = page.sections["All numbers"]
        told = row[row.index(name) + 1]
        assert told == ("–" if value == -1 else f"{value:.3f}")
    assert {
        "Precision over recall",
        "F1 over thresholds",
        "Classes",
        "Confusion",
        "Calibration",
        "Facts",
    } <= set(page.sections)
    loss = page.sections["Where the loss comes from"]
    wanted = {"duplicate": "1", "class": "1", "localisation": "1", "background": "1", "miss": "3"}
    assert {cause: loss[loss.index(cause) + 2] for cause in wanted} == wanted
    assert "Of 5 found objects 1 are right; of 4 true ones 3 are missed." in loss
    assert loss[loss.index("miss") + 3] == f"{2 * 4 / (2 * 4 + 4):.3f}"
    assert loss[loss.index("class") + 3] == f"{2 * 1 / (2 * 1 + 3 + 3):.3f}"
    assert all(image["alt"] for image in page.of("img"))


def test_galleries_begin_with_the_worst(known: Evaluation, tmp_path: Path) -> None:
    page = opened(write(known, tmp_path))
    alts = [image["alt"] for image in page.of("img")]
    assert [alt.split(";")[0] for alt in alts] == [
        f"Found: {EVIL} 0.80", "Found: dog 0.70", "Found: dog 0.60", "Found: cat 0.50",
        f"Missed: {EVIL}, 200 × 200 pixels", "Missed: cat, 80 × 60 pixels", "Missed: dog, 40 × 30 pixels",
    ]  # fmt: skip
    causes = [alt.split("wrong: ")[1].split(";")[0] for alt in alts[:4]]
    assert causes == ["background", "class", "duplicate", "localisation"]
    assert any("in truth cat (overlap 1.00)" in text for text in page.sections["Worst false positives"])
    assert any("found there: dog 0.70, cat 0.50" in text for text in page.sections["Largest misses"])
    rows = rows_of(known)
    assert rows is not None
    assert worst_wrong(rows, 2) == [4, 2]
    assert largest_missed(rows, 1) == [2]


def test_crops_show_red_on_what_was_found_and_green_on_what_is_true(
    known: Evaluation, tmp_path: Path
) -> None:
    page = opened(write(known, tmp_path))
    crops = [uncoded(image["src"]) for image in page.of("img")]
    background = crops[
        0
    ]  # 50 x 50 at (330, 10), with 48 of room: 282 to 400, 0 to 108, enlarged to 400 pixels
    scale = 400 / 118
    assert background.shape[:2] == (round(108 * scale), 400)
    left, middle = round((330 - 282) * scale), round(35 * scale)
    assert distance(background[middle, left], FOUND) < 60
    assert distance(background[middle, left + 20], (128, 128, 128)) < 20
    missed = crops[4]  # 200 x 200 at (10, 10), with 60 of room
    at = round(10 * 400 / 270)
    assert distance(missed[200, at], TRUTH) < 60


def uncoded(uri: str) -> Array:
    data = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def distance(pixel: Array, colour: Sequence[int]) -> float:
    return float(np.abs(pixel.astype(float) - colour).max())


def test_windows_stay_inside_the_picture() -> None:
    assert window_of(np.array([[100.0, 100, 200, 150]]), (400, 300)) == (52, 52, 248, 198)
    assert window_of(np.array([[0.0, 0, 400, 300]]), (400, 300)) == (0, 0, 400, 300)
    assert window_of(np.array([[1e9, 1e9, 2e9, 2e9]]), (400, 300)) == (0, 0, 400, 300)


def test_pictures_may_be_elsewhere_or_nowhere(known: Evaluation, tmp_path: Path) -> None:
    page = opened(write(known, tmp_path, pictures=lambda _: None))
    assert not page.of("img")
    assert page.texts.count("picture not at hand") == 7
    torn = tmp_path / "torn.jpg"
    torn.write_bytes(b"\xff\xd8\xff")
    page = opened(write(known, tmp_path, pictures=lambda index: (torn, tmp_path / "1.png")[index]))
    assert len(page.of("img")) == 3  # of the second picture: one wrong, and two missed


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_has_a_report(metric: str, known: Evaluation, tmp_path: Path) -> None:
    assert known.truth is not None
    assert known.found is not None
    page = opened(write(evaluate(known.truth, known.found, Options(metric=metric)), tmp_path))
    assert "Worst false positives" in page.sections


@pytest.mark.parametrize("kind", ["segm", "keypoints"])
def test_masks_and_joints_are_drawn(kind: Kind, known: Evaluation, tmp_path: Path) -> None:
    assert known.truth is not None
    assert known.found is not None
    truth, found = known.truth, known.found
    joints = [np.tile(part.boxes_xywh[:, None, :3], (1, 17, 1)) for part in (truth, found)]
    joints[0][..., 2] = 2
    truth = replace(truth, masks=tuple(map(filled, truth.boxes_xywh)), keypoints=joints[0])
    found = replace(found, masks=tuple(map(filled, found.boxes_xywh)), keypoints=joints[1])
    page = opened(write(evaluate(truth, found, Options(kind=kind)), tmp_path))
    assert len(page.of("img")) > 2


def filled(xywh: Array) -> dict[str, Any]:
    mask = np.zeros((300, 400), bool)
    left, top, width, height = xywh.astype(int).tolist()
    mask[top : top + height, left : left + width] = True
    return encode(mask)


def test_nothing_is_no_fault(pictures: tuple[Picture, ...], tmp_path: Path) -> None:
    one: list[Box] = [(0, "dog", (5.0, 5.0, 20.0, 20.0))]
    cases = [
        (truth_of(one, NAMES, pictures), found_of([], [], NAMES)),
        (truth_of([], NAMES, pictures), found_of(one, [0.5], NAMES)),
        (truth_of([], (), pictures), found_of([], [], ())),
        (truth_of([], (), ()), found_of([], [], ())),
        (truth_of(one, NAMES, pictures), found_of(one, [1.0], NAMES)),
        (truth_of(one, NAMES, pictures), found_of(one, [7.5], NAMES)),
    ]
    for truth, found in cases:
        for metric in ("coco", "voc07"):
            opened(write(evaluate(truth, found, Options(metric=metric)), tmp_path))
    opened(write(Tally(()).evaluation(), tmp_path))
    opened(write(classification.evaluate(np.array([0.5]), np.array([False])), tmp_path))


def test_the_same_evaluation_gives_the_same_page_and_replaces_the_last(
    known: Evaluation, tmp_path: Path
) -> None:
    pages = [write(known, tmp_path).read_text() for _ in range(2)]
    undated = [re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "", page) for page in pages]
    assert undated[0] == undated[1] != pages[0]
    with matplotlib.rc_context({"axes.facecolor": "#ff0000", "font.size": 30, "text.usetex": True}):
        theirs = write(known, tmp_path).read_text()
    assert re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "", theirs) == undated[0]
    assert [path.name for path in tmp_path.iterdir() if path.suffix in {".html", ".part"}] == ["index.html"]


def test_the_command_writes_it(known: Evaluation, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, found = known.truth, known.found
    assert truth is not None
    assert found is not None
    (tmp_path / "0.png").rename(tmp_path / "a.png")
    listed = {
        "images": [{"id": 0, "file_name": "a.png", "width": 400, "height": 300}],
        "categories": [{"id": 1, "name": EVIL}],
        "annotations": [
            {"id": 1, "image_id": 0, "category_id": 1, "bbox": [10, 10, 50, 50], "area": 2500, "iscrowd": 0}
        ],
    }
    results = [{"image_id": 0, "category_id": 1, "bbox": [200, 100, 50, 50], "score": 0.75}]
    for name, content in {"truth.json": listed, "found.json": results}.items():
        (tmp_path / name).write_text(json.dumps(content))
    arguments = [
        str(tmp_path / "found.json"),
        str(tmp_path / "truth.json"),
        "--report",
        str(tmp_path / "out"),
        "--json",
    ]
    assert _dispatch(["eval", *arguments]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["AP"] == 0
    assert printed.err.splitlines()[-1] == f"report: {tmp_path / 'out' / 'index.html'}"
    page = opened(tmp_path / "out" / "index.html")
    assert [image["alt"].split(";")[0] for image in page.of("img")] == [
        f"Found: {EVIL} 0.75",
        f"Missed: {EVIL}, 50 × 50 pixels",
    ]


def test_a_folder_that_cannot_be_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="cannot write"):
        prepare(tmp_path / "file")
    prepare(tmp_path / "new" / "folder")
    assert not list((tmp_path / "new" / "folder").iterdir())


def test_what_cannot_be_written_or_drawn_is_told(
    known: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="cannot write"):
        write(known, tmp_path / "file")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match="matplotlib"):
        write(known, tmp_path)


def test_many_classes_stay_readable(pictures: tuple[Picture, ...], tmp_path: Path) -> None:
    names = tuple(f"class {index}" for index in range(90))
    boxes: list[Box] = [(0, name, (float(i), 5.0, 20.0, 20.0)) for i, name in enumerate(names)]
    truth, found = truth_of(boxes, names, pictures), found_of([(0, names[0], boxes[40][2])], [0.9], names)
    page = opened(write(evaluate(truth, found), tmp_path))
    assert set(names) <= set(page.texts)
    heat = page.sections["Confusion"]
    assert len({text for text in heat if text.startswith("class ")}) == 29
    assert "background" in heat
    assert any(text.startswith("61 classes") for text in heat)


def scored(seed: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    true = rng.random(300) < 0.4
    return np.round(np.clip(0.3 * true + rng.normal(0.4, 0.2, 300), 0, 1), 2), true


def test_series_against_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    scores, true = scored(0)
    order = np.argsort(-scores, kind="stable")
    missed = 17  # objects that were never found lower the recall
    series = series_of(Curve(scores[order], true[order], int(true.sum()) + missed))
    precision, recall, thresholds = metrics.precision_recall_curve(true, scores)
    share = true.sum() / (true.sum() + missed)
    np.testing.assert_allclose(series.thresholds, thresholds[::-1])
    np.testing.assert_allclose(series.precision, precision[:-1][::-1])
    np.testing.assert_allclose(series.recall, recall[:-1][::-1] * share)
    whole = np.concatenate([true, np.ones(missed, bool)])
    for index in range(0, len(series.thresholds), 7):
        taken = np.concatenate([scores >= series.thresholds[index], np.zeros(missed, bool)])
        assert series.f1[index] == pytest.approx(metrics.f1_score(whole, taken))


def test_pooled_classes_are_one_list() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    parts = [scored(seed) for seed in (1, 2)]
    orders = [np.argsort(-scores, kind="stable") for scores, _ in parts]
    curves = [Curve(s[o], t[o], int(t.sum())) for (s, t), o in zip(parts, orders, strict=True)]
    series = series_of(pooled(curves))
    scores, true = (np.concatenate(column) for column in zip(*parts, strict=True))
    precision, recall, _ = metrics.precision_recall_curve(true, scores)
    np.testing.assert_allclose(series.precision, precision[:-1][::-1])
    np.testing.assert_allclose(series.recall, recall[:-1][::-1])


def test_curves_of_classes_and_their_mean_are_pycocotools() -> None:
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    rng = np.random.default_rng(3)
    names = ("a", "b", "c")
    pictures = tuple(Picture(i, f"{i}", None, (200, 200)) for i in range(20))
    boxes = [
        (int(i), names[int(i) % 3], tuple(rng.uniform(10, 90, 4).tolist()))
        for i in np.repeat(np.arange(20), 3)
    ]
    truth = truth_of(boxes, names, pictures)
    near = truth.boxes_xywh + rng.normal(0, 8, truth.boxes_xywh.shape)
    found = Found(truth.image, truth.category, near, rng.random(len(near)), near[:, 2] * near[:, 3])
    done = evaluate(truth, found)
    with contextlib.redirect_stdout(io.StringIO()):
        true = coco.COCO()
        true.dataset = {
            "images": [{"id": i, "width": 200, "height": 200} for i in range(20)],
            "categories": [{"id": k, "name": name} for k, name in enumerate(names)],
            "annotations": [
                {"id": row + 1, "image_id": int(truth.image[row]), "category_id": int(truth.category[row]),
                 "bbox": truth.boxes_xywh[row].tolist(), "area": float(truth.areas[row]), "iscrowd": 0}
                for row in range(len(truth))
            ],
        }  # fmt: skip
        true.createIndex()
        results = [
            {"image_id": int(found.image[row]), "category_id": int(found.category[row]),
             "bbox": near[row].tolist(), "score": float(found.scores[row])}
            for row in range(len(found))
        ]  # fmt: skip
        expected = cocoeval.COCOeval(true, true.loadRes(results), "bbox")
        expected.evaluate()
        expected.accumulate()
    precision = expected.eval["precision"][0, :, :, 0, -1]  # [R, K] at an overlap of 0.5
    assert 0.2 < precision.mean() < 0.9
    for k, name in enumerate(names):
        np.testing.assert_allclose(interpolated(done.curves[name]), precision[:, k], atol=1e-9)
    np.testing.assert_allclose(mean_precision(done.curves.values()), precision.mean(axis=1), atol=1e-9)
    assert mean_precision(done.curves.values()).mean() == pytest.approx(done.numbers["AP50"])


def test_a_thinned_line_is_the_same_line() -> None:
    x = np.linspace(0, 1, 100_000)
    y = np.abs(np.sin(9 * x))
    rows = thin(x, y)
    assert len(rows) < 4000
    assert rows[0] == 0
    assert rows[-1] == len(x) - 1
    np.testing.assert_allclose(np.interp(x, x[rows], y[rows]), y, atol=1 / 400)
    assert len(thin(np.zeros(0), np.zeros(0))) == 0


def test_one_score_a_sample(tmp_path: Path) -> None:
    scores, true = scored(4)
    done = classification.evaluate(scores, true, name=EVIL)
    page = opened(write(done, tmp_path))
    assert f"{done.numbers['AP']:.3f}" in page.texts
    counts = page.sections["Counts"]
    assert any(text.endswith(f"40 of {len(np.unique(scores))} thresholds are shown.") for text in counts)
    first = counts[counts.index(f"{scores.max():g}") :][1:5]
    taken = scores >= scores.max()
    cells = [taken & true, taken & ~true, ~taken & true, ~taken & ~true]
    assert first == [str(int(cell.sum())) for cell in cells]
    done = classification.evaluate(scores, true, thresholds=[0.5])
    assert "Confusion" in opened(write(done, tmp_path)).sections


def test_label_maps_with_their_worst_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    names = ("background", EVIL, "sky")
    tally, worst = Tally(names, boundaries=False), WorstMaps(most=3)
    for index in range(6):
        true = rng.integers(0, 3, (40, 60))
        found = np.where(rng.random(true.shape) < 0.1 * index, (true + 1) % 3, true)
        true[:4] = 255
        tally.add(found, true)
        worst.add(found, true, source=f"{index}{EVIL_FILE}", picture=tmp_path / "gone.png")
    assert [pair.name[0] for pair in worst.pairs] == ["5", "4", "3"]
    done = tally.evaluation()
    page = opened(write(done, tmp_path, maps=worst.pairs))
    assert len(page.of("img")) == 9
    shown = page.sections["Worst pictures"]
    order = [text for text in shown if text.startswith("mean IoU")]
    assert order == [f"mean IoU {pair.iou:.3f}" for pair in worst.pairs]
    rows = page.sections["Classes"]
    assert rows[rows.index(EVIL) + 1] == f"{done.per_class[EVIL]:.3f}"
    assert "Confusion" in page.sections


def test_the_iou_of_a_picture_against_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(6)
    true, found = rng.integers(0, 4, (2, 30, 30))
    true[5:9] = 255
    kept = true != 255
    expected = metrics.jaccard_score(true[kept], found[kept], average=None).mean()
    assert picture_iou(found, true, 255) == pytest.approx(expected)
    assert picture_iou(found, np.full_like(true, 255), 255) is None
    assert picture_iou(np.full((2, 2), -1), np.zeros((2, 2), int), 255) == 0


def test_masks_in_two_folders(tmp_path: Path) -> None:
    for folder, values in {"found": (0, 1), "true": (0, 0)}.items():
        (tmp_path / folder).mkdir()
        for name, value in zip(("a.png", "b.png"), values, strict=True):
            cv2.imwrite(str(tmp_path / folder / name), np.full((8, 900), value, np.uint8))
    worst = WorstMaps()
    worst_of_folders(tmp_path / "found", tmp_path / "true", worst)
    assert [(pair.name, pair.iou) for pair in worst.pairs] == [("b.png", 0.0), ("a.png", 1.0)]
    assert worst.pairs[0].true.shape == (3, 400)
