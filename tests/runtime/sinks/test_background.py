"""A writer thread: in order, bounded, its errors where they are noticed, and never in the way."""

import subprocess
import sys
import threading
import time
from collections.abc import Sequence

import pytest
from clips import numbered_picture

from vedette.runtime.errors import DiskError
from vedette.runtime.frame import Frame
from vedette.runtime.packets import Tap
from vedette.runtime.results import Result
from vedette.runtime.sinks._background import Background
from vedette.runtime.status import Event, SinkStatus, State


def frame(index: int) -> Frame:
    return Frame((numbered_picture(0),), index=index)


class GatedSink:
    """Writes when it is let; fails at one frame if told to."""

    def __init__(self, *, fails_at: int = -1) -> None:
        self.gate = threading.Event()
        self.written: list[int] = []
        self.dropped: list[int] = []
        self.threads: set[str] = set()
        self.closed = 0
        self._fails_at = fails_at

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        assert self.gate.wait(10)
        self.threads.add(threading.current_thread().name)
        if frame.index == self._fails_at:
            raise DiskError("cannot write it")
        self.written.append(frame.index)
        self.dropped += [result.dropped for result in results]

    def close(self) -> None:
        self.threads.add(threading.current_thread().name)
        self.closed += 1


def wait_until_failed(background: Background) -> None:
    """Until the writer has met its error: write() will raise it."""
    deadline = time.monotonic() + 10
    while background._error is None and time.monotonic() < deadline:
        time.sleep(0.001)


def test_close_writes_what_is_queued_in_order_on_one_thread() -> None:
    sink = GatedSink()
    background = Background(sink, lossless=True, capacity=8)
    for index in range(8):
        background.write(frame(index), [])
    sink.gate.set()
    background.close()
    background.close()
    assert (sink.written, sink.closed, background.dropped) == (list(range(8)), 1, 0)
    assert sink.threads == {"write GatedSink"}


def test_a_full_queue_drops_the_newest_and_counts() -> None:
    sink = GatedSink()
    background = Background(sink, lossless=False, capacity=2)
    background.write(frame(0), [])
    while background._items:  # until the writer holds the first
        time.sleep(0.001)
    for index in range(1, 6):
        background.write(frame(index), [])
    sink.gate.set()
    background.close()
    assert (sink.written, background.dropped) == ([0, 1, 2], 3)


def test_lossless_waits_for_room() -> None:
    sink = GatedSink()
    background = Background(sink, lossless=True, capacity=1)
    threading.Timer(0.1, sink.gate.set).start()
    for index in range(20):
        background.write(frame(index), [])
    background.close()
    assert (sink.written, background.dropped) == (list(range(20)), 0)


@pytest.mark.parametrize("lossless", [True, False])
def test_an_error_surfaces_at_the_next_write_and_closes_the_sink(lossless: bool) -> None:
    sink = GatedSink(fails_at=1)
    sink.gate.set()
    background = Background(sink, lossless=lossless)
    background.write(frame(0), [])
    background.write(frame(1), [])
    wait_until_failed(background)
    for _ in range(2):
        with pytest.raises(DiskError):
            background.write(frame(2), [])
    background.close()  # it was raised already
    assert (sink.written, sink.closed) == ([0], 1)


def test_an_error_in_the_last_frame_surfaces_at_close() -> None:
    sink = GatedSink(fails_at=0)
    background = Background(sink, lossless=True)
    background.write(frame(0), [])
    sink.gate.set()
    with pytest.raises(DiskError):
        background.close()
    background.close()
    assert sink.closed == 1


def test_an_error_wakes_a_writer_that_waits() -> None:
    sink = GatedSink(fails_at=0)
    background = Background(sink, lossless=True, capacity=1)
    threading.Timer(0.1, sink.gate.set).start()
    with pytest.raises(DiskError):  # noqa: PT012 whichever write waits
        for index in range(4):
            background.write(frame(index), [])
    background.close()
    assert background.dropped >= 1


def test_closing_wakes_a_writer_that_waits() -> None:
    sink = GatedSink()
    background = Background(sink, lossless=True, capacity=1)
    background.write(frame(0), [])

    def write_more() -> None:
        for index in range(1, 5):
            background.write(frame(index), [])

    waiting = threading.Thread(target=write_more)
    waiting.start()
    closing = threading.Thread(target=background.close)
    closing.start()
    waiting.join(5)
    assert not waiting.is_alive()
    sink.gate.set()
    closing.join(5)
    assert not closing.is_alive()
    assert len(sink.written) + background.dropped == 5


def test_an_error_of_close_itself_surfaces() -> None:
    class Unclosable(GatedSink):
        def close(self) -> None:
            raise DiskError("cannot complete it")

    with pytest.raises(DiskError, match="cannot complete it"):
        Background(Unclosable(), lossless=True).close()


