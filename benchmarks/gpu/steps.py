"""The steps of `python -m benchmarks.gpu`, the cheapest and most important first; and what each needs to be here.

A step is a program of its own (step.py). Its limit is what it may take; with less of the budget left it gets less.
"""

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from step import ROOT, lanes, zoo

from vedette.kernels.fatbin import stale

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Step:
    """One question to a GPU."""

    name: str
    limit_s: float
    program: str  # beside this file
    arguments: tuple[str, ...] = ()
    needs: tuple[Callable[[Path], str], ...] = field(default=())  # each says what is missing, or nothing

    def command(self, part: Path, pack: Path, *, dry_run: bool) -> list[str]:
        flags = ["--json", str(part), "--pack", str(pack), *(["--dry-run"] if dry_run else [])]
        return [sys.executable, str(HERE / self.program), *self.arguments, *flags]

    def missing(self, pack: Path) -> list[str]:
        return [lack for need in self.needs if (lack := need(pack))]


def module(name: str) -> Callable[[Path], str]:
    return lambda pack: "" if find_spec(name) else f"the Python package {name}"


def tool(name: str) -> Callable[[Path], str]:
    return lambda pack: "" if shutil.which(name) else f"{name} on the PATH"


def fatbin(pack: Path) -> str:
    """One of these sources or, where there is none, a compiler: an old one would be loaded in their place."""
    built = ROOT / "kernels" / "vedette.fatbin"
    if not built.is_file() and shutil.which("nvcc"):
        return ""
    return stale(ROOT / "kernels", built) or ""


def onnx(pack: Path) -> str:
    return "" if zoo(pack) else "the zoo's ONNX files: make zoo"


def lane(pack: Path) -> str:
    return "" if lanes() or (pack.parent / "tensorrt86").is_dir() else "a TensorRT lane"


DRIVING = (module("pycuda"), module("cuda"), fatbin)
ENGINE = (*DRIVING, module("onnxruntime"), module("pydantic"), onnx, lane)
STEPS: Sequence[Step] = (
    Step("machine", 20, "machine.py", needs=(tool("nvidia-smi"),)),
    Step("probe_rtx", 60, "probe_rtx.py", needs=(module("tensorrt_rtx"), *ENGINE)),
    Step("kernels", 100, "kernel_tests.py", needs=(module("pytest"), *DRIVING)),
    Step("copy_bandwidth", 30, "copy_bandwidth.py", needs=DRIVING),
    Step("memcheck", 45, "sanitizer.py", ("memcheck",), (tool("compute-sanitizer"), *DRIVING)),
    Step("kernel_timings", 75, "kernel_timings.py", needs=DRIVING),
    Step("engines", 90, "engines.py", needs=ENGINE),
    Step("end_to_end", 90, "end_to_end.py", needs=ENGINE),
    Step("racecheck", 45, "sanitizer.py", ("racecheck",), (tool("compute-sanitizer"), *DRIVING)),
    Step("initcheck", 45, "sanitizer.py", ("initcheck",), (tool("compute-sanitizer"), *DRIVING)),
    Step("synccheck", 45, "sanitizer.py", ("synccheck",), (tool("compute-sanitizer"), *DRIVING)),
)
