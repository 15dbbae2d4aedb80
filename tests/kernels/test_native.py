"""The C++ library: built from these sources, at every level of this processor, and missed aloud."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vedette.kernels import native
from vedette.kernels.native import F32, INT

KERNELS = Path(__file__).parents[2] / "kernels"


def test_the_library_was_built_from_these_sources() -> None:
    if not (KERNELS / native.NAME).is_file():
        pytest.skip("the checkout has no library of its own")
    sources = sorted(KERNELS.glob("native/*.cpp"))
    headers = sorted([*KERNELS.glob("*.h"), *KERNELS.glob("native/*.h"), *KERNELS.glob("native/*.inc")])
    expected = hashlib.sha256(b"".join(path.read_bytes() for path in sources + headers)).hexdigest()[:16]
    assert native.digest() == expected, "pip install -e . again"


@pytest.mark.parametrize("wanted", [0, 1, 2])
def test_a_lower_level_can_be_forced(wanted: int) -> None:
    script = "from vedette.kernels import native; print(native.level())"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "VEDETTE_CPU": str(wanted)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout) == min(wanted, native.level())


@pytest.mark.parametrize(
    "wrong", [np.zeros(4), np.zeros((4, 4), np.float32)[:, ::2], np.zeros(4, np.float16)]
)
def test_an_array_of_another_type_or_stride_is_refused(
    wrong: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]",
) -> None:
    with pytest.raises(TypeError, match="want C-contiguous float32"):
        F32.from_param(wrong)


def test_without_the_library_numpy_runs_and_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "NAME", "absent.so")
    native.library.cache_clear()
    native._function.cache_clear()
    with pytest.warns(RuntimeWarning, match="not built") as told:
        assert (native.function("vedette_nms", [INT]), native.function("other", [INT]), native.level()) == (
            None,
            None,
            -1,
        )
    assert len(told) == 1
    monkeypatch.undo()
    native.library.cache_clear()
    native._function.cache_clear()
