"""The NEON level of kernels whose own tests do not run it."""

import numpy as np
import pytest
from neon import Call, on_arm

from vedette.kernels.nms import CASES, nms_reference


@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_nms_keeps_the_same_boxes_on_arm(threshold: float) -> None:
    cases = [make() for make in CASES.values()]
    calls = []
    for boxes, scores, class_ids in cases:
        arrays = boxes.astype(np.float32), scores.astype(np.float32), class_ids.astype(np.int64)
        most = min(len(boxes), 300)
        calls.append(
            Call("vedette_nms", [*arrays, len(boxes), threshold, most, np.full(max(most, 1), -1, np.int64)])
        )
    for case, (count, (*_, keep)) in zip(cases, on_arm(calls), strict=True):
        expected = nms_reference(*case, iou_threshold=threshold, max_det=300)
        assert keep[:count].tolist() == expected.tolist()
