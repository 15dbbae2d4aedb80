"""assemble_masks.cu under the shim: its launches on NumPy arrays, and the check against its references."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cuda_host.shim import Library
from vedette.kernels._assemble_masks_launches import (
    MASK,
    PICTURE,
    axes_of,
    launch_masks,
    launch_windows,
    set_axes,
    window_fields,
)
from vedette.kernels.assemble_masks import CASES, ONE, assemble_masks_reference, paste_masks, pasted
from vedette.kernels.packed_masks import WORD, Axis, Size, axis, windows_of

Array = NDArray[Any]


class Piece(NamedTuple):
    """One object, with maps and axes of its own."""

    coefficients: Array  # [M]
    maps: Array  # [M, h, w]
    window: Array
    across: Axis
    down: Axis
    threshold: float


def addressed(library: Library, arrays: dict[str, Array]) -> dict[str, Array]:
    return {name: library.array(array.shape, array.dtype, array) for name, array in arrays.items()}


def launch(library: Library, pieces: Sequence[Piece]) -> list[Array]:
    """The words of each, one block an object."""
    blocks, alive, words = library.array((len(pieces),), MASK), [], []
    for block, piece in zip(blocks, pieces, strict=True):
        width, height = piece.window[2:].tolist()
        arrays = {"coefficients": piece.coefficients, "maps": piece.maps, **axes_of(piece.across, piece.down)}
        memory = addressed(library, arrays)
        memory["words"] = library.array((width, -(-height // WORD)), np.uint64)
        at = {name: array.ctypes.data for name, array in memory.items()}
        set_axes(block, at)
        for name in ("coefficients", "maps", "words"):
            block[name] = at[name]
        block["count"], block["map_size"] = len(piece.maps), piece.maps.shape[1:]
        block["window"], block["threshold"] = piece.window, piece.threshold
        alive.append(memory)
        words.append(memory["words"])
    launch_masks(library.launch, {"masks": blocks.ctypes.data}, objects=len(pieces), size=(1, 1))
    del alive
    return words


def check(library: Library, pieces: Sequence[Piece]) -> None:
    """Bit for bit; all in one launch."""
    if not pieces:
        return
    for piece, words in zip(pieces, launch(library, pieces), strict=True):
        coefficients, maps, window, across, down, threshold = piece
        expected = assemble_masks_reference(
            coefficients[None], maps, window[None], across, down, threshold=threshold
        )
        np.testing.assert_array_equal(words, expected.words[0])


def check_pasted(library: Library, values: Array, boxes: Array, size: Size, threshold: float) -> None:
    """Maps over boxes, as paste_masks makes them."""
    margin = np.pad(values, ((0, 0), (1, 1), (1, 1)))
    placed = pasted(boxes, (margin.shape[1], margin.shape[2]), size)
    pieces = [
        Piece(ONE[0], value[None], *place, threshold) for value, place in zip(margin, placed, strict=True)
    ]
    expected = paste_masks(values, boxes, size, threshold=threshold)
    for words, wanted in zip(launch(library, pieces), expected.words, strict=True):
        np.testing.assert_array_equal(words, wanted)


# ---- windows of kept boxes


class Picture(NamedTuple):
    """What one image of a batch is assembled from."""

    size: Size
    unit: Array  # float32 [2], as are corner and gain
    corner: Array
    gain: Array
    prototypes: Array
    boxes: Array  # float32 [N, 4], in units
    columns: Array  # float32 [N, E], coefficients first
    across: Axis
    down: Axis


def launch_pictures(
    library: Library, pictures: Sequence[Picture], *, max_det: int, room: int
) -> dict[str, Array]:
    """What window_fields names."""
    batch, columns = len(pictures), pictures[0].columns.shape[1]
    fields = window_fields(batch, max_det, room)
    arrays = {name: library.array(shape, dtype) for name, (shape, dtype) in fields.items()}
    arrays["masks"] = library.array((batch, max_det), MASK)
    arrays["taken_boxes"] = library.array((batch, max_det, 4), np.float32)
    arrays["taken_columns"] = library.array((batch, max_det, columns), np.float32)
    counts = [len(picture.boxes) for picture in pictures]
    arrays["kept_counts"] = library.array((batch,), np.int32, counts)
    arrays["mask_pictures"], alive = library.array((batch,), PICTURE), []
    for index, picture in enumerate(pictures):
        arrays["taken_boxes"][index, : len(picture.boxes)] = picture.boxes
        arrays["taken_columns"][index, : len(picture.boxes)] = picture.columns
        memory = addressed(library, {"maps": picture.prototypes, **axes_of(picture.across, picture.down)})
        block, at = (
            arrays["mask_pictures"][index],
            {name: array.ctypes.data for name, array in memory.items()},
        )
        set_axes(block, at)
        block["words"] = arrays["words"].ctypes.data + 8 * index * room
        block["maps"], block["count"] = at["maps"], len(picture.prototypes)
        block["map_size"], block["size"] = picture.prototypes.shape[1:], picture.size
        block["unit"], block["corner"], block["gain"] = picture.unit, picture.corner, picture.gain
        alive.append(memory)
    at = {name: array.ctypes.data for name, array in arrays.items()}
    launch_windows(library.launch, at, batch=batch, max_det=max_det, columns=columns, room=room)
    size = max(picture.size[0] for picture in pictures), max(picture.size[1] for picture in pictures)
    launch_masks(library.launch, at, objects=max_det, size=size, batch=batch)
    del alive
    return arrays


def on_picture(picture: Picture) -> Array:
    """Boxes clipped to the picture, float32 [N, 4]."""
    xy = picture.boxes.reshape(-1, 2, 2) * picture.unit
    placed = (xy - picture.corner) / picture.gain
    clipped: Array = np.clip(placed, 0, np.array(picture.size, np.float32)).reshape(-1, 4)
    return clipped


def check_pictures(library: Library, pictures: Sequence[Picture], *, max_det: int, room: int) -> None:
    """Windows, where their words begin, and the words of all that find room; the others' place stays as it was."""
    found = launch_pictures(library, pictures, max_det=max_det, room=room)
    for index, picture in enumerate(pictures):
        boxes = on_picture(picture)
        inside = np.asarray((boxes[:, 2:] > boxes[:, :2]).all(axis=1))
        windows = np.where(inside[:, None], windows_of(boxes, picture.size), 0)
        np.testing.assert_array_equal(found["windows"][index, : len(boxes)], windows)
        assert not found["windows"][index, len(boxes) :].any()
        count = len(picture.prototypes)
        expected = assemble_masks_reference(
            picture.columns[:, :count], picture.prototypes, windows, picture.across, picture.down
        )
        ends = np.cumsum([0, *(words.size for words in expected.words)])
        assert found["totals"][index] == ends[-1]
        np.testing.assert_array_equal(found["starts"][index, : len(boxes)], ends[:-1])
        fitting = int(np.searchsorted(ends, room, side="right")) - 1
        whole = np.full(room, 0xCDCDCDCDCDCDCDCD, np.uint64)
        if fitting:
            whole[: ends[fitting]] = np.concatenate([words.ravel() for words in expected.words[:fitting]])
        np.testing.assert_array_equal(found["words"][index], whole)


