"""What a backend adds to its engine, and what a busy neighbour costs.   Run: python benchmarks/bench_engines.py [--repeats 3]

Questions: how much longer does Vedette's engine take than the bare library on the same input, at the same precision and with
as many threads (C7)? How many frames a second are left with its threads, when another process keeps one core busy (C8)?
C7: CPU time on one pinned core, in turn; raw session.run of ONNX Runtime, raw infer of OpenVINO with f32 as ours. The share
of a large network drowns in its own noise, so a graph that does nothing is measured too: its rows are microseconds a call.
C8: wall time over all cores, a spinning process on the first one; raw ONNX Runtime with one thread, and with what it takes
by itself, run in turn with ours. Beside them, what else runs the same file: OpenCV's dnn, and OpenVINO as it chooses itself.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from _goal import Goal, compared, write
from _machine import BUILD, machine, pin
from _peer_environment import NETWORK, there
from _rounds import Work, repeated, rotated
from numpy.typing import NDArray

from vedette import Model
from vedette.runtime.backends.onnxruntime_ import OrtEngine
from vedette.runtime.find import find_model

Array = NDArray[Any]
ROUNDS, CALLS = 41, 400


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    network = NETWORK if there() else find_model("nanodet")
    goals = list(contended(network, arguments.repeats))  # first: it is not pinned
    pin()
    goals += [
        *taxes(network, arguments.repeats),
        *calls(arguments.repeats),
    ]
    write("engines", __doc__, goals, arguments.json, network=network.stem, machine=machine())


# ---- C7: the tax ----


def taxes(network: Path, repeats: int) -> Iterator[Goal]:
    """On the whole network."""
    candidates = {"onnxruntime": ours(network, "onnxruntime"), "raw onnxruntime": raw_onnxruntime(network, 1)}
    candidates["raw again"] = raw_onnxruntime(network, 1)
    found = repeated(lambda: rotated(candidates, rounds=ROUNDS), repeats)
    what = "engine call over the bare library's"
    yield compared("A/A", f"{what}: itself", "itself", found["raw onnxruntime"], found["raw again"])
    yield compared(
        "C7", what, "raw ONNX Runtime", found["onnxruntime"], found["raw onnxruntime"], target=1.01
    )
    others = {
        "openvino": ours(network, "openvino"),
        "raw openvino": raw_openvino(network, "f32"),
        "openvino's own precision": raw_openvino(network, ""),
        "opencv": opencv(network),
    }
    found = repeated(lambda: rotated(others, rounds=ROUNDS // 2), repeats)
    yield compared("C7", what, "raw OpenVINO, f32", found["openvino"], found["raw openvino"], target=1.03)
    yield compared("", what, "OpenVINO as it chooses", found["openvino"], found["openvino's own precision"])
    yield compared("", "engine call", "cv2.dnn forward", found["openvino"], found["opencv"])


def calls(repeats: int) -> Iterator[Goal]:
    """On a graph that does nothing: what the call itself costs."""
    path = nothing()
    if path is None:
        return
    pairs = {
        "ONNX Runtime": (engine_of(path), raw_onnxruntime(path, 1)),
    }
    for name, (mine, bare) in pairs.items():
        found = repeated(
            lambda mine=mine, bare=bare: rotated(  # type: ignore[misc]
                {"ours": many(mine), "theirs": many(bare)}, rounds=15
            ),
            repeats,
        )
        us = {key: [value / CALLS * 1e3 for value in values] for key, values in found.items()}
        yield compared(
            "", "engine call on an empty graph", f"raw {name}", us["ours"], us["theirs"],
            unit="CPU-us", form="excess",
        )  # fmt: skip


def many(call: Work) -> Work:
    def work() -> None:
        for _ in range(CALLS):
            call()

    return work


def feeds(network: Path) -> dict[str, Array]:
    import onnxruntime as ort

    random = np.random.default_rng(0)
    inputs = ort.InferenceSession(str(network), providers=["CPUExecutionProvider"]).get_inputs()
    return {spec.name: random.random(spec.shape, np.float32) for spec in inputs}


def ours(network: Path, backend: str) -> Work:
    engine = Model(network, backend=backend).engine
    given = feeds(network)
    return lambda: engine(given)


def engine_of(path: Path) -> Work:
    engine, given = OrtEngine(path.read_bytes()), feeds(path)
    return lambda: engine(given)


def raw_onnxruntime(network: Path, threads: int, *, spinning: bool = False) -> Work:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    if not spinning:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])
    given = feeds(network)
    return lambda: session.run(None, given)


def raw_openvino(network: Path, precision: str) -> Work:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": 1, **({"INFERENCE_PRECISION_HINT": precision} if precision else {})}
    request = openvino.Core().compile_model(str(network), "CPU", settings).create_infer_request()
    given = feeds(network)
    return lambda: request.infer(given, share_inputs=True, share_outputs=True)


def opencv(network: Path) -> Work:
    import cv2

    cv2.setNumThreads(1)
    opened = cv2.dnn.readNetFromONNX(str(network))
    ((name, given),) = feeds(network).items()

    def forward() -> object:
        opened.setInput(given, name)
        return opened.forward()

    return forward


def nothing() -> Path | None:
    """A graph of one Identity, where onnx is installed to write it."""
    try:
        from onnx import TensorProto, helper, save
    except ImportError:
        return None
    shape = [1, 3, 8, 8]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "nothing", ends[:1], ends[1:])
    path = BUILD / "nothing.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


# ---- C8: a neighbour ----


def contended(network: Path, repeats: int) -> Iterator[Goal]:
    """Frames a second while one core is busy."""
    candidates = {
        "ours": ours(network, "onnxruntime"),
        "one": raw_onnxruntime(network, 1),
        "default": raw_onnxruntime(network, 0, spinning=True),
    }
    quiet = repeated(lambda: _frames_a_second(candidates), 1)
    with neighbour():
        found = repeated(lambda: _frames_a_second(candidates), repeats)
    what = "wall fps, one of the cores kept busy"
    yield compared("C8", what, "raw ONNX Runtime, 1 thread", found["ours"], found["one"],
                   unit="frames/s", target=0.95, at_least=True)  # fmt: skip
    yield compared("", what, "raw ONNX Runtime as it comes", found["ours"], found["default"], unit="frames/s")
    yield compared("", "wall fps, no neighbour of ours", "raw ONNX Runtime, 1 thread", quiet["ours"],
                   quiet["one"], unit="frames/s")  # fmt: skip
    yield compared("", "wall fps, no neighbour of ours", "raw ONNX Runtime as it comes", quiet["ours"],
                   quiet["default"], unit="frames/s")  # fmt: skip


def _frames_a_second(candidates: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    ms = rotated(candidates, rounds=21, clock=time.perf_counter_ns)
    return {name: 1e3 / value for name, value in ms.items()}


@contextmanager
def neighbour() -> Iterator[None]:
    """A process that never waits, on the first core that we may use."""
    core = min(os.sched_getaffinity(0))
    busy = subprocess.Popen(
        [sys.executable, "-c", f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile True: pass"]
    )
    try:
        time.sleep(0.2)
        yield
    finally:
        busy.kill()
        busy.wait()


if __name__ == "__main__":
    main()
