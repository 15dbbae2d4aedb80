"""`vedette demo`: the whole path on real weights and a real clip, into runs/demo/.

PyTorch -> ONNX with a parity table -> TensorRT-RTX engines -> a street clip through detection and pose, a slow pan over
photos of people through pose and segmentation -> annotated videos, results.jsonl, latency.json.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from vedette.commands._tables import parity_table, table
from vedette.runtime.errors import DeviceError

NETWORKS = ("nanodet", "openpose_thin", "selfie_segmentation")
SEEN = {"person", "bicycle", "car", "motorcycle", "bus", "train", "truck"}


def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write to.")] = Path("runs/demo"),
    frames: Annotated[int | None, typer.Option(help="Stop each clip after so many frames.")] = None,
) -> int:
    """Export, check, build and run the networks of the box on real input."""
    from vedette.commands._clips import pan_over_people, street_clip

    street = street_clip()
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.jsonl").unlink(missing_ok=True)
    if find_spec("torch"):
        models = _exported(out / "models")
        _built(models)
    else:
        print("no PyTorch here: the demo runs the zoo's ready models, and exports and builds nothing")
        models = {name: Path(name) for name in NETWORKS}
    people = pan_over_people(out / "people_source.mp4", street)
    steps = [
        *_ran(["nanodet", "openpose_thin"], models, street, out / "street.mp4", stride=2, frames=frames),
        *_ran(
            ["openpose_thin", "selfie_segmentation"],
            models,
            people,
            out / "people.mp4",
            stride=1,
            frames=frames,
        ),
    ]
    _tell_latency(steps, out / "latency.json")
    _tell_shares(steps)
    print(f"look at {out}/street.mp4 and {out}/people.mp4; {len(steps)} records are in {out}/results.jsonl")
    return 0


def _exported(folder: Path) -> dict[str, Path]:
    from vedette.export.build import export

    paths = {name: folder / f"{name}.onnx" for name in NETWORKS}
    cards = []
    for name, path in paths.items():
        print(f"exporting {name} from PyTorch …", flush=True)
        cards.append(export(name, path))
    parity_table(cards)
    return paths


def _built(models: Mapping[str, Path]) -> None:
    """Engines, where a lane is installed that can build here; without one the demo goes on and says so."""
    from vedette.export.build import build

    rows = []
    for name, path in models.items():
        print(f"building the engine of {name} …", flush=True)
        try:
            _, built = build(path, path.with_suffix(".engine"))
        except DeviceError as error:
            print(f"no engine is built: {error}")
            return
        made = built.build
        rows.append([name, made["lane"], made["version"], made["layers"], f"{len(built.plan) / 1e6:.1f}"])
    table("engines", ("network", "lane", "version", "layers", "MB"), rows)


def _ran(
    names: Sequence[str],
    models: Mapping[str, Path],
    clip: Path,
    video: Path,
    *,
    stride: int,
    frames: int | None,
) -> list[dict[str, Any]]:
    """Run models over a clip; return its records, which results.jsonl has too."""
    from vedette.commands._progress import Progress
    from vedette.runtime.model import Model
    from vedette.runtime.pipeline import Pipeline
    from vedette.runtime.sinks._background import Background
    from vedette.runtime.sinks.video import VideoSink
    from vedette.runtime.sources import SourceOptions, open_source

    opened = [Model(models[name], iou=0.6) for name in names]
    source = open_source(str(clip), SourceOptions(stream=video.stem, stride=stride))
    sources = {video.stem: source}
    records = []
    with (
        (video.parent / "results.jsonl").open("a", encoding="utf-8") as lines,
        Progress(sources, frames, lines=False) as told,
    ):
        sinks = [Background(VideoSink(video), lossless=True)]
        for frame, results in Pipeline(sources, [m.runner() for m in opened], sinks, max_frames=frames).run():
            told.step(frame, results)
            records += [result.to_dict() for result in results]
            lines.writelines(result.to_json() + "\n" for result in results)
    told.report(str(video), [model.backend for model in opened], {})
    return records


def _tell_latency(records: Sequence[Mapping[str, Any]], path: Path) -> None:
    from vedette.runtime.timing import percentiles

    samples: dict[tuple[str, str], list[float]] = defaultdict(list)
    for record in records:
        for stage, value in record["latency_ms"].items():
            samples[record["model"], stage].append(value)
    report = {f"{model} {stage}": dict(percentiles(values)) for (model, stage), values in samples.items()}
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    columns = ("p50", "p90", "p99", "max")
    rows = [[name, *(f"{row[column]:.1f}" for column in columns)] for name, row in report.items()]
    table("latency, milliseconds a frame", ("model and stage", *columns), rows)


def _tell_shares(records: Sequence[Mapping[str, Any]]) -> None:
    """How often the demo saw what it should see."""
    boxed = [_has_box(record) for record in records if record["model"] == "nanodet"]
    posed = [
        _has_skeleton(record)
        for record in records
        if record["stream"] == "people" and record["task"] == "pose"
    ]
    print(
        f"a person or vehicle boxed at 0.4 or more in {_share(boxed)} of the street clip's processed frames"
    )
    print(f"a skeleton of 8 joints or more in {_share(posed)} of the people clip's processed frames")


def _has_box(record: Mapping[str, Any]) -> bool:
    return any(found["score"] >= 0.4 and found["label"] in SEEN for found in record["detections"])


def _has_skeleton(record: Mapping[str, Any]) -> bool:
    return any(sum(joint is not None for joint in pose["keypoints"]) >= 8 for pose in record["poses"])


def _share(seen: Sequence[bool]) -> str:
    return f"{100 * sum(seen) / max(1, len(seen)):.0f} % ({sum(seen)} of {len(seen)})"
