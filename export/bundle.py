"""A network of several graphs to a folder: each part to ONNX, checked against PyTorch, with its manifest; then bundle.json.

In: a network's name, and weights.  Out: FOLDER/bundle.json, ROLE.onnx, ROLE.onnx.json; or the same with engines.
Next: build.py (the same for one graph), _bundle_parity.py; the runtime reads what is written here with runtime/bundle.py.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from vedette.export._bundle_parity import parity_of_part, pictures
from vedette.export._half import half_inside
from vedette.export._streamed import export_streamed
from vedette.export.build import NETWORKS, Options, build, onnx_of, zoo_weights
from vedette.export.networks._whole import Graph, StreamedWhole, Tensors, Whole
from vedette.export.to_engine import Built
from vedette.export.to_onnx import OPSET
from vedette.runtime import bundle as bundles
from vedette.runtime import manifest as manifests
from vedette.runtime.draw import write_bytes
from vedette.runtime.errors import UsageError
from vedette.runtime.manifest import Manifest
from vedette.runtime.plugins import load, names


def is_whole(reference: str) -> bool:
    """Whether a network in the box is several graphs."""
    name = reference.replace("-", "_")
    return name in names(NETWORKS) and hasattr(load(NETWORKS, name), "whole")


def export_bundle(
    reference: str,
    out: Path,
    *,
    weights: Path | None = None,
    options: Options = Options(),
    tell: Callable[[str], None] = lambda _: None,
) -> list[Manifest]:
    """Export a network of several graphs into a folder.

    Args:
        reference: its name.
        out: the folder.
        weights: of it; those in the box if not given.
        options: how.
        tell: is told what whoever waits should know.

    Returns:
        The manifest of every part.

    Raises:
        UsageError: options that do not fit.
        ModelError: no such weights, or a graph that does not compute what PyTorch does.
        DiskError: `out` cannot be written.
    """
    _check_folder(out)
    options.check()
    if options.dynamic:
        raise UsageError(
            f"--dynamic is not offered for {reference}",
            why="the parts of a bundle are all made for one size",
            cure="leave it out; the batch is dynamic anyway",
        )
    source = weights or zoo_weights(reference)
    network = load(NETWORKS, reference.replace("-", "_"))
    if hasattr(network, "STREAMED"):
        return _streamed(network.whole(source, options.imgsz, options.loras), out, options.precision, tell)
    if options.loras:
        raise UsageError(
            f"--lora does not fit {reference}", why="it is made for Stable Diffusion", cure="leave it out"
        )
    whole: Whole = network.whole(source, options.imgsz)
    digest = manifests.sha256(source.read_bytes()) if source else ""
    feeds = [whole.feeds(images) for images in pictures(next(iter(whole.graphs.values())).card.inputs[0])]
    cards = [
        _exported(graph, out / f"{role}.onnx", [each[role] for each in feeds], options.precision, digest)
        for role, graph in whole.graphs.items()
    ]
    bundles.save(replace(whole.bundle, parts={role: f"{role}.onnx" for role in whole.graphs}), out)
    return cards


def _streamed(whole: StreamedWhole, out: Path, precision: str, tell: Callable[[str], None]) -> list[Manifest]:
    """Write a whole whose parts may be large, one after the other."""
    for note in whole.notes:
        tell(note)
    feeds = whole.feeds()
    cards = []
    for role, part in whole.graphs.items():
        began = time.monotonic()
        cards.append(export_streamed(part, out / f"{role}.onnx", feeds[role], precision))
        island = cards[-1].build.get("fp16_island", "")
        tell(f"{role}: {time.monotonic() - began:.0f} s{island and ', '}{island}")
    for name, data in whole.files.items():
        write_bytes(out / name, data)
    parts = {role: f"{role}.onnx" for role in whole.graphs}
    bundles.save(replace(whole.bundle, parts=parts, files=dict.fromkeys(whole.files, "")), out)
    return cards


def _exported(graph: Graph, path: Path, feeds: list[Tensors], precision: str, digest: str) -> Manifest:
    """Write one part and its manifest."""
    card = replace(graph.card, precision=precision)  # type: ignore[arg-type]
    model = onnx_of(graph.module, card)
    if precision == "fp16":
        model = half_inside(model, graph.half)
    card = replace(
        card,
        parity=parity_of_part(graph, model, card, feeds),
        files={path.name: manifests.sha256(model)},
        reference_sha256=digest,
        build={"opset": str(OPSET), "torch": torch.__version__},
    )
    write_bytes(path, model)
    manifests.save(card, path)
    return card


def build_bundle(
    folder: Path, out: Path, *, lane: str = "auto", target: str = ""
) -> Iterator[tuple[Manifest, Built]]:
    """Compile every part of a bundle into an engine; yields each when it is written, bundle.json comes last.

    Raises:
        ModelError: a part is refused.
        DeviceError: nothing here can build.
        DiskError: `out` cannot be written.
    """
    _check_folder(out)
    if out.resolve() == folder.resolve():
        raise UsageError(
            f"cannot write into {str(out)!r}", why="the engines would be mixed with their models", cure="-o another folder"
        )  # fmt: skip
    loaded = bundles.load(folder)
    bundle = loaded.bundle
    parts = {role: f"{role}.engine" for role in bundle.parts}
    for role, name in bundle.parts.items():
        yield build(folder / name, out / parts[role], lane=lane, target=target)
    for name, data in loaded.files.items():
        write_bytes(out / name, data)
    bundles.save(replace(bundle, parts=parts, files=dict.fromkeys(loaded.files, "")), out)


def _check_folder(out: Path) -> None:
    if out.suffix in {".onnx", ".engine"} or out.is_file():
        raise UsageError(
            f"cannot write {str(out)!r}",
            why="this model is several graphs, which go into a folder",
            cure=f"-o {out.stem or 'model'}",
        )
