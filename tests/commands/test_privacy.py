"""What a running program shows of itself: its entry in the process list, its logs and its tracebacks."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from vedette.commands._privacy import RedactingFormatter, redact_logs, starred

READY = "import sys, time; from vedette.commands._privacy import keep_private; {}; print('ready', flush=True); sys.stdin.read()"
HIDDEN = READY.format("keep_private(sys.argv[1:])")
characters = st.sampled_from("/@#?:; \t\n\"'\\%&é漢😀") | st.characters(
    codec="utf-8", exclude_characters="\0"
)
passwords = st.text(characters, min_size=1, max_size=20)


def shown(script: str, arguments: list[str]) -> bytes:
    """What every user of the machine reads of a process while it runs."""
    command = [sys.executable, "-c", script, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        text = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        process.communicate()
    assert process.returncode == 0
    return text


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(passwords, min_size=50, max_size=50))
@example(["p/a", "p@ss", "p ss", "p\nss", ":", "x" * 2000])
def test_the_process_list_holds_no_password(found: list[str]) -> None:
    addresses = [f"rtsp://viewer:{password}@cam/{index}" for index, password in enumerate(found)]
    arguments = ["run", "model.onnx", *addresses, "--save", "out"]
    listed = shown(HIDDEN, arguments).split(b"\0")[3:-1]
    assert len(listed) == len(arguments)
    assert (listed[:2], listed[-2:]) == ([b"run", b"model.onnx"], [b"--save", b"out"])
    for index, (argument, address) in enumerate(zip(listed[2:-2], addresses, strict=True)):
        hidden = len(address.encode()) - len(f"rtsp://@cam/{index}")
        assert argument == b"rtsp://" + b"*" * hidden + f"@cam/{index}".encode()


def test_without_it_the_process_list_holds_the_password() -> None:
    assert b"hunter2" in shown(READY.format("pass"), ["rtsp://viewer:hunter2@cam/1"])
    assert b"hunter2" not in shown(HIDDEN, ["rtsp://viewer:hunter2@cam/1"])


def test_the_program_itself_still_has_its_arguments() -> None:
    script = HIDDEN.replace("print(", "assert sys.argv[1] == 'rtsp://v:hunter2@cam'; print(")
    assert b"hunter2" not in shown(script, ["rtsp://v:hunter2@cam"])


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        (b"rtsp://cam/1", b"rtsp://cam/1"),
        (b"a@b:c", b"a@b:c"),
        (b"rtsp://u:p@ss@cam/1", b"rtsp://******@cam/1"),
        (b"--source=rtsp://u:p@cam", b"--source=rtsp://***@cam"),
        (b"http://cam/v?user=a&password=b%20c&x=1", b"http://cam/v?user=a&password=*****&x=1"),
        (b"rtsp://cam/user=a_password=tl_channel=1", b"rtsp://cam/user=a_password=**_channel=1"),
        (b"rtsp://u:\xff\xfe@cam", b"rtsp://****@cam"),
        (b"", b""),
    ],
)
def test_an_argument_keeps_its_length(argument: bytes, expected: bytes) -> None:
    assert starred(argument) == expected
    assert len(expected) == len(argument)


def told(statement: str) -> str:
    script = f"import sys; from vedette.commands._privacy import keep_private; keep_private(sys.argv[1:]); {statement}"
    command = [sys.executable, "-W", "ignore", "-c", script, "rtsp://viewer:pa ss/w'd@cam/1"]
    return subprocess.run(command, capture_output=True, text=True).stderr


@pytest.mark.parametrize(
    "statement",
    [
        "raise OSError(5, 'no answer', sys.argv[1])",
        "import threading; t = threading.Thread(target=lambda: open(sys.argv[1])); t.start(); t.join()",
        "exec('try: open(sys.argv[1])\\nexcept OSError as e: raise ValueError(repr(e)) from e')",
        "T = type('T', (), {'__del__': lambda self: open(sys.argv[1])}); T(); sys.stderr.flush()",
    ],
)
def test_tracebacks_hold_no_password(statement: str) -> None:
    text = told(statement)
    assert "Traceback" in text
    assert "rtsp://***@cam/1" in text
    assert "viewer" not in text
    assert "w'd" not in text


def test_a_handler_formats_as_before_but_for_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("warning: %(message)s"))
    root = logging.Logger("root")
    root.addHandler(handler)
    monkeypatch.setattr(logging, "lastResort", None)
    monkeypatch.setattr(logging, "getLogger", lambda: root)
    redact_logs()
    redact_logs()
    assert isinstance(handler.formatter, RedactingFormatter)
    record = logging.LogRecord("libav", logging.ERROR, "", 0, "open %s failed", ("http://u:p@h/x",), None)
    assert handler.format(record) == "warning: open http://***@h/x failed"
