"""The CUDA kernels, compiled ahead of time for every architecture into one file, vedette.fatbin.

In: kernels/*.cu.  Out: the fatbin, and beside it a .json: the digest of what it was made from, and what each kernel uses.
CUDA 12.6's NVRTC compiles for sm <= 90, because drivers of CUDA 12.6 refuse cubins of 13.0; nvcc 13 compiles for the rest:
docs/decisions/0005. Standard library only. `python -m vedette.kernels.fatbin` builds, with --check only tells. Next: gate.py.
"""

import ctypes
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

NVRTC_SM = (75, 80, 86, 87, 89, 90)
NVCC_SM = (100, 110, 120)
NVRTC_VERSION = (12, 6)
NVCC_VERSION = 13
FLAGS = ("--std=c++17", "--fmad=false")  # no contraction: as the C++ and the NumPy references
COMPRESSION = (
    "--compress-all",
    "--compress-mode=speed",
)  # what every driver of CUDA 12 reads: docs/decisions/0005
NAME = "vedette.fatbin"
CURE = "cure: make fatbin"

_EI_ABIVERSION = 8  # where a cubin, an ELF file, has the version of its ABI

# What NVRTC, which brings no headers of the C library, is given in their place.
_C_HEADERS = {
    "math.h": "#define INFINITY __int_as_float(0x7f800000)\n",
    "stdint.h": "typedef signed char int8_t; typedef unsigned char uint8_t; typedef short int16_t;"
    "typedef unsigned short uint16_t; typedef int int32_t; typedef unsigned int uint32_t;"
    "typedef long int64_t; typedef unsigned long uint64_t;",
}


class BuildError(Exception):
    """Why there is no new fatbin."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one kernel uses on one architecture, as ptxas says."""

    kernel: str
    sm: int
    registers: int  # a thread
    shared: int  # bytes a block
    spills: int  # bytes, stores and loads
    stack: int  # bytes a thread


def fatbin() -> bytes | None:
    """For cuModuleLoadData; None where it was not built."""
    path = files("vedette").joinpath("kernels", NAME)
    return path.read_bytes() if path.is_file() else None


def digest(kernels: Path) -> str:
    """Of everything that the fatbin is made from."""
    recipe = repr(
        (NVRTC_SM, NVCC_SM, NVRTC_VERSION, NVCC_VERSION, FLAGS, COMPRESSION, _C_HEADERS, _unit(kernels))
    )
    parts = [recipe.encode(), *(path.name.encode() + path.read_bytes() for path in _sources(kernels))]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def stale(kernels: Path, out: Path) -> str | None:
    """Why `out` is not the fatbin of the sources; None when it is."""
    facts = out.with_name(out.name + ".json")
    if not out.is_file() or not facts.is_file():
        return f"{out.name} was not built; {CURE}"
    known = json.loads(facts.read_text())
    if known["sha256"] != hashlib.sha256(out.read_bytes()).hexdigest():
        return f"{out.name} is not the file that {facts.name} describes; {CURE}"
    if known["digest"] != digest(kernels):
        return f"{out.name} was made from other sources; {CURE}"
    return None


def usage(out: Path) -> list[Usage]:
    """What the kernels in a fatbin use."""
    return [Usage(**entry) for entry in json.loads(out.with_name(out.name + ".json").read_text())["usage"]]


def abi(out: Path) -> dict[int, int]:
    """The ABI version of the cubin for each architecture."""
    return {
        int(sm): version
        for sm, version in json.loads(out.with_name(out.name + ".json").read_text())["abi"].items()
    }


