"""Transport streams by TCP and UDP, from senders of our own."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import clips
import pytest

from vedette.runtime.errors import SourceError
from vedette.runtime.frame import Frame
from vedette.runtime.sources import Lasting, SourceOptions, open_source

OPTIONS = SourceOptions(open_timeout_s=2.0, read_timeout_s=0.5)
DATAGRAM = 7 * 188  # bytes: as many TS packets as fit an Ethernet packet
SECONDS = 3


def datagrams(path: Path) -> Iterator[bytes]:
    """The file at its own rate."""
    data, began = path.read_bytes(), time.monotonic()
    for start in range(0, len(data), DATAGRAM):
        yield data[start : start + DATAGRAM]
        time.sleep(max(0.0, began + SECONDS * start / len(data) - time.monotonic()))


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return clips.write_video(tmp_path / "film.ts", SECONDS * 25, tune="zerolatency", size=(192, 128))


def over_tcp(film: Path, *, then_wait_s: float = 0.0) -> str:
    server = socket.create_server(("127.0.0.1", 0))

    def send() -> None:
        with server, server.accept()[0] as client:
            for data in datagrams(film):
                client.sendall(data)
            time.sleep(then_wait_s)

    threading.Thread(target=send, daemon=True).start()
    return f"tcp://127.0.0.1:{server.getsockname()[1]}"


def over_udp(film: Path) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def send() -> None:
        time.sleep(0.3)  # the reader is to listen already
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for data in datagrams(film):
                sender.sendto(data, ("127.0.0.1", port))

    threading.Thread(target=send, daemon=True).start()
    return f"udp://127.0.0.1:{port}"


@pytest.mark.parametrize("sender", [over_tcp, over_udp])
def test_a_stream_is_read_in_order_until_it_breaks_off(film: Path, sender: Callable[[Path], str]) -> None:
    source = open_source(sender(film), OPTIONS)
    assert source.live
    assert isinstance(source, Lasting)
    assert source.lasting
    frames, deadline = [], time.monotonic() + 20
    with pytest.raises(SourceError) as error:  # noqa: PT012 it may fail at any of these reads
        while time.monotonic() < deadline:
            if isinstance(found := source.read(0.2), Frame):
                frames.append(found)
    numbers = [clips.index_in(frame.bgr()) for frame in frames]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len(numbers) > 40
    assert error.value.code == ("ended" if sender is over_tcp else "silent")


def test_who_connects_and_gets_nothing_gives_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = open_source(f"tcp://127.0.0.1:{server.getsockname()[1]}", OPTIONS)
        started = time.monotonic()
        with pytest.raises(SourceError) as error:
            source.read()
    assert error.value.code == "timeout"
    assert time.monotonic() - started < 1.2 * OPTIONS.open_timeout_s + 0.5
