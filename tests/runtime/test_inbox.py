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


def test_what_waited_longest_comes_first_when_not_all_fit() -> None:
    inbox = Inbox()
    names = ("cam0", "cam1", "cam2")
    for name in names:
        inbox.add(name, lossless=False)
    served = []
    for index in range(6):
        for name in names:
            inbox.put(frame(name, index))
        served += [(taken.stream, taken.index) for taken, _ in inbox.take(0, limit=1)]
    assert [name for name, _ in served] == [*names, *names]
    assert [index for _, index in served] == list(range(6)), "and it is the newest of its stream"


def test_a_batch_waits_for_the_others_but_not_for_long() -> None:
    inbox = Inbox()
    for name in ("cam0", "cam1", "cam2"):
        inbox.add(name, lossless=False)
    inbox.put(frame("cam0", 0))
    inbox.finish("cam2")
    threading.Timer(0.02, lambda: inbox.put(frame("cam1", 0))).start()
    assert len(inbox.take(1, limit=3, fill_s=5)) == 2, "cam2 has ended and is not waited for"
    inbox.put(frame("cam0", 1))
    assert len(inbox.take(1, limit=3, fill_s=0.01)) == 1


def test_drops_are_counted_for_ever_too() -> None:
    inbox = Inbox()
    inbox.add("cam0", lossless=False)
    for index in range(10):
        inbox.put(frame("cam0", index))
        if index % 3 == 0:
            inbox.take(0)
    assert inbox.superseded("cam0") == 6, "taken: 0, 3, 6, 9"
