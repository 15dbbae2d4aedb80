"""Frames as decoders make them: planes in, the same colours out whichever way they go."""

import gc
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from clips import SIZE, numbered_picture, write_video

from vedette.kernels._letterbox_cases import noise
from vedette.runtime.frame import Colour, Frame, PixelFormat
from vedette.runtime.manifest import Input, Resize
from vedette.runtime.preprocess import fill, fill_frame, layout_of, place
from vedette.runtime.sources import END, open_source

SPEC = Input("x", (1, 3, 48, 64), pixel_format="rgb", resize=Resize("letterbox"), scale=1 / 255)


def frames_of(path: Path) -> list[Frame]:
    source, frames = open_source(str(path)), []
    while (frame := source.read()) is not END:
        assert isinstance(frame, Frame)
        frames.append(frame)
    source.close()
    return frames


@pytest.mark.parametrize("pixel_format", ["yuv420p", "nv12"])
@pytest.mark.parametrize("size", [(97, 65), (64, 48), (1, 1)])
def test_the_network_sees_what_the_user_sees(pixel_format: PixelFormat, size: tuple[int, int]) -> None:
    frame = Frame(noise(size, pixel_format, row_padding=13), pixel_format, colour="bt709", full_range=True)
    assert frame.size == size
    placement = place(size, (64, 48), SPEC.resize)
    from_planes, from_bgr = np.empty((2, 3, 48, 64), np.float32)
    fill_frame(from_planes, frame, layout_of(SPEC, placement))
    fill(from_bgr, frame.bgr(), SPEC, placement)
    np.testing.assert_array_equal(from_planes, from_bgr)


def test_untagged_yuv_is_what_opencv_takes_it_for() -> None:
    planes = [
        np.full((32, 48), 90, np.uint8),
        np.full((16, 24), 120, np.uint8),
        np.full((16, 24), 140, np.uint8),
    ]
    packed = np.concatenate([plane.ravel() for plane in planes]).reshape(48, 48)
    expected = cv2.cvtColor(packed, cv2.COLOR_YUV2BGR_I420).astype(int)
    assert np.abs(Frame(tuple(planes), "yuv420p").bgr() - expected).max() <= 1


def test_a_video_gives_the_decoders_planes(clip: Path) -> None:
    frames = frames_of(clip)
    assert {(frame.format, frame.size, frame.colour, frame.full_range) for frame in frames} == {
        ("yuv420p", SIZE, "bt601", False)
    }
    assert [plane.shape for plane in frames[0].planes] == [(64, 96), (32, 48), (32, 48)]
    assert all(not plane.flags.owndata for plane in frames[0].planes)


def test_planes_outlive_the_decoder(clip: Path) -> None:
    frame = frames_of(clip)[7]
    copies = [plane.copy() for plane in frame.planes]
    frames_of(clip)
    gc.collect()
    for plane, copy in zip(frame.planes, copies, strict=True):
        np.testing.assert_array_equal(plane, copy)


@pytest.mark.parametrize(
    ("space", "span", "colour", "full_range"),
    [(1, 1, "bt709", False), (1, 2, "bt709", True), (5, 2, "bt601", True), (6, 0, "bt601", False)],
)
def test_colours_are_read_by_the_tags_of_the_stream(
    tmp_path: Path, space: int, span: int, colour: Colour, full_range: bool
) -> None:
    path = tmp_path / "tagged.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"crf": "5"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = space, span
        picture = av.VideoFrame.from_ndarray(numbered_picture(5), format="bgr24").reformat(
            format="yuv420p", dst_colorspace=space, dst_color_range=max(span, 1)
        )
        for packet in [*stream.encode(picture), *stream.encode()]:
            container.mux(packet)
    (frame,) = frames_of(path)
    assert (frame.colour, frame.full_range) == (colour, full_range)
    error = np.abs(frame.bgr().astype(int) - numbered_picture(5))[20:]  # below the hard edges of the number
    assert np.median(error) <= 2
    assert error.mean() < 3


@pytest.mark.parametrize(
    ("codec", "pix_fmt"), [("libx264", "yuv444p"), ("mjpeg", "yuvj420p"), ("ffv1", "yuv422p")]
)
def test_other_pixel_formats_are_converted(tmp_path: Path, codec: str, pix_fmt: str) -> None:
    path = tmp_path / "other.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, pix_fmt
        picture = av.VideoFrame.from_ndarray(numbered_picture(5), format="bgr24")
        for packet in [*stream.encode(picture), *stream.encode()]:
            container.mux(packet)
    (frame,) = frames_of(path)
    assert frame.format == ("yuv420p" if pix_fmt == "yuvj420p" else "bgr24")
    assert frame.full_range == (pix_fmt == "yuvj420p")
    grey = numbered_picture(5).mean(axis=2), frame.bgr().mean(axis=2)
    assert np.abs(grey[0] - grey[1])[20:].mean() < 3


def test_an_odd_size_keeps_its_last_row_and_column(tmp_path: Path) -> None:
    path = write_video(tmp_path / "odd.mkv", 1, size=(97, 65), codec="ffv1")
    (frame,) = frames_of(path)
    assert frame.size == (97, 65)
    assert [plane.shape for plane in frame.planes] == [(65, 97), (33, 49), (33, 49)]
    assert frame.bgr().shape == (65, 97, 3)
