"""Passwords taken out of every text that leaves the program: messages, logs, metrics, records, process lists.

In: secrets as they become known, then texts.  Out: the texts with stars.  errors.py gives redact() and remember_secret()
to the rest.  What is known is taken out first, in whatever spelling a library gave it; the user info of every URL follows.
base64 and html are imported with the first secret: most runs have none.
"""

import os
import re
import threading
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

STARS = "***"
SHORTEST = 3  # of characters: a shorter secret is only taken out of URLs, or it would star every word that has its letter
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]{0,30}://"
# A password may hold any character, "/" and "@" included: user info ends at the last "@" of what looks like the URL.
_USER_INFO = re.compile(rf"({_SCHEME})\S*@")
_QUERY = re.compile(
    r"((?:^|[?&/;_])(?:user_?)?(?:password|passwd|passwort|pass|pwd|psw|(?:access_)?token|secret|api_?key)=)"
    r"((?:(?![&;#'\"<>]|_\w+=)\S)+)",
    re.IGNORECASE,
)
_HEADER = re.compile(r"(authorization)\b(?=['\"]?\s*[:=,]).*", re.IGNORECASE)
_PLAIN = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
)  # spelled as they are, everywhere
_ESCAPE = (
    r"\\{1,8}"  # escaped again and again; bounded, for else a long text of backslashes would take for ever
)
_NAMED = {"\0": "0", "\a": "a", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", "\v": "v"}


class Redactor:
    """What is secret, and how to take it out. Any thread may use it."""

    def __init__(self) -> None:
        self._secrets = _Forms()
        self._infos = (
            _Forms()
        )  # user:password, found before "@" alone: so that the password may be a single letter

    def remember(self, secret: str, *, user: str = "") -> None:
        """Take this out of every text from now on.

        Args:
            secret: a password or token, as it is or percent-encoded.
            user: whose it is, where known: the two together go into a Basic authorization.
        """
        forms = []
        for text in {secret, unquote(secret)}:
            if len(text.strip()) >= SHORTEST:
                forms.append(spellings(text.strip()))
            forms.extend(_base64_forms(user, text))
        self._secrets.add(forms)

    def remember_uri(self, uri: str) -> None:
        """Remember the password of an address, and what its query calls one."""
        info = uri.partition("://")[2].rpartition("@")[0]
        user, colon, password = info.partition(":")
        if colon:
            self.remember(password, user=user)
            self._infos.add([spellings(info) + "(?=@|%40)"])
        for found in _QUERY.finditer(uri):
            self.remember(found[2])

    def redact(self, text: str) -> str:
        """The text without what is known, without the user info of URLs and without Authorization headers."""
        text = self._secrets.starred(self._infos.starred(text))
        text = _USER_INFO.sub(rf"\1{STARS}@", text)
        text = _QUERY.sub(rf"\1{STARS}", text)
        return _HEADER.sub(rf"\1: {STARS}", text)

    def redact_uri(self, uri: str) -> str:
        """What may be shown of an address that is the whole text: spaces and quotes do not end it."""
        scheme, separator, rest = uri.partition("://")
        if separator and "@" in rest:
            return f"{scheme}://{STARS}@{self.redact(rest.rpartition('@')[2])}"
        return self.redact(uri)


class _Forms:
    """Patterns that grow in number, searched as one; of two that fit, the longer is taken."""

    def __init__(self) -> None:
        self._forms: set[str] = set()
        self._compiled: re.Pattern[str] | None = None
        self._lock = threading.Lock()

    def add(self, forms: Iterable[str]) -> None:
        with self._lock:
            known = len(self._forms)
            self._forms.update(forms)
            if len(self._forms) > known:
                self._compiled = re.compile("|".join(sorted(self._forms, key=len, reverse=True)))

    def starred(self, text: str) -> str:
        return text if self._compiled is None else self._compiled.sub(STARS, text)


_the_one = Redactor()  # a process has one set of secrets


def remember_secret(secret: str, *, user: str = "") -> None:
    """From now on redact() takes this out wherever it stands, percent-encoded, escaped or in a Basic authorization."""
    _the_one.remember(secret, user=user)


def remember_uri(uri: str) -> None:
    """From now on redact() takes out the password of this address; call it before anything else is done with one."""
    _the_one.remember_uri(uri)


def redact(text: str) -> str:
    """Replace known secrets, the user info of every URL and Authorization headers by stars."""
    return _the_one.redact(text)


def redact_uri(uri: str) -> str:
    """What may be shown of an address: its user info is stars, even where it holds spaces or quotes."""
    return _the_one.redact_uri(uri)


def child_environment() -> dict[str, str]:
    """The environment for a child process: no variable that holds a secret, nor the service manager's socket."""
    ours = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}
    return {name: text for name, text in os.environ.items() if name not in ours and redact(text) == text}


