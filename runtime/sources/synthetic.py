"""A test pattern that moves: `synthetic:WIDTHxHEIGHT@FPS?frames=N&live=1`, every part optional.

The stand-in for a source: it needs no file, camera or decoder, and the same URI always makes the same frames.
"""

import re
import time
from dataclasses import dataclass
from math import ceil, inf
from urllib.parse import parse_qsl

import numpy as np

from vedette.runtime.errors import UsageError
from vedette.runtime.frame import Array, Frame
from vedette.runtime.sources import END, TIMEOUT, Read, SourceOptions, closed

SCHEME = "synthetic:"
# Digits of 3 x 5 pixels: one octal figure a row.
DIGITS = ("75557", "26227", "71747", "71717", "55711", "74717", "74757", "71111", "75757", "75717")


@dataclass(frozen=True, slots=True)
class Pattern:
    """What the URI asks for; frames None is endless."""

    width: int = 640
    height: int = 480
    fps: float = 25.0
    frames: int | None = 100
    live: bool = False


DEFAULT = Pattern()


def claims(uri: str) -> bool:
    return uri.lower().startswith(SCHEME)


def open_source(uri: str, options: SourceOptions) -> "Synthetic":
    """The source.

    Raises:
        UsageError: the URI is not of the form above, or a number is out of range.
    """
    return Synthetic(uri, parse(uri), options)


class Synthetic:
    """Frames as fast as they are read, or at their rate if live; a live one that is read late loses none."""

    def __init__(self, uri: str, pattern: Pattern, options: SourceOptions) -> None:
        self.uri = uri
        self.live = pattern.live
        self.lasting = pattern.live and pattern.frames is None
        self.frame_count = None if pattern.frames is None else ceil(pattern.frames / options.stride)
        self._pattern, self._options = pattern, options
        self._index = 0
        self._started: float | None = None
        self._closed = False

    def read(self, timeout_s: float = 1.0) -> Read:
        """The next frame; TIMEOUT if it is not due within timeout_s; END."""
        if self._closed:
            raise closed(self.uri)
        pattern, index = self._pattern, self._index
        if index >= (inf if pattern.frames is None else pattern.frames):
            return END
        if pattern.live and not self._wait(index / pattern.fps, timeout_s):
            return TIMEOUT
        self._index += self._options.stride
        return Frame(
            planes=(draw(pattern, index),),
            stream=self._options.stream,
            source=self.uri,
            index=index,
            time_s=index / pattern.fps,
            received_ns=time.monotonic_ns(),
            rate=pattern.fps,
        )

    def close(self) -> None:
        self._closed = True

    def again(self) -> "Synthetic":
        return Synthetic(self.uri, self._pattern, self._options)

    def _wait(self, due_s: float, timeout_s: float) -> bool:
        """Sleep until a frame is due, timeout_s at most; whether it is."""
        if self._started is None:
            self._started = time.monotonic()
        remaining = self._started + due_s - time.monotonic()
        time.sleep(max(0.0, min(remaining, timeout_s)))
        return remaining <= timeout_s


def parse(uri: str) -> Pattern:
    """The pattern that a URI asks for.

    Raises:
        UsageError: the URI is not of the form above, or a number is out of range.
    """
    shape, _, query = uri[len(SCHEME) :].partition("?")
    match = re.fullmatch(r"(?:(\d{1,5})x(\d{1,5}))?(?:@(\d{1,4}(?:\.\d{1,6})?))?", shape, re.ASCII)
    if match is None:
        raise _refused(uri, f"{shape!r} is not WIDTHxHEIGHT@FPS")
    width, height, fps = match.groups()
    parameters = _parameters(uri, query)
    live = _number(uri, "live", parameters.get("live", "0"), 0, 1) == 1
    frames = parameters.get("frames", None if live else str(DEFAULT.frames))
    return Pattern(
        width=int(_number(uri, "width", width or str(DEFAULT.width), 16, 8192)),
        height=int(_number(uri, "height", height or str(DEFAULT.height), 16, 8192)),
        fps=_number(uri, "fps", fps or str(DEFAULT.fps), 0.001, 1000),
        frames=None if frames is None else int(_number(uri, "frames", frames, 1, 10**9)),
        live=live,
    )


def _parameters(uri: str, query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise _refused(uri, f"{query!r} is not NAME=VALUE&NAME=VALUE") from None
    names = [name for name, _ in pairs]
    for name in names:
        if name not in {"frames", "live"}:
            raise _refused(uri, f"there is no parameter {name!r}")
        if names.count(name) > 1:
            raise _refused(uri, f"{name} is given twice")
    return dict(pairs)


def _number(uri: str, name: str, text: str, low: float, high: float) -> float:
    pattern = r"\d+\.?\d*" if name == "fps" else r"\d+"
    if re.fullmatch(pattern, text, re.ASCII) is None or not low <= float(text) <= high:
        raise _refused(uri, f"{name} is {text!r}, not a number from {low:g} to {high:g}")
    return float(text)


def _refused(uri: str, why: str) -> UsageError:
    return UsageError(
        f"{uri!r} is not a test pattern", why=why, cure="write it like synthetic:640x480@25?frames=100&live=1"
    )


def draw(pattern: Pattern, index: int) -> Array:
    """One picture: ramps that drift, a square that bounces, and the index in digits at the top left."""
    width, height = pattern.width, pattern.height
    image = np.full((height, width, 3), 64, np.uint8)
    image[..., 0] = (np.arange(width) + 3 * index) % 256  # blue along x
    image[..., 1] = ((np.arange(height) + 2 * index) % 256)[:, None]  # green along y
    side = max(4, height // 6)
    left, top = _bounce(7 * index, width - side), _bounce(5 * index, height - side)
    image[top : top + side, left : left + side] = (32, 32, 255)
    counter = _digits(index, scale=max(1, min(width // 40, height // 20)))
    rows, columns = counter.shape
    image[:rows, :columns] = np.where(counter, np.uint8(255), np.uint8(0))[:height, :width, None]
    return image


def _bounce(position: int, span: int) -> int:
    """A position that runs to the end of its span and back."""
    return span - abs(position % (2 * span) - span) if span > 0 else 0


def _digits(number: int, *, scale: int) -> Array:
    """A number as bool [7 * scale, (4 * digits + 1) * scale]."""
    glyphs = [
        np.array([[int(row) >> bit & 1 for bit in (2, 1, 0)] for row in DIGITS[int(c)]]) for c in str(number)
    ]
    padded = [np.pad(glyph, ((1, 1), (1, 0))) for glyph in glyphs]
    return np.kron(np.pad(np.hstack(padded), ((0, 0), (0, 1))), np.ones((scale, scale), int)).astype(bool)
