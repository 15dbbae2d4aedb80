"""A POST to a web server when something comes into view.

In: frames and results.  Out: the JSON record of the frame in which it came.  Next: _arrivals.py, which says what came;
_post.py, whose thread sends.
"""

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from types import MappingProxyType

from vedette.runtime.errors import UsageError, redact, remember_secret, remember_uri
from vedette.runtime.frame import Frame
from vedette.runtime.results import Result
from vedette.runtime.sinks._arrivals import Arrivals
from vedette.runtime.sinks._outbox import Outbox
from vedette.runtime.sinks._post import Delivery, Poster, Target
from vedette.runtime.status import SinkStatus

WAITING = 100  # deliveries; the oldest are dropped while the server is away
_SECRET_HEADER = re.compile(r"authorization|cookie|token|secret|key", re.IGNORECASE)


class WebhookSink:
    """Sends the record of a frame in which a class is seen that was not there before: gone for 2 s is gone.

    The body is the record with `appeared` (the classes) and `time` (UTC) added. A server that is away holds nothing up:
    a bounded number of deliveries wait, and each is tried again. Redirects are not followed: what the config names is
    all that is ever spoken to.

    Args:
        url: http:// or https://; user info becomes Basic authorization.
        classes: names of classes that are told; none for all.
        min_conf: lowest score that counts.
        headers: to be sent with every request.
        secret: signs the body: `X-Vedette-Signature: sha256=` and the HMAC in hexadecimal.
        timeout_s: for the connection and for each wait in an exchange; a whole one takes three times this at most.
        retries: further tries after the first.
        min_interval_s: least time of the video between two deliveries of one stream; what comes within is not told.

    Raises:
        UsageError: an argument cannot be meant.
    """

    def __init__(
        self,
        url: str,
        *,
        classes: Sequence[str] = (),
        min_conf: float = 0.5,
        headers: Mapping[str, str] = MappingProxyType({}),
        secret: str | None = None,
        timeout_s: float = 5.0,
        retries: int = 5,
        min_interval_s: float = 0.0,
    ) -> None:
        remember_uri(url)
        for text in [secret, *(text for name, text in headers.items() if _SECRET_HEADER.search(name))]:
            remember_secret(text or "")
        _check(min_conf, timeout_s, retries, min_interval_s, headers)
        target = Target.of(url, headers, secret, timeout_s, retries)
        self._arrivals = Arrivals(frozenset(classes), min_conf)
        self._min_interval_s = min_interval_s
        self._told_s: dict[str, float] = {}  # of each stream: media time of its last delivery
        # Of the address only what names the server: the path is the secret of many a chat's hooks.
        self._outbox: Outbox[Delivery] = Outbox(f"webhook {target.place}", items=WAITING)
        self._poster = Poster(target, self._outbox)

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        """Queue a delivery for every result in which something appeared; it never waits."""
        for result in results:
            appeared = self._arrivals.of(result)
            if not appeared:
                continue
            told_s = self._told_s.get(frame.stream)
            if told_s is not None and frame.time_s - told_s < self._min_interval_s:
                self._outbox.dropped("interval")
                continue
            self._told_s[frame.stream] = frame.time_s
            body = _body(result, appeared)
            self._outbox.put(Delivery(str(uuid.uuid4()), body), len(body))

    def close(self) -> None:
        """Send for up to a second what waits; the rest is lost and counted. The second time does nothing."""
        self._poster.close()

    def status(self) -> SinkStatus:
        """Whether the server takes what it is sent, and what was lost."""
        return self._outbox.status()


def _body(result: Result, appeared: Sequence[str]) -> bytes:
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    record = {**result.to_dict(), "appeared": list(appeared), "time": now}
    return json.dumps(record, separators=(",", ":"), allow_nan=False).encode()


def _check(
    min_conf: float, timeout_s: float, retries: int, min_interval_s: float, headers: Mapping[str, str]
) -> None:
    rules = [
        ("min_conf", min_conf, 0 <= min_conf <= 1, "it is a score, 0 to 1", "0.5"),
        ("timeout_s", timeout_s, 0 < timeout_s <= 300, "it is in seconds, 300 at most", "5"),
        ("retries", retries, 0 <= retries <= 100, "it is 0 to 100", "5"),
        ("min_interval_s", min_interval_s, min_interval_s >= 0, "it is in seconds, 0 or more", "10"),
    ]
    for name, value, fits, why, example in rules:
        if not fits:
            raise UsageError(f"webhook: {name} {value} cannot be used", why=why, cure=f"use {example}, say")
    for name, text in headers.items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or not re.fullmatch(r"[\x20-\x7e]*", text):
            raise UsageError(
                f"webhook: the header {redact(name)!r} cannot be sent",
                why="its name or its text holds what no HTTP header can",
                cure="use letters, digits and hyphens for the name, and one line of ASCII for the text",
            )
