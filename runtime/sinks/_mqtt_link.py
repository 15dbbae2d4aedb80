"""A thread with an event loop that keeps a connection to an MQTT broker, for ever, and empties an outbox into it.

In: Messages of an outbox, retained ones that are kept.  Out: MQTT 3.1.1, by aiomqtt.
"""

import asyncio
import logging
import random
import threading
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vedette.runtime.errors import redact
from vedette.runtime.sinks._outbox import Outbox

if TYPE_CHECKING:
    from aiomqtt import Client

log = logging.getLogger(__name__)
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 5.0  # between tries to connect, doubling
PATIENCE_S = 5.0  # for the broker's answer to anything
KEEPALIVE_S = 10  # a silent broker is found out after about 1.5 times this, and so is a program that was killed by power
CLOSING_S = 0.8  # for what waits when the program ends
NAP_S = 0.2  # between looks at whether the program ends


@dataclass(frozen=True, slots=True)
class Message:
    """One text for one topic."""

    topic: str
    payload: bytes
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is and how it is spoken to; `status_topic` says whether we are there."""

    host: str
    port: int
    username: str | None
    password: str | None
    tls: bool
    client_id: str | None
    qos: int
    status_topic: str


class Link:
    """Begins with the first message; ends with close()."""

    def __init__(self, broker: Broker, outbox: Outbox[Message]) -> None:
        self._broker, self._outbox = broker, outbox
        self._kept: dict[str, Message] = {}  # newest retained message of each topic
        self._news: set[str] = set()  # topics whose newest is not published yet
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._deadline = float("inf")  # time.monotonic() after which nothing is sent
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()  # of the connection that is there; each has its own
        outbox.wake = self._wake
        self._begun = False
        # A daemon: a program that dies without close() is not kept alive by a broker that never answers.
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)

    def keep(self, message: Message) -> None:
        """Publish it retained, now and at every connection, until there is a newer one of its topic."""
        with self._lock:
            self._kept[message.topic] = message
            self._news.add(message.topic)
        self._wake()

    def close(self) -> None:
        """Send what waits while the broker takes it, for CLOSING_S at most; then all is lost and counted."""
        self._deadline = min(self._deadline, time.monotonic() + CLOSING_S)
        self._closing.set()
        self._outbox.close()
        if self._begun:
            self._thread.join(max(0.0, self._deadline - time.monotonic()) + 0.15)
        self._outbox.abandon()

    def _wake(self) -> None:
        with self._lock:
            if not self._begun and not self._closing.is_set():
                self._begun = True
                self._thread.start()
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._changed.set)

    def _run(self) -> None:
        wait_s = FIRST_WAIT_S
        while not self._closing.is_set():
            began = time.monotonic()
            # A loop a connection: what a failed one leaves behind ends with its loop.
            asyncio.run(self._until_over())
            if time.monotonic() - began > 2 * PATIENCE_S:  # it had worked
                wait_s = FIRST_WAIT_S
            self._closing.wait(wait_s * random.uniform(0.75, 1.25))  # not all clients at once
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    async def _until_over(self) -> None:
        """One connection, until it breaks, or all is sent and closed, or there is no time left to send it."""
        self._changed = asyncio.Event()
        with self._lock:
            self._loop = asyncio.get_running_loop()
        try:
            await _first_of(self._connection(), self._deadline_passed())
        except Exception as error:  # noqa: BLE001  nothing that a broker does may end this thread
            self._tell(error)
        finally:
            with self._lock:
                self._loop = None

    async def _connection(self) -> None:
        client = self._client()
        try:
            async with client:
                await self._greet(client)
                try:
                    await _first_of(self._publish_all(client), _broken(client))
                finally:
                    if self._closing.is_set():  # who hangs up properly has no last will
                        await self._say(client, b"offline", timeout_s=0.1)
        finally:
            _hang_up(client)

    async def _deadline_passed(self) -> None:
        while not self._closing.is_set():
            await asyncio.sleep(NAP_S)
        await asyncio.sleep(max(0.0, self._deadline - time.monotonic()))

    def _client(self) -> "Client":
        import ssl

        from aiomqtt import Client, Will

        broker = self._broker
        return Client(
            broker.host,
            broker.port,
            username=broker.username,
            password=broker.password,
            identifier=broker.client_id,
            tls_context=ssl.create_default_context() if broker.tls else None,
            will=Will(broker.status_topic, b"offline", qos=1, retain=True),
            timeout=PATIENCE_S,
            keepalive=KEEPALIVE_S,
            logger=logging.getLogger(f"{__name__}.aiomqtt"),
        )

    async def _greet(self, client: "Client") -> None:
        await self._say(client, b"online", timeout_s=PATIENCE_S)
        with self._lock:
            self._news = set(self._kept)
        if self._outbox.trouble(""):
            log.info("mqtt: %s:%d takes messages again", self._broker.host, self._broker.port)

    async def _say(self, client: "Client", text: bytes, *, timeout_s: float) -> None:
        await client.publish(self._broker.status_topic, text, qos=1, retain=True, timeout=timeout_s)

    async def _publish_all(self, client: "Client") -> None:
        """Until closed and empty."""
        while True:
            self._changed.clear()
            for message in self._taken_news():
                await client.publish(message.topic, message.payload, qos=1, retain=True)
            taken = self._outbox.take(timeout_s=0)
            if taken is not None:
                await self._publish(client, *taken)
            elif self._outbox.closed:
                return
            else:
                await self._changed.wait()

    async def _publish(self, client: "Client", message: Message, size: int) -> None:
        try:
            await client.publish(message.topic, message.payload, qos=self._broker.qos, retain=message.retain)
        except BaseException:  # cancelled, too: whoever cannot be told now is told later
            self._outbox.put_back(message, size)
            raise
        self._outbox.sent()

    def _taken_news(self) -> list[Message]:
        with self._lock:
            news, self._news = self._news, set()
            return [self._kept[topic] for topic in sorted(news)]

    def _tell(self, error: Exception) -> None:
        code = (
            "login" if "authori" in str(error).lower() or "user name" in str(error).lower() else "unreachable"
        )
        if self._outbox.trouble(code):
            why = redact(str(error)) or type(error).__name__
            log.warning("mqtt: %s:%d takes no messages: %s", self._broker.host, self._broker.port, why)


async def _first_of(*works: "Coroutine[Any, Any, None]") -> None:
    """Run them side by side until one ends, and raise what it raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _broken(client: "Client") -> None:
    """Ends, by an error, when the broker hangs up; nothing was subscribed to, so no message comes."""
    async for _ in client.messages:
        continue


def _hang_up(client: "Client") -> None:
    """Close the socket that aiomqtt leaves open where a broker refused or never answered: one a try, for weeks."""
    with suppress(AttributeError, OSError, ValueError):
        socket = client._client.socket()
        if socket is not None:
            asyncio.get_running_loop().remove_reader(socket.fileno())
            asyncio.get_running_loop().remove_writer(socket.fileno())
            socket.close()
