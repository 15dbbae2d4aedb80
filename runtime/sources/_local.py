"""Which URIs name something on this machine, and which of those are pictures: shared by file and images."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

PICTURE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif"),
)
VIDEO_SUFFIXES = (
    *(".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts"),
    *(".mpg", ".mpeg", ".flv", ".wmv", ".ogv", ".gif"),
)
# Containers that hold their pictures themselves. FFmpeg would also play a text file (tty), and playlists and
# descriptions that open other files and addresses (hls, concat, dash, sdp, image2): none of these is here.
CONTAINERS = (
    "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,mxf,nut,gif,apng,dv,dhav,ivf,obu,rm,wtv,yuv4mpegpipe,"
    "h261,h263,h264,hevc,vvc,av1,m4v,mjpeg,vc1"
)


def local_path(uri: str) -> Path | None:
    """The path that a URI names, or None where it names a camera, another scheme or nothing."""
    if not uri or "\0" in uri or re.fullmatch(r"\d+", uri, re.ASCII):
        return None  # a number is a camera; a file of that name is ./0
    if uri.lower().startswith("file://"):
        parts = urlsplit(uri)
        return Path(unquote(parts.path)) if parts.path and parts.netloc in {"", "localhost"} else None
    return None if "://" in uri or uri.lower().startswith("synthetic:") else Path(uri)


def is_file(path: Path) -> bool:
    """Path.is_file, but False also where the name is too long or a folder may not be entered."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Path.is_dir, but False also where the name is too long or a folder may not be entered."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_picture(path: Path) -> bool:
    """Whether the name says that it is a picture; dot files are other programs' litter."""
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")
