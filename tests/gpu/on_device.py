"""The checks of tests/cuda_host on a real GPU: a Library whose launches go to Device.launch.

Arrays lie in pinned memory, which the GPU reads and writes in place, at the host's own addresses. `Copied` gives each array
that a launch names device memory of exactly its size, as sanitizers want it.
`python -m gpu.on_device [OP…]` runs the fixed cases of some ops, all by default, on a Copied, and names those that it did.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from cuda_host import check
from cuda_host.shim import Library

from vedette.kernels.device import Block, Device

UNWRITTEN = 0xCD


class OnDevice(Library):
    """The packaged kernels. Its arrays hold until `release`."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._blocks: list[Block] = []
        self.launches = 0

    def array(self, shape: Sequence[int], dtype: Any, values: Any = None) -> Any:
        return self._device.call(self._array, shape, np.dtype(dtype), values)

    def _array(self, shape: Sequence[int], dtype: "np.dtype[Any]", values: Any) -> Any:
        size = int(np.prod(shape)) * dtype.itemsize
        self._blocks.append(self._device.pinned(max(size, 1)))
        raw = self._blocks[-1].memory[:size]
        raw[:] = UNWRITTEN
        array = raw.view(dtype).reshape(shape)
        if values is not None:
            array[...] = values
        return array

    def launch(self, name: str, grid: Sequence[int], block: int, *arguments: Any) -> None:
        """And wait for it."""
        values = [_address(argument) for argument in arguments]
        self._device.call(self._launch, name, grid, block, values)

    def _launch(self, name: str, grid: Sequence[int], block: int, values: Sequence[Any]) -> None:
        self._device.launch(name, grid, block, *values)
        self._device.synchronize()
        self.launches += 1

    def release(self) -> None:
        """Give all arrays back."""
        self._device.call(self._release)

    def _release(self) -> None:
        while self._blocks:
            self._blocks.pop().release()


class Copied(OnDevice):
    """Arrays that are arguments are copied to device memory of their own and back around every launch."""

    def __init__(self, device: Device) -> None:
        super().__init__(device)
        self._cuda: Any = import_module("pycuda.driver")
        self._arrays: dict[int, Any] = {}  # by address
        self._twins: dict[int, Any] = {}

    def _array(self, shape: Sequence[int], dtype: "np.dtype[Any]", values: Any) -> Any:
        array = super()._array(shape, dtype, values)
        self._arrays[array.ctypes.data] = array.reshape(-1).view(np.uint8)
        return array

    def _launch(self, name: str, grid: Sequence[int], block: int, values: Sequence[Any]) -> None:
        named = [value for value in values if isinstance(value, int) and value in self._arrays]
        twins = {address: self._twin(address) for address in named}
        values = [twins.get(value, value) if isinstance(value, int) else value for value in values]
        super()._launch(name, grid, block, values)
        for address, twin in twins.items():
            if self._arrays[address].size:
                self._device.download(self._arrays[address], twin)
        self._device.synchronize()

    def _twin(self, address: int) -> int:
        """Its device memory, with what the host has in it; what nobody wrote is not copied."""
        array = self._arrays[address]
        if address not in self._twins:
            self._twins[address] = self._cuda.mem_alloc(max(array.size, 1))
            if (array != UNWRITTEN).any():
                self._device.upload(int(self._twins[address]), array)
        return int(self._twins[address])

    def _release(self) -> None:
        for twin in self._twins.values():
            twin.free()
        self._twins.clear()
        self._arrays.clear()
        super()._release()


def _address(argument: Any) -> Any:
    return argument.ctypes.data if isinstance(argument, np.ndarray) else argument


def main(words: Sequence[str]) -> None:
    ops = [word for word in words if not word.startswith("-")] or list(check.OPS)
    device = None if "--list" in words else Device()
    for op in ops:
        if device:
            library = Copied(device)
            check.OPS[op][0](library)
            library.release()
        sys.stdout.write(f"{op}\n")
        sys.stdout.flush()
    if device:
        device.close()


if __name__ == "__main__":
    main(sys.argv[1:])
