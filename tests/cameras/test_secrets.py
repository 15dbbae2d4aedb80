"""Passwords and tokens: had from where the file says, and in no message."""

import logging
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vedette.cameras.load import load, parse
from vedette.cameras.problems import ConfigError
from vedette.cameras.secrets import resolved
from vedette.runtime.errors import UsageError

DOCS = Path(__file__).parents[2] / "docs" / "cameras.md"


def refusal_of(text: str) -> ConfigError | None:
    """What a document is refused with, where it is; any other exception is the test's failure."""
    try:
        document = parse(text)
        faults = resolved(document.config)[1]
    except ConfigError as error:
        return error
    return document.error(faults) if faults else None


PASSWORDS = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x17F, exclude_categories=("C", "Z")),
    min_size=8,
    max_size=20,
)
SPOTS = [
    "cameras: {{yard: {{source: a.mp4, password: {0}}}}}",
    "cameras: {{yard: {{source: a.mp4, pasword: {0}}}}}",
    "cameras: {{yard: {{source: rtsp://u:{0}@h/1}}}}",
    "cameras: {{yard: {{source: http://h/?password={0}}}}}",
    "cameras: {{yard: {{source: rtsp://h/1, username: u, password: {{env: {0}}}}}}}",
    "cameras: {{yard: {{source: rtsp://h/1, username: u, password: {{file: {0}}}}}}}",
    "cameras: {{yard: {{source: rtsp://h/1, username: u, password: {{{0}}}}}}}",
    "cameras: {{yard: {{source: rtsp://h/1, username: u, password: {{{0}: x}}}}}}",
    "cameras: {{yard: {{source: rtsp://h/1, username: u, password: [{0}]}}}}",
    "cameras:\n  yard:\n    source: a.mp4\n    password: {0}\n    stride: 1",
    "cameras: {{yard: {{source: a.mp4}}}}\nserve: {{address: 127.0.0.1:1, token: {0}}}",
    "cameras: {{yard: {{source: a.mp4}}}}\noutputs: {{webhook: {{url: 'http://u:{0}@h', secret: '{0}'}}}}",
    "cameras: {{yard: {{source: a.mp4}}}}\noutputs: {{webhook: {{url: http://h, headers: {{X-Token: {0}}}}}}}",
]  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(SPOTS), PASSWORDS, st.sampled_from(["{}", "'{}'", '"{}"']))
def test_no_message_holds_a_password(spot: str, password: str, quoted: str) -> None:
    assume(password not in DOCS.read_text(encoding="utf-8"))
    told = refusal_of(spot.format(quoted.format(password)))
    assert password not in f"{told} {told!r} {told.problems if told else ''}"


def file_with(folder: Path, password: str) -> Path:
    path = folder / "cameras.yaml"
    path.write_text(f"cameras:\n  yard:\n    source: rtsp://h/1\n    username: u\n    password: {password}\n")
    return path


def test_a_secret_from_a_file_loses_one_line_break(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(" päss word \n", encoding="utf-8")
    secret.chmod(0o600)
    document = load(file_with(tmp_path, f"{{file: {secret}}}"))
    assert document.secrets["cameras", "yard", "password"] == " päss word "


def test_a_secret_that_everybody_may_read_gets_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2-of-old")
    for mode, warned in ((0o600, False), (0o644, True)):
        secret.chmod(mode)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            load(file_with(tmp_path, f"{{file: {secret}}}"))
        assert ("chmod 600" in caplog.text) is warned
        assert "hunter2" not in caplog.text


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"\xff\xfe", b"nul\0", b"x" * 70_000])
def test_files_that_hold_no_secret(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(ConfigError, match=r"cameras\.yaml:5:22: cameras\.yard\.password cannot be had"):
        load(file_with(tmp_path, f"{{file: {tmp_path / 'secret'}}}"))


def test_secrets_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    for secret in (
        "{env: NOT_SET}",
        f"{{file: {tmp_path / 'none'}}}",
        f"{{file: {tmp_path}}}",
        "{file: /dev/zero}",
    ):
        with pytest.raises(ConfigError, match=r":5:2\d: cameras\.yard\.password cannot be had"):
            load(file_with(tmp_path, secret))
    load(file_with(tmp_path, "{env: NOT_SET}"), secrets=False)


def test_a_secret_is_redacted_once_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SECRET", "correct/horse battery")
    load(file_with(tmp_path, "{env: SOME_SECRET}"))
    told = str(UsageError("it was correct/horse battery", why="in a URL: correct%2Fhorse%20battery"))
    assert "horse" not in told
