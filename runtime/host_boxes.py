"""Detection on the host in one call, where a family's boxes are as the kernel reads them; else decoders/ and tasks/ do it.

In: outputs of a family with `heads`.  Out: Results, equal to what tasks/detection.py makes of the family's `decode`.
Next: kernels/detect_boxes.py; cuda_readers/boxes.py, the same on a GPU.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vedette.kernels import native
from vedette.kernels.detect_boxes import Detector, Wanted
from vedette.runtime.decoders import Heads, output_of
from vedette.runtime.frame import Array, Frame
from vedette.runtime.manifest import Manifest
from vedette.runtime.preprocess import Placement
from vedette.runtime.results import Boxes, Result
from vedette.runtime.tasks import Config, names_of

SIZES = 16  # of pictures that are remembered


class HostBoxes:
    """The Results of one model's outputs."""

    def __init__(self, manifest: Manifest, family: Any, parameters: Any, config: Config, conf: float) -> None:
        self._manifest, self._family, self._parameters = manifest, family, parameters
        self._config, self._conf = config, conf
        self._detectors: dict[Placement, tuple[Detector, Sequence[str]]] = {}
        self._names = dict(enumerate(manifest.labels))

    def results(
        self, outputs: Mapping[str, Array], frames: Sequence[Frame], placements: Sequence[Placement]
    ) -> list[Result] | None:
        """One a frame, best boxes first; None where these parameters need the family's own code.

        Raises:
            ValueError: outputs that are not of this family.
        """
        found = []
        for index, (frame, placement) in enumerate(zip(frames, placements, strict=True)):
            known = self._detectors.get(placement) or self._prepared(outputs, placement)
            if known is None:
                return None
            detector, names = known
            xyxy, scores, class_ids = detector([outputs[name][index] for name in names])
            boxes = Boxes(xyxy, scores, class_ids, orig_shape=placement.size[::-1])
            found.append(
                Result(frame, self._manifest.name, "detection", self._named(detector, class_ids), boxes)
            )
        return found

    def _prepared(
        self, outputs: Mapping[str, Array], placement: Placement
    ) -> tuple[Detector, Sequence[str]] | None:
        heads: Heads | None = self._family.heads(self._parameters, input_size=placement.input_size)
        if heads is None:
            return None
        if len(self._detectors) >= SIZES:
            self._detectors.clear()
        names = [output_of(role, self._manifest) for head in heads.grids for role in head.roles]
        layouts = [head.layout for head in heads.grids]
        shapes = [outputs[name].shape[1:] for name in names]
        found = Detector(layouts, shapes, self._wanted(heads, placement)), names
        self._detectors[placement] = found
        return found

    def _wanted(self, heads: Heads, placement: Placement) -> Wanted:
        offset, gain = placement.offset_and_gain()
        return Wanted(
            placement.size,
            conf=self._conf,
            iou=self._config.iou if heads.suppress else np.inf,
            max_det=self._config.max_det,
            classes=self._config.classes,
            multi_label=heads.multi_label,
            clip=heads.clip,
            unit=heads.unit,
            image=(*offset.tolist(), *gain.tolist()),
        )

    def _named(self, detector: Detector, class_ids: Array) -> Mapping[int, str]:
        """The same labels for every frame, unless a class may be without one."""
        if detector.classes is not None and detector.classes <= len(self._names):
            return self._names
        return names_of(self._manifest, class_ids)


def host_boxes(
    manifest: Manifest, family: Any, parameters: Any, config: Config, conf: float
) -> HostBoxes | None:
    """None where the model does something else, or where nothing compiled is there to do it."""
    turned = getattr(getattr(parameters, "extras", None), "angle", False)
    if manifest.task != "detection" or turned or not hasattr(family, "heads") or native.library() is None:
        return None
    return HostBoxes(manifest, family, parameters, config, conf)
