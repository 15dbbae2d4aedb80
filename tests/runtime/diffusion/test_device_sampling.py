"""The sampling loop on the GPU, on a fake of the driver and of TensorRT: the host's samples, and only the work promised."""

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import generators
import numpy as np
import pytest
from fakes.driver import FakeGpu
from fakes.runners import machine, opened
from fakes.tensorrt_ import VERSION
from fakes.tensorrt_ import plan as engine_plan
from generators import node
from gpp import needs_gpp

from vedette.runtime import manifest as manifests
from vedette.runtime.backends import tensorrt_
from vedette.runtime.bundle import NAME
from vedette.runtime.bundles._generator import Progress
from vedette.runtime.bundles._graphs import Graph
from vedette.runtime.bundles._sd_conditions import Denoiser, Guidance, Told
from vedette.runtime.diffusion import _device_steps, device_sampling
from vedette.runtime.diffusion.plans import Trained, names, plan
from vedette.runtime.diffusion.sampling import Hold, Limits, Noise, as_it_is, begun, sample
from vedette.runtime.diffusion.schedules import Schedule
from vedette.runtime.diffusion.updates import Update
from vedette.runtime.errors import DeviceError, ModelError
from vedette.runtime.find import find_model
from vedette.runtime.frame import Array
from vedette.runtime.generation import Generator
from vedette.runtime.request import Request

pytestmark = needs_gpp
SIDES = 3, 4, 5  # of a sample
STATES = 3, 2
SCALE = 7.5
ANY = Limits()
TRAINED = Trained(Schedule(), "epsilon")
HOST = {name for name in names() if any(update.blend for update in plan(name, TRAINED, 6).updates)}
UNREADABLE = 0xFF  # new memory holds what is no number


def denoiser(folder: Path, *, sides: tuple[int, ...] = SIDES) -> Path:
    """Its answer depends on each value of the sample, on the timestep and on the states; 64 rows together."""
    nodes = [
        node("Mul", ["timestep", "rate"], "angle"), node("Sin", ["angle"], "wave"),
        node("Reshape", ["wave", "column"], "waves"), node("Sin", ["sample"], "bent"),
        node("Mul", ["bent", "waves"], "swayed"), node("Mul", ["states", "states"], "squares"),
        node("ReduceMean", ["squares"], "mean", axes=[1, 2], keepdims=0), node("Reshape", ["mean", "column"], "means"),
        node("Add", ["swayed", "means"], "prediction"),
    ]  # fmt: skip
    tables = {"rate": np.array([0.013], np.float32), "column": np.array([-1, 1, 1, 1])}
    takes: dict[str, Sequence[int]] = {"sample": sides, "timestep": [], "states": STATES}
    generators.write(folder / "denoiser.onnx", takes, {"prediction": sides}, nodes, tables)
    return folder / "denoiser.onnx"


def states(seed: int) -> Told:
    return {"states": np.random.default_rng(seed).standard_normal((1, *STATES), np.float32)}


@dataclass(frozen=True)
class Way:
    """A run, and what it is told."""

    updates: tuple[Update, ...]
    conditions: Sequence[Told] = (states(1),)
    seeds: Sequence[int] = (5, 6, 7)
    limits: Limits = ANY
    hold: Hold = as_it_is
    rescale: float = 0.0

    def on(self, graph: Graph, progress: Progress) -> Array:
        """Its samples; where nobody looks, on the GPU if it can be."""
        noise = Noise(self.seeds)
        start = 2 * noise(graph.manifest.inputs[0].shape[1:])
        network = Denoiser(graph, list(self.conditions), start.shape, Guidance(SCALE, self.rescale))
        return sample(
            network, start, self.updates, noise, guidance=SCALE if len(self.conditions) == 2 else 1.0,
            limits=self.limits, hold=self.hold, on_device=network.on_device(progress),
        )  # fmt: skip

    def on_host(self, graph: Graph) -> Array:
        return self.on(graph, Progress(lambda *_: None))

    def on_gpu(self, graph: Graph, told: Callable[..., None] = lambda *_: None) -> Array:
        return self.on(graph, Progress(told, looks=False))


