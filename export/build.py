"""The main path of export; read first. Network + weights -> ONNX -> checked against PyTorch -> manifest -> engine.

In: a network's name (a file of networks/) or MODULE:FACTORY, and weights.  Out: m.onnx + m.onnx.json, m.engine + m.engine.json.
Next: to_onnx.py, parity.py, to_engine.py, bundle.py (networks of several graphs); the runtime reads what is written here.
"""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import torch
from torch import nn

from vedette.export._lora import Lora
from vedette.export.parity import parity_of
from vedette.export.precision import half_from_full
from vedette.export.to_engine import Built, engine_from_onnx
from vedette.export.to_onnx import OPSET, onnx_from_torch
from vedette.export.weights import load_weights
from vedette.runtime import manifest as manifests
from vedette.runtime.decoders import parameters_of
from vedette.runtime.draw import write_bytes
from vedette.runtime.errors import ModelError, UsageError
from vedette.runtime.manifest import Certificate, Decoder, Input, Manifest, Output
from vedette.runtime.plugins import load, names
from vedette.runtime.preprocess import Size

NETWORKS = "vedette.export.networks"
BARE_SIZE = (640, 640)  # of a network that does not say


@dataclass(frozen=True, slots=True)
class Options:
    """How to export.

    Attributes:
        imgsz: (width, height) that the graph is fixed to, or with dynamic its typical size.
        dynamic: keep the size dynamic although imgsz is given.
        precision: fp32 or fp16; it lives in the graph.
        loras: that are put into the weights, of Stable Diffusion.
    """

    imgsz: Size | None = None
    dynamic: bool = False
    precision: str = "fp32"
    loras: tuple[Lora, ...] = ()

    def check(self) -> None:
        """Raise UsageError for a precision that is not offered."""
        if self.precision not in {"fp32", "fp16"}:
            raise UsageError(
                f"--precision {self.precision} is not offered", why="there are fp32 and fp16", cure="use fp16"
            )


def export(
    reference: str, out: Path, *, weights: Path | None = None, options: Options = Options()
) -> Manifest:
    """Export a network and write `out` and its manifest; a foreign network without a card gets none.

    Raises:
        UsageError: options that do not fit.
        ModelError: no such network or weights, or a graph that does not compute what PyTorch does.
        DiskError: `out` cannot be written.
    """
    _check_target(out, ".onnx")
    options.check()
    source = weights or zoo_weights(reference)
    module, card = network_with(source, reference, options.imgsz)
    card = sized(replace(card, precision=options.precision), options)  # type: ignore[arg-type]
    if card.decoder.family:
        parameters_of(manifests.parse(manifests.dumps(card), origin=f"the card of {reference}"))
    model = onnx_of(module, card)
    if options.precision == "fp16":
        model = half_from_full(model)
    card = replace(
        card,
        parity=parity_of(module, model, card),
        files={out.name: manifests.sha256(model)},
        reference_sha256=manifests.sha256(source.read_bytes()) if source else "",
        build={"opset": str(OPSET), "torch": torch.__version__},
    )
    write_bytes(out, model)
    if card.decoder.family:
        manifests.save(card, out)
    return card


def onnx_of(module: nn.Module, card: Manifest) -> bytes:
    """The graph of a module, or a ModelError."""
    try:
        return onnx_from_torch(module, card)
    except Exception as error:
        raise ModelError(
            f"{card.name} cannot be exported",
            why=next(iter(str(error).splitlines()), type(error).__name__)[:300],
            cure="run again with --debug; operators beyond opset 17 cannot be written",
        ) from error


def build(
    model: Path,
    out: Path,
    *,
    lane: str = "auto",
    target: str = "",
    judge: Callable[[Manifest, bytes], Certificate] | None = None,
) -> tuple[Manifest, Built]:
    """Compile a checked ONNX file into an engine and write it with its manifest.

    Args:
        model: an .onnx with its manifest.
        out: the .engine.
        lane: see to_engine.py.
        target: likewise.
        judge: sees the engine before it is written, and raises if it is not to be: verify.py.

    Raises:
        ModelError: the model is refused.
        DeviceError: nothing here can build.
        DiskError: `out` cannot be written.
    """
    if model.suffix != ".onnx":
        raise UsageError(
            f"{model.name} is not an ONNX file", why="engines are built from .onnx", cure="export one first"
        )
    _check_target(out, ".engine")
    card, data = manifests.load(model)
    weights = {name: content for name, content in data.items() if name != model.name}
    built = engine_from_onnx(data[model.name], card, lane=lane, target=target, weights=weights)
    made = {**card.build, **built.build, "onnx_sha256": manifests.sha256(data[model.name])}
    card = replace(card, files={out.name: manifests.sha256(built.plan)}, build=made, certificate=None)
    if judge:
        card = replace(card, certificate=judge(card, bytes(built.plan)))
    write_bytes(out, built.plan)
    manifests.save(card, out)
    return card, built


