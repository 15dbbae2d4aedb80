"""A map from a unit normal distribution to another of as many numbers, which can be gone back exactly; of vae.py.

In and out: float32 [N, L], L even.  Sources: Dinh et al., Real NVP, ICLR 2017 (the coupling); Chen et al., Variational Lossy
Autoencoder, ICLR 2017 (a flow between a VAE's prior and its latents).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

MOST = 2.0  # of a coupling's log scale


class Coupling(nn.Module):
    """Scales and shifts one half of the numbers as the other half says, and swaps the halves."""

    def __init__(self, count: int, hidden: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(count // 2, hidden)
        self.linear2 = nn.Linear(hidden, hidden)
        self.linear3 = nn.Linear(hidden, count)
        nn.init.zeros_(self.linear3.weight)
        nn.init.zeros_(self.linear3.bias)

    def _scale_and_shift(self, half: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = functional.silu(self.linear2(functional.silu(self.linear1(half))))
        scale, shift = self.linear3(x).chunk(2, dim=1)
        return MOST * (scale / MOST).tanh(), shift

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        moved, fixed = x.chunk(2, dim=1)
        scale, shift = self._scale_and_shift(fixed)
        return torch.cat([fixed, moved * scale.exp() + shift], dim=1)

    def back(self, y: torch.Tensor, log_spread: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The way back, of numbers and of the log of how far each of them spreads; both in the order of x."""
        fixed, moved = y.chunk(2, dim=1)
        of_fixed, of_moved = log_spread.chunk(2, dim=1)
        scale, shift = self._scale_and_shift(fixed)
        x = torch.cat([(moved - shift) * (-scale).exp(), fixed], dim=1)
        return x, torch.cat([of_moved - scale, of_fixed], dim=1)


class Flow(nn.Module):
    """Couplings in a row."""

    def __init__(self, count: int, hidden: int = 64, couplings: int = 8) -> None:
        super().__init__()
        self.couplings = nn.ModuleList(Coupling(count, hidden) for _ in range(couplings))

    def forward(self, normal: torch.Tensor) -> torch.Tensor:
        for coupling in self.couplings:
            normal = coupling(normal)
        return normal

    def back(self, latents: torch.Tensor, log_spread: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """To the unit normal distribution.

        Args:
            latents: [N, L].
            log_spread: [N, L], log standard deviations of the latents.

        Returns:
            The normal numbers and the log of what each spreads there by itself. What that adds up to more than `log_spread`
            does is the log of the determinant of d normal / d latents.
        """
        for coupling in reversed(self.couplings):
            latents, log_spread = coupling.back(latents, log_spread)  # type: ignore[operator]
        return latents, log_spread
