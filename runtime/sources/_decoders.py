"""Who decodes a stream: FFmpeg in this process, on the CPU or an NVIDIA GPU, or a Jetson's decoder in a child process.

In: encoded packets of one stream.  Out: pictures in the order of their times, each with whether it is a key frame.
Next: _nvdec.py for the GPU, _nvv4l2.py for the Jetson.
"""

from typing import TYPE_CHECKING, Any, Protocol

from vedette.runtime.sources import SourceOptions
from vedette.runtime.sources._nvdec import is_used, tell_software, why_no_nvdec
from vedette.runtime.sources._nvv4l2 import Nvv4l2, Picture

if TYPE_CHECKING:
    from av import Packet
    from av.video.stream import VideoStream


class Decoder(Protocol):
    """Used by one thread."""

    def decode(self, packet: "Packet[Any]") -> list[Picture]:
        """The pictures that a packet completes; an empty packet asks for those that are left."""

    def close(self) -> None:
        """Come to rest; nothing is decoded after that."""


class InProcess:
    """FFmpeg's own."""

    def __init__(self, stream: "VideoStream", options: SourceOptions, source: str) -> None:
        self._stream, self._source = stream, source
        self._unproved = options.decoder == "nvdec"

    def decode(self, packet: "Packet[Any]") -> list[Picture]:
        pictures = [(picture, picture.key_frame) for picture in packet.decode()]
        if pictures and self._unproved:
            self._unproved = False
            if not is_used(self._stream):
                codec = self._stream.codec_context.name
                refused = f"the GPU does not take {codec} of this kind or size, or libnvcuvid is not there"
                tell_software(self._source, "nvdec", why_no_nvdec() or refused)
        return pictures

    def close(self) -> None:
        """Let it come to rest; _complaints.py tells why it must before it is freed."""
        self._stream.codec_context.flush_buffers()


def decoder_of(stream: "VideoStream", options: SourceOptions, *, source: str, patience_s: float) -> Decoder:
    """The one that the options ask for.

    Args:
        stream: of an open container.
        options: the source's.
        source: its name, for messages.
        patience_s: how long a decoder that works beside us may be waited for, so that a picture need not wait for
            the next packet.
    """
    if options.decoder == "nvv4l2":
        return Nvv4l2(stream, options, source=source, patience_s=patience_s)
    return InProcess(stream, options, source)
