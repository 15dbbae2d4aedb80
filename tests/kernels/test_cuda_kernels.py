"""The CUDA kernels on the CPU (tests/cuda_host): equal to their references in every order of threads, clean under sanitizers."""

import re
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from cuda_host import check, launches, masks, paf
from cuda_host.shim import Library, Order, build, device_array
from gpp import needs_gpp
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.kernels import launches as kernel_launches
from vedette.kernels import nms as nms_py
from vedette.kernels import paf as paf_py
from vedette.kernels._decode_boxes_cases import CASES
from vedette.kernels._paf_cases import CASE_CHANNELS, CASE_PAIRS
from vedette.kernels._take_columns_launches import launch_take_columns
from vedette.kernels.box_layouts import V5, V8, EndToEnd, Layout, plan
from vedette.kernels.decode_boxes import IDENTITY

seeds = st.integers(0, 2**32 - 1)
pytestmark = needs_gpp
two_hundred = settings(derandomize=True, deadline=None, max_examples=200)


@cache
def library(op: str, order: Order) -> Library:
    return Library(build(op), order=order, seed=1)


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("op", check.OPS)
def test_every_case_is_the_reference(op: str, order: Order) -> None:
    check.check(op, library(op, order), drawn=0)


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("op", check.OPS)
def test_drawn_cases_are_the_reference(op: str, order: Order) -> None:
    draw = check.OPS[op][1]

    @two_hundred
    @given(seeds)
    def equal(seed: int) -> None:
        draw(library(op, order), np.random.default_rng(seed))

    equal()


@pytest.mark.parametrize("op", check.OPS)
def test_sanitizers_find_nothing(op: str) -> None:
    found = check.run(op, build(op, sanitize=True), order=Order.SHUFFLED, drawn=40, sanitize=True)
    assert found == ""


def test_nms_is_exact_over_several_chunks() -> None:
    random = np.random.default_rng(5)
    corners = random.uniform(0, 700, (4500, 2))
    boxes = np.concatenate([corners, corners + random.uniform(5, 60, (4500, 2))], axis=1).astype(np.float32)
    case = boxes, random.integers(0, 50, 4500).astype(np.float32), random.integers(0, 3, 4500)
    for max_det in (100, 3000):
        check.check_nms(library("nms", Order.FORWARD), [case], iou_threshold=0.4, max_det=max_det)


def test_decoding_is_exact_in_the_worst_case() -> None:
    case = CASES["v8 worst"]()  # 8,400 anchors of 80 classes, all candidates
    images = [(case.outputs, case.conf, IDENTITY)]
    check.check_decode_boxes(library("decode_boxes", Order.REVERSED), case.layout, images, multi_label=True)


