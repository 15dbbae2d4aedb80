"""Clocks at a pipeline's seams change nothing of what goes through, and note what they should."""

import time
from collections.abc import Sequence

import numpy as np
import pytest

from vedette.runtime.frame import Frame
from vedette.runtime.measuring.probes import (
    REEL,
    DrawSink,
    LineSink,
    Reel,
    TimedRunner,
    TimedSink,
    TimedSource,
)
from vedette.runtime.pipeline import Pipeline
from vedette.runtime.results import Result, no_boxes
from vedette.runtime.runner import Done, NullRunner, Pending
from vedette.runtime.sinks.null import NullSink
from vedette.runtime.sources import END, Read, SourceOptions, open_source
from vedette.runtime.sources.synthetic import draw, parse

Notes = list[tuple[str, float]]


@pytest.fixture
def notes() -> Notes:
    return []


def timed(uri: str, notes: Notes) -> TimedSource:
    return TimedSource(lambda: open_source(uri, SourceOptions()), lambda *note: notes.append(note))


def read(source: TimedSource | Reel, count: int) -> list[Frame]:
    frames = [source.read() for _ in range(count)]
    assert all(isinstance(frame, Frame) for frame in frames)
    return frames  # type: ignore[return-value]


def test_a_source_that_ends_begins_again_with_indices_and_times_that_go_on(notes: Notes) -> None:
    frames = read(timed("synthetic:32x24@10?frames=3", notes), 7)
    assert [frame.index for frame in frames] == list(range(7))
    assert [frame.time_s for frame in frames] == pytest.approx([index / 10 for index in range(7)])
    assert (frames[4].planes[0] == frames[1].planes[0]).all()
    assert [name for name, _ in notes] == ["decode"] * 7


def test_a_camera_is_left_to_end(notes: Notes) -> None:
    source = timed("synthetic:32x24@500?frames=2&live=1", notes)
    read(source, 2)
    assert source.read() is END
    assert source.live


class NullSource:
    """Ends before its first frame."""

    uri, live = "nothing", False
    frame_count: int | None = 0

    def read(self, timeout_s: float = 1.0) -> Read:
        return END

    def close(self) -> None:
        """Nothing is open."""


def test_an_empty_source_ends_at_once(notes: Notes) -> None:
    assert TimedSource(NullSource, lambda *note: notes.append(note)).read() is END
    assert not notes


def test_decoding_is_the_cpu_time_of_its_thread_not_its_waiting(notes: Notes) -> None:
    class Slow(NullSource):
        def read(self, timeout_s: float = 1.0) -> Frame:
            time.sleep(0.05)
            end = time.thread_time() + 0.01
            while time.thread_time() < end:
                pass
            return Frame((np.zeros((2, 2, 3), np.uint8),))

    TimedSource(Slow, lambda *note: notes.append(note)).read()
    [(stage, ms)] = notes
    assert stage == "decode"
    assert 10 <= ms < 50


def test_a_reel_shows_the_first_pictures_over_and_over() -> None:
    uri = "synthetic:32x24@25"
    frames = read(Reel(open_source(uri)), 2 * REEL + 3)
    for index, frame in enumerate(frames):
        assert (frame.planes[0] == draw(parse(uri), index % REEL)).all()
        assert frame.index == index
        assert frame.time_s == pytest.approx(index / 25)
    assert frames[0].received_ns < frames[REEL].received_ns
    assert frames[0].prepared is not frames[REEL].prepared


def test_a_reel_of_a_short_source_shows_what_there_is() -> None:
    frames = read(Reel(open_source("synthetic:32x24@25?frames=3")), 7)
    assert [frame.index for frame in frames] == list(range(7))
    assert (frames[3].planes[0] == frames[0].planes[0]).all()


class Batches:
    """Notes the sizes of its batches."""

    name, max_batch = "batches", 64

    def __init__(self, in_flight: int = 1) -> None:
        self.sizes: list[int] = []
        self.in_flight = in_flight

    def submit(self, frames: Sequence[Frame]) -> Pending:
        self.sizes.append(len(frames))
        return Done(
            lambda: [Result(frame, self.name, "detection", {}, boxes=no_boxes(frame)) for frame in frames]
        )

    def close(self) -> None:
        """There is nothing to free."""


@pytest.mark.parametrize(("batch", "expected"), [(1, {1}), (2, {1, 2}), (4, {1, 2, 3, 4})])
def test_batches_are_filled_from_streams_up_to_what_was_asked(batch: int, expected: set[int]) -> None:
    inner = Batches()
    runner = TimedRunner(inner, batch)
    sources = {
        f"cam{index}": open_source("synthetic:32x24@25?frames=10", SourceOptions(stream=f"cam{index}"))
        for index in range(4)
    }
    began = []
    for frame, _ in Pipeline(sources, [runner]).run():
        began.append(runner.began_ns.popleft())
        assert began[-1] >= frame.received_ns
    assert len(began) == 40
    assert began == sorted(began)
    assert not runner.began_ns
    assert set(inner.sizes) <= expected
    assert max(inner.sizes) == batch
    assert sum(inner.sizes) == 40


def test_work_begins_when_results_are_asked_for_unless_the_runner_works_ahead() -> None:
    frame = Frame((np.zeros((2, 2, 3), np.uint8),))
    lazy, eager = TimedRunner(NullRunner(), 2), TimedRunner(Batches(in_flight=2), 2)
    pending = lazy.submit([frame])
    assert not lazy.began_ns
    assert [result.model for result in pending.results()] == ["null"]
    assert len(lazy.began_ns) == 1
    eager.submit([frame, frame])
    assert len(eager.began_ns) == 2


def test_a_timed_sink_hands_everything_on(notes: Notes) -> None:
    inner = NullSink()
    sink = TimedSink("draw", inner, lambda *note: notes.append(note))
    frame = Frame((np.zeros((24, 32, 3), np.uint8),))
    results = [Result(frame, "m", "detection", {}, boxes=no_boxes(frame))]
    sink.write(frame, results)
    sink.close()
    assert (inner.frames, inner.results, inner.closed) == (1, 1, True)
    assert [name for name, _ in notes] == ["draw"]


def test_drawing_and_writing_to_nowhere_leave_the_frame_as_it_was() -> None:
    frame = Frame((np.full((24, 32, 3), 9, np.uint8),))
    results = [Result(frame, "m", "detection", {}, boxes=no_boxes(frame))]
    for sink in (DrawSink(), LineSink()):
        sink.write(frame, results)
        sink.close()
    assert (frame.planes[0] == 9).all()
