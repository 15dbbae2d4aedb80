"""`vedette inspect`: what a model file is, from its manifest, after checking its hashes."""

from dataclasses import asdict
from typing import Annotated

import typer


def inspect(
    file: Annotated[str, typer.Argument(help="A zoo name, .onnx or .engine.")],
    json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> int:
    """Show a model's manifest, with every hash checked."""
    from vedette.runtime import manifest as manifests
    from vedette.runtime.model import find_model

    path = find_model(file)
    card, files = manifests.load(path)
    if json:
        print(manifests.dumps(card), end="")
        return 0
    size = sum(len(data) for data in files.values())
    print(f"{path}: {card.name}, {card.task}, {card.precision}, {size / 1e6:.1f} MB, hashes match")
    for kind, tensors in (("input", card.inputs), ("output", card.outputs)):
        for tensor in tensors:
            print(f"  {kind:7}{tensor.name} {tensor.dtype} {list(tensor.shape)}")
    print(f"  decoder {card.decoder.family}, {len(card.labels)} labels")
    for key, value in (("licence", card.licence), ("from", card.provenance), ("accuracy", card.accuracy)):
        print(f"  {key:9}{value or 'not said'}")
    for key, value in card.build.items():
        print(f"  built    {key} {value}")
    for row in card.parity:
        print(f"  parity   {asdict(row)}")
    return 0
