"""Does a full disk stop anything but the recording?   cd tests && python -m chaos.full_disk [--times 1]   (root)

Two recorders write to a file system of 8 MB each, which another file fills and frees: one that keeps 1 MB free,
one that writes until the disk refuses. Printed: how long until each says so and until it goes on, the rate of the
live frames meanwhile, and whether every file plays.
"""

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from chaos.report import Report, main
from chaos.servers import mini, raw_clip
from chaos.signals import GOP, frames_of
from chaos.watching import Watched, watched
from vedette.runtime.sinks._background import Background
from vedette.runtime.sinks.recording import RecordingSink

FPS, ROOM = 25, 8_000_000


@contextlib.contextmanager
def small_disk() -> Iterator[Path | None]:
    """A folder on a file system of its own of 8 MB; None where this user may not mount one."""
    with tempfile.TemporaryDirectory() as name:
        command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", name]
        try:
            mounted = subprocess.run(command, capture_output=True).returncode == 0
        except OSError:
            mounted = False
        try:
            yield Path(name) if mounted else None
        finally:
            if mounted:
                subprocess.run(["umount", "-l", name], check=True)


def fill(disk: Path, *, leave: int) -> Path:
    """A file that takes all that is left but so many bytes."""
    path, page = disk / "other", bytes(4096)
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while shutil.disk_usage(disk).free > leave and file.write(page) == len(page):
            pass
    return path


def one(disk: Path, clip: Path, min_free: int, seconds: float) -> dict[str, Any]:
    """A recorder whose disk is filled and freed: its figures."""
    recording = RecordingSink(disk / "recording", min_free_bytes=min_free)
    sinks = [Background(recording, lossless=False)]
    with mini(clip) as yard:
        with watched(sources={"yard": yard.url}, sinks=sinks, tap=recording.tap) as run:
            run.until(lambda: recording.status().written > 50)
            other = fill(disk, leave=min_free // 2)
            paused = seconds_until(run, lambda: recording.status().state == "paused")
            code = recording.status().code
            time.sleep(seconds)
            other.unlink()
            resumed = seconds_until(run, lambda: recording.status().state == "writing")
            time.sleep(seconds)
        status, files = recording.status(), sorted((disk / "recording").rglob("*.mp4"))
        return {
            "paused": paused, "code": code, "resumed": resumed, "rate": run.worst_rate("yard"), "error": run.error,
            "lost": status.dropped, "files": [frames_of(path) for path in files], "frames": len(run.seen),
        }  # fmt: skip


def seconds_until(run: Watched, truth: Any) -> float:
    began = time.monotonic()
    return time.monotonic() - began if run.until(truth, within_s=30) else float("inf")


def run(report: Report, *, seconds: float = 6.0) -> bool:
    """Whether it could be asked."""
    with small_disk() as first, small_disk() as second, tempfile.TemporaryDirectory() as name:
        if first is None or second is None:
            report.say("skip: this user may not mount a file system")
            return False
        clip = raw_clip(Path(name))
        with ThreadPoolExecutor() as pool:
            cases = {
                "1 MB is kept free": (first, clip, 1_000_000, seconds),
                "full": (second, clip, 0, seconds),
            }
            told = dict(zip(cases, pool.map(lambda case: one(*case), cases.values()), strict=True))
    for what, figures in told.items():
        judge(report, what, figures)
    return True


def judge(report: Report, what: str, figures: dict[str, Any]) -> None:
    report.say(
        f"     {what}: {figures['frames']} frames came, the files hold {figures['files']}, lost {figures['lost']}"
    )
    unknown = figures["frames"] - sum(figures["files"]) - sum(figures["lost"].values())
    report.at_most(f"{what}: frames neither in a file nor counted as lost", unknown, GOP)
    report.within(f"{what}: until recording says so", [figures["paused"]], 3.0)
    report.equal(f"{what}: its code", figures["code"], "disk_full")
    report.within(f"{what}: until it goes on", [figures["resumed"]], 5.0)
    report.share(f"{what}: rate of the live frames, worst 5 s", figures["rate"] / FPS, 0.95)
    report.equal(f"{what}: error of the pipeline", figures["error"], None)
    report.at_least(f"{what}: files that play", len(figures["files"]), 2)


if __name__ == "__main__":
    main(__doc__, run)
