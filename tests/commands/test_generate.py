"""`vedette generate` as a user runs it: grids, folders, recipes, and every refusal."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import generators
import numpy as np
import pytest
from forked import Done, vedette
from numpy.typing import NDArray

from vedette.runtime import png
from vedette.runtime.recipe import KEY, read

SIDE = generators.SIDE
Array = NDArray[Any]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The three kinds, and two pictures."""
    for kind in ("vae", "gan", "ddpm"):
        getattr(generators, kind)(tmp_path / kind)
    generators.ddpm(tmp_path / "broken", broken_below=500)
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((8, 8, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "white.png"), np.full((8, 8, 3), 255, np.uint8))
    (tmp_path / "text.png").write_text("no picture")
    return tmp_path


def generate(place: Path, *words: str) -> Done:
    return vedette("generate", *words, cwd=place)


def told(place: Path, *words: str) -> str:
    done = generate(place, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(place: Path, *words: str) -> tuple[int, str]:
    done = generate(place, *words)
    lines = done.stderr.strip().splitlines()
    assert [line.split(":")[0].strip() for line in lines] == ["error", "why", "cure"], done.stderr
    return done.returncode, done.stderr


def picture(path: Path) -> Array:
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert found is not None
    return found


def test_a_grid_has_all_images_in_their_order(place: Path) -> None:
    assert "5 images, seed 1" in told(place, "gan", "-n", "5", "--seed", "1", "-o", "grid.png")
    told(place, "gan", "-n", "5", "--seed", "1", "-o", "each/")
    grid, step = picture(place / "grid.png"), SIDE + 2
    assert grid.shape == (2 * step - 2, 3 * step - 2)
    for index in range(5):
        top, left = index // 3 * step, index % 3 * step
        alone = picture(place / "each" / f"gan-{1 + index}.png")
        np.testing.assert_array_equal(grid[top : top + SIDE, left : left + SIDE], alone)
    assert (grid[SIDE : SIDE + 2] == 128).all()


def test_the_same_seed_draws_the_same_and_another_another(place: Path) -> None:
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        told(place, "gan", "-n", "2", "--seed", seed, "-o", f"{name}.png")
    assert (picture(place / "a.png") == picture(place / "b.png")).all()
    assert (picture(place / "a.png") != picture(place / "c.png")).any()


def test_without_a_seed_every_run_is_new_and_says_which(place: Path) -> None:
    told(place, "vae")
    first = read(place / "vae.png")
    told(place, "vae")
    assert first.request.seed != read(place / "vae.png").request.seed
    assert first.request.count == 16


def test_the_recipe_says_all(place: Path) -> None:
    told(place, "ddpm", "-n", "3", "--seed", "4", "--steps", "6", "--sampler", "unipc", "-o", "a.png")
    text = png.text_of(place / "a.png", KEY)
    assert text is not None
    recipe = json.loads(text)
    assert (recipe["model"], recipe["kind"], len(recipe["model_sha256"])) == ("ddpm", "ddpm", 64)
    wanted = {"seed": 4, "count": 3, "steps": 6, "sampler": "unipc"}
    assert wanted.items() <= recipe["request"].items()
    assert {"vedette", "numpy", "python", "onnxruntime"} <= recipe["versions"].keys()
    assert "onnxruntime" in recipe["backend"]


@pytest.mark.parametrize(
    "words",
    [
        ("gan", "-n", "18", "--seed", "3"),
        ("vae", "-n", "3", "--init", "white.png"),
        ("vae", "-n", "3", "--init", "black.png", "--to", "white.png"),
        ("ddpm", "-n", "17", "--sampler", "ddpm", "--steps", "4"),
        ("ddpm", "-n", "2", "--eta", "0.5", "--steps", "4"),
        ("ddpm", "-n", "2", "--init", "white.png", "--strength", "0.5", "--sampler", "dpmpp-sde"),
    ],
)
def test_a_recipe_is_drawn_again_bit_for_bit(place: Path, words: tuple[str, ...]) -> None:
    told(place, *words, "-o", "first.png")
    told(place, words[0], "--recipe", "first.png", "-o", "again.png")
    assert (place / "first.png").read_bytes() == (place / "again.png").read_bytes()
    told(place, *words, "--seed", "3", "-o", "each/") if "--seed" not in words else told(
        place, *words, "-o", "each/"
    )
    last = sorted((place / "each").glob("*.png"), key=lambda path: int(path.stem.rpartition("-")[2]))[-1]
    told(place, words[0], "--recipe", str(last), "-o", "one.png")
    assert last.read_bytes() == (place / "one.png").read_bytes()


def test_a_recipe_finds_the_picture_that_it_began_with_elsewhere(place: Path) -> None:
    told(place, "vae", "-n", "2", "--init", "white.png", "-o", "a.png")
    (place / "white.png").rename(place / "moved.png")
    code, error = refused(place, "vae", "--recipe", "a.png", "-o", "b.png")
    assert (code, "white.png" in error) == (3, True)
    code, error = refused(place, "vae", "--recipe", "a.png", "--init", "black.png", "-o", "b.png")
    assert (code, "not the picture that the recipe began with" in error) == (2, True)
    told(place, "vae", "--recipe", "a.png", "--init", "moved.png", "-o", "b.png")
    np.testing.assert_array_equal(picture(place / "a.png"), picture(place / "b.png"))


def test_a_recipe_of_another_machine_is_drawn_with_a_warning(place: Path) -> None:
    told(place, "gan", "-n", "1", "-o", "a.png")
    rewritten(place / "a.png", lambda recipe: recipe["versions"].update(onnxruntime="1.2.3"))
    done = generate(place, "gan", "--recipe", "a.png", "-o", "b.png")
    assert done.returncode == 0
    assert done.stderr.startswith("warning: drawn on onnxruntime 1.2.3, now onnxruntime ")


def rewritten(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    text = png.text_of(path, KEY)
    assert text is not None
    recipe = json.loads(text)
    change(recipe)
    png.save(path, picture(path), KEY, json.dumps(recipe))


def test_from_one_picture_to_another(place: Path) -> None:
    told(place, "vae", "-n", "3", "--init", "black.png", "--to", "white.png", "-o", "a.png")
    found = picture(place / "a.png")
    step = SIDE + 2
    corners = [found[0, 0], found[0, step], found[step, 0]]
    assert [int(value) for value in corners] == [0, 128, 255]


def test_previews_of_every_step_end_with_the_picture(place: Path) -> None:
    words = ("ddpm", "-n", "18", "--seed", "1", "--steps", "3", "--sampler", "dpmpp-2m")
    told(place, *words, "-o", "each/", "--preview", "steps/")
    names = sorted(path.name for path in (place / "steps").iterdir())
    assert names == [f"{first:05}-{step:04}.png" for first in (0, 16) for step in (1, 2, 3)]
    last, step = picture(place / "steps" / "00016-0003.png"), SIDE + 2
    for index in range(2):
        alone = picture(place / "each" / f"ddpm-{17 + index}.png")
        np.testing.assert_array_equal(last[:SIDE, index * step : index * step + SIDE], alone)
    first = picture(place / "each" / "ddpm-18.png")
    told(place, "ddpm", "--recipe", "each/ddpm-18.png", "-o", "again.png", "--preview", "now.png")
    np.testing.assert_array_equal(picture(place / "now.png"), first)
    assert (place / "again.png").read_bytes() == (place / "each" / "ddpm-18.png").read_bytes()


def test_eta_is_in_the_recipe(place: Path) -> None:
    words = ("ddpm", "-n", "2", "--seed", "1", "--steps", "4")
    told(place, *words, "--eta", "0.25", "-o", "some.png")
    told(place, *words, "-o", "none.png")
    assert read(place / "some.png").request.eta == 0.25
    assert read(place / "none.png").request.eta is None


def test_a_long_run_in_a_log_tells_how_far_it_is(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vedette.commands import _drawing

    monkeypatch.setattr(_drawing, "LOG_EVERY_S", 0.0)
    lines: list[str] = []
    monkeypatch.setattr("builtins.print", lambda text, **_: lines.append(text))
    with _drawing.StepsBar("ddpm") as bar:
        bar(1, 8)
        bar(2, 8)
    assert lines == ["ddpm: 1/8 steps", "ddpm: 2/8 steps"]


REFUSALS: dict[str, tuple[int, str, tuple[str, ...]]] = {
    "steps 0": (2, "--steps 0 is out of range", ("ddpm", "--steps", "0")),
    "more steps than there are": (2, "--steps 1001", ("ddpm", "--steps", "1001")),
    "an unknown sampler": (2, "no sampler 'plms'", ("ddpm", "--sampler", "plms")),
    "strength above 1": (2, "--strength 1.5", ("ddpm", "--init", "white.png", "--strength", "1.5")),
    "strength below 0": (2, "--strength -0.5", ("ddpm", "--init", "white.png", "--strength", "-0.5")),
    "strength that is no number": (2, "--strength nan", ("ddpm", "--init", "white.png", "--strength", "nan")),
    "strength of nothing": (2, "no use for --strength", ("ddpm", "--strength", "0.5")),
    "eta above 1": (2, "--eta 1.5 is out of range", ("ddpm", "--eta", "1.5")),
    "eta below 0": (2, "--eta -0.1 is out of range", ("ddpm", "--eta", "-0.1")),
    "eta that is no number": (2, "--eta nan", ("ddpm", "--eta", "nan")),
    "eta of another sampler": (
        2,
        "--eta means nothing to euler",
        ("ddpm", "--sampler", "euler", "--eta", "0"),
    ),
    "eta of one step": (2, "no use for --eta", ("gan", "--eta", "0.5")),
    "previews of one step": (2, "no use for --preview", ("vae", "--preview", "steps/")),
    "previews as a jpeg": (2, ".jpg is not .png", ("ddpm", "--preview", "a.jpg")),
    "previews that are in the way": (6, "cannot write", ("ddpm", "-n", "1", "--preview", "text.png/a.png")),
    "no images": (2, "-n 0", ("gan", "-n", "0")),
    "a negative seed": (2, "--seed -1", ("gan", "--seed", "-1")),
    "no size": (2, "--size big is no size", ("gan", "--size", "big")),
    "another size": (2, "--size 8x8 does not fit", ("gan", "--size", "8")),
    "a prompt": (2, "no use for a prompt", ("vae", "a cat")),
    "guidance": (2, "no use for --guidance", ("ddpm", "--guidance", "3")),
    "to without init": (2, "--to needs --init", ("vae", "--to", "white.png")),
    "a jpeg": (2, ".jpg is not .png", ("gan", "-o", "a.jpg")),
    "no picture": (3, "cannot read the picture text.png", ("vae", "--init", "text.png")),
    "a missing picture": (3, "missing.png", ("vae", "--init", "missing.png")),
    "a recipe that is no png": (3, "it is no PNG", ("gan", "--recipe", "text.png")),
    "a png without a recipe": (2, "no recipe in white.png", ("gan", "--recipe", "white.png")),
    "an unknown model": (4, "no model 'dcgan'", ("dcgan",)),
    "no numbers": (4, "no number in step 6 of 10", ("broken", "-n", "1")),
    "an output that is in the way": (6, "cannot write", ("gan", "-n", "1", "-o", "text.png/out.png")),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_says_what_why_and_how_to_cure_it(case: str, place: Path) -> None:
    expected, what, words = REFUSALS[case]
    code, error = refused(place, *words)
    assert (code, what in error) == (expected, True), error


def test_a_recipe_of_another_model_is_refused(place: Path) -> None:
    told(place, "gan", "-n", "1", "-o", "a.png")
    code, error = refused(place, "ddpm", "--recipe", "a.png")
    assert (code, "the recipe is of gan" in error) == (2, True)
    code, error = refused(place, "broken", "--recipe", "a.png")
    assert (code, "which would draw something else" in error) == (2, True)


def test_a_recipe_goes_with_no_other_wish(place: Path) -> None:
    told(place, "gan", "-n", "1", "-o", "a.png")
    for flag in ("--seed", "-n", "--size"):
        code, error = refused(place, "gan", "--recipe", "a.png", flag, "4")
        assert (code, f"{flag} and --recipe exclude each other" in error) == (2, True)
    code, error = refused(place, "gan", "--recipe", "a.png", "--init", "white.png")
    assert (code, "began with no such picture" in error) == (2, True)


@pytest.mark.parametrize(
    "change",
    [
        lambda recipe: recipe.update(colour="red"),
        lambda recipe: recipe.update(schema_version=2),
        lambda recipe: recipe.update(batch=0),
        lambda recipe: recipe.update(index=7),
        lambda recipe: recipe["request"].update(count=None),
        lambda recipe: recipe["request"].update(seed="1"),
        lambda recipe: recipe["request"].update(steps=4),
    ],
)
def test_a_recipe_that_was_changed_is_refused(change: Callable[[dict[str, Any]], Any], place: Path) -> None:
    told(place, "gan", "-n", "2", "-o", "a.png")
    rewritten(place / "a.png", change)
    assert refused(place, "gan", "--recipe", "a.png")[0] == 2


def test_a_bundle_without_a_part_is_refused(place: Path) -> None:
    (place / "vae" / "encoder.onnx").unlink()
    code, error = refused(place, "vae")
    assert (code, "encoder.onnx" in error) == (4, True)


def test_a_damaged_recipe_is_refused(place: Path) -> None:
    told(place, "gan", "-n", "1", "-o", "a.png")
    data = bytearray((place / "a.png").read_bytes())
    data[60] ^= 1
    (place / "a.png").write_bytes(data)
    code, error = refused(place, "gan", "--recipe", "a.png")
    assert (code, "damaged" in error) == (3, True)
