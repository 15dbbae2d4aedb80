"""`vedette build`: an ONNX file with its manifest to a TensorRT engine with its own."""

from pathlib import Path
from typing import Annotated

import typer

from vedette.commands._needs import need_torch


def build(
    model: Annotated[str, typer.Argument(help="A zoo name or an .onnx file.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="The .engine to write; its manifest goes beside it.")
    ],
    lane: Annotated[str, typer.Option(help="auto, tensorrt or tensorrt-rtx.")] = "auto",
    target: Annotated[
        str, typer.Option(help="current, or a compute capability such as sm_89. [default: any]")
    ] = "",
) -> int:
    """Compile a model into a TensorRT engine."""
    from vedette.runtime.model import find_model

    need_torch("vedette build")
    from vedette.export.build import build as build_engine

    card, built = build_engine(find_model(model), out, lane=lane, target=target)
    made = built.build
    size = len(built.plan) / 1e6
    print(
        f"built {card.name} {card.precision} with {made['lane']} {made['version']} for {made['target']}: {size:.1f} MB"
    )
    print(f"wrote {out} and {out.name}.json")
    return 0
