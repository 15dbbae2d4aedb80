"""A network camera by rtsp:// or rtsps://, over TCP or UDP, decoded by one thread."""

from vedette.runtime.sources import SourceOptions
from vedette.runtime.sources._network import Access, Connection

PROTOCOLS = "rtsp,rtsps,rtp,srtp,udp,tcp,tls"


def claims(uri: str) -> bool:
    return uri.lower().startswith(("rtsp://", "rtsps://"))


def open_source(uri: str, options: SourceOptions) -> Connection:
    return Connection(uri, options, Access(PROTOCOLS, format="rtsp", options=_options(options.transport)))


def _options(transport: str) -> dict[str, str]:
    """How to open quickly: the session description names the codec, so that a look at few packets is enough."""
    return {
        "rtsp_transport": transport,
        "analyzeduration": "1",  # microseconds of stream, beyond the first packet
        "fpsprobesize": "2",  # frames for guessing the rate, where the stream does not say
        "reorder_queue_size": "2" if transport == "tcp" else "500",  # with a queue, lost packets are noticed
    }
