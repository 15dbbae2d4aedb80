"""From a picture of any size to the network's input, and back: what `Input.resize` means.

In: uint8 [H, W, 3] BGR.  Out: one image of an [N, 3, h, w] buffer, and the Placement that undoes it.
"""

from dataclasses import dataclass

import numpy as np

from vedette.runtime.errors import UsageError
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Input, Resize

Size = tuple[int, int]  # (width, height)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a picture of `size` lies in a network input of `input_size`, after resizing to `scaled`."""

    size: Size
    input_size: Size
    scaled: Size
    offset: tuple[int, int] = (0, 0)  # left, top

    @property
    def crop(self) -> tuple[slice, slice]:
        """Rows and columns of the network input that hold the picture."""
        (left, top), (width, height) = self.offset, self.scaled
        return slice(top, top + height), slice(left, left + width)

    def to_image(self, xy: Array) -> Array:
        """Map [..., 2] points from network-input pixels to original-image pixels, unclipped.

        Each axis has the gain of its rounded size, so that edges map to edges exactly.
        """
        gain = np.array(self.scaled, np.float32) / np.array(self.size, np.float32)
        mapped: Array = (xy - np.array(self.offset, np.float32)) / gain
        return mapped.astype(np.float32)


def place(size: Size, target: Size, resize: Resize) -> Placement:
    """Decide where a picture goes in an input of the target (width, height).

    Sources: letterbox rounding as Ultralytics' predictors do it (round, halves of the padding -0.1/+0.1);
    `multiple` is OpenPose's --net_resolution -1xH.
    """
    if resize.rule == "stretch":
        return Placement(size, target, target)
    ratio = min(target[0] / size[0], target[1] / size[1])
    scaled = (max(1, round(size[0] * ratio)), max(1, round(size[1] * ratio)))
    if resize.rule == "multiple":
        return Placement(size, (_up(scaled[0], resize.multiple), _up(scaled[1], resize.multiple)), scaled)
    spare = (target[0] - scaled[0], target[1] - scaled[1])
    left, top = {
        "centre": (round(spare[0] / 2 - 0.1), round(spare[1] / 2 - 0.1)),
        "top-left": (0, 0),
        "bottom-right": spare,
    }[resize.anchor]
    return Placement(size, target, scaled, (left, top))


def target_size(spec: Input, imgsz: Size | None) -> Size:
    """The (width, height) that pictures are fitted to: what the user asks for, or the model's typical size.

    Raises:
        UsageError: the model does not take that size.
    """
    smallest, typical, largest = (bound[-2:] for bound in spec.bounds())
    if imgsz is None:
        return typical[1], typical[0]
    for asked, low, high, step in zip(
        imgsz[::-1], smallest, largest, spec.multiple_of[-2:] or (1, 1), strict=True
    ):
        if not low <= asked <= high or asked % step:
            allowed = f"{low}" if low == high else f"{low} to {high} in steps of {step}"
            raise UsageError(
                f"--imgsz {imgsz[0]}x{imgsz[1]} does not fit this model",
                why=f"input {spec.name} takes {allowed}; got {asked}",
                cure="leave --imgsz out, or export the model with --imgsz",
            )
    return imgsz


def fill(chw: Array, image: Array, spec: Input, placement: Placement) -> None:
    """Resize, pad, reorder and normalise one picture into its place of the input buffer.

    Args:
        chw: [C, h, w], written whole: float32, or float16 for a network with such an input.
        image: uint8 [H, W, 3] BGR.
        spec: the input's pixel format, pad, scale, mean and std: y = (pixel * scale - mean) / std.
        placement: from `place`.
    """
    import cv2

    rows, columns = placement.crop
    scaled = image
    if placement.scaled != placement.size:
        scaled = cv2.resize(image, placement.scaled, interpolation=cv2.INTER_LINEAR)
    gain = spec.scale / np.broadcast_to(np.array(spec.std, np.float32), 3)
    shift = np.broadcast_to(np.array(spec.mean, np.float32) / np.array(spec.std, np.float32), 3)
    order = (2, 1, 0) if spec.pixel_format == "rgb" else (0, 1, 2)
    whole = placement.scaled == placement.input_size
    for channel, source in enumerate(order):
        if not whole:
            chw[channel] = spec.resize.pad * gain[channel] - shift[channel]
        target = chw[channel, rows, columns]
        np.multiply(scaled[..., source], gain[channel], out=target, casting="same_kind")
        target -= shift[channel]


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
