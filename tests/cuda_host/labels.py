"""argmax_labels.cu under the shim: its launches on NumPy arrays, and the check against its references."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuda_host.shim import Library
from vedette.kernels.argmax_labels import (
    CASES,
    NONE,
    Case,
    Window,
    argmax_labels_reference,
    noise,
    overlay_labels_reference,
)
from vedette.kernels.picture import resize_tables

Array = NDArray[Any]
TABLES = ("x_first", "x_weight", "y_first", "y_second", "y_weight")
# struct Labelling of argmax_labels.cu
LABELLING = np.dtype(
    [
        *((name, np.uint64) for name in ("maps", "labels", "image", "palette", *TABLES)),
        ("classes", np.int32),
        ("half_precision", np.int32),
        ("map_size", np.int32, 2),  # width, height
        ("corner", np.int32, 2),  # left, top
        ("inside_width", np.int32),
        ("size", np.int32, 2),  # width, height
        ("none", np.int32),
        ("above", np.float32),
    ],
    align=True,
)


def launch(
    library: Library, cases: Sequence[Case], images: Sequence[Array], palette: Array, above: float | None
) -> list[tuple[Array, Array]]:
    """Labels of each case, and its image under their colours."""
    blocks, alive, results = library.array((len(cases),), LABELLING), [], []
    colours = library.array(palette.shape, np.uint8, palette)
    blocks["none"], blocks["above"] = (0, -np.inf) if above is None else (NONE, above)
    blocks["palette"] = colours.ctypes.data
    for block, (maps, window, size), image in zip(blocks, cases, images, strict=True):
        labels, pixels = library.array(size[::-1], np.uint8), library.array(image.shape, np.uint8, image)
        memory = {"maps": library.array(maps.shape, maps.dtype, maps), "labels": labels, "image": pixels}
        memory |= _tables(library, window, size)
        for name in ("maps", "labels", "image", *TABLES):
            block[name] = memory[name].ctypes.data if name in memory else 0
        block["classes"], block["half_precision"] = len(maps), maps.dtype == np.float16
        block["map_size"], block["corner"] = maps.shape[:0:-1], window.offset
        block["inside_width"], block["size"] = window.size[0], size
        alive.append(memory)
        results.append((labels, pixels))
    widest, highest = (max(case[2][axis] for case in cases) for axis in range(2))
    grid = (-(-widest // 128), -(-highest // 2), len(cases))
    library.launch("argmax_labels", grid, 64, blocks)
    library.launch("overlay_labels", grid, 64, blocks)
    return results


def _tables(library: Library, window: Window, size: tuple[int, int]) -> dict[str, Array]:
    """What is interpolated, by the names of the members; nothing where sizes are equal."""
    if window.size == size:
        return {}
    x, y = (resize_tables(window.size[axis], size[axis]) for axis in range(2))
    tables = zip(TABLES, (x[0], x[2], y[0], y[1], y[2]), strict=True)
    return {name: library.array(table.shape, table.dtype, table) for name, table in tables}


def drawn_case(random: np.random.Generator) -> Case:
    """Small maps of any size, a window in them, and a picture of any size; a third have the window's."""
    classes, left, top = (int(value) for value in random.integers((1, 0, 0), (9, 6, 6)))
    inside = int(random.integers(1, 30)), int(random.integers(1, 20))
    size = int(random.integers(1, 140)), int(random.integers(1, 12))
    whole = inside[0] + left + int(random.integers(4)), inside[1] + top + int(random.integers(4))
    maps = noise(classes, whole, half_precision=bool(random.random() < 0.4))
    return maps, Window(inside, (left, top)), inside if random.random() < 0.3 else size


def check(library: Library, made: Sequence[Case], random: np.random.Generator, above: float | None) -> None:
    """Labels and pictures, bit for bit; all cases in one batch."""
    palette = random.integers(0, 256, (256, 4), np.uint8)
    palette[random.random(256) < 0.2, 3] = 0
    images = [random.integers(0, 256, (*size[::-1], 3), np.uint8) for _, _, size in made]
    found = launch(library, made, images, palette, above)
    for case, image, (labels, pixels) in zip(made, images, found, strict=True):
        expected = argmax_labels_reference(*case, above=above)
        np.testing.assert_array_equal(labels, expected)
        overlay_labels_reference(image, expected, palette)
        np.testing.assert_array_equal(pixels, image)


def cases(library: Library) -> None:
    for make in CASES.values():
        check(library, [make()], np.random.default_rng(0), None)


def drawn(library: Library, random: np.random.Generator) -> None:
    made = [drawn_case(random) for _ in range(random.integers(1, 3))]
    check(library, made, random, None if random.random() < 0.5 else float(random.choice([0, 0.25, 0.6])))
