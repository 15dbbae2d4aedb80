"""How pictures are prepared for a network, by the habit of its family's authors.

In: the name of a family.  Out: what its manifest's input says; a foreign model seldom tells it.
Next: adoption.py, which writes it down; export/_trial.py, which tries the others.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from vedette.runtime.facts import Facts
from vedette.runtime.manifest import Input, Resize

LETTERBOX, STRETCH = Resize(), Resize("stretch")
CORNER = Resize("letterbox", "top-left", pad=0.0)  # what a rule of multiples is in an input of one size
HUGGING_FACE = (
    "pixel_values"  # what transformers calls the input: its segmenters and DETR normalise, RT-DETR does not
)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of red, green, blue


@dataclass(frozen=True, slots=True)
class Prepared:
    """What becomes of a picture: y = (pixel * scale - mean) / std, in this order of channels."""

    pixel_format: str = "rgb"
    resize: Resize = LETTERBOX
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def of(self, spec: Input) -> Input:
        """The input with this preparation."""
        return replace(
            spec, pixel_format=self.pixel_format, resize=self.resize,  # type: ignore[arg-type]
            scale=self.scale, mean=self.mean, std=self.std,
        )  # fmt: skip

    @classmethod
    def said_by(cls, spec: Input) -> "Prepared":
        """What an input's manifest says."""
        return cls(spec.pixel_format, spec.resize, spec.scale, spec.mean, spec.std)

    def describe(self) -> str:
        """'rgb, 0 to 1, letterbox'."""
        plain = self.mean == (0.0,) and self.std == (1.0,)
        shifted = f"(pixel * {self.scale:.6g} - {list(self.mean)}) / {list(self.std)}"
        values = {1 / 255: "0 to 1", 1.0: "0 to 255"}.get(self.scale, shifted) if plain else shifted
        return f"{self.pixel_format}, {values}, {self.resize.rule}"


IMAGENET = Prepared(resize=STRETCH, mean=IMAGENET_MEAN, std=IMAGENET_STD)
# Sources: the authors' own inference code, as decoders/ names them.
PREPARED: Mapping[str, Prepared] = {
    "yolox": Prepared("bgr", Resize("letterbox", "top-left"), 1.0),
    "yolov2": Prepared(resize=Resize("letterbox", pad=127.5)),
    "yolov3": Prepared(resize=Resize("letterbox", pad=127.5)),
    "fastestdet": Prepared("bgr", STRETCH),
    "nanodet": Prepared("bgr", STRETCH, 1.0, (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)),
    "nanodet_plus": Prepared("bgr", STRETCH, 1.0, (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)),
    "rtdetr": Prepared(resize=STRETCH),
    "rfdetr": IMAGENET,
    "ssd": Prepared(resize=STRETCH, scale=1.0, mean=(127.0,), std=(128.0,)),
    "unet": Prepared(resize=STRETCH),
    "mask": Prepared(resize=STRETCH),
    "label_map": Prepared(resize=STRETCH),
    "image": Prepared(resize=STRETCH),
    "mask_rcnn": Prepared(resize=STRETCH),
    "openpose": Prepared("bgr", Resize("multiple", multiple=8, pad=0.0), 1 / 256, (0.5,)),
    "trt_pose": IMAGENET,
}


def habit(family: str, parameters: Any, facts: Facts) -> Prepared:
    """How pictures are prepared for a network of a family, by what is known of this one."""
    prepared = _special(family, parameters, facts) or PREPARED.get(family, Prepared())
    if prepared.resize.rule == "multiple" and min(facts.picture.shape[2:]) > 0:
        prepared = replace(prepared, resize=CORNER)
    return prepared


def _special(family: str, parameters: Any, facts: Facts) -> Prepared | None:
    """Where members of a family differ from its habit."""
    if facts.stretched or (
        family == "efficientnms" and parameters.box.format == "yxyx"
    ):  # RT-DETR, TensorFlow
        return Prepared(resize=STRETCH)
    if facts.task == "semantic" or (family == "ssd" and facts.cells(1)):  # YOLO-NAS, DAMO-YOLO, PP-YOLOE
        return Prepared()
    if family == "image" and parameters.black < 0:  # who ends in a tanh begins with its range
        return Prepared(resize=STRETCH, scale=1 / 127.5, mean=(1.0,))
    if family == "yolov5" and facts.cells(1) and _objectness_varies(facts):
        return PREPARED["yolox"]
    if facts.picture.name == HUGGING_FACE and family in ("rfdetr", "unet"):
        return (
            IMAGENET if family == "unet" or parameters.activation == "softmax" else Prepared(resize=STRETCH)
        )
    return None


def _objectness_varies(facts: Facts) -> bool:
    """YOLOX's does, whose graph may decode by itself; YOLOv6's is 1."""
    return facts.seen is not None and bool((facts.seen.values[facts.outputs[0].name][..., 4] != 1).any())


def others(prepared: Prepared) -> Iterator[Prepared]:
    """What networks are usually trained with besides, at the same way of resizing."""
    for pixel_format in ("rgb", "bgr"):
        turn = 1 if pixel_format == "rgb" else -1
        for scale, mean, std in (
            (1 / 255, (0.0,), (1.0,)),
            (1.0, (0.0,), (1.0,)),
            (1 / 255, IMAGENET_MEAN[::turn], IMAGENET_STD[::turn]),
            (1 / 255, (0.5,), (0.5,)),
            (1 / 256, (0.5,), (1.0,)),
        ):
            other = replace(prepared, pixel_format=pixel_format, scale=scale, mean=mean, std=std)
            if other != prepared:
                yield other
