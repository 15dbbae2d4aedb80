"""The trainer of tiny_sd: its captions and pictures, its tokenizer, a step that is always the same, and its folder in the zoo."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accuracy import shared

for needed in ("torch", "safetensors", "cv2", "sklearn", "diffusers", "transformers"):
    pytest.importorskip(needed)

import torch  # noqa: E402
from safetensors import safe_open  # noqa: E402

sys.path.append(
    str(Path(__file__).resolve().parents[3] / "benchmarks")
)  # its files import one another by their names

import _caption_judge as judge  # noqa: E402

from vedette.commands._drawing import grid  # noqa: E402
from vedette.export.training import tiny_sd  # noqa: E402
from vedette.export.training._caption_tokens import LENGTH, WORDS, merges_of, tokenizer, tokens_of  # noqa: E402
from vedette.export.training._captioned_digits import (  # noqa: E402
    NAMES,
    THICKNESSES,
    Kind,
    captioned_digits,
    captions,
)
from vedette.runtime import png  # noqa: E402
from vedette.runtime.errors import UsageError  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)  # of NumPy 2, theirs
ZOO = Path(tiny_sd.__file__).parents[1] / "zoo" / "tiny_sd"
MOST_BYTES = 4_000_000
FEW = 24  # pictures, so that drawing them takes no time
EVERY_KIND = [
    Kind(digit, thickness, tilted)
    for digit in range(10)
    for thickness in THICKNESSES
    for tilted in (False, True)
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a training of two steps."""
    folder = tmp_path_factory.mktemp("trained") / "tiny_sd"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_sd, "COUNT", FEW)
        tiny_sd.write(trained(2), folder)
    return folder


def trained(steps: int) -> tiny_sd.Parts:
    short = (replace(schedule, steps=steps, batch=2) for schedule in (tiny_sd.SCHEDULE, tiny_sd.VAE_SCHEDULE))
    return tiny_sd.train(*short)


@pytest.fixture(scope="module")
def words() -> Any:
    return tokenizer()


def test_a_caption_says_what_the_picture_shows_or_no_digit() -> None:
    kinds = EVERY_KIND * 20
    texts = captions(kinds, seed=3)
    nameless = 0
    for kind, text in zip(kinds, texts, strict=True):
        try:
            assert judge.kind_of(text) == kind, text
        except ValueError:
            nameless += 1
    assert 0 < nameless < 0.06 * len(kinds)
    assert len(set(texts)) > 400


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("three", Kind(3, "", False)),
        ("A Thick SEVEN", Kind(7, "thick", False)),
        ("a thin tilted two", Kind(2, "thin", True)),
        ("the slanted, bold digit 8.", Kind(8, "thick", True)),
    ],
)
def test_captions_are_read(text: str, kind: Kind) -> None:
    assert judge.kind_of(text) == kind


@pytest.mark.parametrize("text", ["", "a thick digit", "one or two"])
def test_captions_of_no_digit_or_two_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="names"):
        judge.kind_of(text)


def test_every_word_of_a_caption_is_one_token_and_all_of_them_fit(words: Any) -> None:
    for text in {*captions(EVERY_KIND * 20, seed=4), *NAMES, "A THICK Seven"}:
        found = [token.removesuffix("</w>") for token in words.tokenize(text)]
        assert found == text.lower().replace(",", " ,").replace(".", " .").split()
        assert len(found) <= LENGTH - 2


def test_tokens_are_between_begin_and_end_and_padded_with_ends(words: Any) -> None:
    begin, end = words.bos_token_id, words.eos_token_id
    row, empty, long = tokens_of(words, ["a seven", "", "two " * 30]).tolist()
    assert row == [begin, *words.convert_tokens_to_ids(["a</w>", "seven</w>"]), *[end] * 13]
    assert empty == [begin, *[end] * 15]
    assert long[0] == begin
    assert long[-1] == end
    assert set(long[1:-1]) == {words.convert_tokens_to_ids("two</w>")}


def test_merges_go_on_from_what_earlier_words_left() -> None:
    assert merges_of(["two", "a", "twin"]) == [("t", "w"), ("tw", "o</w>"), ("tw", "i"), ("twi", "n</w>")]
    assert merges_of(["and", "slant"]) == [
        ("a", "n"), ("an", "d</w>"), ("s", "l"), ("sl", "an"), ("slan", "t</w>"),
    ]  # fmt: skip
    assert len(set(merges_of(WORDS))) == len(merges_of(WORDS))


