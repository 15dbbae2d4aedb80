"""Deliveries to a web server that answers, fails, hangs, redirects or is not there."""

import hashlib
import hmac
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import numpy as np
import pytest

from vedette.runtime import redaction
from vedette.runtime.errors import UsageError, redact
from vedette.runtime.frame import Frame
from vedette.runtime.redaction import Redactor
from vedette.runtime.results import Boxes, Result, Segmentation
from vedette.runtime.sinks import _post, webhook
from vedette.runtime.sinks._arrivals import Arrivals
from vedette.runtime.sinks._outbox import Outbox
from vedette.runtime.sinks.webhook import WebhookSink

NAMES = {0: "person", 1: "dog"}


class Request(NamedTuple):
    path: str
    headers: Mapping[str, str]
    body: bytes
    at_s: float


Reply = Callable[[BaseHTTPRequestHandler, int], None]  # and how many requests came before


class Server:
    """Keeps every request, and answers each as `reply` does."""

    def __init__(self, reply: Reply) -> None:
        self.requests: list[Request] = []
        self.over = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append(Request(self.path, dict(self.headers), body, time.monotonic()))
                try:
                    reply(self, len(outer.requests) - 1)
                except OSError:  # the sink hung up
                    return

            def do_GET(self) -> None:
                outer.requests.append(Request("GET " + self.path, {}, b"", time.monotonic()))

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def wait(self, count: int, timeout_s: float = 10.0) -> list[Request]:
        end = time.monotonic() + timeout_s
        while len(self.requests) < count:
            assert time.monotonic() < end, self.requests
            time.sleep(0.005)
        return self.requests

    def stop(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


Serve = Callable[..., Server]
Make = Callable[..., WebhookSink]


def answer(*codes: int, **headers: str) -> Reply:
    """These codes in turn, the last for ever."""

    def reply(handler: BaseHTTPRequestHandler, before: int) -> None:
        handler.send_response(codes[min(before, len(codes) - 1)])
        for name, text in headers.items():
            handler.send_header(name.replace("_", "-"), text)
        handler.end_headers()

    return reply


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_the_one", Redactor())


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as closing:

        def started(reply: Reply) -> Server:
            server = Server(reply)
            closing.callback(server.stop)
            return server

        yield started


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setattr(_post, "FIRST_WAIT_S", 0.02)
    with ExitStack() as closing:

        def made(server: Server | int, path: str = "/hook", **options: Any) -> WebhookSink:
            port = server if isinstance(server, int) else server.port
            sink = WebhookSink(f"http://127.0.0.1:{port}{path}", **options)
            closing.callback(sink.close)
            return sink

        yield made


def result(time_s: float, *found: tuple[int, float], stream: str = "yard") -> Result:
    frame = Frame((np.zeros((48, 64, 3), np.uint8),), stream=stream, source="rtsp://***@cam", time_s=time_s)
    conf, cls = np.array([score for _, score in found], np.float32), np.array([i for i, _ in found], np.int64)
    return Result(
        frame,
        "nanodet",
        "detection",
        NAMES,
        Boxes(np.zeros((len(found), 4), np.float32), conf, cls, (48, 64)),
    )


def show(sink: WebhookSink, *results: Result) -> None:
    for each in results:
        sink.write(each.frame, [each])


def until(fits: Callable[[], object], timeout_s: float = 10.0) -> None:
    end = time.monotonic() + timeout_s
    while not fits():
        assert time.monotonic() < end
        time.sleep(0.005)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def test_the_record_of_the_frame_in_which_it_came_signed(serve: Serve, make: Make) -> None:
    server = serve(answer(204))
    sink = make(server, "/hook?a=1", secret="s3cret-key", headers={"X-Site": "north"})
    came = result(4.0, (0, 0.9))
    show(sink, result(3.96), came, result(4.04, (0, 0.9)))
    (request,) = server.wait(1)
    until(lambda: sink.status().written)
    body = json.loads(request.body)
    assert body.pop("appeared") == ["person"]
    assert body.pop("time").endswith("Z")
    assert body == came.to_dict()
    expected = hmac.new(b"s3cret-key", request.body, hashlib.sha256).hexdigest()
    assert request.headers["X-Vedette-Signature"] == f"sha256={expected}"
    assert request.headers["X-Site"] == "north"
    assert request.headers["Content-Type"] == "application/json"
    assert (request.path, len(server.requests)) == ("/hook?a=1", 1)
    assert sink.status().name == f"webhook http://127.0.0.1:{server.port}"
    assert redact("s3cret-key") == "***"


def test_user_info_becomes_a_header_and_no_part_of_the_request(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(answer(200))
    sink = WebhookSink(f"http://viewer:p%40ss@127.0.0.1:{server.port}/hook")
    show(sink, result(0.0, (0, 0.9)))
    (request,) = server.wait(1)
    sink.close()
    assert request.headers["Authorization"] == "Basic dmlld2VyOnBAc3M="
    assert request.headers["Host"] == f"127.0.0.1:{server.port}"
    assert "p@ss" not in sink.status().name
    assert redact("p@ss p%40ss dmlld2VyOnBAc3M=") == "*** *** ***"


@pytest.mark.parametrize("code", [500, 503, 429, 408])
def test_what_may_pass_is_tried_again_under_the_same_id(serve: Serve, make: Make, code: int) -> None:
    server = serve(answer(code, code, 200))
    sink = make(server)
    show(sink, result(0.0, (0, 0.9)))
    requests = server.wait(3)
    until(lambda: sink.status().written)
    assert len({request.headers["X-Vedette-Delivery"] for request in requests}) == 1
    assert len({request.body for request in requests}) == 1
    waits = [after.at_s - before.at_s for before, after in itertools.pairwise(requests)]
    assert waits[0] >= 0.02 * 0.75
    assert waits[1] >= 0.04 * 0.75
    assert (sink.status().state, sink.status().dropped) == ("writing", {})


@pytest.mark.parametrize(
    ("code", "reason"), [(400, "refused"), (404, "refused"), (401, "refused"), (302, "redirected")]
)
def test_what_will_not_pass_is_given_up(serve: Serve, make: Make, code: int, reason: str) -> None:
    elsewhere = serve(answer(200))
    server = serve(answer(code, Location=f"http://127.0.0.1:{elsewhere.port}/inside"))
    sink = make(server)
    show(sink, result(0.0, (0, 0.9)))
    until(lambda: sink.status().dropped)
    show(sink, result(0.1, (1, 0.9)))
    until(lambda: sink.status().dropped == {reason: 2})
    assert len(server.requests) == 2
    assert elsewhere.requests == []


def test_tries_are_used_up_and_what_waits_goes_on(serve: Serve, make: Make) -> None:
    server = serve(answer(500, 500, 500, 200))
    sink = make(server, retries=2)
    show(sink, result(0.0, (0, 0.9)), result(0.1, (1, 0.9)))
    until(lambda: sink.status().written)
    assert [json.loads(request.body)["appeared"] for request in server.requests] == [["person"]] * 3 + [
        ["dog"]
    ]
    assert sink.status().dropped == {"http_500": 1}


def test_retry_after_is_kept_to(serve: Serve, make: Make) -> None:
    server = serve(answer(503, 200, Retry_After="1"))
    show(make(server), result(0.0, (0, 0.9)))
    first, second = server.wait(2)
    assert second.at_s - first.at_s >= 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("120", 120.0), ("0", 0.0), ("", 0.0), ("soon", 0.0), ("-5", 0.0), ("1.5", 0.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 59.0), ("Fri, 31 Dec 1999 23:00:00 GMT", 0.0),
    ],
)  # fmt: skip
def test_both_forms_of_retry_after(text: str, expected: float) -> None:
    assert _post.retry_after_s(text, 946684740.0) == expected  # 1999-12-31T23:59:00Z


