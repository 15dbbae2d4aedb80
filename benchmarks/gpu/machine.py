"""What is this machine?   Run: python benchmarks/gpu/machine.py [--json PART]

nvidia-smi's own words, the driver through ctypes and pycuda, clocks, and which libraries and tools are here. Nothing is set.
"""

import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from step import Part, module_or_none, parser_of

PACKAGES = (
    *(
        "numpy",
        "pycuda",
        "cuda-bindings",
        "tensorrt",
        "tensorrt-rtx",
        "tensorrt_rtx_cu13_libs",
        "onnxruntime",
    ),
    *("onnxruntime-gpu", "torch", "torchvision", "cupy-cuda13x", "av", "pydantic", "pytest", "onnx"),
)
TOOLS = ("nvcc", "compute-sanitizer", "ncu", "nsys", "cuobjdump", "g++", "trtexec")
QUERY = (
    *("name", "driver_version", "compute_cap", "memory.total", "memory.used", "pstate", "power.limit"),
    *("clocks.sm", "clocks.mem", "clocks.max.sm", "clocks.max.mem", "ecc.mode.current", "pcie.link.gen.max"),
    *("pcie.link.width.max", "mig.mode.current"),
)


def main() -> int:
    arguments = parser_of(__doc__).parse_args()
    part = Part(arguments.json)
    part.save(packages={name: found for name in PACKAGES if (found := version_of(name))})
    part.save(tools={name: path for name in TOOLS if (path := shutil.which(name))})
    if arguments.dry_run:
        return 0
    values = printed("nvidia-smi", f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader")
    row = values.splitlines()[0].split(", ") if values else []
    part.save(gpu=dict(zip(QUERY, row, strict=False)), nvidia_smi=printed("nvidia-smi"))
    part.save(cuda=cuda_facts())
    return 0


def version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def printed(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=10)
    return done.stdout


def cuda_facts() -> dict[str, Any]:
    """What the driver says of the first GPU."""
    cuda = module_or_none("pycuda.driver")
    if cuda is None:
        return {"pycuda": "does not import"}
    cuda.init()
    gpu, attributes = cuda.Device(0), cuda.device_attribute
    facts = (
        "MULTIPROCESSOR_COUNT",
        "L2_CACHE_SIZE",
        "CLOCK_RATE",
        "MEMORY_CLOCK_RATE",
        "INTEGRATED",
        "UNIFIED_ADDRESSING",
    )
    return {
        "name": gpu.name(),
        "driver": int(cuda.get_driver_version()),
        "capability": list(gpu.compute_capability()),
        "memory_bytes": int(gpu.total_memory()),
        **{
            name.lower(): int(gpu.get_attribute(getattr(attributes, name)))
            for name in facts
            if hasattr(attributes, name)
        },
    }


if __name__ == "__main__":
    raise SystemExit(main())
