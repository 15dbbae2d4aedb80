"""Records at a broker: a fake that always runs, and Mosquitto where it is installed."""

import gc
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from minimqtt import Broker, Published

from vedette.runtime import redaction
from vedette.runtime.errors import UsageError, redact
from vedette.runtime.frame import Frame
from vedette.runtime.redaction import Redactor
from vedette.runtime.results import Boxes, Result
from vedette.runtime.sinks import mqtt
from vedette.runtime.sinks.mqtt import MqttSink, level
from vedette.runtime.status import Event, State

pytest.importorskip("aiomqtt", reason="the extra `mqtt` is not installed")
Make = Callable[..., MqttSink]
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_the_one", Redactor())


@pytest.fixture
def broker() -> Iterator[Broker]:
    found = Broker()
    yield found
    found.stop()


@pytest.fixture
def make() -> Iterator[Make]:
    with ExitStack() as closing:

        def made(port: int, **options: Any) -> MqttSink:
            sink = MqttSink("127.0.0.1", port=port, **options)
            closing.callback(sink.close)
            return sink

        yield made


def seen(index: int = 0, *, people: int = 1, stream: str = "yard") -> tuple[Frame, list[Result]]:
    frame = Frame((np.zeros((48, 64, 3), np.uint8),), stream=stream, source="rtsp://***@cam", index=index)
    boxes = Boxes(
        np.zeros((people, 4), np.float32),
        np.full(people, 0.9, np.float32),
        np.zeros(people, np.int64),
        (48, 64),
    )
    return frame, [Result(frame, "nanodet", "detection", {0: "person"}, boxes)]


def state(to: State = State.LIVE, stream: str = "yard") -> Event:
    return Event(stream, to, "", "rtsp://u:hunter2@cam answers", 1_790_000_000_123_456_789)


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.mark.parametrize("qos", [0, 1])
def test_records_states_and_presence(broker: Broker, make: Make, qos: int) -> None:
    sink = make(broker.port, username="viewer", password="hunter2", qos=qos)
    sink.event(state())
    for index in range(3):
        sink.write(*seen(index))
    broker.wait(lambda b: len(b.of("vedette/yard/nanodet")) == 3)
    sink.close()
    records = [message for message in broker.messages if message.topic == "vedette/yard/nanodet"]
    assert [json.loads(record.payload) for record in records] == [
        seen(index)[1][0].to_dict() for index in range(3)
    ]
    assert {(record.qos, record.retain) for record in records} == {(qos, False)}
    (told,) = (message for message in broker.messages if message.topic == "vedette/yard/state")
    assert told.retain
    assert json.loads(told.payload) == {
        "stream": "yard", "state": "live", "code": "", "text": "rtsp://***@cam answers",
        "time": "2026-09-21T14:13:20.123Z",
    }  # fmt: skip
    status = [message for message in broker.messages if message.topic == "vedette/status"]
    assert status == [
        Published("vedette/status", b"online", 1, True),
        Published("vedette/status", b"offline", 1, True),
    ]
    assert broker.logins == [("viewer", "hunter2")]
    assert redact("hunter2") == "***"
    found = sink.status()
    assert (found.state, found.code, found.written, found.dropped) == ("writing", "", 3, {})
    assert found.name == f"mqtt 127.0.0.1:{broker.port}/vedette"


def test_nobody_is_spoken_to_before_there_is_something_to_say(broker: Broker, make: Make) -> None:
    sink = make(broker.port)
    time.sleep(0.1)
    sink.close()
    assert broker.logins == []


def test_a_broker_that_comes_late(make: Make) -> None:
    port = free_port()
    sink = make(port)
    sink.event(state(State.CONNECTING))
    sink.event(state(State.LIVE))
    sink.write(*seen(7))
    end = time.monotonic() + 5
    while sink.status().code != "unreachable" and time.monotonic() < end:
        time.sleep(0.01)
    assert (sink.status().state, sink.status().code) == ("paused", "unreachable")
    broker = Broker(port)
    broker.wait(lambda b: b.of("vedette/yard/nanodet"))
    assert [json.loads(text)["state"] for text in broker.of("vedette/yard/state")] == ["live"]
    assert sink.status().state == "writing"
    broker.stop()


