"""`vedette generate`: pictures out of random numbers, or out of other pictures."""

import contextlib
import hashlib
import secrets
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from vedette.commands._drawing import Previews, StepsBar, Target
from vedette.commands.run import parse_size
from vedette.runtime.errors import UsageError
from vedette.runtime.frame import Array
from vedette.runtime.generation import Generator
from vedette.runtime.recipe import Given, Recipe, read
from vedette.runtime.request import Images, Request, read_noise
from vedette.runtime.sources.images import read_picture


def generate(
    model: Annotated[str, typer.Argument(help="A zoo name, or a bundle's folder.")],
    prompt: Annotated[str | None, typer.Argument(help="What to draw, for a model that reads.")] = None,
    out: Annotated[
        str, typer.Option("-o", "--out", help="A .png for a grid of all, or a folder for a file an image.")
    ] = "",
    count: Annotated[
        int | None, typer.Option("-n", "--count", help="How many. [default: 16; of a prompt 1]")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Calls of the network. [default: the model's]")] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            help="ddpm, ddim, pndm, euler, euler-ancestral, heun, dpmpp-2m, dpmpp-sde, unipc or lcm. [default: the model's]"
        ),
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(help="How much the prompt counts; 1 or less is without guidance.")
    ] = None,
    negative: Annotated[
        str | None, typer.Option(help="A prompt to be led away from, with --guidance above 1.")
    ] = None,
    rescale: Annotated[
        float | None, typer.Option(help="Of guidance: how much its contrast is taken back, 0 to 1.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of the first image, the others follow. [default: a new one]")
    ] = None,
    size: Annotated[str, typer.Option(help="A side, or WIDTHxHEIGHT. [default: the model's]")] = "",
    init: Annotated[Path | None, typer.Option(help="A picture to begin with.")] = None,
    to: Annotated[
        Path | None, typer.Option(help="A picture to end with: a VAE goes there from --init.")
    ] = None,
    strength: Annotated[float | None, typer.Option(help="How much of --init is changed, 0 to 1.")] = None,
    mask: Annotated[
        Path | None, typer.Option(help="White where --init is drawn anew, black where it is kept.")
    ] = None,
    noise: Annotated[
        Path | None,
        typer.Option(
            help="What images begin with in place of the seed's: .npy, float32 [n, channels, height, width]."
        ),
    ] = None,
    eta: Annotated[
        float | None,
        typer.Option(help="Of ddim: the share of its noise that is drawn anew, 0 to 1. [default: 0]"),
    ] = None,
    preview: Annotated[
        str,
        typer.Option(help="Pictures as they are seen after each step: a .png, or a folder for one a step."),
    ] = "",
    recipe: Annotated[
        Path | None, typer.Option(help="A .png of this command, to be drawn again as it was.")
    ] = None,
    stream: Annotated[
        str,
        typer.Option(
            help="A video, folder or camera whose frames are each begun with, as --init; -o a video or a folder, -n frames."
        ),
    ] = "",
    low_memory: Annotated[
        bool, typer.Option("--low-memory", help="Open one part of the model at a time; slower, and smaller.")
    ] = False,
    backend: Annotated[str, typer.Option(help="auto, onnxruntime, openvino or tensorrt.")] = "auto",
) -> int:
    """Draw pictures with a VAE, a GAN or a diffusion model; each PNG says how it was drawn."""
    request = Request(
        secrets.randbelow(2**32) if seed is None else seed, count, prompt, steps, sampler, guidance,
        parse_size(size, flag="--size"), strength, negative, rescale, eta,
    )  # fmt: skip
    written = None if recipe is None else read(recipe)
    paths = {"init": init, "to": to, "mask": mask, "noise": noise}
    if written:
        _check_alone(request, seed)
        paths = {name: _as_given(name, path, getattr(written, name)) for name, path in paths.items()}
    images = Images(**{name: _read(name, path) for name, path in paths.items()})
    with contextlib.closing(Generator(model, backend=backend, low_memory=low_memory)) as generator:
        if stream:
            return _streamed(
                generator, request, images, stream, out, excluded=recipe or preview or low_memory
            )
        settled = generator.settled(generator.check(written) if written else request, images)
        for note in generator.notes(settled):
            print(f"warning: {note}", file=sys.stderr)
        given: dict[str, Any] = {name: _given(name, path) for name, path in paths.items()}
        made = replace(generator.recipe(settled), **given)
        if written:
            _warn(written, made)
            made = replace(made, batch=written.batch)
        target = Target(out or f"{generator.name}.png")
        previews = Previews(preview, generator.name, settled) if preview else None
        only = written.index if written else None
        with StepsBar(generator.name) as bar:
            drawn = generator.draw(
                settled, images, only=only, batch=made.batch, progress=bar, preview=previews
            )
            count = target.write(drawn, made, only)
        _report(generator, made, target, count, time.monotonic() - bar.began)
    return 0


