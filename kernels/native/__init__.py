"""The C++ kernels: plain C functions in one shared library, loaded by ctypes, so that one wheel serves every Python.

Each op's Python file asks `function(name, arguments)` for its own; None when the library was not built, and then NumPy runs.
Next: levels.h, which compiles an op once per instruction set; cpu.cpp, which picks one at run time.
"""

import ctypes
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

INT, FLOAT = ctypes.c_int64, ctypes.c_float
LEVELS = ("baseline", "AVX2", "AVX-512")
NAME = "_native.abi3.so"


class Array:
    """An argument type: C-contiguous and of exactly this dtype, or TypeError; a raw address would be read as anything."""

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)

    def from_param(self, array: NDArray[Any]) -> ctypes.c_void_p:
        if array.dtype != self.dtype or not array.flags.c_contiguous:
            raise TypeError(f"want C-contiguous {self.dtype}, not {array.dtype} with strides {array.strides}")
        return ctypes.c_void_p(array.ctypes.data)


U8, F16, F32, I32, I64 = Array("uint8"), Array("float16"), Array("float32"), Array("int32"), Array("int64")


@cache
def library() -> ctypes.CDLL | None:
    """The library, or None with one warning where it was not built."""
    path = Path(__file__).parents[1] / NAME
    if not path.is_file():
        warnings.warn(
            "the C++ kernels are not built, so NumPy runs in their place: many times slower. "
            "Cure: install a C++ compiler and pip install again",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return ctypes.CDLL(str(path))


@cache
def _function(name: str, result: Any, *arguments: Any) -> Callable[..., Any] | None:
    lib = library()
    if lib is None:
        return None
    found: Any = getattr(lib, name)
    found.argtypes, found.restype = arguments, result
    return found  # type: ignore[no-any-return]


def function(name: str, arguments: Sequence[Any], result: Any = None) -> Callable[..., Any] | None:
    """One exported function with its types set, or None where there is no library."""
    return _function(name, result, *arguments)


def level() -> int:
    """Index into LEVELS of the code that runs: the best that this processor has, or VEDETTE_CPU if that is lower."""
    found = function("vedette_cpu", [], ctypes.c_int32)
    return int(found()) if found else -1


def digest() -> str:
    """Of the sources that the library was built from; empty where there is none."""
    found = function("vedette_digest", [], ctypes.c_char_p)
    return found().decode() if found else ""


def describe() -> str:
    """For doctor: what runs."""
    return f"C++ ({LEVELS[level()]})" if digest() else "not built: NumPy runs"
