"""`vedette adopt`: a manifest for a model that came without one."""

from pathlib import Path
from typing import Annotated

import typer

from vedette.runtime.errors import SourceError, UsageError
from vedette.runtime.frame import Array


def adopt(
    model: Annotated[Path, typer.Argument(help="An .onnx without a manifest.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Where to write it; the manifest goes beside it.")],
    task: Annotated[
        str, typer.Option(help="What it does: detection, instances, pose, segmentation, image.")
    ] = "",
    family: Annotated[str, typer.Option(help="The layout of its outputs: yolov8, yolox, ssd …")] = "",
    labels: Annotated[
        str, typer.Option(help="Class names: a file with one a line, or names with commas.")
    ] = "",
    image: Annotated[Path | None, typer.Option(help="A picture to try it on.")] = None,
    answer: Annotated[str, typer.Option(help="An object in that picture: 'person 100,50,200,300'.")] = "",
    constants: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="An input besides the picture, as a constant: NAME=NUMBERS, NAME=INDEX:NUMBER, NAME=FILE.npy or "
            "NAME=PICTURE@MODEL.onnx.",
        ),
    ] = None,
) -> int:
    """Find out how a foreign model is to be read, try it on a picture, and write its manifest."""
    from vedette.export._answers import answer_of
    from vedette.export.adopt import adopt as adopt_model
    from vedette.runtime.adoption import DECODERS
    from vedette.runtime.facts import Hints
    from vedette.runtime.plugins import names
    from vedette.runtime.preparations import Prepared

    if out.suffix != ".onnx":
        raise UsageError(f"cannot write {str(out)!r}", why="the file must end in .onnx", cure="-o model.onnx")
    if family and family not in names(DECODERS):
        raise UsageError(
            f"no family {family!r}", why=f"there are {', '.join(names(DECODERS))}", cure="name one of them"
        )
    tried = adopt_model(
        model,
        out,
        hints=Hints(task, family, _labels(labels)),
        image=_picture(image) if image else None,
        answer=answer_of(answer) if answer else None,
        constants=constants or (),
    )
    card = tried.proposal.card
    for reason in tried.proposal.reasons:
        print(f"because {reason}")
    spec, box = card.inputs[0], card.decoder.parameters.get("box")
    boxes = f"; boxes {box['format']}, {box['units']}" if box else ""
    print(f"{card.task} as {card.decoder.family}{boxes}; {len(card.labels)} labels")
    print(f"pictures {list(spec.shape)}: {Prepared.said_by(spec).describe()}")
    print(f"in {image or 'a portrait'} it finds {tried.result.summary()}")
    sure = "its exporter says so" if tried.proposal.sure else "by its shapes and a run: check what it finds"
    print(f"wrote {out} and {out.name}.json ({sure})")
    return 0


def _labels(text: str) -> tuple[str, ...]:
    if not text:
        return ()
    path = Path(text)
    parts = path.read_text().splitlines() if path.is_file() else text.split(",")
    return tuple(part.strip() for part in parts if part.strip())


def _picture(path: Path) -> Array:
    import cv2

    image: Array | None = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise SourceError(
            f"cannot read {path}", why="it is no picture that OpenCV reads", cure="give a .jpg or .png"
        )
    return image