def _streamed(
    generator: Generator, request: Request, images: Images, uri: str, out: str, *, excluded: object
) -> int:
    """Frame by frame, without what needs all of a picture's steps at once."""
    from vedette.commands._streaming import draw_stream

    if excluded:
        raise UsageError(
            "--stream goes without --recipe, --preview and --low-memory",
            why="frames go through all parts of the model together, and a video holds no recipe",
            cure="leave them out",
        )
    for note in generator.notes(request):
        print(f"warning: {note}", file=sys.stderr)
    return draw_stream(generator, request, images, uri, out or f"{generator.name}.mp4")


def _check_alone(request: Request, seed: int | None) -> None:
    """A recipe says everything: what else was asked for would make another picture."""
    names = {"count": "-n", "prompt": "a prompt"}
    asked = [name for name in Request.__slots__ if name != "seed" and getattr(request, name) is not None]
    if seed is not None or asked:
        flag = "--seed" if seed is not None else names.get(asked[0], f"--{asked[0]}")
        raise UsageError(
            f"{flag} and --recipe exclude each other",
            why="the recipe says how the picture was drawn, all of it",
            cure=f"leave {flag} out, or --recipe",
        )


def _as_given(name: str, asked: Path | None, known: Given | None) -> Path | None:
    """The file that a recipe began with: where it was, or where the user says; it must be the same."""
    what = "noise" if name == "noise" else "picture"
    if known is None:
        if asked is not None:
            raise UsageError(
                f"the recipe has no use for {asked}",
                why=f"it began with no such {what}",
                cure=f"leave --{name} out",
            )
        return None
    path = asked or Path(known.file)
    if _digest(name, path) != known.sha256:
        raise UsageError(
            f"{path} is not the {what} that the recipe began with",
            why=f"its sha256 is not {known.sha256[:12]}…",
            cure=f"give that one with --{name}",
        )
    return path


def _digest(name: str, path: Path) -> str:
    _read(name, path)  # told as what it is, where it cannot be read
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _given(name: str, path: Path | None) -> Given | None:
    return None if path is None else Given(str(path), _digest(name, path))


def _read(name: str, path: Path | None) -> Array | None:
    if path is None:
        return None
    return read_noise(path) if name == "noise" else read_picture(path)


def _warn(written: Recipe, now: Recipe) -> None:
    """Another machine may round otherwise."""
    changed = [
        f"{before}, now {after}"
        for before, after in ((written.backend, now.backend), *_changed(written.versions, now.versions))
        if before != after
    ]
    if changed:
        print(f"warning: drawn on {'; '.join(changed)}: the bytes may differ", file=sys.stderr)


def _changed(before: dict[str, str], after: dict[str, str]) -> list[tuple[str, str]]:
    names = dict.fromkeys([*before, *after])
    return [(f"{name} {before.get(name, 'none')}", f"{name} {after.get(name, 'none')}") for name in names]


def _report(generator: Generator, recipe: Recipe, target: Target, count: int, seconds: float) -> None:
    settled = recipe.request
    how = f", {settled.sampler}, {settled.steps} steps" if settled.steps is not None else ""
    print(
        f"{generator.name}: {count} images{how}, seed {settled.seed}, {count / max(seconds, 1e-6):.1f} images a second"
    )
    print(f"ran on {generator.backend}")
    print(f"saved to {target.path}")
