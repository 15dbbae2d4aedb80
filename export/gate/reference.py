"""Who is the fp32 reference of a model: the network in the box that it was made from, the user's, or the model itself.

In: a model's path.  Out: an open Side.  Next: sides.py, verify.py.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vedette.export.build import Options, export, zoo_weights
from vedette.export.bundle import export_bundle
from vedette.export.gate.rounded import read
from vedette.export.gate.sides import Side, on_cpu
from vedette.runtime import bundle as bundles
from vedette.runtime import manifest as manifests
from vedette.runtime.bundle import NAME
from vedette.runtime.errors import ModelError, UsageError
from vedette.runtime.find import find_model, made_in, zoo_folder
from vedette.runtime.manifest import Input, Manifest
from vedette.runtime.opening import card_of

INTEGERS = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"}


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """The model whose decisions count, open."""

    side: Side
    told: str
    sha256: str  # of its graph, or of its bundle.json


def reference_of(model: Path, given: str = "") -> Reference:
    """Find and open it.

    A network in the box is compared with what the box has: another model that says it was made of the same weights, whatever
    was done to it, must decide as they do.

    Args:
        model: an .onnx file or a bundle's folder.
        given: the user's own, if any: a zoo name or a path.

    Raises:
        UsageError: there is none, or the given one is none.
        ModelError: it is refused.
    """
    card, _ = card_of(model)
    if given:
        path = find_model(given)
        _check_given(path, card)
        return _opened(path, path.name, like=card)
    with _of_box(model, card) as boxed:
        if boxed:
            return _opened(boxed, f"{card.name} of the zoo")
    if not _is_full(model):
        raise _unknown(model, card)
    return _opened(model, "itself, in fp32")


def _opened(path: Path, told: str, like: Manifest | None = None) -> Reference:
    return Reference(on_cpu(path, like), told, manifests.sha256(manifests.read(_named(path))))


def _named(path: Path) -> Path:
    """What a model's hash is of."""
    return path / NAME if bundles.is_bundle(path) else path


def _unknown(model: Path, card: Manifest) -> UsageError:
    return UsageError(
        f"nothing says what {model.name} should decide",
        why="it is not in fp32, and the zoo has no network of its weights",
        cure=f"vedette export {card.name} [--weights FILE] -o fp32.onnx writes it in fp32; then --reference fp32.onnx",
    )


def _check_given(path: Path, card: Manifest) -> None:
    if bundles.is_bundle(path) or manifests.path_beside(path).exists():
        other, _ = card_of(path)
        if other.task != card.task:
            raise UsageError(
                f"{path.name} is no reference of {card.name}",
                why=f"it does {other.task}, not {card.task}",
                cure="give the model that it was made from",
            )
    if path.suffix == ".engine" or not _is_full(path):
        raise UsageError(
            f"{path.name} is no reference",
            why="it is not in fp32",
            cure="give an .onnx in fp32, or its bundle",
        )


@contextmanager
def _of_box(model: Path, card: Manifest) -> Iterator[Path | None]:
    """The network in the box that has a model's weights, at the model's size; it is made again where it has another."""
    if not _has_weights_of_box(card):
        yield None
        return
    made = made_in(zoo_folder(), card.name)
    if made and _is_of_same_kind(made, model, card):
        yield made
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield _exported(card, Path(scratch), whole=bundles.is_bundle(model))


def _has_weights_of_box(card: Manifest) -> bool:
    try:
        weights = zoo_weights(card.name)
    except ModelError:
        return False
    return weights is not None and manifests.sha256(manifests.read(weights)) == card.reference_sha256


def _is_of_same_kind(made: Path, model: Path, card: Manifest) -> bool:
    """Whether the zoo's model is of the same weights, and takes pictures of the same size."""
    other, _ = card_of(made)
    return (
        bundles.is_bundle(made) == bundles.is_bundle(model)
        and other.reference_sha256 == card.reference_sha256
        and other.precision == "fp32"
        and _shapes(other.inputs) == _shapes(card.inputs)
    )


def _shapes(inputs: Sequence[Input]) -> list[object]:
    return [(spec.shape, spec.bounds()) for spec in inputs]


def _exported(card: Manifest, scratch: Path, *, whole: bool) -> Path:
    spec = card.inputs[0]
    height, width = spec.bounds()[1][-2:]
    if whole:
        export_bundle(card.name, scratch / "reference", options=Options((width, height)))
        return scratch / "reference"
    export(
        card.name, scratch / "reference.onnx", options=Options((width, height), dynamic=-1 in spec.shape[2:])
    )
    return scratch / "reference.onnx"


def _is_full(path: Path) -> bool:
    """Whether every graph of a model computes in float32."""
    if bundles.is_bundle(path):
        return all(_is_full_graph(part.files) for part in bundles.load(path).parts.values())
    return _is_full_graph({path.name: manifests.read(path)})


def _is_full_graph(files: Mapping[str, bytes]) -> bool:
    name, model = next(iter(files.items()))
    proto, half = read(model, name)
    return not half and not any(node.op_type in INTEGERS for node in proto.graph.node)
