"""The runner on the GPU, on a fake of the driver and of TensorRT: the same results, and only the work that was promised."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import encoders
import numpy as np
import pytest
import toy
from fakes.driver import FakeGpu
from fakes.runners import assert_equal, machine, opened, pictures, run, runners
from fakes.tensorrt_ import VERSION
from gpp import needs_gpp

from vedette.kernels._letterbox_cases import noise
from vedette.kernels.device import CudaError, device
from vedette.runtime import cuda_runner
from vedette.runtime import manifest as manifests
from vedette.runtime.backends import onnxruntime_
from vedette.runtime.cuda_readers.reader import Room
from vedette.runtime.errors import DeviceError, ModelError
from vedette.runtime.frame import Frame
from vedette.runtime.manifest import Decoder, Input, Manifest, Output
from vedette.runtime.model import find_model
from vedette.runtime.pipeline import Pipeline
from vedette.runtime.results import Result
from vedette.runtime.runner import HostRunner, Recipe, Runner
from vedette.runtime.sources import END, open_source
from vedette.runtime.tasks import Config

pytestmark = needs_gpp
VTEST = Path(__file__).parents[3] / "shared" / "data" / "vtest" / "vtest.avi"


def street(count: int) -> list[Frame]:
    """Frames of a real video where it is at hand, else drawn ones in YUV."""
    if not VTEST.is_file():
        return [Frame(noise((768, 576), "yuv420p"), "yuv420p", index=index) for index in range(count)]
    source, frames = open_source(str(VTEST)), list[Frame]()
    while len(frames) < count and (frame := source.read()) is not END:
        assert isinstance(frame, Frame)
        frames.append(replace(frame, planes=tuple(plane.copy() for plane in frame.planes)))
    source.close()
    return frames


@pytest.mark.slow
def test_a_hundred_frames_are_what_the_host_finds() -> None:
    frames = street(100)
    with machine() as gpu:
        runner, host, engine = runners(find_model("nanodet"))
        for index, frame in enumerate(frames):
            gpu.reset()
            assert_equal(run(runner, [frame]), run(host, [frame]))
            if index >= 4:  # both tracks have been warmed up and captured
                assert (gpu.counts.uploads, gpu.counts.downloads) == (1, 1)
                assert (gpu.counts.graph_launches, gpu.counts.allocations) == (1, 0)
                assert gpu.counts.synchronisations == 1
        runner.close()
        engine.close()


def test_batches_of_any_size_and_shape_are_what_the_host_finds(tmp_path: Path) -> None:
    mixed = [*pictures(2), *pictures(1, (40, 90)), Frame(noise((64, 48), "yuv420p"), "yuv420p")]
    with machine():
        runner, host, engine = runners(toy.onnx_model(tmp_path))
        for frames in (mixed, mixed[:1], mixed[1:], mixed, mixed[::-1], pictures(4), pictures(4)):
            found = run(runner, frames)
            assert_equal(found, run(host, frames))
            assert all(result.latency_ms["gpu"] > 0 for result in found)
        runner.close()
        engine.close()


@pytest.mark.parametrize(
    ("name", "suppressed"),
    [("v8 of 0 to 1", 2), ("v5", 2), ("end to end of 0 to 1", 3), ("rf-detr", 3), ("ssd, decoded", 2)],
)
def test_units_and_families_that_are_not_suppressed_mean_the_same(
    name: str, suppressed: int, tmp_path: Path
) -> None:
    """The last two are decoded on the host."""
    family, parameters, encode, _ = encoders.CASES[name]
    things = [encoders.Thing((10, 12, 90, 60), 0.9, 1), encoders.Thing((100, 30, 150, 80), 0.8, 0)]
    arrays = encode([*things, encoders.Thing((12, 12, 90, 62), 0.7, 1)], encoders.SIZE)
    width, height = encoders.SIZE
    one, four = ((batch, 3, height, width) for batch in (1, 4))
    pixels = Input("images", (-1, 3, height, width), "float32", one, one, four, pixel_format="bgr")
    outputs = tuple(Output(role, (-1, *array.shape), role=role) for role, array in arrays.items())
    card = Manifest("m", "detection", (pixels,), outputs, Decoder(family, parameters), labels=("a", "b", "c"))
    with machine():
        runner, host, engine = runners(toy.constant_model(tmp_path, card, arrays))
        for frames in (pictures(2), pictures(1)) * 2:
            found = run(runner, frames)
            assert_equal(found, run(host, frames))
            assert [len(result) for result in found] == [suppressed] * len(frames)
        runner.close()
        engine.close()


@pytest.mark.parametrize(
    "config",
    [Config(conf=0.01), Config(classes=(1,)), Config(classes=(0,)), Config(max_det=1), Config(iou=0.1)],
)
def test_options_mean_what_they_mean_on_the_host(tmp_path: Path, config: Config) -> None:
    with machine():
        runner, host, engine = runners(toy.onnx_model(tmp_path), config)
        for frames in (pictures(2), pictures(2, seed=7), pictures(2, seed=9)):
            assert_equal(run(runner, frames), run(host, frames))
        runner.close()
        engine.close()


def test_more_candidates_than_there_is_room_for_are_all_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_runner, "FIRST_ROOM", Room(2, 1))
    with machine():
        runner, host, engine = runners(toy.onnx_model(tmp_path), Config(conf=0.0, iou=1.0))
        for frames in (pictures(2), pictures(2, seed=4)):
            found = run(runner, frames)
            assert_equal(found, run(host, frames))
            assert max(map(len, found)) > 2
        runner.close()
        engine.close()


def test_two_batches_are_in_flight_and_a_third_waits(tmp_path: Path) -> None:
    with machine() as gpu:
        runner, host, engine = runners(toy.onnx_model(tmp_path))
        batches = [pictures(1, seed=index) for index in range(6)]
        pending = [runner.submit(batch) for batch in batches[:2]]
        assert gpu.counts.downloads == 0  # nobody has waited yet
        pending += [runner.submit(batch) for batch in batches[2:]]
        for work, batch in reversed(list(zip(pending, batches, strict=True))):
            assert_equal(work.results(), run(host, batch))
        runner.close()
        engine.close()


def test_a_pipeline_begins_a_batch_before_it_waits_for_the_last(tmp_path: Path) -> None:
    order: list[str] = []

    class Told:
        def __init__(self, runner: Runner) -> None:
            self.name, self.max_batch, self.in_flight, self._runner = "told", 1, runner.in_flight, runner

        def submit(self, frames: Sequence[Frame]) -> Any:
            order.append("begin")
            pending = self._runner.submit(frames)

            class Pending:
                def results(self) -> list[Result]:
                    order.append("wait")
                    return pending.results()

            return Pending()

        def close(self) -> None: ...

    with machine():
        runner, _, engine = runners(toy.onnx_model(tmp_path))
        source = open_source("synthetic:64x48@25?frames=9")
        steps = list(Pipeline({"cam0": source}, [Told(runner)]).run())
        assert [frame.index for frame, _ in steps] == list(range(9))
        assert order.count("begin") == order.count("wait") == 9
        assert order[-1] == "wait"
        runner.close()
        engine.close()


def test_where_memory_is_shared_nothing_is_copied(tmp_path: Path) -> None:
    with machine(FakeGpu(integrated=True)) as gpu:
        runner, host, engine = runners(toy.onnx_model(tmp_path))
        for frames in [pictures(2, seed=seed) for seed in range(4)]:
            assert_equal(run(runner, frames), run(host, frames))
        assert gpu.counts.uploads == gpu.counts.downloads == 0
        runner.close()
        engine.close()


def test_other_tasks_come_down_whole() -> None:
    model = find_model("selfie_segmentation")
    frames = [Frame(noise((120, 90), "yuv420p"), "yuv420p")]
    with machine():
        runner, host, engine = runners(model)
        for _ in range(3):
            (found,), (expected,) = run(runner, frames), run(host, frames)
            assert found.segmentation is not None
            assert expected.segmentation is not None
            np.testing.assert_array_equal(found.segmentation.label_map, expected.segmentation.label_map)
        runner.close()
        engine.close()


@pytest.mark.parametrize("version", ["8.6.0", VERSION])
def test_an_engine_takes_host_arrays_too(tmp_path: Path, version: str) -> None:
    with machine(version=version):
        _, onnx, engine = opened(toy.onnx_model(tmp_path), version)
        reference = onnxruntime_.OrtEngine(onnx)
        for batch in (1, 3, 1):
            feeds = engine.buffers({"images": (batch, 3, 32, 32)})
            feeds["images"][:] = np.random.default_rng(batch).random((batch, 3, 32, 32))
            expected = reference(feeds)["grid"]
            np.testing.assert_array_equal(engine(feeds)["grid"], expected)
            np.testing.assert_array_equal(engine({"images": feeds["images"].copy()})["grid"], expected)
        engine.close()


def test_the_provider_of_onnx_runtime_runs_on_the_same_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, files = manifests.load(toy.onnx_model(tmp_path))
    engine = onnxruntime_.OrtEngine(files["toy.onnx"])
    with machine() as gpu:
        bindings = onnxruntime_._Bindings(InOrder(engine._session, gpu), device())
        monkeypatch.setattr(bindings, "place", "cpu", raising=False)
        runner, host = cuda_runner.CudaRunner(Recipe(card), bindings), HostRunner(Recipe(card), engine)
        for frames in (pictures(2), pictures(2, seed=4), pictures(2, seed=8), pictures(1)):
            assert_equal(run(runner, frames), run(host, frames))
        runner.close()


class InOrder:
    """A session that runs at once must find the stream's work done, as one on the stream would."""

    def __init__(self, session: Any, gpu: FakeGpu) -> None:
        self._session, self._gpu = session, gpu

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        for handle in self._gpu.streams:
            self._gpu.drain(handle)
        self._session.run_with_iobinding(binding)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def test_an_engine_of_another_gpu_is_refused_with_what_differs(tmp_path: Path) -> None:
    with machine(FakeGpu(capability=(8, 6))), pytest.raises(ModelError) as caught:
        opened(toy.onnx_model(tmp_path))
    assert "compute_capability 8.9, here 8.6" in caught.value.why
    assert "vedette build" in caught.value.cure