def test_a_server_that_hangs_or_trickles_is_given_up_in_time(serve: Serve, make: Make) -> None:
    def trickle(handler: BaseHTTPRequestHandler, before: int) -> None:
        while before and not server.over.wait(0.05):
            handler.wfile.write(b"H")  # a status line that never ends
            handler.wfile.flush()
        server.over.wait(10)

    server = serve(trickle)
    sink = make(server, timeout_s=0.2, retries=1)
    show(sink, result(0.0, (0, 0.9)))
    requests = server.wait(2)
    until(lambda: sink.status().dropped)
    assert requests[1].at_s - requests[0].at_s >= 0.2
    assert set(sink.status().dropped) <= {"unreachable", "timeout"}


def test_a_server_that_is_not_there_yet(make: Make) -> None:
    sink = make(free_port())
    show(sink, result(0.0, (0, 0.9)))
    until(lambda: sink.status().state == "paused")
    assert sink.status().code == "unreachable"


@pytest.mark.parametrize("kind", ["hangs", "absent", "fails"])
def test_closing_takes_a_second_at_most_and_counts_what_is_lost(serve: Serve, kind: str) -> None:
    def hang(_: BaseHTTPRequestHandler, __: int) -> None:
        server.over.wait(10)

    server = serve(hang if kind == "hangs" else answer(503, Retry_After="50"))
    port = free_port() if kind == "absent" else server.port
    sink = WebhookSink(f"http://127.0.0.1:{port}/hook")
    for index in range(4):
        show(sink, result(10.0 * index, (0, 0.9)))
    time.sleep(0.2)
    began = time.monotonic()
    sink.close()
    assert time.monotonic() - began < 3
    sink.close()
    show(sink, result(99.0, (0, 0.9)))
    assert sum(sink.status().dropped.values()) == 5
    assert "webhook" not in [thread.name for thread in threading.enumerate()]


