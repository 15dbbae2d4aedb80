"""Inside the packed Python 3.10 (tensorrt86.py): build with TensorRT 8.6, run, time.   run86.py MODEL.onnx OUT.npz BOUNDS

In: an ONNX file, and JSON {input: [smallest, typical, largest shape]}.  Out: OUT.npz, arrays in.NAME and out.NAME; the last line
printed is JSON of what it took. Only TensorRT's own tactics: cuBLAS and cuDNN are empty stand-ins there.
"""

import json
import statistics
import sys
import time
from importlib import import_module
from typing import Any

import numpy as np

WARM_UPS, TIMED = 20, 300


def built(trt: Any, logger: Any, model: str, bounds: dict[str, Any]) -> Any:
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(model):
        raise SystemExit("; ".join(str(parser.get_error(i)) for i in range(parser.num_errors)))
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, 4 << 30)
    own = int(trt.TacticSource.EDGE_MASK_CONVOLUTIONS), int(trt.TacticSource.JIT_CONVOLUTIONS)
    config.set_tactic_sources(1 << own[0] | 1 << own[1])
    profile = builder.create_optimization_profile()
    for name, shapes in bounds.items():
        profile.set_shape(name, *shapes)
    if any(-1 in tuple(network.get_input(i).shape) for i in range(network.num_inputs)):
        config.add_optimization_profile(profile)
    return builder.build_serialized_network(network, config)


def checked(answer: Any) -> Any:
    """The value of a runtime call, whose status comes first."""
    status, *values = answer
    if int(status):
        raise SystemExit(f"CUDA says {status}")
    return values[0] if values else None


def buffers(trt: Any, cuda: Any, engine: Any, context: Any, bounds: dict[str, Any]) -> dict[str, Any]:
    """Host array and device address of each tensor; inputs are drawn."""
    random, made = np.random.default_rng(0), {}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT:
            context.set_input_shape(name, tuple(bounds[name][1]))
        shape, dtype = tuple(context.get_tensor_shape(name)), trt.nptype(engine.get_tensor_dtype(name))
        host = random.random(shape).astype(dtype)
        device = checked(cuda.cudaMalloc(host.nbytes))
        up = cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        checked(cuda.cudaMemcpy(device, host.ctypes.data, host.nbytes, up))
        context.set_tensor_address(name, device)
        made[name] = host, device
    return made


def timed(cuda: Any, context: Any, stream: Any) -> list[float]:
    """Microseconds of each run."""
    begin, end, times = checked(cuda.cudaEventCreate()), checked(cuda.cudaEventCreate()), []
    for turn in range(WARM_UPS + TIMED):
        checked(cuda.cudaEventRecord(begin, stream))
        if not context.execute_async_v3(int(stream)):
            raise SystemExit("execute_async_v3 returned False")
        checked(cuda.cudaEventRecord(end, stream))
        checked(cuda.cudaStreamSynchronize(stream))
        if turn >= WARM_UPS:
            times.append(checked(cuda.cudaEventElapsedTime(begin, end)) * 1e3)
    return sorted(times)


def main() -> None:
    model, out, bounds = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    trt, cuda = import_module("tensorrt"), import_module("cuda.bindings.runtime")
    logger, start = trt.Logger(trt.Logger.WARNING), time.perf_counter()
    trt.init_libnvinfer_plugins(logger, "")
    plan = built(trt, logger, model, bounds)
    if plan is None:
        raise SystemExit("build_serialized_network returned None")
    found = {"build_s": round(time.perf_counter() - start, 2), "bytes": plan.nbytes}
    start = time.perf_counter()
    engine = trt.Runtime(logger).deserialize_cuda_engine(plan)
    context, stream = engine.create_execution_context(), checked(cuda.cudaStreamCreate())
    found["opened_s"] = round(time.perf_counter() - start, 2)
    memory = buffers(trt, cuda, engine, context, bounds)
    times = timed(cuda, context, stream)
    found |= {
        "median_us": round(statistics.median(times), 1),
        "p99_us": round(times[int(0.99 * len(times))], 1),
    }
    arrays = {}
    for name, (host, device) in memory.items():
        is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        down = cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        checked(cuda.cudaMemcpy(host.ctypes.data, device, host.nbytes, down))
        arrays[("in." if is_input else "out.") + name] = host
    np.savez(out, **arrays)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
