"""`vedette export`: a network in the box, or your own, to ONNX with its manifest."""

from pathlib import Path
from typing import Annotated

import typer

from vedette.commands._tables import parity_table
from vedette.commands.run import parse_size
from vedette.runtime.errors import UsageError


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
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Of stable-diffusion: a pipeline folder of diffusers."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Trained weights: .safetensors, or a .pt state dict.")
    ] = None,
    imgsz: Annotated[str, typer.Option(help="Fix the input to a side, or WIDTHxHEIGHT.")] = "",
    dynamic: Annotated[
        bool, typer.Option("--dynamic", help="With --imgsz: keep other sizes possible.")
    ] = False,
    precision: Annotated[str, typer.Option(help="fp32 or fp16; it lives in the graph.")] = "fp32",
    lora: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE[:SCALE]", help="Of stable-diffusion: a LoRA to fuse, again for more."),
    ] = None,
) -> int:
    """Export a PyTorch network to ONNX, check it against PyTorch, and write its manifest."""
    from vedette.commands._needs import need_torch

    need_torch("vedette export")
    from vedette.export._lora import parsed
    from vedette.export.build import Options
    from vedette.export.build import export as export_network
    from vedette.export.bundle import export_bundle, is_whole

    options = Options(parse_size(imgsz), dynamic, precision, tuple(map(parsed, lora or ())))
    weights = _one_of(folder, weights)
    if is_whole(network):
        parity_table(export_bundle(network, out, weights=weights, options=options, tell=print))
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


def _one_of(folder: Path | None, weights: Path | None) -> Path | None:
    """Where the weights are, said in either way."""
    if folder is not None and weights is not None:
        raise UsageError(
            "weights are given twice", why=f"as {folder} and with --weights", cure="leave one out"
        )
    return folder or weights
