"""What a Stable Diffusion bundle says of itself, and the parts that it has for that.

In: `parameters` of bundle.json.  Out: Parameters, checked; the Wanted of its parts.  Used by stable_diffusion.py.
"""

from dataclasses import dataclass

from vedette.runtime.bundles._generator import Pixels
from vedette.runtime.bundles._graphs import Axes, Wanted
from vedette.runtime.diffusion.levels import Rule, Spacing
from vedette.runtime.diffusion.plans import KARRAS, Trained, plan
from vedette.runtime.diffusion.schedules import Name, Schedule
from vedette.runtime.diffusion.tokens import Text
from vedette.runtime.diffusion.updates import Prediction
from vedette.runtime.errors import UsageError
from vedette.runtime.preprocess import Size

ENCODERS = "text_encoder", "text_encoder_2"  # the second tells the pooled text as well


@dataclass(frozen=True, slots=True)
class Parameters:
    """What bundle.json says."""

    latent_channels: int
    factor: int  # pixels a latent
    scaling_factor: float
    size: Size
    multiple: int  # of the sides of a picture
    smallest: Size
    largest: Size
    texts: tuple[Text, ...]
    sampler: str  # where the user names none, as the next three
    steps: int
    guidance: float
    guidance_rescale: float = 0.0
    channels: int = 3
    black: float = -1.0
    white: float = 1.0
    shift_factor: float = 0.0
    zero_empty_negative: bool = False  # where nobody gives a negative prompt, zeros in place of an empty one
    time_ids: bool = False  # the denoiser is told sizes, and the pooled text
    guidance_embedding: int = 0  # numbers that tell the denoiser the guidance; 0: it is not told
    inpaints: bool = False  # the denoiser takes a mask and the masked picture besides
    schedule: Name = "scaled_linear"
    beta_start: float = 0.00085
    beta_end: float = 0.012
    train_steps: int = 1000
    zero_terminal_snr: bool = False
    prediction: Prediction = "epsilon"
    spacing: Rule = "leading"
    spacing_offset: int = 0
    clean_end: bool = True
    karras: bool = False  # whether the sampler visits Karras' levels where the user names none

    def __post_init__(self) -> None:
        self.pixels()
        self._check_sizes()
        if [text.part for text in self.texts] not in (list(ENCODERS[:1]), list(ENCODERS)):
            raise ValueError(f"texts are of {ENCODERS[0]}, or of {' and '.join(ENCODERS)}")
        if self.time_ids and len(self.texts) < len(ENCODERS):
            raise ValueError(f"the pooled text beside time_ids is that of {ENCODERS[1]}")
        if self.scaling_factor == 0 or not 1 <= self.latent_channels <= 64 or self.guidance_embedding < 0:
            raise ValueError("latents have 1 to 64 channels, and a scaling_factor that is not 0")
        if self.guidance < 0 or not 0 <= self.guidance_rescale <= 1:
            raise ValueError("guidance is 0 or more, guidance_rescale 0 to 1")
        try:
            plan(self.default_sampler, self.trained(), self.steps)
        except UsageError as error:
            raise ValueError(f"{error.what}: {error.why}") from None

    def _check_sizes(self) -> None:
        if self.factor < 1 or self.multiple < 1 or self.multiple % self.factor:
            raise ValueError("factor is 1 or more, and multiple one of its multiples")
        for small, side, large in zip(self.smallest, self.size, self.largest, strict=True):
            if not 1 <= small <= side <= large or any(one % self.multiple for one in (small, side, large)):
                raise ValueError(
                    f"size is from smallest to largest, all of them multiples of {self.multiple}"
                )

    @property
    def default_sampler(self) -> str:
        plain = not self.karras or self.sampler.endswith(KARRAS)
        return self.sampler if plain else self.sampler + KARRAS

    def pixels(self) -> Pixels:
        return Pixels.of(self.channels, self.size, self.black, self.white)

    def trained(self) -> Trained:
        schedule = Schedule(
            self.schedule, self.beta_start, self.beta_end, self.train_steps, self.zero_terminal_snr
        )
        spacing = Spacing(self.spacing, self.spacing_offset, clean_end=self.clean_end)
        return Trained(schedule, self.prediction, spacing)


def parts(parameters: Parameters) -> Wanted:
    """Inputs and outputs of each part."""
    denoiser: Axes = {"sample": 4, "timestep": 1, "states": 3}
    if parameters.time_ids:
        denoiser = {**denoiser, "pooled": 2, "time_ids": 2}
    if parameters.guidance_embedding:
        denoiser = {**denoiser, "guidance_embedding": 2}
    told: dict[str, Axes] = {ENCODERS[0]: {"states": 3}, ENCODERS[1]: {"states": 3, "pooled": 2}}
    return {
        **{text.part: ({"tokens": 2}, told[text.part]) for text in parameters.texts},
        "denoiser": (denoiser, {"prediction": 4}),
        "decoder": ({"latents": 4}, {"images": 4}),
        "encoder": ({"images": 4}, {"mean": 4, "log_variance": 4}),
    }
