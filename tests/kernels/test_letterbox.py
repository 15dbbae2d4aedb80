from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from levels import LEVELS, need_level, run_at_level
from neon import Call, on_arm, sanitized

from vedette.kernels._letterbox_cases import CASES, Case, noise
from vedette.kernels.letterbox import (
    _Plan,
    _planned,
    _rows,
    bgr,
    bgr_reference,
    letterbox,
    letterbox_reference,
)
from vedette.kernels.picture import (
    Array,
    Layout,
    Matrix,
    Picture,
    PixelFormat,
    Size,
    resize_tables,
    yuv_coefficients,
)

FORMATS: Sequence[PixelFormat] = ("bgr24", "rgb24", "yuv420p", "nv12")
SIDES = st.one_of(st.integers(1, 9), st.integers(1, 140))


def filled(case: Case, *, exact_cv2: bool, dtype: Any = np.float32, by: Any = letterbox) -> Array:
    planes, picture, (width, height), layout = case
    chw = np.full((3, height, width), np.nan, dtype)
    by(chw, planes, layout, picture, exact_cv2=exact_cv2)
    return chw


def assert_same_values(case: Case) -> None:
    for exact_cv2 in (False, True):
        for dtype in (np.float32, np.float16):
            expected = filled(case, exact_cv2=exact_cv2, dtype=dtype, by=letterbox_reference)
            np.testing.assert_array_equal(filled(case, exact_cv2=exact_cv2, dtype=dtype), expected)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any size to any size; every third one at a ratio with a path of its own."""
    scaled = draw(SIDES), draw(SIDES)
    ratio = draw(st.sampled_from([None, None, None, None, 1, 2, 3, 5]))
    size = (draw(SIDES), draw(SIDES)) if ratio is None else (scaled[0] * ratio, scaled[1] * ratio)
    offset = draw(st.integers(0, 20)), draw(st.integers(0, 5))
    out = scaled[0] + offset[0] + draw(st.integers(0, 20)), scaled[1] + offset[1] + draw(st.integers(0, 5))
    number = st.floats(-300, 300, width=32)
    three = st.tuples(number, number, number)
    layout = Layout(
        scaled, offset, draw(three), draw(three), draw(number), draw(st.sampled_from(["bgr", "rgb"]))
    )
    picture = Picture(
        draw(st.sampled_from(FORMATS)), draw(st.sampled_from(["bt601", "bt709"])), draw(st.booleans())
    )
    planes = noise(size, picture.format, row_padding=draw(st.sampled_from([0, 0, 1, 64])))
    return planes, picture, out, layout


@pytest.mark.parametrize("name", CASES)
def test_the_kernel_is_the_reference_in_every_case(name: str) -> None:
    assert_same_values(CASES[name]())


@settings(derandomize=True, deadline=None, max_examples=250)
@given(cases())
def test_the_kernel_is_the_reference(case: Case) -> None:
    assert_same_values(case)
    planes, picture, _, _ = case
    np.testing.assert_array_equal(bgr(planes, picture), bgr_reference(planes, picture))


@pytest.mark.parametrize("name", CASES)
def test_what_surrounds_a_picture_is_left_alone_if_it_is_there_already(name: str) -> None:
    planes, picture, (width, height), layout = CASES[name]()
    whole = filled(CASES[name](), exact_cv2=True)
    (left, top), (across, down) = layout.offset, layout.scaled
    inside = np.s_[:, top : top + down, left : left + across]
    expected = np.full_like(whole, -5)
    expected[inside] = whole[inside]
    for by in (letterbox, letterbox_reference):
        chw = np.full((3, height, width), -5, np.float32)
        by(chw, planes, layout, picture, exact_cv2=True, padded=True)
        np.testing.assert_array_equal(chw, expected)


@pytest.mark.parametrize("wanted", LEVELS)
def test_the_kernel_is_the_reference_at_every_level(wanted: int) -> None:
    run_at_level(wanted, __file__, "the_reference and not every_level")


def test_float16_is_rounded_to_even_over_its_whole_range() -> None:
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    numbers = every[np.isfinite(every)].astype(np.float64)
    halfway = (numbers[:-1] + numbers[1:]) / 2
    planes = (np.zeros((1, 1, 3), np.uint8),)
    above = np.nextafter(halfway.astype(np.float32), np.float32(1e9))
    extremes = [65519.9, 65520, 1e9, -65520, 2.0**-25, 2.0**-26, 1e-30]
    values = np.concatenate([numbers, halfway, above, extremes]).astype(np.float32)
    for chosen in np.random.default_rng(0).permutation(values)[:30000].reshape(-1, 3):
        layout = Layout((1, 1), bias=tuple(chosen.tolist()))
        found = filled((planes, Picture(), (1, 1), layout), exact_cv2=False, dtype=np.float16)
        with np.errstate(over="ignore"):
            assert found.ravel().tolist() == chosen.astype(np.float16).tolist()


@settings(derandomize=True, deadline=None, max_examples=250)
@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), st.sampled_from([0, 1, 2, 3]), st.booleans())
def test_the_exact_mode_is_cv2(size: Size, scaled: Size, ratio: int, hard: bool) -> None:
    if ratio:
        size = scaled[0] * ratio, scaled[1] * ratio
    (image,) = noise(size, "bgr24")
    if hard:  # black and white only: the largest steps
        image = np.where(image > 127, np.uint8(255), np.uint8(0))
    found = filled(((image,), Picture(), scaled, Layout(scaled)), exact_cv2=True)
    expected = cv2.resize(image, scaled, interpolation=cv2.INTER_LINEAR).reshape(scaled[1], scaled[0], 3)
    np.testing.assert_array_equal(found, expected.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("size", "scaled", "border"),
    [
        ((1920, 1080), (640, 360), (140, 140, 0, 0)),
        ((1277, 723), (640, 362), (139, 139, 0, 0)),
        ((768, 576), (416, 312), (52, 52, 0, 0)),
        ((333, 500), (213, 320), (0, 0, 53, 54)),
        ((3840, 2160), (640, 360), (0, 280, 0, 0)),
        ((100, 70), (640, 448), (192, 0, 0, 0)),
    ],
)
def test_it_is_the_composition_of_opencv_functions(
    size: Size, scaled: Size, border: tuple[int, int, int, int]
) -> None:
    (image,) = noise(size, "bgr24")
    top, bottom, left, right = border
    resized = cv2.resize(image, scaled, interpolation=cv2.INTER_LINEAR)
    boxed = cv2.copyMakeBorder(resized, *border, cv2.BORDER_CONSTANT, value=(114, 114, 114))
    expected = cv2.dnn.blobFromImage(boxed, 1 / 255, swapRB=True)[0]
    out = scaled[0] + left + right, scaled[1] + top + bottom
    layout = Layout(scaled, (left, top), (1 / 255,) * 3, (0.0,) * 3, 114, "rgb")
    exact, bilinear = (
        filled(((image,), Picture(), out, layout), exact_cv2=exact_cv2) for exact_cv2 in (True, False)
    )
    np.testing.assert_allclose(exact, expected, rtol=0, atol=1e-7)  # cv2 multiplies by 1/255 as float64
    np.testing.assert_allclose(bilinear, expected, rtol=0, atol=1.01 / 255)


@pytest.mark.parametrize(("size", "scaled"), [((1277, 723), (640, 362)), ((64, 48), (201, 150))])
def test_the_default_is_the_bilinear_value_itself(size: Size, scaled: Size) -> None:
    (image,) = noise(size, "bgr24")
    expected = cv2.resize(image.astype(np.float64), scaled, interpolation=cv2.INTER_LINEAR)
    found = filled(((image,), Picture(), scaled, Layout(scaled)), exact_cv2=False)
    # positions are float32: 0.02 of 255
    np.testing.assert_allclose(found, expected.transpose(2, 0, 1), rtol=0, atol=0.02)


def converted_carefully(planes: tuple[Array, ...], picture: Picture) -> Array:
    """swscale's BGR without interpolated chroma, rounded to the nearest."""
    from av import VideoFrame
    from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

    if not hasattr(Interpolation, "ACCURATE_RND"):
        pytest.skip("PyAV before 18 cannot tell swscale how to round")
    height, width = planes[0].shape
    frame = VideoFrame(width, height, picture.format)
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)  # type: ignore[call-overload]
        rows[: len(values), : values[0].size] = values.reshape(len(values), -1)
    space = {"bt601": Colorspace.ITU601, "bt709": Colorspace.ITU709}[picture.matrix]
    span = ColorRange.JPEG if picture.full_range else ColorRange.MPEG
    way = Interpolation.POINT | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    made = VideoReformatter().reformat(
        frame, format="bgr24", src_colorspace=space, dst_colorspace=space, src_color_range=span,
        dst_color_range=ColorRange.JPEG, interpolation=way,
    )  # fmt: skip
    return made.to_ndarray()


