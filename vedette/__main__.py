"""The command line's front door: verbs from commands/, errors as three lines, exit codes from errors.py."""

import contextlib
import errno
import functools
import gc
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from vedette.commands._privacy import keep_private
from vedette.runtime.errors import UsageError, VedetteError, redact
from vedette.runtime.plugins import load, names

VERBS = "vedette.commands"
FLUSHED_S = 0.3  # after a signal: a pipe that nobody reads may be held by a thread that waits for it


def main() -> None:
    """Run one verb and exit with its code."""
    signal.signal(signal.SIGTERM, _terminated)
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115  it was closed by who started us
    gc.disable()  # until the verb begins: what is made by then is imported, and stays
    arguments = sys.argv[1:] or ["--help"]
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    logging.basicConfig(level=logging.ERROR, format="warning: %(message)s")
    logging.getLogger("vedette").setLevel(logging.DEBUG if debug else logging.WARNING)
    keep_private(arguments)
    warnings.showwarning = lambda message, *_: print(f"warning: {redact(str(message))}", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # a stream that is closed, or a test's
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    if not debug:
        sys.unraisablehook = lambda _: None  # PyAV 17 fails again, aloud, when a file on a full disk is freed
    logging.getLogger("libav").setLevel(
        logging.CRITICAL
    )  # decoder messages belong to streams, not to the terminal
    try:
        code = _dispatch(arguments)
    except BaseException as error:
        if debug and not isinstance(error, SystemExit):
            raise
        code = exit_code(error)
    _leave(code)


class HangupError(Exception):
    """Whoever read our output has had enough. No OSError, which Typer would turn into a failure."""


def exit_code(error: BaseException) -> int:
    """Tell an error on standard error, in three lines, and say which code it exits with."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, HangupError):
        return 0
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT}:
        from vedette.runtime.draw import disk_error

        error = disk_error(error.filename or "the output", error)
    if not isinstance(error, VedetteError):
        error = VedetteError(
            "vedette met a fault of its own",
            why=f"{type(error).__name__}: {error}",
            cure="run again with --debug and report what it prints",
        )
    print(f"error: {error}", file=sys.stderr)
    return error.exit_code


def _dispatch(arguments: list[str]) -> int:
    if arguments[0] == "--version":
        _about(version=True)
    import typer

    app = typer.Typer(
        name="vedette", add_completion=False, pretty_exceptions_enable=False,
        help="Trained networks to engines, camera streams through engines. Every verb takes --debug.",
    )  # fmt: skip
    app.callback(invoke_without_command=True)(_about)
    asked = next((word for word in arguments if not word.startswith("-")), "")
    for name in (asked,) if asked in names(VERBS) else names(VERBS):
        app.command(name)(_guarded(_named(name) if name == asked else _outline(name)))
    try:
        return int(app(arguments, standalone_mode=False, prog_name="vedette") or 0)
    except _click_errors() as error:
        message = error.format_message().strip() or "a verb is missing"  # type: ignore[attr-defined]
        raise UsageError(
            message, why="the command line does not take that", cure=_help_of(arguments)
        ) from None


def _named(verb: str) -> Callable[..., int]:
    """The function of a verb."""
    found: Callable[..., int] = getattr(load(VERBS, verb), verb)
    return found


def _outline(verb: str) -> Callable[..., int]:
    """What stands for a verb in the list of all: its docstring, read from its file, since to import all takes a second."""
    import ast

    source = Path(__file__).parent.joinpath("commands", f"{verb}.py").read_text(encoding="utf-8")
    parts = ast.parse(source).body
    function = next(part for part in parts if isinstance(part, ast.FunctionDef) and part.name == verb)

    def outline() -> int:
        raise AssertionError(f"{verb} was not imported")

    outline.__doc__ = ast.get_docstring(function)
    return outline


def _about(version: bool = False) -> None:  # noqa: FBT001  (a flag is what it is)
    if version:
        from vedette import __version__

        print(f"vedette {__version__}")
        raise SystemExit(0)


def _click_errors() -> type[Exception]:
    """Typer carries its own click in some releases: find the base class of usage errors through what it exports."""
    import typer

    found: type[Exception] = next(
        kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
    )
    return found


def _help_of(arguments: list[str]) -> str:
    verb = next((word for word in arguments if word in names(VERBS)), "")
    return f"vedette {verb} --help".replace("  ", " ")


def _terminated(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _guarded(verb: Callable[..., int]) -> Callable[..., int]:
    @functools.wraps(verb)
    def guarded(*arguments: Any, **options: Any) -> int:
        if not gc.isenabled():
            gc.freeze()  # nor is it looked through later
            gc.enable()
        try:
            return verb(*arguments, **options)
        except BrokenPipeError:
            raise HangupError from None

    return guarded


def _leave(code: int) -> NoReturn:
    """Exit at once: a reader thread in a camera's time-out must not hold us up, nor run while Python is taken down."""
    flushing = threading.Thread(target=_flush, daemon=True)
    flushing.start()
    flushing.join(FLUSHED_S if code > 128 else None)
    os._exit(code)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, hung up, or never there
            stream.flush()


if __name__ == "__main__":
    main()
