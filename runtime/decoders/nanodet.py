"""NanoDet: boxes without anchors on three strides, each side a distribution over distances.

In: outputs scores_8, scores_16, scores_32 and distances_8, distances_16, distances_32.  Out: Candidates.

Sources: Li et al., Generalized Focal Loss, NeurIPS 2020 (the distributions); RangiLyu/nanodet (the layout).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vedette.kernels.box_layouts import NanoDet
from vedette.runtime.decoders import Candidates, Head, Heads, boxes
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest, Output

BINS = (11, 8)  # of the network of 416 pixels, and of the smaller ones


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a manifest may say."""

    strides: tuple[int, ...] = (8, 16, 32)
    bins: int = 11  # of each side; bin i means i strides
    multi_label: bool = True  # every class above conf, as its author counts, not only the best


def roles(outputs: Sequence[Output]) -> dict[str, str] | None:
    """The role of each output by name, if they have this family's names or shapes.

    Shapes are [N, cells, classes | 4 * bins]; a dynamic number of cells tells nothing, and then names must.
    """
    strides = Parameters().strides[::-1]
    names = {f"{kind}_{stride}" for kind in ("scores", "distances") for stride in strides}
    if {output.name for output in outputs} == names:
        return {name: name for name in names}
    if len(outputs) != 6 or any(len(output.shape) != 3 or min(output.shape[1:]) < 1 for output in outputs):
        return None
    ordered = sorted(outputs, key=lambda output: output.shape[1])  # longest stride first
    columns = [output.shape[2] for output in ordered]
    known = next((4 * bins for bins in BINS if columns.count(4 * bins) == len(strides)), 0)
    distances = [output for output in ordered if output.shape[2] == known]
    scores = [output for output in ordered if output.shape[2] != known]
    cells = [output.shape[1] for output in distances]
    if cells != [output.shape[1] for output in scores] or len({output.shape[2] for output in scores}) != 1:
        return None
    if cells[1:] != [4 * cells[0], 16 * cells[0]]:
        return None
    kinds = [("scores", scores), ("distances", distances)]
    return {o.name: f"{kind}_{s}" for kind, found in kinds for o, s in zip(found, strides, strict=True)}


def claims(outputs: Sequence[Output]) -> Parameters | None:
    """The parameters, if the outputs have this family's shapes."""
    if (found := roles(outputs)) is None:
        return None
    sides = next(output.shape[2] for output in outputs if found[output.name].startswith("distances"))
    return Parameters(bins=sides // 4) if sides > 0 else Parameters()


def decode(
    outputs: Mapping[str, Array],
    manifest: Manifest,
    parameters: Parameters,
    conf: float,
    *,
    input_size: tuple[int, int],
) -> list[Candidates]:
    """Boxes of the cells and classes that score above conf, an item an image."""
    return boxes(heads(parameters, input_size=input_size), outputs, manifest, conf)


def heads(parameters: Parameters, *, input_size: tuple[int, int]) -> Heads:
    """A grid a stride."""
    grids = [
        Head(NanoDet(stride, columns=-(-input_size[0] // stride)), (f"scores_{stride}", f"distances_{stride}"))
        for stride in parameters.strides
    ]  # fmt: skip
    return Heads(tuple(grids), parameters.multi_label)
