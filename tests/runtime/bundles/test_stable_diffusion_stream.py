"""Frames of a live source: each is drawn as `generate` draws it, and they go through the denoiser together."""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers_pairs import LEAST_DB, PROMPT, SEED, Array, Both, drawn, picture, psnr, sizes_of

from vedette.runtime.errors import UsageError
from vedette.runtime.frame import Frame
from vedette.runtime.generation import Generator
from vedette.runtime.request import Images, Request
from vedette.runtime.runner import Pending, Runner

pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("transformers")

# of NumPy 2 about PyTorch's arrays, in their code
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def through(runner: Runner, pictures: Sequence[Array]) -> list[Array]:
    """As a Pipeline drives it."""
    waiting: deque[Pending] = deque()
    found: list[Any] = []
    for image in pictures:
        waiting.append(runner.submit([Frame((image,))]))
        if len(waiting) == runner.in_flight:
            found += waiting.popleft().results()
    for pending in waiting:
        found += pending.results()
    return [result.image for result in found]


@pytest.mark.parametrize(
    ("kind", "steps", "sampler"),
    [("lcm", 3, None), ("sd_turbo", 4, None), ("sd2", 4, "dpmpp_2m"), ("sdxl", 4, None)],
)
def test_each_frame_is_what_generate_makes_of_it(
    kind: str, steps: int, sampler: str | None, both: Callable[[str], Both], monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, size = both(kind).generator, sizes_of(kind)[1]
    guidance = 7.5 if kind in {"sd2", "sdxl"} else None
    request = Request(SEED, 1, PROMPT, steps, sampler, guidance, strength=0.75)
    pictures = [picture(size, seed) for seed in range(5)]
    expected = [drawn(generator, request, Images(image))[0] for image in pictures]
    batches: list[int] = []
    graph = generator._graphs["denoiser"]
    run = graph._run

    def counted(feeds: Any, batch: int) -> Any:
        batches.append(len(np.unique(feeds["timestep"])))
        return run(feeds, batch)

    monkeypatch.setattr(graph, "_run", counted)
    runner = generator.stream(request)
    found = through(runner, pictures)
    runner.close()
    assert min(map(psnr, found, expected)) >= LEAST_DB
    assert psnr(found[0], expected[1]) < LEAST_DB
    assert runner.in_flight == 3
    assert batches == [1, 2, 3, 3, 3, 2, 1]  # frames at steps of their own, in one call


def test_pictures_are_as_large_as_their_frames(both: Callable[[str], Both]) -> None:
    runner = both("lcm").generator.stream(Request(SEED, 1, PROMPT))
    pictures = [picture(size) for size in ((64, 40), (100, 30), (33, 7))]
    assert [image.shape for image in through(runner, pictures)] == [(40, 64, 3), (30, 100, 3), (7, 33, 3)]


def test_frames_that_nobody_waits_for_are_forgotten(both: Callable[[str], Both]) -> None:
    runner = both("lcm").generator.stream(Request(SEED, 1, PROMPT))
    first = picture((32, 32))
    runner.submit([Frame((first,))])
    runner.close()
    again = through(runner, [first])[0]
    fresh = through(both("lcm").generator.stream(Request(SEED, 1, PROMPT)), [first])[0]
    np.testing.assert_array_equal(again, fresh)


def test_a_folder_is_drawn_frame_by_frame(both: Callable[[str], Both], tmp_path: Path) -> None:
    import cv2

    (tmp_path / "in").mkdir()
    for seed in range(3):
        cv2.imwrite(str(tmp_path / "in" / f"{seed}.png"), picture((32, 32), seed))
    command = [
        sys.executable, "-m", "vedette", "generate", str(both("lcm").bundle), PROMPT, "--stream", "in",
        "--seed", str(SEED), "--strength", "0.5", "-o", "out/",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, "cam0: 3/3 frames" in done.stdout) == (0, True), done.stderr
    request = Request(SEED, 1, PROMPT, strength=0.5)
    for seed in range(3):
        saved = cv2.imread(str(tmp_path / "out" / f"{seed}.png"))
        expected = drawn(both("lcm").generator, request, Images(picture((32, 32), seed)))[0]
        assert saved is not None
        assert psnr(saved, expected) >= LEAST_DB


def test_what_cannot_be_streamed_is_refused(both: Callable[[str], Both], tmp_path: Path) -> None:
    import generators

    with pytest.raises(UsageError, match="wants --init and --mask"):
        both("inpainting").generator.stream(Request(0, prompt=PROMPT))
    with pytest.raises(UsageError, match=r"--strength 0\.1 of 4 steps is no step"):
        both("sd2").generator.stream(Request(0, prompt=PROMPT, steps=4, strength=0.1))
    other = Generator(str(generators.gan(tmp_path / "gan")))
    with pytest.raises(UsageError, match="gan has no use for --stream"):
        other.stream(Request(0))
    other.close()
