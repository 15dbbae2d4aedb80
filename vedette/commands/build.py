"""`vedette build`: an ONNX file with its manifest to a TensorRT engine with its own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vedette.commands._needs import need_torch

if TYPE_CHECKING:
    from vedette.export.to_engine import Built
    from vedette.runtime.manifest import Manifest


def build(
    model: Annotated[str, typer.Argument(help="A zoo name, an .onnx file or a bundle.")],
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", help="The .engine to write; its manifest goes beside it. A folder for a bundle."
        ),
    ],
    lane: Annotated[str, typer.Option(help="auto, tensorrt or tensorrt-rtx.")] = "auto",
    target: Annotated[
        str, typer.Option(help="current, or a compute capability such as sm_89. [default: any]")
    ] = "",
) -> int:
    """Compile a model into a TensorRT engine."""
    from vedette.runtime.bundle import is_bundle
    from vedette.runtime.find import find_model

    need_torch("vedette build")
    from vedette.export.build import build as build_engine
    from vedette.export.bundle import build_bundle

    found = find_model(model)
    if is_bundle(found):
        for card, built in build_bundle(found, out, lane=lane, target=target):
            _tell(card, built)
        print(f"wrote {out}, a bundle")
        return 0
    _tell(*build_engine(found, out, lane=lane, target=target))
    print(f"wrote {out} and {out.name}.json")
    return 0


def _tell(card: "Manifest", built: "Built") -> None:
    made, size = built.build, len(built.plan) / 1e6
    print(
        f"built {card.name} {card.precision} with {made['lane']} {made['version']} for {made['target']}:"
        f" {size:.1f} MB in {built.seconds:.1f} s"
    )