def spellings(secret: str) -> str:
    """A regular expression for a secret as it is, percent-encoded, or escaped by JSON, repr() or HTML, in any mixture.

    Spaces stand for any white space: messages are wrapped, and joined to lines.
    """
    # A run is one token: repeated optional parts of it would try every way to share its characters.
    runs = re.findall(r"\s+|\\+|[^\s\\]", secret)
    return "".join(_run(run) for run in runs)


def _run(run: str) -> str:
    count = len(run)
    if run[0] == "\\":
        return rf"(?:\\{{{count},{count * 8}}}|(?i:(?:%(?:25){{0,3}}5C){{{count}}}))"
    if run.isspace():
        forms = sorted({form for char in run for form in _one(char)} | {r"\s"})
        return f"(?:{'|'.join(forms)}){{1,{count}}}"
    return run if run in _PLAIN else "(?:" + "|".join(_one(run)) + ")"


def _one(char: str) -> Iterator[str]:
    """Patterns of the ways to write one character that is no plain letter."""
    raw, code = _bytes(char), ord(char)
    pairs = char.encode("utf-16-be", "surrogatepass").hex()
    yield "(?i:" + "".join(f"%(?:25){{0,3}}{byte:02X}" for byte in raw) + ")"  # a URL, or one inside a URL
    yield r"(?i:" + "".join(rf"{_ESCAPE}u{pairs[i : i + 4]}" for i in range(0, len(pairs), 4)) + ")"  # JSON
    yield r"(?i:" + "".join(rf"{_ESCAPE}x{byte:02x}" for byte in raw) + ")"  # repr() of bytes
    yield rf"(?i:{_ESCAPE}x{code:02x})" if code < 256 else rf"(?i:{_ESCAPE}U{code:08x})"  # repr() of text
    if char in _NAMED:
        yield _ESCAPE + _NAMED[char]
    import html

    if html.escape(char) != char:
        yield f"(?i:{html.escape(char)}|&#0*{code};|&#x0*{code:x};)"
    if char == " ":
        yield r"\+"
    yield r"\\{0,8}" + re.escape(char)


def _bytes(char: str) -> bytes:
    """UTF-8; of what an argument held that is none, the bytes themselves."""
    try:
        return char.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return char.encode("utf-8", "surrogatepass")


def _base64_forms(user: str, secret: str) -> Iterator[str]:
    """Patterns of base64(user:secret) with this user, and of the characters that any other leaves as they are."""
    import base64

    raw = b"".join(map(_bytes, secret))
    if user:
        known = b"".join(map(_bytes, user)) + b":" + raw
        yield re.escape(base64.b64encode(known).decode().rstrip("=")) + "=*"
    for before in range(3):  # bytes of user name and colon, modulo 3
        text = base64.b64encode(bytes(before) + raw).decode().rstrip("=")
        first, last = (
            -(-before * 8 // 6),
            (before + len(raw)) * 8 // 6,
        )  # characters wholly of the secret's bits
        if last - first >= 6:  # shorter ones are found in ordinary words
            yield re.escape(text[first:last])
