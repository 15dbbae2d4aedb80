"""What is left when a run is ended at any moment?   cd tests && python -m chaos.signals [--times 1]

SIGTERM and SIGINT reach `vedette run` while its camera connects, delivers, has stalled and has broken off; SIGKILL a
recorder. Printed: how long the end takes, the exit codes, whether every file plays to its end, and how many
frames a kill costs. Next: full_disk.py.
"""

import contextlib
import http.client
import json
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import av
import toy

from chaos.report import Report, main
from chaos.servers import mini, raw_clip

FPS = GOP = 25  # a key frame a second, as raw_clip makes them
# what the camera does to come into a state
CASES = {"connecting": "silent", "live": "", "stalled": "nokey", "backoff": "close=50"}
PATTERN = "synthetic:320x192@25?live=1"
STARTED_S = 60.0  # for Python to come up on a busy machine, and for a camera to stall


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    what: str
    reached: bool  # the state, before the signal
    took_s: float
    code: int
    lines: Counter[str]  # records of each stream
    frames: dict[str, int]  # that could be decoded of each file
    told: str


def frames_of(path: Path) -> int:
    """Frames of a file that plays to its end.

    Raises:
        FFmpegError: it does not.
    """
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def lines_of(path: Path) -> Counter[str]:
    """How many whole records of each stream are in a file that may be being written."""
    text = path.read_text() if path.exists() else ""
    return Counter(json.loads(line)["stream"] for line in text.split("\n")[:-1])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def state_of(port: int) -> str:
    """The camera's, as /healthz tells it; nothing while nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        told = json.load(connection.getresponse())
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()
    return str(told["streams"]["cam0"]["state"])


def wait_for(truth: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + STARTED_S
    while not truth():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def ended(state: str, number: signal.Signals, place: Path, clip: Path, model: Path) -> Ended:
    """Run, wait for a state, send the signal."""
    folder = place / f"{state}-{number.name}"
    folder.mkdir()
    records, log = folder / "records.jsonl", folder / "log.txt"
    with mini(clip, *filter(None, [CASES[state]])) as yard, log.open("w") as told:
        outputs = ["--save", "saved", "--json", records.name, "--connect-timeout", "60"]
        serve = ["--serve", f"127.0.0.1:{(port := free_port())}"]
        command = [sys.executable, "-m", "vedette", "run", str(model), yard.url, PATTERN, *outputs, *serve]
        process = subprocess.Popen(command, cwd=folder, stdout=told, stderr=told)
        wanted = {"cam1": FPS} | ({"cam0": FPS} if state == "live" else {})
        reached = wait_for(lambda: lines_of(records) >= Counter(wanted) or process.poll() is not None)
        reached &= wait_for(lambda: state_of(port) == state or process.poll() is not None)
        process.send_signal(number)
        began = time.monotonic()
        try:
            code = process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
    took_s = time.monotonic() - began
    frames = {path.name: frames_of(path) for path in (folder / "saved").glob("*")}
    what = f"{number.name} while {state}"
    return Ended(what, reached, took_s, code, lines_of(records), frames, log.read_text())


def ends(report: Report, states: Sequence[str] = tuple(CASES), workers: int = 4) -> None:
    """Both signals in every state."""
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(workers) as pool:
        place = Path(name)
        clip, model = raw_clip(place), toy.recording(place)
        cases = [(state, number) for state in states for number in (signal.SIGTERM, signal.SIGINT)]
        results = list(pool.map(lambda case: ended(case[0], case[1], place, clip, model), cases))
    report.within("from the signal to the exit", [result.took_s for result in results], 2.0)
    for result, (_, number) in zip(results, cases, strict=True):
        good = result.reached and result.code == 128 + number
        report.equal(
            f"{result.what}: exit code, the state being reached",
            (result.reached, result.code),
            (True, 128 + number),
        )
        if not good:
            report.say(result.told)
        report.equal(f"{result.what}: streams whose file plays but lacks frames", lacking(result), [])


def lacking(result: Ended) -> list[str]:
    """Streams of whose records more than a second is missing in their video; a live one waits for no slow start."""
    return [
        f"{stream}: {result.frames} of {count}"
        for stream, count in result.lines.items()
        if max((n for name, n in result.frames.items() if stream in name), default=0) < max(1, count - FPS)
    ]


def kills(report: Report, *, count: int = 6) -> None:
    """SIGKILL at some moment: what came, against what is in the files."""
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(3) as pool:
        place = Path(name)
        clip, chance = raw_clip(place), random.Random(4)
        moments = [chance.uniform(2.0, 4.0) for _ in range(count)]
        lost = list(
            pool.map(lambda item: lost_by_kill(place / f"kill{item[0]}", clip, item[1]), enumerate(moments))
        )
    for what in ("recording", "save"):
        report.at_most(
            f"frames lost by SIGKILL, {what}, most of {count}", max(each[what] for each in lost), GOP
        )


def lost_by_kill(folder: Path, clip: Path, after_s: float) -> dict[str, int]:
    """Frames that came less frames that play, of the copy and of the annotated video."""
    folder.mkdir()
    with mini(clip) as yard:
        command = [sys.executable, "-m", "chaos.recorder", yard.url, str(folder)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
        lines: list[bytes] = []
        output = process.stdout
        assert output is not None
        reader = threading.Thread(target=lambda: lines.extend(output))
        reader.start()
        wait_for(lambda: len(lines) > 0)
        time.sleep(after_s)
        process.kill()
        process.wait()
        reader.join()
        output.close()
    copies = sum(frames_of(path) for path in (folder / "recording").rglob("*.mp4"))
    saved = 0
    with contextlib.suppress(OSError):
        saved = frames_of(folder / "save.mp4")
    return {"recording": len(lines) - copies, "save": len(lines) - saved}


def run(report: Report) -> None:
    ends(report)
    kills(report)


if __name__ == "__main__":
    main(__doc__, run)
