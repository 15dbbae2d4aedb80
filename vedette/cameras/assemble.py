"""From a cameras file to what a Pipeline is made of: sources, runners, sinks, and which go together.

In: the path of a file.  Out: an Assembly, whose models are open; nothing is connected yet.  Next: sinks.py, runtime/pipeline.py.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import quote

from vedette.cameras.checks import no_source
from vedette.cameras.load import Document, load
from vedette.cameras.problems import ConfigError
from vedette.cameras.schema import Camera, Config, Network
from vedette.cameras.sinks import local_sinks, recorders, remote_sinks, told_in_background
from vedette.runtime.errors import SourceError, VedetteError, remember_uri
from vedette.runtime.model import Model
from vedette.runtime.packets import Packet, Tap
from vedette.runtime.pipeline import Pipeline, Policy
from vedette.runtime.runner import Runner
from vedette.runtime.sinks import Sink
from vedette.runtime.sinks._background import Background
from vedette.runtime.sources import Source, SourceOptions, open_source


@dataclass(frozen=True, slots=True, eq=False)
class Assembly:
    """What a cameras file makes.

    Attributes:
        sources: by camera, not opened yet.
        models: opened, each once.
        runners: one a model of the file, in its order.
        sinks: each with its thread.
        routes: by camera, the runners that its frames go through, by number.
        policies: of the cameras that name one.
        trackers: one a runner, None where nothing is followed.
        saved_to: folder of annotated video, or nothing.
        serve: HOST:PORT of /metrics and /healthz, or nothing.
        token: what a reader of them must bring.
    """

    sources: Mapping[str, Source]
    models: Sequence[Model]
    runners: Sequence[Runner]
    sinks: Sequence[Background]
    routes: Mapping[str, Sequence[int]]
    policies: Mapping[str, Policy]
    trackers: Sequence[Callable[[], Any] | None]
    saved_to: str
    serve: str
    token: str | None

    def pipeline(self, **options: Any) -> Pipeline:
        """A Pipeline of it all, whose cameras are tried for ever; `options` are more of its fields."""
        made: dict[str, Any] = {"connect_timeout_s": None, "routes": self.routes, "policies": self.policies}
        made |= {"trackers": self.trackers, "sinks": self.sinks}
        return Pipeline(self.sources, self.runners, **{**made, **options})


@contextlib.contextmanager
def assembled(path: str | Path, *, outputs: bool = True, stop: Event | None = None) -> Iterator[Assembly]:
    """Read a cameras file, open its outputs, then its models; closed again at the end, whatever happens.

    Args:
        path: of the file.
        outputs: False makes no sink, so that nothing is written: for a plan.
        stop: ends the run, and with it the waiting for outputs that do not answer.

    Raises:
        ConfigError: the file, or a secret that it names; with line and column.
        DiskError: an output cannot be written.
        SourceError: a camera's source is nothing that can be read.
        ModelError, DeviceError: a model cannot be opened.
    """
    document = load(path)
    config, addresses = document.config, addresses_of(document)
    opened = {name: network for name, network in config.models.items() if name in used(config)}
    numbers = {name: number for number, name in enumerate(opened)}
    with contextlib.ExitStack() as closing:
        ends = document if outputs else document.silent()
        sinks, sources = _ends(
            ends, addresses, stop or Event(), closing
        )  # what cannot be written or read is told at once
        models = _models(opened, closing)
        yield Assembly(
            sources,
            list(dict.fromkeys(models.values())),
            [
                models[name].runner(classes=net.classes or None, tracked=net.track)
                for name, net in opened.items()
            ],
            sinks,
            {
                name: [numbers[model] for model in models_of(camera, config)]
                for name, camera in enabled(config)
            },
            {name: camera.policy for name, camera in enabled(config) if camera.policy},
            [models[name].tracker() if net.track else None for name, net in opened.items()],
            config.outputs.save or "",
            config.serve.address if config.serve else "",
            document.secrets.get(("serve", "token")),
        )


def enabled(config: Config) -> list[tuple[str, Camera]]:
    """The cameras that are not switched off."""
    return [(name, camera) for name, camera in config.cameras.items() if camera.enabled]


def models_of(camera: Camera, config: Config) -> tuple[str, ...]:
    """The models that a camera's frames go through."""
    return tuple(config.models) if camera.models is None else camera.models


def used(config: Config) -> set[str]:
    """The models that some camera needs."""
    return {model for _, camera in enabled(config) for model in models_of(camera, config)}


