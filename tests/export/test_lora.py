"""LoRAs put into weights, against W + scale * alpha / rank * B A, under the names of every trainer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

for needed in ("torch", "safetensors"):
    pytest.importorskip(needed)

import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from vedette.export._hollow import Weights  # noqa: E402
from vedette.export._lora import Lora, changed, parsed  # noqa: E402
from vedette.runtime.errors import ModelError  # noqa: E402

RANK, ALPHA, SCALE = 2, 6.0, 0.5
ATTENTION = "down_blocks.1.attentions.0.transformer_blocks.0.attn1"
WORDS = "text_model.encoder.layers.0.self_attn.q_proj"
FEED_FORWARD = "up_blocks.1.attentions.2.transformer_blocks.0.ff.net.0.proj.weight"
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "unet": {
        f"{ATTENTION}.to_q.weight": (6, 4),
        f"{ATTENTION}.to_out.0.weight": (4, 6),
        "mid_block.attentions.0.proj_in.weight": (6, 4, 1, 1),
        FEED_FORWARD: (6, 4),
        "conv_in.weight": (6, 4, 3, 3),
    },
    "text_encoder": {f"{WORDS}.weight": (6, 4)},
    "text_encoder_2": {f"{WORDS}.weight": (6, 4)},
}


def tensor(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def kept(shape: tuple[int, ...]) -> torch.Tensor:
    return tensor(*shape, seed=len(shape)).half()


def components() -> dict[str, Weights]:
    def of(shapes: Mapping[str, tuple[int, ...]]) -> Weights:
        return {name: partial(kept, shape) for name, shape in shapes.items()}

    return {component: of(shapes) for component, shapes in SHAPES.items()}


def matrices(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Down and up; of a convolution as trainers have them."""
    ones = (1,) * (len(shape) - 2)
    return tensor(RANK, *shape[1:], seed=7), tensor(shape[0], RANK, *ones, seed=8)


def expected(component: str, name: str, *, alpha: float = ALPHA) -> torch.Tensor:
    shape = SHAPES[component][name]
    down, up = matrices(shape)
    change = torch.einsum("or,rikl->oikl", up[:, :, 0, 0], down) if len(shape) == 4 else up @ down
    return kept(shape).float() + SCALE * alpha / RANK * change


# the name of a file -> the weight that it changes
PEFT = ".lora_A.weight", ".lora_B.weight"
LINEAR = ".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"
KOHYA = ".lora_down.weight", ".lora_up.weight"
NAMES = [
    (f"unet.{ATTENTION}.to_q", PEFT, "unet", f"{ATTENTION}.to_q.weight"),
    (f"base_model.model.{ATTENTION}.to_q", PEFT, "unet", f"{ATTENTION}.to_q.weight"),
    (f"unet.{ATTENTION}.to_q", (".lora.down.weight", ".lora.up.weight"), "unet", f"{ATTENTION}.to_q.weight"),
    (f"unet.{ATTENTION}.processor.to_out", ("_lora.down.weight", "_lora.up.weight"), "unet", f"{ATTENTION}.to_out.0.weight"),
    (f"text_encoder.{WORDS}", LINEAR, "text_encoder", f"{WORDS}.weight"),
    (f"text_encoder_2.{WORDS}", PEFT, "text_encoder_2", f"{WORDS}.weight"),
    (f"lora_unet_{ATTENTION.replace('.', '_')}_to_out_0", KOHYA, "unet", f"{ATTENTION}.to_out.0.weight"),
    ("lora_unet_mid_block_attentions_0_proj_in", KOHYA, "unet", "mid_block.attentions.0.proj_in.weight"),
    ("lora_unet_conv_in", KOHYA, "unet", "conv_in.weight"),
    (f"lora_te_{WORDS.replace('.', '_')}", KOHYA, "text_encoder", f"{WORDS}.weight"),
    (f"lora_te1_{WORDS.replace('.', '_')}", KOHYA, "text_encoder", f"{WORDS}.weight"),
    (f"lora_te2_{WORDS.replace('.', '_')}", KOHYA, "text_encoder_2", f"{WORDS}.weight"),
    # blocks in one row, as SDXL's first code numbers them
    ("lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q", KOHYA, "unet", f"{ATTENTION}.to_q.weight"),
    ("lora_unet_middle_block_1_proj_in", KOHYA, "unet", "mid_block.attentions.0.proj_in.weight"),
    ("lora_unet_output_blocks_5_1_transformer_blocks_0_ff_net_0_proj", KOHYA, "unet", FEED_FORWARD),
]  # fmt: skip


