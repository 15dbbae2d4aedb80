"""Whether a model is given what its reference is given: the same frame must fill both inputs alike.

In: two Sides that have just run the same frame.  Out: what differs, in words, or nothing.  Next: verdict.py.
"""

import numpy as np

from vedette.export.gate.sides import Side
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Input
from vedette.runtime.preprocess import target_size

APART = 2e-3  # of the largest value of an input: float16 doors round


def fed_otherwise(one: Side, other: Side) -> str:
    """What is otherwise in the pictures that a model is fed with.

    Args:
        one: the reference.
        other: what is judged.
    """
    specs = _pictures(one), _pictures(other)
    mine, theirs = _fed(one, specs[0]), _fed(other, specs[1])
    if mine.shape != theirs.shape:
        sizes = ["x".join(map(str, fed.shape[:1:-1])) for fed in (theirs, mine)]
        return (
            f"it is fed pictures of {sizes[0]}, its reference of {sizes[1]}: give a --reference of its size"
        )
    apart = APART * float(np.abs(mine).max(initial=1e-6))
    if np.allclose(mine, theirs, rtol=0, atol=apart):
        return ""
    return _told(*specs, largest=float(np.abs(mine - theirs).max()))


def _told(mine: Input, theirs: Input, *, largest: float) -> str:
    if mine.pixel_format != theirs.pixel_format:
        return f"its colours are swapped: it is fed {theirs.pixel_format}, its reference {mine.pixel_format}"
    if mine.resize != theirs.resize:
        return f"its padding is another: {_padding(theirs)}, its reference's {_padding(mine)}"
    return (
        f"its pictures have other values, by up to {largest:.3g}: scale {theirs.scale:.4g}, mean {list(theirs.mean)}, std"
        f" {list(theirs.std)}; its reference's {mine.scale:.4g}, {list(mine.mean)}, {list(mine.std)}"
    )


def _padding(spec: Input) -> str:
    sizes = "x".join(map(str, target_size(spec, None)))
    return f"{spec.resize.rule} to {sizes}, {spec.resize.anchor}, filled with {spec.resize.pad:g}"


def _pictures(side: Side) -> Input:
    """The input that pictures fill."""
    return next(spec for spec in side.card.inputs if spec.pixel_format in ("bgr", "rgb"))


def _fed(side: Side, spec: Input) -> Array:
    """What the first graph was fed with last."""
    return np.asarray(next(iter(side.engines.values())).fed[spec.name], np.float32)


class Outputs:
    """How far the outputs of two first graphs are apart over all frames: what tells a wrong weight from a wrong reading."""

    def __init__(self) -> None:
        self._sums: dict[str, Array] = {}  # of the squares of the first, of both, of their differences

    def add(self, one: Side, other: Side) -> None:
        """Take in what both have just given."""
        mine, theirs = (next(iter(side.engines.values())).gave for side in (one, other))
        for name, values in mine.items():
            if name in theirs and values.dtype.kind == "f" and values.shape == theirs[name].shape:
                a, b = (_in_order(each) for each in (values, theirs[name]))
                sums = np.array([a @ a, a @ b, np.square(a - b).sum()])
                self._sums[name] = self._sums.get(name, 0) + sums

    def told(self, least: float = 0.1) -> str:
        """The first output that is off by more than a share of its size, and by which factor."""
        for name, (size, both, apart) in self._sums.items():
            if size > 0 and np.isfinite(apart) and apart > least**2 * size:
                factor = (
                    f", it is {both / size:.2g} times the reference's" if abs(both / size - 1) > least else ""
                )
                return f"output {name} is off by {100 * (apart / size) ** 0.5:.0f} % of its size{factor}"
        return ""


def _in_order(values: Array) -> Array:
    """float64 [n]; of what are no maps sorted, for rows that a graph has chosen itself come in any order."""
    flat = np.asarray(values, np.float64).ravel()
    return flat if values.ndim == 4 else np.sort(flat)
