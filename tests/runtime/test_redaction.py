"""No password leaves the program: every way to write one, in every kind of text."""

import base64
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from vedette.commands._privacy import RedactingFormatter
from vedette.runtime import _metrics, redaction
from vedette.runtime.errors import SourceError, UsageError, redact, redact_uri, remember_secret, remember_uri
from vedette.runtime.frame import Frame
from vedette.runtime.monitor import Sight, health
from vedette.runtime.redaction import Redactor, child_environment
from vedette.runtime.results import Result
from vedette.runtime.sinks._target import stem_of
from vedette.runtime.status import SinkStatus, State, Status


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_the_one", Redactor())


NASTY = "/@#?:; \t\n\"'\\%&+=<>{}[]()|^$*.,-_~\0éßñ€漢😀\u200b\u00a0\x1f"
characters = st.sampled_from(NASTY) | st.characters(codec="utf-8") | st.sampled_from("abcXYZ019")
secrets = st.text(characters, min_size=1, max_size=24)
TEMPLATE = "the camera at {} does not answer"


def written(password: str) -> Iterator[tuple[str, str]]:
    """How a password turns up in texts, and in which place; the spellings are the standard library's own."""
    for name, text in {
        "plain": password,
        "quoted": quote(password, safe=""),
        "quoted, slashes kept": quote(password),
        "quoted, as a form": quote_plus(password),
        "quoted twice": quote(quote(password, safe=""), safe=""),
        "lower case hex": re.sub("%..", lambda found: found[0].lower(), quote(password, safe="")),
        "json": json.dumps(password)[1:-1],
        "json in utf-8": json.dumps(password, ensure_ascii=False)[1:-1],
        "json in json": json.dumps(json.dumps(password))[1:-1],
        "repr": repr(password)[1:-1],
        "ascii": ascii(password)[1:-1],
        "repr of bytes": repr(password.encode())[2:-1],
        "repr beside another quote": repr(f"it's \"{password}")[7:-1],
        "repr of repr": repr(repr(password))[2:-2],
        "one line": " ".join(password.split()),
    }.items():
        yield name, f"rtsp://viewer:{text}@cam/1"
        yield name, f"login with {text} was refused"


def leaks(password: str, take_out: Callable[[str], str]) -> list[str]:
    """The spellings that are still there after take_out."""
    found = []
    for name, text in written(password):
        secret = text.removeprefix("login with ").removesuffix(" was refused")
        secret = secret.removeprefix("rtsp://viewer:").removesuffix("@cam/1")
        out = take_out(TEMPLATE.format(text))
        expected = {TEMPLATE.format(text.replace(secret, "***")), TEMPLATE.format("rtsp://***@cam/1")}
        if secret.strip() and out not in expected and not harmless(secret, out):
            found.append(f"{name}: {text!r} gave {out!r}")
    return found


def harmless(secret: str, out: str) -> bool:
    """More was taken out than need be: allowed, if the secret as it was written is gone."""
    return secret.strip() not in out


def long_enough(password: str) -> bool:
    """What is known as a secret outside URLs; a shorter one, or a word of the texts around it, cannot be looked for."""
    around = TEMPLATE + "rtsp://viewer:@cam/1 login with was refused ***"
    return len(password.strip()) >= 3 and password.strip() not in around


@settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
@given(secrets)
@example("pa/ss")
@example("p@ss@word")
@example('":"')
@example("\\\\\\\\")
@example("a\\ b\\n")
@example("tab\there")
@example("%41%40")
def test_no_spelling_of_a_password_is_left_in_a_text(password: str) -> None:
    assume(long_enough(password))
    redactor = Redactor()
    redactor.remember(password, user="viewer")
    assert leaks(password, redactor.redact) == []


