"""What every decoder promises; a new file of decoders/ needs a layout here."""

import inspect
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, asdict, fields
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from vedette.runtime.decoders import Seen, named, parameters_of
from vedette.runtime.errors import ManifestError
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Decoder, Manifest, Output
from vedette.runtime.plugins import load, names

FOLDER = "vedette.runtime.decoders"
LAYOUTS: Mapping[str, tuple[Output, ...]] = {
    "efficientnms": (
        Output("num_dets", (1, 1), "int32"),
        Output("det_boxes", (1, 100, 4)),
        Output("det_scores", (1, 100)),
        Output("det_classes", (1, 100), "int32"),
    ),
    "end_to_end": (Output("output0", (1, 300, 6)),),
    "fastestdet": (Output("758", (1, 85, 22, 22)),),
    "image": (Output("picture", (1, 3, 64, 64)),),
    "label_map": (Output("classes", (1, 64, 64), "int64"),),
    "mask": (Output("sigmoid", (1, 1, 256, 256)),),
    "nanodet": tuple(
        Output(f"Identity_{index}", (1, cells, columns))
        for index, (columns, cells) in enumerate(
            [(80, 169), (44, 169), (80, 676), (80, 2704), (44, 676), (44, 2704)]
        )
    ),
    "nanodet_plus": (Output("output", (1, 2125, 112)),),
    "openpose": (Output("a", (-1, 38, -1, -1)), Output("b", (-1, 19, -1, -1))),
    "trt_pose": (Output("cmap", (1, 18, 56, 56)), Output("paf", (1, 42, 56, 56))),
    "unet": (Output("logits", (-1, 6, -1, -1)),),
    "mask_rcnn": (
        Output("boxes", (1, 100, 4)),
        Output("labels", (1, 100), "int64"),
        Output("scores", (1, 100)),
        Output("masks", (1, 100, 1, 28, 28)),
    ),
    "rfdetr": (Output("dets", (1, 300, 4)), Output("labels", (1, 300, 91))),
    "rtdetr": (
        Output("labels", (1, 300), "int64"),
        Output("boxes", (1, 300, 4)),
        Output("scores", (1, 300)),
    ),
    "ssd": (Output("scores", (1, 3000, 21)), Output("boxes", (1, 3000, 4))),
    "yolov2": (Output("grid", (1, 425, 13, 13)),),
    "yolov3": tuple(
        Output(f"{layer:03}_convolutional", (1, 255, side, side))
        for layer, side in [(82, 13), (94, 26), (106, 52)]
    ),
    "yolov5": (Output("output0", (1, 25200, 85)),),
    "yolov8": (Output("output0", (1, 84, 8400)),),
    "yolox": (Output("output", (1, 3549, 85)),),
}
SEEN = Seen({"picture": np.full((1, 3, 64, 64), 0.5, np.float32)}, {"picture": ("Sigmoid",)})
STRANGERS: Mapping[str, tuple[Output, ...]] = {
    "nothing": (),
    "yolov2 of VOC": (Output("grid", (1, 125, 13, 13)),),  # of two sets of anchors
    "boxes of 52 classes, or people of 17 joints": (Output("output0", (1, 56, 8400)),),
    "boxes of 10 classes, or of 9 and an angle": (Output("output0", (1, 14, 8400)),),
    "rows of cells: YOLOv6, or YOLOX": (Output("output0", (1, 8400, 85)),),
    "rows of six that nobody suppressed": (Output("output0", (1, 8400, 6)),),
    "two classes, or six detections": (Output("output0", (1, 6, 8400)),),
    "three heads of any anchors": tuple(Output(str(side), (1, 255, side, side)) for side in (13, 26, 52)),
    "boxes, and two scores alike": (Output("a", (1, 9)), Output("b", (1, 9, 4)), Output("c", (1, 9))),
    "SSD without its priors": (Output("a", (1, 8732, 81)), Output("b", (1, 8732, 4))),
    "classes": (Output("logits", (1, 1000)),),
    "cityscapes": (Output("output", (1, 19, 512, 1024)),),  # who says that these are logits?
    "a mask that calls itself logits": (Output("logits", (-1, 1, -1, -1)),),
    "one number a cell": (Output("heat", (1, 1, 8, 8)),),
    "maps of two sizes": (Output("a", (1, 19, 46, 46)), Output("b", (1, 38, 23, 23))),
    "19 maps twice": (Output("a", (1, 19, 46, 46)), Output("b", (1, 19, 46, 46))),
    "strides that do not halve": tuple(
        Output(str(index), (1, cells, columns))
        for index, (columns, cells) in enumerate([(80, 9), (44, 9), (80, 36), (44, 36), (80, 100), (44, 100)])
    ),
    "six of a kind": tuple(Output(str(index), (1, 9, 44)) for index in range(6)),
}


