"""The manifest: all that export hands to runtime, strict JSON beside the file and named after it whole.

`m.onnx` -> `m.onnx.json`, `m.engine` -> `m.engine.json`. An unknown key, a wrong type or a differing hash is an error.
Next: engine.py (the bytes a manifest vouches for, opened), decoders/ (what `decoder` names).
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from vedette.runtime import strict
from vedette.runtime.errors import ManifestError, ModelError
from vedette.runtime.external_files import external_files

DType = Literal["float32", "float16", "uint8", "int32", "int64", "bool"]
Task = Literal["detection", "pose", "segmentation", "instances", "image", "generation"]
Shape = tuple[int, ...]
LARGEST = 65536  # a side of a tensor
PART = "part"  # the decoder family of a graph of a bundle, which nothing reads by itself


@dataclass(frozen=True, slots=True)
class Resize:
    """How a picture of any size becomes the network's input.

    letterbox keeps the aspect ratio and pads to the shape; stretch does not keep it; multiple keeps it, fills the
    height and lets the width follow, padded to a multiple (OpenPose's rule).
    """

    rule: Literal["letterbox", "stretch", "multiple"] = "letterbox"
    anchor: Literal["centre", "top-left", "bottom-right"] = "centre"
    pad: float = 114.0
    multiple: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.multiple <= 1024:
            raise ValueError(f"multiple {self.multiple} is not in 1..1024")


@dataclass(frozen=True, slots=True)
class Input:
    """One input tensor. -1 marks a dynamic axis; minimum, typical and maximum bound it. y = (pixel * scale - mean) / std."""

    name: str
    shape: Shape
    dtype: DType = "float32"
    minimum: Shape = ()
    typical: Shape = ()
    maximum: Shape = ()
    multiple_of: Shape = ()
    pixel_format: Literal["bgr", "rgb", "gray", "none"] = "none"
    resize: Resize = field(default_factory=Resize)
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        """Numbers that every picture would stumble over."""
        if len(self.mean) not in (1, 3) or len(self.std) not in (1, 3) or 0 in self.std:
            raise ValueError("mean and std are one or three numbers, std not zero")
        for bound in (self.minimum, self.typical, self.maximum):
            if bound and (len(bound) != len(self.shape) or not all(1 <= side <= LARGEST for side in bound)):
                raise ValueError(f"bound {list(bound)} does not fit the shape {list(self.shape)}")
        if any(side != -1 and not 1 <= side <= LARGEST for side in self.shape):
            raise ValueError(f"shape {list(self.shape)} has a side that is neither -1 nor in 1..{LARGEST}")

    def bounds(self) -> tuple[Shape, Shape, Shape]:
        """(minimum, typical, maximum); an axis that nothing bounds stays -1, but a batch is at least 1."""
        batchless = (max(1, self.shape[0]), *self.shape[1:]) if self.shape else ()
        return tuple(bound or batchless for bound in (self.minimum, self.typical, self.maximum))  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Output:
    """One output tensor, bound by name and role, never by position."""

    name: str
    shape: Shape
    dtype: DType = "float32"
    role: str = ""
    box_format: Literal["xyxy", "cxcywh", "ltrb", "none"] = "none"
    box_units: Literal["pixels", "normalised", "cells", "none"] = "none"


@dataclass(frozen=True, slots=True)
class Decoder:
    """The output family (a file of decoders/) and its parameters, checked by that file."""

    family: str
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parity:
    """What one output differed by from the fp32 PyTorch reference, over `feeds` inputs."""

    output: str
    max_abs: float
    mean_abs: float
    scale: float  # largest absolute reference value: what max_abs is to be read against
    feeds: int


@dataclass(frozen=True, slots=True)
class Certificate:
    """What `vedette build --verify` found: a model's decisions beside those of its fp32 reference on the same frames."""

    judge: str  # what ran: the engine, or what stood in for it
    engine_ran: bool  # false: a stand-in computed the graph that the engine was built from
    reference: str  # what it was compared with
    reference_sha256: str  # of that graph; of a bundle, of its bundle.json
    frames: int
    frames_sha256: str  # of their pixels, in order
    conf: float  # from which on a score makes a decision
    unit: Literal["boxes", "instances", "people", "pixels"]
    decisions: int  # of the reference
    kept: float  # share of them that the model shares
    found: int  # decisions of the model
    invented: float  # share of them that the reference does not share
    drift_mean: float  # of scores of the same decisions; of pictures, of pixels from 0 to 1
    drift_max: float
    why_not: str = ""  # why the engine itself did not run
    map_loss: float | None = None  # points of mAP; none where it was not measured
    map_truth: str = ""  # what it was measured against
    mask_iou: float | None = None  # mean over the same boxes
    joints_near: float | None = None  # mean share of the joints of the same people
    psnr_db: float | None = None  # of the picture that is worst
    largest: float | None = None  # absolute value in float16 that the stand-in saw

    def __post_init__(self) -> None:
        if not (0 <= self.kept <= 1 and 0 <= self.invented <= 1 and 0 <= self.conf <= 1):
            raise ValueError("kept, invented and conf are shares, 0 to 1")
        if self.frames < 1 or self.decisions < 1:
            raise ValueError("nothing is certified on no frames or no decisions")


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything the runtime knows about one model file."""

    name: str
    task: Task
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    decoder: Decoder
    schema_version: Literal[1] = 1
    labels: tuple[str, ...] = ()
    licence: str = "unknown"
    provenance: str = ""
    accuracy: str = ""
    precision: Literal["fp32", "fp16", "int8", "mixed"] = "fp32"
    files: dict[str, str] = field(default_factory=dict)  # file name -> sha256
    reference_sha256: str = ""  # of the fp32 weights it was built from
    build: dict[str, str] = field(default_factory=dict)
    parity: tuple[Parity, ...] = ()
    certificate: Certificate | None = None

    def input(self, name: str) -> Input:
        return next(item for item in self.inputs if item.name == name)

    def output_named(self, role: str) -> str:
        """The name of the output that plays a role."""
        return next(item.name for item in self.outputs if item.role == role)


def path_beside(model: Path) -> Path:
    """m.onnx -> m.onnx.json."""
    return model.with_name(model.name + ".json")


def parse(text: bytes | str, *, origin: str = "manifest") -> Manifest:
    """Read and check a manifest.

    Raises:
        ManifestError: not JSON, an unknown or missing key, a wrong type, or a file name that leaves the folder.
    """
    try:
        manifest = strict.loads(Manifest, text)
    except strict.RefusedError as error:
        raise ManifestError(
            f"{origin} is not a manifest of schema 1",
            why=str(error),
            cure="write it again with vedette export or vedette adopt; manifests are not edited by hand",
        ) from None
    for name in manifest.files:
        if Path(name).name != name or name in {"", ".", ".."}:
            raise ManifestError(
                f"{origin} names a file outside its folder: {name}",
                why="a model may only be made of files that lie beside its manifest",
                cure="put the files in one folder and export again",
            )
    return manifest


def dumps(manifest: Manifest) -> str:
    """The JSON text of a manifest, stable from run to run; it speaks of a certificate only where there is one."""
    document = asdict(manifest)
    if manifest.certificate is None:
        del document["certificate"]
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def save(manifest: Manifest, model: Path) -> None:
    """Write the manifest beside its model file."""
    from vedette.runtime.draw import write_bytes

    write_bytes(path_beside(model), dumps(manifest).encode())


def sha256(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def load(model: Path) -> tuple[Manifest, dict[str, bytes]]:
    """Read a model file and its manifest; what is returned is exactly what was hashed.

    Returns:
        The manifest, and the bytes of every file that it names (the model itself among them).

    Raises:
        ModelError: no such model, or one that would read files its manifest does not list.
        ManifestError: the manifest is missing, malformed, or vouches for other bytes.
    """
    data = read(model)
    beside = path_beside(model)
    if not beside.is_file():
        raise missing(model)
    manifest = parse(read(beside), origin=beside.name)
    if model.name not in manifest.files:
        raise ManifestError(
            f"{beside.name} does not vouch for {model.name}",
            why=f"it was written for {', '.join(manifest.files) or 'no file'}",
            cure="give the model its own name back, or export it again under the new one",
        )
    files = {model.name: data}
    files.update({name: read(model.with_name(name)) for name in manifest.files if name != model.name})
    for name, content in files.items():
        _check_hash(name, content, manifest.files.get(name, ""), beside.name)
    if model.suffix == ".onnx":
        _check_weights(model.name, external_files(data) - set(files))
    return manifest, files


def missing(model: Path) -> ManifestError:
    """What to say where nothing tells how to read a model."""
    return ManifestError(
        f"{model.name} has no manifest",
        why=f"{path_beside(model).name} is not beside it, and its metadata does not say how to read it",
        cure=f"vedette adopt {model.name} -o {model.name}, or export it with vedette export",
    )


def read(path: Path) -> bytes:
    """All of a model file.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"cannot read {path}",
            why=error.strerror or str(error),
            cure="vedette zoo lists the models in the box",
        ) from None


def _check_weights(name: str, strangers: set[str]) -> None:
    if strangers:
        raise ModelError(
            f"{name} keeps weights in another file that its manifest does not vouch for: {sorted(strangers)[0]}",
            why="external data is read only from files beside the model whose hashes the manifest lists",
            cure="export it as one file, or adopt it with its weights in the same folder",
        )


def _check_hash(name: str, content: bytes, expected: str, manifest_name: str) -> None:
    found = sha256(content)
    if found != expected:
        raise ManifestError(
            f"{name} is not the file that {manifest_name} was written for",
            why=f"sha256 {found[:12]}…, the manifest says {expected[:12] or 'nothing'}…",
            cure="copy both files again from where they were made, or export again",
        )
