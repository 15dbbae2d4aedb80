"""Bundles that draw, whose pictures are known; and what is refused of them."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import generators
import numpy as np
import pytest
import toy
from generators import KNOWN, LOG_VARIANCE, SIDE

from vedette import Model
from vedette.runtime import bundle as bundles
from vedette.runtime.bundles.ddpm import Parameters
from vedette.runtime.diffusion.plans import names
from vedette.runtime.errors import ManifestError, ModelError, UsageError
from vedette.runtime.frame import Array
from vedette.runtime.generation import Generator
from vedette.runtime.request import Images, Request

KNOWN_BYTES = ((KNOWN[0] + 1) * 127.5).round().astype(np.uint8)
WHITE = np.full((9, 9, 3), 255, np.uint8)
BLACK = np.zeros((9, 9, 3), np.uint8)


@contextmanager
def opened(folder: Path) -> Iterator[Generator]:
    with closing(Generator(str(folder))) as generator:
        yield generator


def drawn(folder: Path, request: Request, images: Images = Images(), **more: Any) -> list[Array]:  # noqa: B008
    with opened(folder) as generator:
        return list(generator.draw(generator.settled(request, images), images, **more))


def expected_latents(seed: int) -> Array:
    """The first numbers of NumPy's default generator."""
    return np.random.default_rng(seed).standard_normal(SIDE * SIDE, np.float32)


def test_a_gan_draws_the_numbers_of_each_seed(tmp_path: Path) -> None:
    found = drawn(generators.gan(tmp_path / "gan"), Request(7, 40))
    assert len(found) == 40  # of three batches
    for index in (0, 15, 16, 39):
        values = np.tanh(expected_latents(7 + index)).reshape(SIDE, SIDE)
        np.testing.assert_allclose(found[index], (values + 1) * 127.5, atol=0.51)


def test_a_vae_draws_the_numbers_of_each_seed(tmp_path: Path) -> None:
    found = drawn(generators.vae(tmp_path / "vae"), Request(3, 2))
    for index, image in enumerate(found):
        values = expected_latents(3 + index).clip(0, 1).reshape(SIDE, SIDE)
        np.testing.assert_allclose(image, values * 255, atol=0.51)


def test_a_vae_goes_from_one_picture_to_another(tmp_path: Path) -> None:
    images = Images(BLACK, WHITE)
    found = drawn(generators.vae(tmp_path / "vae"), Request(0, 18), images)
    np.testing.assert_allclose([image[0, 0] for image in found], np.arange(18) / 17 * 255, atol=0.51)
    assert all((image == image[0, 0]).all() for image in found)
    (only,) = drawn(tmp_path / "vae", Request(0, 1), images)
    assert not only.any()


