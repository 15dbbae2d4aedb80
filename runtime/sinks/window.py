"""A window on this machine's display; q or Esc in it asks the run to stop."""

import os
import re
import sys
from collections.abc import Sequence
from threading import Event

from vedette.runtime.errors import UsageError
from vedette.runtime.frame import Frame
from vedette.runtime.results import Result
from vedette.runtime.sinks._annotate import annotated

QUIT_KEYS = {ord("q"), ord("Q"), 27}


class WindowSink:
    """Shows each frame with its results. All calls but the constructor's are one thread's: toolkits ask it.

    Args:
        title: the window's.
        stop: set when the user presses q or Esc or closes the window.

    Raises:
        UsageError: there is no display, or this OpenCV was built without windows.
    """

    def __init__(self, title: str, stop: Event) -> None:
        _check_display()
        self._title, self._stop = title, stop
        self._shown = False

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        import cv2

        if self._shown and cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
            self._stop.set()  # closed by its button; showing again would open it anew
        if self._stop.is_set():
            return
        if not self._shown:
            cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
            self._shown = True
        cv2.imshow(self._title, annotated(frame, results))
        if cv2.waitKey(1) & 0xFF in QUIT_KEYS:
            self._stop.set()

    def close(self) -> None:
        import cv2

        if self._shown:
            self._shown = False
            cv2.destroyWindow(self._title)


def _check_display() -> None:
    import cv2

    if re.search(r"GUI:\s*NONE", cv2.getBuildInformation()):
        raise UsageError(
            "cannot show a window",
            why="this OpenCV was built without windows (opencv-python-headless)",
            cure="replace it: pip install opencv-python; or use --save instead of --show",
        )
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise UsageError(
            "cannot show a window",
            why="there is no display: neither DISPLAY nor WAYLAND_DISPLAY is set",
            cure="run it in the desktop session, or use --save or --json instead of --show",
        )