@pytest.fixture
def gpu() -> Any:
    with machine(FakeGpu(fill=UNREADABLE)) as made:
        yield made


@pytest.fixture
def graph(gpu: FakeGpu, tmp_path: Path) -> Any:
    with closing(opened_graph(denoiser(tmp_path))) as made:
        yield made


class Opened(Graph):
    """A part that closes its engine as well."""

    def close(self) -> None:
        super().close()
        self._engine(self.role).close()


def opened_graph(model: Path, **more: Any) -> Opened:
    card, _, engine = opened(model)
    return Opened("denoiser", card, lambda role: engine, **more)


GUIDED = states(2), states(1)


@pytest.mark.parametrize("conditions", [GUIDED[1:], GUIDED], ids=["plain", "guided"])
@pytest.mark.parametrize("name", [name for name in names() if name not in HOST])
def test_every_sampler_gives_the_samples_of_the_host(
    name: str, conditions: Sequence[Told], graph: Graph, gpu: FakeGpu
) -> None:
    for seeds, limits in (((5, 6, 7), ANY), ((8, 9, 4), Limits(-1, 1)), ((3,), ANY)):
        way = Way(plan(name, TRAINED, 6).updates, conditions, seeds, limits)
        expected = way.on_host(graph)
        gpu.reset()
        np.testing.assert_array_equal(way.on_gpu(graph), expected)
        assert gpu.counts.inferences == len(way.updates)
        assert gpu.counts.graph_launches >= len(way.updates) - 1  # the first step of a shape warms it up


def test_conditions_seeds_and_timesteps_count(graph: Graph) -> None:
    """Else the comparisons above would show nothing."""
    way = Way(plan("dpmpp_2m", TRAINED, 6).updates, GUIDED)
    late = tuple(replace(update, timestep=update.timestep + 40) for update in way.updates)
    changes: list[dict[str, Any]] = [
        {"conditions": GUIDED[::-1]}, {"conditions": (states(3), GUIDED[1])}, {"seeds": (5, 6, 8)}, {"updates": late}
    ]  # fmt: skip
    first = way.on_gpu(graph)
    for change in changes:
        assert np.abs(replace(way, **change).on_gpu(graph) - first).max() > 1e-3, change


@pytest.mark.parametrize(
    ("name", "conditions", "launches"),
    [("ddim", GUIDED[1:], 1), ("ddpm", GUIDED, 2), ("dpmpp_2m", GUIDED, 2), ("unipc", GUIDED, 4), ("heun", GUIDED[1:], 3)],
)  # fmt: skip
def test_a_step_is_one_upload_and_one_graph(
    name: str, conditions: Sequence[Told], launches: int, graph: Graph, gpu: FakeGpu
) -> None:
    begun_by_then: list[tuple[int, int, int]] = []

    def told(done: int, total: int, seen: object) -> None:
        counts = gpu.counts
        begun_by_then.append((counts.graph_launches, counts.allocations, counts.synchronisations))

    way = Way(plan(name, TRAINED, 9).updates, conditions)
    way.on_gpu(graph)
    gpu.reset()
    way.on_gpu(graph, told)
    steps = len(way.updates)
    assert begun_by_then == [(done, 0, 0) for done in range(1, steps + 1)]
    assert gpu.counted(
        uploads=2 + steps, graph_launches=steps, inferences=steps, launches=launches * steps, downloads=1, synchronisations=1
    )  # fmt: skip


