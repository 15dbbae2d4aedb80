"""The trainers of generators: what they learn from, their losses, and a step that is always the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

for needed in ("torch", "safetensors", "cv2", "sklearn", "skimage"):
    pytest.importorskip(needed)

import safetensors  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

from vedette.export.networks._denoiser import Denoiser, fresh  # noqa: E402
from vedette.export.networks._flow import Flow  # noqa: E402
from vedette.export.networks._vae_parts import VAE  # noqa: E402
from vedette.export.training import _recipe, cyclegan, ddpm, gan, vae  # noqa: E402
from vedette.export.training._drawn_digits import digits, training_digits  # noqa: E402
from vedette.export.training._inked import inked  # noqa: E402
from vedette.export.training._recipe import Averaged, Schedule, save  # noqa: E402

TRAINERS: dict[str, ModuleType] = {"vae": vae, "gan": gan, "ddpm": ddpm, "cyclegan": cyclegan}
FEW = 24  # pictures, so that drawing them takes no time


@pytest.mark.parametrize("name", TRAINERS)
def test_a_step_is_the_same_every_time_and_learns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = TRAINERS[name]
    if hasattr(trainer, "training_digits"):
        monkeypatch.setattr(trainer, "training_digits", partial(training_digits, count=FEW))
    if hasattr(trainer, "SIDE"):
        monkeypatch.setattr(trainer, "SIDE", 32)
    train: Callable[[Schedule], Mapping[str, nn.Module]] = trainer.train
    short = replace(trainer.SCHEDULE, batch=2)
    first, second, longer = (train(replace(short, steps=steps)) for steps in (1, 1, 2))
    assert list(first) == ([name] if name != "cyclegan" else [name, "cyclegan_back"])
    for stem, module in first.items():
        states = [each[stem].state_dict() for each in (first, second, longer)]
        assert not module.training
        assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
        assert any(not torch.equal(value, states[2][key]) for key, value in states[0].items())


def test_digits_are_seeded_and_are_of_both_splits() -> None:
    drawn, known = digits(40, seed=1)
    again, _ = digits(40, seed=1)
    other, _ = digits(40, seed=2, split="val")
    assert drawn.shape == other.shape == (40, 32, 32)
    np.testing.assert_array_equal(drawn, again)
    assert 0 <= drawn.min() < 0.01
    assert 0.95 < drawn.max() <= 1
    assert set(known) <= set(range(10))
    assert len(set(known)) > 5
    assert drawn[:, 0].max() < 0.2  # strokes keep away from the rim
    assert training_digits(seed=1, black=-1.0, count=40).min() < -0.99


def test_what_was_noised_is_found_again_by_v() -> None:
    random = torch.Generator().manual_seed(0)
    pictures = torch.rand(50, 1, 4, 4, generator=random) * 2 - 1
    noisy, times, v = ddpm.noised(pictures, random)
    betas = np.linspace(1e-4, 0.02, 1000)
    kept = torch.from_numpy(np.cumprod(1 - betas)[times.long().numpy()]).float()[:, None, None, None]
    torch.testing.assert_close(kept.sqrt() * noisy - (1 - kept).sqrt() * v, pictures, atol=1e-5, rtol=0)
    assert times.min() < 100
    assert times.max() > 900


def test_the_vae_s_losses_are_those_of_the_distributions() -> None:
    torch.manual_seed(0)
    network = VAE().eval()
    images = torch.rand(3, 1, 32, 32)
    mean, log_variance = network.encoder(images)
    latents = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    prior = torch.distributions.Normal(0.0, 1.0)
    divergence = torch.distributions.kl_divergence(latents, prior).sum() / 3
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(7))
    logits = network.decoder.logits(mean + noise * latents.stddev)
    probable = logits.sigmoid()
    likely = (images * probable.log() + (1 - images) * (1 - probable).log()).sum() / 3
    found = vae.losses_of(network, images, torch.Generator().manual_seed(7))
    torch.testing.assert_close(found[0], -likely, rtol=1e-4, atol=0)
    torch.testing.assert_close(found[1], divergence, rtol=1e-4, atol=0)


def test_a_fresh_denoiser_does_nothing_yet() -> None:
    torch.manual_seed(0)
    network = fresh(Denoiser())
    assert network(torch.randn(2, 1, 32, 32), torch.tensor([3.0, 900.0])).abs().max() == 0


def test_averaged_weights_are_the_hand_worked_mean() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 8.0)
    averaged = Averaged(layer, keep=0.5)
    nn.init.constant_(layer.weight, 18.0)
    averaged.update()  # the first one keeps 1 / 10
    nn.init.constant_(layer.weight, 6.0)
    averaged.update()  # 2 / 11
    averaged.restore()
    expected = (8 * 0.1 + 18 * 0.9) * 2 / 11 + 6 * 9 / 11
    assert layer.weight.item() == pytest.approx(expected)


def test_the_rate_climbs_then_falls_to_its_end() -> None:
    schedule = Schedule(steps=1000, batch=1, rate=1.0, warm_up=10, least=0.1)
    rates = [schedule.rate_at(step) for step in range(1001)]
    assert rates[0] == pytest.approx(0.1, rel=1e-3)
    assert max(rates) == pytest.approx(1.0, abs=1e-3)
    assert rates[1000] == pytest.approx(0.1)
    assert rates[500] == pytest.approx(0.55, abs=1e-3)


def test_a_stored_file_is_half_and_says_how_it_was_made(tmp_path: Path) -> None:
    path = tmp_path / "cyclegan_back.safetensors"
    save(nn.Linear(3, 2), path, Schedule(steps=1, batch=2, rate=3.0))
    with safetensors.safe_open(path, "pt") as file:
        metadata, tensor = file.metadata(), file.get_tensor("weight")
    assert tensor.dtype == torch.float16
    assert metadata["source"] == "python -m vedette.export.training.cyclegan"
    assert metadata["parameters"] == "8"
    assert "steps=1, batch=2, rate=3.0" in metadata["schedule"]


def test_the_command_writes_what_was_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def train(schedule: Schedule) -> dict[str, nn.Module]:
        asked.append(schedule.steps)
        return {"one": nn.Linear(1, 1), "two": nn.Linear(1, 1)}

    monkeypatch.setattr("sys.argv", ["trainer", str(tmp_path / "made"), "--steps", "3"])
    _recipe.command("one", Schedule(steps=9, batch=1, rate=1.0), train)
    assert asked == [3]
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == [
        "one.safetensors",
        "two.safetensors",
    ]


def test_a_flat_picture_gets_no_lines_and_an_edge_gets_one() -> None:
    flat = np.full((32, 32, 3), 160, np.uint8)
    assert np.ptp(inked(flat).reshape(-1, 3), axis=0).max() == 0
    edge = flat.copy()
    edge[:, 16:] = 60
    drawn = inked(edge).astype(int).sum(axis=2)
    assert drawn[16, 16:20].min() < 0.5 * min(drawn[16, 4], drawn[16, 28])


def test_crops_are_seeded_and_drawings_are_not_of_the_photos_beside_them() -> None:
    photo, drawing = cyclegan.batch(np.random.default_rng(5), 2)
    again, _ = cyclegan.batch(np.random.default_rng(5), 2)
    assert photo.shape == drawing.shape == (2, 3, cyclegan.SIDE, cyclegan.SIDE)
    assert torch.equal(photo, again)
    assert -1 <= photo.min() < photo.max() <= 1
    of_photo = np.stack(
        [inked(((one.permute(1, 2, 0).numpy() + 1) * 127.5).round().astype(np.uint8)) for one in photo]
    )
    theirs = ((drawing.permute(0, 2, 3, 1).numpy() + 1) * 127.5).round()
    assert np.abs(of_photo - theirs).mean() > 10


def test_the_flow_is_trained_by_the_density_that_its_jacobian_gives() -> None:
    torch.manual_seed(0)
    flow = Flow(6, hidden=8, couplings=3).double()
    for parameter in flow.parameters():
        nn.init.normal_(parameter, std=0.5)
    latents = flow(torch.randn(4, 6).double()).detach()

    def back(one: torch.Tensor) -> torch.Tensor:
        normal: torch.Tensor = flow.back(one[None], one[None])[0][0]
        return normal

    expected = 0.0
    for one in latents:
        jacobian = torch.autograd.functional.jacobian(back, one)  # type: ignore[no-untyped-call]
        found = 0.5 * back(one).square().sum() - jacobian.slogdet().logabsdet
        expected += found.item() / len(latents)
    assert vae.improbability(flow, latents).item() == pytest.approx(expected)
