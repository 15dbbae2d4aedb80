"""A stretch of time of a run, with all that is known of it; what rows, comparisons and plots are made of.

In: recorder.py's counts and readings.  Out: Blocks, each marked with its condition.  Next: record.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Literal

from vedette.runtime.measuring.gauges import GpuSpell
from vedette.runtime.measuring.sketch import Sketch, merged

Condition = Literal["warming", "warm", "contended", "throttled"]
CONDITIONS: tuple[Condition, ...] = ("warming", "warm", "contended", "throttled")
DELAYED = 0.05  # share of the time our threads wanted a core and had to wait for one
OTHERS = 0.05  # of one core, taken by other processes
STOLEN = 0.02  # of the cores' time, taken by the hypervisor
BUSY = 0.9  # of all cores; counts where the kernel does not tell how long threads waited
QUOTA = 0.02  # of the time, in which a container's limit held us


@dataclass(frozen=True, slots=True)
class Load:
    """Who had the cores meanwhile, in milliseconds of CPU; None where the kernel does not tell."""

    own: float = 0.0
    delay: float | None = None  # our threads were ready and no core was free, summed over threads
    others: float | None = None
    stolen: float | None = None
    idle: float | None = None
    quota: float | None = None  # the container's limit held us
    heat: int = 0  # times a core slowed down because it was hot


@dataclass(frozen=True, slots=True)
class Block:
    """Some frames that were finished one after another.

    Attributes:
        start_s: since the round's first result.
        ms: the distribution of each metric, one value a frame (METRICS of recorder.py).
        groups: CPU milliseconds by kind of thread: loop, readers, engine and others.
    """

    round: int
    start_s: float
    seconds: float
    frames: int
    rss_mb: float
    load: Load = Load()
    ms: Mapping[str, Sketch] = field(default_factory=dict)
    groups: Mapping[str, float] = field(default_factory=dict)
    gpu: GpuSpell | None = None
    condition: Condition = "warm"

    def __post_init__(self) -> None:
        """A record's numbers may be anybody's."""
        if self.frames < 1 or not 0 < self.seconds < inf or not 0 <= self.start_s < inf:
            raise ValueError("a block has frames, and takes time")


def joined(first: Block, second: Block) -> Block:
    """Two that follow each other, as one."""
    names = dict.fromkeys((*first.ms, *second.ms))
    groups = dict.fromkeys((*first.groups, *second.groups))
    spells = [block.gpu for block in (first, second) if block.gpu is not None]
    return replace(
        first,
        seconds=first.seconds + second.seconds,
        frames=first.frames + second.frames,
        rss_mb=second.rss_mb,
        load=_added(first.load, second.load),
        ms={name: merged(b.ms[name] for b in (first, second) if name in b.ms) for name in names},
        groups={name: first.groups.get(name, 0.0) + second.groups.get(name, 0.0) for name in groups},
        gpu=GpuSpell.over(spells) if spells else None,
    )


def _added(first: Load, second: Load) -> Load:
    parts = {}
    for name in ("delay", "others", "stolen", "idle", "quota"):
        values = (getattr(first, name), getattr(second, name))
        parts[name] = None if None in values else sum(values)
    return Load(own=first.own + second.own, heat=first.heat + second.heat, **parts)


def conditioned(blocks: Sequence[Block], *, warm_from_s: float, cores: int) -> tuple[Block, ...]:
    """The blocks of a round, each with its condition."""
    return tuple(
        replace(block, condition="warming" if block.start_s < warm_from_s else condition_of(block, cores))
        for block in blocks
    )


def condition_of(block: Block, cores: int) -> Condition:
    """Of a block that is past the warm-up."""
    if _throttled(block):
        return "throttled"
    return "contended" if _contended(block.load, block.seconds * 1e3, cores) else "warm"


def _throttled(block: Block) -> bool:
    held = block.load.quota is not None and block.load.quota > QUOTA * block.seconds * 1e3
    return held or block.load.heat > 0 or (block.gpu is not None and block.gpu.slowed)


def _contended(load: Load, wall_ms: float, cores: int) -> bool:
    """Others had the cores, and we would have needed them: threads that wait for each other are our own affair."""
    if load.stolen is not None and load.stolen > STOLEN * wall_ms * cores:
        return True
    if load.others is None or load.others < OTHERS * wall_ms:
        return False
    if load.delay is not None:
        return load.delay > DELAYED * (load.own + load.delay)
    return load.idle is not None and load.idle < (1 - BUSY) * wall_ms * cores


def of(blocks: Iterable[Block], *conditions: Condition) -> list[Block]:
    """Those under some conditions."""
    return [block for block in blocks if block.condition in conditions]
