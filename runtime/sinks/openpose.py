"""OpenPose's JSON, for programs that read what its --write_json writes: one file a frame, into a folder.

Source: CMU OpenPose doc/02_output.md, and the names that its producers give to frames.
"""

import json
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from vedette.runtime.draw import write_bytes
from vedette.runtime.frame import Frame
from vedette.runtime.results import Result
from vedette.runtime.sinks._target import check_folder, stem_of
from vedette.runtime.tasks.pose import openpose_json


class OpenPoseSink:
    """Writes the people of a frame, of the first pose model, as OpenPose names their file.

    street_000000000012_keypoints.json for a video's frame, cam0_… for a camera's, bus_keypoints.json for a picture. Of one
    run's sources with one name the second gets street-2. An earlier run's files are replaced.

    Raises:
        DiskError: nothing can be written there.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._owners: dict[str, tuple[str, str]] = {}  # name -> the stream and source whose frames have it
        check_folder(self._folder)

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        poses = [result for result in results if result.task == "pose"]
        if poses:
            document = json.dumps(openpose_json(poses[0]), separators=(",", ":"), allow_nan=False)
            write_bytes(self._folder / f"{self._name(frame)}_keypoints.json", document.encode())

    def close(self) -> None:
        """Nothing is open: each file was completed by its write."""

    def _name(self, frame: Frame) -> str:
        stem = stem_of(frame.source, frame.stream)
        owner = (frame.stream, frame.source)
        numbered = (stem if number == 1 else f"{stem}-{number}" for number in count(1))
        name = next(name for name in numbered if self._owners.setdefault(name, owner) == owner)
        return name if frame.rate is None else f"{name}_{frame.index:012d}"