def test_an_engine_of_another_version_is_refused_with_what_differs(tmp_path: Path) -> None:
    with machine(version="10.3.0"), pytest.raises(ModelError) as caught:
        opened(toy.onnx_model(tmp_path))
    assert f"version {VERSION}, here 10.3.0" in caught.value.why


def test_a_gpu_without_room_says_so(tmp_path: Path) -> None:
    with machine(FakeGpu(memory_bytes=3 << 20)):
        runner, _, engine = runners(toy.onnx_model(tmp_path))
        with pytest.raises(DeviceError) as caught:
            run(runner, pictures(4, (1920, 1080)))
        runner.close()
        engine.close()
    assert "out of memory" in caught.value.why
    assert "--imgsz" in caught.value.cure


def test_a_kernel_that_fails_is_told_and_closing_does_not_hang(tmp_path: Path) -> None:
    with machine(FakeGpu(fail_with="an illegal memory access was encountered")) as gpu:
        runner, _, engine = runners(toy.onnx_model(tmp_path))
        with pytest.raises(DeviceError, match="the GPU failed"):
            run(runner, pictures(1))
        runner.close()
        engine.close()
        with pytest.raises(CudaError, match="illegal memory access"):
            device().close()
        assert gpu.owner is None


def test_an_input_of_another_type_is_refused(tmp_path: Path) -> None:
    with machine():
        _, _, engine = opened(toy.onnx_model(tmp_path))
        with pytest.raises(ModelError, match="input images is float32, not float64"):
            engine({"images": np.zeros((1, 3, 32, 32))})
        engine.close()


def test_a_shape_outside_the_profile_is_refused(tmp_path: Path) -> None:
    with machine():
        _, _, engine = opened(toy.onnx_model(tmp_path))
        with pytest.raises(ModelError, match=r"refuses images of shape \[5, 3, 32, 32\]"):
            engine.buffers({"images": (5, 3, 32, 32)})
        engine.close()