def saved(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None) -> Lora:
    save_file(tensors, path, metadata)
    return Lora(path, SCALE)


@pytest.mark.parametrize(("name", "ends", "component", "weight"), NAMES)
def test_every_trainer_s_names_are_the_formula(
    name: str, ends: tuple[str, str], component: str, weight: str, tmp_path: Path
) -> None:
    down, up = matrices(SHAPES[component][weight])
    alpha = {f"{name}.alpha": torch.tensor(ALPHA)}
    lora = saved(tmp_path / "a.safetensors", {f"{name}{ends[0]}": down, f"{name}{ends[1]}": up, **alpha})
    made = changed(components(), [lora], layers=2)
    torch.testing.assert_close(made[component][weight](), expected(component, weight), rtol=0, atol=1e-6)
    for other, weights in components().items():
        for untouched in weights:
            if (other, untouched) != (component, weight):
                assert torch.equal(made[other][untouched](), weights[untouched]())


def to_q(tmp_path: Path, metadata: dict[str, str] | None = None) -> Lora:
    down, up = matrices((6, 4))
    tensors = {f"unet.{ATTENTION}.to_q{end}": each for end, each in zip(PEFT, (down, up), strict=True)}
    return saved(tmp_path / "a.safetensors", tensors, metadata)


def test_without_alpha_it_is_the_rank(tmp_path: Path) -> None:
    name = f"{ATTENTION}.to_q.weight"
    found = changed(components(), [to_q(tmp_path)], layers=2)["unet"][name]()
    torch.testing.assert_close(found, expected("unet", name, alpha=RANK), rtol=0, atol=1e-6)


def test_alpha_may_be_in_the_file_s_metadata(tmp_path: Path) -> None:
    name = f"{ATTENTION}.to_q.weight"
    told = {"lora_adapter_metadata": json.dumps({"unet.lora_alpha": ALPHA, "unet.r": RANK})}
    found = changed(components(), [to_q(tmp_path, told)], layers=2)["unet"][name]()
    torch.testing.assert_close(found, expected("unet", name), rtol=0, atol=1e-6)


def test_two_loras_add_up(tmp_path: Path) -> None:
    name = f"{ATTENTION}.to_q.weight"
    lora = to_q(tmp_path)
    found = changed(components(), [lora, lora], layers=2)["unet"][name]()
    plain = components()["unet"][name]().float()
    once = expected("unet", name, alpha=RANK)
    torch.testing.assert_close(found, plain + 2 * (once - plain), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("tensors", "why"),
    [
        ({"unet.conv_out.lora_A.weight": (2, 4), "unet.conv_out.lora_B.weight": (6, 2)}, "does not have"),
        ({f"unet.{ATTENTION}.to_q.lora_A.weight": (2, 4)}, "one of the two"),
        ({"lora_unet_conv_in.hada_w1_a": (2, 4)}, "LoKr"),
        ({f"unet.{ATTENTION}.to_q.dora_scale": (2, 4)}, "DoRA"),
        ({f"unet.{ATTENTION}.to_q.lora_A.weight": (2, 5), f"unet.{ATTENTION}.to_q.lora_B.weight": (6, 2)}, "do not change"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(tensors: dict[str, tuple[int, int]], why: str, tmp_path: Path) -> None:
    lora = saved(tmp_path / "a.safetensors", {name: torch.zeros(shape) for name, shape in tensors.items()})
    with pytest.raises(ModelError, match=r"a.safetensors does not fit") as caught:
        changed(components(), [lora], layers=2)["unet"][f"{ATTENTION}.to_q.weight"]()
    assert why in caught.value.why


def test_a_scale_follows_a_colon() -> None:
    assert parsed("x/a.safetensors:0.5") == Lora(Path("x/a.safetensors"), 0.5)
    assert parsed("x/a.safetensors") == Lora(Path("x/a.safetensors"))
    assert parsed("c:d/a.safetensors") == Lora(Path("c:d/a.safetensors"))
