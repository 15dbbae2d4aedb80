"""Capture and replay on the GPU: a graph reads what its upload brings, and what fails in a capture leaves the stream usable."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from vedette.kernels import launches
from vedette.kernels._letterbox_cases import noise
from vedette.kernels.arena import Arena
from vedette.kernels.device import CudaError, Device
from vedette.kernels.letterbox import letterbox_reference
from vedette.kernels.picture import Layout, Picture

pytestmark = pytest.mark.gpu
SIZE, OUT = (191, 107), (64, 40)
LAYOUT = Layout((64, 36), (0, 2), (1 / 255,) * 3, (0.0,) * 3, 114, "rgb")
PICTURE = Picture("yuv420p", "bt709")


class Letterbox:
    """One picture up, letterboxed, and down: what a graph is made of."""

    def __init__(self, device: Device) -> None:
        self._device = device
        pictures: launches.Fields = {"pictures": ((1,), launches.PICTURE)}
        inside = launches.picture_fields(SIZE, PICTURE, LAYOUT, exact_cv2=True)
        self.up = Arena(device, pictures | inside, mirrored=True)
        self.down = Arena(device, {"input": ((1, 3, OUT[1], OUT[0]), np.dtype(np.float32))}, mirrored=True)

    def write(self, planes: tuple[Any, ...], layout: Layout) -> None:
        for number, plane in enumerate(planes):
            self.up.host[f"plane{number}"][:] = plane
        for name, table in launches.picture_tables(SIZE, layout, exact_cv2=True).items():
            self.up.host[name][:] = table
        launches.set_picture(self.up.host["pictures"], self.up.at, SIZE, PICTURE, layout, exact_cv2=True)

    def record(self) -> None:
        self.up.upload()
        at = {**self.up.at, **self.down.at}
        launches.launch_letterbox(self._device.launch, at, batch=1, size=OUT, half_precision=False)
        self.down.download()

    def release(self) -> None:
        self.up.release()
        self.down.release()


@pytest.fixture
def letterbox(device: Device) -> Iterator[Letterbox]:
    made = device.call(Letterbox, device)
    yield made
    device.call(made.release)


def test_each_replay_reads_the_new_picture_and_its_parameters(device: Device, letterbox: Letterbox) -> None:
    def replay(planes: tuple[Any, ...], layout: Layout, run: Callable[[], None]) -> Any:
        letterbox.write(planes, layout)
        letterbox.down.host["input"][:] = np.nan
        run()
        device.synchronize()
        return letterbox.down.host["input"][0].copy()

    def captured() -> None:
        planes = noise(SIZE, "yuv420p")
        replay(planes, LAYOUT, letterbox.record)  # warms up
        graph = device.graph(letterbox.record)
        for turn in range(10):
            changed = tuple(np.roll(plane, turn * 7, axis=1) for plane in planes)
            layout = Layout(LAYOUT.scaled, LAYOUT.offset, (1 / (turn + 1),) * 3, (0.5,) * 3, turn, "bgr")
            found = replay(changed, layout, graph.launch)
            expected = np.empty_like(found)
            letterbox_reference(expected, changed, layout, PICTURE, exact_cv2=True)
            np.testing.assert_array_equal(found, expected)
        graph.free()

    device.call(captured)


def test_a_capture_runs_nothing(device: Device, letterbox: Letterbox) -> None:
    def captured() -> None:
        letterbox.write(noise(SIZE, "yuv420p"), LAYOUT)
        letterbox.down.host["input"][:] = 7
        device.graph(letterbox.record).free()
        device.synchronize()
        assert (letterbox.down.host["input"] == 7).all()

    device.call(captured)


def test_what_cannot_be_captured_is_told_and_the_stream_lives_on(
    device: Device, letterbox: Letterbox
) -> None:
    def wait_in_it() -> None:
        letterbox.record()
        device.synchronize()

    with pytest.raises(CudaError):
        device.call(device.graph, wait_in_it)
    device.call(letterbox.record)
    device.call(device.synchronize)
