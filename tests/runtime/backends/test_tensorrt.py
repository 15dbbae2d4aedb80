"""TensorRT engines on a real GPU."""

from pathlib import Path

import numpy as np
import pytest
import toy

from vedette.runtime import manifest as manifests
from vedette.runtime.backends._driver import why_no_driver
from vedette.runtime.engine import open_engine

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(bool(why_no_driver()), reason=why_no_driver())]


@pytest.mark.parametrize("batch", [1, 3])
def test_an_engine_built_here_computes_what_onnx_runtime_does(tmp_path: Path, batch: int) -> None:
    from vedette.export.build import build

    model = toy.onnx_model(tmp_path)
    build(model, tmp_path / "toy.engine")
    images = np.random.default_rng(0).random((batch, 3, 32, 32), np.float32)
    outputs = []
    for path in (model, tmp_path / "toy.engine"):
        card, files = manifests.load(path)
        engine = open_engine(path, card, files)
        outputs.append(engine({"images": images})["grid"].copy())
        engine.close()
    np.testing.assert_allclose(outputs[1], outputs[0], atol=1e-3)