def test_a_naive_redactor_is_caught() -> None:
    def naive(text: str) -> str:
        return re.sub(r"://[^/\s]*@", "://***@", text)

    def verbatim_only(text: str) -> str:
        return text.replace("pa/s s'", "***")

    assert leaks("secret", lambda text: naive(text.replace("secret", "***"))) == []
    assert any("plain: 'rtsp://viewer:pa/ss@cam/1'" in leak for leak in leaks("pa/ss", naive))
    assert any(leak.startswith("quoted") for leak in leaks("pa/s s'", verbatim_only))
    assert any(
        leak.startswith("repr") for leak in leaks("pa/s s'\\", lambda text: text.replace("pa/s s'\\", "*"))
    )


@settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
@given(secrets)
@example("pa/ss")
@example("p ss")
@example("x")
@example("again")
def test_errors_logs_and_records_of_a_source_hold_no_password(password: str) -> None:
    assume(password.strip("*") and "\0" not in password)
    without, texts = told_without_login(), told_of(f"rtsp://viewer:{password}@cam/1")
    for name, text in texts.items():
        assert "viewer:" not in text, name
        # that a password is also a word of the message itself is no leak
        for spelled in {password, quote(password, safe=""), json.dumps(password)[1:-1], repr(password)[1:-1]}:
            assert not long_enough(spelled) or spelled not in text or spelled in without[name], (name, text)
            assert f":{spelled}@" not in text, (name, text)


def monitored(uri: str) -> dict[str, str]:
    """The pages of the monitor, although a stream and a sink forgot to hide their address."""
    stream = Status("yard", uri, State.LIVE)
    sight = Sight(lambda: {"yard": stream}, lambda: [SinkStatus(uri, dropped={"refused": 1})], lambda: True)
    pages = {"health": json.dumps(health(sight)[1])}
    if find_spec("prometheus_client"):
        families = [*_metrics._streams([stream]), *_metrics._sinks(sight.sinks())]
        labels = [sample.labels for family in families for sample in family.samples]
        pages["metrics"] = "\n".join(text for found in labels for text in found.values())
    return pages


@cache
def told_without_login() -> dict[str, str]:
    return told_of("rtsp://me@cam/1")


def told_of(uri: str) -> dict[str, str]:
    """All that a camera of this address gets to leave in texts, on the way that the program takes."""
    redaction._the_one = Redactor()  # the fixture puts the old one back
    remember_uri(uri)
    shown = redact_uri(uri)
    assert shown.startswith("rtsp://***@")
    fault = OSError(5, "Immediate exit requested", uri)  # FFmpeg's errors hold the whole address, too
    return {
        "source": str(SourceError(f"{shown} failed", why=str(fault))),
        "usage": str(UsageError("no such option", why=f"got {uri}")),
        "log": logged("%s broke off: %s", uri, fault),
        "exception": logged("reader failed", error=fault),
        "record": json.dumps({"source": Result(Frame((), source=shown), "m", "detection", {}).path}),
        "file": stem_of(shown, "yard"),
        **monitored(uri),
    }


@pytest.mark.parametrize(
    "password", ["hunter2", "pa/ss", "p@ss:w", "p%40ss", "pa'ss\"", "p\\ss", "pässé", "p ss"]
)
def test_what_ffmpeg_says_of_an_address_holds_no_password(
    password: str, caplog: pytest.LogCaptureFixture
) -> None:
    av = pytest.importorskip("av")
    uri = f"http://viewer:{password}@127.0.0.1:9/x"
    before = av.logging.get_level()
    av.logging.set_level(av.logging.TRACE)
    try:
        with caplog.at_level(1), pytest.raises(av.FFmpegError) as raised:
            av.open(uri, timeout=(2, 1))
    finally:
        av.logging.set_level(before)
    told = [str(raised.value), repr(raised.value), *(record.getMessage() for record in caplog.records)]
    assert any(f":{password}@" in text or repr(password)[1:-1] in text for text in told)  # it would leak
    remember_uri(uri)
    for text in map(redact, told):
        assert "viewer:" not in text
        assert password not in text
        assert repr(password)[1:-1] not in text


