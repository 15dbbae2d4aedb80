"""The test pattern: what its URI says, the same every time."""

import time

import numpy as np
import pytest

from vedette.runtime.errors import UsageError
from vedette.runtime.frame import Frame
from vedette.runtime.sources import END, TIMEOUT, SourceOptions, open_source
from vedette.runtime.sources.synthetic import Pattern, parse


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("synthetic:", Pattern(640, 480, 25.0, 100, live=False)),
        ("synthetic:32x16", Pattern(32, 16, 25.0, 100, live=False)),
        ("synthetic:@12.5", Pattern(640, 480, 12.5, 100, live=False)),
        ("synthetic:?live=1", Pattern(640, 480, 25.0, None, live=True)),
        ("synthetic:320x240@30?frames=7&live=1", Pattern(320, 240, 30.0, 7, live=True)),
    ],
)
def test_every_part_is_optional(uri: str, expected: Pattern) -> None:
    assert parse(uri) == expected


@pytest.mark.parametrize(
    "rest",
    ["8x8", "99999x16", "640", "640x480@", "@0", "@5000", "@nan", "?frames=0", "?frames=1.5", "?frames=-1",
     "?live=yes", "?seed=1", "?frames", "?frames=", "?frames=1&frames=2", "640x480@25,frames=3", "٣x٣"],
)  # fmt: skip
def test_what_is_unknown_or_out_of_range_is_refused_at_once(rest: str) -> None:
    with pytest.raises(UsageError):
        open_source(f"synthetic:{rest}")


def test_frames_are_counted_timed_and_the_same_every_time() -> None:
    first, second = (open_source("synthetic:64x48@10?frames=5", SourceOptions(stride=2)) for _ in range(2))
    assert first.frame_count == 3
    for index in (0, 2, 4):
        frame, again = first.read(), second.read()
        assert isinstance(frame, Frame)
        assert isinstance(again, Frame)
        assert (frame.index, frame.time_s, frame.rate, frame.size) == (index, index / 10, 10.0, (64, 48))
        np.testing.assert_array_equal(frame.bgr(), again.bgr())
    assert first.read() is END


@pytest.mark.parametrize("size", ["16x16", "17x31", "31x17", "1920x1080"])
def test_every_size_is_drawn_and_moves(size: str) -> None:
    source = open_source(f"synthetic:{size}")
    frame, other = source.read(), source.read()
    assert isinstance(frame, Frame)
    assert isinstance(other, Frame)
    assert "x".join(map(str, frame.size)) == size
    assert np.any(frame.bgr() != other.bgr())


def test_live_frames_keep_their_rate_and_none_is_lost() -> None:
    source = open_source("synthetic:64x48@50?live=1&frames=6")
    assert source.live
    started = time.monotonic()
    assert [getattr(source.read(), "index", None) for _ in range(3)] == [0, 1, 2]
    time.sleep(0.1)  # a slow reader
    assert [getattr(source.read(), "index", None) for _ in range(3)] == [3, 4, 5]
    assert 0.1 <= time.monotonic() - started < 1.0
    assert source.read() is END


def test_a_live_frame_that_is_not_due_is_a_time_out() -> None:
    source = open_source("synthetic:64x48@2?live=1")
    assert isinstance(source.read(), Frame)
    assert source.read(timeout_s=0.01) is TIMEOUT
    assert isinstance(source.read(timeout_s=2.0), Frame)
