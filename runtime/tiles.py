"""Networks that make pictures, at the frame's own size: a large frame in overlapping tiles, joined without a seam.

In: a Runner of pictures that fit its network as they are; Frames of any size.  Out: Results as large as their frames.
A frame is whole unless it is larger than the network takes or than SIDE x SIDE, which bounds the memory. Where two tiles
overlap, neither is believed near its own edge, where it lacks what is around; between, one fades into the other. With a
norm over the batch that equals the whole frame's picture wherever half a receptive field fits into a margin; with a norm
over the picture (instance norm) tiles differ in contrast, which the fading spreads over its length.
Next: opening.py, which puts it around a Runner; tasks/image.py.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import gcd

import numpy as np

from vedette.runtime.frame import Array, Frame
from vedette.runtime.manifest import LARGEST, Input
from vedette.runtime.preprocess import Size
from vedette.runtime.results import Result
from vedette.runtime.runner import Done, Pending, Runner

SIDE = 1536  # pixels: full HD fits into its square, and takes CycleGAN 1.4 GB; 4K would take 5.5
OVERLAP = 256  # pixels: a margin of a quarter that is left out, a fade of a half, the other's margin
SHARE = 4  # of a tile may overlap, where tiles are small
STEP = 8  # what tiles of a fixed size begin at, if they can: the strides of these networks


@dataclass(frozen=True, slots=True)
class Axis:
    """Tiles along a side of a frame; the last one may end beyond it."""

    length: int  # of the frame
    tile: int
    starts: tuple[int, ...]

    @property
    def padded(self) -> int:
        """What the frame must be lengthened to."""
        return self.starts[-1] + self.tile

    def weights(self, times: int) -> list[Array]:
        """How much each tile counts at each of its pixels, enlarged: float32 [tile * times]; 1 together everywhere."""
        ramps = [self._ramp(index, times) for index in range(len(self.starts))]
        total = np.zeros(self.padded * times, np.float32)
        for start, ramp in zip(self.starts, ramps, strict=True):
            total[start * times :][: len(ramp)] += ramp
        return [
            ramp / total[start * times :][: len(ramp)] for start, ramp in zip(self.starts, ramps, strict=True)
        ]

    def _ramp(self, index: int, times: int) -> Array:
        """0 in the margins to other tiles, 1 in the middle."""
        overlap = _overlap(self.tile) * times
        place = np.arange(self.tile * times) + 0.5
        ramp = np.ones(len(place))
        for distance, inner in ((place, index > 0), (place[::-1], index < len(self.starts) - 1)):
            if inner:
                ramp = np.minimum(ramp, (distance - overlap / 4) / (overlap / 2))
        return ramp.clip(0, 1).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Grid:
    """How a frame of one size is cut."""

    columns: Axis
    rows: Axis

    def __len__(self) -> int:
        return len(self.columns.starts) * len(self.rows.starts)

    def cut(self, frame: Frame) -> Iterator[Frame]:
        """The tiles of a frame, row by row; beyond its edges it is mirrored."""
        import cv2

        padded = self.columns.padded, self.rows.padded
        if len(self) == 1 and padded == frame.size:
            yield frame
            return
        bottom, right = padded[1] - frame.size[1], padded[0] - frame.size[0]
        picture = cv2.copyMakeBorder(frame.bgr(), 0, bottom, 0, right, cv2.BORDER_REFLECT_101)
        for top in self.rows.starts:
            for left in self.columns.starts:
                part = picture[top : top + self.rows.tile, left : left + self.columns.tile]
                yield replace(frame, planes=(np.ascontiguousarray(part),), format="bgr24", _bgr=[])

    def joined(self, parts: Sequence[Array]) -> Array:
        """The picture of uint8 [h, w, 3] tiles, at the frame's size or the multiple of it that they are enlarged by."""
        times = parts[0].shape[0] // self.rows.tile
        height, width = self.rows.length * times, self.columns.length * times
        if len(self) == 1:
            return np.ascontiguousarray(parts[0][:height, :width])
        joined = np.zeros((self.rows.padded * times, self.columns.padded * times, 3), np.float32)
        down, across = self.rows.weights(times), self.columns.weights(times)
        for index, part in enumerate(parts):
            row, column = divmod(index, len(across))
            top, left = self.rows.starts[row] * times, self.columns.starts[column] * times
            place = joined[top : top + part.shape[0], left : left + part.shape[1]]
            place += part * (down[row][:, None] * across[column])[..., None]
        return joined[:height, :width].round().astype(np.uint8)