def test_pictures_are_seeded_and_of_the_kind_asked_for() -> None:
    kind = Kind(4, "thick", True)
    pictures, kinds = captioned_digits(5, seed=1, kind=kind)
    again, _ = captioned_digits(5, seed=1, kind=kind)
    assert pictures.shape == (5, 32, 32)
    assert kinds == [kind] * 5
    np.testing.assert_array_equal(pictures, again)
    _, any_kind = captioned_digits(60, seed=1)
    assert {each.thickness for each in any_kind} == set(THICKNESSES)
    assert {each.tilted for each in any_kind} == {False, True}


@pytest.mark.parametrize("split", ["train", "val"])
def test_thickness_and_tilt_can_be_measured(split: str) -> None:
    ink, slant = {}, {}
    for thickness in THICKNESSES:
        pictures, _ = captioned_digits(100, seed=2, split=split, kind=Kind(None, thickness, False))
        ink[thickness] = pictures.mean()
    for tilted in (False, True):
        pictures, _ = captioned_digits(100, seed=2, split=split, kind=Kind(None, "", tilted))
        slant[tilted] = np.mean([judge.slant(picture) for picture in pictures])
    assert ink["thin"] < 0.85 * ink[""] < 0.85 * 0.85 * ink["thick"]
    assert slant[True] - slant[False] > 0.3


def test_the_slant_of_a_line_is_its_own() -> None:
    picture = np.zeros((32, 32), np.float32)
    for row in range(8, 24):
        picture[row, 16 - (row - 16) // 2] = 1  # half a pixel to the right for each upwards
    assert judge.slant(picture) == pytest.approx(0.5, abs=0.02)
    assert judge.slant(picture[:, ::-1]) == pytest.approx(-0.5, abs=0.02)
    assert judge.slant(np.zeros((32, 32), np.float32)) == 0


def test_a_step_is_the_same_every_time_and_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny_sd, "COUNT", FEW)
    first, second, longer = (trained(steps) for steps in (1, 1, 2))
    for part in ("text_encoder", "unet", "vae"):
        states = [getattr(each, part).state_dict() for each in (first, second, longer)]
        assert not getattr(first, part).training
        assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
        assert any(not torch.equal(value, states[2][key]) for key, value in states[0].items())


def test_latents_have_a_deviation_of_one() -> None:
    torch.manual_seed(0)
    vae: Any = tiny_sd.fresh().vae.eval()
    latents = tiny_sd._scaled_latents(vae, torch.rand(8, 1, 32, 32) * 2 - 1)
    assert latents.shape == (8, 4, 8, 8)
    assert latents.std().item() == pytest.approx(1, abs=1e-3)
    with torch.no_grad():
        assert vae.config.scaling_factor != 1


def test_noise_is_that_of_the_scheduler(words: Any) -> None:
    diffusers, _ = tiny_sd.libraries()
    theirs = diffusers.DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    bars = tiny_sd.NOISE.alpha_bars()
    np.testing.assert_allclose(bars, theirs.alphas_cumprod.numpy(), rtol=1e-5)


def test_a_u_net_that_finds_the_noise_has_no_loss(monkeypatch: pytest.MonkeyPatch, words: Any) -> None:
    parts = tiny_sd.fresh()
    clean = torch.randn(4, 4, 8, 8)
    bars = torch.from_numpy(tiny_sd.NOISE.alpha_bars()).float()

    def finder(noisy: torch.Tensor, times: torch.Tensor, states: torch.Tensor) -> Any:
        assert states.shape == (4, LENGTH, tiny_sd.WIDTH)
        kept = bars[times][:, None, None, None]
        return type("Found", (), {"sample": (noisy - kept.sqrt() * clean) / (1 - kept).sqrt()})

    perfect: Any = replace(parts, unet=finder)  # type: ignore[arg-type]
    loss = tiny_sd.noise_loss(perfect, clean, ["two"] * 4, torch.Generator().manual_seed(1))
    assert loss.item() == pytest.approx(0, abs=1e-8)
    blind: Any = replace(parts, unet=lambda noisy, *_: type("Found", (), {"sample": 0 * noisy}))  # type: ignore[arg-type]
    loss = tiny_sd.noise_loss(blind, clean, ["two"] * 4, torch.Generator().manual_seed(1))
    assert loss.item() == pytest.approx(1, abs=0.2)