def _check_target(out: Path, suffix: str) -> None:
    """The suffix is how everything else knows what a file is; and an engine must not replace its model."""
    if out.suffix != suffix:
        raise UsageError(
            f"cannot write {str(out)!r}", why=f"the file must end in {suffix}", cure=f"-o model{suffix}"
        )


def network_and_card(reference: str, imgsz: Size | None = None) -> tuple[nn.Module, Manifest]:
    """The module (in eval mode) and the card of a network in the box, or of MODULE:FACTORY."""
    if ":" in reference:
        return _foreign(reference, imgsz)
    name = reference.replace("-", "_")
    if name not in names(NETWORKS):
        raise ModelError(
            f"no network {reference!r}",
            why=f"the networks here are {', '.join(names(NETWORKS))}",
            cure="name one of them, or MODULE:FACTORY for your own",
        )
    plugin = load(NETWORKS, name)
    if hasattr(plugin, "whole"):
        raise UsageError(
            f"{reference} is several graphs", why="they go into a folder", cure=f"vedette export {reference} -o {name}"
        )  # fmt: skip
    return plugin.network().eval(), plugin.card()


def network_with(
    source: Path | None, reference: str, imgsz: Size | None = None
) -> tuple[nn.Module, Manifest]:
    """The same with weights; from_weights of a network's file makes both after the weights, whatever their size."""
    name = reference.replace("-", "_")
    if source and name in names(NETWORKS) and hasattr(load(NETWORKS, name), "from_weights"):
        made: tuple[nn.Module, Manifest] = load(NETWORKS, name).from_weights(source)
        return made
    module, card = network_and_card(reference, imgsz)
    if source:
        load_weights(module, source)
    return module, card


def _foreign(reference: str, imgsz: Size | None) -> tuple[nn.Module, Manifest]:
    """FACTORY() of a Python module that is importable from here; card() beside it says how to read its outputs."""
    name, _, factory = reference.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        plugin = importlib.import_module(name)
        module: nn.Module = getattr(plugin, factory)().eval()
        card = plugin.card() if hasattr(plugin, "card") else bare_card(module, factory, imgsz or BARE_SIZE)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(
            f"cannot make a network of {reference}",
            why=f"{type(error).__name__}: {error}",
            cure="name an importable Python module and a function in it that returns the network",
        ) from error
    finally:
        sys.path.pop(0)
    if not isinstance(card, Manifest):
        raise ModelError(
            f"card() of {name} returned a {type(card).__name__}", why="it must return a Manifest"
        )
    return module, card


def bare_card(module: nn.Module, name: str, imgsz: Size) -> Manifest:
    """The card of a network that has none: pictures of one size in, tensors of unknown meaning out.

    Raises:
        ModelError: it takes no [N, 3, H, W] batch.
    """
    shape = (1, 3, imgsz[1], imgsz[0])
    try:
        with torch.inference_mode():
            outputs = module(torch.zeros(shape))
        tensors = [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)
        found = [Output(f"output{i}", (-1, *tensor.shape[1:])) for i, tensor in enumerate(tensors)]
    except Exception as error:
        raise ModelError(
            f"{name} does not run on a float32 {list(shape)} input",
            why=next(iter(str(error).splitlines()), ""),
            cure="put card() beside its factory, which returns its Manifest; or set --imgsz",
        ) from error
    pixels = Input("images", (-1, *shape[1:]), minimum=shape, typical=shape, maximum=(8, *shape[1:]))
    return Manifest(name, "image", (pixels,), tuple(found), Decoder(""))


def zoo_weights(reference: str) -> Path | None:
    """The trained weights in the box for a network, if it has any.

    Raises:
        ModelError: the network is in the box without weights.
    """
    if ":" in reference:
        return None
    folder = Path(str(files("vedette").joinpath("export", "zoo", reference.replace("-", "_"))))
    path = folder.with_name(f"{folder.name}.safetensors")
    if path.is_file():
        return path
    if (folder / "model_index.json").is_file():  # of a pipeline
        return folder
    raise ModelError(
        f"the box has no weights for {reference}",
        why="its weights may not be shipped",
        cure="give them with --weights, a file, or for stable-diffusion the folder of a pipeline",
    )


def sized(card: Manifest, options: Options) -> Manifest:
    """The card with its picture inputs fixed to, or centred on, the size that was asked for."""
    if options.imgsz is None:
        return card
    inputs = tuple(_sized(spec, options) if spec.pixel_format != "none" else spec for spec in card.inputs)
    return replace(card, inputs=inputs)


def _sized(spec: Input, options: Options) -> Input:
    from vedette.runtime.preprocess import target_size

    width, height = target_size(spec, options.imgsz)
    smallest, typical, largest = spec.bounds()
    typical = (*typical[:2], height, width)
    if options.dynamic:
        return replace(spec, typical=typical)
    rule = "letterbox" if spec.resize.rule == "multiple" else spec.resize.rule  # one shape for every picture
    return replace(
        spec,
        resize=replace(spec.resize, rule=rule),
        shape=(*spec.shape[:2], height, width),
        minimum=(*smallest[:2], height, width),
        typical=typical,
        maximum=(*largest[:2], height, width),
    )
