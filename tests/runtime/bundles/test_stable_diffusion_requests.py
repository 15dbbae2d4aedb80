"""What may be asked of Stable Diffusion, what holds where nothing is asked, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers_pairs import COUNT, PROMPT, SEED, Array, Both, drawn, picture

from vedette.runtime import bundle as bundles
from vedette.runtime.bundles.stable_diffusion import settled
from vedette.runtime.diffusion import tokens
from vedette.runtime.diffusion.sampling import Noise
from vedette.runtime.errors import ManifestError, ModelError, SourceError, UsageError
from vedette.runtime.generation import Generator
from vedette.runtime.request import Images, Request, read_noise

pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("transformers")

# of NumPy 2 about PyTorch's arrays, in their code
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.mark.parametrize("sampler", ["euler", "heun", "unipc", "dpmpp_sde", "lcm"])
def test_what_is_kept_has_the_noise_of_the_next_step(sampler: str, both: Callable[[str], Both]) -> None:
    """Whatever the sampler: where nothing is drawn, the picture comes back as encoder and decoder see it."""
    generator, init = both("sd2").generator, picture((32, 32))
    images = Images(init, mask=np.zeros_like(init))
    kept = drawn(generator, Request(SEED, 2, PROMPT, 4, sampler, strength=0.5), images)
    np.testing.assert_array_equal(
        kept, drawn(generator, Request(SEED, 2, PROMPT, strength=0.0), Images(init))
    )
    mask = np.full_like(init, 255)
    whole = drawn(generator, Request(SEED, 2, PROMPT, 4, sampler, strength=0.5), Images(init, mask=mask))
    plain = drawn(generator, Request(SEED, 2, PROMPT, 4, sampler, strength=0.5), Images(init))
    np.testing.assert_array_equal(whole, plain)


def test_a_picture_keeps_its_own_size_as_far_as_it_can_be_drawn(both: Callable[[str], Both]) -> None:
    generator = both("sd2").generator  # multiples of 4, from 16 x 16 to 48 x 48
    for given, wanted in (
        ((40, 24), (40, 24)), ((41, 23), (40, 24)), ((480, 240), (48, 24)), ((960, 96), (48, 16)), ((3, 3), (16, 16)),
    ):  # fmt: skip
        assert generator.settled(Request(0, prompt=""), Images(picture(given))).size == wanted
    assert generator.settled(Request(0, prompt="", size=(16, 48)), Images(picture((40, 24)))).size == (16, 48)


def test_noise_of_a_file_is_what_images_begin_with(both: Callable[[str], Both]) -> None:
    generator = both("sd2").generator
    noise = Noise(range(SEED, SEED + COUNT))((4, 16, 16))
    expected = drawn(generator, Request(SEED, COUNT, PROMPT, 4))
    given = drawn(generator, Request(99, None, PROMPT, 4), Images(noise=noise))
    np.testing.assert_array_equal(given, expected)
    alone = drawn(generator, Request(99, None, PROMPT, 4), Images(noise=noise), only=1)
    np.testing.assert_array_equal(alone[0], expected[1])


def test_progress_and_previews(both: Callable[[str], Both]) -> None:
    """The last preview is the picture: this sampler ends with what it sees."""
    generator = both("sd_turbo").generator
    told: list[tuple[int, int]] = []
    seen: list[tuple[int, int, Array]] = []
    request = Request(SEED, 2, PROMPT, 3)
    found = drawn(
        generator, request, progress=lambda *step: told.append(step), preview=lambda *step: seen.append(step)
    )
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert [step[:2] for step in seen] == [(0, 1), (0, 2), (0, 3)]
    np.testing.assert_array_equal(seen[-1][2], found)


REFUSALS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no prompt": ({"prompt": None}, {}, "sd2 wants a prompt"),
    "to": ({}, {"to": picture((32, 32))}, "no use for --to"),
    "strength of nothing": ({"strength": 0.5}, {}, "no use for --strength"),
    "mask of nothing": ({}, {"mask": picture((32, 32))}, "no use for --mask"),
    "no step": ({"strength": 0.1, "steps": 4}, {"init": picture((32, 32))}, "--strength 0.1 of 4 steps is no step"),
    "not a multiple": ({"size": (33, 20)}, {}, "the nearest is --size 32x20"),
    "too small": ({"size": (8, 20)}, {}, "from 16x16 to 48x48"),
    "too large": ({"size": (4096, 20)}, {}, "the nearest is --size 48x20"),
    "negative without guidance": ({"guidance": 1.0, "negative": "x"}, {}, "no use for --negative"),
    "rescale without guidance": ({"guidance": 1.0, "rescale": 0.5}, {}, "no use for --rescale"),
    "rescale beyond": ({"rescale": 1.5}, {}, "--rescale 1.5"),
    "guidance below": ({"guidance": -1.0}, {}, "--guidance -1"),
    "guidance that is no number": ({"guidance": float("nan")}, {}, "--guidance nan"),
    "sampler": ({"sampler": "plms"}, {}, "no sampler 'plms'"),
    "noise of another size": ({}, {"noise": np.zeros((1, 4, 8, 8), np.float32)}, "it is [1, 4, 16, 16]"),
    "noise for fewer": ({"count": 2}, {"noise": np.zeros((1, 4, 16, 16), np.float32)}, "it is [2, 4, 16, 16]"),
    "noise that is none": ({}, {"noise": np.full((1, 4, 16, 16), np.nan, np.float32)}, "all finite"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_meant_is_refused(case: str, both: Callable[[str], Both]) -> None:
    asked, images, told = REFUSALS[case]
    request = replace(Request(0, prompt=PROMPT, size=(32, 32)), **asked)
    with pytest.raises(UsageError) as caught:
        both("sd2").generator.settled(request, Images(**images))
    assert told in str(caught.value)
    assert str(caught.value).count("\n") == 2


def test_a_decoder_that_overflows_is_told_with_its_cure(
    both: Callable[[str], Both], monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = both("sd2").generator
    decoder = generator._graphs["decoder"]
    engine = decoder._engine("decoder")

    def broken(role: str) -> Any:
        return lambda feeds: {name: array * np.float32(np.nan) for name, array in engine(feeds).items()}

    monkeypatch.setattr(decoder, "_engine", broken)
    with pytest.raises(ModelError) as caught:
        drawn(generator, Request(0, 1, PROMPT, 1))
    assert "decoder" in str(caught.value)
    assert "--precision fp32" in caught.value.cure


def test_a_missing_library_is_told_with_its_cure(
    both: Callable[[str], Both], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    tokens._opened.cache_clear()
    with pytest.raises(ModelError) as caught:
        both("sd2").generator.notes(Request(0, prompt=PROMPT))
    assert caught.value.cure == "pip install 'vedette[diffusion]'"


@pytest.mark.parametrize("low_memory", [False, True])
@pytest.mark.parametrize("missing", ["denoiser.onnx", "decoder.onnx.json", "tokenizer.json"])
def test_a_missing_component_is_told(
    missing: str, low_memory: bool, both: Callable[[str], Both], tmp_path: Path
) -> None:
    folder = shutil.copytree(both("sd2").bundle, tmp_path / "sd2")
    (folder / missing).unlink()
    with pytest.raises(ModelError, match=missing):
        Generator(str(folder), low_memory=low_memory)


@pytest.mark.parametrize(
    "parameters",
    [
        {"factor": 0}, {"multiple": 3}, {"size": [33, 32]}, {"smallest": [64, 64]}, {"latent_channels": 0},
        {"scaling_factor": 0.0}, {"texts": []}, {"sampler": "plms"}, {"guidance": -1.0}, {"guidance_rescale": 2.0},
        {"time_ids": True}, {"steps": 0}, {"colour": 1},
    ],
)  # fmt: skip
def test_parameters_that_cannot_be_are_refused(
    parameters: dict[str, Any], both: Callable[[str], Both], tmp_path: Path
) -> None:
    folder = shutil.copytree(both("sd2").bundle, tmp_path / "sd2")
    content = json.loads((folder / bundles.NAME).read_text())
    content["parameters"].update(parameters)
    (folder / bundles.NAME).write_text(json.dumps(content))
    with pytest.raises(ManifestError, match="parameters of sd2 are wrong"):
        Generator(str(folder))


def test_parts_that_do_not_fit_the_parameters_are_refused(
    both: Callable[[str], Both], tmp_path: Path
) -> None:
    folder = shutil.copytree(both("sd2").bundle, tmp_path / "sd2")
    whole = bundles.load(folder).bundle
    bundles.save(replace(whole, parameters={**whole.parameters, "guidance_embedding": 32}), folder)
    with pytest.raises(ManifestError) as caught:
        Generator(str(folder))
    assert "guidance_embedding of 2 axes" in str(caught.value)


def generate(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vedette", "generate", *words]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=120, check=False)


def test_a_recipe_with_files_is_drawn_again_bit_for_bit(both: Callable[[str], Both], tmp_path: Path) -> None:
    import cv2

    bundle = str(both("sd2").bundle)
    cv2.imwrite(str(tmp_path / "init.png"), picture((32, 32)))
    cv2.imwrite(str(tmp_path / "mask.png"), picture((32, 32), 1))
    np.save(tmp_path / "noise.npy", Noise([1, 2])((4, 16, 16)))
    asked = [
        "--init",
        "init.png",
        "--mask",
        "mask.png",
        "--noise",
        "noise.npy",
        "--strength",
        "0.5",
        "--steps",
        "4",
    ]
    texts = ["seven " * 80, "--negative", "two", "--guidance", "5", "--rescale", "0.5", "--seed", "3"]
    first = generate(tmp_path, bundle, *texts, *asked, "-o", "first.png")
    assert (first.returncode, "2 images, ddim, 4 steps, seed 3" in first.stdout) == (0, True), first.stderr
    assert first.stderr.startswith("warning: the prompt is longer than 75 tokens; its end is left out: seven")
    again = generate(tmp_path, bundle, "--recipe", "first.png", "-o", "again.png")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    np.save(tmp_path / "noise.npy", Noise([3, 4])((4, 16, 16)))
    other = generate(tmp_path, bundle, "--recipe", "first.png", "-o", "other.png")
    assert (other.returncode, "noise.npy is not the noise" in other.stderr) == (2, True)


def test_low_memory_is_told_in_the_recipe(both: Callable[[str], Both], tmp_path: Path) -> None:
    bundle = str(both("sd2").bundle)
    first = generate(tmp_path, bundle, PROMPT, "--steps", "2", "--low-memory", "-o", "first.png")
    assert "sparing memory" in first.stdout, first.stderr
    again = generate(tmp_path, bundle, "--recipe", "first.png", "-o", "again.png")
    assert "sparing memory, now onnxruntime" in again.stderr
    same = generate(tmp_path, bundle, "--recipe", "first.png", "--low-memory", "-o", "same.png")
    assert (same.returncode, same.stderr) == (0, "")
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "same.png").read_bytes()


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (b"no array", "cannot read the noise"),
        (np.zeros((1, 4, 16, 16)), "it is float64 [1, 4, 16, 16], not float32"),
        (np.zeros((4, 16, 16), np.float32), "it is float32 [4, 16, 16], not float32 [n, c, h, w]"),
        (np.array([{}]), "cannot read the noise"),
    ],
)
def test_noise_that_cannot_be_read_is_told(made: Any, told: str, tmp_path: Path) -> None:
    path = tmp_path / "noise.npy"
    path.write_bytes(made) if isinstance(made, bytes) else np.save(path, made)
    with pytest.raises(SourceError) as caught:
        read_noise(path)
    assert told in str(caught.value)


def test_karras_levels_are_chosen_where_the_bundle_says_so(both: Callable[[str], Both]) -> None:
    parameters = both("sdxl").generator._parameters
    asked = Request(0, prompt=PROMPT)
    assert settled("sdxl", parameters, asked, Images()).sampler == "euler"
    with_them = replace(parameters, karras=True)
    assert settled("sdxl", with_them, asked, Images()).sampler == "euler_karras"
    assert settled("sdxl", with_them, replace(asked, sampler="euler"), Images()).sampler == "euler"


def test_a_settled_request_is_settled(both: Callable[[str], Both]) -> None:
    """A recipe says what was settled, and must lead to the same again."""
    for kind, asked in (
        ("sd2", Request(0, 2, PROMPT, negative="x")), ("sd2", Request(0, 2, PROMPT, guidance=0.5)),
        ("sd_turbo", Request(0, prompt="")), ("lcm", Request(0, prompt=PROMPT)),
    ):  # fmt: skip
        generator = both(kind).generator
        once = generator.settled(asked)
        assert generator.settled(once) == once
    init = Images(picture((40, 24)))
    once = both("sd2").generator.settled(Request(0, prompt=PROMPT), init)
    assert both("sd2").generator.settled(once, init) == once
