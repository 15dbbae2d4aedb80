"""Cameras to torment: processes of their own that can be killed, stopped and started again.   Next: watching.py."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import clips
import minirtsp

SYSTEM_PYTHON = "/usr/bin/python3"  # Debian's bindings of GStreamer are its own
GST_SERVER = Path(__file__).with_name("gst_server.py")


class Server:
    """A camera in a process of its own, which keeps its port over death and return."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command, self.port = list(command), 0
        self._process: subprocess.Popen[str] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/cam"

    def start(self) -> float:
        """Start it, wait until it listens; when that was (time.monotonic)."""
        command = [*self._command, "--port", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return time.monotonic()

    def send(self, number: signal.Signals) -> float:
        """Send it a signal; when that was (time.monotonic)."""
        assert self._process is not None
        now = time.monotonic()
        os.kill(self._process.pid, number)
        return now

    def kill(self) -> float:
        """SIGKILL; when that was."""
        assert self._process is not None
        if self._process.poll() is not None:
            return time.monotonic()
        now = self.send(signal.SIGKILL)
        self._process.communicate()
        return now

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def mini(clip: Path, *faults: str, fps: float = 25, seed: int = 0) -> Server:
    """The server of minirtsp.py with these faults."""
    listed = [argument for fault in faults for argument in ("--fault", fault)]
    numbers = ["--fps", str(fps), "--seed", str(seed)]
    return Server([sys.executable, minirtsp.__file__, str(clip), *numbers, *listed])


def gstreamer(clip: Path) -> Server:
    """GStreamer's server, where install_gstreamer.sh has been run."""
    return Server([SYSTEM_PYTHON, str(GST_SERVER), str(clip)])


def has_gstreamer() -> bool:
    probe = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    with contextlib.suppress(OSError):
        return subprocess.run([SYSTEM_PYTHON, "-c", probe], capture_output=True).returncode == 0
    return False


@contextlib.contextmanager
def blackhole() -> Iterator[str]:
    """The address of a camera that does not even accept: its queue of connections is full."""
    with contextlib.ExitStack() as held:
        server = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = held.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        yield f"rtsp://127.0.0.1:{server.getsockname()[1]}/cam"


def raw_clip(folder: Path, count: int = 50, *, name: str = "clip.h264") -> Path:
    """Numbered pictures as raw H.264 with a key frame a second, as a camera makes them."""
    return clips.write_video(folder / name, count, size=(320, 192), g="25", tune="zerolatency")
