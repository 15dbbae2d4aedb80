"""`vedette run`: models over sources, into videos, pictures, JSON lines or a window."""

import contextlib
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from vedette.commands._progress import Progress
from vedette.commands._save import check_apart, check_one_pose, saver
from vedette.runtime.draw import disk_error
from vedette.runtime.errors import UsageError
from vedette.runtime.find import is_model
from vedette.runtime.model import Model
from vedette.runtime.pipeline import Pipeline, Policy
from vedette.runtime.preprocess import Size
from vedette.runtime.sinks import Sink
from vedette.runtime.sources import Source, SourceOptions, open_source, stream_names


def run(
    items: Annotated[
        list[str],
        typer.Argument(metavar="MODEL… SOURCE…", help="Zoo names, model files or bundles, then sources."),
    ],
    save: Annotated[str, typer.Option(help="Folder, video or picture to write annotated frames to.")] = "",
    json: Annotated[
        str, typer.Option(help="File for one JSON record a frame and model; - is standard output.")
    ] = "",
    openpose_json: Annotated[
        str, typer.Option(help="Folder for OpenPose's JSON of a pose model, one file a frame.")
    ] = "",
    show: Annotated[bool, typer.Option("--show", help="Show annotated frames in a window.")] = False,
    conf: Annotated[
        float | None,
        typer.Option(help="Lowest score that is kept. [default: the task's, 0.25 for detection]"),
    ] = None,
    iou: Annotated[
        float | None,
        typer.Option(
            help="Overlap above which boxes of one class suppress each other. [default: the model's, 0.7 for most]"
        ),
    ] = None,
    max_det: Annotated[int, typer.Option(help="Most objects per frame.")] = 300,
    classes: Annotated[str, typer.Option(help="Only these: ids or names with commas between.")] = "",
    imgsz: Annotated[str, typer.Option(help="Network input: SIDE or WIDTHxHEIGHT; else the model's.")] = "",
    backend: Annotated[str, typer.Option(help="auto, onnxruntime, openvino, tensorrt or replay.")] = "auto",
    policy: Annotated[
        str, typer.Option(help="latest or all. [default: latest for cameras, all for files]")
    ] = "",
    max_frames: Annotated[int | None, typer.Option(help="Stop after so many frames of each stream.")] = None,
    vid_stride: Annotated[int, typer.Option(help="Run every so-manieth frame.")] = 1,
    connect_timeout: Annotated[float, typer.Option(help="Seconds for a source's first frame.")] = 10.0,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be done, and stop.")] = False,
) -> int:
    """Run models over pictures, videos and cameras."""
    models, uris = _split(items)
    _check_ranges(conf, iou, max_det, max_frames, vid_stride, connect_timeout, policy)
    sources = _sources(uris, vid_stride, connect_timeout)
    check_apart(save, json, uris)
    told = bool(json or openpose_json or show)
    where = save or ("" if told else str(_next_run(Path("runs"), make=not plan)))
    closing = contextlib.ExitStack()
    with _signals() as (stop, received), _removed_if_empty("" if save else where), closing:
        # made before the models are loaded, so that an output that cannot be written is refused at once
        sinks = [] if plan else _sinks(sources, where, json, openpose_json, stop, show=show)
        options = {"conf": conf, "iou": iou, "max_det": max_det}
        loaded = [
            closing.enter_context(
                contextlib.closing(Model(model, backend=backend, imgsz=parse_size(imgsz), **options))
            )
            for model in models
        ]
        check_one_pose(openpose_json, [model.manifest for model in loaded])
        runners = [model.runner(classes=_class_list(classes)) for model in loaded]
        if plan:
            _print_plan(loaded, sources, where)
            return 0
        chosen: Policy | None = "latest" if policy == "latest" else "all" if policy == "all" else None
        pipeline = Pipeline(sources, runners, sinks, chosen, max_frames, connect_timeout, stop)
        with Progress(sources, max_frames, lines=not (save or told), quiet=json == "-") as progress:
            for frame, results in pipeline.run():
                progress.step(frame, results)
        progress.report(where, [model.backend for model in loaded], pipeline.failures)
        return 128 + received[0] if received else 0