def test_candidates_beyond_the_capacity_are_counted_and_the_first_stay() -> None:
    case = CASES["v8 ties"]()
    images = [(case.outputs, case.conf, IDENTITY)]
    ((decoded, count),) = launches.decode_boxes(
        library("decode_boxes", Order.SHUFFLED), case.layout, images, multi_label=True, capacity=50
    )
    assert count == 131 * 5
    assert decoded.anchors.tolist() == [place // 5 for place in range(50)]


def test_candidates_beyond_the_capacity_of_nms_are_ignored() -> None:
    boxes, scores, class_ids = nms_py.CASES["scattered"]()
    first = boxes[:70], scores[:70], class_ids[:70]
    all_of_them = [(boxes, scores, class_ids)]
    (kept,) = launches.nms(
        library("nms", Order.FORWARD), all_of_them, iou_threshold=0.5, max_det=300, capacity=70
    )
    expected = nms_py.nms_reference(*first, iou_threshold=0.5, max_det=300)
    assert kept.tolist() == expected.tolist()


def test_classes_that_are_not_allowed_are_as_if_they_were_not_there() -> None:
    boxes, scores, class_ids = nms_py.CASES["scattered"]()
    some = np.isin(class_ids, (0, 2))
    allowed = np.array([1, 0], np.uint8)  # ids beyond the list are not allowed either
    (kept,) = launches.nms(
        library("nms", Order.FORWARD), [(boxes, scores, class_ids)], iou_threshold=0.5, max_det=9, allowed=allowed
    )  # fmt: skip
    first = np.flatnonzero(some & (class_ids == 0))
    expected = nms_py.nms_reference(
        boxes[first], scores[first], class_ids[first], iou_threshold=0.5, max_det=9
    )
    assert kept.tolist() == first[expected].tolist()


def test_what_is_kept_is_taken_side_by_side() -> None:
    random = np.random.default_rng(2)
    arrays = launches.allocated(kernel_launches.candidate_fields(2, 8) | kernel_launches.taken_fields(2, 5))
    arrays |= {"kept": device_array((2, 5), np.int32, [[7, 0, 3, -1, -1], [-1] * 5])}
    arrays |= {"kept_counts": device_array((2,), np.int32, [3, 0])}
    for name in ("boxes", "scores", "class_ids"):
        arrays[name][:] = random.integers(0, 99, arrays[name].shape)
    at = launches.addresses(arrays)
    kernel_launches.launch_take(library("nms", Order.FORWARD).launch, at, batch=2, capacity=8, max_det=5)
    for name in ("boxes", "scores", "class_ids"):
        np.testing.assert_array_equal(arrays[f"taken_{name}"][0, :3], arrays[name][0, [7, 0, 3]])


@pytest.mark.parametrize(
    ("layout", "shape"), [(V8(extras=5), (11, 40)), (V5(extras=5), (40, 12)), (EndToEnd(), (40, 11))]
)
def test_the_last_columns_of_what_is_kept_are_taken(layout: Layout, shape: tuple[int, int]) -> None:
    images = np.random.default_rng(3).random((2, *shape)).astype(np.float32)
    arrays = {"first": device_array(images.shape, np.float32, images)}
    arrays |= {"anchor_ids": device_array((2, 8), np.int32, [range(30, 38), range(8)])}
    arrays |= {"kept": device_array((2, 3), np.int32, [[7, 0, 3], [5, -1, -1]])}
    arrays |= {"kept_counts": device_array((2,), np.int32, [3, 1])}
    arrays |= {"taken_columns": device_array((2, 3, 5), np.float32)}
    launch_take_columns(
        library("nms", Order.FORWARD).launch, launches.addresses(arrays), plan(layout, (shape,)), images[0].size, 5,
        batch=2, capacity=8, max_det=3,
    )  # fmt: skip
    rows = images.transpose(0, 2, 1) if isinstance(layout, V8) else images
    np.testing.assert_array_equal(arrays["taken_columns"][0], rows[0, [37, 30, 33], -5:])
    np.testing.assert_array_equal(arrays["taken_columns"][1, 0], rows[1, 5, -5:])


@pytest.mark.parametrize("order", Order)
def test_windows_of_more_boxes_than_a_block_has_threads_follow_each_other(order: Order) -> None:
    random = np.random.default_rng(4)
    picture = masks.drawn_picture(random, 2)._replace(size=(9, 70))
    low = random.uniform(0, (8, 60), (600, 2)).astype(np.float32)
    boxes = np.concatenate([low, low + np.float32(3)], axis=1)
    numbers = random.integers(-3, 4, (600, 2)).astype(np.float32)
    axes = [
        masks.drawn_axis(random, picture.size[way], picture.prototypes.shape[2 - way]) for way in range(2)
    ]
    picture = picture._replace(boxes=boxes, columns=numbers, across=axes[0], down=axes[1])
    masks.check_pictures(library("assemble_masks", order), [picture], max_det=601, room=4000)


def test_a_level_writes_behind_the_one_before_it() -> None:
    case = CASES["v8 ties"]()
    images = [(case.outputs, case.conf, IDENTITY)]
    first, later = (
        launches.decode_boxes(
            library("decode_boxes", Order.SHUFFLED), case.layout, images, multi_label=False, capacity=200, before=before
        )[0]
        for before in ((), (20,))
    )  # fmt: skip
    assert later[1] == first[1] + 20
    np.testing.assert_array_equal(later[0].anchors, first[0].anchors)


def test_openpose_rules_are_refused_on_the_device() -> None:
    maps = paf_py.CASES["one"]()
    rules = paf_py.Rules(CASE_PAIRS, CASE_CHANNELS, openpose=True)
    with pytest.raises(ValueError, match="on the host"):
        paf.launch(library("paf", Order.FORWARD), [maps], rules)


@dataclass(frozen=True)
class Mutant:
    """A planted bug: what is replaced, where it shows, and by what it is recognised."""

    op: str
    before: str
    after: str
    seen: str
    order: Order = Order.FORWARD
    sanitize: bool = False


DIFFERS, SANITIZER = "AssertionError", "(AddressSanitizer|runtime error: )"
MUTANTS = {
    "missing guard on a read": Mutant(
        "nms", "    if (i < candidates(counts, capacity)) keys", "    keys", SANITIZER, sanitize=True
    ),
    "missing guard on a write": Mutant(
        "letterbox",
        "if (x >= width || y >= height) return;",
        "if (x >= width) return;",
        SANITIZER,
        sanitize=True,
    ),
    "missing barrier": Mutant(
        "nms", "        __syncthreads();\n        for (int k", "        for (int k", DIFFERS
    ),
    "missing barrier before the next tile": Mutant(
        "nms",
        "count += tile[k] < mine;\n        __syncthreads();",
        "count += tile[k] < mine;",
        DIFFERS,
        Order.SHUFFLED,
    ),
    "off by one past shared memory": Mutant(
        "nms", "j < width; j++", "j <= width; j++", SANITIZER, sanitize=True
    ),
    "off by one in a count": Mutant("nms", "(n + TILE - 1) / TILE, lane", "n / TILE, lane", DIFFERS),
    "off by one past the picture": Mutant(
        "letterbox", "x1 = min(x0 + 1, p.width - 1)", "x1 = x0 + 1", SANITIZER, sanitize=True
    ),
    "misaligned vector store": Mutant(
        "letterbox",
        "if (width % PIXELS == 0) return",
        "if (width - x >= PIXELS) return",
        SANITIZER,
        sanitize=True,
    ),
    "misaligned vector load": Mutant(
        "nms",
        "const Shape box = boxes[mine];",
        "const Shape box = *(const Shape*)((const float*)(boxes + mine) - (mine > 0));",
        SANITIZER,
        sanitize=True,
    ),
    "divergent barrier": Mutant(
        "nms",
        "    __syncthreads();\n\n    const int row",
        "    if (other >= 0) __syncthreads();\n\n    const int row",
        "barrier",
    ),
    "exit before a barrier": Mutant(
        "nms", "if ((int)blockIdx.x * WARP >= n) return;", "if (i >= n) return;", "exited thread"
    ),
    "uninitialised shared memory": Mutant(
        "nms", "    if (threadIdx.x < CHUNK_TILES) removed[threadIdx.x] = 0;\n", "", DIFFERS
    ),
    "exit before a ballot": Mutant(
        "decode_boxes",
        "    const int result = anchor < anchors ?",
        "    if (anchor >= anchors) return;\n    const int result = anchor < anchors ?",
        "exited lane",
    ),
    "divergent shuffle": Mutant(
        "decode_boxes",
        "if (lane >= by) through += below;",
        "if (lane >= by) through += warp_sum(below);",
        "divergent",
    ),
    "wrong prefix sum": Mutant(
        "decode_boxes",
        "    earlier = warp_sum(earlier) + (before ? before[image] : 0);",
        "    earlier = (warp_sum(earlier) & ~31) + (before ? before[image] : 0);",
        DIFFERS,
    ),
    "ties to the higher index": Mutant(
        "nms", "<< 32 | (unsigned)i;", "<< 32 | (unsigned)(1 << 24) - i;", DIFFERS
    ),
    "an overlap equal to the threshold suppresses": Mutant(
        "nms", "b.w}) > threshold", "b.w}) >= threshold", DIFFERS
    ),
    "more peaks than there is room for": Mutant(
        "paf", "n > MAX_PEAKS ? last_of_the_best(keys, n, &count) : NONE;", "NONE;", SANITIZER, sanitize=True
    ),
    "missing barrier before the last round": Mutant(
        "paf",
        "        __syncthreads();\n        if (best == NONE) break;",
        "        if (best == NONE) break;",
        "(AssertionError|barrier)",
        Order.SHUFFLED,
    ),
    "a limb that does not give way": Mutant(
        "paf", "if (!(score_of(one) + score_of(other) > score_of(kept[k]))) continue;", "continue;", DIFFERS
    ),
    "people joined over a joint they share": Mutant(
        "paf", "if (p.masks[first] & p.masks[second]) return;", "if (first == second) return;", DIFFERS
    ),
    "missing barrier before the words": Mutant(
        "assemble_masks",
        "sum_maps(mask, tile, sums);\n        __syncthreads();",
        "sum_maps(mask, tile, sums);",
        DIFFERS,
    ),
    "missing barrier after the words": Mutant(
        "assemble_masks",
        "write_words<true>(mask, tile, sums);\n        __syncthreads();",
        "write_words<true>(mask, tile, sums);",
        DIFFERS,
    ),
    "more sums than shared memory has": Mutant(
        "assemble_masks",
        "tile.map_height > CELLS)",
        "tile.map_height > 4 * CELLS)",
        SANITIZER,
        sanitize=True,
    ),
    "rows beyond the window": Mutant(
        "assemble_masks", "    if (y >= tile.bottom) return false;\n", "", "(AssertionError|AddressSanitizer)"
    ),
    "a mask where there is no room for it": Mutant(
        "assemble_masks", "end <= room ? window.width : 0", "window.width", "exit status"
    ),
    "a box outside the picture": Mutant(
        "assemble_masks", "if (!(x2 > x1 && y2 > y1)) return", "if (x2 < x1) return", DIFFERS
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_caught(name: str) -> None:
    bug = MUTANTS[name]
    path = build(bug.op, change=(bug.before, bug.after), sanitize=bug.sanitize)
    found = check.run(bug.op, path, order=bug.order, drawn=40, sanitize=bug.sanitize)
    assert re.search(bug.seen, found)


def test_a_race_that_forward_order_hides_is_caught_in_reverse() -> None:
    before = "max_det - count);\n        __syncthreads();"
    path = build("nms", change=(before, "max_det - count);"))
    assert check.run("nms", path, order=Order.FORWARD, drawn=40, sanitize=False) == ""
    assert DIFFERS in check.run("nms", path, order=Order.REVERSED, drawn=40, sanitize=False)
