"""`Model`: a zoo name, an .onnx, an .engine, a recording or a bundle, opened; call it on pictures, videos and cameras.

In: a reference to a model, then sources.  Out: Results.  Next: find.py and opening.py, pipeline.py for the loop.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vedette.runtime.engine import Engine
from vedette.runtime.errors import UsageError
from vedette.runtime.find import SUFFIXES as SUFFIXES
from vedette.runtime.find import find_model as find_model
from vedette.runtime.find import zoo_folder as zoo_folder
from vedette.runtime.find import zoo_names as zoo_names
from vedette.runtime.frame import Array, Frame
from vedette.runtime.opening import open_model
from vedette.runtime.plugins import load
from vedette.runtime.preprocess import Size
from vedette.runtime.results import Result
from vedette.runtime.runner import Runner
from vedette.runtime.sources import END, Read, Source, SourceOptions, open_source
from vedette.runtime.tasks import Config

if TYPE_CHECKING:
    from vedette.runtime.tracking import TrackConfig, Tracker

Picture = str | Path | int | Array
LOW_SCORES_HELP = {"detection", "instances"}  # a tracker, which goes on with them but begins nothing


class Model:
    """An opened model.

    >>> model = Model("nanodet")
    >>> result = model("bus.jpg")[0]
    >>> result.boxes.xyxy, result.summary(), result.plot()

    Args:
        model: a zoo name, or the path of a model with its manifest beside it, or of a bundle's folder.
        backend: auto, or one of vedette.runtime.backends.
        imgsz: (width, height) of the network's input, where it is dynamic; an int is a square.
        options: fields of tasks.Config (conf, iou, max_det, classes).

    Raises:
        ModelError: missing, malformed, or not what its manifest says.
        DeviceError: the backend does not work here.
    """

    def __init__(
        self, model: str | Path, *, backend: str = "auto", imgsz: int | Size | None = None, **options: Any
    ) -> None:
        self._imgsz = _sized(imgsz)
        self._opened = open_model(find_model(str(model)), backend=backend)
        self.manifest, self.engines = self._opened.manifest, self._opened.engines
        self.backend = next(iter(self.engines.values())).backend
        self._closed = False
        self._runners: dict[Config, Runner] = {}
        with contextlib.ExitStack() as closing:
            closing.callback(self._opened.close)
            self._config = _configured(self._opened.defaults, options, self.names)
            self.runner()  # a wrong size or option is told now, not at the first frame
            closing.pop_all()

    @property
    def engine(self) -> Engine:
        """What runs the graph, or the first of several."""
        return next(iter(self.engines.values()))

    @property
    def names(self) -> dict[int, str]:
        """Class names by id."""
        return dict(enumerate(self.manifest.labels))

    def tracker(self) -> "Callable[[], Tracker]":
        """What makes a tracker for each stream, for the results of `runner(tracked=True)`."""
        from functools import partial

        from vedette.runtime.tracking import Tracker

        return partial(Tracker, self._tracking())

    def runner(self, *, tracked: bool = False, **options: Any) -> Runner:
        """A Runner over this model's engine, for a Pipeline of your own.

        Args:
            tracked: it keeps boxes of low score, which a tracker uses and takes out.
            options: fields of tasks.Config.
        """
        if self._closed:
            raise UsageError(
                f"{self.manifest.name} is closed", why="close() has freed its engine", cure="open it again"
            )
        config = _configured(self._config, options, self.names)
        if tracked and self.manifest.task in LOW_SCORES_HELP:
            config = replace(config, conf=self._tracking().detection_conf)
        if config not in self._runners:
            self._runners[config] = self._opened.runner(config, self._imgsz)
        return self._runners[config]

    def _tracking(self) -> "TrackConfig":
        from vedette.runtime.tracking import TrackConfig

        default: float = load("vedette.runtime.tasks", self.manifest.task).DEFAULT_CONF
        return TrackConfig(conf=default if self._config.conf is None else self._config.conf)

    def __call__(
        self,
        source: Picture | Iterable[Picture],
        *,
        stream: bool = False,
        vid_stride: int = 1,
        **options: Any,
    ) -> Any:
        """Run over a source: a path, folder, glob, URI, uint8 [H, W, 3] BGR array, or a list of them.

        Returns:
            A list of Results, one a frame; with stream=True an iterator that holds one at a time.

        Raises:
            UsageError: a camera without stream=True, whose results would grow for ever.
            SourceError: it cannot be read.
        """
        opened = _open_sources(source, vid_stride)
        if not stream and any(item.live for item in opened.values()):
            raise UsageError(
                "a live source needs stream=True",
                why="it never ends, and a list of its results would fill the memory",
                cure="for result in model(source, stream=True): …",
            )
        results = self._results(opened, options)
        return results if stream else list(results)

    def _results(self, sources: dict[str, Source], options: dict[str, Any]) -> Iterator[Result]:
        runner = self.runner(**options)
        live = any(source.live for source in sources.values())
        # files in turn, so that results come in their order; cameras together, for none of them ends
        turns = [sources] if live else [{name: source} for name, source in sources.items()]
        for turn in turns:
            if all(getattr(source, "single", False) for source in turn.values()):
                yield from runner.submit([_the_frame(source) for source in turn.values()]).results()
                continue
            from vedette.runtime.pipeline import Pipeline

            for _, results in Pipeline(turn, [runner]).run():
                yield results[0]

    def close(self) -> None:
        """Free the engine; the second time does nothing."""
        if not self._closed:
            self._closed = True
            for runner in self._runners.values():
                runner.close()
            self._opened.close()


def _configured(config: Config, options: dict[str, Any], names: Mapping[int, str]) -> Config:
    unknown = options.keys() - Config.__dataclass_fields__.keys()
    if unknown:
        known = ", ".join(Config.__dataclass_fields__)
        raise UsageError(
            f"unknown option {min(unknown)}", why=f"there are {known}", cure="check its spelling"
        )
    options = {name: value for name, value in options.items() if value is not None}  # None: as it was
    if "classes" in options:
        options = {**options, "classes": class_ids(options["classes"], names)}
    changed = replace(config, **options)
    shares: list[tuple[str, Any]] = [("conf", changed.conf), ("iou", changed.iou)]
    for name, value in shares:
        if value is not None and not (_is(Real, value) and 0 <= value <= 1):
            raise UsageError(
                f"{name} {value!r} is out of range", why="it is a share, 0 to 1", cure=f"{name} 0.25, say"
            )
    max_det: Any = changed.max_det
    if not (_is(Integral, max_det) and max_det > 0):
        raise UsageError(
            f"max_det {max_det!r} is out of range",
            why="it is a whole number above 0",
            cure="300, say",
        )
    return changed


def _is(kind: type, value: object) -> bool:
    """isinstance, for the number towers that type checkers do not know."""
    return isinstance(value, kind)


def class_ids(chosen: Any, names: Mapping[int, str]) -> tuple[int, ...]:
    """Class ids of ids and names, one or several.

    Raises:
        UsageError: the model has no such class.
    """
    items = [chosen] if isinstance(chosen, str | Integral) else np.asarray(chosen, object).tolist()
    ids = {name: index for index, name in names.items()}
    found = [ids.get(item, -1) if isinstance(item, str) else item for item in items]
    for item, index in zip(items, found, strict=True):
        if index not in names:
            raise UsageError(
                f"{item!r} is no class of this model",
                why=f"it has {len(ids)}: {', '.join(list(ids)[:8])}{' …' if len(ids) > 8 else ''}",
                cure="use names or numbers of its classes",
            )
    return tuple(int(index) for index in found)


def _sized(imgsz: Any) -> Size | None:
    """None, a side, or (width, height)."""
    sides = (imgsz, imgsz) if isinstance(imgsz, Integral) else imgsz
    if sides is None:
        return None
    fits = (
        isinstance(sides, tuple | list)
        and len(sides) == 2
        and all(isinstance(side, Integral) for side in sides)
    )
    if not fits:
        raise UsageError(
            f"imgsz {imgsz!r} is no size", why="it is a side or (width, height)", cure="imgsz=640, say"
        )
    return int(sides[0]), int(sides[1])


def _open_sources(source: Any, stride: int) -> dict[str, Source]:
    single = isinstance(source, str | Path | np.ndarray | Integral)
    items = [source] if single else source
    opened: dict[str, Source] = {}
    for index, item in enumerate(items):
        name = f"cam{index}"
        if isinstance(item, np.ndarray):
            opened[name] = ArraySource(item, stream=name)
        else:
            opened[name] = open_source(str(item), SourceOptions(stream=name, stride=stride))
    return opened


def _the_frame(source: Source) -> Frame:
    """That of a source which has a single one, and needs no thread for it.

    Raises:
        SourceError: it is a picture that cannot be read.
    """
    frame = source.read()
    source.close()
    assert isinstance(frame, Frame), "it has none"
    return frame


class ArraySource:
    """One picture that is in memory already."""

    live, single, frame_count, uri = False, True, 1, "array"

    def __init__(self, image: Array, *, stream: str = "cam0") -> None:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise UsageError(
                f"cannot take an array of {image.dtype} {list(image.shape)} as a picture",
                why="pictures are uint8 [height, width, 3] in BGR order",
                cure="convert it, e.g. (image * 255).astype('uint8')[..., ::-1]",
            )
        self.frame = Frame((image,), stream=stream, source="array")
        self._given = False

    def read(self, timeout_s: float = 1.0) -> Read:
        self._given, given = True, self._given
        return END if given else self.frame

    def close(self) -> None:
        """There is nothing to free."""
