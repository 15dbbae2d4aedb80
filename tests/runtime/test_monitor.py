"""What machines are told over HTTP, read by prometheus_client's own parser, and who is told nothing."""

import http.client
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from vedette.runtime import _monitor_server, monitor
from vedette.runtime.errors import UsageError
from vedette.runtime.monitor import Monitor, Sight, health, parse_address
from vedette.runtime.status import SinkStatus, State, Status

parser = pytest.importorskip("prometheus_client.parser", reason="the extra `web` is not installed")
Serve = Callable[..., Monitor]
LIVE = Status(
    "yard", "rtsp://***@cam/1", State.LIVE, "", 250, 3, 240, {"superseded": 9, 'a "b"\n': 1}, 2, 12.5, 0.04
)
GONE = Status("gate", "rtsp://u:hunter2@cam/2", State.BACKOFF, "refused", quiet_s=61.5)
SINKS = [
    SinkStatus("rec", "paused", "disk_full", 100, {"paused": 7}),
    SinkStatus("http://u:hunter2@hook", written=5),
    SinkStatus("rec"),
]


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as closing:

        def started(*streams: Status, address: str = "127.0.0.1:0", **options: Any) -> Monitor:
            seen = {status.stream: status for status in streams}
            server = Monitor(address, lambda: seen, options.pop("sinks", list), **options)
            closing.callback(server.close)
            server.start()
            return server

        yield started


def get(
    server: Monitor, path: str, method: str = "GET", **headers: str
) -> tuple[int, str, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        connection.request(
            method, path, headers={name.replace("_", "-"): text for name, text in headers.items()}
        )
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers
    finally:
        connection.close()


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    found = {}
    for family in parser.text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found  # Prometheus refuses a scrape that says a thing twice
            found[key] = sample.value
    return found


def test_every_number_is_there_under_its_name(serve: Serve) -> None:
    code, text, headers = get(serve(LIVE, GONE, sinks=lambda: SINKS), "/metrics")
    found = samples(text)
    assert code == 200
    assert headers["Content-Type"].startswith("text/plain")

    def value(name: str, **labels: str) -> float:
        return found[name, tuple(sorted(labels.items()))]

    assert value("vedette_frames_decoded_total", stream="yard") == 250
    assert value("vedette_frames_suspect_total", stream="yard") == 3
    assert value("vedette_frames_processed_total", stream="yard") == 240
    assert value("vedette_frames_dropped_total", stream="yard", reason="superseded") == 9
    assert value("vedette_frames_dropped_total", stream="yard", reason='a "b"\n') == 1
    assert value("vedette_connections_total", stream="yard") == 2
    assert value("vedette_frame_age_seconds", stream="yard") == 0.0125
    assert value("vedette_stream_quiet_seconds", stream="gate") == 61.5
    assert value("vedette_sink_state", sink="rec", state="paused") == 1
    assert value("vedette_sink_state", sink="rec", state="writing") == 0
    assert value("vedette_sink_state", sink="rec 2", state="writing") == 1
    assert value("vedette_sink_written_total", sink="http://***@hook") == 5
    assert value("vedette_sink_dropped_total", sink="rec", reason="paused") == 7
    assert value("vedette_alive") == 1
    assert ("vedette_frame_age_seconds", (("stream", "gate"),)) not in found
    states = {state: value("vedette_stream_state", stream="gate", state=state.value) for state in State}
    assert states == {state: float(state is State.BACKOFF) for state in State}
    if sys.platform.startswith("linux"):
        assert value("process_resident_memory_bytes") > 1e6
    assert "hunter2" not in text


def test_names_follow_the_conventions(serve: Serve) -> None:
    _, text, _ = get(serve(LIVE, sinks=lambda: SINKS), "/metrics")
    for family in parser.text_string_to_metric_families(text):
        assert family.documentation
        assert family.type in {"counter", "gauge"}
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter")


def test_health_of_the_streams_as_json(serve: Serve) -> None:
    code, text, _ = get(serve(LIVE, GONE, sinks=lambda: SINKS), "/healthz")
    told = json.loads(text)
    assert code == 200
    assert told["healthy"]
    assert told["streams"]["gate"] == {
        "source": "rtsp://***@cam/2", "state": "backoff", "code": "refused", "quiet_s": 61.5,
    }  # fmt: skip
    assert told["sinks"][0] == {"name": "rec", "state": "paused", "code": "disk_full"}
    assert "hunter2" not in text


NEW = Status("new", "x", State.CONNECTING, quiet_s=2.0)
ENDED = replace(LIVE, stream="file", state=State.ENDED)


@pytest.mark.parametrize(
    ("streams", "alive", "healthy"),
    [
        ([], True, True),
        ([], False, False),
        ([LIVE], True, True),
        ([LIVE], False, False),
        ([LIVE, GONE], True, True),
        ([GONE], True, False),
        ([NEW], True, True),
        ([replace(NEW, quiet_s=40.0)], True, False),
        ([NEW, GONE], True, False),
        ([replace(LIVE, state=State.STALLED)], True, False),
        ([replace(LIVE, state=State.FAILED)], True, False),
        ([ENDED], True, True),
        ([ENDED, GONE], True, False),
    ],
)
def test_healthy_is_alive_and_something_to_see(streams: Sequence[Status], alive: bool, healthy: bool) -> None:
    seen = {status.stream: status for status in streams}
    found, told = health(Sight(lambda: seen, list, lambda: alive))
    assert (found, told["healthy"]) == (healthy, healthy)


def test_the_code_says_unhealthy(serve: Serve) -> None:
    assert get(serve(GONE), "/healthz")[0] == 503
    assert get(serve(LIVE, alive=lambda: False), "/healthz")[0] == 503


def test_methods_and_paths(serve: Serve) -> None:
    server = serve(LIVE)
    code, text, headers = get(server, "/healthz", "HEAD")
    assert (code, text) == (200, "")
    assert int(headers["Content-Length"]) == len(get(server, "/healthz")[1])
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        assert get(server, "/metrics", method)[0] == 405
    assert get(server, "/metrics", "TRACE")[0] == 501
    for path in ("/", "/metric", "/../etc/passwd", "/metrics/", "/%6detrics"):
        assert get(server, path)[0] == 404, path
    assert get(server, "/metrics?name[]=x")[0] == 200


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("localhost:9100", 200), ("127.0.0.1", 200), ("127.8.8.8:1", 200), ("[::1]:9100", 200), ("LOCALHOST", 200),
        ("evil.example", 421), ("evil.example:9100", 421), ("127.0.0.1.evil.example", 421), ("10.0.0.1", 421),
        ("", 421), ("[", 421), ("localhost.", 421), ("@127.0.0.1", 421),
    ],
)  # fmt: skip
def test_a_foreign_host_name_is_refused(serve: Serve, host: str, code: int) -> None:
    assert get(serve(LIVE), "/metrics", Host=host)[0] == code


