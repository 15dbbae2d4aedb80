"""A camera on this machine: its number, or /dev/videoN."""

import os
import re
import sys
import time
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from vedette.runtime.errors import SourceError
from vedette.runtime.frame import Frame
from vedette.runtime.sources import Read, SourceOptions, closed
from vedette.runtime.sources._clock import Clock
from vedette.runtime.sources._decode import DEFAULT_RATE

if TYPE_CHECKING:
    import cv2

DEVICES = Path("/dev")
SELECT_TIMEOUT = "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"


def claims(uri: str) -> bool:
    return re.fullmatch(r"(/dev/video)?\d{1,3}", uri, re.ASCII) is not None


def open_source(uri: str, options: SourceOptions) -> "LocalCamera":
    return LocalCamera(int(uri.removeprefix("/dev/video")), options)


class LocalCamera:
    """Frames as the driver hands them over; a device that hands over none has failed."""

    live = True
    lasting = True
    frame_count: int | None = None

    def __init__(self, number: int, options: SourceOptions) -> None:
        self.uri = f"/dev/video{number}"
        self._number, self._options = number, options
        self._capture: cv2.VideoCapture | None = None
        self._clock = Clock(DEFAULT_RATE)
        self._decoded = 0
        self._closed = False

    def read(self, timeout_s: float = 1.0) -> Read:
        """The next frame. timeout_s is not used: OpenCV waits for the driver until the read time-out, in whole seconds.

        It reads that once a process, so that the first camera's counts, and 10 s if OpenCV was used before.
        """
        if self._closed:
            raise closed(self.uri)
        capture = self._capture or self._open()
        while True:
            index, wanted = self._decoded, self._decoded % self._options.stride == 0
            if not capture.grab():
                raise self._error(
                    "sends no frames",
                    "unplugged, used by another program, or its driver has failed",
                    "silent",
                )
            self._decoded += 1
            received_ns = time.monotonic_ns()
            # Drivers' own time stamps cannot be relied on.
            time_s = self._clock.seconds(None, arrived_s=received_ns / 1e9)
            if wanted:
                return self._frame(capture, index, time_s, received_ns)

    def again(self) -> "LocalCamera":
        return LocalCamera(self._number, self._options)

    def close(self) -> None:
        self._closed = True
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _open(self) -> "cv2.VideoCapture":
        os.environ.setdefault(SELECT_TIMEOUT, str(ceil(self._options.read_timeout_s)))
        import cv2

        if (
            sys.platform == "linux" and not (DEVICES / f"video{self._number}").exists()
        ):  # OpenCV would complain aloud
            present = ", ".join(sorted(str(path) for path in DEVICES.glob("video*"))) or "none"
            raise self._error("does not exist", f"the cameras of this machine: {present}", "missing")
        self._capture = cv2.VideoCapture(
            self._number, cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY
        )
        if not self._capture.isOpened():
            raise self._error(
                "cannot be opened",
                "used by another program, no camera, or not permitted to this user",
                "refused",
            )
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self._clock.rate = rate if 0 < rate <= 1000 else DEFAULT_RATE
        return self._capture

    def _frame(self, capture: "cv2.VideoCapture", index: int, time_s: float, received_ns: int) -> Frame:
        found, image = capture.retrieve()
        if not found:
            raise self._error(
                "sends frames that cannot be decoded",
                "the driver's pixel format is not known to OpenCV",
                "unreadable",
            )
        return Frame(
            planes=(image,),
            stream=self._options.stream,
            source=self.uri,
            index=index,
            time_s=time_s,
            received_ns=received_ns,
            rate=self._clock.rate,
        )

    def _error(self, what: str, why: str, code: str) -> SourceError:
        cure = "v4l2-ctl --list-devices names the cameras; a user needs the group video"
        return SourceError(f"the camera {self.uri} {what}", why=why, cure=cure, code=code)
