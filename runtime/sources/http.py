"""Video by http:// or https://: MJPEG of a camera, a file while it is fetched, or HLS, live or recorded.

A recording whose length the server tells ends with END; whatever else stops has broken off.
"""

from pathlib import PurePosixPath
from urllib.parse import urlsplit

from vedette.runtime.sources import SourceOptions
from vedette.runtime.sources._local import CONTAINERS, VIDEO_SUFFIXES
from vedette.runtime.sources._network import Access, Connection

ACCESS = Access(
    # A playlist may lead to other servers, but to no file and no other kind of address.
    protocols="http,https,httpproxy,tcp,tls,crypto",
    formats=CONTAINERS + ",hls,mpjpeg,aac,mp3,ac3,eac3,webvtt",
    options={
        "analyzeduration": "1000000",  # microseconds of stream
        "fpsprobesize": "3",  # frames
        "multiple_requests": "1",  # else, after a seek to an index at the end, FFmpeg may lose what it was sent before
    },
    stored=True,
)


def claims(uri: str) -> bool:
    return uri.lower().startswith(("http://", "https://"))


def open_source(uri: str, options: SourceOptions) -> Connection:
    """The connection; what is named like a video file is read as fast as a file, unless options ask for its rate."""
    name = PurePosixPath(urlsplit(uri).path)
    is_file = name.suffix.lower() in VIDEO_SUFFIXES
    return Connection(uri, options, ACCESS, live=options.realtime or not is_file, lasting=not is_file)
