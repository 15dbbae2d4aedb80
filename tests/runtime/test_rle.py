"""Our run-length encoding is COCO's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.runtime import rle
from vedette.runtime.errors import VedetteError

coco = pytest.importorskip("pycocotools.mask")


@settings(derandomize=True, max_examples=200, deadline=None)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    share=st.sampled_from([0, 0.02, 0.5, 0.98, 1]),
    seed=st.integers(0, 99),
)
def test_text_equals_pycocotools_and_reads_back(height: int, width: int, share: float, seed: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    ours = rle.encode(mask)
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert ours["counts"] == theirs["counts"].decode()
    assert ours["size"] == list(theirs["size"])
    np.testing.assert_array_equal(rle.decode(ours), mask)


def test_long_runs_take_several_groups() -> None:
    mask = np.zeros((2000, 1500), bool)
    mask[100:1900, 3:1400] = True
    assert coco.area(rle.encode(mask)) == mask.sum()


def test_runs_that_do_not_fill_the_mask_are_refused() -> None:
    with pytest.raises(VedetteError, match="do not fill"):
        rle.decode({"size": [4, 4], "counts": "3"})
