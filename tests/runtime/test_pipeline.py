"""The main loop, with fakes at every seam."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from vedette.runtime.errors import DiskError, SourceError, UsageError
from vedette.runtime.frame import Frame
from vedette.runtime.pipeline import Pipeline
from vedette.runtime.results import Result
from vedette.runtime.runner import NullRunner, Pending
from vedette.runtime.sources import END, TIMEOUT, Read
from vedette.runtime.status import Event, State


class ListSource:
    """Plays back what read() shall return or raise."""

    frame_count, lasting = None, False

    def __init__(self, script: Sequence[Any], *, uri: str = "list", live: bool = False) -> None:
        self._script, self.uri, self.live, self.closed = list(script), uri, live, False

    def again(self) -> "ListSource":
        raise AssertionError("what does not last is not opened again")

    def read(self, timeout_s: float = 1.0) -> Read:
        step = self._script.pop(0) if self._script else END
        if isinstance(step, Exception):
            raise step
        return step

    def close(self) -> None:
        self.closed = True


class ListSink:
    """Remembers what it was given."""

    def __init__(self, *, fails: bool = False) -> None:
        self.indices: list[int] = []
        self.closed = False
        self._fails = fails

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        if self._fails:
            raise DiskError("the disk is full")
        self.indices.append(frame.index)

    def close(self) -> None:
        self.closed = True


class SlowRunner(NullRunner):
    def submit(self, frames: Sequence[Frame]) -> Pending:
        time.sleep(0.02)
        return super().submit(frames)


def frames(count: int, stream: str = "cam0") -> list[Frame]:
    picture = (np.zeros((4, 6, 3), np.uint8),)
    return [Frame(picture, stream=stream, index=index, time_s=index / 10) for index in range(count)]


def test_every_frame_of_a_file_reaches_every_sink_in_order() -> None:
    source, sinks = ListSource(frames(30)), [ListSink(), ListSink()]
    steps = list(Pipeline({"cam0": source}, [NullRunner(), NullRunner()], sinks).run())
    assert [len(results) for _, results in steps] == [2] * 30
    assert all(sink.indices == list(range(30)) and sink.closed for sink in sinks)
    assert source.closed


def test_latest_drops_frames_and_says_how_many() -> None:
    source = ListSource(frames(40))
    steps = list(Pipeline({"cam0": source}, [SlowRunner()], policy="latest").run())
    dropped = sum(results[0].dropped for _, results in steps)
    assert dropped > 0
    assert len(steps) + dropped == 40


def test_max_frames_ends_each_stream() -> None:
    sources = {name: ListSource(frames(20, name)) for name in ("cam0", "cam1")}
    steps = list(Pipeline(sources, [NullRunner()], max_frames=7).run())
    assert sorted(frame.stream for frame, _ in steps) == ["cam0"] * 7 + ["cam1"] * 7


def test_one_source_that_fails_does_not_stop_the_other() -> None:
    broken = ListSource([TIMEOUT, SourceError("the camera is gone")])
    pipeline = Pipeline({"cam0": broken, "cam1": ListSource(frames(5, "cam1"))}, [NullRunner()])
    assert len(list(pipeline.run())) == 5
    assert list(pipeline.failures) == ["cam0"]
    assert broken.closed


def test_an_unexpected_exception_in_a_reader_is_that_source_s_failure() -> None:
    pipeline = Pipeline({"cam0": ListSource([*frames(2), ZeroDivisionError("bug")])}, [NullRunner()])
    assert len(list(pipeline.run())) == 2
    assert "ZeroDivisionError" in pipeline.failures["cam0"].why


def test_a_source_that_ends_before_its_first_frame_has_failed() -> None:
    with pytest.raises(SourceError, match="holds no frame"):
        list(Pipeline({"cam0": ListSource([])}, [NullRunner()]).run())


def test_no_frame_from_any_source_raises_what_went_wrong() -> None:
    with pytest.raises(SourceError, match="refused"):
        list(Pipeline({"cam0": ListSource([SourceError("refused")])}, [NullRunner()]).run())


def test_a_source_that_only_times_out_fails_at_the_connect_time_out() -> None:
    class Mute(ListSource):
        def read(self, timeout_s: float = 1.0) -> Read:
            time.sleep(0.01)
            return TIMEOUT

    source = Mute([], live=True)
    with pytest.raises(SourceError, match="no frame from"):
        list(Pipeline({"cam0": source}, [NullRunner()], connect_timeout_s=0.05).run())


def test_stop_ends_the_run_and_closes_the_sinks() -> None:
    stop, sink = threading.Event(), ListSink()
    pipeline = Pipeline({"cam0": ListSource(frames(500))}, [NullRunner()], [sink], stop=stop)
    for index, _ in enumerate(pipeline.run()):
        if index == 3:
            stop.set()
    assert sink.closed
    assert 4 <= len(sink.indices) < 500


def test_a_sink_that_fails_ends_the_run_and_still_closes_the_others() -> None:
    other = ListSink()
    with pytest.raises(DiskError, match="disk is full"):
        list(Pipeline({"cam0": ListSource(frames(9))}, [NullRunner()], [ListSink(fails=True), other]).run())
    assert other.closed


def test_abandoning_the_results_stops_the_readers() -> None:
    source = ListSource(frames(1000))
    run = Pipeline({"cam0": source}, [NullRunner()]).run()
    next(run)
    run.close()
    assert source.closed


def test_max_frames_are_frames_that_ran() -> None:
    class Paced(ListSource):
        def read(self, timeout_s: float = 1.0) -> Read:
            time.sleep(0.003)
            return super().read(timeout_s)

    pipeline = Pipeline({"cam0": Paced(frames(2000))}, [SlowRunner()], policy="latest", max_frames=5)
    assert len(list(pipeline.run())) == 5
    assert pipeline.status()["cam0"].state is State.ENDED


def test_a_listener_that_fails_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Deaf(ListSink):
        def event(self, event: Event) -> None:
            raise ZeroDivisionError

    pipeline = Pipeline({"cam0": ListSource(frames(9))}, [NullRunner()], [Deaf()])
    assert len(list(pipeline.run())) == 9
    assert "ZeroDivisionError" in caplog.text


def test_a_source_that_cannot_even_be_closed_has_failed(caplog: pytest.LogCaptureFixture) -> None:
    class Stuck(ListSource):
        def close(self) -> None:
            raise ZeroDivisionError

    pipeline = Pipeline({"cam0": Stuck(frames(9))}, [NullRunner()])
    assert len(list(pipeline.run())) == 9
    assert "ZeroDivisionError" in pipeline.failures["cam0"].why
    assert "reader of cam0" in caplog.text


def test_a_pipeline_runs_once() -> None:
    pipeline = Pipeline({"cam0": ListSource(frames(2))}, [NullRunner()])
    assert len(list(pipeline.run())) == 2
    with pytest.raises(UsageError, match="has run"):
        list(pipeline.run())
