"""The GPU of this process, the zoo's engines for it and frames of a clip; what is not here is skipped by name."""

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from vedette.kernels import device as device_py
from vedette.kernels.device import Device
from vedette.runtime.backends._driver import why_no_driver
from vedette.runtime.frame import Frame

ROOT = Path(__file__).resolve().parents[2]
CLIP = ROOT / "build" / "gpu-pack" / "clip" / "street.npz"  # made by make gpu-pack


@pytest.fixture(scope="session")
def device() -> Iterator[Device]:
    """A driver that is here must work: only its absence skips."""
    if reason := why_no_driver():
        pytest.skip(f"SKIPPED: {reason}")
    if not find_spec("pycuda"):
        pytest.skip("SKIPPED: pycuda is not installed")
    yield device_py.device()
    device_py.device().close()
    device_py.device.cache_clear()


@pytest.fixture(scope="session")
def engine_path(device: Device, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nanodet, built by the first TensorRT lane that can."""
    if not find_spec("pydantic"):
        pytest.skip("SKIPPED: pydantic is not installed")
    from vedette.export.to_engine import engine_from_onnx
    from vedette.runtime import manifest
    from vedette.runtime.errors import VedetteError

    model = ROOT / "runtime" / "zoo" / "nanodet.onnx"
    if not model.is_file():
        pytest.skip("SKIPPED: the zoo was not made; make zoo")
    card, data = manifest.load(model)
    out = tmp_path_factory.mktemp("engine") / "nanodet.engine"
    try:
        built = engine_from_onnx(data[model.name], card)
    except VedetteError as error:
        pytest.skip(f"SKIPPED: no TensorRT lane builds here: {error} ({error.why})")
    out.write_bytes(built.plan)
    card = replace(card, files={out.name: manifest.sha256(built.plan)}, build={**card.build, **built.build})
    manifest.save(card, out)
    return out


@pytest.fixture(scope="session")
def frames() -> list[Frame]:
    """yuv420p frames of a street with cyclists and cars."""
    if not CLIP.is_file():
        pytest.skip("SKIPPED: no clip; make gpu-pack")
    planes = np.load(CLIP)
    triples = zip(planes["y"], planes["u"], planes["v"], strict=True)
    return [Frame(triple, "yuv420p", index=index) for index, triple in enumerate(triples)]
