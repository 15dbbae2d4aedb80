"""The C++ kernels in a process of their own: for ARM under an emulator, or with sanitizers. Next: neon.cpp.

A Call's buffers are allocations of exactly their size there, so that a sanitizer sees every byte read too far.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

Array = NDArray[Any]
NATIVE = Path(__file__).parents[1] / "kernels" / "native"
SYSROOT = "/usr/aarch64-linux-gnu"  # where Debian's cross compiler keeps its libraries
SANITIZERS = (
    "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
    # compiles in half of the time of -O2, and again in two thirds of that where checks are calls
    "-O1", "--param=asan-instrumentation-with-call-threshold=0",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One call of an exported function.

    Attributes:
        name: of the function.
        arguments: int, float (as float32), np.float64, or array, passed by its address, all its bytes in C order.
        memory: arrays that only `pointers` lead to, counted after those of the arguments.
        pointers: (array, offset in bytes, other array): there the first array gets the address of the other.
    """

    name: str
    arguments: Sequence[int | float | Array]
    memory: Sequence[Array] = ()
    pointers: Sequence[tuple[int, int, int]] = ()

    @property
    def arrays(self) -> list[Array]:
        return [item for item in self.arguments if isinstance(item, np.ndarray)] + list(self.memory)

    def to_bytes(self) -> bytes:
        parts = [_sized(self.name.encode())]
        for item in self.arguments:
            if isinstance(item, np.ndarray):
                parts += [_number(ord("b")), _sized(item.tobytes())]
            elif isinstance(item, np.float64):
                parts += [_number(ord("f")), item.tobytes()]
            elif isinstance(item, float):
                parts += [_number(ord("f")), np.float32(item).tobytes() + bytes(4)]
            else:
                parts += [_number(ord("i")), _number(item)]
        for item in self.memory:
            parts += [_number(ord("m")), _sized(item.tobytes())]
        parts += [_number(ord("e")), *(_number(value) for pointer in self.pointers for value in pointer)]
        return b"".join([*parts, _number(-1)])


def on_arm(calls: Sequence[Call]) -> list[tuple[int, list[Array]]]:
    """What the NEON level makes of calls: the returned value and all arrays of each. Skips where there is no emulator."""
    compiler, emulator = shutil.which("aarch64-linux-gnu-g++"), shutil.which("qemu-aarch64")
    if compiler is None or emulator is None:
        pytest.skip("needs aarch64-linux-gnu-g++ and qemu-aarch64 (Debian: g++-aarch64-linux-gnu, qemu-user)")
    return _run([emulator, "-L", SYSROOT, str(_built(compiler, ()))], calls, {})


def sanitized(calls: Sequence[Call], *, level: int) -> list[tuple[int, list[Array]]]:
    """The same on this processor, at a level, with address and undefined-behaviour sanitizers, which end it."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++")
    return _run([str(_built(compiler, SANITIZERS))], calls, {"VEDETTE_CPU": str(level)})


@cache
def _built(compiler: str, flags: tuple[str, ...]) -> Path:
    """The kernels with neon.cpp, as setup.py builds them but for the sanitizers; once for all processes."""
    sources = [Path(__file__).with_suffix(".cpp"), *sorted(NATIVE.glob("*.cpp"))]
    options = ["-std=c++17", "-O2", "-g1", "-ffp-contract=off", "-fno-math-errno", '-DVEDETTE_DIGEST=""']
    command = [compiler, *options, *flags, "-rdynamic", *map(str, sources)]
    read = [
        *sources,
        *sorted(NATIVE.glob("*.inc")),
        *sorted(NATIVE.glob("*.h")),
        *sorted(NATIVE.parent.glob("*.h")),
    ]
    digest = hashlib.sha256(b"\0".join([repr(command).encode(), *(path.read_bytes() for path in read)]))
    folder = Path(gettempdir()) / f"vedette-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    program = folder / f"neon-{digest.hexdigest()[:16]}"
    with program.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.is_file():
            half = program.with_suffix(".half")
            done = subprocess.run(
                [*command, "-o", str(half), "-ldl"], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr[-4000:]
            half.rename(program)
    return program


def _run(
    command: Sequence[str], calls: Sequence[Call], environment: dict[str, str]
) -> list[tuple[int, list[Array]]]:
    done = subprocess.run(
        command, input=b"".join(call.to_bytes() for call in calls), env={**os.environ, **environment},
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.returncode, done.stderr.decode()[-4000:])
    answers, at = [], 0
    for call in calls:
        value, at = int(np.frombuffer(done.stdout, np.int64, 1, at)[0]), at + 8
        arrays = []
        for array in call.arrays:
            found = np.frombuffer(done.stdout, array.dtype, array.size, at).reshape(array.shape)
            arrays.append(found)
            at += array.nbytes
        answers.append((value, arrays))
    assert at == len(done.stdout)
    return answers


def _number(value: int) -> bytes:
    return np.int64(value).tobytes()


def _sized(data: bytes) -> bytes:
    return _number(len(data)) + data