# ---- what is drawn


def drawn_axis(random: np.random.Generator, length: int, values: int) -> Axis:
    gain = values / length * random.uniform(0.3, 1)
    return axis(length, values, gain=gain, start=random.uniform(-1, values / 2))


def drawn_windows(random: np.random.Generator, count: int, size: Size) -> Array:
    low = random.uniform(-20, size, (count, 2))
    return windows_of(np.concatenate([low, low + random.uniform(0, 120, low.shape)], axis=1), size)


def drawn_maps(random: np.random.Generator) -> Array:
    """float32 [M, h, w] of few values, some no numbers."""
    shape = tuple(random.integers(1, (6, 40, 50)).tolist())
    maps = (random.integers(-4, 5, shape) / 4).astype(np.float32)
    if random.random() < 0.3:
        maps[random.random(shape) < 0.02] = random.choice([np.nan, np.inf, -np.inf])
    return maps


def drawn_piece(random: np.random.Generator) -> Piece:
    """An object on a picture that is larger or smaller than its maps; one in three has a single map and a coefficient of 1."""
    maps, size = drawn_maps(random), (int(random.integers(1, 90)), int(random.integers(1, 150)))
    coefficients = random.integers(-3, 4, len(maps)).astype(np.float32)
    if random.random() < 0.3:
        maps, coefficients = maps[:1], ONE[0]
    axes = [drawn_axis(random, size[way], maps.shape[2 - way]) for way in range(2)]
    threshold = float(np.float32(random.choice([0, 0.5, random.normal()])))
    return Piece(coefficients, maps, drawn_windows(random, 1, size)[0], axes[0], axes[1], threshold)