def build(kernels: Path, out: Path) -> None:
    """Compile kernels/*.cu into `out` and write its .json.

    Raises:
        BuildError: a compiler is missing or of another version, or refuses the sources.
    """
    nvrtc, nvcc = _packaged_nvrtc(), _nvcc()
    unit, headers = _unit(kernels), _headers(kernels)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(3) as pool:
        later = {sm: pool.submit(_compile_with_nvcc, nvcc, unit, kernels, sm, Path(folder)) for sm in NVCC_SM}
        made = {sm: nvrtc.compile(unit, headers, sm) for sm in NVRTC_SM}
        made |= {sm: future.result() for sm, future in later.items()}
        for sm, (cubin, _) in made.items():
            (Path(folder) / f"{sm}.cubin").write_bytes(cubin)
        images = [f"--image3=kind=elf,sm={sm},file={folder}/{sm}.cubin" for sm in made]
        joined = Path(folder) / NAME
        _run([_beside(nvcc, "fatbinary"), "--64", *COMPRESSION, f"--create={joined}", *images])
        content = joined.read_bytes()
    facts = {
        "digest": digest(kernels),
        "sha256": hashlib.sha256(content).hexdigest(),
        "abi": {str(sm): cubin[_EI_ABIVERSION] for sm, (cubin, _) in made.items()},
        "usage": [asdict(entry) for _, log in made.values() for entry in parse_ptxas(log)],
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(content)
    out.with_name(out.name + ".json").write_text(json.dumps(facts, indent=1) + "\n")


def compiled_here(sm: int) -> bytes:
    """A cubin by this machine's own compiler, for a GPU or driver that refuses the fatbin; kept in the user's cache.

    Raises:
        BuildError: there is no compiler, or it refuses.
    """
    kernels = Path(str(files("vedette").joinpath("kernels")))
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = root / "vedette" / "kernels" / f"{digest(kernels)[:20]}-sm_{sm}.cubin"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            made = Path(folder) / "made.cubin"
            made.write_bytes(_compiled(kernels, sm, Path(folder)))
            made.replace(kept)
    return kept.read_bytes()


def _compiled(kernels: Path, sm: int, folder: Path) -> bytes:
    nvcc, unit = shutil.which("nvcc"), _unit(kernels)
    if nvcc:
        return _compile_with_nvcc(nvcc, unit, kernels, sm, folder)[0]
    return _local_nvrtc().compile(unit, _headers(kernels), sm)[0]


def parse_ptxas(log: str) -> list[Usage]:
    """What `ptxas -v` says of each kernel."""
    found = []
    for part in re.split(r"Compiling entry function ", log)[1:]:
        kernel, sm = _numbers(r"'(\w+)' for 'sm_(\d+)'", part)
        stack, *spills = _numbers(
            r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", part
        )
        (registers,) = _numbers(r"Used (\d+) registers", part)
        shared = re.search(r"(\d+) bytes smem", part)
        found.append(
            Usage(
                kernel=kernel,
                sm=int(sm),
                registers=int(registers),
                shared=int(shared[1]) if shared else 0,
                spills=sum(map(int, spills)),
                stack=int(stack),
            )
        )
    return found


def _numbers(pattern: str, text: str) -> tuple[str, ...]:
    found = re.search(pattern, text)
    if found is None:
        raise BuildError(f"ptxas printed no '{pattern}' in: {text[:300]}")
    return found.groups()


def _sources(kernels: Path) -> list[Path]:
    return sorted(path for pattern in ("*.cu", "*.cuh", "*.h") for path in kernels.glob(pattern))


def _headers(kernels: Path) -> dict[str, str]:
    """For NVRTC: everything that may be included."""
    return {path.name: path.read_text() for path in _sources(kernels)} | _C_HEADERS


def _unit(kernels: Path) -> str:
    """All files as one, each in its own namespace, so that each may name its constants as it likes."""
    stems = sorted(path.stem for path in kernels.glob("*.cu"))
    wrapped = (f'namespace {stem}_cu {{\n#include "{stem}.cu"\n}}\n' for stem in stems)
    return '#include "common.cuh"\n' + "".join(wrapped)


class _Nvrtc:
    """NVRTC's C interface."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    @property
    def version(self) -> tuple[int, int]:
        """Of CUDA."""
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        return major.value, minor.value

    def compile(self, unit: str, headers: dict[str, str], sm: int) -> tuple[bytes, str]:
        """The cubin and what ptxas printed."""
        program, count = ctypes.c_void_p(), len(headers)
        self._check(
            self._library.nvrtcCreateProgram(
                ctypes.byref(program),
                unit.encode(),
                b"vedette.cu",
                count,
                _strings([*headers.values()]),
                _strings([*headers]),
            ),
            "",
        )
        options = [f"--gpu-architecture=sm_{sm}", "--ptxas-options=-v", *FLAGS]
        status = self._library.nvrtcCompileProgram(program, len(options), _strings(options))
        log = self._read(program, "ProgramLog").rstrip(b"\0").decode()
        self._check(status, log)
        cubin = self._read(program, "CUBIN")
        self._library.nvrtcDestroyProgram(ctypes.byref(program))
        return cubin, log

    def _read(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._check(self._library[f"nvrtcGet{what}Size"](program, ctypes.byref(size)), what)
        buffer = ctypes.create_string_buffer(size.value)
        self._check(self._library[f"nvrtcGet{what}"](program, buffer), what)
        return buffer.raw

    def _check(self, status: int, log: str) -> None:
        if status:
            explain = self._library.nvrtcGetErrorString
            explain.restype = ctypes.c_char_p
            raise BuildError(f"NVRTC: {explain(status).decode()}\n{log}")


def _strings(texts: Sequence[str]) -> "ctypes.Array[ctypes.c_char_p]":
    return (ctypes.c_char_p * len(texts))(*(text.encode() for text in texts))


def _packaged_nvrtc() -> _Nvrtc:
    """That of the wheel nvidia-cuda-nvrtc-cu12."""
    cure = f"cure: pip install 'nvidia-cuda-nvrtc-cu12=={NVRTC_VERSION[0]}.{NVRTC_VERSION[1]}.*'"
    try:
        spec = importlib.util.find_spec("nvidia.cuda_nvrtc")
    except ModuleNotFoundError:
        spec = None
    folders = spec.submodule_search_locations if spec else None
    libraries = sorted(Path(folders[0]).glob("lib/libnvrtc.so.*")) if folders else []
    if not libraries:
        raise BuildError(f"no NVRTC; {cure}")
    nvrtc = _Nvrtc(ctypes.CDLL(str(libraries[0])))
    if nvrtc.version != NVRTC_VERSION:
        found = ".".join(map(str, nvrtc.version))
        raise BuildError(f"NVRTC is {found}; drivers of CUDA 12.6 refuse that; {cure}")
    return nvrtc


def _local_nvrtc() -> _Nvrtc:
    """That of this machine's toolkit."""
    for name in ("libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12"):
        try:
            return _Nvrtc(ctypes.CDLL(name))
        except OSError:
            continue
    raise BuildError("there is neither nvcc nor libnvrtc here")


def _nvcc() -> str:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        raise BuildError("nvcc is not on the PATH")
    version = re.search(r"release (\d+)\.", _run([nvcc, "--version"]))
    if version is None or int(version[1]) != NVCC_VERSION:
        raise BuildError(f"{nvcc} is not of CUDA {NVCC_VERSION}, which knows sm_{NVCC_SM[1]}")
    return nvcc


def _compile_with_nvcc(nvcc: str, unit: str, kernels: Path, sm: int, folder: Path) -> tuple[bytes, str]:
    """The cubin and what ptxas printed."""
    out = folder / f"nvcc-{sm}.cubin"
    command = [nvcc, "-cubin", f"-arch=sm_{sm}", *FLAGS, "-Xptxas", "-v", "-I", str(kernels)]
    log = _run([*command, "-x", "cu", "-", "-o", str(out)], unit)
    return out.read_bytes(), log


def _beside(nvcc: str, tool: str) -> str:
    return shutil.which(tool) or str(Path(nvcc).resolve().with_name(tool))


def _run(command: Sequence[str], text: str = "") -> str:
    done = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
    if done.returncode:
        raise BuildError(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout + done.stderr


def main(arguments: Sequence[str]) -> str | None:
    """Build unless the fatbin is current; with --check, only say whether it is."""
    here = Path(__file__).parent
    out = here / NAME
    why = stale(here, out)
    if why is None or "--check" in arguments:
        return why
    try:
        build(here, out)
    except BuildError as error:
        return str(error)
    sys.stdout.write(f"{NAME}: {out.stat().st_size:,} bytes\n")
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
