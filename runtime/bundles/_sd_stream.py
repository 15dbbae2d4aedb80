"""A Runner that changes the pictures of a live source: frames go through the denoiser together, each at a step of its own.

In: Frames.  Out: Results with an image of the frame's size.  Used by stable_diffusion.py, for networks of few steps (LCM, Turbo).
With s steps, a call of the denoiser takes s frames one step further, so each frame is done s calls after it came, and one call a
frame is enough. Every frame has the same noise, so that what stands still stays as it is: what comes out of a frame is what
`vedette generate` makes of it as --init, from the same seed.

Source: Kodaira et al., StreamDiffusion, 2023, section 3.1.
"""

from collections.abc import Sequence

import numpy as np

from vedette.runtime.bundles._graphs import Graphs
from vedette.runtime.bundles._sd_conditions import Denoiser, Guidance, Told, conditions, is_guided
from vedette.runtime.bundles._sd_parameters import Parameters
from vedette.runtime.bundles._sd_pictures import decoded, encoded, values_of
from vedette.runtime.bundles._sd_requests import planned, settled
from vedette.runtime.diffusion.sampling import Noise, Run, begun
from vedette.runtime.frame import Frame
from vedette.runtime.request import Images, Request
from vedette.runtime.results import Result
from vedette.runtime.runner import Done, Pending


class Stream:
    """A Runner, which begins a frame at each submit and takes all that are under way one step further.

    Args:
        name: of the bundle.
        graphs: its parts.
        parameters: of it.
        request: as for one image that is made from a picture; a size that nobody gives is the first frame's.

    Raises:
        UsageError: it cannot be meant.
    """

    max_batch = 1

    def __init__(self, name: str, graphs: Graphs, parameters: Parameters, request: Request) -> None:
        self.name, self._graphs, self._parameters, self._asked = name, graphs, parameters, request
        width, height = parameters.size
        some = settled(name, parameters, request, Images(init=np.zeros((height, width, 3), np.uint8)))
        self._plan = planned(parameters, some)
        self.in_flight = max(1, len(self._plan.updates))
        self._request: Request | None = None
        self._told: list[Told] = []
        self._denoisers: dict[int, Denoiser] = {}  # by how many frames they take
        self._under_way: list[Run] = []

    def submit(self, frames: Sequence[Frame]) -> Pending:
        """Begin some frames; their results are there after as many more as there are steps, or are waited for."""
        runs = [self._begun(frame) for frame in frames]
        self._under_way += runs
        self._go_on()
        return Done(lambda: [self._result(frame, run) for frame, run in zip(frames, runs, strict=True)])

    def close(self) -> None:
        """Forget the frames that are under way."""
        self._under_way = []

    def _begun(self, frame: Frame) -> Run:
        if self._request is None:
            self._request = settled(self.name, self._parameters, self._asked, Images(init=frame.bgr()))
            size = self._request.size or self._parameters.size
            self._told = conditions(self._graphs, self._parameters, self._request, size)
        request, parameters = self._request, self._parameters
        noise = Noise([request.seed])
        values = values_of(parameters, frame.bgr(), request.size or parameters.size)
        latents = encoded(self._graphs["encoder"], parameters, values, noise)
        samples = begun(self._plan, noise(latents.shape[1:]), latents)
        guided = is_guided(parameters, request.guidance)
        return Run(samples, self._plan.updates, noise, guidance=(request.guidance or 1.0) if guided else 1.0)

    def _go_on(self) -> None:
        """One step of all that are under way, in one call."""
        timesteps = [run.timestep for run in self._under_way]
        runs = [run for run, timestep in zip(self._under_way, timesteps, strict=True) if timestep is not None]
        if runs:
            samples = np.concatenate([run.samples for run in runs])
            told = np.array([timestep for timestep in timesteps if timestep is not None], np.float32)
            prediction, without = self._denoiser(samples.shape)(samples, told)
            for at, run in enumerate(runs):
                run.step(prediction[at : at + 1], None if without is None else without[at : at + 1])
        self._under_way = [run for run in runs if run.timestep is not None]

    def _denoiser(self, shape: tuple[int, ...]) -> Denoiser:
        assert self._request is not None
        if shape[0] not in self._denoisers:
            guidance = Guidance(self._request.guidance or 0.0, self._request.rescale or 0.0)
            self._denoisers[shape[0]] = Denoiser(self._graphs["denoiser"], self._told, shape, guidance)
        return self._denoisers[shape[0]]

    def _result(self, frame: Frame, run: Run) -> Result:
        import cv2

        while run.timestep is not None:  # nothing comes any more that would take it further
            self._go_on()
        values = decoded(self._graphs["decoder"], self._parameters, run.samples)
        image = self._parameters.pixels().to_bytes(values)[0]
        colours = image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        shrinks = image.shape[0] > frame.size[1]
        fitted = cv2.resize(
            colours, frame.size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        )
        return Result(frame=frame, model=self.name, task="image", names={}, image=fitted)
