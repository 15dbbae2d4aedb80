"""Telling systemd that the program is ready, how it is, and that it is alive; nothing where it was not started by it.

In: the pipeline's own news.  Out: datagrams to $NOTIFY_SOCKET, as sd_notify(3) describes them.  It never raises.
"""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from vedette.runtime.redaction import redact

WAIT_S = 0.1  # a service manager that reads nothing holds us up for no longer


class Notifier:
    """Speaks for this process.

    Args:
        environment: where NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are looked up.
        clock: seconds that never go back.

    Attributes:
        watchdog_s: seconds of silence after which systemd kills this process; None where it does not watch.
    """

    def __init__(
        self, environment: Mapping[str, str] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        environment = os.environ if environment is None else environment
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self.watchdog_s = _watchdog_s(environment) if self._address else None
        self._clock = clock
        self._sign_of_life = -float("inf")

    def ready(self) -> None:
        """Set-up is over: `systemctl start` returns, and units that wait for this one begin."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """One line that `systemctl status` shows."""
        self._send("STATUS=" + " ".join(redact(text).split()))

    def watchdog(self) -> None:
        """Call it, as often as you like, from the loop that must not stand still; told twice in each watchdog's time."""
        now = self._clock()
        if self.watchdog_s is not None and now - self._sign_of_life >= self.watchdog_s / 2:
            self._sign_of_life = now
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The end has begun; it is no failure."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        import socket  # only where there is somebody to tell

        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(WAIT_S)
            sender.sendto(text.encode("utf-8", "replace"), self._address)


def _address(text: str) -> str:
    """What a socket takes: "@name" is a name in Linux's abstract space, "/path" a file; nothing else is served."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else ""


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """Seconds, if it is this process that is watched."""
    microseconds, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if process not in {"", str(os.getpid())} or not microseconds.isdecimal():
        return None
    return int(microseconds) / 1e6 or None
