"""Named arrays in one block of memory, so that one copy moves them all.

In: their shapes and types.  Out: device addresses and, where the arena is mirrored, pinned arrays of the host.
All of it belongs to the device thread.  Used by runtime/cuda_runner.py and runtime/backends/tensorrt_.py.
"""

import numpy as np

from vedette.kernels.device import Array, Device
from vedette.kernels.launches import Fields

_ALIGNMENT = 256  # bytes, as of cudaMalloc; TensorRT asks for it


class Arena:
    """One block. Mirrored: `host` holds the same arrays in pinned memory; where CPU and GPU share it, there is only that."""

    def __init__(self, device: Device, fields: Fields, *, mirrored: bool = False) -> None:
        self._device = device
        offsets, self.size = {}, 0
        for name, (shape, dtype) in fields.items():
            offsets[name] = self.size
            nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
            self.size += -(-max(nbytes, 1) // _ALIGNMENT) * _ALIGNMENT
        size = max(self.size, _ALIGNMENT)
        self._pinned = device.pinned(size) if mirrored else None
        self._shared = self._pinned is not None and device.integrated
        self._block = None if self._shared else device.allocate(size)
        base = int(self._block) if self._block else device.mapped(self._pinned)  # type: ignore[arg-type]
        self.base = base
        self.at = {name: base + offset for name, offset in offsets.items()}
        self.host = {
            name: self._view(offsets[name], shape, dtype)
            for name, (shape, dtype) in fields.items()
            if mirrored
        }

    def upload(self) -> None:
        """Begin to copy all to the device; nothing where both share it."""
        if not self._shared and self._pinned:
            self._device.upload(self.base, self._pinned.memory[: self.size])

    def download(self) -> None:
        """Begin to copy all to the host."""
        if not self._shared and self._pinned:
            self._device.download(self._pinned.memory[: self.size], self.base)

    def release(self) -> None:
        """Give the memory back."""
        for block in (self._block, self._pinned):
            if block is not None:
                block.release()

    def _view(self, offset: int, shape: tuple[int, ...], dtype: "np.dtype[np.void]") -> Array:
        assert self._pinned is not None
        nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        view: Array = self._pinned.memory[offset : offset + nbytes].view(dtype).reshape(shape)
        return view
