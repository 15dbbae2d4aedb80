"""FFmpeg by PyAV, imported by one thread at a time.

Its modules import one another in circles: of two threads that begin together, one would see half of it.
"""

import threading

_LOCK = threading.Lock()


def load_ffmpeg() -> None:
    """To be called where a thread may be the first to import from av."""
    with _LOCK:
        import av  # noqa: F401
