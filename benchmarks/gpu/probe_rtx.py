"""Does TensorRT-RTX accept this GPU?   Run: python benchmarks/gpu/probe_rtx.py [--model MODEL.onnx] [--json PART]

Its documentation names compute capability 7.5, 8.6, 8.9 and 12.x. A portable engine and one for this GPU are built, asked whether
they are valid here, opened, run, compared with ONNX Runtime on the CPU and timed; each is written down even if the next fails.
pycuda and the binding only: none of Vedette's own device code, so that a refusal is RTX's.
"""

import statistics
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from clock import percentile, rounded
from engines import differences, drawn, reference
from step import Part, parser_of, zoo

TIMED, WARM_UPS = 300, 20


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--model", type=Path)
    arguments = parser.parse_args()
    part, models = Part(arguments.json), zoo(arguments.pack)
    model = arguments.model or min(models, key=lambda path: path.stat().st_size, default=None)
    if model is None:
        return 1
    part.save(model=model.name)
    if arguments.dry_run:
        return 0
    rtx, cuda = import_module("tensorrt_rtx"), import_module("pycuda.driver")
    part.save(version=rtx.__version__)
    cuda.init()
    context = cuda.Device(0).retain_primary_context()
    context.push()
    for target in ("portable", "current"):
        with part.trying("targets", target):
            Probe(part, target, model, rtx, cuda).run()
    cuda.Context.pop()
    return int(part.failed)


class Probe:
    """One way of building, followed to its end."""

    def __init__(self, part: Part, target: str, model: Path, rtx: Any, cuda: Any) -> None:
        self._part, self._target, self._model = part, target, model
        self._rtx, self._cuda = rtx, cuda
        self._logger = rtx.Logger(rtx.Logger.WARNING)

    def run(self) -> None:
        from vedette.runtime import manifest

        card, _ = manifest.load(self._model)
        feeds = drawn(card.inputs)
        plan = self._built({spec.name: spec.bounds() for spec in card.inputs})
        context = self._opened(plan)
        outputs = self._outputs(context, feeds)
        self._say(outputs=differences(outputs, reference(self._model.read_bytes(), feeds)))

    def _say(self, **found: Any) -> None:
        self._part.row("targets", self._target, **found)

    def _built(self, bounds: dict[str, Any]) -> bytes:
        rtx, start = self._rtx, time.perf_counter()
        builder = rtx.Builder(self._logger)
        network = builder.create_network(0)
        parser = rtx.OnnxParser(network, self._logger)
        if not parser.parse(self._model.read_bytes()):
            raise RuntimeError("; ".join(str(parser.get_error(i)) for i in range(parser.num_errors)))
        config = builder.create_builder_config()
        profile = builder.create_optimization_profile()
        dynamic = [
            network.get_input(i) for i in range(network.num_inputs) if -1 in tuple(network.get_input(i).shape)
        ]
        for tensor in dynamic:
            profile.set_shape(tensor.name, *bounds[tensor.name])
        if dynamic:
            config.add_optimization_profile(profile)
        if self._target == "current":
            config.num_compute_capabilities = 1
            config.set_compute_capability(rtx.ComputeCapability.CURRENT, 0)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise RuntimeError("build_serialized_network returned None: its log is in the step's output")
        self._say(build_s=rounded(time.perf_counter() - start), bytes=plan.nbytes)
        return bytes(plan)

    def _opened(self, plan: bytes) -> Any:
        runtime, start = self._rtx.Runtime(self._logger), time.perf_counter()
        self._say(validity=self._validity(runtime, plan))
        self._engine = runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise RuntimeError("deserialize_cuda_engine returned None: its log is in the step's output")
        context = self._engine.create_execution_context()
        self._say(opened_s=rounded(time.perf_counter() - start))
        return context

    @staticmethod
    def _validity(runtime: Any, plan: bytes) -> str:
        try:
            return str(runtime.get_engine_validity(plan))
        except Exception as error:  # noqa: BLE001  (the call differs between releases)
            return repr(error)

    def _outputs(self, context: Any, feeds: dict[str, Any]) -> dict[str, Any]:
        """Run, time, and take the outputs of the last run."""
        engine, cuda, stream = self._engine, self._cuda, self._cuda.Stream()
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        for name, array in feeds.items():
            context.set_input_shape(name, array.shape)
        memory, outputs = {}, {}
        for name in names:
            shape = tuple(context.get_tensor_shape(name))
            array = feeds.get(name, np.zeros(shape, self._rtx.nptype(engine.get_tensor_dtype(name))))
            memory[name] = cuda.to_device(np.ascontiguousarray(array))
            context.set_tensor_address(name, int(memory[name]))
            if name not in feeds:
                outputs[name] = array
        self._timed(context, stream)
        for name, array in outputs.items():
            cuda.memcpy_dtoh(array, memory[name])
        return outputs

    def _timed(self, context: Any, stream: Any) -> None:
        begin, end, times = self._cuda.Event(), self._cuda.Event(), []
        for turn in range(WARM_UPS + TIMED):
            begin.record(stream)
            if not context.execute_async_v3(stream.handle):
                raise RuntimeError("execute_async_v3 returned False: its log is in the step's output")
            end.record(stream)
            end.synchronize()
            if turn >= WARM_UPS:
                times.append(begin.time_till(end) * 1e3)
        self._say(median_us=rounded(statistics.median(times)), p99_us=rounded(percentile(times, 0.99)))


if __name__ == "__main__":
    raise SystemExit(main())