def logged(message: str, *arguments: object, error: BaseException | None = None) -> str:
    trace = None if error is None else (type(error), error, None)
    record = logging.LogRecord("httpx", logging.INFO, "", 0, message, arguments, trace)
    return RedactingFormatter(logging.Formatter("%(message)s")).format(record)


@pytest.mark.parametrize("password", ["a", "ab", " ", "@", "'"])
def test_a_short_secret_is_taken_out_of_urls_alone(password: str) -> None:
    remember_uri(f"rtsp://viewer:{password}@cam/1")
    assert redact("a cable, 'ab' and b@c") == "a cable, 'ab' and b@c"
    assert redact(f"rtsp://viewer:{quote(password)}@cam/1") == "rtsp://***@cam/1"


def test_a_basic_authorization_is_taken_out_with_and_without_its_header() -> None:
    remember_secret("hunter2!", user="viewer")
    token = base64.b64encode(b"viewer:hunter2!").decode()
    assert redact(f"sent {token} to it") == "sent *** to it"
    assert redact(f"Authorization: Basic {token}") == "Authorization: ***"
    assert redact("{'Authorization': 'Digest username=viewer'}") == "{'Authorization: ***"
    assert redact("an authorization that failed") == "an authorization that failed"


@pytest.mark.parametrize("user", ["", "v", "vi", "vie", "view"])
def test_base64_under_an_unknown_user_keeps_no_whole_character_of_the_secret(user: str) -> None:
    remember_secret("correct horse")
    whole = base64.b64encode(f"{user}:correct horse".encode()).decode().rstrip("=")
    out = redact(whole)
    left = base64.b64decode(out.replace("***", "A" * (len(whole) - len(out) + 3)) + "===")
    assert left.startswith(f"{user}:".encode()[:-1])  # so that it was read in step
    assert not {b"co", b"or", b"rr", b"re", b"ho", b"rs", b"se"} & {left[i : i + 2] for i in range(len(left))}


def test_passwords_in_queries() -> None:
    address = "rtsp://10.0.0.5:554/user=admin_password=tlJwpbo6_channel=1_stream=0.sdp"
    assert redact(address) == "rtsp://10.0.0.5:554/user=admin_password=***_channel=1_stream=0.sdp"
    assert redact("http://cam/video?user=a&pwd=b&x=1") == "http://cam/video?user=a&pwd=***&x=1"
    remember_uri(address)
    assert redact("sent tlJwpbo6") == "sent ***"


def test_what_holds_no_secret_stays_as_it_is() -> None:
    remember_secret("hunter2")
    for text in (
        "",
        "file.mp4",
        "rtsp://cam/1",
        "me@host",
        "C:\\videos\\a.mp4",
        "http://cam:8080/a?channel=1",
    ):
        assert redact(text) == text


def test_an_encoded_password_is_known_decoded_too() -> None:
    remember_uri("rtsp://viewer:p%40ss%2Fword@cam/1")
    assert redact("p@ss/word and p%40ss%2fword") == "*** and ***"


def test_two_secrets_one_in_the_other() -> None:
    remember_secret("abc")
    remember_secret("abcdef")
    assert redact("abcdef abc") == "*** ***"


def test_a_long_text_takes_no_long_time() -> None:
    remember_secret("\\" * 20 + " " * 20 + "x")
    remember_secret("a\\b'c d")
    began = time.process_time()
    for text in ("a" * 20_000, "\\" * 5_000, " " * 5_000, "a://" * 1_000, "%25" * 5_000):
        redact(text)
        assert time.process_time() - began < 10  # it is a fraction of a second unless the search explodes


def test_a_child_process_is_given_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YARD_PASSWORD", "hunter2")
    monkeypatch.setenv("YARD_URL", "rtsp://viewer:other@cam/1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.setenv("GST_DEBUG", "2")
    remember_secret("hunter2")
    environment = child_environment()
    assert environment["GST_DEBUG"] == "2"
    assert not {"YARD_PASSWORD", "YARD_URL", "NOTIFY_SOCKET"} & environment.keys()
