"""Where `run` writes to: what `--save` means, the sinks that its flags ask for, and what outputs cannot be."""

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from vedette.runtime.draw import disk_error
from vedette.runtime.errors import UsageError
from vedette.runtime.manifest import Manifest
from vedette.runtime.sinks import Sink
from vedette.runtime.sinks._encode import SUFFIXES as VIDEOS
from vedette.runtime.sinks.folder import FolderSink
from vedette.runtime.sinks.images import WRITTEN_SUFFIXES as PICTURES
from vedette.runtime.sinks.images import ImagesSink
from vedette.runtime.sinks.video import VideoSink
from vedette.runtime.sources import Source
from vedette.runtime.sources._local import local_path


def saver(target: str, sources: Mapping[str, Source]) -> Sink:
    """The sink for a --save target.

    Raises:
        UsageError: one file for several streams, or a suffix that is neither.
        DiskError: it cannot be written.
    """
    path = Path(target)
    if "://" in target:
        raise UsageError(
            f"--save {target} is no file or folder",
            why="it is an address, and videos are written to disks",
            cure="use a folder",
        )
    if not path.suffix or target.endswith("/") or path.is_dir():
        return FolderSink(path, {stream: source.uri for stream, source in sources.items()})
    if path.suffix.lower() not in {*VIDEOS, *PICTURES}:
        raise UsageError(
            f"--save {target}: {path.suffix} is neither a video nor a picture",
            why=f"videos are {', '.join(sorted(VIDEOS))}; pictures {', '.join(sorted(PICTURES))}",
            cure="use out.mp4, out.jpg, or a folder",
        )
    if len(sources) > 1:
        raise UsageError(
            f"--save {target} is one file for {len(sources)} sources",
            why="each stream gets its own",
            cure="use a folder",
        )
    return VideoSink(path) if path.suffix.lower() in VIDEOS else ImagesSink(path)


def check_apart(save: str, json: str, uris: Sequence[str]) -> None:
    """Refuse outputs that would replace a source, or each other, before anything is opened.

    Raises:
        UsageError: they overlap.
    """
    outputs = [Path(text) for text in (save, json) if text not in {"", "-"}]
    if len(outputs) == 2 and outputs[0].resolve() == outputs[1].resolve():
        raise UsageError(
            f"--save and --json both name {save}", why="one would destroy the other", cure="name two files"
        )
    inputs = [path for uri in uris if (path := local_path(uri)) and path.exists()]
    for output in outputs:
        written = [output, *(output / name for path in inputs for name in (path.name, f"{path.stem}.mp4"))]
        lost = [path for path in inputs for file in written if file.exists() and path.samefile(file)]
        if lost:
            raise UsageError(
                f"will not write {output}",
                why=f"it could replace what is being read: {lost[0]}",
                cure="name another file or folder",
            )


def check_one_pose(folder: str, models: Sequence[Manifest]) -> None:
    """Refuse --openpose-json where no model, or more than one, has people to write.

    Raises:
        UsageError: its files are for the people of one pose model.
    """
    poses = [model.name for model in models if model.task == "pose"]
    if not folder or len(poses) == 1:
        return
    told = ", ".join(f"{model.name} is for {model.task}" for model in models)
    raise UsageError(
        f"--openpose-json {folder} needs one pose model",
        why=f"{' and '.join(poses)} would write the same files" if poses else told,
        cure="vedette run openpose-thin SOURCE --openpose-json DIR, say; --json takes the results of any model",
    )


def sinks_for(
    sources: Mapping[str, Source], where: str, json: str, poses: str, stop: threading.Event, *, show: bool
) -> list[Sink]:
    """The sinks that the flags ask for, each with its writer thread."""
    from vedette.runtime.sinks._background import Background

    plain: list[Sink] = []
    if where:
        plain.append(saver(where, sources))
    if poses:
        from vedette.runtime.sinks.openpose import OpenPoseSink

        plain.append(OpenPoseSink(poses))
    if json:
        from vedette.runtime.sinks.jsonl import JsonLinesSink

        plain.append(JsonLinesSink(json))
    if show:
        from vedette.runtime.sinks.window import WindowSink

        plain.append(WindowSink("vedette", stop))
    lossless = not any(source.live for source in sources.values())
    return [Background(sink, lossless=lossless, stop=stop) for sink in plain]


@contextlib.contextmanager
def removed_if_empty(folder: str) -> Iterator[None]:
    """A run that saved nothing leaves no numbered folder behind."""
    try:
        yield
    finally:
        if folder:
            with contextlib.suppress(OSError):
                Path(folder).rmdir()


def next_run(root: Path, *, make: bool) -> Path:
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
