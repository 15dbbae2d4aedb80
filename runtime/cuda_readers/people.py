"""Pose from joint heatmaps and part affinity fields: peaks, limbs and people are found on the GPU; a few joints come down.

In: outputs with the roles heatmaps and pafs, or maps, which is both (OpenPose's descendants and trt_pose).
Out: Skeletons of each image, and the Results they mean. For the host: maps that are to be enlarged first, and OpenPose's own
rules, whose order of limbs the kernel does not have.  Next: kernels/paf.cu, decoders/openpose.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from vedette.kernels._paf_launches import Sizes, launch_paf, paf_fields, set_rules
from vedette.kernels.device import Device
from vedette.kernels.launches import Fields
from vedette.kernels.paf import MAX_PEAKS, Skeletons, check_maps
from vedette.runtime.cuda_readers.reader import Job, Room
from vedette.runtime.decoders import output_of
from vedette.runtime.decoders.openpose import Parameters, in_pixels
from vedette.runtime.frame import Array, Frame
from vedette.runtime.preprocess import Placement
from vedette.runtime.results import Result

RESULTS = ("people_counts", "xy", "joint_scores", "scores")
TABLES = ("rules", "limbs")


def people_reader(job: Job) -> "PeopleReader | None":
    """For pose, where nothing is enlarged and the rules are the kernel's."""
    parameters = job.recipe.parameters
    if job.recipe.manifest.task != "pose" or not isinstance(parameters, Parameters):
        return None
    if parameters.upsample > 1 or parameters.openpose_rules:
        return None
    return PeopleReader(job, parameters)


class People(NamedTuple):
    """The best people of each image, in cells of its maps."""

    images: Sequence[Skeletons]
    needed: Room = Room()


class _Maps(NamedTuple):
    """Where the maps of an image lie."""

    heatmaps: str  # an output
    pafs: str  # the same or another
    skip: int  # maps of it before the first field


class PeopleReader:
    """People of one skeleton."""

    def __init__(self, job: Job, parameters: Parameters) -> None:
        self._job, self._parameters = job, parameters
        self._rules = parameters.rules(job.recipe.conf)
        self._maps = _maps_of(job, len(parameters.keypoint_names))
        self._sizes = self._checked()
        fields = paf_fields(self._sizes)
        self.down = {name: fields.pop(name) for name in RESULTS}
        self.constants = {name: fields.pop(name) for name in TABLES}
        self.work: Fields = {**job.outputs, **fields}

    def _checked(self) -> Sizes:
        """How large all is, once it is certain that the rules fit it."""
        outputs, maps, joints = self._job.outputs, self._maps, len(self._parameters.keypoint_names)
        (_, channels, height, width), fields = outputs[maps.heatmaps][0], outputs[maps.pafs][0]
        if channels < joints:
            raise ValueError(f"{channels} heatmaps are not enough for {joints} joints")
        heatmaps = np.broadcast_to(np.float32(0), (joints, height, width))
        pafs = np.broadcast_to(np.float32(0), (fields[1] - maps.skip, *fields[2:]))
        check_maps(heatmaps, pafs, self._rules)
        most = min(self._job.recipe.config.max_det, joints * MAX_PEAKS)
        strides = channels * height * width, int(np.prod(fields[1:]))
        return Sizes(self._job.batch, joints, len(self._rules.pairs), height, width, most, *strides)

    def set_constants(self, host: Mapping[str, Array], at: Mapping[str, int]) -> None:
        """What counts as a peak, a limb and a person."""
        set_rules(host["rules"], host["limbs"], self._rules, self._sizes)

    def launch(self, device: Device, at: Mapping[str, int]) -> None:
        """From maps to people."""
        cells, maps = self._sizes.height * self._sizes.width, self._maps
        places = {"heatmaps": at[maps.heatmaps], "pafs": at[maps.pafs] + 4 * cells * maps.skip}
        launch_paf(device.launch, {**at, **places}, self._sizes)

    def take(self, host: Mapping[str, Array]) -> People:
        """Copies of the people who came down."""
        most = self._sizes.max_people
        return People(
            [
                Skeletons(*(host[name][image, : min(count, most)].copy() for name in RESULTS[1:]))
                for image, count in enumerate(host["people_counts"].tolist())
            ]
        )

    def finish(self, found: People, frames: Sequence[Frame], placements: Sequence[Placement]) -> list[Result]:
        """The people on their frames."""
        recipe: Any = self._job.recipe
        with recipe.readable:
            return [
                recipe.task.finish(in_pixels(people, self._parameters), frame, placement, recipe.manifest, recipe.config)
                for people, frame, placement in zip(found.images, frames, placements, strict=True)
            ]  # fmt: skip


def _maps_of(job: Job, joints: int) -> _Maps:
    """As decoders/openpose.py reads them: in one output the background lies between."""
    manifest = job.recipe.manifest
    if any(output.role == "maps" for output in manifest.outputs):
        name = output_of("maps", manifest)
        return _Maps(name, name, joints + 1)
    return _Maps(output_of("heatmaps", manifest), output_of("pafs", manifest), 0)
