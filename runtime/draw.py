"""Drawing on uint8 BGR images, and writing pictures: what tasks/ and sinks/ share."""

import contextlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vedette.runtime.errors import DiskError, UsageError
from vedette.runtime.frame import Array

Colour = tuple[int, int, int]


def colour_of(index: int) -> Colour:
    """A bright BGR colour per class or identity; neighbours differ by the golden angle of hue."""
    hue = (index * 0.61803398875 + 0.58) % 1.0 * 6
    ramp = [abs(hue - 3) - 1, 2 - abs(hue - 2), 2 - abs(hue - 4)]
    red, green, blue = (int(55 + 200 * min(max(value, 0.0), 1.0)) for value in ramp)
    return blue, green, red


def line_width(image: Array) -> int:
    """Pixels, so that a drawing reads alike at every resolution."""
    return max(1, round(sum(image.shape[:2]) / 2 * 0.003))


def box(image: Array, xyxy: Sequence[float], text: str, colour: Colour) -> None:
    """A rectangle with its text on a filled tab above it, or inside where there is no room."""
    import cv2

    width = line_width(image)
    left, top, right, bottom = (round(float(value)) for value in xyxy)
    cv2.rectangle(image, (left, top), (right, bottom), colour, width, cv2.LINE_AA)
    if text:
        scale = width / 3 + 0.1
        (text_width, height), base = cv2.getTextSize(
            text, cv2.FONT_HERSHEY_SIMPLEX, scale, max(1, width // 2)
        )
        y = top if top >= height + base + 2 else top + height + base + 2
        x = min(left, max(0, image.shape[1] - text_width - 2))
        cv2.rectangle(image, (x, y - height - base - 2), (x + text_width + 2, y), colour, -1)
        ink = (0, 0, 0) if sum(colour) > 380 else (255, 255, 255)
        cv2.putText(
            image,
            text,
            (x + 1, y - base),
            cv2.FONT_HERSHEY_SIMPLEX,
            scale,
            ink,
            max(1, width // 2),
            cv2.LINE_AA,
        )


def skeleton(image: Array, xy: Array, conf: Array, limbs: Sequence[tuple[int, int]]) -> None:
    """One person: limbs between found joints, then the joints. xy [K, 2] pixels, conf [K], 0 where missing."""
    import cv2

    width = line_width(image) + 1
    points = np.rint(xy).astype(int)
    for index, (start, end) in enumerate(limbs):
        if conf[start] > 0 and conf[end] > 0:
            cv2.line(image, tuple(points[start]), tuple(points[end]), colour_of(index), width, cv2.LINE_AA)
    for joint in np.flatnonzero(conf > 0):
        cv2.circle(image, tuple(points[joint]), width + 1, colour_of(int(joint)), -1, cv2.LINE_AA)


def tint(image: Array, mask: Array, colour: Colour, *, alpha: float = 0.5) -> None:
    """Blend a colour over the pixels of a bool [H, W] mask, and draw its outline."""
    image[mask] = (image[mask] * (1 - alpha) + np.array(colour) * alpha).astype(np.uint8)
    outline(image, mask, colour)


def outline(image: Array, mask: Array, colour: Colour) -> None:
    """The outer edges of a bool [H, W] mask."""
    import cv2

    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(image, contours, -1, colour, line_width(image), cv2.LINE_AA)


def legend(image: Array, entries: Sequence[tuple[str, Colour]]) -> None:
    """Names beside their colours, a line each, in the upper left corner; what does not fit below is left out."""
    import cv2

    width = line_width(image)
    scale, thick, gap = 0.35 * width, max(1, width // 2), width + 1
    sizes = [cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)[0] for name, _ in entries]
    row = max((height for _, height in sizes), default=0) + gap
    entries = entries[: max(0, (image.shape[0] - gap) // row)]
    if not entries:
        return
    right, bottom = max(size for size, _ in sizes) + row + 2 * gap, len(entries) * row + gap
    image[:bottom, :right] //= 3  # a dark ground
    for index, (name, colour) in enumerate(entries):
        top = gap + index * row
        cv2.rectangle(image, (gap, top), (row, top + row - gap), colour, -1)
        at = (row + gap, top + row - gap)
        cv2.putText(image, name, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), thick, cv2.LINE_AA)


def write_picture(path: Path, image: Array) -> None:
    """Write a uint8 BGR image in the format of the file's suffix, whole or not at all.

    Raises:
        UsageError: no picture format has that suffix.
        DiskError: the file cannot be written.
    """
    import cv2

    try:
        _, data = cv2.imencode(path.suffix or ".", image)
    except cv2.error:
        raise UsageError(
            f"cannot save a picture as {path.name}",
            why=f"{path.suffix!r} is no picture format",
            cure="use .jpg or .png",
        ) from None
    write_bytes(path, data.tobytes())


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write a file under a temporary name, then rename it, so that no reader sees half of it.

    Raises:
        DiskError: it cannot be written.
    """
    partial = path.with_name(
        f".{os.getpid()}-{threading.get_ident()}.part"
    )  # short, however long the name is
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()  # on a full disk above all
        raise disk_error(path, error) from None


def disk_error(path: Path | str, error: OSError) -> DiskError:
    """The DiskError for an operating-system error on a path."""
    cures: dict[int | None, str] = {
        13: "choose a folder that you may write to",
        28: "free space on that disk",
    }
    why = error.strerror or str(error)
    return DiskError(f"cannot write {path}", why=why, cure=cures.get(error.errno, "choose another path"))