def addresses_of(document: Document) -> dict[str, str]:
    """What each enabled camera is opened by, with its user and password percent-encoded; not to be shown.

    Raises:
        ConfigError: a secret address names a user, and so does the file.
    """
    found: dict[str, str] = {}
    for name, camera in enabled(document.config):
        here = ("cameras", name)
        address = camera.source if isinstance(camera.source, str) else document.secrets[(*here, "source")]
        scheme, mark, rest = address.partition("://")
        if camera.username is not None:
            if not mark or "@" in rest:
                raise _two_users(document, name)
            password = document.secrets.get((*here, "password"))
            login = quote(camera.username, safe="") + (f":{quote(password, safe='')}" if password else "")
            address = f"{scheme}://{login}@{rest}"
        remember_uri(address)
        found[name] = address
    return found


def _two_users(document: Document, name: str) -> ConfigError:
    where = ("cameras", name, "username")
    what = f"cameras.{name} has a username that its address cannot take"
    return document.error(
        [(where, what, "the secret address is no URL, or names a user already", "take one out")]
    )


def _ends(
    document: Document, addresses: Mapping[str, str], stop: Event, closing: contextlib.ExitStack
) -> tuple[list[Background], dict[str, Source]]:
    """Sinks and sources; the packets of the sources go to those sinks that keep them."""
    unopened = _sources(document, addresses, {})
    lossless = not any(source.live for source in unopened.values())
    _check_apart(document.config, addresses)

    def begun(sinks: Iterable[Sink]) -> list[Background]:
        made = []
        for sink in sinks:
            made.append(told_in_background(sink, lossless=lossless, stop=stop))
            closing.callback(_closed, made[-1])
        return made

    recording = begun(recorders(document))
    sinks = [*recording, *begun(local_sinks(document, unopened)), *begun(remote_sinks(document))]
    return sinks, _sources(document, addresses, _taps(document.config, recording))


def _closed(sink: Background) -> None:
    """Where a Pipeline ran it has closed its sinks, and told what failed; this is for one that never did."""
    with contextlib.suppress(VedetteError, OSError):
        sink.close()


def _sources(document: Document, addresses: Mapping[str, str], taps: Mapping[str, Tap]) -> dict[str, Source]:
    return {
        name: _source(document, name, camera, addresses[name], taps.get(name))
        for name, camera in enabled(document.config)
    }


def _source(document: Document, name: str, camera: Camera, address: str, tap: Tap | None) -> Source:
    options = SourceOptions(
        stream=name,
        stride=camera.stride,
        open_timeout_s=camera.open_timeout,
        read_timeout_s=camera.read_timeout,
        transport=camera.transport,
        realtime=camera.realtime,
        loop=camera.loop,
        decoder=camera.decoder,
        tap=tap,
    )
    try:
        return open_source(address, options)
    except SourceError:
        where, what, why, cure = no_source(name)
        raise SourceError(f"{document.place(*where)}: {what}", why=why, cure=cure, code="missing") from None


def _taps(config: Config, recording: Sequence[Background]) -> dict[str, Tap]:
    """By camera, where its packets go."""
    found: dict[str, Tap] = {}
    for name, camera in enabled(config):
        taps = [tap for sink in recording if camera.record and (tap := sink.tap(name)) is not None]
        if taps:
            found[name] = taps[0] if len(taps) == 1 else _each(taps)
    return found


def _each(taps: Sequence[Tap]) -> Tap:
    def tap(packet: Packet) -> None:
        for one in taps:
            one(packet)

    return tap


def _check_apart(config: Config, addresses: Mapping[str, str]) -> None:
    """No output may replace a source."""
    from vedette.commands._save import check_apart

    lines = config.outputs.lines
    check_apart(config.outputs.save or "", lines.path if lines else "", list(addresses.values()))


def _models(networks: Mapping[str, Network], closing: contextlib.ExitStack) -> dict[str, Model]:
    """By name; names that ask for the same share one."""
    made: dict[tuple[Any, ...], Model] = {}
    found: dict[str, Model] = {}
    for name, net in networks.items():
        wanted = (net.model, net.backend, net.imgsz, net.conf, net.iou, net.max_det)
        if wanted not in made:
            model = Model(
                net.model,
                backend=net.backend,
                imgsz=net.imgsz,
                conf=net.conf,
                iou=net.iou,
                max_det=net.max_det,
            )
            made[wanted] = closing.enter_context(contextlib.closing(model))
        found[name] = made[wanted]
    return found
