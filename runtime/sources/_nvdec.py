"""Decoding on NVIDIA's decoder (NVDEC) by FFmpeg: the same reader, messages and recovery; pictures come as NV12 in host memory.

In: what the options ask for.  Out: what av.open is to be given, and one line a source where software decodes after all.
Each connection has a CUDA context of its own, apart from that of the kernels. Tried with a stand-in for the driver only.
"""

import logging
from functools import lru_cache
from typing import TYPE_CHECKING, TypedDict

from vedette.runtime.errors import UsageError
from vedette.runtime.ffmpeg import load_ffmpeg
from vedette.runtime.sources import SourceOptions

if TYPE_CHECKING:
    from av.codec.hwaccel import HWAccel
    from av.video.stream import VideoStream

logger = logging.getLogger(__name__)

ON_DEVICE = "cuda"  # FFmpeg's name of the device, and of its pixel format


class Opening(TypedDict, total=False):
    """Arguments of av.open; none for software, so that older versions of PyAV are not asked for what they lack."""

    hwaccel: "HWAccel"


def opening(options: SourceOptions) -> Opening:
    """How av.open is to decode: on the device if it can be reached, else in software.

    Raises:
        UsageError: PyAV is older than hardware decoding in it.
    """
    if options.decoder != "nvdec" or why_no_nvdec():
        return {}
    return {"hwaccel": accelerator()}


def why_no_nvdec() -> str:
    """Why FFmpeg cannot reach the device now; nothing if it can. Whether it takes a stream shows with that alone.

    Asked before a stream is opened, since av.open does not fall back where the driver is missing: it raises.

    Raises:
        UsageError: PyAV is older than hardware decoding in it.
    """
    asked = accelerator()
    from av.codec import Codec
    from av.error import FFmpegError

    try:
        asked.create(Codec("h264", "r"))
    except NotImplementedError:
        return "this FFmpeg is built without it"
    except FFmpegError as error:
        return f"FFmpeg cannot reach an NVIDIA GPU ({error.strerror})"
    return ""


def is_asked(stream: "VideoStream", options: SourceOptions) -> bool:
    """Whether the device will be asked to decode this stream."""
    return options.decoder == "nvdec" and stream.codec_context.is_hwaccel


def is_used(stream: "VideoStream") -> bool:
    """Whether the device decodes this stream; known when the first picture has come."""
    return stream.codec_context.is_hwaccel and stream.codec_context.pix_fmt == ON_DEVICE


@lru_cache(1024)
def tell_software(source: str, decoder: str, why: str) -> None:
    """Say that software decodes, and why; once, however often the source is opened again."""
    logger.warning("%s: software decodes, not %s: %s", source, decoder, why)


def accelerator() -> "HWAccel":
    """FFmpeg's name for the device.

    Raises:
        UsageError: PyAV is older than hardware decoding in it.
    """
    load_ffmpeg()
    try:
        from av.codec.hwaccel import HWAccel
    except ImportError:
        raise UsageError(
            "decoder nvdec needs a newer PyAV",
            why="hardware decoding came with version 14",
            cure="pip install 'av>=14', or decoder: software",
        ) from None
    return HWAccel(ON_DEVICE, allow_software_fallback=True)
