"""A part whose weights are read one at a time: traced without them, put into float16 where asked, written, and checked.

In: Streamed (networks/_whole.py), feeds.  Out: m.onnx, perhaps m.onnx.data, m.onnx.json.
Next: _skeleton.py, _overflow.py, _large.py; bundle.py calls this.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vedette.export._half import halve
from vedette.export._hollow import Upcast
from vedette.export._large import is_large, write
from vedette.export._overflow import LARGEST, MARGIN, check_written, island, lean_session
from vedette.export._skeleton import Skeleton, drop_unused, skeleton_of
from vedette.export.networks._whole import Outputs, Streamed, Tensors
from vedette.export.parity import refuse_what_differs, row_of
from vedette.export.to_onnx import OPSET
from vedette.runtime import manifest as manifests
from vedette.runtime.backends.onnxruntime_ import OrtEngine
from vedette.runtime.errors import ModelError
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest


def export_streamed(part: Streamed, path: Path, feeds: Sequence[Tensors], precision: str) -> Manifest:
    """Write one part and its manifest.

    Args:
        part: what is exported.
        path: of the .onnx.
        feeds: inputs in their order, as in a run.
        precision: fp32 or fp16.

    Raises:
        ModelError: its weights do not fit it, the graph does not compute what PyTorch does, or float16 does not hold it.
        DiskError: a file cannot be written.
    """
    card = replace(part.card, precision=precision, reference_sha256=part.digest)  # type: ignore[arg-type]
    part.hollow.check()
    skeleton = _traced(part)
    fed = [_named(card, tensors) for tensors in feeds]
    path.parent.mkdir(parents=True, exist_ok=True)
    judged = _to_half(skeleton, part, fed, path.parent) if precision == "fp16" else {}
    large = is_large(skeleton)
    files = write(skeleton, part.hollow.weights, path)
    if judged:
        check_written(skeleton.model, fed, path, card.name)
    skeleton.model.Clear()
    build = {"opset": str(OPSET), "torch": torch.__version__, **judged}
    card = replace(card, files=files, build=build)
    card = replace(card, parity=_parity(part, card, path, feeds, large=large))
    manifests.save(card, path)
    return card


def _traced(part: Streamed) -> Skeleton:
    try:
        return skeleton_of(part.hollow, part.card)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"{part.card.name} cannot be exported",
            why=next(iter(str(error).splitlines()), type(error).__name__)[:300],
            cure="run again with --debug; operators beyond opset 17 cannot be written",
        ) from error


def _to_half(skeleton: Skeleton, part: Streamed, feeds: Sequence[Outputs], folder: Path) -> dict[str, str]:
    """Put a skeleton into float16, but for what would overflow and what the part says is not to be.

    Returns:
        What its manifest says of the judgement.
    """
    import onnxruntime as ort

    wide = island(skeleton, part.hollow.weights, feeds, folder)
    nodes = skeleton.model.graph.node
    exact = _exact(nodes, tuple(f"/{name}/" for name in part.exact))
    halve(skeleton.model, [not (node.output[0] in wide or node.output[0] in exact) for node in nodes])
    drop_unused(skeleton.model.graph)
    return {
        "fp16_judge": f"ONNX Runtime {ort.__version__}: every intermediate of {len(feeds)} feeds in float32,"
        f" times {MARGIN:g}, against {LARGEST:g}",
        "fp16_island": f"{len(wide)} of {len(nodes)} nodes stay float32",
    }


def _exact(nodes: Sequence[Any], scopes: tuple[str, ...]) -> set[str]:
    """What the nodes of some submodules make, and all that leads there: an input that was rounded before is not exact."""
    found: set[str] = set()
    for node in reversed(nodes):
        if node.name.startswith(scopes) or found.intersection(node.output):
            found.update(node.input)
            found.add(node.output[0])
    return found


def _named(card: Manifest, tensors: Tensors) -> Outputs:
    return {spec.name: tensor.numpy() for spec, tensor in zip(card.inputs, tensors, strict=True)}


def _parity(part: Streamed, card: Manifest, path: Path, feeds: Iterable[Tensors], *, large: bool) -> Any:
    """Rows of the differences between what PyTorch computes from the weights in float32, and the files that were written."""
    module = part.hollow.full()
    expected = []
    with torch.inference_mode(), Upcast():
        for tensors in feeds:
            outputs = module(*tensors)
            outputs = outputs if isinstance(outputs, tuple) else (outputs,)
            expected.append([np.array(output) for output in outputs])
    del module
    found = _run(card, path, feeds, large=large)
    rows = [
        row_of(spec.name, [(one[at], other[spec.name]) for one, other in zip(expected, found, strict=True)])
        for at, spec in enumerate(card.outputs)
    ]
    refuse_what_differs(card, rows)
    return tuple(rows)


def _run(card: Manifest, path: Path, feeds: Iterable[Tensors], *, large: bool) -> list[dict[str, Array]]:
    """The outputs of the written graph; of a large one in a session that takes little memory."""
    names = [spec.name for spec in card.outputs]
    if large:
        session = lean_session(path.read_bytes(), path.parent)
        outputs = (session.run(names, _named(card, tensors)) for tensors in feeds)
        return [dict(zip(names, each, strict=True)) for each in outputs]
    engine = OrtEngine(path.read_bytes(), name=card.name)
    found = [dict(engine(_named(card, tensors))) for tensors in feeds]
    engine.close()
    return found