@pytest.mark.parametrize("pixel_format", ["yuv420p", "nv12"])
@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
@pytest.mark.parametrize("full_range", [False, True])
def test_ffmpeg_converts_the_same_colours(
    pixel_format: Literal["yuv420p", "nv12"], matrix: Matrix, full_range: bool
) -> None:
    picture = Picture(pixel_format, matrix, full_range)
    planes = noise((256, 96), pixel_format)
    found = bgr(planes, picture).astype(int)
    unrounded = filled((planes, picture, (256, 96), Layout((256, 96))), exact_cv2=False).transpose(1, 2, 0)
    careful = converted_carefully(planes, picture)
    colours = ((found > 0) & (found < 255)).all(axis=2)  # for YUV that is no colour, swscale overflows
    assert colours.mean() > 0.1
    assert np.abs(found - careful)[colours].max() <= 1
    assert np.abs(unrounded - careful)[colours].max() <= 1.5


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
@pytest.mark.parametrize("full_range", [False, True])
def test_no_colour_is_over_two_levels_from_pyav(matrix: Matrix, full_range: bool) -> None:
    from av import VideoFrame

    luma = np.tile(np.repeat(np.arange(256, dtype=np.uint8), 2), (512, 1))
    v = np.tile(np.arange(256, dtype=np.uint8)[:, None], (1, 256))
    for u in range(0, 256, 17):
        planes = luma, np.full_like(v, u), v
        frame = VideoFrame.from_ndarray(
            np.concatenate([p.reshape(-1, 512) for p in planes]), format="yuv420p"
        )
        frame.colorspace, frame.color_range = {"bt601": 5, "bt709": 1}[matrix], 1 + full_range
        found = bgr(planes, Picture("yuv420p", matrix, full_range)).astype(int)
        assert np.abs(found - frame.to_ndarray(format="bgr24")).max() <= 2


