"""`vedette inspect`: what a model is, from its manifest, after checking its hashes."""

from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from vedette.commands._certificates import certificate_lines
from vedette.runtime.manifest import Manifest


def inspect(
    file: Annotated[str, typer.Argument(help="A zoo name, .onnx, .engine or a bundle's folder.")],
    json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> int:
    """Show a model's manifest, with every hash checked."""
    from vedette.runtime import bundle as bundles
    from vedette.runtime import manifest as manifests
    from vedette.runtime.find import find_model

    path = find_model(file)
    if bundles.is_bundle(path):
        return _inspect_bundle(path, as_json=json)
    if path.suffix == ".onnx" and path.is_file() and not manifests.path_beside(path).exists():
        return _inspect_bare(path, as_json=json)
    card, files = manifests.load(path)
    if json:
        print(manifests.dumps(card), end="")
        return 0
    _print_graph(str(path), card, sum(len(data) for data in files.values()))
    _print_origin(card)
    return 0


def _inspect_bare(path: Path, *, as_json: bool) -> int:
    """What a graph without a manifest says of itself."""
    from vedette.runtime import manifest as manifests
    from vedette.runtime.onnx_file import graph_of

    graph = graph_of(manifests.read(path))
    if as_json:
        print(dumps(asdict(graph), indent=1))
        return 0
    print(f"{path}: no manifest; made by {graph.producer or 'nobody who says so'}")
    for kind, tensors in (("input", graph.inputs), ("output", graph.outputs)):
        for tensor in tensors:
            print(f"  {kind:7}{tensor.name} {tensor.dtype or 'of another type'} {list(tensor.shape)}")
    for key, value in graph.metadata.items():
        print(f"  {key:12}{value}")
    print(f"vedette adopt {path.name} -o NAME.onnx writes its manifest")
    return 0


def _inspect_bundle(folder: Path, *, as_json: bool) -> int:
    from vedette.runtime import bundle as bundles

    loaded = bundles.load(folder)
    if as_json:
        print(bundles.dumps(loaded.bundle), end="")
        return 0
    bundle, card = loaded.bundle, loaded.card
    size = f"{loaded.size / 1e6:.1f} MB"
    print(f"{folder}: {card.name}, {card.task}, {len(loaded.parts)} parts, {size}, hashes match")
    told = ", ".join(f"{name} {value}" for name, value in bundle.parameters.items() if value != [])
    print(f"  kind {bundle.kind}: {told}; {len(card.labels)} labels")
    _print_words(card)
    _print_certificate(card)
    for role, part in loaded.parts.items():
        _print_graph(f"{role}: {part.path.name}", part.manifest, sum(map(len, part.files.values())))
        _print_origin(part.manifest, words=False)
    return 0


def _print_graph(name: str, card: Manifest, size: int) -> None:
    print(f"{name}: {card.name}, {card.task}, {card.precision}, {size / 1e6:.1f} MB, hashes match")
    for kind, tensors in (("input", card.inputs), ("output", card.outputs)):
        for tensor in tensors:
            print(f"  {kind:7}{tensor.name} {tensor.dtype} {list(tensor.shape)}")
    print(f"  decoder {card.decoder.family}, {len(card.labels)} labels")


def _print_origin(card: Manifest, *, words: bool = True) -> None:
    if words:
        _print_words(card)
    for key, value in card.build.items():
        print(f"  built    {key} {value}")
    for row in card.parity:
        print(f"  parity   {asdict(row)}")
    _print_certificate(card)


def _print_certificate(card: Manifest) -> None:
    if card.certificate is not None:
        for line in certificate_lines(card.certificate):
            print(f"  {line}")


def _print_words(card: Manifest) -> None:
    for key, value in (("licence", card.licence), ("from", card.provenance), ("accuracy", card.accuracy)):
        print(f"  {key:9}{value or 'not said'}")
