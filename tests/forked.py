"""`vedette` as a user runs it, in a process of its own that need not import anything: a fork of one that has.

Most of a short command's time goes into imports. Each process of pytest keeps one server, started when first asked, which
imports what the verbs use and forks once a command. PyTorch is left to the verbs that want it. Next: commands/.
"""

import atexit
import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

IMPORTED = (
    "cv2", "onnxruntime", "av", "typer", "rich.table", "pydantic", "vedette.__main__", "vedette.commands.config",
    "vedette.commands.generate", "vedette.commands.run", "vedette.runtime.backends.onnxruntime_",
)  # fmt: skip
Done = subprocess.CompletedProcess[str]


def vedette(
    *arguments: str | Path,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 120.0,
) -> Done:
    """Exit code, output and errors of `python -m vedette ARGUMENTS` in a folder; `environment` is added to ours.

    Raises:
        TimeoutExpired: it did not end in time.
    """
    words = list(map(str, arguments))
    with TemporaryDirectory() as name:
        out, err = Path(name, "out"), Path(name, "err")
        order = {"words": words, "cwd": str(cwd or Path.cwd()), "out": str(out), "err": str(err)}
        code = _ordered(order | {"environment": {**os.environ, **(environment or {})}}, timeout_s)
        return subprocess.CompletedProcess(words, code, out.read_text(), err.read_text())


def _ordered(order: dict[str, Any], timeout_s: float) -> int:
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(order | {"timeout_s": timeout_s}) + "\n")
    server.stdin.flush()
    code = json.loads(server.stdout.readline())
    if code is None:
        raise subprocess.TimeoutExpired(order["words"], timeout_s)
    return int(code)


@cache
def _server() -> "subprocess.Popen[str]":
    """Ends when its standard input does, so with this process, however that ends."""
    command = [sys.executable, "-c", "import forked; forked.serve()"]
    server = subprocess.Popen(
        command,
        cwd=Path(__file__).parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    atexit.register(server.communicate)
    return server


def serve() -> None:
    """Fork once for each order on standard input; the exit code, or null after a time-out, goes to standard output."""
    for module in IMPORTED:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    for line in iter(sys.stdin.readline, ""):  # not `for line in stdin`, whose buffer a child would share
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(order)
        sys.stdout.write(json.dumps(_code_of(child, order["timeout_s"])) + "\n")
        sys.stdout.flush()


def _become(order: dict[str, Any]) -> None:
    """Be the program: never returns."""
    for place, flags, number in (
        (os.devnull, os.O_RDONLY, 0),
        (order["out"], os.O_WRONLY | os.O_CREAT, 1),
        (order["err"], os.O_WRONLY | os.O_CREAT, 2),
    ):
        os.dup2(os.open(place, flags, 0o600), number)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["cwd"])
    sys.argv = ["vedette", *order["words"]]
    sys.path[0] = order["cwd"]  # as `python -m` has it
    from vedette.__main__ import main

    main()


def _code_of(child: int, timeout_s: float) -> int | None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None
