"""An MPEG transport stream by udp://HOST:PORT (udp://@:PORT listens; a multicast address is joined) or tcp://HOST:PORT."""

from vedette.runtime.sources import SourceOptions
from vedette.runtime.sources._network import Access, Connection

OPTIONS = {
    "analyzeduration": "1000000",  # microseconds of stream
    "fpsprobesize": "3",  # frames
    "overrun_nonfatal": "1",  # of UDP: what comes too fast is lost, but the stream goes on
}


def claims(uri: str) -> bool:
    return uri.lower().startswith(("udp://", "tcp://"))


def open_source(uri: str, options: SourceOptions) -> Connection:
    scheme = uri.partition("://")[0].lower()
    return Connection(uri, options, Access(scheme, format="mpegts", options=OPTIONS, waits=2))
