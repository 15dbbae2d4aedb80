"""`vedette generate`: pictures out of random numbers, or out of other pictures."""

import contextlib
import hashlib
import secrets
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from vedette.commands._drawing import StepsBar, Target
from vedette.commands.run import parse_size
from vedette.runtime.errors import UsageError
from vedette.runtime.frame import Array
from vedette.runtime.generation import Generator
from vedette.runtime.recipe import Given, Recipe, read
from vedette.runtime.request import Images, Request
from vedette.runtime.sources.images import read_picture


def generate(
    model: Annotated[str, typer.Argument(help="A zoo name, or a bundle's folder.")],
    prompt: Annotated[str | None, typer.Argument(help="What to draw, for a model that reads.")] = None,
    out: Annotated[
        str, typer.Option("-o", "--out", help="A .png for a grid of all, or a folder for a file an image.")
    ] = "",
    count: Annotated[int | None, typer.Option("-n", "--count", help="How many. [default: 16]")] = None,
    steps: Annotated[int | None, typer.Option(help="Calls of the network. [default: the model's]")] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            help="ddpm, ddim, euler, euler-ancestral, heun, dpmpp-2m, dpmpp-sde, unipc or lcm. [default: the model's]"
        ),
    ] = None,
    guidance: Annotated[float | None, typer.Option(help="How much the prompt counts.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of the first image, the others follow. [default: a new one]")
    ] = None,
    size: Annotated[str, typer.Option(help="A side, or WIDTHxHEIGHT. [default: the model's]")] = "",
    init: Annotated[Path | None, typer.Option(help="A picture to begin with.")] = None,
    to: Annotated[
        Path | None, typer.Option(help="A picture to end with: a VAE goes there from --init.")
    ] = None,
    strength: Annotated[float | None, typer.Option(help="How much of --init is changed, 0 to 1.")] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="A .png of this command, to be drawn again as it was.")
    ] = None,
    backend: Annotated[str, typer.Option(help="auto, onnxruntime, openvino or tensorrt.")] = "auto",
) -> int:
    """Draw pictures with a VAE, a GAN or a diffusion model; each PNG says how it was drawn."""
    request = Request(
        secrets.randbelow(2**32) if seed is None else seed, count, prompt, steps, sampler, guidance,
        parse_size(size, flag="--size"), strength,
    )  # fmt: skip
    written = None if recipe is None else read(recipe)
    if written:
        _check_alone(request, seed)
        init, to = _as_given(init, written.init), _as_given(to, written.to)
    images = Images(_read(init), _read(to))
    with contextlib.closing(Generator(model, backend=backend)) as generator:
        settled = generator.settled(generator.check(written) if written else request, images)
        made = replace(generator.recipe(settled), init=_given(init), to=_given(to))
        if written:
            _warn(written, made)
            made = replace(made, batch=written.batch)
        target = Target(out or f"{generator.name}.png")
        only = written.index if written else None
        with StepsBar(generator.name) as bar:
            drawn = generator.draw(settled, images, only=only, batch=made.batch, progress=bar)
            count = target.write(drawn, made, only)
        _report(generator, made, target, count, time.monotonic() - bar.began)
    return 0


def _check_alone(request: Request, seed: int | None) -> None:
    """A recipe says everything: what else was asked for would make another picture."""
    names = {"count": "-n"}
    asked = [name for name in Request.__slots__ if name != "seed" and getattr(request, name) is not None]
    if seed is not None or asked:
        flag = "--seed" if seed is not None else names.get(asked[0], f"--{asked[0]}")
        raise UsageError(
            f"{flag} and --recipe exclude each other",
            why="the recipe says how the picture was drawn, all of it",
            cure=f"leave {flag} out, or --recipe",
        )


def _as_given(asked: Path | None, known: Given | None) -> Path | None:
    """The picture that a recipe began with: where it was, or where the user says; it must be the same."""
    if known is None:
        if asked is not None:
            raise UsageError(
                f"the recipe has no use for {asked}", why="it began with no such picture", cure="leave it out"
            )
        return None
    path = asked or Path(known.file)
    if _digest(path) != known.sha256:
        raise UsageError(
            f"{path} is not the picture that the recipe began with",
            why=f"its sha256 is not {known.sha256[:12]}…",
            cure="give that one with --init or --to",
        )
    return path


def _digest(path: Path) -> str:
    read_picture(path)  # told as what it is, where it cannot be read
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _given(path: Path | None) -> Given | None:
    return None if path is None else Given(str(path), _digest(path))


def _read(path: Path | None) -> Array | None:
    return None if path is None else read_picture(path)


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
