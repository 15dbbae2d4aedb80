"""`vedette build`: an ONNX file with its manifest to a TensorRT engine with its own."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vedette.commands._certificates import certificate_lines, verifying
from vedette.commands._needs import need_torch
from vedette.runtime.errors import UsageError

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
    verify: Annotated[
        str,
        typer.Option(
            metavar="DIR",
            help="Pictures or a video on which the engine must decide as the fp32 reference does, or is not written.",
        ),
    ] = "",
    reference: Annotated[
        str,
        typer.Option(
            metavar="FP32", help="With --verify: the fp32 model, where MODEL is not of the zoo's weights."
        ),
    ] = "",
    min_kept: Annotated[
        float, typer.Option(help="With --verify: the share of decisions at conf 0.5 that both must have.")
    ] = 0.99,
    max_map_loss: Annotated[
        float, typer.Option(help="With --verify: points of mAP it may lose, of 100.")
    ] = 0.5,
) -> int:
    """Compile a model into a TensorRT engine."""
    from vedette.runtime.bundle import is_bundle
    from vedette.runtime.find import find_model

    need_torch("vedette build")
    found = find_model(model)
    if not verify and reference:
        raise UsageError(
            "--reference goes with --verify", why="nothing else asks for it", cure="add --verify DIR"
        )
    if verify:
        return _build_verified(found, out, verify, reference, (min_kept, max_map_loss), lane, target)
    from vedette.export.build import build as build_engine
    from vedette.export.bundle import build_bundle

    if is_bundle(found):
        for card, built in build_bundle(found, out, lane=lane, target=target):
            _tell(card, built)
        print(f"wrote {out}, a bundle")
        return 0
    _tell(*build_engine(found, out, lane=lane, target=target))
    print(f"wrote {out} and {out.name}.json")
    return 0


def _build_verified(
    model: Path,
    out: Path,
    where: str,
    reference: str,
    budget: tuple[float, float],
    lane: str,
    target: str,
) -> int:
    """Build behind the accuracy gate."""
    from vedette.export.build import build as build_engine
    from vedette.export.gate.verdict import Budget
    from vedette.export.gate.verify import Gate, build_verified_bundle
    from vedette.runtime.bundle import is_bundle
    from vedette.runtime.bundle import load as load_bundle

    with (
        verifying() as step,
        closing(
            Gate(model, where, reference=reference, budget=Budget(*budget), target=target, step=step)
        ) as gate,
    ):
        print(f"comparing with {gate.reference.told} on {where}")
        if is_bundle(model):
            for card, built in build_verified_bundle(model, out, gate, lane=lane, target=target):
                _tell(card, built)
            certificate = load_bundle(out).bundle.certificate
        else:
            card, built = build_engine(model, out, lane=lane, target=target, judge=gate.of_engine)
            _tell(card, built)
            certificate = card.certificate
    assert certificate is not None
    for line in certificate_lines(certificate):
        print(line)
    print(f"wrote {out}, a bundle" if is_bundle(model) else f"wrote {out} and {out.name}.json")
    return 0


def _tell(card: "Manifest", built: "Built") -> None:
    made, size = built.build, len(built.plan) / 1e6
    print(
        f"built {card.name} {card.precision} with {made['lane']} {made['version']} for {made['target']}:"
        f" {size:.1f} MB in {built.seconds:.1f} s"
    )
