"""A pipeline run to its end, with all who watch it: progress, the monitor's pages, the service manager, signals."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType

from vedette.commands._progress import Progress
from vedette.runtime.model import Model
from vedette.runtime.notify import Notifier
from vedette.runtime.pipeline import Pipeline
from vedette.runtime.sources import Source


def drive(pipeline: Pipeline, progress: Progress, *, serve: str = "", token: str | None = None) -> None:
    """Run it to its end.

    Args:
        pipeline: not run yet.
        progress: told of every frame.
        serve: HOST:PORT of /metrics and /healthz, or nothing.
        token: what a reader of them must bring; needed where HOST is not this machine alone.
    """
    notifier = Notifier()
    pipeline.on_watch = notifier.watchdog
    with _monitored(pipeline, serve, token):
        notifier.ready()
        try:
            for frame, results in pipeline.run():
                progress.step(frame, results)
        finally:
            notifier.stopping()
    for sink in pipeline.sink_status():
        if lost := sum(sink.dropped.values()):
            print(f"{sink.name}: {lost} not taken ({', '.join(sorted(sink.dropped))})", file=sys.stderr)


@contextlib.contextmanager
def _monitored(pipeline: Pipeline, serve: str, token: str | None) -> Iterator[None]:
    if not serve:
        yield
        return
    from vedette.runtime.monitor import Monitor  # brings an HTTP server, and TLS with it

    monitor = Monitor(serve, pipeline.status, pipeline.sink_status, pipeline.alive, token)
    monitor.start()
    try:
        yield
    finally:
        monitor.close()


@contextlib.contextmanager
def signals() -> Iterator[tuple[threading.Event, list[int]]]:
    """SIGINT and SIGTERM end the run after the frame at hand; the same signal again ends it at once."""
    stop, received = threading.Event(), list[int]()

    def handle(number: int, _: FrameType | None) -> None:
        received.append(number)
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop, received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def print_plan(models: Sequence[Model], sources: Mapping[str, Source], where: str) -> None:
    for model in models:
        spec = model.manifest.inputs[0]
        print(
            f"model   {model.manifest.name}: {model.manifest.task}, {model.manifest.precision}, {model.backend}"
        )
        print(f"        input {spec.name} {list(spec.shape)} {spec.pixel_format}, {spec.resize.rule}")
        print(f"        decoder {model.manifest.decoder.family}")
    for name, source in sources.items():
        print(f"source  {name}: {source.uri}{' (live)' if source.live else ''}")
    print(f"save    {where or 'nothing'}")