class WorkingSink(GatedSink):
    """Counts how often it is let work; knows taps, events and its status."""

    name = "a folder"

    def __init__(self) -> None:
        super().__init__()
        self.gate.set()
        self.worked = 0
        self.events: list[Event] = []

    def work(self) -> None:
        self.worked += 1

    def tap(self, stream: str) -> Tap:
        return lambda packet: self.written.append(len(stream))

    def event(self, event: Event) -> None:
        self.events.append(event)

    def status(self) -> SinkStatus:
        return SinkStatus(self.name, "paused", "disk_full", 3, {"queue_full": 2, "paused": 1})


def test_a_sink_works_while_no_frame_comes() -> None:
    sink = WorkingSink()
    background = Background(sink, lossless=False)
    deadline = time.monotonic() + 10
    while sink.worked < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    background.write(frame(7), [])
    background.close()
    assert sink.worked >= 3
    assert (sink.written, sink.closed) == ([7], 1)


def test_what_work_raises_is_an_error_too() -> None:
    class Failing(WorkingSink):
        def work(self) -> None:
            raise DiskError("cannot work")

    background = Background(Failing(), lossless=False)
    wait_until_failed(background)
    with pytest.raises(DiskError, match="cannot work"):
        background.close()


def test_taps_and_events_reach_the_sink_that_wants_them() -> None:
    sink = WorkingSink()
    background = Background(sink, lossless=False)
    event = Event("cam0", State.LIVE, "", "", 0)
    background.event(event)
    tap = background.tap("cam0")
    assert tap is not None
    background.close()
    assert sink.events == [event]
    plain = Background(GatedSink(), lossless=False)
    plain.event(event)
    assert plain.tap("cam0") is None
    plain.close()


def test_the_status_is_the_sinks_own_with_what_was_dropped_before_it() -> None:
    sink = WorkingSink()
    sink.gate.clear()
    background = Background(sink, lossless=False, capacity=1)
    for _ in range(20):
        background.write(frame(0), [])
    lost = background.dropped
    assert lost >= 18
    expected = SinkStatus("a folder", "paused", "disk_full", 3, {"queue_full": 2 + lost, "paused": 1})
    assert background.status() == expected
    sink.gate.set()
    background.close()


def test_a_sink_without_a_status_has_one_of_its_thread() -> None:
    sink = GatedSink(fails_at=2)
    sink.gate.set()
    background = Background(sink, lossless=True)
    for index in range(2):
        background.write(frame(index), [])
    deadline = time.monotonic() + 10
    while len(sink.written) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    background.write(frame(2), [])
    wait_until_failed(background)
    status = background.status()
    assert (status.name, status.state, status.code, status.written) == ("GatedSink", "failed", "disk", 2)
    with pytest.raises(DiskError):
        background.close()


@pytest.mark.parametrize("lossless", [True, False])
def test_one_sink_of_many_fails_alone(lossless: bool, caplog: pytest.LogCaptureFixture) -> None:
    sink = GatedSink(fails_at=0)
    sink.gate.set()
    background = Background(sink, lossless=lossless, fatal=False)
    background.write(frame(0), [])
    wait_until_failed(background)
    for index in range(1, 9):
        background.write(frame(index), [])
    background.close()
    status = background.status()
    assert (status.state, status.code, dict(status.dropped)) == ("failed", "disk", {"failed": 8})
    assert (sink.written, sink.closed) == ([], 1)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_once_stopped_nobody_waits_for_a_disk_that_does_not_answer(caplog: pytest.LogCaptureFixture) -> None:
    sink, stop = GatedSink(), threading.Event()
    background = Background(sink, lossless=True, capacity=1, stop=stop)
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    for index in range(5):
        background.write(frame(index), [])
    background.close()
    assert 1.2 < time.monotonic() - began < 6
    assert "did not close in time" in caplog.text
    began = time.monotonic()
    background.close()
    assert time.monotonic() - began < 1, "nor again"
    sink.gate.set()
    background._thread.join()


def test_a_writer_that_hangs_does_not_keep_the_process_alive() -> None:
    script = """
import time
from vedette.runtime.sinks._background import Background
class Hung:
    def write(self, frame, results): time.sleep(1000)
    def close(self): pass
Background(Hung(), lossless=True).write(None, [])
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=10).returncode == 0


def test_what_had_no_room_is_told_by_the_next_of_its_stream() -> None:
    sink = GatedSink()
    background = Background(sink, lossless=False, capacity=1)
    for index in range(6):
        background.write(frame(index), [Result(frame(index), "toy", "detection", {})])
        while index == 0 and background._items:  # until its thread has taken the first
            time.sleep(0.005)
    sink.gate.set()
    while sink.written != [0, 1]:
        time.sleep(0.005)
    background.write(frame(6), [Result(frame(6), "toy", "detection", {}, dropped=2)])
    background.close()
    assert sink.dropped == [0, 0, 4 + 2]
