"""The numbers of streams and sinks under the names that Prometheus' conventions ask for.

In: Statuses.  Out: metric families, made anew for every scrape: nothing is counted twice, and what is gone is gone.
Source: prometheus.io/docs/practices/naming: base units, _total for what only grows, a state as 0 or 1 for each.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from vedette.runtime.errors import redact
from vedette.runtime.status import SinkStatus, State, Status

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

SINK_STATES = ("writing", "paused", "failed")
Row = tuple[Sequence[str], float]


class Seen(Protocol):
    """Where the numbers come from."""

    @property
    def status(self) -> Callable[[], Mapping[str, Status]]: ...
    @property
    def sinks(self) -> Callable[[], Sequence[SinkStatus]]: ...
    @property
    def alive(self) -> Callable[[], bool]: ...


def registry(seen: Seen) -> "CollectorRegistry":
    """A registry of its own, so that nothing of another library in the process is told: ours, and the process'."""
    from prometheus_client import CollectorRegistry, ProcessCollector
    from prometheus_client.registry import Collector

    class Ours(Collector):
        def collect(self) -> Iterable["Metric"]:
            yield from _streams(list(seen.status().values()))
            yield from _sinks(seen.sinks())
            yield _gauge(
                "vedette_alive", "Whether the loop that runs the models turns.", (), [((), seen.alive())]
            )

    found = CollectorRegistry(auto_describe=False)
    found.register(Ours())
    ProcessCollector(registry=found)
    return found


def _streams(streams: Sequence[Status]) -> Iterator["Metric"]:
    one = ("stream",)
    yield _gauge(
        "vedette_stream_state",
        "1 for the state that a stream is in, 0 for the others.",
        ("stream", "state"),
        [((each.stream, state.value), each.state is state) for each in streams for state in State],
    )
    for name, text, attribute in (
        ("vedette_frames_decoded", "Frames decoded, over all connections.", "frames"),
        ("vedette_frames_suspect", "Frames that the decoder complained about.", "suspect"),
        ("vedette_frames_processed", "Frames that ran through the models.", "delivered"),
        ("vedette_connections", "How often the source was opened with success.", "connections"),
    ):
        yield _counter(name, text, one, [((each.stream,), getattr(each, attribute)) for each in streams])
    yield _counter(
        "vedette_frames_dropped",
        "Frames that did not run through the models, by reason.",
        ("stream", "reason"),
        [((each.stream, reason), n) for each in streams for reason, n in dict(each.dropped).items()],
    )
    yield _gauge(
        "vedette_frame_age_seconds",
        "Age of the frame that last ran, from its decoder to the start of inference.",
        one,
        [((each.stream,), each.age_ms / 1000) for each in streams if each.age_ms is not None],
    )
    yield _gauge(
        "vedette_stream_quiet_seconds",
        "Time since a frame was last decoded, or since the start.",
        one,
        [((each.stream,), each.quiet_s) for each in streams],
    )


def _sinks(sinks: Sequence[SinkStatus]) -> Iterator["Metric"]:
    named = _apart(sinks)
    yield _gauge(
        "vedette_sink_state",
        "1 for the state that a sink is in, 0 for the others.",
        ("sink", "state"),
        [((name, state), sink.state == state) for name, sink in named for state in SINK_STATES],
    )
    yield _counter(
        "vedette_sink_written",
        "Items that reached their target.",
        ("sink",),
        [((name,), s.written) for name, s in named],
    )
    yield _counter(
        "vedette_sink_dropped",
        "Items that were lost, by reason.",
        ("sink", "reason"),
        [((name, reason), n) for name, sink in named for reason, n in dict(sink.dropped).items()],
    )


def _apart(sinks: Sequence[SinkStatus]) -> list[tuple[str, SinkStatus]]:
    """Each with a name of its own: two series of the same labels would fail the whole scrape."""
    names: list[str] = []
    for sink in sinks:
        name, number = redact(sink.name), 2
        while name in names:
            name, number = f"{redact(sink.name)} {number}", number + 1
        names.append(name)
    return list(zip(names, sinks, strict=True))


def _gauge(name: str, text: str, labels: Sequence[str], rows: Iterable[Row]) -> "Metric":
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in rows:
        family.add_metric(values, float(number))
    return family


def _counter(name: str, text: str, labels: Sequence[str], rows: Iterable[Row]) -> "Metric":
    """The library adds _total to the name."""
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(name, text, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family
