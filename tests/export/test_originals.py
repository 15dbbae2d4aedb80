"""Random-weight networks of other people's code, post-processed by that code and by Vedette: equal boxes.

transformers gives the networks and post-processors, OpenCV prepares the picture. Skipped where transformers is not installed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vedette import Model
from vedette.runtime import manifest as manifests
from vedette.runtime.manifest import Decoder, Input, Manifest, Output, Resize

torch = pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")
ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxslim")
transformers = pytest.importorskip("transformers", reason="SKIPPED: transformers is not installed")

from torch import nn  # noqa: E402

pytestmark = pytest.mark.slow

Floats = np.ndarray[Any, np.dtype[np.float32]]
SIDE, QUERIES, CLASSES, CONF = 128, 30, 5, 0.25
PICTURE = (90, 150)  # height, width
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Original:
    """A network, what scores its queries, and how Vedette's manifest says it."""

    network: Callable[[], Any]
    processor: str  # module and class of its post-processor, which needs no torchvision
    parameters: dict[str, Any]
    columns: int = CLASSES
    normalised: bool = False


def backbone(kind: str) -> dict[str, Any]:
    config = getattr(transformers, kind)(
        embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage4"] if kind == "ResNetConfig" else ["stage2", "stage3", "stage4"],
    )  # fmt: skip
    return {"backbone_config": config, "use_timm_backbone": False, "backbone": None}


def rtdetr(kind: str) -> Callable[[], Any]:
    def network() -> Any:
        config = getattr(transformers, f"{kind}Config")(
            backbone_config=backbone("RTDetrResNetConfig")["backbone_config"], num_labels=CLASSES,
            encoder_in_channels=[16, 24, 32], decoder_in_channels=[32, 32, 32], d_model=32, encoder_hidden_dim=32,
            encoder_ffn_dim=32, decoder_ffn_dim=32, decoder_layers=2, num_queries=QUERIES,
            encoder_attention_heads=2, decoder_attention_heads=2,
        )  # fmt: skip
        return getattr(transformers, f"{kind}ForObjectDetection")(config)

    return network


def detr() -> Any:
    config = transformers.DetrConfig(
        **backbone("ResNetConfig"), num_labels=CLASSES, num_queries=QUERIES, d_model=32, encoder_layers=1,
        decoder_layers=1, encoder_ffn_dim=32, decoder_ffn_dim=32, encoder_attention_heads=2, decoder_attention_heads=2,
    )  # fmt: skip
    return transformers.DetrForObjectDetection(config)


RT = "rt_detr.image_processing_pil_rt_detr:RTDetrImageProcessorPil"
ORIGINALS = {
    "rtdetr": Original(rtdetr("RTDetr"), RT, {}),
    "rtdetr_v2": Original(rtdetr("RTDetrV2"), RT, {}),
    "detr": Original(
        detr, "detr.image_processing_pil_detr:DetrImageProcessorPil",
        {"activation": "softmax", "no_object": 1, "multi_label": False}, CLASSES + 1, normalised=True,
    ),
}  # fmt: skip


class Exported(nn.Module):
    """Its two outputs that matter, under the names that transformers' exporter gives them."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Any) -> Any:
        found = self.network(pixel_values=pixels)
        return found.logits, found.pred_boxes


def picture() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Soft blobs of colour, uint8 [H, W, 3]."""
    noise = np.random.default_rng(7).random((9, 15, 3)).astype(np.float32)
    smooth = cv2.resize(noise, PICTURE[::-1], interpolation=cv2.INTER_CUBIC)
    image: np.ndarray[Any, np.dtype[np.uint8]] = np.clip(smooth * 255, 0, 255).astype(np.uint8)
    return image


