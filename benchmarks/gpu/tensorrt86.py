"""Packs TensorRT 8.6.0, the newest full builder that the package index has as a wheel.   Run: benchmarks/gpu/tensorrt86.py OUT

With the Python 3.10 it needs, in pieces OUT/tensorrt86-01 …, for an x86-64 machine whose GPU TensorRT-RTX refuses; run86.py
runs in it. Its plugin library links cuBLAS 12 and cuDNN 8, a gigabyte that is never called with TensorRT's own tactics: empty
stand-ins satisfy the linker. Needs python3.10, pip, gcc, binutils and zstd; 490 MB, some minutes. Standard library only.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections import defaultdict
from pathlib import Path

from pack import PART, fresh
from pycuda_wheel import command, find_python, output_of

TRT_WHEEL = ("tensorrt==8.6.0", "manylinux_2_17_x86_64")
SITE = ("numpy==2.2.6", "cuda-bindings==13.4.4", "cuda-pathfinder")
PLATFORMS = (
    "manylinux_2_17_x86_64",
    "manylinux2014_x86_64",
    "manylinux_2_28_x86_64",
    "manylinux_2_24_x86_64",
    "any",
)
LIBRARIES = (
    "libnvinfer.so.8",
    "libnvinfer_builder_resource.so.8.6.0",
    "libnvonnxparser.so.8",
    "libnvparsers.so.8",
)
KEPT = ("__init__.py", "tensorrt.so", "libnvinfer_plugin.so.8", *LIBRARIES)
UNUSED = (
    "test",
    "idlelib",
    "lib2to3",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "site-packages",
    "unittest/test",
)
PIP = (sys.executable, "-m", "pip", "-q")
FOR_310 = ("--no-deps", "--only-binary=:all:", "--python-version", "3.10", "--implementation", "cp")


def main() -> None:
    out = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(dir=out) as folder:
        whole, tree = Path(folder) / "tensorrt86.tar.zst", Path(folder) / "tree"
        tensorrt(Path(folder), tree)
        python(tree)
        site(tree / "site")
        tar = subprocess.Popen(["tar", "c", "-C", str(tree), "."], stdout=subprocess.PIPE)
        subprocess.run(
            ["zstd", "-q", "-12", "--long=27", "-T0", "-o", str(whole)], stdin=tar.stdout, check=True
        )
        if tar.wait():
            raise SystemExit("tar failed")
        divide(whole, out)


def tensorrt(work: Path, tree: Path) -> None:
    """What is loaded of the wheel, and the stand-ins."""
    requirement, platform = TRT_WHEEL
    command([*PIP, "download", *FOR_310, "--platform", platform, requirement, "-d", str(work)])
    wheel = next(work.glob("tensorrt-*.whl"))
    target = tree / "trt" / "tensorrt"
    target.mkdir(parents=True)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(work / "all")
    wheel.unlink()
    stand_ins(work / "all" / "tensorrt", fresh(tree / "stubs"))
    for name in KEPT:
        shutil.move(work / "all" / "tensorrt" / name, target / name)
    shutil.rmtree(work / "all")


def stand_ins(libraries: Path, out: Path) -> None:
    """Empty libraries with the cuBLAS and cuDNN functions that TensorRT names."""
    undefined: dict[str, set[str]] = defaultdict(set)  # version -> functions
    for library in sorted(libraries.glob("*.so*")):
        table = output_of(["readelf", "-W", "--dyn-syms", str(library)])
        for function, version in re.findall(r"UND\s+((?:cublas|cudnn)\w+)(?:@(\S+))?", table):
            undefined[version or "libcudnn.so.8"].add(function)
    for version, functions in undefined.items():
        soname = version if version.startswith("libcublas") else "libcudnn.so.8"
        source, exports = out / f"{soname}.c", out / f"{soname}.map"
        source.write_text(
            "\n".join(f"int {function}(void) {{ return 1; }}" for function in sorted(functions))
        )
        exports.write_text(f"{version} {{ global: *; }};")
        flags = ["-shared", "-fPIC", "-w", f"-Wl,-soname,{soname}", f"-Wl,--version-script={exports}"]
        command(["gcc", *flags, str(source), "-o", str(out / soname)])
        source.unlink()
        exports.unlink()


def python(tree: Path) -> None:
    """CPython 3.10 with its standard library."""
    prefix = Path(output_of([find_python("3.10"), "-c", "import sys; print(sys.base_prefix)"]).strip())
    (tree / "py" / "bin").mkdir(parents=True)
    shutil.copy(prefix / "bin" / "python3.10", tree / "py" / "bin")
    ignored = shutil.ignore_patterns("__pycache__", "config-3.10-*")
    shutil.copytree(prefix / "lib" / "python3.10", tree / "py" / "lib" / "python3.10", ignore=ignored)
    for name in UNUSED:
        shutil.rmtree(tree / "py" / "lib" / "python3.10" / name, ignore_errors=True)
    for library in (prefix / "lib").glob("libpython3.10*.so*"):
        shutil.copy(library, tree / "py" / "lib", follow_symlinks=False)


def site(folder: Path) -> None:
    """What run86.py imports besides."""
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    command([*PIP, "install", *FOR_310, *platforms, "--target", str(folder), *SITE])


def divide(whole: Path, out: Path) -> None:
    """Pieces of at most PART bytes; the first brings zstd."""
    for old in out.glob("tensorrt86-*"):
        shutil.rmtree(old)
    digest = output_of(["sha256sum", str(whole)]).split()[0]
    count = -(-whole.stat().st_size // PART)
    with whole.open("rb") as content:
        for number in range(count):
            piece = fresh(out / f"tensorrt86-{number + 1:02}")
            (piece / f"{whole.name}.{number:02}").write_bytes(content.read(PART))
            (piece / f"{whole.name}.sum").write_text(f"{count} {digest}\n")
    shutil.copy(shutil.which("zstd") or "zstd", out / "tensorrt86-01" / "zstd")


if __name__ == "__main__":
    main()
