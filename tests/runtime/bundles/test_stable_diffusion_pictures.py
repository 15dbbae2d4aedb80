"""Stable Diffusion against the pipelines of diffusers, from the same weights, noise and prompts: the same pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import diffusers_folders as folders
import numpy as np
import pytest
from diffusers_pairs import (
    COUNT,
    LEAST_DB,
    NEGATIVE,
    PROMPT,
    SEED,
    Both,
    drawn,
    half,
    picture,
    pil,
    psnr,
    same_noise,
    sizes_of,
    worst,
)

from vedette.runtime.diffusion.sampling import Noise
from vedette.runtime.diffusion.tokens import tokens
from vedette.runtime.engine import open_engine
from vedette.runtime.errors import UsageError
from vedette.runtime.generation import Generator
from vedette.runtime.request import Images, Request

torch: Any = pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("transformers")

# of NumPy 2 about PyTorch's arrays, in their code
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
TEXT = [kind for kind in folders.KINDS if kind != "inpainting"]


@pytest.mark.parametrize("guidance", [1.0, 7.5])
@pytest.mark.parametrize("kind", TEXT)
def test_text_to_image(
    kind: str, guidance: float, both: Callable[[str], Both], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = both(kind)
    for size in sizes_of(kind):
        for negative in (None, "", NEGATIVE) if guidance > 1 and kind != "lcm" else (None,):
            request = Request(SEED, COUNT, PROMPT, 4, guidance=guidance, size=size, negative=negative)
            told = {"negative_prompt": negative} if negative is not None else {}
            with same_noise(monkeypatch):
                theirs = pair.pipeline(
                    PROMPT, num_images_per_prompt=COUNT, num_inference_steps=4, guidance_scale=guidance,
                    width=size[0], height=size[1], output_type="np", **told,
                ).images  # fmt: skip
            assert worst(drawn(pair.generator, request), theirs) >= LEAST_DB


@pytest.mark.parametrize("kind", TEXT)
def test_what_is_asked_for_counts(kind: str, both: Callable[[str], Both]) -> None:
    """Else the comparisons above would show nothing."""
    generator = both(kind).generator
    request = Request(SEED, 1, PROMPT, 4, guidance=7.5)
    first = drawn(generator, request)
    others: list[dict[str, Any]] = [{"prompt": "!"}, {"guidance": 2.0}, {"seed": SEED + 1}]
    others += [] if kind == "lcm" else [{"negative": NEGATIVE}]
    if kind.startswith("sdxl"):  # no prompt at all is not an empty one
        others += [{"negative": ""}]
    for change in others:
        assert psnr(drawn(generator, replace(request, **change)), first) < LEAST_DB, change


CHANGES = {
    "sd1": ("StableDiffusionImg2ImgPipeline", (0.5, 1.0)),
    "sdxl": ("StableDiffusionXLImg2ImgPipeline", (0.5,)),
    "sdxl_turbo": ("StableDiffusionXLImg2ImgPipeline", (0.5,)),
    "lcm": ("LatentConsistencyModelImg2ImgPipeline", (0.5,)),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_image_to_image(kind: str, both: Callable[[str], Both], monkeypatch: pytest.MonkeyPatch) -> None:
    pair = both(kind)
    name, strengths = CHANGES[kind]
    size = sizes_of(kind)[1]
    init = picture(size)
    for strength in strengths:
        request = Request(SEED, COUNT, PROMPT, 4, guidance=7.5, size=size, strength=strength)
        with same_noise(monkeypatch):
            theirs = pair.other(name)(
                [PROMPT] * COUNT, image=[pil(init)] * COUNT, strength=strength, num_inference_steps=4,
                guidance_scale=7.5, output_type="np",
            ).images  # fmt: skip
        ours = drawn(pair.generator, request, Images(init))
        assert worst(ours, theirs) >= LEAST_DB
        assert worst(drawn(pair.generator, request, Images(picture(size, 1))), theirs) < LEAST_DB


@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize("kind", ["sd1", "sdxl", "inpainting"])
def test_inpainting(
    kind: str, strength: float, both: Callable[[str], Both], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a denoiser that is told the mask, and by those that are not."""
    pair, size = both(kind), sizes_of(kind)[1]
    init, mask = picture(size), half(size)
    request = Request(SEED, COUNT, PROMPT, 4, guidance=7.5, size=size, strength=strength)
    name = "StableDiffusionXLInpaintPipeline" if kind == "sdxl" else "StableDiffusionInpaintPipeline"
    with same_noise(monkeypatch):
        theirs = pair.other(name)(
            [PROMPT] * COUNT, image=[pil(init)] * COUNT, mask_image=[pil(mask)] * COUNT, strength=strength,
            num_inference_steps=4, guidance_scale=7.5, width=size[0], height=size[1], output_type="np",
        ).images  # fmt: skip
    assert worst(drawn(pair.generator, request, Images(init, mask=mask)), theirs) >= LEAST_DB
    others = Images(picture(size, 1), mask=mask), Images(init, mask=255 - mask)
    assert all(worst(drawn(pair.generator, request, other), theirs) < LEAST_DB for other in others)