@lru_cache(maxsize=64)
def grid_of(size: Size, spec: Input) -> Grid:
    """How a frame of (width, height) is cut for an input."""
    lows, _, highs = (bound[-2:] for bound in spec.bounds())
    fixed = [low if side < 0 else side for low, side in zip(lows, spec.shape[-2:], strict=True)]
    steps = spec.multiple_of[-2:] or tuple(gcd(side, STEP) for side in fixed)
    limits = [high if high > 0 else LARGEST for high in highs]
    whole = [max(_up(length, step), low) for length, step, low in zip(size[::-1], steps, lows, strict=True)]
    if whole[0] * whole[1] > SIDE * SIDE:
        limits = [min(limit, max(low, SIDE)) for limit, low in zip(limits, lows, strict=True)]
    rows, columns = (
        _axis(length, low, limit - limit % step, step)
        for length, low, limit, step in zip(size[::-1], lows, limits, steps, strict=True)
    )
    return Grid(columns, rows)


def _axis(length: int, low: int, high: int, step: int) -> Axis:
    """As few tiles of at most `high` as overlap enough, as short as that allows, spread evenly."""
    padded = max(_up(length, step), low)
    if padded <= high:
        return Axis(length, padded, (0,))
    shared = _overlap(high)
    count = -(-(padded - shared) // (high - shared))
    tile = max(low, _up(-(-(padded + (count - 1) * shared) // count), step))
    spare = _up(padded - tile, step) // step
    return Axis(length, tile, tuple(round(index * spare / (count - 1)) * step for index in range(count)))


def _overlap(tile: int) -> int:
    return min(OVERLAP, tile // SHARE)


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


class OwnSize:
    """A Runner of frames of any size around one of pictures that fit the network as they are."""

    def __init__(self, spec: Input, runner: Runner) -> None:
        self.name, self.max_batch, self.in_flight = runner.name, runner.max_batch, runner.in_flight
        self._spec, self._runner = spec, runner

    def submit(self, frames: Sequence[Frame]) -> Pending:
        """Begin; tiles wait until the results are asked for, and run so many at a time as the memory is meant for."""
        grids = [grid_of(frame.size, self._spec) for frame in frames]
        if any(len(grid) > 1 for grid in grids):
            return Done(lambda: [self._tiled(*each) for each in zip(frames, grids, strict=True)])
        whole = [next(grid.cut(frame)) for frame, grid in zip(frames, grids, strict=True)]
        pending = self._runner.submit(whole)
        return Done(
            lambda: [
                _joined(*each) for each in zip(frames, grids, ([r] for r in pending.results()), strict=True)
            ]
        )

    def close(self) -> None:
        """Free what it has; not the engine, which is its giver's."""
        self._runner.close()

    def _tiled(self, frame: Frame, grid: Grid) -> Result:
        tiles, results = list(grid.cut(frame)), list[Result]()
        each = max(1, min(self.max_batch, SIDE * SIDE // (grid.columns.tile * grid.rows.tile)))
        for start in range(0, len(tiles), each):
            results += self._runner.submit(tiles[start : start + each]).results()
        return _joined(frame, grid, results)


def _joined(frame: Frame, grid: Grid, results: Sequence[Result]) -> Result:
    """One Result of a frame's tiles; its times are theirs together."""
    pictures = [result.image for result in results if result.image is not None]
    latency = {stage: sum(result.latency_ms[stage] for result in results) for stage in results[0].latency_ms}
    return replace(results[0], frame=frame, image=grid.joined(pictures), latency_ms=latency)
