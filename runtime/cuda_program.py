"""All that happens to a batch of one shape on the GPU: its memory, the launches, and the graph that they become.

In: frames of the sizes in a Key.  Out: what a Reader fetched: boxes, objects, people, or the engine's raw outputs.
A graph reads every value that changes from frame to frame from device memory, which the one upload in it renews.
Everything here belongs to the device thread.  Next: cuda_readers/, kernels/arena.py, cuda_runner.py.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np

from vedette.kernels import launches
from vedette.kernels.arena import Arena
from vedette.kernels.device import Graph
from vedette.kernels.launches import Fields
from vedette.kernels.picture import Picture, Size
from vedette.runtime.cuda_readers import reader_of
from vedette.runtime.cuda_readers.reader import Job, Room
from vedette.runtime.engine import OnDevice, Session
from vedette.runtime.frame import Frame
from vedette.runtime.preprocess import Placement, layout_of
from vedette.runtime.runner import Recipe


class Key(NamedTuple):
    """What the memory and the grids of a program depend on."""

    pictures: tuple[tuple[Placement, str], ...]  # where each frame goes, and its pixel format
    room: Room

    @classmethod
    def of(cls, frames: Sequence[Frame], placements: Sequence[Placement], room: Room) -> "Key":
        """Of these frames."""
        formats = [frame.picture.format for frame in frames]
        return cls(tuple(zip(placements, formats, strict=True)), room)

    @property
    def input_size(self) -> Size:
        """(width, height) of the network's input, the same for all."""
        return self.pictures[0][0].input_size


class Replay:
    """The same work again and again: begun one by one the first time, which warms up, then captured as a graph and replayed."""

    def __init__(self, engine: OnDevice) -> None:
        self._engine = engine
        self._graph: Graph | None = None
        self.warm = False

    def launch(self, record: Callable[[], None]) -> None:
        """Begin what `record` begins."""
        if self.warm and self._graph is None and self._engine.capturable:
            self._graph = self._engine.device.graph(record)
        (self._graph.launch if self._graph else record)()
        self.warm = True

    def release(self) -> None:
        """Free the graph; it is not in flight."""
        if self._graph:
            self._graph.free()
        self._graph = None


class Program:
    """One batch shape."""

    def __init__(self, recipe: Recipe, engine: OnDevice, key: Key) -> None:
        self.key, self._recipe, self._device, self._engine = key, recipe, engine.device, engine
        self._replay = Replay(engine)
        with ExitStack() as owned:
            self._session = self._opened(owned)
            placements = [placement for placement, _ in key.pictures]
            self.reader = reader_of(Job(recipe, self._session.outputs, placements, key.room))
            self._up, self._down, self._constants, work = (
                self._arena(owned, fields, mirrored=mirrored)
                for fields, mirrored in (
                    (self._upload_fields(), True),
                    (self.reader.down, True),
                    (self.reader.constants, True),
                    (self._input_field() | self.reader.work, False),
                )
            )
            self._at = {**self._up.at, **self._constants.at, **work.at, **self._down.at}
            names = {"input": recipe.input.name} | {name: name for name in self._session.outputs}
            self._session.bind({tensor: self._at[name] for name, tensor in names.items()})
            self._owned = owned.pop_all()
        self._picture_at = [self._addresses_of(index) for index in range(len(key.pictures))]
        self.reader.set_constants(self._constants.host, self._at)
        self._constants.upload()
        self._begun, self._done = self._device.event(timing=True), self._device.event(timing=True)

    def write(self, frames: Sequence[Frame], placements: Sequence[Placement], conf: float) -> None:
        """Copy a batch and its parameters into pinned memory."""
        for index, (frame, placement) in enumerate(zip(frames, placements, strict=True)):
            layout = layout_of(self._recipe.input, placement)
            for number, values in enumerate(frame.planes):
                np.copyto(self._up.host[f"{index}.plane{number}"], values)
            if not self._replay.warm:
                tables = launches.picture_tables(frame.size, layout, exact_cv2=True)
                for name, table in tables.items():
                    self._up.host[f"{index}.{name}"][:] = table
            block, at = self._up.host["pictures"][index], self._picture_at[index]
            launches.set_picture(block, at, frame.size, frame.picture, layout, exact_cv2=True)
        images = self._up.host["images"]
        images["conf"], images["left_top_gains"] = conf, (0, 0, 1, 1)  # the runtime maps boxes back, exactly

    def launch(self) -> None:
        """Begin."""
        self._device.mark(self._begun)
        self._replay.launch(self._record)
        self._device.mark(self._done)

    def fetch(self) -> tuple[Any, float]:
        """Wait for it; copies of what came down: what the reader takes; and milliseconds of the GPU, by its own clock.

        Raises:
            CudaError: some of it failed.
        """
        self._device.wait(self._done)
        return self.reader.take(self._down.host), self._begun.time_till(self._done)

    def release(self) -> None:
        """Free the graph, the session and the memory; nothing of it may be in flight."""
        self._replay.release()
        del self._begun, self._done
        self._owned.close()

    def _record(self) -> None:
        spec, launch = self._recipe.input, self._device.launch
        self._up.upload()
        launches.launch_letterbox(
            launch, self._at, batch=len(self.key.pictures), size=self.key.input_size, half_precision=spec.dtype == "float16"
        )  # fmt: skip
        self._session.enqueue()
        self.reader.launch(self._device, self._at)
        self._down.download()

    def _opened(self, owned: ExitStack) -> Session:
        width, height = self.key.input_size
        batch = len(self.key.pictures)
        session = self._engine.session({self._recipe.input.name: (batch, 3, height, width)})
        owned.callback(session.close)
        self._recipe.check({name: shape for name, (shape, _) in session.outputs.items()}, batch)
        return session

    def _arena(self, owned: ExitStack, fields: Fields, *, mirrored: bool) -> Arena:
        arena = Arena(self._device, fields, mirrored=mirrored)
        owned.callback(arena.release)
        return arena

    def _input_field(self) -> Fields:
        width, height = self.key.input_size
        shape = len(self.key.pictures), 3, height, width
        return {"input": (shape, np.dtype(self._recipe.input.dtype))}

    def _upload_fields(self) -> Fields:
        batch = len(self.key.pictures)
        fields: Fields = {
            "pictures": ((batch,), launches.PICTURE),
            "images": ((batch,), launches.IMAGE),
        }
        for index, (placement, pixel_format) in enumerate(self.key.pictures):
            layout = layout_of(self._recipe.input, placement)
            picture = Picture(pixel_format)  # type: ignore[arg-type]
            its = launches.picture_fields(placement.size, picture, layout, exact_cv2=True)
            fields |= {f"{index}.{name}": value for name, value in its.items()}
        return fields

    def _addresses_of(self, index: int) -> dict[str, int]:
        """Where the planes and tables of a picture lie."""
        prefix = f"{index}."
        return {name.removeprefix(prefix): at for name, at in self._up.at.items() if name.startswith(prefix)}