def test_rescaled_guidance(both: Callable[[str], Both], monkeypatch: pytest.MonkeyPatch) -> None:
    pair = both("sd2")
    request = Request(SEED, COUNT, PROMPT, 4, guidance=7.5, rescale=0.7)
    with same_noise(monkeypatch):
        theirs = pair.pipeline(
            PROMPT, num_images_per_prompt=COUNT, num_inference_steps=4, guidance_scale=7.5, width=32, height=32,
            guidance_rescale=0.7, output_type="np",
        ).images  # fmt: skip
    assert worst(drawn(pair.generator, request), theirs) >= LEAST_DB
    assert worst(drawn(pair.generator, replace(request, rescale=0.0)), theirs) < LEAST_DB


def test_strength_0_is_the_picture_through_the_vae(both: Callable[[str], Both]) -> None:
    pair, init = both("sd2"), picture((32, 32))
    vae = pair.pipeline.vae
    values = torch.from_numpy(init[..., ::-1].transpose(2, 0, 1)[None] / np.float32(127.5) - 1)
    with torch.inference_mode():
        spread = vae.encode(values).latent_dist
        points = [
            spread.mean + spread.std * torch.from_numpy(Noise([SEED + at])((4, 16, 16))) for at in (0, 1)
        ]
        theirs = [
            (vae.decode(point).sample[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).numpy() for point in points
        ]
    assert (
        worst(drawn(pair.generator, Request(SEED, 2, PROMPT, strength=0.0), Images(init)), theirs) >= LEAST_DB
    )


@pytest.mark.parametrize("kind", ["sdxl", "inpainting"])
def test_low_memory_draws_the_same_with_one_part_at_a_time(kind: str, both: Callable[[str], Both]) -> None:
    pair = both(kind)
    size = sizes_of(kind)[1]
    images = Images(picture(size), mask=half(size))
    request = Request(SEED, COUNT, PROMPT, 4, guidance=7.5, strength=0.5)
    expected = drawn(pair.generator, request, images)
    opened, most = 0, 0

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal opened, most
        engine = open_engine(*arguments, **options)
        opened += 1
        most = max(most, opened)

        def close() -> None:
            nonlocal opened
            opened -= 1
            type(engine).close(engine)

        engine.close = close  # type: ignore[method-assign]
        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vedette.runtime.parts.open_engine", counted)
        generator = Generator(str(pair.bundle), low_memory=True)
        found = drawn(generator, request, images)
        generator.close()
    assert worst(found, list(expected[..., ::-1] / 255)) >= LEAST_DB
    assert (opened, most) == (0, 1)


def test_words_that_do_not_fit_are_told(both: Callable[[str], Both]) -> None:
    """As many as the library for training leaves out, with both tokenizers."""
    pair = both("sdxl")
    long = " ".join(f"seven {at}!" for at in range(40))
    notes = pair.generator.notes(Request(0, prompt=long, negative=long.replace("seven", "two")))
    assert [note.partition(" is longer than 75 tokens; its end is left out: ")[0] for note in notes] == [
        "the prompt", "the negative prompt"
    ]  # fmt: skip
    end = notes[0].partition("left out: ")[2]
    assert long.endswith(end.removesuffix(" …")) or end.removesuffix(" …") in long
    tokenizer = pair.pipeline.tokenizer
    kept = tokenizer(long.removesuffix(long[long.index(end.removesuffix(" …")) :]))["input_ids"]
    assert len(kept) == 77
    assert pair.generator.notes(Request(0, prompt="seven " * 10, negative="")) == []


@pytest.mark.parametrize("kind", ["sd1", "sd2", "sdxl"])
def test_tokens_are_those_of_transformers(kind: str, both: Callable[[str], Both]) -> None:
    pair = both(kind)
    texts = pair.generator._parameters.texts
    for text, theirs in zip(
        texts, (pair.pipeline.tokenizer, getattr(pair.pipeline, "tokenizer_2", None)), strict=False
    ):
        for prompt in (
            "",
            " ",
            "The SEVEN, in  two!",
            "äöü 七 🙂",
            "a" * 200,
            "seven " * 100,
            "x <|endoftext|> y",
            "!",
        ):
            expected = theirs(prompt, padding="max_length", max_length=77, truncation=True)["input_ids"]
            assert (
                tokens(pair.generator._graphs.files[text.tokenizer], text, prompt).ids.tolist() == expected
            ), prompt


def test_models_that_lack_a_way_to_do_it_refuse_it(both: Callable[[str], Both]) -> None:
    with pytest.raises(UsageError, match="inpainting wants --init and --mask"):
        both("inpainting").generator.settled(Request(0, prompt=PROMPT))
    with pytest.raises(UsageError) as caught:
        both("lcm").generator.settled(Request(0, prompt=PROMPT, negative="x"))
    assert "is told the guidance" in str(caught.value)


def test_eta(both: Callable[[str], Both], monkeypatch: pytest.MonkeyPatch) -> None:
    pair = both("sd2")
    request = Request(SEED, COUNT, PROMPT, 4, guidance=7.5, eta=0.7)
    with same_noise(monkeypatch):
        theirs = pair.pipeline(
            PROMPT, num_images_per_prompt=COUNT, num_inference_steps=4, guidance_scale=7.5, width=32, height=32,
            eta=0.7, output_type="np",
        ).images  # fmt: skip
    assert worst(drawn(pair.generator, request), theirs) >= LEAST_DB
    assert worst(drawn(pair.generator, replace(request, eta=None)), theirs) < LEAST_DB
