"""What the program shows of itself without being asked: its process list entry, logs and tracebacks, free of passwords.

In: the arguments this process was started with.  Next: runtime/redaction.py, which knows what is secret.
"""

import logging
import re
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from vedette.runtime.redaction import redact, remember_uri

_USER_INFO = re.compile(rb"(?<=://).*(?=@)", re.DOTALL)
_PASSWORD = re.compile(
    rb"([?&/;_](?:user_?)?(?:password|passwd|passwort|pass|pwd|psw|(?:access_)?token|secret|api_?key)=)"
    rb"((?:(?!_\w+=)[^&;#])+)",
    re.IGNORECASE,
)


def keep_private(arguments: Sequence[str]) -> None:
    """What `ps`, the log handlers of now and tracebacks show holds no password any more: call it once logging is set up.

    Args:
        arguments: of the command line; the passwords of the addresses among them become known secrets.
    """
    for argument in arguments:
        if "://" in argument:
            remember_uri(argument)
    hide_arguments()
    redact_logs()
    sys.excepthook = _told
    threading.excepthook = lambda args: _told(args.exc_type, args.exc_value, args.exc_traceback)
    sys.unraisablehook = lambda args: _told(args.exc_type, args.exc_value, args.exc_traceback)


class RedactingFormatter(logging.Formatter):
    """Formats as another does, and takes out what is secret: of the message, the exception and the stack."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        return redact(self._inner.format(record))


def redact_logs() -> None:
    """Wrap the formatter of every handler of the root logger, and of the one that stands in where there is none."""
    for handler in [*logging.getLogger().handlers, logging.lastResort]:
        if handler is not None and not isinstance(handler.formatter, RedactingFormatter):
            handler.setFormatter(RedactingFormatter(handler.formatter or logging.Formatter()))


def _told(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """A traceback on standard error: FFmpeg's exceptions hold the whole address."""
    text = redact("".join(traceback.format_exception(kind, error, trace)))
    print(text, end="", file=sys.stderr)


def hide_arguments() -> bool:
    """Overwrite the passwords in the memory that /proc/PID/cmdline shows to every user of the machine.

    Linux only. The place is what the kernel says it is, and is written only if it holds what the kernel shows; through
    /proc/self/mem, so that a wrong address is an error and no crash. Python has its own copy of the arguments.

    Returns:
        Whether nothing secret is left there.
    """
    with suppress(OSError, ValueError, IndexError):
        shown = Path("/proc/self/cmdline").read_bytes()
        hidden = b"\0".join(map(starred, shown.split(b"\0")))
        if hidden == shown:
            return True
        begin, end = _argument_block()
        with Path("/proc/self/mem").open("r+b", buffering=0) as memory:
            memory.seek(begin)
            if end - begin == len(shown) and memory.read(len(shown)) == shown:
                memory.seek(begin)
                memory.write(hidden)
        return Path("/proc/self/cmdline").read_bytes() == hidden
    return False


def starred(argument: bytes) -> bytes:
    """An argument with the user info of its address, and what its query calls a password, as stars: no longer, no shorter."""
    if b"://" not in argument:
        return argument
    argument = _USER_INFO.sub(lambda found: b"*" * len(found[0]), argument, count=1)
    return _PASSWORD.sub(lambda found: found[1] + b"*" * len(found[2]), argument)


def _argument_block() -> tuple[int, int]:
    """Where the arguments begin and end: fields 48 and 49 of /proc/self/stat, which see proc(5)."""
    stat = Path("/proc/self/stat").read_bytes()
    fields = stat[stat.rindex(b")") + 2 :].split()  # the name before may hold spaces; what follows is field 3
    return int(fields[48 - 3]), int(fields[49 - 3])
