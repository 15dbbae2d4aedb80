import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from levels import LEVELS, need_level, run_at_level
from neon import Call, on_arm, sanitized

from vedette.kernels import native
from vedette.kernels._decode_boxes_cases import CASES, Array, Case, scene
from vedette.kernels._decode_boxes_families import FAMILIES
from vedette.kernels.box_layouts import (
    LAYOUTS,
    V5,
    V8,
    EndToEnd,
    FastestDet,
    Layout,
    NanoDet,
    Plan,
    Priors,
    Region,
    Yolox,
    plan,
)
from vedette.kernels.decode_boxes import Decoded, decode_boxes, decode_boxes_reference
from vedette.kernels.nms import nms

EXACT = V8 | V5 | EndToEnd  # only + - * / and comparisons
COUNTS = st.one_of(
    st.sampled_from([0, 1, 3, 4, 5, 15, 16, 17, 63, 64, 65, 127, 128, 129, 193]), st.integers(0, 150)
)


def both(case: Case, **other: Any) -> tuple[Decoded, Decoded]:
    arguments: dict[str, Any] = {
        "conf": case.conf, "multi_label": case.multi_label, "max_candidates": case.max_candidates, **other
    }  # fmt: skip
    return (
        decode_boxes_reference(case.layout, *case.outputs, **arguments),
        decode_boxes(case.layout, *case.outputs, **arguments),
    )


def assert_agree(case: Case, **other: Any) -> None:
    assert_equal(case, *both(case, **other))


def assert_equal(case: Case, reference: Decoded, found: Decoded) -> None:
    assert found.anchors.tolist() == reference.anchors.tolist()
    assert found.class_ids.tolist() == reference.class_ids.tolist()
    if isinstance(case.layout, EXACT):
        np.testing.assert_array_equal(found.scores, reference.scores, strict=True)
        np.testing.assert_array_equal(found.boxes_xyxy, reference.boxes_xyxy, strict=True)
    else:
        np.testing.assert_allclose(found.scores, reference.scores, rtol=1e-5, strict=True)
        np.testing.assert_allclose(found.boxes_xyxy, reference.boxes_xyxy, rtol=4e-6, atol=1e-3, strict=True)


@pytest.mark.parametrize("name", CASES)
def test_kernel_and_reference_agree(name: str) -> None:
    case = CASES[name]()
    assert_agree(case)
    assert_agree(case, max_candidates=5) if isinstance(case.layout, EXACT) else None
    assert_agree(case, image=(12.0, -3.0, 0.5, 0.75))


