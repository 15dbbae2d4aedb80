"""Builds a pycuda wheel where there is a CUDA toolkit but no driver.   Run: benchmarks/gpu/pycuda_wheel.py OUT [--python P]

`pip install pycuda` fails there: it finds neither cuda.h behind a wrapped nvcc nor a libcuda to link. A stub that has every
function that cuda.h declares takes the driver's place at link time; the wheel then looks for libcuda.so.1 where it runs.
About three minutes. Standard library only.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

PYCUDA = "pycuda==2026.1"
HEADERS = ("cuda.h", "cudaProfiler.h", "cudaGL.h")
_FUNCTION = re.compile(r"\bcu[A-Z][A-Za-z0-9]*(?:_v[0-9]+)?(?:_ptds|_ptsz)?\b")
_CONFIGURATION = """
BOOST_INC_DIR = []
BOOST_LIB_DIR = []
BOOST_COMPILER = 'gcc43'
USE_SHIPPED_BOOST = True
BOOST_PYTHON_LIBNAME = ['boost_python']
BOOST_THREAD_LIBNAME = ['boost_thread']
CUDA_TRACE = False
CUDA_ROOT = {cuda!r}
CUDA_ENABLE_GL = False
CUDA_ENABLE_CURAND = False
CUDADRV_LIB_DIR = [{stub!r}]
CUDADRV_LIBNAME = ['cuda']
CUDART_LIB_DIR = [{cuda!r} + '/lib64']
CUDART_LIBNAME = ['cudart']
CURAND_LIB_DIR = []
CURAND_LIBNAME = []
CXXFLAGS = ['-w', '-O2']
LDFLAGS = []
"""


class MissingError(Exception):
    """What this machine lacks."""


def build(out: Path, python: str) -> Path:
    """The wheel for this Python; kept if it is there already.

    Raises:
        MissingError: no such Python, no toolkit or no compiler.
    """
    tag = output_of([python, "-c", "import sys; print('cp%d%d' % sys.version_info[:2])"]).strip()
    name = PYCUDA.replace("==", "-")
    if kept := sorted(out.glob(f"{name}-{tag}-*.whl")):
        return kept[0]
    cuda = toolkit()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        command([python, "-m", "venv", str(work / "venv")])
        pip = [str(work / "venv" / "bin" / "python"), "-m", "pip", "-q"]
        command([*pip, "install", "setuptools", "wheel", "numpy"])
        no_binary = ["--no-deps", "--no-binary=:all:", "--no-build-isolation"]
        command([*pip, "download", *no_binary, PYCUDA, "-d", str(work)])
        source = unpacked(next(work.glob("pycuda-*.tar.gz")), work)
        stub_driver(cuda / "include", work / "stub", link_name="libcuda.so")
        text = _CONFIGURATION.format(cuda=str(cuda), stub=str(work / "stub"))
        (source / "siteconf.py").write_text(text)
        command([*pip, "wheel", "--no-deps", "--no-build-isolation", str(source), "-w", str(out)])
    return next(out.glob(f"{name}-{tag}-*.whl"))


def unpacked(archive: Path, into: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(into, filter="data")
    return into / archive.name.removesuffix(".tar.gz")


def stub_driver(include: Path, folder: Path, *, link_name: str) -> Path:
    """A libcuda.so.1 whose functions all fail, in `folder` under `link_name`."""
    text = "".join((include / name).read_text() for name in HEADERS if (include / name).is_file())
    names = {name for name in _FUNCTION.findall(text) if not name.startswith(("cuuint", "cuuuid"))}
    folder.mkdir(parents=True, exist_ok=True)
    source, out = folder / "stub.c", folder / link_name
    told = {"cuGetErrorName", "cuGetErrorString"}
    text = "".join(f"int {name}(void) {{ return 999; }}\n" for name in sorted(names - told))
    text += "".join(
        f'int {name}(int error, const char** out) {{ *out = "stub"; return 0; }}\n' for name in told
    )
    source.write_text(text)
    soname = "-Wl,-soname,libcuda.so.1"
    command(["gcc", "-w", "-shared", "-fPIC", soname, str(source), "-o", str(out)])
    return out


def toolkit() -> Path:
    """The folder of the CUDA toolkit.

    Raises:
        MissingError: there is none.
    """
    nvcc = shutil.which("nvcc")
    beside = [Path(nvcc).resolve().parents[1]] if nvcc else []
    for folder in (*beside, Path("/usr/local/cuda")):
        if (folder / "include" / "cuda.h").is_file():
            return folder
    raise MissingError("no CUDA toolkit with cuda.h in it: install it, or put its nvcc on the PATH")


def find_python(version: str) -> str:
    """An interpreter of this version that works: on the PATH, or pyenv's.

    Raises:
        MissingError: there is none.
    """
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"))
    for candidate in (f"python{version}", *map(str, pyenv)):
        if shutil.which(candidate):
            done = subprocess.run([candidate, "-c", ""], capture_output=True, check=False)
            if done.returncode == 0:
                return candidate
    raise MissingError(
        f"no python{version} on the PATH or under ~/.pyenv: install it, or name one with --python"
    )


def command(words: Sequence[str]) -> None:
    output_of(words)


def output_of(words: Sequence[str]) -> str:
    """What it printed.

    Raises:
        MissingError: it failed.
    """
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise MissingError(f"there is no {words[0]}") from None
    if done.returncode:
        raise MissingError(f"{' '.join(words)}\n{(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


def main() -> str | None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--python", default="")
    arguments = parser.parse_args()
    try:
        print(build(arguments.out, arguments.python or find_python("3.12")))
    except MissingError as error:
        return str(error)
    return None


if __name__ == "__main__":
    sys.exit(main())
