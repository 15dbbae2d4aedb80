"""`generate --stream`: the pictures of a source, each drawn anew as it comes."""

import contextlib
from dataclasses import replace

from vedette.commands._driving import signals
from vedette.commands._progress import Progress
from vedette.commands._save import check_apart, saver
from vedette.runtime.generation import Generator
from vedette.runtime.pipeline import Pipeline
from vedette.runtime.request import Images, Request, refuse
from vedette.runtime.sinks._background import Background
from vedette.runtime.sources import SourceOptions, open_source


def draw_stream(generator: Generator, request: Request, images: Images, uri: str, out: str) -> int:
    """Run a source through a generator into a video, a picture or a folder; the exit code.

    Args:
        generator: opened.
        request: as for one image; its count is of frames.
        images: none, for the frames are what is drawn from.
        uri: of the source.
        out: where to.

    Raises:
        UsageError: the request cannot be meant.
        SourceError: the source gave no frame.
        DiskError: `out` cannot be written.
    """
    unused = tuple(Images.__slots__)
    refuse(generator.name, request, images, unused, "--stream says what it is drawn from, frame by frame")
    check_apart(out, "", [uri])
    runner = generator.stream(replace(request, count=None))
    source = open_source(uri, SourceOptions(stream="cam0"))
    sources = {"cam0": source}
    with contextlib.closing(runner), signals() as (stop, received):
        sinks = [Background(saver(out, sources), lossless=not source.live, stop=stop)]
        pipeline = Pipeline(sources, [runner], sinks, max_frames=request.count, stop=stop)
        with Progress(sources, request.count, lines=False) as progress:
            for frame, results in pipeline.run():
                progress.step(frame, results)
        progress.report(out, [generator.backend], pipeline.failures)
    return 128 + received[0] if received else 0
