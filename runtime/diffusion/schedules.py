"""How much of a picture is left at each step of training: the share of signal in variance, "alpha bar".

In: how the network was trained.  Out: float64 [train_steps], falling.  Next: levels.py.
A sample of step t is sqrt(alpha_bar[t]) picture + sqrt(1 - alpha_bar[t]) noise.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from vedette.runtime.frame import Array

Name = Literal["linear", "scaled_linear", "cosine"]
MOST_STEPS = 100_000
_LARGEST_BETA = 0.999  # of the cosine schedule


@dataclass(frozen=True, slots=True)
class Schedule:
    """What training added noise by."""

    name: Name = "linear"
    beta_start: float = 1e-4  # the cosine schedule has no use for either
    beta_end: float = 0.02
    train_steps: int = 1000
    zero_terminal_snr: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.train_steps <= MOST_STEPS:
            raise ValueError(f"train_steps is 1 to {MOST_STEPS}, not {self.train_steps}")
        if not 0 < self.beta_start <= self.beta_end < 1:
            raise ValueError(
                f"want 0 < beta_start <= beta_end < 1, not {self.beta_start} and {self.beta_end}"
            )

    def alpha_bars(self) -> Array:
        """The share of signal after every step of training: float64 [train_steps].

        Rounded to float32 where PyTorch's trainers do: at either end one rounding moves a level by a thousandth.
        """
        made = {"linear": linear_betas, "scaled_linear": scaled_linear_betas, "cosine": cosine_betas}
        betas = made[self.name](self)
        return _shares_left(without_signal_at_the_end(betas) if self.zero_terminal_snr else betas)


def linear_betas(schedule: Schedule) -> Array:
    """Variances that grow by equal steps. Source: Ho et al., Denoising diffusion probabilistic models, 2020, section 4."""
    return _line(schedule.beta_start, schedule.beta_end, schedule.train_steps)


def scaled_linear_betas(schedule: Schedule) -> Array:
    """Deviations that grow by equal steps. Source: Rombach et al., Latent diffusion models, 2022 (their code)."""
    roots = _line(schedule.beta_start**0.5, schedule.beta_end**0.5, schedule.train_steps)
    return roots**2


def cosine_betas(schedule: Schedule) -> Array:
    """The share of signal falls as a squared cosine. Source: Nichol and Dhariwal, Improved DDPM, 2021, equation 17."""
    ends = np.arange(schedule.train_steps + 1) / schedule.train_steps
    left = np.cos((ends + 0.008) / 1.008 * np.pi / 2) ** 2
    betas: Array = np.minimum(1 - left[1:] / left[:-1], _LARGEST_BETA).astype(np.float32)
    return betas


def without_signal_at_the_end(betas: Array) -> Array:
    """Roots of the shares shifted and scaled so that the last step is noise alone and the first is as it was.

    Source: Lin et al., Common diffusion noise schedules and sample steps are flawed, 2024, algorithm 1.
    """
    roots = np.sqrt(_shares_left(betas).astype(np.float32))
    shifted = (roots - roots[-1]) * (roots[0] / (roots[0] - roots[-1]))
    bars = shifted**2
    changed: Array = 1 - np.append(bars[:1], bars[1:] / bars[:-1])
    return changed


def _shares_left(betas: Array) -> Array:
    """float64 with values of float32."""
    bars: Array = np.cumprod((1 - betas).astype(np.float64)).astype(np.float32)
    return bars.astype(np.float64)


def _line(start: float, end: float, count: int) -> Array:
    """float32 [count], from both ends to the middle with one rounding, as torch.linspace has them."""
    first, last = np.float32(start), np.float32(end)
    step = np.float64((last - first) / np.float32(max(count - 1, 1)))
    places = np.arange(count)
    line: Array = np.where(places < count // 2, first + step * places, last - step * places[::-1])
    return line.astype(np.float32)