@st.composite
def outputs_of(draw: st.DrawFn, *shape: int, low: float, high: float) -> Array:
    """Numbers of which some are equal, and now and then some are not finite."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps = draw(st.sampled_from([4, 8, 1000]))
    values = low + (high - low) * random.integers(0, steps + 1, shape) / steps
    share = draw(st.sampled_from([0.0, 0.0, 0.05, 0.5]))
    wrong = random.choice([np.nan, np.inf, -np.inf], shape)
    return np.where(random.uniform(size=shape) < share, wrong, values).astype(np.float32)


@st.composite
def cases(draw: st.DrawFn, family: type[Layout]) -> Case:
    layout, outputs = draw(LAYOUT_OF[family]())
    conf = draw(st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.75, 1.0]))
    few = draw(st.sampled_from([0, 1, 2, 7, 40, 30_000, 2**62]))
    exact = family in (V8, V5, EndToEnd)
    return Case(layout, outputs, conf, draw(st.booleans()), few if exact else 30_000)


@st.composite
def planes(draw: st.DrawFn) -> tuple[Layout, tuple[Array, ...]]:
    anchors, classes, extras = draw(COUNTS), draw(st.integers(1, 20)), draw(st.integers(0, 3))
    return V8(extras), (draw(outputs_of(4 + classes + extras, anchors, low=0, high=1)),)


@st.composite
def rows(draw: st.DrawFn) -> tuple[Layout, tuple[Array, ...]]:
    anchors, classes, extras = draw(COUNTS), draw(st.integers(1, 40)), draw(st.integers(0, 3))
    return V5(extras), (draw(outputs_of(anchors, 5 + classes + extras, low=0, high=1)),)


@st.composite
def end_to_end(draw: st.DrawFn) -> tuple[Layout, tuple[Array, ...]]:
    output = draw(outputs_of(draw(COUNTS), draw(st.integers(6, 9)), low=0, high=1))
    output[:, 5] *= 8
    return EndToEnd(), (output,)


@st.composite
def yolox(draw: st.DrawFn) -> tuple[Layout, tuple[Array, ...]]:
    width, height = draw(st.integers(16, 70)), draw(st.integers(16, 70))
    cells = sum((width // stride) * (height // stride) for stride in (4, 16))
    classes = draw(st.integers(1, 20))
    return Yolox((width, height), (4, 16)), (draw(outputs_of(cells, 5 + classes, low=-1, high=1)),)


@st.composite
def region(draw: st.DrawFn) -> tuple[Layout, tuple[Array, ...]]:
    anchors, classes = draw(st.integers(1, 3)), draw(st.integers(1, 12))
    shape = (anchors * (5 + classes), draw(st.integers(1, 7)), draw(st.integers(1, 7)))
    sizes = tuple((0.7 + index, 2.1 / (1 + index)) for index in range(anchors))
    return Region((96, 64), sizes), (draw(outputs_of(*shape, low=-3, high=3)),)


@st.composite
def fastestdet(draw: st.DrawFn) -> tuple[Layout, tuple[Array, ...]]:
    shape = (5 + draw(st.integers(1, 12)), draw(st.integers(1, 12)), draw(st.integers(1, 12)))
    return FastestDet((96, 64)), (draw(outputs_of(*shape, low=-0.2, high=1)),)


@st.composite
def nanodet(draw: st.DrawFn) -> tuple[Layout, tuple[Array, ...]]:
    anchors, classes, bins = draw(COUNTS), draw(st.integers(1, 40)), draw(st.integers(1, 12))
    scores = draw(outputs_of(anchors, classes, low=0, high=1))
    return NanoDet(8, draw(st.integers(1, 9))), (scores, draw(outputs_of(anchors, 4 * bins, low=-4, high=4)))


@st.composite
def priors(draw: st.DrawFn) -> tuple[Layout, tuple[Array, ...]]:
    anchors, classes, background = draw(COUNTS), draw(st.integers(1, 20)), draw(st.integers(0, 2))
    boxes = np.random.default_rng(anchors).uniform(1, 90, (anchors, 4))
    layout = Priors(boxes, softmax=draw(st.booleans()), background=background)
    scores = draw(outputs_of(anchors, background + classes, low=-2, high=2))
    return layout, (scores, draw(outputs_of(anchors, 4, low=-2, high=2)))


LAYOUT_OF = {
    V8: planes, V5: rows, EndToEnd: end_to_end, Yolox: yolox,
    Region: region, FastestDet: fastestdet, NanoDet: nanodet, Priors: priors,
}  # fmt: skip


def decided(case: Case) -> bool:
    """Whether no score is so near conf that rounding decides."""
    if isinstance(case.layout, EXACT):
        return True
    with np.errstate(all="ignore"):
        scores = FAMILIES[type(case.layout)](case.layout, *case.outputs).scores
        return not ((np.abs(scores - np.float32(case.conf)) <= 1e-5) & (scores != 0)).any()


@pytest.mark.parametrize("family", LAYOUTS)
def test_drawn_outputs_agree(family: type[Layout]) -> None:
    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(cases(family))
    def agrees(case: Case) -> None:
        assume(decided(case))
        assert_agree(case)

    agrees()


@pytest.mark.parametrize("level", LEVELS)
def test_other_levels_give_the_same(level: int) -> None:
    run_at_level(level, __file__, "agree")


def drawn() -> list[Case]:
    """Every case, and 200 more of each family."""
    made = [make() for make in CASES.values()]

    def collect(case: Case) -> None:
        assume(decided(case))
        made.append(case)

    for family in LAYOUTS:
        settings(derandomize=True, deadline=None, max_examples=200)(given(cases(family))(collect))()
    return made


def call_of(case: Case) -> Call:
    """The call that decode_boxes makes, with room for exactly the candidates that it asks for."""
    checked = plan(case.layout, tuple(output.shape for output in case.outputs))
    first, second = case.outputs[0], case.outputs[-1]
    third = case.layout.priors if isinstance(case.layout, Priors) else first
    most = max(0, min(case.max_candidates, checked.anchors * checked.classes))
    room = np.empty((most, 4), np.float32), np.empty(most, np.float32), *np.empty((2, most), np.int64)
    where, mapping = np.frombuffer(bytes(checked), np.uint8), (0.0, 0.0, 1.0, 1.0)
    numbers = case.conf, int(case.multi_label), most, *mapping
    return Call("vedette_decode_boxes", (where, first, second, third, *numbers, *room))


def assert_answers(run: Callable[[list[Call]], list[tuple[int, list[Array]]]]) -> None:
    made = drawn()
    for case, (count, arrays) in zip(made, run([call_of(case) for case in made]), strict=True):
        assert_equal(case, both(case)[0], Decoded(*[array[:count] for array in arrays[4:]]))


def test_neon_is_the_reference() -> None:
    assert_answers(on_arm)


@pytest.mark.slow
@pytest.mark.parametrize("wanted", LEVELS)
def test_no_byte_outside_the_outputs_is_read_or_written(wanted: int) -> None:
    need_level(wanted)
    assert_answers(partial(sanitized, level=wanted))


def test_the_two_declarations_of_a_plan_have_one_size() -> None:
    size = native.function("vedette_decode_boxes_plan_bytes", [], ctypes.c_int64)
    assert size is None or size() == ctypes.sizeof(Plan)


# ---- by hand ----


def test_a_score_equal_to_conf_is_no_candidate_and_the_best_class_wins() -> None:
    output = np.array([[100, 10], [50, 10], [20, 4], [10, 4], [0.25, 0.5], [0.75, 0.5]], np.float32)
    found = decode_boxes(V8(), output, conf=0.5)
    assert found.boxes_xyxy.tolist() == [[90, 45, 110, 55]]
    assert (found.scores.tolist(), found.class_ids.tolist(), found.anchors.tolist()) == ([0.75], [1], [0])
    both_classes = decode_boxes(V8(), output, conf=0.2, multi_label=True)
    assert both_classes.anchors.tolist() == [0, 0, 1, 1]
    assert both_classes.class_ids.tolist() == [0, 1, 0, 1]
    assert decode_boxes(V8(), output, conf=0.2).class_ids.tolist() == [1, 0]  # a tie goes to the lower class


def test_the_best_candidates_stay_and_ties_go_to_the_earlier() -> None:
    output = np.zeros((5, 6), np.float32)
    output[4] = [0.5, 0.9, 0.5, 0.5, 0.8, 0.1]
    assert decode_boxes(V8(), output, conf=0.0, max_candidates=4).anchors.tolist() == [0, 1, 2, 4]
    assert decode_boxes(V8(), output, conf=0.0, max_candidates=0).anchors.tolist() == []


def test_boxes_map_back_to_the_original_picture() -> None:
    output = np.array([[100], [60], [20], [10], [0.9]], np.float32)
    found = decode_boxes(V8(), output, conf=0.5, image=(10.0, 35.0, 0.5, 0.25))
    assert found.boxes_xyxy.tolist() == [[160, 80, 200, 120]]


def test_extras_are_found_by_anchor() -> None:
    output = np.concatenate([CASES["v8 odd"]().outputs[0][:9], np.arange(197, dtype=np.float32)[None]])
    found = decode_boxes(V8(extras=1), output, conf=0.5)
    np.testing.assert_array_equal(output[9, found.anchors], found.anchors)


def test_what_is_not_finite_is_no_candidate() -> None:
    output = np.full((7, 4), 5, np.float32)
    output[4:] = [[np.nan, np.inf, 0.5, -np.inf], [0.6, 0.9, np.nan, -np.inf], [np.nan, 0.9, np.nan, np.nan]]
    assert decode_boxes(V8(), output, conf=0.25).anchors.tolist() == [0, 2]  # of 1, an infinity is the best
    assert decode_boxes(V8(), output, conf=0.25).class_ids.tolist() == [1, 0]
    assert decode_boxes(V8(), output, conf=0.25, multi_label=True).anchors.tolist() == [0, 1, 1, 2]


# ---- against PyTorch ----


def sure(scores: Any, conf: float, *, multi_label: bool) -> tuple[Array, Array, Array]:
    """Anchors, classes and scores above conf, by torch."""
    if multi_label:
        anchors, class_ids = (scores > conf).nonzero(as_tuple=True)
        return anchors.numpy(), class_ids.numpy(), scores[anchors, class_ids].numpy()
    best, class_ids = scores.max(dim=1)
    anchors = (best > conf).nonzero()[:, 0]
    return anchors.numpy(), class_ids[anchors].numpy(), best[anchors].numpy()


def assert_is(found: Decoded, boxes: Any, scores: Any, conf: float, *, multi_label: bool) -> None:
    anchors, class_ids, expected = sure(scores, conf, multi_label=multi_label)
    assert found.anchors.tolist() == anchors.tolist()
    assert found.class_ids.tolist() == class_ids.tolist()
    np.testing.assert_allclose(found.scores, expected, rtol=1e-5)
    np.testing.assert_allclose(found.boxes_xyxy, boxes.numpy()[anchors], rtol=2e-6, atol=1e-3)


def corners(torch: Any, xy: Any, wh: Any) -> Any:
    return torch.cat([xy - wh / 2, xy + wh / 2], dim=-1)


def grid(torch: Any, columns: int, rows: int) -> Any:
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2).float()


@pytest.mark.parametrize("multi_label", [False, True])
def test_torch_agrees_on_v8_and_v5(multi_label: bool) -> None:
    torch = pytest.importorskip("torch")
    raw = torch.from_numpy(scene())
    boxes, scores = corners(torch, raw[:2].T, raw[2:4].T), raw[4:].T
    found = decode_boxes(V8(), raw.numpy(), conf=0.01, multi_label=multi_label)
    assert_is(found, boxes, scores, 0.01, multi_label=multi_label)
    objectness = torch.linspace(0, 1, len(scores))[:, None]
    rows = torch.cat([raw[:4].T, objectness, scores], dim=1)
    found = decode_boxes(V5(), rows.numpy(), conf=0.01, multi_label=multi_label)
    assert_is(found, boxes, scores * objectness, 0.01, multi_label=multi_label)


@pytest.mark.parametrize("multi_label", [False, True])
def test_torch_agrees_on_region_and_yolox(multi_label: bool) -> None:
    torch = pytest.importorskip("torch")
    anchors = torch.tensor([[1.3221, 1.73145], [3.19275, 4.00944], [5.05587, 8.09892]])
    raw = torch.randn(3, 25, 9, 13, generator=torch.Generator().manual_seed(0)) * 2
    cells = raw.flatten(2).transpose(1, 2)  # [3, h * w, 25]
    xy = (grid(torch, 13, 9) + torch.sigmoid(cells[..., :2])) * 32
    boxes = corners(torch, xy, torch.exp(cells[..., 2:4]) * anchors[:, None] * 32).reshape(-1, 4)
    scores = (torch.sigmoid(cells[..., 4:5]) * torch.softmax(cells[..., 5:], dim=-1)).reshape(-1, 20)
    layout = Region((416, 288), tuple((float(w), float(h)) for w, h in anchors))
    found = decode_boxes(layout, raw.reshape(75, 9, 13).numpy(), conf=0.2, multi_label=multi_label)
    assert_is(found, boxes, scores, 0.2, multi_label=multi_label)

    sizes = [(12, 8), (6, 4), (3, 2)]
    strides = torch.cat([torch.full((w * h, 1), 96.0 / w) for w, h in sizes])
    rows = torch.rand(126, 25, generator=torch.Generator().manual_seed(0))
    xy = (rows[:, :2] + torch.cat([grid(torch, *size) for size in sizes])) * strides
    boxes = corners(torch, xy, rows[:, 2:4].exp() * strides)
    found = decode_boxes(Yolox((96, 64)), rows.numpy(), conf=0.3, multi_label=multi_label)
    assert_is(found, boxes, rows[:, 4:5] * rows[:, 5:], 0.3, multi_label=multi_label)


@pytest.mark.parametrize("multi_label", [False, True])
def test_torch_agrees_on_nanodet_and_priors(multi_label: bool) -> None:
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(1)
    scores, logits = torch.rand(60, 33, generator=generator), torch.randn(60, 44, generator=generator) * 3
    sides = (torch.softmax(logits.reshape(60, 4, 11), dim=2) * torch.arange(11.0)).sum(dim=2) * 16
    centres = (grid(torch, 10, 6) + 0.5) * 16
    boxes = torch.cat([centres - sides[:, :2], centres + sides[:, 2:]], dim=1)
    found = decode_boxes(NanoDet(16, 10), scores.numpy(), logits.numpy(), conf=0.9, multi_label=multi_label)
    assert_is(found, boxes, scores, 0.9, multi_label=multi_label)

    known, offsets = torch.rand(60, 4, generator=generator) * 100, torch.randn(60, 4, generator=generator)
    classes = torch.randn(60, 21, generator=generator) * 3
    xy = known[:, :2] + offsets[:, :2] * 0.1 * known[:, 2:]
    boxes = corners(torch, xy, known[:, 2:] * torch.exp(offsets[:, 2:] * 0.2))
    layout = Priors(known.numpy())
    found = decode_boxes(layout, classes.numpy(), offsets.numpy(), conf=0.1, multi_label=multi_label)
    assert_is(found, boxes, torch.softmax(classes, dim=1)[:, 1:], 0.1, multi_label=multi_label)


@pytest.mark.parametrize(("conf", "multi_label"), [(0.25, False), (0.001, True)])
def test_opencv_and_torch_keep_the_same_boxes_of_a_scene(conf: float, multi_label: bool) -> None:
    import cv2

    torch = pytest.importorskip("torch")
    found = decode_boxes(V8(), scene(), conf=conf, multi_label=multi_label)
    arrays = found.boxes_xyxy, found.scores, found.class_ids
    kept = nms(*arrays, iou_threshold=0.6, max_det=300).tolist()
    wide = np.concatenate(
        [found.boxes_xyxy[:, :2], found.boxes_xyxy[:, 2:] - found.boxes_xyxy[:, :2]], axis=1
    )
    theirs = cv2.dnn.NMSBoxesBatched(wide.tolist(), found.scores.tolist(), found.class_ids.tolist(), 0.0, 0.6)
    order = sorted(np.asarray(theirs).ravel().tolist(), key=lambda index: (-found.scores[index], index))
    assert order[:300] == kept
    assert greedy(torch, *map(torch.from_numpy, arrays), threshold=0.6)[:300] == kept


def greedy(torch: Any, boxes: Any, scores: Any, class_ids: Any, *, threshold: float) -> list[int]:
    order = torch.sort(scores, descending=True, stable=True).indices
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(int(best))
        low = torch.maximum(boxes[best, :2], boxes[order, :2])
        shared = (torch.minimum(boxes[best, 2:], boxes[order, 2:]) - low).clamp(min=0).prod(dim=1)
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
        over = shared / (areas[best] + areas[order] - shared) > threshold
        order = order[~(over & (class_ids[order] == class_ids[best]))]
    return kept


# ---- what must not reach the C++ ----


@pytest.mark.parametrize(
    ("layout", "shapes"),
    [
        (V8(), [(1, 84, 8400)]),
        (V8(), [(4, 100)]),
        (V8(extras=80), [(84, 100)]),
        (V8(extras=-2), [(84, 100)]),
        (V8(), []),
        (V8(), [(84, 9), (84, 9)]),
        (V5(), [(100, 5)]),
        (EndToEnd(), [(300, 5)]),
        (Yolox((96, 64)), [(125, 10)]),
        (Yolox((96, 64), (8, 0)), [(96, 10)]),
        (Yolox((96, 64), ()), [(0, 10)]),
        (Yolox((96, 64), (8,) * 9), [(864, 10)]),
        (Region((96, 64), ((1, 1),) * 2), [(13, 2, 3)]),
        (Region((96, 64), ((1, 1),) * 33), [(33 * 6, 2, 3)]),
        (Region((96, 64), ()), [(6, 2, 3)]),
        (Region((96, 64), ((1, 1),)), [(6, 0, 3)]),
        (FastestDet((96, 64)), [(5, 2, 3)]),
        (FastestDet((96, 64)), [(6, 2)]),
        (NanoDet(8, 3), [(9, 2), (8, 44)]),
        (NanoDet(8, 3), [(9, 2), (9, 43)]),
        (NanoDet(8, 3), [(9, 2), (9, 0)]),
        (NanoDet(8, 0), [(9, 2), (9, 44)]),
        (NanoDet(8, 3), [(9, 2)]),
        (Priors(np.zeros((9, 4))), [(9, 21), (8, 4)]),
        (Priors(np.zeros((8, 4))), [(9, 21), (9, 4)]),
        (Priors(np.zeros((9, 4)), background=22), [(9, 21), (9, 4)]),
        (Priors(np.zeros((9, 4)), background=-1), [(9, 21), (9, 4)]),
    ],
)
def test_other_shapes_are_refused(layout: Layout, shapes: list[tuple[int, ...]]) -> None:
    for decode in (decode_boxes, decode_boxes_reference):
        with pytest.raises(ValueError, match=r"want|not|leaves|background|fit"):
            decode(layout, *[np.zeros(shape, np.float32) for shape in shapes], conf=0.25)


@pytest.mark.parametrize("conf", [-0.1, float("nan")])
def test_conf_below_zero_is_refused(conf: float) -> None:
    for decode in (decode_boxes, decode_boxes_reference):
        with pytest.raises(ValueError, match="conf must be 0 or more"):
            decode(V8(), np.zeros((5, 1), np.float32), conf=conf)


@pytest.mark.parametrize("family", ["v8 odd", "v5", "nanodet", "fastestdet"])
def test_other_dtypes_and_strides_are_read_as_what_they_hold(family: str) -> None:
    case = CASES[family]()
    half = replace(case, outputs=tuple(output.astype(np.float16) for output in case.outputs))
    whole = replace(case, outputs=tuple(output.astype(np.float32) for output in half.outputs))
    backward = replace(case, outputs=tuple(np.flip(np.flip(o).copy()) for o in whole.outputs))
    for other in (half, backward):
        np.testing.assert_array_equal(both(other)[1].boxes_xyxy, both(whole)[1].boxes_xyxy)


def test_results_outlive_the_next_call() -> None:
    first = decode_boxes(V8(), scene(), conf=0.25)
    before = first.boxes_xyxy.copy()
    decode_boxes(V8(), scene(seed=1), conf=0.001, multi_label=True)
    np.testing.assert_array_equal(first.boxes_xyxy, before)


def test_threads_do_not_share_their_scratch() -> None:
    scenes = [scene(seed=seed, anchors=2000 + 100 * seed) for seed in range(4)]
    alone = [decode_boxes(V8(), output, conf=0.001, multi_label=True).scores for output in scenes]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            together = pool.map(
                lambda output: decode_boxes(V8(), output, conf=0.001, multi_label=True), scenes
            )
            for expected, found in zip(alone, together, strict=True):
                np.testing.assert_array_equal(found.scores, expected)


def test_without_the_library_numpy_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "function", lambda *_: None)
    assert_agree(CASES["v8 odd"]())