def test_grey_is_grey_and_white_is_white() -> None:
    for full_range, luma, level in [(False, 16, 0), (False, 235, 255), (False, 126, 128), (True, 77, 77)]:
        planes = np.full((2, 2), luma, np.uint8), *(np.full((1, 1), 128, np.uint8) for _ in range(2))
        assert (bgr(planes, Picture("yuv420p", "bt709", full_range)) == level).all()


def test_coefficients_are_those_of_the_standards() -> None:
    np.testing.assert_allclose(
        yuv_coefficients("bt601", full_range=True), [0, 1, 1.402, -0.344136, -0.714136, 1.772], atol=1e-6
    )
    np.testing.assert_allclose(
        yuv_coefficients("bt709", full_range=False),
        [16.420824, 1.164384, 1.792741, -0.213249, -0.532909, 2.112402], atol=1e-6,
    )  # fmt: skip


def test_positions_map_centre_to_centre_and_end_at_the_border() -> None:
    first, second, weight = resize_tables(4, 8)
    assert first.tolist() == [0, 0, 0, 1, 1, 2, 2, 3]
    assert second.tolist() == [1, 1, 1, 2, 2, 3, 3, 3]
    assert weight.tolist() == [0, 0.25, 0.75, 0.25, 0.75, 0.25, 0.75, 0]
    assert resize_tables(9, 3)[0].tolist() == [1, 4, 7]


def test_rows_further_apart_are_read_where_they_are() -> None:
    wide = np.random.default_rng(0).integers(0, 256, (20, 40, 3), np.uint8)
    layout = Layout((16, 12))
    views = [wide[3:18, 5:30], wide[3:18, 5:30][::-1], wide[3:18, 5:30][:, ::-1], wide[::2, ::2]]
    for view in views:
        expected = filled(((view.copy(),), Picture(), (16, 12), layout), exact_cv2=True)
        np.testing.assert_array_equal(
            filled(((view,), Picture(), (16, 12), layout), exact_cv2=True), expected
        )


IMAGE = np.zeros((4, 4, 3), np.uint8)
OUT = np.zeros((3, 4, 4), np.float32)


