"""How the program is, for machines: /metrics for Prometheus and /healthz for whoever restarts it.

In: Statuses, when they are asked for.  Out: text and JSON over HTTP.  Next: _metrics.py, which words the numbers;
_monitor_server.py, which keeps strangers out and slow clients few.
"""

import ipaddress
import json
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from vedette.runtime._metrics import registry
from vedette.runtime._monitor_server import Answer, Guard, Server
from vedette.runtime.errors import UsageError, redact, remember_secret
from vedette.runtime.status import SinkStatus, State, Status

START_S = 30.0  # for so long after the start a stream without a picture is no fault yet


@dataclass(frozen=True, slots=True)
class Sight:
    """What the monitor may look at; each is called in a server thread and must not wait.

    Attributes:
        status: every stream, by name.
        sinks: every sink.
        alive: whether the loop that runs the models still turns.
    """

    status: Callable[[], Mapping[str, Status]]
    sinks: Callable[[], Sequence[SinkStatus]]
    alive: Callable[[], bool]


class Monitor:
    """Serves until it is closed.

    Args:
        address: HOST:PORT, [IPv6]:PORT; port 0 takes a free one.
        token: what a client must send as `Authorization: Bearer TOKEN`; without one only this machine is served.

    Raises:
        UsageError: the address cannot be meant or is taken, it is open to others without a token, or the extra is missing.
    """

    def __init__(
        self,
        address: str,
        status: Callable[[], Mapping[str, Status]],
        sinks: Callable[[], Sequence[SinkStatus]] = lambda: (),
        alive: Callable[[], bool] = lambda: True,
        token: str | None = None,
    ) -> None:
        host, port = parse_address(address)
        if not find_spec("prometheus_client"):
            raise UsageError(
                "serving /metrics needs prometheus_client",
                why="it is not installed",
                cure="pip install 'vedette[web]'",
            )
        _check_token(address, host, token)
        self._sight = Sight(status, sinks, alive)
        self._registry = registry(self._sight)
        self._server = _bound(address, host, port, self._answer, _guard(host, token))
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="monitor", daemon=True
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Answer from now on, in threads of its own."""
        self._thread.start()

    def close(self) -> None:
        """Hang up and free the port. The second time does nothing."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def _answer(self, path: str) -> Answer | None:
        """What is at a path, None where there is nothing."""
        if path == "/metrics":
            from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

            return Answer(200, CONTENT_TYPE_LATEST, generate_latest(self._registry))
        if path == "/healthz":
            healthy, told = health(self._sight)
            return Answer(200 if healthy else 503, "application/json", json.dumps(told).encode() + b"\n")
        return None


def health(sight: Sight) -> tuple[bool, dict[str, Any]]:
    """Whether all is well enough to be left alone, and what there is to tell.

    Well is: the loop turns, and a stream is live, or all have only just begun, or all have come to their end.
    """
    streams = sight.status()
    expected = [status for status in streams.values() if status.state is not State.ENDED]
    beginning = all(status.frames == 0 and status.quiet_s < START_S for status in expected)
    seen = not expected or beginning or any(status.state is State.LIVE for status in expected)
    alive = sight.alive()
    return alive and seen, {
        "healthy": alive and seen,
        "alive": alive,
        "streams": {name: _stream(status) for name, status in streams.items()},
        "sinks": [
            {"name": redact(sink.name), "state": sink.state, "code": sink.code} for sink in sight.sinks()
        ],
    }


def _stream(status: Status) -> dict[str, Any]:
    return {
        "source": redact(status.source),
        "state": status.state.value,
        "code": status.code,
        "quiet_s": round(status.quiet_s, 3),
    }


def parse_address(address: str) -> tuple[str, int]:
    """HOST:PORT or [IPv6]:PORT as host and port.

    Raises:
        UsageError: it is neither.
    """
    host, colon, port = address.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not bare or (":" in host and bare == host) or not port.isdecimal() or int(port) > 65535:
        raise UsageError(
            f"{address} is no address to serve at", why="it is HOST:PORT", cure="use 127.0.0.1:9100, say"
        )
    return bare, int(port)


def _is_loopback(host: str) -> bool:
    """Whether only this machine can reach it; a name counts as what it stands for, all of it."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in found)


def _check_token(address: str, host: str, token: str | None) -> None:
    if token is not None and not (
        token.isascii() and token.isprintable() and token.strip() == token and token
    ):
        raise UsageError(
            "the token cannot be used",
            why="it is empty, or holds what an HTTP header cannot",
            cure="use letters and digits: openssl rand -hex 24 makes some",
        )
    if token is None and not _is_loopback(host):
        raise UsageError(
            f"will not serve at {address} without a token",
            why="everyone who reaches that address could look at the cameras' states",
            cure="serve at 127.0.0.1, or give a token: under serve: in the config, token: {env: NAME}",
        )
    if token is not None:
        remember_secret(token)


def _guard(host: str, token: str | None) -> Guard:
    return Guard(token, hosts=frozenset({"localhost", host.lower()}) if _is_loopback(host) else None)


def _bound(
    address: str, host: str, port: int, answer: Callable[[str], Answer | None], guard: Guard
) -> Server:
    try:
        return Server((host, port), answer, guard)
    except OSError as error:
        raise UsageError(
            f"cannot serve at {address}",
            why=error.strerror or str(error),
            cure="another program may have that port: name another, or 0 for any that is free",
        ) from None