def _split(items: Sequence[str]) -> tuple[list[str], list[str]]:
    """Models come first; the first item always is one."""
    for item in items:
        flag = re.fullmatch(r"(\w+)=(.*)", item)
        if flag and not Path(item).exists():
            name = flag[1].replace("_", "-")
            raise UsageError(
                f"{item} is not a source",
                why="options are written with two hyphens here",
                cure=f"use --{name} {flag[2]}",
            )
    count = 1
    while count < len(items) and is_model(items[count]):
        count += 1
    if count == len(items):
        raise UsageError(
            "there is no source to run over",
            why=f"{', '.join(items)} {'is a model' if count == 1 else 'are models'}",
            cure=f"vedette run {items[0]} VIDEO, PICTURE, FOLDER, 0, rtsp://… or synthetic:",
        )
    return list(items[:count]), list(items[count:])


def _check_ranges(
    conf: float | None,
    iou: float | None,
    max_det: int,
    max_frames: int | None,
    stride: int,
    timeout: float,
    policy: str,
) -> None:
    """Every number where it can mean something, told before anything is opened."""
    rules = [
        ("--conf", conf, conf is None or 0 <= conf <= 1, "it is a score, 0 to 1", "--conf 0.25"),
        ("--iou", iou, iou is None or 0 <= iou <= 1, "it is an overlap, 0 to 1", "--iou 0.7"),
        ("--max-det", max_det, max_det > 0, "it is a number of objects, 1 or more", "--max-det 300"),
        (
            "--max-frames",
            max_frames,
            max_frames is None or max_frames > 0,
            "it is 1 or more",
            "--max-frames 100",
        ),
        ("--vid-stride", stride, stride > 0, "it is 1 or more", "--vid-stride 1"),
        ("--connect-timeout", timeout, 0 < timeout < 3600, "it is in seconds", "--connect-timeout 10"),
        ("--policy", policy, policy in {"", "latest", "all"}, "it is latest or all", "--policy latest"),
    ]
    for flag, value, fits, why, example in rules:
        if not fits:
            raise UsageError(f"{flag} {value} is out of range", why=why, cure=f"use {example}, say")


def _sources(uris: Sequence[str], stride: int, timeout: float) -> dict[str, Source]:
    return {
        name: open_source(uri, SourceOptions(stream=name, stride=stride, connect_timeout_s=timeout))
        for name, uri in zip(stream_names(len(uris)), uris, strict=True)
    }


def parse_size(text: str, *, flag: str = "--imgsz") -> Size | None:
    if not text:
        return None
    sides = re.fullmatch(r"(\d+)(?:[x,](\d+))?", text)
    if not sides:
        raise UsageError(
            f"{flag} {text} is no size", why="it is a side or WIDTHxHEIGHT", cure=f"use {flag} 640"
        )
    return int(sides[1]), int(sides[2] or sides[1])


def _class_list(text: str) -> list[int | str]:
    """'person, 2' as ['person', 2]."""
    parts = [part.strip() for part in text.split(",")]
    return [int(part) if part.isdecimal() else part for part in parts if part]


def _sinks(
    sources: dict[str, Source], where: str, json: str, poses: str, stop: threading.Event, *, show: bool
) -> list[Sink]:
    """The sinks that the flags ask for, each with its writer thread."""
    from vedette.runtime.sinks._background import Background
    from vedette.runtime.sinks.jsonl import JsonLinesSink
    from vedette.runtime.sinks.openpose import OpenPoseSink
    from vedette.runtime.sinks.window import WindowSink

    plain: list[Sink] = []
    if where:
        plain.append(saver(where, sources))
    if poses:
        plain.append(OpenPoseSink(poses))
    if json:
        plain.append(JsonLinesSink(json))
    if show:
        plain.append(WindowSink("vedette", stop))
    lossless = not any(source.live for source in sources.values())
    return [Background(sink, lossless=lossless) for sink in plain]


@contextlib.contextmanager
def _removed_if_empty(folder: str) -> Iterator[None]:
    """A run that saved nothing leaves no numbered folder behind."""
    try:
        yield
    finally:
        if folder:
            with contextlib.suppress(OSError):
                Path(folder).rmdir()


def _next_run(root: Path, *, make: bool) -> Path:
    """The next runs/run-N; made at once, so that a run beside this one takes another."""
    number = 1 + max(
        (int(path.name[4:]) for path in root.glob("run-*") if path.name[4:].isdecimal()), default=0
    )
    while make:
        try:
            (root / f"run-{number}").mkdir(parents=True)
            break
        except FileExistsError:
            number += 1
        except OSError as error:
            raise disk_error(root, error) from None
    return root / f"run-{number}"


@contextlib.contextmanager
def _signals() -> Iterator[tuple[threading.Event, list[int]]]:
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


def _print_plan(models: Sequence[Model], sources: dict[str, Source], where: str) -> None:
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
