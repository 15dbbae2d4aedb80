"""Does a camera come back, and do the others not notice?   cd tests && python -m chaos.reconnect [--times 1]

GStreamer's server is killed 20 times and started again after 0.5 to 6 s, then stopped and continued; other cameras never
answer, or do not even accept. Beside them two cameras and a pattern run on. Printed: how long until each fault was told,
until frames came again, how long a try took that failed, how long the end took in every state, the others' rates, and
how many frames were marked suspect (wholeness.py tells which may be).
"""

import contextlib
import random
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chaos.corruption import moving_clip
from chaos.report import Report, main
from chaos.servers import Server, blackhole, gstreamer, has_gstreamer, mini, raw_clip
from chaos.watching import Watched, watched
from chaos.wholeness import Compared, cut_by, marks
from vedette.runtime.status import State

BROKEN_OFF = {State.BACKOFF}
NOTICED = {State.STALLED, State.BACKOFF}
STEADY = ("gate", "door", "pattern")
FPS = 25


@contextlib.contextmanager
def beside_steady(clip: Path, faulty: dict[str, str], **watching: Any) -> Iterator[Watched]:
    """A pipeline over some faulty cameras and three steady ones, two of which play that clip."""
    servers = [mini(clip), mini(clip)]
    steady = [*(server.url for server in servers), f"synthetic:320x192@{FPS}?live=1"]
    sources = faulty | dict(zip(STEADY, steady, strict=True))
    with watched(*servers, sources=sources, **watching) as run:
        yield run


def steady_rates(report: Report, run: Watched) -> None:
    worst = min(run.worst_rate(stream) for stream in STEADY)
    report.share("rate of the steady streams, worst 5 s", worst / FPS, 0.95)


def kills(report: Report, run: Watched, yard: Server, count: int) -> list[float]:
    """The camera dies and comes back; when it died each time (time.monotonic)."""
    chance, died, told, back = random.Random(11), list[float](), list[float](), list[float]()
    run.frame_after("yard", run.began)
    for _ in range(count):
        time.sleep(chance.uniform(0.3, 1.0))
        died.append(yard.kill())
        told.append(run.event_after("yard", died[-1], BROKEN_OFF))
        time.sleep(chance.uniform(0.5, 6.0) if count > 5 else chance.uniform(0.5, 2.0))
        back.append(run.frame_after("yard", yard.start()))
    report.within("from a kill to the event", told, 0.2)
    report.within("from listening again to a frame", back, 3.0, share=0.95)
    return died


def stall(report: Report, run: Watched, yard: Server, count: int) -> list[float]:
    """The camera falls silent with its connections open; when it did each time (time.monotonic)."""
    silent, told, back = list[float](), list[float](), list[float]()
    for _ in range(count):
        silent.append(yard.send(signal.SIGSTOP))
        told.append(run.event_after("yard", silent[-1], NOTICED))
        time.sleep(2.0)
        back.append(run.frame_after("yard", yard.send(signal.SIGCONT)))
        time.sleep(1.0)
    report.within("from silence to the event", told, 5.0)
    report.within("from the end of silence to a frame", back, 3.0, share=0.95)
    return silent


def real_server(report: Report, *, deaths: int = 20, stalls: int = 3) -> None:
    """Kills and stalls of a server that others wrote."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # GStreamer sends slice by slice: a fault comes between two of them now and then
        moving, steady = moving_clip(folder, 50, name="clip.mp4", slices=8), raw_clip(folder)
        compared, yard = Compared(moving, steady), gstreamer(moving)
        with yard, beside_steady(steady, {"yard": yard.url}, look=compared) as run:
            faults = kills(report, run, yard, deaths) + stall(report, run, yard, stalls)
            time.sleep(1.0)
            steady_rates(report, run)
            marks(report, run, compared, cut_by(run, "yard", faults))
            report.equal("error of the pipeline", run.error, None)


def unanswered(report: Report, *, seconds: float = 20.0) -> None:
    """A camera that accepts and never replies, and one that does not even accept."""
    with tempfile.TemporaryDirectory() as name, blackhole() as nowhere:
        clip = raw_clip(Path(name))
        mute = mini(clip, "silent")
        faulty = {"mute": mute.url, "nowhere": nowhere}
        with mute, beside_steady(clip, faulty) as run:
            time.sleep(seconds)
            report.within("a try that nobody answers", run.tries("mute"), 4.0)
            report.within("a try that nobody accepts", run.tries("nowhere"), 4.0)
            steady_rates(report, run)


def ends(report: Report) -> None:
    """The end of a run, asked for in every state of a camera; all at once, as they mostly wait."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as held:
        clip = raw_clip(Path(name))
        servers = {
            fault: mini(clip, *filter(None, [fault])) for fault in ("", "silent", "stall=50", "close=25")
        }
        for server in servers.values():
            held.enter_context(server)
        cases: dict[str, tuple[str, State]] = {
            "connecting, not accepted": (held.enter_context(blackhole()), State.CONNECTING),
            "connecting, not answered": (servers["silent"].url, State.CONNECTING),
            "live": (servers[""].url, State.LIVE),
            "stalled": (servers["stall=50"].url, State.STALLED),
            "backing off": (servers["close=25"].url, State.BACKOFF),
        }
        figures: dict[str, float] = {}

        def one(what: str, url: str, state: State) -> None:
            figures[what] = end_in(url, state)

        threads = [threading.Thread(target=one, args=(what, *case)) for what, case in cases.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for what in cases:
            report.within(f"end of a run while {what}", [figures[what]], 1.0)


def end_in(url: str, state: State) -> float:
    """How long the end of a run takes while its camera is in a state; for ever if it never is."""
    run = Watched(
        {"yard": url, "pattern": f"synthetic:320x192@{FPS}?live=1"}, options={"read_timeout_s": 10.0}
    )
    reached = run.until(
        lambda: time.monotonic() > run.began + 1.0 and run.state("yard") is state, within_s=30
    )
    took = run.stop()
    return took if reached and run.error is None else float("inf")


def run(report: Report) -> None:
    if has_gstreamer():
        real_server(report)
    else:
        report.say("skip the real server: install_gstreamer.sh was not run")
    unanswered(report)
    ends(report)


if __name__ == "__main__":
    main(__doc__, run)
