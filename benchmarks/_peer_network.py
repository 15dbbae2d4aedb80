"""Makes a network of YOLOv8n's shape, for timing only.   Run by _peer_environment.py, in the environment that it makes.

Its weights are random, its batch norms settled on a few pictures, its class scores set so that a hundred anchors pass 0.25: its
boxes mean nothing, but it and its output take as long to work through as a trained one's.
"""

import argparse
import importlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np

PASSING, CONF = 100, 0.25  # anchors, and the score that they pass
SIDE = 640


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path, help=f"float32 [N, 3, {SIDE}, {SIDE}] .npy")
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    out = arguments.out
    import torch

    torch.manual_seed(0)
    yolo = importlib.import_module("ultralytics").YOLO
    network = yolo("yolov8n.yaml")
    pictures = torch.from_numpy(np.load(arguments.pictures))
    settle(network.model, pictures)
    score(network.model, pictures)
    weights = out.with_suffix(".pt")
    network.save(weights)
    made = yolo(weights).export(format="onnx", imgsz=SIDE, opset=17, simplify=True)
    shutil.move(made, out)
    weights.unlink()


def settle(network: Any, pictures: Any) -> None:
    """Batch norms that keep the size of what passes: unsettled ones let it fade to zeros."""
    import torch

    norms = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # a plain mean
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(pictures)
    network.eval()


def score(network: Any, pictures: Any) -> None:
    """Set the best class logits of all anchors to a deviation of 2, PASSING of them a picture above CONF."""
    import torch

    last = [branch[-1] for branch in network.model[-1].cv3]
    logits: list[Any] = []
    hooks = [
        layer.register_forward_hook(lambda _, __, out: logits.append(out.amax(1).flatten())) for layer in last
    ]
    for layer in last:
        layer.bias.data.zero_()
    with torch.no_grad():
        network(pictures)
    for hook in hooks:
        hook.remove()
    gain = 2 / torch.cat(logits).std()
    threshold = torch.cat(logits).mul(gain).topk(PASSING * len(pictures) + 1).values[-1]
    for layer in last:
        layer.weight.data *= gain
        layer.bias.data += torch.logit(torch.tensor(CONF)) - threshold


if __name__ == "__main__":
    main()