def test_writing_never_waits_and_the_oldest_are_lost(serve: Serve) -> None:
    def hang(_: BaseHTTPRequestHandler, __: int) -> None:
        server.over.wait(10)

    server = serve(hang)
    sink = WebhookSink(f"http://127.0.0.1:{server.port}/hook")
    show(sink, result(0.0, (0, 0.9)))
    server.wait(1)
    began = time.monotonic()
    for index in range(1, webhook.WAITING + 21):
        show(sink, result(10.0 * index, (0, 0.9)))
    assert time.monotonic() - began < 3
    assert sink.status().dropped == {"queue_full": 20}
    sink.close()


def test_what_is_delivered_when_the_program_ends(serve: Serve, make: Make) -> None:
    server = serve(answer(200))
    sink = make(server)
    for index in range(10):
        show(sink, result(10.0 * index, (0, 0.9)))
    sink.close()
    assert (sink.status().written, sink.status().dropped) == (10, {})


def test_arrivals_frame_by_frame() -> None:
    arrivals = Arrivals(frozenset(), 0.5)
    person, dog, faint = (0, 0.9), (1, 0.5), (0, 0.49)
    for time_s, found, expected in [
        (0.0, [], []), (0.1, [faint], []), (0.2, [person], ["person"]), (0.3, [person, dog], ["dog"]),
        (0.4, [], []), (2.2, [person], []), (2.25, [dog], []), (4.2, [person], ["person"]), (5.0, [dog], ["dog"]),
        (9.0, [dog, person], ["dog", "person"]),
    ]:  # fmt: skip
        assert arrivals.of(result(time_s, *found)) == expected, time_s
    assert arrivals.of(result(9.0, person, stream="gate")) == ["person"]


def test_only_the_classes_that_were_asked_for(serve: Serve, make: Make) -> None:
    server = serve(answer(200))
    sink = make(server, classes=["dog"], min_conf=0.8)
    show(sink, result(0.0, (0, 0.9)), result(0.1, (1, 0.7)), result(0.2, (0, 0.9), (1, 0.85)))
    (request,) = server.wait(1)
    assert json.loads(request.body)["time_s"] == 0.2
    assert json.loads(request.body)["appeared"] == ["dog"]


def test_classes_of_a_segmentation() -> None:
    frame = Frame((np.zeros((4, 4, 3), np.uint8),))
    label_map = np.array([[-1, -1], [1, -1]], np.int16)
    shown = Result(
        frame,
        "unet",
        "segmentation",
        NAMES,
        segmentation=Segmentation(label_map, np.zeros((2, 2, 2), np.float32)),
    )
    assert Arrivals(frozenset(), 0.5).of(shown) == ["dog"]
    assert Arrivals(frozenset({"person"}), 0.5).of(shown) == []


def test_the_least_time_between_deliveries_of_a_stream(serve: Serve, make: Make) -> None:
    server = serve(answer(200))
    sink = make(server, min_interval_s=10)
    show(
        sink,
        result(0.0, (0, 0.9)),
        result(5.0, (1, 0.9)),
        result(5.0, (1, 0.9), stream="gate"),
        result(12.0, (1, 0.9)),
    )
    server.wait(3)
    until(lambda: sink.status().written == 3)
    told = [(body["stream"], body["time_s"]) for body in (json.loads(each.body) for each in server.requests)]
    assert told == [("yard", 0.0), ("gate", 5.0), ("yard", 12.0)]
    assert sink.status().dropped == {"interval": 1}


@pytest.mark.parametrize(
    "url",
    ["ftp://host/x", "host/x", "http://", "file:///etc/passwd", "http://u:p ass@host/", "http://host:x/", "http://[::1",
     "http://host/\r\nX: y", "https://hé/"],
)  # fmt: skip
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(UsageError, match="cannot be sent to") as raised:
        WebhookSink(url)
    assert "p ass" not in str(raised.value)


@pytest.mark.parametrize(
    "options",
    [{"min_conf": 2}, {"timeout_s": 0}, {"retries": -1}, {"min_interval_s": -1}, {"headers": {"A B": "x"}},
     {"headers": {"A": "x\r\nB: y"}}],
)  # fmt: skip
def test_what_cannot_be_meant(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="webhook"):
        WebhookSink("http://host/", **options)


def test_an_outbox_is_bounded_by_bytes_too() -> None:
    outbox: Outbox[str] = Outbox("x", items=10, room=100)
    for name, size in [("a", 60), ("b", 60), ("c", 30), ("d", 500)]:
        outbox.put(name, size)
    assert outbox.take() == ("d", 500)
    assert outbox.take(timeout_s=0) is None
    assert outbox.status().dropped == {"queue_full": 3}
    outbox.put("e", 90)
    outbox.put_back("d", 50)
    assert outbox.take() == ("e", 90)
    outbox.put_back("e", 90)
    outbox.close()
    assert outbox.take() == ("e", 90)
    assert outbox.take() is None
