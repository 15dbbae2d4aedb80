"""The sinks that `outputs` asks for, without their threads. Each is imported only where it is asked for.

In: a Document.  Out: sinks.  Next: runtime/sinks/.
"""

from collections.abc import Iterator, Mapping
from threading import Event
from typing import Any

from vedette.cameras.load import Document
from vedette.runtime.sinks import Sink
from vedette.runtime.sinks._background import Background
from vedette.runtime.sources import Source

MEGABYTE, GIGABYTE = 1_000_000, 1_000_000_000


def told_in_background(sink: Sink, *, lossless: bool, stop: Event) -> Background:
    """A sink with its thread: a run that lasts for weeks does not end because one of its outputs fails."""
    return Background(sink, lossless=lossless, fatal=False, stop=stop)


def recorders(document: Document) -> Iterator[Sink]:
    """Those that keep what the cameras sent."""
    outputs, cameras = document.config.outputs, document.config.cameras
    streams = [name for name, camera in cameras.items() if camera.record and camera.enabled]
    if recording := outputs.recording:
        from vedette.runtime.sinks.recording import RecordingSink

        yield RecordingSink(
            recording.folder, segment_s=recording.segment, streams=streams, **_retention(recording)
        )
    if events := outputs.events:
        from vedette.runtime.sinks.events import EventClipsSink

        yield EventClipsSink(
            events.folder,
            classes=events.classes,
            min_conf=events.min_conf,
            min_frames=events.min_frames,
            pre_roll_s=events.pre_roll,
            post_roll_s=events.post_roll,
            max_s=events.max,
            streams=streams,
            **_retention(events),
        )


def _retention(output: Any) -> dict[str, Any]:
    """What Recording and Events say of the disk."""
    keep_bytes = None if output.keep_gb is None else round(output.keep_gb * GIGABYTE)
    free = round(output.min_free_gb * GIGABYTE)
    return {"keep_days": output.keep_days, "keep_bytes": keep_bytes, "min_free_bytes": free}


def local_sinks(document: Document, sources: Mapping[str, Source]) -> Iterator[Sink]:
    """Annotated video and JSON lines."""
    outputs = document.config.outputs
    if outputs.save:
        from vedette.runtime.sinks.folder import FolderSink

        yield FolderSink(outputs.save, {stream: source.uri for stream, source in sources.items()})
    if lines := outputs.lines:
        from vedette.runtime.sinks.jsonl import JsonLinesSink

        rotate = None if lines.rotate_mb is None else max(1, round(lines.rotate_mb * MEGABYTE))
        yield JsonLinesSink(lines.path, rotate_bytes=rotate, keep=lines.keep, patient=True)


def remote_sinks(document: Document) -> Iterator[Sink]:
    """Those that reach for the network, each only when it is written to."""
    outputs, secrets = document.config.outputs, document.secrets
    if mqtt := outputs.mqtt:
        from vedette.runtime.sinks.mqtt import MqttSink

        options = mqtt.model_dump(exclude={"host", "password"})
        yield MqttSink(mqtt.host, password=secrets.get(("outputs", "mqtt", "password")), **options)
    if webhook := outputs.webhook:
        from vedette.runtime.sinks.webhook import WebhookSink

        here = ("outputs", "webhook")
        headers = {
            name: value if isinstance(value, str) else secrets[(*here, "headers", name)]
            for name, value in webhook.headers.items()
        }
        yield WebhookSink(
            webhook.url if isinstance(webhook.url, str) else secrets[(*here, "url")],
            classes=webhook.classes,
            min_conf=webhook.min_conf,
            headers=headers,
            secret=secrets.get((*here, "secret")),
            timeout_s=webhook.timeout,
            retries=webhook.retries,
            min_interval_s=webhook.min_interval,
        )
