"""COCO's compressed run-length encoding of masks, as pycocotools reads and writes it.

Runs alternate background, foreground down the columns; each count is the difference to the one two before it (from the
third on), in 5-bit groups, low first, sign-extended, offset 48. Source: cocoapi common/maskApi.c, `rleToString`.
"""

from typing import Any

import numpy as np

from vedette.kernels.packed_masks import PackedMasks, rle_text
from vedette.runtime.errors import VedetteError
from vedette.runtime.frame import Array

Rle = dict[str, Any]  # {"size": [height, width], "counts": text}


def encode(mask: Array) -> Rle:
    """A bool [H, W] mask as {"size": [H, W], "counts": text}."""
    flat = np.asarray(mask, bool).ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate([[0], edges, [flat.size]]).astype(np.int64)
    counts = np.diff(bounds)
    if flat.size and flat[0]:
        counts = np.concatenate([[0], counts])
    return {"size": [int(side) for side in mask.shape], "counts": _text_from_counts(counts.tolist())}


def encode_packed(masks: PackedMasks, index: int) -> Rle:
    """One of packed masks as {"size": [H, W], "counts": text}, straight from its bits."""
    width, height = masks.size
    return {"size": [height, width], "counts": rle_text(masks, index) or encode(masks.whole(index))["counts"]}


def decode(rle: Rle) -> Array:
    """The bool [H, W] mask of an encoded one.

    Raises:
        VedetteError: the runs do not fill the size.
    """
    height, width = rle["size"]
    counts = _counts_from_text(rle["counts"])
    if sum(counts) != height * width or min(counts, default=0) < 0:
        raise VedetteError("a mask's runs do not fill it", why=f"{sum(counts)} of {height * width} pixels")
    values = np.arange(len(counts)) % 2 == 1
    mask: Array = np.repeat(values, counts).reshape((height, width), order="F")
    return mask


def _text_from_counts(counts: list[int]) -> str:
    deltas = [count - (counts[i - 2] if i > 2 else 0) for i, count in enumerate(counts)]
    return "".join(_group(delta) for delta in deltas)


def _group(value: int) -> str:
    out = ""
    while True:
        low, value = value & 31, value >> 5
        last = value == (-1 if low & 16 else 0)
        out += chr(48 + (low if last else low | 32))
        if last:
            return out


def _counts_from_text(text: str) -> list[int]:
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        group = ord(letter) - 48
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts
