"""Builds a .cu with g++ under cuda_host.h, and launches its kernels on NumPy arrays.

In: a file of kernels/, perhaps with a change planted.  Out: `Library.launch`, which takes what cuLaunchKernel takes.
Builds are kept by the digest of their sources in the user's cache folder, so that a second run compiles nothing.
"""

import ctypes
import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
KERNELS = HERE.parents[1] / "kernels"
SANITIZE = [
    "-g",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-fsanitize-sections=cuda_shared",
]
FLAGS = ["-std=c++17", "-O1", "-ffp-contract=off", "-fPIC", "-fno-gnu-unique", "-shared"]
FLAGS += ["-Wno-unused-function", "-Wno-unknown-pragmas"]
KERNEL = re.compile(r'extern "C" __global__ void (?:__launch_bounds__\([^)]*\) )?(\w+)\(')
WRAPPER = """
extern "C" const char* launch_{0}(const unsigned* grid, const unsigned* block, void** arguments, int order, unsigned seed) {{
    return cuda_host::launch({0}, grid, block, arguments, order, seed);
}}
"""


class Order(IntEnum):
    """In which order the threads of a block, and the blocks, take their turns."""

    FORWARD = 0
    REVERSED = 1
    SHUFFLED = 2


class LaunchError(Exception):
    """What the shim found wrong."""


def build(stem: str, *, change: tuple[str, str] | None = None, sanitize: bool = False) -> Path:
    """The library of kernels/<stem>.cu, with the text change[0], which is there once, replaced by change[1]."""
    source = (KERNELS / f"{stem}.cu").read_text()
    if change:
        assert source.count(change[0]) == 1, f"{stem}.cu has {source.count(change[0])} times: {change[0]}"
        source = source.replace(*change)
    warnings = [] if change else ["-Wall", "-Wextra", "-Werror"]
    return build_text(stem, source, [*warnings, *(SANITIZE if sanitize else [])])


def build_text(stem: str, source: str, flags: Sequence[str] = ()) -> Path:
    """The library of this CUDA text."""
    source += "".join(WRAPPER.format(name) for name in KERNEL.findall(source))
    command = [
        "g++",
        *FLAGS,
        *flags,
        "-include",
        str(HERE / "cuda_host.h"),
        "-I",
        str(KERNELS),
        "-x",
        "c++",
        "-",
    ]
    headers = [HERE / "cuda_host.h", *sorted(KERNELS.glob("*.h")), *sorted(KERNELS.glob("*.cuh"))]
    parts = [repr(command).encode(), source.encode(), *(path.read_bytes() for path in headers)]
    library = _cache() / f"{stem}-{hashlib.sha256(b''.join(parts)).hexdigest()[:20]}.so"
    if not library.exists():
        _compile(command, source, library)
    return library


def _cache() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "vedette" / "cuda_host"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _compile(command: Sequence[str], source: str, library: Path) -> None:
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        out = Path(folder) / library.name
        done = subprocess.run([*command, "-o", str(out)], input=source, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
        out.replace(library)


class Library:
    """The kernels of one .cu; every launch runs in `order`."""

    def __init__(self, path: Path, *, order: Order = Order.FORWARD, seed: int = 0) -> None:
        self._library = ctypes.CDLL(str(path))
        self.order, self.seed = order, seed

    def array(self, shape: Sequence[int], dtype: Any, values: Any = None) -> Any:
        """Memory for its kernels: see device_array."""
        return device_array(shape, dtype, values)

    def launch(self, name: str, grid: Sequence[int], block: int, *arguments: Any) -> None:
        """Run one kernel. Arrays go as pointers, ints are addresses, NumPy and ctypes scalars go by value.

        Raises:
            LaunchError: the shim found a hang, a divergence or a configuration that a GPU refuses.
        """
        values = [_value(argument) for argument in arguments]
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        function = self._library[f"launch_{name}"]
        function.restype = ctypes.c_char_p
        three = (*grid, 1, 1)[:3]
        error = function(
            (ctypes.c_uint * 3)(*three),
            (ctypes.c_uint * 3)(block, 1, 1),
            pointers,
            int(self.order),
            ctypes.c_uint(self.seed),
        )
        if error:
            raise LaunchError(f"{name}: {error.decode()}")


_SCALARS = {"i": ctypes.c_int, "l": ctypes.c_int64, "f": ctypes.c_float, "d": ctypes.c_double}


def _value(argument: Any) -> Any:
    if isinstance(argument, np.generic):
        return _SCALARS[argument.dtype.char](argument.item())
    if isinstance(argument, int):
        return ctypes.c_void_p(argument)
    if isinstance(argument, np.ndarray):
        assert argument.flags.c_contiguous
        return ctypes.c_void_p(argument.ctypes.data)
    return argument


def device_array(shape: Sequence[int], dtype: Any, values: Any = None) -> Any:
    """An array of its own allocation, aligned as vector loads want, filled with `values` or with 0xCD.

    No spare bytes after it, so that ASan sees an access past its end.
    """
    dtype = np.dtype(dtype)
    raw = np.full(int(np.prod(shape)) * dtype.itemsize, 0xCD, np.uint8)
    assert raw.ctypes.data % 16 == 0, "malloc aligns to 16 bytes"
    array = raw.view(dtype).reshape(shape)
    if values is not None:
        array[...] = values
    return array
