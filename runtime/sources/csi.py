"""A camera on a Jetson's ribbon cable: `csi://0?width=1280&height=720&fps=30&flip=0`, every part behind ? optional.

GStreamer's nvarguscamerasrc takes the pictures in a process of its own, since Argus hangs and crashes; it is killed when
it falls silent. Tried with a stand-in for GStreamer only, on no Jetson.
"""

import re
import shutil
import time
from dataclasses import dataclass
from urllib.parse import parse_qsl

import numpy as np

from vedette.runtime.errors import SourceError, UsageError
from vedette.runtime.frame import Array, Frame
from vedette.runtime.sources import TIMEOUT, Read, SourceOptions, closed
from vedette.runtime.sources._child import Child
from vedette.runtime.sources._clock import Clock

PROGRAM = "gst-launch-1.0"
RANGES = {"width": (64, 8192), "height": (64, 8192), "fps": (1, 240), "flip": (0, 7)}


@dataclass(frozen=True, slots=True)
class Sensor:
    """What the URI asks for.

    Attributes:
        number: of the sensor.
        width: of its pictures before they are flipped, in pixels.
        height: the same.
        fps: frames per second.
        flip: nvvidconv's flip-method; 2 is upside down, odd ones swap width and height.
    """

    number: int
    width: int = 1280
    height: int = 720
    fps: int = 30
    flip: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) as delivered."""
        return (self.height, self.width) if self.flip % 2 else (self.width, self.height)

    def command(self, descriptor: int) -> list[str]:
        """GStreamer's command line, writing NV12 to an open file."""
        width, height = self.size
        taken = f"video/x-raw(memory:NVMM),width={self.width},height={self.height},framerate={self.fps}/1"
        written = f"video/x-raw,format=NV12,width={width},height={height}"
        source = [PROGRAM, "-q", "nvarguscamerasrc", f"sensor-id={self.number}", "!", taken]
        turned = ["!", "nvvidconv", f"flip-method={self.flip}", "!", written]
        return [*source, *turned, "!", "fdsink", f"fd={descriptor}", "sync=false"]


def claims(uri: str) -> bool:
    return uri.lower().startswith("csi://")


def open_source(uri: str, options: SourceOptions) -> "RibbonCamera":
    """The source.

    Raises:
        UsageError: the URI is not of the form above, or a number is out of range.
    """
    return RibbonCamera(uri, parse(uri), options)


class RibbonCamera:
    """Frames as they come. Once read() has raised it is spent: again() makes another."""

    live = True
    lasting = True
    frame_count: int | None = None

    def __init__(self, uri: str, sensor: Sensor, options: SourceOptions) -> None:
        self.uri = uri
        self._sensor, self._options = sensor, options
        self._child: Child | None = None
        self._clock = Clock(float(sensor.fps))
        self._index = 0
        self._heard_s = 0.0  # time.monotonic() of the last bytes
        self._closed = False
        self._buffer = self._new_buffer()
        self._filled = 0

    def read(self, timeout_s: float = 1.0) -> Read:
        """The next frame, or TIMEOUT. It never blocks longer than timeout_s."""
        if self._closed:
            raise closed(self.uri)
        deadline = time.monotonic() + timeout_s
        try:
            child = self._child or self._start()
            while self._fill(child, deadline):
                if (frame := self._take()) is not None:
                    return frame
            self._check_silence()
        except SourceError:
            self.close()
            raise
        return TIMEOUT

    def again(self) -> "RibbonCamera":
        return RibbonCamera(self.uri, self._sensor, self._options)

    def close(self) -> None:
        self._closed = True
        if self._child is not None:
            self._child.close()
            self._child = None

    def _start(self) -> Child:
        if shutil.which(PROGRAM) is None:
            raise self._error("cannot be opened", f"{PROGRAM} is not installed", "missing")
        try:
            self._child = Child(self._sensor.command)
        except OSError as error:
            raise self._error("cannot be opened", error.strerror or str(error), "failed") from None
        self._heard_s = time.monotonic()
        return self._child

    def _fill(self, child: Child, deadline: float) -> bool:
        """Read until a picture is whole; False if it is not by the deadline."""
        place = self._buffer.data
        try:
            while self._filled < len(place):
                count = child.read_into(place[self._filled :], deadline)
                if count == 0:
                    return False
                self._filled += count
                self._heard_s = time.monotonic()
        except EOFError:
            words = child.last_words() or "it printed nothing"
            raise self._error("ended", f"{PROGRAM} said: {words}", "ended") from None
        return True

    def _take(self) -> Frame | None:
        """The whole picture, or None if the stride leaves it out."""
        index, self._index, self._filled = self._index, self._index + 1, 0
        time_s = self._clock.seconds(None, arrived_s=self._heard_s)
        if index % self._options.stride:
            return None
        planes, self._buffer = _planes(self._buffer, self._sensor.size), self._new_buffer()
        return Frame(
            planes=planes,
            format="nv12",
            stream=self._options.stream,
            source=self.uri,
            index=index,
            time_s=time_s,
            received_ns=round(self._heard_s * 1e9),
            rate=self._clock.rate,
        )

    def _check_silence(self) -> None:
        options = self._options
        limit_s = options.read_timeout_s if self._index else options.open_timeout_s
        if (waited_s := time.monotonic() - self._heard_s) > limit_s:
            code = "silent" if self._index else "timeout"
            raise self._error("went silent", f"no picture for {waited_s:.1f} s", code)

    def _new_buffer(self) -> Array:
        width, height = self._sensor.size
        return np.empty(width * height * 3 // 2, np.uint8)  # frames that are still held own theirs

    def _error(self, what: str, why: str, code: str) -> SourceError:
        cure = (
            "check the ribbon cable and sensor-id; sudo systemctl restart nvargus-daemon frees a stuck driver"
        )
        return SourceError(f"the camera {self.uri} {what}", why=why, cure=cure, code=code)


def _planes(buffer: Array, size: tuple[int, int]) -> tuple[Array, Array]:
    width, height = size
    luma, chroma = buffer[: width * height], buffer[width * height :]
    return luma.reshape(height, width), chroma.reshape(height // 2, width // 2, 2)


def parse(uri: str) -> Sensor:
    """The sensor that a URI names.

    Raises:
        UsageError: the URI is not of the form above, or a number is out of range.
    """
    number, _, query = uri[len("csi://") :].partition("?")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise _refused(uri, f"{query!r} is not NAME=VALUE&NAME=VALUE") from None
    values = dict(pairs)
    if re.fullmatch(r"\d{1,2}", number, re.ASCII) is None or len(values) < len(pairs):
        raise _refused(uri, f"{number!r} is no sensor number, or a parameter is given twice")
    for name, text in values.items():
        low, high = RANGES.get(name, (0, -1))
        if re.fullmatch(r"\d{1,4}", text, re.ASCII) is None or not low <= int(text) <= high:
            raise _refused(
                uri, f"{name}={text}: there are {', '.join(RANGES)}, and {name} is from {low} to {high}"
            )
    sensor = Sensor(int(number), **{name: int(text) for name, text in values.items()})
    if sensor.width % 4 or sensor.height % 4:  # GStreamer pads rows to multiples of 4
        raise _refused(uri, f"{sensor.width}x{sensor.height}: both are multiples of 4")
    return sensor


def _refused(uri: str, why: str) -> UsageError:
    return UsageError(
        f"{uri!r} is no ribbon-cable camera",
        why=why,
        cure="write it like csi://0?width=1280&height=720&fps=30",
    )
