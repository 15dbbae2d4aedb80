"""How fast does this GPU copy?   Run: python benchmarks/gpu/copy_bandwidth.py [--json PART]

Question: what is the ceiling that a kernel's bytes are measured against?  Bytes read and bytes written both count.
"""

from importlib import import_module
from typing import Any

from clock import Clock
from step import Part, parser_of

from vedette.kernels.device import Device

SIZES = {"device 1 GiB": 1 << 30, "device 64 MiB": 1 << 26, "up 16 MiB": 1 << 24, "down 16 MiB": 1 << 24}


def main() -> int:
    arguments = parser_of(__doc__).parse_args()
    part = Part(arguments.json)
    if arguments.dry_run:
        return 0
    device = Device()
    clock = Clock(device)
    measure(part, device, clock)
    clock.release()
    device.close()
    return int(part.failed)


def measure(part: Part, device: Device, clock: Clock, *, scale: int = 1) -> None:
    part.save(held=clock.held)
    for name, size in SIZES.items():
        with part.trying("copies", name):
            part.row("copies", name, **measured(device, clock, name, size // scale))
    rows = part.found.get("copies", {})
    rates = [row.get("gb_per_s", 0.0) for name, row in rows.items() if name.startswith("device")]
    part.save(device_gb_per_s=max(rates, default=0.0))


def measured(device: Device, clock: Clock, name: str, size: int) -> dict[str, Any]:
    """One copy, with its rate."""
    kind = name.split()[0]
    first = device.call(device.allocate, size)
    second = device.call(device.allocate if kind == "device" else device.pinned, size)
    works = {
        "device": lambda: copied(device, int(first), int(second), size),
        "up": lambda: device.upload(int(first), second.memory[:size]),
        "down": lambda: device.download(second.memory[:size], int(first)),
    }
    times = clock.timed([works[kind]])
    for block in (first, second):
        device.call(block.release)
    moved = size * (2 if kind == "device" else 1)
    return {**times, "bytes_moved": moved, "gb_per_s": round(moved / times["median_us"] / 1e3, 1)}


def copied(device: Device, source: int, target: int, size: int) -> None:
    """Begin a copy within the device."""
    (status,) = import_module("cuda.bindings.driver").cuMemcpyDtoDAsync(target, source, size, device.stream)
    if int(status):
        raise RuntimeError(f"cuMemcpyDtoDAsync says {status}")


if __name__ == "__main__":
    raise SystemExit(main())