def test_diffusers_draws_with_what_is_written(written: Path) -> None:
    pipeline = pipeline_of(written)
    drawn = pipeline(
        ["a thick seven", "two"], num_inference_steps=2, guidance_scale=5.0, output_type="np",
        generator=[torch.Generator().manual_seed(seed) for seed in (1, 2)],
    ).images  # fmt: skip
    assert drawn.shape == (2, 32, 32, 3)
    assert np.isfinite(drawn).all()
    assert pipeline.tokenizer("a thick seven").input_ids == tokenizer()("a thick seven").input_ids


def test_what_is_written_is_what_was_trained(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny_sd, "COUNT", FEW)
    again, pipeline = trained(2), pipeline_of(written)
    for name in ("text_encoder", "unet", "vae"):
        theirs = getattr(pipeline, name).state_dict()
        for key, value in getattr(again, name).state_dict().items():
            torch.testing.assert_close(theirs[key], value, rtol=1e-3, atol=1e-6)
    factor: Any = again.vae
    assert pipeline.vae.config.scaling_factor == pytest.approx(factor.config.scaling_factor)


def pipeline_of(folder: Path) -> Any:
    diffusers, _ = tiny_sd.libraries()
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(torch.float32)


@pytest.fixture(params=["written", "zoo"])
def folder(request: pytest.FixtureRequest, written: Path) -> Path:
    return written if request.param == "written" else ZOO


def test_weights_are_small_half_safetensors_that_say_where_they_are_from(folder: Path) -> None:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    weights = [file for file in files if file.suffix == ".safetensors"]
    assert {file.suffix for file in files} == {".safetensors", ".json", ".txt"}
    assert [file.parent.name for file in weights] == ["text_encoder", "unet", "vae"]
    assert all(file.stat().st_size < MOST_BYTES for file in files)
    for file in weights:
        with safe_open(file, "pt") as opened:
            metadata = opened.metadata()
            assert (metadata["format"], metadata["licence"]) == ("pt", "Apache-2.0")
            assert "vedette.export.training.tiny_sd" in metadata["source"]
            assert {opened.get_tensor(name).dtype for name in opened.keys()} == {torch.float16}  # noqa: SIM118
            if file.parent.name == "text_encoder":
                assert all(name.startswith("text_model.") for name in opened.keys())  # noqa: SIM118


def test_a_folder_has_the_tokenizer_of_the_captions_and_names_no_other_folder(
    folder: Path, words: Any
) -> None:
    vocabulary = json.loads((folder / "tokenizer/vocab.json").read_text())
    assert vocabulary == words.get_vocab()
    assert (folder / "tokenizer/merges.txt").read_text().splitlines()[1:] == [
        " ".join(pair) for pair in merges_of(WORDS)
    ]
    index = json.loads((folder / "model_index.json").read_text())
    assert index["text_encoder"] == ["transformers", "CLIPTextModel"]
    assert index["unet"] == ["diffusers", "UNet2DConditionModel"]
    for config in folder.rglob("*.json"):
        assert "_name_or_path" not in config.read_text()


def test_without_diffusers_the_cure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(UsageError, match=r"no module diffusers\n.*\n.*pip install 'vedette\[train\]'"):
        tiny_sd.fresh()


def test_a_grid_is_cut_into_its_pictures(tmp_path: Path) -> None:
    levels = [10, 60, 110, 160, 210]
    sheet = grid([np.full((32, 32, 3), level, np.uint8) for level in levels])
    png.save(tmp_path / "grid.png", sheet, "key", "text")
    cut = judge.pictures_in(tmp_path / "grid.png")
    assert [round(float(picture.mean() * 255)) for picture in cut[: len(levels)]] == levels
    assert all(np.ptp(picture) == 0 for picture in cut[: len(levels)])


def test_real_digits_are_found_as_they_are_written() -> None:
    shared("mnist_vae_gan")
    kinds = [Kind(digit, thickness, False) for digit in (0, 3) for thickness in THICKNESSES]
    drawn = np.concatenate([judge.real(kind)[:4] for kind in kinds])
    rows = {
        name: (found, real)
        for name, found, real in judge.told(drawn, [kind for kind in kinds for _ in range(4)])
    }
    assert list(rows) == ["thin", "plain", "thick", "all"]
    found, real = rows["all"]
    assert found.images == 24
    assert min(found.digit, real.digit) > 0.9
    assert min(found.tilt, real.tilt) > 0.9
    assert rows["thin"][0].ink < rows["plain"][0].ink < rows["thick"][0].ink