def test_a_token_is_asked_for_everywhere(serve: Serve) -> None:
    server = serve(LIVE, token="right-token")
    for path in ("/metrics", "/healthz", "/nothing"):
        code, text, headers = get(server, path)
        assert (code, headers["WWW-Authenticate"]) == (401, "Bearer")
        assert "yard" not in text
    for wrong in ("Bearer wrong", "Bearer right-toke", "bearer", "Basic right-token", "Bearer right-tokén"):
        assert get(server, "/metrics", Authorization=wrong.encode().decode("latin-1"))[0] == 401
    assert get(server, "/metrics", Authorization="Bearer right-token")[0] == 200


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "nowhere.invalid:0"])
def test_an_address_that_others_reach_needs_a_token(address: str) -> None:
    with pytest.raises(UsageError, match="without a token"):
        Monitor(address, dict)


def test_with_a_token_every_address_is_served(serve: Serve) -> None:
    server = serve(LIVE, address="0.0.0.0:0", token="right-token")
    assert get(server, "/metrics", Host="camera-box", Authorization="Bearer right-token")[0] == 200


@pytest.mark.parametrize("token", ["", " a", "a\nb", "é"])
def test_a_token_that_no_header_can_carry_is_refused(token: str) -> None:
    with pytest.raises(UsageError, match="token"):
        Monitor("127.0.0.1:0", dict, token=token)


@pytest.mark.parametrize(
    "address", ["9100", ":9100", "host", "host:", "host:x", "host:70000", "::1:9100", "[]:1", ""]
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(UsageError, match="no address"):
        parse_address(address)


def test_addresses() -> None:
    assert parse_address("127.0.0.1:9100") == ("127.0.0.1", 9100)
    assert parse_address("[::1]:0") == ("::1", 0)


def test_a_port_that_is_taken(serve: Serve) -> None:
    with pytest.raises(UsageError, match="cannot serve") as raised:
        Monitor(f"127.0.0.1:{serve(LIVE).port}", dict)
    assert "another program" in raised.value.cure


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "find_spec", lambda _: None)
    with pytest.raises(UsageError) as raised:
        Monitor("127.0.0.1:0", dict)
    assert raised.value.cure == "pip install 'vedette[web]'"


def test_silent_clients_pile_up_no_threads_and_are_hung_up_on(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_monitor_server.Server.__init__, "__defaults__", (0.5,))
    server, before = serve(LIVE), threading.active_count()
    with ExitStack() as closing:
        clients = [
            closing.enter_context(socket.create_connection(("127.0.0.1", server.port))) for _ in range(60)
        ]
        stop = threading.Event()
        trickle = threading.Thread(target=trickling, args=(clients[0], stop))
        trickle.start()
        most = 0
        for client in clients:
            client.settimeout(5)
            most = max(most, threading.active_count() - before - 1)
            assert client.recv(1) == b""  # hung up on, the one that sends a byte at a time too
        stop.set()
        trickle.join()
    assert 0 < most <= _monitor_server.CLIENTS
    assert get(server, "/healthz")[0] == 200


def trickling(client: socket.socket, stop: threading.Event) -> None:
    try:
        client.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        while not stop.wait(0.1):
            client.sendall(b"x")
    except OSError:
        return


def test_a_client_that_never_reads_holds_up_no_other(serve: Serve) -> None:
    server = serve(*(replace(LIVE, stream=f"cam{index}") for index in range(200)))
    with socket.create_connection(("127.0.0.1", server.port)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        deaf.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert len(samples(get(server, "/metrics")[1])) > 1000


def test_a_fault_of_ours_is_told_to_the_log_alone(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Sequence[SinkStatus]:
        raise RuntimeError("rtsp://u:hunter2@cam")

    code, text, _ = get(serve(LIVE, sinks=broken), "/healthz")
    assert (code, "hunter2" in text) == (500, False)
    assert "cannot be told" in caplog.text


def test_closing_is_quick_frees_the_port_and_may_be_done_twice(serve: Serve) -> None:
    server = serve(LIVE)
    with socket.create_connection(("127.0.0.1", server.port)):
        began = time.monotonic()
        server.close()
        server.close()
        assert time.monotonic() - began < 3
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", server.port), timeout=2)
    Monitor("127.0.0.1:0", dict).close()  # never started