def test_a_vae_draws_around_a_picture_as_its_encoder_says(tmp_path: Path) -> None:
    found = drawn(generators.vae(tmp_path / "vae"), Request(5, 1), Images(WHITE // 2))
    spread = np.exp(LOG_VARIANCE / 2)
    values = 127 / 255 + spread * expected_latents(5).reshape(SIDE, SIDE)
    np.testing.assert_allclose(found[0], (values * 255).clip(0, 255), atol=0.51)


@pytest.mark.parametrize("prediction", ["epsilon", "v", "sample"])
def test_every_sampler_draws_what_the_network_knows(prediction: str, tmp_path: Path) -> None:
    folder = generators.ddpm(tmp_path / "ddpm", prediction=prediction)
    with opened(folder) as generator:
        for name in names():
            if name == "pndm" and prediction != "epsilon":
                continue  # it extrapolates predictions, and only the noise is the same at every level
            settled = generator.settled(Request(1, 2, sampler=name, steps=10))
            for image in generator.draw(settled):
                # Karras' levels lie between those that this network has
                np.testing.assert_allclose(image.astype(int), KNOWN_BYTES, atol=3 if "karras" in name else 1)


def test_strength_says_how_much_of_a_picture_is_changed(tmp_path: Path) -> None:
    folder = generators.ddpm(tmp_path / "ddpm", picture=np.ones((1, 4, 4), np.float32))
    grey = Images(WHITE // 2)
    for strength, expected in ((0.0, 127), (0.05, 127), (0.1, 255), (1.0, 255)):
        (image,) = drawn(folder, Request(0, 1, steps=10, strength=strength), grey)
        np.testing.assert_allclose(image.astype(int), expected, atol=1)


def test_one_of_many_is_the_same_alone(tmp_path: Path) -> None:
    folder = generators.ddpm(tmp_path / "ddpm", sampler="ddpm", clip=False)
    steps: list[tuple[int, int]] = []
    whole = drawn(folder, Request(1, 20, steps=3), progress=lambda *told: steps.append(told))
    assert steps == [(count, 6) for count in range(1, 7)]
    for index in (0, 15, 16, 19):
        (alone,) = drawn(folder, Request(1, 20, steps=3), only=index)
        np.testing.assert_array_equal(alone, whole[index])


def test_the_model_s_own_choice_is_written_down(tmp_path: Path) -> None:
    folder = generators.ddpm(tmp_path / "ddpm", sampler="dpmpp-2m", steps=7)
    with opened(folder) as generator:
        settled = generator.settled(Request(1))
        assert (settled.sampler, settled.steps, settled.count, settled.strength) == ("dpmpp_2m", 7, 16, None)
        assert generator.settled(Request(1), Images(WHITE)).strength == 0.8
        assert generator.settled(settled) == settled


GRADIENT = np.linspace(0, 255, 48).astype(np.uint8).reshape(4, 4, 3)


def test_colours_keep_their_order(tmp_path: Path) -> None:
    pixels = Parameters(3, (4, 4)).pixels()
    values = pixels.to_values(GRADIENT)
    np.testing.assert_allclose(values[0], GRADIENT[..., 2] / 127.5 - 1, atol=1e-6)  # red first
    np.testing.assert_array_equal(pixels.to_bytes(values[None])[0], GRADIENT)


BROKEN: Mapping[str, tuple[Request, Images, str]] = {
    "gan": (Request(0, steps=4), Images(), "no use for --steps"),
    "gan with a picture": (Request(0), Images(WHITE), "no use for --init"),
    "gan of another size": (Request(0, size=(8, 4)), Images(), "--size 8x4 does not fit"),
    "vae": (Request(0, prompt="a cat"), Images(), "no use for a prompt"),
    "vae to nowhere": (Request(0), Images(None, WHITE), "--to needs --init"),
    "vae with strength": (Request(0, strength=0.5), Images(WHITE), "no use for --strength"),
    "ddpm": (Request(0, guidance=7.5), Images(), "no use for --guidance"),
    "ddpm from nothing": (Request(0, strength=0.5), Images(), "no use for --strength"),
    "ddpm to": (Request(0), Images(WHITE, WHITE), "no use for --to"),
    "ddpm without steps": (Request(0, steps=0), Images(), "--steps 0"),
    "ddpm by nobody's sampler": (Request(0, sampler="plms"), Images(), "no sampler 'plms'"),
    "ddpm beyond": (Request(0, strength=1.5), Images(WHITE), "--strength 1.5"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_a_kind_has_no_use_for_is_refused(case: str, tmp_path: Path) -> None:
    kind = case.partition(" ")[0]
    getattr(generators, kind)(tmp_path / kind)
    request, images, told = BROKEN[case]
    with opened(tmp_path / kind) as generator, pytest.raises(UsageError) as caught:
        generator.settled(request, images)
    assert told in str(caught.value)
    assert str(caught.value).count("\n") == 2


@pytest.mark.parametrize("numbers", [{"count": 0}, {"count": 10**6}, {"seed": -1}, {"seed": 2**63}])
def test_numbers_out_of_range_are_refused(numbers: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="out of range"):
        Request(**{"seed": 0, **numbers})


def test_outputs_that_are_no_numbers_are_told(tmp_path: Path) -> None:
    folder = generators.ddpm(tmp_path / "ddpm", broken_below=500)
    with pytest.raises(ModelError, match="no number in step 6 of 10"):
        drawn(folder, Request(0, 1))


def test_an_encoder_that_gives_no_numbers_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generators, "LOG_VARIANCE", np.nan)
    folder = generators.vae(tmp_path / "vae")
    assert len(drawn(folder, Request(0, 1))) == 1  # which asks the decoder alone
    with pytest.raises(ModelError, match="encoder of encoder gives log_variance that are no numbers"):
        drawn(folder, Request(0, 1), Images(WHITE))


def changed(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / bundles.NAME
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "parameters",
    [
        {"channels": 2}, {"size": [0, 4]}, {"black": 1.0}, {"train_steps": 0}, {"beta_end": 2.0}, {"prediction": "x"},
        {"schedule": "square"}, {"sampler": "plms"}, {"steps": 0}, {"zero_terminal_snr": True}, {"colour": 1},
    ],
)  # fmt: skip
def test_parameters_that_cannot_be_are_refused(parameters: dict[str, Any], tmp_path: Path) -> None:
    folder = generators.ddpm(tmp_path / "ddpm")
    changed(folder, lambda content: content["parameters"].update(parameters))
    with pytest.raises(ManifestError, match="parameters of ddpm are wrong"):
        Generator(str(folder))


def test_parts_of_another_kind_are_refused(tmp_path: Path) -> None:
    folder = generators.gan(tmp_path / "gan")
    changed(folder, lambda content: content.update(kind="vae"))
    with pytest.raises(ManifestError) as caught:
        Generator(str(folder))
    assert "parts generator, not encoder, decoder" in str(caught.value)
    folder = generators.ddpm(tmp_path / "ddpm")
    changed(
        folder,
        lambda content: content.update(
            kind="gan",
            parts={"generator": "denoiser.onnx"},
            parameters={"latents": 2, "channels": 1, "size": [4, 4]},
        ),
    )
    with pytest.raises(ManifestError) as caught:
        Generator(str(folder))
    assert "generator goes from sample of 4 axes" in str(caught.value)


def test_what_does_not_draw_is_refused(tmp_path: Path) -> None:
    toy.recording(tmp_path)
    with pytest.raises(ModelError, match="toy does not draw"):
        Generator(str(tmp_path / "toy.npz"))


@pytest.mark.parametrize("kind", ["vae", "gan", "ddpm"])
def test_what_draws_does_not_run_over_pictures(kind: str, tmp_path: Path) -> None:
    folder = getattr(generators, kind)(tmp_path / kind)
    with pytest.raises(ModelError) as caught:
        Model(folder)
    assert f"vedette generate {kind}" in str(caught.value)
