"""The states of a stream, with a scripted camera and shortened waits."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from vedette.runtime import stream as streams
from vedette.runtime.errors import SourceError
from vedette.runtime.frame import Frame
from vedette.runtime.sources import END, TIMEOUT, Read
from vedette.runtime.status import Event, State
from vedette.runtime.stream import Stream

PICTURE = (np.zeros((4, 6, 3), np.uint8),)
LOST = SourceError("the camera hung up", code="ended")


class Camera:
    """Plays one script a connection; an exception is raised, a number is waited for, a frame is stamped."""

    live, lasting, frame_count, uri = True, True, None, "rtsp://***@cam/1"

    def __init__(self, scripts: Sequence[Sequence[Any]], *, lasting: bool = True) -> None:
        self._scripts, self._script, self.lasting = list(scripts[1:]), list(scripts[0]), lasting
        self._index, self.closed = 0, False

    def read(self, timeout_s: float = 1.0) -> Read:
        step = self._script.pop(0) if self._script else END
        if isinstance(step, Exception):
            raise step
        if isinstance(step, float):
            time.sleep(step)
            return TIMEOUT
        if step == "frame":
            index, self._index = self._index, self._index + 1
            return Frame(PICTURE, index=index, time_s=index / 25, received_ns=time.monotonic_ns(), rate=25.0)
        return END

    def close(self) -> None:
        self.closed = True

    def again(self) -> "Camera":
        assert self.closed, "the old connection is given back first"
        return Camera(self._scripts, lasting=self.lasting)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PAUSES_S", (0.005, 0.01, 0.05))


def run(
    camera: Camera, *, stop: threading.Event | None = None, **options: Any
) -> tuple[Stream, list[Frame], list[Event]]:
    frames: list[Frame] = []
    events: list[Event] = []
    stream = Stream("yard", camera, tell=events.append, **options)

    def deliver(frame: Frame) -> bool:
        frames.append(frame)
        return True

    stream.run(deliver, stop or threading.Event())
    return stream, frames, events


def states(events: Sequence[Event]) -> list[str]:
    return [event.state.value for event in events]


def test_a_camera_that_breaks_off_is_opened_again_and_numbers_and_times_go_on() -> None:
    scripts: list[list[Any]] = [["frame"] * 3 + [LOST], [LOST], ["frame"] * 4 + [LOST], ["frame"]]
    stream, frames, events = run(Camera(scripts))
    assert [frame.index for frame in frames] == list(range(8))
    assert all(later.time_s > earlier.time_s for earlier, later in pairwise(frames))
    assert states(events) == [
        *("live", "backoff", "connecting", "backoff", "connecting"),
        *("live", "backoff", "connecting", "live", "ended"),
    ]
    assert {event.code for event in events if event.state is State.BACKOFF} == {"ended"}
    assert (stream.status().frames, stream.status().connections) == (8, 3)


def test_time_over_an_outage_is_the_clock_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PAUSES_S", (0.3, 0.3, 0.3))
    _, frames, _ = run(Camera([["frame", "frame", LOST], ["frame"]]))
    assert 0.2 < frames[2].time_s - frames[1].time_s < 1.0


def test_a_file_that_fails_is_not_opened_again() -> None:
    stream, frames, events = run(Camera([["frame", LOST]], lasting=False))
    assert (len(frames), states(events)) == (1, ["live", "failed"])
    assert stream.failure is LOST


@pytest.mark.parametrize(
    ("code", "tries"), [("refused", 1), ("login", 1), ("missing", 1), ("timeout", 3), ("silent", 3)]
)
def test_before_its_first_frame_only_silence_is_tried_again(code: str, tries: int) -> None:
    error = SourceError("no", code=code)
    stream, _, events = run(Camera([[error], [error], ["frame"]]), patience_s=60)
    assert 1 + states(events).count("connecting") == tries
    assert (stream.failure is None) == (tries > 1)


def test_one_from_a_config_is_tried_for_ever() -> None:
    error = SourceError("no", code="login")
    _, frames, _ = run(Camera([[error]] * 50 + [["frame"]]))
    assert len(frames) == 1


def test_patience_ends_a_reader_that_is_stuck_in_its_source() -> None:
    stream = Stream("yard", Camera([[0.4, "frame"]]), patience_s=0.05)
    thread = threading.Thread(target=stream.run, args=(lambda frame: True, threading.Event()))
    thread.start()
    time.sleep(0.1)
    assert not stream.check()
    assert stream.failure is not None
    assert (stream.status().state, stream.failure.code) == (State.FAILED, "silent")
    thread.join()
    assert stream.status().state is State.FAILED, "what comes too late changes nothing"


@pytest.fixture
def watched() -> Iterator[Callable[[Stream], None]]:
    """Runs a stream's reader, and its watchdog every few milliseconds."""
    stop = threading.Event()
    threads = []

    def begin(stream: Stream) -> None:
        def watch() -> None:
            while not stop.wait(0.005):
                stream.check()

        for target in (watch, lambda: stream.run(lambda frame: True, stop)):
            threads.append(threading.Thread(target=target))
            threads[-1].start()

    yield begin
    stop.set()
    for thread in threads:
        thread.join()


def until(truth: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not truth():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_silence_is_a_stall_that_a_picture_ends(
    monkeypatch: pytest.MonkeyPatch, watched: Callable[[Stream], None]
) -> None:
    monkeypatch.setattr(streams, "STALL_S", 0.05)
    events: list[Event] = []
    stream = Stream("yard", Camera([["frame", 0.15, "frame", 0.01]]), tell=events.append)
    watched(stream)
    until(lambda: stream.status().state is State.ENDED)
    assert states(events)[:3] == ["live", "stalled", "live"]
    assert stream.status().connections == 1


def test_packets_without_a_picture_stall_and_then_cost_the_connection(
    monkeypatch: pytest.MonkeyPatch, watched: Callable[[Stream], None]
) -> None:
    monkeypatch.setattr(streams, "FIRST_PICTURE_S", 0.05)
    monkeypatch.setattr(streams, "REOPEN_S", 0.15)
    events: list[Event] = []
    watched(Stream("yard", Camera([[0.02] * 50, ["frame", 0.01]]), tell=events.append))
    until(lambda: "live" in states(events))
    assert states(events)[:4] == ["stalled", "backoff", "connecting", "live"]


def test_a_consumer_that_waits_is_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STALL_S", 0.02)
    stream = Stream("yard", Camera([["frame", "frame"]]))
    states_seen = []

    def slow(frame: Frame) -> bool:
        time.sleep(0.06)
        stream.check()
        states_seen.append(stream.status().state)
        return True

    stream.run(slow, threading.Event())
    assert states_seen == [State.LIVE] * 2


def test_pauses_double_to_a_second_and_after_a_minute_to_five(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PAUSES_S", (0.5, 1.0, 5.0))
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    stream = Stream("yard", Camera([[]]))
    assert [stream._next_pause() for _ in range(3)] == [0.5, 1.0, 1.0]
    stream._seen -= 61
    assert [stream._next_pause() for _ in range(4)] == [2.0, 4.0, 5.0, 5.0]


def test_stop_ends_a_pause_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PAUSES_S", (30.0, 30.0, 30.0))
    stop = threading.Event()
    threading.Timer(0.05, stop.set).start()
    began = time.monotonic()
    run(Camera([[LOST]]), stop=stop)
    assert time.monotonic() - began < 3
