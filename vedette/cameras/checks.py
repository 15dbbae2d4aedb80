"""What one key of a configuration says of another, and whether what it names is there; nothing is connected to.

In: a Config.  Out: faults with their paths.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from vedette.cameras.outputs import Outputs
from vedette.cameras.problems import Loc
from vedette.cameras.schema import Camera, Config
from vedette.cameras.secrets import Fault
from vedette.cameras.told import close
from vedette.runtime.errors import SourceError
from vedette.runtime.find import is_model, zoo_names

WEB = ("rtsp", "rtsps", "http", "https")


def faults_of(config: Config) -> list[Fault]:
    """Everything in which the keys of a file contradict each other."""
    faults = [fault for name, camera in config.cameras.items() for fault in _of_camera(name, camera, config)]
    faults += _of_outputs(config.outputs)
    if not any(camera.enabled for camera in config.cameras.values()):
        faults.append((("cameras",), "no camera is enabled", "there is nothing to run", "enable one"))
    if config.serve and config.serve.token is None and not config.serve.is_local():
        why = "others on the network can reach this address"
        faults.append((("serve",), "serve has no token", why, "add token: {env: NAME}, or use 127.0.0.1"))
    return faults


def missing_from(config: Config, sources: Mapping[str, str]) -> list[Fault]:
    """Models and sources that are not there.

    Args:
        config: right in itself.
        sources: addresses by camera; those that are left out are not looked for.
    """
    faults: list[Fault] = []
    for name, network in config.models.items():
        if not is_model(network.model) or (Path(network.model).suffix and not Path(network.model).exists()):
            known = zoo_names()
            why = f"there is no such file or bundle, and the zoo has {', '.join(known) or 'nothing in it'}"
            cure = close(network.model.replace("-", "_"), known, "vedette zoo lists the models in the box")
            faults.append((("models", name, "model"), f"models.{name} names no model", why, cure))
    for name, source in sources.items():
        if not _is_source(source):
            faults.append(no_source(name))
    return faults


def no_source(name: str) -> Fault:
    """That no kind of source claims an address, which is not repeated."""
    return (
        ("cameras", name, "source"),
        f"cameras.{name}.source is nothing that can be read",
        "there is no such file or folder, and no scheme that is known",
        "give a video, picture, folder, glob, camera number, /dev/videoN, rtsp:// or synthetic: source",
    )


def _is_source(source: str) -> bool:
    from vedette.runtime.sources import SourceOptions, open_source

    try:
        open_source(source, SourceOptions()).close()
    except SourceError:
        return False
    return True


def _of_camera(name: str, camera: Camera, config: Config) -> Iterator[Fault]:
    here: Loc = ("cameras", name)
    for index, model in enumerate(camera.models or ()):
        path = f"cameras.{name}.models[{index}]"
        if model not in config.models:
            known = ", ".join(config.models) or "none"
            cure = close(model, config.models, "name one of them, or add it to models")
            yield (*here, "models", index), f"{path} is no model of this file", f"it has {known}", cure
        elif model in (camera.models or ())[:index]:
            yield (
                (*here, "models", index),
                f"{path} is there already",
                "a model runs once a frame",
                "take it out",
            )
    yield from _of_login(here, camera)


def _of_login(here: Loc, camera: Camera) -> Iterator[Fault]:
    where = f"cameras.{here[-1]}"
    if camera.password and not camera.username:
        yield (
            (*here, "password"),
            f"{where} has a password and no username",
            "they go together",
            "add username: NAME",
        )
    scheme = camera.source.partition("://")[0].lower() if isinstance(camera.source, str) else "rtsp"
    if camera.username and scheme not in WEB:
        why = f"only {', '.join(WEB)} URLs take one"
        yield (*here, "username"), f"{where}.source takes no username", why, "take username and password out"


def _of_outputs(outputs: Outputs) -> Iterator[Fault]:
    if outputs.mqtt and outputs.mqtt.password and not outputs.mqtt.username:
        what = "outputs.mqtt has a password and no username"
        yield ("outputs", "mqtt", "password"), what, "they go together", "add username: NAME"
    folders = {"save": outputs.save, "recording": None, "events": None}
    folders["recording"] = outputs.recording.folder if outputs.recording else None
    folders["events"] = outputs.events.folder if outputs.events else None
    taken: dict[Path, str] = {}
    for key, folder in folders.items():
        if folder and taken.setdefault(Path(folder).resolve(), key) != key:
            other = taken[Path(folder).resolve()]
            why = "one would delete or replace what the other wrote"
            yield (
                ("outputs", key),
                f"outputs.{key} and outputs.{other} share a folder",
                why,
                "give each its own",
            )
