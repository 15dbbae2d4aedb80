"""What systemd is told, read from a real socket."""

import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from vedette.runtime.notify import Notifier

Server = tuple[socket.socket, str]


@pytest.fixture(params=["file", "abstract"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A service manager's socket and the name it goes by in NOTIFY_SOCKET."""
    name = str(tmp_path / "s") if request.param == "file" else f"@vedette-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0", 1) if name.startswith("@") else name)
        listener.settimeout(2)
        yield listener, name


def received(listener: socket.socket) -> list[str]:
    listener.setblocking(False)
    found = []
    try:
        while True:
            found.append(listener.recv(4096).decode())
    except BlockingIOError:
        return found


def test_every_message_in_order(server: Server) -> None:
    listener, name = server
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.ready()
    notifier.status("4 of 5 live;\nrtsp://u:p@cam silent")
    notifier.watchdog()  # not watched: nothing
    notifier.stopping()
    assert received(listener) == ["READY=1", "STATUS=4 of 5 live; rtsp://***@cam silent", "STOPPING=1"]


@pytest.mark.parametrize("process", ["", str(os.getpid())], ids=["unnamed", "ours"])
def test_a_sign_of_life_at_half_of_the_watchdogs_time(server: Server, process: str) -> None:
    listener, name = server
    now = [100.0]
    environment = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "30000000"} | (
        {"WATCHDOG_PID": process} if process else {}
    )
    notifier = Notifier(environment, lambda: now[0])
    told = []
    for _ in range(61):  # a call every half second for half a minute
        notifier.watchdog()
        told += [(now[0], text) for text in received(listener)]
        now[0] += 0.5
    assert notifier.watchdog_s == 30
    assert told == [(100.0, "WATCHDOG=1"), (115.0, "WATCHDOG=1"), (130.0, "WATCHDOG=1")]


@pytest.mark.parametrize(
    "watched",
    [{"WATCHDOG_PID": "1", "WATCHDOG_USEC": "1000"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "0"}, {}],
)
def test_a_watchdog_that_is_not_ours_is_told_nothing(server: Server, watched: dict[str, str]) -> None:
    listener, name = server
    notifier = Notifier({"NOTIFY_SOCKET": name, **watched})
    notifier.watchdog()
    assert notifier.watchdog_s is None
    assert received(listener) == []


@pytest.mark.parametrize("name", ["", "vsock:2:1", "/nowhere/at/all", "@nobody", "/" + "x" * 200, "@\0"])
def test_nothing_is_raised_where_nobody_listens(name: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000"})
    for tell in (notifier.ready, notifier.watchdog, notifier.stopping, lambda: notifier.status("x")):
        tell()


def test_a_manager_that_reads_nothing_does_not_hold_us_up(server: Server) -> None:
    listener, name = server
    notifier = Notifier({"NOTIFY_SOCKET": name})
    for index in range(30):
        notifier.status(f"{index}")
    assert received(listener)[0] == "STATUS=0"
