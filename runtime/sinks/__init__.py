"""Where results go: one file a target, each a class with `write` and `close`.

In: a Frame and the Results of every model on it.  Out: files, windows, lines.
Next: _background.py, which gives each its own thread.
"""

from collections.abc import Sequence
from typing import Protocol

from vedette.runtime.frame import Frame
from vedette.runtime.results import Result


class Sink(Protocol):
    """One target. Opened lazily by the first write; `close` completes its files and may be called twice.

    It may also have a `name`, `status() -> SinkStatus`, `event(Event)` for changes of a stream's state and
    `tap(stream) -> Tap` for its encoded packets, all three for any thread and never waiting, and `work()`, which its own
    thread calls while no frame comes. Background passes all of them on.
    """

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        """Take one frame and the results of each model on it.

        Raises:
            DiskError: the target cannot be written.
        """

    def close(self) -> None:
        """Finish every file; what was written before stays readable even if this is never reached."""
