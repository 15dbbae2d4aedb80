"""Masks and people as they are timed, as operations.py times the other kernels.

In: a device and a seed.  Out: Operations; all of it on the device thread.
The shapes are 32 prototypes of 160 x 160, and COCO-18's maps of 240 x 135 cells.
"""

from collections.abc import Callable

import numpy as np
from operation import Operation

from vedette.kernels._assemble_masks_launches import MASK, axes_of, launch_masks, set_axes
from vedette.kernels._paf_cases import crowd, draw_maps
from vedette.kernels._paf_launches import Sizes, launch_paf, paf_fields, set_rules
from vedette.kernels.arena import Arena
from vedette.kernels.assemble_masks import CASES, assemble_masks_reference
from vedette.kernels.device import Device
from vedette.kernels.launches import Fields
from vedette.kernels.packed_masks import WORD, Array
from vedette.kernels.paf import paf_reference
from vedette.runtime.decoders.openpose import COCO_18

CELLS = (135, 240)  # height, width
MOST_PEOPLE = 100


def uploaded(device: Device, arrays: dict[str, Array], blank: Fields) -> Arena:
    """These in device memory, and others to be filled before the upload."""
    arena = Arena(
        device, {name: (array.shape, array.dtype) for name, array in arrays.items()} | blank, mirrored=True
    )
    for name, array in arrays.items():
        arena.host[name][:] = array
    return arena


def masks(case: str) -> Callable[[Device, int], Operation]:
    """Words of the masks of a case of assemble_masks.py; seeds turn its coefficients."""

    def make(device: Device, seed: int) -> Operation:
        coefficients, maps, windows, across, down, threshold = CASES[case]()
        coefficients = np.roll(coefficients, seed, axis=1)
        size, count = (len(across.share), len(down.share)), len(windows)
        ends = np.cumsum([0, *(windows[:, 2] * -(-windows[:, 3] // WORD))])
        arrays = {"coefficients": coefficients, "maps": maps, **axes_of(across, down)}
        up = uploaded(device, arrays, {"masks": ((count,), MASK)})
        out = Arena(device, {"words": ((int(ends[-1]),), np.dtype(np.uint64))}, mirrored=True)
        blocks = up.host["masks"]
        for index, block in enumerate(blocks):
            set_axes(block, up.at)
            block["coefficients"] = up.at["coefficients"] + index * coefficients[0].nbytes
        blocks["words"] = out.at["words"] + 8 * ends[:-1]
        blocks["maps"], blocks["count"], blocks["map_size"] = up.at["maps"], len(maps), maps.shape[1:]
        blocks["window"], blocks["threshold"] = windows, threshold
        up.upload()
        device.synchronize()

        def equal() -> bool:
            out.download()
            device.synchronize()
            row = slice(count - 1, count)
            expected = assemble_masks_reference(
                coefficients[row], maps, windows[row], across, down, threshold=threshold
            )
            return bool(np.array_equal(out.host["words"][ends[-2] :], expected.words[0].ravel()))

        def release() -> None:
            up.release()
            out.release()

        return Operation(
            launch=lambda: launch_masks(device.launch, up.at, objects=count, size=size),
            equal=equal,
            bytes_moved=coefficients.nbytes + maps.nbytes + out.host["words"].nbytes,
            release=release,
        )

    return make


def people(count: int) -> Callable[[Device, int], Operation]:
    """Maps of a crowd to people."""

    def make(device: Device, seed: int) -> Operation:
        rules = COCO_18.rules(0.4)
        truth = crowd(count, pairs=rules.pairs, seed=seed, size=CELLS)
        heatmaps, pafs = draw_maps(truth, size=CELLS, pairs=rules.pairs, channels=rules.channels)
        sizes = Sizes(1, len(heatmaps), len(rules.pairs), *CELLS, MOST_PEOPLE, heatmaps.size, pafs.size)
        fields = paf_fields(sizes)
        tables = {name: fields.pop(name) for name in ("rules", "limbs")}
        results = {name: fields.pop(name) for name in ("people_counts", "xy", "joint_scores", "scores")}
        up = uploaded(device, {"heatmaps": heatmaps, "pafs": pafs}, tables)
        down, work = Arena(device, results, mirrored=True), Arena(device, fields)
        set_rules(up.host["rules"], up.host["limbs"], rules, sizes)
        up.upload()
        device.synchronize()

        def equal() -> bool:
            down.download()
            device.synchronize()
            expected = paf_reference(heatmaps, pafs, rules)
            found = int(down.host["people_counts"][0])
            same = np.array_equal(down.host["xy"][0, :found], expected.xy)
            return same and found == len(expected.scores) == count

        def release() -> None:
            for arena in (up, down, work):
                arena.release()

        return Operation(
            launch=lambda: launch_paf(device.launch, {**up.at, **down.at, **work.at}, sizes),
            equal=equal,
            bytes_moved=heatmaps.nbytes + pafs.nbytes,
            release=release,
        )

    return make
