"""What `vedette bench` keeps: a stamped JSON with every row's quantiles, and the distributions behind them, block by block.

In: Rounds of every combination.  Out: a Record; its JSON, strict as a manifest is.  Next: comparison.py, report.py.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from json import dumps as as_json
from pathlib import Path
from typing import Literal

import numpy as np

import vedette
from vedette.runtime.errors import UsageError
from vedette.runtime.measuring.blocks import CONDITIONS, Block, Condition, of
from vedette.runtime.measuring.child import adapter
from vedette.runtime.measuring.machine import Machine
from vedette.runtime.measuring.measure import Cold, Ran, Round, Spec
from vedette.runtime.measuring.recorder import METRICS
from vedette.runtime.measuring.sketch import Sketch, merged
from vedette.runtime.measuring.warmup import WarmUp

SCHEMA = 1
SLOPE_S = 4.0  # of a round; in less, the allocator's last steps look like a slope
STRICT = {"extra": "forbid"}
STEADY: tuple[Condition, ...] = ("warm", "contended", "throttled")
Numbers = dict[str, float]


@dataclass(frozen=True, slots=True)
class Settings:
    """What must be the same for two records to be comparable."""

    source: str  # the kind of source and its name, without folders and addresses
    size: tuple[int, int]
    live: bool
    sinks: tuple[str, ...]
    policy: str = ""
    imgsz: tuple[int, int] | None = None
    conf: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One combination.

    Attributes:
        engine: what ran the graph, in the backend's words.
        summary: of each condition its frames, fps, cpu_ms, memory_mb and joules, and of each metric the quantiles.
    """

    backend: str
    batch: int
    streams: int
    threads: int
    engine: str
    cold: tuple[Cold, ...]
    warm_ups: tuple[WarmUp, ...]
    blocks: tuple[Block, ...]
    drops: dict[str, int]
    peak_mb: float
    slope_mb_per_minute: float | None
    summary: dict[str, dict[str, Numbers]] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Of its combination, in words."""
        parts = ((self.batch, "batch"), (self.streams, "streams"), (self.threads, "threads"))
        return ", ".join([self.backend, *(f"{word} {value}" for value, word in parts)])

    @property
    def key(self) -> tuple[str, int, int, int]:
        """Of its combination, for another record's row."""
        return self.backend, self.batch, self.streams, self.threads


@dataclass(frozen=True, slots=True)
class Record:
    """All of it."""

    __pydantic_config__ = STRICT
    model: Ran
    machine: Machine
    settings: Settings
    rows: tuple[Row, ...]
    versions: dict[str, str]
    command: str = ""
    kind: Literal["vedette bench"] = "vedette bench"
    schema_version: Literal[1] = 1
    vedette: str = vedette.__version__
    made: str = field(default_factory=lambda: datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"))


def row_of(spec: Spec, rounds: Sequence[Round]) -> Row:
    """The rounds of one combination as its row."""
    blocks = tuple(block for one in rounds for block in one.blocks)
    drops: dict[str, int] = {}
    for one in rounds:
        for reason, count in one.drops.items():
            drops[reason] = drops.get(reason, 0) + count
    return Row(
        rounds[0].engine.partition(" ")[0], spec.batch, spec.streams, spec.threads, rounds[0].engine,
        tuple(one.cold for one in rounds), tuple(one.warm_up for one in rounds), blocks, drops,
        max(one.peak_mb for one in rounds), slope(blocks), summaries(blocks),
    )  # fmt: skip


def summaries(blocks: Sequence[Block]) -> dict[str, dict[str, Numbers]]:
    """The numbers under each condition that there was."""
    return {name: summary(found) for name in CONDITIONS if (found := of(blocks, name))}


def summary(blocks: Sequence[Block]) -> dict[str, Numbers]:
    """The numbers of some blocks: of the whole, and of every metric."""
    frames = sum(block.frames for block in blocks)
    seconds = sum(block.seconds for block in blocks)
    whole = {
        "frames": frames,
        "seconds": round(seconds, 3),
        "fps": round(frames / seconds, 3),
        "cpu_ms": round(sum(block.load.own for block in blocks) / frames, 4),
        "memory_mb": round(max(block.rss_mb for block in blocks), 1),
        **_power(blocks, frames),
        **_groups(blocks, frames),
    }
    named = {name: pooled(blocks, name) for name in METRICS}
    return {"whole": whole, **{name: sketch.numbers() for name, sketch in named.items() if sketch.counts}}


def pooled(blocks: Sequence[Block], metric: str) -> Sketch:
    """One metric of some blocks."""
    return merged(block.ms[metric] for block in blocks if metric in block.ms)


def _power(blocks: Sequence[Block], frames: int) -> Numbers:
    """Of blocks whose GPU told it."""
    spells = [block.gpu for block in blocks if block.gpu is not None]
    joules = [spell.joules for spell in spells if spell.joules is not None]
    told: Numbers = {}
    if joules and len(joules) == len(blocks):
        told["joules"] = round(sum(joules) / frames, 5)
        told["watts"] = round(sum(joules) / sum(spell.seconds for spell in spells), 2)
    for name, values in (
        ("celsius", [spell.celsius for spell in spells]),
        ("clock_mhz", [spell.clock_mhz for spell in spells]),
    ):
        known = [value for value in values if value is not None]
        if known:
            told[name] = max(known) if name == "celsius" else min(known)
    return told


def _groups(blocks: Sequence[Block], frames: int) -> Numbers:
    names = dict.fromkeys(name for block in blocks for name in block.groups)
    return {
        f"cpu_ms {name}": round(sum(block.groups.get(name, 0.0) for block in blocks) / frames, 4)
        for name in names
    }


def slope(blocks: Sequence[Block]) -> float | None:
    """By how many MB a minute memory grows in the steady state: the median of the rounds' least-squares lines."""
    slopes = []
    for number in sorted({block.round for block in blocks}):
        steady = [block for block in of(blocks, *STEADY) if block.round == number]
        times, values = [block.start_s for block in steady], [block.rss_mb for block in steady]
        if times and times[-1] - times[0] >= SLOPE_S:
            slopes.append(60 * float(np.polyfit(times, values, 1)[0]))
    return round(float(np.median(slopes)), 2) if slopes else None


def dumps(record: Record) -> str:
    """Its JSON."""
    return as_json(asdict(record), separators=(",", ":"), allow_nan=False) + "\n"


def loads(text: bytes | str, *, origin: str = "the record") -> Record:
    """Read and check one.

    Raises:
        UsageError: it is no record of this schema.
    """
    from pydantic import ValidationError

    try:
        record: Record = adapter(Record).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise UsageError(
            f"{origin} is not a record of vedette bench, schema {SCHEMA}",
            why=f"{where}: {first['msg']}",
            cure=f"vedette bench MODEL --json {origin}",
        ) from None
    if not record.rows or not all(row.blocks for row in record.rows):
        raise UsageError(
            f"{origin} holds no measurement", why="a row without blocks", cure="measure it again"
        )
    rows = tuple(
        replace(row, summary=summaries(row.blocks)) for row in record.rows
    )  # not what a file says of it
    return replace(record, rows=rows)


def load(path: Path) -> Record:
    """Read a file.

    Raises:
        UsageError: it cannot be read, or is no record.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"cannot read {path}",
            why=error.strerror or str(error),
            cure=f"vedette bench MODEL --json {path.name} writes one",
        ) from None
    return loads(text, origin=path.name)
