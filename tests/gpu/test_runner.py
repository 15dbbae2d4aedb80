"""CudaRunner on the GPU: what HostRunner finds with the same engine, in memory that stays as it is."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vedette.kernels.device import Device
from vedette.runtime.frame import Frame
from vedette.runtime.runner import HostRunner, Recipe, Runner
from vedette.runtime.tasks import Config

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def model(engine_path: Path) -> Iterator[Any]:
    pytest.importorskip("yaml", reason="SKIPPED: PyYAML is not installed")
    from vedette.runtime.model import Model

    made = Model(engine_path, conf=0.2)
    yield made
    made.close()


def results(runner: Runner, frames: list[Frame]) -> list[Any]:
    """With as many batches in flight as the runner takes."""
    pending, found = [], []
    for frame in frames:
        pending.append(runner.submit([frame]))
        if len(pending) == runner.in_flight:
            found += pending.pop(0).results()
    return found + [result for rest in pending for result in rest.results()]


def test_a_clip_gives_what_the_host_runner_finds(model: Any, frames: list[Frame]) -> None:
    host = HostRunner(Recipe(model.manifest, Config(conf=0.2)), model.engine)
    found, expected = results(model.runner(), frames), results(host, frames)
    assert sum(len(result) for result in expected) > len(frames) // 2, "a street has cyclists and cars"
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.boxes.cls, other.boxes.cls)
        np.testing.assert_allclose(one.boxes.conf, other.boxes.conf, rtol=1e-5)
        np.testing.assert_allclose(one.boxes.xyxy, other.boxes.xyxy, rtol=1e-5, atol=1e-2)


def test_memory_stays_flat_over_a_thousand_frames(device: Device, model: Any, frames: list[Frame]) -> None:
    runner = model.runner()
    results(runner, [frames[index % len(frames)] for index in range(50)])
    before = device.call(_free_bytes)
    results(runner, [frames[index % len(frames)] for index in range(1000)])
    assert device.call(_free_bytes) >= before - (1 << 20)


def _free_bytes() -> int:
    free, _ = import_module("pycuda.driver").mem_get_info()
    return int(free)
