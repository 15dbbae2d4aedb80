"""`vedette run`: models over sources, into videos, pictures, JSON lines or a window."""

import contextlib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from vedette.commands._driving import drive, print_plan, signals
from vedette.commands._progress import Progress
from vedette.commands._save import check_apart, check_one_pose, next_run, removed_if_empty, sinks_for
from vedette.runtime.errors import UsageError
from vedette.runtime.find import is_model
from vedette.runtime.model import Model
from vedette.runtime.pipeline import Pipeline, Policy
from vedette.runtime.preprocess import Size
from vedette.runtime.sources import Source, SourceOptions, open_source, stream_names

IN_THE_FILE = (  # and not beside it
    *("conf", "iou", "max_det", "classes", "imgsz", "backend", "vid_stride", "realtime", "loop", "track"),
    *("openpose_json", "connect_timeout"),
)


def run(
    context: typer.Context,
    items: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL… SOURCE… | CAMERAS.YAML",
            help="Zoo names, model files or bundles, then sources; or a file that names both.",
        ),
    ],
    save: Annotated[str, typer.Option(help="Folder, video or picture to write annotated frames to.")] = "",
    json: Annotated[
        str, typer.Option(help="File for one JSON record a frame and model; - is standard output.")
    ] = "",
    openpose_json: Annotated[
        str, typer.Option(help="Folder for OpenPose's JSON of a pose model, one file a frame.")
    ] = "",
    show: Annotated[bool, typer.Option("--show", help="Show annotated frames in a window.")] = False,
    serve: Annotated[str, typer.Option(help="HOST:PORT for /metrics and /healthz.")] = "",
    track: Annotated[bool, typer.Option("--track", help="Give objects identities over time.")] = False,
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
    realtime: Annotated[
        bool, typer.Option("--realtime", help="Play files at their own rate, as a camera would.")
    ] = False,
    loop: Annotated[bool, typer.Option("--loop", help="Begin files again at their end, for ever.")] = False,
    connect_timeout: Annotated[float, typer.Option(help="Seconds for a source's first frame.")] = 10.0,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be done, and stop.")] = False,
) -> int:
    """Run models over pictures, videos and cameras."""
    if items[0].lower().endswith((".yaml", ".yml")):
        from vedette.commands._cameras import run_cameras

        _check_file_alone(context, items)
        return run_cameras(
            items[0],
            save=save,
            json=json,
            show=show,
            serve=serve,
            policy=_policy(policy),
            max_frames=max_frames,
            plan=plan,
        )
    models, uris = _split(items)
    _check_ranges(conf, iou, max_det, max_frames, vid_stride, connect_timeout, policy)
    one_try = min(connect_timeout, max(SourceOptions().open_timeout_s, connect_timeout / 3))
    base = SourceOptions(stride=vid_stride, open_timeout_s=one_try, realtime=realtime, loop=loop)
    sources = _sources(uris, base)
    check_apart(save, json, uris)
    told = bool(json or openpose_json or show)
    where = save or ("" if told else str(next_run(Path("runs"), make=not plan)))
    closing = contextlib.ExitStack()
    with signals() as (stop, received), removed_if_empty("" if save else where), closing:
        # made before the models are loaded, so that an output that cannot be written is refused at once
        sinks = [] if plan else sinks_for(sources, where, json, openpose_json, stop, show=show)
        options = {"conf": conf, "iou": iou, "max_det": max_det}
        loaded = [
            closing.enter_context(
                contextlib.closing(Model(model, backend=backend, imgsz=parse_size(imgsz), **options))
            )
            for model in models
        ]
        check_one_pose(openpose_json, [model.manifest for model in loaded])
        chosen_classes = _class_list(classes)
        trackers = [model.tracker() for model in loaded] if track else []
        runners = [model.runner(classes=chosen_classes, tracked=track) for model in loaded]
        if plan:
            print_plan(loaded, sources, where)
            return 0
        pipeline = Pipeline(
            sources, runners, sinks, _policy(policy), max_frames, connect_timeout, stop, trackers=trackers
        )
        with Progress(sources, max_frames, lines=not (save or told), quiet=json == "-") as progress:
            drive(pipeline, progress, serve=serve)
        progress.report(where, [model.backend for model in loaded], pipeline.failures)
        return 128 + received[0] if received else 0


def _check_file_alone(context: typer.Context, items: Sequence[str]) -> None:
    """A cameras file says what runs, so that nothing on the command line may say it otherwise."""
    given = [name for name in IN_THE_FILE if str(context.get_parameter_source(name)).endswith("COMMANDLINE")]
    if len(items) > 1 or given:
        more = [f"--{name.replace('_', '-')}" for name in given] or items[1:]
        raise UsageError(
            f"{items[0]} and {more[0]} do not go together",
            why="the file names the models and cameras, and how they run",
            cure="write it into the file; vedette config schema shows its keys",
        )


def _policy(text: str) -> Policy | None:
    return "latest" if text == "latest" else "all" if text == "all" else None


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
        if count == 1 and (Path(items[0]).is_file() or "://" in items[0]) and not is_model(items[0]):
            raise UsageError(
                f"there is no model to run over {items[0]}",
                why="models come first, then sources",
                cure=f"vedette run nanodet {items[0]}, say; vedette zoo lists what is in the box",
            )
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


def _sources(uris: Sequence[str], options: SourceOptions) -> dict[str, Source]:
    return {
        name: open_source(uri, replace(options, stream=name))
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
