"""One round: a model opened, a pipeline run for some seconds, and what the probes saw of it.

In: a Spec.  Out: a Round.  It is meant for a process of its own (child.py), so that a cold start is one, and memory is the
round's; called directly it measures the same in this process.  Next: rounds.py.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from vedette.runtime.engine import THREADS
from vedette.runtime.errors import UsageError
from vedette.runtime.frame import Frame
from vedette.runtime.measuring.blocks import Block, conditioned
from vedette.runtime.measuring.gauges import Gauge
from vedette.runtime.measuring.host import peak_mb
from vedette.runtime.measuring.probes import (
    DrawSink,
    Handing,
    LineSink,
    Note,
    Reel,
    TimedRunner,
    TimedSink,
    TimedSource,
)
from vedette.runtime.measuring.recorder import Recorder
from vedette.runtime.measuring.warmup import WarmUp, warm_up
from vedette.runtime.model import Model
from vedette.runtime.pipeline import Pipeline, Policy
from vedette.runtime.preprocess import Size
from vedette.runtime.results import Result
from vedette.runtime.sinks import Sink
from vedette.runtime.sources import Source, SourceOptions, open_source, stream_names
from vedette.runtime.sources.synthetic import SCHEME

SINKS = ("draw", "json", "video")


@dataclass(frozen=True, slots=True)
class Spec:
    """What a round measures.

    Attributes:
        model: a path, or a zoo name.
        source: a URI; pictures and files are read over and over, and a test pattern is drawn before.
        seconds: from the first result on.
        threads: of a CPU backend.
        sinks: what is done with results, of SINKS.
        policy: latest or all; empty is latest for cameras, all for files.
        began_ns: time.monotonic_ns() when the process was started; 0 where it has done other things before.
    """

    model: str
    source: str
    seconds: float
    backend: str = "auto"
    batch: int = 1
    streams: int = 1
    threads: int = 1
    sinks: tuple[str, ...] = ("draw", "json")
    policy: str = ""
    imgsz: Size | None = None
    conf: float | None = None
    number: int = 0
    began_ns: int = 0


@dataclass(frozen=True, slots=True)
class Cold:
    """A start, in milliseconds since the process began; None where other things went before."""

    imported: float | None
    opened: float
    first_result: float
    cpu: float  # until the first result


@dataclass(frozen=True, slots=True)
class Ran:
    """The model that ran."""

    name: str
    task: str
    precision: str
    sha256: dict[str, str]  # by file, of its manifest


@dataclass(frozen=True, slots=True)
class Round:
    """What was seen."""

    model: Ran
    engine: str
    size: tuple[int, int]  # of the frames
    live: bool
    cold: Cold
    warm_up: WarmUp
    blocks: tuple[Block, ...]
    drops: dict[str, int] = field(default_factory=dict)
    peak_mb: float = 0.0
    gpu: str = ""


def measure(spec: Spec, *, gauge: Gauge | None = None, block_s: float | None = None) -> Round:
    """Measure one round.

    Args:
        spec: what.
        gauge: of the GPU; None where there is none.
        block_s: how long a block is; None for the usual.

    Raises:
        UsageError: the model takes smaller batches only.
        SourceError, ModelError, DeviceError, DiskError: as for a run.
    """
    imported_ns = time.monotonic_ns()
    began_ns, cpu_ns = (spec.began_ns, 0) if spec.began_ns else (imported_ns, time.process_time_ns())
    recorder = Recorder(number=spec.number, gauge=gauge, **({"block_s": block_s} if block_s else {}))
    with contextlib.ExitStack() as closing:
        closing.enter_context(_threads(spec.threads))
        model = Model(spec.model, backend=spec.backend, imgsz=spec.imgsz, conf=spec.conf)
        closing.callback(model.close)
        opened_ns = time.monotonic_ns()
        runner = TimedRunner(model.runner(), _batch(spec, model))
        sources = _sources(spec, recorder.note)
        sinks = _sinks(spec, recorder, runner, Path(closing.enter_context(TemporaryDirectory())))
        policy: Policy | None = "latest" if spec.policy == "latest" else "all" if spec.policy else None
        pipeline = Pipeline(sources, [runner], sinks, policy)
        size, start_cpu_ns = _run(pipeline, recorder, spec.seconds)
        blocks = recorder.blocks()
        cold = Cold(
            (imported_ns - began_ns) / 1e6 if spec.began_ns else None,
            (opened_ns - began_ns) / 1e6,
            (recorder.first_ns - began_ns) / 1e6,
            (start_cpu_ns - cpu_ns) / 1e6,
        )
        found = warm_up(recorder.work_ms, recorder.ends_s)
        card = model.manifest
        return Round(
            Ran(card.name, card.task, card.precision, dict(card.files)),
            model.backend,
            size,
            any(source.live for source in sources.values()),
            cold,
            found,
            conditioned(blocks, warm_from_s=found.seconds, cores=os.cpu_count() or 1),
            _drops(pipeline),
            round(peak_mb(), 1),
            gauge.name if gauge else "",
        )


def _run(pipeline: Pipeline, recorder: Recorder, seconds: float) -> tuple[tuple[int, int], int]:
    """Run it so long; the size of the frames, and our CPU time at the first result."""
    size, cpu_ns = (0, 0), 0
    with contextlib.closing(pipeline.run()) as steps:
        for frame, _ in steps:
            if not cpu_ns:
                size, cpu_ns = frame.size, time.process_time_ns()
            if recorder.tick() >= seconds:
                break
    return size, cpu_ns


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """What CPU backends ask when they are opened."""
    before = os.environ.get(THREADS)
    os.environ[THREADS] = str(count)
    try:
        yield
    finally:
        if before is None:
            del os.environ[THREADS]
        else:
            os.environ[THREADS] = before


def _batch(spec: Spec, model: Model) -> int:
    most = model.runner().max_batch
    if 0 < most < spec.batch:
        raise UsageError(
            f"{model.manifest.name} takes {most} frames at once, not {spec.batch}",
            why="its manifest says so",
            cure=f"--batch {most}, or export it with a larger batch",
        )
    return spec.batch


def _sources(spec: Spec, note: Note) -> dict[str, Source]:
    return {name: TimedSource(partial(_source, spec, name), note) for name in stream_names(spec.streams)}


def _source(spec: Spec, name: str) -> Source:
    """Videos loop by themselves; a test pattern is drawn once."""
    options = SourceOptions(stream=name)
    source = open_source(spec.source, options)
    if source.live:
        return source
    source = open_source(spec.source, replace(options, loop=True))
    return Reel(source) if spec.source.lower().startswith(SCHEME) else source


def _sinks(spec: Spec, recorder: Recorder, runner: TimedRunner, folder: Path) -> list[Sink]:
    from vedette.runtime.sinks.video import VideoSink

    def handed(frame: Frame, results: Sequence[Result]) -> None:
        recorder.handed(frame, results, runner.began_ns.popleft())

    made: list[Sink] = [Handing(handed)]
    if "draw" in spec.sinks:
        made.append(TimedSink("draw", DrawSink(), recorder.note))
    if "json" in spec.sinks:
        made.append(TimedSink("sink", LineSink(), recorder.note))
    if "video" in spec.sinks:
        made.append(TimedSink("encode", VideoSink(folder / "bench.mp4"), recorder.note))
    return made


def _drops(pipeline: Pipeline) -> dict[str, int]:
    """Of all streams, by reason."""
    counted: dict[str, int] = {}
    for status in pipeline.status().values():
        for reason, count in status.dropped.items():
            counted[reason] = counted.get(reason, 0) + count
    return counted
