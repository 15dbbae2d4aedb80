"""`vedette run cameras.yaml`: the cameras, models and outputs that a file names."""

from vedette.cameras.assemble import assembled
from vedette.commands._driving import drive, print_plan, signals
from vedette.commands._progress import Progress
from vedette.commands._save import sinks_for
from vedette.runtime.pipeline import Policy


def run_cameras(
    path: str,
    *,
    save: str,
    json: str,
    show: bool,
    serve: str,
    policy: Policy | None,
    max_frames: int | None,
    plan: bool,
) -> int:
    """Run a cameras file until its sources end or a signal comes; the exit code.

    Args:
        path: of the file.
        save: where annotated frames go, beside what the file says.
        json: the same for records.
        show: the same for a window.
        serve: HOST:PORT of /metrics and /healthz, instead of the file's.
        policy: of the cameras for which the file names none.
        max_frames: of each camera.
        plan: only say what would be done.

    Raises:
        ConfigError: the file; SourceError, ModelError, DeviceError, DiskError: what it names.
    """
    with signals() as (stop, received), assembled(path, outputs=not plan, stop=stop) as parts:
        backends = [model.backend for model in parts.models]
        if plan:
            print_plan(parts.models, parts.sources, parts.saved_to)
            return 0
        sinks = [*parts.sinks, *sinks_for(parts.sources, save, json, "", stop, show=show)]
        pipeline = parts.pipeline(policy=policy, max_frames=max_frames, stop=stop, sinks=sinks)
        with Progress(parts.sources, max_frames, lines=False, quiet=json == "-") as progress:
            drive(pipeline, progress, serve=serve or parts.serve, token=parts.token)
        progress.report(save or parts.saved_to, backends, pipeline.failures)
        return 128 + received[0] if received else 0
