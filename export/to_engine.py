"""engine_from_onnx: the bytes of an ONNX graph in, a TensorRT engine out, on whichever lane is installed.

Lanes are probed, not tabled: `tensorrt` (8.6, 10, 11; its Builder needs a driver) and `tensorrt-rtx` (builds anywhere).
Precision is already in the graph; no lane's precision flags are touched.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

import numpy as np

from vedette.kernels.device import CudaError, device
from vedette.runtime.backends._driver import why_no_driver
from vedette.runtime.backends.tensorrt_ import LANES
from vedette.runtime.errors import DeviceError, ModelError, UsageError
from vedette.runtime.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Built:
    """An engine and how it was made."""

    plan: bytes | memoryview  # of the builder's own memory: a large one is not held twice
    build: dict[str, str]
    seconds: float = 0.0  # that the builder took


def engine_from_onnx(
    model: bytes,
    card: Manifest,
    *,
    lane: str = "auto",
    target: str = "",
    weights: Mapping[str, bytes] = MappingProxyType({}),
) -> Built:
    """Build an engine.

    Args:
        model: a serialised ONNX graph.
        card: its manifest: bounds of dynamic axes become the optimisation profile.
        lane: auto, tensorrt or tensorrt-rtx.
        target: '' for any GPU of the lane, 'current', or sm_89 and the like (RTX only).
        weights: what the graph keeps in other files, by their names.

    Raises:
        DeviceError: the lane is not installed, or needs a driver that is not here.
        ModelError: TensorRT's parser or builder refuses the graph.
    """
    name = choose_lane(lane)
    trt = import_module(LANES[name])
    messages = _Log(trt)
    builder = trt.Builder(messages.logger)
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, messages.logger)
    if not (_parse_with(parser, model, weights) if weights else parser.parse(model)):
        raise _refused(card, name, [str(parser.get_error(index)) for index in range(parser.num_errors)])
    config = builder.create_builder_config()
    _add_profile(trt, builder, config, card)
    _set_target(trt, config, name, target)
    began = time.monotonic()
    plan = builder.build_serialized_network(network, config)
    seconds = time.monotonic() - began
    if messages.interrupted:
        raise KeyboardInterrupt
    if plan is None:
        raise _refused(card, name, messages.errors)
    facts = {"lane": name, "version": trt.__version__, "target": target or "any"}
    held = np.frombuffer(plan, np.uint8).data  # plain bytes, which its own buffer does not say that it holds
    return Built(held, facts | {"layers": str(network.num_layers)} | _built_on(), seconds)


def _parse_with(parser: Any, model: bytes, weights: Mapping[str, bytes]) -> bool:
    """Parse a graph whose weights are in other files, from the bytes that were hashed; they are not copied."""
    import onnx

    if not hasattr(parser, "load_initializer"):
        raise ModelError(
            "this TensorRT takes no weights from memory",
            why="a large model keeps them beside its graph",
            cure="use --lane tensorrt-rtx, or TensorRT 10.13 or newer",
        )
    graph = onnx.load_from_string(model).graph
    if not parser.load_model_proto(model):
        return False
    at = {name: np.frombuffer(data, np.uint8).ctypes.data for name, data in weights.items()}
    for tensor in graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            told = {entry.key: entry.value for entry in tensor.external_data}
            offset, length = int(told.get("offset", 0)), int(told["length"])
            if offset < 0 or length < 0 or offset + length > len(weights[told["location"]]):
                raise ModelError(
                    f"{tensor.name} lies outside {told['location']}",
                    why="its graph is for another file",
                    cure="export it again",
                )
            if not parser.load_initializer(tensor.name, at[told["location"]] + offset, length):
                return False
    parsed: bool = parser.parse_model_proto()
    return parsed


def _built_on() -> dict[str, str]:
    """The GPU of this machine, if there is one: an engine that another refuses says where it came from."""
    if why_no_driver():
        return {}
    try:
        gpu = device()
    except CudaError:  # its kernels cannot run, which building does not need
        return {}
    return {"compute_capability": ".".join(map(str, gpu.capability)), "driver": str(gpu.driver)}


def choose_lane(lane: str) -> str:
    """A lane that is installed and can build here; auto prefers full TensorRT where a driver is."""
    if lane not in {"auto", *LANES}:
        raise UsageError(
            f"no lane {lane!r}", why=f"there are auto, {', '.join(LANES)}", cure="name one of them"
        )
    driver = why_no_driver()
    reasons = {name: _why_not(name, module, driver) for name, module in LANES.items()}
    for name in LANES if lane == "auto" else [lane]:
        if not reasons[name]:
            return name
    asked = reasons if lane == "auto" else {lane: reasons[lane]}
    raise DeviceError(
        "no TensorRT lane can build here" if lane == "auto" else f"{lane} cannot build here",
        why="; ".join(f"{name}: {reason}" for name, reason in asked.items()),
        cure="pip install 'vedette[rtx]', which builds without a GPU",
    )


def _why_not(name: str, module: str, driver: str) -> str:
    if not find_spec(module):
        return "not installed"
    return f"its Builder needs a driver ({driver})" if driver and name == "tensorrt" else ""


def _network_flags(trt: Any) -> int:
    """Strong typing where it is a choice (10, RTX); explicit batch where it is one (8.6)."""
    flags = trt.NetworkDefinitionCreationFlag
    if trt.__name__ == "tensorrt" and trt.__version__.startswith("8."):
        return 1 << int(flags.EXPLICIT_BATCH)
    return 1 << int(flags.STRONGLY_TYPED) if hasattr(flags, "STRONGLY_TYPED") else 0


def _add_profile(trt: Any, builder: Any, config: Any, card: Manifest) -> None:
    dynamic = [spec for spec in card.inputs if -1 in spec.shape]
    if not dynamic:
        return
    profile = builder.create_optimization_profile()
    for spec in dynamic:
        profile.set_shape(spec.name, *spec.bounds())
    config.add_optimization_profile(profile)
    sharing = getattr(getattr(trt, "PreviewFeature", None), "PROFILE_SHARING_0806", None)
    if sharing is not None:  # 8.6, where it is a choice; a running engine has several contexts
        config.set_preview_feature(sharing, True)


def _set_target(trt: Any, config: Any, lane: str, target: str) -> None:
    if not target or (target == "current" and lane == "tensorrt"):
        return
    capability = getattr(getattr(trt, "ComputeCapability", None), target.upper().replace("_", ""), None)
    if capability is None or (target == "current" and why_no_driver()):
        raise UsageError(
            f"--target {target} cannot be built by {lane}",
            why=why_no_driver()
            if target == "current"
            else "it is no compute capability that this lane knows",
            cure="leave --target out for an engine that any GPU of the lane can load, or name one such as sm_89",
        )
    config.num_compute_capabilities = 1
    config.set_compute_capability(capability, 0)


def _refused(card: Manifest, lane: str, reasons: list[str]) -> ModelError:
    return ModelError(
        f"{lane} refuses the graph of {card.name}",
        why="; ".join(reasons)[:400] or "it gave no reason",
        cure="try another lane, or run the .onnx with --backend onnxruntime",
    )


class _Log:
    """Keeps TensorRT's errors, so that they can be told as ours; warnings go to nobody.

    Ctrl-C is noticed in whatever Python code runs next, which is often this callback, and C++ would swallow it there.
    """

    def __init__(self, trt: Any) -> None:
        self.errors: list[str] = []
        self.interrupted = False
        outer = self

        class Logger(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                try:
                    if severity <= trt.ILogger.ERROR:
                        outer.errors.append(message)
                except KeyboardInterrupt:
                    outer.interrupted = True

        self.logger = Logger()
