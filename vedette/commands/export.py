"""`vedette export`: a network in the box, or your own, to ONNX with its manifest."""

from pathlib import Path
from typing import Annotated

import typer

from vedette.commands._tables import parity_table
from vedette.commands.run import parse_size


def export(
    network: Annotated[
        str, typer.Argument(metavar="NAME|MODULE:FACTORY", help="A network in the box, or your own.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", help="The .onnx to write; its manifest goes beside it. A folder for a bundle."
        ),
    ],
    weights: Annotated[
        Path | None, typer.Option(help="Trained weights: .safetensors, or a .pt state dict.")
    ] = None,
    imgsz: Annotated[str, typer.Option(help="Fix the input to a side, or WIDTHxHEIGHT.")] = "",
    dynamic: Annotated[
        bool, typer.Option("--dynamic", help="With --imgsz: keep other sizes possible.")
    ] = False,
    precision: Annotated[str, typer.Option(help="fp32 or fp16; it lives in the graph.")] = "fp32",
) -> int:
    """Export a PyTorch network to ONNX, check it against PyTorch, and write its manifest."""
    from vedette.commands._needs import need_torch

    need_torch("vedette export")
    from vedette.export.build import Options
    from vedette.export.build import export as export_network
    from vedette.export.bundle import export_bundle, is_whole

    options = Options(parse_size(imgsz), dynamic, precision)
    if is_whole(network):
        parity_table(export_bundle(network, out, weights=weights, options=options))
        print(f"wrote {out}, a bundle")
        return 0
    card = export_network(network, out, weights=weights, options=options)
    parity_table([card])
    if card.decoder.family:
        print(f"wrote {out} and {out.name}.json")
    else:
        print(
            f"wrote {out}, without a manifest: nothing says how to read its outputs. Next: vedette adopt {out} -o {out}"
        )
    return 0
