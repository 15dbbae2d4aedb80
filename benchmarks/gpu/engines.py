"""Do TensorRT's lanes run the zoo right on this GPU?   Run: python benchmarks/gpu/engines.py [--json PART]

Each ONNX file of the zoo is built, opened and run by each lane that is here, and its outputs compared with ONNX Runtime's on the
CPU, on the same seeded input. The engines stay in build/gpu-engines for end_to_end.py. A packed TensorRT 8.6 runs in the
Python that was packed with it (tensorrt86.py).
"""

import json
import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import numpy as np
from step import ENGINES, ROOT, Part, lanes, parser_of, zoo

from vedette.kernels.device import device

Arrays = Mapping[str, Any]
PACKED = ROOT / "build" / "tensorrt86"  # where unpack.sh puts it


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--tensorrt86", type=Path, default=PACKED)
    arguments = parser.parse_args()
    part, models = Part(arguments.json), zoo(arguments.pack)
    packed = arguments.tensorrt86 if (arguments.tensorrt86 / "trt").is_dir() else None
    part.save(
        planned=[
            f"{model.stem}, {lane}" for model in models for lane in [*lanes(), *(["8.6"] if packed else [])]
        ]
    )
    part.save(lanes=versions())
    if arguments.dry_run:
        return 0
    for model in models:
        for lane in lanes():
            with part.trying("engines", f"{model.stem}, {lane}"):
                in_this_process(part, model, lane)
        if packed:
            with part.trying("engines", f"{model.stem}, 8.6"):
                in_packed_python(part, model, packed)
    if device.cache_info().currsize:
        device().close()
    return int(part.failed)


def versions() -> dict[str, str]:
    """Of the lanes that are here; a module may be here without its package's name."""
    found = {}
    for lane, module in lanes().items():
        owners = packages_distributions().get(module, [])
        found[lane] = version(owners[0]) if owners else "unknown"
    return found


def in_this_process(part: Part, model: Path, lane: str) -> None:
    """Build, open, run, compare; each is written down before the next begins."""
    from vedette.export.to_engine import engine_from_onnx
    from vedette.runtime import manifest as manifests
    from vedette.runtime.backends.tensorrt_ import open_engine

    name, start = f"{model.stem}, {lane}", time.perf_counter()
    card, data = manifests.load(model)
    built = engine_from_onnx(data[model.name], card, lane=lane)
    part.row("engines", name, build_s=round(time.perf_counter() - start, 2), bytes=len(built.plan))
    out = ENGINES / f"{model.stem}-{lane}.engine"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(built.plan)
    card = replace(card, files={out.name: manifests.sha256(built.plan)}, build={**card.build, **built.build})
    manifests.save(card, out)
    start = time.perf_counter()
    engine = open_engine(card, {out.name: bytes(built.plan)})
    part.row("engines", name, opened_s=round(time.perf_counter() - start, 2))
    feeds = drawn(card.inputs)
    outputs = engine(feeds)
    part.row("engines", name, outputs=differences(outputs, reference(data[model.name], feeds)))
    engine.close()


def drawn(inputs: Any) -> dict[str, Any]:
    """Seeded input of the typical size."""
    random = np.random.default_rng(0)
    return {spec.name: random.random(spec.bounds()[1], np.float32).astype(spec.dtype) for spec in inputs}


def reference(model: bytes, feeds: Arrays) -> dict[str, Any]:
    """ONNX Runtime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def differences(found: Arrays, expected: Arrays) -> dict[str, Any]:
    """How far each output is from the reference."""
    rows = {}
    for name, want in expected.items():
        wanted, got = np.asarray(want, np.float64), np.asarray(found[name], np.float64)
        if got.shape != wanted.shape:
            raise ValueError(f"{name} is {list(got.shape)}, ONNX Runtime's is {list(wanted.shape)}")
        error = np.abs(got - wanted)
        rows[name] = {
            "shape": list(got.shape),
            "largest": float(np.abs(wanted).max()),
            "max_abs_error": float(error.max()),
            "relative_error": float(np.linalg.norm(error) / (np.linalg.norm(wanted) + 1e-30)),
        }
    return rows


def in_packed_python(part: Part, model: Path, packed: Path) -> None:
    """TensorRT 8.6 with its own Python 3.10: it writes its input and outputs, which are compared here."""
    from vedette.runtime import manifest as manifests

    name, out = f"{model.stem}, 8.6", ENGINES / f"{model.stem}-86.npz"
    out.parent.mkdir(parents=True, exist_ok=True)
    folders = [packed / "stubs", packed / "trt" / "tensorrt", packed / "py" / "lib"]
    paths = {
        "LD_LIBRARY_PATH": os.pathsep.join([*map(str, folders), os.environ.get("LD_LIBRARY_PATH", "")]),
        "PYTHONPATH": f"{packed / 'trt'}{os.pathsep}{packed / 'site'}",
    }
    card, _ = manifests.load(model)
    bounds = json.dumps({spec.name: spec.bounds() for spec in card.inputs})
    program = str(Path(__file__).with_name("run86.py"))
    command = [str(packed / "py" / "bin" / "python3.10"), program, str(model), str(out), bounds]
    done = subprocess.run(command, env=os.environ | paths, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"exit status {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
    part.row("engines", name, **json.loads(done.stdout.strip().splitlines()[-1]))
    arrays = dict(np.load(out))
    feeds = {key.removeprefix("in."): value for key, value in arrays.items() if key.startswith("in.")}
    outputs = {key.removeprefix("out."): value for key, value in arrays.items() if key.startswith("out.")}
    part.row("engines", name, outputs=differences(outputs, reference(model.read_bytes(), feeds)))


if __name__ == "__main__":
    raise SystemExit(main())
