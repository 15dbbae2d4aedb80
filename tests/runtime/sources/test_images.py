"""Pictures, folders and globs: one stream in sorted name order; what is unreadable is skipped or refused."""

import logging
import struct
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import Array, numbered_picture, psnr

from vedette.runtime.errors import SourceError
from vedette.runtime.frame import Frame
from vedette.runtime.sources import END, TIMEOUT, SourceOptions, open_source


def read_all(uri: str | Path) -> list[Frame]:
    source = open_source(str(uri))
    frames = []
    while isinstance(frame := source.read(), Frame):
        frames.append(frame)
    assert frame is END
    return frames


def picture(path: Path, image: Array | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), numbered_picture(1) if image is None else image)
    return path


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".png", ".bmp", ".webp", ".tif", ".ppm"])
def test_one_picture_is_a_stream_of_one_frame(tmp_path: Path, suffix: str) -> None:
    path = picture(tmp_path / f"bus{suffix}")
    (frame,) = read_all(path)
    assert psnr(frame.bgr(), numbered_picture(1)) > 25
    assert (frame.source, frame.index, frame.time_s, frame.rate) == (str(path), 0, 0.0, None)


@pytest.mark.parametrize(
    "image",
    [np.full((5, 7), 9, np.uint8), np.full((5, 7, 4), 9, np.uint8), np.full((5, 7, 3), 9 * 257, np.uint16)],
    ids=["grey", "alpha", "16 bit"],
)
def test_every_kind_of_pixel_becomes_8_bit_bgr(tmp_path: Path, image: Array) -> None:
    (frame,) = read_all(picture(tmp_path / "odd.png", image))
    np.testing.assert_array_equal(frame.bgr(), np.full((5, 7, 3), 9, np.uint8))


def test_a_photo_is_turned_upright(tmp_path: Path) -> None:
    path = picture(tmp_path / "phone.jpg", numbered_picture(1, (96, 64)))
    jpeg = path.read_bytes()
    # Tag 0x0112, orientation 6: rotate a quarter clockwise to show.
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])
    (frame,) = read_all(path)
    assert psnr(frame.bgr(), np.rot90(numbered_picture(1), -1)) > 25


def test_a_folder_is_its_pictures_in_name_order_and_nothing_else(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.png", "C.bmp", "a10.png", "sub/d.jpg"):
        picture(tmp_path / name)
    for name in ("notes.txt", "clip.mp4", "._a.png", "folder.jpg/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("not a picture")
    frames = read_all(tmp_path)
    assert [Path(frame.source).name for frame in frames] == ["C.bmp", "a.png", "a10.png", "b.jpg"]
    assert [(frame.index, frame.time_s) for frame in frames] == [(0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0)]


def test_a_glob_is_one_stream_in_name_order(tmp_path: Path) -> None:
    for name in ("y/2.jpg", "x/3.jpg", "x/1.jpg", "x/1.png"):
        picture(tmp_path / name)
    frames = read_all(tmp_path / "*" / "*.jpg")
    assert [str(Path(frame.source).relative_to(tmp_path)) for frame in frames] == [
        "x/1.jpg",
        "x/3.jpg",
        "y/2.jpg",
    ]


def test_brackets_in_a_real_name_are_no_glob(tmp_path: Path) -> None:
    assert len(read_all(picture(tmp_path / "shot [1].png"))) == 1
    assert len(read_all(picture(tmp_path / "day [2]" / "a.png").parent)) == 1


def test_stride_counts_positions(tmp_path: Path) -> None:
    for index in range(5):
        picture(tmp_path / f"{index}.png")
    source = open_source(str(tmp_path), SourceOptions(stride=2))
    assert [getattr(source.read(), "index", None) for _ in range(4)] == [0, 2, 4, None]
    assert source.frame_count == 3


def test_an_unreadable_picture_of_many_is_skipped_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    picture(tmp_path / "1.jpg")
    (tmp_path / "2.jpg").write_text("no picture")
    picture(tmp_path / "3.jpg")
    with caplog.at_level(logging.WARNING):
        frames = read_all(tmp_path)
    assert [frame.index for frame in frames] == [0, 2]
    assert len(caplog.records) == 1
    assert "2.jpg" in caplog.text


def test_a_stream_without_one_readable_picture_fails_at_its_end(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_text("no picture")
    (tmp_path / "2.jpg").write_bytes(b"")
    with pytest.raises(SourceError) as error:
        read_all(tmp_path)
    assert "all 2 failed" in error.value.why


@pytest.mark.parametrize(
    "data",
    [b"", b"no picture", png_claiming(1 << 16, 1 << 15), png_claiming(1 << 21, 1 << 4)],
    ids=["empty", "text", "too many pixels", "too wide"],
)
def test_a_single_unreadable_picture_is_an_error_and_no_traceback(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "bad.png").write_bytes(data)
    with pytest.raises(SourceError) as error:
        read_all(tmp_path / "bad.png")
    assert "bad.png" in error.value.what


def test_a_folder_of_videos_says_to_name_them(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"")
    with pytest.raises(SourceError) as error:
        read_all(tmp_path)
    assert "name them one by one" in error.value.cure
    assert "clip.mp4" in error.value.cure


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no picture"):
        read_all(tmp_path)


def test_a_loop_begins_again_and_warns_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("1.png", "3.png"):
        picture(tmp_path / name)
    (tmp_path / "2.png").write_text("no picture")
    source = open_source(str(tmp_path), SourceOptions(loop=True))
    frames = [found for found in (source.read() for _ in range(6)) if isinstance(found, Frame)]
    assert [frame.index for frame in frames] == [0, 2, 3, 5, 6, 8]
    assert source.frame_count is None
    assert len(caplog.records) == 1


def test_a_loop_without_one_readable_picture_fails(tmp_path: Path) -> None:
    for name in ("1.png", "2.png"):
        (tmp_path / name).write_text("no picture")
    with pytest.raises(SourceError) as error:
        open_source(str(tmp_path), SourceOptions(loop=True)).read()
    assert "all 2 failed" in error.value.why


def test_at_real_time_there_is_a_picture_a_second(tmp_path: Path) -> None:
    for name in ("1.png", "2.png"):
        picture(tmp_path / name)
    source = open_source(str(tmp_path), SourceOptions(realtime=True))
    assert source.live
    started = time.monotonic()
    assert isinstance(source.read(0.1), Frame)
    assert source.read(0.1) is TIMEOUT
    assert isinstance(source.read(2.0), Frame)
    assert time.monotonic() - started >= 1.0
    assert source.read(0.1) is END
