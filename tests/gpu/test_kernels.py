"""Every kernel on the GPU equals its reference, as it does under the shim (tests/kernels/test_cuda_kernels.py)."""

from collections.abc import Iterator

import numpy as np
import pytest
from cuda_host import check, launches

from gpu.on_device import Copied, OnDevice
from vedette.kernels._decode_boxes_cases import CASES
from vedette.kernels.decode_boxes import IDENTITY
from vedette.kernels.device import Device

pytestmark = pytest.mark.gpu
DRAWN = 100


@pytest.fixture
def library(device: Device) -> Iterator[OnDevice]:
    made = OnDevice(device)
    yield made
    made.release()


@pytest.mark.parametrize("op", check.OPS)
def test_every_case_is_the_reference(op: str, library: OnDevice) -> None:
    check.OPS[op][0](library)
    assert library.launches > 0


@pytest.mark.parametrize("op", check.OPS)
def test_drawn_cases_are_the_reference(op: str, library: OnDevice) -> None:
    random = np.random.default_rng(0)
    for _ in range(DRAWN):
        check.OPS[op][1](library, random)
        library.release()


@pytest.mark.parametrize("op", check.OPS)
def test_arrays_in_device_memory_change_nothing(op: str, device: Device) -> None:
    library = Copied(device)  # what the sanitizers run
    random = np.random.default_rng(1)
    for _ in range(5):
        check.OPS[op][1](library, random)
        library.release()


def test_nms_is_exact_over_several_chunks(library: OnDevice) -> None:
    random = np.random.default_rng(5)
    corners = random.uniform(0, 700, (4500, 2))
    boxes = np.concatenate([corners, corners + random.uniform(5, 60, (4500, 2))], axis=1).astype(np.float32)
    case = boxes, random.integers(0, 50, 4500).astype(np.float32), random.integers(0, 3, 4500)
    for max_det in (100, 3000):
        check.check_nms(library, [case], iou_threshold=0.4, max_det=max_det)


def test_decoding_is_exact_in_the_worst_case(library: OnDevice) -> None:
    case = CASES["v8 worst"]()  # 8,400 anchors of 80 classes, all candidates
    images = [(case.outputs, case.conf, IDENTITY)]
    check.check_decode_boxes(library, case.layout, images, multi_label=True)


def test_the_same_launch_gives_the_same_bits_each_time(library: OnDevice) -> None:
    case = CASES["v8 worst"]()
    images = [(case.outputs, 0.6, IDENTITY)]
    found = [
        launches.decode_boxes(library, case.layout, images, multi_label=True, capacity=5000)[0]
        for _ in range(20)
    ]
    for decoded, count in found[1:]:
        assert count == found[0][1]
        np.testing.assert_array_equal(decoded.anchors, found[0][0].anchors)
