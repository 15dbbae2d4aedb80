"""A thread that POSTs what an outbox holds to one web server, again and again where that may help.

In: Deliveries.  Out: requests over http.client, which follows no redirect and asks no proxy.
"""

import base64
import hashlib
import hmac
import http.client
import logging
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from urllib.parse import unquote, urlsplit

from vedette.runtime.errors import UsageError, redact_uri
from vedette.runtime.sinks._outbox import Outbox

log = logging.getLogger(__name__)
FIRST_WAIT_S = 0.5  # before the second try, doubling
LONGEST_WAIT_S = 60.0  # also where the server asks for longer
WHOLE = 3  # times timeout_s: an exchange that trickles is ended
CLOSING_S = 0.8  # for what waits when the program ends
AGAIN = {408, 425, 429}  # and all 5xx: the server may take it later


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request; its id is the same at every try, so that the server can tell a repetition."""

    identity: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Target:
    """Where to, and how."""

    scheme: str
    host: str
    port: int | None
    path: str
    headers: Mapping[str, str]
    secret: bytes | None
    timeout_s: float
    retries: int

    @classmethod
    def of(
        cls, url: str, headers: Mapping[str, str], secret: str | None, timeout_s: float, retries: int
    ) -> "Target":
        """A URL in its parts; user info becomes a header.

        Raises:
            UsageError: it is no address of a web server.
        """
        try:
            parts = urlsplit(url)
            port, host = parts.port, parts.hostname
        except ValueError:
            parts, port, host = urlsplit(""), None, None
        if (
            parts.scheme not in {"http", "https"}
            or not host
            or not url.isascii()
            or not url.isprintable()
            or " " in url
        ):
            raise UsageError(
                f"webhook: {redact_uri(url)} cannot be sent to",
                why="it is no address of a web server",
                cure="use https://HOST/PATH; in a password, write @ as %40, / as %2F and a space as %20",
            )
        basic = {}
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            basic = {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()}
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        key = secret.encode() if secret else None
        return cls(parts.scheme, host, port, path, {**basic, **headers}, key, timeout_s, retries)

    @property
    def place(self) -> str:
        """The server, without what could be secret."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + (f":{self.port}" if self.port else "")

    def connection(self) -> http.client.HTTPConnection:
        if self.scheme == "http":
            return http.client.HTTPConnection(self.host, self.port, timeout=self.timeout_s)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(self.host, self.port, timeout=self.timeout_s, context=context)

    def headers_of(self, delivery: Delivery) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "vedette",
            "X-Vedette-Delivery": delivery.identity,
        }
        if self.secret is not None:
            signature = hmac.new(self.secret, delivery.body, hashlib.sha256).hexdigest()
            headers["X-Vedette-Signature"] = f"sha256={signature}"
        return {**headers, **self.headers, "Connection": "close"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a try ended: `code` is empty where it was delivered; after_s is what the server asked to wait."""

    code: str
    again: bool = False
    after_s: float = 0.0


class Poster:
    """Begins at once; ends with close()."""

    def __init__(self, target: Target, outbox: Outbox[Delivery]) -> None:
        self._target, self._outbox = target, outbox
        self._closing = threading.Event()
        self._over = False
        self._connection: http.client.HTTPConnection | None = None
        # A daemon: a program that dies without close() is not kept alive by a server that never answers.
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Send what waits while the server takes it, for CLOSING_S at most; then all is lost and counted."""
        self._closing.set()
        self._outbox.close()
        self._thread.join(CLOSING_S)
        self._over = True
        self._outbox.abandon()
        self._hang_up()
        self._thread.join(0.1)

    def _run(self) -> None:
        while not self._over and (taken := self._outbox.take()) is not None:
            outcome = self._deliver(taken[0])
            if outcome.code:
                self._outbox.dropped(outcome.code)
            else:
                self._outbox.sent()

    def _deliver(self, delivery: Delivery) -> Outcome:
        """Try until it is taken, it never will be, or the tries are used up."""
        wait_s = FIRST_WAIT_S
        for left in range(self._target.retries, -1, -1):
            outcome = self._try(delivery)
            self._tell(outcome)
            if not outcome.again or left == 0:
                break
            pause_s = min(max(outcome.after_s, wait_s * random.uniform(0.75, 1.25)), LONGEST_WAIT_S)
            if self._closing.wait(pause_s):
                return Outcome("closed")
            wait_s *= 2
        return outcome

    def _try(self, delivery: Delivery) -> Outcome:
        target = self._target
        self._connection = connection = target.connection()
        # A server that sends a byte now and then keeps every single wait short, and the whole for ever.
        timer = threading.Timer(WHOLE * target.timeout_s, self._hang_up)
        timer.daemon = True
        timer.start()
        try:
            connection.request("POST", target.path, delivery.body, target.headers_of(delivery))
            with connection.getresponse() as response:
                return _outcome(response.status, response.headers.get("Retry-After", ""))
        except TimeoutError:
            return Outcome("timeout", again=True)
        except ssl.SSLCertVerificationError:
            return Outcome("certificate", again=True)
        except (OSError, http.client.HTTPException):
            return Outcome("unreachable", again=True)
        finally:
            timer.cancel()
            self._connection = None
            connection.close()

    def _hang_up(self) -> None:
        """End the exchange at hand, from another thread."""
        connection = self._connection
        if connection is not None and isinstance(connection.sock, socket.socket):
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def _tell(self, outcome: Outcome) -> None:
        if self._outbox.trouble(outcome.code) and not self._over:
            place = self._target.place
            if outcome.code:
                log.warning("webhook: %s does not take deliveries: %s", place, outcome.code)
            else:
                log.info("webhook: %s takes deliveries again", place)


def _outcome(status: int, retry_after: str, now: Callable[[], float] = time.time) -> Outcome:
    if 200 <= status < 300:
        return Outcome("")
    if 300 <= status < 400:
        return Outcome("redirected")
    if status >= 500 or status in AGAIN:
        return Outcome(f"http_{status}", again=True, after_s=retry_after_s(retry_after, now()))
    return Outcome("refused")


def retry_after_s(text: str, now_s: float) -> float:
    """Seconds that a Retry-After header asks for: a number of them, or a date. 0 where it says neither."""
    if text.strip().isdecimal():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return 0.0
    if when.tzinfo is None:
        when = when.replace(tzinfo=timezone.utc)
    return max(0.0, (when - datetime.fromtimestamp(now_s, timezone.utc)).total_seconds())