def decoder(family: str) -> ModuleType:
    return load(FOLDER, family)


def claimed(family: str, outputs: tuple[Output, ...]) -> Any:
    """Some families are told by what was seen, or by the size of the input."""
    more: Mapping[str, Any] = {"image": {"seen": SEEN}, "nanodet_plus": {"input_size": (320, 320)}}
    return decoder(family).claims(outputs, **more.get(family, {}))


def manifest_for(family: str, outputs: tuple[Output, ...]) -> Manifest:
    roles = decoder(family).roles(outputs)
    bound = tuple(Output(output.name, output.shape, role=roles[output.name]) for output in outputs)
    parameters = asdict(claimed(family, outputs))
    return Manifest("any", "image", (), bound, Decoder(family, parameters))


@pytest.mark.parametrize("family", names(FOLDER))
def test_its_parameters_are_strict_frozen_data(family: str) -> None:
    parameters = claimed(family, LAYOUTS[family])
    assert not hasattr(parameters, "__dict__")
    with pytest.raises(FrozenInstanceError):
        setattr(parameters, fields(parameters)[0].name, None)


@pytest.mark.parametrize("family", names(FOLDER))
def test_its_signature_is_the_contract(family: str) -> None:
    signature = inspect.signature(decoder(family).decode)
    assert list(signature.parameters) == ["outputs", "manifest", "parameters", "conf", "input_size"]
    assert signature.parameters["input_size"].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("family", names(FOLDER))
def test_it_claims_its_own_layout_and_names_every_role_once(family: str) -> None:
    outputs = LAYOUTS[family]
    roles = decoder(family).roles(outputs)
    assert isinstance(claimed(family, outputs), decoder(family).Parameters)
    assert set(roles) == {output.name for output in outputs}
    assert len(set(roles.values())) == len(outputs)
    assert decoder(family).roles(outputs[::-1]) == roles  # never by position


@pytest.mark.parametrize("family", names(FOLDER))
def test_it_claims_no_other_layout(family: str) -> None:
    others = {name: outputs for name, outputs in LAYOUTS.items() if name != family}
    for outputs in (*others.values(), *STRANGERS.values()):
        assert decoder(family).claims(outputs) is None


@pytest.mark.parametrize("family", names(FOLDER))
def test_what_it_claims_survives_the_manifest(family: str) -> None:
    assert parameters_of(manifest_for(family, LAYOUTS[family])) == claimed(family, LAYOUTS[family])


@pytest.mark.parametrize("family", names(FOLDER))
def test_an_unknown_parameter_is_refused(family: str) -> None:
    parameters = asdict(claimed(family, LAYOUTS[family]))
    manifest = Manifest("any", "image", (), (), Decoder(family, {**parameters, "sigma": 1}))
    with pytest.raises(ManifestError, match="decoder parameters") as caught:
        parameters_of(manifest)
    assert caught.value.why == "sigma: there is no such key"


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("family", names(FOLDER))
def test_outputs_of_any_one_value_decode_without_a_warning(
    family: str, dtype: type[np.floating[Any]], value: float
) -> None:
    manifest = manifest_for(family, LAYOUTS[family])
    arrays: dict[str, Array] = {}
    for output in manifest.outputs:
        shape = [52 if side == -1 else side for side in output.shape[1:]]
        arrays[output.name] = np.full((2, *shape), value, dtype)
    side = 320 if family == "nanodet_plus" else 416
    found = decoder(family).decode(arrays, manifest, parameters_of(manifest), 0.25, input_size=(side, side))
    assert len(found) == 2
    for item in found:
        parts = (
            [item] if isinstance(item, np.ndarray) else [getattr(item, field.name) for field in fields(item)]
        )
        assert {part.dtype for part in parts if isinstance(part, np.ndarray)} <= {
            np.dtype(np.float32),
            np.dtype(np.int64),
            np.dtype(np.uint8),
        }


def test_an_output_without_its_role_says_which_is_missing() -> None:
    manifest = Manifest("m", "detection", (), (Output("758", (1, 85, 22, 22)),), Decoder("fastestdet"))
    with pytest.raises(ManifestError, match="no output with the role grid") as caught:
        named({}, manifest, "grid")
    assert "758 (no role)" in str(caught.value)
