"""Generators of a few weights as bundles, whose pictures are known: 4 x 4 pixels, one channel.

vae    the latents are the pixels; its encoder says so too, with a deviation of e^-2
gan    the latents, through a tanh
ddpm   knows one picture, and predicts exactly what of a sample is noise: every sampler ends with that picture
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.runtime import bundle as bundles
from vedette.runtime import manifest as manifests
from vedette.runtime.bundle import Bundle
from vedette.runtime.diffusion.schedules import Schedule
from vedette.runtime.manifest import Decoder, Input, Manifest, Output

Array = NDArray[Any]
SIDE = 4
LATENTS = SIDE * SIDE
LOG_VARIANCE = -4.0
KNOWN = np.linspace(-0.75, 0.75, LATENTS, dtype=np.float32).reshape(1, SIDE, SIDE)  # -1 is black
PICTURES = 1, SIDE, SIDE


def node(name: str, inputs: Sequence[str], output: str, **more: Any) -> Any:
    from onnx import helper

    return helper.make_node(name, list(inputs), [output], **more)


def write(path: Path, inputs: Mapping[str, Sequence[int]], outputs: Mapping[str, Sequence[int]], nodes: Sequence[Any],
          tables: Mapping[str, Array]) -> None:  # fmt: skip
    """One part, [batch, …] in and out, with its manifest."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def infos(tensors: Mapping[str, Sequence[int]]) -> list[Any]:
        return [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *sides])
            for name, sides in tensors.items()
        ]

    weights = [numpy_helper.from_array(np.asarray(table), name) for name, table in tables.items()]
    graph = helper.make_graph(list(nodes), path.stem, infos(inputs), infos(outputs), weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    specs = tuple(
        Input(name, (-1, *sides), minimum=(1, *sides), typical=(1, *sides), maximum=(64, *sides))
        for name, sides in inputs.items()
    )
    results = tuple(Output(name, (-1, *sides), role=name) for name, sides in outputs.items())
    files = {path.name: manifests.sha256(path.read_bytes())}
    manifests.save(Manifest(path.stem, "generation", specs, results, Decoder("part"), files=files), path)


def saved(folder: Path, kind: str, parts: Sequence[str], parameters: Mapping[str, Any]) -> Path:
    names = {role: f"{role}.onnx" for role in parts}
    given = {"channels": 1, "size": [SIDE, SIDE], **parameters}
    bundles.save(Bundle(folder.name, kind, "generation", names, {}, parameters=given, licence="MIT"), folder)
    return folder


def gan(folder: Path) -> Path:
    folder.mkdir()
    nodes = [node("Tanh", ["latents"], "flat"), node("Reshape", ["flat", "shape"], "images")]
    shape = {"shape": np.array([-1, *PICTURES])}
    write(folder / "generator.onnx", {"latents": [LATENTS]}, {"images": PICTURES}, nodes, shape)
    return saved(folder, "gan", ["generator"], {"latents": LATENTS})


def vae(folder: Path) -> Path:
    folder.mkdir()
    nodes = [
        node("Flatten", ["images"], "mean"),
        node("Mul", ["mean", "zero"], "nothing"),
        node("Add", ["nothing", "spread"], "log_variance"),
    ]
    numbers = {"zero": np.zeros(1, np.float32), "spread": np.array([LOG_VARIANCE], np.float32)}
    found = {"mean": [LATENTS], "log_variance": [LATENTS]}
    write(folder / "encoder.onnx", {"images": PICTURES}, found, nodes, numbers)
    shape = {"shape": np.array([-1, *PICTURES])}
    nodes = [node("Reshape", ["latents", "shape"], "images")]
    write(folder / "decoder.onnx", {"latents": [LATENTS]}, {"images": PICTURES}, nodes, shape)
    return saved(folder, "vae", ["encoder", "decoder"], {"latents": LATENTS})


def ddpm(
    folder: Path,
    *,
    prediction: str = "epsilon",
    broken_below: int = 0,
    picture: Array = KNOWN,
    **parameters: Any,
) -> Path:
    """One that predicts NaN at timesteps below `broken_below`."""
    folder.mkdir()
    schedule = Schedule(parameters.get("schedule", "linear"))
    bars = schedule.alpha_bars()
    alphas, sigmas = (np.sqrt(share).reshape(-1, 1, 1, 1).astype(np.float32) for share in (bars, 1 - bars))
    sigmas[:broken_below] = np.nan
    # noise = (sample - alpha picture) / sigma; v = alpha noise - sigma picture
    ends = {
        "epsilon": [node("Identity", ["noise"], "prediction")],
        "v": [
            node("Mul", ["alpha", "noise"], "one"), node("Mul", ["sigma", "picture"], "other"),
            node("Sub", ["one", "other"], "prediction"),
        ],
        "sample": [
            node("Mul", ["noise", "zero"], "nothing"), node("Add", ["nothing", "picture"], "prediction"),
        ],
    }  # fmt: skip
    nodes = [
        node("Round", ["timestep"], "rounded"),
        node("Cast", ["rounded"], "step", to=7),
        node("Gather", ["alphas", "step"], "alpha", axis=0),
        node("Gather", ["sigmas", "step"], "sigma", axis=0),
        node("Mul", ["alpha", "picture"], "signal"),
        node("Sub", ["sample", "signal"], "rest"),
        node("Div", ["rest", "sigma"], "noise"),
        *ends[prediction],
    ]
    tables = {"alphas": alphas, "sigmas": sigmas, "picture": picture[None], "zero": np.zeros(1, np.float32)}
    takes = {"sample": PICTURES, "timestep": []}
    write(folder / "denoiser.onnx", takes, {"prediction": PICTURES}, nodes, tables)
    return saved(
        folder, "ddpm", ["denoiser"], {"prediction": prediction, "sampler": "ddim", "steps": 10, **parameters}
    )
