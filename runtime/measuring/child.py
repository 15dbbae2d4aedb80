"""A round in a process of its own: python -m vedette.runtime.measuring.child < spec.json > round.json.

In: a Spec as JSON on standard input, where it is no part of the process list.  Out: a Round, or an error, as JSON.
Next: measure.py; rounds.py, which starts it.
"""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import cache
from typing import Any

from vedette.runtime import errors
from vedette.runtime.errors import VedetteError
from vedette.runtime.measuring.measure import Round, Spec

COMMAND = (sys.executable, "-m", "vedette.runtime.measuring.child")


@cache
def adapter(kind: type) -> Any:
    """What makes an object of this type from JSON, checking it, and back."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def in_child(spec: Spec) -> Round:
    """Measure it in a fresh process.

    Raises:
        VedetteError: what the process raised.
    """
    spec = replace(spec, began_ns=time.monotonic_ns())
    with subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        try:
            told, complained = child.communicate(adapter(Spec).dump_json(spec))
        finally:
            child.kill()  # where we were interrupted
    if told.startswith(b"{"):
        measured: Round = adapter(Round).validate_json(told)
        return measured
    raise _raised(told, complained, child.returncode)


def _raised(told: bytes, complained: bytes, code: int) -> VedetteError:
    if not told:
        why = (complained.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        return VedetteError(f"the measuring process ended with {code}", why=why)
    kind, what, why, cure = adapter(tuple[str, str, str, str]).validate_json(told)
    error: VedetteError = getattr(errors, kind, VedetteError)(what, why=why, cure=cure)
    return error


def main() -> None:
    """Measure what standard input says."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # whoever started us tells of it
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no part of the answer
    code = 0
    try:
        out.write(adapter(Round).dump_json(_measured(sys.stdin.buffer.read())))
    except VedetteError as error:
        code = error.exit_code
        told = (type(error).__name__, error.what, error.why, error.cure)
        out.write(adapter(tuple[str, str, str, str]).dump_json(told))
    out.close()
    sys.stderr.flush()
    os._exit(code)  # a reader inside a camera's time-out does not hold us up


def _measured(asked: bytes) -> Round:
    from vedette.runtime.measuring.gauges import gauge
    from vedette.runtime.measuring.measure import measure

    watching = gauge()
    try:
        return measure(adapter(Spec).validate_json(asked), gauge=watching)
    finally:
        if watching is not None:
            watching.close()


if __name__ == "__main__":
    main()
