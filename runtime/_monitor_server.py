"""An HTTP server for a few small answers, that neither strangers nor slow clients can take over.

In: a function from path to Answer.  Out: one answer a connection.  GET and HEAD only; nothing of a request is acted on.
"""

import hmac
import ipaddress
import logging
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

log = logging.getLogger(__name__)
CLIENTS = 16  # answered at once; more are turned away
PATIENCE_S = 5.0  # for a whole request and its answer, however it trickles


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client gets."""

    code: int
    kind: str  # Content-Type
    body: bytes


@dataclass(frozen=True, slots=True)
class Guard:
    """Who is answered.

    Attributes:
        token: to be sent as `Authorization: Bearer TOKEN`, where there is one.
        hosts: names this server goes by, besides loopback addresses; None for any. A web page that had its own name
            point here (DNS rebinding) gives itself away by the Host that its visitor's browser sends.
    """

    token: str | None
    hosts: frozenset[str] | None

    def refusal(self, host: str | None, authorization: str | None) -> Answer | None:
        """None where the client may have its answer; an HTTP/1.0 client, which no browser is, may name no host."""
        if self.hosts is not None and host is not None and not self._is_ours(host):
            return _plain(421, "this server does not go by that name")
        if self.token is not None and not hmac.compare_digest(
            (authorization or "").encode("utf-8", "replace"), f"Bearer {self.token}".encode()
        ):
            return _plain(401, "a token is needed")
        return None

    def _is_ours(self, host: str) -> bool:
        name = host.strip().lower()
        name = name[1 : name.find("]")] if name.startswith("[") else name.partition(":")[0]
        if self.hosts is not None and name in self.hosts:
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False


class Server(ThreadingHTTPServer):
    """A thread a connection, but few of them, and none for long."""

    daemon_threads = True
    request_queue_size = 32

    def __init__(
        self,
        place: tuple[str, int],
        answer: Callable[[str], Answer | None],
        guard: Guard,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.answer, self.guard, self._patience_s = answer, guard, patience_s
        self._since: dict[socket.socket, float] = {}  # connections being answered
        self._lock = threading.Lock()
        if ":" in place[0]:
            self.address_family = socket.AF_INET6
        super().__init__(place, Handler)

    def server_bind(self) -> None:
        """Not HTTPServer's, which asks the DNS for this machine's name and waits for it."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            full = len(self._since) >= CLIENTS
            if not full:
                self._since[request] = time.monotonic()
        if full:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._since.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Called a few times a second: hang up on those that had long enough."""
        self._hang_up(older_than=time.monotonic() - self._patience_s)

    def server_close(self) -> None:
        super().server_close()
        self._hang_up(older_than=float("inf"))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up, or one that was hung up on; a fault of ours is told once in the log."""
        log.debug("a client was not answered", exc_info=True)

    def _hang_up(self, *, older_than: float) -> None:
        with self._lock:
            stale = [request for request, since in self._since.items() if since < older_than]
            for request in stale:
                try:
                    request.shutdown(socket.SHUT_RDWR)  # its thread wakes up, and closes it
                except OSError:  # it is gone already
                    continue


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    timeout = PATIENCE_S
    server_version = "vedette"
    sys_version = ""
    error_content_type = "text/plain"
    error_message_format = "%(code)d %(message)s\n"

    def do_GET(self) -> None:
        refusal = self.server.guard.refusal(self.headers.get("Host"), self.headers.get("Authorization"))
        self._reply(refusal or self._answer())

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        self._reply(_plain(405, "GET and HEAD only"))

    do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_POST  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """A scrape a few seconds is nothing to tell."""
        log.debug(format, *args)

    def _answer(self) -> Answer:
        try:
            found = self.server.answer(self.path.partition("?")[0])
        except Exception:
            log.exception("the state of the streams cannot be told")
            return _plain(500, "it cannot be told; the log says why")
        return found or _plain(404, "there are /metrics and /healthz")

    def _reply(self, answer: Answer) -> None:
        self.send_response(answer.code)
        for name, value in {
            "Content-Type": answer.kind,
            "Content-Length": str(len(answer.body)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            **({"WWW-Authenticate": "Bearer"} if answer.code == 401 else {}),
            **({"Allow": "GET, HEAD"} if answer.code == 405 else {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)


def _plain(code: int, text: str) -> Answer:
    return Answer(code, "text/plain; charset=utf-8", text.encode() + b"\n")