def prepared(image: np.ndarray[Any, Any], *, normalised: bool) -> Floats:
    """float32 [1, 3, SIDE, SIDE], stretched, red first, as the network's own processor counts its values."""
    rgb = cv2.resize(image, (SIDE, SIDE))[..., ::-1].astype(np.float32) * np.float32(1 / 255)
    if normalised:
        rgb = (rgb - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return np.ascontiguousarray(rgb.transpose(2, 0, 1)[None], np.float32)


def seeded(original: Original, pixels: Any) -> Any:
    """The network, with logits of this picture spread so that some pairs of query and class pass CONF."""
    torch.manual_seed(3)
    network = original.network().eval()
    layers = [
        layer
        for name, layer in network.named_modules()
        if "class" in name and getattr(layer, "out_features", 0) == original.columns
    ]
    for layer in layers:
        nn.init.normal_(layer.weight, std=0.5)
    if hasattr(network.model, "query_position_embeddings"):  # else DETR's queries hardly differ
        nn.init.normal_(network.model.query_position_embeddings.weight, std=5.0)
    logits = network(pixel_values=pixels).logits
    scale = 1.5 / float((logits - logits.mean(dim=1, keepdim=True)).std())
    for layer in layers:
        layer.weight *= scale
        layer.bias.copy_(-logits.mean(dim=(0, 1)) * scale)
    return network


def exported(original: Original, network: Any, path: Path) -> Path:
    from vedette.export.to_onnx import onnx_from_torch

    mean, std = (MEAN, STD) if original.normalised else ((0.0,), (1.0,))
    spec = Input(
        "pixel_values", (1, 3, SIDE, SIDE), pixel_format="rgb", resize=Resize("stretch"), scale=1 / 255,
        mean=mean, std=std,
    )  # fmt: skip
    outputs = (
        Output("logits", (1, QUERIES, original.columns), role="logits"),
        Output("pred_boxes", (1, QUERIES, 4), role="boxes"),
    )
    labels = tuple(f"class {index}" for index in range(CLASSES))
    card = Manifest(
        "original", "detection", (spec,), outputs, Decoder("rfdetr", original.parameters), labels=labels
    )
    path.write_bytes(onnx_from_torch(Exported(network), card))
    files = {path.name: manifests.sha256(path.read_bytes())}
    manifests.save(replace(card, files=files), path)
    return path


def theirs(original: Original, path: Path, pixels: Floats) -> tuple[Floats, Floats, Floats]:
    """Boxes, scores and labels by transformers' own post-processor, best first, ending at the picture's edges."""
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    logits, boxes = map(torch.from_numpy, session.run(["logits", "pred_boxes"], {"pixel_values": pixels}))
    module, _, name = original.processor.partition(":")
    processor = getattr(import_module(f"transformers.models.{module}"), name)()
    found = processor.post_process_object_detection(
        SimpleNamespace(logits=logits, pred_boxes=boxes), threshold=CONF, target_sizes=[PICTURE]
    )[0]
    boxes, scores, labels = (found[key].numpy() for key in ("boxes", "scores", "labels"))
    order = np.argsort(-scores)
    clipped = np.clip(boxes, 0, [*PICTURE[::-1], *PICTURE[::-1]]).astype(np.float32)
    return clipped[order], scores[order], labels[order]


@pytest.mark.parametrize("name", ORIGINALS)
def test_boxes_are_those_of_the_networks_own_post_processor(name: str, tmp_path: Path) -> None:
    original, image = ORIGINALS[name], picture()
    pixels = prepared(image, normalised=original.normalised)
    with torch.no_grad():
        path = exported(original, seeded(original, torch.from_numpy(pixels)), tmp_path / "original.onnx")
    boxes, scores, labels = theirs(original, path, pixels)
    assert len(scores) >= 5
    assert np.abs(scores - CONF).min() > 1e-4  # so that rounding decides nothing
    result = Model(path, conf=CONF)(image)[0]
    assert result.boxes is not None
    assert result.boxes.cls.tolist() == labels.tolist()
    np.testing.assert_allclose(result.boxes.conf, scores, atol=5e-5)
    np.testing.assert_allclose(result.boxes.xyxy, boxes, atol=1e-3)
