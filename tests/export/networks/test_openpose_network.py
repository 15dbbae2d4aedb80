"""OpenPose's networks, against the list of layers that its prototxt is, and the files that their weights come in."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("google.protobuf")

import torch
from caffemodel import state_of, written
from torch.nn import functional

from vedette.export._caffe import read_caffemodel
from vedette.export.networks import openpose, openpose_coco
from vedette.export.weights import load_weights
from vedette.runtime.decoders import parameters_of
from vedette.runtime.decoders.openpose import BODY_25, COCO_18
from vedette.runtime.errors import ModelError

NETWORKS = {"openpose": openpose, "openpose_coco": openpose_coco}
Layer = tuple[str, tuple[str, ...], int, int, str]  # name, bottoms, filters, kernel (0: pooling), activation


def front(last: str) -> Iterator[Layer]:
    below = "image"
    for block, (count, filters) in enumerate(((2, 64), (2, 128), (4, 256), (2, 512)), start=1):
        for index in range(1, count + 1):
            name = f"conv{block}_{index}"
            yield name, (below,), filters, 3, last if name == "conv4_2" else "relu"
            below = name
        if block < 4:
            yield f"pool{block}", (below,), 0, 0, ""
            below = f"pool{block}"
    yield "conv4_3_CPM", (below,), 256, 3, last
    yield "conv4_4_CPM", ("conv4_3_CPM",), 128, 3, last


def body_25() -> Iterator[Layer]:
    """pose_deploy.prototxt of body_25, layer by layer."""
    yield from front("prelu")
    seen: tuple[str, ...] = ("conv4_4_CPM",)
    for number, branch in ((0, "L2"), (1, "L2"), (2, "L2"), (3, "L2"), (0, "L1"), (1, "L1")):
        filters, outputs = 96 if number == 0 else 128, 52 if branch == "L2" else 26
        below = seen
        for block in range(1, 6):
            parts = tuple(f"Mconv{block}_stage{number}_{branch}_{index}" for index in range(3))
            for name in parts:
                yield name, below, filters, 3, "prelu"
                below = (name,)
            below = parts
        yield f"Mconv6_stage{number}_{branch}", below, 256 if number == 0 else 512, 1, "prelu"
        name = f"Mconv7_stage{number}_{branch}"
        yield name, (f"Mconv6_stage{number}_{branch}",), outputs, 1, ""
        seen = ("conv4_4_CPM", name) if branch == "L2" else ("conv4_4_CPM", name, "Mconv7_stage3_L2")


def coco_18() -> Iterator[Layer]:
    """pose_deploy_linevec.prototxt of coco, layer by layer."""
    yield from front("relu")
    seen: tuple[str, ...] = ("conv4_4_CPM",)
    for number in range(1, 7):
        for branch, outputs in (("L1", 38), ("L2", 19)):
            below = seen
            sizes = [(128, 3)] * 3 + [(512, 1)] if number == 1 else [(128, 7)] * 5 + [(128, 1)]
            for index, (filters, kernel) in enumerate([*sizes, (outputs, 1)], start=1):
                name = (
                    f"conv5_{index}_CPM_{branch}" if number == 1 else f"Mconv{index}_stage{number}_{branch}"
                )
                yield name, below, filters, kernel, "" if index > len(sizes) else "relu"
                below = (name,)
        last = [f"conv5_5_CPM_{b}" if number == 1 else f"Mconv7_stage{number}_{b}" for b in ("L1", "L2")]
        seen = (*last, "conv4_4_CPM")


LAYERS = {"openpose": body_25, "openpose_coco": coco_18}
OUTPUTS = {
    "openpose": ("Mconv7_stage1_L1", "Mconv7_stage3_L2"),
    "openpose_coco": ("Mconv7_stage6_L2", "Mconv7_stage6_L1"),
}


@cache
def network(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    module: torch.nn.Module = NETWORKS[name].network().eval()
    for parameter in module.parameters():
        if parameter.dim() == 1:
            torch.nn.init.uniform_(parameter, -0.2, 0.4)  # slopes differ, and so do biases
    return module


def caffe_state(name: str) -> dict[str, torch.Tensor]:
    """The state dict under Caffe's names."""
    return {".".join(key.split(".")[-2:]): tensor for key, tensor in network(name).state_dict().items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_it_computes_what_the_prototxt_says(name: str) -> None:
    images, state = torch.rand(1, 3, 32, 48) - 0.5, caffe_state(name)
    tops, used = {"image": images}, set()
    for layer, bottoms, filters, kernel, activation in LAYERS[name]():
        x = torch.cat([tops[bottom] for bottom in bottoms], dim=1)
        if kernel == 0:
            tops[layer] = functional.max_pool2d(x, 2, 2)
            continue
        assert state[f"{layer}.weight"].shape == (filters, x.shape[1], kernel, kernel)
        x = functional.conv2d(x, state[f"{layer}.weight"], state[f"{layer}.bias"], padding=kernel // 2)
        used |= {f"{layer}.weight", f"{layer}.bias"}
        if activation == "prelu":
            slope = f"{layer.replace('conv', 'prelu')}.weight"
            used.add(slope)
            x = functional.prelu(x, state[slope])
        tops[layer] = x.relu() if activation == "relu" else x
    assert used == set(state)
    expected = torch.cat([tops[top] for top in OUTPUTS[name]], dim=1)
    torch.testing.assert_close(network(name)(images), expected)


@pytest.mark.parametrize(("name", "parameters"), [("openpose", BODY_25), ("openpose_coco", COCO_18)])
def test_its_card_is_read_by_the_decoder(name: str, parameters: object) -> None:
    card = NETWORKS[name].card()
    assert parameters_of(card) == parameters
    with torch.inference_mode():
        maps = network(name)(torch.zeros(2, 3, 32, 48))
    assert maps.shape == (2, card.outputs[0].shape[1], 4, 6)
    assert (0 * card.inputs[0].scale - 0.5, 256 * card.inputs[0].scale - 0.5) == (-0.5, 0.5)


@pytest.mark.parametrize("form", ["layer", "layers"])
@pytest.mark.parametrize("name", NETWORKS)
def test_weights_of_a_caffemodel_come_back(tmp_path: Path, name: str, form: str) -> None:
    path = tmp_path / "pose.caffemodel"
    shape = "shape" if form == "layer" else "four numbers"
    path.write_bytes(written(state_of(caffe_layers(name)), form=form, shape=shape))
    fresh = NETWORKS[name].network()
    fresh.load_state_dict(read_caffemodel(path), strict=True)
    for key, tensor in network(name).state_dict().items():
        assert torch.equal(fresh.state_dict()[key], tensor), key


def caffe_layers(name: str) -> dict[str, torch.Tensor]:
    return {f"x.{key}": tensor for key, tensor in caffe_state(name).items()}


@pytest.mark.parametrize("prefix", ["", "model0.", "module.net."])
@pytest.mark.parametrize("name", NETWORKS)
def test_state_dicts_of_the_ports_are_taken(tmp_path: Path, name: str, prefix: str) -> None:
    path = tmp_path / "body_pose_model.pth"
    torch.save({prefix + key: tensor for key, tensor in caffe_state(name).items()}, path)
    fresh = NETWORKS[name].network()
    load_weights(fresh, path)
    for key, tensor in network(name).state_dict().items():
        assert torch.equal(fresh.state_dict()[key], tensor), key


def test_its_own_state_dict_is_taken_and_left_alone() -> None:
    state = network("openpose").state_dict()
    keys = list(state)
    openpose.network().load_state_dict(state, strict=True)
    assert list(state) == keys


@pytest.mark.parametrize(
    ("key", "shape"), [("conv4_3_CPM.weight", (256, 512, 1, 1)), ("Mprelu1_stage0_L2_0.weight", (95,))]
)
def test_a_wrong_size_is_refused_with_its_layer(tmp_path: Path, key: str, shape: tuple[int, ...]) -> None:
    path = tmp_path / "wrong.pth"
    torch.save(caffe_state("openpose") | {key: torch.zeros(shape)}, path)
    with pytest.raises(ModelError) as refused:
        load_weights(openpose.network(), path)
    assert key in str(refused.value.why)
    assert str(list(shape)) in str(refused.value.why)


def test_weights_of_the_other_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "coco.pth"
    torch.save(caffe_state("openpose_coco"), path)
    with pytest.raises(ModelError) as refused:
        load_weights(openpose.network(), path)
    assert "Mconv1_stage0_L2_0.weight" in str(refused.value.why)