def reduced_piece(random: np.random.Generator) -> Piece:
    """An object on a picture that is so much smaller than its maps that the sums under a tile find no room."""
    maps = (random.integers(-4, 5, (2, 60, 70)) / 4).astype(np.float32)
    size = random.integers(1, 70, 2).tolist()
    axes = [
        axis(size[way], maps.shape[2 - way], gain=maps.shape[2 - way] / size[way], start=0)
        for way in range(2)
    ]
    window = np.array([0, 0, *size])
    return Piece(np.array([1, -2], np.float32), maps, window, axes[0], axes[1], 0.25)


def drawn_picture(random: np.random.Generator, columns: int) -> Picture:
    """Boxes in the picture, over its edge and outside it."""
    size = int(random.integers(1, 130)), int(random.integers(1, 140))
    maps = drawn_maps(random)[:columns]
    gain, corner = random.uniform(0.4, 2.5, 2).astype(np.float32), random.integers(0, 9, 2).astype(np.float32)
    unit = np.ones(2, np.float32) if random.random() < 0.5 else random.integers(2, 700, 2).astype(np.float32)
    low = random.uniform(-40, np.array(size) + 20, (int(random.integers(0, 6)), 2))
    places = np.stack([low, low + random.choice([0.5, 8, 60], low.shape)], axis=1)
    if random.random() < 0.5:
        places = places.round()
    boxes = ((places * gain + corner) / unit).astype(np.float32).reshape(-1, 4)
    numbers = random.integers(-3, 4, (len(boxes), columns)).astype(np.float32)
    axes = [drawn_axis(random, size[way], maps.shape[2 - way]) for way in range(2)]
    return Picture(size, unit, corner, gain, maps, boxes, numbers, axes[0], axes[1])


def cases(library: Library) -> None:
    for name, make in CASES.items():
        coefficients, prototypes, windows, across, down, threshold = make()
        rows = slice(0, 5 if name == "hundred" else None)
        objects = zip(coefficients[rows], windows[rows], strict=True)
        check(library, [Piece(row, prototypes, window, across, down, threshold) for row, window in objects])
    random = np.random.default_rng(0)
    values, boxes = random.random((3, 28, 28)).astype(np.float32), np.array([[3, 4, 50, 70.5]] * 3)
    check_pasted(library, values, boxes + np.array([[0], [-30], [60]]), (90, 80), 0.5)


def drawn(library: Library, random: np.random.Generator) -> None:
    check(library, [reduced_piece(random), *(drawn_piece(random) for _ in range(random.integers(1, 4)))])
    columns, room = int(random.integers(1, 7)), int(random.choice([0, 40, 200, 1000]))
    pictures = [drawn_picture(random, columns) for _ in range(random.integers(1, 3))]
    check_pictures(library, pictures, max_det=6, room=room)
