"""Encoded video into a file as it is: no decoding, no encoding.

In: packets of one Encoding, from a key frame on, with times from _stamps.py.  Out: an .mp4, or an .mkv for what MP4
does not hold everywhere. It plays at every moment: MP4 is written in fragments, and closing makes it a plain one.
"""

import io
import struct
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from vedette.runtime.ffmpeg import load_ffmpeg
from vedette.runtime.packets import Encoding
from vedette.runtime.sinks._encode import container_options
from vedette.runtime.sinks._nal import parameter_sets
from vedette.runtime.sinks._safe_file import SafeFile
from vedette.runtime.sinks._stamps import TICKS, Stamp

if TYPE_CHECKING:
    from av.container import InputContainer

# How FFmpeg reads a bare stream of each codec, and the file that it goes into.
DEMUXERS: Mapping[str, tuple[str, str]] = {
    "h264": ("h264", ".mp4"),
    "hevc": ("hevc", ".mp4"),
    "mpeg4": ("m4v", ".mp4"),
    "mjpeg": ("mjpeg", ".mkv"),
    "mpeg1video": ("mpegvideo", ".mkv"),
    "mpeg2video": ("mpegvideo", ".mkv"),
    "vp8": ("ivf", ".mkv"),
    "vp9": ("ivf", ".mkv"),
    "av1": ("ivf", ".mkv"),
}
IVF = {"vp8": b"VP80", "vp9": b"VP90", "av1": b"AV01"}
MUXERS = {".mp4": "mp4", ".mkv": "matroska"}


def suffix_of(codec: str) -> str:
    """Of the file that holds a codec; empty where none is written here."""
    return DEMUXERS.get(codec, ("", ""))[1]


class Copy:
    """One file. Errors of FFmpeg and of the disk pass; after one only `close` may be called.

    Args:
        path: must not exist.
        encoding: of all its packets; its codec has a suffix.
        parameters: the codec's parameter sets, for streams that do not repeat them.
        key: the first packet, a key frame; with start codes if it is H.264 or HEVC.
        begin: its time.
    """

    def __init__(self, path: Path, encoding: Encoding, parameters: bytes, key: bytes, begin: Stamp) -> None:
        load_ffmpeg()
        import av

        self.path, self._begin = path, begin
        self._whole = True
        self._sample = _sample(encoding, parameters, key)  # its stream is what the file's is made after
        self._file = SafeFile(path)
        self._container = av.open(
            self._file,
            "w",
            format=MUXERS[path.suffix],
            container_options=container_options(path),
        )
        self._stream = self._container.add_stream_from_template(self._sample.streams.video[0], opaque=True)
        self._stream.time_base = Fraction(1, TICKS)

    @property
    def failure(self) -> OSError | None:
        """What the disk refused."""
        return self._file.error

    def add(self, data: bytes, stamp: Stamp, *, key: bool, ticks: int) -> bool:
        """Write one packet; False for one that is predicted from the file before: nothing could decode it here.

        Args:
            data: as `key` of the constructor.
            stamp: when it is shown and decoded.
            key: decoding can begin here.
            ticks: how long it is shown.
        """
        import av

        if stamp.pts < self._begin.pts:
            return False
        packet = av.Packet(data)
        packet.pts, packet.dts = stamp.pts - self._begin.pts, stamp.dts - self._begin.pts
        packet.time_base, packet.duration = Fraction(1, TICKS), ticks
        packet.is_keyframe, packet.stream = key, self._stream
        self._whole = False
        self._container.mux(packet)
        self._whole = True
        return True

    def close(self) -> bool:
        """Finish the file; whether it is complete. One that is not may play all the same."""
        from av.error import FFmpegError

        try:
            self._container.close()
        except (OSError, FFmpegError):
            self._whole = False
        self._file.close(trim=self.path.suffix == ".mp4")
        self._sample.close()
        return self._whole and self._file.error is None


def _sample(encoding: Encoding, parameters: bytes, key: bytes) -> "InputContainer":
    """The key frame as a stream of its own: FFmpeg reads from it what every file must say of its codec."""
    import av

    demuxer, _ = DEMUXERS[encoding.codec]
    if demuxer == "ivf":
        data = _ivf(encoding, key)
    elif {"sequence", "picture"} <= set(parameter_sets(encoding.codec, key)):  # newer than the container's
        data = key
    else:
        data = parameters + key
    return av.open(io.BytesIO(data), "r", format=demuxer)


def _ivf(encoding: Encoding, key: bytes) -> bytes:
    """The simplest container of VP8, VP9 and AV1: 32 bytes of header, 12 for a picture."""
    width, height = encoding.size
    header = struct.pack("<4sHH4sHHIIII", b"DKIF", 0, 32, IVF[encoding.codec], width, height, TICKS, 1, 1, 0)
    return header + struct.pack("<IQ", len(key), 0) + key