def test_noise_goes_up_only_where_a_step_draws(
    graph: Graph, gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    device = graph._engine("denoiser").on_device.device  # type: ignore[union-attr]
    upload = device.upload

    def counted(address: int, host: Array) -> None:
        sizes.append(host.nbytes)
        upload(address, host)

    monkeypatch.setattr(device, "upload", counted)
    draws = Update(900.0, (1.0, -1.0), 0.5, denoised=(0.4, 0, 0), noise=0.3)
    way = Way((replace(draws, noise=0.0), draws, draws, replace(draws, noise=0.0)))
    found = way.on_gpu(graph)
    noise = -(-4 * len(way.seeds) * int(np.prod(SIDES)) // 256) * 256
    # what the first step does not weigh must be numbers all the same
    assert sizes[2:] == [512 + noise, 512 + noise, 512 + noise, 512]
    np.testing.assert_array_equal(found, way.on_host(graph))


def test_a_run_that_laps_its_pinned_memory_waits_once_a_lap(
    graph: Graph, gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_device_steps, "MOST_STEPS", 3)
    way = Way(plan("ddpm", TRAINED, 8).updates, GUIDED)
    found = way.on_gpu(graph)
    assert gpu.counts.synchronisations == 1 + 2
    np.testing.assert_array_equal(found, way.on_host(graph))


def test_shapes_come_and_go(graph: Graph, gpu: FakeGpu) -> None:
    ways = [Way(plan("unipc", TRAINED, 4).updates, GUIDED, range(count)) for count in (1, 2, 3, 4, 5, 6)]
    for again in (False, True):
        gpu.reset()
        for way in [*ways, *ways[::-1]]:
            np.testing.assert_array_equal(way.on_gpu(graph), way.on_host(graph))
        assert len(gpu.graphs) <= device_sampling.PROGRAMS
        assert (gpu.counts.allocations == 0) is again  # what was forgotten left its memory to others


@pytest.mark.parametrize("integrated", [False, True])
def test_where_nothing_is_captured_or_memory_is_shared_the_samples_are_the_same(
    integrated: bool, tmp_path: Path
) -> None:
    with machine(FakeGpu(integrated=integrated, fill=UNREADABLE)) as gpu:
        graph = opened_graph(denoiser(tmp_path))
        on_device: Any = graph._engine("denoiser").on_device
        on_device.capturable = integrated
        for name in ("heun", "unipc", "dpmpp_sde"):
            way = Way(plan(name, TRAINED, 5).updates, GUIDED)
            for _ in range(2):
                np.testing.assert_array_equal(way.on_gpu(graph), way.on_host(graph))
        assert bool(gpu.counts.graph_launches) is integrated
        graph.close()


# ---- what needs the host


def test_what_the_host_must_do_stays_there(graph: Graph, gpu: FakeGpu) -> None:
    updates = plan("ddim", TRAINED, 4).updates
    mixed = replace(updates[1], last_sample=0.1), replace(updates[2], denoised=(0.5, 0.2, 0.1))
    ways = [
        Way(updates, hold=lambda samples, index: 0.5 * samples), Way(updates, GUIDED, rescale=0.5), Way(()),
        Way(updates, GUIDED, range(33)), Way((updates[0], *mixed)),
        *(Way(plan(name, TRAINED, 5).updates) for name in HOST),
    ]  # fmt: skip
    for way in ways:
        expected = way.on_host(graph)
        gpu.reset()
        np.testing.assert_array_equal(way.on_gpu(graph), expected)
        assert gpu.counts.graph_launches == 0
        assert gpu.counts.uploads == gpu.counts.inferences  # one a call, and nothing at the beginning
    looked = Progress(lambda *_: None)
    assert graph.sampling((1, *SIDES), looked) is None
    assert graph.sampling((1, *SIDES), Progress(lambda *_: None, looks=False)) is not None
    beside = Denoiser(graph, [states(1)], (2, *SIDES), Guidance(1.0, 0.0), np.zeros((1, *SIDES), np.float32))
    assert beside.on_device(Progress(lambda *_: None, looks=False)) is None


def test_a_part_that_is_closed_in_turn_or_has_no_room_for_guided_step_stays_on_the_host(
    gpu: FakeGpu, tmp_path: Path
) -> None:
    unseen = Progress(lambda *_: None, looks=False)
    odd = opened_graph(denoiser(tmp_path, sides=(1, 3, 3)), rows=None)
    assert odd.sampling((1, 1, 3, 3), unseen, halves=2) is None  # the second half would not be aligned
    way = Way(plan("euler", TRAINED, 4).updates)
    np.testing.assert_array_equal(way.on_gpu(odd), way.on_host(odd))
    half = tuple(replace(spec, dtype="float16") for spec in odd.manifest.outputs)
    assert not device_sampling.fits(replace(odd.manifest, outputs=half), (1, 1, 3, 3), 1)
    odd._in_parts = True
    assert odd.sampling((1, 1, 3, 3), unseen) is None
    odd.close()


# ---- what goes wrong


@pytest.mark.parametrize("clip", [False, True])
def test_a_prediction_that_is_no_number_is_told_with_its_step(
    clip: bool, gpu: FakeGpu, tmp_path: Path
) -> None:
    folder = generators.ddpm(tmp_path / "ddpm", broken_below=500)
    graph = opened_graph(folder / "denoiser.onnx")
    noise, updates = Noise([1, 2]), plan("ddim", TRAINED, 10).updates
    start = noise(generators.PICTURES)
    on_device = graph.sampling(start.shape, Progress(lambda *_: None, looks=False))
    assert on_device is not None

    def network(samples: Array, timestep: float) -> tuple[Array, None]:
        told = np.full(len(samples), timestep, np.float32)
        return graph(sample=samples, timestep=told)["prediction"], None

    limits = Limits(-1, 1) if clip else ANY
    with pytest.raises(ModelError, match="no number in step 6 of 10"):
        sample(network, start, updates, noise, limits=limits, on_device=on_device)
    assert gpu.counts.inferences == 10 + 6
    graph.close()


@pytest.mark.parametrize("name", ["ddpm", "dpmpp_2m", "unipc", "lcm"])
@pytest.mark.parametrize("conditions", [1, 2])
def test_infinite_predictions_are_not_hidden_by_clipping(name: str, conditions: int, graph: Graph) -> None:
    infinite: Told = {"states": np.full((1, *STATES), 1e30, np.float32)}
    way = Way(plan(name, TRAINED, 5).updates, (states(1), infinite)[-conditions:], limits=Limits(-1, 1))
    with pytest.raises(ModelError, match="no number in step 1 of 5"), np.errstate(all="ignore"):
        way.on_gpu(graph)


def test_what_only_the_gpu_finds_to_be_no_number_is_made_on_the_host_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    updates, start = plan("ddpm", TRAINED, 4).updates, np.ones((1, *SIDES), np.float32)

    def network(samples: Array, timestep: float) -> tuple[Array, None]:
        return np.tanh(samples), None

    def broken(samples: Array, updates: object, weights: object, noise: Noise) -> Array:
        return samples * np.nan + noise(SIDES)

    found = sample(network, start, updates, Noise([3]), on_device=broken)
    assert "on the GPU" in caplog.text
    np.testing.assert_array_equal(found, sample(network, start, updates, Noise([3])))


def test_progress_that_fails_leaves_nothing_in_flight(graph: Graph, gpu: FakeGpu) -> None:
    def told(done: int, *_: object) -> None:
        if done == 3:
            raise KeyError("stop")

    way = Way(plan("ddpm", TRAINED, 8).updates, GUIDED)
    with pytest.raises(KeyError, match="stop"):
        way.on_gpu(graph, told)
    assert not any(gpu.streams.values())
    np.testing.assert_array_equal(way.on_gpu(graph), way.on_host(graph))


def test_a_gpu_that_fails_is_told_and_closing_does_not_hang(tmp_path: Path) -> None:
    from vedette.kernels.device import CudaError, device

    with machine(FakeGpu(fail_with="an illegal memory access was encountered")):
        graph = opened_graph(denoiser(tmp_path))
        with pytest.raises(DeviceError, match="the GPU failed"):
            Way(plan("ddim", TRAINED, 4).updates).on_gpu(graph)
        graph.close()
        with pytest.raises(CudaError, match="illegal memory access"):
            device().close()


# ---- a whole generator


def with_engines(folder: Path) -> Path:
    """A bundle whose graphs are fake engines."""
    bundle = json.loads((folder / NAME).read_text())
    for role, name in bundle["parts"].items():
        card, files = manifests.load(folder / name)
        profiles = [{spec.name: spec.bounds() for spec in card.inputs if -1 in spec.shape}]
        engine = folder / f"{role}.engine"
        engine.write_bytes(engine_plan(files[name], profiles=profiles))
        build = {"lane": "tensorrt", "version": VERSION, "compute_capability": "8.9"}
        digests = {engine.name: manifests.sha256(engine.read_bytes())}
        manifests.save(replace(card, build=build, files=digests), engine)
        bundle["parts"][role] = engine.name
        bundle["files"].pop(f"{name}.json")
        bundle["files"][f"{engine.name}.json"] = manifests.sha256(Path(f"{engine}.json").read_bytes())
    (folder / NAME).write_text(json.dumps(bundle))
    return folder


def test_a_generator_draws_on_the_gpu_unless_previews_are_wanted(
    gpu: FakeGpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = tensorrt_.TensorRtEngine.close

    def closed(engine: tensorrt_.TensorRtEngine) -> None:
        assert not gpu.graphs, "what an engine is captured in goes before it"
        close(engine)

    monkeypatch.setattr(tensorrt_.TensorRtEngine, "close", closed)
    monkeypatch.setattr(tensorrt_, "why_not", lambda: "")
    folder = with_engines(generators.ddpm(tmp_path / "ddpm"))
    for low_memory in (False, True):
        with closing(Generator(str(folder), backend="tensorrt", low_memory=low_memory)) as generator:
            for sampler in ("ddpm", "dpmpp_2m"):
                settled = generator.settled(Request(3, 5, steps=6, sampler=sampler))
                steps: list[int] = []

                def told(done: int, total: int, to: list[int] = steps) -> None:
                    to.append(done)

                expected = list(generator.draw(settled, batch=2, preview=lambda *_: None))
                gpu.reset()
                found = list(generator.draw(settled, batch=2, progress=told))
                np.testing.assert_array_equal(found, expected)
                assert steps == [*range(1, 19)]
                assert (gpu.counts.graph_launches > 0) is not low_memory


def test_tiny_sd_draws_on_the_gpu_what_it_draws_with_previews(
    gpu: FakeGpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tokenizers")
    monkeypatch.setattr(tensorrt_, "why_not", lambda: "")
    folder = with_engines(Path(shutil.copytree(find_model("tiny_sd"), tmp_path / "tiny_sd")))
    with closing(Generator(str(folder), backend="tensorrt")) as generator:
        asked = Request(3, 2, "a thick seven", 3, "dpmpp_2m", negative="three")
        settled = generator.settled(asked)
        expected = list(generator.draw(settled, preview=lambda *_: None))
        gpu.reset()
        np.testing.assert_array_equal(list(generator.draw(settled)), expected)
        assert gpu.counts.graph_launches == 2
        assert gpu.counts.launches == 3 * 2


def test_a_run_may_begin_with_a_picture(graph: Graph) -> None:
    """From a picture, as --init does."""
    run = plan("euler_ancestral", TRAINED, 8, strength=0.5)
    noise = Noise([1])
    start = begun(run, noise(SIDES), np.ones((1, *SIDES), np.float32))
    network = Denoiser(graph, list(GUIDED), start.shape, Guidance(SCALE, 0.0))
    found, expected = (
        sample(network, start, run.updates, Noise([2]), guidance=SCALE, on_device=device)
        for device in (network.on_device(Progress(lambda *_: None, looks=False)), None)
    )
    np.testing.assert_array_equal(found, expected)