@pytest.mark.parametrize(
    ("out", "planes", "layout", "picture"),
    [
        (OUT, (), Layout((4, 4)), Picture()),
        (OUT, (IMAGE[:0],), Layout((4, 4)), Picture()),
        (OUT, (IMAGE[:, :0],), Layout((4, 4)), Picture()),
        (OUT, (IMAGE[..., :2],), Layout((4, 4)), Picture()),
        (OUT, (IMAGE.astype(np.float32),), Layout((4, 4)), Picture()),
        (OUT, (IMAGE[..., 0],), Layout((4, 4)), Picture()),
        (OUT, (np.zeros((1, 2**20 + 1, 3), np.uint8),), Layout((4, 4)), Picture()),
        (OUT, noise((4, 4), "nv12"), Layout((4, 4)), Picture("yuv420p")),
        (
            OUT,
            noise((5, 4), "yuv420p")[:1] + noise((4, 4), "yuv420p")[1:],
            Layout((4, 4)),
            Picture("yuv420p"),
        ),
        (OUT, (IMAGE,), Layout((5, 4)), Picture()),
        (OUT, (IMAGE,), Layout((0, 4)), Picture()),
        (OUT, (IMAGE,), Layout((4, 3), (0, 2)), Picture()),
        (OUT, (IMAGE,), Layout((4, 3), (0, -1)), Picture()),
        (OUT.astype(np.float64), (IMAGE,), Layout((4, 4)), Picture()),
        (OUT[:2], (IMAGE,), Layout((4, 4)), Picture()),
        (OUT[0], (IMAGE,), Layout((4, 4)), Picture()),
        (np.zeros((3, 4, 8), np.float32)[..., ::2], (IMAGE,), Layout((4, 4)), Picture()),
        (np.broadcast_to(np.float32(0), (3, 4, 4)), (IMAGE,), Layout((4, 4)), Picture()),
    ],
)
def test_what_does_not_fit_is_refused(
    out: Array, planes: tuple[Array, ...], layout: Layout, picture: Picture
) -> None:
    for by in (letterbox, letterbox_reference):
        with pytest.raises(ValueError, match=r"want |does not lie"):
            by(out, planes, layout, picture)


@pytest.mark.parametrize("wrong", [np.inf, np.nan, 1e31])
def test_a_layout_that_would_make_nan_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Layout((4, 4), gain=(1.0, wrong, 1.0))
    with pytest.raises(ValueError, match="finite"):
        Layout((4, 4), pad=wrong)


def call_of(case: Case, *, exact_cv2: bool, dtype: Any) -> Call:
    """letterbox() of a case as a call, whose last argument is the input of the network; uint8: bgr() of its picture."""
    planes, picture, out, layout = case
    size = planes[0].shape[1], planes[0].shape[0]
    name, result = "vedette_letterbox", np.zeros((3, *out[::-1]), dtype)
    if dtype is np.uint8:
        name, result, layout, out = "vedette_bgr", np.zeros((*size[::-1], 3), dtype), Layout(size), size
    planned = _planned(layout, picture, size, out, half_precision=dtype is np.float16, exact_cv2=exact_cv2)
    arguments: list[int | Array] = [np.frombuffer(bytes(planned.plan), np.uint8)]
    for plane in planes:
        rows, stride = _rows(plane)
        used = (len(rows) - 1) * stride + rows[-1].size
        arguments += [np.lib.stride_tricks.as_strided(rows, (used,), (1,)), stride]
    arguments += [0] * (7 - len(arguments)) + [result]
    fields = (_Plan.columns, _Plan.rows, _Plan.across, _Plan.down)
    pointers = [(0, field.offset, len(planes) + 2 + index) for index, field in enumerate(fields)]
    return Call(name, arguments, planned.tables, pointers)


def drawn(count: int) -> list[Case]:
    """Every case and some more of random sizes."""
    made: list[Case] = [make() for make in CASES.values()]
    random = np.random.default_rng(1)
    while len(made) < count:
        width, height, scaled_width, scaled_height = random.integers(1, 90, 4).tolist()
        picture = Picture(FORMATS[len(made) % 4], "bt709", full_range=bool(len(made) & 4))
        out, layout = (scaled_width + 3, scaled_height + 1), Layout((scaled_width, scaled_height), (2, 0))
        planes = noise((width, height), picture.format, row_padding=len(made) % 3)
        made.append((planes, picture, out, layout))
    return made


def assert_answers(run: Callable[[list[Call]], Any]) -> None:
    ways: list[tuple[Case, bool, Any]] = []
    for case in drawn(90):
        ways += [(case, exact, dtype) for exact in (False, True) for dtype in (np.float32, np.float16)]
        ways += [(case, True, np.uint8)] if case[1].format in {"yuv420p", "nv12"} else []
    calls = [call_of(case, exact_cv2=exact, dtype=dtype) for case, exact, dtype in ways]
    for (case, exact, dtype), (_, arrays) in zip(ways, run(calls), strict=True):
        if dtype is np.uint8:
            expected = bgr_reference(case[0], case[1])
        else:
            expected = filled(case, exact_cv2=exact, dtype=dtype, by=letterbox_reference)
        np.testing.assert_array_equal(arrays[len(case[0]) + 1], expected)


def test_neon_is_the_reference() -> None:
    assert_answers(on_arm)


@pytest.mark.slow
@pytest.mark.parametrize("wanted", LEVELS)
def test_no_byte_outside_the_planes_is_read_or_written(wanted: int) -> None:
    need_level(wanted)
    assert_answers(partial(sanitized, level=wanted))
