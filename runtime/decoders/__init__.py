"""From which layout: one file an output family, pure functions of arrays and the manifest.

Each file has a strict dataclass `Parameters`, `claims(outputs) -> Parameters | None`, and
`decode(outputs, manifest, parameters, conf) -> list` with one item per image of the batch, of the kind its task takes:
Candidates (detection), People (pose), or float32 [C, h, w] probabilities (segmentation).
In: output arrays by name.  Out: model-input pixels.  Next: tasks/.
"""

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from vedette.runtime.errors import ManifestError
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest
from vedette.runtime.plugins import load


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Boxes above the threshold, in any order, not yet suppressed."""

    boxes_xyxy: Array  # float32 [N, 4] model-input pixels
    scores: Array  # float32 [N]
    class_ids: Array  # int64 [N]


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """Assembled skeletons; a missing joint has score 0."""

    xy: Array  # float32 [P, K, 2] model-input pixels
    joint_scores: Array  # float32 [P, K]
    scores: Array  # float32 [P]


@cache
def _adapter(parameters: type) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(parameters)


def parameters_of(manifest: Manifest) -> Any:
    """The decoder's own checked Parameters.

    Raises:
        ModelError: no such family.
        ManifestError: an unknown parameter, or one of the wrong type.
    """
    from pydantic import ValidationError

    family = load(__name__, manifest.decoder.family)
    try:
        return _adapter(family.Parameters).validate_json(json.dumps(manifest.decoder.parameters))
    except ValidationError as error:
        first = error.errors()[0]
        raise ManifestError(
            f"the decoder parameters of {manifest.name} are wrong",
            why=f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}",
            cure="export the model again",
        ) from None
