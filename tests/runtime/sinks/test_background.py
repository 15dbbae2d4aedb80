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
from vedette.runtime.results import Result
from vedette.runtime.sinks._background import Background


def frame(index: int) -> Frame:
    return Frame((numbered_picture(0),), index=index)


class GatedSink:
    """Writes when it is let; fails at one frame if told to."""

    def __init__(self, *, fails_at: int = -1) -> None:
        self.gate = threading.Event()
        self.written: list[int] = []
        self.threads: set[str] = set()
        self.closed = 0
        self._fails_at = fails_at

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        assert self.gate.wait(10)
        self.threads.add(threading.current_thread().name)
        if frame.index == self._fails_at:
            raise DiskError("cannot write it")
        self.written.append(frame.index)

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
