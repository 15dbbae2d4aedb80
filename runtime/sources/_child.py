"""A program of its own that writes pictures into a pipe: a driver that hangs or crashes takes nothing else along.

In: a command line, and for some what they are to read.  Out: bytes, in time.  Next: csi.py, _nvv4l2.py.
The pictures have a pipe to themselves, since drivers print on standard output; what it prints is kept for the error.
"""

import contextlib
import fcntl
import logging
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from vedette.runtime.redaction import child_environment

logger = logging.getLogger(__name__)

PIPE_BYTES = 1 << 20  # what Linux allows without privileges: fewer, longer reads
KEPT_BYTES = 2000  # of what it printed last
KILLED_S = 1.0  # a process that a driver holds cannot be waited for

# Linux kills it with the thread that started it, even if that is killed itself (prctl 1 is PR_SET_PDEATHSIG, which
# exec keeps). Not by preexec_fn, which is unsafe beside threads; and parents that are gone already are noticed.
LAUNCHER = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""


class Child:
    """A running program. Start, read and close it in one thread."""

    def __init__(self, command: Callable[[int], Sequence[str]], *, fed: bool = False) -> None:
        """Start it.

        Args:
            command: its command line, given the number of the open file that it is to write to.
            fed: it is to read what exchange() writes, on its standard input.

        Raises:
            OSError: no process can be made.
        """
        self._pictures, theirs = os.pipe()
        try:
            launcher = (sys.executable, "-I", "-S", "-c", LAUNCHER, str(os.getpid()))
            self._process = subprocess.Popen(
                [*launcher, *command(theirs)],
                stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs,),
                env=child_environment(),
            )
        except OSError:
            os.close(self._pictures)
            raise
        finally:
            os.close(theirs)
        assert self._process.stdout is not None
        self._prints = self._process.stdout.fileno()
        self._feed = -1 if self._process.stdin is None else self._process.stdin.fileno()
        self._printed = b""
        self._open = True
        os.set_blocking(self._prints, False)
        if fed:
            os.set_blocking(self._feed, False)
        for pipe in [self._pictures, *([self._feed] if fed else [])]:
            with contextlib.suppress(OSError, AttributeError):  # F_SETPIPE_SZ: Linux only
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def read_into(self, place: memoryview, deadline: float) -> int:
        """Read what there is, waiting for it until the deadline (time.monotonic).

        Returns:
            the number of bytes; 0 if none came in time.

        Raises:
            EOFError: it has ended, or will write no more.
        """
        return self.exchange(place, memoryview(b""), deadline)[0]

    def exchange(self, place: memoryview, data: memoryview, deadline: float) -> tuple[int, int]:
        """Read what there is, or else write what it takes, waiting for either until the deadline (time.monotonic).

        Returns:
            the numbers of bytes read and written; both 0 if neither was possible in time.

        Raises:
            EOFError: it has ended, or will read or write no more.
        """
        while True:
            feed = [self._feed] if data else []
            wait_s = max(0.0, deadline - time.monotonic())
            ready, takes, _ = select.select(self._sources(), feed, [], wait_s)
            if self._pictures in ready:
                count = os.readv(self._pictures, [place])
                if count == 0:
                    raise EOFError
                return count, 0
            if takes:
                try:
                    return 0, os.write(self._feed, data)
                except BrokenPipeError:
                    raise EOFError from None
            if self._prints in ready:
                self._keep()
            if time.monotonic() >= deadline:
                return 0, 0

    def hang_up(self) -> None:
        """Tell it that nothing more is written."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def last_words(self) -> str:
        """What it printed last, in one line."""
        self._keep()
        return " ".join(self._printed.decode(errors="replace").split())[-300:]

    def close(self) -> None:
        """Kill it."""
        if not self._open:
            return
        self._open = False
        self._process.kill()
        os.close(self._pictures)
        self.hang_up()
        if self._process.stdout is not None:
            self._process.stdout.close()
        try:
            self._process.wait(KILLED_S)
        except subprocess.TimeoutExpired:
            logger.warning("process %d does not die; its driver holds it", self._process.pid)

    def _sources(self) -> list[int]:
        return [self._pictures, self._prints] if self._prints >= 0 else [self._pictures]

    def _keep(self) -> None:
        """Take what it printed, so that it never waits for us."""
        with contextlib.suppress(BlockingIOError):
            while self._prints >= 0:
                data = os.read(self._prints, 1 << 16)
                if not data:  # it closed its output, which select would report for ever
                    self._prints = -1
                self._printed = (self._printed + data)[-KEPT_BYTES:]
                if len(data) < 1 << 16:
                    return
