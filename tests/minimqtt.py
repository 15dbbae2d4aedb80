"""An MQTT 3.1.1 broker that only listens: it takes what clients publish and keeps it for the test to see.

Source: OASIS MQTT Version 3.1.1, sections 2 and 3.  Out: messages as (topic, payload, qos, retain), wills included.
"""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

CONNECT, CONNACK, PUBLISH, PUBACK, PINGREQ, PINGRESP, DISCONNECT = 1, 2, 3, 4, 12, 13, 14


class Published(NamedTuple):
    topic: str
    payload: bytes
    qos: int
    retain: bool


class Broker:
    """Listens on a port of 127.0.0.1 until it is stopped.

    Args:
        port: 0 for any that is free.
        code: what CONNECT is answered with: 0 accepts, 4 refuses the login.
        silent: accept connections and never say a word.
    """

    def __init__(self, port: int = 0, *, code: int = 0, silent: bool = False) -> None:
        self.code, self.silent = code, silent
        self.messages: list[Published] = []
        self.logins: list[tuple[str, str]] = []
        self._clients: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """Hang up on everyone, as a broker does that is killed."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in self._clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def wait(self, fits: Callable[["Broker"], object], timeout_s: float = 10.0) -> None:
        end = time.monotonic() + timeout_s
        while not fits(self):
            assert time.monotonic() < end, (self.messages[-5:], self.logins)
            time.sleep(0.01)

    def of(self, topic: str) -> list[bytes]:
        return [message.payload for message in list(self.messages) if message.topic == topic]

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._clients.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        will: Published | None = None
        with client, client.makefile("rb") as reader, suppress(OSError, IndexError):
            while first := reader.read(1):
                length, shift = 0, 0
                while True:
                    byte = reader.read(1)[0]
                    length, shift = length | (byte & 127) << shift, shift + 7
                    if byte < 128:
                        break
                body = reader.read(length)
                kind, flags = first[0] >> 4, first[0] & 15
                if self.silent:
                    continue
                if kind == CONNECT:
                    will = self._connect(body)
                    client.sendall(bytes([CONNACK << 4, 2, 0, self.code]))
                elif kind == PUBLISH:
                    client.sendall(self._publish(body, flags))
                elif kind == PINGREQ:
                    client.sendall(bytes([PINGRESP << 4, 0]))
                elif kind == DISCONNECT:
                    will = None
        if will is not None and self._listener.fileno() >= 0:
            self.messages.append(will)

    def _connect(self, body: bytes) -> Published | None:
        assert body[:7] == b"\0\4MQTT\4"
        flags, rest = body[7], body[10:]
        fields = []
        while rest:
            size = int.from_bytes(rest[:2], "big")
            fields.append(rest[2 : 2 + size])
            rest = rest[2 + size :]
        fields.pop(0)  # the client's name
        will = None
        if flags & 4:
            will = Published(fields.pop(0).decode(), fields.pop(0), flags >> 3 & 3, bool(flags & 32))
        login = [field.decode() for field in fields] + ["", ""]
        self.logins.append((login[0], login[1]))
        return will

    def _publish(self, body: bytes, flags: int) -> bytes:
        size, qos = int.from_bytes(body[:2], "big"), flags >> 1 & 3
        topic, rest = body[2 : 2 + size].decode(), body[2 + size :]
        identity, payload = (rest[:2], rest[2:]) if qos else (b"", rest)
        self.messages.append(Published(topic, payload, qos, bool(flags & 1)))
        return bytes([PUBACK << 4, 2]) + identity if qos else b""
