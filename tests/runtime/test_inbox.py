"""The inbox is fair, bounded and honest about what it drops."""

import threading

import numpy as np

from vedette.runtime.frame import Frame
from vedette.runtime.inbox import Inbox


def frame(stream: str, index: int) -> Frame:
    return Frame((np.zeros((2, 2, 3), np.uint8),), stream=stream, index=index)


def test_a_live_stream_keeps_only_the_newest_and_counts_the_rest() -> None:
    inbox = Inbox()
    inbox.add("cam0", lossless=False)
    for index in range(5):
        inbox.put(frame("cam0", index))
    [(newest, dropped)] = inbox.take(0)
    assert (newest.index, dropped) == (4, 4)
    assert inbox.take(0) == []
    inbox.put(frame("cam0", 5))
    assert inbox.take(0)[0][1] == 0


def test_a_file_waits_and_loses_nothing() -> None:
    inbox = Inbox(capacity=2)
    inbox.add("cam0", lossless=True)

    def produce() -> None:
        for index in range(50):
            inbox.put(frame("cam0", index))
        inbox.finish("cam0")

    thread = threading.Thread(target=produce)
    thread.start()
    seen = []
    while not inbox.exhausted:
        seen += [taken.index for taken, _ in inbox.take(1)]
    thread.join()
    assert seen == list(range(50))


def test_a_busy_stream_does_not_starve_another() -> None:
    inbox = Inbox()
    inbox.add("busy", lossless=True)
    inbox.add("calm", lossless=True)
    for index in range(4):
        inbox.put(frame("busy", index))
    inbox.put(frame("calm", 0))
    assert [taken.stream for taken, _ in inbox.take(0)] == ["busy", "calm"]


def test_stopping_wakes_a_reader_that_waits() -> None:
    inbox = Inbox(capacity=1)
    inbox.add("cam0", lossless=True)
    inbox.put(frame("cam0", 0))
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(inbox.put(frame("cam0", 1))))
    thread.start()
    inbox.stop()
    thread.join(timeout=5)
    assert answers == [False]


def test_taking_from_finished_streams_returns_at_once() -> None:
    inbox = Inbox()
    inbox.add("cam0", lossless=True)
    inbox.finish("cam0")
    assert inbox.take(timeout_s=60) == []
    assert inbox.exhausted