def test_a_broker_that_dies_and_returns(broker: Broker, make: Make) -> None:
    sink = make(broker.port)
    sink.event(state())
    sink.write(*seen(0))
    broker.wait(lambda b: b.of("vedette/yard/nanodet"))
    broker.stop()
    end = time.monotonic() + 5
    while sink.status().state != "paused" and time.monotonic() < end:
        time.sleep(0.01)
    began = time.monotonic()
    for index in range(1, 1500):
        sink.write(*seen(index))
    assert time.monotonic() - began < 5  # nobody waited for the broker
    again = Broker(broker.port)
    again.wait(lambda b: len(b.of("vedette/yard/nanodet")) >= mqtt.WAITING, 15)
    indices = [json.loads(text)["frame"] for text in again.of("vedette/yard/nanodet")]
    assert indices == list(range(1500 - mqtt.WAITING, 1500))  # the oldest are lost
    assert sink.status().dropped == {"queue_full": 1499 - mqtt.WAITING}
    assert again.of("vedette/yard/state")
    assert again.of("vedette/status")[0] == b"online"
    again.stop()


@pytest.mark.parametrize("kind", ["absent", "silent", "blackhole"])
def test_closing_takes_a_second_at_most_and_counts_what_is_lost(kind: str, make: Make) -> None:
    with ExitStack() as closing:
        port = free_port()
        if kind == "silent":
            silent = Broker(silent=True)
            closing.callback(silent.stop)
            port = silent.port
        if kind == "blackhole":  # its queue of connections is full, so that none is even answered
            full = closing.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            port = int(full.getsockname()[1])
            for _ in range(2):
                filler = closing.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
        sink = make(port)
        for index in range(5):
            sink.write(*seen(index))
        time.sleep(0.3)
        began = time.monotonic()
        sink.close()
        assert time.monotonic() - began < 3
        sink.close()
        sink.write(*seen(9))
        assert sink.status().dropped == {"closed": 6}


def test_a_refused_login_is_told(make: Make) -> None:
    broker = Broker(code=5)
    sink = make(broker.port, username="viewer", password="wrong")
    sink.event(state())
    broker.wait(lambda b: len(b.logins) >= 2)
    assert (sink.status().state, sink.status().code) == ("paused", "login")
    sink.close()
    broker.stop()


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Nothing is left to a garbage collection that may be far away."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
def test_failed_connections_leave_nothing_behind(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from vedette.runtime.sinks import _mqtt_link

    monkeypatch.setattr(_mqtt_link, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(_mqtt_link, "LONGEST_WAIT_S", 0.001)
    monkeypatch.setattr(_mqtt_link, "PATIENCE_S", 0.02)
    for broker in (Broker(code=5), Broker(silent=True)):
        sink = make(broker.port)
        sink.event(state())
        broker.wait(lambda b: len(b._clients) >= 5)
        before, threads, count = (
            descriptors(),
            threading.active_count(),
            len(broker._clients),
        )
        broker.wait(lambda b, count=count: len(b._clients) >= count + 30)  # type: ignore[misc]
        # the fake's own clients come and go with ours
        assert descriptors() - before < 15
        assert threading.active_count() - threads < 8
        sink.close()
        broker.stop()


def test_changes_alone(broker: Broker, make: Make) -> None:
    sink = make(broker.port, every="change")
    for index, people in enumerate([0, 0, 1, 1, 1, 2, 0]):
        sink.write(*seen(index, people=people))
    sink.write(*seen(7, people=0, stream="gate"))
    broker.wait(lambda b: b.of("vedette/gate/nanodet"))
    assert [json.loads(text)["frame"] for text in broker.of("vedette/yard/nanodet")] == [0, 2, 5, 6]


def test_names_become_levels(broker: Broker, make: Make) -> None:
    sink = make(broker.port, topic="/site/a/")
    sink.write(*seen(stream="back/yard+#\n"))
    broker.wait(lambda b: b.of("site/a/back_yard___/nanodet"))
    assert level("") == "_"


@pytest.mark.parametrize(
    ("options", "word"),
    [({"port": 0}, "port"), ({"topic": "a/+/b"}, "topic"), ({"topic": "/"}, "topic"), ({"qos": 3}, "qos"),
     ({"every": "second"}, "every")],
)  # fmt: skip
def test_what_cannot_be_meant(options: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        MqttSink("broker", **options)


def test_a_host_is_no_url() -> None:
    with pytest.raises(UsageError, match="host") as raised:
        MqttSink("mqtt://u:hunter2@broker")
    assert "hunter2" not in str(raised.value)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "find_spec", lambda _: None)
    with pytest.raises(UsageError) as raised:
        MqttSink("broker")
    assert raised.value.cure == "pip install 'vedette[mqtt]'"


CHILD = """
import sys, time
from vedette.runtime.sinks.mqtt import MqttSink
from vedette.runtime.status import Event, State
sink = MqttSink("127.0.0.1", port=int(sys.argv[1]))
sink.event(Event("yard", State.CONNECTING, "", "", 0))
time.sleep(60)
"""


def killed_child(port: int, online: Callable[[], bool]) -> None:
    """A program with a sink, killed without warning once it is online."""
    with subprocess.Popen([sys.executable, "-c", CHILD, str(port)], stdout=subprocess.DEVNULL) as process:
        end = time.monotonic() + 20
        while not online():
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)


def test_the_last_will_of_a_killed_program(broker: Broker) -> None:
    killed_child(broker.port, lambda: b"online" in broker.of("vedette/status"))
    broker.wait(lambda b: b.messages[-1] == Published("vedette/status", b"offline", 1, True))


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[int]:
    """The port of a real broker that asks for a login."""
    if MOSQUITTO is None or shutil.which("mosquitto_passwd") is None:
        pytest.skip("Mosquitto is not installed: apt-get install mosquitto")
    port, passwords, config = free_port(), tmp_path / "passwords", tmp_path / "mosquitto.conf"
    passwords.touch(0o600)
    subprocess.run(
        ["mosquitto_passwd", "-b", passwords, "viewer", "hunter2"], check=True, capture_output=True
    )
    passwords.chmod(0o644)
    tmp_path.chmod(0o755)
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\nuser root\n"
    )
    with subprocess.Popen([MOSQUITTO, "-c", config], stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 10
        while not listens(port):
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.05)
        yield port
        process.terminate()


