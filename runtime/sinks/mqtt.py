"""Records and states to an MQTT broker: TOPIC/STREAM/MODEL, TOPIC/STREAM/state, TOPIC/status.

In: frames and results; Events.  Out: JSON texts.  Next: _mqtt_link.py, whose thread talks to the broker.
"""

import json
import re
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.util import find_spec
from typing import Any, Literal

from vedette.runtime.errors import UsageError, redact, remember_secret
from vedette.runtime.frame import Frame
from vedette.runtime.results import Result
from vedette.runtime.sinks._mqtt_link import Broker, Link, Message
from vedette.runtime.sinks._outbox import Outbox
from vedette.runtime.status import Event, SinkStatus

WAITING = 1000  # records; the oldest are dropped while the broker is away


class MqttSink:
    """Publishes the JSON record of every frame and model, and how each stream is.

    A broker that is away, now or later, holds nothing up: records wait, a bounded number of them, and the newest state
    of each stream is published again, retained, at every connection. `TOPIC/status` is `online`, and by the last will
    `offline` whatever ended the program.

    Args:
        host: of the broker.
        port: 8883 is usual with TLS.
        topic: what all topics begin with; two programs at one broker need two.
        username: to log in as.
        password: to log in with.
        tls: encrypt, and check the broker's certificate against the system's.
        client_id: by which the broker knows this program; chosen by the broker if None.
        qos: of records: 0 to send once, 1 to send until the broker confirms, 2 for no repetition either.
        every: `frame`, or `change`: only when something else is found than in the model's last record of that stream.

    Raises:
        UsageError: an argument cannot be meant, or the extra is missing.
    """

    def __init__(
        self,
        host: str,
        *,
        port: int = 1883,
        topic: str = "vedette",
        username: str | None = None,
        password: str | None = None,
        tls: bool = False,
        client_id: str | None = None,
        qos: int = 0,
        every: Literal["frame", "change"] = "frame",
    ) -> None:
        _check(host, port, topic, qos, every)
        if password is not None:
            remember_secret(password, user=username or "")
        self._topic, self._every = topic.strip("/"), every
        self._found: dict[tuple[str, str], str] = {}  # of each stream and model, what was published last
        self._outbox: Outbox[Message] = Outbox(redact(f"mqtt {host}:{port}/{self._topic}"), items=WAITING)
        broker = Broker(host, port, username, password, tls, client_id, qos, f"{self._topic}/status")
        self._link = Link(broker, self._outbox)  # speaks to nobody before there is something to say

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        """Queue the records; it never waits."""
        for result in results:
            key = (frame.stream, result.model)
            found = result.summary() if self._every == "change" else ""
            if self._every == "change" and self._found.get(key) == found:
                continue
            self._found[key] = found
            text = result.to_json().encode()
            topic = f"{self._topic}/{level(frame.stream)}/{level(result.model)}"
            self._outbox.put(Message(topic, text), len(text))

    def event(self, event: Event) -> None:
        """Publish how a stream is, retained: who subscribes later is told at once."""
        text = json.dumps(event_record(event), separators=(",", ":")).encode()
        self._link.keep(Message(f"{self._topic}/{level(event.stream)}/state", text, retain=True))

    def close(self) -> None:
        """Send for up to a second what waits, say `offline` and hang up. The second time does nothing."""
        self._link.close()

    def status(self) -> SinkStatus:
        """Whether the broker takes what it is sent, and what was lost."""
        return self._outbox.status()


def event_record(event: Event) -> dict[str, Any]:
    """An Event as JSON, its time in UTC."""
    when = datetime.fromtimestamp(event.time_ns / 1e9, timezone.utc)
    return {
        "stream": event.stream,
        "state": event.state.value,
        "code": event.code,
        "text": redact(event.text),
        "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }


def level(name: str) -> str:
    """A name as one level of a topic: no separator, wildcard or control character."""
    return re.sub(r"[/+#\x00-\x1f\x7f-\x9f]", "_", name) or "_"


def _check(host: str, port: int, topic: str, qos: int, every: str) -> None:
    rules = [
        (
            "host",
            host,
            bool(host) and not re.search(r"[\s/@]", host),
            "it is a name or address",
            "broker.lan",
        ),
        ("port", port, 0 < port < 65536, "it is 1 to 65535", "1883"),
        (
            "topic",
            topic,
            bool(topic.strip("/")) and not re.search(r"[+#\x00]", topic),
            "it has no wildcards",
            "vedette",
        ),
        ("qos", qos, qos in {0, 1, 2}, "it is 0, 1 or 2", "0"),
        ("every", every, every in {"frame", "change"}, "it is frame or change", "frame"),
    ]
    for name, value, fits, why, example in rules:
        if not fits:
            raise UsageError(f"mqtt: {name} {value!r} cannot be used", why=why, cure=f"use {example}, say")
    if not find_spec("aiomqtt"):
        raise UsageError("mqtt needs aiomqtt", why="it is not installed", cure="pip install 'vedette[mqtt]'")
