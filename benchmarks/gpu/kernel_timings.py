"""How fast are the kernels?   Run: python benchmarks/gpu/kernel_timings.py [--json PART]

Question: how far is each from what its bytes and an empty kernel allow, and what share of the time of torch, torchvision and
cupy, in this process, does it take?  Checked against its reference first; what differs is not timed. A row is a CUDA graph,
replayed 1,000 times after 100 warm-ups over enough sets of input that no cache holds the next (clock.py).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from clock import Clock
from copy_bandwidth import measured as measured_copy
from operation import Operation, Row
from operations import ROWS
from peers import PEERS
from step import Part, parser_of

from vedette.kernels.device import Device

CACHE = 128 << 20  # bytes that no GPU's cache holds
MOST_SETS = 16


def main() -> int:
    arguments = parser_of(__doc__).parse_args()
    part = Part(arguments.json)
    part.save(planned=list(ROWS), targets={name: row.target for name, row in ROWS.items() if row.target})
    if arguments.dry_run:
        return 0
    device = Device()
    clock = Clock(device)
    measure(part, device, clock)
    clock.release()
    device.close()
    return int(part.failed)


def measure(
    part: Part, device: Device, clock: Clock, rows: Mapping[str, Row] = ROWS, *, copied: int = 1 << 30
) -> None:
    """Floors, then each row of ours followed by its peers."""
    with part.trying("floors", "copy"):
        part.save(copy_gb_per_s=measured_copy(device, clock, "device", copied)["gb_per_s"])
    floors(part, device, clock)
    for name, row in rows.items():
        with part.trying("ours", name):
            part.row("ours", name, **timed(device, clock, row))
            share_of_copy(part, name)
        for peer, make in PEERS.get(name, {}).items():
            beside(part, clock, name, peer, make)


def floors(part: Part, device: Device, clock: Clock) -> None:
    """An empty kernel, launched and as a graph; and two events with nothing between them."""
    part.row("floors", "two events", **clock.timed([lambda: None]))
    if clock.held:
        part.row("floors", "empty kernel", **clock.timed([clock.nothing]))
        graph = device.call(device.graph, clock.nothing)
        part.row("floors", "graph of an empty kernel", **clock.timed([graph.launch]))
        device.call(graph.free)


def timed(device: Device, clock: Clock, row: Row) -> dict[str, Any]:
    """One row of ours: several sets of memory, a graph each."""
    count = max(1, min(MOST_SETS, -(-CACHE // row.set_bytes)))
    sets = [device.call(row.make, device, seed) for seed in range(count)]
    launches = Counted(device)
    equal = device.call(first_run, sets, launches)
    found: dict[str, Any] = {"equal": equal, "launches": launches.count, "input_sets": count}
    if equal:
        graphs = [device.call(device.graph, operation.launch) for operation in sets]
        found |= clock.timed([graph.launch for graph in graphs])
        found |= {"bytes_moved": sets[0].bytes_moved}
        found |= {"gb_per_s": round(sets[0].bytes_moved / found["median_us"] / 1e3, 1)}
        device.call(forget, [graph.free for graph in graphs])
    else:
        found["error"] = "differs from its reference"
    device.call(forget, [operation.release for operation in sets])
    return found


def first_run(sets: list[Operation], launches: "Counted") -> bool:
    """Warms up each, and compares the first; on the device thread."""
    with launches:
        sets[0].launch()
    equal = sets[0].equal()
    for operation in sets[1:]:
        operation.launch()
    return equal


def forget(frees: Sequence[Callable[[], None]]) -> None:
    for free in frees:
        free()


class Counted:
    """Counts launches while it is entered."""

    def __init__(self, device: Device) -> None:
        self._device, self.count = device, 0

    def __enter__(self) -> None:
        launch: Any = self._device.launch

        def counting(*arguments: Any) -> None:
            self.count += 1
            launch(*arguments)

        vars(self._device)["launch"] = counting

    def __exit__(self, *_: object) -> None:
        del vars(self._device)["launch"]  # the method again


def share_of_copy(part: Part, name: str) -> None:
    rate, copy = part.found["ours"][name].get("gb_per_s"), part.found.get("copy_gb_per_s")
    if rate and copy:
        part.row("ours", name, share_of_copy=round(rate / copy, 3))


def beside(part: Part, clock: Clock, name: str, peer: str, make: Callable[[int], Any]) -> None:
    """Time a peer, and what share of its time ours takes."""
    rows = part.found.setdefault("peers", {}).setdefault(name, {})
    try:
        rows[peer] = make(clock.replays)
    except Exception as error:  # noqa: BLE001  (a peer that fails is a finding)
        rows[peer] = {"why_not": f"{type(error).__name__}: {error}"[:500]}
    ours = part.found.get("ours", {}).get(name, {})
    key = "alone_median_us" if rows[peer].get("synchronises") else "median_us"
    if key in ours and rows[peer].get(key):
        rows[peer]["ratio"] = round(ours[key] / rows[peer][key], 4)
    part.save()


if __name__ == "__main__":
    raise SystemExit(main())
