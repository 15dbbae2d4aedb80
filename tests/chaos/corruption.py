"""Are wrong pictures told, and right ones never?   cd tests && python -m chaos.corruption [--times 1]

A camera over lines that lose or damage 1 % of its packets; one that never sends a key frame, one that changes its size,
some that set their clocks. Each decoded frame is compared with the same frame of the intact clip, found by its time.
Printed: how many frames are visibly wrong, how many of those are marked suspect and how many marks are needless; boxes
after a change of size; the steps of time.
"""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import clips
import numpy as np
import toy

from chaos.report import Report, main
from chaos.servers import mini, raw_clip
from chaos.watching import Watched, watched
from vedette import Model
from vedette.runtime.frame import Frame
from vedette.runtime.results import Result
from vedette.runtime.status import State

FPS = 25
SIZE = (640, 360)
BLOCK = 20  # pixels; divides both sides
VISIBLE = 12.0  # levels that the luma of a block is off on average
Array = Any


def moving_clip(folder: Path, count: int = 150, *, name: str = "moving.h264", slices: int = 1) -> Path:
    """A texture that drifts under squares that fly, so that what is lost shows; so many slices a picture."""
    path, chance = folder / name, np.random.default_rng(3)
    texture = chance.integers(40, 216, (SIZE[1] // 8, SIZE[0] // 8)).astype(np.uint8)
    ground = np.kron(texture, np.ones((8, 8), np.uint8))
    with av.open(str(path), "w") as container:
        settings = {
            "g": "25",
            "bf": "0",
            "crf": "23",
            "tune": "zerolatency",
            "threads": "1",
            "slices": str(slices),
        }
        stream: Any = container.add_stream("libx264", rate=FPS, options=settings)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for index in range(count):
            picture = np.repeat(np.roll(ground, (index, 2 * index), (0, 1))[..., None], 3, axis=2)
            for square in range(4):
                left, top = (
                    (90 * square + 7 * index) % (SIZE[0] - 60),
                    (70 * square + 5 * index) % (SIZE[1] - 60),
                )
                picture[top : top + 60, left : left + 60] = 255 * (square % 2)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    return path


def lumas(path: Path) -> list[Array]:
    """Every picture of an intact clip, as plain PyAV decodes it: uint8 [H, W]."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray()[: frame.height] for frame in container.decode(video=0)]  # of yuv420p


def off_by(first: Array, second: Array) -> float:
    """The largest mean difference of a block of two pictures, in levels."""
    height, width = first.shape
    difference = np.abs(first.astype(np.int16) - second)
    return float(difference.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK).mean((1, 3)).max())


@dataclass
class Judge:
    """Compares frames with the intact clip, which the camera plays over and over."""

    truth: list[Array]

    def __post_init__(self) -> None:
        self.wrong, self.suspect = list[bool](), list[bool]()
        self._offset: int | None = None  # number of the frame whose time is 0
        self._waiting: list[tuple[int, Array]] = []

    def __call__(self, frame: Frame, results: list[Result]) -> None:
        """Judge it, once the first whole picture has told which those of the clip are."""
        number, luma = round(frame.time_s * FPS), frame.planes[0]
        self.suspect.append(frame.suspect)
        if self._offset is None:
            errors = [off_by(luma, true) for true in self.truth]
            if min(errors) == 0:
                self._offset = int(np.argmin(errors)) - number
        self._waiting.append((number, luma))
        if self._offset is not None:
            self.wrong += [self._is_wrong(*waiting) for waiting in self._waiting]
            self._waiting.clear()

    def _is_wrong(self, number: int, luma: Array) -> bool:
        true = self.truth[(number + (self._offset or 0)) % len(self.truth)]
        return off_by(luma, true) > VISIBLE


def judged(clip: Path, truth: list[Array], faults: list[str], frames: int, seed: int) -> Judge:
    """So many frames of a camera, each compared."""
    judge = Judge(truth)
    settings = {"look": judge, "policy": "all", "max_frames": frames}
    with mini(clip, *faults, seed=seed) as yard, watched(sources={"yard": yard.url}, **settings) as run:
        run.join(frames / FPS + 30)
    if run.error is not None or len(judge.wrong) != frames:
        raise AssertionError(f"{len(judge.wrong)} of {frames} frames; {run.error!r}")
    return judge


def loss(report: Report, *, frames: int = 500, seeds: int = 3) -> None:
    """1 % of the packets lost, 1 % damaged, none; all at once, as they mostly wait for the camera."""
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(1 + 2 * seeds) as pool:
        clip = moving_clip(Path(name))
        truth = lumas(clip)
        faults = ("drop=0.01", "corrupt=0.01")
        told = {
            fault: [pool.submit(judged, clip, truth, [fault], frames, seed) for seed in range(seeds)]
            for fault in faults
        }
        clean = pool.submit(judged, clip, truth, [], frames, 0).result()
        for fault in faults:
            marks(report, fault, [judge.result() for judge in told[fault]])
        report.equal(f"visibly wrong of {frames} frames of a clean line", sum(clean.wrong), 0)
        report.equal(f"marked of {frames} frames of a clean line", sum(clean.suspect), 0)


def marks(report: Report, fault: str, judges: list[Judge]) -> None:
    """Are most wrong frames marked, and not many more?"""
    wrong = np.concatenate([judge.wrong for judge in judges])
    suspect = np.concatenate([judge.suspect for judge in judges])
    report.say(f"     {fault}: {len(wrong)} frames, {wrong.sum()} visibly wrong, {suspect.sum()} marked")
    report.at_least(f"{fault}: frames visibly wrong", int(wrong.sum()), 10)  # else it shows nothing
    report.at_least(
        f"{fault}: share of them marked", float((wrong & suspect).sum() / max(1, wrong.sum())), 0.8
    )
    report.at_most(f"{fault}: marked for each wrong one", float(suspect.sum() / max(1, wrong.sum())), 3.0)


def no_key_frame(report: Report) -> None:
    """A camera whose packets never make a picture."""
    with tempfile.TemporaryDirectory() as name, mini(raw_clip(Path(name)), "nokey") as yard:
        run = Watched({"yard": yard.url})
        took = run.event_after("yard", run.began, {State.STALLED}, within_s=12 * report.times)
        run.stop()
    report.within("no key frame: until STALLED", [took], 10.0)
    report.equal("no key frame: frames", len(run.seen), 0)


def one_bright_cell(folder: Path, name: str, size: tuple[int, int], cell: tuple[int, int]) -> Path:
    """A second of black pictures, in which one of 4 x 4 cells (row, column) is white: toy.onnx_model's dog."""
    (width, height), (row, column) = (size[0] // 4, size[1] // 4), cell
    path = folder / name
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=FPS, options={"g": "25", "tune": "zerolatency"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        picture = np.zeros((size[1], size[0], 3), np.uint8)
        picture[row * height : (row + 1) * height, column * width : (column + 1) * width] = 255
        for _ in range(FPS):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    return path


def change_of_size(report: Report) -> None:
    """A camera that changes its size and picture on the same connection: every box is where its own picture says."""
    before, after = ((320, 192), (0, 1)), ((256, 256), (3, 2))  # size, bright cell
    # by hand: toy's cell (row, column) makes a box of half the sides around its top left corner
    expected = {(320, 192): [0, -48, 160, 48], (256, 256): [64, 128, 192, 256]}
    found: list[tuple[tuple[int, int], Array]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip, other = one_bright_cell(folder, "a.h264", *before), one_bright_cell(folder, "b.h264", *after)
        runner = Model(toy.onnx_model(folder)).runner()
        settings: dict[str, Any] = {"policy": "all", "max_frames": 100, "runners": [runner]}

        def look(frame: Frame, results: list[Result]) -> None:
            found.append((frame.size, results[0].boxes.xyxy))  # type: ignore[union-attr]

        with (
            mini(clip, f"switch=50:{other}") as yard,
            watched(sources={"yard": yard.url}, look=look, **settings) as run,
        ):
            run.join(30)
    right = [len(boxes) == 1 and np.abs(boxes[0] - expected[size]).max() < 1.5 for size, boxes in found]
    report.equal(
        "change of size: frames of each", [sum(s == size for s, _ in found) for size in expected], [50, 50]
    )
    report.equal("change of size: frames whose box is right", sum(right), 100)
    report.equal("change of size: connections", run.pipeline.status()["yard"].connections, 1)


def times(report: Report) -> None:
    """Clocks that are set, and none at all: time goes forward, by about what passed."""
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor() as pool:
        folder = Path(name)
        clip, part = raw_clip(folder, 100), clips.write_video(folder / "part.ts", 50)
        joined = folder / "joined.ts"
        joined.write_bytes(2 * part.read_bytes())
        faults = [f"tsjump=50:{seconds}" for seconds in (-10, -0.5, 0.7, 3600)]
        told = pool.map(lambda fault: told_of_camera(clip, fault), faults)
        for fault, seconds in zip(faults, told, strict=True):
            steps_of_time(report, fault, seconds)
            report.at_most(f"{fault}: seconds that 4 s took", seconds[-1] - seconds[0], 4.8)
        steps_of_time(report, "no stamps at all", times_told(str(clip)))
        steps_of_time(report, "two files joined", times_told(str(joined)))


def told_of_camera(clip: Path, fault: str) -> list[float]:
    with mini(clip, fault) as yard:
        return times_told(yard.url)


def times_told(uri: str) -> list[float]:
    """Of 100 frames, in seconds."""
    with watched(sources={"yard": uri}, policy="all", max_frames=100) as run:
        run.join(60)
    return [seen.time_s for seen in run.seen]


def steps_of_time(report: Report, what: str, told: list[float]) -> None:
    report.equal(f"{what}: frames", len(told), 100)
    report.equal(f"{what}: steps back or of nothing", sum(b <= a for a, b in pairwise(told)), 0)


def run(report: Report) -> None:
    loss(report)
    no_key_frame(report)
    change_of_size(report)
    times(report)


if __name__ == "__main__":
    main(__doc__, run)
