"""A process that records is killed: at most a group of pictures is lost, and every file plays."""

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from clips import index_in, write_video
from recordings import pictures, videos

KILLED = """
import sys, time
from pathlib import Path
from recordings import packets_of
from vedette.runtime.sinks.recording import RecordingSink
sink = RecordingSink(sys.argv[2], min_free_bytes=0, segment_s=3)
tap = sink.tap("cam0")
for number in range(1000):
    for packet in packets_of(Path(sys.argv[1])):
        tap(packet)
        sink.work()
        print(sink.status().written, flush=True)
        time.sleep(0.002)
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".ts", ".avi"])
def test_a_kill_costs_a_group_of_pictures_at_most(tmp_path: Path, suffix: str) -> None:
    codec = {".ts": "libx264", ".avi": "mjpeg"}[suffix]
    options: dict[str, Any] = {} if suffix == ".ts" else {"strict": "unofficial"}
    clip = write_video(tmp_path / f"clip{suffix}", 50, codec=codec, g="25", **options)
    chance = random.Random(7)
    for number in range(4):
        folder = tmp_path / str(number)
        written = killed_after(chance.randint(1, 400), clip, folder)
        found = sum(len(readable(path)) for path in videos(folder))
        assert written - 25 <= found <= written + 1


def killed_after(count: int, clip: Path, folder: Path) -> int:
    """Let a process record so many packets, kill it, and return how many it had written by its own account."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", KILLED, str(clip), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        for _ in range(count):
            child.stdout.readline()
        child.kill()
        rest = [line for line in child.stdout.read().splitlines() if line]
    return max([count, *map(int, rest)])


def readable(path: Path) -> list[int]:
    """The pictures of a file that may be empty: it was just being begun."""
    return [index_in(picture) for picture in pictures(path)] if path.stat().st_size > 2000 else []
