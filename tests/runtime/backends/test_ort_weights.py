"""Weights that ONNX Runtime uses where they lie: the same answers, held once."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vedette.runtime import manifest as manifests
from vedette.runtime.engine import Engine, open_engine
from vedette.runtime.errors import ModelError
from vedette.runtime.manifest import Decoder, Input, Manifest, Output
from vedette.runtime.onnx_file import External, externals_of

onnx: Any = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
Array = NDArray[Any]
SESSION = 20 << 20  # bytes of a session without weights
MEASURE = """
import sys
from pathlib import Path
from vedette.runtime import manifest as manifests
from vedette.runtime.engine import open_engine
import numpy as np, onnxruntime

def kib(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))

path, before = Path(sys.argv[1]), kib("VmRSS")
card, files = manifests.load(path)
engine = open_engine(path, card, files, backend="onnxruntime", low_memory=sys.argv[2] == "low")
del files
for _ in range(3):
    engine({"x": np.ones((1, int(sys.argv[3])), np.float32)})
print(kib("VmHWM") - before)
"""


def written(
    folder: Path, *, side: int = 24, layers: int = 2, dtype: str = "float32", packed: bool = True
) -> Path:
    """A chain of products, then of convolutions, whose weights lie in another file."""
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    weights = {f"w{at}": random.standard_normal((side, side)) / side for at in range(layers)}
    weights |= {f"k{at}": random.standard_normal((8, 8, 3, 3)) / 9 for at in range(2)}
    nodes = [
        helper.make_node(
            "Cast", ["x"], ["h0"], to=TensorProto.FLOAT if dtype == "float32" else TensorProto.FLOAT16
        )
    ]
    nodes += [helper.make_node("MatMul", [f"h{at}", f"w{at}"], [f"h{at + 1}"]) for at in range(layers)]
    nodes += [helper.make_node("Reshape", [f"h{layers}", "shape"], ["c0"])]
    nodes += [
        helper.make_node("Conv", [f"c{at}", f"k{at}"], [f"c{at + 1}"], pads=[1, 1, 1, 1]) for at in range(2)
    ]
    nodes += [helper.make_node("Cast", ["c2"], ["y"], to=TensorProto.FLOAT)]
    tables = [numpy_helper.from_array(value.astype(dtype), name) for name, value in weights.items()]
    tables.append(numpy_helper.from_array(np.array([1, 8, 3, -1]), "shape"))
    takes = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", side])
    gives = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 8, 3, side // 24])
    graph = helper.make_graph(nodes, "chain", [takes], [gives], tables)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / "m.onnx"
    onnx.save(model, str(path), save_as_external_data=True, location="m.onnx.data", size_threshold=100)
    files = {name: manifests.sha256((folder / name).read_bytes()) for name in ("m.onnx", "m.onnx.data")}
    card = Manifest(
        "m", "generation", (Input("x", (-1, side), minimum=(1, side), typical=(1, side), maximum=(4, side)),),
        (Output("y", (-1, 8, 3, side // 24), role="y"),), Decoder("part"), files=files,
    )  # fmt: skip
    manifests.save(card, path)
    return path


def opened(path: Path, *, low_memory: bool) -> Engine:
    card, files = manifests.load(path)
    return open_engine(path, card, files, backend="onnxruntime", low_memory=low_memory)


def test_external_weights_are_found_as_onnx_finds_them(tmp_path: Path) -> None:
    path = written(tmp_path, dtype="float16")
    expected = []
    for tensor in onnx.load(str(path), load_external_data=False).graph.initializer:
        told = {entry.key: entry.value for entry in tensor.external_data}
        if told:
            expected.append(
                External(
                    tensor.name, "float16", tuple(tensor.dims), told["location"], int(told.get("offset", 0))
                )
            )
    assert len(expected) == 4
    assert externals_of(path.read_bytes()) == expected


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_low_memory_gives_the_same_answers(
    dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, dtype=dtype)
    feeds = {"x": np.random.default_rng(1).standard_normal((1, 24), np.float32)}
    expected = opened(path, low_memory=False)(feeds)["y"]
    engine = opened(path, low_memory=True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.onnx.data").unlink()  # nothing is read from there
    np.testing.assert_allclose(
        engine(feeds)["y"], expected, rtol=1e-2 if dtype == "float16" else 1e-5, atol=1e-6
    )
    assert "sparing memory" in engine.backend
    engine.close()


def test_weights_beyond_their_file_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    card, files = manifests.load(path)
    short = {**files, "m.onnx.data": files["m.onnx.data"][:1000]}
    with pytest.raises(ModelError, match=r"does not lie in m\.onnx\.data"):
        open_engine(path, card, short, backend="onnxruntime", low_memory=True)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_weights_are_held_once(dtype: str, tmp_path: Path) -> None:
    """In a process of its own, whose peak is known. The way without low memory shows that the measure sees copies."""
    side = 48 * 24
    path = written(tmp_path, side=side, layers=24, dtype=dtype)
    weights = (tmp_path / "m.onnx.data").stat().st_size
    peaks = {}
    for how in ("low", "fast"):
        command = [sys.executable, "-c", MEASURE, str(path), how, str(side)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        peaks[how] = (int(done.stdout) * 1024 - SESSION) / weights
    assert peaks["low"] < 1.3, peaks
    assert peaks["fast"] > 1.9, peaks