def retained(port: int, topic: str) -> dict[str, bytes]:
    """What a new subscriber is told at once."""
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    found: dict[str, bytes] = {}
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set("viewer", "hunter2")
    client.on_message = lambda _client, _data, message: found.update({message.topic: bytes(message.payload)})
    client.connect("127.0.0.1", port)
    client.subscribe(topic)
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        client.loop(0.05)
    client.disconnect()
    return found


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_real_broker_keeps_state_and_presence(mosquitto: int, make: Make, qos: int) -> None:
    sink = make(mosquitto, username="viewer", password="hunter2", qos=qos)
    sink.event(state())
    for index in range(200):
        sink.write(*seen(index))
    end = time.monotonic() + 10
    while sink.status().written < 200 and time.monotonic() < end:
        time.sleep(0.01)
    assert sink.status().written == 200
    found = retained(mosquitto, "vedette/#")
    assert found["vedette/status"] == b"online"
    assert json.loads(found["vedette/yard/state"])["state"] == "live"
    sink.close()
    assert retained(mosquitto, "vedette/status") == {"vedette/status": b"offline"}


def test_a_real_broker_publishes_the_last_will(mosquitto: int, monkeypatch: pytest.MonkeyPatch) -> None:
    child = CHILD.replace("int(sys.argv[1])", 'int(sys.argv[1]), username="viewer", password="hunter2"')
    monkeypatch.setitem(globals(), "CHILD", child)
    killed_child(mosquitto, lambda: retained(mosquitto, "vedette/#").get("vedette/status") == b"online")
    assert retained(mosquitto, "vedette/status") == {"vedette/status": b"offline"}


def test_a_real_broker_refuses_a_wrong_password(mosquitto: int, make: Make) -> None:
    sink = make(mosquitto, username="viewer", password="wrong")
    sink.event(state())
    end = time.monotonic() + 5
    while sink.status().state != "paused" and time.monotonic() < end:
        time.sleep(0.01)
    assert sink.status().code == "login"
